//! Real frames: what a feed publishes on both planes while it hears a capture.
#![allow(dead_code)] // Each test binary uses its part.

use outcrier_core::event::Ids;
use outcrier_core::feed::{BookState, Feed, OrderEvent};
use outcrier_core::orders::OrderBook;
use outcrier_core::publish::{Arrival, Host, Opening, Plane, SessionInfo};
use outcrier_core::shape::Decoder;
use outcrier_core::wire::auth::{Keyring, MasterKey, Signer};
use outcrier_core::wire::{self, InstrumentDef, text_field};

use crate::es_orders;
use crate::shape_support::{captures, lines, shapes};

pub(crate) const CHANNEL: u8 = 2;
pub(crate) const SESSION: u32 = 90_000_001;
/// Time between two messages of the exchange.
const STEP_NS: u64 = 500_000;

/// A frame as it left.
#[derive(Clone)]
pub(crate) struct Sent {
    pub(crate) plane: Plane,
    pub(crate) at_ns: u64,
    pub(crate) bytes: Vec<u8>,
}

#[derive(Default)]
struct Tape {
    now_ns: u64,
    sent: Vec<Sent>,
}

impl Host for Tape {
    fn send(&mut self, plane: Plane, frame: &[u8]) {
        self.sent.push(Sent { plane, at_ns: self.now_ns, bytes: frame.to_vec() });
    }

    fn flush(&mut self) {}

    fn mono_ns(&self) -> u64 {
        self.now_ns
    }

    fn wall_ns(&mut self) -> i64 {
        1_700_000_000_000_000_000 + self.now_ns as i64
    }

    fn clock_error_ns(&mut self) -> u32 {
        0
    }
}

pub(crate) fn ring(key_id: u8, byte: u8) -> Keyring {
    Keyring::new(vec![(key_id, MasterKey::new([byte; 32]))]).unwrap()
}

/// One order in so many of the recording is told, so that all of them are a few frames.
const ORDERS_ONE_IN: u64 = 32;

/// A session of one instrument, which tells of orders too; `None` where the captures are missing. `change` signs with another key
/// from there on.
pub(crate) fn session(
    signer: Option<Signer>,
    pack: bool,
    messages: usize,
    change: Option<(usize, Signer)>,
) -> Option<Vec<Sent>> {
    let file = captures()?.join("binance_usdm/usdm_btcusdt_2024-08-08.jsonl.gz");
    let mut tape = Tape { now_ns: 1_000_000, ..Tape::default() };
    let info = SessionInfo {
        venue: 2,
        channel: CHANNEL,
        session: SESSION,
        publisher_id: 7,
        prev_session: 0,
        reason: 1,
        opening: Opening::default(),
        replay: false,
        test: false,
        pack,
        signer,
        build: String::new(),
    };
    let arrival = |tape: &Tape| Arrival {
        recv_ts: 1_700_000_000_000_000_000 + tape.now_ns as i64,
        mono_ns: tape.now_ns,
    };
    let now = arrival(&tape);
    let mut feed =
        Feed::start(info, Decoder::compile(&shapes("binance_usdm.json")).unwrap(), &mut tape, now).unwrap();
    let def = InstrumentDef {
        def_version: 1,
        kind: 2,
        status: 1,
        contract_size: 1,
        qty_unit: 1,
        book_proof: 1,
        native_symbol: text_field("BTCUSDT"),
        symbol: text_field("BTC/USDT:PERP"),
        ..wire::zeroed()
    };
    let index = feed.add_instrument(1, "BTCUSDT", &def, true, &mut tape, now).unwrap();
    let mut orders = es_orders::events(|id| id.is_multiple_of(ORDERS_ONE_IN))?.into_iter();
    for (number, line) in lines(&file).into_iter().take(messages).enumerate() {
        tape.now_ns += STEP_NS;
        let now = arrival(&tape);
        if let Some((_, signer)) = change.filter(|(at, _)| *at == number) {
            feed.change_key(&mut tape, signer);
        }
        if line.kind == "http" {
            feed.on_snapshot(index, &line.message, &mut tape, now);
        } else {
            feed.on_frame(1, &line.message, &mut tape, now);
        }
        feed.take_notices();
        if feed.state(index) == Some(BookState::Live)
            && let Some(event) = orders.next()
        {
            tell(&mut feed, index, &event, &mut tape, now);
        }
        if number % 5 == 0 {
            feed.flush(&mut tape);
        }
        if feed.deadline_ns().is_some_and(|due| tape.now_ns >= due) {
            feed.tick(&mut tape);
        }
    }
    feed.disconnected(&[index], 0, &mut tape, now);
    feed.close(0, 0, &mut tape);
    feed.flush(&mut tape);
    Some(tape.sent)
}

/// The opening list, then what changed.
fn tell(feed: &mut Feed, index: u32, event: &es_orders::Event, tape: &mut Tape, now: Arrival) {
    if feed.has_orders(index) {
        let told = OrderEvent { exchange_ts: event.ts, ids: Ids::default(), ops: &event.ops };
        assert_eq!(feed.on_order_event(index, &told, tape, now), Ok(true));
        return;
    }
    let mut book = OrderBook::new(1);
    for op in &event.ops {
        book.apply(op, event.ts).unwrap();
    }
    feed.on_orders(index, book, event.ts, tape, now);
}
