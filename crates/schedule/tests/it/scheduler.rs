//! The scheduler under a virtual clock: policies, crashes between each two steps, and clocks that jump.

use crate::fake::{Mood, Process, World, holds, named};
use crate::when::schedule;
use bourn_config::Schedule;
use bourn_event::{RunKind, RunStatus};
use bourn_schedule::{Ended, ScheduleStatus, parse_time};
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn utc(text: &str) -> i64 {
    parse_time(text, chrono_tz::UTC).expect("a time")
}

fn today(time: &str) -> i64 {
    utc(&format!("2026-06-01T{time}"))
}

fn hourly(more: Value) -> Schedule {
    let mut settings = json!({"when": "0 * * * *"});
    settings.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    schedule(settings)
}

/// A process that runs an hourly schedule, at half past nine.
async fn at_half_past_nine(more: Value) -> (World, Process) {
    let world = World::at(today("09:30"));
    let process = world.boot(&[("s", hourly(more))]);
    process.settles().await;
    (world, process)
}

#[tokio::test(start_paused = true)]
async fn a_run_begins_when_it_is_due_and_ends_as_it_ends() {
    let (world, process) = at_half_past_nine(json!({})).await;
    process.settles().await;
    assert!(process.shown().is_empty(), "a new schedule does not look back");
    assert_eq!(process.scheduler.schedules()[0].next, Some(today("10:00")));
    process.clock_shows(today("10:00"));
    process.shows(&["Running@10:00"]).await;
    assert!(holds(|| world.fake.begun() == ["schedule/s/2026-06-01T10:00:00Z"]).await);
    assert_eq!(world.fake.inputs(), [json!({"schedule": "s", "scheduled_at": "2026-06-01T10:00:00Z"})]);
    assert!(holds(|| process.runs.list()[0].execution.is_some()).await);
    assert_eq!(process.scheduler.schedules()[0].status, ScheduleStatus::Running);
    world.fake.end("schedule/s/2026-06-01T10:00:00Z", Ended { rows: Some(7), ..Ended::succeeded() });
    process.shows(&["Succeeded@10:00"]).await;
    let run = &process.runs.list()[0];
    assert_eq!((run.kind, run.rows, run.cause.as_str()), (RunKind::Workflow, Some(7), "schedule:s"));
    assert_eq!(run.execution.as_deref(), Some("arn:schedule/s/2026-06-01T10:00:00Z"));
    let row = &process.scheduler.schedules()[0];
    assert_eq!((row.last, row.last_status), (Some(today("10:00")), Some(RunStatus::Succeeded)));
    assert_eq!((row.next, row.status), (Some(today("11:00")), ScheduleStatus::Waiting));
}

#[tokio::test(start_paused = true)]
async fn a_process_that_sleeps_on_its_own_wakes_for_what_is_due() {
    let (world, process) = at_half_past_nine(json!({})).await;
    process.settles().await;
    // Nobody wakes it: it looks at the clock by itself.
    world.clock.set(today("10:00"));
    process.shows(&["Running@10:00"]).await;
}

#[tokio::test(start_paused = true)]
async fn an_input_of_its_own_is_handed_over() {
    let (world, process) = at_half_past_nine(json!({"input": {"a": [1]}})).await;
    process.clock_shows(today("10:00"));
    assert!(holds(|| world.fake.inputs() == [json!({"a": [1]})]).await);
}

/// Stopped at half past nine, started at 12:30.
async fn missed(more: Value, expected: &[&str]) {
    let world = World::at(today("09:30"));
    world.fake.end_at_once();
    let process = world.boot(&[("s", hourly(more.clone()))]);
    process.settles().await;
    process.crash().await;
    world.clock.set(today("12:30"));
    let process = world.boot(&[("s", hourly(more.clone()))]);
    process.shows(expected).await;
    process.settles().await;
    assert_eq!(process.shown(), expected, "{more}");
    process.clock_shows(today("13:00"));
    let then: Vec<&str> = expected.iter().copied().chain(["Succeeded@13:00"]).collect();
    process.shows(&then).await;
}

