//! Checksums that venues send with their books, each a value of the declaration; nothing here knows more of a venue.
//!
//! They are over text as the venue printed it, so a level keeps its decimals beside it ([`Printed`]). The digits themselves
//! are those of the mantissa: `1.500` is 15 at 10^-1 with three decimals.

mod orders;
#[cfg(test)]
mod tests;

use serde::Deserialize;

use crate::book::{BestLevels, Book, Decimals, LevelText, Printed, TEXT_ROOM};
use crate::decimal::write::{self, Short};
use crate::decimal::{self, POW10};
use crate::event::Level;
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
        let is_whole =
            [&mut *bids, &mut *asks].map(|side| self.complete(side, scale, &mut text)) == [true; 2];
        if is_whole {
            self.join(bids, asks, &mut text);
        } else {
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

    /// Writes the texts of the levels that have none yet; `false`: one is too long to be kept.
    fn complete(self, side: &mut BestLevels, scale: &Scale, text: &mut Text<'_>) -> bool {
        let mut left = side.unwritten(self.levels());
        let mut is_whole = true;
        while left != 0 {
            let index = left.trailing_zeros() as usize;
            let level = side.level(index);
            is_whole &= side.keep(index, |room| self.short_text(level, scale, room))
                || side.keep(index, |room| self.long_text(level, scale, text, room));
            left &= left - 1;
        }
        is_whole
    }

    /// Joins the texts of the levels.
    fn join(self, bids: &BestLevels, asks: &BestLevels, text: &mut Text<'_>) {
        let (n_bids, n_asks) = (bids.count(self.levels()), asks.count(self.levels()));
        let Some(room) = text.bytes.first_chunk_mut() else { return };
        let mut joined = Joined { room, len: 0 };
        match self {
            Algorithm::Okx => {
                let both = n_bids.min(n_asks);
                bids.texts(0..both).zip(asks.texts(0..both)).for_each(|(bid, ask)| {
                    joined.add(bid);
                    joined.add(ask);
                });
                bids.texts(both..n_bids).chain(asks.texts(both..n_asks)).for_each(|level| joined.add(level));
                joined.len = joined.len.saturating_sub(1);
            }
            Algorithm::Kraken => {
                asks.texts(0..n_asks).for_each(|level| joined.add(level));
                bids.texts(0..n_bids).for_each(|level| joined.add(level));
            }
        }
        text.len = joined.len;
    }

    /// The text that the checksum is over, of levels with any numbers.
    #[cold]
    fn write(self, bids: &mut BestLevels, asks: &mut BestLevels, scale: &Scale, text: &mut Text<'_>) {
        text.len = 0;
        let (n_bids, n_asks) = (bids.count(self.levels()), asks.count(self.levels()));
        let both = n_bids.min(n_asks);
        let mut add = |level| self.write_level(level, scale, text);
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

    /// Writes the text of a level; `None`: a number of it is rarer.
    #[inline(always)]
    fn short_text(
        self,
        (level, decimals): (Level, Decimals),
        scale: &Scale,
        room: &mut [u8; TEXT_ROOM],
    ) -> Option<usize> {
        let [price, qty] = Number::both(level, decimals, scale);
        let (price, qty) = match self {
            Algorithm::Okx => (price.plain()?.followed_by(b':')?, qty.plain()?.followed_by(b':')?),
            Algorithm::Kraken => (price.digits()?, qty.digits()?),
        };
        price.write_with(qty, room)
    }

    /// The same of any level; `None`: it is too long.
    #[cold]
    fn long_text(
        self,
        level: (Level, Decimals),
        scale: &Scale,
        text: &mut Text<'_>,
        room: &mut [u8; TEXT_ROOM],
    ) -> Option<usize> {
        text.len = 0;
        self.write_level(level, scale, text);
        room.get_mut(..text.len)?.copy_from_slice(text.written());
        Some(text.len)
    }

    /// Adds the text of a level.
    fn write_level(self, (level, decimals): (Level, Decimals), scale: &Scale, text: &mut Text<'_>) {
        let [price, qty] = Number::both(level, decimals, scale);
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
    /// Price and quantity of a level.
    #[inline(always)]
    fn both(level: Level, decimals: Decimals, scale: &Scale) -> [Number; 2] {
        [
            Number { mantissa: level.price, exp: scale.price_exp, decimals: decimals.price },
            Number { mantissa: level.qty, exp: scale.qty_exp, decimals: decimals.qty },
        ]
    }

    /// The digits without point, sign and leading zeros; nothing for 0. `None`: they are many.
    #[inline(always)]
    fn digits(self) -> Option<Short> {
        write::digits(self.whole()?)
    }

    /// The number as it was printed, if it is not below zero. `None`: that, or its text is long.
    #[inline(always)]
    fn plain(self) -> Option<Short> {
        if self.mantissa < 0 { None } else { write::plain(self.whole()?, self.decimals) }
    }

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
const TEXT_BYTES: usize = (2 * OKX_LEVELS + 1) * TEXT_ROOM;

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

    fn add(&mut self, short: Short) {
        let bytes = short.bytes.to_le_bytes();
        self.room(bytes.len()).copy_from_slice(&bytes);
        self.len += short.len;
    }

    /// The digits without point, sign and leading zeros; nothing for 0.
    fn digits(&mut self, number: Number) {
        match number.digits() {
            Some(short) => self.add(short),
            None => {
                let text = long(number);
                let digits = text.bytes().filter(u8::is_ascii_digit).skip_while(|digit| *digit == b'0');
                digits.for_each(|digit| self.push(digit));
            }
        }
    }

    /// The number as it was printed: `-0.050`.
    fn plain(&mut self, number: Number) {
        match number.plain() {
            Some(short) => self.add(short),
            None => long(number).bytes().for_each(|byte| self.push(byte)),
        }
    }
}

/// Texts of levels one behind the other, in a buffer of constant length.
struct Joined<'a> {
    room: &'a mut [u8; TEXT_BYTES],
    len: usize,
}

impl Joined<'_> {
    /// All bytes of its buffer are copied; the next text stands over those behind its own.
    #[inline(always)]
    fn add(&mut self, level: &LevelText) {
        let (text, len) = level.get();
        if let Some(room) = self.room.get_mut(self.len..self.len + TEXT_ROOM) {
            room.copy_from_slice(text);
        }
        self.len += len;
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
