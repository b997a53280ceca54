//! Trades: an order that comes against those that rest, the best price first and at it the one that came first.

use super::check::{is_within, worst};
use super::request::{Kind, SelfTrade};
use super::{Engine, Event, Fill, Liquidity, Output, Why, Working};
use crate::event::{AGGRESSOR_BUY, AGGRESSOR_SELL, AGGRESSOR_UNKNOWN, Side, TRADE_AUCTION, Trade, order_op};
use crate::orders::Order;

impl Engine {
    /// Trades an order with what rests until it is filled or finds no price. `false`: self-trade prevention has ended it.
    pub(super) fn sweep(&mut self, taker: &mut Working, out: &mut Output) -> bool {
        let side = taker.order.side;
        let limit = worst(&taker.order);
        while taker.leaves() > 0 {
            let Some(maker) = self.front(side.other()).filter(|maker| is_within(side, limit, maker.price))
            else {
                break;
            };
            let is_own = self.working[&maker.id].order.owner == taker.order.owner;
            if is_own && taker.order.self_trade != SelfTrade::Allow {
                if !self.prevent(taker, maker.id, out) {
                    return false;
                }
                continue;
            }
            let qty = taker.leaves().min(maker.qty);
            let fill = self.print(maker.price, qty, Liquidity::Taker, side, out);
            taker.filled += qty;
            self.open[side.index()] -= qty;
            self.tell_fill(taker, fill, out);
            self.fill_shown(&maker, Fill { liquidity: Liquidity::Maker, ..fill }, out);
        }
        true
    }

    /// Whether all of an order can be filled at once. Nothing is done.
    pub(super) fn can_fill(&self, taker: &Working) -> bool {
        let side = taker.order.side;
        let limit = worst(&taker.order);
        let queues = self.book.queues();
        let mut left = taker.leaves();
        for level in queues.levels(side.other()) {
            if !is_within(side, limit, level.price) {
                return false;
            }
            // Shown quantities come first; what icebergs hide follows when all of the level that is shown is gone.
            let mut hidden = 0;
            for handle in queues.queue(side.other(), level.price) {
                let maker = queues.order(handle);
                let its = &self.working[&maker.id];
                if its.order.owner == taker.order.owner {
                    match taker.order.self_trade {
                        SelfTrade::Allow => {}
                        SelfTrade::CancelOldest => continue,
                        SelfTrade::CancelNewest | SelfTrade::CancelBoth | SelfTrade::Decrement => {
                            return false;
                        }
                    }
                }
                if maker.qty >= left {
                    return true;
                }
                left -= maker.qty;
                hidden += its.hidden;
            }
            if hidden >= left {
                return true;
            }
            left -= hidden;
        }
        false
    }

    /// The order of a side that trades next.
    pub(super) fn front(&self, side: Side) -> Option<Order> {
        let queues = self.book.queues();
        let best = queues.best(side)?;
        queues.first(side, best.price).map(|handle| queues.order(handle))
    }

    /// A trade gets its number and is told; `side` is that of the order that came.
    pub(super) fn print(
        &mut self,
        price: i64,
        qty: i64,
        liquidity: Liquidity,
        side: Side,
        out: &mut Output,
    ) -> Fill {
        let trade_id = self.next_trade;
        self.next_trade += 1;
        self.last = Some(price);
        self.printed =
            Some(self.printed.map_or((price, price), |(low, high)| (low.min(price), high.max(price))));
        let (aggressor, trade_flags) = match (liquidity, side) {
            (Liquidity::Auction, _) => (AGGRESSOR_UNKNOWN, TRADE_AUCTION),
            (_, Side::Bid) => (AGGRESSOR_BUY, 0),
            (_, Side::Ask) => (AGGRESSOR_SELL, 0),
        };
        let trade_ts = self.now;
        out.trades.push(Trade {
            price,
            qty,
            trade_id,
            trade_ts,
            aggressor,
            trade_flags,
            n_fills: 1,
            id_span: 0,
        });
        Fill { trade_id, price, qty, liquidity }
    }

    /// The order at the front of its queue trades, with no more than it shows. An iceberg that has shown all of its peak shows
    /// another one at the back.
    pub(super) fn fill_shown(&mut self, order: &Order, fill: Fill, out: &mut Output) {
        let working = self.fill(order.id, order.side, fill, out);
        self.book.execute(order.id, fill.qty).expect("no more than it shows");
        out.tell(order_op::EXECUTE, order, fill.qty, fill.trade_id);
        if fill.qty < order.qty || working.leaves() == 0 {
            return;
        }
        let qty = working.shown(working.hidden);
        let peak = Order { qty, ts: self.now, ..*order };
        self.book.add(&peak).expect("the order has just left the book");
        out.tell(order_op::ADD, &peak, qty, 0);
        self.working.get_mut(&order.id).expect("it has quantity left").hidden -= qty;
    }

    /// An order that works trades; after the last of it, it does not work any more.
    pub(super) fn fill(&mut self, id: u64, side: Side, fill: Fill, out: &mut Output) -> Working {
        self.open[side.index()] -= fill.qty;
        let working = self.working.get_mut(&id).expect("the order works");
        working.filled += fill.qty;
        let working = *working;
        self.tell_fill(&working, fill, out);
        if working.leaves() == 0 {
            self.forget(id);
        }
        working
    }

    fn tell_fill(&self, working: &Working, fill: Fill, out: &mut Output) {
        let leaves = working.leaves();
        let event = if leaves == 0 { Event::Fill(fill) } else { Event::PartialFill(fill) };
        out.reports.push(self.report_of(working, leaves, event));
    }

    /// Two orders of one owner meet. `false`: the one that came has ended.
    fn prevent(&mut self, taker: &mut Working, id: u64, out: &mut Output) -> bool {
        let event = Event::Cancelled(Why::SelfTrade);
        let resting = self.working[&id];
        debug_assert!(matches!(resting.order.kind, Kind::Limit { .. }), "only limits rest in the book");
        let (mine, its) = (taker.leaves(), resting.leaves());
        let (ends_taker, ends_resting) = match taker.order.self_trade {
            SelfTrade::Allow => (false, false),
            SelfTrade::CancelNewest => (true, false),
            SelfTrade::CancelOldest => (false, true),
            SelfTrade::CancelBoth => (true, true),
            SelfTrade::Decrement => (mine <= its, its <= mine),
        };
        let is_decrement = taker.order.self_trade == SelfTrade::Decrement;
        if ends_taker {
            self.end(taker, event, out);
        } else if is_decrement {
            taker.order.qty -= its;
            self.open[taker.order.side.index()] -= its;
            out.reports.push(self.report_of(taker, taker.leaves(), Event::Restated));
        }
        if ends_resting {
            let resting = self.take_out(id, out);
            self.end(&resting, event, out);
        } else if is_decrement {
            self.reduce(id, mine, out);
            let resting = self.working[&id];
            out.reports.push(self.report_of(&resting, resting.leaves(), Event::Restated));
        }
        !ends_taker
    }
}
