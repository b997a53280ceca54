//! Frames from elsewhere into a log: waits for the disk, drops nothing.

use std::path::Path;

use outcrier_core::wire;

use super::error::LogError;
use super::queue::kept;
use super::record::{self, Hole};
use super::storage::Disk;
use super::writer::Writer;
use super::{LogConfig, LogCounters, open_writer};

/// Bytes that are written at once.
const GROUP_BYTES: usize = 1 << 20;

/// Why a sound frame is not for a log.
const NOT_KEPT: &str = "snapshot plane or heartbeat";

/// Writes a log that is not live. Nothing of it is removed by size or age.
#[derive(Debug)]
pub struct Import {
    writer: Writer,
    group: Vec<u8>,
    counters: LogCounters,
    _lock: std::fs::File,
}

impl Import {
    /// Opens the log of a directory, as [`super::Log::open`] does.
    ///
    /// # Errors
    ///
    /// As [`super::Log::open`].
    pub fn open(dir: &Path, segment_bytes: u64) -> Result<Self, LogError> {
        let config = LogConfig { segment_bytes, retain_bytes: 0, retain_age_ns: 0, ..LogConfig::default() };
        config.check()?;
        let (writer, _, _, lock) = open_writer(dir, &config, Box::new(Disk))?;
        let group = Vec::with_capacity(GROUP_BYTES + record::RECORD_BYTES_MAX);
        Ok(Self { writer, group, counters: LogCounters::default(), _lock: lock })
    }

    /// Why a datagram is no frame for a log; `None`: it is one.
    #[must_use]
    pub fn refusal(datagram: &[u8]) -> Option<&'static str> {
        match wire::check(datagram) {
            Err(refusal) => Some(refusal.as_str()),
            Ok(frame) => kept(frame.bytes).is_none().then_some(NOT_KEPT),
        }
    }

    /// Adds a frame that passes [`wire::check`] and belongs into a log; `wall_ns` is its stamp. Padding behind it is left out.
    ///
    /// # Errors
    ///
    /// It is no such frame, or what the system says.
    pub fn frame(&mut self, wall_ns: i64, datagram: &[u8]) -> Result<(), LogError> {
        match wire::check(datagram).map(|frame| (frame.bytes, kept(frame.bytes))) {
            Err(refusal) => return Err(LogError::Frame { why: refusal.as_str() }),
            Ok((_, None)) => return Err(LogError::Frame { why: NOT_KEPT }),
            Ok((frame, Some(_))) => record::push_frame(&mut self.group, wall_ns, frame),
        }
        self.after()
    }

    /// Adds a hole.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn hole(&mut self, wall_ns: i64, hole: &Hole) -> Result<(), LogError> {
        record::push_hole(&mut self.group, wall_ns, hole);
        self.after()
    }

    fn after(&mut self) -> Result<(), LogError> {
        if self.group.len() < GROUP_BYTES { Ok(()) } else { self.commit() }
    }

    fn commit(&mut self) -> Result<(), LogError> {
        let mut done = 0;
        self.writer
            .commit(&mut self.group, &mut done, &mut self.counters)
            .map_err(LogError::os(self.writer.dir(), "write into"))?;
        self.group.clear();
        Ok(())
    }

    /// Writes what waits and ends the segment.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn finish(mut self) -> Result<LogCounters, LogError> {
        self.commit()?;
        self.writer.end_segment();
        Ok(self.counters)
    }
}
