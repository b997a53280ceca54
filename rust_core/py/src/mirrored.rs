//! `MirroredOrders`: the orders of one instrument as a receiver has them.

use std::sync::OnceLock;

use numpy::{PyArray1, PyArray2};
use outcrier_core::orders::{Ahead, Fault, OrderBook, WatchId};
use outcrier_core::receive;
use pyo3::prelude::*;

use crate::orders::{self, Sum, Watches, sum};
use crate::receiver::Receiver;
use crate::value_error;

/// Reads the orders of an instrument at the moment of each call.
#[pyclass(module = "outcrier._core")]
pub(crate) struct MirroredOrders {
    receiver: Py<Receiver>,
    symbol: String,
    /// Venue and number, once the symbol was heard.
    key: OnceLock<(u16, u32)>,
    /// The orders began anew since a place was watched if this differs: then nobody knows what is before it.
    watches: Watches<(u64, WatchId)>,
}

impl MirroredOrders {
    pub(crate) fn new(receiver: Py<Receiver>, symbol: String) -> Self {
        Self { receiver, symbol, key: OnceLock::new(), watches: Watches::default() }
    }

    fn key(&self, receiver: &Receiver) -> Option<(u16, u32)> {
        let known = self.key.get().copied();
        known.or_else(|| receiver.found(&self.symbol).map(|key| *self.key.get_or_init(|| key)))
    }

    /// Reads the orders; `otherwise` where none are known.
    fn read<T>(&self, py: Python<'_>, otherwise: T, read: impl FnOnce(&receive::Orders) -> T) -> T {
        let receiver = self.receiver.borrow(py);
        let known =
            self.key(&receiver).and_then(|(venue, instrument)| receiver.known_orders(venue, instrument));
        known.map_or(otherwise, read)
    }

    fn watch(
        &mut self,
        py: Python<'_>,
        watch: impl FnOnce(&mut OrderBook) -> Result<WatchId, Fault>,
    ) -> PyResult<u64> {
        let mut receiver = self.receiver.borrow_mut(py);
        let orders = self
            .key(&receiver)
            .and_then(|(venue, instrument)| receiver.known_orders_mut(venue, instrument))
            .ok_or_else(|| value_error("no orders of this instrument are known"))?;
        self.watches.add(watch(&mut orders.book).map(|id| (orders.whole, id)))
    }
}

/// What stands before a place that was watched in a whole; nobody knows once the orders began anew.
fn watched(orders: &receive::Orders, (whole, id): (u64, WatchId)) -> Option<Ahead> {
    (orders.whole == whole).then(|| orders.book.watched(id)).flatten()
}

#[pymethods]
impl MirroredOrders {
    fn scale(&self, py: Python<'_>) -> Option<(i8, i8)> {
        self.read(py, None, |orders| Some((orders.price_exp, orders.qty_exp)))
    }

    fn __len__(&self, py: Python<'_>) -> usize {
        self.read(py, 0, |orders| orders.book.queues().len())
    }

    fn get(&self, py: Python<'_>, order_id: u64) -> Option<orders::Resting> {
        self.read(py, None, |orders| orders.book.get(order_id).map(orders::resting))
    }

    fn best(&self, py: Python<'_>, side: u8) -> PyResult<Option<(i64, i64)>> {
        let side = orders::side(side)?;
        Ok(self
            .read(py, None, |orders| orders.book.queues().best(side).map(|level| (level.price, level.qty))))
    }

    fn level(&self, py: Python<'_>, side: u8, price: i64) -> PyResult<Sum> {
        let side = orders::side(side)?;
        Ok(self.read(py, (0, 0), |orders| orders.book.queues().level(side, price)))
    }

    #[pyo3(signature = (side, depth=0))]
    fn levels<'py>(&self, py: Python<'py>, side: u8, depth: usize) -> PyResult<Bound<'py, PyArray2<i64>>> {
        let side = orders::side(side)?;
        let none = || Ok(PyArray2::zeros(py, [0, 3], false));
        self.read(py, None, |known| Some(orders::levels_of(py, known.book.queues(), side, depth)))
            .unwrap_or_else(none)
    }

    fn queue<'py>(&self, py: Python<'py>, side: u8, price: i64) -> PyResult<Bound<'py, PyArray1<u8>>> {
        let side = orders::side(side)?;
        let queue = self.read(py, None, |known| {
            Some(orders::queue_of(py, known.book.queues(), side, price, |order| order))
        });
        Ok(queue.unwrap_or_else(|| PyArray1::zeros(py, 0, false)))
    }

    fn orders<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<u8>> {
        let all: Vec<_> = self.read(py, Vec::new(), |known| known.book.snapshot().collect());
        orders::bytes_of(py, &all)
    }

    fn ahead(&self, py: Python<'_>, order_id: u64) -> Option<Sum> {
        self.read(py, None, |orders| orders.book.ahead(order_id).map(sum))
    }

    fn watch_order(&mut self, py: Python<'_>, order_id: u64) -> PyResult<u64> {
        self.watch(py, |book| book.watch_order(order_id))
    }

    fn watch_back(&mut self, py: Python<'_>, side: u8, price: i64) -> PyResult<u64> {
        let side = orders::side(side)?;
        self.watch(py, |book| book.watch_back(side, price))
    }

    fn watched(&self, py: Python<'_>, watch: u64) -> PyResult<Option<Sum>> {
        let watch = self.watches.get(watch)?;
        Ok(self.read(py, None, |orders| watched(orders, watch)).map(sum))
    }

    fn ahead_of<'py>(&self, py: Python<'py>, watches: Vec<u64>) -> PyResult<Bound<'py, PyArray2<i64>>> {
        self.watches.ahead_of(py, &watches, |watch| self.read(py, None, |orders| watched(orders, watch)))
    }

    fn unwatch(&mut self, py: Python<'_>, watch: u64) {
        let Some((whole, id)) = self.watches.open.remove(&watch) else { return };
        let mut receiver = self.receiver.borrow_mut(py);
        let key = self.key(&receiver);
        let orders = key.and_then(|(venue, instrument)| receiver.known_orders_mut(venue, instrument));
        if let Some(orders) = orders.filter(|orders| orders.whole == whole) {
            orders.book.unwatch(id);
        }
    }
}
