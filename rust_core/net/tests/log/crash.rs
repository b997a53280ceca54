//! What a crash leaves: cuts at every byte, sectors that were not written, writes in another order.

use std::path::{Path, PathBuf};

use outcrier_net::log::Log;

use crate::common::{Folder, append, assert_same, config, frames, read, read_frames, wait_for};

const SECTOR_BYTES: usize = 512;
const HEADER_BYTES: usize = 64;

/// A segment as it stands on the disk when its writer is killed: groups of frames, each with a mark behind it, and zeros
/// up to its reserved length.
struct Killed {
    bytes: Vec<u8>,
    /// Where each group begins, and the end of the last.
    groups: Vec<usize>,
    frames: usize,
}

/// `groups` of frames, each on the disk before the next.
fn killed(groups: &[&[Vec<u8>]]) -> Killed {
    let folder = Folder::new();
    let log = Log::open(&folder.0, &config(1 << 19)).unwrap();
    let mut ends = vec![HEADER_BYTES];
    let mut frames = 0;
    for group in groups {
        append(&log, group);
        frames += group.len();
        wait_for(&log, |counters| counters.frames == frames as u64);
        ends.push(ends.last().unwrap() + group.iter().map(|frame| 16 + frame.len()).sum::<usize>() + 24);
    }
    let bytes = std::fs::read(&folder.files(".log")[0]).unwrap();
    assert_eq!(bytes.len(), 1 << 19, "reserved ahead");
    Killed { bytes, groups: ends, frames }
}

/// Puts bytes where the newest segment of a log is.
fn lay(dir: &Path, bytes: &[u8]) -> PathBuf {
    let path = dir.join("0000000001.log");
    std::fs::write(&path, bytes).unwrap();
    path
}

/// What is left after an opening: frames, torn bytes, segments in quarantine.
fn recovered(bytes: &[u8]) -> (Vec<Vec<u8>>, u64, usize) {
    let folder = Folder::new();
    lay(&folder.0, bytes);
    let log = Log::open(&folder.0, &config(1 << 20)).unwrap();
    let found = log.recovered().clone();
    drop(log);
    assert_eq!(folder.files(".corrupt").len(), found.quarantined.len());
    (read_frames(&folder.0), found.torn_bytes, found.quarantined.len())
}

/// Where the records of a segment begin, marks included, and where they end.
fn records(killed: &Killed) -> Vec<usize> {
    let end = *killed.groups.last().unwrap();
    let mut at = HEADER_BYTES;
    let mut starts = Vec::new();
    while at < end {
        starts.push(at);
        at += 16 + usize::from(u16::from_le_bytes([killed.bytes[at], killed.bytes[at + 1]]));
    }
    assert_eq!(at, end);
    starts.push(end);
    starts
}

#[test]
fn a_cut_at_every_byte_of_the_last_three_records_recovers_to_the_last_valid_one() {
    if frames().is_empty() {
        return;
    }
    let killed = killed(&[&frames()[..40], &frames()[40..60]]);
    let starts = records(&killed);
    // The last mark, and the three frames before it.
    let from = starts[starts.len() - 5];
    let end = *killed.groups.last().unwrap();
    for cut in from..=end {
        let whole = starts.iter().filter(|&&start| start <= cut).count() - 1;
        // Frames before the cut: all records but the mark between the groups, and the last one.
        let frames_left = (whole - 1).min(killed.frames);
        let (got, torn, quarantined) = recovered(&killed.bytes[..cut]);
        assert_same(&got, &frames()[..frames_left], &format!("cut at {cut}"));
        assert_eq!(quarantined, 0, "cut at {cut}");
        // Of the rest all up to the last byte that is not 0.
        let rest = (cut - starts[whole]) as u64;
        assert!(torn <= rest && (torn > 0) == (rest > 0), "cut at {cut}: {torn} of {rest} bytes torn");
        // The same with the zeros of a reserved file behind it.
        let mut zeroed = killed.bytes.clone();
        zeroed[cut..].fill(0);
        let (got, _, quarantined) = recovered(&zeroed);
        assert!(got.len() >= frames_left && quarantined == 0, "zeros from {cut}");
        assert_same(&got, &frames()[..got.len()], "recovered");
    }
}

