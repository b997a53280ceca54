//! What the decoder makes of a venue's frame: flat records that the wire carries unchanged.
//!
//! The records are laid out as `docs/wire-format.md` tells, so that encoding them is a copy.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A price, quantity or time that the venue did not give.
pub const NOT_GIVEN: i64 = i64::MIN;

/// A side of the book, in the numbers of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Side {
    /// Buy orders; the best price is the highest.
    Bid = 1,
    /// Sell orders; the best price is the lowest.
    Ask = 2,
}

impl Side {
    /// The side that it trades with.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Bid => Self::Ask,
            Self::Ask => Self::Bid,
        }
    }

    /// Grows from the best price to the worst. The way back from a key to its price is the same.
    #[inline]
    pub(crate) fn key(self, price: i64) -> i64 {
        match self {
            Self::Bid => !price,
            Self::Ask => price,
        }
    }

    /// Place in a pair: bids, then asks.
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::Bid => 0,
            Self::Ask => 1,
        }
    }
}

/// Aggressor of a trade: the venue did not say.
pub const AGGRESSOR_UNKNOWN: u8 = 0;
/// Aggressor of a trade: the buyer took.
pub const AGGRESSOR_BUY: u8 = 1;
/// Aggressor of a trade: the seller took.
pub const AGGRESSOR_SELL: u8 = 2;

/// `Trade::trade_flags`: the id is the XXH3-64 hash (seed 0) of the venue's text.
pub const TRADE_ID_IS_HASH: u8 = 1;
/// `Trade::trade_flags`: block trade.
pub const TRADE_BLOCK: u8 = 2;
/// `Trade::trade_flags`: liquidation.
pub const TRADE_LIQUIDATION: u8 = 4;
/// `Trade::trade_flags`: auction.
pub const TRADE_AUCTION: u8 = 8;
/// `Trade::trade_flags`: correction of an earlier trade.
pub const TRADE_CORRECTION: u8 = 16;
/// `Trade::trade_flags`: an earlier trade is cancelled.
pub const TRADE_CANCEL: u8 = 32;
/// `Trade::trade_flags`: printed off the book (insurance fund, auto-deleveraging); keep out of candles and L3.
pub const TRADE_OFF_BOOK: u8 = 64;

/// One price level: mantissas at the instrument's exponents; quantity is absolute, 0 deletes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Level {
    /// Price mantissa.
    pub price: i64,
    /// Quantity mantissa.
    pub qty: i64,
}

/// One trade or liquidation, 40 bytes as on the wire (0x12, 0x2A).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Trade {
    /// Price mantissa.
    pub price: i64,
    /// Quantity mantissa.
    pub qty: i64,
    /// Numeric id, else hash of the id text with [`TRADE_ID_IS_HASH`].
    pub trade_id: u64,
    /// Nanoseconds since the epoch, UTC.
    pub trade_ts: i64,
    /// One of the `AGGRESSOR_*` numbers.
    pub aggressor: u8,
    /// Bits `TRADE_*`.
    pub trade_flags: u8,
    /// Fills folded into this record; 1 unless the venue aggregates.
    pub n_fills: u16,
    /// Last fill id less first fill id.
    pub id_span: u32,
}

/// What [`OrderOp::op`] says.
pub mod order_op {
    /// A new order at the back of its level, or where its priority puts it.
    pub const ADD: u8 = 1;
    /// Another quantity at the same place.
    pub const MODIFY_KEEP: u8 = 2;
    /// Another price or quantity, at the back.
    pub const MODIFY_LOSE: u8 = 3;
    /// The order is gone without a trade.
    pub const DELETE: u8 = 4;
    /// The order traded; what is left keeps its place.
    pub const EXECUTE: u8 = 5;
    /// The order is gone and another one stands at the back, under the number `ref_id`.
    pub const REPLACE: u8 = 6;
    /// All orders are gone.
    pub const CLEAR: u8 = 7;
}

/// `OrderOp::op_flags`, `RestingOrder::order_flags`: the order is inferred, the venue does not tell of it.
pub const ORDER_INFERRED: u16 = 1;
/// Where the confidence begins in `OrderOp::op_flags`: × 255, 255 for what the venue tells.
pub const ORDER_CONFIDENCE_SHIFT: u32 = 8;
/// Flags of an order that the venue tells.
pub const ORDER_TOLD: u16 = 255 << ORDER_CONFIDENCE_SHIFT;

