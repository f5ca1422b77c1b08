//! Map runs: the same items after a crash, children stopped with their parent, and redrives.

use crate::durable::{create, kinds, start};
use crate::player::Player;
use crate::rig::{BEGIN, options};
use async_trait::async_trait;
use bourn_event::{ManualClock, TaskFailure, TaskRequest, Tasks};
use bourn_workflow::*;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

const MICROS_PER_DAY: i64 = 86_400 * 1_000_000;

/// Answers with the item it is asked about, and counts; those that are `bad` fail while it is broken, those
/// that are `slow` are never answered.
#[derive(Default)]
struct Service {
    calls: Mutex<BTreeMap<String, usize>>,
    broken: AtomicBool,
}

#[async_trait]
impl Tasks for Service {
    fn check(&self, _: &str, _: &str, _: Option<&Value>) -> Result<(), String> {
        Ok(())
    }

    async fn submit(&self, request: &TaskRequest) -> Result<Value, TaskFailure> {
        let item = request.parameters.as_str().unwrap_or_default().to_owned();
        *self.calls.lock().entry(item.clone()).or_default() += 1;
        if item.contains("slow") {
            std::future::pending::<()>().await;
        }
        match item.contains("bad") && self.broken.load(Ordering::SeqCst) {
            true => Err(TaskFailure::new("Broken", item)),
            false => Ok(json!(item)),
        }
    }

    async fn wait(&self, _: &TaskRequest, submitted: &Value) -> Result<Value, TaskFailure> {
        Ok(submitted.clone())
    }
}

/// A store, and what engines on it stand on.
struct Stand {
    dir: TempDir,
    clock: Arc<ManualClock>,
    player: Arc<Player>,
    service: Arc<Service>,
    /// Commits that are left before the disk fails.
    left: Arc<AtomicI64>,
}

impl Stand {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at(BEGIN));
        Self {
            dir: TempDir::new().expect("a folder"),
            player: Arc::new(Player::new(clock.clone())),
            clock,
            service: Arc::default(),
            left: Arc::new(AtomicI64::new(i64::MAX)),
        }
    }

    async fn open(&self) -> Workflows {
        let mut options = options(self.dir.path(), &self.player);
        options.tasks = self.service.clone();
        self.left.store(i64::MAX, Ordering::SeqCst);
        let left = self.left.clone();
        options.fault = Some(Arc::new(move || match left.fetch_sub(1, Ordering::SeqCst) > 0 {
            true => Ok(()),
            false => Err(WorkflowError::new(ErrorKind::ServiceUnavailable, "the disk fails")),
        }));
        Workflows::open(options).await.expect("opens")
    }

    fn calls(&self) -> Vec<(String, usize)> {
        self.service.calls.lock().clone().into_iter().collect()
    }

    async fn called(&self, item: &str) {
        while !self.service.calls.lock().contains_key(item) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn put(&self, items: &Value) {
        self.player.put("lake", "items.json", items.to_string().into()).await.expect("is put");
    }
}

/// A distributed Map over an object that asks the service about each item.
fn map(kind: &str, more: Value) -> Value {
    let ask = json!({"Type": "Task", "Resource": "arn:aws:states:::bourn:ask", "End": true});
    let mut state = json!({"Type": "Map", "End": true,
        "ItemReader": {"Resource": "arn:aws:states:::s3:getObject", "ReaderConfig": {"InputType": "JSON"},
            "Parameters": {"Bucket": "lake", "Key": "items.json"}},
        "ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": kind},
            "StartAt": "Ask", "States": {"Ask": ask}}});
    if let (Value::Object(state), Value::Object(more)) = (&mut state, more) {
        state.extend(more);
    }
    json!({"StartAt": "M", "States": {"M": state}})
}

async fn begin(workflows: &Workflows, definition: &Value) -> String {
    let machine = create(workflows, "maps", definition).await;
    workflows.start(start(&machine, "one", &json!({}))).await.expect("starts").arn
}

async fn ended(workflows: &Workflows, arn: &str) -> ExecutionDescription {
    workflows.wait(arn, PATIENCE).await.expect("is there")
}

async fn map_runs(workflows: &Workflows, arn: &str) -> Vec<MapRunDescription> {
    workflows.list_map_runs(arn, Paging::default()).await.expect("a list").items
}

