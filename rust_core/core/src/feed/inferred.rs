//! Orders that the feed infers: what its levels and trades say of them, from the first whole book on.
//!
//! The levels are those that leave, so that the orders of a level are its quantity after every event, also for a consumer. They say nothing new
//! about the levels: what goes wrong with them ends with the same orders begun anew from the book, and is counted.

use super::Feed;
use super::instrument::Instrument;
use super::notice::FeedCounters;
use super::orders::{OrderEvent, Orders, Source, time_of};
use crate::event::{
    AGGRESSOR_BUY, AGGRESSOR_SELL, Bbo, Event, Ids, Level, NOT_GIVEN, Side, TRADE_BLOCK, TRADE_CANCEL,
    TRADE_CORRECTION, TRADE_OFF_BOOK, Trade,
};
use crate::orders::{Edges, Inference, Rule, Weights};
use crate::publish::{Arrival, Channel, Host};

/// Trades that took nothing from the book, or were told before.
const BESIDE_THE_BOOK: u8 = TRADE_BLOCK | TRADE_OFF_BOOK | TRADE_CORRECTION | TRADE_CANCEL;

impl Orders {
    /// None yet; the first whole book begins them.
    fn inferred() -> Box<Self> {
        let inference = Inference::new(Rule::Likeliest, Weights::default());
        Box::new(Self { source: Source::Inferred(inference), is_whole: false, exchange_ts: NOT_GIVEN })
    }

    /// What infers them, once it has begun.
    fn inference(&mut self) -> Option<&mut Inference> {
        match &mut self.source {
            Source::Inferred(inference) if self.is_whole => Some(inference),
            _ => None,
        }
    }
}

impl Instrument {
    /// Its orders are inferred from now on.
    pub(super) fn infer_orders(&mut self) {
        if self.has_book && self.native.is_none() {
            self.orders = Some(Orders::inferred());
        }
    }

    /// The book is whole: the orders begin with it, where they are inferred.
    pub(super) fn begin_orders(&mut self, arrival: Arrival) {
        let Some(orders) = &mut self.orders else { return };
        let Source::Inferred(inference) = &mut orders.source else { return };
        let of = |side| self.book.levels(side).map(move |level| (side, level));
        inference.begin(of(Side::Bid).chain(of(Side::Ask)), time_of(self.exchange_ts, arrival));
        inference.take_ops(|_| ());
        orders.is_whole = true;
        orders.exchange_ts = self.exchange_ts;
        if self.depth_limit != 0 {
            let edges = self.edges();
            if let Some(inference) = self.orders.as_mut().and_then(|orders| orders.inference()) {
                inference.set_edges(edges);
            }
        }
    }

    /// Where the venue tells the best so many levels, others are behind the last one of a side that has as many.
    fn edges(&self) -> Edges {
        [Side::Bid, Side::Ask].map(|side| {
            let is_full = self.book.len(side) >= usize::from(self.depth_limit);
            self.book.worst(side).filter(|_| is_full).map(|level| level.price)
        })
    }

    /// The changes of levels that an event told say what became of orders.
    pub(super) fn infer_change(
        &mut self,
        (levels, n_bids): (&[Level], usize),
        event: &Event,
        counters: &mut FeedCounters,
        channel: &mut Channel,
        host: &mut dyn Host,
        arrival: Arrival,
    ) {
        let edges = (self.depth_limit != 0).then(|| self.edges());
        let Some(inference) = self.orders.as_mut().and_then(|orders| orders.inference()) else { return };
        let ts = time_of(event.exchange_ts, arrival);
        let (bids, asks) = levels.split_at(n_bids);
        match edges {
            Some(edges) => inference.levels_within(edges, bids, asks, ts),
            None => inference.levels(bids, asks, ts),
        }
        inference.end_event(ts);
        self.tell_inferred(event.exchange_ts, event.ids, counters, channel, host, arrival);
    }

