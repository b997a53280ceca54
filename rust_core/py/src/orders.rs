//! `OrderBook` and `Inference`: the orders of one instrument, told or inferred.

use std::collections::HashMap;

use numpy::ndarray::Array2;
use numpy::{IntoPyArray, PyArray1, PyArray2, PyReadonlyArray1};
use outcrier_core::event::{Level, OrderOp, RestingOrder, Side};
use outcrier_core::orders::{
    self, Ahead, Belief, FILL_HORIZON_MAX_NS, Fault, Order, Queues, Rule, WatchId, Weights, as_told,
};
use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use zerocopy::{FromBytes, IntoBytes};

use crate::value_error;

/// Every order of one instrument, in price-time priority.
#[pyclass(module = "outcrier._core")]
pub(crate) struct OrderBook {
    book: orders::OrderBook,
    watches: Watches<WatchId>,
}

/// Watched places by the number that Python has.
pub(crate) struct Watches<W> {
    pub(crate) open: HashMap<u64, W>,
    last: u64,
}

impl<W> Default for Watches<W> {
    fn default() -> Self {
        Self { open: HashMap::new(), last: 0 }
    }
}

impl<W: Copy> Watches<W> {
    pub(crate) fn add(&mut self, watch: Result<W, Fault>) -> PyResult<u64> {
        let watch = watch.map_err(value_error)?;
        self.last += 1;
        self.open.insert(self.last, watch);
        Ok(self.last)
    }

    pub(crate) fn get(&self, watch: u64) -> PyResult<W> {
        self.open.get(&watch).copied().ok_or_else(|| PyKeyError::new_err("the watch has ended"))
    }

    /// What stands before each of several places: rows of quantity and orders.
    pub(crate) fn ahead_of<'py>(
        &self,
        py: Python<'py>,
        watches: &[u64],
        ahead: impl Fn(W) -> Option<Ahead>,
    ) -> PyResult<Bound<'py, PyArray2<i64>>> {
        let mut rows = Vec::with_capacity(2 * watches.len());
        for watch in watches {
            let found = ahead(self.get(*watch)?).map_or([-1, -1], |each| [each.qty, each.orders.into()]);
            rows.extend(found);
        }
        let rows = Array2::from_shape_vec((watches.len(), 2), rows).map_err(value_error)?;
        Ok(rows.into_pyarray(py))
    }
}

/// Quantity and number of orders.
pub(crate) type Sum = (i64, u32);

/// Side, price, quantity and time of an order.
pub(crate) type Resting = (u8, i64, i64, i64);

pub(crate) fn resting(order: Order) -> Resting {
    (order.side as u8, order.price, order.qty, order.ts)
}

pub(crate) fn side(number: u8) -> PyResult<Side> {
    match number {
        1 => Ok(Side::Bid),
        2 => Ok(Side::Ask),
        _ => Err(value_error(format!("side {number} is neither 1 (bid) nor 2 (ask)"))),
    }
}

pub(crate) fn sum(ahead: Ahead) -> Sum {
    (ahead.qty, ahead.orders)
}

pub(crate) fn bytes_of<'py>(py: Python<'py>, orders: &[RestingOrder]) -> Bound<'py, PyArray1<u8>> {
    PyArray1::from_slice(py, orders.as_bytes())
}

/// Price, quantity and orders of the best levels.
pub(crate) fn levels_of<'py>(
    py: Python<'py>,
    queues: &Queues,
    side: Side,
    depth: usize,
) -> PyResult<Bound<'py, PyArray2<i64>>> {
    let wanted = if depth == 0 { usize::MAX } else { depth };
    let mut rows = Vec::new();
    for level in queues.levels(side).take(wanted) {
        rows.extend([level.price, level.qty, i64::from(queues.level(side, level.price).1)]);
    }
    let shape = (rows.len() / 3, 3);
    let rows = Array2::from_shape_vec(shape, rows).map_err(value_error)?;
    Ok(rows.into_pyarray(py))
}

/// The orders of a level, front first, as they are shown.
pub(crate) fn queue_of<'py>(
    py: Python<'py>,
    queues: &Queues,
    side: Side,
    price: i64,
    shown: impl Fn(Order) -> Order,
) -> Bound<'py, PyArray1<u8>> {
    let orders: Vec<RestingOrder> =
        queues.queue(side, price).map(|handle| shown(queues.order(handle)).into()).collect();
    bytes_of(py, &orders)
}

