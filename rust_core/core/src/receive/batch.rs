//! What a collector keeps: flat arrays for NumPy.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::array::RowArray;
use super::rows::{EventRow, KIND_LOST, KIND_ROWS_LOST, KIND_STATE};
use crate::event::{Bbo, Candle, DerivState, Level, OrderOp, RestingOrder, Ticker, Trade};
use crate::wire::{BookSnapshot, Conn, Frame, InstrumentDef, Message, Records, Status};

macro_rules! batch {
    ($($(#[$meta:meta])* $name:ident: $row:ty,)*) => {
        /// Rows collected: one [`EventRow`] per frame, change of state or loss, and the records they point to.
        #[derive(Debug, Default)]
        pub struct Batch { $($(#[$meta])* pub $name: RowArray<$row>,)* }

        impl Batch {
            /// Empty, with the memory for a batch like `self`.
            pub(super) fn room_for_another(&self) -> Self {
                Self { $($name: RowArray::with_room_for(self.$name.len()),)* }
            }

            /// Rows of all arrays together.
            #[must_use]
            pub fn rows(&self) -> usize {
                0 $(+ self.$name.len())*
            }

            /// The bytes of every array, by name, in the order of [`super::rows::layouts`]; NumPy may have the memory.
            #[must_use]
            pub fn into_arrays(self) -> [(&'static str, Vec<u8>); 12] {
                [$((stringify!($name), self.$name.into_bytes())),*]
            }
        }
    };
}

batch! {
    /// In order.
    events: EventRow,
    /// Of BOOK_DELTA and BOOK_SNAPSHOT, bids first.
    levels: Level,
    /// Of TRADE and LIQUIDATION.
    trades: Trade,
    /// Of ORDER_OPS.
    ops: OrderOp,
    /// Of ORDER_SNAPSHOT, bids first.
    orders: RestingOrder,
    /// Of BBO.
    bbos: Bbo,
    /// Of TICKER_24H.
    tickers: Ticker,
    /// Of CANDLE.
    candles: Candle,
    /// Of DERIV_STATE.
    derivs: DerivState,
    /// Of INSTRUMENT_DEF.
    defs: InstrumentDef,
    /// Of STATUS.
    statuses: Status,
    /// Of CONN.
    conns: Conn,
}

impl Batch {
    /// Adds the records of a frame; gives the index of the first.
    pub(super) fn take_frame(&mut self, frame: &Frame<'_>) -> (u32, Shape) {
        let mut shape = Shape { records: u16::from(frame.header.count), ..Shape::default() };
        let start = match frame.message() {
            Message::BookDelta(root, records) => {
                (shape.n_bids, shape.checksum_kind) = (u16::from(root.n_bids), root.checksum_kind);
                shape.depth_limit = root.depth_limit;
                append(&mut self.levels, records)
            }
            Message::BookSnapshot(root, records) => {
                shape.fragment(&root);
                append(&mut self.levels, records)
            }
            Message::OrderOps(_, records) => append(&mut self.ops, records),
            Message::OrderSnapshot(root, records) => {
                shape.fragment(&root);
                append(&mut self.orders, records)
            }
            Message::Trade(records) | Message::Liquidation(records) => append(&mut self.trades, records),
            Message::Candle(records) => append(&mut self.candles, records),
            Message::Bbo(root) => shape.one(&mut self.bbos, &root),
            Message::Ticker(root) => shape.one(&mut self.tickers, &root),
            Message::DerivState(root) => shape.one(&mut self.derivs, &root),
            Message::InstrumentDef(root) => shape.one(&mut self.defs, &root),
            Message::Conn(root) => shape.one(&mut self.conns, &root),
            Message::Status(root) => {
                shape.scope = root.scope;
                shape.one(&mut self.statuses, &root)
            }
            _ => {
                shape.records = 0;
                0
            }
        };
        (start, shape)
    }

    /// Puts a later batch behind this one.
    pub(super) fn extend(&mut self, later: &Self) {
        for row in later.events.iter() {
            let base = match row.kind {
                KIND_STATE | KIND_LOST | KIND_ROWS_LOST => 0,
                kind => self.len_of(kind),
            };
            self.events.push(&EventRow { start: row.start + base, ..row });
        }
        self.levels.extend(&later.levels);
        self.trades.extend(&later.trades);
        self.ops.extend(&later.ops);
        self.orders.extend(&later.orders);
        self.bbos.extend(&later.bbos);
        self.tickers.extend(&later.tickers);
        self.candles.extend(&later.candles);
        self.derivs.extend(&later.derivs);
        self.defs.extend(&later.defs);
        self.statuses.extend(&later.statuses);
        self.conns.extend(&later.conns);
    }

    fn len_of(&self, kind: u8) -> u32 {
        use crate::wire::msg;
        let len = match kind {
            msg::BOOK_DELTA | msg::BOOK_SNAPSHOT => self.levels.len(),
            msg::TRADE | msg::LIQUIDATION => self.trades.len(),
            msg::ORDER_OPS => self.ops.len(),
            msg::ORDER_SNAPSHOT => self.orders.len(),
            msg::BBO => self.bbos.len(),
            msg::TICKER_24H => self.tickers.len(),
            msg::CANDLE => self.candles.len(),
            msg::DERIV_STATE => self.derivs.len(),
            msg::INSTRUMENT_DEF => self.defs.len(),
            msg::STATUS => self.statuses.len(),
            msg::CONN => self.conns.len(),
            _ => 0,
        };
        index(len)
    }
}

/// What a row says of its records.
#[derive(Clone, Copy, Default)]
pub(super) struct Shape {
    pub(super) records: u16,
    pub(super) n_bids: u16,
    pub(super) frag_index: u16,
    pub(super) frag_count: u16,
    pub(super) depth_limit: u16,
    pub(super) checksum_kind: u8,
    pub(super) scope: u8,
}

impl Shape {
    fn fragment(&mut self, root: &BookSnapshot) {
        (self.n_bids, self.checksum_kind) = (u16::from(root.n_bids), root.checksum_kind);
        (self.frag_index, self.frag_count) = (root.frag_index, root.frag_count);
        self.depth_limit = root.depth_limit;
    }

    fn one<T>(&mut self, array: &mut RowArray<T>, root: &T) -> u32
    where
        T: FromBytes + IntoBytes + Immutable + KnownLayout,
    {
        self.records = 1;
        array.push(root);
        index(array.len() - 1)
    }
}

fn append<T>(array: &mut RowArray<T>, records: Records<'_, T>) -> u32
where
    T: FromBytes + IntoBytes + Immutable + KnownLayout,
{
    let start = index(array.len());
    array.append(records);
    start
}

/// Arrays are bounded by `rows_max`, which fits.
fn index(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
