//! A real file system that is full: 1 MiB of memory, where this process may mount one.

use std::ffi::CString;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use outcrier_net::log::{Log, LogConfig};

use crate::common::{Folder, Got, append, config, frames, read, wait_for};

/// A file system of 1 MiB; gone with the test.
struct Tmpfs<'a>(&'a Path);

impl<'a> Tmpfs<'a> {
    fn mount(on: &'a Path) -> Result<Self, std::io::Error> {
        let path = CString::new(on.as_os_str().as_bytes()).unwrap();
        let (kind, options) = (c"tmpfs", c"size=1m");
        // SAFETY: all four are texts that end with 0 and live longer than the call.
        let done =
            unsafe { libc::mount(kind.as_ptr(), path.as_ptr(), kind.as_ptr(), 0, options.as_ptr().cast()) };
        if done == 0 { Ok(Self(on)) } else { Err(std::io::Error::last_os_error()) }
    }
}

impl Drop for Tmpfs<'_> {
    fn drop(&mut self) {
        let path = CString::new(self.0.as_os_str().as_bytes()).unwrap();
        // SAFETY: the text ends with 0 and lives longer than the call.
        unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
    }
}

#[test]
fn a_full_file_system_leaves_a_marked_hole_and_a_running_feed() {
    if frames().is_empty() {
        return;
    }
    let folder = Folder::new();
    let _mounted = match Tmpfs::mount(&folder.0) {
        Ok(mounted) => mounted,
        Err(error) => {
            let _ = writeln!(
                std::io::stderr(),
                "skipped: a file system of 1 MiB cannot be mounted here: {error}"
            );
            return;
        }
    };
    let config = LogConfig { queue_bytes_max: 1 << 17, ..config(64 << 20) };
    let log = Log::open(&folder.0, &config).unwrap();
    // Somebody else needs the space: what is left takes some frames and a part of the next.
    let ballast = folder.0.join("ballast");
    std::fs::write(&ballast, vec![1; 900 << 10]).unwrap();
    let mut sent = 0;
    while !log.counters().failing && sent < 1_400 {
        append(&log, &frames()[sent..sent + 1]);
        sent += 1;
        std::thread::yield_now();
    }
    // On a busy machine the thread of the log comes to it later than that.
    wait_for(&log, |counters| counters.failing);
    for frame in &frames()[sent..1_500] {
        log.append(1, [frame.as_slice()]);
    }
    let dropped = log.counters().dropped;
    assert!(dropped > 0, "{:?}", log.counters());
    std::fs::remove_file(&ballast).unwrap();
    wait_for(&log, |counters| !counters.failing && counters.queued_bytes == 0);
    append(&log, &frames()[1_500..1_510]);
    drop(log);
    let (got, refused) = read(&folder.0);
    assert_eq!(refused, 0);
    let mut next = 1;
    let mut missing = 0;
    for got in got {
        match got {
            Got::Frame(_, frame) => {
                assert_eq!(frame, frames()[usize::try_from(next).unwrap() - 1]);
                next += 1;
            }
            Got::Hole(hole) => {
                assert_eq!(hole.first, next);
                missing += hole.last - hole.first + 1;
                next = hole.last + 1;
            }
        }
    }
    assert_eq!((next, missing), (1_511, dropped));
}