/// Bids and asks.
struct BySide([Vec<Level>; 2]);

impl BySide {
    fn of(levels: Vec<(u8, i64, i64)>) -> PyResult<Self> {
        let mut sides = [Vec::new(), Vec::new()];
        for (side, price, qty) in levels {
            sides[self::side(side)?.index()].push(Level { price, qty });
        }
        Ok(Self(sides))
    }

    fn all(&self) -> impl Iterator<Item = (Side, Level)> {
        let of = |side: Side| self.0[side.index()].iter().map(move |level| (side, *level));
        of(Side::Bid).chain(of(Side::Ask))
    }
}

fn tick_of(tick: i64) -> PyResult<i64> {
    if tick < 0 { Err(value_error(format!("tick {tick} is below 0"))) } else { Ok(tick) }
}

#[pymethods]
impl OrderBook {
    #[new]
    #[pyo3(signature = (tick=1))]
    fn new(tick: i64) -> PyResult<Self> {
        Ok(Self { book: orders::OrderBook::new(tick_of(tick)?), watches: Watches::default() })
    }

    fn apply(
        &mut self,
        ops: PyReadonlyArray1<'_, u8>,
        ts: PyReadonlyArray1<'_, i64>,
    ) -> PyResult<Vec<(usize, String)>> {
        let (ops, ts) = (ops.as_slice()?, ts.as_slice()?);
        let size = size_of::<OrderOp>();
        if ops.len() != ts.len() * size {
            return Err(value_error(format!(
                "{} bytes of changes are not {} for each of {} times",
                ops.len(),
                size,
                ts.len()
            )));
        }
        let mut faults = Vec::new();
        for (at, (op, ts)) in ops.chunks_exact(size).zip(ts).enumerate() {
            // The array of Python may begin anywhere, so each change is copied.
            let op = OrderOp::read_from_bytes(op).map_err(|_| value_error("a change of another size"))?;
            if let Err(fault) = self.book.apply(&op, *ts) {
                faults.push((at, fault.to_string()));
            }
        }
        Ok(faults)
    }

    fn clear(&mut self) {
        self.book.clear();
    }

    fn __len__(&self) -> usize {
        self.book.queues().len()
    }

    fn get(&self, order_id: u64) -> Option<Resting> {
        self.book.get(order_id).map(resting)
    }

    fn best(&self, side: u8) -> PyResult<Option<(i64, i64)>> {
        Ok(self.book.queues().best(self::side(side)?).map(|level| (level.price, level.qty)))
    }

    fn level(&self, side: u8, price: i64) -> PyResult<Sum> {
        Ok(self.book.queues().level(self::side(side)?, price))
    }

    #[pyo3(signature = (side, depth=0))]
    fn levels<'py>(&self, py: Python<'py>, side: u8, depth: usize) -> PyResult<Bound<'py, PyArray2<i64>>> {
        levels_of(py, self.book.queues(), self::side(side)?, depth)
    }

    fn queue<'py>(&self, py: Python<'py>, side: u8, price: i64) -> PyResult<Bound<'py, PyArray1<u8>>> {
        Ok(queue_of(py, self.book.queues(), self::side(side)?, price, |order| order))
    }

    fn orders<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<u8>> {
        let orders: Vec<_> = self.book.snapshot().collect();
        bytes_of(py, &orders)
    }

    fn ahead(&self, order_id: u64) -> Option<Sum> {
        self.book.ahead(order_id).map(sum)
    }

    fn watch_order(&mut self, order_id: u64) -> PyResult<u64> {
        self.watches.add(self.book.watch_order(order_id))
    }

    fn watch_back(&mut self, side: u8, price: i64) -> PyResult<u64> {
        self.watches.add(self.book.watch_back(self::side(side)?, price))
    }

    fn watched(&self, watch: u64) -> PyResult<Option<Sum>> {
        Ok(self.book.watched(self.watches.get(watch)?).map(sum))
    }

    fn ahead_of<'py>(&self, py: Python<'py>, watches: Vec<u64>) -> PyResult<Bound<'py, PyArray2<i64>>> {
        self.watches.ahead_of(py, &watches, |watch| self.book.watched(watch))
    }

    fn unwatch(&mut self, watch: u64) {
        if let Some(watch) = self.watches.open.remove(&watch) {
            self.book.unwatch(watch);
        }
    }

    fn executions(&self) -> (u64, u64) {
        let counts = self.book.executions();
        (counts.all, counts.of_first)
    }

    fn checksum(&self) -> u32 {
        self.book.checksum()
    }

    fn memory_bytes(&self) -> usize {
        self.book.memory_bytes()
    }
}

