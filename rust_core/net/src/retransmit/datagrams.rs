//! The thread that answers datagrams.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;

use outcrier_core::publish::Arrival;
use outcrier_core::retransmit::{Answers, Archive, Frames, Server, SnapWanted};
use outcrier_core::wire::CHANNEL_NUMBER;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::counters::DatagramCounters;
use super::shared::Shared;
use super::wake::Bell;
use super::{Repair, UPKEEP_NS};
use crate::{clock, wait};

/// Buffers asked of the kernel, in bytes: it doubles them. A request is charged 832 B, so that 2,500 may wait; 900 full
/// frames may be on their way out.
const BUFFER_BYTES: usize = 1 << 20;

/// Room for a datagram: one longer than a frame may be is seen to be too long.
const DATAGRAM_ROOM: usize = 2_048;

/// Requests answered before the bell and the upkeep have their turn.
const REQUESTS_PER_TURN: usize = 64;

/// A socket of the service at `at`, or at any port where that one is taken.
pub(super) fn bind(at: SocketAddrV4) -> io::Result<(UdpSocket, SocketAddrV4)> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM.nonblocking().cloexec(), Some(Protocol::UDP))?;
    socket.set_recv_buffer_size(BUFFER_BYTES)?;
    socket.set_send_buffer_size(BUFFER_BYTES)?;
    bind_or_any(&socket, at)?;
    let socket = UdpSocket::from(socket);
    let bound = address(socket.local_addr()?)?;
    Ok((socket, bound))
}

/// Binds to the port, or to any where that one is taken.
pub(super) fn bind_or_any(socket: &Socket, at: SocketAddrV4) -> io::Result<()> {
    match socket.bind(&SockAddr::from(at)) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            socket.bind(&SockAddr::from(SocketAddrV4::new(*at.ip(), 0)))
        }
        bound => bound,
    }
}

/// The sockets here are of IPv4.
pub(super) fn address(address: SocketAddr) -> io::Result<SocketAddrV4> {
    match address {
        SocketAddr::V4(address) => Ok(address),
        SocketAddr::V6(_) => Err(io::Error::from(ErrorKind::Unsupported)),
    }
}

/// The socket and what answers.
pub(super) struct Datagrams {
    socket: UdpSocket,
    shared: Arc<Shared>,
    server: Server,
    repair: Option<Repair>,
    archive: Option<Box<dyn Archive + Send>>,
    counters: DatagramCounters,
    upkeep_due_ns: u64,
    /// Changes of keys that were taken.
    keys_seen: u64,
}

impl Datagrams {
    pub(super) fn new(
        socket: UdpSocket,
        shared: Arc<Shared>,
        server: Server,
        repair: Option<Repair>,
        archive: Option<Box<dyn Archive + Send>>,
    ) -> Self {
        let counters = DatagramCounters::default();
        Self { socket, shared, server, repair, archive, counters, upkeep_due_ns: 0, keys_seen: 0 }
    }

    /// Answers until the bell rings.
    pub(super) fn run(mut self, stop: &Bell) {
        let sockets = [self.socket.as_raw_fd(), stop.fd()];
        loop {
            let now_ns = clock::mono_ns();
            if now_ns >= self.upkeep_due_ns {
                self.upkeep_due_ns = now_ns + UPKEEP_NS;
                self.upkeep(now_ns);
            }
            // An interrupted wait is a turn with nothing to do.
            let ready = wait(&sockets, self.upkeep_due_ns.saturating_sub(now_ns)).unwrap_or(0);
            if ready & 0b10 != 0 {
                return;
            }
            if ready & 0b01 != 0 {
                self.turn();
            }
            self.tell();
        }
    }

    /// Answers what has come.
    fn turn(&mut self) {
        let mut datagram = [0; DATAGRAM_ROOM];
        for _ in 0..REQUESTS_PER_TURN {
            match self.socket.recv_from(&mut datagram) {
                Ok((len, SocketAddr::V4(from))) => self.answer(from, &datagram[..len]),
                Ok((_, SocketAddr::V6(_))) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.counters.receive_errors += 1,
            }
        }
    }

    fn answer(&mut self, from: SocketAddrV4, datagram: &[u8]) {
        // Now, not before it was read: who heard of new keys may ask under them in the middle of a turn.
        if let Some(keys) = self.shared.take_keys(&mut self.keys_seen) {
            self.server.change_keys(keys);
        }
        let at = Arrival { recv_ts: clock::wall_ns(), mono_ns: clock::mono_ns() };
        let mut out = Out {
            socket: &self.socket,
            shared: &self.shared,
            repair: self.repair.as_mut(),
            asker: from,
            counters: &mut self.counters,
        };
        let archive = self.archive.as_deref_mut().map(|archive| archive as &mut dyn Archive);
        self.server.on_request(from, datagram, at, &*self.shared, archive, &mut out);
    }

    fn upkeep(&mut self, now_ns: u64) {
        self.shared.trim(now_ns);
        let Some(archive) = &mut self.archive else { return };
        for channel in 1..=CHANNEL_NUMBER {
            if let Some(session) = Frames::session(&*self.shared, channel) {
                self.shared.set_archived(channel, session, archive.oldest(channel, session));
            }
        }
    }

    fn tell(&self) {
        self.shared.update(|counters| {
            counters.server = self.server.counters();
            counters.refusals = *self.server.refusals();
            counters.datagrams = self.counters;
        });
    }
}

/// Where the server's answers go.
struct Out<'a> {
    socket: &'a UdpSocket,
    shared: &'a Shared,
    repair: Option<&'a mut Repair>,
    asker: SocketAddrV4,
    counters: &'a mut DatagramCounters,
}

impl Answers for Out<'_> {
    fn unicast(&mut self, to: SocketAddrV4, bytes: &[u8]) {
        let counter = match self.socket.send_to(bytes, to) {
            Ok(_) => &mut self.counters.sent,
            Err(error) if error.kind() == ErrorKind::WouldBlock => &mut self.counters.would_block,
            Err(_) => &mut self.counters.send_errors,
        };
        *counter += 1;
    }

    fn repair(&mut self, bytes: &[u8]) {
        match &mut self.repair {
            Some(repair) => repair(bytes),
            None => self.unicast(self.asker, bytes),
        }
    }

    fn want(&mut self, wanted: &SnapWanted<'_>) {
        let wants = wanted.wants.collect();
        self.shared.want_head(wanted.channel, wanted.session, wanted.venue, wants);
    }
}
