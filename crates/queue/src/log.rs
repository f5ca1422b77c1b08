//! The log's front: options, appending, subscribing, figures, closing.

use crate::consumer::Consumer;
use crate::error::LogError;
use crate::files::{FileSystem, RealFiles};
use crate::pack::pack;
use crate::recover::{Recovery, recover};
use crate::shared::{Pending, Reply, Shared, Work};
use crate::tail::Tail;
use crate::writer::Writer;
use async_trait::async_trait;
use bourn_event::{Ack, AppendError, Clock, Draft, Log, Micros, Offset, Receipt, SystemClock};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long a client should wait when the log is full: a few commits of the lake.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Where a log lies and how much it may use.
#[derive(Clone)]
pub struct LogOptions {
    /// `<stream>/<log>`, as in `orders/events`; written into every segment.
    pub name: String,
    /// Folder of the segment being written.
    pub dir: PathBuf,
    /// Root of the raw zone: finished segments go to `date=YYYY-MM-DD/hour=HH/` under it.
    pub sealed_dir: PathBuf,
    /// A segment is finished at this size…
    pub segment_bytes: u64,
    /// …or age.
    pub segment_age: Duration,
    /// Finished segments may be deleted once all their events are older than this.
    pub retention_age: Option<Duration>,
    /// The oldest finished segments may be deleted while the log is larger than this.
    pub retention_bytes: Option<u64>,
    /// Appends are refused while the slowest consumer is this many bytes behind.
    pub budget_bytes: u64,
    /// Memory for frames that tails have not read yet; above it they are read back from disk.
    pub tail_memory_bytes: usize,
    /// Producers that were silent for longer are forgotten at the next new segment.
    pub producer_idle: Duration,
    /// The same for producers that send once.
    pub once_idle: Duration,
    pub clock: Arc<dyn Clock>,
    pub files: Arc<dyn FileSystem>,
}

impl LogOptions {
    /// Defaults on the machine's clock and file system: segments of 256 MiB or an hour, nothing
    /// deleted, 4 GiB of budget, 64 MiB of tail, producers kept for 30 days, those that send once for one.
    pub fn new(name: impl Into<String>, dir: impl Into<PathBuf>, sealed_dir: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            dir: dir.into(),
            sealed_dir: sealed_dir.into(),
            segment_bytes: 256 << 20,
            segment_age: Duration::from_secs(3_600),
            retention_age: None,
            retention_bytes: None,
            budget_bytes: 4 << 30,
            tail_memory_bytes: 64 << 20,
            producer_idle: Duration::from_secs(30 * 86_400),
            once_idle: Duration::from_secs(86_400),
            clock: Arc::new(SystemClock),
            files: Arc::new(RealFiles),
        }
    }
}

/// A durable log with one writer thread. Dropping it closes it.
pub struct StreamLog {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// What the log holds right now.
#[derive(Clone, Debug)]
pub struct LogStats {
    /// Offset behind the last durable event.
    pub end: Offset,
    /// The oldest offset that was not deleted by retention.
    pub first_retained: Offset,
    /// Bytes of all segments.
    pub bytes: u64,
    /// Bytes the slowest consumer is behind.
    pub behind_bytes: u64,
    pub segments: Vec<SegmentInfo>,
    /// Events by source since offset 0, deleted ones included. They add up to `end`.
    pub received: BTreeMap<String, u64>,
}

/// One segment.
#[derive(Clone, Debug)]
pub struct SegmentInfo {
    pub path: PathBuf,
    pub first_offset: Offset,
    /// Offset behind its last event.
    pub end: Offset,
    pub bytes: u64,
    /// Is it in the raw zone?
    pub sealed: bool,
    pub created_at: Micros,
    /// No event of it was received later.
    pub received_last: Micros,
}

impl SegmentInfo {
    pub(crate) fn of(segment: &crate::segments::Segment) -> Self {
        Self {
            path: segment.path.clone(),
            first_offset: segment.first_offset,
            end: segment.end,
            bytes: segment.bytes,
            sealed: segment.sealed,
            created_at: segment.created_at,
            received_last: segment.received_last,
        }
    }
}

impl StreamLog {
    /// Opens the log, creating it if there is none, and says what had to be mended. Only one
    /// process may have a log open: the owner holds a lock on the data folder.
    pub fn open(options: LogOptions) -> Result<(Self, Recovery), LogError> {
        let recovered = recover(&options)?;
        let dir = options.dir.clone();
        let thread_name = format!("log {}", options.name);
        let shared = Arc::new(Shared::new(options, recovered.book, recovered.segments));
        let writer = Writer::new(Arc::clone(&shared), recovered.active);
        let thread = std::thread::Builder::new()
            .name(thread_name)
            .spawn(move || writer.run())
            .map_err(LogError::io(&dir))?;
        Ok((Self { shared, writer: Mutex::new(Some(thread)) }, recovered.recovery))
    }

