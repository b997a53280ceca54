//! The files that segments are written to. A trait, because a test must have a disk that is full or slow when it says so.

use std::fmt::Debug;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// Segments may be read by the group, by nobody else.
const MODE: u32 = 0o640;

/// One file that is being written.
pub trait SegmentFile: Send + Sync + Debug {
    /// Writes at an offset; how many bytes were taken. A full disk takes a part of them first.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Returns when what was written is on the disk.
    fn sync(&mut self) -> io::Result<()>;
    /// Has the file system reserve space, so that a sync has no space to find; the file reads as zeros there.
    fn preallocate(&mut self, bytes: u64) -> io::Result<()>;
    /// Ends the file at `bytes`, on the disk.
    fn truncate(&mut self, bytes: u64) -> io::Result<()>;
}

/// Where files are made.
pub trait Storage: Send + Sync + Debug {
    /// Makes a file that does not exist yet, and has its name on the disk.
    fn create(&mut self, path: &Path) -> io::Result<Box<dyn SegmentFile>>;
}

/// The file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Storage for Disk {
    fn create(&mut self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        let file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(path)?;
        sync_dir(path.parent().unwrap_or_else(|| Path::new(".")))?;
        Ok(Box::new(file))
    }
}

impl SegmentFile for File {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        FileExt::write_at(self, bytes, offset)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn preallocate(&mut self, bytes: u64) -> io::Result<()> {
        let Ok(len) = libc::off_t::try_from(bytes) else { return Err(io::ErrorKind::InvalidInput.into()) };
        // SAFETY: the descriptor is open as long as `self`, and the call takes no memory of ours.
        match unsafe { libc::posix_fallocate(self.as_raw_fd(), 0, len) } {
            0 => Ok(()),
            number => Err(io::Error::from_raw_os_error(number)),
        }
    }

    fn truncate(&mut self, bytes: u64) -> io::Result<()> {
        self.set_len(bytes)?;
        self.sync_all()
    }
}

/// Has what was made, renamed or removed in a directory on the disk.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Takes the directory's lock, which the system gives back when the process ends; `None`: another has it.
pub(crate) fn lock(path: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(MODE).open(path)?;
    // SAFETY: the descriptor is open as long as `file`, and the call takes no memory of ours.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
        return Ok(Some(file));
    }
    match io::Error::last_os_error() {
        error if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        error => Err(error),
    }
}