/// One change of an order, 48 bytes as on the wire (0x18).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct OrderOp {
    /// Number of the order; the publisher's own where the venue's is a text.
    pub order_id: u64,
    /// Price mantissa.
    pub price: i64,
    /// Quantity mantissa: what is left after an add, a modify or a replace, what was executed by an execute.
    pub qty: i64,
    /// Execute: trade id. Replace: number of the new order.
    pub ref_id: u64,
    /// Queue key of the venue; 0 = none.
    pub priority: u64,
    /// One of [`order_op`].
    pub op: u8,
    /// Number of the [`Side`], 0 = both for a clear. Read of an add alone: in all others the order has its side.
    pub side: u8,
    /// Bit 0 [`ORDER_INFERRED`], bits 8 to 15 the confidence × 255.
    pub op_flags: u16,
    /// 0.
    pub reserved: u32,
}

/// One order of a whole book, 48 bytes as on the wire (0x19).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RestingOrder {
    /// As in [`OrderOp`].
    pub order_id: u64,
    /// Price mantissa.
    pub price: i64,
    /// Quantity that is left.
    pub qty: i64,
    /// Queue key of the venue; 0 = none.
    pub priority: u64,
    /// When it took its place, nanoseconds since the epoch; 0 unknown.
    pub order_ts: i64,
    /// As [`OrderOp::op_flags`].
    pub order_flags: u16,
    /// 0.
    pub reserved: [u8; 6],
}

/// What a row of an order message does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OrderVerb {
    /// A new order.
    Add,
    /// Another quantity that is left, or another price; nothing left is the end of the order.
    Modify,
    /// The order is gone without a trade.
    Delete,
    /// So much of the order traded.
    Execute,
}

/// One row of an order message as a shape reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderRow {
    /// The venue's id: the number, or the text packed without loss.
    pub key: u128,
    /// Price mantissa; [`NOT_GIVEN`] where the row has none.
    pub price: i64,
    /// Quantity mantissa: what is left, of an execution what traded; [`NOT_GIVEN`] where the row has none.
    pub qty: i64,
    /// When the order took its place, nanoseconds since the epoch; [`NOT_GIVEN`] where the row has none.
    pub order_ts: i64,
    /// Of an execution; 0 = none.
    pub trade_id: u64,
    /// What it does.
    pub verb: OrderVerb,
    /// Side of the order.
    pub side: Side,
    /// Digits after the point of the price as sent.
    pub price_decimals: u8,
    /// Digits after the point of the quantity as sent.
    pub qty_decimals: u8,
}

/// Best bid and ask, 40 bytes as on the wire (0x13).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Bbo {
    /// Bid price mantissa; [`NOT_GIVEN`] = no bid.
    pub bid_px: i64,
    /// Bid quantity mantissa.
    pub bid_qty: i64,
    /// Ask price mantissa; [`NOT_GIVEN`] = no ask.
    pub ask_px: i64,
    /// Ask quantity mantissa.
    pub ask_qty: i64,
    /// Orders at the bid; 0 unknown.
    pub bid_orders: u32,
    /// Orders at the ask; 0 unknown.
    pub ask_orders: u32,
}

/// 24-hour ticker, 64 bytes as on the wire (0x14). Prices at the frame's own exponents.
#[derive(Clone, Copy, Debug, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Ticker {
    /// Last price.
    pub last_px: i64,
    /// Open price.
    pub open_px: i64,
    /// High price.
    pub high_px: i64,
    /// Low price.
    pub low_px: i64,
    /// Base units; NaN not given.
    pub volume: f64,
    /// Quote units; NaN not given.
    pub turnover: f64,
    /// Trades in the window; 0 not given.
    pub trade_count: u64,
    /// Length of the window in nanoseconds.
    pub window_ns: i64,
}

/// `Candle::candle_flags`: the interval is over.
pub const CANDLE_CLOSED: u32 = 1;

