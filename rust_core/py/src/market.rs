//! `Market`: instruments whose orders are drawn by a seed.

use outcrier_core::event::{OrderOp, Side, Trade as PublicTrade};
use outcrier_core::market::{self, LOT, PRICE_EXP, QTY_EXP, Settings, TICK};
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;

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
/// Number, price, quantity.
type Resting = (u64, i64, i64);
/// Price, quantity, orders.
type Best = (i64, i64, u32);
/// Instrument, number, time, changes of orders, trades, levels.
type Event = (u32, u64, i64, Vec<Op>, Vec<Trade>, Vec<Level>);

fn event_of(event: &market::PublicEvent<'_>) -> Event {
    let op = |op: &OrderOp| (op.op, op.order_id, op.side, op.price, op.qty, op.ref_id);
    let trade = |trade: &PublicTrade| (trade.price, trade.qty, trade.trade_id, trade.aggressor);
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

    fn orders(&self, instrument: u32) -> PyResult<(Vec<Resting>, Vec<Resting>)> {
        let queues = self.market.book(instrument).ok_or_else(|| self.none(instrument))?.queues();
        let side = |side| queues.orders(side).map(|order| (order.id, order.price, order.qty)).collect();
        Ok((side(Side::Bid), side(Side::Ask)))
    }

    fn best(&self, instrument: u32) -> PyResult<(Option<Best>, Option<Best>)> {
        let queues = self.market.book(instrument).ok_or_else(|| self.none(instrument))?.queues();
        let best =
            |side| queues.best(side).map(|level| (level.price, level.qty, queues.level(side, level.price).1));
        Ok((best(Side::Bid), best(Side::Ask)))
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
