//! Numbers as venues print them, read 8 digits at a time without a loop or a division.
//!
//! Nothing here says that a text is wrong: what is not plain is left to [`super::parse`].

use super::POW10;
use super::words::{Words, word};

/// Each byte that is a digit as its value.
const DIGITS: u64 = 0x0f0f_0f0f_0f0f_0f0f;

/// How many digits lead a word.
#[inline]
pub(crate) fn leading_digits(word: u64) -> u32 {
    let values = word ^ 0x3030_3030_3030_3030;
    // A byte above 9 sets its high bit; the carry of one can only spoil later bytes, after the first non-digit.
    let others = (values.wrapping_add(0x7676_7676_7676_7676) | values) & 0x8080_8080_8080_8080;
    others.trailing_zeros() / 8
}

/// Value of 8 digits, the first in the lowest byte: pairs, then the first and third of these beside the second and fourth.
#[inline]
pub(crate) fn eight_digits(values: u64) -> u64 {
    const PAIRS: u64 = 0x0000_00ff_0000_00ff;
    let pairs = values.wrapping_mul(10).wrapping_add(values >> 8);
    let odd = (pairs & PAIRS).wrapping_mul(1_000_000 << 32 | 100);
    let even = (pairs >> 16 & PAIRS).wrapping_mul(10_000 << 32 | 1);
    odd.wrapping_add(even) >> 32
}

/// What becomes of the digits after the point: how many are kept, as masks and powers that are the same for all numbers of
/// a column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept {
    /// More digits are kept than one word holds.
    is_wide: bool,
    /// So many that 7 before the point may be more than 64 bits hold.
    is_far: bool,
    /// Bytes of digits that are not kept, and the shift that leaves the others alone: in the first word after the point, or
    /// in the second one where the first is kept whole.
    cut: u64,
    shift: u32,
    /// What raises the digits before the point, and those of the first word where two are kept.
    power: u64,
    high_power: u64,
}

/// Digits after the point that two words hold beside what ends them; as many are read before it.
const KEPT_MAX: usize = 15;

const KEPT: [Kept; KEPT_MAX + 1] = {
    let mut all = [Kept::new(0); KEPT_MAX + 1];
    let mut decimals = 0;
    while decimals <= KEPT_MAX {
        all[decimals] = Kept::new(decimals as u8);
        decimals += 1;
    }
    all
};

impl Kept {
    const fn new(decimals: u8) -> Kept {
        let is_wide = decimals > 8;
        let in_word = if is_wide { decimals - 8 } else { decimals } as usize;
        Kept {
            is_wide,
            is_far: decimals > 11,
            cut: !FIRST[in_word],
            // With none kept what is left is 0, and a shift by all bits is no shift.
            shift: (64 - 8 * in_word as u32) & 63,
            power: POW10[decimals as usize],
            high_power: if is_wide { POW10[in_word] } else { 1 },
        }
    }

    /// For mantissas at 10^`exp`; `None`: that is not what this reads.
    #[inline]
    pub(crate) fn at(exp: i8) -> Option<&'static Kept> {
        if exp > 0 {
            return None;
        }
        KEPT.get(usize::from(exp.unsigned_abs()))
    }
}

/// A number without sign and exponent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plain {
    pub(crate) mantissa: i64,
    /// Digits after the point; a whole word, because a byte waits where it is read again with others.
    fraction: u64,
    /// Where the byte after it stands.
    pub(crate) end: usize,
}

impl Plain {
    /// Digits after the point as printed.
    #[inline(always)]
    pub(crate) fn decimals(self) -> u8 {
        self.fraction as u8 // At most 15.
    }
}

/// Reads the plain number at `at`. What stands behind it is for the caller to look at, but for digits: all are read. `None` is
/// no verdict: the number is long, signed, too fine, or none at all, and [`super::parse`] has to say.
#[inline]
pub(crate) fn number<W: Words>(words: W, at: usize, kept: &Kept) -> Option<Plain> {
    short_number(words, at, kept).or_else(|| long_number(words, at, kept))
}

