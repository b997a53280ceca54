//! Where frames go, and the host that a feed is given.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use outcrier_core::publish::arbitration::Own;
use outcrier_core::publish::{Host, Plane, SessionInfo};
use outcrier_core::wire::auth::{Keyring, Signer};
use outcrier_net::clock::{Clock, mono_ns};
use outcrier_net::{Added, Batch, Guard, LineB, PublisherConfig, PublisherCounters, UdpPublisher};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::outlet::{Outlet, Udp, lock};
use crate::{address, optional_address, os_error, value_error};

/// What the feeds of a publisher share.
pub(crate) struct Shared {
    outlet: Outlet,
    keys: Option<Keyring>,
    /// Frames dropped because another publisher has taken over.
    silenced: AtomicU64,
}

/// Sockets and clock of this machine, and the frames that are to leave next.
pub(crate) struct Machine {
    shared: Arc<Shared>,
    channel: u8,
    batch: Batch,
    pub(crate) clock: Clock,
}

impl Machine {
    pub(crate) fn new(publisher: &Publisher, channel: u8) -> Self {
        Self { shared: Arc::clone(&publisher.shared), channel, batch: Batch::new(), clock: Clock::new() }
    }

    /// What the frames of a session are signed with.
    pub(crate) fn signer(&self, session: u32) -> Option<Signer> {
        self.shared.keys.as_ref().map(|keys| keys.signer(self.channel, session))
    }

    /// Announces the session, before its first frame.
    pub(crate) fn begin(&self, info: &SessionInfo) -> std::io::Result<()> {
        self.shared.outlet.begin(Own {
            channel: info.channel,
            session: info.session,
            publisher_id: info.publisher_id,
            drill: info.replay || info.test,
        })
    }
}

impl Shared {
    fn leave(&self, channel: u8, batch: &Batch) {
        if !self.outlet.leave(channel, batch) {
            self.silenced.fetch_add(batch.frames() as u64, Ordering::Relaxed);
        }
    }
}

impl Host for Machine {
    fn send(&mut self, plane: Plane, frame: &[u8]) {
        let plane = match plane {
            Plane::Incremental => outcrier_net::Plane::Incremental,
            Plane::Snapshot => outcrier_net::Plane::Snapshot,
        };
        let (shared, channel) = (&self.shared, self.channel);
        if self.batch.add(plane, frame, |full| shared.leave(channel, full)) == Added::Oversize {
            shared.outlet.count_oversize();
        }
    }

