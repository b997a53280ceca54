//! Amends: a smaller quantity keeps the place of an order, anything else puts it at the back.

use super::request::{Amend, Kind, NewOrder};
use super::{Engine, Event, Output, Phase, Reject, Why, Working};

impl Engine {
    /// Gives an order other terms, or says why not.
    pub(super) fn amend(&mut self, amend: &Amend, out: &mut Output) -> Result<(), Reject> {
        let is_its = |working: &&Working| working.order.owner == amend.owner;
        let old = *self.get(amend.id).filter(is_its).ok_or(Reject::Unknown)?;
        if !self.phase.takes_orders() {
            return Err(Reject::Phase);
        }
        if !amend.kind.is_like(&old.order.kind) {
            return Err(Reject::Combination);
        }
        let order = NewOrder { kind: amend.kind, qty: amend.qty, ..old.order };
        self.check_terms(&order)?;
        if order.qty <= old.filled {
            let working = self.take_out(amend.id, out);
            self.end(&working, Event::Cancelled(Why::Amended), out);
            return Ok(());
        }
        let more = order.qty - old.order.qty;
        if order.kind == old.order.kind && more <= 0 {
            if more < 0 {
                self.reduce(amend.id, -more, out);
            }
            let working = self.working[&amend.id];
            let event = Event::Replaced { kind: order.kind, has_kept_place: true };
            out.reports.push(self.report_of(&working, working.leaves(), event));
            return Ok(());
        }
        self.check_post_only(&order)?;
        if more > 0 {
            self.check_open(order.side, more)?;
        }
        self.open[order.side.index()] += more;
        let working = Working { order, hidden: 0, seq: self.take_seq(), ..old };
        let event = Event::Replaced { kind: order.kind, has_kept_place: false };
        out.reports.push(self.report_of(&working, working.leaves(), event));
        let is_limit = matches!(order.kind, Kind::Limit { .. });
        if is_limit && (self.phase == Phase::Call || !self.would_trade(&order)) {
            self.requeue(working, out);
        } else {
            self.take_out(amend.id, out);
            self.place(working, out);
        }
        Ok(())
    }
}
