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

/// Digits of a number that fit 64 bits whatever they are, with a sign.
const LONG_DIGITS_MAX: usize = 18;

/// Reads the unsigned number of at most 18 digits at `at` with any `decimals`. Gives mantissa, digits after the point and the
/// position behind it; `None` is no verdict, as with [`fast`].
#[inline]
pub(crate) fn long(bytes: &[u8], at: usize, decimals: u8) -> Option<(i64, u8, usize)> {
    let (whole, point) = digit_run(bytes, at)?;
    let (mut mantissa, mut end, mut fraction) = (whole, point, 0);
    if bytes.get(point) == Some(&b'.') {
        let (after, behind) = digit_run(bytes, point + 1)?;
        fraction = behind - point - 1;
        if point - at + fraction > LONG_DIGITS_MAX {
            return None;
        }
        mantissa = whole * POW10[fraction] + after;
        end = behind;
    }
    let decimals = usize::from(decimals);
    if let Some(cut) = fraction.checked_sub(decimals) {
        if !mantissa.is_multiple_of(POW10[cut]) {
            return None;
        }
        mantissa /= POW10[cut];
    } else {
        mantissa = mantissa.checked_mul(*POW10.get(decimals - fraction)?)?;
    }
    Some((i64::try_from(mantissa).ok()?, fraction as u8, end))
}

/// Value of the digits from `at` on, at least one and at most 18, and where they end.
#[inline]
fn digit_run(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let mut value = 0;
    let mut end = at;
    loop {
        let (values, count) = leading_digits(padded_word(bytes, end));
        if count > 0 {
            if end + count as usize - at > LONG_DIGITS_MAX {
                return None;
            }
            value = value * POW10[count as usize] + eight_digits(values << (64 - 8 * count));
            end += count as usize;
        }
        if count < 8 {
            return (end > at).then_some((value, end));
        }
    }
}

/// All bits of the last `n` bytes of a word.
const LAST: [u64; 9] = {
    let mut masks = [u64::MAX; 9];
    let mut count = 0;
    while count < 8 {
        masks[count] = !(u64::MAX >> (8 * count));
        count += 1;
    }
    masks
};

/// What follows from the digits after the point that are printed and that are kept: masks over the last 8 bytes of a
/// number, so that it is read without a branch on its length.
#[derive(Clone, Copy, Debug)]
struct Form {
    fraction: usize,
    decimals: usize,
    /// The bytes after the point, all where there is none; the byte of the point; the digits that are cut.
    is_after: u64,
    is_point: u64,
    is_cut: u64,
    /// Bits of the digits that are cut.
    cut: u32,
    /// What raises a mantissa of fewer digits than are kept.
    power: u64,
}

impl Form {
    /// `fraction` and `decimals` are at most 8.
    #[inline]
    fn new(fraction: usize, decimals: usize) -> Form {
        let cut = fraction.saturating_sub(decimals).min(8);
        let power = POW10[decimals.saturating_sub(fraction).min(8)];
        let (is_after, is_point) = match fraction {
            0 => (u64::MAX, 0),
            8.. => (u64::MAX, 0),
            1..8 => (LAST[fraction], LAST[fraction + 1] & !LAST[fraction]),
        };
        Form { fraction, decimals, is_after, is_point, is_cut: LAST[cut], cut: 8 * cut as u32, power }
    }

    /// Mantissa of the number of this form that ends before `end`; `None` if it is of another one.
    #[inline(always)]
    fn read(&self, bytes: &[u8], end: usize, length: usize) -> Option<i64> {
        let window: &[u8; 17] = bytes.get(end.checked_sub(17)?..end)?.first_chunk()?;
        let after = word_of(window, 9);
        let digits = length.wrapping_sub(usize::from(self.fraction != 0));
        if digits <= self.fraction {
            return None;
        }
        if digits <= 8 {
            // The last 8 bytes have the digits after the point in place, the 8 from one byte before those before it.
            let text = after & self.is_after | word_of(window, 8) & !self.is_after;
            let values = (text ^ (ONES * 0x30)) & LAST[digits];
            let others = (values.wrapping_add(ONES * 0x76) | values) & (ONES * 0x80);
            if others | (after ^ (ONES * 0x2e)) & self.is_point | values & self.is_cut != 0 {
                return None;
            }
            return Some(self.mantissa(values));
        }
        self.read_long(window, digits)
    }

