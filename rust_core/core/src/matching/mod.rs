//! A matching engine for one instrument, on the book of [`crate::orders`].
//!
//! Requests and times go in; execution reports, changes of the public book and trades come out. It has no clock and draws nothing: the
//! same requests at the same times give the same bytes. What rests in the book is shown in [`Engine::book`]; beside it the engine
//! keeps what the public does not see: owners, hidden quantities, stops, and the market orders of a call.
//!
//! Quantity is never lost: of every order, quantity = filled + open + cancelled, whatever happens ([`Report`]). In continuous trading
//! the book is never crossed. `docs/matching.md` has the rules, and whose they are.
//!
//! ```
//! use outcrier_core::event::Side;
//! use outcrier_core::matching::{Engine, Event, Kind, NewOrder, Output, Report, Request, Rules, SelfTrade, TimeInForce};
//!
//! let mut engine = Engine::new(Rules { tick: 5, lot: 1, ..Rules::default() }).unwrap();
//! let mut out = Output::default();
//! let order = |id, side, price, qty| NewOrder {
//!     id,
//!     owner: id,
//!     side,
//!     kind: Kind::Limit { price },
//!     qty,
//!     tif: TimeInForce::Day,
//!     post_only: false,
//!     peak: 0,
//!     self_trade: SelfTrade::Allow,
//! };
//! engine.request(&Request::New(order(1, Side::Ask, 100, 3)), 0, &mut out);
//! engine.request(&Request::New(order(2, Side::Bid, 105, 5)), 1, &mut out);
//! assert_eq!((out.trades[0].price, out.trades[0].qty), (100, 3));
//! assert!(matches!(out.reports[2], Report { order_id: 2, leaves: 2, event: Event::PartialFill(_), .. }));
//! assert!(matches!(out.reports[3], Report { order_id: 1, leaves: 0, event: Event::Fill(_), .. }));
//! assert_eq!(engine.book().queues().level(Side::Bid, 105), (2, 1));
//! ```

mod amend;
mod auction;
mod check;
mod cross;
mod latency;
mod phase;
mod report;
mod request;
mod stops;
mod working;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

pub use self::auction::Indicative;
pub use self::latency::{IN_FLIGHT_MAX, InFlight, LATENCY_NS_MAX, Latency, LatencyError};
pub use self::phase::Phase;
pub use self::report::{Event, Fill, Liquidity, Output, Reject, Report, Why};
pub use self::request::{Amend, Kind, NewOrder, Request, SelfTrade, TimeInForce};
use self::stops::Stops;
pub use self::working::Working;
use crate::event::Side;
use crate::orders::ids::Ids;
use crate::orders::{ORDERS_MAX, OrderBook};

/// Stops that wait at a time. One trade may trigger all of them before the next request is looked at.
pub const STOPS_MAX: usize = 1 << 16;

/// Peaks of an iceberg, so that one order cannot make millions of trades and of changes of the book.
pub const PEAKS_MAX: i64 = 1_000;

/// What an instrument asks of its orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Prices are multiples of this mantissa.
    pub tick: i64,
    /// Quantities are multiples of this mantissa.
    pub lot: i64,
    /// Largest quantity of an order.
    pub qty_max: i64,
    /// Lowest and highest limit; `None` = any. No order outside rests, so that nothing trades outside.
    pub band: Option<(i64, i64)>,
    /// Orders that work at a time, stops included; at most [`ORDERS_MAX`].
    pub orders_max: usize,
}

impl Default for Rules {
    /// Any price and quantity, no band, as many orders as a book takes.
    fn default() -> Self {
        Self { tick: 1, lot: 1, qty_max: i64::MAX, band: None, orders_max: ORDERS_MAX }
    }
}

/// What cannot be in [`Rules`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RulesError {
    /// A tick, lot or largest quantity below 1.
    Positive,
    /// A band whose lowest price is above its highest.
    Band,
    /// More orders than [`ORDERS_MAX`].
    Orders,
}

impl fmt::Display for RulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RulesError::Positive => f.write_str("tick, lot and the largest quantity are at least 1"),
            RulesError::Band => f.write_str("the lowest price of a band is not above its highest"),
            RulesError::Orders => write!(f, "at most {ORDERS_MAX} orders"),
        }
    }
}

impl std::error::Error for RulesError {}

