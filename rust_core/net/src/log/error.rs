//! What can be wrong with a log, in words for the person who has to mend it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a log cannot be opened or read. `Display` is one line.
#[derive(Debug)]
#[non_exhaustive]
pub enum LogError {
    /// A limit that cannot be.
    Limit {
        /// Its name in [`super::LogConfig`].
        key: &'static str,
        /// What was asked.
        value: u64,
        /// What is allowed.
        allowed: &'static str,
    },
    /// Another process writes into the directory.
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// A frame that cannot be written into a log.
    Frame {
        /// What is wrong with it.
        why: &'static str,
    },
    /// The system said no.
    Os {
        /// File or directory.
        path: PathBuf,
        /// What was tried.
        step: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl LogError {
    pub(crate) fn os(path: &Path, step: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Os { path, step, source }
    }

    /// The system's error number, where the system had a say.
    #[must_use]
    pub fn raw_os_error(&self) -> Option<i32> {
        match self {
            Self::Os { source, .. } => source.raw_os_error(),
            Self::Limit { .. } | Self::InUse { .. } | Self::Frame { .. } => None,
        }
    }
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit { key, value, allowed } => write!(f, "{key} {value} is not allowed: {allowed}"),
            Self::InUse { path } => write!(f, "{}: another process writes this log", path.display()),
            Self::Frame { why } => write!(f, "no frame for the log: {why}"),
            Self::Os { path, step, source } => write!(f, "cannot {step} {}: {source}", path.display()),
        }
    }
}

impl std::error::Error for LogError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Os { source, .. } => Some(source),
            Self::Limit { .. } | Self::InUse { .. } | Self::Frame { .. } => None,
        }
    }
}
