//! Counting frames: what a monitor shows against what was sent, lost, doubled and turned round.

mod receive_support;

use std::collections::BTreeSet;

use outcrier_core::event::{Level, Trade};
use outcrier_core::receive::Line;
use outcrier_core::tally::{
    CHANGES_KEPT, GAPS_KEPT, INSTRUMENTS_MAX, LINES_KEPT, NUMBERS_KEPT, Saying, Stream, TOLD_KEPT, Tally,
};
use outcrier_core::wire::{
    self, Conn, Header, InstrumentDef, NO_RECORDS, NO_ROOT, PackBuf, Refusal, Status, flags, msg, zeroed,
};
use receive_support::{CHANNEL, Publisher, SESSION, VENUE, definition, rng::Rng};

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
        assert_eq!((stream.numbers.gaps, stream.numbers.missing, stream.sessions), (0, 0, 1));
        assert_eq!((stream.replay, stream.ended), (false, false));
    }
    assert_eq!((incremental.is_snapshot, snapshot.is_snapshot), (false, true));
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
    assert_eq!(tally.line(Line::A).datagrams, 4);
    assert_eq!(tally.line(Line::Snapshot).datagrams, frames.len() as u64 - 4);
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
    let plane = tally.line(Line::A);
    let causes = [Refusal::Crc, Refusal::TooShort, Refusal::TooLong];
    assert_eq!(causes.map(|cause| plane.refused[cause as usize]), [1, 1, 1]);
    assert_eq!(plane.refused.iter().sum::<u64>(), 3);
    assert_eq!((plane.datagrams, plane.wrong_plane), (3, 0));
    assert_eq!(tally.line(Line::Snapshot).wrong_plane, 1);
}

#[test]
fn padding_is_no_part_of_a_frame() {
    let mut tally = Tally::default();
    let mut frame = sent(&mut publisher(SESSION), 1).remove(0);
    let bytes = frame.len() as u64;
    frame.resize(1_000, 0);
    tally.on_datagram(Line::A, &frame, 1);
    assert_eq!(only(&tally).total.bytes, bytes);
    let plane = tally.line(Line::A);
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
    assert_eq!((only(&tally).total.frames, tally.line(Line::A).unknown_type), (1, 0));
}

#[test]
fn a_loss_at_the_tail_is_told_by_the_heartbeat() {
    let mut tally = Tally::default();
    let mut publisher = publisher(SESSION);
    let frames = sent(&mut publisher, 5);
    for frame in &frames[..4] {
        tally.on_datagram(Line::A, frame, 1);
    }
    assert_eq!(only(&tally).numbers.missing, 0);
    publisher.heartbeat();
    tally.on_datagram(Line::A, &publisher.one(), 1);
    assert_eq!((only(&tally).numbers.gaps, only(&tally).numbers.missing), (1, 3));
    for frame in &frames[4..] {
        tally.on_datagram(Line::A, frame, 1);
    }
    assert_eq!(
        (only(&tally).numbers.gaps, only(&tally).numbers.missing, only(&tally).numbers.late),
        (1, 0, 3)
    );
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
    assert_eq!(only(&tally).numbers.missing, 12, "the end says how many there were");
    for frame in sent(&mut new, 3) {
        tally.on_datagram(Line::A, &frame, 1);
    }
    tally.on_datagram(Line::A, &before[12], 1);
    let stream = only(&tally);
    assert_eq!((stream.session, stream.sessions, stream.ended), (SESSION + 1, 2, false));
    assert_eq!((stream.numbers.missing, stream.numbers.late, stream.old_session()), (12, 0, 1));
}

