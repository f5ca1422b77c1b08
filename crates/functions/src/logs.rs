//! What functions write, and what was invoked: kept in memory for a while, and in files that are turned over.
//!
//! Each function has `logs/<name>.ndjson` and, once that is full, `logs/<name>.1.ndjson` before it; a
//! line is a [`LogRow`] as JSON. Invocations have `invocations.ndjson` in the same way, for all functions
//! together. The memory holds the newest rows of the files.

use crate::rows::{InvocationRow, LogRow};
use bourn_state::{Recent, RecentMax};

/// Bytes of memory for one function's rows.
const LOG_MAX: RecentMax = RecentMax { kept: 1 << 20, unwritten: 4 << 20 };
/// Rows.
const HISTORY_MAX: RecentMax = RecentMax { kept: 10_000, unwritten: 100_000 };

/// The log of one function.
pub(crate) type Log = Recent<LogRow>;
/// The invocations of all functions.
pub(crate) type History = Recent<InvocationRow>;

pub(crate) fn log(before: Vec<LogRow>) -> Log {
    Recent::new(LOG_MAX, |row| row.line.len() + 96, before)
}

pub(crate) fn history(before: Vec<InvocationRow>) -> History {
    Recent::new(HISTORY_MAX, |_| 1, before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_for_rows_is_bounded() {
        let log = log(Vec::new());
        let line = "x".repeat(1000);
        for at in 0..10_000 {
            log.add(LogRow { at, function: "f".into(), request_id: None, process: 1, line: line.clone() });
        }
        let rows = log.rows();
        assert!(rows.len() < 1000, "{}", rows.len());
        assert_eq!(rows.last().map(|row| row.at), Some(9_999));
    }
}
