//! The plainest exchange that can be right: one list of orders, looked through from its beginning for every question.

use std::collections::VecDeque;

use outcrier_core::event::{AGGRESSOR_BUY, AGGRESSOR_SELL, AGGRESSOR_UNKNOWN, Side, TRADE_AUCTION, Trade};
use outcrier_core::matching::{
    Amend, Event, Fill, Indicative, Kind, Liquidity, NewOrder, PEAKS_MAX, Phase, Reject, Report, Request,
    Rules, SelfTrade, TimeInForce, Why,
};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Book,
    Call,
    Stop,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept {
    pub(crate) order: NewOrder,
    pub(crate) filled: i64,
    pub(crate) shown: i64,
    /// Grows; who has the lower one came first.
    stamp: u64,
    place: Place,
}

impl Kept {
    pub(crate) fn leaves(&self) -> i64 {
        self.order.qty - self.filled
    }
}

#[derive(Clone)]
pub(crate) struct Naive {
    pub(crate) rules: Rules,
    pub(crate) phase: Phase,
    pub(crate) orders: Vec<Kept>,
    pub(crate) reference: Option<i64>,
    pub(crate) last: Option<i64>,
    pub(crate) reports: Vec<Report>,
    pub(crate) trades: Vec<Trade>,
    now: i64,
    stamp: u64,
    trade: u64,
    prints: Vec<i64>,
}

fn limit(order: &NewOrder) -> Option<i64> {
    match order.kind {
        Kind::Limit { price } | Kind::StopLimit { price, .. } => Some(price),
        Kind::Market | Kind::Stop { .. } => None,
    }
}

fn trigger(order: &NewOrder) -> Option<i64> {
    match order.kind {
        Kind::Stop { stop } | Kind::StopLimit { stop, .. } => Some(stop),
        Kind::Market | Kind::Limit { .. } => None,
    }
}

/// Smaller is better for whoever trades with it.
fn rank(side: Side, price: i64) -> i64 {
    if side == Side::Bid { -price } else { price }
}

fn flip(side: Side) -> Side {
    if side == Side::Bid { Side::Ask } else { Side::Bid }
}

