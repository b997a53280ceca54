//! Every number in every capture, and any number at all, against arithmetic on digit strings.

mod shape_support;

use std::collections::HashSet;

use outcrier_core::decimal::{DecimalError, format, parse, parse_natural, to_f64};
use proptest::prelude::*;
use shape_support::{captures, files, lines, naive};

/// Runs of the letters of numbers that are numbers.
fn numbers(text: &[u8]) -> impl Iterator<Item = &str> {
    let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E');
    text.split(move |byte| !is_part(byte))
        .filter_map(|run| str::from_utf8(run).ok())
        .filter(|run| is_number(run))
}

/// The grammar once more, by other means.
fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, power) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, power)) => (mantissa, Some(power)),
        None => (unsigned, None),
    };
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let mantissa_fits = match mantissa.split_once('.') {
        Some((whole, fraction)) => all_digits(whole) && all_digits(fraction),
        None => all_digits(mantissa),
    };
    let power_fits = power.is_none_or(|power| {
        let digits = power.strip_prefix(['-', '+']).unwrap_or(power);
        all_digits(digits) && digits.len() < 9
    });
    mantissa_fits && power_fits
}

fn check(text: &str) {
    for exp in [-12, -8, -5, -2, -1, 0, 1, 3] {
        let expected = naive(text, i32::from(exp));
        let found = match parse(text.as_bytes(), exp) {
            Ok(mantissa) => {
                assert_ne!(mantissa, i64::MIN);
                Ok(mantissa)
            }
            Err(DecimalError::NeedsFiner { exp: finer }) => {
                assert!(finer < exp);
                let mantissa = parse(text.as_bytes(), finer).unwrap();
                assert_ne!(mantissa % 10, 0, "{text}: {finer} is finer than needed");
                Err("finer")
            }
            Err(DecimalError::Overflow) => Err("overflow"),
            Err(DecimalError::Junk) => Err("junk"),
        };
        assert_eq!(found, expected, "{text} at {exp}");
    }
    if let Ok((mantissa, exp)) = parse_natural(text.as_bytes()) {
        assert_eq!(parse(text.as_bytes(), exp), Ok(mantissa));
        assert!(exp == 0 || mantissa % 10 != 0, "{text}: {mantissa} at {exp}");
        let printed = format(mantissa, exp);
        assert_eq!(parse(printed.as_bytes(), exp), Ok(mantissa), "{printed}");
        let float = to_f64(text.as_bytes()).unwrap();
        assert!((float - printed.parse::<f64>().unwrap()).abs() <= float.abs() * 1e-15);
    }
}

#[test]
fn numbers_of_all_captures() {
    let Some(captures) = captures() else { return };
    let mut seen = HashSet::new();
    for file in files(&captures) {
        for line in lines(&file) {
            for number in numbers(&line.message) {
                if !seen.contains(number) {
                    check(number);
                    seen.insert(number.to_string());
                }
            }
        }
    }
    assert!(seen.len() > 500_000, "{} numbers", seen.len());
}

#[test]
fn edges() {
    assert_eq!(parse(b"9223372036854775807", 0), Ok(i64::MAX));
    assert_eq!(parse(b"-9223372036854775807", 0), Ok(-i64::MAX));
    assert_eq!(parse(b"-9223372036854775808", 0), Err(DecimalError::Overflow));
    assert_eq!(parse(b"18446744073709551616", 0), Err(DecimalError::Overflow));
    assert_eq!(parse(b"0e99999999999999999999", -8), Ok(0));
    assert_eq!(parse(b"1e99999999999999999999", -8), Err(DecimalError::Overflow));
    assert_eq!(parse(b"-0.00", 0), Ok(0));
    assert_eq!(parse(b"1e-128", 0), Err(DecimalError::NeedsFiner { exp: -128 }));
    assert_eq!(parse(b"1e-129", 0), Err(DecimalError::Overflow));
    assert_eq!(parse_natural(b"1e30"), Ok((1, 30)));
    assert_eq!(parse_natural(b"120.50"), Ok((1205, -1)));
    assert_eq!(parse_natural(b"0.000"), Ok((0, 0)));
    assert_eq!(format(i64::MAX, -19), "0.9223372036854775807");
    assert_eq!(format(0, 3), "0");
    assert_eq!(to_f64(b"1e400"), Err(DecimalError::Overflow));
    for junk in
        ["", "-", ".5", "5.", "1e", "1e+", "--1", "1.2.3", "0x10", "NaN", "inf", " 1", "1 ", "1_0", "0.-1"]
    {
        assert_eq!(parse(junk.as_bytes(), -8), Err(DecimalError::Junk), "{junk:?}");
        assert_eq!(parse_natural(junk.as_bytes()), Err(DecimalError::Junk), "{junk:?}");
        assert_eq!(to_f64(junk.as_bytes()), Err(DecimalError::Junk), "{junk:?}");
    }
}

proptest! {
    #[test]
    fn any_number(text in "[-+]?[0-9]{1,22}(\\.[0-9]{1,22})?([eE][-+]?[0-9]{1,3})?") {
        check(&text);
    }

    #[test]
    fn any_mantissa_survives_printing(mantissa in (i64::MIN + 1)..=i64::MAX, exp in -30_i8..=0) {
        prop_assert_eq!(parse(format(mantissa, exp).as_bytes(), exp), Ok(mantissa));
    }

    #[test]
    fn any_bytes_are_a_number_or_junk(bytes in "[-+.eE0-9x ]{0,12}") {
        let is_junk = parse(bytes.as_bytes(), 0) == Err(DecimalError::Junk);
        prop_assert_eq!(is_junk, !is_number(&bytes));
    }
}
