//! `Monitor`: what is on the wire in numbers, by sockets that stay joined.

use std::collections::BTreeMap;

use outcrier_core::receive::Line;
use outcrier_core::tally::{Hops, Instrument, Saying, Stream, Tally};
use outcrier_core::wire::{self, Layout, Refusal};
use outcrier_net::clock::mono_ns;
use outcrier_net::{ReceiveBuffers, SubscriberConfig, UdpSubscriber};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::{address, addresses, line as line_of, os_error, wire as plain};

/// Datagrams read from one socket before the other ones have their turn: none starves, and both copies of a number
/// are read while the tally remembers the first (`COPIES_KEPT`).
const TURN_DATAGRAMS: usize = 4_096;

/// Pause after something was read. Counting has time, and one reading of many datagrams costs a fraction of being
/// woken for each; at 1,000,000 frames/s of 1,400 B a pause brings 2.8 MB, less than the least buffer.
const NAP_NS: u64 = 2_000_000;

/// Name of a hop, durations below zero, and of each bucket lower bound, upper bound and count.
type HopRow = (&'static str, u64, Vec<(u64, u64, u64)>);

/// What a socket brings.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Frames(Line),
    Text,
}

/// One group: its socket.
struct Listener {
    source: Source,
    socket: UdpSubscriber,
}

/// Counts of all groups.
#[pyclass(module = "outcrier._core")]
pub(crate) struct Monitor {
    tally: Tally,
    listeners: Vec<Listener>,
    truncated: u64,
    buffers: ReceiveBuffers,
}

impl Monitor {
    /// Reads what has arrived, a turn each; `false` if there was nothing.
    fn drain(&mut self) -> std::io::Result<bool> {
        let mut any = false;
        for listener in &mut self.listeners {
            let mut read = 0;
            while read < TURN_DATAGRAMS {
                let received = listener.socket.recv(&mut self.buffers, |datagram| {
                    self.truncated += u64::from(datagram.truncated);
                    let (bytes, rx_ns) = (datagram.bytes, datagram.kernel_ts_ns);
                    match listener.source {
                        Source::Frames(line) => self.tally.on_datagram(line, bytes, rx_ns),
                        Source::Text => self.tally.texts.on_datagram(bytes, rx_ns),
                    }
                })?;
                read += received.datagrams;
                if !received.may_have_more {
                    break;
                }
            }
            any |= read > 0;
        }
        Ok(any)
    }

    /// Whether a source is listened to, and what the kernel dropped of it.
    fn socket<'py>(&mut self, py: Python<'py>, source: Source) -> PyResult<Bound<'py, PyDict>> {
        let open = self.listeners.iter_mut().find(|each| each.source == source);
        let all = PyDict::new(py);
        all.set_item("is_open", open.is_some())?;
        all.set_item("kernel_drops", open.map_or(0, |each| each.socket.meminfo_drops()))?;
        Ok(all)
    }

    fn listen_until(&mut self, end_ns: u64) -> std::io::Result<()> {
        let sockets: Vec<_> = self.listeners.iter().filter_map(|each| each.socket.fd()).collect();
        loop {
            let is_empty = !self.drain()?;
            let left_ns = end_ns.saturating_sub(mono_ns());
            if left_ns == 0 {
                return Ok(());
            }
            if !is_empty {
                outcrier_net::wait(&[], left_ns.min(NAP_NS))?;
            } else if outcrier_net::wait(&sockets, left_ns)? == 0 {
                // The time is over, or a signal came, which Python wants to look at.
                return Ok(());
            }
        }
    }
}

#[pymethods]
impl Monitor {
    #[new]
    fn new() -> Self {
        let (tally, buffers) = (Tally::default(), ReceiveBuffers::new());
        Self { tally, listeners: Vec::new(), truncated: 0, buffers }
    }

