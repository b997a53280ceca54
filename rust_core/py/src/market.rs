//! `Market`: instruments whose orders are drawn by a seed.

use outcrier_core::market::{self, LOT, PRICE_EXP, QTY_EXP, Settings, TICK};
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;

use crate::orders::OrderBook;
use crate::value_error;

/// A simulated market.
#[pyclass(module = "outcrier._core")]
pub(crate) struct Market {
    market: market::Market,
}

/// Operation, order, side, price, quantity, reference.
type Op = (u8, u64, u8, i64, i64, u64);
/// Price, quantity, number, aggressor.
type Trade = (i64, i64, u64, u8);
/// Side, price, quantity.
type Level = (u8, i64, i64);
/// Instrument, number, time, changes of orders, trades, levels.
type Event = (u32, u64, i64, Vec<Op>, Vec<Trade>, Vec<Level>);

fn event_of(event: &market::PublicEvent<'_>) -> Event {
    let op = |op: &outcrier_core::event::OrderOp| (op.op, op.order_id, op.side, op.price, op.qty, op.ref_id);
    let trade =
        |trade: &outcrier_core::event::Trade| (trade.price, trade.qty, trade.trade_id, trade.aggressor);
    (
        event.instrument,
        event.seq,
        event.ts,
        event.ops.iter().map(op).collect(),
        event.trades.iter().map(trade).collect(),
        event.levels.iter().map(|(side, price, qty)| (*side as u8, *price, *qty)).collect(),
    )
}

#[pymethods]
impl Market {
    #[classattr]
    const PRICE_EXP: i8 = PRICE_EXP;
    #[classattr]
    const QTY_EXP: i8 = QTY_EXP;
    #[classattr]
    const TICK: i64 = TICK;
    #[classattr]
    const LOT: i64 = LOT;
    #[classattr]
    const INSTRUMENTS_MAX: u32 = market::INSTRUMENTS_MAX;
    #[classattr]
    const RATE_MAX: u32 = market::RATE_MAX;

    #[new]
    fn new(seed: u64, instruments: u32, rate: u32) -> PyResult<Self> {
        let market = market::Market::new(Settings { seed, instruments, rate }).map_err(value_error)?;
        Ok(Self { market })
    }

    fn advance(&mut self, until: i64, most: usize) -> Vec<Event> {
        let mut events = Vec::new();
        while events.len() < most {
            let Some(event) = self.market.advance(until) else { break };
            events.push(event_of(&event));
        }
        events
    }

    fn book(&self, instrument: u32) -> PyResult<OrderBook> {
        self.market.book(instrument).cloned().map(OrderBook::of).ok_or_else(|| self.none(instrument))
    }

    fn seq(&self, instrument: u32) -> PyResult<u64> {
        self.market.seq(instrument).ok_or_else(|| self.none(instrument))
    }
}

impl Market {
    fn none(&self, instrument: u32) -> PyErr {
        PyIndexError::new_err(format!("instrument {instrument}: there are {}", self.market.len()))
    }
}
