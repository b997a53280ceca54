//! The records that the decoder makes are roots and records of the wire: what moves in [`crate::event`] would move on
//! the wire, and does not compile.

use super::layout::wire_layout;
use crate::event::{Bbo, Candle, DerivState, Level, OrderOp, RestingOrder, Ticker, Trade};

wire_layout!(Level, 16 { 0 price: i64, 8 qty: i64 });
wire_layout!(Trade, 40 {
    0 price: i64, 8 qty: i64, 16 trade_id: u64, 24 trade_ts: i64,
    32 aggressor: u8, 33 trade_flags: u8, 34 n_fills: u16, 36 id_span: u32,
});
wire_layout!(Bbo, 40 {
    0 bid_px: i64, 8 bid_qty: i64, 16 ask_px: i64, 24 ask_qty: i64, 32 bid_orders: u32, 36 ask_orders: u32,
});
wire_layout!(Ticker, 64 {
    0 last_px: i64, 8 open_px: i64, 16 high_px: i64, 24 low_px: i64,
    32 volume: f64, 40 turnover: f64, 48 trade_count: u64, 56 window_ns: i64,
});
wire_layout!(OrderOp, 48 {
    0 order_id: u64, 8 price: i64, 16 qty: i64, 24 ref_id: u64, 32 priority: u64,
    40 op: u8, 41 side: u8, 42 op_flags: u16, 44 reserved: u32,
});
wire_layout!(RestingOrder, 48 {
    0 order_id: u64, 8 price: i64, 16 qty: i64, 24 priority: u64, 32 order_ts: i64,
    40 order_flags: u16, 42 reserved: [u8; 6],
});
wire_layout!(Candle, 72 {
    0 open_ts: i64, 8 interval_s: u32, 12 candle_flags: u32, 16 open: i64, 24 high: i64, 32 low: i64, 40 close: i64,
    48 volume: f64, 56 turnover: f64, 64 trade_count: u64,
});
wire_layout!(DerivState, 72 {
    0 present: u32, 4 funding_interval_s: u32, 8 mark_px: i64, 16 index_px: i64, 24 settle_px: i64,
    32 funding_rate: i64, 40 next_rate: i64, 48 next_funding_ts: i64, 56 open_interest: f64, 64 oi_value: f64,
});
