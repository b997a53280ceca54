//! `Monitor`: what is on the wire in numbers, by two sockets that stay joined.

use outcrier_core::receive::Line;
use outcrier_core::tally::{Stream, Tally};
use outcrier_core::wire::{self, Refusal};
use outcrier_net::clock::mono_ns;
use outcrier_net::{ReceiveBuffers, SubscriberConfig, UdpSubscriber};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::{address, line, os_error};

/// Datagrams read from one socket before the other one has its turn: neither starves.
const TURN_DATAGRAMS: usize = 4_096;

/// One plane: its socket.
struct Plane {
    line: Line,
    socket: UdpSubscriber,
}

/// Counts of both planes.
#[pyclass(module = "outcrier._core")]
pub(crate) struct Monitor {
    tally: Tally,
    planes: Vec<Plane>,
    truncated: u64,
    buffers: ReceiveBuffers,
}

impl Monitor {
    /// Reads what has arrived, a turn each; `false` if there was nothing.
    fn drain(&mut self) -> std::io::Result<bool> {
        let mut any = false;
        for plane in &mut self.planes {
            let mut read = 0;
            while read < TURN_DATAGRAMS {
                let received = plane.socket.recv(&mut self.buffers, |datagram| {
                    self.truncated += u64::from(datagram.truncated);
                    self.tally.on_datagram(plane.line, datagram.bytes, datagram.kernel_ts_ns);
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

    fn listen_until(&mut self, end_ns: u64) -> std::io::Result<()> {
        let sockets: Vec<_> = self.planes.iter().filter_map(|plane| plane.socket.fd()).collect();
        loop {
            let is_empty = !self.drain()?;
            let left_ns = end_ns.saturating_sub(mono_ns());
            if left_ns == 0 {
                return Ok(());
            }
            if is_empty && outcrier_net::wait(&sockets, left_ns)? == 0 {
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
        Self { tally: Tally::default(), planes: Vec::new(), truncated: 0, buffers: ReceiveBuffers::new() }
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
        let open = |line, group| {
            let config = SubscriberConfig {
                interface,
                group,
                port,
                rcvbuf_bytes,
                sources: Vec::new(),
                reuse_port: false,
            };
            let socket = UdpSubscriber::open(&config).map_err(|error| os_error(&error))?;
            PyResult::Ok(Plane { line, socket })
        };
        self.planes = vec![
            open(Line::A, address("group", group)?)?,
            open(Line::Snapshot, address("snapshot_group", snapshot_group)?)?,
        ];
        Ok(())
    }

    fn close(&mut self) {
        self.planes.clear();
    }

    fn effective_rcvbuf(&self) -> usize {
        self.planes.first().map_or(0, |plane| plane.socket.effective_rcvbuf())
    }

    fn listen(&mut self, py: Python<'_>, timeout_ns: u64) -> PyResult<()> {
        let end_ns = mono_ns().saturating_add(timeout_ns);
        py.detach(|| self.listen_until(end_ns)).map_err(PyErr::from)
    }

    fn datagram(&mut self, plane: u8, data: &[u8], rx_ns: i64) -> PyResult<()> {
        self.tally.on_datagram(line(plane)?, data, rx_ns);
        Ok(())
    }

    fn plane<'py>(&mut self, py: Python<'py>, plane: u8) -> PyResult<Bound<'py, PyDict>> {
        let line = line(plane)?;
        let open = self.planes.iter_mut().find(|each| each.line == line);
        let kernel_drops = open.map_or(0, |each| each.socket.meminfo_drops());
        let count = self.tally.plane(line);
        let all = PyDict::new(py);
        all.set_item("datagrams", count.datagrams)?;
        all.set_item("bytes", count.bytes)?;
        all.set_item("padding_bytes", count.padding_bytes)?;
        all.set_item("kernel_drops", kernel_drops)?;
        all.set_item("wrong_plane", count.wrong_plane)?;
        all.set_item("unknown_type", count.unknown_type)?;
        for refusal in Refusal::ALL {
            all.set_item(format!("refused_{refusal}"), count.refused[refusal as usize])?;
        }
        Ok(all)
    }

    fn truncated(&self) -> u64 {
        self.truncated
    }

    fn streams<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let all: Vec<_> = self.tally.streams().map(|stream| describe(py, stream)).collect::<PyResult<_>>()?;
        PyList::new(py, all)
    }
}

fn describe<'py>(py: Python<'py>, stream: &Stream) -> PyResult<Bound<'py, PyDict>> {
    let info = PyDict::new(py);
    info.set_item("plane", stream.line as u8)?;
    info.set_item("channel", stream.channel)?;
    info.set_item("venue", stream.venue)?;
    info.set_item("session", stream.session)?;
    info.set_item("sessions", stream.sessions)?;
    info.set_item("replay", stream.replay)?;
    info.set_item("test", stream.test)?;
    info.set_item("ended", stream.ended)?;
    info.set_item("frames", stream.total.frames)?;
    info.set_item("bytes", stream.total.bytes)?;
    info.set_item("last_ns", stream.total.last_ns)?;
    info.set_item("gaps", stream.gaps)?;
    info.set_item("missing", stream.missing)?;
    info.set_item("late", stream.late)?;
    info.set_item("duplicates", stream.duplicates)?;
    info.set_item("too_old", stream.too_old)?;
    info.set_item("old_session", stream.old_session)?;
    let types: Vec<_> = stream
        .types()
        .map(|(number, count)| {
            (number, wire::name(number), count.frames, count.packed, count.bytes, count.last_ns)
        })
        .collect();
    info.set_item("types", types)?;
    Ok(info)
}
