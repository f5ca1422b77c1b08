//! A stream's way in: submissions become drafts, drafts become durable, and the answer says so.
//!
//! ```text
//!  small, plain  ──► lane: all that wait are one draft ─┐
//!  large         ──► parts of ≤ 4 MiB, one behind the other ─┼─► events ∥ rejects ──► answer
//!  producer, strict ─► one part, whatever its size ─────┘
//! ```
//!
//! Invariants: a submission's events keep their order; one with a producer is one draft, so that
//! its sequence covers all of it or nothing; a decoder that is given back holds no rows.

use crate::answer::{Answer, Framing, IngestError, Submission};
use crate::coalesce::Lane;
use crate::meters::{Meters, Reasons};
use crate::pending::{Origin, Part, Pending};
use crate::schema::{Decode, Schema};
use crate::split::{PieceKind, Shape, Splitter};
use bourn_event::{Ack, AppendError, Clock, Draft, Log, Offset, Receipt};
use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// Payload of a draft after which a submission without a producer starts the next, in bytes.
pub(crate) const PART_BYTES: usize = 4 << 20;
/// Bytes decoded before other tasks get a turn.
const TURN_BYTES: usize = 256 << 10;
/// Submissions up to this many bytes share drafts with others.
pub const SMALL_BYTES: usize = 8 << 10;
/// Decoders kept for the next submission.
const DECODERS_MAX: usize = 16;

const _: () = assert!(SMALL_BYTES < TURN_BYTES && TURN_BYTES < PART_BYTES, "a turn lies between");

/// What a [`StreamPort`] is made of.
pub struct StreamOptions {
    pub name: String,
    pub schema: Arc<dyn Schema>,
    /// The stream's log.
    pub log: Arc<dyn Log>,
    /// The log of its rejects.
    pub rejects: Arc<dyn Log>,
    /// Offset behind the last event that queries see.
    pub visible: watch::Receiver<Offset>,
    /// How long [`Ack::Visible`] waits.
    pub visible_timeout: Duration,
    /// Largest event, in bytes.
    pub max_event: usize,
    /// Bytes of a rejected event that are kept.
    pub max_reject: usize,
    pub clock: Arc<dyn Clock>,
}

/// Takes submissions for one stream.
pub struct StreamPort {
    core: Arc<Core>,
    durable: Lane,
    memory: Lane,
    draining: AtomicBool,
}

impl StreamPort {
    pub fn new(options: StreamOptions) -> Self {
        let meters = Meters::new(&options.name);
        Self {
            core: Arc::new(Core { options, meters, decoders: Mutex::default() }),
            durable: Lane::new(Ack::Durable),
            memory: Lane::new(Ack::Memory),
            draining: AtomicBool::new(false),
        }
    }

    pub fn name(&self) -> &str {
        &self.core.options.name
    }

    /// From now on submissions get [`IngestError::Draining`]; those under way are finished.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Splits, checks and stores a body, and answers when `submission.ack` holds. Must be called
    /// within a tokio runtime.
    pub async fn submit(&self, submission: Submission) -> Result<Answer, IngestError> {
        if self.draining.load(Ordering::Acquire) {
            return Err(IngestError::Draining);
        }
        let small = submission.body.len() <= SMALL_BYTES;
        if small && submission.producer.is_none() && !submission.strict {
            let (ack, empty_allowed) = (submission.ack, allows_empty(&submission.framing, &submission.body));
            let lane = if ack == Ack::Memory { &self.memory } else { &self.durable };
            let (answer, end) = lane.submit(&self.core, submission).await?;
            if answer.accepted + answer.rejected == 0 && !empty_allowed {
                return Err(IngestError::Empty);
            }
            return self.core.wait_visible(ack, answer, end).await;
        }
        // Boxed, as everything that is seldom awaited on this way: the futures of small requests are moved
        // about, and have room for the largest thing they may await.
        Box::pin(submit_large(&self.core, submission)).await
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }
}

/// What a log says of a draft; nothing of an empty one.
pub(crate) type Stored = Result<Option<Receipt>, AppendError>;

