//! What can go wrong with the lake, by what a caller can do about it.

use bourn_event::Offset;

/// An error of the lake. [`LakeError::is_retryable`] tells the passing ones from the rest.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LakeError {
    /// `storage:` cannot be turned into a store.
    #[error("storage.lake `{place}`: {problem}")]
    Storage { place: String, problem: String },
    /// The store did not answer, or answered that it cannot now. The same call may succeed later.
    #[error("the store of table {table} fails: {problem}")]
    Unavailable { table: String, problem: String },
    /// A file of the table is missing or cannot be read.
    #[error(
        "table {table}: {file} cannot be read: {problem}. Nothing was deleted; restore the file, or rebuild the table with `bourn replay`"
    )]
    Broken { table: String, file: String, problem: String },
    /// The definition and the table do not fit together.
    #[error("table {table}: {problem}. {way_out}")]
    Schema { table: String, problem: String, way_out: String },
    /// Rows that do not fit the table's columns.
    #[error("table {table}: rows do not fit: {problem}")]
    Rows { table: String, problem: String },
    /// Events came out of order.
    #[error("table {table}: events from offset {got} came where {expected} was due")]
    Gap { table: String, expected: Offset, got: Offset },
    /// Another writer changed what this call was about to replace; it can be run again.
    #[error("table {table}: another commit came between: {problem}")]
    Conflict { table: String, problem: String },
    /// There is no such table.
    #[error("there is no table {table}")]
    NoTable { table: String },
    /// There is no such version, or its files are gone.
    #[error("table {table} has no version {version} any more; the oldest in its log is {oldest}")]
    NoVersion { table: String, version: i64, oldest: i64 },
    /// The table was closed.
    #[error("table {table} is closed")]
    Closed { table: String },
}

impl LakeError {
    /// May the same call succeed later without anybody changing the definition or the files?
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Conflict { .. })
    }

    pub(crate) fn rows(table: &str, problem: impl ToString) -> Self {
        Self::Rows { table: table.into(), problem: problem.to_string() }
    }

    pub(crate) fn unavailable(table: &str, problem: impl ToString) -> Self {
        Self::Unavailable { table: table.into(), problem: problem.to_string() }
    }

    pub(crate) fn broken(table: &str, file: impl ToString, problem: impl ToString) -> Self {
        Self::Broken { table: table.into(), file: file.to_string(), problem: problem.to_string() }
    }
}
