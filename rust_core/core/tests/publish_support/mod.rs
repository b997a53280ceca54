//! What the tests of a publishing feed share: a host that keeps what leaves, and a feed whose recorded book is live.
#![allow(dead_code)] // Each test binary uses its part.

use std::collections::BTreeMap;

use outcrier_core::event::NOT_GIVEN;
use outcrier_core::feed::{BookState, Feed, Image};
use outcrier_core::publish::{Arrival, Host, Opening, Plane, SessionInfo};
use outcrier_core::shape::Decoder;
use outcrier_core::wire::auth::Signer;
use outcrier_core::wire::{self, InstrumentDef, SnapWant, msg};

use crate::shape_support::{captures, lines, shapes};

pub(crate) const MS: u64 = 1_000_000;
const CAPTURE: &str = "binance_usdm/usdm_btcusdt_2024-08-08.jsonl.gz";

#[derive(Default)]
pub(crate) struct Bench {
    pub(crate) now_ns: u64,
    pub(crate) sent: Vec<(u64, Plane, Vec<u8>)>,
}

impl Host for Bench {
    fn send(&mut self, plane: Plane, frame: &[u8]) {
        self.sent.push((self.now_ns, plane, frame.to_vec()));
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

impl Bench {
    pub(crate) fn arrival(&mut self) -> Arrival {
        Arrival { recv_ts: self.wall_ns(), mono_ns: self.now_ns }
    }

    /// Runs the feed's timer for a while.
    pub(crate) fn run(&mut self, feed: &mut Feed, for_ns: u64) {
        let until_ns = self.now_ns + for_ns;
        while let Some(due_ns) = feed.deadline_ns().filter(|&due_ns| due_ns <= until_ns) {
            self.now_ns = due_ns.max(self.now_ns);
            feed.tick(self);
        }
        self.now_ns = until_ns;
    }

    /// Instruments of the groups on the snapshot plane, 0 for CYCLE_END, and forgets what was sent.
    pub(crate) fn groups(&mut self) -> Vec<u32> {
        let sent = std::mem::take(&mut self.sent);
        let plane = sent.iter().filter(|(_, plane, _)| *plane == Plane::Snapshot);
        plane
            .map(|(_, _, bytes)| wire::check(bytes).unwrap().header)
            .filter(|header| [msg::INSTRUMENT_DEF, msg::CYCLE_END].contains(&header.msg_type))
            .map(|header| header.instrument)
            .collect()
    }
}

pub(crate) fn start(bench: &mut Bench, signer: Option<Signer>) -> Feed {
    let info = SessionInfo {
        venue: 2,
        channel: 2,
        session: 90_000_001,
        publisher_id: 7,
        prev_session: 0,
        reason: 1,
        opening: Opening::default(),
        replay: false,
        test: false,
        pack: false,
        signer,
        build: String::new(),
    };
    bench.now_ns = 1_000 * MS;
    let arrival = bench.arrival();
    Feed::start(info, Decoder::compile(&shapes("binance_usdm.json")).unwrap(), bench, arrival).unwrap()
}

pub(crate) fn add(feed: &mut Feed, bench: &mut Bench, id: u32, symbol: &str, has_book: bool) -> u32 {
    let def = InstrumentDef { def_version: 1, strike: NOT_GIVEN, expiry_ts: NOT_GIVEN, ..wire::zeroed() };
    let arrival = bench.arrival();
    feed.add_instrument(id, symbol, &def, has_book, bench, arrival).unwrap()
}

/// A feed with `quiet` instruments without a book, ids from 1, and behind them one whose recorded book is live.
pub(crate) fn with_book(bench: &mut Bench, quiet: u32) -> Option<(Feed, u32)> {
    with_signed_book(bench, quiet, None)
}

/// The same with a MAC on every frame.
pub(crate) fn with_signed_book(bench: &mut Bench, quiet: u32, signer: Option<Signer>) -> Option<(Feed, u32)> {
    let captures = captures()?;
    let mut feed = start(bench, signer);
    for id in 1..=quiet {
        add(&mut feed, bench, id, &format!("QUIET{id}"), false);
    }
    let index = add(&mut feed, bench, quiet + 1, "BTCUSDT", true);
    for line in lines(&captures.join(CAPTURE)).iter().take(2_000) {
        let arrival = bench.arrival();
        if line.kind == "http" {
            feed.on_snapshot(index, &line.message, bench, arrival);
        } else {
            feed.on_frame(1, &line.message, bench, arrival);
        }
    }
    assert_eq!(feed.state(index), Some(BookState::Live));
    bench.sent.clear();
    Some((feed, quiet + 1))
}

pub(crate) fn cut(
    feed: &mut Feed,
    bench: &mut Bench,
    wants: &[SnapWant],
    groups_max: usize,
) -> (Vec<Vec<u8>>, u32) {
    let mut image = Image::of(wants, bench.now_ns);
    let (mut frames, mut calls) = (Vec::new(), 1);
    while !feed.cut_image(&mut image, groups_max, bench, &mut |frame| frames.push(frame.to_vec())) {
        calls += 1;
    }
    (frames, calls)
}

pub(crate) fn types(frames: &[Vec<u8>]) -> BTreeMap<u8, usize> {
    let mut counts = BTreeMap::new();
    for frame in frames {
        *counts.entry(wire::check(frame).unwrap().header.msg_type).or_insert(0) += 1;
    }
    counts
}
