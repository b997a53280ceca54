//! Numbers as venues print them, read 8 digits at a time without a loop or a division.
//!
//! Nothing here says that a text is wrong: what is not plain is left to [`super::parse`].

use super::POW10;

/// The 8 bytes at `at`, the first in the lowest bits; `None` at the end of the text.
#[inline]
pub(crate) fn word(bytes: &[u8], at: usize) -> Option<u64> {
    let chunk = bytes.get(at..)?.first_chunk::<8>()?;
    Some(u64::from_le_bytes(*chunk))
}

/// The 8 bytes at `at`, with zeros after the end of the text.
#[inline]
pub(crate) fn padded_word(bytes: &[u8], at: usize) -> u64 {
    word(bytes, at).unwrap_or_else(|| tail_word(bytes, at))
}

#[cold]
fn tail_word(bytes: &[u8], at: usize) -> u64 {
    let rest = bytes.get(at..).unwrap_or_default();
    match bytes.last_chunk::<8>() {
        _ if rest.is_empty() => 0,
        Some(last) => u64::from_le_bytes(*last) >> (64 - 8 * rest.len()),
        None => rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

/// The word with digits as their values, and how many digits lead it.
#[inline]
pub(crate) fn leading_digits(word: u64) -> (u64, u32) {
    let values = word ^ 0x3030_3030_3030_3030;
    // A byte above 9 sets its high bit; the carry of one can only spoil later bytes, after the first non-digit.
    let others = (values.wrapping_add(0x7676_7676_7676_7676) | values) & 0x8080_8080_8080_8080;
    (values, others.trailing_zeros() / 8)
}

/// Value of 8 digits, the first in the lowest byte: pairs, then fours, then all.
#[inline]
pub(crate) fn eight_digits(values: u64) -> u64 {
    let pairs = values.wrapping_mul(10).wrapping_add(values >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff
}

/// Digits after the point that the fast path reads: one 64-bit word.
pub(crate) const FAST_FRACTION_MAX: u8 = 8;

/// Reads the unsigned plain number at `at` with `decimals` (at most 8) digits kept after the point.
///
/// Gives mantissa and position of the byte after it. `None` is no verdict: the number is long, signed, in exponent
/// form, too fine, at the end of the text or none at all, and [`super::parse`] has to say.
#[inline]
pub(crate) fn fast(bytes: &[u8], at: usize, decimals: u8) -> Option<(i64, usize)> {
    let (values, count) = leading_digits(padded_word(bytes, at));
    if count == 0 {
        return None;
    }
    let whole = eight_digits(values << (64 - 8 * count));
    let end = at + count as usize;
    let kept = u32::from(decimals);
    let scaled = whole * POW10[usize::from(decimals.min(FAST_FRACTION_MAX))];
    let (mantissa, end) = match bytes.get(end)? {
        b'.' => {
            let (values, count) = leading_digits(padded_word(bytes, end + 1));
            let digits = if count == 8 { values } else { values & ((1 << (8 * count)) - 1) };
            if count == 0 || (kept < 8 && digits >> (8 * kept) != 0) {
                return None;
            }
            let fraction = if kept == 0 { 0 } else { eight_digits(digits << (64 - 8 * kept)) };
            (scaled + fraction, end + 1 + count as usize)
        }
        _ => (scaled, end),
    };
    match bytes.get(end)? {
        b'0'..=b'9' | b'.' | b'e' | b'E' => None,
        _ => Some((i64::try_from(mantissa).ok()?, end)),
    }
}

/// Digits that one column number may have on either side of the point.
const COLUMN_DIGITS_MAX: usize = 8;

/// Numbers in quotes that stand below each other, as the prices of a list do: they mostly have the digits after the point
/// of the one before, and often its length. A guess that fails costs a second look, never a wrong number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    /// Bytes of the last number.
    length: usize,
    /// Digits after its point; 0 = it had none.
    fraction: usize,
}

impl Default for Column {
    fn default() -> Self {
        Self { length: 1, fraction: 0 }
    }
}

impl Column {
    /// Reads the number at `at`, which a quote ends, with `decimals` (at most 8) digits kept after the point.
    ///
    /// Gives mantissa and position of the quote. `None` is no verdict, as with [`fast`].
    #[inline]
    pub(crate) fn read(&mut self, bytes: &[u8], at: usize, decimals: u8) -> Option<(i64, usize)> {
        let guess = at + self.length;
        if bytes.get(guess) == Some(&b'"')
            && let Some(mantissa) = self.number(bytes, guess, decimals)
        {
            return Some((mantissa, guess));
        }
        let end = quote_after(bytes, at)?;
        self.length = end - at;
        if let Some(mantissa) = self.number(bytes, end, decimals) {
            return Some((mantissa, end));
        }
        self.look(bytes, end);
        Some((self.number(bytes, end, decimals)?, end))
    }

    /// Finds the point of the number of the present length.
    #[cold]
    fn look(&mut self, bytes: &[u8], end: usize) {
        let text = bytes.get(end - self.length..end).unwrap_or_default();
        self.fraction = text.iter().rev().position(|byte| *byte == b'.').unwrap_or(0);
    }

    /// Mantissa of the number of the present form that ends before `end`; `None` if it is of another one.
    #[inline]
    fn number(&self, bytes: &[u8], end: usize, decimals: u8) -> Option<i64> {
        let Self { length, fraction } = *self;
        let decimals = usize::from(decimals);
        let whole = if fraction == 0 { length } else { length.checked_sub(fraction + 1)? };
        if whole == 0 {
            return None;
        }
        let digits = whole + fraction;
        if digits <= COLUMN_DIGITS_MAX {
            // The last 9 bytes hold the number with its point. Of the words before and after the first byte, one has
            // the digits before the point where those after it leave room.
            let window: &[u8; 9] = bytes.get(end.checked_sub(9)?..end)?.first_chunk()?;
            let [after, before] = [last_word(&window[1..]), last_word(&window[..8])];
            let mut text = after;
            if fraction != 0 {
                if window[8 - fraction] != b'.' {
                    return None;
                }
                let is_fraction = u64::MAX << (64 - 8 * fraction);
                text = after & is_fraction | before & !is_fraction;
            }
            let values = last_digits(text, digits)?;
            return scaled(values, fraction, decimals);
        }
        if whole > COLUMN_DIGITS_MAX || !(1..=COLUMN_DIGITS_MAX).contains(&fraction) {
            return None;
        }
        let point = end - fraction - 1;
        if bytes[point] != b'.' {
            return None;
        }
        let before = eight_digits(last_digits(word(bytes, point.checked_sub(8)?)?, whole)?);
        let after = scaled(last_digits(word(bytes, end - 8)?, fraction)?, fraction, decimals)?;
        i64::try_from(before * POW10[decimals.min(COLUMN_DIGITS_MAX)]).ok().map(|mantissa| mantissa + after)
    }
}

#[inline]
fn last_word(bytes: &[u8]) -> u64 {
    bytes.last_chunk::<8>().map_or(0, |chunk| u64::from_le_bytes(*chunk))
}

/// Values of the last `count` (1 to 8) bytes of the word, zeros before them; `None` if one is no digit.
#[inline]
fn last_digits(text: u64, count: usize) -> Option<u64> {
    let others = 64 - 8 * count;
    let values = (text ^ 0x3030_3030_3030_3030) >> others << others;
    let is_other = (values.wrapping_add(0x7676_7676_7676_7676) | values) & 0x8080_8080_8080_8080;
    (is_other == 0).then_some(values)
}

/// Number of 8 digits whose last `fraction` stand after the point, with `decimals` digits after it; `None` if that
/// would cut others than zeros.
#[inline]
fn scaled(values: u64, fraction: usize, decimals: usize) -> Option<i64> {
    let mantissa = if fraction <= decimals {
        eight_digits(values) * POW10[(decimals - fraction).min(COLUMN_DIGITS_MAX)]
    } else {
        let cut = 8 * (fraction - decimals);
        if values >> (64 - cut) != 0 {
            return None;
        }
        if cut == 64 { 0 } else { eight_digits(values << cut) }
    };
    i64::try_from(mantissa).ok()
}

/// Bytes after which a quote that ends a number is looked for no more: 8 digits, a point, 8 digits, and a sign.
const QUOTE_WORDS_MAX: usize = 3;

/// Position of the first quote at or after `at`, if it is near.
#[inline]
fn quote_after(bytes: &[u8], at: usize) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    for start in (at..).step_by(8).take(QUOTE_WORDS_MAX) {
        let other = padded_word(bytes, start) ^ (ONES * 0x22);
        let is_quote = other.wrapping_sub(ONES) & !other & (ONES * 0x80);
        if is_quote != 0 {
            return Some(start + is_quote.trailing_zeros() as usize / 8);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fast_reads_what_venues_print() {
        let read = |text: &str, decimals| fast(format!("{text}\",\"........").as_bytes(), 0, decimals);
        assert_eq!(read("61837.63000000", 2), Some((6_183_763, 14)));
        assert_eq!(read("0.00000001", 8), Some((1, 10)));
        assert_eq!(read("99999999.99999999", 8), Some((9_999_999_999_999_999, 17)));
        assert_eq!(read("5", 0), Some((5, 1)));
        assert_eq!(read("5", 8), Some((500_000_000, 1)));
        assert_eq!(read("5.0", 0), Some((5, 3)));
        for other in ["123456789", "1.123456789", "0.001", "-1", "1e5", "1.2e5", "1.", ".1", "1.2.3", ""] {
            assert_eq!(read(other, 2), None, "{other}");
        }
    }

    fn column(texts: &[&str], decimals: u8) -> Vec<Option<i64>> {
        let mut column = Column::default();
        let read = |text: &&str| {
            let frame = format!("[[\"{text}\",\"");
            let (mantissa, end) = column.read(frame.as_bytes(), 3, decimals)?;
            assert_eq!(end, 3 + text.len(), "{text}");
            Some(mantissa)
        };
        texts.iter().map(read).collect()
    }

    #[test]
    fn a_column_reads_numbers_of_any_form_after_any_other() {
        let forms =
            ["61837.63", "5", "61837.60000000", "0.00100000", "12345678", "0.1", "12345678.12000000", "0.10"];
        let values = [6_183_763, 500, 6_183_760, 0, 1_234_567_800, 10, 1_234_567_812, 10];
        for (first, is) in forms.iter().zip(values) {
            for (second, will_be) in forms.iter().zip(values) {
                let expected = [is, will_be].map(|value| (value != 0).then_some(value));
                assert_eq!(column(&[*first, *second], 2), expected, "{first} {second}");
            }
        }
        for other in [
            "",
            ".",
            ".5",
            "5.",
            "-1",
            "1e5",
            "1.2.3",
            "0.001",
            "123456789",
            "1.123456789",
            "1 ",
            "é",
            "1/",
            "1:",
        ] {
            assert_eq!(column(&["1.25", other, "1.50"], 2), [Some(125), None, Some(150)], "{other}");
        }
    }

    proptest! {
        #[test]
        fn a_column_is_parse_or_silent(
            texts in proptest::collection::vec("[0-9]{0,9}(\\.[0-9]{0,9})?([eE.-][0-9])?", 1..6),
            decimals in 0_u8..=8,
        ) {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            for (text, read) in texts.iter().zip(column(&texts, decimals)) {
                let parsed = parse(text.as_bytes(), -(decimals as i8));
                if let Some(mantissa) = read {
                    prop_assert_eq!(parsed, Ok(mantissa));
                } else {
                    let parts: Vec<&str> = text.split('.').collect();
                    let plain = parts.iter().all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit()));
                    prop_assert!(!plain || parts.len() > 2 || parsed.is_err());
                }
            }
        }

        #[test]
        fn fast_is_parse_or_silent(text in "[0-9]{0,10}(\\.[0-9]{0,10})?([eE.-][0-9])?", decimals in 0_u8..=8) {
            let padded = format!("{text}\"        ");
            let exp = -(decimals as i8);
            if let Some((mantissa, end)) = fast(padded.as_bytes(), 0, decimals) {
                // A sign ends a number for the caller to refuse.
                prop_assert!(end == text.len() || text.as_bytes()[end] == b'-');
                prop_assert_eq!(parse(&text.as_bytes()[..end], exp), Ok(mantissa));
            } else {
                // Silent only where it may be: long, too fine, or not plain.
                let plain = text.split('.').all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit()));
                let plain = plain && text.matches('.').count() <= 1;
                prop_assert!(!plain || parse(text.as_bytes(), exp).is_err());
            }
        }
    }
}
