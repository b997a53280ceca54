//! What the shape and decimal tests share: captures, declarations, a naive decimal, a seeded generator.
#![allow(dead_code)] // Each test binary uses its part.

use std::io::Read;
use std::path::{Path, PathBuf};

use outcrier_core::event::Decoded;
use outcrier_core::instrument::{InstrumentTable, Scale};
use outcrier_core::shape::{Decoder, Outcome};
use serde_json::Value;

/// Folder of the captures, or `None` after saying why the test is skipped.
pub(crate) fn captures() -> Option<PathBuf> {
    let data = std::env::var_os("OUTCRIER_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), PathBuf::from);
    let captures = data.join("captures");
    if captures.is_dir() {
        return Some(captures);
    }
    #[allow(clippy::print_stderr)] // The reason of a skipped test is for the person who runs it.
    {
        eprintln!("skipped: no captures in {} (set OUTCRIER_DATA)", captures.display());
    }
    None
}

/// All `*.jsonl.gz` files below a folder, sorted.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.to_string_lossy().ends_with(".jsonl.gz") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// One line of a capture.
pub(crate) struct Line {
    pub(crate) kind: String,
    pub(crate) url: String,
    pub(crate) message: Vec<u8>,
}

/// The lines of a capture; gzip inside is undone.
pub(crate) fn lines(file: &Path) -> Vec<Line> {
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(std::fs::File::open(file).unwrap()).read_to_string(&mut text).unwrap();
    text.lines().map(|line| parse_line(&serde_json::from_str(line).unwrap())).collect()
}

fn parse_line(line: &Value) -> Line {
    let message = match line["d"].as_str() {
        Some(text) => text.as_bytes().to_vec(),
        None => {
            let binary = base64(line["b"].as_str().unwrap());
            let mut plain = Vec::new();
            match flate2::read::GzDecoder::new(binary.as_slice()).read_to_end(&mut plain) {
                Ok(_) => plain,
                Err(_) => binary,
            }
        }
    };
    let text = |key: &str| line[key].as_str().unwrap_or_default().to_string();
    Line { kind: text("k"), url: text("u"), message }
}

fn base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for byte in text.bytes().filter(|byte| *byte != b'=') {
        bits = bits << 6 | ALPHABET.iter().position(|letter| *letter == byte).unwrap() as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    out
}

/// A declaration file beside the tests.
pub(crate) fn shapes(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/tests/shapes").join(name))
        .unwrap()
}

/// A decoder of `forms.json`.
pub(crate) fn form(name: &str) -> Decoder {
    named("forms.json", name)
}

/// A decoder of one declaration of a file with several.
pub(crate) fn named(file: &str, name: &str) -> Decoder {
    let all: Value = serde_json::from_str(&shapes(file)).unwrap();
    Decoder::compile(&all[name].to_string()).unwrap()
}

/// Decodes and refines exponents as an engine would; the outcome is the last one.
pub(crate) fn decode(
    decoder: &mut Decoder,
    frame: &[u8],
    table: &mut InstrumentTable,
    out: &mut Decoded,
) -> Outcome {
    loop {
        match decoder.decode(7, frame, table, out) {
            Outcome::NeedsFiner { instrument, price_exp, qty_exp } => {
                assert!(out.events.is_empty() && out.levels.is_empty() && out.trades.is_empty());
                let old = *table.scale(instrument);
                assert!(price_exp <= old.price_exp && qty_exp <= old.qty_exp);
                assert_ne!((price_exp, qty_exp), (old.price_exp, old.qty_exp), "asks for what it has");
                table.set_scale(instrument, Scale { price_exp, qty_exp });
            }
            other => return other,
        }
    }
}

/// The plainly right decimal: digits as a string. `None` where it does not fit an `i64` above its minimum.
pub(crate) fn naive(text: &str, exp: i32) -> Result<i64, &'static str> {
    let (mantissa, power) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let negative = mantissa.starts_with('-');
    let (whole, fraction) = mantissa
        .trim_start_matches(['-', '+'])
        .split_once('.')
        .unwrap_or((mantissa.trim_start_matches(['-', '+']), ""));
    let mut digits = format!("{whole}{fraction}");
    let mut at = power.parse::<i32>().unwrap() - fraction.len() as i32;
    while digits.ends_with('0') && digits.len() > 1 {
        digits.pop();
        at += 1;
    }
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Ok(0);
    }
    let signed = |digits: &str| {
        let value: i64 = digits.parse().map_err(|_| "overflow")?;
        Ok(if negative { -value } else { value })
    };
    if at < exp {
        signed(digits)?;
        return if at < -128 { Err("overflow") } else { Err("finer") };
    }
    if at - exp > 40 {
        return Err("overflow");
    }
    signed(&format!("{digits}{}", "0".repeat((at - exp) as usize)))
}

/// SplitMix64: the same numbers on every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ value >> 31
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}
