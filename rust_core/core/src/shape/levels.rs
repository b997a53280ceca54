//! Levels of a book message: every form but the common one (`pairs`), from the values of a row.

use super::FaultKind;
use super::alike_rows::{Rows, plain_values};
use super::cursor::{Cursor, Kind, Value};
use super::pairs::{Columns, pairs};
use super::plan::{BookPlan, LevelForm, ListPlan, ListSide, PackedPlan, RowSide};
use super::reader::{self, NumberError};
use super::trie::Slot;
use crate::decimal;
use crate::event::{Level, LevelExtra, NOT_GIVEN, Side};
use crate::instrument::Scale;

/// The finest exponents that the numbers of an event asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Finer {
    pub(super) price: Option<i8>,
    pub(super) qty: Option<i8>,
}

impl Finer {
    pub(super) fn is_needed(self) -> bool {
        self.price.is_some() || self.qty.is_some()
    }
}

/// Notes a number that needs a finer exponent and goes on with 0: the event will not be used.
pub(super) fn note(result: Result<i64, NumberError>, finest: &mut Option<i8>) -> Result<i64, FaultKind> {
    match result {
        Ok(mantissa) => Ok(mantissa),
        Err(NumberError::NeedsFiner(exp)) => {
            *finest = Some(finest.map_or(exp, |other| other.min(exp)));
            Ok(0)
        }
        Err(NumberError::Fault(kind)) => Err(kind),
    }
}

/// Levels of both sides while an event is read; the asks follow the bids at its end.
#[derive(Debug, Default)]
pub(super) struct SideBuffers {
    pub(super) bids: Vec<Level>,
    pub(super) asks: Vec<Level>,
    pub(super) bid_extras: Vec<LevelExtra>,
    pub(super) ask_extras: Vec<LevelExtra>,
    columns: Columns,
    row: Vec<Value>,
    packed: Vec<u8>,
}

impl SideBuffers {
    pub(super) fn clear(&mut self) {
        self.bids.clear();
        self.asks.clear();
        self.bid_extras.clear();
        self.ask_extras.clear();
    }

    /// How much there is.
    pub(super) fn lengths(&self) -> [usize; 4] {
        [self.bids.len(), self.asks.len(), self.bid_extras.len(), self.ask_extras.len()]
    }

    /// Forgets what was read since.
    pub(super) fn truncate(&mut self, [bids, asks, bid_extras, ask_extras]: [usize; 4]) {
        self.bids.truncate(bids);
        self.asks.truncate(asks);
        self.bid_extras.truncate(bid_extras);
        self.ask_extras.truncate(ask_extras);
    }
}

/// Reads lists of levels of one event.
pub(super) struct LevelReader<'a> {
    pub(super) frame: &'a [u8],
    pub(super) plan: &'a BookPlan,
    pub(super) scale: &'a Scale,
    pub(super) finer: Finer,
    pub(super) buffers: &'a mut SideBuffers,
    pub(super) rows: &'a mut Rows,
}

