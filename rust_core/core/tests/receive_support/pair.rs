//! A receiver and a publisher, with two instruments.

use outcrier_core::event::Level;
use outcrier_core::receive::{ChannelState, Config, Line, Receiver, Reported, WINDOW_DEFAULT_NS};

use super::{Log, Publisher, SESSION, Told, VENUE, definition};

pub(crate) const ID: u32 = 11;
pub(crate) const OTHER: u32 = 12;
pub(crate) const MS: u64 = 1_000_000;

/// A receiver beside a publisher, with a hand on every frame.
pub(crate) struct Pair {
    pub(crate) receiver: Receiver,
    pub(crate) publisher: Publisher,
    pub(crate) log: Log,
    pub(crate) now_ns: u64,
}

impl Pair {
    /// Both instruments defined, a book in the first, all heard, all LIVE.
    pub(crate) fn live() -> Self {
        let mut pair = Self::new(&Config::default());
        pair.publisher.start(0);
        pair.publisher.define(ID, definition("BTC/USDT", 1));
        pair.publisher.define(OTHER, definition("ETH/USDT", 1));
        pair.level(100, 5);
        pair.publisher.cycle();
        pair.hear_all();
        assert_eq!(pair.channel(), ChannelState::Live);
        assert_eq!(pair.states(), (Reported::Live, Reported::Live));
        pair.log.take();
        pair
    }

    pub(crate) fn new(config: &Config) -> Self {
        Self {
            receiver: Receiver::new(config.clone()),
            publisher: Publisher::new(SESSION, 1),
            log: Log::default(),
            now_ns: MS,
        }
    }

    pub(crate) fn level(&mut self, price: i64, qty: i64) {
        self.publisher.delta(ID, &[Level { price, qty }], &[], 7, 3);
    }

    pub(crate) fn hear(&mut self, line: Line, frame: &[u8]) {
        self.receiver.on_datagram(line, frame, 0, self.now_ns, &mut self.log);
    }

    pub(crate) fn hear_all(&mut self) {
        for (line, frame) in self.publisher.take() {
            self.hear(line, &frame);
        }
    }

    /// What the publisher says next is lost.
    pub(crate) fn lose(&mut self) -> Vec<Vec<u8>> {
        self.publisher.take().into_iter().map(|(_, frame)| frame).collect()
    }

    pub(crate) fn pass(&mut self, ns: u64) {
        self.now_ns += ns;
        self.receiver.on_timer(self.now_ns, &mut self.log);
    }

    pub(crate) fn give_up(&mut self) {
        self.pass(WINDOW_DEFAULT_NS);
    }

    pub(crate) fn state(&self, id: u32) -> Reported {
        self.receiver.book(VENUE, id).unwrap().reported()
    }

    pub(crate) fn states(&self) -> (Reported, Reported) {
        (self.state(ID), self.state(OTHER))
    }

    pub(crate) fn channel(&self) -> ChannelState {
        self.receiver.channels().next().unwrap().state
    }

    pub(crate) fn counter(&self, name: &str) -> u64 {
        self.receiver.counters().into_iter().find(|&(known, _)| known == name).unwrap().1
    }

    pub(crate) fn is_equal(&self) -> bool {
        self.receiver.book(VENUE, ID).unwrap().book.hash() == self.publisher.instruments[&ID].book.hash()
    }

    /// (type, number) of the frames of the first instrument delivered, and what else was told, in order.
    pub(crate) fn told(&mut self) -> Vec<Told> {
        self.log.take()
    }
}
