//! Everything in order.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::directory::{Files, index_path, list, segment_path};
use super::error::LogError;
use super::index::SegmentIndex;
use super::queue::Named;
use super::record::{Hole, Kind, Record, SegmentHeader};
use super::scan::{Cursor, Scanned, Tail, scan};

/// One thing of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A frame.
    Frame {
        /// Channel, 1–127.
        channel: u8,
        /// Session.
        session: u32,
        /// Number; of an un-numbered frame that of the next one.
        seq: u64,
        /// The type numbers its frames.
        numbered: bool,
        /// When it was given to the log, UTC nanoseconds.
        wall_ns: i64,
        /// The frame, without padding.
        bytes: &'a [u8],
    },
    /// Frames that are missing here.
    Hole {
        /// Which.
        hole: Hole,
        /// When writing went on, UTC nanoseconds.
        wall_ns: i64,
    },
}

impl<'a> Item<'a> {
    /// What a frame or a hole says.
    fn of(record: &Record<'a>) -> Self {
        let wall_ns = record.wall_ns;
        if record.kind == Kind::Hole {
            return Self::Hole { hole: record.hole(), wall_ns };
        }
        let named = Named::of(record.body);
        Self::Frame {
            channel: named.channel,
            session: named.session,
            seq: named.seq,
            numbered: named.is_numbered(),
            wall_ns,
            bytes: record.body,
        }
    }
}

/// A segment that is not used, because something in it is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The file.
    pub path: PathBuf,
    /// Where the damage begins; 0: in the header.
    pub offset: u64,
}

/// Reads a log, also beside its writer: what is in the directory when it is opened, up to what was written when it gets
/// there. It changes nothing.
///
/// Each segment is checked whole before the first of it is given out; a damaged one is left out and told by
/// [`Reader::refused`].
#[derive(Debug)]
pub struct Reader {
    dir: PathBuf,
    files: Files,
    waiting: VecDeque<u64>,
    /// The open segment and where it ends.
    open: Option<(Cursor, u64)>,
    /// Its number.
    number: u64,
    refused: Vec<Refused>,
    /// Segments that were removed by the writer before they were read.
    gone: u64,
    torn_bytes: u64,
}

impl Reader {
    /// Begins at the oldest frame.
    ///
    /// # Errors
    ///
    /// The directory cannot be read.
    pub fn open(dir: &Path) -> Result<Self, LogError> {
        let files = list(dir)?;
        Ok(Self {
            dir: dir.to_owned(),
            waiting: files.segments.iter().copied().collect(),
            files,
            open: None,
            number: 0,
            refused: Vec::new(),
            gone: 0,
            torn_bytes: 0,
        })
    }

    /// The next frame or hole; `None` at the end.
    ///
    /// # Errors
    ///
    /// A file cannot be read.
    #[allow(
        clippy::should_implement_trait,
        reason = "items are in the reader's memory, which no Iterator can give"
    )]
    pub fn next(&mut self) -> Result<Option<Item<'_>>, LogError> {
        let stepped = loop {
            if !self.open_next()? {
                return Ok(None);
            }
            let Some((cursor, end)) = &mut self.open else { unreachable!("a segment is open") };
            let stepped = if cursor.offset < *end { cursor.step() } else { Ok(None) };
            match stepped.map_err(LogError::os(&self.dir, "read"))? {
                Some(stepped) if stepped.kind == Kind::Mark => {}
                Some(stepped) => break stepped,
                None => self.end_open(),
            }
        };
        let Some((cursor, _)) = &self.open else { unreachable!("a record was found in it") };
        Ok(Some(Item::of(&cursor.record(&stepped))))
    }

    /// Closes the open segment, which ends here or was damaged since it was checked.
    fn end_open(&mut self) {
        if let Some((cursor, end)) = self.open.take()
            && cursor.offset < end
        {
            self.refused.push(Refused { path: segment_path(&self.dir, self.number), offset: cursor.offset });
        }
    }

    /// Has a segment open, if there is one more.
    fn open_next(&mut self) -> Result<bool, LogError> {
        while self.open.is_none() {
            let Some(number) = self.waiting.pop_front() else { return Ok(false) };
            self.number = number;
            let path = segment_path(&self.dir, number);
            let os = |step| LogError::os(&path, step);
            let file = match File::open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.gone += 1;
                    continue;
                }
                Err(error) => return Err(os("open")(error)),
            };
            let is_newest = self.files.segments.last() == Some(&number);
            match checked(&self.dir, number, &file, is_newest).map_err(os("read"))? {
                Checked::Whole { cursor, end, torn_bytes, .. } => {
                    self.torn_bytes += torn_bytes;
                    self.open = Some((cursor, end));
                }
                Checked::Empty => {}
                Checked::Damaged { offset } => self.refused.push(Refused { path, offset }),
            }
        }
        Ok(true)
    }

    /// Damaged segments met so far.
    #[must_use]
    pub fn refused(&self) -> &[Refused] {
        &self.refused
    }

    /// Files that a writer has put in quarantine.
    #[must_use]
    pub fn quarantined(&self) -> &[PathBuf] {
        &self.files.quarantined
    }

    /// Bytes of an unfinished write at the end of the newest segment.
    #[must_use]
    pub fn torn_bytes(&self) -> u64 {
        self.torn_bytes
    }

    /// Segments that were removed by their writer before they were read.
    #[must_use]
    pub fn gone(&self) -> u64 {
        self.gone
    }
}

/// What a segment is for somebody who reads.
#[derive(Debug)]
pub(crate) enum Checked {
    Whole { cursor: Cursor, header: SegmentHeader, end: u64, torn_bytes: u64 },
    Empty,
    Damaged { offset: u64 },
}

/// Reads a segment whole and says what may be used of it.
pub(crate) fn checked(dir: &Path, number: u64, file: &File, is_newest: bool) -> io::Result<Checked> {
    let scan = match scan(file, is_newest, |_, _| {})? {
        Scanned::Empty => return Ok(Checked::Empty),
        Scanned::NoHeader => return Ok(Checked::Damaged { offset: 0 }),
        Scanned::Segment(scan) => scan,
    };
    // An index is written when a segment is whole: then nothing of it may be missing.
    let was_whole = SegmentIndex::read(&index_path(dir, number));
    let is_cut = was_whole.is_some_and(|index| index.seed == scan.header.seed && index.end > scan.end);
    if scan.tail == Tail::Corrupt || is_cut || scan.header.number != number {
        return Ok(Checked::Damaged { offset: scan.end });
    }
    let torn_bytes = if let Tail::Torn { bytes } = scan.tail { bytes } else { 0 };
    let cursor = Cursor::new(file.try_clone()?, &scan.header);
    Ok(Checked::Whole { cursor, header: scan.header, end: scan.end, torn_bytes })
}
