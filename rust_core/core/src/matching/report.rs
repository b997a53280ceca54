//! What the engine answers, and what it tells the public.

use std::fmt;

use super::request::Kind;
use crate::event::{ORDER_TOLD, OrderOp, Trade};
use crate::orders::Order;

/// Why a request was refused; nothing has changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reject {
    /// No working order of this owner has the number.
    Unknown,
    /// A working order has the number.
    Duplicate,
    /// Not in this phase.
    Phase,
    /// Off the tick, or [`crate::event::NOT_GIVEN`], which is no price.
    Price,
    /// Zero or less, off the lot, or above the largest.
    Quantity,
    /// A peak off the lot, below zero, or of which the order would need more than [`super::PEAKS_MAX`].
    Peak,
    /// Outside the price band.
    Band,
    /// A time in force that is over.
    Time,
    /// These do not go together: an iceberg, a post-only or a stop that may not stay; another kind in an amend.
    Combination,
    /// It would trade at once, and is post-only.
    WouldTrade,
    /// As many orders as there may be, or stops.
    Full,
    /// The open quantity of the side would not fit 64 bits.
    Overflow,
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reject::Unknown => "no working order of this owner has this number",
            Reject::Duplicate => "a working order has this number already",
            Reject::Phase => "not in this phase",
            Reject::Price => "the price is off the tick",
            Reject::Quantity => "the quantity is zero or less, off the lot or above the largest",
            Reject::Peak => "the peak is off the lot, below zero or too small for the order",
            Reject::Band => "the price is outside the band",
            Reject::Time => "the time in force is over",
            Reject::Combination => "these terms of an order do not go together",
            Reject::WouldTrade => "it would trade at once",
            Reject::Full => "there are as many orders as there may be",
            Reject::Overflow => "the open quantity of the side would not fit 64 bits",
        })
    }
}

impl std::error::Error for Reject {}

/// Why what was left of an order is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its owner wished so.
    Asked,
    /// It may not rest: market, IOC, FOK.
    Unfilled,
    /// It would have traded with its owner.
    SelfTrade,
    /// It was amended to no more than was filled.
    Amended,
    /// It is outside the new price band.
    Band,
}

/// Which side of a trade an order was; FIX 851.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liquidity {
    /// It rested.
    Maker,
    /// It came.
    Taker,
    /// Both rested: an auction.
    Auction,
}

/// One side of a trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// Number of the trade, the same for both sides.
    pub trade_id: u64,
    /// Price mantissa.
    pub price: i64,
    /// Quantity mantissa.
    pub qty: i64,
    /// Which side it was.
    pub liquidity: Liquidity,
}

/// What happened to an order; FIX 150 and 39 in `docs/matching.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is accepted.
    New,
    /// A part of it traded.
    PartialFill(Fill),
    /// The last of it traded.
    Fill(Fill),
    /// The rest is gone.
    Cancelled(Why),
    /// Its time is over.
    Expired,
    /// A stop became a market or limit order.
    Triggered,
    /// It has other prices or another quantity.
    Replaced {
        /// The prices from now on.
        kind: Kind,
        /// Its place in the queue is the same.
        has_kept_place: bool,
    },
    /// Self-trade prevention made it smaller.
    Restated,
    /// The order is refused.
    Rejected(Reject),
    /// An amend is refused; the order is as before.
    AmendRejected(Reject),
    /// A cancel is refused.
    CancelRejected(Reject),
}

/// An execution report. At any moment `qty` = `filled` + `leaves`, and after the end of an order `qty` - `filled` is what was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// When, nanoseconds.
    pub ts: i64,
    /// Number of the order.
    pub order_id: u64,
    /// Whose request or order it is.
    pub owner: u64,
    /// Quantity of the order as it was last told; FIX 38. 0 where there is no such order.
    pub qty: i64,
    /// Filled so far; FIX 14.
    pub filled: i64,
    /// Still to be filled; FIX 151. 0 = the order has ended.
    pub leaves: i64,
    /// What happened.
    pub event: Event,
}

/// What requests lead to, in the order in which it happened. The caller owns it and clears it; nothing is allocated while it is
/// large enough.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// To the owners.
    pub reports: Vec<Report>,
    /// Changes of the public book: [`crate::orders::OrderBook::apply`] makes the same book of them.
    pub ops: Vec<OrderOp>,
    /// Trades for the public.
    pub trades: Vec<Trade>,
}

impl Output {
    /// Forgets all and keeps the memory.
    pub fn clear(&mut self) {
        self.reports.clear();
        self.ops.clear();
        self.trades.clear();
    }

    /// Tells of a change of an order that is shown; `qty` and `ref_id` as the operation has them.
    pub(super) fn tell(&mut self, op: u8, order: &Order, qty: i64, ref_id: u64) {
        self.ops.push(order.op(op, qty, ref_id, ORDER_TOLD));
    }
}
