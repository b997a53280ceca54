//! The log of what was published: append-only segments of immutable frames, written by a thread of its own.
//!
//! One process writes one log: every channel of it, the incremental plane, exactly the bytes of the wire without padding.
//! [`Log::append`] copies frames into a bounded buffer and returns; the log thread has another of the same size, writes
//! what is in it, waits until it is on the disk (group commit) and takes the next. A disk that is slow, full or broken is
//! therefore never felt by the feed: what does not fit is dropped, counted, and marked in the log by a [`Hole`] as soon as
//! it can be written again.
//!
//! * [`Reader`] gives everything back in order, holes included, and refuses damaged segments;
//! * [`Archive`] looks single frames up for retransmission, beside the log thread;
//! * [`survey()`] tells what a directory holds.
//!
//! The bytes are described in `record.rs`, what is made of a crash in `scan.rs`, and how it is operated in
//! `docs/operating.md`.

mod archive;
mod directory;
mod error;
mod import;
mod index;
mod manifest;
mod queue;
mod reader;
mod record;
mod scan;
mod storage;
mod survey;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub use archive::Archive;
pub use directory::Recovered;
pub use error::LogError;
pub use import::Import;
pub use reader::{Item, Reader, Refused};
pub use record::Hole;
pub use storage::{Disk, SegmentFile, Storage};
pub use survey::{HOLES_LISTED_MAX, SegmentState, SegmentSurvey, SessionSurvey, Survey, survey};

use outcrier_core::wire::CHANNEL_NUMBER;
use outcrier_core::wire::manifest::{SecretKey, Signed};

use self::directory::Catalog;
use self::manifest::{Manifests, Slots};
use self::queue::{HOLES_MAX, Hints, Queue};
use self::record::{HOLE_BYTES, RECORD_BYTES_MAX};
use self::writer::{SEGMENT_BYTES_LEAST, Writer};
use crate::clock;

/// Longest segment: offsets in it have 32 bits, and an opening after a crash reads one segment whole.
pub const SEGMENT_BYTES_MAX: u64 = 2 << 30;
/// Least buffer: all holes and a frame, in each of its two halves.
pub const QUEUE_BYTES_MIN: usize = 2 * (HOLES_MAX * HOLE_BYTES + RECORD_BYTES_MAX);
/// After an error the disk is tried again this often: soon enough that a hole stays short, seldom enough that nobody feels it.
const RETRY_EVERY: Duration = Duration::from_millis(100);
/// How often it is looked whether segments are to be removed.
const RETAIN_EVERY_NS: u64 = 1_000_000_000;

/// Limits of a log, and its key.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// A segment ends before it has more bytes than this; at most [`SEGMENT_BYTES_MAX`]. Space for one is reserved ahead.
    pub segment_bytes: u64,
    /// Whole segments are removed, the oldest first, while all together have more bytes than this; 0 = no limit.
    pub retain_bytes: u64,
    /// A whole segment is removed when its last frame is older than this, in ns; 0 = no limit.
    pub retain_age_ns: u64,
    /// A frame waits at most this long, in ns, before it is written, whatever the disk takes then: what a power cut costs.
    pub sync_interval_ns: u64,
    /// So many bytes do not wait for the interval.
    pub group_bytes: usize,
    /// Bytes that may wait in memory, in two halves of which one is written and one filled; at least [`QUEUE_BYTES_MIN`].
    pub queue_bytes_max: usize,
    /// Signs the manifests that [`Log::take_manifest`] gives; `None`: there are none.
    pub manifest_key: Option<SecretKey>,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            retain_bytes: 16 << 30,
            retain_age_ns: 7 * 86_400 * 1_000_000_000,
            sync_interval_ns: 50_000_000,
            group_bytes: 256 << 10,
            // A second of 60,000 frames of 500 bytes in each half: a disk may take that long once.
            queue_bytes_max: 64 << 20,
            manifest_key: None,
        }
    }
}

impl LogConfig {
    fn check(&self) -> Result<(), LogError> {
        let limit = |key, value, allowed| Err(LogError::Limit { key, value, allowed });
        if !(SEGMENT_BYTES_LEAST..=SEGMENT_BYTES_MAX).contains(&self.segment_bytes) {
            return limit("segment_bytes", self.segment_bytes, "at least the longest frame, at most 2 GiB");
        }
        if self.queue_bytes_max < QUEUE_BYTES_MIN {
            return limit("queue_bytes_max", self.queue_bytes_max as u64, "at least 24 KiB");
        }
        if self.sync_interval_ns == 0 {
            return limit("sync_interval_ns", 0, "at least 1");
        }
        Ok(())
    }
}

