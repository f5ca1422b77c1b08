//! Triggers: the feed of a stream and that of Bourn, and crashes between their steps.

use crate::fake::{Mood, World, holds};
use bourn_event::{Run, RunKind, RunStatus};
use bourn_schedule::{
    Ended, FeedError, Home, Launcher, OwnEvent, OwnTriggers, RejectMeter, Runs, StreamTrigger, Triggers,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

fn home() -> Home {
    Home { account: "000000000000".into(), region: "us-east-1".into() }
}

fn compile(triggers: Value) -> Arc<Triggers> {
    let triggers: BTreeMap<_, _> = serde_json::from_value(triggers).expect("triggers");
    Triggers::compile(&triggers, home()).unwrap_or_else(|faults| panic!("{faults:?}"))
}

fn late() -> Arc<Triggers> {
    compile(json!({
        "late": {
            "pattern": {"source": ["bourn.stream"], "detail-type": ["flights"], "detail": {"delay": [{"numeric": [">", 60]}]}},
            "run": {"workflow": "w"},
            "input": {"paths": {"d": "$.detail.delay"}, "template": {"delay": "<d>", "rule": "<aws.events.rule-name>"}},
        },
        "elsewhere": {"pattern": {"detail-type": ["orders"]}, "run": {"workflow": "w"}},
        "off": {"pattern": {"detail": {"delay": [{"exists": true}]}}, "run": {"workflow": "w"}, "enabled": false},
    }))
}

const BATCH: &[u8] = b"{\"delay\":10}\n{\"delay\":70}\n{\"delay\":80}\n";

/// A process: its runs, its launcher, its stop.
fn boot(world: &World) -> (Arc<Runs>, Arc<Launcher>, CancellationToken) {
    let (runs, stop) = (world.runs(), CancellationToken::new());
    let launcher = Launcher::new(world.fake.clone(), runs.clone(), world.clock.clone(), stop.clone());
    launcher.reattach();
    (runs, launcher, stop)
}

fn open(triggers: &Arc<Triggers>, launcher: &Arc<Launcher>) -> StreamTrigger {
    let opened = StreamTrigger::open("flights", 100, triggers.clone(), launcher.clone()).expect("state");
    opened.expect("a trigger concerns the stream")
}

#[tokio::test(start_paused = true)]
async fn events_that_match_begin_runs_with_the_transformed_input() {
    let world = World::at(5_000_000);
    let (runs, launcher, _) = boot(&world);
    let mut feed = open(&late(), &launcher);
    assert_eq!(feed.settled(), 100, "a new feed begins at the log's end");
    assert_eq!(feed.take(100, 1_000_000, BATCH).await.expect("taken"), 103);
    assert_eq!(world.fake.begun(), ["trigger/late/flights/101", "trigger/late/flights/102"]);
    assert_eq!(world.fake.inputs()[0], json!({"delay": 70, "rule": "late"}));
    let shown: Vec<_> = runs.list().into_iter().map(|run| (run.cause, run.status)).collect();
    assert_eq!(shown, vec![("trigger:late".to_owned(), RunStatus::Running); 2]);
    world.fake.end("trigger/late/flights/101", Ended::failed("no"));
    assert!(holds(|| runs.list().iter().any(|run| run.error.as_deref() == Some("no"))).await);
}

#[tokio::test(start_paused = true)]
async fn without_a_transformer_the_whole_event_is_the_input() {
    let world = World::at(0);
    let (_, launcher, _) = boot(&world);
    let mut feed = open(
        &compile(json!({"all": {"pattern": {"detail-type": ["flights"]}, "run": {"function": "f"}}})),
        &launcher,
    );
    feed.take(100, 1_500_000, b"{\"a\":1}\n").await.expect("taken");
    let mut input = world.fake.inputs().remove(0);
    let id = input.as_object_mut().expect("an object").remove("id").expect("an id");
    assert_eq!(id.as_str().map(str::len), Some(36));
    let expected = json!({
        "version": "0", "detail-type": "flights", "source": "bourn.stream", "account": "000000000000",
        "time": "1970-01-01T00:00:01.500000Z", "region": "us-east-1", "resources": [], "detail": {"a": 1},
    });
    assert_eq!(input, expected);
}

#[tokio::test(start_paused = true)]
async fn a_feed_goes_on_behind_what_is_settled() {
    let world = World::at(0);
    let (_, launcher, _) = boot(&world);
    open(&late(), &launcher).take(100, 1, BATCH).await.expect("taken");
    let (_, launcher, _) = boot(&world);
    let mut feed = open(&late(), &launcher);
    assert_eq!(feed.settled(), 103);
    // A batch that begins before the settled offset counts from there.
    feed.take(101, 1, b"{\"delay\":70}\n{\"delay\":80}\n{\"delay\":90}\n").await.expect("taken");
    assert_eq!(world.fake.begun().last().map(String::as_str), Some("trigger/late/flights/103"));
    assert_eq!(world.fake.begun().len(), 3);
    // A log that has lost a range goes on behind it.
    assert_eq!(feed.take(200, 1, b"{\"delay\":1}\n").await.expect("taken"), 201);
}

#[tokio::test(start_paused = true)]
async fn a_crash_never_loses_or_doubles_a_start() {
    for mood in [Mood::HangsBefore, Mood::HangsBehind] {
        let world = World::at(0);
        let (runs, launcher, _) = boot(&world);
        let mut feed = open(&late(), &launcher);
        world.fake.set_mood(mood);
        let task =
            tokio::spawn(async move { feed.take(100, 1, BATCH).await.map_err(|error| error.to_string()) });
        assert!(holds(|| world.fake.calls() == 2).await);
        task.abort();
        assert!(task.await.is_err());
        drop(runs);
        world.fake.set_mood(Mood::Well);
        let (runs, launcher, _) = boot(&world);
        let mut feed = open(&late(), &launcher);
        assert_eq!(feed.settled(), 100, "{mood:?}");
        feed.take(100, 1, BATCH).await.expect("taken");
        assert_eq!(world.fake.begun().len(), 2, "{mood:?}");
        assert_eq!(runs.list().len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn runs_that_were_begun_are_followed_after_a_restart() {
    let world = World::at(0);
    let (_, launcher, stop) = boot(&world);
    open(&late(), &launcher).take(100, 1, BATCH).await.expect("taken");
    stop.cancel();
    let (runs, ..) = boot(&world);
    world.fake.end_at_once();
    assert!(holds(|| runs.list().iter().all(|run| run.status == RunStatus::Succeeded)).await);
}

#[tokio::test(start_paused = true)]
async fn a_busy_target_keeps_the_event_and_a_refusal_settles_it() {
    let world = World::at(0);
    let (runs, launcher, _) = boot(&world);
    let mut feed = open(&late(), &launcher);
    world.fake.set_mood(Mood::Busy(9));
    assert_eq!(feed.take(100, 1, BATCH).await.expect("taken"), 103);
    assert_eq!((world.fake.begun().len(), world.fake.calls()), (2, 11));
    world.fake.set_mood(Mood::Refuses);
    assert_eq!(feed.take(103, 2, b"{\"delay\":99}\n").await.expect("taken"), 104);
    assert_eq!(runs.list()[0].status, RunStatus::Failed);
}

#[tokio::test(start_paused = true)]
async fn a_stop_settles_nothing_of_what_was_not_begun() {
    let world = World::at(0);
    let (_, launcher, stop) = boot(&world);
    let mut feed = open(&late(), &launcher);
    world.fake.set_mood(Mood::Busy(u32::MAX));
    let task = tokio::spawn(async move { feed.take(100, 1, BATCH).await });
    assert!(holds(|| world.fake.calls() >= 2).await);
    stop.cancel();
    assert!(matches!(task.await.expect("joined"), Err(FeedError::Closing(_))));
    let (_, launcher, _) = boot(&world);
    assert_eq!(open(&late(), &launcher).settled(), 100);
}

#[tokio::test(start_paused = true)]
async fn many_matches_begin_a_few_at_a_time_and_all() {
    let world = World::at(0);
    let (runs, launcher, _) = boot(&world);
    let mut feed = open(&late(), &launcher);
    let payload: String = (0..1_000).map(|_| "{\"delay\":99}\n").collect();
    assert_eq!(feed.take(100, 1, payload.as_bytes()).await.expect("taken"), 1_100);
    assert_eq!((world.fake.begun().len(), runs.list().len()), (1_000, 1_000));
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_triggers_has_no_feed_and_forgets_where_it_was() {
    let world = World::at(0);
    let (_, launcher, _) = boot(&world);
    open(&late(), &launcher).take(100, 1, BATCH).await.expect("taken");
    let none = compile(json!({"own": {"pattern": {"source": ["bourn"]}, "run": {"workflow": "w"}}}));
    assert!(StreamTrigger::open("flights", 500, none, launcher.clone()).expect("state").is_none());
    let feed = StreamTrigger::open("flights", 600, late(), launcher).expect("state").expect("a feed");
    assert_eq!(feed.settled(), 600);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_cannot_be_read_stops_nobody() {
    let world = World::at(0);
    let (_, launcher, _) = boot(&world);
    let mut feed = open(&late(), &launcher);
    let deep = "[".repeat(10_000);
    let payload = format!("{{\"delay\":{deep}\n{{\"delay\":70}}\n");
    assert_eq!(feed.take(100, 1, payload.as_bytes()).await.expect("taken"), 102);
    assert_eq!(world.fake.begun(), ["trigger/late/flights/101"]);
}

fn ended_run(cause: &str) -> Run {
    Run {
        id: format!("20260101-{cause}"),
        kind: RunKind::Workflow,
        name: "w".into(),
        stream: None,
        cause: cause.into(),
        scheduled_at: None,
        started_at: 1_000_000,
        ended_at: Some(3_500_000),
        status: RunStatus::Failed,
        rows: None,
        error: Some("no".into()),
        execution: None,
    }
}

#[tokio::test(start_paused = true)]
async fn own_events_begin_runs() {
    let world = World::at(7_000_000);
    let (_, launcher, _) = boot(&world);
    let target = json!({"workflow": "w"});
    let triggers = compile(json!({
        "big": {"pattern": {"detail-type": ["table committed"], "detail": {"rows": [{"numeric": [">=", 10]}]}}, "run": target},
        "file": {"pattern": {"source": ["bourn"], "detail": {"path": [{"suffix": ".csv"}]}}, "run": target},
        "failed": {"pattern": {"detail-type": ["run ended"], "detail": {"status": ["failed"]}}, "run": target},
        "rejects": {"pattern": {"detail-type": ["reject rate"], "detail": {"rate": [{"numeric": [">", 0.1]}]}}, "run": target},
    }));
    let (announcer, feed) = OwnTriggers::new(triggers, launcher, world.clock.clone());
    let commit = |rows| OwnEvent::TableCommitted {
        stream: "orders".into(),
        table: "silver.orders".into(),
        version: rows,
        rows,
        end_offset: 9,
    };
    let reject =
        |rejected| OwnEvent::RejectRate { stream: "orders".into(), received: 100, rejected, window_s: 60 };
    let file =
        OwnEvent::FileFinished { stream: "orders".into(), path: "in/a.csv".into(), events: 3, rejected: 0 };
    for event in [
        commit(9),
        commit(10),
        file,
        reject(10),
        reject(11),
        OwnEvent::RunEnded(Box::new(ended_run("schedule:s"))),
        // Of its own making: it does not set itself off.
        OwnEvent::RunEnded(Box::new(ended_run("trigger:failed"))),
        OwnEvent::RunEnded(Box::new(ended_run("trigger:big"))),
    ] {
        assert!(announcer.announce(event));
    }
    drop(announcer);
    feed.run(CancellationToken::new()).await;
    let names: Vec<String> =
        world.fake.begun().iter().filter_map(|id| id.split('/').nth(1).map(str::to_owned)).collect();
    assert_eq!(names, ["big", "file", "rejects", "failed", "failed"]);
    let input = &world.fake.inputs()[3];
    assert_eq!(input["detail"]["duration_ms"], json!(2_500));
    assert_eq!(input["time"], json!("1970-01-01T00:00:07Z"));
}

#[tokio::test(start_paused = true)]
async fn own_events_beyond_the_bound_are_let_go() {
    let world = World::at(0);
    let (_, launcher, _) = boot(&world);
    let (announcer, _feed) = OwnTriggers::new(late(), launcher, world.clock.clone());
    let event = || OwnEvent::FileFinished { stream: "s".into(), path: "p".into(), events: 0, rejected: 0 };
    let taken = (0..2_000).filter(|_| announcer.announce(event())).count();
    assert_eq!(taken, 1_024);
}

#[test]
fn rejects_are_told_of_by_the_minute() {
    let mut meter = RejectMeter::default();
    let second = 1_000_000;
    let mut look =
        |at: i64, received, rejected| meter.look(at * second, [("s".to_owned(), received, rejected)]);
    assert!(look(0, 1_000, 500).is_empty(), "what was before the start is no news");
    assert!(look(30, 1_100, 510).is_empty());
    let told = look(60, 1_200, 520);
    let expected = OwnEvent::RejectRate { stream: "s".into(), received: 200, rejected: 20, window_s: 60 };
    assert_eq!(told, [expected]);
    assert!(look(120, 1_300, 520).is_empty());
}

#[test]
fn faults_name_the_trigger_and_the_place() {
    let triggers = json!({
        "a": {"pattern": {"x": 1}, "run": {"workflow": "w"}, "enabled": false},
        "b": {"pattern": {"x": [1]}, "run": {"workflow": "w"}, "input": {"template": ["<y>"]}},
    });
    let triggers: BTreeMap<_, _> = serde_json::from_value(triggers).expect("triggers");
    let faults = Triggers::compile(&triggers, home()).expect_err("faults");
    let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert!(texts[0].starts_with("trigger `a`, pattern/x: must be a list"), "{texts:?}");
    assert!(texts[1].starts_with("trigger `b`, input/template/0: `<y>` is not known"), "{texts:?}");
    assert_eq!(texts.len(), 2);
}
