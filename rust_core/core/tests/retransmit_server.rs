//! Each rule of the retransmit server, in virtual time, over the frames of a real session.

mod receive_support;
mod retransmit_support;

use outcrier_core::retransmit::{AGAIN_NS, COOKIE_NS, COOKIES_PER_S, Limits, Store, TOGETHER_NS, limits};
use outcrier_core::wire::auth::{Keyring, MasterKey};
use outcrier_core::wire::{self, SnapWant, flags, msg, retx_code, snap_kinds};
use receive_support::{CHANNEL, SESSION, VENUE};
use retransmit_support::{
    Ask, Bench, LINE, Log, MS, SECOND, SNAPSHOT, consumer, frames, header, range, read_reply,
};

const FRAMES_PER_REQUEST: u32 = 256;

#[test]
fn what_was_asked_for_comes_behind_the_reply_as_it_was_sent() {
    let Some(mut bench) = Bench::open() else { return };
    let newest = bench.store.newest(CHANNEL).unwrap();
    let got = bench.ask(consumer(1), &[range(5, 3), range(100, 1)]);
    assert_eq!(got.frames, [bench.numbered(5, 3), bench.numbered(100, 1)].concat());
    assert_eq!((got.code(), got.reply.n_served, got.reply.retry_after_us), (retx_code::OK, 4, 0));
    assert_eq!((got.reply.oldest_seq, got.reply.newest_seq), (1, newest));
    let asked = (got.header.channel, got.header.session, got.header.channel_seq, got.header.venue);
    assert_eq!(asked, (CHANNEL, SESSION, 77, VENUE), "the number of the request is repeated");
    assert_eq!((got.header.msg_type, got.header.flags, got.header.instrument), (msg::RETX_REPLY, 0, 0));
    let at = 1_700_000_000_000_000_000 + bench.now_ns as i64;
    assert_eq!((got.header.recv_ts, got.header.exchange_ts), (at, at));
    let counters = bench.counters();
    assert_eq!((counters.requests, counters.need_cookie, counters.answered), (2, 1, 1));
    assert_eq!((counters.frames_asked, counters.frames_unicast, counters.frames_repair), (4, 4, 0));
    assert_eq!(counters.bytes, got.frames.iter().map(|frame| frame.len() as u64).sum::<u64>());
}

#[test]
fn an_unknown_address_gets_a_cookie_and_nothing_else() {
    let Some(mut bench) = Bench::open() else { return };
    let (asker, stranger) = (consumer(1), consumer(2));
    let cookie = bench.cookie(asker);
    let request = Ask::new(cookie).frames(&[range(1, 200)]);
    let got = bench.got(stranger, &request);
    assert_eq!((got.code(), got.frames.len()), (retx_code::NEED_COOKIE, 0), "it was given to another");
    assert_ne!(got.reply.cookie, cookie);
    let got = bench.got(asker, &request);
    assert_eq!((got.code(), got.frames.len(), got.reply.cookie), (retx_code::OK, 200, cookie));
    let wrong = Ask::new(cookie ^ 1).frames(&[range(1, 200)]);
    assert_eq!(bench.got(asker, &wrong).code(), retx_code::NEED_COOKIE);
    bench.now_ns = bench.now_ns / COOKIE_NS * COOKIE_NS + 2 * COOKIE_NS - 1;
    let got = bench.got(asker, &request);
    assert_eq!(got.code(), retx_code::OK);
    assert_ne!(got.reply.cookie, cookie, "the next one comes in time");
    bench.now_ns += 1;
    assert_eq!(bench.got(asker, &request).code(), retx_code::NEED_COOKIE, "too old");
    let renewed = Ask::new(got.reply.cookie).frames(&[range(1, 1)]);
    assert_eq!(bench.got(asker, &renewed).code(), retx_code::OK);
}

