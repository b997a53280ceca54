//! The store keeps what the limits allow, byte by byte, and finds it by channel, session and number.

mod receive_support;
mod retransmit_support;

use std::collections::{BTreeMap, VecDeque};

use outcrier_core::retransmit::{Kept, Limits, Store};
use outcrier_core::wire::{self, Header};
use proptest::prelude::*;
use receive_support::{CHANNEL, SESSION};
use retransmit_support::{SECOND, SNAPSHOT, frames, header};
use zerocopy::IntoBytes;

/// The frame with another channel, session and number. Nobody checks a CRC here.
fn renumbered(frame: &[u8], channel: u8, session: u32, seq: u64) -> Vec<u8> {
    let changed = Header { channel, session, channel_seq: seq, ..header(frame) };
    let mut frame = frame.to_vec();
    frame[..wire::HEADER_BYTES].copy_from_slice(changed.as_bytes());
    frame
}

#[test]
fn every_frame_of_a_session_is_found_as_it_was_sent() {
    let Some(frames) = frames(3_000, 500) else { return };
    let mut store = Store::new(Limits { snapshot_bytes: 1 << 30, ..Limits::default() });
    let mut numbered = 0;
    for (at, frame) in frames.iter().enumerate() {
        let is_numbered = wire::is_numbered(header(frame).msg_type);
        let kept = store.push(frame, at as u64);
        assert_eq!(kept, if is_numbered { Kept::Kept } else { Kept::Unnumbered });
        numbered += u64::from(is_numbered);
        let header = header(frame);
        if is_numbered {
            assert_eq!(store.get(header.channel, SESSION, header.channel_seq), Some(&frame[..]));
            assert_eq!(store.newest(header.channel), Some(header.channel_seq));
        }
    }
    let incremental = frames.iter().filter(|frame| {
        let header = header(frame);
        header.channel == CHANNEL && wire::is_numbered(header.msg_type)
    });
    for frame in incremental.clone() {
        let seq = header(frame).channel_seq;
        assert_eq!(store.get(CHANNEL, SESSION, seq), Some(&frame[..]));
        assert_eq!(store.get(CHANNEL, SESSION + 1, seq), None);
        assert_eq!(store.get(CHANNEL, SESSION - 1, seq), None);
        assert_eq!(store.get(CHANNEL + 1, SESSION, seq), None);
    }
    let counters = store.counters();
    assert_eq!((counters.kept, counters.holes, counters.repeated), (numbered, 0, 0));
    assert_eq!((store.oldest(CHANNEL), store.session(CHANNEL)), (Some(1), Some(SESSION)));
    assert_eq!(store.newest(CHANNEL), Some(incremental.clone().count() as u64));
    assert_eq!(store.get(CHANNEL, SESSION, 0), None);
    assert_eq!(store.get(CHANNEL, SESSION, incremental.clone().count() as u64 + 1), None);
    assert_eq!(store.get(CHANNEL, SESSION, u64::MAX), None);
    let bytes = incremental.map(|frame| frame.len() as u64).sum::<u64>();
    assert_eq!(store.held().1, bytes);
}

#[test]
fn the_snapshot_plane_keeps_two_cycles_and_the_one_under_way() {
    let Some(frames) = frames(2_000, 200) else { return };
    let mut store = Store::new(Limits::default());
    let mut ends = Vec::new();
    for frame in &frames {
        store.push(frame, 0);
        let header = header(frame);
        if header.channel != SNAPSHOT {
            continue;
        }
        if header.msg_type == wire::msg::CYCLE_END {
            ends.push(header.channel_seq);
        }
        let keep_from = if ends.len() < 3 { 1 } else { ends[ends.len() - 3] + 1 };
        assert!(store.oldest(SNAPSHOT).unwrap() <= keep_from, "{ends:?}");
        let mut trimmed = 0;
        while header.msg_type == wire::msg::CYCLE_END && store.trim(0) {
            trimmed += 1;
        }
        assert!(trimmed < 10);
        if header.msg_type == wire::msg::CYCLE_END {
            assert_eq!(store.oldest(SNAPSHOT), Some(keep_from));
        }
    }
    assert_eq!(ends.len(), 10);
    let kept: Vec<_> = frames.iter().filter(|frame| header(frame).channel == SNAPSHOT).collect();
    for frame in &kept {
        let seq = header(frame).channel_seq;
        let expected = (seq > ends[7]).then_some(&frame[..]);
        assert_eq!(store.get(SNAPSHOT, SESSION, seq), expected, "{seq} of {ends:?}");
    }
    let (count, bytes) = store.held_snapshot(CHANNEL);
    let last_two = &kept[kept.len() - count..];
    assert_eq!(count as u64, ends[9] - ends[7]);
    assert_eq!(bytes, last_two.iter().map(|frame| frame.len() as u64).sum::<u64>());
}

