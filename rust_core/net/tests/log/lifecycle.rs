//! Frames in, the same frames out: segments, retention, reopening, lookups.

use outcrier_core::retransmit::Archive;
use outcrier_net::log::{Import, Item, Log, LogConfig, LogError, Reader, SegmentState, survey};

use crate::common::{
    Folder, Got, SESSION, WALL_NS, append, assert_same, config, frames, read, read_frames, renumbered,
    wait_for, write,
};

/// A dozen segments of the capture.
const SEGMENT_BYTES: u64 = 1 << 16;

#[test]
fn what_was_appended_is_read_back_byte_for_byte_over_many_segments() {
    let folder = Folder::new();
    write(&folder.0, &config(SEGMENT_BYTES), frames());
    assert_same(&read_frames(&folder.0), frames(), "read back");
    if frames().is_empty() {
        return;
    }
    let segments = folder.files(".log");
    assert!(segments.len() > 5, "{segments:?}");
    for segment in &segments {
        assert!(std::fs::metadata(segment).unwrap().len() <= SEGMENT_BYTES + 64, "cut at its end");
    }
    let survey = survey(&folder.0).unwrap();
    assert!(survey.is_sound());
    assert_eq!(survey.segments.iter().map(|segment| segment.frames).sum::<u64>(), frames().len() as u64);
    assert!(survey.segments.iter().all(|segment| segment.state == SegmentState::Whole));
    let [session] = &survey.sessions[..] else { panic!("{:?}", survey.sessions) };
    assert_eq!((session.channel, session.session, session.first), (1, SESSION, 1));
    assert_eq!((session.last, session.frames, session.unmarked), (frames().len() as u64, session.last, 0));
}

#[test]
fn a_reopened_log_goes_on_in_a_new_segment_and_scans_nothing() {
    let folder = Folder::new();
    let (first, second) = frames().split_at(frames().len() / 2);
    write(&folder.0, &config(SEGMENT_BYTES), first);
    let before = folder.files(".log").len();
    let log = Log::open(&folder.0, &config(SEGMENT_BYTES)).unwrap();
    assert_eq!((log.recovered().segments, log.recovered().scanned), (before, 0));
    append(&log, second);
    drop(log);
    assert_same(&read_frames(&folder.0), frames(), "read back");
}

#[test]
fn an_index_that_is_lost_or_damaged_is_made_again() {
    let Some(frame) = frames().first() else { return };
    let folder = Folder::new();
    write(&folder.0, &config(SEGMENT_BYTES), frames());
    let indexes = folder.files(".index");
    std::fs::remove_file(&indexes[0]).unwrap();
    let mut damaged = std::fs::read(&indexes[1]).unwrap();
    damaged[70] ^= 1;
    std::fs::write(&indexes[1], damaged).unwrap();
    let log = Log::open(&folder.0, &config(SEGMENT_BYTES)).unwrap();
    assert_eq!(log.recovered().scanned, 2);
    let mut out = Vec::new();
    assert!(log.archive().get(1, SESSION, 1, &mut out));
    assert_eq!(&out, frame);
}

#[test]
fn every_frame_is_found_by_its_number_while_the_log_is_written() {
    let folder = Folder::new();
    let log = Log::open(&folder.0, &config(1 << 20)).unwrap();
    let mut archive = log.archive();
    let other: Vec<_> =
        (1..).zip(frames()).map(|(seq, frame)| renumbered(frame, 7, SESSION + 1, seq)).collect();
    for (count, (frame, other)) in (1..).zip(frames().iter().zip(&other)) {
        log.append(WALL_NS, [frame.as_slice(), other]);
        if count % 500 == 0 {
            wait_for(&log, |counters| counters.frames == 2 * count);
            let mut out = vec![9];
            assert!(archive.get(7, SESSION + 1, count, &mut out));
            assert_eq!(out, [&[9], other.as_slice()].concat(), "appended behind what was there");
        }
    }
    wait_for(&log, |counters| counters.frames == 2 * frames().len() as u64);
    let up: Vec<_> = (1..).zip(frames().iter().zip(&other)).collect();
    for &(seq, (frame, other)) in up.iter().rev().chain(&up) {
        let mut out = Vec::new();
        assert!(archive.get(1, SESSION, seq, &mut out), "number {seq}");
        assert_eq!(&out, frame);
        out.clear();
        assert!(archive.get(7, SESSION + 1, seq, &mut out), "number {seq}");
        assert_eq!(&out, other);
    }
    let mut out = Vec::new();
    for (channel, session, seq) in
        [(1, SESSION, 0), (1, SESSION, 1 << 40), (1, SESSION + 1, 1), (2, SESSION, 1)]
    {
        assert!(!archive.get(channel, session, seq, &mut out));
    }
    assert!(out.is_empty());
    let oldest = (!frames().is_empty()).then_some(1);
    assert_eq!((archive.oldest(1, SESSION), archive.oldest(3, SESSION)), (oldest, None));
}

