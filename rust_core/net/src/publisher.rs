//! Frames out: one datagram each, to the groups of a feed, never waiting for anybody.

use std::io;
use std::net::SocketAddrV4;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::error::check_endpoint;
use crate::{DATAGRAM_BYTES_MAX, Endpoint, NetError, Plane, PublisherConfig, PublisherCounters, Sent};

/// Send buffer asked of the kernel, in bytes; it doubles it. 2,304 B are charged for a datagram of 1,400 B, so
/// the buffer takes 1,800 full frames (a book of 70,000 levels a side in one go) while the interface is busy.
const SNDBUF_BYTES: usize = 2 << 20;

/// A multicast sender. One non-blocking socket serves every plane, so frames of one caller leave in order.
///
/// Sending takes `&self` and counts in atomics: threads may share it, each frame is one system call.
#[derive(Debug)]
pub struct UdpPublisher {
    socket: Socket,
    targets: [SockAddr; 2],
    sndbuf_bytes: usize,
    counters: Counters,
}

#[derive(Debug, Default)]
struct Counters {
    frames: AtomicU64,
    bytes: AtomicU64,
    would_block: AtomicU64,
    oversize: AtomicU64,
    unreachable: AtomicU64,
    no_memory: AtomicU64,
    not_permitted: AtomicU64,
    other_errors: AtomicU64,
    /// Error number of the last refused send; 0 = none yet. Its text is made when somebody asks.
    last_errno: AtomicI32,
}

impl UdpPublisher {
    /// Opens the socket and asks the system for its way to both groups, so that what is wrong is said now and
    /// not with the first frame.
    ///
    /// # Errors
    /// [`NetError`] names group, interface, port and what the system said.
    pub fn open(config: &PublisherConfig) -> Result<UdpPublisher, NetError> {
        if config.ttl > 1 {
            return Err(NetError::Ttl { ttl: config.ttl });
        }
        let endpoint = |group| Endpoint { group, interface: config.interface, port: config.port };
        for group in [config.group_a, config.group_snapshot] {
            check_endpoint(endpoint(group))?;
            probe_route(config, endpoint(group))?;
        }
        let at = endpoint(config.group_a);
        let socket = sending_socket(config, at)?;
        let asked = |step| move |source| NetError::from_os(at, step, source);
        socket.set_send_buffer_size(SNDBUF_BYTES).map_err(asked("set the send buffer"))?;
        // Nobody reads this socket; the kernel raises 0 to its least buffer.
        socket.set_recv_buffer_size(0).map_err(asked("set the receive buffer"))?;
        let sndbuf_bytes = socket.send_buffer_size().map_err(asked("read the send buffer"))?;
        let target = |group| SockAddr::from(SocketAddrV4::new(group, config.port));
        Ok(UdpPublisher {
            socket,
            targets: [target(config.group_a), target(config.group_snapshot)],
            sndbuf_bytes,
            counters: Counters::default(),
        })
    }

    /// Sends `frame` as one datagram, or drops and counts it. Never blocks.
    pub fn send(&self, plane: Plane, frame: &[u8]) -> Sent {
        if frame.len() > DATAGRAM_BYTES_MAX {
            self.counters.oversize.fetch_add(1, Ordering::Relaxed);
            return Sent::Oversize;
        }
        let target = &self.targets[plane as usize];
        match self.socket.send_to_with_flags(frame, target, libc::MSG_DONTWAIT) {
            Ok(_) => {
                self.counters.frames.fetch_add(1, Ordering::Relaxed);
                self.counters.bytes.fetch_add(frame.len() as u64, Ordering::Relaxed);
                Sent::Sent
            }
            Err(error) => self.counters.count_error(&error),
        }
    }

    /// What was sent, dropped and refused since `open`.
    pub fn counters(&self) -> PublisherCounters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let own = &self.counters;
        PublisherCounters {
            frames: read(&own.frames),
            bytes: read(&own.bytes),
            would_block: read(&own.would_block),
            oversize: read(&own.oversize),
            unreachable: read(&own.unreachable),
            no_memory: read(&own.no_memory),
            not_permitted: read(&own.not_permitted),
            other_errors: read(&own.other_errors),
        }
    }

    /// The system's words for the last send it refused. A full buffer is not among these.
    pub fn last_error(&self) -> Option<String> {
        match self.counters.last_errno.load(Ordering::Relaxed) {
            0 => None,
            number => Some(io::Error::from_raw_os_error(number).to_string()),
        }
    }

    /// Send buffer as read back, in the kernel's accounting.
    pub fn effective_sndbuf(&self) -> usize {
        self.sndbuf_bytes
    }
}

