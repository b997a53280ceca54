//! The bad network does what its plan says, exactly, and the same again for the same seed.

use std::collections::BTreeSet;

use outcrier_core::chaos::{Burst, Chaos, Counts, DELAY_NS_MAX, PPM, Plan, PlanError, Start};
use outcrier_core::event::Level;
use outcrier_core::wire::{self, FrameBuf, Header, NO_RECORDS, NO_ROOT, Refusal, flags, msg};

const MS: u64 = 1_000_000;
const PADDING: usize = 40;

/// A frame of 66 bytes with its number, and zeros behind it.
fn frame(number: u64) -> Vec<u8> {
    let mut buffer = FrameBuf::default();
    let header = Header { channel_seq: number, ..Header::new(msg::TRADE, 1, 90_000_001, 1) };
    wire::seal(buffer.build(&header, &NO_ROOT, NO_RECORDS), 0, None);
    [buffer.frame(), &[0; PADDING]].concat()
}

/// A BOOK_DELTA of so many levels: 81 are the longest frame there is.
fn levels(count: usize) -> Vec<u8> {
    let mut buffer = FrameBuf::default();
    let header = Header { channel_seq: 1, ..Header::new(msg::BOOK_DELTA, 1, 90_000_001, 1) };
    let root = wire::BookDelta { n_bids: 1, ..wire::zeroed() };
    let records = vec![Level { price: 6_183_763, qty: 12 }; count];
    wire::seal(buffer.build(&header, &root, &records), 0, None);
    buffer.frame().to_vec()
}

fn number(datagram: &[u8]) -> u64 {
    u64::from_le_bytes(datagram[10..18].try_into().unwrap())
}

/// What came out of `frames` frames, one each millisecond: (due, bytes), and the counts.
fn run(plan: &Plan, seed: u64, line: u8, frames: u64) -> (Vec<(u64, Vec<u8>)>, Counts) {
    let mut chaos = Chaos::new(plan, seed, line).unwrap();
    let mut all = Vec::new();
    for at in 0..frames {
        chaos.pass(&frame(at), at * MS, &mut |due_ns, bytes| all.push((due_ns, bytes.to_vec())));
    }
    let counts = *chaos.counts();
    assert_eq!(counts.seen, frames);
    assert_eq!(counts.passed, all.len() as u64);
    assert_eq!(counts.passed, frames - counts.lost - counts.burst_lost + counts.duplicated + counts.garbage);
    (all, counts)
}

fn numbers(all: &[(u64, Vec<u8>)]) -> Vec<u64> {
    all.iter().map(|(_, bytes)| number(bytes)).collect()
}

/// Within five standard deviations of what a probability gives.
fn assert_share(count: u64, of: u64, ppm: u32) {
    let (expected, of) = (of * u64::from(ppm) / u64::from(PPM), of as f64);
    let share = f64::from(ppm) / f64::from(PPM);
    let deviation = (of * share * (1.0 - share)).sqrt();
    assert!((count.abs_diff(expected) as f64) < 5.0 * deviation + 1.0, "{count} of {of} at {ppm} ppm");
}

const EVERYTHING: Plan = Plan {
    loss: 50_000,
    burst: Some(Burst { every: 1_000, length: 40, start: Start::Drawn }),
    reorder: 100_000,
    reorder_ns: 3 * MS,
    duplicate: 20_000,
    corrupt: 30_000,
    truncate: 10_000,
    garbage: 10_000,
    delay_ns: MS,
    jitter_ns: 5 * MS,
};

#[test]
fn a_network_without_a_plan_does_nothing() {
    let (all, counts) = run(&Plan::default(), 7, 0, 500);
    let expected: Vec<_> = (0..500).map(|at| (at * MS, frame(at))).collect();
    assert_eq!(all, expected);
    assert_eq!(counts, Counts { seen: 500, passed: 500, ..Counts::default() });
}

#[test]
fn the_same_seed_and_line_do_the_same_and_others_do_not() {
    let first = run(&EVERYTHING, 7, 0, 5_000);
    assert_eq!(run(&EVERYTHING, 7, 0, 5_000), first);
    assert_ne!(run(&EVERYTHING, 8, 0, 5_000), first);
    assert_ne!(run(&EVERYTHING, 7, 1, 5_000), first);
    // Pinned: a seed that was written down years ago still means what it did.
    let lost = |seed, line| -> Vec<u64> {
        let kept = numbers(&run(&Plan { loss: 50_000, ..Plan::default() }, seed, line, 100).0);
        (0..100).filter(|number| !kept.contains(number)).collect()
    };
    assert_eq!(lost(7, 0), [0, 4, 47, 99]);
    assert_eq!(lost(7, 1), [13, 15, 20, 39, 59]);
}