    /// Trades of an event say what was executed.
    pub(super) fn infer_trades(
        &mut self,
        trades: &[Trade],
        event: &Event,
        counters: &mut FeedCounters,
        channel: &mut Channel,
        host: &mut dyn Host,
        arrival: Arrival,
    ) {
        let Self { orders, book, exchange_ts, .. } = self;
        let Some(inference) = orders.as_mut().and_then(|orders| orders.inference()) else { return };
        let mut is_inferred = false;
        for trade in trades {
            if trade.trade_flags & BESIDE_THE_BOOK != 0 {
                continue;
            }
            let has = |side| book.get(side, trade.price) != 0;
            let side = match trade.aggressor {
                AGGRESSOR_BUY => Side::Ask,
                AGGRESSOR_SELL => Side::Bid,
                _ if has(Side::Ask) => Side::Ask,
                _ if has(Side::Bid) => Side::Bid,
                _ => {
                    counters.inferred_sideless += 1;
                    continue;
                }
            };
            // Without a time of its own it is no later than what the book shows next.
            let times = [trade.trade_ts, event.exchange_ts, *exchange_ts];
            let ts = times.into_iter().find(|ts| *ts != NOT_GIVEN).unwrap_or(arrival.recv_ts);
            let told_ts = time_of(event.exchange_ts, arrival);
            inference.trade((side, trade.price), trade.qty, trade.trade_id, ts, told_ts);
            is_inferred = true;
        }
        if is_inferred {
            // The numbers of trades are none of the book's.
            self.tell_inferred(event.exchange_ts, Ids::default(), counters, channel, host, arrival);
        }
    }

    /// The best prices of an event, which come at once where changes of levels come together. Without a time of the exchange nobody
    /// knows what of the levels they show.
    pub(super) fn infer_best(&mut self, bbo: &Bbo, exchange_ts: i64) {
        let Some(inference) = self.orders.as_mut().and_then(|orders| orders.inference()) else { return };
        if exchange_ts == NOT_GIVEN {
            return;
        }
        for (side, price, qty) in [(Side::Bid, bbo.bid_px, bbo.bid_qty), (Side::Ask, bbo.ask_px, bbo.ask_qty)]
        {
            if price != NOT_GIVEN && qty > 0 {
                inference.best((side, price), qty, exchange_ts);
            }
        }
    }

    /// What was inferred leaves; where the orders are not the levels any more, they begin anew.
    fn tell_inferred(
        &mut self,
        exchange_ts: i64,
        ids: Ids,
        counters: &mut FeedCounters,
        channel: &mut Channel,
        host: &mut dyn Host,
        arrival: Arrival,
    ) {
        let Some(mut orders) = self.orders.take() else { return };
        let mut is_off = false;
        if let Some(inference) = orders.inference() {
            is_off = inference.is_off();
            let seen = inference.take_counters();
            counters.inferred_unshown += seen.unshown;
            counters.inferred_late += seen.late;
            counters.inferred_forgotten += seen.forgotten;
            counters.inferred_refused += seen.refused;
            inference.take_ops(|ops| {
                if !ops.is_empty() && !is_off {
                    counters.order_events += 1;
                    counters.order_ops += ops.len() as u64;
                    self.publish_ops(channel, host, arrival, &OrderEvent { exchange_ts, ids, ops });
                }
            });
            orders.exchange_ts = exchange_ts;
        }
        self.orders = Some(orders);
        if is_off {
            counters.inferred_anew += 1;
            self.begin_orders(arrival);
            self.publish_orders(channel, host, arrival);
        }
    }
}

impl Feed {
    /// The orders of every book, of those that are added later too, are inferred from its levels and trades: with the next whole
    /// book of each. Where the venue tells of orders, those take their place.
    pub fn infer_orders(&mut self) {
        self.infers_orders = true;
        for instrument in &mut self.instruments {
            instrument.infer_orders();
        }
    }
}
