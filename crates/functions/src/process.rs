//! One process of a function, as the rest of the host knows it.

use crate::intake::Intake;
use crate::memory::Gauge;
use crate::warden;
use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// A process that is put away may take this long to go.
pub(crate) const GRACE: Duration = Duration::from_millis(300);

/// The tree below a process is looked at every so many looks at the process itself.
const LOOKS_PER_TREE: u32 = 4;

/// Why we end a process.
#[derive(Clone, Debug)]
pub(crate) enum Ending {
    /// Its invocation took too long.
    Timeout,
    /// It took too long to ask for its first event.
    InitTimeout,
    /// It said that it cannot start.
    InitError { kind: String, payload: Bytes },
    /// It holds more memory than it may.
    OutOfMemory { bytes: u64 },
    /// It had nothing to do.
    Idle,
    /// Its code has changed, or the host closes.
    Stale,
    /// It answered and never asked again.
    Lost,
    /// The host closes and waits no longer.
    Cut,
}

impl Ending {
    /// Is it asked to go, before it is made to?
    fn is_gentle(&self) -> bool {
        matches!(self, Self::Idle | Self::Stale)
    }
}

pub(crate) struct Process {
    pub id: u64,
    pub pid: u32,
    pub mark: String,
    pub intake: Intake,
    /// Cancelled once the process is gone; its connections end with it.
    pub gone: CancellationToken,
    gauge: Gauge,
    peak_bytes: AtomicU64,
    looks: AtomicU32,
    /// Is its watcher looking often, as it must while there is work?
    watched: AtomicBool,
    poke: Notify,
    /// When it was ended, and whether gently.
    ended: Mutex<Option<(Instant, bool)>>,
    init_error: Mutex<Option<(String, Bytes)>>,
}

impl Process {
    pub fn new(id: u64, pid: u32, mark: String, intake: Intake) -> Self {
        Self {
            id,
            pid,
            mark,
            intake,
            gone: CancellationToken::new(),
            gauge: Gauge::new(pid),
            peak_bytes: AtomicU64::new(0),
            looks: AtomicU32::new(0),
            watched: AtomicBool::new(true),
            poke: Notify::new(),
            ended: Mutex::new(None),
            init_error: Mutex::new(None),
        }
    }

    /// There is work: look after the process again.
    pub fn mind(&self) {
        if !self.watched.swap(true, Ordering::AcqRel) {
            self.poke.notify_one();
        }
    }

    /// The watcher will not look for a while, unless [`Self::mind`] is called.
    pub fn unmind(&self) {
        self.watched.store(false, Ordering::Release);
    }

    pub async fn poked(&self) {
        self.poke.notified().await;
    }

    /// Ends the process group: by asking, or at once.
    pub fn end(&self, ending: &Ending) {
        let gentle = ending.is_gentle();
        *self.ended.lock() = Some((Instant::now(), gentle));
        warden::kill_group(self.pid, if gentle { libc::SIGTERM } else { libc::SIGKILL });
        self.watched.store(true, Ordering::Release);
        self.poke.notify_one();
    }

    /// Ends it for good if it was asked to go and did not.
    pub fn insist(&self) {
        let mut ended = self.ended.lock();
        if let Some((since, gentle @ true)) = ended.as_mut()
            && since.elapsed() >= GRACE
        {
            *gentle = false;
            warden::kill_group(self.pid, libc::SIGKILL);
        }
    }

    /// It said that it cannot start, and why.
    pub fn set_init_error(&self, kind: String, payload: Bytes) {
        *self.init_error.lock() = Some((kind, payload));
    }

    pub fn take_init_error(&self) -> Option<(String, Bytes)> {
        self.init_error.lock().take()
    }

    /// Looks how much memory it holds, with what it forked now and then.
    pub fn weigh(&self, bytes_max: u64) -> u64 {
        let look = self.looks.fetch_add(1, Ordering::Relaxed);
        let whole = look.is_multiple_of(LOOKS_PER_TREE);
        let bytes = if whole { self.gauge.resident_tree(bytes_max) } else { self.gauge.resident() };
        self.peak_bytes.fetch_max(bytes, Ordering::Relaxed);
        bytes
    }

    /// Most memory it was seen to hold.
    pub fn peak_bytes(&self) -> u64 {
        let bytes = self.gauge.resident();
        self.peak_bytes.fetch_max(bytes, Ordering::Relaxed).max(bytes)
    }
}
