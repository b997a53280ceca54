//! `LogReader` and `LogWriter`: what was published, out of a log and into one; `log_survey`: what a log holds.

use std::collections::VecDeque;
use std::path::PathBuf;

use outcrier_net::log::{self, Hole, Import, Item, LogError, Reader, SegmentState};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

/// A log that cannot be read or written: the text names file or directory.
fn log_error(error: &LogError) -> PyErr {
    match error {
        LogError::Frame { .. } | LogError::Limit { .. } => PyValueError::new_err(error.to_string()),
        _ => match error.raw_os_error() {
            Some(number) => PyOSError::new_err((number, error.to_string())),
            None => PyOSError::new_err(error.to_string()),
        },
    }
}

/// Channel, session, number, stamp and bytes.
type Row<'py> = (u8, u32, u64, i64, Bound<'py, PyBytes>);
/// Channel, session, first, last, stamp.
type HoleRow = (u8, u32, u64, u64, i64);

/// The frames of a log in order, holes between them.
#[pyclass(module = "outcrier._core")]
pub(crate) struct LogReader {
    reader: Reader,
    holes: VecDeque<HoleRow>,
}

#[pymethods]
impl LogReader {
    #[new]
    fn new(path: PathBuf) -> PyResult<Self> {
        let reader = Reader::open(&path).map_err(|error| log_error(&error))?;
        Ok(Self { reader, holes: VecDeque::new() })
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Row<'py>>> {
        while let Some(item) = self.reader.next().map_err(|error| log_error(&error))? {
            match item {
                Item::Frame { channel, session, seq, wall_ns, bytes, .. } => {
                    return Ok(Some((channel, session, seq, wall_ns, PyBytes::new(py, bytes))));
                }
                Item::Hole { hole: Hole { channel, session, first, last }, wall_ns } => {
                    self.holes.push_back((channel, session, first, last, wall_ns));
                }
            }
        }
        Ok(None)
    }

    /// Holes met since the last call.
    fn take_holes(&mut self) -> Vec<HoleRow> {
        self.holes.drain(..).collect()
    }

    /// Damaged segments met so far: path and offset of the damage.
    fn refused(&self) -> Vec<(PathBuf, u64)> {
        self.reader.refused().iter().map(|refused| (refused.path.clone(), refused.offset)).collect()
    }
}

/// Frames and holes from elsewhere into a log.
#[pyclass(module = "outcrier._core")]
pub(crate) struct LogWriter {
    import: Option<Import>,
}

impl LogWriter {
    fn import(&mut self) -> PyResult<&mut Import> {
        self.import.as_mut().ok_or_else(|| PyValueError::new_err("the log is closed"))
    }
}

#[pymethods]
impl LogWriter {
    #[new]
    #[pyo3(signature = (path, *, segment_bytes=64 << 20))]
    fn new(path: PathBuf, segment_bytes: u64) -> PyResult<Self> {
        let import = Import::open(&path, segment_bytes).map_err(|error| log_error(&error))?;
        Ok(Self { import: Some(import) })
    }

    /// Why a datagram is no frame for a log; None: it is one.
    #[staticmethod]
    #[pyo3(signature = (datagram, /))]
    fn refusal(datagram: &[u8]) -> Option<&'static str> {
        Import::refusal(datagram)
    }

    #[pyo3(signature = (wall_ns, datagram, /))]
    fn frame(&mut self, wall_ns: i64, datagram: &[u8]) -> PyResult<()> {
        self.import()?.frame(wall_ns, datagram).map_err(|error| log_error(&error))
    }

    fn hole(&mut self, wall_ns: i64, channel: u8, session: u32, first: u64, last: u64) -> PyResult<()> {
        let hole = Hole { channel, session, first, last };
        self.import()?.hole(wall_ns, &hole).map_err(|error| log_error(&error))
    }

    /// Writes what waits; how many frames there are.
    fn close(&mut self) -> PyResult<u64> {
        let Some(import) = self.import.take() else { return Ok(0) };
        import.finish().map(|counters| counters.frames).map_err(|error| log_error(&error))
    }
}

/// What a log holds, every record checked.
#[pyfunction]
pub(crate) fn log_survey(py: Python<'_>, path: PathBuf) -> PyResult<Bound<'_, PyDict>> {
    let survey = py.detach(|| log::survey(&path)).map_err(|error| log_error(&error))?;
    let all = PyDict::new(py);
    all.set_item("sound", survey.is_sound())?;
    all.set_item("quarantined", PyList::new(py, &survey.quarantined)?)?;
    let segments = PyList::empty(py);
    for segment in &survey.segments {
        let row = PyDict::new(py);
        let (state, at) = match segment.state {
            SegmentState::Whole => ("whole", 0),
            SegmentState::Torn(bytes) => ("torn", bytes),
            SegmentState::Damaged(offset) => ("damaged", offset),
        };
        row.set_item("path", &segment.path)?;
        row.set_item("state", state)?;
        row.set_item("torn_bytes", if state == "torn" { at } else { 0 })?;
        row.set_item("damage_offset", (state == "damaged").then_some(at))?;
        row.set_item("bytes", segment.bytes)?;
        row.set_item("frames", segment.frames)?;
        row.set_item("created_ns", segment.created_ns)?;
        row.set_item("last_ns", segment.last_ns)?;
        segments.append(row)?;
    }
    all.set_item("segments", segments)?;
    let sessions = PyList::empty(py);
    for session in &survey.sessions {
        let row = PyDict::new(py);
        row.set_item("channel", session.channel)?;
        row.set_item("session", session.session)?;
        row.set_item("first", session.first)?;
        row.set_item("last", session.last)?;
        row.set_item("frames", session.frames)?;
        row.set_item("bytes", session.bytes)?;
        row.set_item("first_ns", session.first_ns)?;
        row.set_item("last_ns", session.last_ns)?;
        row.set_item("ended", session.ended)?;
        let holes: Vec<_> = session.holes.iter().map(|hole| (hole.first, hole.last)).collect();
        row.set_item("holes", holes)?;
        row.set_item("hole_count", session.hole_count)?;
        row.set_item("missing_marked", session.marked)?;
        row.set_item("missing_unmarked", session.unmarked)?;
        sessions.append(row)?;
    }
    all.set_item("sessions", sessions)?;
    Ok(all)
}
