//! What turns a live book into a whole one that a venue sent: only that leaves.

use crate::book::Book;
use crate::event::{Level, Side};

/// The changes, in buffers that keep their memory: some venues send nothing but whole books.
#[derive(Debug, Default)]
pub(super) struct Difference {
    /// Bids, then asks; on each side deletions, then the levels that are new or other, in the order of the book.
    pub(super) levels: Vec<Level>,
    pub(super) n_bids: usize,
    /// New or other levels of the side in hand.
    changed: Vec<Level>,
    /// A side in order, where the venue's is not.
    sorted: Vec<Level>,
}

impl Difference {
    /// Finds what turns `book` into the one of `bids` and `asks`.
    pub(super) fn find(&mut self, book: &Book, bids: &[Level], asks: &[Level]) {
        self.levels.clear();
        self.side(book, Side::Bid, bids);
        self.n_bids = self.levels.len();
        self.side(book, Side::Ask, asks);
    }

    /// Bids and asks.
    pub(super) fn sides(&self) -> (&[Level], &[Level]) {
        self.levels.split_at(self.n_bids)
    }

    /// Both are followed from the best level on: what only ours has is gone, what ours has otherwise or not is changed.
    fn side(&mut self, book: &Book, side: Side, whole: &[Level]) {
        let key = |level: &Level| side.key(level.price);
        let Self { levels, changed, sorted, .. } = self;
        let whole = if whole.is_sorted_by(|one, next| key(one) < key(next)) {
            whole
        } else {
            sorted.clear();
            sorted.extend_from_slice(whole);
            // Stable: of a price that comes twice the last one counts, as in a change.
            sorted.sort_by_key(key);
            sorted.dedup_by(|next, kept| {
                let is_same = next.price == kept.price;
                if is_same {
                    kept.qty = next.qty;
                }
                is_same
            });
            &*sorted
        };
        changed.clear();
        let mut ours = book.levels(side).peekable();
        for level in whole.iter().filter(|level| level.qty != 0) {
            while let Some(gone) = ours.next_if(|our| key(our) < key(level)) {
                levels.push(Level { price: gone.price, qty: 0 });
            }
            match ours.next_if(|our| our.price == level.price) {
                Some(our) if our.qty == level.qty => {}
                _ => changed.push(*level),
            }
        }
        levels.extend(ours.map(|gone| Level { price: gone.price, qty: 0 }));
        levels.extend_from_slice(changed);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn side() -> impl Strategy<Value = Vec<Level>> {
        let level = (-20_i64..20, 0_i64..4).prop_map(|(price, qty)| Level { price, qty });
        prop::collection::vec(level, 0..40)
    }

    fn book(bids: &[Level], asks: &[Level]) -> Book {
        let mut book = Book::new(1);
        for (side, levels) in [(Side::Bid, bids), (Side::Ask, asks)] {
            for level in levels {
                book.set(side, level.price, level.qty);
            }
        }
        book
    }

    proptest! {
        #[test]
        fn it_turns_any_book_into_any_other(
            bids in side(), asks in side(), new_bids in side(), new_asks in side(), in_order: bool,
        ) {
            let (mut new_bids, mut new_asks) = (new_bids, new_asks);
            if in_order {
                let of = |levels: Vec<Level>| levels.iter().map(|l| (l.price, l.qty)).collect::<BTreeMap<_, _>>();
                let levels = |(price, qty)| Level { price, qty };
                new_bids = of(new_bids).into_iter().rev().map(levels).collect();
                new_asks = of(new_asks).into_iter().map(levels).collect();
            }
            let (mut ours, wanted) = (book(&bids, &asks), book(&new_bids, &new_asks));
            let mut difference = Difference::default();
            difference.find(&ours, &new_bids, &new_asks);
            let (bids, asks) = difference.sides();
            for (side, levels) in [(Side::Bid, bids), (Side::Ask, asks)] {
                let deletions = levels.iter().take_while(|level| level.qty == 0).count();
                prop_assert!(levels[deletions..].iter().all(|level| level.qty != 0));
                for level in levels {
                    prop_assert_ne!(ours.set(side, level.price, level.qty), level.qty, "it changes nothing");
                }
            }
            for side in [Side::Bid, Side::Ask] {
                prop_assert_eq!(ours.levels(side).collect::<Vec<_>>(), wanted.levels(side).collect::<Vec<_>>());
            }
        }
    }
}