#[test]
fn joining_in_the_middle_is_no_loss() {
    let mut tally = Tally::default();
    let frames = sent(&mut publisher(SESSION), 10);
    for at in [8, 7, 9, 9] {
        tally.on_datagram(Line::A, &frames[at], 1);
    }
    let stream = only(&tally);
    assert_eq!(
        (
            stream.numbers.gaps,
            stream.numbers.missing,
            stream.numbers.late,
            stream.heard(Line::A).unwrap().numbers.duplicates
        ),
        (0, 0, 1, 1)
    );
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
        assert_eq!(
            (stream.heard(Line::A).unwrap().numbers.duplicates, stream.numbers.late),
            (duplicates, late),
            "seed {seed}"
        );
        assert_eq!(stream.numbers.missing, missing, "seed {seed}");
        assert_eq!(stream.total.frames, heard.len() as u64, "seed {seed}");
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
    assert_eq!(
        (stream.numbers.too_old, stream.heard(Line::A).unwrap().numbers.duplicates, stream.numbers.late),
        (4, 1, 1)
    );
    // From 1, where a channel begins: 1 to 4 and what lies between 5 and the last but one that came late.
    assert_eq!((stream.numbers.gaps, stream.numbers.missing), (2, 4 + (u64::MAX - 6) - 1));
}

/// A publisher's frames by lines A and B: what one line loses the other one fills, what both lose is missing until the
/// repair group brings it.
#[test]
fn two_lines_are_one_stream_and_each_is_counted_alone() {
    let mut tally = Tally::default();
    let frames = sent(&mut publisher(SESSION), 40);
    for (at, frame) in (0_i64..).zip(&frames) {
        if !matches!(at, 10 | 11 | 30) {
            tally.on_datagram(Line::A, frame, 1_000 * at);
        }
        // Line B is 5 ns later up to 20, then 7 ns earlier.
        if !matches!(at, 20 | 30) {
            tally.on_datagram(Line::B, frame, 1_000 * at + if at < 20 { 5 } else { -7 });
        }
    }
    let stream = only(&tally);
    let [a, b] = [Line::A, Line::B].map(|line| stream.heard(line).unwrap());
    assert_eq!((a.numbers.gaps, a.numbers.missing, a.filled), (2, 3, 0));
    assert_eq!((b.numbers.gaps, b.numbers.missing, b.filled), (2, 2, 0));
    assert_eq!((stream.numbers.gaps, stream.numbers.missing, stream.total.frames), (1, 1, 41));
    assert_eq!(stream.differing, 0);
    // The first frame of B is the second copy of number 1: before that there was nothing to compare.
    assert_eq!((a.earlier, b.earlier), (17, 20));
    let gap = *tally.gaps().iter().next().unwrap();
    assert_eq!((gap.first, gap.count, gap.left(), gap.opened_ns), (31, 1, 1, 31_000));
    tally.on_datagram(Line::Repair, &frames[30], 45_000);
    tally.on_datagram(Line::Repair, &frames[30], 46_000);
    let stream = only(&tally);
    assert_eq!((stream.numbers.missing, stream.heard(Line::Repair).unwrap().filled), (0, 1));
    let gap = *tally.gaps().iter().next().unwrap();
    assert_eq!((gap.left(), gap.filled[Line::Repair as usize], gap.filled_ns), (0, 1, 45_000));
    assert_eq!(tally.gaps().iter().count(), 1);
}

#[test]
fn a_copy_with_other_bytes_and_a_second_publisher_are_told() {
    let mut tally = Tally::default();
    let (mut one, mut other) = (publisher(SESSION), publisher(SESSION));
    let (ours, theirs) = (sent(&mut one, 3), sent(&mut other, 4));
    for (line, frames) in [(Line::B, &ours), (Line::A, &theirs)] {
        for frame in frames {
            tally.on_datagram(line, frame, 1);
        }
    }
    assert_eq!(only(&tally).differing, 0, "the same bytes by another line");
    let mut changed = ours[4].clone();
    changed[58] ^= 1;
    let end = changed.len();
    wire::seal(&mut changed[..end], 77, None);
    tally.on_datagram(Line::B, &changed, 1);
    assert_eq!(only(&tally).heard(Line::B).unwrap().numbers.duplicates, 1);
    assert!(!only(&tally).split);
    one.heartbeat();
    tally.on_datagram(Line::A, &one.one(), 1);
    let mut foreign = tally_heartbeat(&mut one);
    foreign[66] ^= 1;
    wire::seal(&mut foreign, 0, None);
    tally.on_datagram(Line::A, &foreign, 1);
    assert!(only(&tally).split);
}

/// The next heartbeat.
fn tally_heartbeat(publisher: &mut Publisher) -> Vec<u8> {
    publisher.heartbeat();
    publisher.one()
}

