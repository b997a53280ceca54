//! What happens with frames that have left: they are kept for those who lost them, and logged.

use std::fs::File;
use std::io::{self, Read};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use outcrier_core::publish::Repair;
use outcrier_core::retransmit::{Archive, Limits, ServerConfig};
use outcrier_core::wire::auth::Keyring;
use outcrier_core::wire::manifest::{SecretKey, Signed};
use outcrier_net::Batch;
use outcrier_net::clock::wall_ns;
use outcrier_net::log::{Log, LogConfig};
use outcrier_net::retransmit::{Repair as RepairGroup, Service, ServiceConfig, ServiceCounters, Shared};
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;

use crate::{os_error, value_error};

/// How frames are served again.
pub(crate) struct Serve {
    pub(crate) interface: Ipv4Addr,
    pub(crate) udp_port: u16,
    pub(crate) tcp_port: u16,
    pub(crate) line_bytes_per_s: u64,
}

/// Where and for how long frames are logged.
pub(crate) struct Logged<'a> {
    pub(crate) dir: &'a str,
    pub(crate) segment_bytes: u64,
    pub(crate) retain_bytes: u64,
    pub(crate) retain_age_s: u64,
    pub(crate) sync_ms: u64,
    pub(crate) manifest_key: &'a str,
}

/// Store, server and log of one publisher, as far as it has them.
#[derive(Default)]
pub(crate) struct Upkeep {
    serving: Option<Serving>,
    log: Option<Log>,
}

struct Serving {
    shared: Arc<Shared>,
    service: Service,
}

impl Upkeep {
    pub(crate) fn open(
        serve: Option<&Serve>,
        logged: &Logged<'_>,
        keys: Option<Keyring>,
        repair: Option<RepairGroup>,
    ) -> PyResult<Self> {
        let log = open_log(logged)?;
        let serving = serve.map(|serve| start(serve, log.as_ref(), keys, repair)).transpose()?;
        Ok(Self { serving, log })
    }

    /// Takes a batch that has left: one lock for the store and one for the log, whatever its length.
    pub(crate) fn keep(&self, batch: &Batch, now_ns: u64) {
        let frames = || batch.datagrams().map(|(frame, _)| frame);
        if let Some(serving) = &self.serving {
            serving.shared.keep(frames(), now_ns);
        }
        if let Some(log) = &self.log
            && batch.plane() == outcrier_net::Plane::Incremental
        {
            log.append(wall_ns(), frames());
        }
    }

    /// What heartbeats of a channel say.
    pub(crate) fn repair(&self, channel: u8) -> Repair {
        self.serving.as_ref().map_or_else(Repair::default, |serving| Repair {
            ipv4: u32::from(*serving.service.udp().ip()),
            udp_port: serving.service.udp().port(),
            tcp_port: serving.service.tcp().port(),
            oldest_seq: serving.shared.oldest(channel),
        })
    }

    pub(crate) fn manifest(&self, channel: u8, session: u32) -> Option<Signed> {
        self.log.as_ref().and_then(|log| log.take_manifest(channel, session))
    }

    /// The mailbox, where there is a server.
    pub(crate) fn mailbox(&self) -> Option<&Arc<Shared>> {
        self.serving.as_ref().map(|serving| &serving.shared)
    }

    /// Ports that requests come in by, UDP and TCP; 0 = none.
    pub(crate) fn ports(&self) -> (u16, u16) {
        let service = self.serving.as_ref().map(|serving| &serving.service);
        service.map_or((0, 0), |service| (service.udp().port(), service.tcp().port()))
    }

