//! Books rebuilt from every Binance capture: snapshot, diffs, continuity, and the venue's own best prices.
//!
//! `OUTCRIER_DATA` names the folder with the captures; without it `../shared/data` beside the repository.

mod naive;

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use naive::Naive;
use outcrier_core::book::Book;
use outcrier_core::event::{Ids, Level, Side};
use outcrier_core::sequence::{Continuity, Rule, Splice, SpliceVerdict, Verdict};
use serde_json::Value;

/// Decimal places of the mantissas here; every price and quantity of these captures fits.
const PLACES: usize = 8;

fn data() -> Option<PathBuf> {
    let given = std::env::var_os("OUTCRIER_DATA").map(PathBuf::from);
    let folder = given
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"))
        .join("captures");
    if folder.is_dir() {
        return Some(folder);
    }
    #[expect(clippy::print_stderr, reason = "a test that is left out says so")]
    {
        eprintln!("left out: no captures at {}; set OUTCRIER_DATA", folder.display());
    }
    None
}

fn lines(path: &Path) -> impl Iterator<Item = (String, Option<String>, Value)> {
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    BufReader::new(GzDecoder::new(file)).lines().map(|line| {
        let line: Value = serde_json::from_str(&line.expect("a whole gzip file")).expect("a JSON line");
        let text = |key: &str| line[key].as_str().map(str::to_owned);
        let body = serde_json::from_str(&text("d").expect("d")).expect("JSON of the exchange");
        (text("k").expect("k"), text("u"), body)
    })
}

fn mantissa(text: &Value) -> i64 {
    let text = text.as_str().expect("numbers are texts");
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction = fraction.trim_end_matches('0');
    assert!(fraction.len() <= PLACES, "{text} has more than {PLACES} places");
    format!("{whole}{fraction:0<PLACES$}").parse().expect("a number")
}

fn levels<'a>(rows: &'a Value) -> impl Iterator<Item = Level> + 'a {
    rows.as_array()
        .expect("an array of levels")
        .iter()
        .map(|row| Level { price: mantissa(&row[0]), qty: mantissa(&row[1]) })
}

fn ids(diff: &Value) -> Ids {
    Ids { first: diff["U"].as_u64(), last: diff["u"].as_u64(), prev: diff["pu"].as_u64() }
}

/// What the replay of a session found.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    symbols: usize,
    applied: usize,
    old: usize,
    tops: usize,
}

/// One instrument: its fast and its naive book, and what waits for a snapshot.
struct Instrument {
    book: Book,
    naive: Naive,
    continuity: Continuity,
    snapshot: Option<u64>,
    joined: bool,
    held: Vec<Value>,
    /// Best prices that the venue told, by update id; the diff may come before or after.
    told: HashMap<u64, [Level; 2]>,
    tops: HashMap<u64, [Option<Level>; 2]>,
}

impl Instrument {
    fn new(rule: Rule, splice: Splice, tick: i64) -> Self {
        Self {
            book: Book::new(tick),
            naive: Naive::default(),
            continuity: Continuity::new(rule, splice),
            snapshot: None,
            joined: false,
            held: Vec::new(),
            told: HashMap::new(),
            tops: HashMap::new(),
        }
    }

    fn set(&mut self, side: Side, rows: &Value) {
        for level in levels(rows) {
            let old = self.naive.set(side, level.price, level.qty);
            assert_eq!(self.book.set(side, level.price, level.qty), old);
        }
    }

    fn on_snapshot(&mut self, snapshot: &Value, found: &mut Found) {
        assert!(self.snapshot.is_none(), "one snapshot per instrument and session");
        self.snapshot = snapshot["lastUpdateId"].as_u64();
        self.set(Side::Bid, &snapshot["bids"]);
        self.set(Side::Ask, &snapshot["asks"]);
        self.assert_equal_at(usize::MAX);
        for diff in std::mem::take(&mut self.held) {
            self.on_diff(diff, found);
        }
    }

