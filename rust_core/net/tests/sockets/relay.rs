//! A relay puts the network of a plan between two groups.

use std::net::Ipv4Addr;

use outcrier_core::chaos::{Burst, Chaos, PPM, Plan, Start};
use outcrier_net::relay::{Relay, RelayLine};
use outcrier_net::{
    DATAGRAM_BYTES_MAX, Endpoint, NetError, Plane, PublisherConfig, SubscriberConfig, UdpPublisher,
    UdpSubscriber, WAIT_SOCKETS_MAX, wait,
};

use crate::common::{Arrived, drain_all, draw, line_a};

const MS: u64 = 1_000_000;
const PATIENCE_NS: u64 = 10_000 * MS;

fn to(from: &PublisherConfig) -> PublisherConfig {
    PublisherConfig { port: draw().port, ..from.clone() }
}

fn line(from: &PublisherConfig, to: &PublisherConfig, plan: Plan) -> RelayLine {
    let to = Endpoint { group: to.group_a, interface: to.interface, port: to.port };
    RelayLine { from: line_a(from), to, ttl: 0, plan, seed: 7, number: 0 }
}

fn datagram(number: u16) -> Vec<u8> {
    let bytes = 2 + usize::from(number) * 131 % (DATAGRAM_BYTES_MAX - 1);
    number.to_le_bytes().into_iter().chain(std::iter::repeat(number as u8)).take(bytes).collect()
}

/// Relays until `expected` datagrams came, then as long again as it takes to see that no more do.
fn relayed(relay: &mut Relay, listener: &mut UdpSubscriber, expected: usize) -> Vec<Vec<u8>> {
    let mut all: Vec<Arrived> = Vec::new();
    let mut waited_ns = 0;
    while all.len() < expected && waited_ns < PATIENCE_NS {
        relay.run(5 * MS).unwrap();
        waited_ns += 5 * MS;
        all.extend(drain_all(listener));
    }
    relay.run(5 * MS).unwrap();
    all.extend(drain_all(listener));
    all.into_iter().map(|arrived| arrived.bytes).collect()
}

#[test]
fn what_arrives_is_what_the_plan_and_the_seed_say() {
    let plan = Plan {
        loss: 50_000,
        burst: Some(Burst { every: 100, length: 10, start: Start::Drawn }),
        duplicate: 50_000,
        corrupt: 50_000,
        truncate: 20_000,
        garbage: 20_000,
        delay_ns: 2 * MS,
        jitter_ns: 3 * MS,
        ..Plan::default()
    };
    let (from, to) = (draw(), to(&draw()));
    let mut relay = Relay::new();
    assert_eq!(relay.add(&line(&from, &to, plan)).unwrap(), 0);
    let mut listener =
        UdpSubscriber::open(&SubscriberConfig { rcvbuf_bytes: 4 << 20, ..line_a(&to) }).unwrap();
    let publisher = UdpPublisher::open(&from).unwrap();
    let mut expected = Vec::new();
    let mut chaos = Chaos::new(&plan, 7, 0).unwrap();
    for number in 0..1_000 {
        let datagram = datagram(number);
        publisher.send(Plane::Incremental, &datagram);
        chaos.pass(&datagram, 0, &mut |due_ns, bytes| expected.push((due_ns, bytes.to_vec())));
        if number % 50 == 0 {
            relay.run(0).unwrap();
        }
    }
    // Nothing is reordered: jitter keeps the order.
    let expected: Vec<_> = expected.into_iter().map(|(_, bytes)| bytes).collect();
    let arrived = relayed(&mut relay, &mut listener, expected.len());
    assert_eq!(arrived.len(), expected.len());
    assert!(arrived == expected, "bytes and order");
    let counts = relay.counts()[0];
    assert_eq!(counts.chaos, *chaos.counts());
    assert_eq!((counts.sent, counts.queue_full, counts.refused), (expected.len() as u64, 0, 0));
    assert_eq!((counts.kernel_drops, relay.waiting()), (0, 0));
    let list = counts.list();
    assert!(list.contains(&("seen", 1_000)) && list.contains(&("sent", counts.sent)));
}

#[test]
fn lines_keep_apart_and_one_may_be_spared() {
    let from = draw();
    let to = to(&from);
    let second =
        |config: &PublisherConfig| PublisherConfig { group_a: config.group_snapshot, ..config.clone() };
    let mut relay = Relay::new();
    relay.add(&line(&from, &to, Plan { loss: PPM, ..Plan::default() })).unwrap();
    relay.add(&line(&second(&from), &second(&to), Plan::default())).unwrap();
    let mut lost = UdpSubscriber::open(&line_a(&to)).unwrap();
    let mut spared = UdpSubscriber::open(&line_a(&second(&to))).unwrap();
    let publisher = UdpPublisher::open(&from).unwrap();
    for number in 0..100 {
        publisher.send(Plane::Incremental, &datagram(number));
        publisher.send(Plane::Snapshot, &datagram(number + 1_000));
    }
    let expected: Vec<_> = (1_000..1_100).map(datagram).collect();
    assert_eq!(relayed(&mut relay, &mut spared, 100), expected);
    assert!(drain_all(&mut lost).is_empty());
    assert_eq!(relay.counts().iter().map(|counts| counts.chaos.lost).collect::<Vec<_>>(), [100, 0]);
}

#[test]
fn what_is_delayed_waits_and_then_arrives() {
    let (from, to) = (draw(), to(&draw()));
    let mut relay = Relay::new();
    relay.add(&line(&from, &to, Plan { delay_ns: 300 * MS, ..Plan::default() })).unwrap();
    let mut listener = UdpSubscriber::open(&line_a(&to)).unwrap();
    UdpPublisher::open(&from).unwrap().send(Plane::Incremental, b"later");
    // It is there before the relay looks.
    relay.run(0).unwrap();
    assert_eq!((relay.waiting(), drain_all(&mut listener).len()), (1, 0));
    assert_eq!(relayed(&mut relay, &mut listener, 1), [b"later"]);
    assert_eq!(wait(&[listener.fd().unwrap()], 0).unwrap(), 0);
}

#[test]
fn what_cannot_be_is_refused() {
    let (from, to) = (draw(), to(&draw()));
    let mut relay = Relay::new();
    let refused = |relay: &mut Relay, line: &RelayLine| relay.add(line).unwrap_err();
    let plain = line(&from, &to, Plan::default());
    let error = refused(&mut relay, &line(&from, &from, Plan::default()));
    assert!(matches!(error, NetError::HearsItself(at) if at.port == from.port), "{error}");
    let error = refused(&mut relay, &line(&from, &to, Plan { loss: PPM + 1, ..Plan::default() }));
    assert!(error.to_string().starts_with("loss: "), "{error}");
    assert!(matches!(refused(&mut relay, &RelayLine { ttl: 2, ..plain.clone() }), NetError::Ttl { ttl: 2 }));
    let no_group = RelayLine { to: Endpoint { group: Ipv4Addr::LOCALHOST, ..plain.to }, ..plain.clone() };
    assert!(matches!(refused(&mut relay, &no_group), NetError::NotMulticast(_)));
    assert!(relay.counts().is_empty());
    relay.add(&plain).unwrap();
    // In a circle of two lines, too.
    let error = refused(&mut relay, &line(&to, &from, Plan::default()));
    assert!(matches!(error, NetError::HearsItself(_)), "{error}");
    for _ in 1..WAIT_SOCKETS_MAX {
        relay.add(&plain).unwrap();
    }
    assert!(matches!(refused(&mut relay, &plain), NetError::TooManyLines));
}
