//! From the bytes of a frame to the sealed frames that it becomes, nothing is allocated once a session has gone on for a
//! while: shown on real sessions, with an allocator that counts.
//!
//! Memory is taken where a book begins or begins anew: diffs that are held for a snapshot, the snapshot, finer exponents,
//! and what `Book::reserve` takes ahead then. Faults and notices keep texts. None of these happens in the part of a
//! session that is counted here, and the test says so if one does.

mod counting;
mod shape_support;

use std::collections::HashMap;

use counting::ALLOCATIONS;
use outcrier_core::event::NOT_GIVEN;
use outcrier_core::feed::{BookState, Feed};
use outcrier_core::publish::{Arrival, Host, Opening, Plane, SessionInfo};
use outcrier_core::shape::Decoder;
use outcrier_core::wire::{self, InstrumentDef};
use serde_json::Value;
use shape_support::{Line, captures, lines, named, shapes};

/// A host that counts frames, at the recorded time.
#[derive(Default)]
struct Sink {
    now_ns: i64,
    frames: u64,
    bytes: u64,
}

impl Host for Sink {
    fn send(&mut self, _: Plane, frame: &[u8]) {
        self.frames += 1;
        self.bytes += frame.len() as u64;
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

/// Time between two frames: checksums fall due, and no diff is held for longer than a feed holds it.
const STEP_NS: i64 = 500_000;

struct Session {
    feed: Feed,
    sink: Sink,
    indices: HashMap<String, u32>,
}

impl Session {
    fn start(decoder: Decoder) -> Session {
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
        let mut sink = Sink { now_ns: 1, ..Sink::default() };
        let feed = Feed::start(info, decoder, &mut sink, Arrival { recv_ts: 1, mono_ns: 1 }).unwrap();
        Session { feed, sink, indices: HashMap::new() }
    }

    fn arrival(&mut self) -> Arrival {
        self.sink.now_ns += STEP_NS;
        Arrival { recv_ts: self.sink.now_ns, mono_ns: self.sink.now_ns as u64 }
    }

    fn index(&mut self, symbol: &str) -> u32 {
        if let Some(index) = self.indices.get(symbol) {
            return *index;
        }
        let def = InstrumentDef { def_version: 1, strike: NOT_GIVEN, expiry_ts: NOT_GIVEN, ..wire::zeroed() };
        let arrival = self.arrival();
        let id = 1 + self.indices.len() as u32;
        let index = self.feed.add_instrument(id, symbol, &def, true, &mut self.sink, arrival).unwrap();
        self.indices.insert(symbol.to_owned(), index);
        index
    }

    fn take(&mut self, symbol: &str, line: &Line) {
        let index = self.index(symbol);
        let arrival = self.arrival();
        if line.kind == "http" {
            self.feed.on_snapshot(index, &line.message, &mut self.sink, arrival);
        } else {
            self.feed.on_frame(1, &line.message, &mut self.sink, arrival);
        }
    }

    /// Allocations that one frame of the exchange causes.
    fn allocations(&mut self, frame: &[u8]) -> u64 {
        let arrival = self.arrival();
        let before = ALLOCATIONS.get();
        self.feed.on_frame(1, frame, &mut self.sink, arrival);
        self.feed.flush(&mut self.sink);
        ALLOCATIONS.get() - before
    }
}

fn symbol_of(line: &Line) -> Option<String> {
    let message: Value = serde_json::from_slice(&line.message).unwrap();
    let asked = line.url.split_once("symbol=").map(|(_, rest)| rest.split('&').next().unwrap_or(rest));
    let named = asked.or(message["data"]["s"].as_str()).or(message["symbol"].as_str());
    named.map(str::to_uppercase)
}

/// Plays a capture: its first `warm` of `whole` parts without counting.
fn play(declaration: &str, file: &str, (warm, whole): (usize, usize)) {
    let Some(captures) = captures() else { return };
    let lines = lines(&captures.join(file));
    let mut session = Session::start(Decoder::compile(&shapes(declaration)).unwrap());
    let begin = lines.len() * warm / whole;
    let mut counted = HashMap::new();
    let mut found = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        // A snapshot without a symbol is that of the only instrument.
        let only = || session.indices.keys().next().cloned();
        let Some(symbol) = symbol_of(line).or_else(only) else { continue };
        if number < begin {
            session.take(&symbol, line);
            continue;
        }
        let index = session.index(&symbol);
        assert_eq!(session.feed.state(index), Some(BookState::Live), "{file}:{number}: {symbol}");
        let allocations = session.allocations(&line.message);
        let text = String::from_utf8_lossy(&line.message);
        if allocations != 0 {
            found.push(format!("{number}: {allocations}: {text:.60}"));
        }
        let kind = text.split_once('@').map_or("", |(_, rest)| rest.split(['"', '@']).next().unwrap_or(rest));
        *counted.entry(kind.to_owned()).or_insert(0_u64) += 1;
    }
    assert!(found.is_empty(), "{file}: {found:#?}");
    let (counters, _) = session.feed.counters();
    assert_eq!((counters.faults, counters.gaps, counters.for_python), (0, 0, 0), "{file}");
    assert!(session.sink.frames as usize >= lines.len() - 100, "{file}: {} frames", session.sink.frames);
    for kind in ["depth", "bookTicker"] {
        assert!(counted.get(kind).is_some_and(|count| *count > 50), "{file}: {counted:?}");
    }
    assert!(counted.keys().any(|kind| kind.to_lowercase().contains("trade")), "{file}: {counted:?}");
}

#[test]
fn usdm_of_2024_allocates_nothing() {
    play("binance_usdm.json", "binance_usdm/usdm_btcusdt_2024-08-08.jsonl.gz", (1, 2));
}

#[test]
fn usdm_of_2021_allocates_nothing() {
    play("binance_usdm.json", "binance_usdm/usdm_2021-07-22.jsonl.gz", (1, 2));
}

#[test]
fn coinm_of_2024_allocates_nothing() {
    play("binance_coinm.json", "binance_coinm/coinm_btcusd_perp_2024-08-08.jsonl.gz", (1, 2));
}

#[test]
fn coinm_of_2021_allocates_nothing() {
    play("binance_coinm.json", "binance_coinm/coinm_2021-07-22.jsonl.gz", (1, 2));
}

#[test]
fn spot_of_2024_allocates_nothing() {
    play("binance_spot.json", "binance/spot_btcusdt_2024-08-08.jsonl.gz", (1, 2));
}

/// Plays a capture of a venue with checksums twice; the second time, messages that are no whole book are counted.
fn play_checked(venue: &str, file: &str, symbols: &[&str], verified: u64) {
    let Some(captures) = captures() else { return };
    let lines = lines(&captures.join(file));
    let mut session = Session::start(named("venues.json", venue));
    for symbol in symbols {
        session.index(symbol);
    }
    let received = || lines.iter().filter(|line| line.kind == "recv");
    for line in received() {
        let arrival = session.arrival();
        session.feed.on_frame(1, &line.message, &mut session.sink, arrival);
    }
    session.feed.take_notices();
    let mut found = Vec::new();
    for line in received() {
        let text = String::from_utf8_lossy(&line.message);
        let allocations = session.allocations(&line.message);
        let is_whole = text.contains("\"snapshot\"") || text.contains("\"as\":");
        if allocations != 0 && !is_whole {
            found.push(format!("{allocations}: {text:.80}"));
        }
    }
    assert!(found.is_empty(), "{file}: {found:#?}");
    let (counters, _) = session.feed.counters();
    assert_eq!(counters.checksums_verified, 2 * verified, "{file}");
    assert_eq!(
        (counters.checksum_mismatch, counters.unknown_instrument, counters.faults),
        (0, 0, 0),
        "{file}"
    );
}

#[test]
fn checksums_of_okx_allocate_nothing() {
    let symbols = [
        "PROPS-ETH",
        "ETH-USD-220624-20000-C",
        "ETH-USD-220429-1900-P",
        "BTC-USD-220325-40000-C",
        "ZEN-USDT",
        "ETH-USD-220624-12000-P",
        "UNI-USD-SWAP",
        "ETH-USD-220325-8800-P",
        "ELON-USDT",
        "ETH-USD-220228-3000-C",
    ];
    play_checked("okx_2022", "okx/v5_tbt_2022-02-27.jsonl.gz", &symbols, 2_415);
}

#[test]
fn checksums_of_kraken_allocate_nothing() {
    let symbols = [
        "ADA/XBT",
        "XBT/CHF",
        "OMG/USD",
        "OCEAN/XBT",
        "ETH/CHF",
        "SC/EUR",
        "GRT/ETH",
        "KSM/XBT",
        "XMR/USD",
        "WAVES/EUR",
    ];
    play_checked("kraken_v1", "kraken/v1_book_2021-04-17.jsonl.gz", &symbols, 2_244);
}
