//! Numbers to text, 8 digits at a time.

/// Bytes that a number is written into, of which it takes the first.
pub(crate) const ROOM: usize = 32;

/// Digits that two words hold.
const DIGITS_MAX: usize = 16;
const LIMIT: u64 = 10_000_000_000_000_000;
/// What one word holds is below this.
const WORD_LIMIT: u64 = 100_000_000;

/// The 16 digits of a number below 10^16, and zeros behind them.
#[inline(always)]
fn sixteen_digits(value: u64) -> [u8; DIGITS_MAX + ROOM] {
    let mut digits = [b'0'; DIGITS_MAX + ROOM];
    let high = value / WORD_LIMIT;
    digits[..8].copy_from_slice(&eight_digits(high).to_le_bytes());
    digits[8..16].copy_from_slice(&eight_digits(value - WORD_LIMIT * high).to_le_bytes());
    digits
}

/// The digits of a number below 10^8, the first in the lowest byte.
#[inline(always)]
fn eight_digits(value: u64) -> u64 {
    let high = value / 10_000;
    let fours = high | (value - 10_000 * high) << 32;
    // Quotients by 100 and 10 as products that are exact for so few digits.
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let pairs = hundreds | (fours - 100 * hundreds) << 16;
    let tens = ((pairs * 103) >> 10) & 0x000f_000f_000f_000f;
    (tens | (pairs - 10 * tens) << 8) | 0x3030_3030_3030_3030
}

/// How many digits a number below 10^16 has; 0 has none.
#[inline(always)]
fn count(value: u64) -> usize {
    value.checked_ilog10().map_or(0, |log| log as usize + 1)
}

/// Writes a number without zeros before it, nothing for 0, and gives its length. `None`: it has more digits than this writes.
#[inline]
pub(crate) fn digits(value: u64, out: &mut [u8; ROOM]) -> Option<usize> {
    if value < WORD_LIMIT {
        let length = count(value);
        let digits = eight_digits(value) >> ((64 - 8 * length) & 63);
        out[..8].copy_from_slice(&digits.to_le_bytes());
        return Some(length);
    }
    if value >= LIMIT {
        return None;
    }
    let (digits, length) = (sixteen_digits(value), count(value));
    out.copy_from_slice(digits.get(DIGITS_MAX - length..)?.get(..ROOM)?);
    Some(length)
}

/// The same of `value` × 10^-`decimals` with all these decimals: `0.050`.
#[inline]
pub(crate) fn plain(value: u64, decimals: u8, out: &mut [u8; ROOM]) -> Option<usize> {
    let fraction = usize::from(decimals);
    if value < WORD_LIMIT && fraction < 8 {
        let length = count(value).max(fraction + 1);
        let digits = eight_digits(value) >> (64 - 8 * length);
        let whole = 8 * (length - fraction);
        let after = u128::from(digits) >> whole << (whole + 8);
        let point = u128::from(b'.') << whole;
        let text = u128::from(digits) & ((1 << whole) - 1) | if fraction > 0 { point | after } else { 0 };
        out[..16].copy_from_slice(&text.to_le_bytes());
        return Some(length + usize::from(fraction > 0));
    }
    long_plain(value, fraction, out)
}

/// The same of more digits than a word has.
#[inline(never)]
fn long_plain(value: u64, fraction: usize, out: &mut [u8; ROOM]) -> Option<usize> {
    if value >= LIMIT || fraction >= DIGITS_MAX {
        return None;
    }
    let digits = sixteen_digits(value);
    let length = count(value).max(fraction + 1);
    out.copy_from_slice(digits.get(DIGITS_MAX - length..)?.get(..ROOM)?);
    if fraction == 0 {
        return Some(length);
    }
    let point = length - fraction;
    *out.get_mut(point)? = b'.';
    let after = digits.get(DIGITS_MAX - fraction..)?.get(..DIGITS_MAX - 1)?;
    out.get_mut(point + 1..)?.get_mut(..DIGITS_MAX - 1)?.copy_from_slice(after);
    Some(length + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::decimal;

    fn text(write: impl FnOnce(&mut [u8; ROOM]) -> Option<usize>) -> Option<String> {
        let mut out = [b'x'; ROOM];
        let length = write(&mut out)?;
        Some(String::from_utf8(out[..length].to_vec()).unwrap())
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
            prop_assert_eq!(text(|out| digits(value, out)), is_short.then_some(expected));
            let found = text(|out| plain(value, decimals, out));
            let expected = i64::try_from(value).ok().map(|value| decimal::format(value, -(decimals as i8)));
            prop_assert_eq!(found, expected.filter(|_| is_short && decimals < 16));
        }
    }
}
