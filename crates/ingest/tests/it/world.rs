//! A stream with its logs in memory.

use crate::fake_schema::FakeSchema;
use crate::memory_log::MemoryLog;
use bourn_event::{Ack, Log, ManualClock, Offset, Producer};
use bourn_ingest::{Framing, StreamOptions, StreamPort, Submission, split::Shape};
use bytes::Bytes;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

pub const MAX_EVENT: usize = 512;
pub const MAX_REJECT: usize = 64;

pub struct World {
    pub log: Arc<MemoryLog>,
    pub rejects: Arc<MemoryLog>,
    pub port: Arc<StreamPort>,
    pub visible: watch::Sender<Offset>,
}

impl World {
    pub fn new() -> Self {
        Self::over(Arc::default(), Arc::default())
    }

    /// A new process on the same logs.
    pub fn over(log: Arc<MemoryLog>, rejects: Arc<MemoryLog>) -> Self {
        let (visible, receiver) = watch::channel(0);
        let port = StreamPort::new(StreamOptions {
            name: "orders".into(),
            schema: Arc::new(FakeSchema),
            log: Arc::clone(&log) as Arc<dyn Log>,
            rejects: Arc::clone(&rejects) as Arc<dyn Log>,
            visible: receiver,
            visible_timeout: Duration::from_millis(20),
            max_event: MAX_EVENT,
            max_reject: MAX_REJECT,
            clock: Arc::new(ManualClock::at(1)),
        });
        Self { log, rejects, port: Arc::new(port), visible }
    }

    /// The `id`s in the log, in order.
    pub fn ids(&self) -> Vec<i64> {
        let id = |line: &String| serde_json::from_str::<Value>(line).expect("JSON")["id"].as_i64();
        self.log.lines().iter().map(|line| id(line).expect("an id")).collect()
    }

    /// The rejects as values.
    pub fn rejected(&self) -> Vec<Value> {
        self.rejects.lines().iter().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

pub fn lines(body: impl Into<Bytes>) -> Submission {
    Submission {
        body: body.into(),
        framing: Framing::Plain(Shape::Lines),
        source: "http".into(),
        producer: None,
        ack: Ack::Durable,
        strict: false,
    }
}

pub fn from_producer(body: impl Into<Bytes>, sequence: u64) -> Submission {
    let producer = Producer { id: "till-1".into(), sequence };
    Submission { producer: Some(producer), ..lines(body) }
}

/// `{"id":n}` a line.
pub fn ndjson(ids: impl IntoIterator<Item = i64>) -> String {
    ids.into_iter().map(|id| format!("{{\"id\":{id}}}\n")).collect()
}