    /// [`Log::append`] for threads: blocks until the answer is there.
    pub fn append_now(&self, draft: Draft, ack: Ack) -> Result<Receipt, AppendError> {
        let (reply, answer) = sync_channel(1);
        if let Some(receipt) = self.enqueue(draft, ack, Reply::Thread(reply))? {
            return Ok(receipt);
        }
        answer.recv().unwrap_or(Err(AppendError::Closed))
    }

    fn enqueue(&self, draft: Draft, ack: Ack, reply: Reply) -> Result<Option<Receipt>, AppendError> {
        if draft.count() == 0 {
            let end = self.shared.state.lock().book.end;
            return Ok(Some(Receipt { first_offset: end, end, repeated: 0 }));
        }
        if self.shared.is_full() {
            return Err(AppendError::Full { retry_after: RETRY_AFTER });
        }
        let packed = pack(draft)?;
        let bytes = packed.zstd.len() as u64;
        self.shared.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        if self.shared.submit(Work::Append(Pending { packed, ack, reply })) {
            return Ok(None);
        }
        self.shared.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
        Err(AppendError::Closed)
    }

    /// Blocks until everything appended so far, with whatever [`Ack`], is durable. Fails if
    /// events acknowledged from memory were lost since the last call.
    pub fn sync(&self) -> Result<(), LogError> {
        self.ask(Work::Sync)
    }

    /// Blocks until the current segment, if it has events, is finished and in the raw zone.
    pub fn seal(&self) -> Result<(), LogError> {
        self.ask(Work::Seal)
    }

    /// Finishes a segment that is old enough, moves finished ones that could not be moved before,
    /// and deletes what retention allows. For the owner's timer; blocks.
    pub fn maintain(&self) -> Result<(), LogError> {
        self.ask(Work::Maintain)
    }

    fn ask(&self, work: fn(SyncSender<Result<(), LogError>>) -> Work) -> Result<(), LogError> {
        let (reply, answer) = sync_channel(1);
        if !self.shared.submit(work(reply)) {
            return Err(LogError::Closed);
        }
        answer.recv().unwrap_or(Err(LogError::Closed))
    }

    /// Reads from `from` on: first what is there, then what comes.
    pub fn subscribe(&self, from: Offset) -> Tail {
        Tail::new(Arc::clone(&self.shared), from)
    }

    /// The same, but every delivery has its payload: for readers that want the bytes and not the columns.
    pub fn subscribe_bytes(&self, from: Offset) -> Tail {
        Tail::of_bytes(Arc::clone(&self.shared), from)
    }

    /// Registers a reader whose unread events are kept: everything before `at` it has done with.
    pub fn consumer(&self, name: impl Into<String>, at: Offset) -> Consumer {
        Consumer::register(Arc::clone(&self.shared), name.into(), at)
    }

    /// Lets a producer start over. It is gone for good once the next segment begins.
    pub fn forget_producer(&self, id: &str) {
        self.shared.state.lock().book.producers.remove(id);
    }

    /// Why the log takes nothing at present: the last write failed, and none succeeded since.
    /// [`StreamLog::maintain`] finds out whether it would.
    pub fn failing(&self) -> Option<String> {
        self.shared.failing.lock().clone()
    }

    pub fn stats(&self) -> LogStats {
        let state = self.shared.state.lock();
        let segments: Vec<SegmentInfo> = state.segments.iter().map(SegmentInfo::of).collect();
        LogStats {
            end: state.book.end,
            first_retained: segments.first().map_or(state.book.end, |segment| segment.first_offset),
            bytes: segments.iter().map(|segment| segment.bytes).sum(),
            behind_bytes: state.behind_bytes(),
            segments,
            received: state.book.received.clone(),
        }
    }

    /// Takes no more, writes and syncs what was taken, cuts preallocated room and ends the
    /// writer thread. Tails give what is left and then `None`. May be called again.
    pub fn close(&self) {
        self.shared.inbox.lock().closed = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.writer.lock().take()
            && thread.join().is_err()
        {
            tracing::error!(log = self.shared.options.name, "the log's writer thread panicked");
        }
    }
}

impl Drop for StreamLog {
    fn drop(&mut self) {
        self.close();
    }
}

#[async_trait]
impl Log for StreamLog {
    async fn append(&self, draft: Draft, ack: Ack) -> Result<Receipt, AppendError> {
        if self.shared.crowded.load(Ordering::Relaxed) {
            self.shared.pace().await;
        }
        let (reply, answer) = oneshot::channel();
        if let Some(receipt) = self.enqueue(draft, ack, Reply::Task(reply))? {
            return Ok(receipt);
        }
        answer.await.unwrap_or(Err(AppendError::Closed))
    }

    fn producer_sequence(&self, producer: &str) -> Option<u64> {
        self.shared.state.lock().book.producers.get(producer).map(|held| held.sequence)
    }

    fn end(&self) -> Offset {
        self.shared.state.lock().book.end
    }
}
