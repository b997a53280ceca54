//! A publisher in a world: the real feed, an exchange that plays real messages to it, and the frames that left.

use std::rc::Rc;

use outcrier_core::feed::{BookState, Feed, NoticeKind};
use outcrier_core::publish::{Arrival, Host, Plane, SessionInfo};
use outcrier_core::shape::Decoder;
use outcrier_core::wire::{InstrumentDef, kind, status, text_field, zeroed};

use crate::load::{Load, Source};
use crate::rng::Rng;
use crate::truth::Truth;

pub(crate) const VENUE: u16 = 3;
pub(crate) const CHANNEL: u8 = 3;
/// The wall clock when a world begins.
pub(crate) const EPOCH_NS: i64 = 1_700_000_000_000_000_000;

/// A frame on its way; copies share the bytes.
pub(crate) type Bytes = Rc<[u8]>;

/// The way out of a feed, and its clocks.
#[derive(Debug, Default)]
pub(crate) struct SimHost {
    pub(crate) now_ns: u64,
    /// Wall clock less monotonic clock.
    pub(crate) wall_offset_ns: i64,
    pub(crate) clock_error_ns: u32,
    pub(crate) out: Vec<(Plane, Bytes)>,
}

impl Host for SimHost {
    fn send(&mut self, plane: Plane, frame: &[u8]) {
        self.out.push((plane, frame.into()));
    }

    fn flush(&mut self) {}

    fn mono_ns(&self) -> u64 {
        self.now_ns
    }

    fn wall_ns(&mut self) -> i64 {
        self.wall_offset_ns + self.now_ns.cast_signed()
    }

    fn clock_error_ns(&mut self) -> u32 {
        self.clock_error_ns
    }
}

/// Where the exchange stands with one instrument.
#[derive(Debug)]
struct Stream {
    symbol: String,
    source: &'static Source,
    position: usize,
    /// A REST answer is under way.
    asked: bool,
}

/// How a publisher begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    pub(crate) session: u32,
    pub(crate) id: u64,
    pub(crate) prev_session: u32,
    pub(crate) packs: bool,
    pub(crate) instruments: u32,
    /// Numbers begin here instead of at 1, as if so much had been published before anyone listened.
    pub(crate) jump: Option<(u64, u32)>,
}

/// One process that publishes.
#[derive(Debug)]
pub(crate) struct SimPublisher {
    pub(crate) start: Start,
    pub(crate) feed: Feed,
    pub(crate) host: SimHost,
    streams: Vec<Stream>,
    message: Vec<u8>,
    /// Sends and hears; a stopped one (SIGSTOP) does neither, a dead one never again.
    pub(crate) is_alive: bool,
    /// Its exchange says something.
    pub(crate) plays: bool,
    compared: u32,
}

/// Wire id of the n-th instrument; the first one has a large number, as venues that hash their names give.
pub(crate) fn wire_id(index: u32) -> u32 {
    if index == 0 { 4_000_000_000 } else { 10 + index }
}

fn definition(symbol: &str) -> InstrumentDef {
    InstrumentDef {
        def_version: 1,
        kind: kind::PERPETUAL,
        status: status::state::LIVE,
        price_exp: -2,
        tick_size: 1,
        lot_size: 1,
        contract_size: 1,
        native_symbol: text_field(symbol),
        symbol: text_field(symbol),
        ..zeroed()
    }
}

impl SimPublisher {
    pub(crate) fn new(load: &'static Load, start: Start, now_ns: u64, wall_offset_ns: i64) -> Self {
        let info = SessionInfo {
            venue: VENUE,
            channel: CHANNEL,
            session: start.session,
            publisher_id: start.id,
            prev_session: start.prev_session,
            reason: 2,
            replay: false,
            test: false,
            pack: start.packs,
            build: "simulation".to_owned(),
        };
        let decoder = Decoder::compile(&load.shapes).expect("a declaration of the product");
        let mut host = SimHost { now_ns, wall_offset_ns, ..SimHost::default() };
        let arrival = Arrival { recv_ts: host.wall_ns(), mono_ns: now_ns };
        let mut feed = Feed::start(info, decoder, &mut host, arrival).expect("a declaration of the product");
        let mut streams = Vec::new();
        for index in 0..start.instruments {
            let symbol = format!("S{index:04}");
            let def = definition(&symbol);
            feed.add_instrument(wire_id(index), &symbol, &def, true, &mut host, arrival).expect("a new one");
            let source = &load.sources[index as usize % load.sources.len()];
            streams.push(Stream { symbol, source, position: 0, asked: false });
        }
        feed.flush(&mut host);
        if let Some((channel_seq, instr_seq)) = start.jump {
            feed.jump(channel_seq, instr_seq);
            host.out.clear(); // Said to nobody.
        }
        Self { start, feed, host, streams, message: Vec::new(), is_alive: true, plays: true, compared: 0 }
    }

