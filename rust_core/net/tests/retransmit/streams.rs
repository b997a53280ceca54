//! History and images by TCP.

use std::sync::Arc;
use std::thread;

use outcrier_core::retransmit::Limits;
use outcrier_core::wire::{SnapWant, msg, retx_code};
use outcrier_net::retransmit::{CONNECTIONS_MAX, Service, ServiceConfig, Shared, Units, Want};
use outcrier_net::{clock, wait};

use crate::common::{Bench, Stream, config, until};
use crate::receive_support::{CHANNEL, SESSION, VENUE};
use crate::retransmit_support::{Ask, Log, SNAPSHOT, frames, header, range};

/// What a feed does with its mailbox: it waits for the bell and answers the first image.
fn answer_image(shared: &Shared, image: &[Vec<u8>]) -> u64 {
    loop {
        assert_eq!(wait(&[shared.wake_fd()], 30_000_000_000).unwrap(), 1);
        if let Some(Want::Image { id, session, venue, .. }) = shared.take_wants(CHANNEL).pop() {
            assert_eq!((session, venue), (SESSION, VENUE));
            let mut units = Units::default();
            assert!(image.iter().all(|frame| units.push(frame)));
            assert_eq!(units.frames(), image.len() as u64);
            shared.answer_image(id, Some(units));
            return id;
        }
    }
}

/// The frames of the first snapshot cycle: what an image looks like.
fn first_cycle(bench: &Bench) -> Vec<Vec<u8>> {
    let snapshot = bench.plane(SNAPSHOT);
    let end = snapshot.iter().position(|frame| header(frame).msg_type == msg::CYCLE_END).unwrap();
    snapshot[..=end].to_vec()
}

#[test]
fn an_image_and_then_what_is_published_on_one_connection() {
    let Some(bench) = Bench::open(Limits::default()) else { return };
    let image = first_cycle(&bench);
    let mut stream = Stream::to(bench.service.tcp());
    stream.send(&Ask::new(0).state(&[]));
    assert_eq!(stream.reply().code, retx_code::OK);
    answer_image(&bench.shared, &image);
    for frame in &image {
        assert_eq!(stream.frame().as_ref(), Some(frame));
    }
    let all = bench.plane(CHANNEL);
    stream.send(&Ask::new(0).frames(&[range(all.len() as u64 + 1, 0)]));
    let reply = stream.reply();
    assert_eq!((reply.code, reply.n_served), (retx_code::OK, 0));
    for (at, seq) in (0..500).zip(all.len() as u64 + 1..) {
        let frame = renumbered(&all[at], seq);
        bench.shared.keep([&frame[..]], clock::mono_ns());
        assert_eq!(stream.frame(), Some(frame));
    }
    drop(stream);
    until("the end is noticed", || bench.shared.counters().connections.ended == 1);
    let counters = bench.shared.counters();
    assert_eq!((counters.streams.images, counters.streams.replays), (1, 1));
    assert_eq!(counters.connections.frames, image.len() as u64 + 500);
}

pub(crate) fn renumbered(frame: &[u8], channel_seq: u64) -> Vec<u8> {
    use outcrier_core::wire::{HEADER_BYTES, Header, seal};
    use zerocopy::IntoBytes;
    let changed = Header { channel_seq, ..header(frame) };
    let mut frame = frame.to_vec();
    frame[..HEADER_BYTES].copy_from_slice(changed.as_bytes());
    seal(&mut frame, 0, None);
    frame
}

