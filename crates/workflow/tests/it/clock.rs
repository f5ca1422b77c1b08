//! Timers under a wall clock that is set, while the process runs and between two processes.

use crate::durable::{create, start};
use crate::player::Player;
use crate::rig::{BEGIN, options};
use bourn_event::{Clock, ManualClock};
use bourn_workflow::*;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

const HOUR: i64 = 3_600 * 1_000_000;

const PATIENCE: Duration = Duration::from_secs(60);

/// An engine whose wall clock the test sets, and whose time really passes.
struct Set {
    dir: TempDir,
    clock: Arc<ManualClock>,
    player: Arc<Player>,
}

impl Set {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at(BEGIN));
        let player = Arc::new(Player::new(clock.clone()));
        Self { dir: TempDir::new().expect("a folder"), clock, player }
    }

    async fn open(&self) -> Workflows {
        let options = Options { pace: Pace::Steady, ..options(self.dir.path(), &self.player) };
        Workflows::open(options).await.expect("opens")
    }
}

/// Begins a Wait of so many seconds.
async fn wait_seconds(workflows: &Workflows, name: &str, seconds: u64) -> String {
    let wait = json!({"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": seconds, "End": true}}});
    begin(workflows, name, &wait).await
}

/// Begins a Wait for a time of the wall clock.
async fn wait_until(workflows: &Workflows, name: &str, hour: u32) -> String {
    let until = format!("2026-01-01T{hour:02}:00:00Z");
    let wait = json!({"StartAt": "W", "States": {"W": {"Type": "Wait", "Timestamp": until, "End": true}}});
    begin(workflows, name, &wait).await
}

async fn begin(workflows: &Workflows, name: &str, definition: &serde_json::Value) -> String {
    let machine = create(workflows, name, definition).await;
    workflows.start(start(&machine, name, &json!({}))).await.expect("starts").arn
}

async fn succeeds(workflows: &Workflows, arn: &str) {
    let ended = workflows.wait(arn, PATIENCE).await.expect("is there");
    assert_eq!(ended.status, ExecutionStatus::Succeeded, "{arn}");
}

async fn waits(workflows: &Workflows, arn: &str) {
    let now = workflows.describe(arn).await.expect("is there");
    assert_eq!(now.status, ExecutionStatus::Running, "{arn}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_forward_fires_only_what_waits_for_its_time() {
    let set = Set::new();
    let workflows = set.open().await;
    let long = wait_seconds(&workflows, "long", 3_600).await;
    let noon = wait_until(&workflows, "noon", 12).await;
    let night = wait_until(&workflows, "night", 23).await;
    set.clock.advance(13 * HOUR);
    succeeds(&workflows, &noon).await;
    // Set after the jump, and over when a second has passed: by then the others were looked at.
    let short = wait_seconds(&workflows, "short", 1).await;
    succeeds(&workflows, &short).await;
    waits(&workflows, &long).await;
    waits(&workflows, &night).await;
    workflows.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_back_holds_no_timer_back() {
    let set = Set::new();
    let workflows = set.open().await;
    let before = wait_seconds(&workflows, "before", 1).await;
    let noon = wait_until(&workflows, "noon", 12).await;
    set.clock.advance(-24 * HOUR);
    let after = wait_seconds(&workflows, "after", 1).await;
    succeeds(&workflows, &before).await;
    succeeds(&workflows, &after).await;
    waits(&workflows, &noon).await;
    set.clock.advance(48 * HOUR);
    succeeds(&workflows, &noon).await;
    workflows.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_process_goes_on_by_the_wall_clock_less_what_it_was_set_by() {
    for jump in [24 * HOUR, -24 * HOUR] {
        let set = Set::new();
        let workflows = set.open().await;
        let before = wait_seconds(&workflows, "before", 3_600).await;
        set.clock.advance(jump);
        let after = wait_seconds(&workflows, "after", 7_200).await;
        workflows.close().await;
        drop(workflows);
        // Half an hour without a process: nothing is due.
        set.clock.advance(HOUR / 2);
        let workflows = set.open().await;
        let short = wait_seconds(&workflows, "short", 1).await;
        succeeds(&workflows, &short).await;
        waits(&workflows, &before).await;
        waits(&workflows, &after).await;
        workflows.close().await;
        drop(workflows);
        // An hour in all: the first is.
        set.clock.advance(HOUR / 2);
        let workflows = set.open().await;
        succeeds(&workflows, &before).await;
        waits(&workflows, &after).await;
        workflows.close().await;
        drop(workflows);
        set.clock.advance(HOUR);
        let workflows = set.open().await;
        succeeds(&workflows, &after).await;
        let ended = workflows.describe(&after).await.expect("is there");
        assert_eq!(ended.ended_at, Some(set.clock.now()), "what is shown is the wall clock");
        workflows.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn time_does_not_go_back_with_a_clock_that_was_lost() {
    let set = Set::new();
    let workflows = set.open().await;
    let short = wait_seconds(&workflows, "short", 2).await;
    let noon = wait_until(&workflows, "noon", 12).await;
    workflows.close().await;
    drop(workflows);
    // A machine without a clock of its own begins in the past, and is told the time later.
    set.clock.set(0);
    let workflows = set.open().await;
    succeeds(&workflows, &short).await;
    waits(&workflows, &noon).await;
    set.clock.set(BEGIN + 13 * HOUR);
    succeeds(&workflows, &noon).await;
    workflows.close().await;
}
