//! The thread that writes logs and history into files, every now and then, and turns the files over.

use crate::logs::Log;
use crate::meter::History;
use parking_lot::{Condvar, Mutex};
use serde::{Serialize, de::DeserializeOwned};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// A file is turned over at this size; the one before it is kept, older ones are not.
const FILE_BYTES_MAX: u64 = 8 << 20;

const WRITE_EVERY: Duration = Duration::from_millis(200);

/// How much of the files is read again at start.
const READ_BYTES_MAX: u64 = 2 << 20;

/// Where the logs of functions and the history of invocations lie.
pub(crate) struct Files {
    dir: PathBuf,
}

impl Files {
    pub fn new(dir: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(dir.join("logs"))?;
        Ok(Self { dir: dir.to_path_buf() })
    }

    pub fn log(&self, function: &str) -> PathBuf {
        self.dir.join("logs").join(function)
    }

    pub fn history(&self) -> PathBuf {
        self.dir.join("invocations")
    }
}

/// The newest rows of a file and the one before it. A line that does not read is left out: the last one
/// may be torn.
pub(crate) fn read_back<T: DeserializeOwned>(stem: &Path) -> Vec<T> {
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

struct Book {
    stem: PathBuf,
    bytes: u64,
    file: Option<File>,
}

impl Book {
    fn new(stem: PathBuf) -> Self {
        Self { stem, bytes: 0, file: None }
    }

    fn write(&mut self, text: &[u8]) -> io::Result<()> {
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

#[derive(Default)]
struct Signal {
    stop: Mutex<bool>,
    wake: Condvar,
}

/// Writes until it is dropped or told to stop; then it writes what is left.
pub(crate) struct Scribe {
    signal: Arc<Signal>,
    thread: Option<JoinHandle<()>>,
}

impl Scribe {
    pub fn start(files: &Files, logs: Vec<(String, Arc<Log>)>, history: Arc<History>) -> io::Result<Self> {
        let signal = Arc::new(Signal::default());
        let heard = signal.clone();
        let mut books: Vec<_> =
            logs.into_iter().map(|(function, log)| (Book::new(files.log(&function)), log)).collect();
        let mut past = Book::new(files.history());
        let thread = std::thread::Builder::new().name("functions-log".into()).spawn(move || {
            let mut failed = false;
            loop {
                let stop = {
                    let mut stop = heard.stop.lock();
                    if !*stop {
                        heard.wake.wait_for(&mut stop, WRITE_EVERY);
                    }
                    *stop
                };
                let result = write_all(&mut books, &mut past, &history);
                if let (Err(error), false) = (&result, failed) {
                    tracing::warn!("logs of functions cannot be written: {error}");
                }
                failed = result.is_err();
                if stop {
                    return;
                }
            }
        })?;
        Ok(Self { signal, thread: Some(thread) })
    }

    /// Writes what is left, and stops.
    pub fn stop(&mut self) {
        *self.signal.stop.lock() = true;
        self.signal.wake.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Scribe {
    fn drop(&mut self) {
        self.stop();
    }
}

fn write_all(books: &mut [(Book, Arc<Log>)], past: &mut Book, history: &History) -> io::Result<()> {
    for (book, log) in books {
        let (rows, skipped) = log.take_unwritten();
        if skipped > 0 {
            tracing::warn!("{skipped} lines of {} were not written to its file", book.stem.display());
        }
        book.write(&lines(&rows)?)?;
    }
    past.write(&lines(&history.take_unwritten())?)
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
        let rows: Vec<String> = read_back(&stem);
        assert_eq!(rows.last().map(String::as_str), Some("last"));
    }
}