#[test]
fn lines_of_one_seed_lose_independently() {
    let plan = Plan { loss: 100_000, ..Plan::default() };
    let kept = |line| -> BTreeSet<u64> { numbers(&run(&plan, 3, line, 100_000).0).into_iter().collect() };
    let (a, b) = (kept(0), kept(1));
    assert_share(100_000 - a.len() as u64, 100_000, 100_000);
    assert_share(100_000 - b.len() as u64, 100_000, 100_000);
    // One in a hundred is lost on both.
    assert_share(100_000 - a.union(&b).count() as u64, 100_000, 10_000);
}

#[test]
fn probabilities_are_kept_and_impairments_do_not_change_each_other() {
    let alone = Plan { loss: 50_000, ..Plan::default() };
    let (lost_alone, _) = run(&alone, 7, 0, 50_000);
    let others = Plan { burst: None, reorder: 0, ..EVERYTHING };
    let (all, counts) = run(&others, 7, 0, 50_000);
    assert_share(counts.lost, 50_000, 50_000);
    let arrived = 50_000 - counts.lost;
    assert_share(counts.duplicated, arrived, 20_000);
    assert_share(counts.corrupted, arrived + counts.duplicated, 30_000);
    assert_share(counts.truncated, arrived + counts.duplicated, 10_000);
    assert_share(counts.garbage, 50_000, 10_000);
    let whole = |all: &[(u64, Vec<u8>)]| -> BTreeSet<Vec<u8>> {
        all.iter().map(|(_, bytes)| bytes.clone()).filter(|bytes| wire::check(bytes).is_ok()).collect()
    };
    assert!(whole(&all).is_subset(&whole(&lost_alone)));
}

#[test]
fn bursts_are_exact_and_begin_where_told() {
    let burst = |start| Some(Burst { every: 1_000, length: 40, start });
    let lost = |start| -> Vec<u64> {
        let plan = Plan { burst: burst(start), ..Plan::default() };
        let (all, counts) = run(&plan, 11, 0, 20_000);
        assert_eq!((counts.burst_lost, counts.lost), (800, 0));
        let kept: BTreeSet<u64> = numbers(&all).into_iter().collect();
        (0..20_000).filter(|number| !kept.contains(number)).collect()
    };
    let fixed: Vec<u64> = (0..20).flat_map(|window| window * 1_000 + 960..(window + 1) * 1_000).collect();
    assert_eq!(lost(Start::Fixed), fixed);
    let drawn = lost(Start::Drawn);
    let mut firsts = BTreeSet::new();
    for (window, run) in drawn.chunks(40).enumerate() {
        assert!(run.is_sorted() && run[39] - run[0] == 39, "a run without holes: {run:?}");
        assert_eq!(run[0] / 1_000, window as u64);
        assert_eq!(run[39] / 1_000, window as u64);
        firsts.insert(run[0] % 1_000);
    }
    assert!(firsts.len() > 15, "each window has a place of its own: {firsts:?}");
}

#[test]
fn jitter_delays_within_its_bounds_and_never_reorders() {
    let plan = Plan { delay_ns: 2 * MS, jitter_ns: 10 * MS, ..Plan::default() };
    let (all, _) = run(&plan, 5, 0, 10_000);
    assert_eq!(numbers(&all), (0..10_000).collect::<Vec<_>>());
    assert!(all.is_sorted_by_key(|&(due_ns, _)| due_ns));
    let delays: Vec<u64> = all.iter().map(|(due_ns, bytes)| due_ns - number(bytes) * MS).collect();
    assert!(delays.iter().all(|delay| (2 * MS..=12 * MS).contains(delay)));
    assert!(delays.iter().any(|&delay| delay > 11 * MS));
}

#[test]
fn what_is_reordered_is_overtaken_and_nothing_else_is() {
    let plan = Plan { reorder: 100_000, reorder_ns: 3 * MS, delay_ns: MS, ..Plan::default() };
    let (mut all, counts) = run(&plan, 9, 0, 10_000);
    assert_share(counts.reordered, 10_000, 100_000);
    let held = all.iter().filter(|(due_ns, bytes)| *due_ns != (number(bytes) + 1) * MS);
    assert_eq!(held.clone().count() as u64, counts.reordered);
    assert!(held.clone().all(|(due_ns, bytes)| due_ns - (number(bytes) + 1) * MS <= 3 * MS));
    all.sort_by_key(|&(due_ns, _)| due_ns);
    let arrived = numbers(&all);
    let overtaken = arrived.windows(2).filter(|pair| pair[0] > pair[1]).count() as u64;
    assert!(overtaken > counts.reordered / 2, "{overtaken} of {}", counts.reordered);
}