#[test]
fn no_answer_is_longer_than_the_request_before_the_cookie_is_right() {
    let Some(mut bench) = Bench::open() else { return };
    let requests = [
        Ask::new(0).frames(&[]),
        Ask::new(0).frames(&[range(1, 256)]),
        Ask::new(9).frames(&[range(1, 256); 16]),
        Ask::new(0).state(&[]),
        Ask::new(0).state(&[SnapWant { instrument: 11, kinds: 1 }]),
        Ask::new(0).state(&[SnapWant { instrument: 11, kinds: 1 }; 3]),
    ];
    for request in &requests {
        for padding in [0, 1, 16, 400] {
            let datagram = [&request[..], &vec![0; padding]].concat();
            let out = bench.give(consumer(1), &datagram);
            let sent: usize = out.unicast.iter().map(|(_, bytes)| bytes.len()).sum();
            assert!(sent <= datagram.len() && out.repair.is_empty() && out.wants.is_empty());
            assert_eq!(out.unicast.len(), usize::from(datagram.len() >= 98), "a reply has 98 bytes");
        }
    }
    let counters = bench.counters();
    assert_eq!((counters.need_cookie, counters.unproved_short), (24, 2 + 2 + 1 + 1));
}

#[test]
fn cookies_have_a_budget() {
    let Some(mut bench) = Bench::open() else { return };
    let request = Ask::new(0).frames(&[range(1, 1)]);
    let mut answered = 0;
    for number in 0..20_000_u64 {
        bench.now_ns += SECOND / 20_000;
        answered += bench.give(consumer((number % 20_000) as u16), &request).unicast.len() as u64;
    }
    assert!((COOKIES_PER_S..=COOKIES_PER_S * 11 / 10 + 1).contains(&answered), "{answered}");
    assert_eq!(bench.counters().unproved_limited, 20_000 - answered);
}

#[test]
fn a_probe_of_no_ranges_is_answered() {
    let Some(mut bench) = Bench::open() else { return };
    let cookie = bench.cookie(consumer(1));
    let got = bench.got(consumer(1), &Ask::new(cookie).frames(&[]));
    assert_eq!((got.code(), got.reply.n_served, got.reply.oldest_seq), (retx_code::OK, 0, 1));
    assert_eq!(got.reply.newest_seq, bench.store.newest(CHANNEL).unwrap());
    assert_eq!((bench.counters().probes, bench.counters().answered), (1, 0));
}

#[test]
fn requests_beyond_the_limits_are_malformed() {
    let Some(mut bench) = Bench::open() else { return };
    let cookie = bench.cookie(consumer(1));
    let singles = |count: u64| (1..=count).map(|seq| range(seq, 1)).collect::<Vec<_>>();
    let malformed = [
        singles(17),
        vec![range(1, 257)],
        vec![range(1, 200), range(300, 57)],
        vec![range(1, u32::MAX); 16],
        vec![range(1, 0)],
        vec![range(0, 1)],
        vec![range(u64::MAX, 1)],
        vec![range(u64::MAX - 255, 256)],
    ];
    for ranges in &malformed {
        bench.now_ns += SECOND;
        let got = bench.got(consumer(1), &Ask::new(cookie).frames(ranges));
        assert_eq!((got.code(), got.frames.len()), (retx_code::MALFORMED, 0), "{ranges:?}");
    }
    let zero = bench.got(consumer(1), &Ask::new(cookie).state(&[SnapWant { instrument: 0, kinds: 1 }]));
    assert_eq!(zero.code(), retx_code::MALFORMED);
    assert_eq!(bench.counters().malformed, malformed.len() as u64 + 1);
    bench.now_ns += SECOND;
    for ranges in [singles(16), vec![range(301, 256)], vec![range(600, 100), range(800, 156)]] {
        bench.now_ns += SECOND;
        let got = bench.got(consumer(1), &Ask::new(cookie).frames(&ranges));
        let asked: u32 = ranges.iter().map(|range| range.n_frames).sum();
        assert_eq!((got.code(), got.frames.len()), (retx_code::OK, asked as usize));
    }
}

#[test]
fn sessions_and_channels_that_are_not_published_are_told_so() {
    let Some(mut bench) = Bench::open() else { return };
    let cookie = bench.cookie(consumer(1));
    let good = Ask::new(cookie);
    for ask in [
        Ask { session: SESSION + 1, ..good },
        Ask { session: SESSION - 1, ..good },
        Ask { channel: CHANNEL + 1, ..good },
        Ask { channel: SNAPSHOT, session: SESSION - 1, ..good },
    ] {
        let got = bench.got(consumer(1), &ask.frames(&[range(1, 5)]));
        assert_eq!((got.code(), got.frames.len()), (retx_code::BAD_SESSION, 0));
        assert_eq!((got.header.session, got.header.channel), (ask.session, ask.channel));
        assert_eq!((got.reply.oldest_seq, got.reply.newest_seq), (0, 0));
        assert_eq!(bench.got(consumer(1), &ask.state(&[])).code(), retx_code::BAD_SESSION);
    }
    assert_eq!(bench.counters().bad_session, 8);
}

