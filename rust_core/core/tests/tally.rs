//! Counting frames: what a monitor shows against what was sent, lost, doubled and turned round.

mod receive_support;

use std::collections::BTreeSet;

use outcrier_core::event::{Level, Trade};
use outcrier_core::receive::Line;
use outcrier_core::tally::{NUMBERS_KEPT, Stream, Tally};
use outcrier_core::wire::{self, Header, NO_RECORDS, NO_ROOT, PackBuf, Refusal, Status, flags, msg, zeroed};
use receive_support::{CHANNEL, Publisher, Rng, SESSION, VENUE, definition};

const ID: u32 = 11;

fn publisher(session: u32) -> Publisher {
    let mut publisher = Publisher::new(session, 1);
    publisher.start(0);
    publisher.define(ID, definition("BTC/USDT", 1));
    publisher
}

fn sent(publisher: &mut Publisher, updates: i64) -> Vec<Vec<u8>> {
    for price in 1..=updates {
        publisher.delta(ID, &[Level { price, qty: 1 }], &[], 1, 0);
    }
    publisher.take().into_iter().map(|(_, frame)| frame).collect()
}

fn only(tally: &Tally) -> &Stream {
    let streams: Vec<_> = tally.streams().collect();
    assert_eq!(streams.len(), 1);
    streams[0]
}

fn types(stream: &Stream) -> Vec<(u8, u64, u64, i64)> {
    stream.types().map(|(number, count)| (number, count.frames, count.bytes, count.last_ns)).collect()
}

#[test]
fn frames_are_counted_by_type_and_plane() {
    let mut tally = Tally::default();
    let mut publisher = publisher(SESSION);
    publisher.session_flags = flags::TEST;
    publisher.bbo(ID);
    publisher.heartbeat();
    publisher.group(ID);
    let frames = publisher.take();
    for (at, (line, frame)) in (100..).zip(&frames) {
        tally.on_datagram(*line, frame, at);
    }
    let streams: Vec<_> = tally.streams().collect();
    let [incremental, snapshot] = streams[..] else { panic!("{} streams", streams.len()) };
    for stream in [incremental, snapshot] {
        assert_eq!((stream.channel, stream.venue, stream.session), (CHANNEL, VENUE, SESSION));
        assert_eq!((stream.gaps, stream.missing, stream.sessions), (0, 0, 1));
        assert_eq!((stream.replay, stream.ended), (false, false));
    }
    assert_eq!((incremental.line, snapshot.line), (Line::A, Line::Snapshot));
    assert_eq!((incremental.test, snapshot.test), (true, true));
    // 66 bytes of header and the roots as docs/wire-format.md has them.
    let expected = [
        (msg::HEARTBEAT, 1, 122, 103),
        (msg::SESSION_START, 1, 130, 100),
        (msg::BBO, 1, 106, 102),
        (msg::INSTRUMENT_DEF, 1, 290, 101),
    ];
    assert_eq!(types(incremental), expected);
    assert_eq!(incremental.total.frames, 4);
    assert_eq!(incremental.total.bytes, 122 + 130 + 106 + 290);
    assert!(types(snapshot).iter().any(|&(number, frames, ..)| (number, frames) == (msg::INSTRUMENT_DEF, 1)));
    assert_eq!(tally.plane(Line::A).datagrams, 4);
    assert_eq!(tally.plane(Line::Snapshot).datagrams, frames.len() as u64 - 4);
}

#[test]
fn what_is_no_frame_is_counted_by_cause_and_nothing_else() {
    let mut tally = Tally::default();
    let frames = sent(&mut publisher(SESSION), 1);
    let mut flipped = frames[0].clone();
    flipped[70] ^= 1;
    tally.on_datagram(Line::A, &flipped, 1);
    tally.on_datagram(Line::A, b"hello", 1);
    tally.on_datagram(Line::A, &[0; 1_401], 1);
    tally.on_datagram(Line::Snapshot, &frames[0], 1);
    assert_eq!(tally.streams().count(), 0);
    let plane = tally.plane(Line::A);
    let causes = [Refusal::Crc, Refusal::TooShort, Refusal::TooLong];
    assert_eq!(causes.map(|cause| plane.refused[cause as usize]), [1, 1, 1]);
    assert_eq!(plane.refused.iter().sum::<u64>(), 3);
    assert_eq!((plane.datagrams, plane.wrong_plane), (3, 0));
    assert_eq!(tally.plane(Line::Snapshot).wrong_plane, 1);
}

#[test]
fn padding_is_no_part_of_a_frame() {
    let mut tally = Tally::default();
    let mut frame = sent(&mut publisher(SESSION), 1).remove(0);
    let bytes = frame.len() as u64;
    frame.resize(1_000, 0);
    tally.on_datagram(Line::A, &frame, 1);
    assert_eq!(only(&tally).total.bytes, bytes);
    let plane = tally.plane(Line::A);
    assert_eq!((plane.bytes, plane.padding_bytes), (1_000, 1_000 - bytes));
}

