//! Publisher and subscriber over 127.0.0.1. On loopback a datagram is in the receiver's queue when the send
//! returns, so a marker sent last proves that nothing else came.

use std::net::{Ipv4Addr, UdpSocket};

use crate::common::{drain, drain_all, draw, line_a};
use outcrier_net::{
    DATAGRAM_BYTES_MAX, Plane, ReceiveBuffers, Received, Sent, UdpPublisher, UdpSubscriber, clock, wait,
};

const MARKER: &[u8] = b"marker";

/// `len` bytes that differ by position and length.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index * 31 + len * 7) as u8).collect()
}

#[test]
fn every_byte_arrives_in_order() {
    let to = draw();
    let mut subscriber = UdpSubscriber::open(&line_a(&to)).unwrap();
    let publisher = UdpPublisher::open(&to).unwrap();
    let frames: Vec<_> = [1, 65, 66, 106, 1_399, DATAGRAM_BYTES_MAX].map(pattern).into();
    for frame in &frames {
        assert_eq!(publisher.send(Plane::Incremental, frame), Sent::Sent);
    }
    let arrived = drain_all(&mut subscriber);
    assert!(arrived.iter().map(|datagram| &datagram.bytes).eq(&frames));
    assert!(arrived.iter().all(|datagram| !datagram.truncated));
    assert_eq!(drain(&mut subscriber), Vec::<Vec<u8>>::new());
    let counters = publisher.counters();
    assert_eq!(counters.frames, frames.len() as u64);
    assert_eq!(counters.bytes, frames.iter().map(|frame| frame.len() as u64).sum::<u64>());
    assert_eq!((counters.would_block, counters.oversize, counters.errors()), (0, 0, 0));
    assert_eq!((subscriber.drops(), subscriber.meminfo_drops()), (0, 0));
}

#[test]
fn planes_are_apart_and_every_listener_hears() {
    let to = draw();
    let mut first = UdpSubscriber::open(&line_a(&to)).unwrap();
    let mut second = UdpSubscriber::open(&line_a(&to)).unwrap();
    let mut snapshot_config = line_a(&to);
    snapshot_config.group = to.group_snapshot;
    let mut snapshot = UdpSubscriber::open(&snapshot_config).unwrap();
    let publisher = UdpPublisher::open(&to).unwrap();
    publisher.send(Plane::Incremental, b"incremental");
    publisher.send(Plane::Snapshot, b"snapshot");
    assert_eq!(drain(&mut first), [b"incremental"]);
    assert_eq!(drain(&mut second), [b"incremental"]);
    assert_eq!(drain(&mut snapshot), [b"snapshot"]);
}

#[test]
fn unicast_to_the_port_is_not_heard() {
    let to = draw();
    let mut subscriber = UdpSubscriber::open(&line_a(&to)).unwrap();
    let publisher = UdpPublisher::open(&to).unwrap();
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    stranger.send_to(b"unicast", ("127.0.0.1", to.port)).unwrap();
    publisher.send(Plane::Incremental, MARKER);
    assert_eq!(drain(&mut subscriber), [MARKER]);
}

#[test]
fn a_group_that_another_socket_joined_is_not_heard() {
    let to = draw();
    let mut subscriber = UdpSubscriber::open(&line_a(&to)).unwrap();
    let mut other_to = to.clone();
    other_to.group_a = to.group_snapshot;
    let mut other = UdpSubscriber::open(&line_a(&other_to)).unwrap();
    let publisher = UdpPublisher::open(&to).unwrap();
    publisher.send(Plane::Snapshot, b"not yours");
    publisher.send(Plane::Incremental, MARKER);
    assert_eq!(drain(&mut subscriber), [MARKER]);
    assert_eq!(drain(&mut other), [b"not yours"]);
}

#[test]
fn only_configured_sources_are_heard() {
    let to = draw();
    let mut from_nine = to.clone();
    from_nine.interface = Ipv4Addr::new(127, 0, 0, 9);
    let mut config = line_a(&to);
    config.sources = vec![from_nine.interface];
    let mut subscriber = UdpSubscriber::open(&config).unwrap();
    UdpPublisher::open(&to).unwrap().send(Plane::Incremental, b"from 127.0.0.1");
    UdpPublisher::open(&from_nine).unwrap().send(Plane::Incremental, b"from 127.0.0.9");
    assert_eq!(drain(&mut subscriber), [b"from 127.0.0.9"]);
}

