//! The log of Express executions, which have no history: the newest events in memory and, every now and then, in a
//! book (`system.execution_logs`). What a kill or a flood of events leaves out is gone: whoever needs every event has
//! Standard workflows.

use bourn_event::Micros;
use bourn_state::{Book, Recent, RecentMax, read_book};
use bourn_workflow::{ExpressLog, HistoryEvent, event_to_api};
use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// Bytes of memory.
const LOG_MAX: RecentMax = RecentMax { kept: 8 << 20, unwritten: 8 << 20 };

const WRITE_EVERY: Duration = Duration::from_millis(200);

/// One event of an execution.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LoggedEvent {
    pub at: Micros,
    pub workflow: String,
    /// ARN of the execution.
    pub execution: String,
    pub id: u64,
    pub previous_id: u64,
    pub kind: String,
    /// Name of the field that holds the details, and its value, as the API has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<(String, Value)>,
}

impl LoggedEvent {
    /// In the API's words.
    pub fn to_api(&self) -> Value {
        let details = self.details.as_ref().map(|(field, details)| (field.as_str(), details.clone()));
        event_to_api(self.id, self.previous_id, self.at, &self.kind, details)
    }

    /// Bytes of memory that it takes, about.
    fn size(&self) -> usize {
        let details = self.details.as_ref().map_or(0, |(_, details)| size(details));
        self.workflow.len() + self.execution.len() + self.kind.len() + details + 160
    }
}

fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 32,
        Value::Array(members) => members.iter().map(size).sum::<usize>() + 32,
        Value::Object(fields) => fields.iter().map(|(name, value)| name.len() + size(value) + 32).sum(),
        _ => 32,
    }
}

/// The log: takes events, and writes them on a thread of its own until it is closed.
pub struct ExecutionLog {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    events: Recent<LoggedEvent>,
    stop: Mutex<bool>,
    wake: Condvar,
}

impl ExecutionLog {
    /// Reads what is in the book, and goes on with it. `stem`: see [`Book`].
    pub fn open(stem: PathBuf) -> std::io::Result<Arc<Self>> {
        if let Some(folder) = stem.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let events = Recent::new(LOG_MAX, LoggedEvent::size, read_book(&stem));
        let shared = Arc::new(Shared { events, stop: Mutex::default(), wake: Condvar::new() });
        let written = shared.clone();
        let writer = std::thread::Builder::new().name("executions-log".into());
        let writer = writer.spawn(move || write_all(&written, Book::new(stem)))?;
        Ok(Arc::new(Self { shared, writer: Mutex::new(Some(writer)) }))
    }

    /// The events in memory, the oldest first.
    pub fn events(&self) -> Vec<Arc<LoggedEvent>> {
        self.shared.events.rows()
    }

    /// Those of one execution, in order.
    pub fn of(&self, execution_arn: &str) -> Vec<Arc<LoggedEvent>> {
        self.shared.events.rows_that(|event| event.execution == execution_arn)
    }

    /// The ARN of a workflow's latest execution that is logged; of that name, if one is given.
    pub fn latest(&self, workflow: &str, name: Option<&str>) -> Option<String> {
        let is_named = |arn: &str| {
            let given = arn.split(':').nth(7);
            name.is_none_or(|name| given == Some(name))
        };
        let found =
            self.shared.events.last_that(|event| event.workflow == workflow && is_named(&event.execution));
        found.map(|event| event.execution.clone())
    }

    /// Writes what is left, and stops writing.
    pub fn close(&self) {
        *self.shared.stop.lock() = true;
        self.shared.wake.notify_all();
        let writer = self.writer.lock().take();
        if let Some(writer) = writer {
            let _ = writer.join();
        }
    }
}

impl Drop for ExecutionLog {
    fn drop(&mut self) {
        self.close();
    }
}

impl ExpressLog for ExecutionLog {
    fn enabled(&self) -> bool {
        true
    }

    fn event(&self, workflow: &str, execution_arn: &str, event: HistoryEvent) {
        self.shared.events.add(LoggedEvent {
            at: event.at,
            workflow: workflow.to_string(),
            execution: execution_arn.to_string(),
            id: event.id,
            previous_id: event.previous_id,
            kind: event.kind.to_string(),
            details: event.details.map(|(field, details)| (field.to_string(), details)),
        });
    }
}

fn write_all(shared: &Shared, mut book: Book) {
    let mut failed = false;
    loop {
        let stop = {
            let mut stop = shared.stop.lock();
            if !*stop {
                shared.wake.wait_for(&mut stop, WRITE_EVERY);
            }
            *stop
        };
        let written = shared.events.write(&mut book);
        metrics::counter!("bourn_workflow_log_skipped_total").increment(written.skipped + written.failed);
        if written.skipped > 0 {
            tracing::warn!("{} events of Express executions were not written to their log", written.skipped);
        }
        if let (Err(error), false) = (&written.result, failed) {
            tracing::warn!("the log of Express executions cannot be written: {error}");
        }
        failed = written.result.is_err();
        if stop {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(id: u64, text: &str) -> HistoryEvent {
        let details = Some(("stateEnteredEventDetails", json!({"name": "A", "input": text})));
        HistoryEvent { id, previous_id: id - 1, at: 5, kind: "PassStateEntered", details }
    }

    #[test]
    fn memory_is_bounded_and_the_newest_are_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = ExecutionLog::open(folder.path().join("log/executions")).expect("a log");
        let text = "x".repeat(10_000);
        for id in 1..=3_000 {
            log.event("w", "arn:aws:states:r:0:express:w:n:u", event(id, &text));
        }
        let events = log.events();
        assert!(events.len() < 900, "{}", events.len());
        assert_eq!(events.last().map(|event| event.id), Some(3_000));
    }

    #[test]
    fn events_are_there_after_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        let stem = folder.path().join("executions");
        let arn = |name: &str| format!("arn:aws:states:r:0:express:w:{name}:u");
        let log = ExecutionLog::open(stem.clone()).expect("a log");
        log.event("w", &arn("a"), event(1, "{}"));
        log.event("w", &arn("b"), event(1, "{}"));
        log.close();
        let log = ExecutionLog::open(stem).expect("a log");
        assert_eq!(log.of(&arn("a")).len(), 1);
        assert_eq!((log.latest("w", None), log.latest("w", Some("a"))), (Some(arn("b")), Some(arn("a"))));
        assert_eq!(log.latest("other", None), None);
        let told = log.of(&arn("a"))[0].to_api();
        assert_eq!(
            (&told["type"], &told["stateEnteredEventDetails"]["input"]),
            (&json!("PassStateEntered"), &json!("{}"))
        );
    }
}
