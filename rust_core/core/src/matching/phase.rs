//! What happens by time or by order of the exchange: phases, ends, bands, and stops that trades have triggered.

use super::request::TimeInForce;
use super::{Engine, Event, Output, Reject, RulesError, Why, Working};
use crate::event::Side;

/// What an engine does with orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Orders collect for an auction; nothing trades, and the book may be crossed.
    Call,
    /// Orders trade when they come.
    Continuous,
    /// Orders can only be cancelled.
    Halted,
    /// As halted; orders of the day have expired.
    Closed,
}

impl Phase {
    /// Whether orders come in and are amended.
    pub(super) fn takes_orders(self) -> bool {
        matches!(self, Phase::Call | Phase::Continuous)
    }
}

impl Engine {
    /// Begins another phase. Whatever comes before, continuous trading begins with an auction of what has collected.
    pub fn set_phase(&mut self, phase: Phase, now: i64, out: &mut Output) {
        self.expire(now, out);
        if phase == self.phase {
            return;
        }
        match phase {
            Phase::Call | Phase::Halted => self.phase = phase,
            Phase::Continuous => {
                self.uncross(out);
                self.phase = phase;
                // Stops of a call have not seen the last trade, whether the auction had one or not.
                self.printed = self.printed.or(self.last.map(|last| (last, last)));
                self.trigger_stops(out);
            }
            Phase::Closed => {
                self.phase = phase;
                self.end_where(
                    |engine, id| engine.working[&id].order.tif == TimeInForce::Day,
                    Event::Expired,
                    out,
                );
            }
        }
    }

    /// Ends what is due at `now` or before, the earliest first and those of one time by number.
    pub fn expire(&mut self, now: i64, out: &mut Output) {
        self.now = self.now.max(now);
        while let Some(&(at, id)) = self.ends.first()
            && at <= self.now
        {
            let working = self.take_out(id, out);
            self.end(&working, Event::Expired, out);
        }
    }

    /// Names the price to which the price of an auction is close where nothing else decides; the last trade if there is none.
    ///
    /// # Errors
    /// [`Reject::Price`], [`Reject::Band`].
    pub fn set_reference(&mut self, price: Option<i64>) -> Result<(), Reject> {
        if price.is_some_and(|price| price % self.rules.tick != 0) {
            return Err(Reject::Price);
        }
        if price.is_some_and(|price| self.is_outside(price)) {
            return Err(Reject::Band);
        }
        self.reference = price;
        Ok(())
    }

    /// Gives prices another band. Orders whose limit is outside are cancelled; a reference outside is forgotten.
    ///
    /// # Errors
    /// [`RulesError::Band`].
    pub fn set_band(
        &mut self,
        band: Option<(i64, i64)>,
        now: i64,
        out: &mut Output,
    ) -> Result<(), RulesError> {
        if band.is_some_and(|(low, high)| low > high) {
            return Err(RulesError::Band);
        }
        self.expire(now, out);
        self.rules.band = band;
        self.reference = self.reference.filter(|price| !self.is_outside(*price));
        let is_outside = |engine: &Self, id| {
            engine.working[&id].order.kind.price().is_some_and(|price| engine.is_outside(price))
        };
        self.end_where(is_outside, Event::Cancelled(Why::Band), out);
        Ok(())
    }

    /// Stops that trades have reached come to the market one after the other. What they trade may reach more; each comes once.
    pub(super) fn trigger_stops(&mut self, out: &mut Output) {
        if self.phase != Phase::Continuous {
            return;
        }
        loop {
            if let Some(printed) = self.printed.take() {
                self.stops.take_hit(printed, &mut self.hit);
            }
            let Some(id) = self.hit.pop_front() else { break };
            let mut working = self.forget(id);
            self.trigger(&mut working, out);
            self.enter(working, out);
        }
    }

    /// A stop is a market or limit order from now on.
    pub(super) fn trigger(&self, working: &mut Working, out: &mut Output) {
        working.order.kind = working.order.kind.triggered();
        out.reports.push(self.report_of(working, working.leaves(), Event::Triggered));
    }

    /// Ends some orders: those of the book as a snapshot has them, then market orders of a call, then stops; buys first.
    fn end_where(&mut self, is_one: impl Fn(&Self, u64) -> bool, event: Event, out: &mut Output) {
        let mut ending = std::mem::take(&mut self.ending);
        let queues = self.book.queues();
        let shown = queues.orders(Side::Bid).chain(queues.orders(Side::Ask)).map(|order| order.id);
        let unpriced = self.unpriced.iter().flat_map(|side| side.values().copied());
        ending.extend(shown.chain(unpriced).chain(self.stops.ids()).filter(|id| is_one(self, *id)));
        for id in ending.drain(..) {
            let working = self.take_out(id, out);
            self.end(&working, event, out);
        }
        self.ending = ending;
    }
}
