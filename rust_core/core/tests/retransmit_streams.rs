//! Requests by stream: history from the ring and the log, what follows it, and images.

mod receive_support;
mod retransmit_support;

use std::net::Ipv4Addr;

use outcrier_core::publish::Arrival;
use outcrier_core::retransmit::{
    Archive, IMAGES_PER_S, Limits, Pull, Replay, ServerConfig, Store, Streams, Then,
};
use outcrier_core::wire::auth::{Keyring, MasterKey};
use outcrier_core::wire::{self, RetxReply, SnapWant, retx_code};
use receive_support::{CHANNEL, SESSION, VENUE};
use retransmit_support::{Ask, LINE, Log, MS, SECOND, SNAPSHOT, frames, header, range, read_reply};

const PEER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);

struct Bench {
    streams: Streams,
    store: Store,
    log: Option<Log>,
    sent: Vec<Vec<u8>>,
    now_ns: u64,
}

impl Bench {
    /// All frames are sent; the store has the last `kept` of the incremental plane.
    fn open(kept: usize, keys: Option<Keyring>) -> Option<Self> {
        let sent = frames(1_000, 250)?;
        let mut store = Store::new(Limits { frames: kept, ..Limits::default() });
        sent.iter().for_each(|frame| {
            store.push(frame, 0);
        });
        let config = ServerConfig { secret: [1; 16], line_bytes_per_s: LINE, keys };
        Some(Self { streams: Streams::new(&config, SECOND), store, log: None, sent, now_ns: SECOND })
    }

    fn give(&mut self, peer: Ipv4Addr, unit: &[u8]) -> (Option<RetxReply>, Then) {
        let at = Arrival { recv_ts: 5, mono_ns: self.now_ns };
        let archive = self.log.as_mut().map(|log| log as &mut dyn Archive);
        let (reply, then) = self.streams.on_unit(peer, unit, at, &self.store, archive);
        let reply = (!reply.is_empty()).then(|| {
            let (header, reply) = read_reply(reply);
            assert_eq!((header.channel_seq, header.recv_ts), (77, 5));
            reply
        });
        (reply, then)
    }

    fn replay(&mut self, unit: &[u8]) -> (RetxReply, Replay) {
        let (reply, then) = self.give(PEER, unit);
        let Then::Replay(replay) = then else { panic!("{reply:?} {then:?}") };
        (reply.unwrap(), replay)
    }

    /// Everything that can be had now, and why there is no more.
    fn pull(&mut self, replay: &mut Replay) -> (Vec<Vec<u8>>, Pull) {
        let mut got = Vec::new();
        loop {
            let mut frame = Vec::new();
            let archive = self.log.as_mut().map(|log| log as &mut dyn Archive);
            match replay.pull(&self.store, archive, &mut frame) {
                Pull::Frame => got.push(frame),
                other => {
                    assert!(frame.is_empty());
                    return (got, other);
                }
            }
        }
    }

    fn incremental(&self) -> Vec<Vec<u8>> {
        let is_of_it =
            |frame: &&Vec<u8>| header(frame).channel == CHANNEL && wire::is_numbered(header(frame).msg_type);
        self.sent.iter().filter(is_of_it).cloned().collect()
    }
}

#[test]
fn history_from_the_log_and_the_ring_and_then_what_is_published() {
    let Some(mut bench) = Bench::open(100, None) else { return };
    let all = bench.incremental();
    let mut log = Log::default();
    all.iter().for_each(|frame| log.keep(frame));
    bench.log = Some(log);
    let (reply, mut replay) = bench.replay(&Ask::new(0).frames(&[range(3, 0)]));
    assert_eq!((reply.code, reply.oldest_seq, reply.newest_seq), (retx_code::OK, 1, all.len() as u64));
    assert_eq!(usize::from(reply.n_served), all.len() - 2);
    assert!(replay.is_following());
    let (got, end) = bench.pull(&mut replay);
    assert_eq!((got, end), (all[2..].to_vec(), Pull::Wait));
    // Two more frames, as they would follow.
    for at in [5, 6] {
        let next = renumbered(&all[at], SESSION, bench.store.newest(CHANNEL).unwrap() + 1);
        bench.store.push(&next, 0);
        assert_eq!(bench.pull(&mut replay), (vec![next], Pull::Wait));
    }
    bench.store.push(&renumbered(&all[0], SESSION + 1, 1), 0);
    assert_eq!(bench.pull(&mut replay), (vec![], Pull::Over), "another session");
    assert_eq!(bench.streams.counters().replays, 1);
}