#[test]
fn a_cut_at_every_byte_of_the_header_leaves_an_empty_log() {
    if frames().is_empty() {
        return;
    }
    let killed = killed(&[&frames()[..4]]);
    for cut in 0..HEADER_BYTES {
        assert_eq!(recovered(&killed.bytes[..cut]), (vec![], 0, 0), "cut at {cut}");
    }
}

#[test]
fn a_sector_that_was_not_written_ends_the_log_before_it_or_condemns_the_segment() {
    if frames().is_empty() {
        return;
    }
    let killed = killed(&[&frames()[..40], &frames()[40..60], &frames()[60..80]]);
    let [_, second, third, end] = killed.groups[..] else { panic!("three groups") };
    // The mark of the last group is not waited for: without it the group was being written.
    let mark = end - 24;
    let starts = records(&killed);
    let mut seen = [0, 0];
    for sector in second / SECTOR_BYTES..=end / SECTOR_BYTES {
        let (from, to) = (sector * SECTOR_BYTES, ((sector + 1) * SECTOR_BYTES).min(end));
        for with_mark in [true, false] {
            let mut bytes = killed.bytes.clone();
            if !with_mark {
                bytes[mark..].fill(0);
            }
            if bytes[from..to].iter().all(|&byte| byte == 0) {
                continue;
            }
            bytes[from..to].fill(0);
            let (got, _, quarantined) = recovered(&bytes);
            // A record that ended in zeros may be as it was.
            let is_same = |from: usize, to: usize| bytes[from..to] == killed.bytes[from..to];
            let touched = starts.windows(2).find(|record| !is_same(record[0], record[1]));
            let first = touched.map_or(end, |record| record[0]);
            // A mark tells of what is before it.
            let is_proved =
                [second, third, end].iter().any(|&after| first < after - 24 && is_same(after - 24, after));
            let what = format!("sector {sector}, mark {with_mark}");
            if is_proved {
                assert_eq!((got.len(), quarantined), (0, 1), "{what}: it had been on the disk");
            } else {
                let is_frame = |start: usize| killed.bytes[start + 2] == 1;
                let valid = starts[..starts.len() - 1]
                    .iter()
                    .filter(|&&start| start < first && is_frame(start))
                    .count();
                assert_same(&got, &frames()[..valid], &what);
                assert_eq!(quarantined, 0, "{what}");
            }
            seen[usize::from(is_proved)] += 1;
        }
    }
    assert!(seen[0] > 3 && seen[1] > 3, "{seen:?}");
}

#[test]
fn the_last_two_writes_in_another_order_are_never_taken_for_what_was_written() {
    if frames().is_empty() {
        return;
    }
    let killed = killed(&[&frames()[..40], &frames()[40..60], &frames()[60..80]]);
    let [_, second, third, end] = killed.groups[..] else { panic!("three groups") };
    // The last is there, the one before it is not: its own mark says so, which the last write would not have followed.
    let mut bytes = killed.bytes.clone();
    bytes[second..third].fill(0);
    assert_eq!(recovered(&bytes).2, 1);
    // Without any mark behind it nothing had been waited for: the log ends before both.
    bytes[end - 24..end].fill(0);
    let (got, _, quarantined) = recovered(&bytes);
    assert_same(&got, &frames()[..40], "before both");
    assert_eq!(quarantined, 0);
    // Each at the place of the other: no record is valid there.
    let swapped = [
        &killed.bytes[..second],
        &killed.bytes[third..end],
        &killed.bytes[second..third],
        &killed.bytes[end..],
    ]
    .concat();
    let (got, torn, quarantined) = recovered(&swapped);
    assert_same(&got, &frames()[..40], "before both");
    assert_eq!(quarantined, 0);
    assert!(torn > 0);
}

#[test]
fn after_a_kill_the_next_writer_goes_on_and_nothing_that_was_kept_is_lost() {
    if frames().is_empty() {
        return;
    }
    let killed = killed(&[&frames()[..40], &frames()[40..60]]);
    let folder = Folder::new();
    lay(&folder.0, &killed.bytes);
    let log = Log::open(&folder.0, &config(1 << 19)).unwrap();
    assert_eq!((log.recovered().scanned, log.recovered().torn_bytes), (1, 0));
    append(&log, &frames()[60..100]);
    drop(log);
    assert_eq!(read(&folder.0).0.len(), 100);
    assert_same(&read_frames(&folder.0), &frames()[..100], "read back");
}
