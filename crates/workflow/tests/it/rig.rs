//! An engine with a clock of its own, which goes on when nothing else does.

use crate::player::Player;
use bourn_event::{Clock, ManualClock};
use bourn_workflow::*;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// 2026-01-01T00:00:00Z
pub const BEGIN: i64 = 1_767_225_600_000_000;

pub struct Rig {
    pub workflows: Workflows,
    pub player: Arc<Player>,
    pub clock: Arc<ManualClock>,
    pub dir: TempDir,
}

pub fn options(dir: &std::path::Path, player: &Arc<Player>) -> Options {
    Options {
        dir: dir.to_path_buf(),
        region: "us-east-1".into(),
        account: "111111111111".into(),
        clock: player.clock.clone(),
        pace: Pace::Virtual,
        tasks: player.clone(),
        objects: player.clone(),
        express_log: Arc::new(NoExpressLog),
        fault: None,
    }
}

impl Rig {
    pub async fn new() -> Self {
        let dir = TempDir::new().expect("a folder");
        let clock = Arc::new(ManualClock::at(BEGIN));
        let player = Arc::new(Player::new(clock.clone()));
        let workflows = Workflows::open(options(dir.path(), &player)).await.expect("opens");
        Self { workflows, player, clock, dir }
    }

    /// Nothing is under way but what sleeps.
    fn is_idle(&self) -> bool {
        self.workflows.activeness().busy <= self.player.asleep() as u64
    }

    /// Lets everything happen that can; then lets time go on to what comes next. `false` if nothing does.
    pub async fn go_on(&self) -> bool {
        let mut quiet = 0;
        while quiet < 3 {
            tokio::time::sleep(Duration::from_micros(700)).await;
            quiet = if self.is_idle() { quiet + 1 } else { 0 };
        }
        let timer = self.workflows.activeness().next_timer;
        let next = [timer, self.player.next_wake()].into_iter().flatten().min();
        match next {
            Some(due) => self.clock.set(due.max(self.clock.now() + 1)),
            None => return false,
        }
        self.player.wake();
        true
    }

    /// Waits for the end of an execution.
    pub async fn ended(&self, arn: &str) -> ExecutionDescription {
        let mut step = 25_000_000;
        for _ in 0..400 {
            let now = self.workflows.wait(arn, Duration::from_millis(4)).await.expect("is there");
            if now.ended_at.is_some() {
                return now;
            }
            if !self.go_on().await {
                // What comes next may be further away than the engine looks.
                self.clock.advance(step);
                step = (step * 2).min(30 * 86_400 * 1_000_000);
            }
        }
        self.workflows.describe(arn).await.expect("is there")
    }
}
