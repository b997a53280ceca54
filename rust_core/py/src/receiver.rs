//! `Receiver`: the state machine of the consumer's side, with or without sockets.

use std::collections::HashMap;

use numpy::ndarray::Array2;
use numpy::{IntoPyArray, PyArray1, PyArray2};
use outcrier_core::event::Side;
use outcrier_core::receive::{self, Collector, Config, KnownInstrument, Mirror, Recovery, Wanted, rows};
use outcrier_core::wire::auth::Keyring;
use outcrier_core::wire::manifest::PublicKey;
use outcrier_core::wire::text_of;
use outcrier_net::clock::mono_ns;
use outcrier_net::{DATAGRAM_BYTES_MAX, SubscriberConfig};
use pyo3::exceptions::{PyKeyError, PyOSError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::sockets::{PollError, Sockets};
use crate::{address, line, os_error, value_error};

const _: () = assert!(DATAGRAM_BYTES_MAX == outcrier_core::wire::FRAME_BYTES_MAX);

/// Name, item size and fields of each row array.
#[pyfunction]
pub(crate) fn layouts() -> HashMap<&'static str, (usize, Vec<rows::RowField>)> {
    rows::layouts().into_iter().map(|(name, fields, itemsize)| (name, (itemsize, fields))).collect()
}

/// Consumer side of the wire.
#[pyclass(module = "outcrier._core")]
pub(crate) struct Receiver {
    receiver: receive::Receiver,
    collector: Collector,
    sockets: Option<Sockets>,
    /// Datagrams cut short on sockets that are closed.
    truncated: u64,
    /// Every array without rows, which most of a batch are.
    no_rows: Option<Py<PyArray1<u8>>>,
}

/// (bids, asks), each of shape (levels, 2).
type Sides<'py> = (Bound<'py, PyArray2<i64>>, Bound<'py, PyArray2<i64>>);

/// Exponents of price and quantity, then bids and asks as (price, qty), best first.
type Top = (i8, i8, Vec<(i64, i64)>, Vec<(i64, i64)>);

/// Exponents of price and quantity, then best bid and best ask.
type Best = (i8, i8, Option<(i64, i64)>, Option<(i64, i64)>);

impl Receiver {
    fn mirror(&self, venue: u16, instrument: u32) -> PyResult<&Mirror> {
        self.receiver.book(venue, instrument).ok_or_else(|| {
            PyKeyError::new_err(format!("instrument {instrument} of venue {venue} is not mirrored"))
        })
    }

    /// Reads the sockets without the GIL: other threads run meanwhile, and none of them can reach this receiver.
    fn poll_once(&mut self, py: Python<'_>) -> PyResult<()> {
        let Self { receiver, collector, sockets: Some(sockets), .. } = self else { return Ok(()) };
        py.detach(|| sockets.poll(receiver, collector)).map_err(|error| match error {
            PollError::Read(error) => error.into(),
            PollError::Join(error) => os_error(&error),
        })
    }
}