#[test]
fn instruments_are_sampled_by_rate_and_found_by_name() {
    let mut tally = Tally::default();
    let mut publisher = publisher(SESSION);
    publisher.define(ID + 1, definition("ETH/USDT", 1));
    for _ in 0..3 {
        publisher.bbo(ID + 1);
    }
    publisher.bbo(ID);
    for (_, frame) in publisher.take() {
        tally.on_datagram(Line::A, &frame, 5);
        tally.on_datagram(Line::B, &frame, 6);
    }
    let names = |sample: Vec<(u64, outcrier_core::tally::Instrument)>| -> Vec<(u64, String, u64)> {
        sample.iter().map(|(since, each)| (*since, each.symbol().to_owned(), each.bbos)).collect()
    };
    let all = tally.instruments_mut().sample(None, "", 10);
    assert_eq!(names(all), [(4, "ETH/USDT".to_owned(), 3), (2, "BTC/USDT".to_owned(), 1)]);
    assert_eq!(names(tally.instruments_mut().sample(Some(CHANNEL), "btc", 10)).len(), 1);
    assert!(tally.instruments_mut().sample(Some(CHANNEL + 1), "", 10).is_empty());
    publisher.bbo(ID);
    tally.on_datagram(Line::A, &publisher.one(), 7);
    let busiest = tally.instruments_mut().sample(None, "", 1);
    assert_eq!(names(busiest), [(1, "BTC/USDT".to_owned(), 2)]);
}

#[test]
fn what_proves_a_book_and_what_is_suspect_is_counted_by_instrument() {
    let mut tally = Tally::default();
    let mut publisher = publisher(SESSION);
    publisher.define(ID + 1, InstrumentDef { book_proof: 0, ..definition("ETH/USDT", 1) });
    publisher.define(ID, InstrumentDef { book_proof: 3, ..definition("BTC/USDT", 2) });
    publisher.bbo(ID);
    for (line, frame) in publisher.take() {
        tally.on_datagram(line, &frame, 1);
    }
    publisher.session_flags = flags::SUSPECT;
    publisher.bbo(ID + 1);
    publisher.bbo(ID + 1);
    for (line, frame) in publisher.take() {
        tally.on_datagram(line, &frame, 2);
        tally.on_datagram(Line::B, &frame, 2);
    }
    let found: Vec<_> =
        tally.standing().map(|each| (each.instrument, each.book_proof, each.suspect)).collect();
    assert_eq!(found, [(ID, 3, 0), (ID + 1, 0, 2)]);
}

#[test]
fn changes_of_state_are_kept_up_to_a_limit_and_repeats_are_none() {
    let mut tally = Tally::default();
    let mut publisher = publisher(SESSION);
    for state in [1, 2, 2, 1] {
        publisher.status(ID, state, 0);
    }
    for (at, (_, frame)) in (100..).zip(publisher.take()) {
        tally.on_datagram(Line::A, &frame, at);
    }
    let changes = |tally: &Tally| -> Vec<(i64, u8, u8)> {
        tally.instruments().changes().map(|each| (each.at_ns, each.before, each.state)).collect()
    };
    let told = changes(&tally);
    assert_eq!(told[told.len() - 2..], [(103, 1, 2), (105, 2, 1)]);
    for number in 0..2 * CHANGES_KEPT {
        publisher.status(ID, 2 - (number % 2) as u8, 0);
        tally.on_datagram(Line::A, &publisher.one(), 200);
    }
    assert_eq!(changes(&tally).len(), CHANGES_KEPT);
}

