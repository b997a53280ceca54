//! `Receiver`: the state machine of the consumer's side, with or without sockets.

use std::collections::HashMap;

use numpy::ndarray::Array2;
use numpy::{IntoPyArray, PyArray1, PyArray2};
use outcrier_core::event::Side;
use outcrier_core::publish::Plane;
use outcrier_core::receive::{
    self, Collector, Config, GapRepair, GapReport, KnownInstrument, Mirror, Recovery, Wanted, rows,
};
use outcrier_core::wire::manifest::PublicKey;
use outcrier_core::wire::{status, text_of};
use outcrier_net::clock::mono_ns;
use outcrier_net::{DATAGRAM_BYTES_MAX, SubscriberConfig};
use pyo3::exceptions::{PyKeyError, PyOSError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::mirrored::MirroredOrders;
use crate::publisher::keyring;
use crate::sockets::{Groups, PollError, SocketSums, Sockets};
use crate::{address, addresses, line, os_error, value_error};

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
    /// Of sockets that are closed.
    sums: SocketSums,
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

    /// The orders of an instrument; `None` while none are known.
    pub(crate) fn known_orders(&self, venue: u16, instrument: u32) -> Option<&receive::Orders> {
        self.receiver.book(venue, instrument)?.orders.as_deref()
    }

    /// Venue and number of a symbol that was heard.
    pub(crate) fn found(&self, symbol: &str) -> Option<(u16, u32)> {
        self.receiver.find(symbol)
    }

    pub(crate) fn known_orders_mut(&mut self, venue: u16, instrument: u32) -> Option<&mut receive::Orders> {
        self.receiver.orders_mut(venue, instrument)
    }

    /// When the receiver or its sockets have something to do.
    fn next_deadline_ns(&self) -> Option<u64> {
        let sockets = self.sockets.as_ref().and_then(|open| open.deadline_ns(mono_ns()));
        [self.receiver.deadline_ns(), sockets].into_iter().flatten().min()
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
                        keys="", manifest_key="", retransmit=false, consumer_id=0, seed=0))]
    fn new(
        symbols: Option<Vec<String>>,
        types: Option<Vec<u8>>,
        accept_replay: bool,
        accept_test: bool,
        rows_max: usize,
        keys: &str,
        manifest_key: &str,
        retransmit: bool,
        consumer_id: u64,
        seed: u64,
    ) -> PyResult<Self> {
        let wanted = match &symbols {
            None => Wanted::All,
            Some(texts) => Wanted::symbols(texts.iter().map(String::as_str)).map_err(value_error)?,
        };
        let keys = keyring(keys)?;
        let manifest_key = (!manifest_key.is_empty()).then(|| PublicKey::parse(manifest_key));
        let manifest_key = manifest_key.transpose().map_err(value_error)?;
        Ok(Self {
            receiver: receive::Receiver::new(Config {
                wanted,
                accept_replay,
                accept_test,
                keys,
                manifest_key,
                recovery: Recovery { retransmit },
                consumer_id,
                seed,
            }),
            collector: Collector::new(types.as_deref(), rows_max),
            sockets: None,
            sums: SocketSums::default(),
            no_rows: None,
        })
    }

    #[pyo3(signature = (*, interface, group, snapshot_group, port, rcvbuf_bytes, interface_b="", group_b="",
                        repair_group="", sources=Vec::new(), reuse_port=false))]
    fn open(
        &mut self,
        interface: &str,
        group: &str,
        snapshot_group: &str,
        port: u16,
        rcvbuf_bytes: usize,
        interface_b: &str,
        group_b: &str,
        repair_group: &str,
        sources: Vec<String>,
        reuse_port: bool,
    ) -> PyResult<()> {
        let interface = address("interface", interface)?;
        let interface_b =
            if interface_b.is_empty() { interface } else { address("interface_b", interface_b)? };
        let sources = addresses("sources", &sources)?;
        let config = |interface, name, group: &str| {
            let (group, sources) = (address(name, group)?, sources.clone());
            PyResult::Ok(SubscriberConfig { interface, group, port, rcvbuf_bytes, sources, reuse_port })
        };
        let optional = |interface, name, group: &str| {
            if group.is_empty() { Ok(None) } else { config(interface, name, group).map(Some) }
        };
        let groups = Groups {
            line_a: config(interface, "group", group)?,
            line_b: optional(interface_b, "group_b", group_b)?,
            snapshot: config(interface, "snapshot_group", snapshot_group)?,
            repair: optional(interface, "repair_group", repair_group)?,
        };
        self.sockets = Some(Sockets::open(&groups).map_err(|error| os_error(&error))?);
        Ok(())
    }

    fn close(&mut self) {
        if let Some(open) = self.sockets.take() {
            self.sums = open.sums;
        }
    }

    fn filenos(&self) -> Vec<i32> {
        self.sockets.iter().flat_map(Sockets::filenos).collect()
    }

    fn effective_rcvbuf(&self) -> usize {
        self.sockets.as_ref().map_or(0, Sockets::effective_rcvbuf)
    }

    fn poll(&mut self, py: Python<'_>) -> PyResult<usize> {
        self.poll_once(py)?;
        Ok(self.collector.rows())
    }

    fn wait(&mut self, py: Python<'_>, timeout_ns: u64) -> PyResult<usize> {
        self.poll_once(py)?;
        if self.collector.rows() == 0 {
            let now_ns = mono_ns();
            let until_timer = self.next_deadline_ns().map_or(u64::MAX, |at| at.saturating_sub(now_ns));
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
        self.next_deadline_ns().unwrap_or(0)
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

    fn orders(slf: Py<Self>, symbol: String) -> MirroredOrders {
        MirroredOrders::new(slf, symbol)
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
        let is_it = |known: &KnownInstrument<'_>| (known.venue, known.instrument) == (venue, instrument);
        let proof = self.receiver.instruments().find(is_it).map(|known| known.def.book_proof);
        info.set_item("book_proof", proof)?;
        Ok(info)
    }

    fn gaps<'py>(&mut self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        self.receiver.take_gaps().iter().map(|gap| report(py, gap)).collect()
    }

    fn open_gaps<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let now_ns = mono_ns();
        let so_far = |gap: GapReport| GapReport { after_ns: now_ns.saturating_sub(gap.opened_ns), ..gap };
        self.receiver.open_gaps().map(|gap| report(py, &so_far(gap))).collect()
    }

    fn counters(&self) -> HashMap<&'static str, u64> {
        let mut all: HashMap<_, _> = self.receiver.counters().into_iter().collect();
        let kept = self.collector.counts();
        let sums = self.sockets.as_ref().map_or(self.sums, |open| open.sums);
        all.extend([
            ("events_lost", kept.events_lost),
            ("rows_lost", kept.rows_lost),
            ("filtered", kept.filtered),
            ("truncated", sums.truncated),
            ("requests_unsent", sums.requests_unsent),
            ("images_cut", sums.images_cut),
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

fn report<'py>(py: Python<'py>, gap: &GapReport) -> PyResult<Bound<'py, PyDict>> {
    let info = PyDict::new(py);
    info.set_item("channel", gap.channel)?;
    info.set_item("venue", gap.venue)?;
    info.set_item("session", gap.session)?;
    info.set_item("plane", if gap.plane == Plane::Snapshot { "snapshot" } else { "incremental" })?;
    info.set_item("first", gap.first)?;
    info.set_item("count", gap.count)?;
    info.set_item("opened_ts", gap.opened_ts)?;
    info.set_item("cause", gap.cause.as_str())?;
    info.set_item("repair", gap.repair.map_or("open", GapRepair::as_str))?;
    info.set_item("after_ns", gap.after_ns)?;
    info.set_item("instrument", gap.instrument)?;
    info.set_item("expected", gap.expected)?;
    info.set_item("got", gap.got)?;
    Ok(info)
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
    info.set_item("status", if known.delisted { status::state::DELISTED } else { def.status })?;
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
