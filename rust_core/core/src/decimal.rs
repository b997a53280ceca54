//! Decimal text to fixed point: exact, without a float and, on the common path, without a division or a loop.
//!
//! A number is what JSON allows, plus leading zeros and a plus sign as venues print them: `61837.63000000`,
//! `-0.000012`, `1e-8`, `12E3`, `007.5`. A digit is needed on both sides of a point (`5.` and `.5` are junk).

mod fast;
mod words;
pub(crate) mod write;

pub(crate) use fast::{Kept, Plain, leading_digits, number, plain, short_number, whole};
pub(crate) use words::{Near, Words, padded_word, word};

/// Why a text gave no mantissa.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecimalError {
    /// The number has digits below the exponent asked for.
    NeedsFiner {
        /// The exponent that holds every significant digit.
        exp: i8,
    },
    /// The number does not fit an `i64` mantissa, at the exponent asked for or at the one that it needs.
    Overflow,
    /// This is no number.
    Junk,
}

/// Powers of ten that fit an `i64`.
pub(crate) const POW10: [u64; 19] = {
    let mut table = [1; 19];
    let mut at = 1;
    while at < table.len() {
        table[at] = table[at - 1] * 10;
        at += 1;
    }
    table
};

/// By count of zeros: what undoes the multiplication by a power of 5, and the quotient of all bits by the power of ten.
const UNDONE: [(u64, u64); 19] = {
    const FIFTH: u64 = 0xcccc_cccc_cccc_cccd;
    let mut table = [(1, u64::MAX); 19];
    let mut at = 1;
    while at < table.len() {
        table[at] = (u64::wrapping_mul(table[at - 1].0, FIFTH), u64::MAX / POW10[at]);
        at += 1;
    }
    table
};

/// Whether a number ends with so many zeros, without a division; `None`: 64 bits hold no such power of ten.
#[inline]
pub(crate) fn has_zeros(number: u64, zeros: u32) -> Option<bool> {
    let (inverse, most) = *UNDONE.get(zeros as usize)?;
    Some(number.wrapping_mul(inverse).rotate_right(zeros) <= most)
}

/// Exponents in a text beyond this are far outside of any `i64` at an `i8` exponent; the sum cannot overflow.
const EXPONENT_MAX: i64 = 100_000;

/// Mantissa of `text` at 10^`exp`; trailing zeros need no digits. Never gives `i64::MIN`, which means "not given".
///
/// # Errors
/// See [`DecimalError`].
///
/// ```
/// use outcrier_core::decimal::{DecimalError, parse};
/// assert_eq!(parse(b"61837.63000000", -2), Ok(6_183_763));
/// assert_eq!(parse(b"1e-8", -8), Ok(1));
/// assert_eq!(parse(b"0.125", -2), Err(DecimalError::NeedsFiner { exp: -3 }));
/// ```
pub fn parse(text: &[u8], exp: i8) -> Result<i64, DecimalError> {
    Natural::read(text)?.at(exp)
}

/// The mantissa at 10^`exp` that is nearest, half away from zero: for rates, whose exponent is fixed on the wire.
///
/// # Errors
/// [`DecimalError::Junk`] or [`DecimalError::Overflow`].
///
/// ```
/// use outcrier_core::decimal::nearest;
/// assert_eq!(nearest(b"-1.380384722222e-6", -12), Ok(-1_380_385));
/// assert_eq!(nearest(b"0.0001", -12), Ok(100_000_000));
/// ```
pub fn nearest(text: &[u8], exp: i8) -> Result<i64, DecimalError> {
    let natural = Natural::read(text)?;
    let digits = natural.digits.ok_or(DecimalError::Overflow)?;
    let cut = u32::try_from(i64::from(exp) - natural.exp).unwrap_or(0);
    if cut == 0 || digits == 0 {
        return natural.at(exp);
    }
    // 64 bits have at most 20 digits.
    let power = 10_u128.pow(cut.min(21));
    let rounded = (u128::from(digits) + power / 2) / power;
    let magnitude = i64::try_from(rounded).map_err(|_| DecimalError::Overflow)?;
    Ok(if natural.negative { -magnitude } else { magnitude })
}

