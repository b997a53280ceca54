//! Disks that are full, slow or broken when the test says so.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use outcrier_net::log::{Disk, Hole, Log, LogConfig, QUEUE_BYTES_MIN, SegmentFile, Storage};

use crate::common::{
    Folder, Got, SESSION, WALL_NS, append, assert_same, config, frames, read, read_frames, wait_for,
};

/// What a disk does.
#[derive(Debug, Default)]
struct Mood {
    /// Bytes that it still takes; the write in which they end is a short one.
    room: AtomicU64,
    is_limited: AtomicBool,
    /// Syncs that fail from now on.
    failing_syncs: AtomicU64,
    /// A sync waits while this is true.
    holds: Mutex<bool>,
    let_go: Condvar,
    held: AtomicU64,
}

impl Mood {
    fn hold(&self, hold: bool) {
        *self.holds.lock().unwrap() = hold;
        self.let_go.notify_all();
    }

    fn limit(&self, room: u64) {
        self.room.store(room, Ordering::SeqCst);
        self.is_limited.store(true, Ordering::SeqCst);
    }
}

#[derive(Clone, Debug)]
struct Moody(Arc<Mood>);

impl Storage for Moody {
    fn create(&mut self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        let file = Disk.create(path)?;
        Ok(Box::new(MoodyFile { file, mood: Arc::clone(&self.0) }))
    }
}

#[derive(Debug)]
struct MoodyFile {
    file: Box<dyn SegmentFile>,
    mood: Arc<Mood>,
}

