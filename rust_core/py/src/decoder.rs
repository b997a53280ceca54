//! `Decoder`: the declared shapes of a venue without feed, books or wire.

use std::collections::HashMap;

use outcrier_core::event::{
    Body, Decoded, Event, LevelExtra, NOT_GIVEN, OrderRow, OrderVerb, Run, Trade, present,
};
use outcrier_core::instrument::{InstrumentTable, Scale};
use outcrier_core::shape::{self, Outcome};
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

use crate::value_error;

/// Exponents that an instrument may have: a mantissa of 64 bits has 19 digits, and nobody prints more than 30.
const EXP_MAX: i8 = 30;

/// Frames of one venue to events, for tools, tests and benchmarks.
#[pyclass(module = "outcrier._core")]
pub(crate) struct Decoder {
    decoder: shape::Decoder,
    table: InstrumentTable,
    out: Decoded,
    outcome: Outcome,
    /// What an unknown instrument was called; its memory is used again.
    unknown: Vec<u8>,
}

impl Decoder {
    fn known(&self, index: u32) -> PyResult<()> {
        if (index as usize) < self.table.len() {
            return Ok(());
        }
        Err(PyIndexError::new_err(format!("no instrument was added with index {index}")))
    }

    /// The number of the outcome, which is kept for the questions that follow.
    fn keep(&mut self, outcome: Outcome, frame: &[u8]) -> u8 {
        self.outcome = outcome;
        match outcome {
            Outcome::Handled => Self::HANDLED,
            Outcome::NotMine => Self::NOT_MINE,
            Outcome::UnknownInstrument { text } => {
                self.unknown.clear();
                self.unknown.extend_from_slice(text.of(frame));
                Self::UNKNOWN_INSTRUMENT
            }
            Outcome::NeedsFiner { .. } => Self::NEEDS_FINER,
            Outcome::Fault(_) => Self::FAULT,
        }
    }
}

fn scale(price_exp: i8, qty_exp: i8) -> PyResult<Scale> {
    for (name, exp) in [("price_exp", price_exp), ("qty_exp", qty_exp)] {
        if !(-EXP_MAX..=EXP_MAX).contains(&exp) {
            return Err(value_error(format!("{name} {exp} is not within -{EXP_MAX} to {EXP_MAX}")));
        }
    }
    Ok(Scale { price_exp, qty_exp })
}

#[pymethods]
impl Decoder {
    #[classattr]
    const HANDLED: u8 = 0;
    #[classattr]
    const NOT_MINE: u8 = 1;
    #[classattr]
    const UNKNOWN_INSTRUMENT: u8 = 2;
    #[classattr]
    const NEEDS_FINER: u8 = 3;
    #[classattr]
    const FAULT: u8 = 4;

    #[new]
    fn new(shapes: &str) -> PyResult<Self> {
        Ok(Self {
            decoder: shape::Decoder::compile(shapes).map_err(value_error)?,
            table: InstrumentTable::default(),
            out: Decoded::default(),
            outcome: Outcome::Handled,
            unknown: Vec::new(),
        })
    }

    fn add(&mut self, native_symbol: &str, price_exp: i8, qty_exp: i8) -> PyResult<u32> {
        let scale = scale(price_exp, qty_exp)?;
        let added = self.table.add(native_symbol.as_bytes(), scale);
        added.ok_or_else(|| value_error(format!("{native_symbol:?} was added before")))
    }

    #[pyo3(signature = (connection, number, index, channel=""))]
    fn bind(&mut self, connection: u32, number: u64, index: u32, channel: &str) -> PyResult<()> {
        self.known(index)?;
        self.table.bind(connection, number, index, channel);
        Ok(())
    }

    fn scale(&self, index: u32) -> PyResult<(i8, i8)> {
        self.known(index)?;
        let Scale { price_exp, qty_exp } = *self.table.scale(index);
        Ok((price_exp, qty_exp))
    }

    fn set_scale(&mut self, index: u32, price_exp: i8, qty_exp: i8) -> PyResult<()> {
        self.known(index)?;
        self.table.set_scale(index, scale(price_exp, qty_exp)?);
        Ok(())
    }

    #[pyo3(signature = (connection, frame, /))]
    fn decode(&mut self, connection: u32, frame: &[u8]) -> u8 {
        let outcome = self.decoder.decode(connection, frame, &self.table, &mut self.out);
        self.keep(outcome, frame)
    }

