//! Event buses: what is kept, what is begun, and crashes between the steps.

use crate::fake::{Mood, World, holds};
use bourn_schedule::{BUS_WAITING_MAX, Bus, BusError, Home, Launcher, Runs, Triggers};
use bourn_state::{Durability, Key};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A process: its bus and runs, and the task that begins them.
struct Process {
    bus: Arc<Bus>,
    runs: Arc<Runs>,
    task: Option<JoinHandle<()>>,
}

impl Process {
    fn boot(world: &World) -> Self {
        let triggers: BTreeMap<_, _> = serde_json::from_value(json!({
            "paid": {"on": {"bus": "default"}, "pattern": {"detail": {"n": [{"numeric": [">", 0]}]}}, "run": {"workflow": "w"}},
            "all": {"pattern": {"source": ["till"]}, "run": {"workflow": "w"}},
            "own": {"on": "bourn", "pattern": {"source": ["till"]}, "run": {"workflow": "w"}},
            "orders": {"on": {"bus": "orders"}, "pattern": {"source": ["till"]}, "run": {"workflow": "w"}},
            "stream": {"on": {"stream": "orders"}, "pattern": {"source": ["till"]}, "run": {"workflow": "w"}},
        }))
        .expect("triggers");
        let home = Home { account: "000000000000".into(), region: "us-east-1".into() };
        let triggers = Triggers::compile(&triggers, home).expect("triggers");
        let runs = world.runs();
        let bus = Bus::open(&runs, world.clock.clone(), triggers).expect("the state");
        Self { bus, runs, task: None }
    }

    fn run(mut self, world: &World) -> Self {
        let stop = CancellationToken::new();
        let launcher =
            Launcher::new(world.fake.clone(), self.runs.clone(), world.clock.clone(), stop.clone());
        let bus = self.bus.clone();
        self.task = Some(tokio::spawn(async move { bus.run(&launcher, stop).await }));
        self
    }

    /// As `kill -9`.
    async fn crash(mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            let _ = task.await;
        }
    }
}

fn event(id: &str, source: &str, n: i64) -> Value {
    json!({"id": id, "source": source, "detail-type": "sold", "detail": {"n": n}, "time": "2026-01-01T00:00:00Z"})
}

#[tokio::test(start_paused = true)]
async fn events_begin_what_listens_to_their_bus() {
    let world = World::at(0);
    let process = Process::boot(&world).run(&world);
    let cases = [
        ("default", event("a", "till", 1), vec!["all", "paid"]),
        ("default", event("b", "other", 1), vec!["paid"]),
        ("default", event("c", "other", 0), vec![]),
        ("orders", event("d", "till", 1), vec!["orders"]),
        ("none", event("e", "till", 1), vec![]),
    ];
    for (bus, event, names) in cases {
        let id = event["id"].as_str().unwrap_or_default().to_owned();
        process.bus.put(bus, event).await.expect("taken");
        let begun = || -> Vec<String> {
            let of_event = format!("/bus/{id}");
            let begun = world.fake.begun().into_iter().filter(|begun| begun.ends_with(&of_event));
            let mut names: Vec<_> = begun.filter_map(|id| id.split('/').nth(1).map(str::to_owned)).collect();
            names.sort();
            names
        };
        assert!(holds(|| begun().len() == names.len()).await, "{id}: {:?}", begun());
        assert_eq!(begun(), names, "{id}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_begins_after_a_crash_and_once() {
    for mood in [Mood::HangsBefore, Mood::HangsBehind] {
        let world = World::at(5_000_000);
        // One crash before anything is begun, one in between.
        let process = Process::boot(&world);
        process.bus.put("default", event("a", "till", 0)).await.expect("taken");
        process.crash().await;
        world.fake.set_mood(mood);
        let process = Process::boot(&world).run(&world);
        assert!(holds(|| world.fake.calls() == 1).await);
        process.crash().await;
        world.fake.set_mood(Mood::Well);
        let process = Process::boot(&world).run(&world);
        assert!(holds(|| process.runs.list().len() == 1).await, "{mood:?}");
        assert_eq!(world.fake.begun(), ["trigger/all/bus/a"], "{mood:?}");
        // Put again by a Task that is done again, it is the same event: now, and after it was settled.
        process.bus.put("default", event("a", "till", 0)).await.expect("taken");
        process.crash().await;
        world.clock.set(9_000_000);
        let process = Process::boot(&world).run(&world);
        process.bus.put("default", event("a", "till", 0)).await.expect("taken");
        process.bus.put("default", event("z", "till", 0)).await.expect("taken");
        assert!(holds(|| world.fake.begun().len() == 2).await, "{mood:?}");
        assert_eq!(process.runs.list().len(), 2, "{mood:?}");
        process.crash().await;
    }
}

#[tokio::test(start_paused = true)]
async fn more_than_may_wait_are_refused_and_those_that_wait_begin() {
    let world = World::at(0);
    for n in 0..BUS_WAITING_MAX {
        let id = format!("e{n}");
        let kept = json!({"sequence": n, "bus": "default", "at": 0, "event": event(&id, "till", 0)});
        world.state.put(&Key::BusEvent { id }, &kept, Durability::Buffered).expect("the state");
    }
    world.fake.end_at_once();
    let process = Process::boot(&world);
    let refused = process.bus.put("default", event("more", "till", 0)).await;
    assert!(matches!(refused, Err(BusError::Full)), "{refused:?}");
    let process = process.run(&world);
    assert!(holds(|| world.fake.begun().len() == BUS_WAITING_MAX).await);
    process.bus.put("default", event("more", "till", 0)).await.expect("taken");
    assert!(holds(|| world.fake.begun().len() == BUS_WAITING_MAX + 1).await);
    process.crash().await;
}
