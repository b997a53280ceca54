//! A real session on two links at once, by seed: drawn delays, drawn moments of the change, drawn deaths. What leaves is what
//! one undisturbed link makes: every event once, in order, and the same book after each.
//!
//! `OUTCRIER_OVERLAP_SEEDS` runs more seeds; a failure names its own.

mod rng;
mod shape_support;

use std::collections::BTreeMap;

use outcrier_core::event::NOT_GIVEN;
use outcrier_core::feed::{BookState, Feed};
use outcrier_core::publish::{Arrival, Host, Opening, Plane, SessionInfo};
use outcrier_core::shape::Decoder;
use outcrier_core::wire::{self, InstrumentDef, Message};
use rng::Rng;
use serde_json::Value;
use shape_support::{Line, captures, lines, shapes};

const OLD: u32 = 1;
const NEW: u32 = 2;
const MS: i64 = 1_000_000;
/// Messages that a link may be late by.
const LAG_MAX: i64 = 300;

/// What left, of the book: number of the exchange and levels of each event.
#[derive(Default)]
struct Tape {
    now_ns: i64,
    deltas: Vec<(u64, Vec<(i64, i64)>)>,
    states: Vec<u8>,
    trades: BTreeMap<u64, u32>,
}

impl Host for Tape {
    fn send(&mut self, plane: Plane, frame: &[u8]) {
        let frame = wire::check(frame).unwrap();
        if plane == Plane::Snapshot {
            return;
        }
        match frame.message() {
            Message::BookDelta(_, records) => {
                let levels = records.map(|level| (level.price, level.qty));
                match self.deltas.last_mut() {
                    // A split event.
                    Some((last, known)) if *last == frame.header.source_seq => known.extend(levels),
                    _ => self.deltas.push((frame.header.source_seq, levels.collect())),
                }
            }
            Message::Status(root) => self.states.push(root.state),
            Message::Trade(records) => {
                for trade in records {
                    *self.trades.entry(trade.trade_id).or_default() += 1;
                }
            }
            _ => {}
        }
    }

    fn flush(&mut self) {}

    fn mono_ns(&self) -> u64 {
        self.now_ns as u64
    }

    fn wall_ns(&mut self) -> i64 {
        self.now_ns
    }

    fn clock_error_ns(&mut self) -> u32 {
        0
    }
}

struct Session {
    feed: Feed,
    tape: Tape,
}

impl Session {
    /// A book that is live with the REST answer, before the first diff.
    fn start(declaration: &str, symbol: &str, body: &[u8]) -> Self {
        let info = SessionInfo {
            venue: 1,
            channel: 1,
            session: 1,
            publisher_id: 1,
            prev_session: 0,
            reason: 1,
            opening: Opening::default(),
            replay: true,
            test: false,
            pack: false,
            signer: None,
            build: String::new(),
        };
        let mut tape = Tape { now_ns: 1, ..Tape::default() };
        let first = Arrival { recv_ts: 1, mono_ns: 1 };
        let decoder = Decoder::compile(&shapes(declaration)).unwrap();
        let mut feed = Feed::start(info, decoder, &mut tape, first).unwrap();
        let def = InstrumentDef {
            def_version: 1,
            price_exp: -8,
            qty_exp: -8,
            strike: NOT_GIVEN,
            expiry_ts: NOT_GIVEN,
            ..wire::zeroed()
        };
        feed.add_instrument(1, symbol, &def, true, &mut tape, first).unwrap();
        feed.on_snapshot(0, body, &mut tape, first);
        assert_eq!(feed.state(0), Some(BookState::Live));
        Self { feed, tape }
    }

    fn at(&mut self, now_ns: i64) -> Arrival {
        self.tape.now_ns = now_ns;
        Arrival { recv_ts: now_ns, mono_ns: now_ns as u64 }
    }

    fn take(&mut self, connection: u32, message: &[u8], now_ns: i64) {
        let arrival = self.at(now_ns);
        self.feed.on_frame(connection, message, &mut self.tape, arrival);
    }
}

struct Source {
    declaration: &'static str,
    symbol: String,
    body: Vec<u8>,
    messages: Vec<Vec<u8>>,
}

