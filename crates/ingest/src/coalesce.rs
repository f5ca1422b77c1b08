//! Small submissions that wait at the same time share one draft.
//!
//! A lane's task takes all that wait, decodes them as one draft, appends it and tells each its own
//! offsets and faults. While an append is being synced the next ones gather, and a draft stays open as
//! long as every round of the runtime brings it more: on a fast disk a sync is over before many have
//! come, and each draft costs a frame, a sync and half a dozen wake-ups. So the busier the stream, the
//! larger the drafts; no timer is set, and who sends alone waits for one empty round. Rejects have a log
//! of their own, and only whom they belong to waits for it. The task ends when its port is dropped.
//! (Decoding one draft while another is synced was measured: it made drafts smaller and nothing faster.)

use crate::answer::{Answer, IngestError, Submission};
use crate::pending::{Origin, Part, Pending};
use crate::port::{Core, Pieces};
use bourn_event::{Ack, AppendError, Offset};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// Submissions that may wait before senders do.
const WAITING_MAX: usize = 4096;
/// Bytes of bodies after which a draft is closed.
const DRAFT_BYTES: usize = 1 << 20;
/// How long a draft stays open for those that come one behind the other: a round takes long if others have much
/// to do. About what a sync takes on a common disk.
const OPEN_MAX: Duration = Duration::from_millis(1);

type Told = Result<(Answer, Offset), IngestError>;

struct Ask {
    submission: Submission,
    tell: oneshot::Sender<Told>,
}

/// Small submissions with one kind of acknowledgement.
pub(crate) struct Lane {
    ack: Ack,
    asks: OnceLock<mpsc::Sender<Ask>>,
}

impl Lane {
    pub fn new(ack: Ack) -> Self {
        Self { ack, asks: OnceLock::new() }
    }

    /// The answer, and the offset behind the submission's last event.
    pub async fn submit(&self, core: &Arc<Core>, submission: Submission) -> Told {
        let asks = self.asks.get_or_init(|| {
            let (sender, receiver) = mpsc::channel(WAITING_MAX);
            tokio::spawn(serve(Arc::clone(core), receiver, self.ack));
            sender
        });
        let (tell, told) = oneshot::channel();
        asks.send(Ask { submission, tell }).await.map_err(|_| IngestError::Draining)?;
        told.await.unwrap_or(Err(IngestError::Draining))
    }
}

/// A submission's share of a draft.
struct Share {
    answer: Answer,
    tell: oneshot::Sender<Told>,
}

async fn serve(core: Arc<Core>, mut asks: mpsc::Receiver<Ask>, ack: Ack) {
    while let Some(first) = asks.recv().await {
        let (part, shares) = gather(&core, &mut asks, first).await;
        store(&core, part, shares, ack).await;
    }
}

/// All that is submitted now, as one draft.
async fn gather(core: &Arc<Core>, asks: &mut mpsc::Receiver<Ask>, first: Ask) -> (Part, Vec<Share>) {
    let mut pending = Pending::new(core);
    let mut bytes = first.submission.body.len();
    let mut shares = vec![take(core, &mut pending, first)];
    let (opened, mut gathered) = (Instant::now(), 0);
    while gathered < shares.len() && bytes < DRAFT_BYTES && opened.elapsed() < OPEN_MAX {
        gathered = shares.len();
        // Whoever has something to submit gets to it before this task goes on.
        tokio::task::yield_now().await;
        while bytes < DRAFT_BYTES
            && let Ok(ask) = asks.try_recv()
        {
            bytes += ask.submission.body.len();
            shares.push(take(core, &mut pending, ask));
        }
    }
    (pending.finish(None), shares)
}

/// Stores a draft and answers its shares. Only those that have rejects wait for the rejects' log, and neither it
/// nor they hold up the next draft.
async fn store(core: &Arc<Core>, part: Part, shares: Vec<Share>, ack: Ack) {
    let Part { events, rejects, reasons } = part;
    let mut hold = None;
    if !rejects.spans.is_empty() {
        let (sender, held) = oneshot::channel();
        hold = Some(sender);
        let core = Arc::clone(core);
        tokio::spawn(async move {
            let stored = core.store_rejects(rejects, &reasons, ack).await;
            let held: Vec<Held> = held.await.unwrap_or_default();
            held.into_iter().for_each(|share| share.tell(stored.as_ref().err()));
        });
    }
    let stored = core.store_events(events, ack).await;
    let mut next = stored.map(|receipt| receipt.map_or(0, |receipt| receipt.first_offset));
    let mut held = Vec::new();
    for Share { answer, tell } in shares {
        match place(answer, &mut next) {
            Ok((answer, end)) if answer.rejected > 0 => held.push(Held { answer, end, tell }),
            told => drop(tell.send(told)),
        }
    }
    if let Some(hold) = hold {
        let _ = hold.send(held);
    }
}

fn take(core: &Core, pending: &mut Pending, ask: Ask) -> Share {
    let Submission { body, framing, source, .. } = ask.submission;
    let origin = Origin { source, producer: None };
    let mut pieces = Pieces::new(&framing, core.options.max_event);
    let mut answer = Answer::default();
    pending.start(body.clone());
    while let Some((kind, range)) = pieces.next(&body) {
        let index = answer.accepted + answer.rejected;
        match pending.take(kind, range, &framing, &origin) {
            Ok(()) => answer.accepted += 1,
            Err(fault) => answer.reject(index, &fault),
        }
    }
    Share { answer, tell: ask.tell }
}

/// Gives an answer its offsets, from `next` on, or the failure of the log that it needed.
fn place(mut answer: Answer, next: &mut Result<Offset, AppendError>) -> Told {
    if answer.accepted == 0 {
        return Ok((answer, 0));
    }
    match next {
        Ok(first) => {
            answer.first_offset = Some(*first);
            *first += answer.accepted;
            Ok((answer, *first))
        }
        Err(error) => Err(IngestError::Append { error: error.clone(), stored: Box::default() }),
    }
}

/// A share whose events are stored and whose rejects may not be yet.
struct Held {
    answer: Answer,
    end: Offset,
    tell: oneshot::Sender<Told>,
}

impl Held {
    fn tell(self, failure: Option<&AppendError>) {
        let told = match failure {
            None => Ok((self.answer, self.end)),
            Some(error) => {
                let Answer { accepted, first_offset, .. } = self.answer;
                let stored = Box::new(Answer { accepted, first_offset, ..Answer::default() });
                Err(IngestError::Append { error: error.clone(), stored })
            }
        };
        let _ = self.tell.send(told);
    }
}
