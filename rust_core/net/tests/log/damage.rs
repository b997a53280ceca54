//! Bytes that changed in the middle, and files that somebody else made.

use outcrier_core::retransmit::Archive;
use outcrier_net::log::{Item, Log, Reader, survey};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::common::{Folder, SESSION, config, frames, read, write};

/// A log of some segments with one bit of one of them changed.
fn flipped(segment: usize, bit: usize) -> (Folder, usize) {
    let folder = Folder::new();
    write(&folder.0, &config(1 << 16), &frames()[..600]);
    let segments = folder.files(".log");
    let path = &segments[segment % segments.len()];
    let mut bytes = std::fs::read(path).unwrap();
    let bit = bit % (bytes.len() * 8);
    bytes[bit / 8] ^= 1 << (bit % 8);
    std::fs::write(path, bytes).unwrap();
    (folder, segments.len())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn one_flipped_bit_condemns_its_segment_and_no_other(segment in any::<usize>(), bit in any::<usize>()) {
        prop_assume!(!frames().is_empty());
        let (folder, segments) = flipped(segment, bit);
        let (got, refused) = read(&folder.0);
        let all = frames()[..600].len();
        // The last mark of a segment tells of nothing else: its damage is found, and nothing is lost by it.
        prop_assert_eq!(refused, 1, "{} of {} frames", got.len(), all);
        let mut missing = frames()[..600].iter();
        for got in &got {
            let crate::common::Got::Frame(_, frame) = got else { panic!("a hole") };
            prop_assert!(missing.any(|sent| sent == frame), "every frame is one of those sent, in order");
        }
        let told = survey(&folder.0).unwrap();
        prop_assert!(!told.is_sound());
        prop_assert_eq!(told.segments.len(), segments);
        // The index was right and the segment as long as before: the writer sees it when it reads there.
        let log = Log::open(&folder.0, &config(1 << 20)).unwrap();
        let mut archive = log.archive();
        let mut out = Vec::new();
        for (seq, frame) in (1..).zip(&frames()[..600]) {
            out.clear();
            if archive.get(1, SESSION, seq, &mut out) {
                prop_assert_eq!(&out, frame);
            }
        }
        prop_assert_eq!(archive.errors(), 0);
    }

    #[test]
    fn bytes_changed_anywhere_make_no_reader_panic_and_give_no_frame_that_was_not_sent(
        changes in vec((any::<usize>(), any::<u8>()), 1..40), cut in any::<Option<usize>>(), keep_index in any::<bool>(),
    ) {
        prop_assume!(!frames().is_empty());
        let folder = Folder::new();
        write(&folder.0, &config(1 << 16), &frames()[..300]);
        for path in folder.files(".log").iter().chain(&folder.files(".index")) {
            let mut bytes = std::fs::read(path).unwrap();
            let len = bytes.len();
            for &(at, byte) in &changes {
                bytes[at % len] = byte;
            }
            bytes.truncate(cut.map_or(len, |cut| cut % (len + 1)));
            std::fs::write(path, bytes).unwrap();
        }
        if !keep_index {
            folder.files(".index").iter().for_each(|path| std::fs::remove_file(path).unwrap());
        }
        let check = || {
            let mut reader = Reader::open(&folder.0).unwrap();
            while let Some(item) = reader.next().unwrap() {
                let Item::Frame { bytes, .. } = item else { panic!("{item:?}") };
                assert!(frames()[..300].iter().any(|sent| sent == bytes));
            }
            survey(&folder.0).unwrap();
        };
        check();
        let log = Log::open(&folder.0, &config(1 << 20)).unwrap();
        let mut archive = log.archive();
        let mut out = Vec::new();
        for (seq, frame) in (1..).zip(&frames()[..300]) {
            out.clear();
            assert!(!archive.get(1, SESSION, seq, &mut out) || &out == frame);
        }
        drop(log);
        check();
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in vec(any::<u8>(), 0..4000), index in vec(any::<u8>(), 0..400)) {
        let folder = Folder::new();
        std::fs::write(folder.0.join("0000000001.log"), bytes).unwrap();
        std::fs::write(folder.0.join("0000000001.index"), index).unwrap();
        prop_assert!(read(&folder.0).0.is_empty());
        let log = Log::open(&folder.0, &config(1 << 20)).unwrap();
        prop_assert!(log.recovered().segments == 0);
    }
}

#[test]
fn damage_in_what_was_on_the_disk_is_put_in_quarantine_when_the_writer_meets_it() {
    if frames().is_empty() {
        return;
    }
    let (folder, segments) = flipped(0, 8 * 5_000);
    // Without an index the opening reads it.
    std::fs::remove_file(&folder.files(".index")[0]).unwrap();
    let log = Log::open(&folder.0, &config(1 << 20)).unwrap();
    let found = log.recovered();
    assert_eq!((found.segments, found.scanned, found.quarantined.len()), (segments - 1, 1, 1));
    assert_eq!(folder.files(".log.corrupt"), found.quarantined);
    assert!(!log.archive().get(1, SESSION, 1, &mut Vec::new()), "refused");
    drop(log);
    // With one the first lookup there does.
    let (folder, _) = flipped(0, 8 * 5_000);
    let log = Log::open(&folder.0, &config(1 << 20)).unwrap();
    assert!(log.recovered().quarantined.is_empty());
    let mut archive = log.archive();
    let damaged = (1..200).find(|&seq| !archive.get(1, SESSION, seq, &mut Vec::new()));
    assert!(damaged.is_some_and(|seq| seq > 1));
    assert_eq!((archive.refused(), folder.files(".log.corrupt").len()), (1, 1));
    assert!(!archive.get(1, SESSION, 1, &mut Vec::new()), "nothing of it is used any more");
}

#[test]
fn a_whole_segment_that_was_cut_is_damaged() {
    if frames().is_empty() {
        return;
    }
    let folder = Folder::new();
    write(&folder.0, &config(1 << 16), &frames()[..600]);
    let last = folder.files(".log").pop().unwrap();
    let bytes = std::fs::read(&last).unwrap();
    std::fs::write(&last, &bytes[..bytes.len() / 2]).unwrap();
    assert_eq!(read(&folder.0).1, 1);
    let log = Log::open(&folder.0, &config(1 << 20)).unwrap();
    assert_eq!(log.recovered().quarantined.len(), 1);
}