/// Counts since the log was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogCounters {
    /// Frames on the disk.
    pub frames: u64,
    /// Bytes of those frames.
    pub bytes: u64,
    /// Frames that are not in the log: the buffer was full, or the log was closed while the disk failed.
    pub dropped: u64,
    /// Hole records written for them.
    pub holes: u64,
    /// Dropped frames that no hole tells of: more sessions than holes fit.
    pub unmarked: u64,
    /// Frames that do not belong into a log: snapshot plane, plain heartbeats, bytes that are no frame.
    pub ignored: u64,
    /// Bytes that wait in memory now.
    pub queued_bytes: u64,
    /// Writes of a group.
    pub writes: u64,
    /// Times the disk was waited for.
    pub syncs: u64,
    /// Longest time one write and its sync took, in ns.
    pub commit_ns_max: u64,
    /// Writes that failed, of which a full disk is the usual reason, and syncs that failed.
    pub write_errors: u64,
    /// Syncs that failed.
    pub sync_errors: u64,
    /// The disk fails now: it is tried again and again, the feed goes on.
    pub failing: bool,
    /// Segments kept.
    pub kept_segments: u64,
    /// Bytes in them.
    pub kept_bytes: u64,
    /// Segments removed by size or age.
    pub removed_segments: u64,
}

/// What the feed, the log thread and those who ask share.
#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    report: Mutex<Report>,
    manifests: Slots,
}

#[derive(Debug, Default)]
struct Report {
    counters: LogCounters,
    last_error: Option<String>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A log that is written. Dropping it writes what waits and ends the segment.
#[derive(Debug)]
pub struct Log {
    shared: Arc<Shared>,
    catalog: Arc<Catalog>,
    dir: PathBuf,
    group_bytes: usize,
    recovered: Recovered,
    thread: Option<JoinHandle<()>>,
}

impl Log {
    /// Opens the log of a directory, which is made if it is not there, mends what a crash left, and starts the log thread.
    ///
    /// Only a segment without a sound index is read: after a crash that is one. A damaged segment is renamed
    /// (`NUMBER.log.corrupt`) and never used again; [`Log::recovered`] tells. Frames go into a new segment.
    ///
    /// # Errors
    ///
    /// A limit that cannot be, another writer, or what the system says.
    pub fn open(dir: &Path, config: &LogConfig) -> Result<Self, LogError> {
        Self::open_on(dir, config, Box::new(Disk))
    }