#[test]
fn what_was_cut_or_sent_before_the_newest_message_changes_no_state() {
    let mut tally = Tally::default();
    let mut publisher = publisher(SESSION);
    publisher.status(ID, 1, 0);
    let live = publisher.take();
    publisher.group(ID);
    let cut_before = publisher.take();
    publisher.status(ID, 1, 0);
    let late = publisher.one();
    publisher.status(ID, 2, 3);
    let stale = publisher.one();
    let state = |tally: &Tally| {
        tally.standing().map(|each| (each.state, each.reason, each.instr_seq)).collect::<Vec<_>>()
    };
    for (line, frame) in &live {
        tally.on_datagram(*line, frame, 1);
    }
    tally.on_datagram(Line::A, &stale, 2);
    assert_eq!(state(&tally), [(2, 3, 4)]);
    // Each socket is read in its turn: an older group of the snapshot plane, and a frame that the repair group brings.
    for (line, frame) in &cut_before {
        tally.on_datagram(*line, frame, 3);
    }
    tally.on_datagram(Line::Repair, &late, 4);
    assert_eq!(state(&tally), [(2, 3, 4)]);
    // The definition of a newer group gives no reason, and its status does.
    publisher.status(ID, 3, 1);
    let _lost = publisher.one();
    publisher.group(ID);
    for (line, frame) in publisher.take() {
        tally.on_datagram(line, &frame, 5);
    }
    assert_eq!(state(&tally), [(3, 0, 4)], "a lost state is made good by the snapshot plane");
    assert!(tally.standing().all(outcrier_core::tally::Instrument::is_not_live));
}

#[test]
fn an_instrument_that_a_new_session_does_not_have_stands_no_more() {
    let mut tally = Tally::default();
    let (mut old, mut new) = (publisher(SESSION), publisher(SESSION + 1));
    old.define(ID + 1, definition("ETH/USDT", 1));
    old.status(ID, 1, 0);
    for (line, frame) in old.take() {
        tally.on_datagram(line, &frame, 1);
    }
    let standing = |tally: &Tally| {
        tally.standing().map(|each| (each.symbol().to_owned(), each.state)).collect::<Vec<_>>()
    };
    let defined = definition("BTC/USDT", 1).status;
    assert_eq!(standing(&tally), [("BTC/USDT".to_owned(), 1), ("ETH/USDT".to_owned(), defined)]);
    for (line, frame) in new.take() {
        tally.on_datagram(line, &frame, 2);
    }
    assert_eq!(standing(&tally), [("BTC/USDT".to_owned(), defined)]);
    // A group of the old session that was still under way.
    old.group(ID + 1);
    for (line, frame) in old.take() {
        tally.on_datagram(line, &frame, 3);
    }
    assert_eq!(standing(&tally).len(), 1);
}

#[test]
fn what_publishers_say_of_themselves_waits_in_order_up_to_a_limit() {
    let mut tally = Tally::default();
    let mut publisher = publisher(SESSION);
    let conn = |conn_id| Conn { conn_id, connected: 1, messages: 7, ..zeroed() };
    publisher.numbered(msg::CONN, 0, flags::EVENT_END, &conn(2), NO_RECORDS);
    let lost = Status { scope: wire::status::scope::CONNECTION, state: 2, conn_id: 2, ..zeroed() };
    publisher.numbered(msg::STATUS, 0, flags::EVENT_END, &lost, NO_RECORDS);
    publisher.status(ID, 2, 3);
    for (_, frame) in publisher.take() {
        tally.on_datagram(Line::A, &frame, 5);
        tally.on_datagram(Line::B, &frame, 6);
    }
    let told: Vec<_> = tally.tellings.take().collect();
    assert!(told.iter().all(|each| (each.channel, each.venue, each.session) == (CHANNEL, VENUE, SESSION)));
    assert_eq!(told.iter().map(|each| (each.seq, each.rx_ns)).collect::<Vec<_>>(), [(1, 5), (3, 5), (4, 5)]);
    let [Saying::Start(_), Saying::Conn(first), Saying::Status(second)] =
        [told[0].saying, told[1].saying, told[2].saying]
    else {
        panic!("{told:?}")
    };
    assert_eq!((first.conn_id, first.connected, first.messages), (2, 1, 7));
    assert_eq!((second.conn_id, second.state), (2, 2));
    assert_eq!(tally.tellings.take().count(), 0);
    for _ in 0..TOLD_KEPT + 3 {
        publisher.numbered(msg::CONN, 0, flags::EVENT_END, &conn(1), NO_RECORDS);
        tally.on_datagram(Line::A, &publisher.one(), 7);
    }
    assert_eq!(tally.tellings.overrun, 3);
    assert_eq!(tally.tellings.take().next().map(|each| each.seq), Some(6 + 3), "the oldest gave way");
}

