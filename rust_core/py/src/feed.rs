//! `Feed`: one channel of one venue.

use std::collections::HashMap;

use numpy::ndarray::Array2;
use numpy::{IntoPyArray, PyArray2};
use outcrier_core::event::{Level, Side};
use outcrier_core::feed::{self, ACTIVITY_KINDS, Activity};
use outcrier_core::instrument::Scale;
use outcrier_core::orders::Order;
use outcrier_core::publish::{Arrival, Opening, SessionInfo};
use outcrier_core::shape::Decoder;
use outcrier_core::wire::{self, InstrumentDef};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::publisher::{Machine, Publisher};
use crate::wishes::Wishes;
use crate::{FOR_PYTHON, HANDLED, NOTICES, value_error};

/// One channel: frames of one venue in, numbered multicast frames out.
#[pyclass(module = "outcrier._core")]
pub(crate) struct Feed {
    feed: feed::Feed,
    machine: Machine,
    /// Connection and arrival of the socket read of which more messages follow.
    read: Option<(u32, Arrival)>,
    /// Copy of a frame that is not `bytes`; its memory is used again.
    copy: Vec<u8>,
    wishes: Wishes,
}

/// (side, number, price, quantity, priority, time) of an order, as mantissas.
type OrderTold = (u8, u64, i64, i64, u64, i64);

/// (bids, asks) as mantissas.
type Sides = (Vec<(i64, i64)>, Vec<(i64, i64)>);

impl Feed {
    /// The moment of now.
    fn now(&mut self) -> Arrival {
        let now = self.machine.clock.now();
        Arrival { recv_ts: now.wall_ns, mono_ns: now.mono_ns }
    }

    /// Makes a call that may leave frames. All frames of the feed have left when it returns, whatever it returns.
    fn act<T>(&mut self, recv_ns: i64, call: impl FnOnce(&mut feed::Feed, &mut Machine, Arrival) -> T) -> T {
        self.read = None;
        let arrival = at(self.now(), recv_ns);
        let result = call(&mut self.feed, &mut self.machine, arrival);
        self.feed.flush(&mut self.machine);
        result
    }

    /// One message to the feed.
    fn take(
        &mut self,
        py: Python<'_>,
        connection: u32,
        data: &Bound<'_, PyAny>,
        arrival: Arrival,
    ) -> PyResult<feed::Taken> {
        if let Ok(bytes) = data.cast::<PyBytes>() {
            return Ok(self.feed.on_frame(connection, bytes.as_bytes(), &mut self.machine, arrival));
        }
        let buffer = PyBuffer::<u8>::get(data)?;
        self.copy.resize(buffer.item_count(), 0);
        buffer.copy_to_slice(py, &mut self.copy)?;
        Ok(self.feed.on_frame(connection, &self.copy, &mut self.machine, arrival))
    }

    /// The feed when all its frames have left.
    fn settled(&mut self) -> &mut feed::Feed {
        self.feed.flush(&mut self.machine);
        &mut self.feed
    }

    /// The definition of an instrument when all frames have left.
    fn settled_def(&mut self, index: u32) -> PyResult<&InstrumentDef> {
        self.settled();
        self.known(index)
    }

    fn known(&self, index: u32) -> PyResult<&InstrumentDef> {
        self.feed
            .definition(index)
            .ok_or_else(|| PyIndexError::new_err(format!("no instrument was added with index {index}")))
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.feed.flush(&mut self.machine);
    }
}

/// The recorded wall time, where there is one, in place of the one read.
fn at(arrival: Arrival, recv_ns: i64) -> Arrival {
    if recv_ns == 0 { arrival } else { Arrival { recv_ts: recv_ns, ..arrival } }
}

fn bits(taken: feed::Taken) -> u8 {
    let mut bits = HANDLED;
    if taken.for_python {
        bits |= FOR_PYTHON;
    }
    if taken.notices {
        bits |= NOTICES;
    }
    bits
}

