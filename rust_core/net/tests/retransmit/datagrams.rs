//! Frames again by UDP.

use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};

use outcrier_core::retransmit::Limits;
use outcrier_core::wire::{SnapWant, retx_code, snap_kinds};
use outcrier_net::retransmit::{Service, ServiceConfig, Shared, WANTS_MAX, Want};
use outcrier_net::wait;

use crate::common::{Bench, Consumer, config, until};
use crate::receive_support::{CHANNEL, SESSION, VENUE};
use crate::retransmit_support::{Ask, Log, SNAPSHOT, frames, header, range, read_reply};

#[test]
fn lost_frames_come_again_as_they_were_sent() {
    let Some(bench) = Bench::open(Limits::default()) else { return };
    let all = bench.plane(CHANNEL);
    let consumer = Consumer::proved(bench.service.udp());
    let ask = Ask::new(consumer.cookie);
    // 166 datagrams of this size fit the buffer that sockets have.
    let (reply, frames) = consumer.ask(&ask.frames(&[range(10, 100), range(700, 20)]), 120);
    assert_eq!((reply.code, reply.n_served, reply.newest_seq), (retx_code::OK, 120, all.len() as u64));
    assert_eq!(frames, [&all[9..109], &all[699..719]].concat());
    let ask = Ask { channel: SNAPSHOT, ..ask };
    let snapshot = bench.plane(SNAPSHOT);
    let (reply, frames) = consumer.ask(&ask.frames(&[range(snapshot.len() as u64, 1)]), 1);
    assert_eq!((reply.code, &frames[0]), (retx_code::OK, snapshot.last().unwrap()));
    until("counters", || bench.shared.counters().server.answered == 2);
    let counters = bench.shared.counters();
    assert_eq!((counters.server.frames_unicast, counters.datagrams.sent), (121, 124));
    assert_eq!(counters.store.kept, (all.len() + snapshot.len()) as u64);
    assert_eq!(bench.shared.oldest(CHANNEL), Some(1));
    assert_eq!(bench.shared.oldest(CHANNEL + 1), None);
}

#[test]
fn many_that_lost_the_same_are_answered_by_the_group() {
    let Some(bench) = Bench::open(Limits::default()) else { return };
    let all = bench.plane(CHANNEL);
    let consumers: Vec<_> = (0..20).map(|_| Consumer::proved(bench.service.udp())).collect();
    // They must ask within 2 ms, which a busy machine may not let them: another number, another try.
    let is_repaired = (1..500_u64).any(|seq| {
        for consumer in &consumers {
            consumer.send(&Ask::new(consumer.cookie).frames(&[range(seq, 1)]));
        }
        let replies: Vec<_> = consumers.iter().map(|consumer| read_reply(&consumer.receive()).1).collect();
        let repaired = std::mem::take(&mut *bench.repaired.lock().unwrap());
        assert!(repaired.iter().all(|frame| *frame == all[seq as usize - 1]));
        let served: usize = replies.iter().map(|reply| usize::from(reply.n_served)).sum();
        let unicast = served - repaired.len();
        // Answered in the order asked: the first two to themselves, and on a slow machine again the first of later groups.
        for consumer in &consumers {
            while let Some(frame) = consumer.receive_now() {
                assert_eq!(frame, all[seq as usize - 1]);
            }
        }
        unicast == 2 && repaired.len() == 1
    });
    assert!(is_repaired);
}

