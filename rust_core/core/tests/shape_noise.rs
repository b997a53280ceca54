//! Real frames of every declared venue disturbed by seed: keys shuffled, space and escapes put in, cut at every byte, bytes changed.

mod shape_support;

use std::collections::BTreeMap;

use outcrier_core::event::Decoded;
use outcrier_core::instrument::{InstrumentTable, Scale};
use outcrier_core::shape::{Decoder, Outcome};
use serde_json::Value;
use shape_support::{Random, captures, files, lines, named, shapes};

const FOLDERS: [(&str, &str); 3] = [
    ("binance", "binance_spot.json"),
    ("binance_usdm", "binance_usdm.json"),
    ("binance_coinm", "binance_coinm.json"),
];

/// Folder, name in `venues.json`, some instruments.
const OTHERS: [(&str, &str, &[&str]); 9] = [
    ("bybit", "bybit", &["BTCUSDT", "DOGEUSDT", "BANDUSDT"]),
    ("bybit", "bybit_v2", &["BCHUSDT", "BTCUSDT"]),
    ("okx", "okx", &["BTC-USD-220527", "UNI-USD-SWAP", "PROPS-ETH"]),
    ("okx", "okx_2022", &["BTC-USD-220527", "UNI-USD-SWAP", "PROPS-ETH"]),
    ("coinbase", "coinbase", &["BTC-USD", "ETH-USD"]),
    ("coinbase", "coinbase_exchange", &["BAND-GBP", "SKL-BTC", "BTC-EUR"]),
    ("kraken", "kraken", &["BTC/USD"]),
    ("upbit", "upbit", &["KRW-LAMB", "KRW-WAVES"]),
    ("bitfinex", "bitfinex_untimed", &["tBFTUSD", "tTESTBTC:TESTUSD"]),
];

/// Longer ones are left out: every byte of a frame is tried.
const FRAME_BYTES: usize = 1_000;

/// Frames of each stream kept per file: all forms occur among the first ones.
const PER_STREAM: usize = 6;

/// Some frames of every stream of a product, with a table that knows their symbols at fine exponents.
fn frames(folder: &str) -> Option<(Vec<Vec<u8>>, InstrumentTable)> {
    let mut kept = Vec::new();
    let mut table = InstrumentTable::default();
    for file in files(&captures()?.join(folder)) {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for line in lines(&file).into_iter().filter(|line| line.kind == "recv") {
            let value: Value = serde_json::from_slice(&line.message).unwrap();
            let Some(symbol) = value["data"]["s"].as_str() else { continue };
            table.add(symbol.as_bytes(), Scale { price_exp: -8, qty_exp: -8 });
            let count = seen.entry(value["stream"].to_string()).or_default();
            *count += 1;
            if *count <= PER_STREAM {
                kept.push(line.message);
            }
        }
    }
    assert!(kept.len() > 20, "{folder}: {} frames", kept.len());
    Some((kept, table))
}

/// Some frames of every shape of another venue that occurs in its captures.
fn judged(folder: &str, name: &str, symbols: &[&str]) -> Option<(Judge, Vec<Vec<u8>>)> {
    let mut table = InstrumentTable::default();
    for symbol in symbols {
        table.add(symbol.as_bytes(), Scale { price_exp: -8, qty_exp: -8 }).unwrap();
    }
    let mut judge = Judge { decoder: named("venues.json", name), table, out: Decoded::default() };
    let mut kept = Vec::new();
    let mut seen: BTreeMap<u16, usize> = BTreeMap::new();
    for line in files(&captures()?.join(folder)).iter().flat_map(|file| lines(file)) {
        if line.kind != "recv" || line.message.len() > FRAME_BYTES {
            continue;
        }
        let value: Value = serde_json::from_slice(&line.message).unwrap();
        if value["event"] == "subscribed"
            && let Some(index) = judge.table.find(value["symbol"].as_str().unwrap().as_bytes())
        {
            let channel = value["channel"].as_str().unwrap();
            judge.table.bind(7, value["chanId"].as_u64().unwrap(), index, channel);
        }
        if judge.decode(&line.message) == Outcome::Handled && !judge.out.events.is_empty() {
            let count = seen.entry(judge.out.shape).or_default();
            *count += 1;
            if *count <= PER_STREAM {
                kept.push(line.message);
            }
        }
    }
    assert!(kept.len() >= 3, "{name}: {} frames", kept.len());
    Some((judge, kept))
}

struct Judge {
    decoder: Decoder,
    table: InstrumentTable,
    out: Decoded,
}

impl Judge {
    /// Decodes; whatever is not handled leaves nothing behind.
    fn decode(&mut self, frame: &[u8]) -> Outcome {
        let outcome = self.decoder.decode(7, frame, &self.table, &mut self.out);
        if outcome != Outcome::Handled {
            let Decoded { events, levels, trades, extras, .. } = &self.out;
            assert!(events.is_empty() && levels.is_empty() && trades.is_empty() && extras.is_empty());
        }
        outcome
    }

