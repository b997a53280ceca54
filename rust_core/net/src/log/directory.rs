//! The files of a log: `NUMBER.log` is a segment, `NUMBER.index` what it holds, `NUMBER.log.corrupt` a segment that was
//! found damaged and is used no more, `lock` the writer's.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::error::LogError;
use super::index::SegmentIndex;
use super::record::{SEGMENT_HEADER_BYTES, SegmentHeader};
use super::scan::{Scan, Scanned, Tail, read_up_to, scan};
use super::storage::{SegmentFile, sync_dir};

const SEGMENT: &str = "log";
const INDEX: &str = "index";
const CORRUPT: &str = "log.corrupt";

/// Files of a log, by their numbers, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Files {
    pub(crate) segments: Vec<u64>,
    pub(crate) quarantined: Vec<PathBuf>,
    /// Higher than any number of a segment, quarantined ones included.
    pub(crate) next: u64,
}

pub(crate) fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:010}.{SEGMENT}"))
}

pub(crate) fn index_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:010}.{INDEX}"))
}

/// What is in a directory.
pub(crate) fn list(dir: &Path) -> Result<Files, LogError> {
    let mut files = Files { next: 1, ..Files::default() };
    for entry in fs::read_dir(dir).map_err(LogError::os(dir, "read the directory"))? {
        let path = entry.map_err(LogError::os(dir, "read the directory"))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some((number, kind)) = name.split_once('.') else { continue };
        let Ok(number) = number.parse::<u64>() else { continue };
        match kind {
            SEGMENT => files.segments.push(number),
            CORRUPT => files.quarantined.push(path),
            _ => continue,
        }
        files.next = files.next.max(number.saturating_add(1));
    }
    files.segments.sort_unstable();
    files.quarantined.sort_unstable();
    Ok(files)
}

/// Renames a damaged segment, so that nothing reads it as one; where it is now.
pub(crate) fn quarantine(dir: &Path, number: u64) -> io::Result<PathBuf> {
    let to = dir.join(format!("{number:010}.{CORRUPT}"));
    fs::rename(segment_path(dir, number), &to)?;
    remove_index(dir, number)?;
    sync_dir(dir)?;
    Ok(to)
}

fn remove_index(dir: &Path, number: u64) -> io::Result<()> {
    match fs::remove_file(index_path(dir, number)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes a segment and its index.
pub(crate) fn remove(dir: &Path, number: u64) -> io::Result<()> {
    remove_index(dir, number)?;
    fs::remove_file(segment_path(dir, number))
}

/// What [`super::Log::open`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Whole segments.
    pub segments: usize,
    /// Segments that were read from end to end, because they had no sound index.
    pub scanned: usize,
    /// Bytes of the last write of the process before, which a crash had left in part and that were cut off.
    pub torn_bytes: u64,
    /// Segments in quarantine, those found now and those before.
    pub quarantined: Vec<PathBuf>,
}

/// A segment and what it holds.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) number: u64,
    pub(crate) index: SegmentIndex,
}

/// What the log thread writes and the archive reads: the segments, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Catalog(Mutex<VecDeque<Entry>>);

impl Catalog {
    pub(crate) fn new(entries: VecDeque<Entry>) -> Self {
        Self(Mutex::new(entries))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks at every segment of a directory that is ours alone, mends what a crash left, and takes out what is damaged.
pub(crate) fn recover(dir: &Path) -> Result<(Files, VecDeque<Entry>, Recovered), LogError> {
    let mut files = list(dir)?;
    let mut entries = VecDeque::new();
    let mut found = Recovered::default();
    let newest = files.segments.last().copied();
    for &number in &files.segments {
        let path = segment_path(dir, number);
        let os = |step| LogError::os(&path, step);
        if let Some(index) = sound_index(dir, number) {
            entries.push_back(Entry { number, index });
            continue;
        }
        found.scanned += 1;
        match recover_segment(dir, number, newest == Some(number), &mut found)? {
            Some(index) if index.end > SEGMENT_HEADER_BYTES as u64 => {
                index.write(&index_path(dir, number)).map_err(os("write the index of"))?;
                entries.push_back(Entry { number, index });
            }
            Some(_) => remove(dir, number).map_err(os("remove"))?,
            None => {
                files.quarantined.push(quarantine(dir, number).map_err(os("quarantine"))?);
            }
        }
    }
    sync_dir(dir).map_err(LogError::os(dir, "sync"))?;
    found.segments = entries.len();
    found.quarantined.clone_from(&files.quarantined);
    Ok((files, entries, found))
}

/// The index of a segment, if it is of this segment and the segment is as long as it says.
pub(crate) fn sound_index(dir: &Path, number: u64) -> Option<SegmentIndex> {
    let index = SegmentIndex::read(&index_path(dir, number))?;
    let file = File::open(segment_path(dir, number)).ok()?;
    let mut header = [0; SEGMENT_HEADER_BYTES];
    let read = read_up_to(&file, &mut header, 0).ok()?;
    let header = SegmentHeader::decode(&header[..read])?;
    let fits = header.seed == index.seed && file.metadata().ok()?.len() == index.end;
    fits.then_some(index)
}

/// Scans a segment and cuts off what is torn; `None`: it is damaged.
fn recover_segment(
    dir: &Path,
    number: u64,
    is_newest: bool,
    found: &mut Recovered,
) -> Result<Option<SegmentIndex>, LogError> {
    let path = segment_path(dir, number);
    let os = |step| LogError::os(&path, step);
    let mut file = File::options().read(true).write(true).open(&path).map_err(os("open"))?;
    let mut index = SegmentIndex::default();
    let scanned = scan(&file, is_newest, |offset, record| index.add(offset, record)).map_err(os("read"))?;
    let Scan { header, end, tail } = match scanned {
        Scanned::Empty => return Ok(Some(SegmentIndex::default())),
        Scanned::NoHeader => return Ok(None),
        Scanned::Segment(scan) => scan,
    };
    // A sound index of this segment that says more than there is: what was whole has been cut.
    let before = SegmentIndex::read(&index_path(dir, number)).filter(|before| before.seed == header.seed);
    if tail == Tail::Corrupt || header.number != number || before.is_some_and(|before| before.end > end) {
        return Ok(None);
    }
    if let Tail::Torn { bytes } = tail {
        found.torn_bytes += bytes;
    }
    if file.metadata().map_err(os("look at"))?.len() != end {
        file.truncate(end).map_err(os("truncate"))?;
    }
    let opened = SegmentIndex::new(&header);
    index.seed = opened.seed;
    index.created_ns = opened.created_ns;
    index.last_ns = index.last_ns.max(opened.created_ns);
    index.end = end;
    Ok(Some(index))
}
