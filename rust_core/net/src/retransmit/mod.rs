//! The retransmit service: frames again by UDP, history and images by TCP.
//!
//! Two threads serve. One answers datagrams ([`outcrier_core::retransmit::Server`] decides), the other has the TCP listener and
//! its connections ([`outcrier_core::retransmit::Streams`] decides), so that the disk, when history comes from the log, delays
//! nobody's repair. The feed's thread is a third one: it keeps each frame that it sent by [`Shared::keep`] and looks for wishes
//! by [`Shared::take_wants`].
//!
//! # Threads
//!
//! Nothing here is lock-free, and so nothing needs a model checker of memory orders: every value that two threads see is in a
//! [`std::sync::Mutex`] of [`Shared`], and no call holds two of them at once or calls out while it holds one, so that no order of locks
//! can be wrong. What crosses by the kernel is three eventfds, which carry no data: a ring that comes too early finds nothing,
//! and none is lost, for whoever rings has changed the value under its lock before, and whoever listens silences the bell
//! before (or under the same lock as) it looks. A thread that serves holds the store's lock for the copy of one frame.
//!
//! The threads end when the [`Service`] is dropped.

mod connection;
mod counters;
mod datagrams;
mod listener;
mod shared;
mod streams;
mod wake;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use outcrier_core::retransmit::{Archive, Server, ServerConfig, Streams};

use self::wake::Bell;
use crate::{NetError, clock};

pub use connection::{IDLE_NS, IMAGE_WAIT_NS, STALLED_NS};
pub use counters::{ConnectionCounters, DatagramCounters, ServiceCounters};
pub use listener::CONNECTIONS_MAX;
pub use shared::{IMAGE_BYTES_MAX, Shared, Units, WANTS_MAX, Want};

/// How often what is too old is given up, and what the log has is looked up.
const UPKEEP_NS: u64 = 1_000_000_000;

/// Sends one frame to the repair group; never blocks, and counts for itself.
pub type Repair = Box<dyn FnMut(&[u8]) + Send>;

/// What a service is started with.
pub struct ServiceConfig {
    /// Address of the interface that requests come in by.
    pub interface: Ipv4Addr,
    /// UDP port, if it is free; else, and for 0, any that is.
    pub udp_port: u16,
    /// TCP port, if it is free; else, and for 0, any that is.
    pub tcp_port: u16,
    /// Secret, line rate and keys.
    pub server: ServerConfig,
    /// The repair group; `None` = there is none, and all answers go to those who asked.
    pub repair: Option<Repair>,
    /// The log, for the thread of the datagrams.
    pub archive: Option<Box<dyn Archive + Send>>,
    /// The log once more, for the thread of the streams.
    pub stream_archive: Option<Box<dyn Archive + Send>>,
}

impl fmt::Debug for ServiceConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceConfig")
            .field("interface", &self.interface)
            .field("udp_port", &self.udp_port)
            .field("tcp_port", &self.tcp_port)
            .finish_non_exhaustive()
    }
}

/// The running service; its threads end when it is dropped.
#[derive(Debug)]
pub struct Service {
    udp: SocketAddrV4,
    tcp: SocketAddrV4,
    stop: Arc<Bell>,
    threads: Vec<JoinHandle<()>>,
}

impl Service {
    /// Opens the sockets and starts the threads. What is to be served is kept by [`Shared::keep`].
    ///
    /// # Errors
    ///
    /// [`NetError`] names the socket and what the system said.
    pub fn start(config: ServiceConfig, shared: &Arc<Shared>) -> Result<Service, NetError> {
        let at = |port| SocketAddrV4::new(config.interface, port);
        let refused = |what, port| move |source| NetError::Service { what, at: at(port), source };
        let (socket, udp) =
            datagrams::bind(at(config.udp_port)).map_err(refused("retransmit socket", config.udp_port))?;
        let (listener, tcp) =
            listener::bind(at(config.tcp_port)).map_err(refused("replay listener", config.tcp_port))?;
        let stop = Arc::new(Bell::new().map_err(refused("bell of the service", 0))?);
        let now_ns = clock::mono_ns();
        let datagrams = datagrams::Datagrams::new(
            socket,
            Arc::clone(shared),
            Server::new(&config.server, now_ns),
            config.repair,
            config.archive,
        );
        let streams = streams::Loop::new(
            listener,
            Arc::clone(shared),
            Streams::new(&config.server, now_ns),
            config.stream_archive,
        );
        let mut service = Service { udp, tcp, stop, threads: Vec::new() };
        let spawned = |source| NetError::Service { what: "thread of the service", at: udp, source };
        service.spawn("retransmit", |stop| datagrams.run(&stop)).map_err(spawned)?;
        service.spawn("replay", |stop| streams.run(&stop)).map_err(spawned)?;
        Ok(service)
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce(Arc<Bell>) + Send + 'static) -> io::Result<()> {
        let stop = Arc::clone(&self.stop);
        self.threads.push(Builder::new().name(name.to_owned()).spawn(move || run(stop))?);
        Ok(())
    }

    /// Where requests go by UDP.
    #[must_use]
    pub fn udp(&self) -> SocketAddrV4 {
        self.udp
    }

    /// Where requests go by TCP.
    #[must_use]
    pub fn tcp(&self) -> SocketAddrV4 {
        self.tcp
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Nobody silences this bell, so that both threads hear it.
        self.stop.ring();
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so on stderr; there is nothing left to end.
            let _ = thread.join();
        }
    }
}