    /// Everything decoded, as text: candles hold NaN, which equals nothing.
    fn content(&mut self, frame: &[u8]) -> String {
        assert_eq!(self.decode(frame), Outcome::Handled, "{}", String::from_utf8_lossy(frame));
        format!("{:?} {:?}", self.out.events, (&self.out.levels, &self.out.trades))
    }
}

fn each_product(test: impl Fn(&mut Judge, &[Vec<u8>])) {
    for (folder, declaration) in FOLDERS {
        let Some((frames, table)) = frames(folder) else { return };
        let decoder = Decoder::compile(&shapes(declaration)).unwrap();
        test(&mut Judge { decoder, table, out: Decoded::default() }, &frames);
    }
    for (folder, name, symbols) in OTHERS {
        let Some((mut judge, frames)) = judged(folder, name, symbols) else { return };
        test(&mut judge, &frames);
    }
}

/// How a value is printed anew.
#[derive(Clone, Copy)]
struct Style {
    shuffle: bool,
    space: bool,
    escape: bool,
}

fn space(style: Style, random: &mut Random, out: &mut String) {
    if style.space {
        for _ in 0..random.below(3) {
            out.push([' ', '\n', '\r', '\t'][random.below(4)]);
        }
    }
}

fn print_text(text: &str, style: Style, random: &mut Random, out: &mut String) {
    out.push('"');
    for letter in text.chars() {
        if style.escape && random.below(4) == 0 {
            out.push_str(&format!("\\u{:04x}", letter as u32));
        } else {
            out.push(letter);
        }
    }
    out.push('"');
}

fn print(value: &Value, style: Style, random: &mut Random, out: &mut String) {
    space(style, random, out);
    match value {
        Value::Object(map) => {
            let mut keys: Vec<_> = map.iter().collect();
            if style.shuffle {
                for at in (1..keys.len()).rev() {
                    keys.swap(at, random.below(at + 1));
                }
            }
            out.push('{');
            for (index, (key, value)) in keys.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                space(style, random, out);
                print_text(key, style, random, out);
                space(style, random, out);
                out.push(':');
                print(value, style, random, out);
            }
            out.push('}');
        }
        Value::Array(list) => {
            out.push('[');
            for (index, value) in list.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                print(value, style, random, out);
            }
            space(style, random, out);
            out.push(']');
        }
        Value::String(text) => print_text(text, style, random, out),
        other => out.push_str(&other.to_string()),
    }
    space(style, random, out);
}

#[test]
fn key_order_space_and_escapes_change_nothing() {
    each_product(|judge, frames| {
        let mut random = Random(1);
        for frame in frames {
            let value: Value = serde_json::from_slice(frame).unwrap();
            let expected = judge.content(frame);
            for round in 1..16 {
                let style = Style { shuffle: round & 1 != 0, space: round & 2 != 0, escape: round & 4 != 0 };
                let mut text = String::new();
                // Half of the rounds without the envelope, where it is optional.
                let is_bare = round & 8 != 0 && value["stream"].is_string();
                print(if is_bare { &value["data"] } else { &value }, style, &mut random, &mut text);
                assert_eq!(judge.content(text.as_bytes()), expected, "{text}");
            }
        }
    });
}

#[test]
fn cut_frames_are_faults() {
    each_product(|judge, frames| {
        for frame in frames {
            for end in 0..frame.len() {
                let outcome = judge.decode(&frame[..end]);
                assert!(matches!(outcome, Outcome::Fault(_)), "{end}: {outcome:?}");
            }
        }
    });
}

#[test]
fn changed_bytes_never_panic_nor_pass_as_json_when_they_are_none() {
    each_product(|judge, frames| {
        let mut random = Random(2);
        for frame in frames {
            for _ in 0..400 {
                let mut changed = frame.clone();
                let at = random.below(changed.len());
                // Marks of JSON are the likeliest to lead astray.
                let marks = b"\"\\[]{},:-+.eE019 \x00\x1f\x7f\x80\xc3\xff";
                changed[at] =
                    if random.below(2) == 0 { marks[random.below(marks.len())] } else { random.next() as u8 };
                let outcome = judge.decode(&changed);
                let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(&changed).is_ok()
                    && str::from_utf8(&changed).is_ok();
                if !is_json {
                    assert!(matches!(outcome, Outcome::Fault(_)), "{}", String::from_utf8_lossy(&changed));
                }
            }
        }
    });
}

#[test]
fn swapped_doubled_and_dropped_pieces_never_panic() {
    each_product(|judge, frames| {
        let mut random = Random(3);
        for frame in frames {
            for _ in 0..200 {
                let (from, to) = (random.below(frame.len()), random.below(frame.len()));
                let (from, to) = (from.min(to), from.max(to));
                let mut changed = frame[..from].to_vec();
                match random.below(3) {
                    0 => {}
                    1 => changed.extend([&frame[from..to], &frame[from..to]].concat()),
                    _ => changed.extend(frame[from..to].iter().rev()),
                }
                changed.extend(&frame[to..]);
                judge.decode(&changed);
            }
        }
    });
}
