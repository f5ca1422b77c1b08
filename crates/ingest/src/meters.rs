//! What the way in counts, through the `metrics` crate. Handles are held: no look-up per event.

use bourn_event::RejectReason;
use metrics::{Counter, counter};

/// The counters of one stream.
pub(crate) struct Meters {
    events: Counter,
    bytes: Counter,
    rejects: [Counter; RejectReason::ALL.len()],
}

impl Meters {
    pub fn new(stream: &str) -> Self {
        let stream = stream.to_owned();
        Self {
            events: counter!("bourn_ingest_events_total", "stream" => stream.clone()),
            bytes: counter!("bourn_ingest_bytes_total", "stream" => stream.clone()),
            rejects: RejectReason::ALL.map(|reason| {
                counter!("bourn_ingest_rejects_total", "stream" => stream.clone(), "reason" => reason.name())
            }),
        }
    }

    /// Events that a log has taken.
    pub fn accepted(&self, events: u64, bytes: u64) {
        self.events.increment(events);
        self.bytes.increment(bytes);
    }

    /// Rejects that their log has taken.
    pub fn rejected(&self, reasons: &Reasons) {
        for (meter, count) in self.rejects.iter().zip(reasons.0).filter(|(_, count)| *count > 0) {
            meter.increment(count);
        }
    }
}

/// How many rejects of each reason, in the order of [`RejectReason::ALL`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reasons([u64; RejectReason::ALL.len()]);

impl Reasons {
    pub fn count(&mut self, reason: RejectReason) {
        let known = RejectReason::ALL.iter().position(|other| *other == reason);
        if let Some(count) = known.and_then(|index| self.0.get_mut(index)) {
            *count += 1;
        }
    }
}