#[pymethods]
impl Receiver {
    #[new]
    #[pyo3(signature = (*, symbols=None, types=None, accept_replay=false, accept_test=false, rows_max=1_000_000,
                        keys="", manifest_key=""))]
    fn new(
        symbols: Option<Vec<String>>,
        types: Option<Vec<u8>>,
        accept_replay: bool,
        accept_test: bool,
        rows_max: usize,
        keys: &str,
        manifest_key: &str,
    ) -> PyResult<Self> {
        let wanted = match &symbols {
            None => Wanted::All,
            Some(texts) => Wanted::symbols(texts.iter().map(String::as_str)).map_err(value_error)?,
        };
        let keys = (!keys.is_empty()).then(|| Keyring::parse(keys)).transpose().map_err(value_error)?;
        let manifest_key = (!manifest_key.is_empty()).then(|| PublicKey::parse(manifest_key));
        let manifest_key = manifest_key.transpose().map_err(value_error)?;
        Ok(Self {
            receiver: receive::Receiver::new(Config {
                wanted,
                accept_replay,
                accept_test,
                keys,
                manifest_key,
                // There is no socket yet that would ask.
                recovery: Recovery { retransmit: false },
                ..Config::default()
            }),
            collector: Collector::new(types.as_deref(), rows_max),
            sockets: None,
            truncated: 0,
            no_rows: None,
        })
    }

    #[pyo3(signature = (*, interface, group, snapshot_group, port, rcvbuf_bytes))]
    fn open(
        &mut self,
        interface: &str,
        group: &str,
        snapshot_group: &str,
        port: u16,
        rcvbuf_bytes: usize,
    ) -> PyResult<()> {
        let interface = address("interface", interface)?;
        let config = |group| SubscriberConfig { interface, group, port, rcvbuf_bytes, sources: Vec::new() };
        let line_a = config(address("group", group)?);
        let snapshot = config(address("snapshot_group", snapshot_group)?);
        self.sockets = Some(Sockets::open(&line_a, &snapshot).map_err(|error| os_error(&error))?);
        Ok(())
    }

    fn close(&mut self) {
        self.truncated += self.sockets.take().map_or(0, |open| open.truncated());
    }

    fn filenos(&self) -> Vec<i32> {
        self.sockets.iter().flat_map(Sockets::filenos).collect()
    }

    fn effective_rcvbuf(&self) -> usize {
        self.sockets.as_ref().map_or(0, |open| open.line_a.effective_rcvbuf())
    }

    fn poll(&mut self, py: Python<'_>) -> PyResult<usize> {
        self.poll_once(py)?;
        Ok(self.collector.rows())
    }

    fn wait(&mut self, py: Python<'_>, timeout_ns: u64) -> PyResult<usize> {
        self.poll_once(py)?;
        if self.collector.rows() == 0 {
            let now_ns = mono_ns();
            let until_timer = self.receiver.deadline_ns().map_or(u64::MAX, |at| at.saturating_sub(now_ns));
            let sockets = self.filenos();
            let nap_ns = timeout_ns.min(until_timer);
            py.detach(|| outcrier_net::wait(&sockets, nap_ns)).map_err(PyOSError::new_err)?;
            self.poll_once(py)?;
        }
        Ok(self.collector.rows())
    }

    fn datagram(&mut self, plane: u8, data: &[u8], rx_ns: i64, now_ns: u64) -> PyResult<()> {
        self.receiver.on_datagram(line(plane)?, data, rx_ns, now_ns, &mut self.collector);
        Ok(())
    }

    fn timer(&mut self, now_ns: u64) {
        self.receiver.on_timer(now_ns, &mut self.collector);
    }

    fn deadline_ns(&self) -> u64 {
        self.receiver.deadline_ns().unwrap_or(0)
    }

    fn take<'py>(&mut self, py: Python<'py>) -> HashMap<&'static str, Bound<'py, PyArray1<u8>>> {
        let no_rows = self.no_rows.get_or_insert_with(|| PyArray1::zeros(py, 0, false).unbind());
        let array = |bytes: Vec<u8>| {
            if bytes.is_empty() { no_rows.bind(py).clone() } else { bytes.into_pyarray(py) }
        };
        self.collector.take().into_arrays().into_iter().map(|(name, bytes)| (name, array(bytes))).collect()
    }

    fn instruments<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let all: Vec<_> =
            self.receiver.instruments().map(|known| describe(py, &known)).collect::<PyResult<_>>()?;
        PyList::new(py, all)
    }

    fn find(&self, symbol: &str) -> Option<(u16, u32)> {
        self.receiver.find(symbol)
    }

    fn whole_cycles(&self) -> HashMap<u8, bool> {
        self.receiver.whole_cycles().collect()
    }

    fn state(&self, venue: u16, instrument: u32) -> &'static str {
        self.receiver.book(venue, instrument).map_or(receive::Reported::Unknown, Mirror::reported).as_str()
    }

    #[pyo3(signature = (venue, instrument, depth=0))]
    fn book<'py>(&self, py: Python<'py>, venue: u16, instrument: u32, depth: usize) -> PyResult<Sides<'py>> {
        let book = &self.mirror(venue, instrument)?.book;
        let depth = if depth == 0 { usize::MAX } else { depth };
        let side = |side: Side| -> PyResult<_> {
            let flat: Vec<i64> = book.top(side, depth).flat_map(|level| [level.price, level.qty]).collect();
            Ok(Array2::from_shape_vec((flat.len() / 2, 2), flat).map_err(value_error)?.into_pyarray(py))
        };
        Ok((side(Side::Bid)?, side(Side::Ask)?))
    }

    fn top(&self, venue: u16, instrument: u32, depth: usize) -> PyResult<Top> {
        let mirror = self.mirror(venue, instrument)?;
        let depth = if depth == 0 { usize::MAX } else { depth };
        let side = |side| mirror.book.top(side, depth).map(|level| (level.price, level.qty)).collect();
        Ok((mirror.price_exp, mirror.qty_exp, side(Side::Bid), side(Side::Ask)))
    }

    fn best(&self, venue: u16, instrument: u32) -> PyResult<Best> {
        let mirror = self.mirror(venue, instrument)?;
        let best = |side| mirror.book.best(side).map(|level| (level.price, level.qty));
        Ok((mirror.price_exp, mirror.qty_exp, best(Side::Bid), best(Side::Ask)))
    }

    fn last_event(&self, venue: u16, instrument: u32) -> PyResult<(u32, u64, i64, i64)> {
        let mirror = self.mirror(venue, instrument)?;
        Ok((mirror.instr_seq, mirror.source_seq, mirror.exchange_ts, mirror.recv_ts))
    }

    fn book_info<'py>(&self, py: Python<'py>, venue: u16, instrument: u32) -> PyResult<Bound<'py, PyDict>> {
        let mirror = self.mirror(venue, instrument)?;
        let info = PyDict::new(py);
        info.set_item("state", mirror.reported().as_str())?;
        info.set_item("reason", mirror.reason)?;
        info.set_item("trading", mirror.trading)?;
        info.set_item("price_exp", mirror.price_exp)?;
        info.set_item("qty_exp", mirror.qty_exp)?;
        info.set_item("instr_seq", mirror.instr_seq)?;
        info.set_item("source_seq", mirror.source_seq)?;
        info.set_item("exchange_ts", mirror.exchange_ts)?;
        info.set_item("recv_ts", mirror.recv_ts)?;
        info.set_item("bids", mirror.book.len(Side::Bid))?;
        info.set_item("asks", mirror.book.len(Side::Ask))?;
        info.set_item("crossed", mirror.book.is_crossed())?;
        info.set_item("locked", mirror.book.is_locked())?;
        info.set_item("hash", mirror.book.hash())?;
        info.set_item("flags", mirror.flags)?;
        Ok(info)
    }

    fn counters(&self) -> HashMap<&'static str, u64> {
        let mut all: HashMap<_, _> = self.receiver.counters().into_iter().collect();
        let kept = self.collector.counts();
        all.extend([
            ("events_lost", kept.events_lost),
            ("rows_lost", kept.rows_lost),
            ("filtered", kept.filtered),
            ("truncated", self.truncated + self.sockets.as_ref().map_or(0, Sockets::truncated)),
        ]);
        all
    }

    fn channels<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        self.receiver
            .channels()
            .map(|channel| {
                let info = PyDict::new(py);
                info.set_item("channel", channel.channel)?;
                info.set_item("venue", channel.venue)?;
                info.set_item("session", channel.session)?;
                info.set_item("state", channel.state.as_str())?;
                info.set_item("high", channel.high)?;
                info.set_item("frames", channel.frames)?;
                info.set_item("bytes", channel.bytes)?;
                info.set_item("gaps", channel.gaps)?;
                info.set_item("given_up", channel.given_up)?;
                info.set_item("duplicates", channel.duplicates)?;
                info.set_item("publisher_id", channel.publisher_id)?;
                info.set_item("test", channel.test)?;
                info.set_item("replay", channel.replay)?;
                info.set_item("chain_ok", channel.chain_ok)?;
                info.set_item("window_ns", channel.window_ns)?;
                info.set_item("ended", channel.ended)?;
                info.set_item("split", channel.split)?;
                info.set_item("whole_cycle", channel.whole_cycle)?;
                Ok(info)
            })
            .collect()
    }
}