    /// The same with up to 8 digits on either side of the point.
    #[inline]
    fn read_long(&self, window: &[u8; 17], digits: usize) -> Option<i64> {
        let fraction = self.fraction;
        let whole = digits - fraction;
        if fraction == 0 || fraction > 8 || whole > 8 || window[16 - fraction] != b'.' {
            return None;
        }
        let before = last_digits(word_of(window, 8 - fraction), whole)?;
        let after = last_digits(word_of(window, 9), fraction)?;
        if after & self.is_cut != 0 {
            return None;
        }
        Some((eight_digits(before) * POW10[self.decimals.min(8)]) as i64 + self.mantissa(after))
    }

    #[inline]
    fn mantissa(&self, values: u64) -> i64 {
        // All 8 digits cut: they are zeros, and a shift by all bits is no shift.
        (eight_digits(values << (self.cut & 63)) * self.power) as i64
    }
}

#[inline]
fn word_of(window: &[u8; 17], at: usize) -> u64 {
    word(window, at).unwrap_or_default()
}

/// Numbers in quotes that stand below each other, as the prices of a list do: they mostly have as many digits after the
/// point as the one before, and often its length. A guess that fails costs a second look, never a wrong number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    /// Bytes of the last number.
    length: usize,
    form: Form,
}

impl Default for Column {
    fn default() -> Self {
        Self { length: 1, form: Form::new(0, 0) }
    }
}

impl Column {
    /// Numbers from here on have so many digits (at most 8) after the point.
    pub(crate) fn keep(&mut self, decimals: u8) {
        if self.form.decimals != usize::from(decimals) {
            self.form = Form::new(self.form.fraction, usize::from(decimals));
        }
    }

    /// Digits after the point of the number read last.
    #[inline]
    pub(crate) fn fraction(&self) -> u8 {
        self.form.fraction as u8 // At most 8.
    }

    /// Reads the number at `at`, which a quote ends. Gives mantissa and position of the quote; `None` is no verdict, as
    /// with [`fast`].
    #[inline(always)]
    pub(crate) fn read(&mut self, bytes: &[u8], at: usize) -> Option<(i64, usize)> {
        let end = quote_after(bytes, at)?;
        self.length = end - at;
        if let Some(mantissa) = self.form.read(bytes, end, self.length) {
            return Some((mantissa, end));
        }
        self.read_other(bytes, end)
    }

    /// The same, for numbers that are mostly as long as the one before.
    #[inline(always)]
    pub(crate) fn read_alike(&mut self, bytes: &[u8], at: usize) -> Option<(i64, usize)> {
        let end = at + self.length;
        if bytes.get(end) == Some(&b'"')
            && let Some(mantissa) = self.form.read(bytes, end, self.length)
        {
            return Some((mantissa, end));
        }
        self.read_unlike(bytes, at)
    }

    #[inline(never)]
    fn read_unlike(&mut self, bytes: &[u8], at: usize) -> Option<(i64, usize)> {
        self.read(bytes, at)
    }

    #[cold]
    #[inline(never)]
    fn read_other(&mut self, bytes: &[u8], end: usize) -> Option<(i64, usize)> {
        let fraction = fraction_of(bytes, end - self.length, end)?;
        if fraction == self.form.fraction {
            return None;
        }
        self.form = Form::new(fraction, self.form.decimals);
        Some((self.form.read(bytes, end, self.length)?, end))
    }
}

/// Reads the number from `start` to `end` with `decimals` (at most 8) digits kept after the point; `None` is no verdict.
#[inline]
pub(crate) fn plain(bytes: &[u8], start: usize, end: usize, decimals: u8) -> Option<i64> {
    let fraction = fraction_of(bytes, start, end)?;
    Form::new(fraction, usize::from(decimals)).read(bytes, end, end - start)
}

/// Digits after the last point of a text, 0 if it has none near its end.
#[inline]
fn fraction_of(bytes: &[u8], start: usize, end: usize) -> Option<usize> {
    let length = end.checked_sub(start)?;
    let last = word(bytes, end.checked_sub(8)?)? & LAST[length.min(8)];
    let other = last ^ (ONES * 0x2e);
    // Only a byte above a point may seem to be one, and that is no digit.
    let points = other.wrapping_sub(ONES) & !other & (ONES * 0x80);
    if points != 0 {
        return Some(points.leading_zeros() as usize / 8);
    }
    Some(if length > 9 && bytes[end - 9] == b'.' { 8 } else { 0 })
}

