//! Where frames go, and the host that a feed is given.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use outcrier_core::publish::{Host, Plane};
use outcrier_net::clock::{Clock, mono_ns};
use outcrier_net::{PublisherConfig, UdpPublisher};
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
    frames: Vec<(u8, Vec<u8>)>,
    total_frames: u64,
    total_bytes: u64,
}

impl Outlet {
    fn send(&self, plane: Plane, frame: &[u8]) {
        match self {
            Self::Udp(socket) => {
                let plane = match plane {
                    Plane::Incremental => outcrier_net::Plane::Incremental,
                    Plane::Snapshot => outcrier_net::Plane::Snapshot,
                };
                socket.send(plane, frame); // The socket counts what the kernel refuses.
            }
            Self::Memory(kept) => {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.total_frames += 1;
                kept.total_bytes += frame.len() as u64;
                kept.frames.push((plane as u8, frame.to_vec()));
            }
        }
    }
}

/// Sockets and clock of this machine.
pub(crate) struct Machine {
    outlet: Arc<Outlet>,
    pub(crate) clock: Clock,
}

impl Machine {
    pub(crate) fn new(publisher: &Publisher) -> Self {
        Self { outlet: Arc::clone(&publisher.outlet), clock: Clock::new() }
    }
}

impl Host for Machine {
    fn send(&mut self, plane: Plane, frame: &[u8]) {
        self.outlet.send(plane, frame);
    }

    fn flush(&mut self) {}

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
                let frames = std::mem::take(&mut kept.lock().unwrap_or_else(PoisonError::into_inner).frames);
                Ok(frames.into_iter().map(|(plane, frame)| (plane, PyBytes::new(py, &frame))).collect())
            }
        }
    }

    fn counters(&self) -> HashMap<&'static str, u64> {
        match &*self.outlet {
            Outlet::Udp(socket) => {
                let sums = socket.counters();
                HashMap::from([
                    ("frames", sums.frames),
                    ("bytes", sums.bytes),
                    ("dropped_would_block", sums.would_block),
                    ("oversize", sums.oversize),
                    ("errors", sums.errors()),
                ])
            }
            Outlet::Memory(kept) => {
                let kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                HashMap::from([
                    ("frames", kept.total_frames),
                    ("bytes", kept.total_bytes),
                    ("dropped_would_block", 0),
                    ("oversize", 0),
                    ("errors", 0),
                ])
            }
        }
    }

    fn last_error(&self) -> Option<String> {
        match &*self.outlet {
            Outlet::Udp(socket) => socket.last_error(),
            Outlet::Memory(_) => None,
        }
    }
}