#[test]
fn too_old_and_too_new_numbers_are_told_and_the_others_come() {
    let Some(mut bench) = Bench::open() else { return };
    let newest = bench.store.newest(CHANNEL).unwrap();
    bench.store = Store::new(Limits { frames: 500, ..Limits::default() });
    for frame in bench.sent.iter().filter(|frame| header(frame).channel == CHANNEL) {
        bench.store.push(frame, 0);
    }
    let oldest = newest - 499;
    let got = bench.ask(consumer(1), &[range(oldest - 2, 4)]);
    assert_eq!((got.code(), got.seqs()), (retx_code::TOO_OLD, vec![oldest, oldest + 1]));
    assert_eq!((got.reply.oldest_seq, got.reply.newest_seq), (oldest, newest));
    let got = bench.ask(consumer(1), &[range(newest, 3)]);
    assert_eq!((got.code(), got.seqs()), (retx_code::TOO_NEW, vec![newest]));
    let got = bench.ask(consumer(2), &[range(newest, 3), range(1, 1)]);
    assert_eq!((got.code(), got.seqs()), (retx_code::TOO_OLD, vec![newest]), "the worse is told");
    let counters = bench.counters();
    assert_eq!((counters.frames_too_old, counters.frames_too_new), (3, 4));
    assert_eq!(counters.frames_asked, 11);
}

#[test]
fn the_snapshot_plane_can_be_asked_for() {
    let Some(mut bench) = Bench::open() else { return };
    let cookie = bench.cookie(consumer(1));
    let newest = bench.store.newest(SNAPSHOT).unwrap();
    let got = bench
        .got(consumer(1), &Ask { channel: SNAPSHOT, ..Ask::new(cookie) }.frames(&[range(newest - 4, 5)]));
    assert_eq!((got.code(), got.seqs()), (retx_code::OK, (newest - 4..=newest).collect()));
    assert!(got.frames.iter().all(|frame| header(frame).channel == SNAPSHOT));
    assert_eq!(header(&got.frames[4]).msg_type, msg::CYCLE_END);
    assert_eq!(got.reply.oldest_seq, bench.store.oldest(SNAPSHOT).unwrap());
}

#[test]
fn the_log_gives_what_the_ring_does_not_have() {
    let Some(mut bench) = Bench::open() else { return };
    let mut log = Log::default();
    for frame in bench.numbered(4, 2_000) {
        log.keep(&frame);
    }
    let older = bench.numbered(1, 30).iter().map(|frame| resession(frame, SESSION - 1)).collect::<Vec<_>>();
    older.iter().for_each(|frame| log.keep(frame));
    bench.sent.extend(older);
    bench.store = Store::new(Limits { frames: 100, ..Limits::default() });
    bench.sent.iter().for_each(|frame| {
        bench.store.push(frame, 0);
    });
    bench.log = Some(log);
    let oldest = bench.store.oldest(CHANNEL).unwrap();
    let got = bench.ask(consumer(1), &[range(oldest - 2, 4)]);
    assert_eq!((got.code(), got.seqs()), (retx_code::OK, (oldest - 2..oldest + 2).collect()));
    assert_eq!(got.reply.oldest_seq, 4);
    assert_eq!((bench.counters().frames_archived, bench.log.as_ref().unwrap().asked), (2, 2));
    let got = bench.ask(consumer(1), &[range(2, 4)]);
    assert_eq!((got.code(), got.seqs()), (retx_code::TOO_OLD, vec![4, 5]));
    let cookie = bench.cookie(consumer(1));
    let ask = Ask { session: SESSION - 1, ..Ask::new(cookie) };
    let got = bench.got(consumer(1), &ask.frames(&[range(29, 4)]));
    assert_eq!((got.code(), got.seqs()), (retx_code::TOO_OLD, vec![29, 30]), "of the session before");
    assert!(got.frames.iter().all(|frame| header(frame).session == SESSION - 1));
    assert_eq!(got.reply.oldest_seq, 1);
    let asked = bench.log.as_ref().unwrap().asked;
    let snapshot = Ask { channel: SNAPSHOT, ..Ask::new(cookie) };
    let got = bench.got(consumer(1), &snapshot.frames(&[range(1, 1)]));
    assert_eq!(got.code(), retx_code::TOO_OLD);
    assert_eq!(bench.log.as_ref().unwrap().asked, asked, "the log has no snapshot plane");
}