async fn children(workflows: &Workflows, map_run: &str) -> Vec<ExecutionItem> {
    let request = ListExecutions { map_run_arn: Some(map_run.into()), ..ListExecutions::default() };
    workflows.list(request).await.expect("a list").items
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn items_after_a_crash_are_those_before_it() {
    for kind in ["STANDARD", "EXPRESS"] {
        let stand = Stand::new();
        let workflows = stand.open().await;
        // The second is held up, so that the third has not begun.
        stand.put(&json!(["a", "slow", "c"])).await;
        let arn =
            begin(&workflows, &map(kind, json!({"MaxConcurrency": 1, "ToleratedFailureCount": 1}))).await;
        stand.called("slow").await;
        workflows.close().await;
        drop(workflows);
        stand.put(&json!(["x", "y"])).await;
        stand.service.calls.lock().clear();
        let workflows = stand.open().await;
        stand.called("slow").await;
        let run = &map_runs(&workflows, &arn).await[0];
        assert_eq!((run.items.total, run.redrive_count), (3, 0), "{kind}");
        if kind == "STANDARD" {
            let held = children(&workflows, &run.arn).await;
            let held = held.iter().find(|child| child.status == ExecutionStatus::Running).expect("a child");
            let request = StopExecution { execution_arn: held.arn.clone(), ..StopExecution::default() };
            workflows.stop(request).await.expect("stops");
            assert_eq!(ended(&workflows, &arn).await.output.as_deref(), Some(r#"["a","c"]"#));
            assert_eq!(stand.calls(), [("c".to_owned(), 1), ("slow".to_owned(), 1)]);
        }
        workflows.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redrive_goes_on_with_the_children_that_did_not_succeed() {
    for (kind, redrives) in [("STANDARD", vec![2, 2]), ("EXPRESS", vec![])] {
        let stand = Stand::new();
        let workflows = stand.open().await;
        stand.put(&json!(["a", "bad 1", "b", "bad 2", "c"])).await;
        stand.service.broken.store(true, Ordering::SeqCst);
        let more = json!({"ToleratedFailureCount": 1, "MaxConcurrency": 1});
        let arn = begin(&workflows, &map(kind, more)).await;
        let failed = ended(&workflows, &arn).await;
        let threshold = Some("States.ExceedToleratedFailureThreshold");
        assert_eq!((failed.status, failed.error.as_deref()), (ExecutionStatus::Failed, threshold));
        // It fails again in the same run: "c" is not reached.
        workflows.redrive(&arn).await.expect("goes on");
        let failed = ended(&workflows, &arn).await;
        assert_eq!((failed.status, failed.redrive_count), (ExecutionStatus::Failed, 1), "{kind}");
        let again = map_runs(&workflows, &arn).await;
        assert_eq!((again.len(), again[0].redrive_count, again[0].status), (1, 1, ExecutionStatus::Failed));
        assert_eq!((again[0].items.succeeded, again[0].items.failed, again[0].items.pending), (2, 2, 1));
        // What is read now is not looked at, and a restart in between changes nothing.
        stand.put(&json!([])).await;
        workflows.close().await;
        drop(workflows);
        stand.service.broken.store(false, Ordering::SeqCst);
        let workflows = stand.open().await;
        workflows.redrive(&arn).await.expect("goes on");
        let done = ended(&workflows, &arn).await;
        assert_eq!(done.output.as_deref(), Some(r#"["a","bad 1","b","bad 2","c"]"#), "{kind}");
        let calls = [("a", 1), ("b", 1), ("bad 1", 3), ("bad 2", 3), ("c", 1)];
        assert_eq!(stand.calls(), calls.map(|(item, calls)| (item.to_owned(), calls)), "{kind}");
        let run = &map_runs(&workflows, &arn).await[0];
        assert_eq!((run.status, run.redrive_count), (ExecutionStatus::Succeeded, 2), "{kind}");
        assert_eq!(run.redriven_at, Some(BEGIN));
        let counts = children(&workflows, &run.arn).await.into_iter().map(|child| child.redrive_count);
        assert_eq!(counts.filter(|count| *count > 0).collect::<Vec<_>>(), redrives);
        let kinds = kinds(&workflows, &arn).await;
        let count = |kind: &str| kinds.iter().filter(|k| **k == kind).count();
        assert_eq!((count("MapStateEntered"), count("MapRunStarted")), (1, 1), "{kinds:?}");
        assert_eq!((count("MapRunRedriven"), count("MapRunFailed"), count("MapRunSucceeded")), (2, 2, 1));
        workflows.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn children_of_a_stopped_parent_end_even_if_the_process_does_first() {
    let stand = Stand::new();
    let workflows = stand.open().await;
    stand.put(&json!(["slow 1", "slow 2"])).await;
    let arn = begin(&workflows, &map("STANDARD", json!({}))).await;
    for item in ["slow 1", "slow 2"] {
        stand.called(item).await;
    }
    while workflows.activeness().busy > 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // The disk takes the parent's end, and nothing behind it.
    stand.left.store(1, Ordering::SeqCst);
    let request = StopExecution { execution_arn: arn.clone(), ..StopExecution::default() };
    workflows.stop(request).await.expect("stops");
    let run = map_runs(&workflows, &arn).await.remove(0).arn;
    workflows.close().await;
    drop(workflows);
    let workflows = stand.open().await;
    for child in children(&workflows, &run).await {
        assert_eq!(ended(&workflows, &child.arn).await.status, ExecutionStatus::Aborted);
    }
    while map_runs(&workflows, &arn).await[0].status != ExecutionStatus::Aborted {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    workflows.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_map_run_is_swept_with_its_parent_and_its_children_after_it() {
    let stand = Stand::new();
    let workflows = stand.open().await;
    stand.put(&json!(["a", "b", "c"])).await;
    let arn = begin(&workflows, &map("STANDARD", json!({}))).await;
    assert_eq!(ended(&workflows, &arn).await.status, ExecutionStatus::Succeeded);
    let run = map_runs(&workflows, &arn).await.remove(0).arn;
    stand.clock.advance(91 * MICROS_PER_DAY);
    let swept = |executions, names| Ok(Swept { executions, names, revisions: 0 });
    assert_eq!(workflows.sweep().await, swept(1, 0));
    let gone = workflows.describe_map_run(&run).await.map_err(|error| error.kind());
    assert_eq!(gone, Err(ErrorKind::ResourceNotFound));
    assert_eq!(workflows.sweep().await, swept(3, 1));
    assert_eq!(workflows.sweep().await, swept(0, 3));
    workflows.close().await;
}