/// The orders of one instrument, inferred from its levels and trades.
#[pyclass(module = "outcrier._core")]
pub(crate) struct Inference {
    inference: orders::Inference,
    watches: Watches<WatchId>,
}

impl Inference {
    fn belief(&self, watch: u64) -> PyResult<&Belief> {
        let watch = self.watches.get(watch)?;
        self.inference
            .believed(watch)
            .ok_or_else(|| PyKeyError::new_err("the watch has ended, or the orders began anew"))
    }
}

fn part(name: &str, value: f64) -> PyResult<f64> {
    if (0.0..=1.0).contains(&value) {
        Ok(value)
    } else {
        Err(value_error(format!("{name} {value} is not within 0 to 1")))
    }
}

/// Beyond it an age of days would weigh nothing at all.
const WEIGHT_MAX: f32 = 4.0;

/// Side of the resting order, price, quantity, number and time of a trade.
type Print = (u8, i64, i64, u64, i64);

#[pymethods]
impl Inference {
    #[new]
    fn new(rule: &str, exponent: f32, larger: f32, smaller: f32) -> PyResult<Self> {
        let rule = Rule::ALL.into_iter().find(|each| each.as_str() == rule).ok_or_else(|| {
            let known = Rule::ALL.map(Rule::as_str).join(", ");
            value_error(format!("rule {rule:?} is none of {known}"))
        })?;
        for (name, weight) in [("exponent", exponent), ("larger", larger), ("smaller", smaller)] {
            if !(0.0..=WEIGHT_MAX).contains(&weight) {
                return Err(value_error(format!("{name} {weight} is not within 0 to {WEIGHT_MAX}")));
            }
        }
        let weights = Weights::new(exponent, larger, smaller);
        Ok(Self { inference: orders::Inference::new(rule, weights), watches: Watches::default() })
    }