/// The smallest mantissa and its exponent: no trailing zeros below the point, exponent 0 for whole numbers.
///
/// The exponent is above 0 only where the whole number does not fit an `i64` (`1e30` is `(1, 30)`).
///
/// # Errors
/// [`DecimalError::Junk`] or [`DecimalError::Overflow`].
pub fn parse_natural(text: &[u8]) -> Result<(i64, i8), DecimalError> {
    let natural = Natural::read(text)?;
    if natural.exp >= 0
        && let Ok(mantissa) = natural.at(0)
    {
        return Ok((mantissa, 0));
    }
    let exp = i8::try_from(natural.exp).map_err(|_| DecimalError::Overflow)?;
    Ok((natural.at(exp)?, exp))
}

/// The nearest float, for volumes and open interest only.
///
/// # Errors
/// [`DecimalError::Junk`], or [`DecimalError::Overflow`] where the number is above the largest float.
pub fn to_f64(text: &[u8]) -> Result<f64, DecimalError> {
    if let Some(value) = short_f64(text) {
        return Ok(value);
    }
    // A number beyond 64 bits is a number all the same.
    if matches!(Natural::read(text), Err(DecimalError::Junk)) {
        return Err(DecimalError::Junk);
    }
    let text = str::from_utf8(text).map_err(|_| DecimalError::Junk)?;
    let value: f64 = text.parse().map_err(|_| DecimalError::Junk)?;
    if value.is_finite() { Ok(value) } else { Err(DecimalError::Overflow) }
}

/// Digits with which a whole number is a float exactly, as are the powers of ten to it: their quotient is the nearest float.
const EXACT_DIGITS: usize = 15;

/// The float of a plain number of few digits.
fn short_f64(text: &[u8]) -> Option<f64> {
    let mut value = 0_u64;
    let mut point = None;
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'0'..=b'9' => value = value * 10 + u64::from(byte - b'0'),
            b'.' if point.is_none() && at > 0 && at + 1 < text.len() => point = Some(at),
            _ => return None,
        }
        if at > EXACT_DIGITS {
            return None;
        }
    }
    let decimals = point.map_or(0, |point| text.len() - point - 1);
    let digits = text.len() - usize::from(point.is_some());
    let is_exact = (1..=EXACT_DIGITS).contains(&digits);
    is_exact.then(|| value as f64 / POW10[decimals] as f64)
}

/// Exact text of mantissa × 10^exp with as many decimals as the exponent has; no exponent form.
///
/// ```
/// assert_eq!(outcrier_core::decimal::format(-12, -6), "-0.000012");
/// assert_eq!(outcrier_core::decimal::format(5, 2), "500");
/// ```
#[must_use]
pub fn format(mantissa: i64, exp: i8) -> String {
    let sign = if mantissa < 0 { "-" } else { "" };
    let digits = mantissa.unsigned_abs().to_string();
    if exp >= 0 {
        let zeros = if mantissa == 0 { 0 } else { usize::from(exp.unsigned_abs()) };
        return format!("{sign}{digits}{:0<zeros$}", "");
    }
    let decimals = usize::from(exp.unsigned_abs());
    let padded = format!("{digits:0>width$}", width = decimals + 1);
    let (whole, fraction) = padded.split_at(padded.len() - decimals);
    format!("{sign}{whole}.{fraction}")
}

/// A number as significant digits without trailing zeros, times a power of ten.
struct Natural {
    negative: bool,
    /// `None`: more digits than 64 bits hold.
    digits: Option<u64>,
    /// 0 for the number 0.
    exp: i64,
}

impl Natural {
    fn read(text: &[u8]) -> Result<Natural, DecimalError> {
        let (negative, unsigned) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        let whole = count_digits(unsigned);
        let mut rest = &unsigned[whole..];
        let mut fraction: &[u8] = &[];
        if let [b'.', after @ ..] = rest {
            fraction = &after[..count_digits(after)];
            rest = &after[fraction.len()..];
            if fraction.is_empty() {
                return Err(DecimalError::Junk);
            }
        }
        if whole == 0 {
            return Err(DecimalError::Junk);
        }
        let shift = read_exponent(rest)?;
        let (digits, zeros) = few_significant(&unsigned[..whole], fraction)
            .unwrap_or_else(|| significant(unsigned[..whole].iter().chain(fraction)));
        // A text is at most 16 MiB long, so neither length nor sum comes near the limits of i64.
        let exp = shift + zeros - fraction.len() as i64;
        Ok(Natural { negative, digits, exp: if digits == Some(0) { 0 } else { exp } })
    }