    /// As [`Log::open`], with files of a kind of their own.
    ///
    /// # Errors
    ///
    /// As [`Log::open`].
    pub fn open_on(dir: &Path, config: &LogConfig, storage: Box<dyn Storage>) -> Result<Self, LogError> {
        config.check()?;
        let (writer, catalog, recovered, lock) = open_writer(dir, config, storage)?;
        let half = config.queue_bytes_max / 2;
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue::new(half, config.manifest_key.is_some())),
            wake: Condvar::new(),
            report: Mutex::default(),
            manifests: Slots::default(),
        });
        let group_bytes = config.group_bytes.min(half / 2);
        let mut thread = LogThread {
            shared: Arc::clone(&shared),
            writer,
            interval: Duration::from_nanos(config.sync_interval_ns),
            group_bytes,
            group: Vec::with_capacity(half),
            manifests: config.manifest_key.clone().map(Manifests::new),
            hints: [None; CHANNEL_NUMBER as usize + 1],
            counters: LogCounters::default(),
            retained_ns: None,
            _lock: lock,
        };
        thread.retain();
        thread.report(None);
        let thread = thread::Builder::new()
            .name("outcrier-log".to_owned())
            .spawn(move || thread.run())
            .map_err(LogError::os(dir, "start the thread of the log"))?;
        Ok(Self { shared, catalog, dir: dir.to_owned(), group_bytes, recovered, thread: Some(thread) })
    }

    /// Takes frames that were published, in order; `wall_ns` is now, UTC nanoseconds.
    ///
    /// Never waits for the disk and never allocates: what does not fit is dropped and becomes a hole. Frames that do not
    /// belong into a log (snapshot plane, heartbeats without a signature, padding behind a frame) are counted and ignored.
    pub fn append<'a>(&self, wall_ns: i64, frames: impl IntoIterator<Item = &'a [u8]>) {
        let mut queue = locked(&self.shared.queue);
        for frame in frames {
            queue.push(wall_ns, frame);
        }
        let wake = !queue.woken && queue.bytes() >= self.group_bytes;
        queue.woken |= wake;
        drop(queue);
        if wake {
            self.shared.wake.notify_one();
        }
    }

    /// Counts so far.
    #[must_use]
    pub fn counters(&self) -> LogCounters {
        let (dropped, ignored, unmarked, queued) = {
            let queue = locked(&self.shared.queue);
            (queue.dropped, queue.ignored, queue.unmarked, queue.bytes() as u64)
        };
        let mut counters = locked(&self.shared.report).counters;
        counters.dropped += dropped;
        counters.ignored = ignored;
        counters.unmarked += unmarked;
        counters.queued_bytes = queued;
        counters
    }

    /// What the system said last, when the disk failed.
    #[must_use]
    pub fn last_error(&self) -> Option<String> {
        locked(&self.shared.report).last_error.clone()
    }

    /// What was found when it was opened.
    #[must_use]
    pub fn recovered(&self) -> &Recovered {
        &self.recovered
    }

    /// The manifest of a channel's frames that the publisher is to send, once a second: as the record of a heartbeat whose
    /// `channel_seq` is [`Signed::next`]. Until it is taken no other is made, so that each begins where the last one ended.
    ///
    /// For the chain to go on behind frames that did not fit, heartbeats must be given to [`Log::append`] too.
    #[must_use]
    pub fn take_manifest(&self, channel: u8, session: u32) -> Option<Signed> {
        self.shared.manifests.take(channel, session)
    }

    /// Lookups in what is on the disk, for another thread.
    #[must_use]
    pub fn archive(&self) -> Archive {
        Archive::new(self.dir.clone(), Arc::clone(&self.catalog))
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        locked(&self.shared.queue).closing = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A writer on a directory that is ours alone.
fn open_writer(
    dir: &Path,
    config: &LogConfig,
    storage: Box<dyn Storage>,
) -> Result<(Writer, Arc<Catalog>, Recovered, std::fs::File), LogError> {
    std::fs::create_dir_all(dir).map_err(LogError::os(dir, "make the directory"))?;
    let lock = storage::lock(&dir.join("lock")).map_err(LogError::os(dir, "lock"))?;
    let lock = lock.ok_or_else(|| LogError::InUse { path: dir.to_owned() })?;
    let (files, entries, recovered) = directory::recover(dir)?;
    let catalog = Arc::new(Catalog::new(entries));
    let writer = Writer::new(dir.to_owned(), config, storage, Arc::clone(&catalog), files.next);
    Ok((writer, catalog, recovered, lock))
}

/// The log thread.
struct LogThread {
    shared: Arc<Shared>,
    writer: Writer,
    interval: Duration,
    group_bytes: usize,
    group: Vec<u8>,
    manifests: Option<Manifests>,
    hints: Hints,
    counters: LogCounters,
    retained_ns: Option<u64>,
    /// Held as long as the thread writes.
    _lock: std::fs::File,
}

impl LogThread {
    fn run(mut self) {
        loop {
            let closing = self.take();
            self.sign();
            if self.group.is_empty() {
                if closing {
                    break;
                }
            } else {
                self.commit();
                self.group.clear();
            }
            self.retain();
            self.report(None);
        }
        self.writer.end_segment();
        self.report(None);
    }

    /// Waits for a group, for the interval or for the end, and takes what is there; whether it is the end.
    fn take(&mut self) -> bool {
        let group_bytes = self.group_bytes;
        let queue = locked(&self.shared.queue);
        let (mut queue, _) = self
            .shared
            .wake
            .wait_timeout_while(queue, self.interval, |queue| !queue.closing && queue.bytes() < group_bytes)
            .unwrap_or_else(PoisonError::into_inner);
        queue.swap(clock::wall_ns(), &mut self.group);
        if let Some(hints) = &queue.hints {
            self.hints = **hints;
        }
        queue.closing
    }

    /// Before the group is written: what was published is signed, whatever the disk does.
    fn sign(&mut self) {
        if let Some(manifests) = &mut self.manifests {
            let now_ns = clock::mono_ns();
            manifests.group(&self.group, &self.hints, now_ns);
            manifests.sign(&self.shared.manifests, now_ns);
        }
    }

    /// Brings the group to the disk, however long that takes; when the log is to end it is tried only once more.
    fn commit(&mut self) {
        let mut done = 0;
        let begun_ns = clock::mono_ns();
        loop {
            let committed = self.writer.commit(&mut self.group, &mut done, &mut self.counters);
            let Err(error) = committed else { break };
            self.counters.write_errors += 1;
            self.counters.failing = true;
            let closing = self.wait_to_retry(&error);
            if closing && self.writer.commit(&mut self.group, &mut done, &mut self.counters).is_err() {
                self.counters.dropped += frames_in(&self.group[done..]);
                return;
            }
        }
        self.counters.failing = false;
        let took_ns = clock::mono_ns().saturating_sub(begun_ns);
        self.counters.commit_ns_max = self.counters.commit_ns_max.max(took_ns);
    }

    fn wait_to_retry(&mut self, error: &std::io::Error) -> bool {
        self.report(Some(error.to_string()));
        let queue = locked(&self.shared.queue);
        let (queue, _) = self
            .shared
            .wake
            .wait_timeout_while(queue, RETRY_EVERY, |queue| !queue.closing)
            .unwrap_or_else(PoisonError::into_inner);
        queue.closing
    }

    fn retain(&mut self) {
        let now_ns = clock::mono_ns();
        if self.retained_ns.is_some_and(|at| now_ns.saturating_sub(at) < RETAIN_EVERY_NS) {
            return;
        }
        self.retained_ns = Some(now_ns);
        if let Err(error) = self.writer.retain(clock::wall_ns(), &mut self.counters) {
            self.counters.write_errors += 1;
            self.report(Some(error.to_string()));
        }
    }

    fn report(&self, error: Option<String>) {
        let mut report = locked(&self.shared.report);
        report.counters = self.counters;
        if error.is_some() {
            report.last_error = error;
        }
    }
}

/// Frames in laid records.
fn frames_in(mut records: &[u8]) -> u64 {
    let mut frames = 0;
    while !records.is_empty() {
        let record = record::laid(records);
        frames += u64::from(record.kind == record::Kind::Frame);
        records = &records[record.len()..];
    }
    frames
}
