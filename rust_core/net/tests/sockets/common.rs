//! Groups and ports that no other test uses, and reads.

use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, UdpSocket};

use outcrier_net::{Datagram, LineB, PublisherConfig, ReceiveBuffers, SubscriberConfig, UdpSubscriber};

/// Groups and port, drawn anew for each test.
pub(crate) fn draw() -> PublisherConfig {
    let bits = RandomState::new().hash_one("group").to_le_bytes();
    let third = 200 + bits[0] % 50;
    let fourth = 1 + bits[1] % 50;
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    PublisherConfig {
        interface: Ipv4Addr::LOCALHOST,
        group_a: Ipv4Addr::new(239, 192, third, fourth),
        line_b: Some(LineB {
            interface: Ipv4Addr::LOCALHOST,
            group: Ipv4Addr::new(239, 192, third, fourth + 50),
        }),
        group_snapshot: Ipv4Addr::new(239, 192, third, fourth + 100),
        group_text: Some(Ipv4Addr::new(239, 192, third, fourth + 150)),
        group_repair: Some(Ipv4Addr::new(239, 192, third, fourth + 200)),
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

/// A datagram and what came with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arrived {
    pub(crate) bytes: Vec<u8>,
    pub(crate) kernel_ts_ns: i64,
    pub(crate) truncated: bool,
}

/// Everything that is there now.
pub(crate) fn drain_all(subscriber: &mut UdpSubscriber) -> Vec<Arrived> {
    let mut buffers = ReceiveBuffers::new();
    let mut all = Vec::new();
    loop {
        let before = all.len();
        let keep = |datagram: Datagram<'_>| {
            all.push(Arrived {
                bytes: datagram.bytes.to_vec(),
                kernel_ts_ns: datagram.kernel_ts_ns,
                truncated: datagram.truncated,
            });
        };
        let received = subscriber.recv(&mut buffers, keep).unwrap();
        assert_eq!(received.datagrams, all.len() - before);
        if !received.may_have_more {
            return all;
        }
    }
}

/// The bytes of everything that is there now.
pub(crate) fn drain(subscriber: &mut UdpSubscriber) -> Vec<Vec<u8>> {
    drain_all(subscriber).into_iter().map(|arrived| arrived.bytes).collect()
}
