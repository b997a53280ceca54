//! Reads the values that a walk found: conditions, texts, ids, times, numbers.

use super::cursor::{Kind, Value};
use super::plan::{Condition, Field, Record, Scalar, Test, TextPlan, TimePlan};
use super::spec::{KindTest, Unit};
use super::{FaultKind, time};
use crate::decimal::{self, DecimalError, Kept};
use crate::event::NOT_GIVEN;

/// The values found so far in a frame, an element and an inner element.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    pub(super) frame: &'a [u8],
    pub(super) slots: &'a [Value],
    pub(super) element: &'a [Value],
    pub(super) inner: &'a [Value],
}

impl Reader<'_> {
    #[inline]
    pub(super) fn get(&self, field: Field) -> Value {
        let slots = match field.record {
            Record::Frame => self.slots,
            Record::Element => self.element,
            Record::Inner => self.inner,
        };
        slots.get(usize::from(field.slot)).copied().unwrap_or_default()
    }

    fn maybe(&self, field: Option<Field>) -> Value {
        field.map_or(Value::default(), |field| self.get(field))
    }

    pub(super) fn all_hold(&self, conditions: &[Condition]) -> bool {
        conditions.iter().all(|condition| self.holds(self.get(condition.at), &condition.test))
    }

    pub(super) fn holds(&self, value: Value, test: &Test) -> bool {
        match test {
            Test::OneOf(scalars) => scalars.iter().any(|scalar| self.equals(value, scalar)),
            Test::Differs(scalars) => {
                value.is_given() && !scalars.iter().any(|scalar| self.equals(value, scalar))
            }
            Test::Prefix(text) => {
                value.is_text() && value.with_text(self.frame, |found| found.starts_with(text))
            }
            Test::Suffix(text) => {
                value.is_text() && value.with_text(self.frame, |found| found.ends_with(text))
            }
            Test::Kind(kind) => self.is_kind(value, *kind),
        }
    }

    fn equals(&self, value: Value, scalar: &Scalar) -> bool {
        match (scalar, value.kind) {
            (Scalar::Text(text), Kind::Text) => value.raw(self.frame) == &**text,
            (Scalar::Text(text), Kind::Escaped) => value.with_text(self.frame, |found| found == &**text),
            (Scalar::Number(text), Kind::Number) => value.raw(self.frame) == &**text,
            (Scalar::True, Kind::True) | (Scalar::False, Kind::False) | (Scalar::Null, Kind::Null) => true,
            _ => false,
        }
    }

    fn is_kind(&self, value: Value, kind: KindTest) -> bool {
        let holds_array = || self.first_inside(value) == Some(b'[');
        match kind {
            KindTest::Present => value.is_given(),
            KindTest::Absent => !value.is_given(),
            KindTest::Text => value.is_text(),
            KindTest::Number => value.kind == Kind::Number,
            KindTest::Array => value.kind == Kind::Array && !holds_array(),
            KindTest::ArrayOfArrays => value.kind == Kind::Array && holds_array(),
            KindTest::Object => value.kind == Kind::Object,
        }
    }

    /// The first byte inside of a container that is no white space.
    pub(super) fn first_inside(&self, value: Value) -> Option<u8> {
        let inside = value.raw(self.frame).get(1..).unwrap_or_default();
        inside.iter().find(|byte| !byte.is_ascii_whitespace()).copied()
    }

    /// Calls `read` with the piece of text that the plan takes; `None` where there is none.
    pub(super) fn with_part<R>(&self, plan: &TextPlan, read: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let value = self.get(plan.at);
        if value.kind == Kind::Text && plan.split.is_none() {
            return Some(read(value.raw(self.frame)));
        }
        if !value.is_text() && value.kind != Kind::Number {
            return None;
        }
        value.with_text(self.frame, |text| {
            let Some(split) = plan.split else { return Some(read(text)) };
            let mut pieces = text.split(|byte| *byte == split);
            let index = plan.part.unsigned_abs() as usize;
            let piece = if plan.part < 0 { pieces.rev().nth(index - 1) } else { pieces.nth(index) };
            piece.map(read)
        })
    }

    /// An id; `None` where it is absent or below zero, which venues print for none.
    pub(super) fn id(&self, field: Option<Field>) -> Result<Option<u64>, FaultKind> {
        unsigned(self.frame, self.maybe(field))
    }

    /// A whole number with a sign, which may be printed as any number; `None` where it is absent.
    pub(super) fn signed(&self, field: Field) -> Result<Option<i64>, FaultKind> {
        let value = self.get(field);
        let is_negative = self.frame.get(value.start as usize) == Some(&b'-');
        let magnitude = Value { start: value.start + u32::from(is_negative), ..value };
        if let Some(number) = whole(self.frame, magnitude).and_then(|number| i64::try_from(number).ok()) {
            return Ok(Some(if is_negative { -number } else { number }));
        }
        self.with_number(Some(field), |text| decimal::parse(text, 0))
    }

    /// A count; 0 where it is absent.
    pub(super) fn count(&self, field: Option<Field>) -> Result<u64, FaultKind> {
        Ok(self.id(field)?.unwrap_or(0))
    }

    /// A time in nanoseconds, or [`NOT_GIVEN`].
    pub(super) fn time(&self, plan: Option<&TimePlan>) -> Result<i64, FaultKind> {
        let Some(plan) = plan else { return Ok(NOT_GIVEN) };
        time(self.frame, self.get(plan.at), plan.unit, plan.zone_s)
    }

    /// A float; NaN where it is absent or an empty text.
    pub(super) fn float(&self, field: Option<Field>) -> Result<f64, FaultKind> {
        self.with_number(field, decimal::to_f64).map(|found| found.unwrap_or(f64::NAN))
    }

    /// Calls `read` with the text of a number; `None` where it is absent or an empty text.
    pub(super) fn with_number<R>(
        &self,
        field: Option<Field>,
        read: impl FnOnce(&[u8]) -> Result<R, DecimalError>,
    ) -> Result<Option<R>, FaultKind> {
        let value = self.maybe(field);
        if !value.is_given() || (value.is_text() && value.start == value.end) {
            return Ok(None);
        }
        number(self.frame, value, read).map(Some).map_err(NumberError::fault)
    }
}