#[test]
fn a_hole_has_no_frames_and_the_oldest_number_is_before_it() {
    let Some(frame) = frames().first() else { return };
    let folder = Folder::new();
    let log = Log::open(&folder.0, &config(1 << 20)).unwrap();
    for seq in [1, 2, 3, 7, 8, 9] {
        log.append(WALL_NS, [renumbered(frame, 1, SESSION, seq).as_slice()]);
    }
    wait_for(&log, |counters| counters.frames == 6);
    let mut archive = log.archive();
    assert_eq!(archive.oldest(1, SESSION), Some(1));
    let mut out = Vec::new();
    assert!(archive.get(1, SESSION, 2, &mut out) && !archive.get(1, SESSION, 5, &mut out));
}

#[test]
fn the_oldest_segments_go_by_size_and_by_age() {
    if frames().is_empty() {
        return;
    }
    let folder = Folder::new();
    write(&folder.0, &config(SEGMENT_BYTES), frames());
    let all = folder.files(".log");
    let by_size = LogConfig { retain_bytes: 3 * SEGMENT_BYTES, ..config(SEGMENT_BYTES) };
    drop(Log::open(&folder.0, &by_size).unwrap());
    let kept = folder.files(".log");
    assert_eq!(kept, all[all.len() - kept.len()..], "the newest are kept");
    assert!(kept.len() == 3 || kept.len() == 4, "{kept:?}");
    let (got, _) = read(&folder.0);
    let Got::Frame(_, last) = got.last().unwrap() else { panic!("a hole") };
    assert_eq!(last, frames().last().unwrap());
    // The frames are of 2023: an hour old at least, and not 100 years.
    let years = LogConfig { retain_age_ns: 100 * 365 * 86_400 * 1_000_000_000, ..config(SEGMENT_BYTES) };
    drop(Log::open(&folder.0, &years).unwrap());
    assert_eq!(folder.files(".log"), kept);
    let hour = LogConfig { retain_age_ns: 3_600 * 1_000_000_000, ..config(SEGMENT_BYTES) };
    let log = Log::open(&folder.0, &hour).unwrap();
    assert_eq!(log.counters().removed_segments, kept.len() as u64);
    assert_eq!((folder.files(".log").len(), folder.files(".index").len()), (0, 0));
}

#[test]
fn a_log_that_is_being_written_is_read_up_to_what_is_there() {
    let folder = Folder::new();
    let log = Log::open(&folder.0, &config(1 << 20)).unwrap();
    let mut written = 0;
    for part in frames().chunks(frames().len() / 7 + 1) {
        append(&log, part);
        written += part.len();
        let mut reader = Reader::open(&folder.0).unwrap();
        let mut count = 0;
        while let Some(item) = reader.next().unwrap() {
            let Item::Frame { bytes, .. } = item else { panic!("{item:?}") };
            assert_eq!(bytes, frames()[count]);
            count += 1;
        }
        assert!(count <= written && reader.refused().is_empty());
        wait_for(&log, |counters| counters.frames == written as u64);
        assert_same(&read_frames(&folder.0), &frames()[..written], "read back");
    }
}

#[test]
fn one_directory_has_one_writer() {
    let folder = Folder::new();
    let log = Log::open(&folder.0, &LogConfig::default()).unwrap();
    let Err(error) = Log::open(&folder.0, &LogConfig::default()) else { panic!("two writers") };
    assert!(matches!(error, LogError::InUse { .. }), "{error}");
    drop(log);
    Log::open(&folder.0, &LogConfig::default()).unwrap();
}

#[test]
fn limits_that_cannot_be_are_named() {
    let folder = Folder::new();
    for (config, key) in [
        (LogConfig { segment_bytes: 100, ..LogConfig::default() }, "segment_bytes"),
        (LogConfig { segment_bytes: 1 << 33, ..LogConfig::default() }, "segment_bytes"),
        (LogConfig { queue_bytes_max: 100, ..LogConfig::default() }, "queue_bytes_max"),
        (LogConfig { sync_interval_ns: 0, ..LogConfig::default() }, "sync_interval_ns"),
    ] {
        let text = Log::open(&folder.0, &config).unwrap_err().to_string();
        assert!(text.contains(key) && text.contains("is not allowed"), "{text}");
    }
}

#[test]
fn an_import_keeps_stamps_and_holes_and_refuses_what_is_no_frame() {
    let Some(frame) = frames().first() else { return };
    let folder = Folder::new();
    let mut import = Import::open(&folder.0, SEGMENT_BYTES).unwrap();
    let hole = outcrier_net::log::Hole { channel: 1, session: SESSION, first: 2, last: 4 };
    import.frame(11, &[frame.as_slice(), &[0; 30]].concat()).unwrap();
    import.hole(12, &hole).unwrap();
    let mut bent = frame.clone();
    bent[70] ^= 1;
    assert_eq!(import.frame(13, &bent).unwrap_err().to_string(), "no frame for the log: crc");
    assert!(import.frame(13, &renumbered(frame, 0x81, 1, 1)).is_err());
    import.finish().unwrap();
    assert_eq!(read(&folder.0).0, [Got::Frame(11, frame.clone()), Got::Hole(hole)]);
}
