//! Images and the head of the snapshot cycle: the same groups as the snapshot plane, cut when somebody asks; and the edges of
//! the numbers. The book is that of a recorded session.

mod publish_support;
mod shape_support;

use std::collections::BTreeMap;

use outcrier_core::feed::{AGAIN_FRAMES_PER_S, CYCLE_MIN_NS, HEAD_EVERY_NS, NoticeKind};
use outcrier_core::publish::{Plane, SEQ_RESERVE};
use outcrier_core::wire::{self, Message, SnapWant, msg, snap_kinds};
use publish_support::{Bench, MS, add, cut, start, types, with_book};

#[test]
fn an_image_is_the_cycle_numbered_from_one_and_sends_nothing_itself() {
    let mut bench = Bench::default();
    let Some((mut feed, _)) = with_book(&mut bench, 5) else { return };
    let (frames, calls) = cut(&mut feed, &mut bench, &[], 2);
    assert_eq!(calls, 3, "six groups, two a call");
    assert!(bench.sent.is_empty());
    bench.run(&mut feed, 900 * MS);
    let mut plane =
        bench.sent.iter().filter(|(_, plane, _)| *plane == Plane::Snapshot).map(|(_, _, frame)| frame);
    for (number, image) in (1..).zip(&frames) {
        let (ours, cycled) = (wire::check(image).unwrap(), wire::check(plane.next().unwrap()).unwrap());
        assert_eq!(({ ours.header.channel_seq }, ours.header.channel), (number, 0x82));
        assert_eq!(ours.header.msg_type, cycled.header.msg_type);
        assert_eq!({ ours.header.instr_seq }, { cycled.header.instr_seq });
        assert_eq!({ ours.header.flags }, { cycled.header.flags });
        if let (Message::CycleEnd(end), Message::CycleEnd(other)) = (ours.message(), cycled.message()) {
            assert_eq!((end.first_snap_seq, end.n_instruments, end.registry_crc), (1, 6, other.registry_crc));
        } else {
            assert_eq!(ours.payload(), cycled.payload());
        }
    }
    assert_eq!(wire::check(frames.last().unwrap()).unwrap().header.msg_type, msg::CYCLE_END);
    let (_, channel) = feed.counters();
    assert_eq!(channel.image_frames, frames.len() as u64);
}

#[test]
fn an_image_has_what_is_wanted_and_nothing_else() {
    let mut bench = Bench::default();
    let Some((mut feed, book)) = with_book(&mut bench, 5) else { return };
    let want = |instrument, kinds| SnapWant { instrument, kinds };
    let of = |frames: &[Vec<u8>]| {
        let headers = frames.iter().map(|frame| wire::check(frame).unwrap().header);
        let mut instruments: Vec<u32> = headers.map(|header| header.instrument).collect();
        instruments.dedup();
        instruments
    };
    let (frames, _) = cut(&mut feed, &mut bench, &[want(3, snap_kinds::L2), want(99, 15)], 100);
    assert_eq!(of(&frames), [3, 0]);
    let (frames, _) = cut(&mut feed, &mut bench, &[want(book, snap_kinds::DEFINITION), want(2, 0)], 100);
    assert_eq!(of(&frames), [2, book, 0]);
    assert_eq!(
        types(&frames),
        BTreeMap::from([(msg::INSTRUMENT_DEF, 2), (msg::STATUS, 2), (msg::CYCLE_END, 1)])
    );
    // Two wants of one instrument are one.
    let (frames, _) =
        cut(&mut feed, &mut bench, &[want(book, snap_kinds::DEFINITION), want(book, snap_kinds::L2)], 100);
    assert!(types(&frames)[&msg::BOOK_SNAPSHOT] > 10);
    let last = wire::check(frames.last().unwrap()).unwrap();
    let Message::CycleEnd(end) = last.message() else { panic!("not CYCLE_END") };
    assert_eq!(end.n_instruments, 1);
    feed.close(0, 0, &mut bench);
    assert_eq!(cut(&mut feed, &mut bench, &[], 100).0.len(), 0, "nothing after the end");
}

#[test]
fn who_is_asked_for_goes_first_once_in_100_ms_and_the_cycle_stays_whole() {
    let mut bench = Bench::default();
    let mut feed = start(&mut bench, None);
    for id in 1..=400 {
        add(&mut feed, &mut bench, id, &format!("QUIET{id}"), false);
    }
    bench.sent.clear();
    bench.run(&mut feed, 20 * MS); // 160 of 800 frames.
    let before = bench.groups();
    assert_eq!(before, (1..=before.len() as u32).collect::<Vec<_>>());
    assert_eq!(feed.move_to_head(&[399, 2, 4_000], bench.now_ns), 2);
    assert_eq!(feed.move_to_head(&[399], bench.now_ns + HEAD_EVERY_NS - 1), 0);
    bench.run(&mut feed, 10 * MS);
    let after = bench.groups();
    assert_eq!(after[..2], [2, 399], "at once: the one once more, the other in its turn");
    bench.run(&mut feed, 500 * MS);
    let rest = bench.groups();
    let all = [before, after, rest].concat();
    assert_eq!(all.iter().filter(|&&id| id == 399).count(), 1, "it had its turn");
    assert_eq!(all.iter().filter(|&&id| id == 2).count(), 2);
    assert_eq!(all.iter().filter(|&&id| id == 0).count(), 1);
    assert_eq!(all.len(), 400 + 1 + 1);
    let (counters, _) = feed.counters();
    assert_eq!((counters.heads_moved, counters.heads_limited), (2, 1));
    // Between two cycles it leaves at once too.
    assert_eq!(feed.move_to_head(&[5], bench.now_ns), 1);
    bench.run(&mut feed, 5 * MS);
    assert_eq!(bench.groups(), [5]);
}

