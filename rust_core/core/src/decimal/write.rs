//! Numbers to text, 8 digits at a time and without a branch on how many of them a number has, because that changes from
//! number to number.

/// Digits that two words hold: what is longer is for [`super::format`].
const DIGITS_MAX: usize = 16;
const LIMIT: u64 = 10_000_000_000_000_000;
/// What one word holds is below this.
const WORD_LIMIT: u64 = 100_000_000;
const WORD_ZEROS: u64 = u64::from_le_bytes([b'0'; 8]);
const ZEROS: u128 = u128::from_le_bytes([b'0'; DIGITS_MAX]);

/// A text of at most 16 bytes, the first in the lowest one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Short {
    /// Behind the text: zeros.
    pub(crate) bytes: u128,
    pub(crate) len: usize,
}

impl Short {
    /// The text and one more byte; `None`: there is no room.
    #[inline(always)]
    pub(crate) fn followed_by(self, byte: u8) -> Option<Short> {
        let Short { bytes, len } = self;
        (len < DIGITS_MAX).then(|| Short { bytes: bytes | u128::from(byte) << (8 * len), len: len + 1 })
    }

    /// Writes the text and another one behind it, and gives how long both are. What is behind them is written too.
    #[inline(always)]
    pub(crate) fn write_with(self, other: Short, room: &mut [u8; 2 * DIGITS_MAX]) -> Option<usize> {
        room[..DIGITS_MAX].copy_from_slice(&self.bytes.to_le_bytes());
        room.get_mut(self.len..)?.get_mut(..DIGITS_MAX)?.copy_from_slice(&other.bytes.to_le_bytes());
        Some(self.len + other.len)
    }
}

/// The 16 digits of a number below 10^16, the first in the lowest byte.
#[inline(always)]
fn sixteen_digits(value: u64) -> u128 {
    let high = value / WORD_LIMIT;
    u128::from(eight_digits(high)) | u128::from(eight_digits(value - WORD_LIMIT * high)) << 64
}

/// Those of a number below 10^8.
#[inline(always)]
fn eight_digits(value: u64) -> u64 {
    let high = value / 10_000;
    let fours = high | (value - 10_000 * high) << 32;
    // Quotients by 100 and 10 as products that are exact for so few digits.
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let pairs = hundreds | (fours - 100 * hundreds) << 16;
    let tens = ((pairs * 103) >> 10) & 0x000f_000f_000f_000f;
    (tens | (pairs - 10 * tens) << 8) | WORD_ZEROS
}

/// How many zeros lead the digits of a word.
#[inline(always)]
fn zeros(digits: u64) -> usize {
    (digits ^ WORD_ZEROS).trailing_zeros() as usize / 8
}

/// A number without zeros before it, nothing for 0. `None`: it has more digits than this writes.
#[inline(always)]
pub(crate) fn digits(value: u64) -> Option<Short> {
    if value < WORD_LIMIT {
        let digits = eight_digits(value);
        let zeros = zeros(digits);
        // Half the way twice: a shift by all bits is no shift.
        return Some(Short { bytes: u128::from(digits >> (4 * zeros) >> (4 * zeros)), len: 8 - zeros });
    }
    if value >= LIMIT {
        return None;
    }
    let digits = sixteen_digits(value);
    let zeros = zeros(digits as u64);
    Some(Short { bytes: digits >> (8 * zeros), len: DIGITS_MAX - zeros })
}

/// The same of `value` × 10^-`decimals` with all these decimals: `0.050`.
#[inline(always)]
pub(crate) fn plain(value: u64, decimals: u8) -> Option<Short> {
    let fraction = usize::from(decimals);
    if value >= WORD_LIMIT || fraction >= 8 {
        return long_plain(value, fraction);
    }
    let digits = eight_digits(value);
    let zeros = zeros(digits).min(7 - fraction);
    let (digits, len) = (digits >> (8 * zeros), 8 - zeros);
    let whole = 8 * (len - fraction);
    let after = u128::from(digits) >> whole << (whole + 8);
    let point = u128::from(b'.') << whole;
    let bytes = u128::from(digits) & ((1 << whole) - 1) | if fraction > 0 { point | after } else { 0 };
    Some(Short { bytes, len: len + usize::from(fraction > 0) })
}

/// The same of more digits than a word has.
#[inline(never)]
fn long_plain(value: u64, fraction: usize) -> Option<Short> {
    if value >= LIMIT || fraction >= DIGITS_MAX {
        return None;
    }
    let digits = sixteen_digits(value);
    let zeros = ((digits ^ ZEROS).trailing_zeros() as usize / 8).min(DIGITS_MAX - 1 - fraction);
    let (digits, len) = (digits >> (8 * zeros), DIGITS_MAX - zeros);
    if fraction == 0 {
        return Some(Short { bytes: digits, len });
    }
    if len == DIGITS_MAX {
        return None; // The point makes one byte too many.
    }
    let whole = 8 * (len - fraction);
    let point = u128::from(b'.') << whole;
    let after = digits >> whole << (whole + 8);
    Some(Short { bytes: digits & ((1 << whole) - 1) | point | after, len: len + 1 })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::decimal;

    fn text(short: Short) -> String {
        let bytes = short.bytes.to_le_bytes();
        assert!(bytes[short.len..].iter().all(|byte| *byte == 0), "{short:?}");
        String::from_utf8(bytes[..short.len].to_vec()).unwrap()
    }

    #[test]
    fn every_number_of_four_digits_is_written() {
        for value in 0..10_000 {
            let expected = format!("{value:04}{value:04}");
            assert_eq!(eight_digits(10_001 * value).to_le_bytes(), *expected.as_bytes(), "{value}");
        }
    }

    proptest! {
        #[test]
        fn a_number_is_written_as_format_does(
            value in 0_u64..=u64::MAX, power in 0_u32..20, decimals in 0_u8..20,
        ) {
            let value = value / 10_u64.pow(power);
            let is_short = value < LIMIT;
            let expected = if value == 0 { String::new() } else { value.to_string() };
            prop_assert_eq!(digits(value).map(text), is_short.then_some(expected));
            let found = plain(value, decimals).map(text);
            let expected = i64::try_from(value).ok().map(|value| decimal::format(value, -(decimals as i8)));
            let has_room = |text: &String| is_short && decimals < 16 && text.len() <= DIGITS_MAX;
            prop_assert_eq!(found, expected.filter(has_room));
        }

        #[test]
        fn texts_stand_one_behind_the_other(one in "[0-9.]{0,16}", other in "[0-9.]{0,16}") {
            let short = |text: &str| {
                let mut bytes = [0; DIGITS_MAX];
                bytes[..text.len()].copy_from_slice(text.as_bytes());
                Short { bytes: u128::from_le_bytes(bytes), len: text.len() }
            };
            let (mut room, both) = ([b'x'; 2 * DIGITS_MAX], format!("{one}{other}"));
            prop_assert_eq!(short(&one).write_with(short(&other), &mut room), Some(both.len()));
            prop_assert_eq!(&room[..both.len()], both.as_bytes());
            let longer = short(&one).followed_by(b':').map(text);
            prop_assert_eq!(longer, (one.len() < DIGITS_MAX).then(|| format!("{one}:")));
        }
    }
}