fn source(declaration: &'static str, file: &str, most: usize) -> Option<Source> {
    let lines = lines(&captures()?.join(file));
    let parsed = |line: &Line| -> Value { serde_json::from_slice(&line.message).unwrap() };
    let rest = lines.iter().find(|line| line.kind == "http" && parsed(line)["lastUpdateId"].is_u64())?;
    let joins = parsed(rest)["lastUpdateId"].as_u64()?;
    let received: Vec<&Line> = lines.iter().filter(|line| line.kind == "recv").collect();
    let is_joining = |line: &&Line| {
        parsed(line)["data"]["u"].as_u64().is_some_and(|last| last >= joins)
            && parsed(line)["data"]["e"] == "depthUpdate"
    };
    let first = received.iter().position(is_joining)?;
    let symbol = parsed(received[first])["data"]["s"].as_str()?.to_owned();
    let messages = received[first..].iter().take(most).map(|line| line.message.clone()).collect();
    Some(Source { declaration, symbol, body: rest.message.clone(), messages })
}

/// What the seed draws of one link: when each message comes, in order.
fn delays(rng: &mut Rng, messages: std::ops::Range<usize>) -> Vec<(i64, usize)> {
    let (calm, longest) = (1 + rng.below(9), 1 + rng.below(LAG_MAX as u64) as i64);
    let mut at = 0;
    messages
        .map(|number| {
            let late = if rng.below(calm) == 0 { rng.below(longest as u64) as i64 } else { 0 };
            at = at.max(number as i64 + late);
            (at, number)
        })
        .collect()
}

fn run(source: &Source, seed: u64, whole: &Session) {
    let mut rng = Rng::new(seed);
    let count = source.messages.len();
    let begin = rng.below(count as u64 / 2) as usize;
    let end = begin + rng.below((count - begin) as u64) as usize;
    // A third of the changes goes on to its end, a third loses the old link, a third the new one.
    let lost = [None, Some(OLD), Some(NEW)][rng.below(3) as usize];
    let old_end = if lost == Some(NEW) { count } else { end };
    let mut events: Vec<(i64, u32, usize)> = Vec::new();
    events.extend(delays(&mut rng, 0..old_end).into_iter().map(|(at, number)| (at, OLD, number)));
    events.extend(delays(&mut rng, begin..count).into_iter().map(|(at, number)| (at, NEW, number)));
    events.sort_by_key(|&(at, link, _)| (at, link));
    // In the middle of what it still had to bring, but not before it brought what the new link was not sent.
    let died_at = (end as i64 + rng.below(400) as i64).max(begin as i64 + LAG_MAX + 1);

    let mut session = Session::start(source.declaration, &source.symbol, &source.body);
    session.feed.overlap(OLD, NEW, &[0]).unwrap();
    let arrival = session.at(1);
    session.feed.connected(&[0], NEW, &mut session.tape, arrival);
    let mut is_over = false;
    for (at, link, number) in events {
        if at >= died_at && !is_over {
            is_over = true;
            let arrival = session.at(at * MS);
            match lost {
                Some(lost) => session.feed.disconnected(&[0], lost, &mut session.tape, arrival),
                None => session.feed.end_overlap(OLD, NEW, &mut session.tape, arrival),
            }
        }
        if is_over && lost == Some(link) {
            continue; // A retired one is still read.
        }
        session.take(link, &source.messages[number], 2 + at * MS);
    }
    let counters = session.feed.counters().0;
    let told = format!("seed {seed}: {lost:?} from {begin} to {end} of {count}: {counters:?}");
    assert_eq!(session.tape.states, whole.tape.states, "{told}");
    assert_eq!(session.tape.deltas, whole.tape.deltas, "{told}");
    assert_eq!(session.tape.trades, whole.tape.trades, "{told}");
    assert_eq!(session.feed.book(0).unwrap().hash(), whole.feed.book(0).unwrap().hash(), "{told}");
    assert_eq!((counters.gaps, counters.faults, counters.went_stale), (0, 0, 0), "{told}");
}

fn seeds(declaration: &'static str, file: &str, most: usize) {
    let Some(source) = source(declaration, file, most) else { return };
    let mut whole = Session::start(source.declaration, &source.symbol, &source.body);
    for (number, message) in source.messages.iter().enumerate() {
        whole.take(OLD, message, 2 + number as i64 * MS);
    }
    assert!(whole.tape.deltas.len() > 50, "{}", whole.tape.deltas.len());
    let count = std::env::var("OUTCRIER_OVERLAP_SEEDS").map_or(200, |text| text.parse().unwrap());
    for seed in 1..=count {
        run(&source, seed, &whole);
    }
}

#[test]
fn spot_leaves_as_from_one_link() {
    seeds("binance_spot.json", "binance/spot_btcusdt_2024-08-08.jsonl.gz", 4_000);
}

#[test]
fn usdm_leaves_as_from_one_link() {
    seeds("binance_usdm.json", "binance_usdm/usdm_btcusdt_2022-08-11.jsonl.gz", 600);
}