#[pymethods]
impl Feed {
    #[new]
    #[pyo3(signature = (publisher, *, venue, channel, session, publisher_id, shapes, build, prev_session=0, prev_last_seq=0,
                        reason=1, instruments=Vec::new(), replay=false, test=false, pack=false, start_ns=0,
                        history_bytes_max=0, infer_orders=false))]
    fn new(
        publisher: &Publisher,
        venue: u16,
        channel: u8,
        session: u32,
        publisher_id: u64,
        shapes: &str,
        build: String,
        prev_session: u32,
        prev_last_seq: u64,
        reason: u32,
        instruments: Vec<u32>,
        replay: bool,
        test: bool,
        pack: bool,
        start_ns: i64,
        history_bytes_max: usize,
        infer_orders: bool,
    ) -> PyResult<Self> {
        if channel == 0 || channel > wire::CHANNEL_NUMBER {
            return Err(value_error(format!(
                "channel {channel} is not within 1 to {}",
                wire::CHANNEL_NUMBER
            )));
        }
        let decoder = Decoder::compile(shapes).map_err(value_error)?;
        let mut machine = Machine::new(publisher, channel);
        let info = SessionInfo {
            venue,
            channel,
            session,
            publisher_id,
            prev_session,
            reason,
            opening: Opening::of(prev_last_seq, &instruments),
            replay,
            test,
            pack,
            signer: machine.signer(session),
            build,
        };
        machine.begin(&info)?;
        let now = machine.clock.now();
        let arrival = at(Arrival { recv_ts: now.wall_ns, mono_ns: now.mono_ns }, start_ns);
        let mut feed = feed::Feed::start(info, decoder, &mut machine, arrival).map_err(value_error)?;
        feed.keep_history(history_bytes_max);
        if infer_orders {
            feed.infer_orders();
        }
        feed.flush(&mut machine);
        Ok(Self { feed, machine, read: None, copy: Vec::new(), wishes: Wishes::default() })
    }

    #[pyo3(signature = (*, instrument, native_symbol, symbol, kind, price_exp, qty_exp, tick_size, lot_size, min_qty,
                        contract_size, contract_exp, qty_unit, book_proof, base, quote, settle, status=3, expiry_ts=0,
                        strike=0, option_type=0, underlying=0, has_book=true, recv_ns=0))]
    fn add_instrument(
        &mut self,
        instrument: u32,
        native_symbol: &str,
        symbol: &str,
        kind: u8,
        price_exp: i8,
        qty_exp: i8,
        tick_size: i64,
        lot_size: i64,
        min_qty: i64,
        contract_size: i64,
        contract_exp: i8,
        qty_unit: u8,
        book_proof: u8,
        base: &str,
        quote: &str,
        settle: &str,
        status: u8,
        expiry_ts: i64,
        strike: i64,
        option_type: u8,
        underlying: u32,
        has_book: bool,
        recv_ns: i64,
    ) -> PyResult<u32> {
        for (name, text, room) in [
            ("native_symbol", native_symbol, wire::NATIVE_SYMBOL_BYTES),
            ("symbol", symbol, 32),
            ("base", base, 16),
            ("quote", quote, 16),
            ("settle", settle, 16),
        ] {
            if text.len() > room {
                self.settled();
                return Err(value_error(format!("{name} {text:?} has more than {room} bytes")));
            }
        }
        let (head, more) = wire::split_native_symbol(native_symbol);
        let def = InstrumentDef {
            def_version: 1,
            kind,
            status,
            price_exp,
            qty_exp,
            tick_size,
            lot_size,
            min_qty,
            contract_size,
            contract_exp,
            option_type,
            underlying,
            expiry_ts,
            strike,
            native_symbol: head,
            native_more: more,
            symbol: wire::text_field(symbol),
            base: wire::text_field(base),
            quote: wire::text_field(quote),
            settle: wire::text_field(settle),
            qty_unit,
            book_proof,
            ..wire::zeroed()
        };
        self.act(recv_ns, |feed, machine, arrival| {
            feed.add_instrument(instrument, native_symbol, &def, has_book, machine, arrival)
        })
        .map_err(value_error)
    }

    #[pyo3(signature = (index, status, recv_ns=0))]
    fn set_trading_status(&mut self, index: u32, status: u8, recv_ns: i64) -> PyResult<()> {
        self.settled_def(index)?;
        self.act(recv_ns, |feed, machine, arrival| feed.set_trading_status(index, status, machine, arrival));
        Ok(())
    }

    #[pyo3(signature = (index, *, price_exp, qty_exp, tick_size, lot_size, min_qty, recv_ns=0))]
    fn update_sizes(
        &mut self,
        index: u32,
        price_exp: i8,
        qty_exp: i8,
        tick_size: i64,
        lot_size: i64,
        min_qty: i64,
        recv_ns: i64,
    ) -> PyResult<()> {
        self.settled_def(index)?;
        let sizes = feed::Sizes { scale: Scale { price_exp, qty_exp }, tick_size, lot_size, min_qty };
        if self.act(recv_ns, |feed, machine, arrival| feed.update_sizes(index, &sizes, machine, arrival)) {
            Ok(())
        } else {
            Err(value_error("the sizes do not fit 64 bits at the exponents of the instrument"))
        }
    }

    #[pyo3(signature = (connection, data, recv_ns=0, more=false))]
    fn on_frame(
        &mut self,
        py: Python<'_>,
        connection: u32,
        data: &Bound<'_, PyAny>,
        recv_ns: i64,
        more: bool,
    ) -> PyResult<u8> {
        let read = match self.read {
            Some((of, read)) if of == connection => read,
            _ => self.now(),
        };
        self.read = more.then_some((connection, read));
        let taken = self.take(py, connection, data, at(read, recv_ns));
        if !more || taken.is_err() {
            self.feed.flush(&mut self.machine);
        }
        taken.map(bits)
    }

    #[pyo3(signature = (index, body, recv_ns=0))]
    fn on_snapshot(&mut self, index: u32, body: &[u8], recv_ns: i64) -> PyResult<u8> {
        if !self.feed.is_removed(index) {
            self.settled_def(index)?;
        }
        Ok(bits(self.act(recv_ns, |feed, machine, arrival| feed.on_snapshot(index, body, machine, arrival))))
    }

    fn want_orders(&mut self, index: u32) -> PyResult<bool> {
        self.settled_def(index)?;
        Ok(self.feed.want_orders(index))
    }

    #[pyo3(signature = (index, body, recv_ns=0))]
    fn on_orders_snapshot(&mut self, index: u32, body: &[u8], recv_ns: i64) -> PyResult<u8> {
        if !self.feed.is_removed(index) {
            self.settled_def(index)?;
        }
        let taken = |feed: &mut feed::Feed, machine: &mut Machine, arrival| {
            feed.on_orders_snapshot(index, body, machine, arrival)
        };
        Ok(bits(self.act(recv_ns, taken)))
    }

    #[pyo3(signature = (indices, recv_ns=0, connection=0))]
    fn disconnected(&mut self, indices: Vec<u32>, recv_ns: i64, connection: u32) {
        self.act(recv_ns, |feed, machine, arrival| feed.disconnected(&indices, connection, machine, arrival));
    }

    #[pyo3(signature = (indices, recv_ns=0, connection=0))]
    fn connected(&mut self, indices: Vec<u32>, recv_ns: i64, connection: u32) {
        self.act(recv_ns, |feed, machine, arrival| feed.connected(&indices, connection, machine, arrival));
    }

    fn overlap(&mut self, old: u32, new: u32, indices: Vec<u32>) -> PyResult<()> {
        self.settled();
        if old == new || old == 0 || new == 0 {
            return Err(value_error(format!("connections {old} and {new} are not two numbers above 0")));
        }
        for &index in indices.iter().filter(|&&index| !self.feed.is_removed(index)) {
            self.known(index)?;
        }
        self.feed.overlap(old, new, &indices).map_err(value_error)
    }

    #[pyo3(signature = (old, new, recv_ns=0))]
    fn end_overlap(&mut self, old: u32, new: u32, recv_ns: i64) {
        self.act(recv_ns, |feed, machine, arrival| feed.end_overlap(old, new, machine, arrival));
    }

    #[pyo3(signature = (index, recv_ns=0))]
    fn remove_instrument(&mut self, index: u32, recv_ns: i64) -> PyResult<()> {
        self.settled_def(index)?;
        self.act(recv_ns, |feed, machine, arrival| feed.remove_instrument(index, machine, arrival));
        Ok(())
    }

    #[pyo3(signature = (index, reason, recv_ns=0))]
    fn resync(&mut self, index: u32, reason: u16, recv_ns: i64) -> PyResult<bool> {
        self.settled_def(index)?;
        Ok(self.act(recv_ns, |feed, machine, arrival| feed.resync(index, reason, machine, arrival)))
    }

    fn restart_connection(&mut self, connection: u32) {
        self.settled().restart_connection(connection);
    }

    #[pyo3(signature = (*, conn_id, connected, disconnected, reconnects, messages, bytes, subscriptions, silence_ms,
                        expected_ms))]
    fn publish_connection(
        &mut self,
        conn_id: u32,
        connected: u32,
        disconnected: u32,
        reconnects: u32,
        messages: u64,
        bytes: u64,
        subscriptions: u32,
        silence_ms: u32,
        expected_ms: u32,
    ) {
        let conn = feed::ConnectionCounters {
            connected,
            disconnected,
            total: connected.saturating_add(disconnected),
            reconnects,
            messages,
            bytes,
            conn_id,
            subscriptions,
            silence_ms,
            expected_ms,
        };
        self.act(0, |feed, machine, arrival| feed.publish_connection(&conn, machine, arrival));
    }

    #[pyo3(signature = (*, scope, state, reason, conn_id=0, text=""))]
    fn publish_status(
        &mut self,
        scope: u8,
        state: u8,
        reason: u16,
        conn_id: u32,
        text: &str,
    ) -> PyResult<()> {
        if scope == wire::status::scope::INSTRUMENT {
            self.settled();
            return Err(value_error("the status of an instrument is the feed's to say"));
        }
        self.act(0, |feed, machine, arrival| {
            let root = wire::Status {
                scope,
                state,
                reason,
                conn_id,
                since_ts: arrival.recv_ts,
                text: wire::text_field(text),
                ..wire::zeroed()
            };
            feed.publish_status(&root, machine, arrival);
        });
        Ok(())
    }

    fn tick(&mut self) -> u64 {
        let mut wishes = std::mem::take(&mut self.wishes);
        self.act(0, |feed, machine, _| {
            if let Some(mailbox) = machine.mailbox() {
                wishes.serve(&mailbox, feed, machine);
            }
            feed.tick(machine);
        });
        self.wishes = wishes;
        self.deadline_ns()
    }

    fn change_key(&mut self) {
        self.act(0, |feed, machine, _| {
            if let Some(signer) = machine.signer(feed.info().session) {
                feed.change_key(machine, signer);
            }
        });
    }

    fn deadline_ns(&mut self) -> u64 {
        let deadline_ns = self.settled().deadline_ns().unwrap_or(u64::MAX);
        if self.wishes.are_waiting() { 0 } else { deadline_ns }
    }

    #[pyo3(signature = (reason=0, next_session=0))]
    fn close(&mut self, reason: u32, next_session: u32) {
        self.act(0, |feed, machine, _| feed.close(reason, next_session, machine));
    }

    fn last_seq(&mut self) -> u64 {
        self.act(0, |feed, machine, _| feed.last_seq(machine))
    }

    fn kinds(&mut self) -> HashMap<&'static str, (u64, u64, u64, u64)> {
        let all = self.settled().kinds().all();
        all.into_iter()
            .map(|(name, sums)| (name, (sums.received, sums.published, sums.rejected, sums.gaps)))
            .collect()
    }

    fn activity<'py>(&mut self, py: Python<'py>) -> (Bound<'py, PyArray2<u64>>, Bound<'py, PyArray2<u64>>) {
        let rows = self.settled().activity();
        let shape = (rows.len(), ACTIVITY_KINDS);
        let table = |value: fn(&Activity) -> u64| {
            Array2::from_shape_fn(shape, |(index, kind)| value(&rows[index][kind])).into_pyarray(py)
        };
        (table(|each| each.messages), table(|each| each.last_ns))
    }

    fn books_not_live(&mut self) -> usize {
        self.settled().books_not_live()
    }

    fn notices(&mut self) -> Vec<(&'static str, i64, u64, u64, String)> {
        self.settled()
            .take_notices()
            .into_iter()
            .map(|notice| {
                let index = notice.instrument.map_or(-1, i64::from);
                (notice.kind.as_str(), index, notice.expected, notice.got, notice.text)
            })
            .collect()
    }

    fn faults<'py>(&mut self, py: Python<'py>) -> Vec<(String, i64, u32, Bound<'py, PyBytes>)> {
        self.settled()
            .faults()
            .map(|fault| {
                (fault.reason.clone(), fault.recv_ts, fault.connection, PyBytes::new(py, &fault.frame))
            })
            .collect()
    }

    fn counters(&mut self) -> HashMap<&'static str, u64> {
        let (sums, channel) = self.settled().counters();
        let mut all: HashMap<_, _> = sums.all().into_iter().collect();
        all.extend([
            ("frames", channel.frames),
            ("frame_bytes", channel.bytes),
            ("snapshot_frames", channel.snapshot_frames),
            ("image_frames", channel.image_frames),
            ("heartbeats", channel.heartbeats),
            ("manifests", channel.manifests),
            ("packs", channel.packs),
            ("packed_messages", channel.packed_messages),
            ("wishes_refused", self.wishes.refused()),
        ]);
        all.extend(self.feed.quality_counts().all());
        all.insert("history_dropped", self.feed.history_dropped());
        all
    }

    fn quality(&mut self, index: u32) -> PyResult<HashMap<&'static str, u64>> {
        self.settled_def(index)?;
        Ok(self.feed.quality(index).map_or_else(HashMap::new, |counts| counts.all().collect()))
    }

    fn clock<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let clock = self.settled().venue_clock();
        let values = PyDict::new(py);
        values.set_item("comparable", clock.is_comparable())?;
        values.set_item("offset_ns", clock.offset_ns())?;
        values.set_item("drift_ppm", clock.drift_ppm())?;
        values.set_item("windows", clock.windows())?;
        Ok(values)
    }

    #[pyo3(signature = (index, last=feed::HISTORY_MESSAGES_MAX))]
    fn history<'py>(
        &mut self,
        py: Python<'py>,
        index: u32,
        last: usize,
    ) -> PyResult<Vec<(i64, u32, Bound<'py, PyBytes>)>> {
        self.settled_def(index)?;
        let kept = self.feed.history(index, last);
        Ok(kept.iter().map(|kept| (kept.recv_ts, kept.connection, PyBytes::new(py, &kept.frame))).collect())
    }

    fn latency<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let latency = self.settled().latency();
        let values = PyDict::new(py);
        values.set_item("count", latency.count())?;
        values.set_item("sum_ns", latency.sum_ns())?;
        values.set_item("cumulative", latency.cumulative().collect::<Vec<_>>())?;
        values.set_item("buckets", latency.buckets().collect::<Vec<_>>())?;
        Ok(values)
    }

    fn drift(&mut self) -> HashMap<String, u64> {
        self.settled().drift().map(|(name, count)| (name.to_owned(), count)).collect()
    }

    fn state(&mut self, index: u32) -> PyResult<&'static str> {
        self.settled_def(index)?;
        Ok(self.feed.state(index).map_or("", feed::BookState::as_str))
    }

    fn instr_seq(&mut self, index: u32) -> PyResult<u32> {
        self.settled_def(index)?;
        Ok(self.feed.numbers(index).map_or(0, |(instr_seq, _)| instr_seq))
    }

    fn source_seq(&mut self, index: u32) -> PyResult<u64> {
        self.settled_def(index)?;
        Ok(self.feed.numbers(index).map_or(0, |(_, source_seq)| source_seq))
    }

    #[pyo3(signature = (index, depth=0))]
    fn book(&mut self, index: u32, depth: usize) -> PyResult<Sides> {
        self.settled_def(index)?;
        let side = |side: Side| -> Vec<(i64, i64)> {
            let depth = if depth == 0 { usize::MAX } else { depth };
            self.feed
                .book(index)
                .into_iter()
                .flat_map(|book| book.levels(side))
                .take(depth)
                .map(|Level { price, qty }| (price, qty))
                .collect()
        };
        Ok((side(Side::Bid), side(Side::Ask)))
    }

    fn orders(&mut self, index: u32) -> PyResult<Option<Vec<OrderTold>>> {
        self.settled_def(index)?;
        let Some(queues) = self.feed.orders(index).filter(|_| self.feed.has_orders(index)) else {
            return Ok(None);
        };
        let sides = [Side::Bid, Side::Ask].into_iter().flat_map(|side| queues.orders(side));
        let told =
            |order: Order| (order.side as u8, order.id, order.price, order.qty, order.priority, order.ts);
        Ok(Some(sides.map(told).collect()))
    }

    fn book_hash(&mut self, index: u32) -> PyResult<u64> {
        self.settled_def(index)?;
        Ok(self.feed.book(index).map_or(0, outcrier_core::book::Book::hash))
    }

    fn scale(&mut self, index: u32) -> PyResult<(i8, i8)> {
        let def = self.settled_def(index)?;
        Ok((def.price_exp, def.qty_exp))
    }

    fn def_version(&mut self, index: u32) -> PyResult<u32> {
        Ok(self.settled_def(index)?.def_version)
    }
}
