//! Stops that wait for a trade.

use std::collections::{BTreeMap, VecDeque};

use crate::event::Side;

/// Numbers of stops of both sides by what triggers them: the nearest price first, and those of one price in the order in which they came.
#[derive(Clone, Debug, Default)]
pub(super) struct Stops {
    sides: [BTreeMap<(i64, u64), u64>; 2],
}

impl Stops {
    pub(super) fn len(&self) -> usize {
        self.sides.iter().map(BTreeMap::len).sum()
    }

    pub(super) fn add(&mut self, side: Side, stop: i64, seq: u64, id: u64) {
        self.sides[side.index()].insert((nearness(side, stop), seq), id);
    }

    pub(super) fn remove(&mut self, side: Side, stop: i64, seq: u64) {
        self.sides[side.index()].remove(&(nearness(side, stop), seq));
    }

    /// Numbers of all, buys first.
    pub(super) fn ids(&self) -> impl Iterator<Item = u64> + '_ {
        self.sides.iter().flat_map(BTreeMap::values).copied()
    }

    /// Moves those that trades between two prices trigger, buys first.
    pub(super) fn take_hit(&mut self, (low, high): (i64, i64), hit: &mut VecDeque<u64>) {
        for (side, reached) in [(Side::Bid, high), (Side::Ask, low)] {
            let waiting = &mut self.sides[side.index()];
            while let Some(first) = waiting.first_entry()
                && first.key().0 <= nearness(side, reached)
            {
                hit.push_back(first.remove());
            }
        }
    }
}

/// Whether a trade at a price triggers a stop: of a buy at the stop price or above, of a sale at it or below.
pub(super) fn is_hit(side: Side, stop: i64, traded: i64) -> bool {
    nearness(side, stop) <= nearness(side, traded)
}

/// Grows away from the market, with the price for buys and against it for sales. `!` turns the order of all 64-bit numbers around.
fn nearness(side: Side, price: i64) -> i64 {
    match side {
        Side::Bid => price,
        Side::Ask => !price,
    }
}