#[test]
fn messages_of_a_pack_are_counted_by_their_types() {
    let mut tally = Tally::default();
    let mut pack = PackBuf::default();
    let trade = Trade { price: 5, qty: 6, n_fills: 1, ..Trade::default() };
    for (msg_type, instr_seq) in [(msg::TRADE, 1), (msg::TRADE, 2), (msg::STATUS, 3)] {
        let header = Header {
            flags: flags::EVENT_END,
            channel_seq: 7,
            instrument: ID,
            instr_seq,
            ..Header::new(msg_type, CHANNEL, SESSION, VENUE)
        };
        let added = match msg_type {
            msg::TRADE => pack.push(&header, &NO_ROOT, &[trade]),
            _ => pack.push(&header, &zeroed::<Status>(), NO_RECORDS),
        };
        assert_eq!(added, Ok(()));
    }
    let frame = pack.close().unwrap();
    wire::seal(frame, 1, None);
    tally.on_datagram(Line::A, frame, 9);
    let counts: Vec<_> = only(&tally)
        .types()
        .map(|(number, count)| (number, count.frames, count.packed, count.last_ns))
        .collect();
    assert_eq!(counts, [(msg::STATUS, 0, 1, 9), (msg::TRADE, 0, 2, 9), (msg::PACK, 1, 0, 9)]);
    assert_eq!((only(&tally).total.frames, tally.plane(Line::A).unknown_type), (1, 0));
}

#[test]
fn a_loss_at_the_tail_is_told_by_the_heartbeat() {
    let mut tally = Tally::default();
    let mut publisher = publisher(SESSION);
    let frames = sent(&mut publisher, 5);
    for frame in &frames[..4] {
        tally.on_datagram(Line::A, frame, 1);
    }
    assert_eq!(only(&tally).missing, 0);
    publisher.heartbeat();
    tally.on_datagram(Line::A, &publisher.one(), 1);
    assert_eq!((only(&tally).gaps, only(&tally).missing), (1, 3));
    for frame in &frames[4..] {
        tally.on_datagram(Line::A, frame, 1);
    }
    assert_eq!((only(&tally).gaps, only(&tally).missing, only(&tally).late), (1, 0, 3));
}

#[test]
fn a_new_session_begins_its_own_numbers_and_the_old_one_is_counted_apart() {
    let mut tally = Tally::default();
    let (mut old, mut new) = (publisher(SESSION), publisher(SESSION + 1));
    let before = sent(&mut old, 20);
    for frame in &before[..10] {
        tally.on_datagram(Line::A, frame, 1);
    }
    old.end(SESSION + 1);
    tally.on_datagram(Line::A, &old.one(), 1);
    assert!(only(&tally).ended);
    assert_eq!(only(&tally).missing, 12, "the end says how many there were");
    for frame in sent(&mut new, 3) {
        tally.on_datagram(Line::A, &frame, 1);
    }
    tally.on_datagram(Line::A, &before[12], 1);
    let stream = only(&tally);
    assert_eq!((stream.session, stream.sessions, stream.ended), (SESSION + 1, 2, false));
    assert_eq!((stream.missing, stream.late, stream.old_session), (12, 0, 1));
}

#[test]
fn joining_in_the_middle_is_no_loss() {
    let mut tally = Tally::default();
    let frames = sent(&mut publisher(SESSION), 10);
    for at in [8, 7, 9, 9] {
        tally.on_datagram(Line::A, &frames[at], 1);
    }
    let stream = only(&tally);
    assert_eq!((stream.gaps, stream.missing, stream.late, stream.duplicates), (0, 0, 1, 1));
}

#[test]
fn any_order_is_counted_as_a_set_counts_it() {
    for seed in 0..50 {
        let mut rng = Rng::new(seed);
        let mut tally = Tally::default();
        let frames = sent(&mut publisher(SESSION), 400);
        let mut order: Vec<usize> = (0..frames.len()).filter(|_| !rng.chance(100)).collect();
        for _ in 0..40 {
            order.insert(rng.below(order.len() as u64) as usize, rng.below(frames.len() as u64) as usize);
            let swapped = rng.below(order.len() as u64 - 1) as usize;
            order.swap(swapped, swapped + 1);
        }
        let (mut heard, mut duplicates, mut late, mut high) = (BTreeSet::new(), 0, 0, order[0]);
        for &at in &order {
            duplicates += u64::from(!heard.insert(at));
            tally.on_datagram(Line::A, &frames[at], 1);
        }
        let mut seen = BTreeSet::new();
        for &at in &order {
            late += u64::from(seen.insert(at) && at < high);
            high = high.max(at);
        }
        let missing = (order[0]..=high).filter(|at| !heard.contains(at)).count() as u64;
        let stream = only(&tally);
        assert_eq!((stream.duplicates, stream.late), (duplicates, late), "seed {seed}");
        assert_eq!(stream.missing, missing, "seed {seed}");
        assert_eq!(stream.total.frames, order.len() as u64, "seed {seed}");
    }
}

#[test]
fn absurd_numbers_are_counted_and_no_more() {
    let mut tally = Tally::default();
    let frame = sent(&mut publisher(SESSION), 1).remove(0);
    let numbered = |number: u64| {
        let mut copy = frame.clone();
        copy[10..18].copy_from_slice(&number.to_le_bytes());
        wire::seal(&mut copy, 1, None);
        copy
    };
    for number in [0, 5, 0, u64::MAX, 6, u64::MAX - NUMBERS_KEPT, u64::MAX - NUMBERS_KEPT + 1, u64::MAX] {
        tally.on_datagram(Line::A, &numbered(number), 1);
    }
    let stream = only(&tally);
    assert_eq!((stream.too_old, stream.duplicates, stream.late), (4, 1, 1));
    // From 1, where a channel begins: 1 to 4 and what lies between 5 and the last but one that came late.
    assert_eq!((stream.gaps, stream.missing), (2, 4 + (u64::MAX - 6) - 1));
}