#[test]
fn no_corruption_of_a_frame_passes_and_padding_is_left_alone() {
    let plan = Plan { corrupt: PPM, ..Plan::default() };
    let (all, counts) = run(&plan, 1, 0, 20_000);
    assert_eq!(counts.corrupted, 20_000);
    let mut bits = BTreeSet::new();
    let mut flips = BTreeSet::new();
    for (at, (_, bytes)) in all.iter().enumerate() {
        assert!(wire::check(bytes).is_err(), "frame {at} was taken");
        let whole = frame(at as u64);
        assert_eq!(bytes[66..], whole[66..]);
        let changed: Vec<usize> =
            (0..66 * 8).filter(|bit| (bytes[bit / 8] ^ whole[bit / 8]) >> (bit % 8) & 1 == 1).collect();
        flips.insert(changed.len());
        bits.extend(changed);
    }
    assert_eq!(flips, BTreeSet::from([1, 2, 3]));
    assert_eq!(bits.len(), 66 * 8, "every bit of the frame was flipped at least once");
}

/// Row 5 of docs/reliability.md, the share of CI.
#[test]
fn of_a_million_corrupted_frames_none_is_taken() {
    const FRAMES: u64 = 1_000_000;
    let mut chaos = Chaos::new(&Plan { corrupt: PPM, ..Plan::default() }, 2, 0).unwrap();
    let frames = [levels(1), levels(20), levels(81)];
    assert_eq!(frames[2].len(), 66 + 24 + 81 * 16);
    let mut taken = 0;
    for frame in frames.iter().cycle().take(FRAMES as usize) {
        chaos.pass(frame, 0, &mut |_, bytes| taken += u64::from(wire::check(bytes).is_ok()));
    }
    assert_eq!((chaos.counts().corrupted, taken), (FRAMES, 0));
}

#[test]
fn what_is_cut_ends_within_the_frame() {
    let (all, counts) = run(&Plan { truncate: PPM, ..Plan::default() }, 1, 0, 5_000);
    assert_eq!(counts.truncated, 5_000);
    let lengths: BTreeSet<usize> = all.iter().map(|(_, bytes)| bytes.len()).collect();
    assert_eq!(lengths, (0..66).collect());
    assert!(all.iter().all(|(_, bytes)| wire::check(bytes).is_err()));
    assert!(all.iter().enumerate().all(|(at, (_, bytes))| frame(at as u64).starts_with(bytes)));
}

#[test]
fn garbage_is_never_a_frame_and_half_of_it_looks_like_one() {
    let (all, counts) = run(&Plan { loss: PPM, garbage: PPM, ..Plan::default() }, 1, 0, 5_000);
    assert_eq!((counts.lost, counts.garbage), (5_000, 5_000));
    let refusals: Vec<Refusal> = all.iter().map(|(_, bytes)| wire::check(bytes).unwrap_err()).collect();
    let like = all.iter().filter(|(_, bytes)| bytes.starts_with(&[wire::MAGIC])).count() as u64;
    assert_share(like, 5_000, 500_000);
    assert!(all.iter().all(|(_, bytes)| (1..=1_400).contains(&bytes.len())));
    for cause in [Refusal::TooShort, Refusal::Sync, Refusal::Length, Refusal::Records] {
        assert!(refusals.contains(&cause), "{cause} is one of the causes");
    }
}

#[test]
fn any_bytes_pass() {
    let mut chaos = Chaos::new(&Plan { corrupt: PPM, truncate: PPM, ..EVERYTHING }, 1, 0).unwrap();
    let mut flagged = frame(1);
    flagged[4] |= flags::AUTH as u8;
    for datagram in [&[][..], &[0xFB], &[0; 65], &[0xFF; 66], &[0xFF; 65_507], &flagged] {
        for _ in 0..100 {
            chaos.pass(datagram, 0, &mut |_, bytes| assert!(bytes.len() <= datagram.len().max(1_400)));
        }
    }
}

#[test]
fn what_cannot_be_is_refused_in_words() {
    let burst =
        |every, length| Plan { burst: Some(Burst { every, length, start: Start::Fixed }), ..Plan::default() };
    for (plan, words) in [
        (Plan { loss: PPM + 1, ..Plan::default() }, "loss: a probability is at most 100 %"),
        (Plan { garbage: u32::MAX, ..Plan::default() }, "garbage: a probability"),
        (burst(0, 0), "burst 0/0"),
        (burst(10, 11), "burst 11/10"),
        (Plan { jitter_ns: DELAY_NS_MAX + 1, ..Plan::default() }, "jitter_ns: a delay is at most 10 s"),
        (Plan { reorder: 1, ..Plan::default() }, "reorder: "),
    ] {
        let error: PlanError = Chaos::new(&plan, 0, 0).unwrap_err();
        assert!(error.to_string().starts_with(words), "{error}");
    }
    assert_eq!(burst(10, 10).check(), Ok(()));
}

#[test]
fn counts_are_listed_by_name() {
    let (_, counts) = run(&EVERYTHING, 7, 0, 5_000);
    let list = counts.list();
    assert_eq!(list[0], ("seen", 5_000));
    assert_eq!(list[8], ("garbage", counts.garbage));
    assert!(list.iter().all(|&(name, count)| count > 0 || panic!("{name} never happened")));
}
