//! The newest rows of a log in memory, and those that wait to be written to its book.

use crate::book::Book;
use parking_lot::Mutex;
use serde::Serialize;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

/// Bounds of a [`Recent`], in the unit that its rows are measured in.
#[derive(Clone, Copy, Debug)]
pub struct RecentMax {
    /// The newest rows.
    pub kept: usize,
    /// Rows that wait to be written: what comes beyond it is left out of the book.
    pub unwritten: usize,
}

/// The newest rows, and those that wait to be written.
pub struct Recent<T> {
    max: RecentMax,
    size: fn(&T) -> usize,
    inner: Mutex<Inner<T>>,
}

struct Inner<T> {
    /// Each with its size.
    kept: VecDeque<(Arc<T>, usize)>,
    kept_size: usize,
    unwritten: Vec<Arc<T>>,
    unwritten_size: usize,
    skipped: u64,
}

/// What came of writing.
#[derive(Debug)]
pub struct Written {
    /// Rows since the last time that are not in the book because too many waited.
    pub skipped: u64,
    /// Rows that are not in the book because the writing failed.
    pub failed: u64,
    pub result: io::Result<()>,
}

impl<T> Recent<T> {
    /// `size` measures a row. The rows `before`, the oldest first, were written earlier.
    pub fn new(max: RecentMax, size: fn(&T) -> usize, before: Vec<T>) -> Self {
        let mut inner = Inner {
            kept: VecDeque::new(),
            kept_size: 0,
            unwritten: Vec::new(),
            unwritten_size: 0,
            skipped: 0,
        };
        for row in before {
            let size = size(&row);
            inner.keep(Arc::new(row), size, max.kept);
        }
        Self { max, size, inner: Mutex::new(inner) }
    }

    pub fn add(&self, row: T) {
        let size = (self.size)(&row);
        let row = Arc::new(row);
        let mut inner = self.inner.lock();
        if inner.unwritten_size + size <= self.max.unwritten {
            inner.unwritten_size += size;
            inner.unwritten.push(row.clone());
        } else {
            inner.skipped += 1;
        }
        inner.keep(row, size, self.max.kept);
    }

    /// The rows in memory, the oldest first.
    pub fn rows(&self) -> Vec<Arc<T>> {
        self.rows_that(|_| true)
    }

    /// Those of them that `are` wanted.
    pub fn rows_that(&self, are: impl Fn(&T) -> bool) -> Vec<Arc<T>> {
        let inner = self.inner.lock();
        inner.kept.iter().filter(|(row, _)| are(row)).map(|(row, _)| row.clone()).collect()
    }

    /// The newest row that `is` wanted.
    pub fn last_that(&self, is: impl Fn(&T) -> bool) -> Option<Arc<T>> {
        let inner = self.inner.lock();
        inner.kept.iter().rev().find(|(row, _)| is(row)).map(|(row, _)| row.clone())
    }
}

impl<T: Serialize> Recent<T> {
    /// Writes what waits.
    pub fn write(&self, book: &mut Book) -> Written {
        let (rows, skipped) = {
            let mut inner = self.inner.lock();
            inner.unwritten_size = 0;
            (std::mem::take(&mut inner.unwritten), std::mem::take(&mut inner.skipped))
        };
        let result = lines(&rows).and_then(|text| book.write(&text));
        let failed = if result.is_err() { rows.len() as u64 } else { 0 };
        Written { skipped, failed, result }
    }
}

impl<T> Inner<T> {
    fn keep(&mut self, row: Arc<T>, size: usize, max: usize) {
        self.kept_size += size;
        self.kept.push_back((row, size));
        while self.kept_size > max
            && let Some((_, size)) = self.kept.pop_front()
        {
            self.kept_size -= size;
        }
    }
}

fn lines<T: Serialize>(rows: &[Arc<T>]) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut text, &**row)?;
        text.push(b'\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::read_book;

    fn recent(before: Vec<String>) -> Recent<String> {
        Recent::new(RecentMax { kept: 10, unwritten: 20 }, String::len, before)
    }

    #[test]
    fn the_newest_are_kept_and_what_is_left_out_is_counted() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut book = Book::new(dir.path().join("rows"));
        let recent = recent(vec!["before".into()]);
        for row in ["aaaa", "bbbb", "cccc", "dddd", "eeee", "ffff", "gggg"] {
            recent.add(row.into());
        }
        let kept: Vec<String> = recent.rows().iter().map(|row| row.to_string()).collect();
        assert_eq!(kept, ["ffff", "gggg"]);
        let written = recent.write(&mut book);
        assert_eq!((written.skipped, written.failed, written.result.is_ok()), (2, 0, true));
        let rows: Vec<String> = read_book(book.stem());
        assert_eq!(rows, ["aaaa", "bbbb", "cccc", "dddd", "eeee"]);
        assert_eq!(recent.write(&mut book).skipped, 0);
    }

    #[test]
    fn what_cannot_be_written_is_counted() {
        let dir = tempfile::tempdir().expect("a folder");
        let recent = recent(Vec::new());
        recent.add("a".into());
        let written = recent.write(&mut Book::new(dir.path().join("missing/rows")));
        assert_eq!((written.skipped, written.failed, written.result.is_err()), (0, 1, true));
        assert_eq!(recent.rows().len(), 1);
    }
}