#[test]
fn the_snapshot_plane_of_each_channel_has_its_own_bytes() {
    let Some(frames) = frames(3_000, 3_000) else { return };
    let most = 5_000;
    let mut store = Store::new(Limits { snapshot_bytes: most, ..Limits::default() });
    let mut came = 0;
    for frame in frames.iter().filter(|frame| header(frame).channel == SNAPSHOT) {
        let seq = header(frame).channel_seq;
        came += frame.len() as u64;
        for channel in [CHANNEL, CHANNEL + 1] {
            let channel = channel | wire::CHANNEL_SNAPSHOT;
            let frame = renumbered(frame, channel, SESSION, seq);
            assert_eq!(store.push(&frame, 0), Kept::Kept);
            assert_eq!(store.get(channel, SESSION, seq), Some(&frame[..]));
            let held = store.held_snapshot(channel).1;
            assert!(held <= most && (held == came || held > most - 1_400), "{held}");
        }
    }
    assert!(came > 2 * most, "{came}");
    assert_eq!(store.held(), (0, 0));
}

#[test]
fn age_gives_up_oldest_first_and_trim_what_no_push_did() {
    let Some(frames) = frames(200, 1_000) else { return };
    let frames: Vec<_> = frames.iter().filter(|frame| header(frame).channel == CHANNEL).collect();
    let mut store = Store::new(Limits { age_ns: 60 * SECOND, ..Limits::default() });
    let (first, rest) = frames.split_at(100);
    first.iter().zip(0..).for_each(|(frame, at)| assert_eq!(store.push(frame, at * SECOND / 10), Kept::Kept));
    // At 69.95 s all that is older than 9.95 s is due: 100 frames were kept in 0 to 9.9 s.
    store.push(rest[0], 69 * SECOND + 950_000_000);
    let oldest = store.oldest(CHANNEL).unwrap();
    assert!((2..=20).contains(&oldest), "a few at a time: {oldest}");
    store.trim(69 * SECOND + 950_000_000);
    assert_eq!(store.oldest(CHANNEL), Some(101));
    assert!(!store.trim(129 * SECOND + 950_000_000));
    assert_eq!(store.oldest(CHANNEL), Some(101), "60 s old, and not older");
    assert!(!store.trim(129 * SECOND + 950_000_001));
    assert_eq!((store.oldest(CHANNEL), store.newest(CHANNEL)), (None, Some(101)));
    assert_eq!(store.push(rest[1], 130 * SECOND), Kept::Kept);
    assert_eq!((store.oldest(CHANNEL), store.newest(CHANNEL)), (Some(102), Some(102)));
    assert_eq!(store.counters().given_up, 101);
}

#[test]
fn a_newer_session_drops_the_older_one_and_an_older_one_is_refused() {
    let Some(frames) = frames(50, 1_000) else { return };
    let mut store = Store::new(Limits::default());
    for seq in 1..=20 {
        assert_eq!(store.push(&renumbered(&frames[2], 1, 5, seq), 0), Kept::Kept);
        assert_eq!(store.push(&renumbered(&frames[2], 3, 5, seq), 0), Kept::Kept);
    }
    assert_eq!(store.push(&renumbered(&frames[3], 1, 6, 1), 0), Kept::Kept);
    assert_eq!(store.get(1, 5, 7), None);
    assert_eq!(store.get(1, 6, 1).map(|frame| header(frame).session), Some(6));
    assert!(store.get(3, 5, 7).is_some(), "the other channel keeps its own");
    assert_eq!(store.push(&renumbered(&frames[3], 1, 5, 21), 0), Kept::OldSession);
    let counters = store.counters();
    assert_eq!((counters.sessions, counters.old_session, counters.kept), (1, 1, 41));
}

#[test]
fn a_hole_forgets_what_was_before_it_and_a_number_is_kept_once() {
    let Some(frames) = frames(50, 1_000) else { return };
    let mut store = Store::new(Limits::default());
    let push = |store: &mut Store, seq| store.push(&renumbered(&frames[2], 1, 5, seq), 0);
    assert_eq!([push(&mut store, 7), push(&mut store, 8)], [Kept::Kept; 2]);
    assert_eq!([push(&mut store, 8), push(&mut store, 6)], [Kept::Repeated; 2]);
    assert_eq!((store.oldest(1), store.newest(1)), (Some(7), Some(8)));
    assert_eq!(push(&mut store, 10), Kept::Kept);
    assert_eq!((store.oldest(1), store.newest(1)), (Some(10), Some(10)));
    assert_eq!(store.get(1, 5, 8), None);
    let counters = store.counters();
    assert_eq!((counters.holes, counters.repeated), (1, 2));
    let last = u64::MAX - 1;
    assert_eq!(push(&mut store, last), Kept::Kept);
    assert_eq!(store.get(1, 5, last).map(|frame| header(frame).channel_seq), Some(last));
    assert_eq!([push(&mut store, u64::MAX), push(&mut store, 0)], [Kept::NotAFrame; 2]);
    assert_eq!(store.push(&frames[2][..65], 0), Kept::NotAFrame);
    assert_eq!(store.push(&renumbered(&frames[2], 128, 5, 1), 0), Kept::NotAFrame);
    assert_eq!(store.push(&[frames[2].clone(), vec![0; 1_400]].concat(), 0), Kept::NotAFrame);
    assert_eq!(store.counters().not_a_frame, 5);
}

