//! The message sets of `benchmarks/messages.py`, as level updates: snapshots, then the diffs that chain after them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use flate2::Crc;
use flate2::read::GzDecoder;
use outcrier_core::event::{Level, Side};
use serde_json::Value;

/// Messages of a set, trades included, and of the lines that are looked at for them: as in `benchmarks/messages.py`.
const MESSAGES_MAX: usize = 5_000;

/// Decimal places of the mantissas; every price and quantity of these captures fits.
const PLACES: usize = 8;

/// A message set: its name in the benchmarks, its capture, and whose its books are where they do not tell.
pub(crate) struct Source {
    pub(crate) name: &'static str,
    pub(crate) capture: &'static str,
    pub(crate) only: &'static str,
    /// Whether a diff names the one before (`pu`).
    pub(crate) chain: bool,
}

/// The sets, as in `benchmarks/messages.py`.
pub(crate) const SETS: [Source; 3] = [
    Source { name: "coinm_2021", capture: "binance_coinm/coinm_2021-07-22", only: "", chain: true },
    Source {
        name: "usdm_2024",
        capture: "binance_usdm/usdm_btcusdt_2024-08-08",
        only: "BTCUSDT",
        chain: true,
    },
    Source {
        name: "spot_btc_2024",
        capture: "binance/spot_btcusdt_2024-08-08",
        only: "BTCUSDT",
        chain: false,
    },
];

/// A changed level: which book, which side, mantissas at [`PLACES`].
#[derive(Clone, Copy)]
pub(crate) struct Update {
    pub(crate) book: usize,
    pub(crate) side: Side,
    pub(crate) level: Level,
}

/// A set, ready to be applied. Books are in the order of their symbols.
pub(crate) struct Set {
    pub(crate) books: usize,
    pub(crate) snapshot: Vec<Update>,
    /// Of each message its updates.
    pub(crate) messages: Vec<Vec<Update>>,
    /// Smallest step of the prices of each book.
    pub(crate) ticks: Vec<i64>,
}

impl Set {
    pub(crate) fn updates(&self) -> usize {
        self.messages.iter().map(Vec::len).sum()
    }
}

/// The folder of captures, where there is one.
pub(crate) fn folder() -> Option<PathBuf> {
    let given = std::env::var_os("OUTCRIER_DATA").map(PathBuf::from);
    let folder = given
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"))
        .join("captures");
    folder.is_dir().then_some(folder)
}

fn mantissa(text: &Value) -> i64 {
    let text = text.as_str().expect("numbers are texts");
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction = fraction.trim_end_matches('0');
    format!("{whole}{fraction:0<PLACES$}").parse().expect("a number of at most eight places")
}

fn updates(book: usize, message: &Value, bids: &str, asks: &str) -> Vec<Update> {
    [(Side::Bid, bids), (Side::Ask, asks)]
        .into_iter()
        .flat_map(|(side, key)| {
            message[key].as_array().expect("an array of levels").iter().map(move |row| Update {
                book,
                side,
                level: Level { price: mantissa(&row[0]), qty: mantissa(&row[1]) },
            })
        })
        .collect()
}

/// The books, depth updates and trades of a capture: kind, message.
fn useful(path: &Path) -> impl Iterator<Item = (bool, Value)> {
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    BufReader::new(GzDecoder::new(file)).lines().filter_map(|line| {
        let line: Value = serde_json::from_str(&line.expect("a whole gzip file")).expect("a JSON line");
        let body: Value = serde_json::from_str(line["d"].as_str()?).expect("JSON of the exchange");
        match line["k"].as_str()? {
            "http" => Some((true, body)),
            "recv" if matches!(body["data"]["e"].as_str()?, "depthUpdate" | "aggTrade" | "trade") => {
                Some((false, body["data"].clone()))
            }
            _ => None,
        }
    })
}

/// Reads a set.
pub(crate) fn read(folder: &Path, source: &Source) -> Set {
    let path = folder.join(format!("{}.jsonl.gz", source.capture));
    let lines: Vec<_> = useful(&path).take(2 * MESSAGES_MAX).collect();
    let symbol = |message: &Value| {
        let named = message["symbol"].as_str().or_else(|| message["s"].as_str());
        named.unwrap_or(source.only).to_owned()
    };
    let mut snapshots: BTreeMap<String, &Value> = BTreeMap::new();
    for (_, book) in lines.iter().filter(|(is_book, _)| *is_book) {
        snapshots.entry(symbol(book)).or_insert(book);
    }
    let place: BTreeMap<&str, usize> = snapshots.keys().map(String::as_str).zip(0..).collect();
    let first: Vec<u64> = snapshots
        .values()
        .map(|book| book["lastUpdateId"].as_u64().expect("an id") + u64::from(!source.chain))
        .collect();
    let snapshot: Vec<Update> =
        snapshots.values().enumerate().flat_map(|(book, body)| updates(book, body, "bids", "asks")).collect();
    let messages: Vec<Vec<Update>> = lines
        .iter()
        .filter(|(is_book, _)| !is_book)
        .filter_map(|(_, message)| {
            let book = *place.get(symbol(message).as_str())?;
            if message["e"] != "depthUpdate" {
                return Some(Vec::new()); // A trade: it counts as a message and changes no level.
            }
            (message["u"].as_u64()? >= first[book]).then(|| updates(book, message, "b", "a"))
        })
        .take(MESSAGES_MAX)
        .filter(|updates| !updates.is_empty())
        .collect();
    let mut ticks = vec![0; snapshots.len()];
    for update in snapshot.iter().chain(messages.iter().flatten()) {
        ticks[update.book] = greatest_divisor(ticks[update.book], update.level.price);
    }
    Set { books: snapshots.len(), snapshot, messages, ticks }
}

fn greatest_divisor(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { greatest_divisor(b, a % b) }
}

/// CRC-32 of the bytes of `book_bytes` of `benchmarks/messages.py`: what both languages compare.
pub(crate) fn answer(books: impl Iterator<Item = [Vec<Level>; 2]>) -> u32 {
    let mut crc = Crc::new();
    for sides in books {
        for side in &sides {
            crc.update(&u32::try_from(side.len()).expect("a book of this size").to_le_bytes());
        }
        for level in sides.iter().flatten() {
            crc.update(&level.price.to_le_bytes());
            crc.update(&level.qty.to_le_bytes());
        }
    }
    crc.sum()
}