impl Counters {
    fn count_error(&self, error: &io::Error) -> Sent {
        let number = error.raw_os_error().unwrap_or(libc::EIO);
        let counter = match number {
            libc::EAGAIN => {
                self.would_block.fetch_add(1, Ordering::Relaxed);
                return Sent::WouldBlock;
            }
            libc::ENETUNREACH | libc::EHOSTUNREACH | libc::ENETDOWN | libc::ENODEV | libc::EADDRNOTAVAIL => {
                &self.unreachable
            }
            libc::ENOBUFS | libc::ENOMEM => &self.no_memory,
            libc::EPERM | libc::EACCES => &self.not_permitted,
            _ => &self.other_errors,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        self.last_errno.store(number, Ordering::Relaxed);
        Sent::Failed(number)
    }
}

/// A socket that sends to multicast groups by the configured interface.
fn sending_socket(config: &PublisherConfig, at: Endpoint) -> Result<Socket, NetError> {
    let asked = |step| move |source| NetError::from_os(at, step, source);
    let socket = Socket::new(Domain::IPV4, Type::DGRAM.nonblocking().cloexec(), Some(Protocol::UDP))
        .map_err(asked("create a socket"))?;
    socket.set_multicast_if_v4(&config.interface).map_err(asked("send by the interface"))?;
    socket.set_multicast_ttl_v4(u32::from(config.ttl)).map_err(asked("set the TTL"))?;
    // Without loopback the consumers on this host hear nothing on a real interface (socket rule 5).
    socket.set_multicast_loop_v4(true).map_err(asked("set multicast loopback"))?;
    Ok(socket)
}

/// Connecting a datagram socket sends nothing, and makes the system look for its way to the group.
fn probe_route(config: &PublisherConfig, at: Endpoint) -> Result<(), NetError> {
    let target = SockAddr::from(SocketAddrV4::new(at.group, at.port));
    sending_socket(config, at)?
        .connect(&target)
        .map_err(|source| NetError::from_os(at, "find a way to the group", source))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn config(ttl: u8) -> PublisherConfig {
        PublisherConfig {
            interface: Ipv4Addr::LOCALHOST,
            group_a: Ipv4Addr::new(239, 192, 200, 1),
            group_snapshot: Ipv4Addr::new(239, 192, 200, 3),
            port: 9_001,
            ttl,
        }
    }

    #[test]
    fn socket_has_the_options_of_the_rules() {
        for ttl in [0, 1] {
            let publisher = UdpPublisher::open(&config(ttl)).unwrap();
            assert_eq!(publisher.socket.multicast_ttl_v4().unwrap(), u32::from(ttl));
            assert_eq!(publisher.socket.multicast_if_v4().unwrap(), Ipv4Addr::LOCALHOST);
            assert!(publisher.socket.multicast_loop_v4().unwrap());
            assert!(publisher.socket.nonblocking().unwrap());
            assert_eq!(publisher.effective_sndbuf(), publisher.socket.send_buffer_size().unwrap());
            assert!(publisher.effective_sndbuf() > 0);
        }
    }

    #[test]
    fn errors_are_counted_by_what_they_mean() {
        let publisher = UdpPublisher::open(&config(0)).unwrap();
        assert_eq!(publisher.last_error(), None);
        let count = |number| publisher.counters.count_error(&io::Error::from_raw_os_error(number));
        assert_eq!(count(libc::EAGAIN), Sent::WouldBlock);
        assert_eq!(publisher.last_error(), None);
        for number in [libc::ENETDOWN, libc::ENETUNREACH, libc::ENOBUFS, libc::EINVAL, libc::EPERM] {
            assert_eq!(count(number), Sent::Failed(number));
        }
        let expected = PublisherCounters {
            would_block: 1,
            unreachable: 2,
            no_memory: 1,
            not_permitted: 1,
            other_errors: 1,
            ..PublisherCounters::default()
        };
        assert_eq!(publisher.counters(), expected);
        assert_eq!(publisher.counters().errors(), 5);
        assert_eq!(publisher.last_error(), Some(io::Error::from_raw_os_error(libc::EPERM).to_string()));
    }
}
