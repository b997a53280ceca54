//! Rows of a list that differ from a row read before in nothing but price and quantity, as objects of two numbers do.

use super::alike::Same;
use super::cursor::{Cursor, Kind, Value};
use super::pairs::{Exponents, Sink};
use super::plan::{BookPlan, LevelForm, ListPlan, RowSide};
use super::track::Tracks;
use crate::decimal::{Kept, Near, Plain, Words, number, padded_word, short_number};
use crate::event::{Level, LevelExtra};
use crate::instrument::Scale;

/// One row in so many of those that were read value by value is kept.
const KEEP_EVERY: u32 = 8;

/// What is known of the rows of a shape.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) tracks: Tracks,
    form: Option<RowForm>,
    /// Rows read value by value since one was kept; the first one is.
    read: u32,
}

/// What stands around price and quantity.
#[derive(Clone, Copy, Debug)]
struct RowForm {
    before: Same,
    between: Same,
    behind: Same,
    /// They are JSON numbers, which have no leading zeros, and no texts.
    are_numbers: [bool; 2],
}

impl Rows {
    pub(super) fn new() -> Rows {
        Rows { tracks: Tracks::of_records(), form: None, read: KEEP_EVERY }
    }

    /// Keeps the row from `start` to `end`, whose price and quantity are these, as what others may be like.
    pub(super) fn learn(&mut self, bytes: &[u8], (start, end): (usize, usize), values: [Value; 2]) {
        self.read += 1;
        if self.read > KEEP_EVERY {
            self.read = 0;
            self.form = RowForm::of(bytes, (start, end), values);
        }
    }

    /// Reads rows at the cursor that are like the one that is kept. The cursor stands behind a row then (true), or where it
    /// stood.
    pub(super) fn alike(
        &self,
        cursor: &mut Cursor<'_>,
        (scale, keep_decimals): (&Scale, bool),
        levels: &mut Vec<Level>,
        extras: &mut Vec<LevelExtra>,
    ) -> bool {
        let Some(form) = &self.form else { return false };
        let (Some(price), Some(qty)) = (Kept::at(scale.price_exp), Kept::at(scale.qty_exp)) else {
            return false;
        };
        if keep_decimals {
            form.rows(cursor, (price, qty), &mut Sink::<true> { levels, extras })
        } else {
            form.rows(cursor, (price, qty), &mut Sink::<false> { levels, extras })
        }
    }
}

impl RowForm {
    /// `None`: the row is of another make.
    fn of(bytes: &[u8], (start, end): (usize, usize), [price, qty]: [Value; 2]) -> Option<RowForm> {
        let inside = |from: usize, to: usize| bytes.get(from..to);
        let before = inside(start, price.start as usize)?;
        let between = inside(price.end as usize, qty.start as usize)?;
        let behind = inside(qty.end as usize, end)?;
        // Containers in the row would need their depth watched.
        let around = [before.get(1..)?, between, behind.get(..behind.len().checked_sub(1)?)?];
        if around.iter().any(|part| part.iter().any(|byte| matches!(byte, b'[' | b']' | b'{' | b'}'))) {
            return None;
        }
        let is_number = |value: Value| match value.kind {
            Kind::Number => Some(true),
            Kind::Text => Some(false),
            _ => None,
        };
        Some(RowForm {
            before: Same::of(before)?,
            between: Same::of(between)?,
            behind: Same::of(behind)?,
            are_numbers: [is_number(price)?, is_number(qty)?],
        })
    }

    fn rows<const MARKED: bool>(
        &self,
        cursor: &mut Cursor<'_>,
        exponents: Exponents,
        sink: &mut Sink<'_, MARKED>,
    ) -> bool {
        let (bytes, start) = (cursor.bytes, cursor.at);
        let mut at = start;
        loop {
            let near = Near::at(bytes, at).and_then(|near| self.near(near, exponents));
            let found = match near {
                Some((price, qty, length)) => Some((price, qty, at + length)),
                None => self.anywhere(bytes, at, exponents),
            };
            let Some((price, qty, end)) = found else { break };
            sink.push(price, qty);
            cursor.at = end;
            if padded_word(bytes, end) as u8 != b',' {
                break;
            }
            at = end + 1;
        }
        cursor.at != start
    }

    /// A row of short numbers that begins here, if it is like this one: price, quantity, and how long it is.
    #[inline(always)]
    fn near(&self, near: Near<'_>, exponents: Exponents) -> Option<(Plain, Plain, usize)> {
        self.read(near, 0, exponents, short_number).filter(|(.., end)| *end <= Near::REACH)
    }

    /// The same of any row at `at`: and where it ends.
    #[inline(never)]
    fn anywhere(&self, bytes: &[u8], at: usize, exponents: Exponents) -> Option<(Plain, Plain, usize)> {
        self.read(bytes, at, exponents, number)
    }

    #[inline(always)]
    fn read<W: Words>(
        &self,
        words: W,
        at: usize,
        (price, qty): Exponents,
        number: impl Fn(W, usize, &Kept) -> Option<Plain>,
    ) -> Option<(Plain, Plain, usize)> {
        let price_at = self.before.pass(words, at)?;
        let price = number(words, price_at, price)?;
        let qty_at = self.between.pass(words, price.end)?;
        let qty = number(words, qty_at, qty)?;
        if self.are_numbers[0] && has_zeros(words, price_at, price.end)
            || self.are_numbers[1] && has_zeros(words, qty_at, qty.end)
        {
            return None;
        }
        Some((price, qty, self.behind.pass(words, qty.end)?))
    }
}

/// Whether a plain number has leading zeros.
#[inline(always)]
fn has_zeros<W: Words>(words: W, at: usize, end: usize) -> bool {
    let [first, second, ..] = words.word(at).to_le_bytes();
    first == b'0' && second != b'.' && end != at + 1
}

/// Price and quantity of a row, where a level is nothing else.
pub(super) fn plain_values(plan: &BookPlan, list: &ListPlan, row: &[Value]) -> Option<[Value; 2]> {
    let level = &plan.level;
    let LevelForm::One { price: Some(price), qty } = level.form else { return None };
    let is_plain = matches!(level.side, RowSide::OfList)
        && level.packed.is_none()
        && [level.count, level.verb, level.id, level.sequence].iter().all(Option::is_none)
        && !(list.remove || plan.scaled || plan.ignore_zero_price || plan.one);
    is_plain.then(|| [row[usize::from(price)], row[usize::from(qty)]])
}
