//! Properties of the machine and of what is stored of it: random small definitions, random orders of
//! events, and a process that ends after every step.

use super::changes::{collect, wants_runner};
use super::timers;
use crate::ExecutionStatus;
use crate::codec::decode;
use crate::data::Data;
use crate::event::Event;
use crate::machine::{
    Execution, Frame, FrameId, Head, Input, Meta, Now, Pattern, Phase, ROOT, Resource, TimerRef, World,
};
use crate::store::{self, Writes};
use bourn_asl::{Kind, Machine};
use bourn_state::Key;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const SEQ: u64 = 7;

/// No definition here takes more.
const STEPS_MAX: usize = 20_000;

const REDRIVES_MAX: u32 = 2;

/// A state of a random definition.
#[derive(Clone, Debug)]
enum Shape {
    Pass,
    /// Goes on, or to the end of its flow.
    Choice,
    Wait,
    /// Ends its flow.
    Fail,
    Task {
        suffix: &'static str,
        timeout: bool,
        net: Net,
    },
    Parallel {
        branches: Vec<Vec<Shape>>,
        net: Net,
    },
    Map {
        items: u8,
        at_once: u8,
        flow: Vec<Shape>,
        net: Net,
    },
}

/// What a state has for failures.
#[derive(Clone, Copy, Debug)]
struct Net {
    retry: bool,
    catch: bool,
}

fn net() -> impl Strategy<Value = Net> {
    (any::<bool>(), any::<bool>()).prop_map(|(retry, catch)| Net { retry, catch })
}

fn flow() -> impl Strategy<Value = Vec<Shape>> {
    let suffix = prop_oneof![3 => Just(""), 1 => Just(".sync"), 1 => Just(".waitForTaskToken")];
    let task = (suffix, any::<bool>(), net()).prop_map(|(suffix, timeout, net)| Shape::Task {
        suffix,
        timeout,
        net,
    });
    let leaf = prop_oneof![
        2 => Just(Shape::Pass),
        1 => Just(Shape::Choice),
        2 => Just(Shape::Wait),
        1 => Just(Shape::Fail),
        6 => task,
    ];
    let state = leaf.prop_recursive(2, 24, 3, |inner| {
        let flow = vec(inner.clone(), 0..3);
        let branches = vec(flow.clone(), 1..3);
        prop_oneof![
            3 => inner,
            1 => (branches, net()).prop_map(|(branches, net)| Shape::Parallel { branches, net }),
            1 => (0_u8..4, 0_u8..3, flow, net())
                .prop_map(|(items, at_once, flow, net)| Shape::Map { items, at_once, flow, net }),
        ]
    });
    vec(state, 1..4)
}

/// Writes a flow as a definition; each state has a name of its own, and the last is a Pass or a Fail.
fn render(flow: &[Shape], names: &mut u32) -> Value {
    let fails = flow.iter().position(|shape| matches!(shape, Shape::Fail));
    let flow = &flow[..fails.unwrap_or(flow.len())];
    let mut name = || {
        *names += 1;
        format!("S{names}")
    };
    let own: Vec<String> = (0..=flow.len()).map(|_| name()).collect();
    let (start, last) = (own[0].clone(), own[flow.len()].clone());
    let mut states = Map::new();
    for (index, shape) in flow.iter().enumerate() {
        let next = own[index + 1].clone();
        states.insert(own[index].clone(), state(shape, &next, &last, names));
    }
    states.insert(
        last,
        match fails {
            Some(_) => json!({"Type": "Fail", "Error": "E1"}),
            None => json!({"Type": "Pass", "End": true}),
        },
    );
    json!({"StartAt": start, "States": states})
}

