//! A service with its feed, and consumers that ask it.
#![allow(dead_code)] // Each test binary uses its part.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outcrier_core::retransmit::{Limits, ServerConfig};
use outcrier_core::wire::{RetxReply, retx_code};
use outcrier_net::clock;
use outcrier_net::retransmit::{Service, ServiceConfig, Shared};

use crate::retransmit_support::{Ask, LINE, frames, range, read_reply};

/// Longer than anything takes: a test that waits for it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What went to the repair group.
pub(crate) type Repaired = Arc<Mutex<Vec<Vec<u8>>>>;

pub(crate) struct Bench {
    pub(crate) shared: Arc<Shared>,
    pub(crate) service: Service,
    pub(crate) repaired: Repaired,
    pub(crate) sent: Vec<Vec<u8>>,
}

pub(crate) fn config() -> ServiceConfig {
    ServiceConfig {
        interface: Ipv4Addr::LOCALHOST,
        udp_port: 0,
        tcp_port: 0,
        server: ServerConfig { secret: [3; 16], line_bytes_per_s: 10 * LINE, keys: None },
        repair: None,
        archive: None,
        stream_archive: None,
    }
}

impl Bench {
    /// A service that keeps a real session; `None` where the captures are missing.
    pub(crate) fn open(limits: Limits) -> Option<Self> {
        let sent = frames(1_000, 250)?;
        let shared = Shared::new(limits).unwrap();
        shared.keep(sent.iter().map(|frame| &frame[..]), clock::mono_ns());
        let repaired = Repaired::default();
        let group = Arc::clone(&repaired);
        let repair = Box::new(move |frame: &[u8]| group.lock().unwrap().push(frame.to_vec()));
        let service = Service::start(ServiceConfig { repair: Some(repair), ..config() }, &shared).unwrap();
        Some(Self { shared, service, repaired, sent })
    }

    /// The frames of one plane, which are numbered from 1.
    pub(crate) fn plane(&self, channel: u8) -> Vec<Vec<u8>> {
        use crate::retransmit_support::header;
        use outcrier_core::wire::is_numbered;
        let is_of_it =
            |frame: &&Vec<u8>| header(frame).channel == channel && is_numbered(header(frame).msg_type);
        self.sent.iter().filter(is_of_it).cloned().collect()
    }
}

/// A consumer's socket, connected as the socket rules have it.
pub(crate) struct Consumer {
    socket: UdpSocket,
    pub(crate) cookie: u64,
}

impl Consumer {
    pub(crate) fn of(server: SocketAddrV4) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.connect(server).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, cookie: 0 }
    }

    /// With a cookie.
    pub(crate) fn proved(server: SocketAddrV4) -> Self {
        let mut consumer = Self::of(server);
        consumer.send(&Ask::new(0).frames(&[range(1, 1)]));
        let reply = read_reply(&consumer.receive()).1;
        assert_eq!(reply.code, retx_code::NEED_COOKIE);
        consumer.cookie = reply.cookie;
        consumer
    }

    pub(crate) fn send(&self, datagram: &[u8]) {
        self.socket.send(datagram).unwrap();
    }

    pub(crate) fn receive(&self) -> Vec<u8> {
        let mut datagram = [0; 2_048];
        let len = self.socket.recv(&mut datagram).unwrap();
        datagram[..len].to_vec()
    }

    /// What is there already.
    pub(crate) fn receive_now(&self) -> Option<Vec<u8>> {
        self.socket.set_nonblocking(true).unwrap();
        let mut datagram = [0; 2_048];
        let received = self.socket.recv(&mut datagram).ok();
        self.socket.set_nonblocking(false).unwrap();
        received.map(|len| datagram[..len].to_vec())
    }

    /// The reply to a request and the frames that come by unicast, of which there are `expected`.
    pub(crate) fn ask(&self, request: &[u8], expected: usize) -> (RetxReply, Vec<Vec<u8>>) {
        self.send(request);
        let reply = read_reply(&self.receive()).1;
        (reply, (0..expected).map(|_| self.receive()).collect())
    }
}

/// A consumer by TCP.
pub(crate) struct Stream(pub(crate) TcpStream);

impl Stream {
    pub(crate) fn to(server: SocketAddrV4) -> Self {
        let stream = TcpStream::connect(server).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    pub(crate) fn send(&mut self, unit: &[u8]) {
        let len = u16::try_from(unit.len()).unwrap();
        self.0.write_all(&[&len.to_le_bytes()[..], unit].concat()).unwrap();
    }

    /// The next unit, which may be a keep-alive; `None` = the stream is over.
    pub(crate) fn unit(&mut self) -> Option<Vec<u8>> {
        let mut len = [0; 2];
        self.0.read_exact(&mut len).ok()?;
        let mut unit = vec![0; usize::from(u16::from_le_bytes(len))];
        self.0.read_exact(&mut unit).ok()?;
        Some(unit)
    }

    /// The next frame.
    pub(crate) fn frame(&mut self) -> Option<Vec<u8>> {
        loop {
            match self.unit() {
                Some(unit) if unit.is_empty() => {}
                other => return other,
            }
        }
    }

    pub(crate) fn reply(&mut self) -> RetxReply {
        read_reply(&self.frame().unwrap()).1
    }
}

/// Waits until `is_so`, which something under way makes true.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end_ns = clock::mono_ns() + PATIENCE.as_nanos() as u64;
    while !is_so() {
        assert!(clock::mono_ns() < end_ns, "waited in vain: {what}");
        std::thread::yield_now();
    }
}