/// Value of the digits from `start` to `end`; `None` is no verdict.
#[inline]
pub(crate) fn whole(bytes: &[u8], start: usize, end: usize) -> Option<u64> {
    let length = end.checked_sub(start)?;
    let last = word(bytes, end.checked_sub(8)?)?;
    match length {
        1..=8 => Some(eight_digits(last_digits(last, length)?)),
        9..=16 => {
            let first = eight_digits(last_digits(word(bytes, start)?, 8)?);
            Some(first * POW10[length - 8] + eight_digits(last_digits(last, length - 8)?))
        }
        _ => None,
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;

/// Values of the last `count` (at most 8) bytes of the word, zeros before them; `None` if one is no digit.
#[inline]
fn last_digits(text: u64, count: usize) -> Option<u64> {
    let values = (text ^ (ONES * 0x30)) & LAST[count];
    let is_other = (values.wrapping_add(ONES * 0x76) | values) & (ONES * 0x80);
    (is_other == 0).then_some(values)
}

/// Words in which the quote that ends a number is looked for: 8 digits, a point, 8 digits.
const QUOTE_WORDS_MAX: usize = 3;

/// Position of the first quote at or after `at`, if it is near.
#[inline]
fn quote_after(bytes: &[u8], at: usize) -> Option<usize> {
    let mut start = at;
    for _ in 0..QUOTE_WORDS_MAX {
        let other = padded_word(bytes, start) ^ (ONES * 0x22);
        let is_quote = other.wrapping_sub(ONES) & !other & (ONES * 0x80);
        if is_quote != 0 {
            return Some(start + is_quote.trailing_zeros() as usize / 8);
        }
        start += 8;
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
        column.keep(decimals);
        let mut read = |alike: bool, text: &str| {
            let frame = format!("{{\"symbol\":1,\"bids\":[[\"{text}\",\"");
            let bytes = frame.as_bytes();
            let found = if alike { column.read_alike(bytes, 22) } else { column.read(bytes, 22) };
            let mantissa = found.map(|(mantissa, end)| {
                assert_eq!(end, 22 + text.len(), "{text}");
                mantissa
            });
            assert!(mantissa.is_none() || plain(bytes, 22, 22 + text.len(), decimals) == mantissa, "{text}");
            mantissa
        };
        let alike: Vec<_> = texts.iter().map(|text| read(true, text)).collect();
        assert!(texts.iter().zip(&alike).all(|(text, is)| read(false, text) == *is), "{texts:?}");
        alike
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
        fn long_is_parse_or_silent(text in "[0-9]{0,13}(\\.[0-9]{0,13})?([eE.-][0-9])?", decimals in 0_u8..=18) {
            let padded = format!("{text}\"");
            let exp = -(decimals as i8);
            let parsed = parse(text.as_bytes(), exp);
            match long(padded.as_bytes(), 0, decimals) {
                Some((mantissa, fraction, end)) if end == text.len() => {
                    prop_assert_eq!(parsed, Ok(mantissa));
                    prop_assert_eq!(usize::from(fraction), text.split_once('.').map_or(0, |(_, after)| after.len()));
                }
                // What ends a number otherwise is for the caller to refuse.
                Some((_, _, end)) => prop_assert!(matches!(text.as_bytes()[end], b'e' | b'E' | b'.' | b'-')),
                None => {
                    let parts: Vec<&str> = text.split('.').collect();
                    let plain = parts.iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
                    let digits: usize = parts.iter().map(|part| part.len()).sum();
                    prop_assert!(!plain || parts.len() > 2 || digits > 18 || parsed.is_err());
                }
            }
        }

        #[test]
        fn whole_is_the_value_or_silent(text in "[0-9]{0,20}[.-]?[0-9]{0,2}") {
            let frame = format!("{{\"first\":{text},\"");
            let value = whole(frame.as_bytes(), 9, 9 + text.len());
            let expected = text.parse::<u64>().ok().filter(|_| text.len() <= 16);
            prop_assert_eq!(value, expected);
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
