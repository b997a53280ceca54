//! `OrderBook`: the orders of one instrument.

use std::collections::HashMap;

use numpy::ndarray::Array2;
use numpy::{IntoPyArray, PyArray1, PyArray2, PyReadonlyArray1};
use outcrier_core::event::{OrderOp, RestingOrder, Side};
use outcrier_core::orders::{self, Ahead, Fault, WatchId};
use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use zerocopy::{FromBytes, IntoBytes};

use crate::value_error;

/// Every order of one instrument, in price-time priority.
#[pyclass(module = "outcrier._core")]
pub(crate) struct OrderBook {
    book: orders::OrderBook,
    /// Watched places by the number that Python has.
    watches: HashMap<u64, WatchId>,
    next_watch: u64,
}

/// Quantity and number of orders.
type Sum = (i64, u32);

fn side(number: u8) -> PyResult<Side> {
    match number {
        1 => Ok(Side::Bid),
        2 => Ok(Side::Ask),
        _ => Err(value_error(format!("side {number} is neither 1 (bid) nor 2 (ask)"))),
    }
}

fn sum(ahead: Ahead) -> Sum {
    (ahead.qty, ahead.orders)
}

impl OrderBook {
    fn watch(&mut self, watch: Result<WatchId, Fault>) -> PyResult<u64> {
        let watch = watch.map_err(value_error)?;
        self.next_watch += 1;
        self.watches.insert(self.next_watch, watch);
        Ok(self.next_watch)
    }
}

fn bytes_of<'py>(py: Python<'py>, orders: &[RestingOrder]) -> Bound<'py, PyArray1<u8>> {
    PyArray1::from_slice(py, orders.as_bytes())
}

#[pymethods]
impl OrderBook {
    #[new]
    #[pyo3(signature = (tick=1))]
    fn new(tick: i64) -> PyResult<Self> {
        if tick < 0 {
            return Err(value_error(format!("tick {tick} is below 0")));
        }
        Ok(Self { book: orders::OrderBook::new(tick), watches: HashMap::new(), next_watch: 0 })
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

    fn get(&self, order_id: u64) -> Option<(u8, i64, i64, i64)> {
        self.book.get(order_id).map(|order| (order.side as u8, order.price, order.qty, order.ts))
    }

    fn best(&self, side: u8) -> PyResult<Option<(i64, i64)>> {
        Ok(self.book.queues().best(self::side(side)?).map(|level| (level.price, level.qty)))
    }

    fn level(&self, side: u8, price: i64) -> PyResult<Sum> {
        Ok(self.book.queues().level(self::side(side)?, price))
    }

    #[pyo3(signature = (side, depth=0))]
    fn levels<'py>(&self, py: Python<'py>, side: u8, depth: usize) -> PyResult<Bound<'py, PyArray2<i64>>> {
        let (side, queues) = (self::side(side)?, self.book.queues());
        let wanted = if depth == 0 { usize::MAX } else { depth };
        let mut rows = Vec::new();
        for level in queues.levels(side).take(wanted) {
            rows.extend([level.price, level.qty, i64::from(queues.level(side, level.price).1)]);
        }
        let shape = (rows.len() / 3, 3);
        let rows = Array2::from_shape_vec(shape, rows).map_err(value_error)?;
        Ok(rows.into_pyarray(py))
    }

    fn queue<'py>(&self, py: Python<'py>, side: u8, price: i64) -> PyResult<Bound<'py, PyArray1<u8>>> {
        let queues = self.book.queues();
        let orders: Vec<_> =
            queues.queue(self::side(side)?, price).map(|handle| queues.order(handle).into()).collect();
        Ok(bytes_of(py, &orders))
    }

    fn orders<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<u8>> {
        let orders: Vec<_> = self.book.snapshot().collect();
        bytes_of(py, &orders)
    }

    fn ahead(&self, order_id: u64) -> Option<Sum> {
        self.book.ahead(order_id).map(sum)
    }

    fn watch_order(&mut self, order_id: u64) -> PyResult<u64> {
        let watch = self.book.watch_order(order_id);
        self.watch(watch)
    }

    fn watch_back(&mut self, side: u8, price: i64) -> PyResult<u64> {
        let watch = self.book.watch_back(self::side(side)?, price);
        self.watch(watch)
    }

    fn watched(&self, watch: u64) -> PyResult<Option<Sum>> {
        let watch = self.watches.get(&watch).ok_or_else(|| PyKeyError::new_err("the watch has ended"))?;
        Ok(self.book.watched(*watch).map(sum))
    }

    fn unwatch(&mut self, watch: u64) {
        if let Some(watch) = self.watches.remove(&watch) {
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