fn state(shape: &Shape, next: &str, last: &str, names: &mut u32) -> Value {
    let (mut state, net) = match shape {
        Shape::Pass => {
            // A variable in each, of a name that no other scope has.
            let assign = json!({format!("v{next}.$"): "$.flip"});
            return json!({"Type": "Pass", "Assign": assign, "Next": next});
        }
        Shape::Choice => {
            let flips = json!({"Variable": "$.flip", "BooleanEquals": true, "Next": next});
            return json!({"Type": "Choice", "Choices": [flips], "Default": last});
        }
        Shape::Wait => return json!({"Type": "Wait", "Seconds": 5, "Next": next}),
        Shape::Fail => unreachable!("a flow is cut there"),
        Shape::Task { suffix, timeout, net } => {
            let mut parameters = json!({"in.$": "$.flip"});
            if *suffix == ".waitForTaskToken" {
                parameters["token.$"] = json!("$$.Task.Token");
            }
            let resource = format!("arn:aws:states:::bourn:ask{suffix}");
            let mut task = json!({"Type": "Task", "Resource": resource, "Parameters": parameters});
            if *timeout {
                task["TimeoutSeconds"] = json!(60);
                task["HeartbeatSeconds"] = json!(20);
            }
            (task, net)
        }
        Shape::Parallel { branches, net } => {
            let branches: Vec<Value> = branches.iter().map(|branch| render(branch, names)).collect();
            (json!({"Type": "Parallel", "Branches": branches}), net)
        }
        Shape::Map { items, at_once, flow, net } => {
            let items: Vec<u8> = (0..*items).collect();
            let map = json!({"Type": "Map", "ItemsPath": "$.items", "MaxConcurrency": at_once,
                "ItemSelector": {"items": items, "flip.$": "$.flip"},
                "ItemProcessor": render(flow, names)});
            (map, net)
        }
    };
    state["ResultPath"] = Value::Null;
    state["Next"] = json!(next);
    if net.retry {
        state["Retry"] = json!([{"ErrorEquals": ["E1"], "IntervalSeconds": 2, "MaxAttempts": 1}]);
    }
    if net.catch {
        state["Catch"] = json!([{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": last}]);
    }
    state
}

/// What is on disk.
#[derive(Clone, Debug, Default, PartialEq)]
struct Store(BTreeMap<Key, Vec<u8>>);

impl Store {
    fn apply(&mut self, writes: Writes) {
        for (key, value) in writes {
            let is_event = matches!(key, Key::WorkflowHistory { .. });
            let before = match value {
                Some(value) => self.0.insert(key, value),
                None => self.0.remove(&key),
            };
            assert!(!is_event || before.is_none(), "an event is written twice");
        }
    }

    /// As a process that begins reads it.
    fn restore(&self, ex: &Execution) -> Execution {
        let head: Head = decode(&self.0[&Key::WorkflowHead { execution: SEQ }]).expect("a head");
        let mut frames = BTreeMap::<FrameId, Frame>::new();
        for (key, value) in &self.0 {
            let Key::WorkflowFrame { frame, part, .. } = key else { continue };
            let id = *frame as FrameId;
            match (part, frames.get_mut(&id)) {
                (0, _) => drop(frames.insert(id, decode(value).expect("a frame"))),
                (_, Some(frame)) => frame.items = Some(decode::<Data>(value).expect("items")),
                (_, None) => panic!("items without a frame"),
            }
        }
        Execution::restore(ex.meta.clone(), ex.machine.clone(), head, frames)
    }

    fn tasks(&self) -> BTreeSet<FrameId> {
        let frames = self.0.keys().filter_map(|key| match key {
            Key::WorkflowInFlight { frame, .. } => Some(*frame as FrameId),
            _ => None,
        });
        frames.collect()
    }

    fn timers(&self) -> BTreeSet<Key> {
        self.0.keys().filter(|key| matches!(key, Key::WorkflowTimer { .. })).cloned().collect()
    }
}

/// What an execution waits for.
enum Awaited {
    Timer(FrameId, TimerRef),
    Task { frame: FrameId, attempt: u32, submits: bool },
}

fn awaited(ex: &Execution) -> Vec<Awaited> {
    let mut awaited: Vec<Awaited> =
        ex.head.timeout.map(|timer| Awaited::Timer(ROOT, timer)).into_iter().collect();
    for (id, frame) in &ex.frames {
        match &frame.phase {
            Phase::Waiting(timer) | Phase::Retrying(timer) => awaited.push(Awaited::Timer(*id, *timer)),
            Phase::Task(task) => {
                let timers = [task.timeout, task.heartbeat].into_iter().flatten();
                awaited.extend(timers.map(|timer| Awaited::Timer(*id, timer)));
                let kind = ex.state_of(&ex.machine, *id).map(|state| &state.kind);
                let Some(Kind::Task(state)) = kind else { panic!("a task in a state that is none") };
                let submits = Resource::parse(&state.resource).pattern() != Pattern::Answer;
                let submits = submits && task.submitted.is_none();
                awaited.push(Awaited::Task { frame: *id, attempt: task.attempt, submits });
            }
            _ => {}
        }
    }
    awaited
}

/// One of the things that can happen now.
fn next_input(ex: &Execution, dice: u32) -> Input {
    let awaited = awaited(ex);
    let outcome = dice / 101;
    match &awaited[dice as usize % awaited.len()] {
        Awaited::Timer(frame, timer) => Input::Timer { frame: *frame, serial: timer.serial },
        Awaited::Task { frame, attempt, submits } => {
            let (frame, attempt) = (*frame, *attempt);
            let failed = |error: &str| Input::Failed {
                frame,
                attempt,
                error: Some(error.into()),
                cause: Some("because".into()),
            };
            match outcome % 8 {
                0 => failed("E1"),
                1 => failed("E2"),
                2 if !submits => Input::Heartbeat { frame, attempt },
                _ if *submits => Input::Submitted { frame, attempt, answer: Data::new(json!({"job": dice})) },
                _ => Input::Succeeded { frame, attempt, output: Data::new(json!({"out": dice})) },
            }
        }
    }
}

/// Everything that came of one life of an execution.
#[derive(Debug, PartialEq)]
struct Life {
    inputs: Vec<Input>,
    events: Vec<Event>,
    store: Store,
    status: ExecutionStatus,
}

struct Player {
    ex: Execution,
    store: Store,
    inputs: Vec<Input>,
    events: Vec<Event>,
    /// Does the process end after every step?
    ends: bool,
}

impl Player {
    fn new(machine: &Arc<Machine>, ends: bool) -> Self {
        let meta = Meta {
            seq: SEQ,
            arn: "arn:aws:states:us-east-1:1:execution:m:e".into(),
            name: "e".into(),
            machine_arn: "arn:aws:states:us-east-1:1:stateMachine:m".into(),
            machine_name: "m".into(),
            role_arn: String::new(),
            region: "us-east-1".into(),
            started_at: 0,
            input: Data::new(json!({"items": [1, 2, 3], "flip": true})),
            express: false,
            events_max: 1_000_000,
            payload_bytes_max: 1 << 18,
            revision: "r".into(),
            map_state: None,
            map_run: None,
            trace: None,
        };
        Self {
            ex: Execution::new(Arc::new(meta), machine.clone()),
            store: Store::default(),
            inputs: Vec::new(),
            events: Vec::new(),
            ends,
        }
    }

    /// Gives an input; was it taken?
    fn give(&mut self, input: Input) -> bool {
        let at = self.inputs.len() as i64 * 1_000_000;
        let (now, seed) = (Now { wall: at, steady: at }, self.inputs.len() as u64);
        let mut writes = Writes::new();
        if let Input::Timer { serial, .. } = input {
            let set = awaited(&self.ex).into_iter().find_map(|awaited| match awaited {
                Awaited::Timer(frame, timer) if timer.serial == serial => Some((frame, timer)),
                _ => None,
            });
            // As the worker does when a timer fires.
            writes.extend(set.map(|(frame, timer)| (timers::key(SEQ, frame, timer), None)));
        }
        let world = World { now, seed, record: true, activity: &|_| false };
        let stepped = self.ex.step(input.clone(), &world);
        self.inputs.push(input);
        if stepped.ignored {
            assert!(stepped.events.is_empty() && stepped.actions.is_empty(), "a stale input did something");
            return false;
        }
        self.events.extend(stepped.events.iter().cloned());
        collect(&mut self.ex, stepped, &mut writes, &mut Vec::new()).expect("is encoded");
        self.store.apply(writes);
        if self.ends {
            self.ex = self.store.restore(&self.ex);
        }
        true
    }

    /// It waits for something that is named on disk, or has ended and waits for nothing.
    fn check(&self) {
        let is_open = self.ex.is_open();
        let awaited = awaited(&self.ex);
        assert_eq!(is_open, !awaited.is_empty(), "an execution waits if, and only if, it is open");
        let timers = awaited.iter().filter_map(|awaited| match awaited {
            Awaited::Timer(frame, timer) => Some(timers::key(SEQ, *frame, *timer)),
            Awaited::Task { .. } => None,
        });
        assert_eq!(self.store.timers(), timers.collect(), "timers on disk are those that are awaited");
        let tasks = self.ex.frames.keys().copied().filter(|id| wants_runner(&self.ex, *id));
        assert_eq!(self.store.tasks(), tasks.collect(), "tasks on disk are those that are awaited");
        for frame in self.ex.frames.values().filter(|_| is_open) {
            let settled = !matches!(frame.phase, Phase::Enter | Phase::Again | Phase::Cut | Phase::CutRun(_));
            assert!(settled, "after a step no frame is ready, and none of an open execution is cut off");
        }
    }

    fn end(self) -> Life {
        Life { inputs: self.inputs, events: self.events, store: self.store, status: self.ex.head.status }
    }
}

/// Lives once, by the dice.
fn live(machine: &Arc<Machine>, dice: &[u32]) -> Life {
    let mut player = Player::new(machine, false);
    assert!(player.give(Input::Start));
    player.check();
    let mut dice = dice.iter().cycle().enumerate().map(|(turn, dice)| dice.rotate_left(turn as u32 / 64));
    for _ in 0..STEPS_MAX {
        let thrown = dice.next().unwrap_or_default();
        if !player.ex.is_open() {
            let head = &player.ex.head;
            if head.status == ExecutionStatus::Succeeded || head.redrive_count == REDRIVES_MAX {
                return player.end();
            }
            assert!(player.give(Input::Redrive), "what did not succeed is driven again");
        } else if thrown % 11 == 0 {
            // What came once comes again.
            let again = player.inputs[thrown as usize / 11 % player.inputs.len()].clone();
            let is_beat = matches!(again, Input::Heartbeat { .. });
            let is_redrive = matches!(again, Input::Redrive);
            assert!(is_beat || is_redrive || !player.give(again), "an input is taken twice");
        } else {
            let input = next_input(&player.ex, thrown);
            assert!(player.give(input), "what is awaited is taken");
        }
        player.check();
    }
    panic!("it does not end");
}

/// Lives once more, with the same inputs.
fn live_again(machine: &Arc<Machine>, inputs: &[Input], ends: bool) -> Life {
    let mut player = Player::new(machine, ends);
    for input in inputs {
        player.give(input.clone());
        player.check();
    }
    player.end()
}

/// Numbers without a gap, each behind an earlier one; no state is left more often than it was entered.
fn check_history(life: &Life) {
    let mut open = BTreeMap::<String, i64>::new();
    for (index, event) in life.events.iter().enumerate() {
        assert_eq!(event.id, index as u64 + 1, "a number is missing");
        assert!(event.previous < event.id);
        let shown = event.to_api(false);
        let name = shown.details.as_ref().and_then(|(_, details)| details["name"].as_str());
        let change = match shown.kind {
            kind if kind.ends_with("StateEntered") => 1,
            kind if kind.ends_with("StateExited") => -1,
            _ => continue,
        };
        let count = open.entry(name.unwrap_or_default().to_owned()).or_default();
        *count += change;
        assert!(*count >= 0, "{name:?} was left twice");
    }
    let last = life.events.last().map(|event| event.to_api(false).kind);
    let expected = match life.status {
        ExecutionStatus::Succeeded => "ExecutionSucceeded",
        ExecutionStatus::TimedOut => "ExecutionTimedOut",
        _ => "ExecutionFailed",
    };
    assert_eq!(last, Some(expected));
}

proptest! {
    #[test]
    fn every_execution_ends_and_lives_again_the_same(
        flow in flow(),
        timeout in any::<bool>(),
        dice in vec(any::<u32>(), 64),
    ) {
        let mut definition = render(&flow, &mut 0);
        if timeout {
            definition["TimeoutSeconds"] = json!(1_000);
        }
        let machine = Machine::parse(&definition.to_string());
        let machine = Arc::new(machine.unwrap_or_else(|faults| panic!("{definition}: {faults:?}")));
        let life = live(&machine, &dice);
        check_history(&life);
        prop_assert_eq!(&live_again(&machine, &life.inputs, false), &life);
        prop_assert_eq!(&live_again(&machine, &life.inputs, true), &life);
    }
}

#[test]
fn the_revision_is_found_in_front_of_what_is_stored() {
    let machine = Machine::parse(r#"{"StartAt": "P", "States": {"P": {"Type": "Pass", "End": true}}}"#);
    let meta = Player::new(&Arc::new(machine.expect("a machine")), false).ex.meta;
    let stored = crate::codec::encode(&*meta).expect("is encoded");
    assert_eq!(store::revision_of(&stored).as_deref(), Ok("r"));
}