/// The same frame of another session.
fn resession(frame: &[u8], session: u32) -> Vec<u8> {
    use zerocopy::IntoBytes;
    let changed = wire::Header { session, ..header(frame) };
    let mut frame = frame.to_vec();
    frame[..wire::HEADER_BYTES].copy_from_slice(changed.as_bytes());
    wire::seal(&mut frame, 0, None);
    frame
}

#[test]
fn a_number_is_not_sent_to_a_consumer_twice_within_a_millisecond() {
    let Some(mut bench) = Bench::open() else { return };
    assert_eq!(bench.ask(consumer(1), &[range(5, 3)]).seqs(), [5, 6, 7]);
    bench.now_ns += AGAIN_NS - 1;
    let got = bench.ask(consumer(1), &[range(6, 3)]);
    assert_eq!((got.code(), got.seqs()), (retx_code::OK, vec![8]), "the others are under way");
    assert_eq!(bench.counters().frames_sent_before, 2);
    bench.now_ns += 1;
    assert_eq!(bench.ask(consumer(1), &[range(5, 3)]).seqs(), [5, 6, 7]);
    let got = bench.ask(consumer(2), &[range(9, 1), range(9, 1)]);
    assert_eq!(got.seqs(), [9], "nor in one request");
}

#[test]
fn the_third_and_later_consumer_within_two_milliseconds_get_one_answer_on_the_group() {
    let Some(mut bench) = Bench::open() else { return };
    let mut copies = 0;
    for number in 0..20 {
        let got = bench.ask(consumer(number), &[range(50, 10)]);
        copies += got.frames.len() + got.repair.len();
        match number {
            0 | 1 => assert_eq!((got.seqs(), got.repaired()), ((50..60).collect(), vec![])),
            2 => assert_eq!((got.seqs(), got.repaired()), (vec![], (50..60).collect())),
            _ => assert_eq!(got.reply.n_served, 0),
        }
        bench.now_ns += 20_000;
    }
    assert_eq!(copies, 3 * 10, "20 consumers, 3 copies");
    assert_eq!(bench.counters().frames_repaired_before, 17 * 10);
    bench.now_ns += TOGETHER_NS;
    let got = bench.ask(consumer(30), &[range(50, 10)]);
    assert_eq!((got.seqs(), got.repaired()), ((50..60).collect(), vec![]), "alone again");
}

#[test]
fn the_group_gets_a_number_once_a_millisecond() {
    let Some(mut bench) = Bench::open() else { return };
    let start_ns = bench.now_ns;
    let mut repaired_ns = Vec::new();
    for number in 0..100 {
        let got = bench.ask(consumer(number), &[range(50, 1)]);
        repaired_ns.extend(got.repair.iter().map(|_| bench.now_ns - start_ns));
        bench.now_ns += 100_000;
    }
    assert!(repaired_ns.windows(2).all(|pair| pair[1] - pair[0] >= AGAIN_NS), "{repaired_ns:?}");
    assert_eq!((repaired_ns[0], repaired_ns.len()), (200_000, 10), "{repaired_ns:?}");
    assert_eq!(bench.counters().frames_unicast, 2);
}