    #[pyo3(signature = (
        *, interface, group, snapshot_group, port, rcvbuf_bytes, interface_b="", group_b="", repair_group="",
        text_group="", sources=Vec::new(), reuse_port=false,
    ))]
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
        text_group: &str,
        sources: Vec<String>,
        reuse_port: bool,
    ) -> PyResult<()> {
        let sources = addresses("sources", &sources)?;
        let line_a = address("interface", interface)?;
        let line_b = if interface_b.is_empty() { line_a } else { address("interface_b", interface_b)? };
        let wanted = [
            (Source::Frames(Line::A), "group", line_a, group),
            (Source::Frames(Line::Snapshot), "snapshot_group", line_a, snapshot_group),
            (Source::Frames(Line::B), "group_b", line_b, group_b),
            (Source::Frames(Line::Repair), "repair_group", line_a, repair_group),
            (Source::Text, "text_group", line_a, text_group),
        ];
        let mut listeners = Vec::with_capacity(wanted.len());
        for (source, name, interface, group) in wanted {
            if group.is_empty() {
                continue;
            }
            let group = address(name, group)?;
            let config = SubscriberConfig {
                interface,
                group,
                port,
                rcvbuf_bytes,
                sources: sources.clone(),
                reuse_port,
            };
            let socket = UdpSubscriber::open(&config).map_err(|error| os_error(&error))?;
            listeners.push(Listener { source, socket });
        }
        self.listeners = listeners;
        Ok(())
    }

    fn close(&mut self) {
        self.listeners.clear();
    }

    fn effective_rcvbuf(&self) -> usize {
        self.listeners.first().map_or(0, |each| each.socket.effective_rcvbuf())
    }

    fn listen(&mut self, py: Python<'_>, timeout_ns: u64) -> PyResult<()> {
        let end_ns = mono_ns().saturating_add(timeout_ns);
        py.detach(|| self.listen_until(end_ns)).map_err(PyErr::from)
    }

    fn datagram(&mut self, line: u8, data: &[u8], rx_ns: i64) -> PyResult<()> {
        self.tally.on_datagram(line_of(line)?, data, rx_ns);
        Ok(())
    }

    fn text(&mut self, data: &[u8], rx_ns: i64) {
        self.tally.texts.on_datagram(data, rx_ns);
    }

    fn line<'py>(&mut self, py: Python<'py>, line: u8) -> PyResult<Bound<'py, PyDict>> {
        let line = line_of(line)?;
        let all = self.socket(py, Source::Frames(line))?;
        let count = self.tally.line(line);
        all.set_item("datagrams", count.datagrams)?;
        all.set_item("bytes", count.bytes)?;
        all.set_item("padding_bytes", count.padding_bytes)?;
        all.set_item("wrong_plane", count.wrong_plane)?;
        all.set_item("unknown_type", count.unknown_type)?;
        for refusal in Refusal::ALL {
            all.set_item(format!("refused_{refusal}"), count.refused[refusal as usize])?;
        }
        Ok(all)
    }

    fn texts<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let all = self.socket(py, Source::Text)?;
        let texts = &self.tally.texts;
        all.set_item("datagrams", texts.lines + texts.refused)?;
        all.set_item("refused_text", texts.refused)?;
        all.set_item("overrun", texts.overrun)?;
        Ok(all)
    }

    fn truncated(&self) -> u64 {
        self.truncated
    }

    fn streams<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let all: Vec<_> = self.tally.streams().map(|stream| describe(py, stream)).collect::<PyResult<_>>()?;
        PyList::new(py, all)
    }

    #[pyo3(signature = (*, channel=None, text="", limit=100))]
    fn instruments<'py>(
        &mut self,
        py: Python<'py>,
        channel: Option<u8>,
        text: &str,
        limit: usize,
    ) -> PyResult<Bound<'py, PyList>> {
        let sample = self.tally.instruments_mut().sample(channel, text, limit);
        let all: Vec<_> = sample
            .iter()
            .map(|(since, each)| describe_instrument(py, *since, each))
            .collect::<PyResult<_>>()?;
        PyList::new(py, all)
    }

    fn instrument_counts(&self) -> (usize, u64) {
        let all = self.tally.instruments();
        (all.len(), all.untracked)
    }

    fn changes(&self) -> Vec<(i64, u16, u32, u8, u8, u16)> {
        let changes = self.tally.instruments().changes();
        changes
            .map(|each| (each.at_ns, each.venue, each.instrument, each.before, each.state, each.reason))
            .collect()
    }

    fn gaps<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let gaps = PyList::empty(py);
        for gap in self.tally.gaps().iter() {
            let info = PyDict::new(py);
            info.set_item("channel", gap.channel & wire::CHANNEL_NUMBER)?;
            info.set_item("plane", u8::from(gap.channel & wire::CHANNEL_SNAPSHOT != 0))?;
            info.set_item("session", gap.session)?;
            info.set_item("first", gap.first)?;
            info.set_item("count", gap.count)?;
            info.set_item("left", gap.left())?;
            info.set_item("filled", gap.filled.to_vec())?;
            info.set_item("opened_ns", gap.opened_ns)?;
            info.set_item("filled_ns", gap.filled_ns)?;
            gaps.append(info)?;
        }
        Ok(gaps)
    }

    fn hops(&self, channel: u8) -> Vec<HopRow> {
        let mut streams = self.tally.streams();
        let found = streams.find(|stream| stream.channel == channel && !stream.is_snapshot);
        found.map_or_else(Vec::new, |stream| {
            let Hops { exchange_to_recv, recv_to_send, send_to_kernel } = &stream.hops;
            [
                ("exchange_to_recv", exchange_to_recv),
                ("recv_to_send", recv_to_send),
                ("send_to_kernel", send_to_kernel),
            ]
            .map(|(name, hop)| (name, hop.negative, hop.buckets().collect()))
            .to_vec()
        })
    }

    fn states(&self) -> Vec<(u8, u16, u8, u16, usize)> {
        let mut counts = BTreeMap::new();
        for each in self.tally.standing() {
            *counts.entry((each.channel, each.venue, each.state, each.reason)).or_insert(0) += 1;
        }
        let rows = counts.into_iter();
        rows.map(|((channel, venue, state, reason), count)| (channel, venue, state, reason, count)).collect()
    }

    fn not_live<'py>(&self, py: Python<'py>, channel: u8, limit: usize) -> PyResult<Bound<'py, PyList>> {
        let standing = self.tally.standing();
        let mut found: Vec<_> =
            standing.filter(|each| each.channel == channel && each.is_not_live()).collect();
        found.sort_unstable_by_key(|each| (each.since_ns, each.instrument));
        found.truncate(limit);
        let all: Vec<_> =
            found.into_iter().map(|each| describe_instrument(py, 0, each)).collect::<PyResult<_>>()?;
        PyList::new(py, all)
    }

    fn told_overrun(&self) -> u64 {
        self.tally.tellings.overrun
    }

    fn take_told<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let all = PyList::empty(py);
        for told in self.tally.tellings.take() {
            let (name, root) = match &told.saying {
                Saying::Conn(root) => ("CONN", root.values()),
                Saying::Status(root) => ("STATUS", root.values()),
                Saying::Start(root) => ("SESSION_START", root.values()),
            };
            let info = plain::dict(py, &root)?;
            info.set_item("msg", name)?;
            info.set_item("rx_ns", told.rx_ns)?;
            info.set_item("channel", told.channel)?;
            info.set_item("venue", told.venue)?;
            info.set_item("session", told.session)?;
            info.set_item("seq", told.seq)?;
            all.append(info)?;
        }
        Ok(all)
    }

    fn take_texts(&mut self) -> Vec<(i64, String)> {
        self.tally.texts.take().map(|line| (line.rx_ns, line.text)).collect()
    }
}