    fn on_diff(&mut self, diff: Value, found: &mut Found) {
        let Some(snapshot) = self.snapshot else {
            self.held.push(diff);
            return;
        };
        let ids = ids(&diff);
        let is_old = if self.joined {
            match self.continuity.check(&ids) {
                Verdict::Apply => false,
                Verdict::Old => true,
                gap @ Verdict::Gap { .. } => panic!("{gap:?} at {ids:?}"),
            }
        } else {
            match self.continuity.splice(snapshot, &ids) {
                SpliceVerdict::Apply => false,
                SpliceVerdict::Old => true,
                hole @ SpliceVerdict::SnapshotTooOld { .. } => panic!("{hole:?} at {ids:?}"),
            }
        };
        if is_old {
            found.old += 1;
            return;
        }
        self.joined = true;
        self.set(Side::Bid, &diff["b"]);
        self.set(Side::Ask, &diff["a"]);
        found.applied += 1;
        assert!(!self.book.is_crossed() && !self.book.is_locked(), "crossed after {ids:?}");
        assert_eq!(
            self.book.checksum(Some(25)),
            crc32c::crc32c(&self.naive.digest_bytes(25)),
            "after {ids:?}"
        );
        for side in [Side::Bid, Side::Ask] {
            assert_eq!(self.book.best(side), self.naive.best(side));
        }
        self.tops.insert(ids.last.expect("u"), [self.book.best(Side::Bid), self.book.best(Side::Ask)]);
    }

    fn assert_equal_at(&self, depth: usize) {
        for side in [Side::Bid, Side::Ask] {
            let expected = self.naive.levels(side);
            assert_eq!(self.book.len(side), expected.len());
            assert_eq!(self.book.top(side, depth).collect::<Vec<_>>(), expected[..depth.min(expected.len())]);
        }
    }

    fn finish(&self, found: &mut Found) {
        self.assert_equal_at(usize::MAX);
        assert_eq!(self.book.hash(), xxhash_rust::xxh3::xxh3_64(&self.naive.digest_bytes(usize::MAX)));
        for (last, [bid, ask]) in &self.told {
            if let Some(top) = self.tops.get(last) {
                assert_eq!(*top, [Some(*bid), Some(*ask)], "best prices told with update {last}");
                found.tops += 1;
            }
        }
    }
}

/// The symbol of a REST request; a session of one symbol may lack the URL and is named by its files.
fn symbol_of(url: Option<&str>, paths: &[PathBuf]) -> String {
    if let Some((_, query)) = url.and_then(|url| url.split_once("symbol=")) {
        return query.split('&').next().unwrap_or(query).to_owned();
    }
    let name = paths[0].file_name().expect("a file").to_string_lossy().to_uppercase();
    let (_, rest) = name.split_once('_').expect("product_symbol_date");
    rest.rsplit_once('_').expect("product_symbol_date").0.to_owned()
}

fn replay(paths: &[PathBuf], rule: Rule, splice: Splice, tick: i64) -> Found {
    let mut found = Found::default();
    let mut books: HashMap<String, Instrument> = HashMap::new();
    for (kind, url, message) in paths.iter().flat_map(|path| lines(path)) {
        let data = if message["data"].is_null() { &message } else { &message["data"] };
        let is_snapshot = kind == "http" && !message["lastUpdateId"].is_null();
        let symbol = match data["s"].as_str() {
            Some(symbol) => symbol.to_owned(),
            None if is_snapshot => symbol_of(url.as_deref(), paths),
            None => continue,
        };
        let instrument = || Instrument::new(rule, splice, tick);
        if is_snapshot {
            books.entry(symbol).or_insert_with(instrument).on_snapshot(&message, &mut found);
        } else if data["e"] == "depthUpdate" {
            books.entry(symbol).or_insert_with(instrument).on_diff(data.clone(), &mut found);
        } else if message["stream"].as_str().is_some_and(|stream| stream.ends_with("@bookTicker")) {
            let level =
                |price: &str, qty: &str| Level { price: mantissa(&data[price]), qty: mantissa(&data[qty]) };
            let told = [level("b", "B"), level("a", "A")];
            let update = data["u"].as_u64().expect("u");
            books.entry(symbol).or_insert_with(instrument).told.insert(update, told);
        }
    }
    for instrument in books.values().filter(|instrument| instrument.joined) {
        instrument.finish(&mut found);
        found.symbols += 1;
    }
    let waiting: usize = books.values().map(|instrument| instrument.held.len()).sum();
    assert_eq!(waiting, 0, "diffs without a snapshot");
    found
}

