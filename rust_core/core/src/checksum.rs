//! Checksums that venues send with their books, each a value of the declaration; nothing here knows more of a venue.
//!
//! They are over text as the venue printed it, so a level keeps its decimals beside it ([`Printed`]). The digits themselves
//! are those of the mantissa: `1.500` is 15 at 10^-1 with three decimals.

mod orders;

use serde::Deserialize;

use crate::book::{BestLevel, BestLevels, Book, Printed, TEXT_MAX};
use crate::decimal::{self, POW10, write};
use crate::instrument::Scale;

/// How a venue makes its checksum. In JSON: `"okx"`, `"kraken"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// CRC32 (IEEE) as a signed 32-bit number over the best 25 levels a side.
    ///
    /// OKX, "WS / Order book channel" (docs-v5, until 2026-06): best bid, best ask, second bid and so on, each as
    /// `price:size` in the text that was sent, with colons between; where one side ends, the other one goes on alone. OKX
    /// sends 0 since 2026-06-23: 0 means that none is given. Okcoin and Bitget (until 2026-05) make the same.
    Okx,
    /// CRC32 (IEEE) as an unsigned 32-bit number over the best 10 asks, then the best 10 bids.
    ///
    /// Kraken (guides spot-ws-book-v1 and spot-ws-book-v2, read 2026-08): price and quantity of each level as sent, without
    /// the point and then without leading zeros, nothing between them.
    Kraken,
}

/// Levels a side of [`Algorithm::Okx`].
const OKX_LEVELS: usize = 25;
/// Levels a side of [`Algorithm::Kraken`].
const KRAKEN_LEVELS: usize = 10;

impl Algorithm {
    /// Whether a number that the venue sent is a checksum at all.
    #[must_use]
    pub fn is_given(self, value: i64) -> bool {
        match self {
            Algorithm::Okx => value != 0,
            Algorithm::Kraken => true,
        }
    }

    /// The checksum of a book in the form in which the venue sends it. `text` is a buffer that is used again.
    #[must_use]
    pub fn of(self, book: &Book, printed: &mut Printed, scale: &Scale, text: &mut Vec<u8>) -> i64 {
        // Most changes are behind the levels that it is over.
        if let Some(known) = printed.sum(self.levels()) {
            return known;
        }
        let mut text = Text::new(text);
        let (bids, asks) = printed.best(self.levels(), book);
        for side in [&mut *bids, &mut *asks] {
            self.complete(side, scale, &mut text);
        }
        if !self.join(bids, asks, &mut text) {
            self.write(bids, asks, scale, &mut text);
        }
        let crc = crc32fast::hash(text.written());
        let sum = match self {
            Algorithm::Okx => i64::from(crc.cast_signed()),
            Algorithm::Kraken => i64::from(crc),
        };
        printed.keep_sum(sum);
        sum
    }

    /// Levels a side that it is over.
    fn levels(self) -> usize {
        match self {
            Algorithm::Okx => OKX_LEVELS,
            Algorithm::Kraken => KRAKEN_LEVELS,
        }
    }

    /// Writes the texts of the levels that have none yet: those before the first change have theirs.
    fn complete(self, side: &mut BestLevels, scale: &Scale, text: &mut Text<'_>) {
        let n = side.count(self.levels());
        for index in side.first_changed().min(n)..n {
            let level = side.level(index);
            if level.text().is_none() {
                text.len = 0;
                self.write_level(level, scale, text);
                level.keep(text.written());
            }
        }
        text.len = 0;
    }

    /// Joins the texts of the levels; `false`: one is too long to be kept.
    fn join(self, bids: &BestLevels, asks: &BestLevels, text: &mut Text<'_>) -> bool {
        let (n_bids, n_asks) = (bids.count(self.levels()), asks.count(self.levels()));
        match self {
            Algorithm::Okx => {
                let both = n_bids.min(n_asks);
                let pairs = bids.best(0..both).zip(asks.best(0..both));
                let is_whole =
                    pairs.fold(true, |is_whole, (bid, ask)| is_whole & text.add(bid) & text.add(ask));
                let rest = bids.best(both..n_bids).chain(asks.best(both..n_asks));
                let is_whole = rest.fold(is_whole, |is_whole, level| is_whole & text.add(level));
                text.len = text.len.saturating_sub(1);
                is_whole
            }
            Algorithm::Kraken => {
                let all = asks.best(0..n_asks).chain(bids.best(0..n_bids));
                all.fold(true, |is_whole, level| is_whole & text.add(level))
            }
        }
    }

