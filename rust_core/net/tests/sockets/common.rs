//! Groups and ports that no other test uses, and reads that wait.

use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, UdpSocket};

use outcrier_net::{Datagram, PublisherConfig, RECEIVE_BUFFER_BYTES, SubscriberConfig, UdpSubscriber, wait};

/// A datagram over loopback takes microseconds; this is the patience of a test on a machine under load.
const PATIENCE_NS: u64 = 5_000_000_000;

/// Line A group, snapshot group and port, drawn anew for each test.
pub(crate) fn draw() -> PublisherConfig {
    let bits = RandomState::new().hash_one("group").to_le_bytes();
    let third = 200 + bits[0] % 50;
    let fourth = 1 + bits[1] % 120;
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    PublisherConfig {
        interface: Ipv4Addr::LOCALHOST,
        group_a: Ipv4Addr::new(239, 192, third, fourth),
        group_snapshot: Ipv4Addr::new(239, 192, third, fourth + 120),
        port,
        ttl: 0,
    }
}

/// A listener to line A of `to`.
pub(crate) fn line_a(to: &PublisherConfig) -> SubscriberConfig {
    SubscriberConfig {
        interface: to.interface,
        group: to.group_a,
        port: to.port,
        rcvbuf_bytes: 1 << 19,
        sources: Vec::new(),
    }
}

/// The next datagram, waited for.
pub(crate) fn next(subscriber: &mut UdpSubscriber) -> Option<(Vec<u8>, Datagram)> {
    if wait(&[subscriber.fd().unwrap()], PATIENCE_NS).unwrap() == 0 {
        return None;
    }
    let mut buffer = [0; RECEIVE_BUFFER_BYTES];
    let datagram = subscriber.recv(&mut buffer).unwrap()?;
    Some((buffer[..datagram.len].to_vec(), datagram))
}

/// The bytes of everything that is there now.
pub(crate) fn drain(subscriber: &mut UdpSubscriber) -> Vec<Vec<u8>> {
    let mut buffer = [0; RECEIVE_BUFFER_BYTES];
    let mut all = Vec::new();
    while let Some(datagram) = subscriber.recv(&mut buffer).unwrap() {
        all.push(buffer[..datagram.len].to_vec());
    }
    all
}