/// What a port's tasks share.
pub(crate) struct Core {
    pub options: StreamOptions,
    pub meters: Meters,
    decoders: Mutex<Vec<Box<dyn Decode>>>,
}

impl Core {
    pub fn decoder(&self) -> Box<dyn Decode> {
        let pooled = self.decoders.lock().pop();
        pooled.unwrap_or_else(|| self.options.schema.decoder())
    }

    pub fn give_back(&self, decoder: Box<dyn Decode>) {
        let mut decoders = self.decoders.lock();
        if decoder.rows() == 0 && decoders.len() < DECODERS_MAX {
            decoders.push(decoder);
        }
    }

    /// Appends both drafts at once. The results are those of the events and of the rejects.
    pub async fn store(&self, part: Part, ack: Ack) -> [Stored; 2] {
        let rejects = self.store_rejects(part.rejects, &part.reasons, ack);
        futures::future::join(self.store_events(part.events, ack), rejects).await.into()
    }

    pub async fn store_events(&self, events: Draft, ack: Ack) -> Stored {
        let bytes = events.payload.len() as u64;
        let receipt = append(&self.options.log, events, ack).await?;
        // A retry that the log had already is not counted again.
        if let Some(receipt) = receipt.filter(|receipt| receipt.end > receipt.first_offset) {
            self.meters.accepted(receipt.end - receipt.first_offset, bytes);
        }
        Ok(receipt)
    }

    pub async fn store_rejects(&self, rejects: Draft, reasons: &Reasons, ack: Ack) -> Stored {
        let receipt = append(&self.options.rejects, rejects, ack).await?;
        if receipt.is_some_and(|receipt| receipt.end > receipt.first_offset) {
            self.meters.rejected(reasons);
        }
        Ok(receipt)
    }

    pub async fn wait_visible(&self, ack: Ack, answer: Answer, end: Offset) -> Result<Answer, IngestError> {
        if ack != Ack::Visible || answer.accepted == 0 {
            return Ok(answer);
        }
        let waited = self.options.visible_timeout;
        let mut visible = self.options.visible.clone();
        let wait = visible.wait_for(|visible| *visible >= end);
        let seen = Box::pin(tokio::time::timeout(waited, wait)).await;
        match seen {
            Ok(Ok(_)) => Ok(answer),
            _ => Err(IngestError::NotVisible { waited, stored: Box::new(answer) }),
        }
    }
}

async fn append(log: &Arc<dyn Log>, draft: Draft, ack: Ack) -> Stored {
    if draft.spans.is_empty() {
        return Ok(None);
    }
    log.append(draft, ack.min(Ack::Durable)).await.map(Some)
}

/// May the body hold no event at all?
pub(crate) fn allows_empty(framing: &Framing, body: &[u8]) -> bool {
    match framing {
        Framing::Plain(Shape::Lines) | Framing::CloudEventBatch => true,
        Framing::Plain(Shape::Json) => first_byte(body) == Some(b'['),
        Framing::CloudEvent | Framing::CloudEventBinary(_) => false,
    }
}

/// The first byte that is neither whitespace nor a byte order mark.
pub(crate) fn first_byte(body: &[u8]) -> Option<u8> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    body.iter().copied().find(|byte| !byte.is_ascii_whitespace())
}

async fn submit_large(core: &Arc<Core>, submission: Submission) -> Result<Answer, IngestError> {
    let ack = submission.ack;
    let (strict, whole) = (submission.strict, submission.strict || submission.producer.is_some());
    let empty_allowed = allows_empty(&submission.framing, &submission.body);
    let mut job = Job::new(core, submission);
    let mut stored = Progress::default();
    let mut ready = job.fill(whole).await;
    if strict && job.answer.rejected > 0 {
        let rejects = Part { events: Draft::default(), ..ready };
        stored.add(core.store(rejects, ack).await)?;
        job.answer.accepted = 0;
        return Err(IngestError::Strict(Box::new(job.answer)));
    }
    while !ready.is_empty() {
        let counts = [ready.events.count(), ready.rejects.count()];
        let (results, next) = futures::future::join(core.store(ready, ack), job.fill(whole)).await;
        stored.add(results)?;
        stored.answer.rejected += u64::from(counts[1]);
        stored.answer.accepted += u64::from(counts[0]);
        ready = next;
    }
    let answer = Answer {
        errors: std::mem::take(&mut job.answer.errors),
        errors_omitted: job.answer.errors_omitted,
        ..stored.answer
    };
    if answer.accepted + answer.rejected == 0 && !empty_allowed {
        return Err(IngestError::Empty);
    }
    core.wait_visible(ack, answer, stored.end).await
}

