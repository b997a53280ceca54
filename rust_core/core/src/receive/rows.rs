//! Rows for NumPy: flat records without padding, and what their fields are called.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::event::{Bbo, Candle, DerivState, Level, OrderOp, RestingOrder, Ticker, Trade};
use crate::wire::{Conn, InstrumentDef, Status};

/// [`EventRow::kind`]: the reported state of an instrument changed; `state`, `reason`, `trading` tell.
pub const KIND_STATE: u8 = 0x00;
/// [`EventRow::kind`]: rows were lost because nobody took them; `start` says how many events, at least.
pub const KIND_ROWS_LOST: u8 = 0xFE;
/// [`EventRow::kind`]: events of an instrument will never come: `start` of them, from `instr_seq` on.
pub const KIND_LOST: u8 = 0xFF;

/// [`EventRow::marks`]: frames of the channel were given up and may have been this instrument's.
pub const MARK_UNSURE: u16 = 1;
/// [`EventRow::marks`]: did not come in order, or is part of a snapshot; `delay_ns` says how late.
pub const MARK_RECOVERED: u16 = 1 << 1;
/// [`EventRow::marks`]: came on the snapshot plane; `channel_seq` is a number of that plane.
pub const MARK_SNAPSHOT: u16 = 1 << 2;
/// [`EventRow::marks`]: frames of a split event are still to come; the mirrored book is that of the event before.
pub const MARK_MID_EVENT: u16 = 1 << 3;

/// Name, NumPy format and offset in bytes of a field.
pub type RowField = (&'static str, &'static str, usize);

/// A type that a field may have.
trait NumpyField {
    const FORMAT: &'static str;
}

