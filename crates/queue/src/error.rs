//! What can go wrong with a log's files, each naming the file.

use bourn_event::Offset;
use std::io;
use std::path::{Path, PathBuf};

/// Why a log cannot be opened, read or kept up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    /// Written by an older or newer Bourn.
    #[error(
        "{}: segment format version {found} is not the version {supported} this build reads; open it with the version of bourn that wrote it",
        path.display()
    )]
    Version { path: PathBuf, found: u16, supported: u16 },
    /// The segment belongs to another log.
    #[error("{}: the segment belongs to log `{found}`, not to `{expected}`; move it back where it came from", path.display())]
    Foreign { path: PathBuf, found: String, expected: String },
    /// The frame's checksums match and yet it does not decompress to what its header says.
    #[error("{}: the frame at offset {offset} does not decompress: {what}", path.display())]
    Payload { path: PathBuf, offset: Offset, what: String },
    #[error("the log cannot write: {0}")]
    Unavailable(String),
    #[error("the log is closed")]
    Closed,
}

impl LogError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}