    fn at(&self, exp: i8) -> Result<i64, DecimalError> {
        let digits = self.digits.ok_or(DecimalError::Overflow)?;
        if digits == 0 {
            return Ok(0);
        }
        let signed = |mantissa: u64| {
            let magnitude = i64::try_from(mantissa).map_err(|_| DecimalError::Overflow)?;
            Ok(if self.negative { -magnitude } else { magnitude })
        };
        let raise = self.exp - i64::from(exp);
        if raise < 0 {
            let needed = i8::try_from(self.exp).map_err(|_| DecimalError::Overflow)?;
            return signed(digits).and(Err(DecimalError::NeedsFiner { exp: needed }));
        }
        let power =
            usize::try_from(raise).ok().and_then(|raise| POW10.get(raise)).ok_or(DecimalError::Overflow)?;
        signed(digits.checked_mul(*power).ok_or(DecimalError::Overflow)?)
    }
}

fn count_digits(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// The power of ten that `e-8` and the like tell; 0 for an empty text.
fn read_exponent(text: &[u8]) -> Result<i64, DecimalError> {
    let signed = match text {
        [] => return Ok(0),
        [b'e' | b'E', rest @ ..] => rest,
        _ => return Err(DecimalError::Junk),
    };
    let (negative, digits) = match signed {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, signed),
    };
    if digits.is_empty() || count_digits(digits) != digits.len() {
        return Err(DecimalError::Junk);
    }
    let power =
        digits.iter().fold(0, |sum: i64, digit| (sum * 10 + i64::from(digit - b'0')).min(EXPONENT_MAX));
    Ok(if negative { -power } else { power })
}

/// The same as [`significant`] of digits that fit 64 bits whatever they are.
fn few_significant(whole: &[u8], fraction: &[u8]) -> Option<(Option<u64>, i64)> {
    if whole.len() + fraction.len() > POW10.len() {
        return None;
    }
    let zeros_of = |text: &[u8]| text.iter().rev().take_while(|digit| **digit == b'0').count();
    let mut zeros = zeros_of(fraction);
    if zeros == fraction.len() {
        zeros += zeros_of(whole);
    }
    let kept = whole.len() + fraction.len() - zeros;
    let digits = whole.iter().chain(fraction).take(kept);
    let value = digits.fold(0, |value, digit| value * 10 + u64::from(digit - b'0'));
    Some((Some(value), zeros as i64))
}

/// Value of the digits without trailing zeros (`None`: above 64 bits), and how many trailing zeros there are.
fn significant<'a>(digits: impl Iterator<Item = &'a u8>) -> (Option<u64>, i64) {
    let mut value = Some(0_u64);
    let mut zeros = 0_i64;
    for digit in digits {
        if *digit == b'0' {
            zeros += 1;
            continue;
        }
        // While the value is 0 the zeros are leading ones, which mean nothing.
        let pending = if value == Some(0) { 0 } else { usize::try_from(zeros).unwrap_or(usize::MAX) };
        value = value.and_then(|value| {
            let raised =
                if value == 0 { 0 } else { value.checked_mul(*POW10.get(pending)?)?.checked_mul(10)? };
            raised.checked_add(u64::from(digit - b'0'))
        });
        zeros = 0;
    }
    (value, zeros)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn zeros_at_the_end_are_those_of_a_division(any: u64, power in 0_usize..19, zeros in 0_u32..22) {
            for number in [any, any - any % POW10[power], POW10[power]] {
                let expected = POW10.get(zeros as usize).map(|power| number.is_multiple_of(*power));
                prop_assert_eq!(has_zeros(number, zeros), expected, "{} {}", number, zeros);
            }
            prop_assert_eq!(has_zeros(0, zeros), (zeros < 19).then_some(true));
        }
    }
}
