//! Whole books: where inference begins, and the same orders at finer exponents.

use super::change::TOGETHER;
use super::{Inference, flags};
use crate::event::{Level, OrderOp, Side, order_op};
use crate::orders::queues::Order;
use crate::orders::rule::CERTAIN;
use crate::orders::tape::Tape;
use crate::orders::watch::WatchedQueues;

impl Inference {
    /// Begins with a whole book in place of what was known. Of its levels only the sums are known, so each is one order without
    /// any confidence, which stands for all that are there.
    pub fn begin(&mut self, levels: impl Iterator<Item = (Side, Level)>, ts: i64) {
        self.forget();
        self.ops.push(OrderOp { op: order_op::CLEAR, op_flags: flags(CERTAIN), ..OrderOp::default() });
        for (side, level) in levels {
            let edge = &mut self.edges[side.index()];
            let worst = edge.map_or(level.price, |edge| {
                if side == Side::Bid { edge.min(level.price) } else { edge.max(level.price) }
            });
            *edge = Some(worst);
            let place = self.queues().at(side, level.price);
            self.join_as((side, level.price), place, level.qty, ts, 0);
        }
        self.queues.queues.reserve();
        self.queues.queues.make_room(2 * TOGETHER);
    }

    /// Nothing is known any more; [`Inference::begin`] comes next.
    pub fn forget(&mut self) {
        self.queues.forget();
        if let Some(tape) = &mut self.tape {
            **tape = Tape::default();
        }
        self.prints.clear();
        self.shrunk.clear();
        self.glimpses.clear();
        self.waited = 0;
        self.last_best = [(0, 0); 2];
        self.edges = [None; 2];
        self.outside.clear();
        self.ops.clear();
        self.is_off = false;
    }

    /// The same at finer exponents, watched places too; `None` if a number does not fit.
    #[must_use]
    pub fn rescaled(&self, price_factor: i64, qty_factor: i64) -> Option<Self> {
        let finer = |level: (Side, i64), qty: i64| {
            Some(((level.0, level.1.checked_mul(price_factor)?), qty.checked_mul(qty_factor)?))
        };
        let mut queues = WatchedQueues::unordered();
        for side in [Side::Bid, Side::Ask] {
            for order in self.queues().orders(side) {
                let ((_, price), qty) = finer((side, order.price), order.qty)?;
                queues.append(&Order { price, qty, ..order }).ok()?;
            }
        }
        queues.watch_as(&self.queues, price_factor, qty_factor)?;
        let beliefs = self.beliefs.rescaled(qty_factor)?;
        let tape = match &self.tape {
            Some(tape) => Some(Box::new(tape.rescaled(price_factor, qty_factor)?)),
            None => None,
        };
        let outside = self.outside.rescaled(price_factor, qty_factor)?;
        let mut scaled = Self { queues, beliefs, tape, outside, ..self.clone() };
        for print in &mut scaled.prints {
            (print.level, print.qty) = finer(print.level, print.qty)?;
        }
        for shrunk in &mut scaled.shrunk {
            (shrunk.level, shrunk.qty) = finer(shrunk.level, shrunk.qty)?;
        }
        for glimpse in &mut scaled.glimpses {
            (glimpse.level, glimpse.qty) = finer(glimpse.level, glimpse.qty)?;
        }
        scaled.note_waited();
        scaled.last_best = [(0, 0); 2];
        for edge in scaled.edges.iter_mut().flatten() {
            *edge = edge.checked_mul(price_factor)?;
        }
        Some(scaled)
    }
}
