//! Why the state or the lock could not be had.

use crate::{BadKey, Held};
use std::path::PathBuf;

/// Failure of a [`crate::State`].
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Written by a newer Bourn. Nothing was changed.
    #[error(
        "the state in {} has format {found}, and this version reads up to {supported}: \
         run the newer version of bourn that wrote it, or move the folder away and start afresh \
         (finished files are then read again; no event of the log or the lake is lost). \
         Nothing was changed or deleted",
        .dir.display()
    )]
    NewerVersion { dir: PathBuf, found: String, supported: u32 },
    /// Another process, or another handle of this one, has the store open.
    #[error("the state in {} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// The store's files do not fit together. Nothing was changed.
    #[error(
        "the state in {} is damaged ({detail}): restore the folder from a backup, or move it away and start afresh \
         (finished files are then read again; no event of the log or the lake is lost). \
         Nothing was deleted",
        .dir.display()
    )]
    Damaged { dir: PathBuf, detail: String },
    /// A write failed before, so that later ones are refused: what is on disk is uncertain until
    /// the process restarts and recovers.
    #[error("the state in {} stopped writing after a failed write; restart to recover", .0.display())]
    Poisoned(PathBuf),
    /// The disk is full or failing.
    #[error("the state in {} cannot be read or written: {source}", .dir.display())]
    Io { dir: PathBuf, source: std::io::Error },
    /// A value is there, but does not read as what the caller asked for.
    #[error("the state's value of {key} cannot be read: {detail}")]
    Value { key: String, detail: String },
    #[error(transparent)]
    Key(#[from] BadKey),
}

impl StateError {
    /// May the same call succeed later without a restart?
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::InUse(_))
    }
}

/// Failure to own a data folder.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else owns it.
    #[error("{}: {}", .dir.display(), .held)]
    Held { dir: PathBuf, held: Held },
    #[error("cannot lock {}: {source}", .path.display())]
    Io { path: PathBuf, source: std::io::Error },
}
