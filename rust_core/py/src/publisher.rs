//! Where frames go, and the host that a feed is given.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use outcrier_core::publish::arbitration::Own;
use outcrier_core::publish::{Host, Plane, Repair, SessionInfo};
use outcrier_core::wire::auth::{Keyring, Signer};
use outcrier_core::wire::manifest::Signed;
use outcrier_net::clock::Clock;
use outcrier_net::retransmit::{Repair as RepairGroup, Shared as Mailbox};
use outcrier_net::{Added, Batch, Guard, LineB, PublisherConfig, PublisherCounters, UdpPublisher};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::outlet::{Kept, Outlet, Udp, lock};
use crate::upkeep::{Logged, Serve, Upkeep};
use crate::{address, optional_address, os_error, value_error};

/// Rate of the line unless told: a gigabit a second.
const LINE_BYTES_PER_S: u64 = 125_000_000;
/// Bytes of a segment of the log unless told.
const LOG_SEGMENT_BYTES: u64 = 64 << 20;
/// Longest time that a frame waits for the disk unless told.
const LOG_SYNC_MS: u64 = 50;

/// What the feeds of a publisher share.
pub(crate) struct Shared {
    outlet: Outlet,
    /// `None`: frames are not signed.
    keys: Option<Mutex<Keyring>>,
    upkeep: Upkeep,
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
        let shared = Arc::clone(&publisher.shared);
        Self { shared, channel, batch: Batch::new(), clock: Clock::new() }
    }

    /// What the frames of a session are signed with.
    pub(crate) fn signer(&self, session: u32) -> Option<Signer> {
        self.shared.keys.as_ref().map(|keys| lock(keys).signer(self.channel, session))
    }

    /// The mailbox of the server, where there is one.
    pub(crate) fn mailbox(&self) -> Option<Arc<Mailbox>> {
        self.shared.upkeep.mailbox().map(Arc::clone)
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
    fn leave(&self, channel: u8, batch: &Batch, now_ns: u64) {
        if self.outlet.leave(channel, batch, now_ns) {
            self.upkeep.keep(batch, now_ns);
        } else {
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
        let (shared, channel, now_ns) = (&self.shared, self.channel, self.clock.last_ns());
        if self.batch.add(plane, frame, |full| shared.leave(channel, full, now_ns)) == Added::Oversize {
            shared.outlet.count_oversize();
        }
    }

    fn flush(&mut self) {
        let (shared, channel, now_ns) = (&self.shared, self.channel, self.clock.last_ns());
        self.batch.leave(|rest| shared.leave(channel, rest, now_ns));
    }

    fn mono_ns(&self) -> u64 {
        self.clock.mono_ns()
    }

    fn wall_ns(&mut self) -> i64 {
        self.clock.now().wall_ns
    }

    fn clock_error_ns(&mut self) -> u32 {
        self.clock.error_ns()
    }

    fn repair(&mut self, channel: u8, _session: u32) -> Repair {
        self.shared.upkeep.repair(channel)
    }

    fn manifest(&mut self, channel: u8, session: u32) -> Option<Signed> {
        self.shared.upkeep.manifest(channel, session)
    }
}

/// Where frames go: UDP multicast, or a list in memory.
#[pyclass(frozen, module = "outcrier._core")]
pub(crate) struct Publisher {
    shared: Arc<Shared>,
}

impl Publisher {
    fn over(outlet: Outlet, keys: Option<Keyring>, upkeep: Upkeep) -> Self {
        let keys = keys.map(Mutex::new);
        Self { shared: Arc::new(Shared { outlet, keys, upkeep, silenced: AtomicU64::new(0) }) }
    }
}

/// The keys of a key file's text; empty = none.
pub(crate) fn keyring(text: &str) -> PyResult<Option<Keyring>> {
    if text.is_empty() { Ok(None) } else { Keyring::parse(text).map(Some).map_err(value_error) }
}

#[pymethods]
impl Publisher {
    #[staticmethod]
    #[pyo3(signature = (*, interface, group, snapshot_group, port, ttl, interface_b="", group_b="", text_group="",
                        repair_group="", keys="", retransmit=false, retransmit_port=0, replay_port=0,
                        line_bytes_per_s=LINE_BYTES_PER_S, log_dir="", log_segment_bytes=LOG_SEGMENT_BYTES,
                        log_retain_bytes=0, log_retain_age_s=0, log_sync_ms=LOG_SYNC_MS, manifest_key="", reuse_port=false))]
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
        retransmit: bool,
        retransmit_port: u16,
        replay_port: u16,
        line_bytes_per_s: u64,
        log_dir: &str,
        log_segment_bytes: u64,
        log_retain_bytes: u64,
        log_retain_age_s: u64,
        log_sync_ms: u64,
        manifest_key: &str,
        reuse_port: bool,
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
            reuse_port,
        };
        let keys = keyring(keys)?;
        let socket = Arc::new(UdpPublisher::open(&config).map_err(|error| os_error(&error))?);
        let guard = Guard::open(&config, keys.clone()).map_err(|error| os_error(&error))?;
        let repair = config.group_repair.map(|_| {
            let socket = Arc::clone(&socket);
            Box::new(move |frame: &[u8]| {
                socket.send_repair(frame);
            }) as RepairGroup
        });
        let serve = retransmit.then_some(Serve {
            interface,
            udp_port: retransmit_port,
            tcp_port: replay_port,
            line_bytes_per_s,
        });
        let logged = Logged {
            dir: log_dir,
            segment_bytes: log_segment_bytes,
            retain_bytes: log_retain_bytes,
            retain_age_s: log_retain_age_s,
            sync_ms: log_sync_ms,
            manifest_key,
        };
        let upkeep = Upkeep::open(serve.as_ref(), &logged, keys.clone(), repair)?;
        Ok(Self::over(Outlet::Udp(Box::new(Udp { socket, guard })), keys, upkeep))
    }

    #[staticmethod]
    #[pyo3(signature = (*, keys="", retransmit=false, log_dir="", manifest_key="", bytes_max=0))]
    fn memory(
        keys: &str,
        retransmit: bool,
        log_dir: &str,
        manifest_key: &str,
        bytes_max: usize,
    ) -> PyResult<Self> {
        let keys = keyring(keys)?;
        let serve = retransmit.then_some(Serve {
            interface: Ipv4Addr::LOCALHOST,
            udp_port: 0,
            tcp_port: 0,
            line_bytes_per_s: LINE_BYTES_PER_S,
        });
        let logged = Logged {
            dir: log_dir,
            segment_bytes: LOG_SEGMENT_BYTES,
            retain_bytes: 0,
            retain_age_s: 0,
            sync_ms: LOG_SYNC_MS,
            manifest_key,
        };
        let upkeep = Upkeep::open(serve.as_ref(), &logged, keys.clone(), None)?;
        Ok(Self::over(Outlet::Memory(Mutex::new(Kept::new(bytes_max))), keys, upkeep))
    }

    fn change_keys(&self, keys: &str) -> PyResult<()> {
        let (Some(current), Some(new)) = (&self.shared.keys, keyring(keys)?) else {
            return Err(value_error("a publisher signs from its start to its end, or not at all"));
        };
        // Who asks or speaks with the new keys must be understood before anybody can have heard of them.
        self.shared.outlet.change_keys(new.clone());
        if let Some(mailbox) = self.shared.upkeep.mailbox() {
            mailbox.change_keys(new.clone());
        }
        *lock(current) = new;
        Ok(())
    }

    fn wakeup_fileno(&self) -> i32 {
        self.shared.upkeep.mailbox().map_or(-1, |mailbox| mailbox.wake_fd())
    }

    fn retransmit_ports(&self) -> (u16, u16) {
        self.shared.upkeep.ports()
    }

    fn log_error(&self) -> Option<String> {
        self.shared.upkeep.log_error()
    }

    fn take<'py>(&self, py: Python<'py>) -> PyResult<Vec<(u8, Bound<'py, PyBytes>)>> {
        match &self.shared.outlet {
            Outlet::Udp(_) => Err(value_error("frames sent over UDP are not kept")),
            Outlet::Memory(kept) => {
                Ok(lock(kept).take(|plane, datagram| (plane, PyBytes::new(py, datagram))))
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
        all.extend(self.shared.upkeep.counters());
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