    fn event<'py>(
        &mut self,
        py: Python<'py>,
        trades: Vec<Print>,
        levels: Option<Vec<(u8, i64, i64)>>,
        ts: i64,
        bests: Vec<(u8, i64, i64, i64)>,
        depth: usize,
    ) -> PyResult<Bound<'py, PyArray1<u8>>> {
        let bests: Vec<_> = bests
            .into_iter()
            .map(|(side, price, qty, ts)| Ok(((self::side(side)?, price), qty, ts)))
            .collect::<PyResult<_>>()?;
        let trades: Vec<_> = trades
            .into_iter()
            .map(|(side, price, qty, id, ts)| Ok(((self::side(side)?, price), qty, id, ts)))
            .collect::<PyResult<_>>()?;
        let levels = levels.map(BySide::of).transpose()?;
        for (level, qty, ts) in bests {
            self.inference.best(level, qty, ts);
        }
        for (level, qty, id, traded_ts) in trades {
            self.inference.trade(level, qty, id, traded_ts, ts);
        }
        if let Some(levels) = levels {
            let [bids, asks] = &levels.0;
            if depth > 0 {
                let edges = self.inference.edges_after(depth, levels.all());
                self.inference.levels_within(edges, bids, asks, ts);
            } else {
                self.inference.levels(bids, asks, ts);
            }
            self.inference.end_event(ts);
        }
        Ok(self.inference.take_ops(|ops| PyArray1::from_slice(py, ops.as_bytes())))
    }

    fn begin<'py>(
        &mut self,
        py: Python<'py>,
        levels: Vec<(u8, i64, i64)>,
        ts: i64,
        depth: usize,
    ) -> PyResult<Bound<'py, PyArray1<u8>>> {
        self.inference.begin(BySide::of(levels)?.all(), ts);
        if depth > 0 {
            self.inference.set_edges(self.inference.edges_after(depth, std::iter::empty()));
        }
        Ok(self.inference.take_ops(|ops| PyArray1::from_slice(py, ops.as_bytes())))
    }

    fn refine(&mut self, price_factor: i64, qty_factor: i64) -> PyResult<bool> {
        if price_factor < 1 || qty_factor < 1 {
            let factors = format!("factors {price_factor} and {qty_factor}");
            return Err(value_error(format!("{factors} are not both at least 1")));
        }
        let finer = self.inference.rescaled(price_factor, qty_factor);
        let is_finer = finer.is_some();
        if let Some(finer) = finer {
            self.inference = finer;
        }
        Ok(is_finer)
    }

    fn outside(&self) -> (usize, usize) {
        self.inference.outside()
    }

    fn __len__(&self) -> usize {
        self.inference.queues().len()
    }

    fn level(&self, side: u8, price: i64) -> PyResult<Sum> {
        Ok(self.inference.queues().level(self::side(side)?, price))
    }

    #[pyo3(signature = (side, depth=0))]
    fn levels<'py>(&self, py: Python<'py>, side: u8, depth: usize) -> PyResult<Bound<'py, PyArray2<i64>>> {
        levels_of(py, self.inference.queues(), self::side(side)?, depth)
    }

    fn queue<'py>(&self, py: Python<'py>, side: u8, price: i64) -> PyResult<Bound<'py, PyArray1<u8>>> {
        Ok(queue_of(py, self.inference.queues(), self::side(side)?, price, as_told))
    }

    fn watch_back(&mut self, side: u8, price: i64) -> PyResult<u64> {
        self.watches.add(self.inference.watch_back(self::side(side)?, price))
    }

    fn watched(&self, watch: u64) -> PyResult<Option<Sum>> {
        Ok(self.inference.watched(self.watches.get(watch)?).map(sum))
    }

    fn ahead_of<'py>(&self, py: Python<'py>, watches: Vec<u64>) -> PyResult<Bound<'py, PyArray2<i64>>> {
        self.watches.ahead_of(py, &watches, |watch| self.inference.watched(watch))
    }

    fn unwatch(&mut self, watch: u64) {
        if let Some(watch) = self.watches.open.remove(&watch) {
            self.inference.unwatch(watch);
        }
    }

    fn believed(&self, watch: u64) -> PyResult<Vec<(i64, f32)>> {
        Ok(self.belief(watch)?.quantities().iter().map(|each| (each.qty, each.probability)).collect())
    }

    fn expected(&self, watch: u64) -> PyResult<f64> {
        Ok(self.belief(watch)?.expected())
    }

    fn quantile(&self, watch: u64, probability: f64) -> PyResult<i64> {
        Ok(self.belief(watch)?.quantile(part("probability", probability)?))
    }

    fn interval(&self, watch: u64, probability: f64) -> PyResult<(i64, i64, f32)> {
        let found = self.belief(watch)?.interval(part("probability", probability)?);
        Ok((found.low, found.high, found.probability))
    }

    fn outlook<'py>(
        &self,
        py: Python<'py>,
        watches: Vec<u64>,
        within: Vec<f64>,
    ) -> PyResult<Bound<'py, PyArray2<f64>>> {
        let columns = 2 + 3 * within.len();
        let mut rows = Vec::with_capacity(columns * watches.len());
        for watch in &watches {
            let belief = self.belief(*watch)?;
            rows.extend([belief.expected(), belief.quantile(0.5) as f64]);
            for probability in &within {
                let found = belief.interval(part("probability", *probability)?);
                rows.extend([found.low as f64, found.high as f64, found.probability.into()]);
            }
        }
        let rows = Array2::from_shape_vec((watches.len(), columns), rows).map_err(value_error)?;
        Ok(rows.into_pyarray(py))
    }

    fn fill_probability(&self, watch: u64, now: i64, within_ns: i64) -> PyResult<Option<f64>> {
        if !(1..=FILL_HORIZON_MAX_NS).contains(&within_ns) {
            let most = FILL_HORIZON_MAX_NS / 1_000_000_000;
            return Err(value_error(format!("{within_ns} ns are not within 1 ns to {most} s")));
        }
        Ok(self.inference.fill_probability(self.watches.get(watch)?, now, within_ns))
    }

    fn counters(&self) -> HashMap<&'static str, u64> {
        let seen = self.inference.counters();
        HashMap::from([
            ("unshown", seen.unshown),
            ("late", seen.late),
            ("forgotten", seen.forgotten),
            ("refused", seen.refused),
        ])
    }
}
