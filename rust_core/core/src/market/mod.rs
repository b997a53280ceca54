//! A simulated market: matching engines whose orders are drawn by a seed. It is no market, and nothing is to be learned of one here:
//! it gives load, and order books whose truth is known.
//!
//! Rates and sizes are those of one hour of CME ES (`rates.rs`); `docs/sim.md` says what of it comes out again and what does not. All
//! numbers are integers: the same seed gives the same orders on every machine, however far [`Market::advance`] goes at a time.
//!
//! ```
//! use outcrier_core::market::{Market, Settings};
//! use outcrier_core::orders::OrderBook;
//!
//! let mut market = Market::new(Settings { seed: 7, instruments: 2, rate: 0 })?;
//! let mut mirror: OrderBook = market.book(1).unwrap().clone();
//! while let Some(event) = market.advance(1_000_000_000) {
//!     if event.instrument == 1 {
//!         for op in event.ops {
//!             mirror.apply(op, event.ts).unwrap();
//!         }
//!     }
//! }
//! assert_eq!(mirror.checksum(), market.book(1).unwrap().checksum());
//! # Ok::<(), outcrier_core::market::SettingsError>(())
//! ```

mod flow;
mod rates;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;

use self::flow::Flow;
pub use self::flow::{LOT, PRICE_EXP, QTY_EXP, TICK};
use crate::draw::Draw;
use crate::event::{OrderOp, Side, Trade};
use crate::orders::OrderBook;

/// Instruments of a market. Each opens with some 2,000 orders, 1 MB.
pub const INSTRUMENTS_MAX: u32 = 1_000;

/// Requests a second of an instrument: 8,000 times those of the set, at which time is still told apart by nanoseconds.
pub const RATE_MAX: u32 = 100_000;

/// What a market is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What all orders follow from.
    pub seed: u64,
    /// How many; each is as if it were alone.
    pub instruments: u32,
    /// Requests a second of each in the mean; 0 = those of the set.
    pub rate: u32,
}

/// What cannot be in [`Settings`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettingsError {
    /// None, or more than [`INSTRUMENTS_MAX`].
    Instruments,
    /// More than [`RATE_MAX`].
    Rate,
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instruments => write!(f, "1 to {INSTRUMENTS_MAX} instruments"),
            Self::Rate => write!(f, "at most {RATE_MAX} requests a second of an instrument"),
        }
    }
}

impl std::error::Error for SettingsError {}

/// One request that changed something for the public.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicEvent<'a> {
    /// Number of the instrument, from 0.
    pub instrument: u32,
    /// Counts the events of the instrument, from 1.
    pub seq: u64,
    /// Nanoseconds since the beginning of the market.
    pub ts: i64,
    /// Changes of the orders.
    pub ops: &'a [OrderOp],
    /// Trades.
    pub trades: &'a [Trade],
    /// The levels that were touched, each once, with their quantity now; 0 = gone.
    pub levels: &'a [(Side, i64, i64)],
}

/// Instruments in one time.
#[derive(Debug)]
pub struct Market {
    flows: Vec<Flow>,
    /// When the next request of an instrument comes; of those at one time the lowest instrument is first.
    due: BinaryHeap<Reverse<(i64, u32)>>,
}

impl Market {
    /// A market at time 0, with the opening orders in its books.
    ///
    /// # Errors
    /// What cannot be in settings.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        if settings.instruments == 0 || settings.instruments > INSTRUMENTS_MAX {
            return Err(SettingsError::Instruments);
        }
        if settings.rate > RATE_MAX {
            return Err(SettingsError::Rate);
        }
        let mut seeds = Draw(settings.seed);
        let flows: Vec<_> =
            (0..settings.instruments).map(|_| Flow::new(seeds.next(), settings.rate)).collect();
        let due = flows.iter().zip(0..).map(|(flow, number)| Reverse((flow.due(), number))).collect();
        Ok(Self { flows, due })
    }

    /// The next public event up to a time, nanoseconds since the beginning; `None` = the market is at that time.
    pub fn advance(&mut self, until: i64) -> Option<PublicEvent<'_>> {
        loop {
            let Reverse((ts, instrument)) = *self.due.peek().filter(|Reverse((due, _))| *due <= until)?;
            let flow = &mut self.flows[instrument as usize];
            let is_public = flow.step();
            self.due.pop();
            self.due.push(Reverse((flow.due(), instrument)));
            if is_public {
                return Some(self.flows[instrument as usize].told(instrument, ts));
            }
        }
    }

    /// The orders of an instrument as the last event left them; `None` = there is no such instrument.
    #[must_use]
    pub fn book(&self, instrument: u32) -> Option<&OrderBook> {
        self.flows.get(instrument as usize).map(Flow::book)
    }

    /// Number of the last event of an instrument; 0 before the first.
    #[must_use]
    pub fn seq(&self, instrument: u32) -> Option<u64> {
        self.flows.get(instrument as usize).map(Flow::seq)
    }

    /// How many instruments there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.flows.len()
    }

    /// Never: a market has an instrument.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }
}
