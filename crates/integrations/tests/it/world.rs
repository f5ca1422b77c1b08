//! The pipeline that Tasks run on in these tests: fakes that remember, and a server that misbehaves.

use arrow_array::{Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use async_trait::async_trait;
use axum::Router;
use bourn_config::{Aws, Basic, Connection, KeyedTable, Notifier, Secret};
use bourn_event::{
    FunctionError, Functions, Invocation, InvokeError, Invoked, JobDone, Jobs, ManualClock, Query,
    QueryError, QueryOptions, Rows, SendError, Sending, Sent, Streams, TaskFailure, TaskRequest, Tasks,
};
use bourn_integrations::outbound::Outbound;
use bourn_integrations::{BusRefusal, EventBus, Integrations, Parts};
use bourn_state::State;
use bytes::Bytes;
use futures::StreamExt;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// 18 April 2024, 06:27:01 UTC.
pub const NOW: i64 = 1_713_421_621_000_000;
pub const EXECUTION: &str = "arn:aws:states:us-east-1:000000000000:execution:nightly:e1";

#[derive(Default)]
pub struct FakeFunctions {
    pub calls: Mutex<Vec<Invocation>>,
}

#[async_trait]
impl Functions for FakeFunctions {
    async fn invoke(&self, call: Invocation) -> Result<Invoked, InvokeError> {
        self.calls.lock().push(call.clone());
        let function = call.function.clone();
        let answer = |payload: Bytes, error| {
            Ok(Invoked { request_id: "r".into(), payload, error, log_tail: Bytes::from_static(b"a log") })
        };
        match function.as_str() {
            "echo" => answer(call.payload, None),
            "raises" => answer(
                Bytes::from_static(br#"{"errorType":"ValueError","errorMessage":"no","requestId":"x"}"#),
                Some(FunctionError::Handled),
            ),
            "crashes" => {
                answer(Bytes::from_static(br#"{"errorMessage":"exited"}"#), Some(FunctionError::Unhandled))
            }
            "busy" => Err(InvokeError::Throttled { function, retry_after: Duration::from_secs(1) }),
            "broken" => Err(InvokeError::Unavailable { function, why: "no bootstrap".into() }),
            "large" => Err(InvokeError::TooLarge { bytes: 7, bytes_max: 6 }),
            "odd" => Err(InvokeError::Invalid("it is odd".into())),
            _ => Err(InvokeError::NotFound(function)),
        }
    }

    async fn invoke_later(&self, call: Invocation) -> Result<String, InvokeError> {
        self.calls.lock().push(call);
        Ok("later".into())
    }

    fn names(&self) -> Vec<String> {
        ["broken", "busy", "crashes", "echo", "large", "odd", "raises"].map(String::from).to_vec()
    }
}

#[derive(Default)]
pub struct FakeStreams {
    pub sent: Mutex<Vec<Sending>>,
    ids: Mutex<BTreeSet<String>>,
}

#[async_trait]
impl Streams for FakeStreams {
    async fn send(&self, sending: Sending) -> Result<Sent, SendError> {
        match sending.stream.as_str() {
            "orders" => {}
            "full" => {
                return Err(SendError::Unavailable { stream: sending.stream, why: "the log is full".into() });
            }
            _ => return Err(SendError::NotFound(sending.stream)),
        }
        let event: Value = serde_json::from_slice(&sending.events[0]).expect("events are JSON texts");
        if !event.is_object() {
            return Ok(Sent { rejected: 1, errors: vec![(0, "not an object".into())], ..Sent::default() });
        }
        if sending.id.as_ref().is_some_and(|id| !self.ids.lock().insert(id.clone())) {
            return Ok(Sent { accepted: 1, ..Sent::default() });
        }
        let mut sent = self.sent.lock();
        sent.push(sending);
        Ok(Sent { accepted: 1, first_offset: Some(sent.len() as u64 + 40), ..Sent::default() })
    }

    fn names(&self) -> Vec<String> {
        vec!["full".into(), "orders".into()]
    }
}

/// Takes each event once, and refuses by its detail type.
#[derive(Default)]
pub struct FakeBus(pub Mutex<Vec<(String, Value)>>);

#[async_trait]
impl EventBus for FakeBus {
    async fn put(&self, bus: &str, event: Value) -> Result<(), BusRefusal> {
        match event["detail-type"].as_str() {
            Some("too many") => return Err(BusRefusal::Busy("too many wait".into())),
            Some("no room") => return Err(BusRefusal::Failed("no space left".into())),
            _ => {}
        }
        let mut events = self.0.lock();
        if events.iter().all(|(_, known)| known["id"] != event["id"]) {
            events.push((bus.to_string(), event));
        }
        Ok(())
    }
}

#[derive(Default)]
pub struct FakeQuery {
    pub asked: Mutex<Vec<String>>,
    /// Queries that name `slow` wait for this.
    pub gate: tokio::sync::Notify,
}

#[async_trait]
impl Query for FakeQuery {
    async fn query(&self, sql: &str, options: QueryOptions) -> Result<Rows, QueryError> {
        self.asked.lock().push(sql.to_string());
        match sql {
            "bad" => return Err(QueryError::Invalid("no table `x`".into())),
            "late" => return Err(QueryError::Timeout(Duration::from_secs(2))),
            "fat" => return Err(QueryError::Memory("64 MiB".into())),
            "hurt" => return Err(QueryError::Failed("disk".into())),
            _ => {}
        }
        if sql.contains("slow") {
            self.gate.notified().await;
        }
        let count = sql.split_whitespace().last().and_then(|word| word.parse().ok()).unwrap_or(2_i64);
        let count = count.min(options.limit.map_or(i64::MAX, |limit| limit as i64));
        let schema = Arc::new(Schema::new(vec![
            Field::new("n", DataType::Int64, true),
            Field::new("word", DataType::Utf8, true),
        ]));
        let numbers: Vec<i64> = (1..=count).collect();
        let words: Vec<Option<String>> =
            numbers.iter().map(|n| (n % 2 == 1).then(|| format!("w{n}"))).collect();
        let columns: Vec<arrow_array::ArrayRef> =
            vec![Arc::new(Int64Array::from(numbers)), Arc::new(StringArray::from(words))];
        let batch = RecordBatch::try_new(schema.clone(), columns).expect("a batch");
        Ok(Rows { schema, batches: futures::stream::iter([Ok(batch)]).boxed() })
    }
}

#[derive(Default)]
pub struct FakeJobs {
    pub runs: Mutex<Vec<(String, Option<String>, Value)>>,
    pub dropped: Arc<AtomicUsize>,
    pub gate: tokio::sync::Notify,
}

struct CountsDrop(Arc<AtomicUsize>);

impl Drop for CountsDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Jobs for FakeJobs {
    fn names(&self) -> Vec<String> {
        ["compact", "replay", "retention", "vacuum"].map(String::from).to_vec()
    }

    async fn run(&self, job: &str, stream: Option<&str>, arguments: &Value) -> Result<JobDone, String> {
        let _counts = CountsDrop(self.dropped.clone());
        self.runs.lock().push((job.into(), stream.map(String::from), arguments.clone()));
        match job {
            "vacuum" => Err("the table is gone".into()),
            "replay" => {
                self.gate.notified().await;
                Ok(JobDone { rows: Some(9), detail: json!({}) })
            }
            _ => Ok(JobDone { rows: Some(3), detail: json!({"files": 1}) }),
        }
    }
}

pub struct World {
    pub functions: Arc<FakeFunctions>,
    pub streams: Arc<FakeStreams>,
    pub query: Arc<FakeQuery>,
    pub jobs: Arc<FakeJobs>,
    pub clock: Arc<ManualClock>,
    pub events: Arc<FakeBus>,
    pub tasks: Arc<Integrations>,
    web: String,
    dir: tempfile::TempDir,
}

impl World {
    pub fn new() -> Self {
        Self::at("http://127.0.0.1:9")
    }

    /// With connections and a notifier at this address.
    pub fn at(web: &str) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let world = Fakes::default();
        let tasks = world.open(&dir, web);
        let Fakes { functions, streams, query, jobs, clock, events } = world;
        Self { functions, streams, query, jobs, clock, events, tasks, web: web.into(), dir }
    }

    /// The process ends and another one begins, with the same folder and the same other services.
    pub async fn restart(self) -> Self {
        let Self { functions, streams, query, jobs, clock, events, tasks, web, dir } = self;
        drop(tasks);
        // What was under way lets go of the state as soon as it is told.
        until("the state to be free", || State::open(dir.path().join("state")).is_ok()).await;
        let fakes = Fakes { functions, streams, query, jobs, clock, events };
        let tasks = fakes.open(&dir, &web);
        let Fakes { functions, streams, query, jobs, clock, events } = fakes;
        Self { functions, streams, query, jobs, clock, events, tasks, web, dir }
    }

    pub async fn run(&self, resource: &str, id: &str, parameters: Value) -> Result<Value, TaskFailure> {
        self.tasks.submit(&request(resource, id, parameters)).await
    }

    pub async fn run_sync(&self, resource: &str, id: &str, parameters: Value) -> Result<Value, TaskFailure> {
        let request = request(resource, id, parameters);
        let submitted = self.tasks.submit(&request).await?;
        self.tasks.wait(&request, &submitted).await
    }

    /// Runs it and holds its failure against a name and a part of its cause.
    #[track_caller]
    pub fn failed(outcome: Result<Value, TaskFailure>, error: &str, part: &str) {
        let failure = outcome.expect_err(error);
        assert_eq!(failure.error, error, "{}", failure.cause);
        assert!(failure.cause.contains(part), "{error}: {}", failure.cause);
    }
}

pub fn request(resource: &str, id: &str, parameters: Value) -> TaskRequest {
    let resource = match resource.starts_with("arn:") {
        true => resource.to_string(),
        false => format!("arn:aws:states:::{resource}"),
    };
    TaskRequest { resource, parameters, id: id.into(), execution: EXECUTION.into() }
}

struct Fakes {
    functions: Arc<FakeFunctions>,
    streams: Arc<FakeStreams>,
    query: Arc<FakeQuery>,
    jobs: Arc<FakeJobs>,
    clock: Arc<ManualClock>,
    events: Arc<FakeBus>,
}

impl Default for Fakes {
    fn default() -> Self {
        Self {
            functions: Arc::default(),
            streams: Arc::default(),
            query: Arc::default(),
            jobs: Arc::default(),
            clock: Arc::new(ManualClock::at(NOW)),
            events: Arc::default(),
        }
    }
}

impl Fakes {
    fn open(&self, dir: &tempfile::TempDir, web: &str) -> Arc<Integrations> {
        let connection = Connection {
            url: Some(format!("{web}/api")),
            headers: BTreeMap::from([("x-key".to_string(), Secret::new("hush-hush"))]),
            basic: Some(Basic { user: "me".into(), password: Secret::new("pass-word") }),
        };
        let notifier = |path: &str| Notifier { webhook: format!("{web}{path}"), connection: None };
        let plain = KeyedTable { key: "id".into(), sort: None };
        let sorted = KeyedTable { key: "id".into(), sort: Some("at".into()) };
        let parts = Parts {
            functions: self.functions.clone(),
            query: self.query.clone(),
            jobs: self.jobs.clone(),
            streams: self.streams.clone(),
            clock: self.clock.clone(),
            state: State::open(dir.path().join("state")).expect("the state"),
            outbound: client(self.clock.clone()),
            keyed: BTreeMap::from([("carts".to_string(), plain), ("log".to_string(), sorted)]),
            notifiers: BTreeMap::from([
                ("ops".to_string(), notifier("/hook")),
                ("deaf".to_string(), notifier("/missing")),
            ]),
            connections: BTreeMap::from([("crm".to_string(), connection)]),
            aws: Aws::default(),
            bus: self.events.clone(),
        };
        Arc::new(Integrations::open(parts).expect("integrations"))
    }
}

/// A client; the crypto provider of the process is installed once.
pub fn client(clock: Arc<ManualClock>) -> Outbound {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Outbound::without_proxy(clock).expect("a client")
}

/// Serves on the loopback until the test ends; gives the address.
pub async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

/// Waits until it holds.
pub async fn until(what: &str, holds: impl Fn() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while !holds() {
            tokio::task::yield_now().await;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    assert!(waited.await.is_ok(), "{what}");
}