    /// Every count with its name.
    pub(crate) fn counters(&self) -> Vec<(String, u64)> {
        let mut all = Vec::new();
        if let Some(serving) = &self.serving {
            let (frames, bytes) = serving.shared.held();
            all.extend([("store_frames".to_owned(), frames as u64), ("store_bytes".to_owned(), bytes)]);
            all.extend(service_counters(&serving.shared.counters()));
        }
        if let Some(log) = &self.log {
            let sums = log.counters();
            let recovered = log.recovered();
            all.extend(
                [
                    ("frames", sums.frames),
                    ("bytes", sums.bytes),
                    ("dropped", sums.dropped),
                    ("holes", sums.holes),
                    ("unmarked", sums.unmarked),
                    ("queued_bytes", sums.queued_bytes),
                    ("commit_ns_max", sums.commit_ns_max),
                    ("write_errors", sums.write_errors),
                    ("sync_errors", sums.sync_errors),
                    ("failing", u64::from(sums.failing)),
                    ("kept_segments", sums.kept_segments),
                    ("kept_bytes", sums.kept_bytes),
                    ("removed_segments", sums.removed_segments),
                    ("quarantined", recovered.quarantined.len() as u64),
                ]
                .map(|(name, count)| (format!("log_{name}"), count)),
            );
        }
        all
    }

    /// What the system said last of the log.
    pub(crate) fn log_error(&self) -> Option<String> {
        self.log.as_ref().and_then(Log::last_error)
    }
}

fn service_counters(sums: &ServiceCounters) -> impl Iterator<Item = (String, u64)> {
    let prefixed = |prefix: &'static str, named: Vec<(&'static str, u64)>| {
        named.into_iter().map(move |(name, count)| (format!("{prefix}{name}"), count))
    };
    let (sockets, streams) = (sums.datagrams, sums.connections);
    prefixed("retransmit_", sums.server.named())
        .chain(prefixed("replay_", sums.streams.named()))
        .chain(prefixed(
            "retransmit_",
            vec![
                ("sent", sockets.sent),
                ("dropped_would_block", sockets.would_block),
                ("send_errors", sockets.send_errors),
                ("receive_errors", sockets.receive_errors),
                ("wants_dropped", sums.wants_dropped),
            ],
        ))
        .chain(prefixed(
            "replay_",
            vec![
                ("accepted", streams.accepted),
                ("full", streams.full),
                ("accept_errors", streams.accept_errors),
                ("slow", streams.slow),
                ("fell_behind", streams.fell_behind),
                ("refused", streams.refused),
                ("without_image", streams.without_image),
                ("broken", streams.broken),
                ("frames", streams.frames),
                ("bytes", streams.bytes),
                ("answers_dropped", sums.answers_dropped),
            ],
        ))
}

fn open_log(logged: &Logged<'_>) -> PyResult<Option<Log>> {
    if logged.dir.is_empty() {
        return Ok(None);
    }
    let manifest_key = (!logged.manifest_key.is_empty())
        .then(|| SecretKey::parse(logged.manifest_key))
        .transpose()
        .map_err(value_error)?;
    let config = LogConfig {
        segment_bytes: logged.segment_bytes,
        retain_bytes: logged.retain_bytes,
        retain_age_ns: logged.retain_age_s.saturating_mul(1_000_000_000),
        sync_interval_ns: logged.sync_ms.saturating_mul(1_000_000),
        manifest_key,
        ..LogConfig::default()
    };
    let log = Log::open(Path::new(logged.dir), &config);
    log.map(Some).map_err(|error| match error.raw_os_error() {
        Some(number) => PyOSError::new_err((number, error.to_string())),
        None => PyOSError::new_err(error.to_string()),
    })
}

fn start(
    serve: &Serve,
    log: Option<&Log>,
    keys: Option<Keyring>,
    repair: Option<RepairGroup>,
) -> PyResult<Serving> {
    let shared = Shared::new(Limits::default())?;
    let archive = || log.map(|log| Box::new(log.archive()) as Box<dyn Archive + Send>);
    let server = ServerConfig { secret: secret()?, line_bytes_per_s: serve.line_bytes_per_s, keys };
    let config = ServiceConfig {
        interface: serve.interface,
        udp_port: serve.udp_port,
        tcp_port: serve.tcp_port,
        server,
        repair,
        archive: archive(),
        stream_archive: archive(),
    };
    let service = Service::start(config, &shared).map_err(|error| os_error(&error))?;
    Ok(Serving { shared, service })
}

/// Random bytes of the system: cookies must not be guessed.
fn secret() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}
