//! The two feeds of triggers: a stream's log, and what Bourn itself has to tell.
//!
//! * A stream's events are kept: the offset behind the last settled one is persisted, and after a crash the feed
//!   goes on from there. An event that matched is settled once its runs are begun, or refused for good.
//! * Bourn's own events are not kept: the channel is bounded, what does not fit is counted and let go, and a crash
//!   forgets those that nobody took.

use crate::envelope::OwnEvent;
use crate::triggers::{Closing, Compiled, Launcher, Triggers};
use bourn_event::{Clock, Micros, Offset};
use bourn_state::{Durability, Key, StateError};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Runs that are being begun at once, of one stream.
const STARTS_MAX: usize = 64;
const OWN_EVENTS_MAX: usize = 1_024;

/// Why a batch was not settled. Give it again after a restart.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    #[error(transparent)]
    Closing(#[from] Closing),
    #[error(transparent)]
    State(#[from] StateError),
}

/// The triggers of a stream: gets the log's batches in order.
pub struct StreamTrigger {
    stream: String,
    triggers: Arc<Triggers>,
    launcher: Arc<Launcher>,
    settled: Offset,
}

impl StreamTrigger {
    /// `None` if no trigger concerns the stream. One whose first trigger this is begins at `end`, the log's end;
    /// others where they were. A stream that lost its last trigger forgets where it was.
    pub fn open(
        stream: &str,
        end: Offset,
        triggers: Arc<Triggers>,
        launcher: Arc<Launcher>,
    ) -> Result<Option<Self>, StateError> {
        let key = Key::TriggerOffset { stream: stream.into() };
        let state = launcher.runs().state();
        if !triggers.concern_stream(stream) {
            if state.contains(&key)? {
                state.delete(&key, Durability::Buffered)?;
            }
            return Ok(None);
        }
        let settled = match state.get(&key)? {
            Some(settled) => settled,
            None => {
                state.put(&key, &end, Durability::Synced)?;
                end
            }
        };
        Ok(Some(Self { stream: stream.into(), triggers, launcher, settled }))
    }

    /// The offset behind the last settled event: read from here, and keep the log from here on.
    pub fn settled(&self) -> Offset {
        self.settled
    }

    /// Takes the events from `first_offset` on, one a line. Resolves when their runs are begun, with the offset that
    /// is settled then. Events below [`StreamTrigger::settled`] are passed over. Cancelling it settles nothing.
    pub async fn take(
        &mut self,
        first_offset: Offset,
        received_at: Micros,
        payload: &[u8],
    ) -> Result<Offset, FeedError> {
        let of_stream: Vec<&Compiled> = self.triggers.of_stream(&self.stream).collect();
        let mut starting = FuturesUnordered::new();
        let mut end = first_offset;
        for line in payload.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let offset = end;
            end += 1;
            if offset < self.settled {
                continue;
            }
            for (trigger, event) in self.matching(&of_stream, offset, received_at, line) {
                if starting.len() >= STARTS_MAX {
                    starting.next().await.unwrap_or(Ok(()))?;
                }
                let (launcher, origin) = (self.launcher.clone(), format!("{}/{offset}", self.stream));
                starting.push(async move { launcher.launch(trigger, &origin, received_at, &event).await });
            }
        }
        while let Some(begun) = starting.next().await {
            begun?;
        }
        drop(starting);
        if end > self.settled {
            let key = Key::TriggerOffset { stream: self.stream.clone() };
            self.launcher.runs().state().put(&key, &end, Durability::Buffered)?;
            self.settled = end;
        }
        Ok(self.settled)
    }

    /// The event is parsed only if its bytes could match.
    fn matching<'t>(
        &self,
        triggers: &[&'t Compiled],
        offset: Offset,
        received_at: Micros,
        line: &[u8],
    ) -> Vec<(&'t Compiled, Arc<Value>)> {
        let could: Vec<_> =
            triggers.iter().filter(|trigger| trigger.pattern().could_match_detail(line)).collect();
        if could.is_empty() {
            return Vec::new();
        }
        let detail: Value = match serde_json::from_slice(line) {
            Ok(detail) => detail,
            Err(error) => {
                metrics::counter!("bourn_trigger_unread_events_total").increment(1);
                tracing::debug!(stream = self.stream, offset, %error, "triggers cannot read an event");
                return Vec::new();
            }
        };
        let event = Arc::new(self.triggers.home().of_stream(&self.stream, offset, received_at, detail));
        let matching = could.into_iter().filter(|trigger| trigger.pattern().matches(&event));
        matching.map(|trigger| (*trigger, event.clone())).collect()
    }
}

/// Tells triggers what happened in Bourn. Cheap to clone, never blocks.
#[derive(Clone)]
pub struct Announcer {
    sender: mpsc::Sender<(Micros, OwnEvent)>,
    clock: Arc<dyn Clock>,
}

impl Announcer {
    /// An event that does not fit is let go; false then.
    pub fn announce(&self, event: OwnEvent) -> bool {
        let taken = self.sender.try_send((self.clock.now(), event)).is_ok();
        if !taken {
            metrics::counter!("bourn_own_events_dropped_total").increment(1);
        }
        taken
    }
}

/// The triggers on Bourn's own events.
pub struct OwnTriggers {
    events: mpsc::Receiver<(Micros, OwnEvent)>,
    triggers: Arc<Triggers>,
    launcher: Arc<Launcher>,
}

impl OwnTriggers {
    pub fn new(triggers: Arc<Triggers>, launcher: Arc<Launcher>, clock: Arc<dyn Clock>) -> (Announcer, Self) {
        let (sender, events) = mpsc::channel(OWN_EVENTS_MAX);
        (Announcer { sender, clock }, Self { events, triggers, launcher })
    }

    /// Begins runs until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let (at, event) = tokio::select! {
                () = stop.cancelled() => return,
                event = self.events.recv() => match event {
                    Some(event) => event,
                    None => return,
                },
            };
            let envelope = self.triggers.home().of_own(&event, at);
            let origin = format!("bourn/{}", envelope["id"].as_str().unwrap_or_default());
            for trigger in self.triggers.of_own(&event).filter(|trigger| trigger.pattern().matches(&envelope))
            {
                if self.launcher.launch(trigger, &origin, at, &envelope).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Watches the counts of streams, and tells of each minute in which events were rejected.
#[derive(Debug, Default)]
pub struct RejectMeter {
    since: Option<Micros>,
    counts: BTreeMap<String, (u64, u64)>,
}

/// Length of a window of [`RejectMeter`].
pub const REJECT_WINDOW_S: u64 = 60;

impl RejectMeter {
    /// Takes the counts since the start of each stream, received and rejected; at the end of a window gives the
    /// events of those that rejected something in it. Ask it every few seconds.
    pub fn look(
        &mut self,
        now: Micros,
        counts: impl IntoIterator<Item = (String, u64, u64)>,
    ) -> Vec<OwnEvent> {
        let window = REJECT_WINDOW_S as Micros * 1_000_000;
        if self.since.is_some_and(|since| (0..window).contains(&(now - since))) {
            return Vec::new();
        }
        let is_first = self.since.replace(now).is_none();
        let mut events = Vec::new();
        for (stream, received_all, rejected_all) in counts {
            let before = self.counts.insert(stream.clone(), (received_all, rejected_all)).unwrap_or_default();
            let (received, rejected) =
                (received_all.saturating_sub(before.0), rejected_all.saturating_sub(before.1));
            if rejected > 0 && !is_first {
                events.push(OwnEvent::RejectRate { stream, received, rejected, window_s: REJECT_WINDOW_S });
            }
        }
        events
    }
}