    fn arrival(&mut self) -> Arrival {
        Arrival { recv_ts: self.host.wall_ns(), mono_ns: self.host.now_ns }
    }

    /// One socket read: messages of instruments drawn by `rng`.
    pub(crate) fn read(&mut self, messages: u64, rng: &mut Rng, gap_per_mille: u64) {
        for _ in 0..messages {
            let index = rng.place(self.streams.len());
            // The exchange, or the way from it, loses one.
            let skips = rng.chance(gap_per_mille);
            self.message(index, skips);
        }
        self.feed.flush(&mut self.host);
    }

    fn message(&mut self, index: usize, skips: bool) {
        let arrival = self.arrival();
        let stream = &mut self.streams[index];
        let Some(message) = stream.source.messages.get(stream.position) else {
            // The recording is over: the exchange closes the connection and begins again.
            let number = u32::try_from(index).expect("few instruments");
            stream.position = 0;
            self.feed.disconnected(&[number], &mut self.host, arrival);
            return;
        };
        stream.position += 1;
        if !skips || !message.is_depth {
            message.write(&stream.symbol, &mut self.message);
            self.feed.on_frame(1, &self.message, &mut self.host, arrival);
        }
    }

    /// Instruments whose book waits for a REST answer that nobody asked for yet.
    pub(crate) fn needs(&mut self) -> Vec<u32> {
        self.feed.take_notices().iter().for_each(|notice| assert_ne!(notice.kind, NoticeKind::Fault));
        let feed = &self.feed;
        let needs = |(index, stream): (u32, &mut Stream)| {
            let needs = feed.state(index) != Some(BookState::Live) && !stream.asked;
            stream.asked |= needs;
            needs.then_some(index)
        };
        (0..).zip(&mut self.streams).filter_map(needs).collect()
    }

    /// The REST answer comes.
    pub(crate) fn rest(&mut self, index: u32) {
        let arrival = self.arrival();
        let stream = &mut self.streams[index as usize];
        stream.asked = false;
        let body = &stream.source.body_at(stream.position).json;
        self.feed.on_snapshot(index, body, &mut self.host, arrival);
        self.feed.flush(&mut self.host);
    }

    /// Something that venues do now and then.
    pub(crate) fn incident(&mut self, rng: &mut Rng) {
        let arrival = self.arrival();
        let index = u32::try_from(rng.place(self.streams.len())).expect("few instruments");
        let host = &mut self.host;
        match rng.below(4) {
            0 => {
                let all: Vec<u32> = (0..self.start.instruments).collect();
                self.feed.disconnected(&all, host, arrival);
            }
            1 => {
                let states = [status::state::LIVE, status::state::HALTED, status::state::AUCTION];
                self.feed.set_trading_status(index, rng.pick(&states), host, arrival);
            }
            2 => {
                let states = [status::state::LIVE, status::state::CLOSED, status::state::PRE_OPEN];
                self.feed.set_trading_status(index, rng.pick(&states), host, arrival);
            }
            _ => {
                let root = outcrier_core::wire::Conn { connected: 1, total: 1, ..zeroed() };
                self.feed.publish_connection(&root, host, arrival);
            }
        }
        self.feed.flush(&mut self.host);
    }

    /// Heartbeats and the snapshot plane.
    pub(crate) fn tick(&mut self) {
        self.feed.tick(&mut self.host);
        self.feed.flush(&mut self.host);
    }

    pub(crate) fn deadline_ns(&self) -> Option<u64> {
        if self.is_alive { self.feed.deadline_ns() } else { None }
    }

    /// Whether every book is live.
    pub(crate) fn is_whole(&self) -> bool {
        (0..self.start.instruments).all(|index| self.feed.state(index) == Some(BookState::Live))
    }

    /// Takes what left, after holding the truth to the feed's own books.
    pub(crate) fn take(&mut self, truth: &mut Truth) -> Vec<(Plane, Bytes)> {
        let out = std::mem::take(&mut self.host.out);
        let incremental = || out.iter().filter(|(plane, _)| *plane == Plane::Incremental);
        if truth.tainted_ns(self.start.session).is_some() || incremental().next().is_none() {
            return out;
        }
        for (_, frame) in incremental() {
            truth.observe(self.start.session, frame, self.host.now_ns);
        }
        // One book a call, in turn.
        self.compared = (self.compared + 1) % self.start.instruments;
        let session = truth.session(self.start.session).expect("just told");
        if self.feed.state(self.compared) == Some(BookState::Live) {
            let book = self.feed.book(self.compared).expect("a known instrument");
            let of_frames = session.book_hash(wire_id(self.compared));
            assert_eq!(of_frames, Some(book.hash()), "the frames make the feed's book");
        }
        out
    }
}
