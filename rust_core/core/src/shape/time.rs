//! Times as venues print them to nanoseconds since the epoch, UTC.

use super::FaultKind;
use super::reader::digits;
use super::spec::Unit;
use crate::event::NOT_GIVEN;

const NS_PER_S: i128 = 1_000_000_000;

/// A number below this is milliseconds (until the year 2286), below a thousand times of it microseconds.
const MILLIS_MAX: u64 = 10_000_000_000_000;

/// Reads a time. 0, empty and times before 1970 are [`NOT_GIVEN`]: Coinbase prints the year 1, Kraken 1970, for none.
pub(super) fn parse(text: &[u8], unit: Unit, zone_s: i32) -> Result<i64, FaultKind> {
    if text.is_empty() {
        return Ok(NOT_GIVEN);
    }
    let ns = match unit {
        Unit::S => number(text, 9)?,
        Unit::Ms => number(text, 6)?,
        Unit::Us => number(text, 3)?,
        Unit::Ns => number(text, 0)?,
        Unit::Magnitude => number(text, magnitude(text))?,
        Unit::Rfc3339 => date_time(text, None)?,
        Unit::Text => date_time(text, Some(zone_s))?,
    };
    if ns <= 0 {
        return Ok(NOT_GIVEN);
    }
    i64::try_from(ns).map_err(|_| FaultKind::BadTime)
}

/// Nanoseconds of a whole number in a known unit, in 64 bits; `None` leaves it to [`parse`].
#[inline]
pub(super) fn from_whole(number: u64, unit: Unit) -> Option<i64> {
    let factor = match unit {
        Unit::S => 1_000_000_000,
        Unit::Ms => 1_000_000,
        Unit::Us => 1_000,
        Unit::Ns => 1,
        Unit::Magnitude | Unit::Rfc3339 | Unit::Text => return None,
    };
    i64::try_from(number).ok()?.checked_mul(factor).filter(|ns| *ns > 0)
}

/// Decimal places from a number's unit down to nanoseconds, from its size.
fn magnitude(text: &[u8]) -> u32 {
    let whole = text.iter().take_while(|byte| byte.is_ascii_digit());
    let size = whole.fold(0_u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
    match size {
        0..MILLIS_MAX => 6,
        size if size < MILLIS_MAX * 1000 => 3,
        _ => 0,
    }
}

/// A number with `places` more decimal places; further digits are cut, they are below a nanosecond.
fn number(text: &[u8], places: u32) -> Result<i128, FaultKind> {
    let (negative, unsigned) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let mut parts = unsigned.splitn(2, |byte| *byte == b'.');
    let whole = digits_of(parts.next().unwrap_or_default())?;
    let mut value = i128::from(whole) * 10_i128.pow(places);
    if let Some(fraction) = parts.next() {
        value += i128::from(fraction_of(fraction, places)?);
    }
    Ok(if negative { -value } else { value })
}

fn digits_of(text: &[u8]) -> Result<u64, FaultKind> {
    digits(text).map_err(|_| FaultKind::BadTime)
}

fn fraction_of(text: &[u8], places: u32) -> Result<u64, FaultKind> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return Err(FaultKind::BadTime);
    }
    let kept = text.iter().copied().chain(std::iter::repeat(b'0')).take(places as usize);
    Ok(kept.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

/// `YYYY-MM-DD` then `T` or a space, `HH:MM:SS`, a fraction, and, unless `zone_s` is fixed, `Z` or `+HH:MM`.
fn date_time(text: &[u8], zone_s: Option<i32>) -> Result<i128, FaultKind> {
    let (head, rest) = text.split_at_checked(19).ok_or(FaultKind::BadTime)?;
    let at = |range: std::ops::Range<usize>| digits_of(&head[range]).map(|value| value as i64);
    let marks = [head[4], head[7], head[10], head[13], head[16]];
    if !matches!(marks, [b'-', b'-', b'T' | b't' | b' ', b':', b':']) {
        return Err(FaultKind::BadTime);
    }
    let (year, month, day) = (at(0..4)?, at(5..7)?, at(8..10)?);
    let (hour, minute, second) = (at(11..13)?, at(14..16)?, at(17..19)?);
    // Second 60 is a leap second; it runs into the next minute as in POSIX time.
    if !(1..=12).contains(&month)
        || day < 1
        || day > month_days(year, month)
        || hour > 23
        || minute > 59
        || second > 60
    {
        return Err(FaultKind::BadTime);
    }
    let (fraction, zone) = match rest {
        [b'.', after @ ..] => {
            let count = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
            (fraction_of(&after[..count], 9)?, &after[count..])
        }
        _ => (0, rest),
    };
    let offset = match (zone_s, zone) {
        (Some(zone_s), []) => i64::from(zone_s),
        (None, [b'Z' | b'z']) => 0,
        (None, [sign @ (b'+' | b'-'), h1, h0, b':', m1, m0]) => {
            let seconds = digits_of(&[*h1, *h0])? * 3600 + digits_of(&[*m1, *m0])? * 60;
            if *sign == b'-' { -(seconds as i64) } else { seconds as i64 }
        }
        _ => return Err(FaultKind::BadTime),
    };
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
    Ok(i128::from(seconds) * NS_PER_S + i128::from(fraction))
}

fn month_days(year: i64, month: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a date of the Gregorian calendar, in years that begin in March so that the leap day is the last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}