#[tokio::test(start_paused = true)]
async fn missed_times_are_skipped_made_up_for_once_or_each() {
    missed(json!({"missed": "skip"}), &[]).await;
    missed(json!({}), &["Succeeded@12:00"]).await;
    missed(json!({"missed": "all"}), &["Succeeded@10:00", "Succeeded@11:00", "Succeeded@12:00"]).await;
    missed(json!({"missed": "all", "missed_max_age": "2h"}), &["Succeeded@11:00", "Succeeded@12:00"]).await;
    missed(json!({"missed_max_age": "10m"}), &[]).await;
    missed(
        json!({"missed": "all", "overlap": "replace"}),
        &["Succeeded@10:00", "Succeeded@11:00", "Succeeded@12:00"],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn missed_times_are_made_up_for_one_behind_the_other() {
    let world = World::at(today("09:30"));
    world.boot(&[("s", hourly(json!({"missed": "all"})))]).crash().await;
    world.clock.set(today("11:30"));
    let process = world.boot(&[("s", hourly(json!({"missed": "all"})))]);
    process.shows(&["Running@10:00", "Queued@11:00"]).await;
    world.fake.end("schedule/s/2026-06-01T10:00:00Z", Ended::succeeded());
    process.shows(&["Succeeded@10:00", "Running@11:00"]).await;
}

#[tokio::test(start_paused = true)]
async fn more_missed_times_than_may_wait_all_come() {
    let every_minute = || schedule(json!({"when": "* * * * *", "missed": "all", "overlap": "allow"}));
    let world = World::at(today("00:00"));
    world.fake.end_at_once();
    world.boot(&[("s", every_minute())]).crash().await;
    world.clock.set(today("20:00"));
    let process = world.boot(&[("s", every_minute())]);
    assert!(holds(|| world.fake.begun().len() == 1_200).await, "{}", world.fake.begun().len());
    assert!(holds(|| process.runs.list().iter().all(|run| run.status == RunStatus::Succeeded)).await);
    let each: BTreeSet<String> = world.fake.begun().into_iter().collect();
    assert_eq!(each.len(), 1_200);
}

/// The first run is still going on when the next is due.
async fn overlap(policy: &str, expected: &[&str]) -> (World, Process) {
    let (world, process) = at_half_past_nine(json!({"overlap": policy})).await;
    process.clock_shows(today("10:00"));
    assert!(holds(|| process.runs.list().iter().any(|run| run.execution.is_some())).await);
    process.clock_shows(today("11:00"));
    process.shows(expected).await;
    (world, process)
}

#[tokio::test(start_paused = true)]
async fn overlapping_runs_follow_their_policy() {
    overlap("allow", &["Running@10:00", "Running@11:00"]).await;
    let (_, process) = overlap("skip", &["Running@10:00", "Skipped@11:00"]).await;
    assert_eq!(process.runs.list()[0].error.as_deref(), Some("the run before is not over"));
    let (world, process) = overlap("queue", &["Running@10:00", "Queued@11:00"]).await;
    process.clock_shows(today("12:00"));
    process.shows(&["Running@10:00", "Queued@11:00", "Queued@12:00"]).await;
    world.fake.end("schedule/s/2026-06-01T10:00:00Z", Ended::failed("no"));
    process.shows(&["Failed@10:00", "Running@11:00", "Queued@12:00"]).await;
    let (world, process) = overlap("replace", &["Aborted@10:00", "Running@11:00"]).await;
    assert_eq!(world.fake.stopped(), ["schedule/s/2026-06-01T10:00:00Z"]);
    assert_eq!(process.runs.list()[1].error.as_deref(), Some("a later run took its place"));
}

#[tokio::test(start_paused = true)]
async fn a_crash_never_loses_or_doubles_a_run() {
    for mood in [Mood::HangsBefore, Mood::HangsBehind, Mood::Well] {
        for over_meanwhile in [false, true] {
            let (world, process) = at_half_past_nine(json!({})).await;
            world.fake.set_mood(mood);
            process.clock_shows(today("10:00"));
            assert!(holds(|| world.fake.calls() == 1).await);
            if mood == Mood::Well {
                assert!(holds(|| process.runs.list()[0].execution.is_some()).await);
            }
            process.crash().await;
            if over_meanwhile {
                world.fake.end("schedule/s/2026-06-01T10:00:00Z", Ended::succeeded());
            }
            world.fake.set_mood(Mood::Well);
            world.clock.set(today("10:05"));
            let process = world.boot(&[("s", hourly(json!({})))]);
            assert!(holds(|| world.fake.begun().len() == 1).await, "{mood:?}");
            if !over_meanwhile {
                process.settles().await;
                assert_eq!(process.shown(), ["Running@10:00"], "{mood:?}");
                world.fake.end("schedule/s/2026-06-01T10:00:00Z", Ended::succeeded());
            }
            process.shows(&["Succeeded@10:00"]).await;
            assert_eq!(world.fake.begun(), ["schedule/s/2026-06-01T10:00:00Z"], "{mood:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_before_the_end_is_noted_finds_the_end_again() {
    let (world, process) = at_half_past_nine(json!({"overlap": "queue"})).await;
    process.clock_shows(today("10:00"));
    assert!(holds(|| process.runs.list().iter().any(|run| run.execution.is_some())).await);
    process.clock_shows(today("11:00"));
    process.shows(&["Running@10:00", "Queued@11:00"]).await;
    process.crash().await;
    world.fake.end("schedule/s/2026-06-01T10:00:00Z", Ended::failed("boom"));
    let process = world.boot(&[("s", hourly(json!({"overlap": "queue"})))]);
    process.shows(&["Failed@10:00", "Running@11:00"]).await;
    assert_eq!(world.fake.begun().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_a_crash_cut_off_is_over_and_the_next_one_runs() {
    let job = || hourly(json!({"run": {"job": {"name": "compact", "stream": "orders"}}}));
    let world = World::at(today("09:30"));
    let process = world.boot(&[("s", job())]);
    process.clock_shows(today("10:00"));
    assert!(holds(|| process.runs.list().iter().any(|run| run.execution.is_some())).await);
    process.crash().await;
    let process = world.boot(&[("s", job())]);
    process.shows(&["Aborted@10:00"]).await;
    process.clock_shows(today("11:00"));
    process.shows(&["Aborted@10:00", "Running@11:00"]).await;
    let run = &process.runs.list()[0];
    assert_eq!(
        (run.kind, run.name.as_str(), run.stream.as_deref()),
        (RunKind::Job, "compact", Some("orders"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_busy_target_is_tried_again_and_a_refusal_is_a_failed_run() {
    let (world, process) = at_half_past_nine(json!({})).await;
    world.fake.set_mood(Mood::Busy(5));
    process.clock_shows(today("10:00"));
    assert!(holds(|| world.fake.begun().len() == 1).await);
    assert_eq!(world.fake.calls(), 6);
    world.fake.end("schedule/s/2026-06-01T10:00:00Z", Ended::succeeded());
    process.shows(&["Succeeded@10:00"]).await;
    world.fake.set_mood(Mood::Refuses);
    process.clock_shows(today("11:00"));
    process.shows(&["Succeeded@10:00", "Failed@11:00"]).await;
    assert_eq!(process.runs.list()[0].error.as_deref(), Some("it could not begin: no such workflow"));
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_steps_back_runs_nothing_twice() {
    let (world, process) = at_half_past_nine(json!({})).await;
    world.fake.end_at_once();
    for hour in ["10:00", "11:00"] {
        process.clock_shows(today(hour));
        assert!(holds(|| process.shown().last() == Some(&format!("Succeeded@{hour}"))).await);
    }
    for time in ["09:10", "10:00", "10:00:05", "11:00"] {
        process.clock_shows(today(time));
        process.settles().await;
    }
    assert_eq!(world.fake.calls(), 2);
    process.clock_shows(today("12:00"));
    process.shows(&["Succeeded@10:00", "Succeeded@11:00", "Succeeded@12:00"]).await;
    assert_eq!(world.fake.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_years_ahead_does_not_silence_a_schedule() {
    for missed in ["skip", "once", "all"] {
        let (world, process) = at_half_past_nine(json!({"missed": missed})).await;
        world.fake.end_at_once();
        process.clock_shows(today("10:00"));
        process.shows(&["Succeeded@10:00"]).await;
        process.clock_shows(utc("2036-06-01T10:30"));
        let ahead = match missed {
            "skip" => 0,
            "once" => 1,
            // As far back as missed times are made up for.
            _ => 24,
        };
        assert!(holds(|| world.fake.calls() == 1 + ahead).await, "{missed}");
        process.settles().await;
        process.clock_shows(today("10:30"));
        process.settles().await;
        process.clock_shows(today("11:00"));
        assert!(holds(|| world.fake.calls() == 2 + ahead).await, "{missed}");
        process.settles().await;
        assert_eq!(world.fake.calls(), 2 + ahead, "{missed}");
        assert_eq!(world.fake.begun().last().expect("a run"), "schedule/s/2026-06-01T11:00:00Z");
    }
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_boots_in_1970_runs_nothing_twice() {
    let (world, process) = at_half_past_nine(json!({"missed": "all"})).await;
    world.fake.end_at_once();
    for hour in ["10:00", "11:00", "12:00"] {
        process.clock_shows(today(hour));
        assert!(holds(|| process.shown().last() == Some(&format!("Succeeded@{hour}"))).await);
    }
    process.crash().await;
    world.clock.set(0);
    let process = world.boot(&[("s", hourly(json!({"missed": "all"})))]);
    process.settles().await;
    process.clock_shows(today("13:00"));
    assert!(holds(|| world.fake.begun().iter().any(|id| id.contains("13:00"))).await);
    process.settles().await;
    assert_eq!(world.fake.calls(), 4, "{:?}", world.fake.begun());
}

#[tokio::test(start_paused = true)]
async fn jitter_delays_by_the_same_each_time_and_survives_a_crash() {
    let jittered = || hourly(json!({"jitter": "30m"}));
    let world = World::at(today("09:30"));
    world.fake.end_at_once();
    let process = world.boot(&[("s", jittered())]);
    process.clock_shows(today("10:00"));
    process.shows(&["Queued@10:00"]).await;
    process.crash().await;
    let process = world.boot(&[("s", jittered())]);
    process.settles().await;
    assert!(world.fake.begun().is_empty());
    process.clock_shows(today("10:30"));
    process.shows(&["Succeeded@10:00"]).await;
    assert_eq!(world.fake.begun(), ["schedule/s/2026-06-01T10:00:00Z"]);
}

#[tokio::test(start_paused = true)]
async fn a_rate_keeps_its_anchor_over_restarts() {
    let rate = || schedule(json!({"when": "rate(7 minutes)", "missed": "skip"}));
    let world = World::at(today("09:00:03.5"));
    world.fake.end_at_once();
    let process = world.boot(&[("s", rate())]);
    process.settles().await;
    process.clock_shows(today("09:07:03.5"));
    process.shows(&["Succeeded@09:07"]).await;
    process.crash().await;
    world.clock.set(today("09:20"));
    let process = world.boot(&[("s", rate())]);
    process.settles().await;
    assert_eq!(process.scheduler.schedules()[0].next, Some(today("09:21:03")));
}

#[tokio::test(start_paused = true)]
async fn a_changed_schedule_begins_anew_and_a_lost_one_ends() {
    let (world, process) = at_half_past_nine(json!({"overlap": "queue"})).await;
    process.clock_shows(today("10:00"));
    assert!(holds(|| process.runs.list().iter().any(|run| run.execution.is_some())).await);
    process.clock_shows(today("11:00"));
    process.shows(&["Running@10:00", "Queued@11:00"]).await;
    process.scheduler.set(&named(&[("t", schedule(json!({"when": "30 * * * *"})))])).expect("set");
    process.shows(&["Running@10:00", "Aborted@11:00"]).await;
    let rows = process.scheduler.schedules();
    assert_eq!(rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["s", "t"]);
    world.fake.end("schedule/s/2026-06-01T10:00:00Z", Ended::succeeded());
    process.shows(&["Succeeded@10:00", "Aborted@11:00"]).await;
    assert_eq!(process.scheduler.schedules().len(), 1);
    process.clock_shows(today("11:30"));
    process.shows(&["Succeeded@10:00", "Aborted@11:00", "Running@11:30"]).await;
    // A schedule that comes back does not make up for the time without it.
    process.clock_shows(today("13:40"));
    process.scheduler.set(&named(&[("s", hourly(json!({"missed": "all"})))])).expect("set");
    process.settles().await;
    assert_eq!(world.fake.begun().len(), 2);
    let refused =
        process.scheduler.set(&named(&[("s", hourly(json!({"timezone": "x"})))])).expect_err("refused");
    assert!(refused.to_string().starts_with("schedule `s`: timezone: `x`"), "{refused}");
    process.clock_shows(today("14:00"));
    assert!(holds(|| world.fake.begun().len() == 3).await, "the schedules before stay in force");
}

#[tokio::test(start_paused = true)]
async fn a_disabled_schedule_rests_and_does_not_make_up() {
    let world = World::at(today("09:30"));
    world.fake.end_at_once();
    let process = world.boot(&[("s", hourly(json!({"enabled": false})))]);
    process.clock_shows(today("10:00"));
    process.settles().await;
    assert_eq!(process.scheduler.schedules()[0].status, ScheduleStatus::Disabled);
    process.clock_shows(today("10:30"));
    process.scheduler.set(&named(&[("s", hourly(json!({})))])).expect("set");
    process.settles().await;
    assert!(process.shown().is_empty());
    process.clock_shows(today("11:00"));
    process.shows(&["Succeeded@11:00"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_schedule_whose_times_are_over_says_so() {
    let world = World::at(today("09:30"));
    world.fake.end_at_once();
    let process = world.boot(&[("s", schedule(json!({"when": "at(2026-06-01T10:00:00)"})))]);
    process.clock_shows(today("10:00"));
    process.shows(&["Succeeded@10:00"]).await;
    assert!(holds(|| process.scheduler.schedules()[0].status == ScheduleStatus::Over).await);
}

#[tokio::test(start_paused = true)]
async fn a_stop_leaves_runs_alone() {
    let (world, process) = at_half_past_nine(json!({})).await;
    process.clock_shows(today("10:00"));
    assert!(holds(|| process.runs.list().iter().any(|run| run.execution.is_some())).await);
    process.stop.cancel();
    process.settles().await;
    assert!(world.fake.stopped().is_empty());
    assert_eq!(process.shown(), ["Running@10:00"]);
}

/// Steps of a clock in minutes, forwards and back, and restarts between them.
fn journey(seed: u64) -> Vec<(i64, bool)> {
    let mut state = seed;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    (0..40).map(|_| (random(240) as i64 - 80, random(6) == 0)).collect()
}

#[tokio::test(start_paused = true)]
async fn no_time_is_begun_twice_on_any_journey_of_the_clock() {
    for seed in 0..6 {
        let missed = ["skip", "once", "all"][seed as usize % 3];
        let settings = json!({"missed": missed, "overlap": "queue"});
        let world = World::at(today("09:30"));
        world.fake.end_at_once();
        let mut process = world.boot(&[("s", hourly(settings.clone()))]);
        let mut now = today("09:30");
        for (minutes, restarts) in journey(seed) {
            now += minutes * 60_000_000;
            if restarts {
                process.settles().await;
                process.crash().await;
                world.clock.set(now);
                process = world.boot(&[("s", hourly(settings.clone()))]);
            }
            process.clock_shows(now);
            process.settles().await;
        }
        let begun = world.fake.begun();
        assert_eq!(world.fake.calls(), begun.len(), "seed {seed}: {begun:?}");
        assert!(missed == "skip" || !begun.is_empty(), "seed {seed}");
    }
}
