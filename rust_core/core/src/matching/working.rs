//! Orders that work: how they come to their place and leave it.

use super::request::{Kind, NewOrder, TimeInForce};
use super::stops::is_hit;
use super::{Engine, Event, Output, Phase, Reject, Report, Why};
use crate::event::{ORDER_TOLD, order_op};
use crate::orders::Order;

/// An order that works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Working {
    /// Its terms as they are now: amended, made smaller, triggered. The kind says where it waits.
    pub order: NewOrder,
    /// Filled so far.
    pub filled: i64,
    /// What an iceberg in the book does not show.
    pub hidden: i64,
    /// Number of its entry: the order of stops of one price, and of market orders in a call.
    pub(super) seq: u64,
}

impl Working {
    pub(super) fn new(order: NewOrder, seq: u64) -> Self {
        Self { order, filled: 0, hidden: 0, seq }
    }

    /// Still to be filled.
    #[must_use]
    pub fn leaves(&self) -> i64 {
        self.order.qty - self.filled
    }

    /// What it shows when it takes a place in the book.
    pub(super) fn shown(&self, leaves: i64) -> i64 {
        if self.order.peak > 0 { leaves.min(self.order.peak) } else { leaves }
    }
}

impl Engine {
    /// Takes an order in, or says why not.
    pub(super) fn enter_new(&mut self, order: &NewOrder, out: &mut Output) -> Result<(), Reject> {
        self.check_new(order)?;
        self.open[order.side.index()] += order.qty;
        let working = Working::new(*order, self.take_seq());
        out.reports.push(self.report_of(&working, order.qty, Event::New));
        self.place(working, out);
        Ok(())
    }

    /// Cancels an order, or says why not. This is possible in every phase.
    pub(super) fn cancel(&mut self, id: u64, owner: u64, out: &mut Output) -> Result<(), Reject> {
        self.get(id).filter(|working| working.order.owner == owner).ok_or(Reject::Unknown)?;
        let working = self.take_out(id, out);
        self.end(&working, Event::Cancelled(Why::Asked), out);
        Ok(())
    }

    /// Puts an order that is accepted where it belongs: a stop waits or is triggered by the last trade, others come to the market.
    pub(super) fn place(&mut self, mut working: Working, out: &mut Output) {
        let NewOrder { id, side, kind, .. } = working.order;
        if let Some(stop) = kind.stop() {
            let is_hit = self.last.is_some_and(|last| is_hit(side, stop, last));
            if !is_hit || self.phase != Phase::Continuous {
                self.stops.add(side, stop, working.seq, id);
                self.keep(working);
                return;
            }
            self.trigger(&mut working, out);
        }
        self.enter(working, out);
    }

    /// An order comes to the market: it trades, and rests if it may.
    pub(super) fn enter(&mut self, mut working: Working, out: &mut Output) {
        if self.phase == Phase::Call {
            return self.rest(working, out);
        }
        let tif = working.order.tif;
        if tif == TimeInForce::Fok && !self.can_fill(&working) {
            return self.end(&working, Event::Cancelled(Why::Unfilled), out);
        }
        let has_stopped = !self.sweep(&mut working, out);
        if has_stopped || working.leaves() == 0 {
            return;
        }
        if working.order.kind == Kind::Market || !tif.is_resting() {
            return self.end(&working, Event::Cancelled(Why::Unfilled), out);
        }
        self.rest(working, out);
    }

    /// Puts an order at the back of its queue; of one without a price, among the market orders of a call.
    fn rest(&mut self, mut working: Working, out: &mut Output) {
        if let Some(order) = self.shown_order(&working) {
            self.book.add(&order).expect("number and quantity are checked where orders come in");
            working.hidden = working.leaves() - order.qty;
            out.tell(order_op::ADD, &order, order.qty, 0);
        } else {
            self.unpriced[working.order.side.index()].insert(working.seq, working.order.id);
        }
        self.keep(working);
    }

    /// Puts an order of the book at the back of its queue or of another one, without a trade.
    pub(super) fn requeue(&mut self, mut working: Working, out: &mut Output) {
        let order = self.shown_order(&working).expect("an order of the book has a limit");
        self.book
            .replace(order.id, &order)
            .expect("the order is in the book, and what it grows by is checked");
        working.hidden = working.leaves() - order.qty;
        out.tell(order_op::MODIFY_LOSE, &order, order.qty, 0);
        self.keep(working);
    }

    /// What the book shows of an order that takes a place in it now.
    fn shown_order(&self, working: &Working) -> Option<Order> {
        Some(Order {
            id: working.order.id,
            price: working.order.kind.price()?,
            qty: working.shown(working.leaves()),
            priority: 0,
            ts: self.now,
            side: working.order.side,
            flags: ORDER_TOLD,
        })
    }

    fn keep(&mut self, working: Working) {
        let NewOrder { id, tif, .. } = working.order;
        if let TimeInForce::Gtd(at) = tif {
            self.ends.insert((at, id));
        }
        self.working.insert(id, working);
    }

    /// Takes an order from where it waits; what is left of it still counts as open.
    pub(super) fn take_out(&mut self, id: u64, out: &mut Output) -> Working {
        let working = self.forget(id);
        let NewOrder { side, kind, .. } = working.order;
        match kind {
            Kind::Limit { .. } => {
                let order = self.book.get(id).expect("a limit order that works is in the book");
                self.book.delete(id).expect("it was just there");
                out.tell(order_op::DELETE, &order, order.qty, 0);
            }
            Kind::Market => {
                self.unpriced[side.index()].remove(&working.seq);
            }
            Kind::Stop { stop } | Kind::StopLimit { stop, .. } => self.stops.remove(side, stop, working.seq),
        }
        working
    }

    /// The engine knows nothing of an order any more; its place is the caller's matter.
    pub(super) fn forget(&mut self, id: u64) -> Working {
        let working = self.working.remove(&id).expect("the order works");
        if let TimeInForce::Gtd(at) = working.order.tif {
            self.ends.remove(&(at, id));
        }
        working
    }

    /// Makes an order that waits smaller by less than it is; its place stays. Hidden quantity goes first.
    pub(super) fn reduce(&mut self, id: u64, by: i64, out: &mut Output) {
        let working = self.working.get_mut(&id).expect("the order works");
        let from_hidden = by.min(working.hidden);
        working.hidden -= from_hidden;
        working.order.qty -= by;
        self.open[working.order.side.index()] -= by;
        if by > from_hidden
            && let Some(order) = self.book.get(id)
        {
            let qty = order.qty - (by - from_hidden);
            self.book.resize(id, qty).expect("less than was there");
            out.tell(order_op::MODIFY_KEEP, &order, qty, 0);
        }
    }

    /// What is left of an order that waits nowhere is gone.
    pub(super) fn end(&mut self, working: &Working, event: Event, out: &mut Output) {
        self.open[working.order.side.index()] -= working.leaves();
        out.reports.push(self.report_of(working, 0, event));
    }

    pub(super) fn report_of(&self, working: &Working, leaves: i64, event: Event) -> Report {
        let NewOrder { id, owner, qty, .. } = working.order;
        Report { ts: self.now, order_id: id, owner, qty, filled: working.filled, leaves, event }
    }
}
