//! A feed of one instrument, and a receiver that hears every frame.

use std::collections::HashMap;
use std::path::Path;

use outcrier_core::event::{NOT_GIVEN, OrderOp, RestingOrder, Side};
use outcrier_core::feed::{BookState, Feed, Notice, NoticeKind};
use outcrier_core::orders::Queues;
use outcrier_core::publish::{Arrival, Host, Opening, Plane, SessionInfo};
use outcrier_core::receive::{Config, Delivered, Line, Lost, Receiver, Reported, Sink, StateChange};
use outcrier_core::shape::Decoder;
use outcrier_core::wire::{self, InstrumentDef, Message};
use serde_json::Value;

use crate::naive::{Naive, NaiveOrder};
use crate::shape_support::shapes;

const VENUE: u16 = 2;
const ID: u32 = 11;

/// Connection of the levels, and that of the orders.
pub(crate) const LEVELS: u32 = 1;
pub(crate) const ORDERS: u32 = 2;

#[derive(Default)]
struct Bench {
    sent: Vec<(Plane, Vec<u8>)>,
    now_ns: u64,
}

impl Host for Bench {
    fn send(&mut self, plane: Plane, frame: &[u8]) {
        self.sent.push((plane, frame.to_vec()));
    }
    fn flush(&mut self) {}
    fn mono_ns(&self) -> u64 {
        self.now_ns
    }
    fn wall_ns(&mut self) -> i64 {
        1_700_000_000_000_000_000 + self.now_ns.cast_signed()
    }
    fn clock_error_ns(&mut self) -> u32 {
        0
    }
}

/// The receiver's reports are looked at in its books.
struct Nobody;

impl Sink for Nobody {
    fn deliver(&mut self, _: &Delivered<'_>) {}
    fn state(&mut self, _: &StateChange) {}
    fn lost(&mut self, _: &Lost) {}
}

/// What left about orders since the last look.
#[derive(Debug, Default)]
pub(crate) struct Left {
    /// Changes, event by event.
    pub(crate) ops: Vec<Vec<OrderOp>>,
    /// Sizes of whole books.
    pub(crate) books: Vec<usize>,
    pub(crate) trades: usize,
}

pub(crate) struct Scene {
    bench: Bench,
    pub(crate) feed: Feed,
    receiver: Receiver,
    left: Left,
    /// Number on the wire of each id, ever.
    numbers: HashMap<String, u64>,
}

/// A documented message.
pub(crate) fn documented(name: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/documented");
    serde_json::from_str(&std::fs::read_to_string(folder.join(name)).unwrap()).unwrap()
}

impl Scene {
    /// `venue` by its name in `venues.json`; its instrument without book and orders yet.
    pub(crate) fn new(venue: &str, symbol: &str, price_exp: i8, qty_exp: i8) -> Self {
        let all: Value = serde_json::from_str(&shapes("venues.json")).unwrap();
        let decoder = Decoder::compile(&all[venue].to_string()).unwrap();
        let info = SessionInfo {
            venue: VENUE,
            channel: 2,
            session: 90_000_001,
            publisher_id: 7,
            prev_session: 0,
            reason: 1,
            opening: Opening::default(),
            replay: false,
            test: false,
            pack: false,
            signer: None,
            build: String::new(),
        };
        let mut bench = Bench { now_ns: 1_000_000_000, ..Bench::default() };
        let arrival = Arrival { recv_ts: bench.wall_ns(), mono_ns: bench.now_ns };
        let mut feed = Feed::start(info, decoder, &mut bench, arrival).unwrap();
        let def = InstrumentDef {
            def_version: 1,
            price_exp,
            qty_exp,
            tick_size: 1,
            status: wire::status::state::LIVE,
            strike: NOT_GIVEN,
            expiry_ts: NOT_GIVEN,
            ..wire::zeroed()
        };
        assert_eq!(feed.add_instrument(ID, symbol, &def, true, &mut bench, arrival), Ok(0));
        let receiver = Receiver::new(Config::default());
        let mut scene = Self { bench, feed, receiver, left: Left::default(), numbers: HashMap::new() };
        scene.settle();
        scene
    }

    fn arrival(&mut self) -> Arrival {
        self.bench.now_ns += 100_000;
        Arrival { recv_ts: self.bench.wall_ns(), mono_ns: self.bench.now_ns }
    }

    /// The frames so far leave and are heard.
    fn settle(&mut self) {
        self.feed.flush(&mut self.bench);
        for (plane, frame) in std::mem::take(&mut self.bench.sent) {
            assert_eq!(plane, Plane::Incremental);
            let checked = wire::check(&frame).unwrap();
            match checked.message() {
                Message::OrderOps(_, ops) => self.left.ops.push(ops.collect()),
                Message::OrderSnapshot(root, _) if root.frag_index == 0 => {
                    self.left.books.push(usize::from(root.total_bids) + usize::from(root.total_asks));
                }
                Message::Trade(trades) => self.left.trades += trades.count(),
                _ => {}
            }
            self.receiver.on_datagram(Line::A, &frame, 0, self.bench.now_ns, &mut Nobody);
        }
    }

