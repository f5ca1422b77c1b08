//! What functions write: kept in memory for a while, and in files that are turned over.
//!
//! Each function has `logs/<name>.ndjson` and, once that is full, `logs/<name>.1.ndjson` before it; a
//! line is a [`LogRow`] as JSON. The memory holds the newest rows of the files.

use crate::rows::LogRow;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;

/// Memory for the newest rows of one function.
pub(crate) const RING_BYTES_MAX: usize = 1 << 20;

/// Rows that wait to be written; above it they are left out of the file.
const UNWRITTEN_BYTES_MAX: usize = 4 << 20;

/// The log of one function.
pub(crate) struct Log {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    ring: VecDeque<Arc<LogRow>>,
    ring_bytes: usize,
    unwritten: Vec<Arc<LogRow>>,
    unwritten_bytes: usize,
    /// Rows that were left out of the file since the last write.
    skipped: u64,
}

impl Log {
    pub fn new(before: Vec<LogRow>) -> Self {
        let mut inner = Inner::default();
        for row in before {
            inner.remember(Arc::new(row));
        }
        Self { inner: Mutex::new(inner) }
    }

    pub fn add(&self, row: LogRow) {
        let row = Arc::new(row);
        let mut inner = self.inner.lock();
        if inner.unwritten_bytes < UNWRITTEN_BYTES_MAX {
            inner.unwritten_bytes += size(&row);
            inner.unwritten.push(row.clone());
        } else {
            inner.skipped += 1;
        }
        inner.remember(row);
    }

    /// The rows in memory, the oldest first.
    pub fn rows(&self) -> Vec<Arc<LogRow>> {
        self.inner.lock().ring.iter().cloned().collect()
    }

    /// What is to be written, and how many rows were left out before it.
    pub fn take_unwritten(&self) -> (Vec<Arc<LogRow>>, u64) {
        let mut inner = self.inner.lock();
        inner.unwritten_bytes = 0;
        (std::mem::take(&mut inner.unwritten), std::mem::take(&mut inner.skipped))
    }
}

impl Inner {
    fn remember(&mut self, row: Arc<LogRow>) {
        self.ring_bytes += size(&row);
        self.ring.push_back(row);
        while self.ring_bytes > RING_BYTES_MAX {
            match self.ring.pop_front() {
                Some(old) => self.ring_bytes -= size(&old),
                None => break,
            }
        }
    }
}

/// Bytes of memory that a row takes, about.
fn size(row: &LogRow) -> usize {
    row.line.len() + 96
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_for_rows_is_bounded() {
        let log = Log::new(Vec::new());
        let line = "x".repeat(1000);
        for at in 0..10_000 {
            log.add(LogRow { at, function: "f".into(), request_id: None, process: 1, line: line.clone() });
        }
        let rows = log.rows();
        assert!(rows.len() < 1000, "{}", rows.len());
        assert_eq!(rows.last().map(|row| row.at), Some(9_999));
        let (unwritten, skipped) = log.take_unwritten();
        assert_eq!(unwritten.len() as u64 + skipped, 10_000);
        assert!(skipped > 0);
    }
}
