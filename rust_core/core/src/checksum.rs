//! Checksums that venues send with their books, each a value of the declaration; nothing here knows more of a venue.
//!
//! They are over text as the venue printed it, so a level keeps its decimals beside it ([`Printed`]). The digits themselves
//! are those of the mantissa: `1.500` is 15 at 10^-1 with three decimals.

use serde::Deserialize;

use crate::book::{Book, Decimals, Printed};
use crate::event::Side;
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

    /// The checksum of a book in the form in which the venue sends it. `text` is written over.
    #[must_use]
    pub fn of(self, book: &Book, printed: &Printed, scale: &Scale, text: &mut Vec<u8>) -> i64 {
        self.write(book, printed, scale, text);
        let crc = crc32fast::hash(text);
        match self {
            Algorithm::Okx => i64::from(crc.cast_signed()),
            Algorithm::Kraken => i64::from(crc),
        }
    }

    /// The text that the checksum is over.
    fn write(self, book: &Book, printed: &Printed, scale: &Scale, text: &mut Vec<u8>) {
        text.clear();
        let side = |side| {
            let levels = book.levels(side).zip(printed.levels(side));
            levels.map(|(level, Decimals { price, qty })| {
                [
                    Number { mantissa: level.price, exp: scale.price_exp, decimals: price },
                    Number { mantissa: level.qty, exp: scale.qty_exp, decimals: qty },
                ]
            })
        };
        match self {
            Algorithm::Okx => {
                let (mut bids, mut asks) = (side(Side::Bid), side(Side::Ask));
                for _ in 0..OKX_LEVELS {
                    for number in bids.next().into_iter().chain(asks.next()).flatten() {
                        number.write_plain(text);
                        text.push(b':');
                    }
                }
                text.pop();
            }
            Algorithm::Kraken => {
                for number in
                    [Side::Ask, Side::Bid].into_iter().flat_map(|of| side(of).take(KRAKEN_LEVELS)).flatten()
                {
                    number.write_digits(text);
                }
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
    /// Appends the digits without point, sign and leading zeros; nothing for 0.
    fn write_digits(self, text: &mut Vec<u8>) {
        let mut digits = self.mantissa.unsigned_abs();
        if digits == 0 {
            return;
        }
        let zeros = i32::from(self.exp) + i32::from(self.decimals);
        // The exponent may be finer than the text was: what it has beyond are zeros.
        for _ in zeros..0 {
            debug_assert!(digits.is_multiple_of(10), "digits that the text did not have");
            digits /= 10;
        }
        let mut buffer = [0; 20];
        let mut at = buffer.len();
        while digits != 0 {
            at -= 1;
            buffer[at] = b'0' + (digits % 10) as u8;
            digits /= 10;
        }
        text.extend_from_slice(&buffer[at..]);
        for _ in 0..zeros {
            text.push(b'0');
        }
    }

    /// Appends the number as it was printed: `-0.050`.
    fn write_plain(self, text: &mut Vec<u8>) {
        if self.mantissa < 0 {
            text.push(b'-');
        }
        let start = text.len();
        self.write_digits(text);
        let wanted = usize::from(self.decimals) + 1;
        let missing = wanted.saturating_sub(text.len() - start);
        if missing > 0 {
            text.resize(text.len() + missing, b'0');
            text[start..].rotate_right(missing);
        }
        if self.decimals > 0 {
            text.insert(text.len() - usize::from(self.decimals), b'.');
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::decimal;
    use crate::event::Level;

    fn plain(mantissa: i64, exp: i8, decimals: u8) -> String {
        let mut text = Vec::new();
        Number { mantissa, exp, decimals }.write_plain(&mut text);
        String::from_utf8(text).unwrap()
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
            let mut digits = Vec::new();
            Number { mantissa, exp, decimals }.write_digits(&mut digits);
            let wanted = text.replace('.', "");
            prop_assert_eq!(String::from_utf8(digits).unwrap(), wanted.trim_start_matches('0'));
        }
    }

    /// A book of texts and its decimals, at exponents of six places.
    fn book(bids: &[[&str; 2]], asks: &[[&str; 2]]) -> (Book, Printed, Scale) {
        let scale = Scale { price_exp: -6, qty_exp: -9 };
        let (mut book, mut printed) = (Book::new(0), Printed::new(0));
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
        let (book, printed, scale) = book(&bids, &asks);
        let mut text = Vec::new();
        assert_eq!(Algorithm::Kraken.of(&book, &printed, &scale, &mut text), 3_310_070_434);
        assert_eq!(text.len(), 281);
    }

    #[test]
    fn okx_goes_on_with_one_side_where_the_other_ends() {
        let bids = [["3366.1", "7"], ["3366", "6.00"], ["0.5", "1"]];
        let (book, printed, scale) = book(&bids, &[["3366.8", "9"]]);
        let mut text = Vec::new();
        // By zlib.crc32 of the text in Python.
        assert_eq!(Algorithm::Okx.of(&book, &printed, &scale, &mut text), 1_650_942_356);
        assert_eq!(text, b"3366.1:7:3366.8:9:3366:6.00:0.5:1");
        let (empty, printed, scale) = self::book(&[], &[]);
        assert_eq!(Algorithm::Okx.of(&empty, &printed, &scale, &mut text), 0);
        assert!(!Algorithm::Okx.is_given(0) && Algorithm::Kraken.is_given(0));
    }
}
