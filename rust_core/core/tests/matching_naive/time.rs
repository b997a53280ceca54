//! Phases, auctions, ends and stops of the naive exchange.

use super::*;

impl Naive {
    pub(crate) fn expire(&mut self, now: i64) {
        self.now = self.now.max(now);
        let mut due: Vec<(i64, u64)> = Vec::new();
        for kept in &self.orders {
            if let TimeInForce::Gtd(at) = kept.order.tif
                && at <= self.now
            {
                due.push((at, kept.order.id));
            }
        }
        due.sort_unstable();
        due.iter().for_each(|(_, id)| self.end(*id, Event::Expired));
    }

    pub(crate) fn set_phase(&mut self, phase: Phase, now: i64) {
        self.expire(now);
        if phase == self.phase {
            return;
        }
        if phase == Phase::Continuous {
            self.auction();
        }
        self.phase = phase;
        if phase == Phase::Closed {
            self.end_all(|kept| kept.order.tif == TimeInForce::Day, Event::Expired);
        }
        if phase == Phase::Continuous {
            if self.prints.is_empty() {
                self.prints.extend(self.last);
            }
            self.stops();
        }
    }

    pub(crate) fn set_band(&mut self, band: Option<(i64, i64)>, now: i64) {
        self.expire(now);
        self.rules.band = band;
        let outside = move |price: i64| band.is_some_and(|(low, high)| price < low || price > high);
        self.reference = self.reference.filter(|price| !outside(*price));
        self.end_all(move |kept| limit(&kept.order).is_some_and(outside), Event::Cancelled(Why::Band));
    }

    fn end_all(&mut self, is_one: impl Fn(&Kept) -> bool, event: Event) {
        let mut all = [self.book(Side::Bid), self.book(Side::Ask)].concat();
        for place in [Place::Call, Place::Stop] {
            for side in [Side::Bid, Side::Ask] {
                let mut some: Vec<Kept> = self.orders.clone();
                some.retain(|kept| kept.place == place && kept.order.side == side);
                some.sort_by_key(|kept| (distance(kept), kept.stamp));
                all.extend(some);
            }
        }
        all.iter().filter(|kept| is_one(kept)).for_each(|kept| self.end(kept.order.id, event));
    }

    pub(super) fn stops(&mut self) {
        if self.phase != Phase::Continuous {
            return;
        }
        let mut hit: VecDeque<u64> = VecDeque::new();
        loop {
            for side in [Side::Bid, Side::Ask] {
                let prints = &self.prints;
                let is_hit = |kept: &&Kept| {
                    let stop = trigger(&kept.order);
                    let reaches = |price: &i64| match side {
                        Side::Bid => *price >= stop.unwrap(),
                        Side::Ask => *price <= stop.unwrap(),
                    };
                    kept.place == Place::Stop && kept.order.side == side && prints.iter().any(reaches)
                };
                let mut some: Vec<Kept> = self.orders.iter().filter(is_hit).copied().collect();
                some.retain(|kept| !hit.contains(&kept.order.id));
                some.sort_by_key(|kept| (distance(kept), kept.stamp));
                hit.extend(some.iter().map(|kept| kept.order.id));
            }
            self.prints.clear();
            let Some(id) = hit.pop_front() else { break };
            let mut kept = *self.find(id).unwrap();
            self.orders.retain(|kept| kept.order.id != id);
            self.trigger(&mut kept);
            self.come(kept);
        }
    }

    /// By a look at every price.
    pub(crate) fn indicative(&self) -> Option<Indicative> {
        let outside = |price: &i64| self.rules.band.is_some_and(|(low, high)| *price < low || *price > high);
        let reference = self.reference.or(self.last).filter(|price| !outside(price));
        let books = [self.book(Side::Bid), self.book(Side::Ask)].concat();
        let limits = || books.iter().map(|kept| limit(&kept.order).unwrap()).chain(reference);
        let (low, high) = (limits().min()?, limits().max()?);
        let sum = |side, fits: &dyn Fn(i64) -> bool| -> i64 {
            let is_in = |kept: &&Kept| {
                let its = limit(&kept.order);
                kept.order.side == side
                    && match kept.place {
                        Place::Book => fits(its.unwrap()),
                        Place::Call => true,
                        Place::Stop => false,
                    }
            };
            self.orders.iter().filter(is_in).map(Kept::leaves).sum()
        };
        let mut best: Vec<Indicative> = Vec::new();
        for price in (low..=high).filter(|price| price % self.rules.tick == 0) {
            let (buys, sells) = (sum(Side::Bid, &|its| its >= price), sum(Side::Ask, &|its| its <= price));
            best.push(Indicative { price, qty: buys.min(sells), surplus: buys - sells });
        }
        let most = best.iter().map(|one| one.qty).max().filter(|most| *most > 0)?;
        best.retain(|one| one.qty == most);
        let least = best.iter().map(|one| one.surplus.abs()).min()?;
        best.retain(|one| one.surplus.abs() == least);
        let (first, last) = (best[0], best[best.len() - 1]);
        if best.iter().all(|one| one.surplus > 0) {
            return Some(last);
        }
        if best.iter().all(|one| one.surplus < 0) {
            return Some(first);
        }
        let tick = self.rules.tick;
        let middle = first.price + (last.price - first.price) / 2 / tick * tick;
        let target = reference.unwrap_or(middle);
        best.into_iter().min_by_key(|one| ((one.price - target).abs(), -one.price))
    }

    fn auction(&mut self) {
        let Indicative { price, qty: mut left, .. } =
            self.indicative().unwrap_or(Indicative { price: 0, qty: 0, surplus: 0 });
        while left > 0 {
            let [buy, sell] = [Side::Bid, Side::Ask].map(|side| self.first_in_auction(side));
            let qty = left.min(buy.shown).min(sell.shown);
            let fill = self.print(price, qty, None);
            self.fill(buy.order.id, fill);
            self.fill(sell.order.id, fill);
            left -= qty;
        }
        for side in [Side::Bid, Side::Ask] {
            let mut some = self.orders.clone();
            some.retain(|kept| kept.place == Place::Call && kept.order.side == side);
            some.sort_by_key(|kept| kept.stamp);
            some.iter().for_each(|kept| self.end(kept.order.id, Event::Cancelled(Why::Unfilled)));
        }
    }

    fn first_in_auction(&self, side: Side) -> Kept {
        let is_unpriced = |kept: &&Kept| kept.place == Place::Call && kept.order.side == side;
        let first = self.orders.iter().filter(is_unpriced).min_by_key(|kept| kept.stamp);
        first.copied().unwrap_or_else(|| self.book(side)[0])
    }
}

/// Of a stop from the market; market orders of a call have none.
fn distance(kept: &Kept) -> i64 {
    let stop = trigger(&kept.order).unwrap_or(0);
    if kept.order.side == Side::Bid { stop } else { -stop }
}
