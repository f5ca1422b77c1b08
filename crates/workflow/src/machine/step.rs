//! One step: an input is applied, then every frame that can go on goes on.

use super::*;
use crate::event::{EventKind, Field};
use bourn_asl::{Flow, Kind, Outside, Seeded, State};
use std::collections::VecDeque;

/// A step under way.
pub struct Step<'a> {
    pub(super) ex: &'a mut Execution,
    pub(super) now: Now,
    pub(super) outside: Seeded,
    pub(super) ready: VecDeque<FrameId>,
    pub(super) world: &'a World<'a>,
    out: Stepped,
}

impl<'a> Step<'a> {
    pub(super) fn new(ex: &'a mut Execution, world: &'a World<'a>) -> Self {
        let now = world.now;
        let outside = Seeded::new(world.seed, now.wall.div_euclid(1_000));
        Self { ex, now, outside, ready: VecDeque::new(), world, out: Stepped::default() }
    }

    pub(super) fn run(mut self, input: Input) -> Stepped {
        self.out.ignored = !self.apply(input);
        while let Some(id) = self.ready.pop_front() {
            if !self.ex.is_open() {
                break;
            }
            if self.ex.head.next_event > self.ex.meta.events_max && !self.ex.meta.express {
                let cause = format!(
                    "The execution reached the maximum number of history events ({}).",
                    self.ex.meta.events_max
                );
                self.end_failed(ROOT, Some("States.Runtime".into()), Some(cause));
                break;
            }
            self.go_on(id);
        }
        self.out
    }

    /// Was it meant for what the execution waits for now?
    fn apply(&mut self, input: Input) -> bool {
        match input {
            Input::Start if self.ex.frames.is_empty() => self.start(),
            Input::Redrive if !self.ex.is_open() => self.redrive(),
            Input::Start | Input::Redrive => return false,
            _ if !self.ex.is_open() => return false,
            Input::Stop { error, cause } => self.stop(error, cause),
            Input::Submitted { frame, attempt, answer } => return self.submitted(frame, attempt, answer),
            Input::Succeeded { frame, attempt, output } => return self.succeeded(frame, attempt, output),
            Input::Failed { frame, attempt, error, cause } => {
                return self.task_failed(frame, attempt, error, cause);
            }
            Input::Taken { frame, attempt, worker } => return self.taken(frame, attempt, worker),
            Input::Heartbeat { frame, attempt } => return self.heartbeat(frame, attempt),
            Input::Timer { frame, serial } => return self.timer(frame, serial),
        }
        true
    }

    fn start(&mut self) {
        let mut fields = vec![Field::Input(self.ex.meta.input.clone())];
        fields.push(Field::RoleArn(self.ex.meta.role_arn.clone()));
        self.record(0, EventKind::ExecutionStarted, || fields);
        let machine = self.ex.machine.clone();
        if self.ex.meta.map_state.is_none()
            && let Some(seconds) = machine.timeout_seconds
        {
            self.ex.head.timeout = Some(self.set_timer(ROOT, seconds as f64));
        }
        let Some(flow) = root_flow(&machine, &self.ex.meta) else {
            self.end_failed(
                ROOT,
                Some("States.Runtime".into()),
                Some("The definition has no such Map.".into()),
            );
            return;
        };
        let input = self.ex.meta.input.clone();
        // The first event of a state that nothing came before has 0 as its previous one.
        let frame = Frame::new(None, 0, flow.start_at.clone(), input, 0);
        self.add_frame(frame);
        self.ready.push_back(ROOT);
    }

    fn timer(&mut self, id: FrameId, serial: u32) -> bool {
        if self.ex.head.timeout.is_some_and(|timer| timer.serial == serial) {
            self.ex.head.timeout = None;
            self.end_timed_out();
            return true;
        }
        let Some(frame) = self.ex.frames.get(&id) else { return false };
        match &frame.phase {
            Phase::Waiting(timer) if timer.serial == serial => self.wait_over(id),
            Phase::Retrying(timer) if timer.serial == serial => {
                self.frame(id).phase = Phase::Again;
                self.ready.push_back(id);
            }
            Phase::Task(task) => {
                let is = |timer: Option<TimerRef>| timer.is_some_and(|timer| timer.serial == serial);
                let (timeout, heartbeat) = (is(task.timeout), is(task.heartbeat));
                if !timeout && !heartbeat {
                    return false;
                }
                self.task_timed_out(id, heartbeat);
            }
            _ => return false,
        }
        true
    }

    /// Takes a frame from state to state until it waits or ends.
    fn go_on(&mut self, id: FrameId) {
        let machine = self.ex.machine.clone();
        while self.ex.is_open() && self.ex.head.next_event <= self.events_bound() {
            let Some(frame) = self.ex.frames.get(&id) else { return };
            let again = match frame.phase {
                Phase::Enter => false,
                Phase::Again => true,
                _ => return,
            };
            let name = frame.state.clone();
            let Some(state) = self.ex.flow_of(&machine, id).and_then(|flow| flow.state(&name)) else {
                let cause = format!("The definition has no state '{name}'.");
                return self.end_failed(id, Some("States.Runtime".into()), Some(cause));
            };
            if !again {
                self.entered(id, state);
            }
            self.run_state(id, state);
        }
        if self.ex.is_open() && self.ex.head.next_event > self.events_bound() {
            // The loop above `go_on` says what is the matter.
            self.ready.push_front(id);
        }
    }

    fn events_bound(&self) -> u64 {
        if self.ex.meta.express { u64::MAX } else { self.ex.meta.events_max }
    }

