//! The store of runs: what it keeps, what it lets go, and quiet upkeep.

use crate::fake::World;
use async_trait::async_trait;
use bourn_event::{JobDone, Jobs, Run, RunKind, RunStatus};
use bourn_schedule::{Ended, RUN_AGE_MAX, RUNS_MAX, Runs, UPKEEP};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

fn run(id: &str, kind: RunKind) -> Run {
    Run {
        id: id.into(),
        kind,
        name: "n".into(),
        stream: None,
        cause: "manual".into(),
        scheduled_at: None,
        started_at: 1,
        ended_at: None,
        status: RunStatus::Running,
        rows: None,
        error: None,
        execution: None,
    }
}

fn statuses(runs: &Runs) -> Vec<(String, RunStatus)> {
    runs.list().into_iter().map(|run| (run.id, run.status)).collect()
}

#[test]
fn runs_outlive_the_process_and_jobs_do_not() {
    let world = World::at(10);
    let runs = world.runs();
    runs.begin(run("1", RunKind::Job)).expect("begin");
    runs.begin(run("2", RunKind::Workflow)).expect("begin");
    runs.begin(run("3", RunKind::Job)).expect("begin");
    runs.end("3", Ended { rows: Some(4), ..Ended::succeeded() }).expect("end");
    runs.end("3", Ended::failed("too late")).expect("end");
    runs.end("unknown", Ended::succeeded()).expect("end");
    drop(runs);
    let runs = world.runs();
    let expected = [("3", RunStatus::Succeeded), ("2", RunStatus::Running), ("1", RunStatus::Aborted)];
    assert_eq!(statuses(&runs), expected.map(|(id, status)| (id.to_owned(), status)));
    assert_eq!(runs.get("3").expect("a run").rows, Some(4));
    assert_eq!(runs.get("1").expect("a run").error.as_deref(), Some("the process ended while it ran"));
}

#[test]
fn old_runs_go_and_open_ones_stay() {
    let world = World::at(10);
    let runs = world.runs();
    runs.begin(run("0", RunKind::Workflow)).expect("begin");
    for index in 1..=RUNS_MAX + 5 {
        let id = format!("{index:08}");
        runs.begin(Run { ended_at: Some(10), status: RunStatus::Succeeded, ..run(&id, RunKind::Job) })
            .expect("begin");
    }
    assert_eq!(runs.list().len(), RUNS_MAX);
    assert!(runs.get("0").is_some() && runs.get("00000001").is_none() && runs.get("00000007").is_some());
    world.clock.set(20 + RUN_AGE_MAX.as_micros() as i64);
    runs.end("0", Ended::succeeded()).expect("end");
    assert_eq!(statuses(&runs), [("0".to_owned(), RunStatus::Succeeded)]);
    drop(runs);
    assert_eq!(world.runs().list().len(), 1);
}

/// Jobs that do what their name says.
struct Named;

#[async_trait]
impl Jobs for Named {
    fn names(&self) -> Vec<String> {
        Vec::new()
    }

    async fn run(&self, job: &str, _: Option<&str>, arguments: &Value) -> Result<JobDone, String> {
        match job {
            "fails" => Err("disk full".into()),
            "lasts" => {
                tokio::time::sleep(Duration::from_secs(60)).await;
                Ok(JobDone::default())
            }
            _ => Ok(JobDone { rows: arguments["rows"].as_u64(), detail: arguments["detail"].clone() }),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn upkeep_is_noted_only_if_it_did_something() {
    let cases = [
        ("x", json!({}), 0),
        ("x", json!({"rows": 0, "detail": {"files": 0, "names": []}}), 0),
        ("x", json!({"rows": 3}), 1),
        ("x", json!({"detail": {"files": 2}}), 1),
        ("fails", json!({}), 1),
        ("lasts", json!({}), 1),
    ];
    for (job, arguments, noted) in cases {
        let world = World::at(10);
        let runs = world.runs();
        let _ = runs.run_job(&Named, UPKEEP, job, Some("orders"), &arguments).await;
        assert_eq!(runs.list().len(), noted, "{job} {arguments}");
        drop(runs);
        assert_eq!(world.runs().list().len(), noted, "{job} {arguments}");
        let runs = world.runs();
        let _ = runs.run_job(&Named, "manual", job, None, &arguments).await;
        assert_eq!(runs.list().len(), noted + 1, "by hand, {job} {arguments}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_is_noted_with_what_it_did() {
    let world = World::at(10);
    let runs = world.runs();
    let ended: Arc<Mutex<Vec<Run>>> = Arc::default();
    let heard = ended.clone();
    runs.on_end(move |run| heard.lock().push(run.clone()));
    runs.run_job(&Named, "manual", "compact", Some("orders"), &json!({"rows": 5})).await.expect("done");
    let error = runs.run_job(&Named, "manual", "fails", None, &json!({})).await.expect_err("failed");
    assert_eq!(error, "disk full");
    let ended = ended.lock();
    let shown: Vec<_> = ended.iter().map(|run| (run.name.as_str(), run.status, run.rows)).collect();
    assert_eq!(shown, [("compact", RunStatus::Succeeded, Some(5)), ("fails", RunStatus::Failed, None)]);
    assert_eq!((ended[0].stream.as_deref(), ended[0].cause.as_str()), (Some("orders"), "manual"));
    assert_ne!(ended[0].id, ended[1].id);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_dropped_does_not_stay_open() {
    let world = World::at(10);
    let runs = world.runs();
    for cause in [UPKEEP, "manual"] {
        let work = runs.run_job(&Named, cause, "lasts", None, &Value::Null);
        assert!(tokio::time::timeout(Duration::from_secs(5), work).await.is_err());
        let last = &runs.list()[0];
        assert_eq!((last.cause.as_str(), last.status), (cause, RunStatus::Aborted));
    }
    let work = runs.run_job(&Named, UPKEEP, "lasts", None, &Value::Null);
    assert!(tokio::time::timeout(Duration::from_secs(1), work).await.is_err());
    assert_eq!(runs.list().len(), 2, "too short to be noted");
}

#[tokio::test(start_paused = true)]
async fn a_quiet_job_is_shown_while_it_runs() {
    let world = World::at(10);
    let runs = world.runs();
    let work = runs.run_job(&Named, UPKEEP, "lasts", None, &Value::Null);
    tokio::pin!(work);
    assert!(tokio::time::timeout(Duration::from_secs(1), &mut work).await.is_err());
    assert_eq!(runs.list()[0].status, RunStatus::Running);
    work.await.expect("done");
    assert_eq!(runs.list()[0].status, RunStatus::Succeeded);
}