    /// The text that the checksum is over, of levels with any numbers.
    #[cold]
    fn write(self, bids: &mut BestLevels, asks: &mut BestLevels, scale: &Scale, text: &mut Text<'_>) {
        text.len = 0;
        let (n_bids, n_asks) = (bids.count(self.levels()), asks.count(self.levels()));
        let both = n_bids.min(n_asks);
        let mut add = |level: &BestLevel| self.write_level(level, scale, text);
        match self {
            Algorithm::Okx => {
                for index in 0..both {
                    add(bids.level(index));
                    add(asks.level(index));
                }
                (both..n_bids).for_each(|index| add(bids.level(index)));
                (both..n_asks).for_each(|index| add(asks.level(index)));
                text.len = text.len.saturating_sub(1);
            }
            Algorithm::Kraken => {
                (0..n_asks).for_each(|index| add(asks.level(index)));
                (0..n_bids).for_each(|index| add(bids.level(index)));
            }
        }
    }

    /// The text of a level.
    fn write_level(self, of: &BestLevel, scale: &Scale, text: &mut Text<'_>) {
        let (level, decimals) = (of.level, of.decimals);
        let price = Number { mantissa: level.price, exp: scale.price_exp, decimals: decimals.price };
        let qty = Number { mantissa: level.qty, exp: scale.qty_exp, decimals: decimals.qty };
        match self {
            Algorithm::Okx => {
                text.plain(price);
                text.push(b':');
                text.plain(qty);
                text.push(b':');
            }
            Algorithm::Kraken => {
                text.digits(price);
                text.digits(qty);
            }
        }
    }
}

/// A number as it was printed: mantissa × 10^exp, with so many digits after the point.
#[derive(Clone, Copy)]
struct Number {
    mantissa: i64,
    exp: i8,
    decimals: u8,
}

impl Number {
    /// The whole number that is left without point and sign; `None` if 64 bits do not hold it.
    #[inline]
    fn whole(self) -> Option<u64> {
        let digits = self.mantissa.unsigned_abs();
        let zeros = i32::from(self.exp) + i32::from(self.decimals);
        if zeros == 0 {
            return Some(digits);
        }
        let power = *POW10.get(zeros.unsigned_abs() as usize)?;
        if zeros > 0 {
            return digits.checked_mul(power);
        }
        // The exponent may be finer than the text was: what it has beyond are zeros.
        debug_assert!(digits.is_multiple_of(power), "digits that the text did not have");
        Some(digits / power)
    }
}

/// Bytes that are there from the start: more than texts take that are kept.
const TEXT_BYTES: usize = (2 * OKX_LEVELS + 1) * TEXT_MAX;

/// Text that grows in a buffer longer than it, so that a level is copied with a constant length.
struct Text<'a> {
    bytes: &'a mut Vec<u8>,
    len: usize,
}

impl<'a> Text<'a> {
    fn new(bytes: &'a mut Vec<u8>) -> Self {
        bytes.resize(bytes.len().max(TEXT_BYTES), 0);
        Self { bytes, len: 0 }
    }

