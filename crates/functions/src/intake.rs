//! The reading end of a process's output: lines, told apart by invocation, and bounded.
//!
//! What a function writes before it answers is in the pipe when the answer arrives, so the pipe is read
//! out at that point too, by whoever handles the answer.

use crate::logs::Log;
use crate::rows::LogRow;
use bourn_event::Clock;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, PipeReader, Read};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use tokio::io::unix::AsyncFd;

/// A longer line is cut into several.
const LINE_BYTES_MAX: usize = 64 << 10;

/// Output of one invocation, or of an initialisation, that is kept; the rest is dropped and counted.
pub(crate) const INVOCATION_BYTES_MAX: usize = 1 << 20;

/// The last bytes of a log that a caller may have.
pub(crate) const TAIL_BYTES: usize = 4096;

/// Most that is read at one go, so that a process which writes without end holds nobody up.
const DRAIN_BYTES_MAX: usize = 1 << 20;

pub(crate) struct Intake {
    pipe: AsyncFd<PipeReader>,
    inner: Mutex<Inner>,
    log: Arc<Log>,
    clock: Arc<dyn Clock>,
    function: Arc<str>,
    process: u32,
}

struct Inner {
    partial: Vec<u8>,
    request_id: Option<Arc<str>>,
    /// Bytes of the present invocation that are kept, and that were dropped.
    kept: usize,
    dropped: u64,
    tail: Option<VecDeque<u8>>,
    buffer: Box<[u8; 16 << 10]>,
}

impl Intake {
    pub fn new(
        pipe: PipeReader,
        log: Arc<Log>,
        clock: Arc<dyn Clock>,
        function: Arc<str>,
        process: u32,
    ) -> io::Result<Self> {
        // SAFETY: system calls on a descriptor that `pipe` owns.
        unsafe {
            let flags = libc::fcntl(pipe.as_raw_fd(), libc::F_GETFL);
            if flags < 0 || libc::fcntl(pipe.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        let inner = Inner {
            partial: Vec::new(),
            request_id: None,
            kept: 0,
            dropped: 0,
            tail: None,
            buffer: Box::new([0; 16 << 10]),
        };
        // SAFETY: the pipe keeps its descriptor for as long as it is registered: nothing replaces it.
        let pipe = unsafe { AsyncFd::register(pipe) }?;
        Ok(Self { pipe, inner: Mutex::new(inner), log, clock, function, process })
    }

    /// Reads until nobody can write any more.
    pub async fn follow(&self) {
        while let Ok(mut ready) = self.pipe.readable().await {
            match self.drain() {
                Drained::Dry => ready.clear_ready(),
                Drained::More => tokio::task::yield_now().await,
                Drained::End => return,
            }
        }
    }

    /// An invocation begins: what comes now is its output.
    pub fn begin(&self, request_id: &Arc<str>, wants_log: bool) {
        self.drain();
        let mut inner = self.inner.lock();
        self.close_off(&mut inner);
        inner.request_id = Some(request_id.clone());
        inner.tail = wants_log.then(VecDeque::new);
        self.put(&mut inner, format!("START RequestId: {request_id} Version: $LATEST"));
    }

    /// The invocation is over. `report` follows its output; gives the tail, if it was wanted.
    pub fn end(&self, request_id: &str, report: String) -> Bytes {
        self.drain();
        let mut inner = self.inner.lock();
        self.close_off(&mut inner);
        self.put(&mut inner, format!("END RequestId: {request_id}"));
        self.put(&mut inner, report);
        inner.request_id = None;
        inner.tail.take().map(|tail| Vec::from(tail).into()).unwrap_or_default()
    }

    /// A line of ours about the process.
    pub fn note(&self, line: String) {
        self.drain();
        let mut inner = self.inner.lock();
        self.close_off(&mut inner);
        self.put(&mut inner, line);
    }

    fn drain(&self) -> Drained {
        let mut guard = self.inner.lock();
        let inner = &mut *guard;
        let mut pipe = self.pipe.get_ref();
        let mut total = 0;
        while total < DRAIN_BYTES_MAX {
            let length = match pipe.read(&mut inner.buffer[..]) {
                Ok(0) => return Drained::End,
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Drained::Dry,
                Err(_) => return Drained::End,
            };
            total += length;
            self.take(inner, length);
        }
        Drained::More
    }

    fn take(&self, inner: &mut Inner, length: usize) {
        let room = INVOCATION_BYTES_MAX.saturating_sub(inner.kept).min(length);
        inner.dropped += (length - room) as u64;
        inner.kept += room;
        let mut from = 0;
        while from < room {
            let rest = &inner.buffer[from..room];
            let end = rest.iter().position(|byte| *byte == b'\n');
            let piece = end.unwrap_or(rest.len()).min(LINE_BYTES_MAX - inner.partial.len());
            inner.partial.extend_from_slice(&rest[..piece]);
            let whole = end == Some(piece);
            from += piece + usize::from(whole);
            if whole || inner.partial.len() >= LINE_BYTES_MAX {
                let line = String::from_utf8_lossy(&inner.partial).into_owned();
                inner.partial.clear();
                self.put(inner, line);
            }
        }
    }

    /// Ends an unfinished line, and says what was dropped.
    fn close_off(&self, inner: &mut Inner) {
        if !inner.partial.is_empty() {
            let line = String::from_utf8_lossy(&inner.partial).into_owned();
            inner.partial.clear();
            self.put(inner, line);
        }
        let dropped = std::mem::take(&mut inner.dropped);
        inner.kept = 0;
        if dropped > 0 {
            let kept = INVOCATION_BYTES_MAX >> 20;
            self.put(
                inner,
                format!("… {dropped} bytes of output were dropped: an invocation keeps {kept} MiB"),
            );
        }
    }

    fn put(&self, inner: &mut Inner, line: String) {
        if let Some(tail) = &mut inner.tail {
            tail.extend(line.as_bytes());
            tail.push_back(b'\n');
            let surplus = tail.len().saturating_sub(TAIL_BYTES);
            tail.drain(..surplus);
        }
        self.log.add(LogRow {
            at: self.clock.now(),
            function: self.function.clone(),
            request_id: inner.request_id.clone(),
            process: self.process,
            line,
        });
    }
}

enum Drained {
    /// Nothing there now.
    Dry,
    /// There may be more.
    More,
    /// Nobody can write any more.
    End,
}
