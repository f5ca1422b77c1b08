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

    pub fn accepted(&self, events: u64, bytes: u64) {
        self.events.increment(events);
        self.bytes.increment(bytes);
    }

    pub fn rejected(&self, reason: RejectReason) {
        let known = RejectReason::ALL.iter().position(|other| *other == reason);
        if let Some(meter) = known.and_then(|index| self.rejects.get(index)) {
            meter.increment(1);
        }
    }
}