    fn written(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn push(&mut self, byte: u8) {
        self.room(1)[0] = byte;
        self.len += 1;
    }

    /// So many bytes behind the text.
    fn room(&mut self, bytes: usize) -> &mut [u8] {
        if self.len + bytes > self.bytes.len() {
            self.bytes.resize(2 * (self.len + bytes), 0);
        }
        &mut self.bytes[self.len..self.len + bytes]
    }

    /// The text that a level keeps; `false`: it has none.
    #[inline(always)]
    fn add(&mut self, level: &BestLevel) -> bool {
        let Some((text, len)) = level.text() else { return false };
        let Some(room) = self.bytes.get_mut(self.len..self.len + TEXT_MAX) else { return false };
        room.copy_from_slice(text);
        self.len += len;
        true
    }

    /// What a number is written into: its place, because bytes that are copied right after they were written wait.
    #[inline(always)]
    fn number(&mut self, write: impl FnOnce(&mut [u8; write::ROOM]) -> Option<usize>) -> Option<()> {
        self.len += write(self.room(write::ROOM).first_chunk_mut()?)?;
        Some(())
    }

    /// The digits without point, sign and leading zeros; nothing for 0.
    fn digits(&mut self, number: Number) {
        let whole = number.whole();
        if whole.and_then(|whole| self.number(|room| write::digits(whole, room))).is_none() {
            let text = long(number);
            let digits = text.bytes().filter(u8::is_ascii_digit).skip_while(|digit| *digit == b'0');
            digits.for_each(|digit| self.push(digit));
        }
    }

    /// The number as it was printed: `-0.050`.
    fn plain(&mut self, number: Number) {
        let before = self.len;
        if number.mantissa < 0 {
            self.push(b'-');
        }
        let whole = number.whole();
        if whole.and_then(|whole| self.number(|room| write::plain(whole, number.decimals, room))).is_none() {
            self.len = before;
            long(number).bytes().for_each(|byte| self.push(byte));
        }
    }
}

/// The same for numbers of more digits than venues print.
#[cold]
fn long(Number { mantissa, exp, decimals }: Number) -> String {
    let text = decimal::format(mantissa, exp);
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let decimals = usize::from(decimals);
    let fraction = &fraction[..fraction.len().min(decimals)];
    let point = if decimals > 0 { "." } else { "" };
    format!("{whole}{point}{fraction:0<decimals$}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::book::Decimals;
    use crate::event::{Level, LevelExtra, Side};

    fn written(write: impl FnOnce(&mut Text<'_>)) -> String {
        let mut buffer = Vec::new();
        let mut text = Text::new(&mut buffer);
        write(&mut text);
        String::from_utf8(text.written().to_vec()).unwrap()
    }

    fn plain(mantissa: i64, exp: i8, decimals: u8) -> String {
        written(|text| text.plain(Number { mantissa, exp, decimals }))
    }

    #[test]
    fn numbers_are_written_as_they_were_printed() {
        assert_eq!(plain(15, -1, 3), "1.500");
        assert_eq!(plain(1_500_000, -6, 1), "1.5");
        assert_eq!(plain(-5, -2, 2), "-0.05");
        assert_eq!(plain(0, -8, 4), "0.0000");
        assert_eq!(plain(0, -8, 0), "0");
        assert_eq!(plain(12, 2, 0), "1200");
        assert_eq!(plain(12, 2, 1), "1200.0");
        assert_eq!(plain(i64::MAX, -18, 18), "9.223372036854775807");
        assert_eq!(plain(-i64::MAX, -18, 18), "-9.223372036854775807");
        assert_eq!(plain(-5, -1, 24), "-0.500000000000000000000000");
        assert_eq!(plain(i64::MAX, 0, 19), "9223372036854775807.0000000000000000000");
        assert_eq!(plain(5, -1, 200), format!("0.5{}", "0".repeat(199)));
        let long = Number { mantissa: 5, exp: -1, decimals: 200 };
        assert_eq!(written(|text| text.digits(long)), format!("5{}", "0".repeat(199)));
        let many = written(|text| (0..200).for_each(|_| text.plain(long)));
        assert_eq!(many, format!("0.5{}", "0".repeat(199)).repeat(200));
    }

    proptest! {
        #[test]
        fn a_plain_number_comes_back_as_its_text(
            whole in 0_u32..1_000_000, fraction in "[0-9]{0,9}", finer in 0_i8..4,
        ) {
            let text = if fraction.is_empty() { whole.to_string() } else { format!("{whole}.{fraction}") };
            let decimals = u8::try_from(fraction.len()).unwrap();
            let needed = decimal::parse_natural(text.as_bytes()).unwrap().1;
            let exp = needed - finer;
            let mantissa = decimal::parse(text.as_bytes(), exp).unwrap();
            prop_assert_eq!(plain(mantissa, exp, decimals), text.clone());
            prop_assert_eq!(long(Number { mantissa, exp, decimals }), text.clone());
            let digits = written(|text| text.digits(Number { mantissa, exp, decimals }));
            let wanted = text.replace('.', "");
            prop_assert_eq!(digits, wanted.trim_start_matches('0'));
        }
    }

    proptest! {
        /// What is kept from one checksum to the next never shows.
        #[test]
        fn a_checksum_is_that_of_the_book_however_it_came_about(
            is_okx: bool,
            changes in proptest::collection::vec((any::<bool>(), 0_i64..90, 0_i64..4, 0_u8..3, 0_u8..40), 1..300),
        ) {
            let algorithm = if is_okx { Algorithm::Okx } else { Algorithm::Kraken };
            let scale = Scale { price_exp: -2, qty_exp: -2 };
            let (mut book, mut printed) = (Book::new(1), Printed::new(1, scale));
            let mut known = std::collections::BTreeMap::new();
            let mut text = Vec::new();
            for (is_bid, price, qty, decimals, what) in changes {
                let side = if is_bid { Side::Bid } else { Side::Ask };
                let level = Level { price, qty: 100 * qty };
                let decimals = Decimals { price: 2, qty: decimals };
                if what == 0 {
                    book.clear();
                    printed.clear();
                    known.clear();
                }
                book.set(side, level.price, level.qty);
                printed.set(side, level, decimals);
                known.insert((is_bid, price), (side, level, decimals));
                if what % 2 == 1 {
                    continue;
                }
                let mut fresh = Printed::new(1, scale);
                let of = |wanted| known.values().filter(move |(side, ..)| *side == wanted);
                let levels = |side| of(side).map(|(_, level, _)| *level).collect::<Vec<_>>();
                let extra = |Decimals { price, qty }| {
                    LevelExtra { price_decimals: price, qty_decimals: qty, ..LevelExtra::default() }
                };
                let extras: Vec<_> =
                    of(Side::Bid).chain(of(Side::Ask)).map(|(_, _, decimals)| extra(*decimals)).collect();
                fresh.set_first(&levels(Side::Bid), &levels(Side::Ask), &extras);
                let expected = algorithm.of(&book, &mut fresh, &scale, &mut text);
                prop_assert_eq!(algorithm.of(&book, &mut printed, &scale, &mut text), expected);
            }
        }
    }

    /// A book of texts and its decimals, at exponents of six places.
    fn book(bids: &[[&str; 2]], asks: &[[&str; 2]]) -> (Book, Printed, Scale) {
        let scale = Scale { price_exp: -6, qty_exp: -9 };
        let (mut book, mut printed) = (Book::new(0), Printed::new(0, scale));
        let decimals = |text: &str| text.split_once('.').map_or(0, |(_, fraction)| fraction.len()) as u8;
        for (side, rows) in [(Side::Bid, bids), (Side::Ask, asks)] {
            for [price, qty] in rows {
                let level = Level {
                    price: decimal::parse(price.as_bytes(), scale.price_exp).unwrap(),
                    qty: decimal::parse(qty.as_bytes(), scale.qty_exp).unwrap(),
                };
                book.set(side, level.price, level.qty);
                printed.set(side, level, Decimals { price: decimals(price), qty: decimals(qty) });
            }
        }
        (book, printed, scale)
    }

    #[test]
    fn kraken_is_the_vector_of_its_guide() {
        let asks = [
            ["45285.2", "0.00100000"],
            ["45286.4", "1.54571953"],
            ["45286.6", "1.54571109"],
            ["45289.6", "1.54560911"],
            ["45290.2", "0.15890660"],
            ["45291.8", "1.54553491"],
            ["45294.7", "0.04454749"],
            ["45296.1", "0.35380000"],
            ["45297.5", "0.09945542"],
            ["45299.5", "0.18772827"],
            ["45300.0", "9.00000000"],
        ];
        let bids = [
            ["45283.5", "0.10000000"],
            ["45283.4", "1.54582015"],
            ["45282.1", "0.10000000"],
            ["45281.0", "0.10000000"],
            ["45280.3", "1.54592586"],
            ["45279.0", "0.07990000"],
            ["45277.6", "0.03310103"],
            ["45277.5", "0.30000000"],
            ["45277.3", "1.54602737"],
            ["45276.6", "0.15445238"],
            ["45276.0", "9.00000000"],
        ];
        let (book, mut printed, scale) = book(&bids, &asks);
        let mut text = Vec::new();
        assert_eq!(Algorithm::Kraken.of(&book, &mut printed, &scale, &mut text), 3_310_070_434);
        assert!(text.starts_with(b"452852100000452864154571953"));
    }

    #[test]
    fn okx_goes_on_with_one_side_where_the_other_ends() {
        let bids = [["3366.1", "7"], ["3366", "6.00"], ["0.5", "1"]];
        let (book, mut printed, scale) = book(&bids, &[["3366.8", "9"]]);
        let mut text = Vec::new();
        // By zlib.crc32 of the text in Python.
        assert_eq!(Algorithm::Okx.of(&book, &mut printed, &scale, &mut text), 1_650_942_356);
        assert!(text.starts_with(b"3366.1:7:3366.8:9:3366:6.00:0.5:1"));
        let (empty, mut printed, scale) = self::book(&[], &[]);
        assert_eq!(Algorithm::Okx.of(&empty, &mut printed, &scale, &mut text), 0);
        assert!(!Algorithm::Okx.is_given(0) && Algorithm::Kraken.is_given(0));
    }
}