fn describe<'py>(py: Python<'py>, stream: &Stream) -> PyResult<Bound<'py, PyDict>> {
    let info = PyDict::new(py);
    info.set_item("plane", u8::from(stream.is_snapshot))?;
    info.set_item("channel", stream.channel)?;
    info.set_item("venue", stream.venue)?;
    info.set_item("session", stream.session)?;
    info.set_item("sessions", stream.sessions)?;
    info.set_item("replay", stream.replay)?;
    info.set_item("test", stream.test)?;
    info.set_item("ended", stream.ended)?;
    info.set_item("split", stream.split)?;
    info.set_item("differing", stream.differing)?;
    info.set_item("frames", stream.total.frames)?;
    info.set_item("bytes", stream.total.bytes)?;
    info.set_item("last_ns", stream.total.last_ns)?;
    info.set_item("high", stream.numbers.high())?;
    info.set_item("gaps", stream.numbers.gaps)?;
    info.set_item("missing", stream.numbers.missing)?;
    info.set_item("late", stream.numbers.late)?;
    info.set_item("too_old", stream.numbers.too_old)?;
    info.set_item("old_session", stream.old_session())?;
    let heard = Line::ALL.into_iter().filter_map(|line| Some((line, stream.heard(line)?)));
    let lines = heard.map(|(line, heard)| {
        let each = PyDict::new(py);
        each.set_item("line", line as u8)?;
        each.set_item("frames", heard.total.frames)?;
        each.set_item("bytes", heard.total.bytes)?;
        each.set_item("last_ns", heard.total.last_ns)?;
        each.set_item("gaps", heard.numbers.gaps)?;
        each.set_item("missing", heard.numbers.missing)?;
        each.set_item("duplicates", heard.numbers.duplicates)?;
        each.set_item("filled", heard.filled)?;
        each.set_item("earlier", heard.earlier)?;
        Ok(each)
    });
    info.set_item("lines", lines.collect::<PyResult<Vec<_>>>()?)?;
    let heartbeat = stream.heartbeat.map(|heartbeat| plain::dict(py, &heartbeat.values())).transpose()?;
    info.set_item("heartbeat", heartbeat)?;
    let types: Vec<_> = stream
        .types()
        .map(|(number, count)| {
            (number, wire::name(number), count.frames, count.packed, count.bytes, count.last_ns)
        })
        .collect();
    info.set_item("types", types)?;
    Ok(info)
}

fn describe_instrument<'py>(py: Python<'py>, since: u64, each: &Instrument) -> PyResult<Bound<'py, PyDict>> {
    let info = PyDict::new(py);
    info.set_item("channel", each.channel)?;
    info.set_item("venue", each.venue)?;
    info.set_item("instrument", each.instrument)?;
    info.set_item("symbol", each.symbol())?;
    info.set_item("since", since)?;
    info.set_item("messages", each.messages)?;
    info.set_item("bytes", each.bytes)?;
    info.set_item("books", each.books)?;
    info.set_item("trades", each.trades)?;
    info.set_item("bbos", each.bbos)?;
    info.set_item("suspect", each.suspect)?;
    info.set_item("last_ns", each.last_ns)?;
    info.set_item("instr_seq", each.instr_seq)?;
    info.set_item("state", each.state)?;
    info.set_item("reason", each.reason)?;
    info.set_item("since_ns", each.since_ns)?;
    info.set_item("expected", each.expected)?;
    info.set_item("got", each.got)?;
    info.set_item("def_version", each.def_version)?;
    info.set_item("book_proof", each.book_proof)?;
    Ok(info)
}