#[test]
fn instruments_beyond_the_limit_are_counted_together() {
    let mut tally = Tally::default();
    let mut frame = sent(&mut publisher(SESSION), 1).pop().unwrap();
    let more = 3;
    for number in 0..INSTRUMENTS_MAX as u64 + more {
        frame[10..18].copy_from_slice(&(number + 3).to_le_bytes());
        frame[26..30].copy_from_slice(&(number as u32 + 1).to_le_bytes());
        wire::seal(&mut frame, 1, None);
        tally.on_datagram(Line::A, &frame, 1);
    }
    assert_eq!((tally.instruments().len(), tally.instruments().untracked), (INSTRUMENTS_MAX, more));
}

#[test]
fn gaps_are_kept_up_to_a_limit() {
    let mut tally = Tally::default();
    let frames = sent(&mut publisher(SESSION), 3 * GAPS_KEPT as i64);
    for frame in frames.iter().step_by(2) {
        tally.on_datagram(Line::A, frame, 1);
    }
    assert_eq!(tally.gaps().iter().count(), GAPS_KEPT);
    assert_eq!(only(&tally).numbers.gaps, frames.len() as u64 / 2 - 1 + frames.len() as u64 % 2);
}

#[test]
fn hops_are_measured_of_first_copies_of_messages() {
    let mut tally = Tally::default();
    let mut publisher = publisher(SESSION);
    publisher.take();
    publisher.bbo(ID);
    let mut frame = publisher.one();
    let timed = |frame: &mut Vec<u8>, flags: u16, seq: u64| {
        frame[4..6].copy_from_slice(&(wire::flags::EVENT_END | flags).to_le_bytes());
        frame[10..18].copy_from_slice(&seq.to_le_bytes());
        frame[42..50].copy_from_slice(&1_000_000_i64.to_le_bytes());
        frame[50..58].copy_from_slice(&1_500_000_i64.to_le_bytes());
        wire::seal(frame, 300, None);
    };
    timed(&mut frame, 0, 10);
    tally.on_datagram(Line::A, &frame, 1_500_450);
    tally.on_datagram(Line::B, &frame, 1_900_000);
    timed(&mut frame, flags::REPLAY | flags::NO_EXCH_TS, 11);
    tally.on_datagram(Line::A, &frame, 9_000_000);
    timed(&mut frame, 0, 12);
    tally.on_datagram(Line::A, &frame, 1_000_000);
    let hops = &only(&tally).hops;
    let buckets = |hop: &outcrier_core::tally::Histogram| -> Vec<_> { hop.buckets().collect() };
    assert_eq!(buckets(&hops.exchange_to_recv), [(491_520, 524_288, 2)]);
    assert_eq!(buckets(&hops.recv_to_send), [(288, 320, 3)]);
    assert_eq!((buckets(&hops.send_to_kernel), hops.send_to_kernel.negative), (vec![(144, 160, 1)], 1));
}

#[test]
fn text_lines_are_printable_ascii_with_an_end() {
    let mut tally = Tally::default();
    let long = [b"x".repeat(511), b"\n".to_vec()].concat();
    for line in [b"CONN|UPBIT|38|2|40\n".as_slice(), &long] {
        tally.texts.on_datagram(line, 7);
    }
    for wrong in [
        b"CONN|UPBIT|38|2|40".as_slice(),
        b"a\x1b[2J\n",
        b"a\nb\n",
        &[0xFB, b'\n'],
        &[long.clone(), b"\n".to_vec()].concat(),
    ] {
        tally.texts.on_datagram(wrong, 7);
    }
    let taken: Vec<_> = tally.texts.take().map(|line| (line.rx_ns, line.text)).collect();
    assert_eq!(taken[0], (7, "CONN|UPBIT|38|2|40".to_owned()));
    assert_eq!((taken.len(), tally.texts.lines, tally.texts.refused), (2, 2, 5));
    for _ in 0..LINES_KEPT + 4 {
        tally.texts.on_datagram(b"a\n", 7);
    }
    assert_eq!((tally.texts.overrun, tally.texts.take().count()), (4, LINES_KEPT));
}