#[test]
fn instruments_that_are_wanted_reach_the_feed() {
    let Some(bench) = Bench::open(Limits::default()) else { return };
    let consumer = Consumer::proved(bench.service.udp());
    assert_eq!(bench.shared.take_wants(CHANNEL), []);
    assert_eq!(wait(&[bench.shared.wake_fd()], 0).unwrap(), 0);
    let wants = vec![SnapWant { instrument: 11, kinds: snap_kinds::L2 }];
    let (reply, _) = consumer.ask(&Ask::new(consumer.cookie).state(&wants), 0);
    assert_eq!(reply.code, retx_code::OK);
    assert_eq!(wait(&[bench.shared.wake_fd()], 30_000_000_000).unwrap(), 1);
    assert_eq!(bench.shared.take_wants(CHANNEL + 1), []);
    let head = Want::Head { session: SESSION, venue: VENUE, wants };
    assert_eq!(bench.shared.take_wants(CHANNEL), [head]);
    assert_eq!(wait(&[bench.shared.wake_fd()], 0).unwrap(), 0, "silent again");
    // A feed that never looks: the oldest wishes go.
    for _ in 0..WANTS_MAX + 10 {
        let (reply, _) = consumer.ask(&Ask::new(consumer.cookie).state(&[]), 0);
        assert!([retx_code::OK, retx_code::RATE_LIMITED].contains(&reply.code));
    }
    assert!(bench.shared.take_wants(CHANNEL).len() <= WANTS_MAX);
}

#[test]
fn the_log_is_asked_for_what_the_ring_gave_up() {
    let Some(sent) = frames(1_000, 250) else { return };
    let shared = Shared::new(Limits { frames: 50, ..Limits::default() }).unwrap();
    let (mut log, mut all) = (Log::default(), Vec::new());
    for frame in &sent {
        shared.keep([&frame[..]], 0);
        if header(frame).channel == CHANNEL && outcrier_core::wire::is_numbered(header(frame).msg_type) {
            log.keep(frame);
            all.push(frame.clone());
        }
    }
    assert!(shared.oldest(CHANNEL) > Some(1));
    let service = ServiceConfig { archive: Some(Box::new(log)), ..config() };
    let service = Service::start(service, &shared).unwrap();
    let consumer = Consumer::proved(service.udp());
    let (reply, frames) = consumer.ask(&Ask::new(consumer.cookie).frames(&[range(1, 100)]), 100);
    assert_eq!((reply.code, reply.oldest_seq), (retx_code::OK, 1));
    assert_eq!(frames, all[..100]);
    until("heartbeats tell it", || shared.oldest(CHANNEL) == Some(1));
}

#[test]
fn a_port_that_is_taken_is_replaced_and_given_back_at_the_end() {
    let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (udp_port, tcp_port) = (udp.local_addr().unwrap().port(), tcp.local_addr().unwrap().port());
    let shared = Shared::new(Limits::default()).unwrap();
    let service = Service::start(ServiceConfig { udp_port, tcp_port, ..config() }, &shared).unwrap();
    let (at_udp, at_tcp) = (service.udp(), service.tcp());
    assert!(at_udp.port() != udp_port && at_tcp.port() != tcp_port);
    drop(service);
    assert!(UdpSocket::bind(at_udp).is_ok(), "the thread has ended");
    assert!(TcpStream::connect(at_tcp).is_err());
    drop((udp, tcp));
    let service = Service::start(ServiceConfig { udp_port, tcp_port, ..config() }, &shared).unwrap();
    assert_eq!((service.udp().port(), service.tcp().port()), (udp_port, tcp_port));
    let nowhere = Ipv4Addr::new(192, 0, 2, 1);
    let error = Service::start(ServiceConfig { interface: nowhere, ..config() }, &shared).unwrap_err();
    assert!(error.to_string().starts_with("cannot have the retransmit socket at 192.0.2.1:0 ("), "{error}");
}

#[test]
fn hostile_datagrams_are_counted_and_the_service_goes_on() {
    let Some(bench) = Bench::open(Limits::default()) else { return };
    let consumer = Consumer::proved(bench.service.udp());
    for len in [0, 1, 65, 66, 98, 1_400, 1_401, 9_000] {
        consumer.send(&vec![0xFB; len]);
    }
    let (reply, frames) = consumer.ask(&Ask::new(consumer.cookie).frames(&[range(1, 1)]), 1);
    assert_eq!((reply.code, frames.len()), (retx_code::OK, 1));
    until("counters", || bench.shared.counters().server.not_a_frame == 8);
    let refusals = bench.shared.counters().refusals;
    assert_eq!((refusals[0], refusals[1]), (3, 2), "too short, too long");
}
