//! Where frames go, and the host that a feed is given.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use outcrier_core::publish::{Host, Plane};
use outcrier_net::clock::{Clock, mono_ns};
use outcrier_net::{Added, Batch, PublisherConfig, PublisherCounters, UdpPublisher};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::{address, os_error, value_error};

/// A way out for frames.
pub(crate) enum Outlet {
    Udp(Box<UdpPublisher>),
    Memory(Mutex<Kept>),
}

#[derive(Default)]
pub(crate) struct Kept {
    datagrams: Vec<(u8, Vec<u8>)>,
    sums: PublisherCounters,
}

impl Outlet {
    /// Frames that leave together.
    fn leave(&self, batch: &Batch) {
        match self {
            Self::Udp(socket) => socket.send_batch(batch), // The socket counts what the kernel refuses.
            Self::Memory(kept) => {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.sums.sends += 1;
                for (frame, padding) in batch.datagrams() {
                    kept.sums.frames += 1;
                    kept.sums.bytes += frame.len() as u64;
                    kept.sums.padding_bytes += padding.len() as u64;
                    kept.datagrams.push((batch.plane() as u8, [frame, padding].concat()));
                }
            }
        }
    }

    fn count_oversize(&self) {
        match self {
            Self::Udp(socket) => socket.count_oversize(),
            Self::Memory(kept) => kept.lock().unwrap_or_else(PoisonError::into_inner).sums.oversize += 1,
        }
    }

    fn counters(&self) -> PublisherCounters {
        match self {
            Self::Udp(socket) => socket.counters(),
            Self::Memory(kept) => kept.lock().unwrap_or_else(PoisonError::into_inner).sums,
        }
    }
}

/// Sockets and clock of this machine, and the frames that are to leave next.
pub(crate) struct Machine {
    outlet: Arc<Outlet>,
    batch: Batch,
    pub(crate) clock: Clock,
}

impl Machine {
    pub(crate) fn new(publisher: &Publisher) -> Self {
        Self { outlet: Arc::clone(&publisher.outlet), batch: Batch::new(), clock: Clock::new() }
    }
}

impl Host for Machine {
    fn send(&mut self, plane: Plane, frame: &[u8]) {
        let plane = match plane {
            Plane::Incremental => outcrier_net::Plane::Incremental,
            Plane::Snapshot => outcrier_net::Plane::Snapshot,
        };
        let outlet = &self.outlet;
        if self.batch.add(plane, frame, |full| outlet.leave(full)) == Added::Oversize {
            outlet.count_oversize();
        }
    }

    fn flush(&mut self) {
        let outlet = &self.outlet;
        self.batch.leave(|rest| outlet.leave(rest));
    }

    fn mono_ns(&self) -> u64 {
        mono_ns()
    }

    fn wall_ns(&mut self) -> i64 {
        self.clock.now().wall_ns
    }

    fn clock_error_ns(&mut self) -> u32 {
        self.clock.error_ns()
    }
}

/// Where frames go: UDP multicast, or a list in memory.
#[pyclass(frozen, module = "outcrier._core")]
pub(crate) struct Publisher {
    outlet: Arc<Outlet>,
}

#[pymethods]
impl Publisher {
    #[staticmethod]
    #[pyo3(signature = (*, interface, group, snapshot_group, port, ttl))]
    fn udp(interface: &str, group: &str, snapshot_group: &str, port: u16, ttl: u8) -> PyResult<Self> {
        let config = PublisherConfig {
            interface: address("interface", interface)?,
            group_a: address("group", group)?,
            group_snapshot: address("snapshot_group", snapshot_group)?,
            port,
            ttl,
        };
        let socket = UdpPublisher::open(&config).map_err(|error| os_error(&error))?;
        Ok(Self { outlet: Arc::new(Outlet::Udp(Box::new(socket))) })
    }

    #[staticmethod]
    fn memory() -> Self {
        Self { outlet: Arc::new(Outlet::Memory(Mutex::default())) }
    }

    fn take<'py>(&self, py: Python<'py>) -> PyResult<Vec<(u8, Bound<'py, PyBytes>)>> {
        match &*self.outlet {
            Outlet::Udp(_) => Err(value_error("frames sent over UDP are not kept")),
            Outlet::Memory(kept) => {
                let kept = std::mem::take(&mut kept.lock().unwrap_or_else(PoisonError::into_inner).datagrams);
                Ok(kept.into_iter().map(|(plane, datagram)| (plane, PyBytes::new(py, &datagram))).collect())
            }
        }
    }

    fn counters(&self) -> HashMap<&'static str, u64> {
        let sums = self.outlet.counters();
        HashMap::from([
            ("frames", sums.frames),
            ("bytes", sums.bytes),
            ("sends", sums.sends),
            ("padding_bytes", sums.padding_bytes),
            ("segment_refused", sums.segment_refused),
            ("dropped_would_block", sums.would_block),
            ("oversize", sums.oversize),
            ("errors", sums.errors()),
        ])
    }

    fn last_error(&self) -> Option<String> {
        match &*self.outlet {
            Outlet::Udp(socket) => socket.last_error(),
            Outlet::Memory(_) => None,
        }
    }
}