/// Replays a session with the named tick 0, a fine, a right and a coarse one: the tick may cost time only.
fn session(files: &[&str], rule: Rule, splice: Splice, ticks: &[i64], expected: &Found) {
    let Some(folder) = data() else { return };
    let paths: Vec<PathBuf> = files.iter().map(|file| folder.join(format!("{file}.jsonl.gz"))).collect();
    for &tick in ticks {
        assert_eq!(replay(&paths, rule, splice, tick), *expected, "{files:?} with tick {tick}");
    }
}

fn spot(files: &[&str], ticks: &[i64], expected: &Found) {
    session(files, Rule::Range, Splice::Range, ticks, expected);
}

fn futures(files: &[&str], ticks: &[i64], expected: &Found) {
    session(files, Rule::Chain, Splice::Chain, ticks, expected);
}

#[test]
fn spot_2021() {
    spot(&["binance/spot_2021-10-12"], &[0, 1, 100], &Found { symbols: 4, applied: 172, old: 5, tops: 26 });
}

#[test]
fn spot_us_2021() {
    spot(&["binance_us/spot_2021-10-12"], &[0, 1], &Found { symbols: 4, applied: 332, old: 4, tops: 56 });
}

#[test]
fn spot_tr_2023() {
    spot(&["binance_tr/spot_2023-04-10"], &[0, 1], &Found { symbols: 3, applied: 78, old: 6, tops: 24 });
}

#[test]
fn spot_btcusdt_2024() {
    spot(
        &["binance/spot_btcusdt_2024-08-08"],
        &[0, 1_000_000],
        &Found { symbols: 1, applied: 3449, old: 2, tops: 564 },
    );
}

#[test]
fn spot_ethusdt_2024() {
    spot(
        &["binance/spot_ethusdt_2024-08-08"],
        &[1_000_000],
        &Found { symbols: 1, applied: 3432, old: 2, tops: 577 },
    );
}

#[test]
fn spot_nexousdt_two_files_are_one_session() {
    spot(
        &["binance/spot_nexousdt_2024-07-23", "binance/spot_nexousdt_2024-07-24"],
        &[100_000],
        &Found { symbols: 1, applied: 68182, old: 0, tops: 12198 },
    );
}

#[test]
fn usdm_2021() {
    futures(
        &["binance_usdm/usdm_2021-07-22"],
        &[0, 1_000],
        &Found { symbols: 4, applied: 438, old: 12, tops: 31 },
    );
}

#[test]
fn usdm_btcusdt_2022() {
    futures(
        &["binance_usdm/usdm_btcusdt_2022-08-11"],
        &[0, 1_000_000, 10_000_000],
        &Found { symbols: 1, applied: 206, old: 0, tops: 0 },
    );
}

#[test]
fn usdm_btcusdt_2024() {
    // The list of 2021 names 0.01, prices move by 0.1; 10 is coarser than the prices.
    futures(
        &["binance_usdm/usdm_btcusdt_2024-08-08"],
        &[1_000_000, 1_000_000_000],
        &Found { symbols: 1, applied: 6547, old: 4, tops: 629 },
    );
}

#[test]
fn coinm_2021() {
    futures(
        &["binance_coinm/coinm_2021-07-22"],
        &[0, 1_000_000],
        &Found { symbols: 10, applied: 1788, old: 259, tops: 212 },
    );
}

#[test]
fn coinm_btcusd_2024() {
    futures(
        &["binance_coinm/coinm_btcusd_perp_2024-08-08"],
        &[10_000_000],
        &Found { symbols: 1, applied: 26824, old: 23, tops: 1124 },
    );
}