fn renumbered(frame: &[u8], session: u32, channel_seq: u64) -> Vec<u8> {
    use zerocopy::IntoBytes;
    let changed = wire::Header { session, channel_seq, ..header(frame) };
    let mut frame = frame.to_vec();
    frame[..wire::HEADER_BYTES].copy_from_slice(changed.as_bytes());
    frame
}

#[test]
fn ranges_are_sent_one_behind_the_other() {
    let Some(mut bench) = Bench::open(1 << 20, None) else { return };
    let all = bench.incremental();
    let (reply, mut replay) = bench.replay(&Ask::new(0).frames(&[range(7, 300), range(2, 1), range(2, 2)]));
    assert_eq!((reply.code, reply.n_served), (retx_code::OK, 303));
    let expected = [&all[6..306], &all[1..2], &all[1..3]].concat();
    assert_eq!(bench.pull(&mut replay), (expected, Pull::Over));
    let snapshot = Ask { channel: SNAPSHOT, ..Ask::new(0) };
    let newest = bench.store.newest(SNAPSHOT).unwrap();
    let (_, mut replay) = bench.replay(&snapshot.frames(&[range(newest, 0)]));
    let (got, end) = bench.pull(&mut replay);
    assert_eq!((header(&got[0]).channel_seq, got.len(), end), (newest, 1, Pull::Wait));
}

#[test]
fn what_begins_too_early_or_too_late_is_told_so_and_a_stream_may_fall_behind() {
    let Some(mut bench) = Bench::open(100, None) else { return };
    let newest = bench.store.newest(CHANNEL).unwrap();
    let oldest = newest - 99;
    for (ranges, code) in [
        (vec![range(oldest - 1, 0)], retx_code::TOO_OLD),
        (vec![range(oldest, 1), range(1, 1)], retx_code::TOO_OLD),
        (vec![range(newest + 2, 0)], retx_code::TOO_NEW),
        (vec![range(newest, 2)], retx_code::TOO_NEW),
        (vec![range(0, 0)], retx_code::MALFORMED),
        (vec![range(oldest, 0), range(oldest, 1)], retx_code::MALFORMED),
        (vec![range(u64::MAX, 1)], retx_code::MALFORMED),
        (vec![range(oldest, 1); 17], retx_code::MALFORMED),
        (vec![], retx_code::OK),
    ] {
        let (reply, then) = bench.give(PEER, &Ask::new(0).frames(&ranges));
        assert_eq!((reply.unwrap().code, then), (code, Then::Nothing), "{ranges:?}");
    }
    let (_, mut follow) = bench.replay(&Ask::new(0).frames(&[range(newest + 1, 0)]));
    assert_eq!(bench.pull(&mut follow), (vec![], Pull::Wait));
    let (reply, mut replay) = bench.replay(&Ask::new(0).frames(&[range(oldest, 0)]));
    assert_eq!(reply.oldest_seq, oldest);
    let frame = renumbered(&bench.sent[5], SESSION, newest + 1);
    bench.store.push(&frame, 0);
    assert_eq!(bench.pull(&mut replay), (vec![], Pull::Lost));
    let counters = bench.streams.counters();
    assert_eq!((counters.too_old, counters.too_new, counters.malformed, counters.probes), (2, 2, 4, 1));
    let other = Ask { session: SESSION + 1, ..Ask::new(0) };
    let (reply, then) = bench.give(PEER, &other.frames(&[range(1, 0)]));
    assert_eq!((reply.unwrap().code, then), (retx_code::BAD_SESSION, Then::Nothing));
}