#[test]
fn late_joiners_that_wait_share_one_image() {
    let Some(bench) = Bench::open(Limits::default()) else { return };
    let image = first_cycle(&bench);
    let mut streams: Vec<_> = (0..5).map(|_| Stream::to(bench.service.tcp())).collect();
    for stream in &mut streams {
        stream.send(&Ask::new(0).state(&[]));
        assert_eq!(stream.reply().code, retx_code::OK);
    }
    let mut other = Stream::to(bench.service.tcp());
    other.send(&Ask::new(0).state(&[SnapWant { instrument: 11, kinds: 15 }]));
    assert_eq!(other.reply().code, retx_code::OK);
    let wants = bench.shared.take_wants(CHANNEL);
    let ids: Vec<u64> = wants
        .iter()
        .map(|want| match want {
            Want::Image { id, .. } => *id,
            Want::Head { .. } => panic!("{want:?}"),
        })
        .collect();
    assert_eq!(ids.len(), 2, "one for five, one for what the sixth wants: {wants:?}");
    let mut units = Units::default();
    image.iter().for_each(|frame| assert!(units.push(frame)));
    bench.shared.answer_image(ids[0], Some(units));
    bench.shared.answer_image(ids[1], None);
    for stream in &mut streams {
        assert!(image.iter().all(|frame| stream.frame().as_ref() == Some(frame)));
    }
    assert_eq!(other.frame(), None, "the feed could not");
    until("counters", || bench.shared.counters().connections.without_image == 1);
}

#[test]
fn history_comes_from_the_log_and_the_ring() {
    let Some(sent) = frames(1_000, 250) else { return };
    let shared = Shared::new(Limits { frames: 50, ..Limits::default() }).unwrap();
    let (mut log, mut all) = (Log::default(), Vec::new());
    for frame in sent.iter().filter(|frame| header(frame).channel == CHANNEL) {
        shared.keep([&frame[..]], clock::mono_ns());
        if outcrier_core::wire::is_numbered(header(frame).msg_type) {
            log.keep(frame);
            all.push(frame.clone());
        }
    }
    let service = ServiceConfig { stream_archive: Some(Box::new(log)), ..config() };
    let service = Service::start(service, &shared).unwrap();
    let mut stream = Stream::to(service.tcp());
    stream.send(&Ask::new(0).frames(&[range(1, 0)]));
    assert_eq!(usize::from(stream.reply().n_served), all.len());
    assert!(all.iter().all(|frame| stream.frame().as_ref() == Some(frame)));
    assert_eq!(stream.unit(), Some(Vec::new()), "a keep-alive says that there is nothing new");
}

#[test]
fn what_is_no_request_ends_the_connection_and_no_more_than_the_limit_are_open() {
    let Some(bench) = Bench::open(Limits::default()) else { return };
    let mut stream = Stream::to(bench.service.tcp());
    stream.send(&bench.sent[3]);
    assert_eq!(stream.frame(), None);
    let mut stream = Stream::to(bench.service.tcp());
    stream.send(&[0; 1_401]);
    assert_eq!(stream.frame(), None);
    until("both are gone", || bench.shared.counters().connections.refused == 2);
    let mut streams: Vec<_> = (0..CONNECTIONS_MAX).map(|_| Stream::to(bench.service.tcp())).collect();
    until("all are taken", || bench.shared.counters().connections.accepted == CONNECTIONS_MAX as u64 + 2);
    assert_eq!(Stream::to(bench.service.tcp()).frame(), None, "one too many");
    streams[7].send(&Ask::new(0).frames(&[range(1, 1)]));
    assert_eq!(streams[7].reply().code, retx_code::OK, "the others go on");
    assert_eq!(bench.shared.counters().connections.full, 1);
}

#[test]
fn the_end_of_the_service_ends_the_connections() {
    let Some(bench) = Bench::open(Limits::default()) else { return };
    let mut stream = Stream::to(bench.service.tcp());
    stream.send(&Ask::new(0).frames(&[]));
    assert_eq!(stream.reply().code, retx_code::OK);
    let Bench { service, shared, .. } = bench;
    let reader = thread::spawn(move || stream.frame());
    drop(service);
    assert_eq!(reader.join().unwrap(), None);
    assert_eq!(Arc::strong_count(&shared), 1, "no thread has it any more");
}
