//! What a directory holds, read from end to end: every record is checked.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use outcrier_core::wire::msg;

use super::directory::{list, segment_path};
use super::error::LogError;
use super::index::SegmentIndex;
use super::queue::Named;
use super::reader::{Checked, checked};
use super::record::{Hole, Kind, Record};

/// Holes that are listed for a session; how many there are is counted beyond.
pub const HOLES_LISTED_MAX: usize = 1_000;

/// Whether a segment can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentState {
    /// From end to end.
    Whole,
    /// Up to an unfinished write at its end, of so many bytes: it is being written, or was when its writer died.
    Torn(u64),
    /// Not at all: something is damaged at this offset.
    Damaged(u64),
}

/// One segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentSurvey {
    /// The file.
    pub path: PathBuf,
    /// Whether it can be used; the fields below are 0 of one that cannot.
    pub state: SegmentState,
    /// Bytes up to the end of its records.
    pub bytes: u64,
    /// Frames in it.
    pub frames: u64,
    /// Begun, UTC nanoseconds.
    pub created_ns: i64,
    /// Stamp of its last frame.
    pub last_ns: i64,
}

/// One session of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionSurvey {
    /// Channel, 1–127.
    pub channel: u8,
    /// Session.
    pub session: u32,
    /// Lowest number.
    pub first: u64,
    /// Highest number.
    pub last: u64,
    /// Numbered frames.
    pub frames: u64,
    /// Bytes of all its frames.
    pub bytes: u64,
    /// Stamp of the first frame, UTC nanoseconds.
    pub first_ns: i64,
    /// Stamp of the last frame.
    pub last_ns: i64,
    /// The publisher said its end.
    pub ended: bool,
    /// What the publisher marked as missing, the first [`HOLES_LISTED_MAX`].
    pub holes: Vec<Hole>,
    /// All holes that it marked.
    pub hole_count: u64,
    /// Numbers in them.
    pub marked: u64,
    /// Numbers between `first` and `last` that are missing without a mark: a damaged or removed segment had them.
    pub unmarked: u64,
}

/// A log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Segments, oldest first.
    pub segments: Vec<SegmentSurvey>,
    /// Sessions in the order in which they begin.
    pub sessions: Vec<SessionSurvey>,
    /// Files that a writer has put in quarantine.
    pub quarantined: Vec<PathBuf>,
}

/// Reads a whole log.
///
/// # Errors
///
/// Directory or files cannot be read.
pub fn survey(dir: &Path) -> Result<Survey, LogError> {
    let files = list(dir)?;
    let mut all = Survey { quarantined: files.quarantined.clone(), ..Survey::default() };
    let mut known = HashMap::new();
    for &number in &files.segments {
        let path = segment_path(dir, number);
        let os = |step| LogError::os(&path, step);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue, // Removed by age or size meanwhile.
            Err(error) => return Err(os("open")(error)),
        };
        let is_newest = files.segments.last() == Some(&number);
        let segment = match checked(dir, number, &file, is_newest).map_err(os("read"))? {
            Checked::Empty => continue,
            Checked::Damaged { offset } => SegmentSurvey {
                path: path.clone(),
                state: SegmentState::Damaged(offset),
                bytes: 0,
                frames: 0,
                created_ns: 0,
                last_ns: 0,
            },
            Checked::Whole { mut cursor, end, torn_bytes, header } => {
                let mut index = SegmentIndex::new(&header);
                let mut frames = 0;
                while cursor.offset < end {
                    let Some(stepped) = cursor.step().map_err(os("read"))? else { break };
                    let record = cursor.record(&stepped);
                    index.add(stepped.offset, &record);
                    frames += u64::from(record.kind == Kind::Frame);
                    all.note(&mut known, &record);
                }
                let state = if torn_bytes > 0 { SegmentState::Torn(torn_bytes) } else { SegmentState::Whole };
                let (created_ns, last_ns) = (index.created_ns, index.last_ns);
                SegmentSurvey { path: path.clone(), state, bytes: end, frames, created_ns, last_ns }
            }
        };
        all.segments.push(segment);
    }
    for session in &mut all.sessions {
        session.settle();
    }
    Ok(all)
}

impl Survey {
    /// Whether nothing is damaged and no number is missing without a mark.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.quarantined.is_empty()
            && !self.segments.iter().any(|segment| matches!(segment.state, SegmentState::Damaged(_)))
            && self.sessions.iter().all(|session| session.unmarked == 0)
    }

    fn note(&mut self, known: &mut HashMap<(u8, u32), usize>, record: &Record<'_>) {
        let (channel, session) = match record.kind {
            Kind::Frame => {
                let named = Named::of(record.body);
                (named.channel, named.session)
            }
            Kind::Hole => (record.hole().channel, record.hole().session),
            Kind::Mark => return,
        };
        let at = *known.entry((channel, session)).or_insert_with(|| {
            self.sessions.push(SessionSurvey::new(channel, session, record.wall_ns));
            self.sessions.len() - 1
        });
        self.sessions[at].add(record);
    }
}

impl SessionSurvey {
    fn new(channel: u8, session: u32, wall_ns: i64) -> Self {
        Self {
            channel,
            session,
            first: 0,
            last: 0,
            frames: 0,
            bytes: 0,
            first_ns: wall_ns,
            last_ns: wall_ns,
            ended: false,
            holes: Vec::new(),
            hole_count: 0,
            marked: 0,
            unmarked: 0,
        }
    }

    fn add(&mut self, record: &Record<'_>) {
        self.last_ns = record.wall_ns;
        if record.kind == Kind::Hole {
            let hole = record.hole();
            self.hole_count += 1;
            self.marked += hole.last.saturating_sub(hole.first).saturating_add(1);
            self.span(hole.first, hole.last);
            if self.holes.len() < HOLES_LISTED_MAX {
                self.holes.push(hole);
            }
            return;
        }
        let named = Named::of(record.body);
        self.bytes += record.body.len() as u64;
        self.ended |= named.msg_type == msg::SESSION_END;
        if named.is_numbered() {
            self.frames += 1;
            self.span(named.seq, named.seq);
        }
    }

    fn span(&mut self, first: u64, last: u64) {
        self.first = if self.first == 0 { first } else { self.first.min(first) };
        self.last = self.last.max(last);
    }

    fn settle(&mut self) {
        if self.first > 0 {
            let numbers = (self.last - self.first).saturating_add(1);
            self.unmarked = numbers.saturating_sub(self.frames).saturating_sub(self.marked);
        }
    }
}