/// A time in nanoseconds, or [`NOT_GIVEN`].
pub(super) fn time(source: &[u8], value: Value, unit: Unit, zone_s: i32) -> Result<i64, FaultKind> {
    if let Some(ns) = whole(source, value).and_then(|number| time::from_whole(number, unit)) {
        return Ok(ns);
    }
    match value.kind {
        Kind::Absent | Kind::Null => Ok(NOT_GIVEN),
        Kind::Text | Kind::Escaped | Kind::Number => {
            value.with_text(source, |text| time::parse(text, unit, zone_s))
        }
        Kind::True | Kind::False | Kind::Array | Kind::Object => Err(FaultKind::WrongType),
    }
}

/// Why a number of a level or trade was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NumberError {
    NeedsFiner(i8),
    Fault(FaultKind),
}

impl NumberError {
    /// Where no exponent can be refined.
    pub(super) fn fault(self) -> FaultKind {
        match self {
            NumberError::NeedsFiner(_) => FaultKind::TooPrecise,
            NumberError::Fault(kind) => kind,
        }
    }
}

/// Reads a number as JSON number or text.
pub(super) fn number<R>(
    source: &[u8],
    value: Value,
    read: impl FnOnce(&[u8]) -> Result<R, DecimalError>,
) -> Result<R, NumberError> {
    let result = match value.kind {
        Kind::Text | Kind::Escaped | Kind::Number => value.with_text(source, read),
        Kind::Absent | Kind::Null => return Err(NumberError::Fault(FaultKind::MissingField)),
        Kind::True | Kind::False | Kind::Array | Kind::Object => {
            return Err(NumberError::Fault(FaultKind::WrongType));
        }
    };
    result.map_err(|error| match error {
        DecimalError::NeedsFiner { exp } => NumberError::NeedsFiner(exp),
        DecimalError::Overflow => NumberError::Fault(FaultKind::Overflow),
        DecimalError::Junk => NumberError::Fault(FaultKind::BadNumber),
    })
}

/// Mantissa at `exp` of a plain number that it holds; `None` is no verdict.
#[inline]
pub(super) fn short(source: &[u8], value: Value, exp: i8) -> Option<i64> {
    if !matches!(value.kind, Kind::Text | Kind::Number) {
        return None;
    }
    decimal::plain(source, value.start as usize, value.end as usize, Kept::at(exp)?)
}

/// Mantissa of a number at `exp`.
pub(super) fn fixed(source: &[u8], value: Value, exp: i8) -> Result<i64, NumberError> {
    if let Some(mantissa) = short(source, value, exp) {
        return Ok(mantissa);
    }
    number(source, value, |text| decimal::parse(text, exp))
}

/// Value of a text or number of digits only, where it is short enough for the quick way.
#[inline]
pub(super) fn whole(source: &[u8], value: Value) -> Option<u64> {
    if !matches!(value.kind, Kind::Text | Kind::Number) {
        return None;
    }
    decimal::whole(source, value.start as usize, value.end as usize)
}

/// Reads an unsigned whole number; `None` where it is absent, an empty text or below zero.
pub(super) fn unsigned(source: &[u8], value: Value) -> Result<Option<u64>, FaultKind> {
    if let Some(number) = whole(source, value) {
        return Ok(Some(number));
    }
    match value.kind {
        Kind::Absent | Kind::Null => Ok(None),
        Kind::Text | Kind::Escaped | Kind::Number => value.with_text(source, |text| match text {
            [] => Ok(None),
            [b'-', rest @ ..] => digits(rest).map(|_| None),
            text => digits(text).map(Some),
        }),
        Kind::True | Kind::False | Kind::Array | Kind::Object => Err(FaultKind::WrongType),
    }
}

/// So many digits fit 64 bits whatever they are.
const DIGITS_SAFE: usize = 19;

/// Value of a text of digits.
pub(super) fn digits(text: &[u8]) -> Result<u64, FaultKind> {
    let values = text.iter().map(|byte| byte.wrapping_sub(b'0'));
    if text.is_empty() || values.clone().any(|value| value > 9) {
        return Err(FaultKind::BadNumber);
    }
    if text.len() <= DIGITS_SAFE {
        return Ok(values.fold(0, |sum, value| sum * 10 + u64::from(value)));
    }
    let add = |sum: u64, value| sum.checked_mul(10)?.checked_add(u64::from(value));
    values.into_iter().try_fold(0, add).ok_or(FaultKind::Overflow)
}
