//! Books: files of lines that are written on and on, and turned over when they are full.
//!
//! `<stem>.ndjson` is written, `<stem>.1.ndjson` is the one before it; older ones are gone. A line is a JSON value. The
//! last one may be torn. For what is nice to have: nothing here is synced.

use serde::de::DeserializeOwned;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A file is turned over at this size.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// How much of each file is read again.
const READ_BYTES_MAX: u64 = 2 << 20;

/// The newest lines of a book, the oldest of them first. A line that does not read is left out.
pub fn read_book<T: DeserializeOwned>(stem: &Path) -> Vec<T> {
    let mut rows = Vec::new();
    for end in ["1.ndjson", "ndjson"] {
        let Ok(mut file) = File::open(stem.with_extension(end)) else { continue };
        let length = file.metadata().map(|meta| meta.len()).unwrap_or(0);
        if file.seek(SeekFrom::Start(length.saturating_sub(READ_BYTES_MAX))).is_err() {
            continue;
        }
        for line in BufReader::new(file).split(b'\n').map_while(Result::ok) {
            rows.extend(serde_json::from_slice(&line).ok());
        }
    }
    rows
}

/// The file that is written.
pub struct Book {
    stem: PathBuf,
    bytes: u64,
    file: Option<File>,
}

impl Book {
    /// Opens nothing before something is written.
    pub fn new(stem: PathBuf) -> Self {
        Self { stem, bytes: 0, file: None }
    }

    /// Where its files are, without their endings.
    pub fn stem(&self) -> &Path {
        &self.stem
    }

    /// Adds whole lines.
    pub fn write(&mut self, text: &[u8]) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        let path = self.stem.with_extension("ndjson");
        if self.file.is_some() && self.bytes >= FILE_BYTES_MAX {
            self.file = None;
            std::fs::rename(&path, self.stem.with_extension("1.ndjson"))?;
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let mut file = OpenOptions::new().append(true).create(true).open(path)?;
                self.bytes = file.metadata()?.len();
                if self.bytes > 0 {
                    // The last line may be torn: it must not spoil the next one.
                    file.write_all(b"\n")?;
                }
                self.file.insert(file)
            }
        };
        file.write_all(text)?;
        self.bytes += text.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_turned_over_and_read_back() {
        let dir = tempfile::tempdir().expect("a folder");
        let stem = dir.path().join("f");
        let mut book = Book::new(stem.clone());
        let line = format!("\"{}\"\n", "x".repeat((1 << 20) - 3));
        for _ in 0..20 {
            book.write(line.as_bytes()).expect("written");
        }
        let files = std::fs::read_dir(dir.path()).expect("a folder").count();
        assert_eq!(files, 2);
        book.write(b"\"last\"\n\"torn").expect("written");
        let rows: Vec<String> = read_book(&stem);
        assert_eq!(rows.last().map(String::as_str), Some("last"));
    }
}
