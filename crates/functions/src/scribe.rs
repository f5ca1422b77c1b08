//! The thread that writes logs and history into files, every now and then, and turns the files over.

use crate::logs::{History, Log};
use bourn_state::{Book, Written};
use parking_lot::{Condvar, Mutex};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

const WRITE_EVERY: Duration = Duration::from_millis(200);

/// Where the logs of functions and the history of invocations lie.
pub(crate) struct Files {
    dir: PathBuf,
}

impl Files {
    pub fn new(dir: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(dir.join("logs"))?;
        Ok(Self::at(dir))
    }

    /// Makes nothing.
    pub fn at(dir: &Path) -> Self {
        Self { dir: dir.to_path_buf() }
    }

    pub fn log(&self, function: &str) -> PathBuf {
        self.dir.join("logs").join(function)
    }

    pub fn history(&self) -> PathBuf {
        self.dir.join("invocations")
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

/// Writes each book; the first failure is told, and keeps no other book from being written.
fn write_all(books: &mut [(Book, Arc<Log>)], past: &mut Book, history: &History) -> io::Result<()> {
    let mut result = Ok(());
    for (book, log) in books {
        let written = log.write(book);
        result = result.and(told(book, written));
    }
    let written = history.write(past);
    result.and(told(past, written))
}

fn told(book: &Book, written: Written) -> io::Result<()> {
    if written.skipped > 0 {
        tracing::warn!("{} rows of {} were not written to its file", written.skipped, book.stem().display());
    }
    written.result
}
