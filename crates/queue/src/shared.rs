//! What the log's front, its writer thread, its tails and its consumers share.

use crate::book::Book;
use crate::error::LogError;
use crate::log::LogOptions;
use crate::pack::Packed;
use crate::segments::Segment;
use bourn_event::{Ack, AppendError, Delivery, Offset, Receipt};
use parking_lot::{Condvar, Mutex};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::Duration;
use tokio::sync::{Notify, oneshot, watch};

/// Longest that an append waits for readers that are behind.
const PACE_MAX: Duration = Duration::from_millis(100);

/// One closed list of what the writer thread can be asked for.
pub(crate) enum Work {
    Append(Pending),
    Sync(SyncSender<Result<(), LogError>>),
    Seal(SyncSender<Result<(), LogError>>),
    Maintain(SyncSender<Result<(), LogError>>),
}

pub(crate) struct Pending {
    pub packed: Packed,
    pub ack: Ack,
    pub reply: Reply,
}

/// Where the answer to an append goes; whoever waited may be gone.
pub(crate) enum Reply {
    Task(oneshot::Sender<Result<Receipt, AppendError>>),
    Thread(SyncSender<Result<Receipt, AppendError>>),
}

impl Reply {
    pub fn send(self, answer: Result<Receipt, AppendError>) {
        match self {
            Self::Task(sender) => drop(sender.send(answer)),
            Self::Thread(sender) => drop(sender.send(answer)),
        }
    }
}

#[derive(Default)]
pub(crate) struct Inbox {
    pub work: Vec<Work>,
    pub closed: bool,
}

/// Frames near the end, still in memory.
#[derive(Default)]
pub(crate) struct Ring {
    pub frames: VecDeque<(Delivery, usize)>,
    pub bytes: usize,
}

impl Ring {
    pub fn push(&mut self, frame: Delivery, budget: usize) {
        let columns = frame.columns.as_ref().map_or(0, |columns| columns.get_array_memory_size());
        let weight = columns + frame.payload.as_ref().map_or(0, |payload| payload.len());
        // The oldest are read next: a reader that is far behind catches up through them, and finds
        // what came meanwhile on disk.
        if self.bytes + weight <= budget {
            self.bytes += weight;
            self.frames.push_back((frame, weight));
        }
    }

    /// Lets go of frames that every tail is past.
    pub fn release(&mut self, before: Offset) {
        while self.frames.front().is_some_and(|(frame, _)| frame.end() <= before) {
            self.pop();
        }
    }

    /// The frame that holds `offset`.
    pub fn find(&self, offset: Offset) -> Option<&Delivery> {
        let at = self.frames.partition_point(|(frame, _)| frame.end() <= offset);
        self.frames.get(at).map(|(frame, _)| frame).filter(|frame| frame.first_offset <= offset)
    }

    fn pop(&mut self) {
        if let Some((_, weight)) = self.frames.pop_front() {
            self.bytes -= weight;
        }
    }
}

/// Everything that is durable, and who reads it.
pub(crate) struct State {
    pub book: Book,
    /// In offset order; the last one is being written unless the writer has none open.
    pub segments: Vec<Segment>,
    pub ring: Ring,
    pub consumers: HashMap<String, Offset>,
    /// Where each open tail stands.
    pub tails: HashMap<u64, Offset>,
    pub tail_next: u64,
    pub closed: bool,
}

impl State {
    /// The slowest consumer's place; the end if there is none.
    pub fn floor(&self) -> Offset {
        self.consumers.values().copied().min().unwrap_or(self.book.end).min(self.book.end)
    }

    /// Bytes between the slowest consumer and the end; inside a segment events are taken to be
    /// equally long.
    pub fn behind_bytes(&self) -> u64 {
        let floor = self.floor();
        let mut behind = 0;
        for segment in self.segments.iter().rev() {
            if segment.end <= floor {
                break;
            }
            let events = u128::from(segment.end - segment.first_offset).max(1);
            let needed = u128::from(segment.end - floor.max(segment.first_offset));
            behind += (u128::from(segment.bytes) * needed / events) as u64;
        }
        behind
    }

    pub fn release_ring(&mut self) {
        match self.tails.values().copied().min() {
            Some(slowest) => self.ring.release(slowest),
            None => self.ring = Ring::default(),
        }
    }
}

pub(crate) struct Shared {
    pub options: LogOptions,
    pub inbox: Mutex<Inbox>,
    pub wake: Condvar,
    pub state: Mutex<State>,
    /// Signals tails that block a thread.
    pub published: Condvar,
    /// Signals tails in tasks; holds the durable end.
    pub end: watch::Sender<Offset>,
    /// Bytes the slowest consumer is behind, and compressed bytes waiting to be written.
    pub behind_bytes: AtomicU64,
    pub queued_bytes: AtomicU64,
    /// Why the last write failed, until one succeeds.
    pub failing: Mutex<Option<String>>,
    /// Is the ring nearly full?
    pub crowded: AtomicBool,
    /// Signals appends that wait for the ring.
    pub room: Notify,
}

impl Shared {
    pub fn new(options: LogOptions, book: Book, segments: Vec<Segment>) -> Self {
        let end = watch::Sender::new(book.end);
        Self {
            options,
            inbox: Mutex::default(),
            wake: Condvar::new(),
            state: Mutex::new(State {
                book,
                segments,
                ring: Ring::default(),
                consumers: HashMap::new(),
                tails: HashMap::new(),
                tail_next: 0,
                closed: false,
            }),
            published: Condvar::new(),
            end,
            behind_bytes: AtomicU64::new(0),
            queued_bytes: AtomicU64::new(0),
            failing: Mutex::default(),
            crowded: AtomicBool::new(false),
            room: Notify::new(),
        }
    }

    /// Takes stock of the ring after it changed.
    pub fn weigh_ring(&self, state: &State) {
        let is_crowded = state.ring.bytes > self.options.tail_memory_bytes / 4 * 3;
        if self.crowded.swap(is_crowded, Ordering::Relaxed) && !is_crowded {
            self.room.notify_waiters();
        }
    }

    /// Waits a moment while readers are behind by nearly all the memory they may be: a frame that is
    /// read back from disk costs several times one that is still in memory. Readers that do not move
    /// cost an append this moment and no more.
    pub async fn pace(&self) {
        let until = tokio::time::Instant::now() + PACE_MAX;
        loop {
            let room = self.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            if !self.crowded.load(Ordering::Relaxed) || tokio::time::timeout_at(until, room).await.is_err() {
                return;
            }
        }
    }

    /// Takes stock of how far the slowest consumer is behind.
    pub fn weigh(&self, state: &State) {
        self.behind_bytes.store(state.behind_bytes(), Ordering::Relaxed);
    }

    pub fn is_full(&self) -> bool {
        let used = self.behind_bytes.load(Ordering::Relaxed) + self.queued_bytes.load(Ordering::Relaxed);
        used >= self.options.budget_bytes
    }

    /// Wakes every tail.
    pub fn announce(&self, end: Offset) {
        self.end.send_replace(end);
        self.published.notify_all();
    }

    /// Hands work to the writer thread; false if the log is closed.
    pub fn submit(&self, work: Work) -> bool {
        let mut inbox = self.inbox.lock();
        if inbox.closed {
            return false;
        }
        inbox.work.push(work);
        drop(inbox);
        self.wake.notify_one();
        true
    }
}
