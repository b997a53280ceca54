//! Reading a segment: its records in order, and what to make of the place where they end.
//!
//! Records are valid up to some offset V. What stands behind V is
//!
//! * nothing or zeros: the segment ends there;
//! * torn, if nothing proves that V was ever on the disk: a power cut leaves the last writes in part, in any order. The
//!   segment ends at V;
//! * corruption, if a mark behind V says that a place behind V was on the disk: what had been kept was damaged later. So
//!   it is of a segment that is not the newest, since a segment is whole before the next is begun. Nothing of such a
//!   segment is used.
//!
//! A segment may be read while it is written: what was not valid is looked at once more before it is called corruption.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use super::record::{
    self, Found, Kind, RECORD_BYTES_MAX, RECORD_HEADER_BYTES, Record, SEGMENT_HEADER_BYTES, SegmentHeader,
};

/// Bytes read at once: long enough that the call does not cost, short enough for a cache.
const WINDOW_BYTES: usize = 1 << 20;

/// What a file of the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scanned {
    /// Nothing was written into it, or not even its header: a crash while it was made.
    Empty,
    /// It has no valid header and is not empty.
    NoHeader,
    /// A segment.
    Segment(Scan),
}

/// What a segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scan {
    pub(crate) header: SegmentHeader,
    /// Where the valid records end.
    pub(crate) end: u64,
    pub(crate) tail: Tail,
}

/// What stands behind the valid records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// Nothing, or zeros.
    Clean,
    /// So many bytes that were being written when it ended.
    Torn {
        /// Up to the last one that is not 0.
        bytes: u64,
    },
    /// Damage to what was on the disk, at the end of the valid records.
    Corrupt,
}

/// A valid record in the window of a cursor.
#[derive(Clone, Debug)]
pub(crate) struct Stepped {
    pub(crate) offset: u64,
    pub(crate) kind: Kind,
    wall_ns: i64,
    body: Range<usize>,
}

/// The records of a file, one after the other.
#[derive(Debug)]
pub(crate) struct Cursor {
    file: File,
    seed: u32,
    /// Where the next record begins.
    pub(crate) offset: u64,
    window: Vec<u8>,
    /// Offset of the window's first byte.
    window_at: u64,
    /// Bytes read at once.
    window_bytes: usize,
}

impl Cursor {
    pub(crate) fn new(file: File, header: &SegmentHeader) -> Self {
        Self::at(file, header.seed, SEGMENT_HEADER_BYTES as u64, WINDOW_BYTES)
    }

    /// From a record that begins at `offset`, reading `window_bytes` at once.
    pub(crate) fn at(file: File, seed: u32, offset: u64, window_bytes: usize) -> Self {
        Self { file, seed, offset, window: Vec::new(), window_at: 0, window_bytes }
    }

    /// Goes on to the next record; `None` where no valid one stands.
    pub(crate) fn step(&mut self) -> io::Result<Option<Stepped>> {
        let offset = self.offset;
        let start = self.load(offset)?;
        let Found::Record(record) = record::decode(&self.window[start..], self.seed, offset) else {
            return Ok(None);
        };
        let body = start + RECORD_HEADER_BYTES..start + record.len();
        let stepped = Stepped { offset, kind: record.kind, wall_ns: record.wall_ns, body };
        self.offset += record.len() as u64;
        Ok(Some(stepped))
    }

    /// The record of the last step.
    pub(crate) fn record(&self, stepped: &Stepped) -> Record<'_> {
        Record { kind: stepped.kind, wall_ns: stepped.wall_ns, body: &self.window[stepped.body.clone()] }
    }

    /// Forgets what was read, so that it is read again.
    pub(crate) fn forget(&mut self) {
        self.window.clear();
    }

    /// Has the window hold the longest record from `at` on, or all up to the end; the place of `at` in it.
    fn load(&mut self, at: u64) -> io::Result<usize> {
        let from = at.checked_sub(self.window_at).and_then(|from| usize::try_from(from).ok());
        if let Some(from) = from.filter(|from| from + RECORD_BYTES_MAX <= self.window.len()) {
            return Ok(from);
        }
        self.window.resize(self.window_bytes + RECORD_BYTES_MAX, 0);
        self.window_at = at;
        let read = read_up_to(&self.file, &mut self.window, at)?;
        self.window.truncate(read);
        Ok(0)
    }
}