impl LevelReader<'_> {
    /// Reads the list, or the one level, at `value`.
    pub(super) fn list(&mut self, list: &ListPlan, value: Value) -> Result<(), FaultKind> {
        let mut cursor = Cursor::new(self.frame, value.start as usize);
        if self.plan.one {
            // The span of a text is inside its quotes.
            cursor.at -= usize::from(value.is_text());
            return self.row(list, &mut cursor);
        }
        if value.kind != Kind::Array {
            return Err(FaultKind::WrongType);
        }
        if self.plan.level.is_pair {
            let SideBuffers { bids, asks, bid_extras, ask_extras, columns, .. } = &mut *self.buffers;
            let (levels, extras) =
                if list.side == ListSide::Bid { (bids, bid_extras) } else { (asks, ask_extras) };
            if pairs(&mut cursor, (self.scale, self.plan.keep_decimals), columns, levels, extras) {
                return Ok(());
            }
        }
        self.rows(list, &mut cursor)
    }

    /// Reads the list under the cursor row by row.
    pub(super) fn rows(&mut self, list: &ListPlan, cursor: &mut Cursor<'_>) -> Result<(), FaultKind> {
        let mut more = cursor.open(b']')?;
        while more {
            if !self.alike(list, cursor) {
                self.row(list, cursor)?;
            }
            more = cursor.more(b']')?;
        }
        Ok(())
    }

    /// Reads rows that are like one before.
    fn alike(&mut self, list: &ListPlan, cursor: &mut Cursor<'_>) -> bool {
        if list.remove {
            return false;
        }
        let SideBuffers { bids, asks, bid_extras, ask_extras, .. } = &mut *self.buffers;
        let (levels, extras) =
            if list.side == ListSide::Bid { (bids, bid_extras) } else { (asks, ask_extras) };
        self.rows.alike(cursor, (self.scale, self.plan.keep_decimals), levels, extras)
    }

    fn row(&mut self, list: &ListPlan, cursor: &mut Cursor<'_>) -> Result<(), FaultKind> {
        let (plan, start) = (self.plan, cursor.at);
        let mut row = std::mem::take(&mut self.buffers.row);
        row.resize(plan.level.trie.slot_count(), Value::default());
        let result = match &plan.level.packed {
            None => {
                let found = self.rows.tracks.record(&plan.level.trie, cursor, &mut row);
                if found.is_ok()
                    && let Some(values) = plain_values(plan, list, &row)
                {
                    self.rows.learn(self.frame, (start, cursor.at), values);
                }
                found.and_then(|()| self.levels(list, self.frame, &row))
            }
            Some(packed) => self.packed(list, packed, cursor, &mut row),
        };
        self.buffers.row = row;
        result
    }

    fn packed(
        &mut self,
        list: &ListPlan,
        plan: &PackedPlan,
        cursor: &mut Cursor<'_>,
        row: &mut [Value],
    ) -> Result<(), FaultKind> {
        let value = cursor.value(0)?;
        if !value.is_text() {
            return Err(FaultKind::WrongType);
        }
        let mut text = std::mem::take(&mut self.buffers.packed);
        text.clear();
        value.with_text(self.frame, |found| text.extend_from_slice(found));
        row.fill(Value::default());
        let mut start = 0;
        for (index, piece) in text.split(|byte| *byte == plan.separator).enumerate() {
            let end = start + piece.len();
            for (slot, position) in plan.positions.iter().enumerate() {
                if *position == index {
                    row[slot] = Value::new(Kind::Text, start, end);
                }
            }
            start = end + 1;
        }
        let result = self.levels(list, &text, row);
        self.buffers.packed = text;
        result
    }

    /// The level, or the two, of a row whose values stand in `source`.
    fn levels(&mut self, list: &ListPlan, source: &[u8], row: &[Value]) -> Result<(), FaultKind> {
        let at = |slot: Slot| row[usize::from(slot)];
        let (price, qty) = match self.plan.level.form {
            LevelForm::Both { bid_price, bid_qty, ask_price, ask_qty } => {
                for (side, price, qty) in [(Side::Bid, bid_price, bid_qty), (Side::Ask, ask_price, ask_qty)] {
                    let level =
                        Level { price: self.price(source, at(price))?, qty: self.qty(source, at(qty))? };
                    self.push(side, level, source, row, (at(price), at(qty)))?;
                }
                return Ok(());
            }
            LevelForm::One { price, qty } => (price.map_or(Value::default(), at), at(qty)),
        };
        let mut level = Level { price: NOT_GIVEN, qty: 0 };
        if price.is_given() {
            level.price = self.price(source, price)?;
        } else if self.plan.level.id.is_none() {
            return Err(FaultKind::MissingField);
        }
        let is_signed = matches!(self.plan.level.side, RowSide::Sign);
        let is_removed = list.remove || self.is_removed(source, row)?;
        if is_signed || !is_removed {
            level.qty = self.qty(source, qty)?;
        }
        let side = match (&self.plan.level.side, list.side) {
            (RowSide::OfList, ListSide::Bid) => Side::Bid,
            (RowSide::OfList, _) => Side::Ask,
            (RowSide::Sign, _) if level.qty > 0 => Side::Bid,
            (RowSide::Sign, _) if level.qty < 0 => Side::Ask,
            (RowSide::Sign, _) if self.finer.is_needed() => Side::Ask,
            (RowSide::Sign, _) => return Err(FaultKind::UnknownSide),
            (RowSide::Words { at: slot, bid, ask }, _) => {
                if is_word(source, at(*slot), bid) {
                    Side::Bid
                } else if is_word(source, at(*slot), ask) {
                    Side::Ask
                } else {
                    return Err(FaultKind::UnknownSide);
                }
            }
        };
        if is_signed {
            level.qty = level.qty.abs();
        }
        if is_removed {
            level.qty = 0;
        }
        self.push(side, level, source, row, (price, qty))
    }

    fn is_removed(&self, source: &[u8], row: &[Value]) -> Result<bool, FaultKind> {
        let level = &self.plan.level;
        if let Some(slot) = level.verb
            && is_word(source, row[usize::from(slot)], &level.remove)
        {
            return Ok(true);
        }
        let Some(slot) = level.count else { return Ok(false) };
        Ok(reader::unsigned(source, row[usize::from(slot)])? == Some(0))
    }

    fn price(&mut self, source: &[u8], value: Value) -> Result<i64, FaultKind> {
        let exp = if self.plan.scaled { 0 } else { self.scale.price_exp };
        let result = reader::fixed(source, value, exp);
        self.noted(result, |finer| &mut finer.price)
    }

    fn qty(&mut self, source: &[u8], value: Value) -> Result<i64, FaultKind> {
        let exp = if self.plan.scaled { 0 } else { self.scale.qty_exp };
        let result = reader::fixed(source, value, exp);
        self.noted(result, |finer| &mut finer.qty)
    }

    fn noted(
        &mut self,
        result: Result<i64, NumberError>,
        finest: impl FnOnce(&mut Finer) -> &mut Option<i8>,
    ) -> Result<i64, FaultKind> {
        if self.plan.scaled {
            return result.map_err(NumberError::fault);
        }
        note(result, finest(&mut self.finer))
    }

    fn push(
        &mut self,
        side: Side,
        level: Level,
        source: &[u8],
        row: &[Value],
        (price, qty): (Value, Value),
    ) -> Result<(), FaultKind> {
        if level.qty < 0 {
            return Err(FaultKind::NegativeQuantity);
        }
        if self.plan.ignore_zero_price && level.price == 0 && self.finer.price.is_none() {
            return Ok(());
        }
        let plan = &self.plan.level;
        let (levels, extras) = match side {
            Side::Bid => (&mut self.buffers.bids, &mut self.buffers.bid_extras),
            Side::Ask => (&mut self.buffers.asks, &mut self.buffers.ask_extras),
        };
        levels.push(level);
        if plan.id.is_some() || plan.sequence.is_some() || self.plan.keep_decimals {
            let number = |slot: Option<Slot>| match slot {
                Some(slot) => Ok(reader::unsigned(source, row[usize::from(slot)])?.unwrap_or(0)),
                None => Ok(0),
            };
            extras.push(LevelExtra {
                id: number(plan.id)?,
                sequence: number(plan.sequence)?,
                price_decimals: decimals(source, price),
                qty_decimals: decimals(source, qty),
            });
        }
        Ok(())
    }
}

pub(super) fn is_word(source: &[u8], value: Value, words: &[Box<[u8]>]) -> bool {
    let is_one = |text: &[u8]| words.iter().any(|word| **word == *text);
    matches!(value.kind, Kind::Text | Kind::Escaped | Kind::Number) && value.with_text(source, is_one)
}

/// Digits after the point as printed; those of the plain form where the text has an exponent.
pub(super) fn decimals(source: &[u8], value: Value) -> u8 {
    let count = value.with_text(source, |text| {
        if text.iter().any(|byte| matches!(byte, b'e' | b'E')) {
            return decimal::parse_natural(text).map_or(0, |(_, exp)| usize::from(exp.min(0).unsigned_abs()));
        }
        text.iter().position(|byte| *byte == b'.').map_or(0, |point| text.len() - point - 1)
    });
    u8::try_from(count).unwrap_or(u8::MAX)
}