#[test]
fn who_asks_without_end_delays_no_cycle_and_gets_a_quarter_more() {
    let mut bench = Bench::default();
    let mut feed = start(&mut bench, None);
    for id in 1..=1_000 {
        add(&mut feed, &mut bench, id, &format!("QUIET{id}"), false);
    }
    bench.sent.clear();
    for _ in 0..50 {
        feed.move_to_head(&[], bench.now_ns);
        bench.run(&mut feed, 100 * MS);
    }
    let snapshot = bench.sent.iter().filter(|(_, plane, _)| *plane == Plane::Snapshot);
    let frames = snapshot.clone().count() as u64;
    let ends: Vec<u64> = snapshot
        .filter(|(_, _, bytes)| wire::check(bytes).unwrap().header.msg_type == msg::CYCLE_END)
        .map(|&(at, _, _)| at)
        .collect();
    assert_eq!(ends.len(), 5);
    assert!(ends.windows(2).all(|pair| pair[1] - pair[0] <= CYCLE_MIN_NS + 20 * MS), "{ends:?}");
    assert!(frames <= 5 * (2_001 + AGAIN_FRAMES_PER_S) + 200, "{frames}");
}

#[test]
fn near_2_to_64_the_owner_is_told_once_and_the_number_never_wraps() {
    let mut bench = Bench::default();
    let mut feed = start(&mut bench, None);
    let index = add(&mut feed, &mut bench, 1, "QUIET1", false);
    bench.run(&mut feed, 200 * MS);
    assert!(feed.take_notices().is_empty());
    feed.jump_to(u64::MAX - SEQ_RESERVE, 0, &mut bench);
    bench.run(&mut feed, 200 * MS);
    let told: Vec<_> = feed.take_notices().into_iter().map(|notice| notice.kind).collect();
    assert_eq!(told, [NoticeKind::SessionFull]);
    bench.run(&mut feed, 200 * MS);
    assert!(feed.take_notices().is_empty());
    feed.jump_to(u64::MAX - 3, 0, &mut bench);
    bench.sent.clear();
    for state in [4, 1, 4, 1] {
        let arrival = bench.arrival();
        feed.connected(&[index], 0, &mut bench, arrival);
        feed.set_trading_status(index, state, &mut bench, arrival);
    }
    bench.run(&mut feed, 200 * MS);
    let numbered = |bytes: &&Vec<u8>| wire::is_numbered(wire::check(bytes).unwrap().header.msg_type);
    let mut plane =
        bench.sent.iter().filter(|(_, plane, _)| *plane == Plane::Incremental).map(|(_, _, bytes)| bytes);
    let numbers: Vec<u64> =
        plane.clone().filter(numbered).map(|bytes| wire::check(bytes).unwrap().header.channel_seq).collect();
    assert_eq!(numbers, [u64::MAX - 3, u64::MAX - 2]);
    let end = wire::check(plane.next_back().unwrap()).unwrap();
    let Message::SessionEnd(root) = end.message() else { panic!("not SESSION_END") };
    assert_eq!((root.last_seq, { end.header.channel_seq }), (u64::MAX - 2, u64::MAX - 1));
    assert!(feed.has_ended());
}

#[test]
fn instr_seq_wraps_and_goes_on() {
    let mut bench = Bench::default();
    let Some((mut feed, book)) = with_book(&mut bench, 0) else { return };
    let seq = feed.last_seq(&mut bench);
    feed.jump_to(seq + 1, u32::MAX - 2, &mut bench);
    for state in [4, 1, 4, 1, 4] {
        let arrival = bench.arrival();
        feed.set_trading_status(0, state, &mut bench, arrival);
    }
    let numbers: Vec<u32> =
        bench.sent.iter().map(|(_, _, bytes)| wire::check(bytes).unwrap().header.instr_seq).collect();
    assert_eq!(numbers, [u32::MAX - 1, u32::MAX, 0, 1, 2]);
    let (frames, _) = cut(&mut feed, &mut bench, &[], 100);
    let header = wire::check(&frames[0]).unwrap().header;
    assert_eq!(({ header.instrument }, { header.instr_seq }), (book, 2));
}
