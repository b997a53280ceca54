//! Lists of levels that are read while the values of a frame are found, because shape and instrument are known by then.

use super::bodies::{self, Context};
use super::cursor::{Cursor, Value};
use super::elements::instrument;
use super::levels::{Finer, LevelReader};
use super::pairs::{Guess, pairs};
use super::plan::{BodyPlan, BookPlan, Field, ListPlan, ListSide, Plan, Record, ShapePlan};
use super::reader::Reader;
use super::scan::select;
use super::trie::{Lists, Slot};
use crate::decimal::POW10;
use crate::event::{Decoded, Level, Run};
use crate::instrument::Scale;

/// Which shape the lists of a walk may be read for.
pub(super) enum Choice<'p> {
    /// The first one that fits what is known when the first list comes.
    Among(&'p Plan),
    Fixed(&'p ShapePlan),
    None,
}

/// Lists that were read during the walk.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Taken {
    shape: Option<u16>,
    lists: [Option<(Slot, Run)>; 2],
    /// Lists of rows, whose levels are in the buffers of the sides.
    rows: [Option<Slot>; 2],
}

impl Taken {
    /// What was taken if it was for this shape; else nothing, and the levels are forgotten.
    pub(super) fn for_shape(self, shape: &ShapePlan, out: &mut Decoded) -> Taken {
        if self.shape == Some(shape.number) {
            return self;
        }
        out.levels.clear();
        out.extras.clear();
        Taken::default()
    }

    /// Whether the list at this place was taken row by row.
    pub(super) fn has_rows(&self, slot: Slot) -> bool {
        self.rows.contains(&Some(slot))
    }

    /// Bids and asks where every list that there is was taken, and none of one side twice; the other side may have none.
    pub(super) fn sides(
        &self,
        lists: &[ListPlan],
        is_given: impl Fn(&ListPlan) -> bool,
    ) -> Option<(Run, Run)> {
        let (mut bids, mut asks) = (None, None);
        for list in lists.iter().filter(|list| is_given(list)) {
            let side = if list.side == ListSide::Bid { &mut bids } else { &mut asks };
            if side.replace(self.run(list.at.slot)?).is_some() {
                return None;
            }
        }
        let (bids, asks) = (bids.or(asks.map(|asks| Run { len: 0, ..asks }))?, asks);
        Some((bids, asks.unwrap_or(Run { start: bids.start + bids.len, len: 0 })))
    }

    pub(super) fn run(&self, slot: Slot) -> Option<Run> {
        self.lists.iter().flatten().find(|(other, _)| *other == slot).map(|(_, run)| *run)
    }
}

/// Reads lists of levels during the walk. What it cannot read is left to the way that finds out why.
pub(super) struct Eager<'p, 'c, 'a> {
    choice: Choice<'p>,
    /// Values of the frame while an element is walked.
    outer: &'c [Value],
    pub(super) context: &'c mut Context<'a>,
    /// Levels, and their extras, that were there before.
    before: (usize, usize),
    chosen: Option<(&'p ShapePlan, &'a Scale)>,
    tried: bool,
    /// Whose lists they are, once a track has told the shape.
    instrument: Option<u32>,
    /// Shape of lists whose instrument stands behind them, and the exponents that they are read with.
    late: Option<(&'p ShapePlan, Guess)>,
    taken: Taken,
}