/// Fills `buffer` from `offset` on, as far as the file goes.
pub(crate) fn read_up_to(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Reads a whole segment, and shows each record with its offset. `is_newest`: no segment was begun after it.
pub(crate) fn scan(
    file: &File,
    is_newest: bool,
    mut visit: impl FnMut(u64, &Record<'_>),
) -> io::Result<Scanned> {
    let mut header = [0; SEGMENT_HEADER_BYTES];
    let read = read_up_to(file, &mut header, 0)?;
    let Some(header) = SegmentHeader::decode(&header[..read]) else {
        let begun = read < SEGMENT_HEADER_BYTES || is_zero(file)?;
        return Ok(if begun && is_newest { Scanned::Empty } else { Scanned::NoHeader });
    };
    let mut cursor = Cursor::new(file.try_clone()?, &header);
    loop {
        while let Some(stepped) = cursor.step()? {
            visit(stepped.offset, &cursor.record(&stepped));
        }
        let end = cursor.offset;
        let behind = look_behind(file, header.seed, end)?;
        let tail = if behind.synced_to > end || (behind.bytes > 0 && !is_newest) {
            cursor.forget();
            let start = cursor.load(end)?;
            if matches!(record::decode(&cursor.window[start..], header.seed, end), Found::Record(_)) {
                continue; // It was being written.
            }
            Tail::Corrupt
        } else if behind.bytes > 0 {
            Tail::Torn { bytes: behind.bytes }
        } else {
            Tail::Clean
        };
        return Ok(Scanned::Segment(Scan { header, end, tail }));
    }
}

fn is_zero(file: &File) -> io::Result<bool> {
    let mut window = vec![0; WINDOW_BYTES];
    let mut at = 0;
    loop {
        let read = read_up_to(file, &mut window, at)?;
        if read == 0 {
            return Ok(true);
        }
        if window[..read].iter().any(|&byte| byte != 0) {
            return Ok(false);
        }
        at += read as u64;
    }
}

/// What stands behind the valid records.
#[derive(Debug, Default)]
struct Behind {
    /// Bytes up to the last that is not 0.
    bytes: u64,
    /// Highest offset that a valid mark says was on the disk.
    synced_to: u64,
}

fn look_behind(file: &File, seed: u32, end: u64) -> io::Result<Behind> {
    let mut behind = Behind::default();
    let mut window = vec![0; WINDOW_BYTES + RECORD_BYTES_MAX];
    let mut base = end;
    loop {
        let read = read_up_to(file, &mut window, base)?;
        if read == 0 {
            return Ok(behind);
        }
        let bytes = &window[..read];
        if let Some(last) = bytes.iter().rposition(|&byte| byte != 0) {
            behind.bytes = behind.bytes.max(base + last as u64 + 1 - end);
            find_marks(bytes, seed, base, &mut behind.synced_to);
        }
        if read < window.len() {
            return Ok(behind);
        }
        // The last bytes once more: a record may begin in them.
        base += WINDOW_BYTES as u64;
    }
}

/// Looks for marks at every offset.
fn find_marks(bytes: &[u8], seed: u32, base: u64, synced_to: &mut u64) {
    const KIND_AT: usize = 2;
    let mut at = 0;
    while let Some(found) =
        bytes.get(at + KIND_AT..).and_then(|rest| rest.iter().position(|&byte| byte == Kind::Mark as u8))
    {
        at += found;
        if let Found::Record(record) = record::decode(&bytes[at..], seed, base + at as u64)
            && record.kind == Kind::Mark
        {
            *synced_to = (*synced_to).max(record.synced_to());
        }
        at += 1;
    }
}