#[test]
fn twenty_consumers_that_lost_the_same_frames_draw_at_most_four_copies_of_each() {
    let Some(mut bench) = Bench::open() else { return };
    let cookies: Vec<u64> = (0..20).map(|number| bench.cookie(consumer(number))).collect();
    let mut copies = std::collections::BTreeMap::new();
    // Each asks for the burst that it lost in its own time, 300 us to 700 us behind, and one hears the answers badly.
    for number in 0..20_u16 {
        bench.now_ns += 20_000;
        for burst in 0..2 {
            let ask = Ask::new(cookies[usize::from(number)]);
            let got = bench.got(consumer(number), &ask.frames(&[range(100 + 250 * burst, 250)]));
            for seq in got.seqs().into_iter().chain(got.repaired()) {
                *copies.entry(seq).or_insert(0) += 1;
            }
        }
    }
    bench.now_ns += 2 * MS;
    let got = bench.got(consumer(3), &Ask::new(cookies[3]).frames(&[range(100, 250)]));
    for seq in got.seqs().into_iter().chain(got.repaired()) {
        *copies.entry(seq).or_insert(0) += 1;
    }
    assert_eq!(copies.len(), 500);
    assert!(copies.values().all(|&count| count <= 4), "{copies:?}");
    let counters = bench.counters();
    assert_eq!((counters.rate_limited, counters.total_limited), (0, 0));
}

#[test]
fn a_consumer_has_its_requests_a_second() {
    let Some(mut bench) = Bench::open() else { return };
    let cookie = bench.cookie(consumer(1));
    let request = Ask::new(cookie).frames(&[]);
    let mut answered = 0;
    for _ in 0..40_000 {
        bench.now_ns += SECOND / 20_000;
        let out = bench.give(consumer(1), &request);
        answered += out.unicast.iter().filter(|(_, reply)| read_reply(reply).1.code == retx_code::OK).count();
    }
    let most = 2 * limits::REQUESTS_PER_S + limits::REQUESTS_BURST;
    assert!((most - 10..=most + 1).contains(&(answered as u64)), "{answered} in 2 s");
    let counters = bench.counters();
    assert_eq!(counters.probes + counters.rate_limited + counters.limited_silent, 40_000);
    assert!(counters.rate_limited > 1_000 && counters.limited_silent > counters.rate_limited);
    assert_eq!(bench.ask(consumer(2), &[range(1, 1)]).code(), retx_code::OK, "the others have theirs");
}

#[test]
fn a_consumer_has_its_frames_a_second_and_is_told_when_to_ask_again() {
    let Some(mut bench) = Bench::open() else { return };
    let cookie = bench.cookie(consumer(1));
    let request = |first: u64| Ask::new(cookie).frames(&[range(first, FRAMES_PER_REQUEST)]);
    for number in 0..limits::FRAMES_BURST / 256 {
        assert_eq!(bench.got(consumer(1), &request(1 + number * 256 % 1_024)).code(), retx_code::OK);
        bench.now_ns += 1;
    }
    let got = bench.got(consumer(1), &request(1));
    assert_eq!((got.code(), got.frames.len()), (retx_code::RATE_LIMITED, 0));
    // 256 frames at 8,000 a second, 16 ns of which have passed.
    assert_eq!(got.reply.retry_after_us, 32_000);
    bench.now_ns += 31_998_000;
    assert_eq!(bench.got(consumer(1), &request(1)).code(), retx_code::RATE_LIMITED);
    bench.now_ns += 2_000;
    assert_eq!(bench.got(consumer(1), &request(1)).code(), retx_code::OK);
    let counters = bench.counters();
    assert_eq!((counters.rate_limited, counters.answered), (2, limits::FRAMES_BURST / 256 + 1));
}

#[test]
fn all_together_have_a_part_of_the_line() {
    let Some(frames) = frames(1_500, 300) else { return };
    let mut bench = Bench::of(frames, LINE / 50, None);
    let cookies: Vec<u64> = (0..40).map(|number| bench.cookie(consumer(number))).collect();
    let per_s = LINE / 50 / limits::TOTAL_PART;
    let mut bytes = 0;
    for step in 0..1_000_u64 {
        bench.now_ns += 2 * MS;
        let number = (step % 40) as u16;
        let request = Ask::new(cookies[usize::from(number)]).frames(&[range(1 + step % 5 * 100, 64)]);
        let out = bench.give(consumer(number), &request);
        let sent = out.unicast.iter().map(|(_, sent)| sent).chain(&out.repair);
        bytes += sent.map(|sent| sent.len() as u64).sum::<u64>();
    }
    // 2 s, the burst, and one request that found a token.
    let most = 2 * per_s + per_s / limits::TOTAL_BURST_PART + 256 * 1_400;
    assert!((2 * per_s..=most).contains(&bytes), "{bytes} of {most}");
    let counters = bench.counters();
    assert!(counters.total_limited > 100, "{counters:?}");
    assert_eq!(counters.rate_limited, 0);
}

