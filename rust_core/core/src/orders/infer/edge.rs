//! Levels that were never told: behind the last one of a whole book, or of the best so many that a venue tells.
//!
//! A level that is told of for the first time there may have stood for long, so its orders are as little known as those of a whole book.

use super::{Edges, Inference};
use crate::event::Side;
use crate::orders::rule::CERTAIN;

impl Inference {
    /// Sets the prices of the sides behind which nothing was told; `None`: all of it was.
    pub fn set_edges(&mut self, edges: Edges) {
        self.edges = edges;
    }

    /// How sure it is that what comes to a level that has no orders is an order that comes now.
    #[inline]
    pub(super) fn confidence_at(&self, (side, price): (Side, i64)) -> u8 {
        let is_told = self.edges[side.index()].is_none_or(|edge| match side {
            Side::Bid => price >= edge,
            Side::Ask => price <= edge,
        });
        if is_told { CERTAIN } else { 0 }
    }
}