#[test]
fn the_kernel_stamps_the_arrival() {
    let to = draw();
    let mut subscriber = UdpSubscriber::open(&line_a(&to)).unwrap();
    let publisher = UdpPublisher::open(&to).unwrap();
    let before = clock::wall_ns();
    publisher.send(Plane::Incremental, MARKER);
    let [datagram] = &drain_all(&mut subscriber)[..] else { panic!("one was sent") };
    let after = clock::wall_ns();
    // A second of margin either way, should the wall clock be corrected meanwhile.
    let second = 1_000_000_000;
    assert!((before - second..=after + second).contains(&datagram.kernel_ts_ns), "{datagram:?}");
}

#[test]
fn an_oversize_frame_is_refused_and_counted() {
    let to = draw();
    let mut subscriber = UdpSubscriber::open(&line_a(&to)).unwrap();
    let publisher = UdpPublisher::open(&to).unwrap();
    assert_eq!(publisher.send(Plane::Incremental, &pattern(DATAGRAM_BYTES_MAX + 1)), Sent::Oversize);
    assert_eq!(publisher.send(Plane::Incremental, MARKER), Sent::Sent);
    assert_eq!(drain(&mut subscriber), [MARKER]);
    let counters = publisher.counters();
    assert_eq!((counters.oversize, counters.frames, counters.bytes), (1, 1, MARKER.len() as u64));
}

#[test]
fn what_is_sent_is_received_or_reported_dropped() {
    let to = draw();
    let mut config = line_a(&to);
    config.rcvbuf_bytes = 8_192;
    let mut subscriber = UdpSubscriber::open(&config).unwrap();
    let publisher = UdpPublisher::open(&to).unwrap();
    let sent = 1_000_usize;
    for number in 0..sent {
        assert_eq!(publisher.send(Plane::Incremental, &number.to_le_bytes()), Sent::Sent);
    }
    let dropped = subscriber.meminfo_drops();
    let received = drain(&mut subscriber);
    assert!(!received.is_empty() && dropped > 0, "{} received, {dropped} dropped", received.len());
    assert_eq!(received.len() as u64 + dropped, sent as u64);
    for (number, bytes) in received.iter().enumerate() {
        assert_eq!(bytes[..], number.to_le_bytes(), "the kernel keeps the oldest");
    }
    // What was queued before the loss brings no count, and one from before is no step back.
    assert_eq!(subscriber.drops(), dropped);
}

#[test]
fn a_loss_shows_with_the_next_arrival() {
    let to = draw();
    let mut config = line_a(&to);
    config.rcvbuf_bytes = 8_192;
    let mut subscriber = UdpSubscriber::open(&config).unwrap();
    let publisher = UdpPublisher::open(&to).unwrap();
    for number in 0..100_u8 {
        publisher.send(Plane::Incremental, &[number]);
    }
    let received = drain(&mut subscriber).len() as u64;
    assert_eq!(subscriber.drops(), 0, "what came was queued before the loss");
    publisher.send(Plane::Incremental, MARKER);
    assert_eq!(drain(&mut subscriber), [MARKER]);
    assert_eq!(subscriber.drops(), 100 - received);
    assert_eq!(subscriber.meminfo_drops(), 100 - received, "counted once");
}

#[test]
fn a_plane_can_be_left_and_joined_again() {
    let to = draw();
    let mut config = line_a(&to);
    config.rcvbuf_bytes = 8_192;
    let mut subscriber = UdpSubscriber::open(&config).unwrap();
    let publisher = UdpPublisher::open(&to).unwrap();
    for number in 0..100_u8 {
        publisher.send(Plane::Incremental, &[number]);
    }
    let held = 100 - subscriber.meminfo_drops();
    subscriber.leave();
    subscriber.leave();
    assert_eq!(subscriber.fd(), None);
    let left = subscriber.recv(&mut ReceiveBuffers::new(), |_| panic!("nothing can come"));
    assert_eq!(left.unwrap(), Received::default());
    let dropped = subscriber.meminfo_drops();
    assert_eq!(held + dropped, 100);
    publisher.send(Plane::Incremental, b"nobody listens");
    subscriber.join().unwrap();
    subscriber.join().unwrap();
    publisher.send(Plane::Incremental, MARKER);
    assert_eq!(drain(&mut subscriber), [MARKER]);
    assert_eq!(subscriber.meminfo_drops(), dropped, "the count goes on over a new socket");
}

#[test]
fn waiting_names_the_sockets_that_are_ready() {
    let to = draw();
    let quiet = UdpSubscriber::open(&line_a(&to)).unwrap();
    let mut busy_config = line_a(&to);
    busy_config.group = to.group_snapshot;
    let busy = UdpSubscriber::open(&busy_config).unwrap();
    UdpPublisher::open(&to).unwrap().send(Plane::Snapshot, MARKER);
    let sockets = [quiet.fd().unwrap(), busy.fd().unwrap()];
    assert_eq!(wait(&sockets, 5_000_000_000).unwrap(), 0b10);
}