/// What of a submission is in the logs so far.
#[derive(Default)]
struct Progress {
    answer: Answer,
    end: Offset,
}

impl Progress {
    fn add(&mut self, results: [Stored; 2]) -> Result<(), IngestError> {
        let [events, rejects] = results;
        match (events, rejects) {
            (Ok(receipt), Ok(_)) => {
                if let Some(receipt) = receipt {
                    self.receipt(receipt);
                }
                Ok(())
            }
            (Err(error), _) | (_, Err(error)) => {
                Err(IngestError::Append { error, stored: Box::new(std::mem::take(&mut self.answer)) })
            }
        }
    }

    fn receipt(&mut self, receipt: Receipt) {
        self.answer.repeated += u64::from(receipt.repeated);
        self.end = self.end.max(receipt.end);
        if receipt.end > receipt.first_offset {
            self.answer.first_offset.get_or_insert(receipt.first_offset);
        }
    }
}

/// A large submission in the course of being split and decoded.
struct Job {
    pending: Pending,
    pieces: Pieces,
    body: Bytes,
    framing: Framing,
    origin: Origin,
    /// Accepted and rejected so far, stored or not.
    answer: Answer,
}

impl Job {
    fn new(core: &Arc<Core>, submission: Submission) -> Self {
        let Submission { body, framing, source, producer, .. } = submission;
        let mut pending = Pending::new(core);
        pending.start(body.clone());
        let pieces = Pieces::new(&framing, core.options.max_event);
        let origin = Origin { source, producer };
        Self { pending, pieces, body, framing, origin, answer: Answer::default() }
    }

    /// The next part: everything that is left if `whole`. Empty at the end.
    async fn fill(&mut self, whole: bool) -> Part {
        let mut turn_end = self.pieces.at + TURN_BYTES;
        while whole || self.pending.bytes() < PART_BYTES {
            let Some((kind, range)) = self.pieces.next(&self.body) else { break };
            let index = self.answer.accepted + self.answer.rejected;
            match self.pending.take(kind, range, &self.framing, &self.origin) {
                Ok(()) => self.answer.accepted += 1,
                Err(fault) => self.answer.reject(index, &fault),
            }
            if self.pieces.at >= turn_end {
                turn_end = self.pieces.at + TURN_BYTES;
                tokio::task::yield_now().await;
            }
        }
        self.pending.finish(None)
    }
}

/// The pieces of a whole body.
pub(crate) struct Pieces {
    /// `None`: the whole body is one piece.
    splitter: Option<Splitter>,
    max_event: usize,
    pub at: usize,
    done: bool,
}

impl Pieces {
    pub fn new(framing: &Framing, max_event: usize) -> Self {
        let splitter = match framing {
            Framing::Plain(shape) => Some(Splitter::new(*shape, max_event)),
            Framing::CloudEventBatch => Some(Splitter::new(Shape::Json, max_event)),
            Framing::CloudEvent | Framing::CloudEventBinary(_) => None,
        };
        Self { splitter, max_event, at: 0, done: false }
    }

    pub fn next(&mut self, body: &[u8]) -> Option<(PieceKind, std::ops::Range<usize>)> {
        let Some(splitter) = &mut self.splitter else {
            return (!std::mem::replace(&mut self.done, true)).then(|| {
                self.at = body.len();
                let start = if body.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
                let large = body.len() - start > self.max_event;
                let kind = if large { PieceKind::TooLarge } else { PieceKind::Event { newlines: true } };
                (kind, start..body.len())
            });
        };
        let piece = splitter.next(&body[self.at..], true)?;
        let range = self.at + piece.range.start..self.at + piece.range.end;
        self.at += piece.next;
        Some((piece.kind, range))
    }
}
