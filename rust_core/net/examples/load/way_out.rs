//! The publisher's way out, as much of it as is asked for: what each part costs shows in a case of its own.

use std::cell::Cell;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use outcrier_core::publish::arbitration::Own;
use outcrier_core::retransmit::{Limits, ServerConfig};
use outcrier_net::clock::{mono_ns, wall_ns};
use outcrier_net::log::{Log, LogConfig};
use outcrier_net::retransmit::{Service, ServiceConfig, Shared};
use outcrier_net::{Batch, Guard, LineB, Plane, PublisherConfig, UdpPublisher};

/// Rate of the line that answers may use a part of: a gigabit a second, as the product has it unless told.
const LINE_BYTES_PER_S: u64 = 125_000_000;
/// How often it is looked whether the log thread has all: far less than a disk takes.
const LOOK_EVERY: Duration = Duration::from_micros(200);

/// What is asked for beside line A.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    pub(crate) line_b: Option<Ipv4Addr>,
    /// The ear for other publishers.
    pub(crate) guard: bool,
    /// The group of the retransmit server, which keeps every frame.
    pub(crate) repair: Option<Ipv4Addr>,
    /// The folder of the log.
    pub(crate) log: Option<PathBuf>,
    /// One batch in so many is kept and not sent: consumers must ask for it.
    pub(crate) lose: Option<u64>,
}

struct Serving {
    shared: Arc<Shared>,
    service: Service,
}

/// Sockets, guard, store with its server, and log: those that are there, in the order of the product.
pub(crate) struct WayOut {
    socket: Arc<UdpPublisher>,
    guard: Option<Guard>,
    serving: Option<Serving>,
    log: Option<Log>,
    channel: u8,
    lose: Option<u64>,
    batches: Cell<u64>,
}

impl WayOut {
    pub(crate) fn open(config: &PublisherConfig, parts: &Parts, own: Own) -> Result<Self, Box<dyn Error>> {
        let config = PublisherConfig {
            line_b: parts.line_b.map(|group| LineB { interface: config.interface, group }),
            group_repair: parts.repair,
            ..config.clone()
        };
        let socket = Arc::new(UdpPublisher::open(&config)?);
        let guard = parts.guard.then(|| Guard::open(&config, None)).transpose()?;
        if let Some(guard) = &guard {
            guard.begin(own)?;
        }
        let log = parts.log.as_ref().map(|dir| Log::open(dir, &LogConfig::default())).transpose()?;
        let serving = parts.repair.map(|_| serve(config.interface, &socket, log.as_ref())).transpose()?;
        let (channel, lose) = (own.channel, parts.lose);
        Ok(Self { socket, guard, serving, log, channel, lose, batches: Cell::new(0) })
    }

    /// Lets frames leave, and keeps them.
    pub(crate) fn leave(&self, batch: &Batch) {
        let now_ns = mono_ns();
        if self.guard.as_ref().is_some_and(|guard| !guard.may_send(self.channel, now_ns)) {
            return; // They are missing at every consumer then.
        }
        self.batches.set(self.batches.get() + 1);
        if !self.lose.is_some_and(|lose| self.batches.get().is_multiple_of(lose)) {
            self.socket.send_batch(batch);
        }
        let frames = || batch.datagrams().map(|(frame, _)| frame);
        if let Some(serving) = &self.serving {
            serving.shared.keep(frames(), now_ns);
        }
        if let Some(log) = &self.log {
            log.append(wall_ns(), frames());
        }
    }

    /// Lets a frame leave that nobody asks for again.
    pub(crate) fn say(&self, frame: &[u8]) {
        self.socket.send(Plane::Incremental, frame);
    }

    /// Lowest number that can be asked for and the addresses of the server, where there is one.
    pub(crate) fn server(&self) -> Option<(Option<u64>, SocketAddrV4, SocketAddrV4)> {
        let serving = self.serving.as_ref()?;
        Some((serving.shared.oldest(self.channel), serving.service.udp(), serving.service.tcp()))
    }

    /// Waits until the log thread has taken what left.
    pub(crate) fn settle(&self) {
        while self.log.as_ref().is_some_and(|log| log.counters().queued_bytes > 0) {
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Calls that sent, on both lines.
    pub(crate) fn sends(&self) -> u64 {
        self.socket.counters().sends + self.socket.counters_b().map_or(0, |sums| sums.sends)
    }

    /// Frames that did not leave by every line, or are not in the log.
    pub(crate) fn refused(&self) -> u64 {
        let of_lines = [Some(self.socket.counters()), self.socket.counters_b()];
        let refused =
            of_lines.into_iter().flatten().map(|sums| sums.would_block + sums.oversize + sums.errors());
        refused.sum::<u64>() + self.log.as_ref().map_or(0, |log| log.counters().dropped)
    }

    /// Frames sent once more.
    pub(crate) fn sent_again(&self) -> u64 {
        self.serving.as_ref().map_or(0, |serving| {
            let sums = serving.shared.counters().server;
            sums.frames_unicast + sums.frames_repair
        })
    }
}

fn serve(
    interface: Ipv4Addr,
    socket: &Arc<UdpPublisher>,
    log: Option<&Log>,
) -> Result<Serving, Box<dyn Error>> {
    let shared = Shared::new(Limits::default())?;
    let archive = || log.map(|log| Box::new(log.archive()) as Box<_>);
    let group = Arc::clone(socket);
    let config = ServiceConfig {
        interface,
        udp_port: 0,
        tcp_port: 0,
        // Consumers of one host prove nothing to each other: no secret is needed here.
        server: ServerConfig { secret: [0; 16], line_bytes_per_s: LINE_BYTES_PER_S, keys: None },
        repair: Some(Box::new(move |frame: &[u8]| {
            group.send_repair(frame);
        })),
        archive: archive(),
        stream_archive: archive(),
    };
    let service = Service::start(config, &shared)?;
    Ok(Serving { shared, service })
}