macro_rules! numpy_fields {
    ($($type:ty => $format:literal),* $(,)?) => {
        $(impl NumpyField for $type { const FORMAT: &'static str = $format; })*
    };
}

numpy_fields! {
    u8 => "|u1", u16 => "<u2", u32 => "<u4", u64 => "<u8", i8 => "|i1", i64 => "<i8", f64 => "<f8",
    [u8; 6] => "|S6", [u8; 16] => "|S16", [u8; 32] => "|S32", [u8; 40] => "|S40",
}

/// What a record array is made of.
trait Layout: Sized {
    fn fields() -> Vec<RowField>;
}

/// Lists the fields of a record; refuses to compile where one is missing or has another type.
macro_rules! numpy_layout {
    ($name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        impl Layout for $name {
            fn fields() -> Vec<RowField> {
                let _checked = |row: Self| {
                    let Self { $($field),* } = row;
                    $(let _: $type = $field;)*
                };
                vec![$((
                    stringify!($field),
                    <$type as NumpyField>::FORMAT,
                    std::mem::offset_of!($name, $field),
                )),*]
            }
        }
    };
}

macro_rules! row {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
        #[repr(C)]
        pub struct $name { $($(#[$field_meta])* pub $field: $type,)* }

        numpy_layout!($name { $($field: $type),* });
    };
}

row! {
    /// One frame delivered, one change of state or one loss; in order.
    pub struct EventRow {
        /// Number of the frame in its plane of the channel; 0 where there is no frame.
        channel_seq: u64,
        /// Last exchange number covered; 0 none.
        source_seq: u64,
        /// Exchange time, ns since the epoch; a copy of `recv_ts` with flag NO_EXCH_TS.
        exchange_ts: i64,
        /// When the exchange's bytes reached the publisher, ns since the epoch.
        recv_ts: i64,
        /// When the publisher sealed the frame: `recv_ts` and `proc_ns`; 0 where there is no frame.
        send_ts: i64,
        /// Kernel's stamp of arrival here, ns since the epoch; 0 unknown.
        rx_ts: i64,
        /// Instrument number within the venue; 0 = not about one.
        instrument: u32,
        /// Number in the instrument; of a loss the first lost.
        instr_seq: u32,
        /// Index of the first record in the array of this kind; of a loss how many events.
        start: u32,
        /// Nanoseconds between arrival at the publisher and sealing.
        proc_ns: u32,
        /// Session of the channel.
        session: u32,
        /// Nanoseconds that the frame was missing or held; saturates.
        delay_ns: u32,
        /// Venue number.
        venue: u16,
        /// Flags of the frame; a whole book's first fragment shows RESET also on the snapshot plane.
        flags: u16,
        /// Records of the frame.
        count: u16,
        /// Of a book's records the first are bids.
        n_bids: u16,
        /// Why the state is not LIVE; 0 where it is.
        reason: u16,
        /// Bits `MARK_*`.
        marks: u16,
        /// Fragment of a whole book, from 0.
        frag_index: u16,
        /// Fragments of a whole book.
        frag_count: u16,
        /// Levels a side that the venue publishes, of a book message; 0 = all.
        depth_limit: u16,
        /// Type of the message, or `KIND_*`.
        kind: u8,
        /// Reported state after it ([`super::Reported`]).
        state: u8,
        /// Trading status (STATUS.state); 0 unknown.
        trading: u8,
        /// Channel number without the plane's bit.
        channel: u8,
        /// Exponent of prices in the records.
        price_exp: i8,
        /// Exponent of quantities in the records.
        qty_exp: i8,
        /// `checksum_kind` of a book message.
        checksum_kind: u8,
        /// Scope of a STATUS.
        scope: u8,
        /// Zeros.
        reserved: [u8; 6],
    }
}

const _: () = assert!(size_of::<EventRow>() == 104);

numpy_layout!(Level { price: i64, qty: i64 });
numpy_layout!(Trade {
    price: i64,
    qty: i64,
    trade_id: u64,
    trade_ts: i64,
    aggressor: u8,
    trade_flags: u8,
    n_fills: u16,
    id_span: u32,
});
numpy_layout!(OrderOp {
    order_id: u64,
    price: i64,
    qty: i64,
    ref_id: u64,
    priority: u64,
    op: u8,
    side: u8,
    op_flags: u16,
    reserved: u32,
});
numpy_layout!(RestingOrder {
    order_id: u64,
    price: i64,
    qty: i64,
    priority: u64,
    order_ts: i64,
    order_flags: u16,
    reserved: [u8; 6],
});
numpy_layout!(Bbo { bid_px: i64, bid_qty: i64, ask_px: i64, ask_qty: i64, bid_orders: u32, ask_orders: u32 });
numpy_layout!(Ticker {
    last_px: i64,
    open_px: i64,
    high_px: i64,
    low_px: i64,
    volume: f64,
    turnover: f64,
    trade_count: u64,
    window_ns: i64,
});
numpy_layout!(Candle {
    open_ts: i64,
    interval_s: u32,
    candle_flags: u32,
    open: i64,
    high: i64,
    low: i64,
    close: i64,
    volume: f64,
    turnover: f64,
    trade_count: u64,
});
numpy_layout!(DerivState {
    present: u32,
    funding_interval_s: u32,
    mark_px: i64,
    index_px: i64,
    settle_px: i64,
    funding_rate: i64,
    next_rate: i64,
    next_funding_ts: i64,
    open_interest: f64,
    oi_value: f64,
});
numpy_layout!(InstrumentDef {
    def_version: u32,
    kind: u8,
    status: u8,
    price_exp: i8,
    qty_exp: i8,
    tick_size: i64,
    lot_size: i64,
    min_qty: i64,
    contract_size: i64,
    contract_exp: i8,
    option_type: u8,
    venue_type: u16,
    underlying: u32,
    expiry_ts: i64,
    strike: i64,
    native_symbol: [u8; 32],
    symbol: [u8; 32],
    base: [u8; 16],
    quote: [u8; 16],
    settle: [u8; 16],
    native_more: [u8; 40],
    qty_unit: u8,
    book_proof: u8,
    reserved: [u8; 6],
});
numpy_layout!(Status {
    scope: u8,
    state: u8,
    reason: u16,
    conn_id: u32,
    since_ts: i64,
    expected: u64,
    got: u64,
    text: [u8; 16],
    last_channel_seq: u64,
});
numpy_layout!(Conn {
    connected: u32,
    disconnected: u32,
    total: u32,
    reconnects: u32,
    messages: u64,
    bytes: u64,
    conn_id: u32,
    subscriptions: u32,
    silence_ms: u32,
    expected_ms: u32,
});
/// A record array: its name, its fields and the bytes of a record.
pub type RowLayout = (&'static str, Vec<RowField>, usize);

fn layout<T: Layout>(name: &'static str) -> RowLayout {
    (name, T::fields(), size_of::<T>())
}

/// Every array that [`super::Batch`] has, in the order of [`super::Batch::into_arrays`].
#[must_use]
pub fn layouts() -> Vec<RowLayout> {
    vec![
        layout::<EventRow>("events"),
        layout::<Level>("levels"),
        layout::<Trade>("trades"),
        layout::<OrderOp>("ops"),
        layout::<RestingOrder>("orders"),
        layout::<Bbo>("bbos"),
        layout::<Ticker>("tickers"),
        layout::<Candle>("candles"),
        layout::<DerivState>("derivs"),
        layout::<InstrumentDef>("defs"),
        layout::<Status>("statuses"),
        layout::<Conn>("conns"),
    ]
}

#[cfg(test)]
mod tests {
    use super::layouts;

    #[test]
    fn fields_lie_end_to_end_without_padding() {
        for (name, fields, itemsize) in layouts() {
            let mut end = 0;
            for (field, format, offset) in fields {
                assert_eq!(offset, end, "{name}.{field}");
                end += format[2..].parse::<usize>().unwrap();
            }
            assert_eq!(end, itemsize, "{name}");
        }
    }
}
