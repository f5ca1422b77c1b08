//! A log in memory that honours the contract of `Log`, and fails when told to.

use async_trait::async_trait;
use bourn_event::{Ack, AppendError, Draft, Log, Offset, Receipt, Span};
use parking_lot::Mutex;
use std::collections::HashMap;

#[derive(Default)]
struct Held {
    lines: Vec<String>,
    spans: Vec<Span>,
    drafts: usize,
    producers: HashMap<String, u64>,
    /// Results of the next appends, last one first; those missing succeed.
    failures: Vec<Option<AppendError>>,
    /// Appends after which the log counts as crashed: it is closed.
    appends_left: Option<usize>,
}

/// See the module.
#[derive(Default)]
pub struct MemoryLog(Mutex<Held>);

impl MemoryLog {
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().lines.clone()
    }

    pub fn spans(&self) -> Vec<Span> {
        self.0.lock().spans.clone()
    }

    pub fn drafts(&self) -> usize {
        self.0.lock().drafts
    }

    /// The next appends fail so, in this order.
    pub fn fail(&self, errors: impl IntoIterator<Item = AppendError>) {
        let mut failures: Vec<_> = errors.into_iter().map(Some).collect();
        failures.reverse();
        self.0.lock().failures = failures;
    }

    /// Takes `appends` more, then none; `None` reopens it.
    pub fn crash_after(&self, appends: Option<usize>) {
        self.0.lock().appends_left = appends;
    }
}

#[async_trait]
impl Log for MemoryLog {
    async fn append(&self, draft: Draft, _: Ack) -> Result<Receipt, AppendError> {
        tokio::task::yield_now().await;
        let mut held = self.0.lock();
        if let Some(left) = &mut held.appends_left {
            *left = left.checked_sub(1).ok_or(AppendError::Closed)?;
        }
        if let Some(Some(error)) = held.failures.pop() {
            return Err(error);
        }
        let text = std::str::from_utf8(&draft.payload).expect("UTF-8");
        let lines: Vec<&str> = text.split_terminator('\n').collect();
        assert!(text.is_empty() || text.ends_with('\n'), "each event ends its line");
        assert_eq!(lines.len(), draft.count() as usize, "the spans cover the payload");
        if let Some(columns) = &draft.columns {
            assert_eq!(columns.num_rows(), lines.len(), "the columns cover the payload");
        }
        let first_offset = held.lines.len() as Offset;
        let (mut at, mut repeated) = (0, 0);
        let before = held.producers.clone();
        for span in &draft.spans {
            let events = &lines[at..at + span.count as usize];
            at += span.count as usize;
            if let Some(producer) = &span.producer {
                if before.get(&producer.id).is_some_and(|last| producer.sequence <= *last) {
                    repeated += span.count;
                    continue;
                }
                held.producers.insert(producer.id.clone(), producer.sequence);
            }
            held.lines.extend(events.iter().map(|event| (*event).to_owned()));
            held.spans.push(span.clone());
        }
        held.drafts += 1;
        Ok(Receipt { first_offset, end: held.lines.len() as Offset, repeated })
    }

    fn producer_sequence(&self, producer: &str) -> Option<u64> {
        self.0.lock().producers.get(producer).copied()
    }

    fn end(&self) -> Offset {
        self.0.lock().lines.len() as Offset
    }
}