fn describe<'py>(py: Python<'py>, known: &KnownInstrument<'_>) -> PyResult<Bound<'py, PyDict>> {
    let def = known.def;
    let info = PyDict::new(py);
    info.set_item("venue", known.venue)?;
    info.set_item("instrument", known.instrument)?;
    info.set_item("channel", known.channel)?;
    info.set_item("wanted", known.wanted)?;
    info.set_item("state", known.state.as_str())?;
    info.set_item("symbol", text_of(&def.symbol))?;
    info.set_item("native_symbol", def.native_symbol_text())?;
    info.set_item("kind", def.kind)?;
    info.set_item("status", def.status)?;
    info.set_item("price_exp", def.price_exp)?;
    info.set_item("qty_exp", def.qty_exp)?;
    info.set_item("tick_size", def.tick_size)?;
    info.set_item("lot_size", def.lot_size)?;
    info.set_item("min_qty", def.min_qty)?;
    info.set_item("contract_size", def.contract_size)?;
    info.set_item("contract_exp", def.contract_exp)?;
    info.set_item("qty_unit", def.qty_unit)?;
    info.set_item("book_proof", def.book_proof)?;
    info.set_item("base", text_of(&def.base))?;
    info.set_item("quote", text_of(&def.quote))?;
    info.set_item("settle", text_of(&def.settle))?;
    info.set_item("expiry_ts", def.expiry_ts)?;
    info.set_item("strike", def.strike)?;
    info.set_item("option_type", def.option_type)?;
    info.set_item("def_version", def.def_version)?;
    Ok(info)
}
