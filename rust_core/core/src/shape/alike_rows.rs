//! Rows of a list that differ from a row read before in nothing but price and quantity, as objects of two numbers do.

use super::alike::Alike;
use super::cursor::{Cursor, Kind, Value};
use super::plan::{BookPlan, LevelForm, ListPlan, RowSide};
use super::track::Tracks;
use crate::decimal::{Kept, Plain, Words, number, padded_word};
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
    before: Alike,
    between: Alike,
    behind: Alike,
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
        let (bytes, mut is_behind) = (cursor.bytes, false);
        let mut at = cursor.at;
        while let Some((price, qty, end)) = form.read(bytes, at, [price, qty]) {
            levels.push(Level { price: price.mantissa, qty: qty.mantissa });
            if keep_decimals {
                let (price_decimals, qty_decimals) = (price.decimals(), qty.decimals());
                extras.push(LevelExtra { price_decimals, qty_decimals, ..LevelExtra::default() });
            }
            (cursor.at, is_behind) = (end, true);
            if padded_word(bytes, end) as u8 != b',' {
                break;
            }
            at = end + 1;
        }
        is_behind
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
            before: Alike::of(before)?,
            between: Alike::of(between)?,
            behind: Alike::of(behind)?,
            are_numbers: [is_number(price)?, is_number(qty)?],
        })
    }

    /// The row at `at`, if it is like this one: price, quantity, and where it ends.
    #[inline(always)]
    fn read(&self, bytes: &[u8], at: usize, [price, qty]: [&Kept; 2]) -> Option<(Plain, Plain, usize)> {
        let number = |at, kept, is_number: bool| {
            let found = number(bytes, at, kept)?;
            let first = bytes.word(at) as u16;
            let has_zeros = first as u8 == b'0' && (first >> 8) as u8 != b'.' && found.end != at + 1;
            (!is_number || !has_zeros).then_some(found)
        };
        let price = number(self.before.pass(bytes, at)?, price, self.are_numbers[0])?;
        let qty = number(self.between.pass(bytes, price.end)?, qty, self.are_numbers[1])?;
        Some((price, qty, self.behind.pass(bytes, qty.end)?))
    }
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