    fn entered(&mut self, id: FrameId, state: &State) {
        let now = self.now.wall;
        let frame = self.frame(id);
        frame.entered_at = now;
        frame.before = frame.last;
        frame.retries.clear();
        let (before, input) = (frame.before, frame.input.clone());
        let kind = entered_kind(state);
        let event = self.record(before, kind, || vec![Field::Name(state.name.clone()), Field::Input(input)]);
        let frame = self.frame(id);
        frame.entered = event;
        frame.last = event;
    }

    /// Writes an event down; gives its number.
    pub(super) fn record(
        &mut self,
        previous: u64,
        kind: EventKind,
        fields: impl FnOnce() -> Vec<Field>,
    ) -> u64 {
        let id = self.ex.head.next_event;
        self.ex.head.next_event += 1;
        if self.world.record {
            self.out.events.push(Event { id, previous, at: self.now.wall, kind, fields: fields() });
        }
        id
    }

    /// The same, as the next event of a frame.
    pub(super) fn record_in(
        &mut self,
        id: FrameId,
        kind: EventKind,
        fields: impl FnOnce() -> Vec<Field>,
    ) -> u64 {
        let previous = self.ex.frames.get(&id).map_or(0, |frame| frame.last);
        let event = self.record(previous, kind, fields);
        self.frame(id).last = event;
        event
    }

    pub(super) fn act(&mut self, action: Action) {
        self.out.actions.push(action);
    }

    pub(super) fn set_timer(&mut self, id: FrameId, seconds: f64) -> TimerRef {
        let due = self.now.steady.saturating_add((seconds * 1e6) as Micros);
        self.set_timer_at(id, due, false)
    }

    pub(super) fn set_timer_at(&mut self, id: FrameId, due: Micros, wall: bool) -> TimerRef {
        let timer = TimerRef { serial: self.ex.head.next_serial, due, wall };
        self.ex.head.next_serial += 1;
        self.act(Action::SetTimer { frame: id, timer });
        timer
    }

    pub(super) fn clear_timer(&mut self, id: FrameId, timer: Option<TimerRef>) {
        if let Some(timer) = timer {
            self.act(Action::ClearTimer { frame: id, timer });
        }
    }

    pub(super) fn random_bits(&self) -> u64 {
        (self.outside.random() * (1u64 << 53) as f64) as u64
    }

    pub(super) fn add_frame(&mut self, frame: Frame) -> FrameId {
        let id = self.ex.head.next_frame;
        self.ex.head.next_frame += 1;
        let above = frame.parent.and_then(|parent| self.ex.frames.get(&parent)).map(|p| p.visible.clone());
        self.ex.frames.insert(id, frame);
        self.frame(id).see(above);
        id
    }

    /// A frame that is there, to be changed.
    pub(super) fn frame(&mut self, id: FrameId) -> &mut Frame {
        self.ex.changed.insert(id);
        self.ex.removed.remove(&id);
        self.ex.frames.entry(id).or_insert_with(|| Frame::new(None, 0, String::new(), Data::default(), 0))
    }

    pub(super) fn remove_frame(&mut self, id: FrameId) {
        self.ex.changed.remove(&id);
        if let Some(frame) = self.ex.frames.remove(&id).filter(|frame| frame.stored) {
            let gone = Removed { in_flight: frame.in_flight, has_items: frame.has_items };
            self.ex.removed.insert(id, gone);
        }
    }
}

impl Execution {
    /// The states that a frame goes through.
    pub fn flow_of<'m>(&self, machine: &'m Machine, id: FrameId) -> Option<&'m Flow> {
        let frame = self.frames.get(&id)?;
        let Some(parent) = frame.parent else { return root_flow(machine, &self.meta) };
        match &self.state_of(machine, parent)?.kind {
            Kind::Parallel(parallel) => {
                parallel.branches.get(frame.index as usize).map(|branch| &branch.flow)
            }
            Kind::Map(map) => Some(&map.flow),
            _ => None,
        }
    }

    /// The state that a frame is in.
    pub fn state_of<'m>(&self, machine: &'m Machine, id: FrameId) -> Option<&'m State> {
        self.flow_of(machine, id)?.state(&self.frames.get(&id)?.state)
    }
}

fn root_flow<'m>(machine: &'m Machine, meta: &Meta) -> Option<&'m Flow> {
    let Some(name) = &meta.map_state else { return Some(&machine.flow) };
    match &machine.find_state(name)?.kind {
        Kind::Map(map) => Some(&map.flow),
        _ => None,
    }
}

fn entered_kind(state: &State) -> EventKind {
    match &state.kind {
        Kind::Task(_) => EventKind::TaskStateEntered,
        Kind::Pass(_) => EventKind::PassStateEntered,
        Kind::Choice(_) => EventKind::ChoiceStateEntered,
        Kind::Wait(_) => EventKind::WaitStateEntered,
        Kind::Succeed => EventKind::SucceedStateEntered,
        Kind::Fail(_) => EventKind::FailStateEntered,
        Kind::Parallel(_) => EventKind::ParallelStateEntered,
        Kind::Map(_) => EventKind::MapStateEntered,
    }
}

pub(super) fn exited_kind(state: &State) -> EventKind {
    match &state.kind {
        Kind::Task(_) => EventKind::TaskStateExited,
        Kind::Pass(_) | Kind::Fail(_) => EventKind::PassStateExited,
        Kind::Choice(_) => EventKind::ChoiceStateExited,
        Kind::Wait(_) => EventKind::WaitStateExited,
        Kind::Succeed => EventKind::SucceedStateExited,
        Kind::Parallel(_) => EventKind::ParallelStateExited,
        Kind::Map(_) => EventKind::MapStateExited,
    }
}