    #[pyo3(signature = (index, body, /))]
    fn decode_snapshot(&mut self, index: u32, body: &[u8]) -> PyResult<u8> {
        self.known(index)?;
        let outcome = self.decoder.decode_snapshot(index, body, &self.table, &mut self.out);
        Ok(self.keep(outcome, body))
    }

    fn decode_all(&mut self, connection: u32, frames: &Bound<'_, PyList>) -> PyResult<(u64, u64, u64)> {
        let mut sums = (0, 0, 0);
        for frame in frames.iter() {
            if self.decode(connection, frame.cast::<PyBytes>()?.as_bytes()) == Self::HANDLED {
                sums.0 += 1;
                sums.1 += self.out.levels.len() as u64;
                sums.2 += self.out.trades.len() as u64;
            }
        }
        Ok(sums)
    }

    /// Why the last frame gave no events.
    #[getter]
    fn reason(&self) -> String {
        match self.outcome {
            Outcome::Handled => String::new(),
            Outcome::NotMine => "no shape takes it".to_string(),
            Outcome::UnknownInstrument { .. } => String::from_utf8_lossy(&self.unknown).into_owned(),
            Outcome::NeedsFiner { price_exp, qty_exp, .. } => {
                format!("needs price_exp {price_exp} and qty_exp {qty_exp}")
            }
            Outcome::Fault(kind) => self.decoder.reason(kind),
        }
    }

    /// Instrument and exponents that the last frame needs.
    #[getter]
    fn finer(&self) -> Option<(u32, i8, i8)> {
        match self.outcome {
            Outcome::NeedsFiner { instrument, price_exp, qty_exp } => Some((instrument, price_exp, qty_exp)),
            _ => None,
        }
    }

    /// Name of the shape that took the last frame.
    #[getter]
    fn shape(&self) -> Option<&str> {
        let is_taken = self.outcome == Outcome::Handled && !self.decoder.shapes().is_empty();
        is_taken.then(|| self.decoder.shapes()[usize::from(self.out.shape)].name.as_str())
    }

    /// Number of the last frame on its connection.
    #[getter]
    fn connection_seq(&self) -> Option<u64> {
        self.out.connection_seq
    }

    fn drift(&self) -> HashMap<String, u64> {
        self.decoder.drift().map(|(name, count)| (name.to_owned(), count)).collect()
    }

    fn events<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        self.out.events.iter().map(|event| self.event(py, event)).collect()
    }
}