impl<'p, 'c, 'a> Eager<'p, 'c, 'a> {
    pub(super) fn new(
        choice: Choice<'p>,
        outer: &'c [Value],
        context: &'c mut Context<'a>,
    ) -> Eager<'p, 'c, 'a> {
        let before = (context.out.levels.len(), context.out.extras.len());
        context.sides.clear();
        Eager {
            choice,
            outer,
            context,
            before,
            chosen: None,
            tried: false,
            instrument: None,
            late: None,
            taken: Taken::default(),
        }
    }

    /// What was taken.
    pub(super) fn taken(&self) -> Taken {
        self.taken
    }

    /// Whose lists were taken, where a track told the shape.
    pub(super) fn instrument(&self) -> Option<u32> {
        self.instrument
    }

    /// The first shape whose conditions hold, of a frame whose values are all found.
    pub(super) fn select(&self, plan: &'p Plan, frame: &[u8], slots: &[Value]) -> Option<&'p ShapePlan> {
        let reader = Reader { frame, slots, element: &[], inner: &[] };
        select(plan, &reader, self.context.origin, self.context.table)
    }

    /// The list under the cursor, and those from here on, are of this shape.
    pub(super) fn choose_shape(&mut self, shape: &'p ShapePlan, cursor: &Cursor<'_>, slots: &[Value]) {
        if !self.tried {
            self.tried = true;
            let reader = Reader { frame: cursor.bytes, slots, element: &[], inner: &[] };
            let is_late = shape.instrument.field().is_some_and(|field| !reader.get(field).is_given());
            if is_late {
                self.late = self.context.columns.guess(cursor).map(|guess| (shape, guess));
                return;
            }
            let table = self.context.table;
            self.instrument = instrument(shape, &reader, self.context.origin, table).ok();
            self.chosen = self.instrument.map(|instrument| (shape, table.scale(instrument)));
        }
    }

    /// All values of the frame are found: levels that were read before their instrument was known get its exponents. What does
    /// not fit them was not taken.
    pub(super) fn settle(&mut self, frame: &[u8], slots: &[Value]) {
        let Some((shape, guess)) = self.late.take() else { return };
        let reader = Reader { frame, slots, element: &[], inner: &[] };
        self.instrument = instrument(shape, &reader, self.context.origin, self.context.table).ok();
        let is_settled = self.instrument.is_some_and(|found| {
            let scale = self.context.table.scale(found);
            self.context.columns.learn(&guess, *scale);
            rescale(&mut self.context.out.levels[self.before.0..], &guess.scale, scale).is_some()
        });
        if !is_settled {
            self.begin_again();
        }
    }

    fn choose(&self, frame: &[u8], slots: &[Value]) -> Option<(&'p ShapePlan, &'a Scale)> {
        let (origin, table) = (self.context.origin, self.context.table);
        let (shape, reader) = match self.choice {
            Choice::Among(plan) => {
                let reader = Reader { frame, slots, element: &[], inner: &[] };
                (select(plan, &reader, origin, table).filter(|shape| shape.each.is_none())?, reader)
            }
            Choice::Fixed(shape) => (shape, Reader { frame, slots: self.outer, element: slots, inner: &[] }),
            Choice::None => return None,
        };
        let instrument = instrument(shape, &reader, origin, table).ok()?;
        Some((shape, table.scale(instrument)))
    }

    /// Takes a list of `[price, quantity]` at once.
    fn pairs(&mut self, cursor: &mut Cursor<'_>, slot: Slot, (book, scale): (&BookPlan, &Scale)) -> bool {
        let Some(place) = self.taken.lists.iter_mut().find(|taken| taken.is_none()) else { return false };
        let Context { out, columns, .. } = &mut *self.context;
        let start = out.levels.len();
        let format = (scale, book.keep_decimals);
        if !pairs(cursor, format, columns, &mut out.levels, &mut out.extras) {
            return false;
        }
        *place = Some((slot, bodies::run(start, out.levels.len())));
        true
    }

    /// The same before the instrument is known.
    fn late_pairs(&mut self, cursor: &mut Cursor<'_>, slot: Slot, shape: &ShapePlan, scale: Scale) -> bool {
        let BodyPlan::Book(book) = &shape.body else { return false };
        let at = Field { record: Record::Frame, slot };
        let is_taken = book.level.is_pair
            && book.lists.iter().any(|list| list.at == at)
            && self.pairs(cursor, slot, (book, &scale));
        if is_taken {
            self.taken.shape = Some(shape.number);
        }
        is_taken
    }

    /// Takes a list row by row. Where several lists have levels of both sides, their order is that of the plan.
    fn rows(
        &mut self,
        (cursor, depth): (&mut Cursor<'_>, u32),
        (shape, book, list): (&ShapePlan, &BookPlan, &ListPlan),
        scale: &Scale,
    ) -> bool {
        let is_ordered = book.lists.len() == 1 || list.side != ListSide::InRow;
        let Some(place) = self.taken.rows.iter_mut().find(|taken| taken.is_none()) else { return false };
        if !is_ordered {
            return false;
        }
        let Context { sides, rows, .. } = &mut *self.context;
        let before = sides.lengths();
        let rows = &mut rows[usize::from(shape.number)];
        let finer = Finer::default();
        let mut reader = LevelReader { frame: cursor.bytes, plan: book, scale, finer, buffers: sides, rows };
        let mut inside = cursor.inside(depth);
        if reader.rows(list, &mut inside).is_err() || reader.finer.is_needed() {
            sides.truncate(before);
            return false;
        }
        cursor.at = inside.at;
        *place = Some(list.at.slot);
        true
    }
}

/// Gives levels other exponents; `None`: a number does not fit them, and some may be changed.
fn rescale(levels: &mut [Level], from: &Scale, to: &Scale) -> Option<()> {
    if from == to {
        return Some(());
    }
    let raised = |mantissa: i64, from: i8, to: i8| {
        let power = i64::try_from(*POW10.get(usize::from(from.abs_diff(to)))?).ok()?;
        if from >= to {
            return mantissa.checked_mul(power);
        }
        (mantissa % power == 0).then(|| mantissa / power)
    };
    for level in levels {
        level.price = raised(level.price, from.price_exp, to.price_exp)?;
        level.qty = raised(level.qty, from.qty_exp, to.qty_exp)?;
    }
    Some(())
}

impl Lists for Eager<'_, '_, '_> {
    fn list(&mut self, cursor: &mut Cursor<'_>, slot: Slot, slots: &[Value], depth: u32) -> bool {
        if let Some((shape, guess)) = self.late {
            return self.late_pairs(cursor, slot, shape, guess.scale);
        }
        if !self.tried {
            self.tried = true;
            self.chosen = self.choose(cursor.bytes, slots);
        }
        let Some((shape, scale)) = self.chosen else { return false };
        let BodyPlan::Book(book) = &shape.body else { return false };
        let record = if shape.each.is_none() { Record::Frame } else { Record::Element };
        let Some(list) = book.lists.iter().find(|list| list.at == Field { record, slot }) else {
            return false;
        };
        let is_taken = if book.level.is_pair {
            self.pairs(cursor, slot, (book, scale))
        } else {
            self.rows((cursor, depth), (shape, book, list), scale)
        };
        if is_taken {
            self.taken.shape = Some(shape.number);
        }
        is_taken
    }

    fn begin_again(&mut self) {
        let (levels, extras) = self.before;
        self.context.out.levels.truncate(levels);
        self.context.out.extras.truncate(extras);
        self.context.sides.clear();
        (self.tried, self.chosen, self.late, self.taken) = (false, None, None, Taken::default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_get_other_exponents_or_are_refused() {
        let levels =
            |prices: &[i64]| prices.iter().map(|price| Level { price: *price, qty: 7 }).collect::<Vec<_>>();
        let scale = |price_exp| Scale { price_exp, qty_exp: -8 };
        let rescaled = |prices: &[i64], from, to| {
            let mut given = levels(prices);
            rescale(&mut given, &scale(from), &scale(to)).map(|()| given)
        };
        assert_eq!(rescaled(&[15, 0, -3], -1, -3), Some(levels(&[1_500, 0, -300])));
        assert_eq!(rescaled(&[1_500, 0, -300], -3, -1), Some(levels(&[15, 0, -3])));
        assert_eq!(rescaled(&[1_501], -3, -1), None, "a digit would be lost");
        assert_eq!(rescaled(&[i64::MAX / 10], -1, -3), None, "64 bits do not hold it");
        assert_eq!(rescaled(&[1], 0, -19), None, "nor the power");
        assert_eq!(rescaled(&[i64::MAX], -5, -5), Some(levels(&[i64::MAX])));
    }

    #[test]
    fn sides_are_those_of_lists_that_were_all_taken() {
        let list =
            |slot, side| ListPlan { at: Field { record: Record::Frame, slot }, side, remove: false, name: 0 };
        // As Kraken v1 has them: each side in one of two objects.
        let lists = [(0, ListSide::Bid), (1, ListSide::Bid), (2, ListSide::Ask), (3, ListSide::Ask)]
            .map(|(slot, side)| list(slot, side));
        let run = |start, len| Run { start, len };
        let sides = |given: &[Slot], taken: [Option<(Slot, Run)>; 2]| {
            let taken = Taken { lists: taken, ..Taken::default() };
            taken.sides(&lists, |list| given.contains(&list.at.slot))
        };
        let (ask, bid) = ((2, run(5, 3)), (1, run(8, 2)));
        assert_eq!(sides(&[1, 2], [Some(ask), Some(bid)]), Some((bid.1, ask.1)));
        assert_eq!(sides(&[2], [Some(ask), None]), Some((run(5, 0), ask.1)));
        assert_eq!(sides(&[1], [Some(bid), None]), Some((bid.1, run(10, 0))));
        assert_eq!(sides(&[1, 2], [Some(ask), None]), None, "the bids are still to be read");
        assert_eq!(sides(&[2, 3], [Some(ask), Some((3, run(8, 1)))]), None, "one side has two lists");
        assert_eq!(sides(&[], [None, None]), None);
    }
}