#[test]
fn a_session_that_is_over_comes_from_the_log_to_its_end() {
    let Some(mut bench) = Bench::open(1 << 20, None) else { return };
    let older: Vec<_> = bench.incremental()[..40]
        .iter()
        .map(|frame| renumbered(frame, SESSION - 1, header(frame).channel_seq))
        .collect();
    let mut log = Log::default();
    older.iter().for_each(|frame| log.keep(frame));
    bench.log = Some(log);
    let ask = Ask { session: SESSION - 1, ..Ask::new(0) };
    let (reply, mut replay) = bench.replay(&ask.frames(&[range(11, 0)]));
    assert_eq!((reply.oldest_seq, reply.newest_seq, reply.n_served), (1, 0, 0), "nobody knows the end");
    assert_eq!(bench.pull(&mut replay), (older[10..].to_vec(), Pull::Over));
    let (_, mut replay) = bench.replay(&ask.frames(&[range(40, 2)]));
    assert_eq!(bench.pull(&mut replay), (older[39..].to_vec(), Pull::Lost));
}

#[test]
fn images_are_granted_within_a_budget() {
    let Some(mut bench) = Bench::open(1 << 20, None) else { return };
    let wants = [SnapWant { instrument: 11, kinds: 1 }];
    let image = |wants: &[SnapWant]| Then::Image {
        channel: CHANNEL,
        session: SESSION,
        venue: VENUE,
        wants: wants.to_vec(),
    };
    let (reply, then) = bench.give(PEER, &Ask::new(0).state(&wants));
    assert_eq!((reply.unwrap().code, then), (retx_code::OK, image(&wants)));
    let (_, then) = bench.give(PEER, &Ask { channel: SNAPSHOT, ..Ask::new(0) }.state(&[]));
    assert_eq!(then, image(&[]));
    let mut granted = 2;
    for _ in 0..20_000 {
        let (reply, then) = bench.give(PEER, &Ask::new(0).state(&[]));
        granted += u64::from(then == image(&[]));
        if then == Then::Nothing {
            let reply = reply.unwrap();
            assert_eq!(reply.code, retx_code::RATE_LIMITED);
            assert!((1..=100_000).contains(&reply.retry_after_us), "{reply:?}");
        }
        bench.now_ns += MS / 10;
    }
    assert!((4 * IMAGES_PER_S - 1..=4 * IMAGES_PER_S).contains(&granted), "{granted} in 2 s and a burst");
    let zero = Ask::new(0).state(&[SnapWant { instrument: 0, kinds: 1 }]);
    assert_eq!(bench.give(PEER, &zero).0.unwrap().code, retx_code::MALFORMED);
    let other = Ask { channel: CHANNEL + 1, ..Ask::new(0) };
    assert_eq!(bench.give(PEER, &other.state(&[])).0.unwrap().code, retx_code::BAD_SESSION);
}

#[test]
fn streams_have_a_part_of_the_line() {
    let Some(mut bench) = Bench::open(1, None) else { return };
    let mut sent = 0;
    for _ in 0..10_000 {
        bench.now_ns += MS / 10;
        if bench.streams.may_send(bench.now_ns) {
            bench.streams.sent(65_536);
            sent += 65_536;
        }
    }
    let per_s = LINE / 5;
    assert!((per_s..=per_s + per_s / 2 + 65_536).contains(&sent), "{sent}");
}

#[test]
fn what_is_no_request_or_has_no_mac_ends_the_stream() {
    let ring = |byte| Keyring::new(vec![(3, MasterKey::new([byte; 32]))]).unwrap();
    let Some(mut bench) = Bench::open(1 << 20, Some(ring(1))) else { return };
    let frame = bench.sent[4].clone();
    assert_eq!(bench.give(PEER, &frame), (None, Then::Close));
    assert_eq!(bench.give(PEER, &[1, 2, 3]), (None, Then::Close));
    let (reply, then) = bench.give(PEER, &Ask::new(0).frames(&[range(1, 0)]));
    assert_eq!((reply.unwrap().code, then), (retx_code::BAD_MAC, Then::Close));
    let key = Some(ring(1).request_signer(CHANNEL, SESSION).key);
    let (reply, _) = bench.replay(&Ask { key, ..Ask::new(0) }.frames(&[range(1, 0)]));
    assert_eq!(reply.code, retx_code::OK);
    let counters = bench.streams.counters();
    assert_eq!((counters.not_a_request, counters.bad_mac, counters.replays), (2, 1, 1));
}