/// The rules of the incremental planes as a list: slow, and plainly right.
#[derive(Default)]
struct Naive {
    /// Time, channel, session, number and frame, in the order kept.
    kept: VecDeque<(u64, u8, u32, u64, Vec<u8>)>,
    /// Session, first number that can be found and the next number, by channel.
    lanes: BTreeMap<u8, (u32, u64, u64)>,
}

impl Naive {
    fn push(&mut self, limits: &Limits, now_ns: u64, channel: u8, session: u32, seq: u64, frame: &[u8]) {
        let lane = self.lanes.entry(channel).or_insert((session, seq, seq));
        if session < lane.0 || (session == lane.0 && seq < lane.2) {
            return;
        }
        if session > lane.0 || seq > lane.2 {
            *lane = (session, seq, seq);
        }
        lane.2 = seq + 1;
        self.kept.push_back((now_ns, channel, session, seq, frame.to_vec()));
        while self.kept.len() > limits.frames || self.bytes() > limits.bytes {
            self.kept.pop_front();
        }
        self.trim(limits, now_ns);
    }

    fn bytes(&self) -> u64 {
        self.kept.iter().map(|kept| kept.4.len() as u64).sum()
    }

    fn trim(&mut self, limits: &Limits, now_ns: u64) {
        while self.kept.front().is_some_and(|kept| now_ns.saturating_sub(kept.0) > limits.age_ns) {
            self.kept.pop_front();
        }
    }

    fn get(&self, channel: u8, session: u32, seq: u64) -> Option<&[u8]> {
        let lane = self.lanes.get(&channel)?;
        let found = self.kept.iter().rfind(|kept| (kept.1, kept.2, kept.3) == (channel, session, seq))?;
        (lane.0 == session && seq >= lane.1).then_some(&found.4[..])
    }
}

#[derive(Clone, Debug)]
struct Step {
    channel: u8,
    /// 0: the next number; else a hole of that many, or a repetition.
    jump: i64,
    newer: i64,
    frame: usize,
    later_ns: u64,
    trims: bool,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let jump = prop_oneof![30 => Just(0_i64), 1 => -3..4_i64];
    let newer = prop_oneof![60 => Just(0_i64), 1 => -1..2_i64];
    let step = (1_u8..4, jump, newer, 0..1_000_usize, 0..300_u64, any::<bool>()).prop_map(
        |(channel, jump, newer, frame, later_ns, trims)| Step {
            channel,
            jump,
            newer,
            frame,
            later_ns,
            trims,
        },
    );
    prop::collection::vec(step, 1..400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn is_a_list_of_frames(steps in steps(), frames_most in 1_usize..200, bytes_most in 1_400_u64..60_000, age_ns in 1_000_u64..30_000) {
        let Some(real) = frames(400, 1_000) else { return Ok(()) };
        let limits = Limits { frames: frames_most, bytes: bytes_most, age_ns, ..Limits::default() };
        let (mut store, mut naive) = (Store::new(limits), Naive::default());
        let (mut now_ns, mut next) = (0, BTreeMap::new());
        for step in steps {
            now_ns += step.later_ns;
            let (session, seq) = next.get(&step.channel).copied().unwrap_or((100_u32, 1_u64));
            let session = (i64::from(session) + step.newer) as u32;
            let seq = (seq as i64 + step.jump).max(1) as u64;
            let frame = renumbered(&real[1 + step.frame % (real.len() - 1)], step.channel, session, seq);
            if store.push(&frame, now_ns) == Kept::Kept {
                next.insert(step.channel, (session, seq + 1));
            }
            naive.push(&limits, now_ns, step.channel, session, seq, &frame);
            let (held, bytes) = store.held();
            prop_assert!(held <= limits.frames && bytes <= limits.bytes);
            if step.trims {
                naive.trim(&limits, now_ns);
                prop_assert!(!store.trim(now_ns));
                prop_assert_eq!(store.held(), (naive.kept.len(), naive.bytes()));
            }
            for back in 0..6 {
                for (channel, lane) in &naive.lanes {
                    let seq = (lane.2 + 1).saturating_sub(back * back);
                    for session in [lane.0, lane.0 - 1] {
                        let expected = naive.get(*channel, session, seq);
                        if step.trims || expected.is_some() {
                            prop_assert_eq!(store.get(*channel, session, seq), expected);
                        }
                    }
                    prop_assert_eq!(store.session(*channel), Some(lane.0));
                    prop_assert_eq!(store.newest(*channel), Some(lane.2 - 1));
                }
            }
        }
    }
}