#[test]
fn state_that_is_wanted_is_handed_on() {
    let Some(mut bench) = Bench::open() else { return };
    let cookie = bench.cookie(consumer(1));
    let wants = [
        SnapWant { instrument: 11, kinds: snap_kinds::L2 },
        SnapWant { instrument: 12, kinds: snap_kinds::DEFINITION },
    ];
    for channel in [CHANNEL, SNAPSHOT] {
        let out = bench.give(consumer(1), &Ask { channel, ..Ask::new(cookie) }.state(&wants));
        assert_eq!(out.wants, [(CHANNEL, SESSION, VENUE, wants.to_vec())]);
        let (header, reply) = read_reply(&out.unicast[0].1);
        assert_eq!((header.channel, reply.code, reply.n_served), (channel, retx_code::OK, 0));
        assert_eq!(reply.newest_seq, bench.store.newest(SNAPSHOT).unwrap());
        assert_eq!(out.unicast.len(), 1);
    }
    let out = bench.give(consumer(1), &Ask::new(cookie).state(&[]));
    assert_eq!(out.wants, [(CHANNEL, SESSION, VENUE, Vec::new())]);
    assert_eq!((bench.counters().snap_answered, bench.counters().snap_wants), (3, 4));
    let stranger = bench.give(consumer(2), &Ask::new(0).state(&wants));
    assert!(stranger.wants.is_empty());
}

#[test]
fn with_keys_only_requests_with_a_mac_are_answered_and_replies_carry_one() {
    let Some(sent) = frames(300, 100) else { return };
    let ring = |byte| Keyring::new(vec![(3, MasterKey::new([byte; 32]))]).unwrap();
    let mut bench = Bench::of(sent, LINE, Some(ring(1)));
    let key = |byte| Some(ring(byte).request_signer(CHANNEL, SESSION).key);
    for (key, padding) in [(None, 8), (key(2), 0)] {
        let request = Ask { key, ..Ask::new(0) }.frames(&[range(1, 10)]);
        let got = bench.got(consumer(1), &[&request[..], &vec![0; padding]].concat());
        assert_eq!((got.code(), got.reply.cookie), (retx_code::BAD_MAC, 0));
    }
    assert!(bench.give(consumer(1), &Ask::new(0).frames(&[range(1, 10)])).unicast.is_empty(), "98 < 106");
    let ask = Ask { key: key(1), ..Ask::new(0) };
    let first = bench.give(consumer(1), &ask.frames(&[range(1, 10)]));
    let (header, reply) = read_reply(&first.unicast[0].1);
    assert_eq!((reply.code, header.flags & flags::AUTH), (retx_code::NEED_COOKIE, flags::AUTH));
    let frame = wire::check(&first.unicast[0].1).unwrap();
    assert_eq!(ring(1).verify(&frame), Ok(3));
    assert!(ring(2).verify(&frame).is_err());
    let got = bench.got(consumer(1), &Ask { cookie: reply.cookie, ..ask }.frames(&[range(1, 10)]));
    assert_eq!((got.code(), got.seqs()), (retx_code::OK, (1..=10).collect()));
    let counters = bench.counters();
    assert_eq!((counters.bad_mac, counters.need_cookie, counters.unproved_short), (3, 1, 1));
}

#[test]
fn what_is_no_request_is_counted_and_not_answered() {
    let Some(mut bench) = Bench::open() else { return };
    let request = Ask::new(0).frames(&[range(1, 1)]);
    let mut broken = request.clone();
    broken[70] ^= 1;
    let given = [&bench.sent[3].clone(), &broken, &request[..40].to_vec(), &vec![0; 2_000], &Vec::new()];
    for datagram in given.map(Clone::clone) {
        let out = bench.give(consumer(1), &datagram);
        assert!(out.unicast.is_empty() && out.repair.is_empty() && out.wants.is_empty());
    }
    let counters = bench.counters();
    assert_eq!((counters.not_a_request, counters.not_a_frame, counters.requests), (1, 4, 5));
    let refusals = bench.server.refusals();
    assert_eq!(refusals[wire::Refusal::Crc as usize], 1);
    assert_eq!(refusals[wire::Refusal::TooShort as usize], 2);
    assert_eq!(refusals[wire::Refusal::TooLong as usize], 1);
}