/// The exchange of one instrument.
#[derive(Clone, Debug)]
pub struct Engine {
    rules: Rules,
    phase: Phase,
    /// The latest time told.
    now: i64,
    /// What is shown.
    book: OrderBook,
    /// All orders that work, wherever they wait.
    working: Ids<Working>,
    /// Market orders of a call by the number of their entry: they have no price to be shown at.
    unpriced: [BTreeMap<u64, u64>; 2],
    stops: Stops,
    /// Orders with an end, by it.
    ends: BTreeSet<(i64, u64)>,
    /// What is left of all orders of a side. It fits 64 bits, and so does every sum of some of them.
    open: [i64; 2],
    next_seq: u64,
    next_trade: u64,
    last: Option<i64>,
    reference: Option<i64>,
    /// Lowest and highest trade that stops have not seen.
    printed: Option<(i64, i64)>,
    /// Stops that are triggered and come next.
    hit: VecDeque<u64>,
    /// Numbers of orders that are about to end.
    ending: Vec<u64>,
}

impl Engine {
    /// An exchange without orders, in continuous trading.
    ///
    /// # Errors
    /// What cannot be in rules.
    pub fn new(rules: Rules) -> Result<Self, RulesError> {
        if rules.tick < 1 || rules.lot < 1 || rules.qty_max < 1 {
            return Err(RulesError::Positive);
        }
        if rules.band.is_some_and(|(low, high)| low > high) {
            return Err(RulesError::Band);
        }
        if rules.orders_max > ORDERS_MAX {
            return Err(RulesError::Orders);
        }
        Ok(Self {
            rules,
            phase: Phase::Continuous,
            now: i64::MIN,
            book: OrderBook::new(rules.tick),
            working: Ids::default(),
            unpriced: [BTreeMap::new(), BTreeMap::new()],
            stops: Stops::default(),
            ends: BTreeSet::new(),
            open: [0; 2],
            next_seq: 1,
            next_trade: 1,
            last: None,
            reference: None,
            printed: None,
            hit: VecDeque::new(),
            ending: Vec::new(),
        })
    }

    /// Does what a member asks. What was due to expire by `now` has expired before; a `now` that goes back counts as the latest one.
    pub fn request(&mut self, request: &Request, now: i64, out: &mut Output) {
        self.expire(now, out);
        match request {
            Request::New(order) => {
                if let Err(reason) = self.enter_new(order, out) {
                    let refused = Working::new(*order, 0);
                    out.reports.push(self.report_of(&refused, 0, Event::Rejected(reason)));
                }
            }
            Request::Amend(amend) => {
                if let Err(reason) = self.amend(amend, out) {
                    self.refuse(amend.id, amend.owner, Event::AmendRejected(reason), out);
                }
            }
            Request::Cancel { id, owner } => {
                if let Err(reason) = self.cancel(*id, *owner, out) {
                    self.refuse(*id, *owner, Event::CancelRejected(reason), out);
                }
            }
        }
        self.trigger_stops(out);
    }

    /// The public book. In a call it may be crossed.
    #[must_use]
    pub fn book(&self) -> &OrderBook {
        &self.book
    }

    /// An order that works, wherever it waits.
    #[must_use]
    pub fn get(&self, id: u64) -> Option<&Working> {
        self.working.get(&id)
    }

    /// Orders that work.
    #[must_use]
    pub fn len(&self) -> usize {
        self.working.len()
    }

    /// Whether no order works.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.working.is_empty()
    }

    /// What is left of all orders of a side, hidden quantity and stops included.
    #[must_use]
    pub fn open(&self, side: Side) -> i64 {
        self.open[side.index()]
    }

    /// Price of the last trade.
    #[must_use]
    pub fn last(&self) -> Option<i64> {
        self.last
    }

    /// The rules as they are now.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// What the engine does with orders now.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Tells that nothing is done, and how the order stands if it is theirs.
    fn refuse(&self, order_id: u64, owner: u64, event: Event, out: &mut Output) {
        let known = self.get(order_id).filter(|working| working.order.owner == owner);
        let (qty, filled) = known.map_or((0, 0), |working| (working.order.qty, working.filled));
        out.reports.push(Report { ts: self.now, order_id, owner, qty, filled, leaves: qty - filled, event });
    }

    fn take_seq(&mut self) -> u64 {
        self.next_seq += 1;
        self.next_seq - 1
    }
}