/// The same with at most 7 digits before the point, or 8 where few are kept behind it: nearly all. Nothing of it is called, so that a list of numbers stays in
/// registers.
///
/// How many digits there are is no branch, because it changes from number to number where a venue prints no zeros at the
/// end; only where there are more than one word holds.
#[inline(always)]
pub(crate) fn short_number<W: Words>(words: W, at: usize, kept: &Kept) -> Option<Plain> {
    let first = words.word(at);
    let count = leading_digits(first);
    let shift = (8 * count) & 63;
    let whole = eight_digits((first & DIGITS) << ((64 - shift) & 63));
    let mut after = (first >> shift) as u8;
    if count == 8 {
        after = words.word(at + 8) as u8;
    }
    let is_point = after == b'.';
    let start = at + count as usize + usize::from(is_point);
    let second = words.word(start);
    let mut fraction = leading_digits(second);
    let mut digits = second & DIGITS & FIRST[fraction as usize];
    let mut high = 0;
    if kept.is_wide {
        high = eight_digits(digits) * kept.high_power;
        digits = 0;
    }
    if fraction == 8 {
        let third = words.word(start + 8);
        let more = leading_digits(third);
        if more != 0 {
            let last = third & DIGITS & FIRST[more as usize];
            if more == 8 || !kept.is_wide && last != 0 {
                return None;
            }
            if kept.is_wide {
                digits = last;
            }
            fraction += more;
        }
    }
    let is_short = count.wrapping_sub(1) < 7 && !kept.is_far || count == 8 && !kept.is_wide;
    // Of nine digits without a point the last ones would be taken for those behind one.
    if !is_short || is_point != (fraction != 0) || digits & kept.cut != 0 {
        return None;
    }
    // Below 10^18 + 10^11, the power of a column that is not wide being 10^8 at most.
    let mantissa = (whole * kept.power + high + eight_digits(digits << kept.shift)) as i64;
    Some(Plain { mantissa, fraction: u64::from(fraction), end: start + fraction as usize })
}

/// Up to 15 digits on either side of the point.
#[inline(never)]
fn long_number<W: Words>(words: W, at: usize, kept: &Kept) -> Option<Plain> {
    let (whole, count) = fifteen_digits(words, at)?;
    let point = at + count as usize;
    let is_point = words.word(point) as u8 == b'.';
    let start = point + usize::from(is_point);
    let first = words.word(start);
    let (high, mut low, fraction) = match leading_digits(first) {
        8 => {
            let second = words.word(start + 8);
            let count = leading_digits(second);
            if count == 8 {
                return None;
            }
            (first & DIGITS, second & DIGITS & FIRST[count as usize], 8 + count)
        }
        count => (first & DIGITS & FIRST[count as usize], 0, count),
    };
    if count == 0 || (is_point && fraction == 0) {
        return None;
    }
    let mut after = 0;
    if kept.is_wide {
        after = eight_digits(high) * kept.high_power;
    } else if low == 0 {
        low = high;
    } else {
        return None;
    }
    if low & kept.cut != 0 {
        return None;
    }
    after += eight_digits(low << kept.shift);
    let mantissa = i64::try_from(whole.checked_mul(kept.power)?.checked_add(after)?).ok()?;
    Some(Plain { mantissa, fraction: u64::from(fraction), end: start + fraction as usize })
}

/// Value of up to 15 digits, and how many there are; `None`: there are more.
#[inline(always)]
fn fifteen_digits<W: Words>(words: W, at: usize) -> Option<(u64, u32)> {
    let value = |word: u64, count: u32| {
        eight_digits((word & DIGITS & FIRST[count as usize]) << ((64 - 8 * count) & 63))
    };
    let first = words.word(at);
    match leading_digits(first) {
        8 => {
            let second = words.word(at + 8);
            let count = leading_digits(second);
            let low = value(second, count);
            (count < 8).then(|| (eight_digits(first & DIGITS) * POW10[count as usize] + low, 8 + count))
        }
        count => Some((value(first, count), count)),
    }
}

/// Mantissa of the plain number from `start` to `end`; `None` is no verdict.
#[inline]
pub(crate) fn plain(bytes: &[u8], start: usize, end: usize, kept: &Kept) -> Option<i64> {
    let number = number(bytes, start, kept)?;
    (number.end == end).then_some(number.mantissa)
}