    pub(crate) fn take_left(&mut self) -> Left {
        std::mem::take(&mut self.left)
    }

    pub(crate) fn say(&mut self, connection: u32, message: &str) {
        assert!(!self.say_bytes(connection, message.as_bytes()), "{message}");
    }

    /// Whether no shape takes it.
    pub(crate) fn say_bytes(&mut self, connection: u32, message: &[u8]) -> bool {
        let arrival = self.arrival();
        let taken = self.feed.on_frame(connection, message, &mut self.bench, arrival);
        self.settle();
        taken.for_python
    }

    pub(crate) fn rest_orders(&mut self, body: &str) {
        let arrival = self.arrival();
        self.feed.on_orders_snapshot(0, body.as_bytes(), &mut self.bench, arrival);
        self.settle();
    }

    pub(crate) fn disconnect(&mut self, connection: u32) {
        let arrival = self.arrival();
        self.feed.disconnected(&[], connection, &mut self.bench, arrival);
        self.settle();
    }

    pub(crate) fn resync(&mut self) {
        let arrival = self.arrival();
        self.feed.resync(0, 9, &mut self.bench, arrival);
        self.settle();
    }

    pub(crate) fn is_live(&self) -> bool {
        self.feed.state(0) == Some(BookState::Live)
    }

    pub(crate) fn counter(&self, name: &str) -> u64 {
        self.feed.counters().0.all().into_iter().find(|(known, _)| *known == name).unwrap().1
    }

    /// Notices about orders since the last look, and gaps and faults.
    pub(crate) fn notices(&mut self) -> Vec<NoticeKind> {
        let matters = |notice: &Notice| {
            matches!(
                notice.kind,
                NoticeKind::Gap
                    | NoticeKind::Fault
                    | NoticeKind::OrdersLive
                    | NoticeKind::OrdersStale
                    | NoticeKind::OrdersNeedSnapshot
                    | NoticeKind::OrdersSnapshotOld
            )
        };
        self.feed.take_notices().into_iter().filter(matters).map(|notice| notice.kind).collect()
    }

    pub(crate) fn last_fault(&self) -> String {
        self.feed.faults().last().map_or_else(String::new, |fault| fault.reason.clone())
    }

    /// The consumer's orders; `None` if it never heard of any.
    pub(crate) fn consumers(&self) -> Option<&Queues> {
        self.receiver.book(VENUE, ID).unwrap().orders.as_ref().map(|orders| orders.book.queues())
    }

    /// Publisher and consumer have no orders, and the consumer was told so.
    pub(crate) fn assert_none(&self) {
        assert!(!self.feed.has_orders(0));
        assert!(self.feed.orders(0).is_none_or(Queues::is_empty));
        assert!(self.consumers().is_none_or(Queues::is_empty));
    }

    /// Publisher and consumer have the orders of the naive reading, each at its place, and numbers that are theirs alone.
    pub(crate) fn assert_equal(&mut self, naive: &Naive) {
        assert!(self.feed.has_orders(0));
        let def = *self.feed.definition(0).unwrap();
        let expected: Vec<(Side, &NaiveOrder)> = [Side::Bid, Side::Ask]
            .into_iter()
            .flat_map(|side| naive.queue(side).into_iter().map(move |order| (side, order)))
            .collect();
        let books = [self.feed.orders(0).unwrap(), self.consumers().expect("the consumer heard of orders")];
        for book in books {
            let n_bids = book.len_of(Side::Bid);
            let all: Vec<RestingOrder> = book.snapshot().collect();
            assert_eq!(all.len(), expected.len());
            for (at, (order, (side, naive))) in all.iter().zip(&expected).enumerate() {
                assert_eq!(if at < n_bids { Side::Bid } else { Side::Ask }, *side);
                let told = (order.price, order.qty);
                let read =
                    (naive.mantissa(&naive.price, def.price_exp), naive.mantissa(&naive.qty, def.qty_exp));
                assert_eq!(told, read, "{}", naive.id);
                if let Some(time_ns) = naive.time_ns {
                    assert_eq!(order.priority, time_ns, "{}", naive.id);
                }
            }
        }
        let told: Vec<RestingOrder> = books[1].snapshot().collect();
        for (order, (_, naive)) in told.iter().zip(&expected) {
            let number = self.numbers.entry(naive.name()).or_insert(order.order_id);
            assert_eq!(*number, order.order_id, "{} keeps its number", naive.id);
        }
        let mut numbers: Vec<u64> = self.numbers.values().copied().collect();
        numbers.sort_unstable();
        assert!(numbers.windows(2).all(|pair| pair[0] != pair[1]), "a number of two orders");
        assert_eq!(self.receiver.book(VENUE, ID).unwrap().reported(), Reported::Live);
    }
}