impl Naive {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            phase: Phase::Continuous,
            orders: Vec::new(),
            reference: None,
            last: None,
            reports: Vec::new(),
            trades: Vec::new(),
            now: i64::MIN,
            stamp: 0,
            trade: 0,
            prints: Vec::new(),
        }
    }

    pub(crate) fn find(&self, id: u64) -> Option<&Kept> {
        self.orders.iter().find(|kept| kept.order.id == id)
    }

    /// The orders of the book of a side, first in priority first.
    pub(crate) fn book(&self, side: Side) -> Vec<Kept> {
        let is_there = |kept: &&Kept| kept.place == Place::Book && kept.order.side == side;
        let mut book: Vec<Kept> = self.orders.iter().filter(is_there).copied().collect();
        book.sort_by_key(|kept| (rank(side, limit(&kept.order).unwrap()), kept.stamp));
        book
    }

    pub(crate) fn request(&mut self, request: &Request, now: i64) {
        self.expire(now);
        match *request {
            Request::New(order) => match self.refusal(&order, None) {
                Some(reason) => {
                    let kept = Kept { order, filled: 0, shown: 0, stamp: 0, place: Place::Book };
                    self.report(&kept, 0, Event::Rejected(reason));
                }
                None => {
                    let kept = Kept { order, filled: 0, shown: 0, stamp: self.next(), place: Place::Book };
                    self.report(&kept, order.qty, Event::New);
                    self.place(kept);
                }
            },
            Request::Cancel { id, owner } => match self.find(id).filter(|kept| kept.order.owner == owner) {
                Some(_) => self.end(id, Event::Cancelled(Why::Asked)),
                None => self.refuse(id, owner, Event::CancelRejected(Reject::Unknown)),
            },
            Request::Amend(amend) => self.amend(&amend),
        }
        self.stops();
    }

    fn amend(&mut self, amend: &Amend) {
        let Amend { id, owner, kind, qty } = *amend;
        let Some(old) = self.find(id).copied().filter(|kept| kept.order.owner == owner) else {
            return self.refuse(id, owner, Event::AmendRejected(Reject::Unknown));
        };
        let order = NewOrder { kind, qty, ..old.order };
        if let Some(reason) = self.refusal(&order, Some(&old)) {
            return self.refuse(id, owner, Event::AmendRejected(reason));
        }
        if qty <= old.filled {
            return self.end(id, Event::Cancelled(Why::Amended));
        }
        if kind == old.order.kind && qty <= old.order.qty {
            self.shrink(id, old.order.qty - qty);
            let kept = *self.find(id).unwrap();
            return self.report(&kept, kept.leaves(), Event::Replaced { kind, has_kept_place: true });
        }
        self.orders.retain(|kept| kept.order.id != id);
        let kept = Kept { order, stamp: self.next(), ..old };
        self.report(&kept, kept.leaves(), Event::Replaced { kind, has_kept_place: false });
        self.place(kept);
    }

    /// Why an order, or the new terms of one, cannot be.
    fn refusal(&self, order: &NewOrder, old: Option<&Kept>) -> Option<Reject> {
        let is_new = old.is_none();
        let may_stay = !matches!(order.tif, TimeInForce::Ioc | TimeInForce::Fok);
        let prices = [limit(order), trigger(order)];
        let is_call = self.phase == Phase::Call;
        // Smaller at the same place: nothing can happen.
        let keeps = old.is_some_and(|old| {
            order.qty <= old.filled || order.kind == old.order.kind && order.qty <= old.order.qty
        });
        let touch = self.book(flip(order.side)).first().map(|kept| limit(&kept.order).unwrap());
        let trades = touch.zip(limit(order)).is_some_and(|(touch, limit)| match order.side {
            Side::Bid => touch <= limit,
            Side::Ask => touch >= limit,
        });
        let outside = |price: i64| self.rules.band.is_some_and(|(low, high)| !(low..=high).contains(&price));
        let stops = self.orders.iter().filter(|kept| kept.place == Place::Stop).count();
        assert!(stops < 1_000, "too few for any limit of stops");
        let reasons = [
            (Reject::Phase, matches!(self.phase, Phase::Halted | Phase::Closed)),
            (Reject::Duplicate, is_new && self.find(order.id).is_some()),
            (
                Reject::Combination,
                old.is_some_and(|old| {
                    std::mem::discriminant(&old.order.kind) != std::mem::discriminant(&order.kind)
                }),
            ),
            (Reject::Price, prices.iter().flatten().any(|price| price % self.rules.tick != 0)),
            (
                Reject::Quantity,
                order.qty < 1 || order.qty > self.rules.qty_max || order.qty % self.rules.lot != 0,
            ),
            (Reject::Band, limit(order).is_some_and(outside)),
            (
                Reject::Peak,
                order.peak < 0
                    || order.peak % self.rules.lot != 0
                    || order.peak > 0 && order.qty > order.peak.saturating_mul(PEAKS_MAX),
            ),
            (Reject::Combination, trigger(order).is_some() && !may_stay),
            (Reject::Combination, order.peak > 0 && (limit(order).is_none() || !may_stay)),
            (
                Reject::Combination,
                order.post_only && (!matches!(order.kind, Kind::Limit { .. }) || !may_stay),
            ),
            (Reject::Time, is_new && matches!(order.tif, TimeInForce::Gtd(at) if at <= self.now)),
            (Reject::Phase, is_new && is_call && !may_stay),
            (Reject::Phase, order.post_only && is_call && !keeps),
            (Reject::WouldTrade, order.post_only && trades && !keeps),
            (Reject::Full, is_new && self.orders.len() >= self.rules.orders_max),
        ];
        reasons.iter().find(|(_, is_so)| *is_so).map(|(reason, _)| *reason)
    }

    fn place(&mut self, mut kept: Kept) {
        let Some(stop) = trigger(&kept.order) else { return self.come(kept) };
        let is_hit = self.last.is_some_and(|last| match kept.order.side {
            Side::Bid => last >= stop,
            Side::Ask => last <= stop,
        });
        if is_hit && self.phase == Phase::Continuous {
            self.trigger(&mut kept);
            self.come(kept);
        } else {
            kept.place = Place::Stop;
            self.orders.push(kept);
        }
    }

    fn trigger(&mut self, kept: &mut Kept) {
        kept.order.kind = limit(&kept.order).map_or(Kind::Market, |price| Kind::Limit { price });
        self.report(kept, kept.leaves(), Event::Triggered);
    }

    fn come(&mut self, mut kept: Kept) {
        if self.phase != Phase::Call {
            if kept.order.tif == TimeInForce::Fok {
                // Tried on another exchange first.
                let mut tried = kept;
                self.clone().trade(&mut tried);
                if tried.filled < kept.order.qty {
                    return self.report(&kept, 0, Event::Cancelled(Why::Unfilled));
                }
            }
            self.trade(&mut kept);
            if kept.leaves() == 0 {
                return;
            }
            if limit(&kept.order).is_none() || matches!(kept.order.tif, TimeInForce::Ioc | TimeInForce::Fok) {
                return self.report(&kept, 0, Event::Cancelled(Why::Unfilled));
            }
        }
        kept.place = if limit(&kept.order).is_some() { Place::Book } else { Place::Call };
        kept.stamp = self.next();
        kept.shown = if kept.order.peak > 0 { kept.leaves().min(kept.order.peak) } else { kept.leaves() };
        self.orders.push(kept);
    }

    /// Trades what can be. An order that ends because of its owner has nothing left.
    fn trade(&mut self, taker: &mut Kept) {
        let against = flip(taker.order.side);
        while taker.leaves() > 0 {
            let Some(maker) = self.book(against).first().copied() else { break };
            let price = limit(&maker.order).unwrap();
            let fits = match taker.order.side {
                Side::Bid => price <= limit(&taker.order).unwrap_or(i64::MAX),
                Side::Ask => price >= limit(&taker.order).unwrap_or(i64::MIN),
            };
            if !fits {
                break;
            }
            let mode = taker.order.self_trade;
            if maker.order.owner == taker.order.owner && mode != SelfTrade::Allow {
                let (mine, its) = (taker.leaves(), maker.leaves());
                // The one that came is told first.
                let ends_it = mode == SelfTrade::CancelOldest
                    || mode == SelfTrade::CancelBoth
                    || mode == SelfTrade::Decrement && its <= mine;
                let ends_me = mode == SelfTrade::CancelNewest
                    || mode == SelfTrade::CancelBoth
                    || mode == SelfTrade::Decrement && mine <= its;
                let at = self.reports.len();
                if ends_it {
                    self.end(maker.order.id, Event::Cancelled(Why::SelfTrade));
                } else if mode == SelfTrade::Decrement {
                    self.shrink(maker.order.id, mine);
                    let kept = *self.find(maker.order.id).unwrap();
                    self.report(&kept, kept.leaves(), Event::Restated);
                }
                if ends_me {
                    let after = self.reports.split_off(at);
                    self.report(taker, 0, Event::Cancelled(Why::SelfTrade));
                    self.reports.extend(after);
                    taker.order.qty = taker.filled;
                    return;
                }
                if mode == SelfTrade::Decrement {
                    let after = self.reports.split_off(at);
                    taker.order.qty -= its;
                    self.report(taker, taker.leaves(), Event::Restated);
                    self.reports.extend(after);
                }
                continue;
            }
            let qty = taker.leaves().min(maker.shown);
            let fill = self.print(price, qty, Some(taker.order.side));
            taker.filled += qty;
            self.tell(taker, Fill { liquidity: Liquidity::Taker, ..fill });
            self.fill(maker.order.id, Fill { liquidity: Liquidity::Maker, ..fill });
        }
    }

    fn print(&mut self, price: i64, qty: i64, aggressor: Option<Side>) -> Fill {
        self.trade += 1;
        self.last = Some(price);
        self.prints.push(price);
        self.trades.push(Trade {
            price,
            qty,
            trade_id: self.trade,
            trade_ts: self.now,
            aggressor: match aggressor {
                Some(Side::Bid) => AGGRESSOR_BUY,
                Some(Side::Ask) => AGGRESSOR_SELL,
                None => AGGRESSOR_UNKNOWN,
            },
            trade_flags: if aggressor.is_none() { TRADE_AUCTION } else { 0 },
            n_fills: 1,
            id_span: 0,
        });
        Fill { trade_id: self.trade, price, qty, liquidity: Liquidity::Auction }
    }

    /// An order that waits trades.
    fn fill(&mut self, id: u64, fill: Fill) {
        let stamp = self.next();
        let kept = self.orders.iter_mut().find(|kept| kept.order.id == id).unwrap();
        kept.filled += fill.qty;
        kept.shown -= fill.qty;
        if kept.shown == 0 && kept.leaves() > 0 {
            kept.shown = kept.leaves().min(kept.order.peak);
            kept.stamp = stamp;
        }
        let told = *kept;
        self.tell(&told, fill);
        self.orders.retain(|kept| kept.leaves() > 0);
    }

    fn tell(&mut self, kept: &Kept, fill: Fill) {
        let event = if kept.leaves() == 0 { Event::Fill(fill) } else { Event::PartialFill(fill) };
        self.report(kept, kept.leaves(), event);
    }

    fn shrink(&mut self, id: u64, by: i64) {
        let kept = self.orders.iter_mut().find(|kept| kept.order.id == id).unwrap();
        kept.order.qty -= by;
        kept.shown = kept.shown.min(kept.leaves());
    }

    fn end(&mut self, id: u64, event: Event) {
        let kept = *self.find(id).unwrap();
        self.orders.retain(|kept| kept.order.id != id);
        self.report(&kept, 0, event);
    }

    fn refuse(&mut self, id: u64, owner: u64, event: Event) {
        let known = self.find(id).filter(|kept| kept.order.owner == owner);
        let (qty, filled) = known.map_or((0, 0), |kept| (kept.order.qty, kept.filled));
        self.reports.push(Report {
            ts: self.now,
            order_id: id,
            owner,
            qty,
            filled,
            leaves: qty - filled,
            event,
        });
    }

    fn report(&mut self, kept: &Kept, leaves: i64, event: Event) {
        let NewOrder { id, owner, qty, .. } = kept.order;
        self.reports.push(Report {
            ts: self.now,
            order_id: id,
            owner,
            qty,
            filled: kept.filled,
            leaves,
            event,
        });
    }

    fn next(&mut self) -> u64 {
        self.stamp += 1;
        self.stamp
    }
}

mod time;