impl Decoder {
    fn event<'py>(&self, py: Python<'py>, event: &Event) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        let exps = (event.price_exp, event.qty_exp);
        dict.set_item("instrument", event.instrument)?;
        dict.set_item("exchange_ts", given(event.exchange_ts))?;
        dict.set_item("ids", (event.ids.first, event.ids.last, event.ids.prev))?;
        dict.set_item("exps", exps)?;
        match &event.body {
            Body::Book { snapshot, bids, asks, checksum } => {
                dict.set_item("type", "book")?;
                dict.set_item("snapshot", *snapshot)?;
                dict.set_item("bids", self.levels(*bids))?;
                dict.set_item("asks", self.levels(*asks))?;
                dict.set_item("bid_extras", self.extras(*bids))?;
                dict.set_item("ask_extras", self.extras(*asks))?;
                dict.set_item("checksum", checksum.map(|checksum| checksum.0))?;
            }
            Body::Orders { snapshot, rows, checksum, .. } => {
                dict.set_item("type", "orders")?;
                dict.set_item("snapshot", *snapshot)?;
                dict.set_item("orders", self.orders(py, *rows)?)?;
                dict.set_item("checksum", checksum.map(|checksum| checksum.0))?;
            }
            Body::Trades(run) => {
                dict.set_item("type", "trades")?;
                dict.set_item("trades", self.trades(py, *run)?)?;
            }
            Body::Liquidations(run) => {
                dict.set_item("type", "liquidations")?;
                dict.set_item("trades", self.trades(py, *run)?)?;
            }
            Body::Bbo(bbo) => {
                dict.set_item("type", "bbo")?;
                dict.set_item("bid", given(bbo.bid_px).map(|price| (price, bbo.bid_qty, bbo.bid_orders)))?;
                dict.set_item("ask", given(bbo.ask_px).map(|price| (price, bbo.ask_qty, bbo.ask_orders)))?;
            }
            Body::Ticker(ticker) => {
                dict.set_item("type", "ticker")?;
                dict.set_item("last", given(ticker.last_px))?;
                dict.set_item("open", given(ticker.open_px))?;
                dict.set_item("high", given(ticker.high_px))?;
                dict.set_item("low", given(ticker.low_px))?;
                dict.set_item("volume", float(ticker.volume))?;
                dict.set_item("turnover", float(ticker.turnover))?;
                dict.set_item("trade_count", ticker.trade_count)?;
                dict.set_item("window_ns", ticker.window_ns)?;
            }
            Body::Candle(candle) => {
                dict.set_item("type", "candle")?;
                dict.set_item("open_ts", candle.open_ts)?;
                dict.set_item("interval_s", candle.interval_s)?;
                dict.set_item("flags", candle.candle_flags)?;
                dict.set_item("prices", (candle.open, candle.high, candle.low, candle.close))?;
                dict.set_item("volume", float(candle.volume))?;
                dict.set_item("turnover", float(candle.turnover))?;
                dict.set_item("trade_count", candle.trade_count)?;
            }
            Body::Deriv(state) => {
                dict.set_item("type", "deriv")?;
                let has = |bit: u32| state.present & bit != 0;
                dict.set_item("mark", has(present::MARK_PX).then_some(state.mark_px))?;
                dict.set_item("index", has(present::INDEX_PX).then_some(state.index_px))?;
                dict.set_item("settle", has(present::SETTLE_PX).then_some(state.settle_px))?;
                dict.set_item("funding_rate", has(present::FUNDING_RATE).then_some(state.funding_rate))?;
                dict.set_item("next_rate", has(present::NEXT_RATE).then_some(state.next_rate))?;
                dict.set_item(
                    "next_funding",
                    has(present::NEXT_FUNDING_TS).then_some(state.next_funding_ts),
                )?;
                let interval = has(present::FUNDING_INTERVAL).then_some(state.funding_interval_s);
                dict.set_item("funding_interval_s", interval)?;
                dict.set_item("open_interest", has(present::OPEN_INTEREST).then_some(state.open_interest))?;
                dict.set_item("oi_value", has(present::OI_VALUE).then_some(state.oi_value))?;
            }
            Body::Trading(state) => {
                dict.set_item("type", "trading")?;
                dict.set_item("state", state)?;
            }
        }
        Ok(dict)
    }

    fn levels(&self, run: Run) -> Vec<(Option<i64>, i64)> {
        self.out.levels(run).iter().map(|level| (given(level.price), level.qty)).collect()
    }

    fn extras(&self, run: Run) -> Vec<(u64, u64, u8, u8)> {
        let extras =
            self.out.extras.get(run.start as usize..(run.start + run.len) as usize).unwrap_or_default();
        let tuple = |extra: &LevelExtra| (extra.id, extra.sequence, extra.price_decimals, extra.qty_decimals);
        extras.iter().map(tuple).collect()
    }

    fn orders<'py>(&self, py: Python<'py>, run: Run) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let dict = |row: &OrderRow| {
            let dict = PyDict::new(py);
            dict.set_item("key", row.key)?;
            dict.set_item("verb", verb_name(row.verb))?;
            dict.set_item("side", row.side as u8)?;
            dict.set_item("price", given(row.price))?;
            dict.set_item("qty", given(row.qty))?;
            dict.set_item("ts", given(row.order_ts))?;
            dict.set_item("trade_id", row.trade_id)?;
            dict.set_item("decimals", (row.price_decimals, row.qty_decimals))?;
            Ok(dict)
        };
        self.out.orders(run).iter().map(dict).collect()
    }

    fn trades<'py>(&self, py: Python<'py>, run: Run) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let dict = |trade: &Trade| {
            let dict = PyDict::new(py);
            dict.set_item("price", trade.price)?;
            dict.set_item("qty", trade.qty)?;
            dict.set_item("id", trade.trade_id)?;
            dict.set_item("ts", given(trade.trade_ts))?;
            dict.set_item("aggressor", trade.aggressor)?;
            dict.set_item("flags", trade.trade_flags)?;
            dict.set_item("n_fills", trade.n_fills)?;
            dict.set_item("id_span", trade.id_span)?;
            Ok(dict)
        };
        self.out.trades(run).iter().map(dict).collect()
    }
}

fn verb_name(verb: OrderVerb) -> &'static str {
    match verb {
        OrderVerb::Add => "add",
        OrderVerb::Modify => "modify",
        OrderVerb::Delete => "delete",
        OrderVerb::Execute => "execute",
    }
}

fn given(value: i64) -> Option<i64> {
    (value != NOT_GIVEN).then_some(value)
}

fn float(value: f64) -> Option<f64> {
    (!value.is_nan()).then_some(value)
}