/// All bits of the first `n` bytes of a word, and of the last ones.
const FIRST: [u64; 9] = {
    let mut masks = [u64::MAX; 9];
    let mut count = 0;
    while count < 8 {
        masks[count] = (1 << (8 * count)) - 1;
        count += 1;
    }
    masks
};
const LAST: [u64; 9] = {
    let mut masks = [0; 9];
    let mut count = 0;
    while count <= 8 {
        masks[count] = !FIRST[8 - count];
        count += 1;
    }
    masks
};

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

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;
    use proptest::prelude::*;

    /// Text of a number in a frame, and what ends it; mantissa, digits after the point, and how many bytes were read.
    fn read(text: &str, decimals: u8) -> Option<(i64, u8, usize)> {
        let frame = format!("[[\"{text}");
        let found = number(frame.as_bytes(), 3, Kept::at(-(decimals as i8)).unwrap())?;
        Some((found.mantissa, found.fraction as u8, found.end - 3))
    }

    #[test]
    fn numbers_as_venues_print_them() {
        assert_eq!(read("61837.63000000\",", 2), Some((6_183_763, 8, 14)));
        assert_eq!(read("0.00000001\"", 8), Some((1, 8, 10)));
        assert_eq!(read("99999999.99999999", 8), Some((9_999_999_999_999_999, 8, 17)));
        assert_eq!(read("5", 0), Some((5, 0, 1)));
        assert_eq!(read("5,", 8), Some((500_000_000, 0, 1)));
        assert_eq!(read("5.0]", 0), Some((5, 1, 3)));
        assert_eq!(read("007.50}", 1), Some((75, 2, 6)));
        assert_eq!(read("0.000027720\"", 9), Some((27_720, 9, 11)));
        assert_eq!(read("0.00000074526\"", 11), Some((74_526, 11, 13)));
        assert_eq!(read("0.5\"", 15), Some((500_000_000_000_000, 1, 3)));
        assert_eq!(read("888357151.75563637\"", 8), Some((88_835_715_175_563_637, 8, 18)));
        assert_eq!(read("0.123456789012345\"", 15), Some((123_456_789_012_345, 15, 17)));
        assert_eq!(read("0.100000000000000\"", 9), Some((100_000_000, 15, 17)));
        assert_eq!(read("999999999999999\"", 3), Some((999_999_999_999_999_000, 0, 15)));
        for other in ["", ".", ".1", "1.", "1.\"", "-1", "+1", "x", "\u{e9}", "0.001", "1.00000001"] {
            assert_eq!(read(other, 2), None, "{other}");
        }
        assert_eq!(read("123456789.5", 15), None, "64 bits do not hold it");
        for long in ["1234567890123456", "0.1000000000000000"] {
            assert_eq!(read(long, 2), None, "so many digits are not read: {long}");
        }
        assert!(Kept::at(1).is_none() && Kept::at(-16).is_none());
    }

    /// Numbers of all lengths, whose only digit that is no zero stands in each place, or of nines, at all exponents.
    #[test]
    fn a_number_of_any_length_is_parse_or_silent() {
        for (whole, fraction) in (0..=17).flat_map(|whole| (0..=17).map(move |fraction| (whole, fraction))) {
            let count = whole + fraction;
            for at in 0..=count {
                let digit = |place| if at == place || at == count { '9' } else { '0' };
                let before: String = (0..whole).map(digit).collect();
                let after: String = (whole..count).map(digit).collect();
                let text = if fraction > 0 { format!("{before}.{after}") } else { before };
                for decimals in 0..=15 {
                    let parsed = parse(text.as_bytes(), -(decimals as i8));
                    match read(&text, decimals) {
                        Some(found) => {
                            assert_eq!(
                                found,
                                (parsed.unwrap(), fraction as u8, text.len()),
                                "{text} {decimals}"
                            );
                        }
                        None => {
                            assert!(parsed.is_err() || whole.max(fraction) > KEPT_MAX, "{text} {decimals}");
                        }
                    }
                }
            }
        }
    }

    proptest! {
        /// Whatever a text is and whatever follows, what is read of it is what [`parse`] says of those bytes.
        #[test]
        fn a_number_is_parse_or_silent(
            text in "[0-9]{0,17}(\\.([0-9]{0,9}|[0-9]{0,5}0{0,12}))?",
            behind in "([eE,\"\\]}-][0-9.]{0,20})?",
            decimals in 0_u8..=15,
        ) {
            let exp = -(decimals as i8);
            let parsed = parse(text.as_bytes(), exp);
            match read(&format!("{text}{behind}"), decimals) {
                Some((mantissa, fraction, length)) => {
                    prop_assert_eq!(length, text.len());
                    prop_assert_eq!(usize::from(fraction), text.split_once('.').map_or(0, |(_, after)| after.len()));
                    prop_assert_eq!(parsed, Ok(mantissa));
                }
                None => {
                    let is_long = text.split('.').any(|part| part.len() > KEPT_MAX);
                    prop_assert!(parsed.is_err() || is_long, "{text} was not read");
                }
            }
            let frame = format!("{text}{behind}");
            let found = plain(frame.as_bytes(), 0, text.len(), Kept::at(exp).unwrap());
            prop_assert_eq!(found, read(&frame, decimals).map(|(mantissa, ..)| mantissa));
        }

        #[test]
        fn whole_is_the_value_or_silent(text in "[0-9]{0,20}[.-]?[0-9]{0,2}") {
            let frame = format!("{{\"first\":{text},\"");
            let value = whole(frame.as_bytes(), 9, 9 + text.len());
            let expected = text.parse::<u64>().ok().filter(|_| text.len() <= 16);
            prop_assert_eq!(value, expected);
        }
    }
}
