//! What can go wrong with the index's files, and the way out.

use std::path::{Path, PathBuf};

/// Why the dedupe index cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum DedupeError {
    #[error("{}: cannot {action}: {source}", .path.display())]
    Io {
        path: PathBuf,
        /// What was tried, as a verb and its object.
        action: &'static str,
        source: std::io::Error,
    },
    #[error(
        "{}: {what}; stop bourn and delete the folder `{}`: the index is rebuilt from the stream's log",
        .path.display(), folder(.path)
    )]
    Corrupt { path: PathBuf, what: String },
    #[error("{}: is of format version {found}, this bourn reads version {known}: run the bourn that wrote it, or delete the folder `{}`: the index is rebuilt from the stream's log", .path.display(), folder(.path))]
    Version { path: PathBuf, found: u32, known: u32 },
}

fn folder(path: &Path) -> String {
    path.parent().unwrap_or(path).display().to_string()
}

impl DedupeError {
    pub(super) fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), action, source }
    }

    pub(super) fn corrupt(path: &Path, what: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_owned(), what: what.into() }
    }
}
