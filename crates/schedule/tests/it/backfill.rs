//! Backfills: each time once, a few at once, resumable.

use crate::fake::{Mood, World, holds};
use crate::when::schedule;
use bourn_config::Target;
use bourn_event::RunStatus;
use bourn_schedule::{
    BackfillError, BackfillPlan, BackfillProgress, Backfills, Ended, When, parse_time, rfc3339,
};
use serde_json::json;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

fn utc(text: &str) -> i64 {
    parse_time(text, chrono_tz::UTC).expect("a time")
}

/// Ten days of a nightly schedule.
fn plan(concurrency: usize) -> BackfillPlan {
    BackfillPlan {
        name: "b".into(),
        target: Target::Workflow("w".into()),
        when: When::compile(&schedule(json!({"when": "0 2 * * *"}))).expect("when"),
        anchor: 0,
        from: utc("2026-01-01"),
        to: utc("2026-01-11"),
        concurrency,
        input: None,
    }
}

fn backfills(world: &World) -> Backfills {
    Backfills::new(world.runs(), world.clock.clone(), world.fake.clone())
}

#[tokio::test(start_paused = true)]
async fn each_time_runs_once_in_order() {
    let world = World::at(utc("2026-02-01"));
    world.fake.end_at_once();
    let backfills = backfills(&world);
    let mut heard = Vec::new();
    let done =
        backfills.run(&plan(1), &CancellationToken::new(), |progress| heard.push(progress.clone())).await;
    let all = BackfillProgress { total: 10, succeeded: 10, failed: 0, open: 0 };
    assert_eq!(done.expect("done"), all);
    assert!(all.is_over() && heard.last() == Some(&all) && heard.len() == 21);
    let expected: Vec<String> = plan(1).times().map(|due| format!("backfill/b/{}", rfc3339(due))).collect();
    assert_eq!(world.fake.begun(), expected);
    assert_eq!(world.fake.inputs()[0], json!({"backfill": "b", "scheduled_at": "2026-01-01T02:00:00Z"}));
    let runs = world.runs().list();
    assert_eq!(runs.len(), 10);
    assert!(runs.iter().all(|run| run.status == RunStatus::Succeeded && run.cause == "backfill:b"));
    // The same again is over already.
    backfills.run(&plan(1), &CancellationToken::new(), |_| {}).await.expect("done");
    assert_eq!(world.fake.calls(), 10);
    backfills.forget("b").expect("forget");
    backfills.run(&plan(1), &CancellationToken::new(), |_| {}).await.expect("done");
    assert_eq!(world.fake.calls(), 20);
}

#[tokio::test(start_paused = true)]
async fn only_so_many_run_at_once() {
    let world = World::at(0);
    let backfills = backfills(&world);
    let stop = CancellationToken::new();
    let plan = plan(3);
    let task = backfills.run(&plan, &stop, |_| {});
    let driver = async {
        assert!(holds(|| world.fake.begun().len() == 3).await);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(world.fake.begun().len(), 3);
        world.fake.end(&world.fake.begun()[1], Ended::failed("no"));
        assert!(holds(|| world.fake.begun().len() == 4).await);
        world.fake.end_at_once();
    };
    let (done, ()) = tokio::join!(task, driver);
    assert_eq!(done.expect("done"), BackfillProgress { total: 10, succeeded: 9, failed: 1, open: 0 });
}

#[tokio::test(start_paused = true)]
async fn a_backfill_goes_on_after_a_crash_at_any_step() {
    for mood in [Mood::HangsBefore, Mood::HangsBehind, Mood::Well] {
        let world = World::at(0);
        world.fake.set_mood(mood);
        let crashed = backfills(&world);
        let task = tokio::spawn(async move {
            let _ = crashed.run(&plan(4), &CancellationToken::new(), |_| {}).await;
        });
        assert!(holds(|| world.fake.calls() == 4).await);
        task.abort();
        assert!(task.await.is_err());
        world.fake.set_mood(Mood::Well);
        world.fake.end_at_once();
        let done = backfills(&world).run(&plan(4), &CancellationToken::new(), |_| {}).await.expect("done");
        assert_eq!((done.succeeded, world.fake.begun().len()), (10, 10), "{mood:?}");
        assert!(world.runs().list().iter().all(|run| run.status == RunStatus::Succeeded), "{mood:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_leaves_the_open_ones_to_the_next_time() {
    let world = World::at(0);
    let stop = CancellationToken::new();
    let backfills = backfills(&world);
    let first = plan(2);
    let (stopped, ()) = tokio::join!(backfills.run(&first, &stop, |_| {}), async {
        assert!(holds(|| world.fake.begun().len() == 2).await);
        stop.cancel();
    });
    let stopped = stopped.expect("stopped");
    assert_eq!((stopped.open, stopped.succeeded, stopped.is_over()), (2, 0, false));
    world.fake.end_at_once();
    let done = backfills.run(&plan(2), &CancellationToken::new(), |_| {}).await.expect("done");
    assert_eq!((done.succeeded, world.fake.begun().len()), (10, 10));
}

#[tokio::test(start_paused = true)]
async fn a_steady_distance_begins_with_the_first_moment() {
    let every = When::every(Duration::from_secs(6 * 3_600)).expect("when");
    let from = utc("2026-01-01");
    let plan =
        BackfillPlan { when: every, anchor: from - 6 * 3_600_000_000, to: utc("2026-01-02"), ..plan(1) };
    let times: Vec<String> = plan.times().map(rfc3339).collect();
    let expected =
        ["2026-01-01T00:00:00Z", "2026-01-01T06:00:00Z", "2026-01-01T12:00:00Z", "2026-01-01T18:00:00Z"];
    assert_eq!(times, expected);
    assert!(When::every(Duration::ZERO).is_none());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_meant_is_refused() {
    let world = World::at(0);
    world.fake.end_at_once();
    let backfills = backfills(&world);
    let stop = CancellationToken::new();
    let empty = BackfillPlan { to: utc("2026-01-01"), ..plan(1) };
    let error = backfills.run(&empty, &stop, |_| {}).await.expect_err("refused");
    assert!(
        matches!(error, BackfillError::Empty { .. }) && error.to_string().contains("2026-01-01T00:00:00Z")
    );
    let every_second = When::every(Duration::from_secs(1)).expect("when");
    let many = BackfillPlan { when: every_second, to: utc("2027-01-01"), ..plan(1) };
    assert!(matches!(backfills.run(&many, &stop, |_| {}).await, Err(BackfillError::TooMany)));
    backfills.run(&plan(1), &stop, |_| {}).await.expect("done");
    let other = BackfillPlan { to: utc("2026-01-05"), ..plan(1) };
    let error = backfills.run(&other, &stop, |_| {}).await.expect_err("refused");
    assert!(error.to_string().contains("choose another name"), "{error}");
}