    fn flush(&mut self) {
        let (shared, channel) = (&self.shared, self.channel);
        self.batch.leave(|rest| shared.leave(channel, rest));
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
    shared: Arc<Shared>,
}

impl Publisher {
    fn over(outlet: Outlet, keys: Option<Keyring>) -> Self {
        Self { shared: Arc::new(Shared { outlet, keys, silenced: AtomicU64::new(0) }) }
    }
}

/// The keys of a key file's text; empty = none.
fn keyring(text: &str) -> PyResult<Option<Keyring>> {
    if text.is_empty() { Ok(None) } else { Keyring::parse(text).map(Some).map_err(value_error) }
}

#[pymethods]
impl Publisher {
    #[staticmethod]
    #[pyo3(signature = (*, interface, group, snapshot_group, port, ttl, interface_b="", group_b="", text_group="",
                        repair_group="", keys=""))]
    fn udp(
        interface: &str,
        group: &str,
        snapshot_group: &str,
        port: u16,
        ttl: u8,
        interface_b: &str,
        group_b: &str,
        text_group: &str,
        repair_group: &str,
        keys: &str,
    ) -> PyResult<Self> {
        let interface = address("interface", interface)?;
        let other = optional_address("interface_b", interface_b)?.unwrap_or(interface);
        let config = PublisherConfig {
            interface,
            group_a: address("group", group)?,
            line_b: optional_address("group_b", group_b)?.map(|group| LineB { interface: other, group }),
            group_snapshot: address("snapshot_group", snapshot_group)?,
            group_text: optional_address("text_group", text_group)?,
            group_repair: optional_address("repair_group", repair_group)?,
            port,
            ttl,
        };
        let keys = keyring(keys)?;
        let socket = UdpPublisher::open(&config).map_err(|error| os_error(&error))?;
        let guard = Guard::open(&config, keys.clone()).map_err(|error| os_error(&error))?;
        Ok(Self::over(Outlet::Udp(Box::new(Udp { socket, guard })), keys))
    }

    #[staticmethod]
    #[pyo3(signature = (*, keys=""))]
    fn memory(keys: &str) -> PyResult<Self> {
        Ok(Self::over(Outlet::Memory(Default::default()), keyring(keys)?))
    }

    fn take<'py>(&self, py: Python<'py>) -> PyResult<Vec<(u8, Bound<'py, PyBytes>)>> {
        match &self.shared.outlet {
            Outlet::Udp(_) => Err(value_error("frames sent over UDP are not kept")),
            Outlet::Memory(kept) => {
                let kept = std::mem::take(&mut lock(kept).datagrams);
                Ok(kept.into_iter().map(|(plane, datagram)| (plane, PyBytes::new(py, &datagram))).collect())
            }
        }
    }

    fn take_texts<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyBytes>>> {
        match &self.shared.outlet {
            Outlet::Udp(_) => Err(value_error("lines sent over UDP are not kept")),
            Outlet::Memory(kept) => {
                let kept = std::mem::take(&mut lock(kept).texts);
                Ok(kept.iter().map(|line| PyBytes::new(py, line)).collect())
            }
        }
    }

    fn send_text(&self, line: &[u8]) -> bool {
        self.shared.outlet.send_text(line)
    }

    #[pyo3(signature = (channels, for_ns))]
    fn listen<'py>(
        &self,
        py: Python<'py>,
        channels: Vec<u8>,
        for_ns: u64,
    ) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let heard = py.detach(|| self.shared.outlet.listen(&channels, for_ns))?;
        heard
            .into_iter()
            .map(|heard| {
                let values = PyDict::new(py);
                values.set_item("channel", heard.channel)?;
                values.set_item("session", heard.session)?;
                values.set_item("last_seq", heard.last_seq)?;
                values.set_item("publisher_id", heard.publisher_id)?;
                values.set_item("drill", heard.drill)?;
                values.set_item("ended", heard.ended)?;
                Ok(values)
            })
            .collect()
    }

    fn superseded(&self) -> Vec<(u8, u32, u32, &'static str)> {
        let lost = self.shared.outlet.superseded();
        lost.iter().map(|lost| (lost.own.channel, lost.own.session, lost.by, lost.cause.as_str())).collect()
    }

    fn counters(&self) -> HashMap<String, u64> {
        let mut all = HashMap::new();
        for (prefix, sums) in self.shared.outlet.counters() {
            all.extend(named(&sums).map(|(name, count)| (format!("{prefix}{name}"), count)));
        }
        all.insert("silenced".to_owned(), self.shared.silenced.load(Ordering::Relaxed));
        if let Outlet::Udp(udp) = &self.shared.outlet {
            all.insert("guard_errors".to_owned(), udp.guard.errors());
            all.insert("guard_unauthentic".to_owned(), udp.guard.unauthentic());
        }
        all
    }

    fn last_error(&self) -> Option<String> {
        match &self.shared.outlet {
            Outlet::Udp(udp) => udp.socket.last_error(),
            Outlet::Memory(_) => None,
        }
    }

    fn last_error_b(&self) -> Option<String> {
        match &self.shared.outlet {
            Outlet::Udp(udp) => udp.socket.last_error_b(),
            Outlet::Memory(_) => None,
        }
    }
}

fn named(sums: &PublisherCounters) -> [(&'static str, u64); 8] {
    [
        ("frames", sums.frames),
        ("bytes", sums.bytes),
        ("sends", sums.sends),
        ("padding_bytes", sums.padding_bytes),
        ("segment_refused", sums.segment_refused),
        ("dropped_would_block", sums.would_block),
        ("oversize", sums.oversize),
        ("errors", sums.errors()),
    ]
}