/// One candle, 72 bytes as on the wire (0x28). Prices at the frame's own exponents.
#[derive(Clone, Copy, Debug, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Candle {
    /// Start of the interval, nanoseconds since the epoch.
    pub open_ts: i64,
    /// Length in seconds.
    pub interval_s: u32,
    /// 1 closed, 2 built by us, 4 has gap.
    pub candle_flags: u32,
    /// Open price.
    pub open: i64,
    /// High price.
    pub high: i64,
    /// Low price.
    pub low: i64,
    /// Close price.
    pub close: i64,
    /// Base units; NaN not given.
    pub volume: f64,
    /// Quote units; NaN not given.
    pub turnover: f64,
    /// Trades in the interval; 0 not given.
    pub trade_count: u64,
}

/// `DerivState::present` bits, in the order of the fields.
pub mod present {
    /// Bit 0.
    pub const FUNDING_INTERVAL: u32 = 1;
    /// Bit 1.
    pub const MARK_PX: u32 = 1 << 1;
    /// Bit 2.
    pub const INDEX_PX: u32 = 1 << 2;
    /// Bit 3.
    pub const SETTLE_PX: u32 = 1 << 3;
    /// Bit 4.
    pub const FUNDING_RATE: u32 = 1 << 4;
    /// Bit 5.
    pub const NEXT_RATE: u32 = 1 << 5;
    /// Bit 6.
    pub const NEXT_FUNDING_TS: u32 = 1 << 6;
    /// Bit 7.
    pub const OPEN_INTEREST: u32 = 1 << 7;
    /// Bit 8.
    pub const OI_VALUE: u32 = 1 << 8;
}

/// Exponent of `DerivState::funding_rate` and `next_rate`.
pub const RATE_EXP: i8 = -12;

/// Derivative state, 72 bytes as on the wire (0x29). Prices at the frame's own exponents.
#[derive(Clone, Copy, Debug, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct DerivState {
    /// Which fields were given; an absent one is unchanged.
    pub present: u32,
    /// Seconds between two fundings.
    pub funding_interval_s: u32,
    /// Mark price.
    pub mark_px: i64,
    /// Index price.
    pub index_px: i64,
    /// Estimated settlement price.
    pub settle_px: i64,
    /// Funding rate × 10^12.
    pub funding_rate: i64,
    /// Predicted next rate × 10^12.
    pub next_rate: i64,
    /// Next funding, nanoseconds since the epoch.
    pub next_funding_ts: i64,
    /// Contracts.
    pub open_interest: f64,
    /// Quote units.
    pub oi_value: f64,
}

/// Exchange sequence numbers of an event; `None` where the venue gives none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ids {
    /// First id covered (Binance `U`); equal to `last` where the venue numbers messages.
    pub first: Option<u64>,
    /// Last id covered (Binance `u`).
    pub last: Option<u64>,
    /// Link to the previous event (Binance `pu`, OKX `prevSeqId`).
    pub prev: Option<u64>,
}

impl Ids {
    /// First id covered as the wire tells it; 0 = the venue has none.
    #[must_use]
    pub fn first_covered(&self) -> u64 {
        self.first.or(self.last).unwrap_or(0)
    }
}

/// A checksum that the venue sent with a book message, as sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VenueChecksum(pub i64);

/// A run of records in one of the arenas of [`Decoded`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// Index of the first record.
    pub start: u32,
    /// How many.
    pub len: u32,
}

/// What an [`Event`] carries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Body {
    /// Levels; bids first. `snapshot` replaces the book.
    Book {
        /// Whole book instead of changes.
        snapshot: bool,
        /// Bids in `Decoded::levels`.
        bids: Run,
        /// Asks in `Decoded::levels`.
        asks: Run,
        /// The venue's own checksum.
        checksum: Option<VenueChecksum>,
    },
    /// Trades in `Decoded::trades`.
    Trades(Run),
    /// Liquidations in `Decoded::trades`.
    Liquidations(Run),
    /// Best bid and ask.
    Bbo(Bbo),
    /// 24-hour ticker.
    Ticker(Ticker),
    /// One candle.
    Candle(Candle),
    /// Funding, mark, index, open interest.
    Deriv(DerivState),
    /// Trading status, one of `crate::wire::status::state`.
    Trading(u8),
    /// Orders in `Decoded::orders`; none where the message only takes a number. `snapshot` replaces all.
    Orders {
        /// All orders instead of changes.
        snapshot: bool,
        /// The rows.
        rows: Run,
        /// The venue's own checksum.
        checksum: Option<VenueChecksum>,
        /// The shape: index in `Decoder::shapes`.
        shape: u16,
    },
}

