//! What a member asks of the engine.

use crate::event::Side;

/// What an order waits for and what it pays at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any price there is; in continuous trading it never rests.
    Market,
    /// This price or a better one.
    Limit {
        /// Price mantissa.
        price: i64,
    },
    /// A market order once a trade was at this price or beyond it.
    Stop {
        /// Price mantissa.
        stop: i64,
    },
    /// A limit order once a trade was at the stop price or beyond it.
    StopLimit {
        /// Price mantissa that triggers it.
        stop: i64,
        /// Price mantissa of the limit.
        price: i64,
    },
}

impl Kind {
    /// The limit, where it has one.
    #[must_use]
    pub fn price(&self) -> Option<i64> {
        match *self {
            Kind::Limit { price } | Kind::StopLimit { price, .. } => Some(price),
            Kind::Market | Kind::Stop { .. } => None,
        }
    }

    /// The price that triggers it, where it waits for one.
    #[must_use]
    pub fn stop(&self) -> Option<i64> {
        match *self {
            Kind::Stop { stop } | Kind::StopLimit { stop, .. } => Some(stop),
            Kind::Market | Kind::Limit { .. } => None,
        }
    }

    /// What it is once it was triggered.
    pub(super) fn triggered(self) -> Self {
        self.price().map_or(Kind::Market, |price| Kind::Limit { price })
    }

    /// Whether both are of one kind, at whatever prices.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

/// How long an order stays; FIX 59.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeInForce {
    /// Until the engine is closed.
    Day,
    /// Until it is cancelled.
    Gtc,
    /// What does not trade at once is cancelled.
    Ioc,
    /// All of it trades at once, or none.
    Fok,
    /// Until this time, nanoseconds; at that time it is gone.
    Gtd(i64),
}

impl TimeInForce {
    /// Whether an order may stay after it was entered.
    #[must_use]
    pub fn is_resting(&self) -> bool {
        matches!(self, TimeInForce::Day | TimeInForce::Gtc | TimeInForce::Gtd(_))
    }
}

/// What becomes of an order that would trade with one of the same owner. The order that comes decides, as at CME and Coinbase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SelfTrade {
    /// It trades.
    #[default]
    Allow,
    /// The order that comes is cancelled.
    CancelNewest,
    /// The order that rests is cancelled.
    CancelOldest,
    /// Both are cancelled.
    CancelBoth,
    /// The smaller one is cancelled and the larger one becomes smaller by as much.
    Decrement,
}

/// An order as it is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewOrder {
    /// Number of the order; no other one that works has it.
    pub id: u64,
    /// Whose it is.
    pub owner: u64,
    /// Side of the book.
    pub side: Side,
    /// Market, limit or stop, with the prices.
    pub kind: Kind,
    /// Quantity mantissa, what was filled included.
    pub qty: i64,
    /// How long it stays.
    pub tif: TimeInForce,
    /// It is rejected if it would trade at once.
    pub post_only: bool,
    /// What an iceberg shows at a time; 0 = all is shown.
    pub peak: i64,
    /// What becomes of it if it would trade with its owner.
    pub self_trade: SelfTrade,
}

/// Another price or quantity for an order; FIX 35=G, all of it told again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amend {
    /// Number of the order.
    pub id: u64,
    /// Whose it is.
    pub owner: u64,
    /// The prices from now on; the kind stays.
    pub kind: Kind,
    /// The whole quantity from now on, what was filled included: a fill on the way makes nobody buy too much.
    pub qty: i64,
}

/// Any request of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// FIX 35=D.
    New(NewOrder),
    /// FIX 35=G.
    Amend(Amend),
    /// FIX 35=F.
    Cancel {
        /// Number of the order.
        id: u64,
        /// Whose it is.
        owner: u64,
    },
}

impl Request {
    /// Whose request it is.
    #[must_use]
    pub fn owner(&self) -> u64 {
        match self {
            Request::New(order) => order.owner,
            Request::Amend(amend) => amend.owner,
            Request::Cancel { owner, .. } => *owner,
        }
    }
}