impl SegmentFile for MoodyFile {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        if !self.mood.is_limited.load(Ordering::SeqCst) {
            return self.file.write_at(bytes, offset);
        }
        let room = self.mood.room.load(Ordering::SeqCst);
        let taken = bytes.len().min(usize::try_from(room).unwrap());
        if taken == 0 {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        self.mood.room.store(room - taken as u64, Ordering::SeqCst);
        self.file.write_at(&bytes[..taken], offset)
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut holds = self.mood.holds.lock().unwrap();
        if *holds {
            self.mood.held.fetch_add(1, Ordering::SeqCst);
        }
        while *holds {
            holds = self.mood.let_go.wait(holds).unwrap();
        }
        drop(holds);
        let failing = self.mood.failing_syncs.load(Ordering::SeqCst);
        if failing > 0 {
            self.mood.failing_syncs.store(failing - 1, Ordering::SeqCst);
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        self.file.sync()
    }

    fn preallocate(&mut self, bytes: u64) -> io::Result<()> {
        self.file.preallocate(bytes)
    }

    fn truncate(&mut self, bytes: u64) -> io::Result<()> {
        self.file.truncate(bytes)
    }
}

fn open(folder: &Folder, config: &LogConfig) -> (Log, Arc<Mood>) {
    let mood = Arc::new(Mood::default());
    (Log::open_on(&folder.0, config, Box::new(Moody(Arc::clone(&mood)))).unwrap(), mood)
}

/// Appends frames one by one; how many were dropped so far.
fn overflow(log: &Log, frames: &[Vec<u8>]) -> u64 {
    for frame in frames {
        log.append(WALL_NS, [frame.as_slice()]);
    }
    log.counters().dropped
}

/// Frames and holes tell every number from 1 to `last` once, in order.
fn assert_told(got: &[Got], last: u64) -> Vec<Hole> {
    let mut next = 1;
    let mut holes = Vec::new();
    for got in got {
        match got {
            Got::Frame(_, frame) => {
                assert_eq!(frame, &frames()[usize::try_from(next).unwrap() - 1]);
                next += 1;
            }
            Got::Hole(hole) => {
                assert_eq!((hole.channel, hole.session, hole.first), (1, SESSION, next));
                next = hole.last + 1;
                holes.push(*hole);
            }
        }
    }
    assert_eq!(next, last + 1);
    holes
}

fn small_queue() -> LogConfig {
    LogConfig { queue_bytes_max: QUEUE_BYTES_MIN, ..config(1 << 20) }
}

#[test]
fn a_full_disk_takes_a_part_first_then_nothing_and_leaves_a_marked_hole_when_space_is_back() {
    if frames().is_empty() {
        return;
    }
    let folder = Folder::new();
    let (log, mood) = open(&folder, &small_queue());
    append(&log, &frames()[..10]);
    wait_for(&log, |counters| counters.frames == 10);
    mood.limit(76);
    append(&log, &frames()[10..20]);
    wait_for(&log, |counters| counters.failing);
    assert_eq!(log.last_error().as_deref(), Some("No space left on device (os error 28)"));
    let dropped = overflow(&log, &frames()[20..600]);
    assert!(dropped > 100, "the feed ran on and {dropped} frames did not fit");
    // Meanwhile everything before the full disk is there, and the unfinished write is no damage.
    assert_same(&read_frames(&folder.0), &frames()[..10], "read back");
    mood.is_limited.store(false, Ordering::SeqCst);
    wait_for(&log, |counters| !counters.failing && counters.queued_bytes == 0);
    append(&log, &frames()[600..603]);
    wait_for(&log, |counters| counters.holes > 0 && counters.queued_bytes == 0);
    assert_eq!(log.counters().dropped, dropped, "what came when space was back is there");
    drop(log);
    let (got, refused) = read(&folder.0);
    assert_eq!(refused, 0);
    let holes = assert_told(&got, 603);
    assert_eq!(holes.iter().map(|hole| hole.last - hole.first + 1).sum::<u64>(), dropped);
}

#[test]
fn a_disk_that_stands_still_holds_nobody_up() {
    if frames().is_empty() {
        return;
    }
    let folder = Folder::new();
    let (log, mood) = open(&folder, &small_queue());
    mood.hold(true);
    append(&log, &frames()[..5]);
    while mood.held.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
    // All of this returns while the log thread waits for the disk: with one that waited it would never end.
    let dropped = overflow(&log, &frames()[5..1_000]);
    assert!(dropped > 0);
    assert_eq!(log.counters().frames, 0);
    mood.hold(false);
    wait_for(&log, |counters| counters.holes > 0 && counters.queued_bytes == 0);
    drop(log);
    let holes = assert_told(&read(&folder.0).0, 1_000);
    assert_eq!(holes.len(), 1);
    assert_eq!(holes[0].last - holes[0].first + 1, dropped);
}

#[test]
fn what_a_failed_sync_may_have_lost_is_written_again_in_the_next_segment() {
    if frames().is_empty() {
        return;
    }
    let folder = Folder::new();
    let (log, mood) = open(&folder, &config(1 << 20));
    append(&log, &frames()[..50]);
    wait_for(&log, |counters| counters.frames == 50);
    mood.failing_syncs.store(3, Ordering::SeqCst);
    append(&log, &frames()[50..90]);
    wait_for(&log, |counters| counters.frames == 90);
    assert!(log.counters().sync_errors >= 1);
    drop(log);
    assert_same(&read_frames(&folder.0), &frames()[..90], "read back");
    assert_eq!(
        folder.files(".log").len(),
        2,
        "the segment was given up, and no file is left of the failed ones"
    );
    assert_eq!(Log::open(&folder.0, &config(1 << 20)).unwrap().recovered().scanned, 0);
}

#[test]
fn closing_while_the_disk_fails_ends_and_counts_what_is_lost() {
    if frames().is_empty() {
        return;
    }
    let folder = Folder::new();
    let (log, mood) = open(&folder, &config(1 << 20));
    append(&log, &frames()[..50]);
    wait_for(&log, |counters| counters.frames == 50);
    mood.limit(0);
    append(&log, &frames()[50..60]);
    drop(log);
    assert_same(&read_frames(&folder.0), &frames()[..50], "read back");
}