/// One event about one instrument.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    /// Index of the instrument in the [`crate::instrument::InstrumentTable`].
    pub instrument: u32,
    /// Exchange time in ns since the epoch; [`NOT_GIVEN`] where the frame has none.
    pub exchange_ts: i64,
    /// Exchange sequence numbers.
    pub ids: Ids,
    /// Exponents of the event's prices and quantities. For book, BBO and trades those of the instrument.
    pub price_exp: i8,
    /// See `price_exp`.
    pub qty_exp: i8,
    /// What happened.
    pub body: Body,
}

/// What a level carries beyond price and quantity, where its shape declares it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LevelExtra {
    /// The venue's id of the level; 0 where it has none. A level whose price is [`NOT_GIVEN`] is looked up by it.
    pub id: u64,
    /// The level's own sequence number; 0 where it has none.
    pub sequence: u64,
    /// Digits after the point of the price as sent.
    pub price_decimals: u8,
    /// Digits after the point of the quantity as sent.
    pub qty_decimals: u8,
}

/// Reused output of the decoder: events point into the arenas.
#[derive(Debug, Default)]
pub struct Decoded {
    /// Events in the order of the frame.
    pub events: Vec<Event>,
    /// Levels of book events.
    pub levels: Vec<Level>,
    /// Trades and liquidations.
    pub trades: Vec<Trade>,
    /// Rows of order messages.
    pub orders: Vec<OrderRow>,
    /// One for each of `levels` if the shape declares ids, level sequences or a checksum over text; else empty.
    pub extras: Vec<LevelExtra>,
    /// The shape that took the frame: index in `Decoder::shapes`.
    pub shape: u16,
    /// Number of the frame on its connection, if the venue numbers all of them.
    pub connection_seq: Option<u64>,
    /// Instruments of which the frame has book events that nobody gets, because one part of it cannot be read, each once: their
    /// books miss something. Only where there are no events.
    pub unread_books: Vec<u32>,
    /// The same of their orders.
    pub unread_orders: Vec<u32>,
    /// Book or order events may be lost with the frame of which nobody can tell whose they are.
    pub unread_unnamed: bool,
}

impl Decoded {
    /// Forgets the last frame and keeps the memory.
    pub fn clear(&mut self) {
        self.clear_events();
        self.forget_losses();
        self.connection_seq = None;
    }

    /// Forgets what the frame said; what is lost with it stays.
    pub(crate) fn clear_events(&mut self) {
        self.events.clear();
        self.levels.clear();
        self.trades.clear();
        self.orders.clear();
        self.extras.clear();
        self.shape = 0;
    }

    /// Forgets what is lost with the frame.
    pub(crate) fn forget_losses(&mut self) {
        self.unread_books.clear();
        self.unread_orders.clear();
        self.unread_unnamed = false;
    }

    /// Notes that a book event of an instrument is lost, or one of its orders.
    pub(crate) fn lose(&mut self, instrument: u32, is_book: bool) {
        let lost = if is_book { &mut self.unread_books } else { &mut self.unread_orders };
        if !lost.contains(&instrument) {
            lost.push(instrument);
        }
    }

    /// The levels of a run.
    #[must_use]
    pub fn levels(&self, run: Run) -> &[Level] {
        &self.levels[run.start as usize..][..run.len as usize]
    }

    /// The order rows of a run.
    #[must_use]
    pub fn orders(&self, run: Run) -> &[OrderRow] {
        &self.orders[run.start as usize..][..run.len as usize]
    }

    /// The trades of a run.
    #[must_use]
    pub fn trades(&self, run: Run) -> &[Trade] {
        &self.trades[run.start as usize..][..run.len as usize]
    }
}

const _: () = {
    assert!(size_of::<Level>() == 16);
    assert!(size_of::<Trade>() == 40);
    assert!(size_of::<OrderOp>() == 48);
    assert!(size_of::<RestingOrder>() == 48);
    assert!(size_of::<Bbo>() == 40);
    assert!(size_of::<Ticker>() == 64);
    assert!(size_of::<Candle>() == 72);
    assert!(size_of::<DerivState>() == 72);
};
