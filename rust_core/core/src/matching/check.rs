//! What an order must be before anything is done with it.

use super::request::{Kind, NewOrder, TimeInForce};
use super::{Engine, PEAKS_MAX, Phase, Reject, STOPS_MAX};
use crate::event::{NOT_GIVEN, Side};

impl Engine {
    /// Whether an order may come in.
    pub(super) fn check_new(&self, order: &NewOrder) -> Result<(), Reject> {
        if !self.phase.takes_orders() {
            return Err(Reject::Phase);
        }
        if self.working.contains_key(&order.id) {
            return Err(Reject::Duplicate);
        }
        self.check_terms(order)?;
        if matches!(order.tif, TimeInForce::Gtd(at) if at <= self.now) {
            return Err(Reject::Time);
        }
        if self.phase == Phase::Call && !order.tif.is_resting() {
            return Err(Reject::Phase);
        }
        self.check_post_only(order)?;
        let is_stop = order.kind.stop().is_some();
        if self.working.len() >= self.rules.orders_max || is_stop && self.stops.len() >= STOPS_MAX {
            return Err(Reject::Full);
        }
        self.check_open(order.side, order.qty)
    }

    /// Whether the terms of an order fit the rules and each other.
    pub(super) fn check_terms(&self, order: &NewOrder) -> Result<(), Reject> {
        let NewOrder { kind, qty, tif, post_only, peak, .. } = *order;
        let is_off_tick = |price: i64| price % self.rules.tick != 0 || price == NOT_GIVEN;
        if kind.price().is_some_and(is_off_tick) || kind.stop().is_some_and(is_off_tick) {
            return Err(Reject::Price);
        }
        if qty <= 0 || qty % self.rules.lot != 0 || qty > self.rules.qty_max {
            return Err(Reject::Quantity);
        }
        if kind.price().is_some_and(|price| self.is_outside(price)) {
            return Err(Reject::Band);
        }
        if peak < 0 || peak % self.rules.lot != 0 || peak > 0 && (qty - 1) / peak >= PEAKS_MAX {
            return Err(Reject::Peak);
        }
        let is_limit = matches!(kind, Kind::Limit { .. });
        let may_hide = kind.price().is_some() && tif.is_resting();
        let fits = (tif.is_resting() || kind.stop().is_none())
            && (peak == 0 || may_hide)
            && (!post_only || is_limit && tif.is_resting());
        if fits { Ok(()) } else { Err(Reject::Combination) }
    }

    /// Whether a post-only order can come to the market now. A call asks nobody who came first, so it takes none.
    pub(super) fn check_post_only(&self, order: &NewOrder) -> Result<(), Reject> {
        match self.phase {
            _ if !order.post_only => Ok(()),
            Phase::Continuous if self.would_trade(order) => Err(Reject::WouldTrade),
            Phase::Continuous => Ok(()),
            Phase::Call | Phase::Halted | Phase::Closed => Err(Reject::Phase),
        }
    }

    /// Whether so much more fits into what is open.
    pub(super) fn check_open(&self, side: Side, more: i64) -> Result<(), Reject> {
        self.open[side.index()].checked_add(more).map(|_| ()).ok_or(Reject::Overflow)
    }

    pub(super) fn is_outside(&self, price: i64) -> bool {
        self.rules.band.is_some_and(|(low, high)| price < low || price > high)
    }

    /// Whether an order finds a price at which it trades.
    pub(super) fn would_trade(&self, order: &NewOrder) -> bool {
        let best = self.book.queues().best(order.side.other());
        best.is_some_and(|best| is_within(order.side, worst(order), best.price))
    }
}

/// The worst price that an order takes.
pub(super) fn worst(order: &NewOrder) -> i64 {
    order.kind.price().unwrap_or(match order.side {
        Side::Bid => i64::MAX,
        Side::Ask => i64::MIN,
    })
}

/// Whether a price is as good as a limit or better.
pub(super) fn is_within(side: Side, limit: i64, price: i64) -> bool {
    match side {
        Side::Bid => price <= limit,
        Side::Ask => price >= limit,
    }
}
