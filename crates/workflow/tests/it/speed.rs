//! Loads for measuring, not for judging: run with `--ignored --nocapture`, best in a release build.

use crate::player::Player;
use crate::rig::options;
use async_trait::async_trait;
use bourn_event::{ManualClock, SystemClock, TaskFailure, TaskRequest, Tasks};
use bourn_workflow::bench::{Load, measure};
use bourn_workflow::*;
use serde_json::{Value, json};
use std::sync::Arc;
use tempfile::TempDir;

struct Echo;

#[async_trait]
impl Tasks for Echo {
    fn check(&self, _: &str, _: &str, _: Option<&Value>) -> Result<(), String> {
        Ok(())
    }

    async fn submit(&self, request: &TaskRequest) -> Result<Value, TaskFailure> {
        Ok(request.parameters.clone())
    }

    async fn wait(&self, _: &TaskRequest, submitted: &Value) -> Result<Value, TaskFailure> {
        Ok(submitted.clone())
    }
}

async fn engine(dir: &TempDir) -> Workflows {
    let player = Arc::new(Player::new(Arc::new(ManualClock::at(0))));
    let mut options = options(dir.path(), &player);
    options.clock = Arc::new(SystemClock);
    options.pace = Pace::Steady;
    options.tasks = Arc::new(Echo);
    Workflows::open(options).await.expect("opens")
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default().to_owned();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(0)
}

async fn load(workflows: &Workflows, file: MachineFile, count: usize, concurrency: usize, input: Value) {
    let (name, express) = (file.name.clone(), file.settings.r#type == bourn_config::WorkflowType::Express);
    workflows.register(vec![file]).await.expect("is registered");
    let machine_arn = workflows.machine_arn(&name);
    let load = Load { machine_arn, input: input.to_string(), count, concurrency, express };
    let measured = measure(workflows, &load).await.expect("runs");
    println!("{name}: {:.0}/s {measured:?}", measured.per_second());
}

fn file(name: &str, definition: Value, settings: bourn_config::Workflow) -> MachineFile {
    MachineFile { name: name.into(), definition: definition.to_string(), settings }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it measures"]
async fn loads() {
    let dir = TempDir::new().expect("a folder");
    let workflows = engine(&dir).await;
    let pass = |next: &str| json!({"Type": "Pass", "Next": next});
    let task = |next: &str| json!({"Type": "Task", "Resource": "arn:aws:lambda:us-east-1:1:function:echo", "Next": next});
    let standard = json!({"StartAt": "A", "States": {
        "A": pass("B"), "B": task("C"), "C": task("D"), "D": {"Type": "Pass", "End": true}}});
    let settings = bourn_config::Workflow::default;
    load(&workflows, file("standard", standard, settings()), 3_000, 100, json!({"n": 1})).await;
    let four = json!({"StartAt": "A", "States": {
        "A": pass("B"), "B": pass("C"), "C": pass("D"), "D": {"Type": "Pass", "End": true}}});
    let express = bourn_config::Workflow { r#type: bourn_config::WorkflowType::Express, ..settings() };
    load(&workflows, file("express", four, express), 10_000, 8, json!({"n": 1})).await;
    let map = json!({"StartAt": "M", "States": {"M": {"Type": "Map", "End": true,
        "ItemProcessor": {"StartAt": "P", "States": {"P": {"Type": "Pass", "End": true}}}}}});
    let items: Vec<u32> = (0..10_000).collect();
    let many = bourn_config::Workflow { max_events: 100_000, ..settings() };
    load(&workflows, file("map", map, many), 1, 1, json!(items)).await;
    let waits = json!({"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 86_400, "End": true}}});
    workflows.register(vec![file("waits", waits, settings())]).await.expect("is registered");
    let before = resident_kib();
    let begun = std::time::Instant::now();
    let starts = (0..100_000).map(|_| {
        let machine_arn = workflows.machine_arn("waits");
        workflows.start(StartExecution { machine_arn, ..StartExecution::default() })
    });
    let done = futures::StreamExt::buffer_unordered(futures::stream::iter(starts), 256);
    let failed =
        futures::StreamExt::fold(done, 0, async |failed, done| failed + usize::from(done.is_err())).await;
    println!(
        "waiting: {failed} failed, {:.1} s, {} KiB more",
        begun.elapsed().as_secs_f64(),
        resident_kib() - before
    );
    workflows.close().await;
    drop(workflows);
    let begun = std::time::Instant::now();
    let workflows = engine(&dir).await;
    let open = workflows.activeness().open;
    println!("opening: {:.2} s with {open} executions", begun.elapsed().as_secs_f64());
    let begun = std::time::Instant::now();
    let swept = workflows.sweep().await.expect("sweeps");
    println!("sweeping: {:.2} s, {swept:?}", begun.elapsed().as_secs_f64());
    workflows.close().await;
}
