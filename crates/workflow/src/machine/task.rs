//! Tasks: scheduling, and everything that may come back.

use super::fail::Failure;
use super::*;
use crate::event::{EventKind, Field};
use bourn_asl::{Entered, Kind, MapState, State, TaskState};
use serde_json::{Value, json};

/// What belongs to a task while it is being set up.
struct Setup {
    parameters: Data,
    timeout_s: Option<u64>,
    heartbeat_s: Option<u64>,
    role: Option<String>,
}

impl Step<'_> {
    pub(super) fn start_task(&mut self, id: FrameId, state: &State, task: &TaskState) -> Result<(), Failure> {
        let resource = Resource::parse(&task.resource);
        let attempt = self.next_attempt();
        let secret = resource.has_token().then(|| self.random_bits());
        // The token is in the context object while the parameters are evaluated.
        self.frame(id).phase = Phase::Task(Box::new(TaskPhase::new(attempt, secret)));
        let setup = self.set_up(id, state, task)?;
        if let Resource::Activity(arn) = &resource
            && !(self.world.activity)(arn)
        {
            let error = bourn_asl::EvalError::runtime(format!("The activity {arn} does not exist."));
            return Err(self.evaluation(id, state, error));
        }
        self.record_scheduled(id, &resource, &setup);
        let counted = if matches!(resource, Resource::Activity(_)) { None } else { setup.heartbeat_s };
        let timeout = setup.timeout_s.map(|seconds| self.set_timer(id, seconds as f64));
        let heartbeat = counted.map(|seconds| self.set_timer(id, seconds as f64));
        self.frame(id).phase = Phase::Task(Box::new(TaskPhase {
            parameters: setup.parameters,
            timeout,
            timeout_s: setup.timeout_s,
            heartbeat,
            heartbeat_s: setup.heartbeat_s,
            ..TaskPhase::new(attempt, secret)
        }));
        match resource {
            Resource::Activity(activity) => self.act(Action::Offer { frame: id, attempt, activity }),
            _ => self.act(Action::Task { frame: id, attempt }),
        }
        Ok(())
    }

    fn next_attempt(&mut self) -> u32 {
        let attempt = self.ex.head.next_serial;
        self.ex.head.next_serial += 1;
        attempt
    }

    fn set_up(&mut self, id: FrameId, state: &State, task: &TaskState) -> Result<Setup, Failure> {
        let entered = self.enter(id, state)?;
        let input = Some(&entered.after_input_path);
        let mut seconds = |setting: Option<&bourn_asl::Setting>| match setting {
            Some(setting) => self
                .eval(id, state, input, |_, scope| setting.seconds(scope))
                .map(Some)
                .map_err(|error| self.evaluation(id, state, error)),
            None => Ok(None),
        };
        let timeout_s = seconds(task.timeout.as_ref())?;
        let heartbeat_s = seconds(task.heartbeat.as_ref())?;
        let role = match &task.credentials {
            Some(template) => {
                let credentials = self
                    .eval(id, state, input, |_, scope| template.eval("Credentials", scope))
                    .map_err(|error| self.evaluation(id, state, error))?;
                credentials.get("RoleArn").and_then(Value::as_str).map(str::to_owned)
            }
            None => None,
        };
        let parameters = Data::new(entered.after_parameters.unwrap_or(entered.after_input_path));
        Ok(Setup { parameters, timeout_s, heartbeat_s, role })
    }

    fn record_scheduled(&mut self, id: FrameId, resource: &Resource, setup: &Setup) {
        let mut fields = match resource {
            Resource::Service { service, call, .. } => vec![
                Field::ResourceType(service.clone()),
                Field::Resource(call.clone()),
                Field::Region(self.ex.meta.region.clone()),
                Field::Parameters(setup.parameters.clone()),
            ],
            Resource::Function(arn) | Resource::Activity(arn) => {
                vec![Field::Resource(arn.clone()), Field::Input(setup.parameters.clone())]
            }
        };
        fields.extend(setup.timeout_s.map(Field::TimeoutSeconds));
        fields.extend(setup.heartbeat_s.map(Field::HeartbeatSeconds));
        fields.extend(setup.role.clone().map(Field::CredentialsRole));
        let (scheduled, started) = match resource {
            Resource::Service { .. } => (EventKind::TaskScheduled, Some(EventKind::TaskStarted)),
            Resource::Function(_) => {
                (EventKind::LambdaFunctionScheduled, Some(EventKind::LambdaFunctionStarted))
            }
            Resource::Activity(_) => (EventKind::ActivityScheduled, None),
        };
        self.record_in(id, scheduled, || fields);
        if let Some(started) = started {
            self.record_in(id, started, || named(resource));
        }
    }

    pub(super) fn start_map_run(
        &mut self,
        id: FrameId,
        state: &State,
        map: &MapState,
        effective: Value,
        items: Option<Vec<Value>>,
        running_max: u32,
    ) -> Result<(), Failure> {
        let (count, percentage) = self.tolerated(id, state, map, &effective)?;
        let meta = self.ex.meta.clone();
        let prefix = meta.machine_arn.replacen(":stateMachine:", ":mapRun:", 1);
        let uuid = || bourn_asl::Outside::uuid(&self.outside);
        let label = map.label.clone().unwrap_or_else(uuid);
        let arn = format!("{prefix}/{label}:{}", uuid());
        self.record_in(id, EventKind::MapRunStarted, || vec![Field::MapRunArn(arn.clone())]);
        let attempt = self.next_attempt();
        let parameters = Data::new(json!({
            "mapRunArn": arn, "input": effective, "items": items, "maxConcurrency": running_max,
            "toleratedFailureCount": count, "toleratedFailurePercentage": percentage,
        }));
        self.frame(id).phase =
            Phase::Task(Box::new(TaskPhase { parameters, ..TaskPhase::new(attempt, None) }));
        self.act(Action::Task { frame: id, attempt });
        Ok(())
    }

    /// Goes on with a map run, behind the event of its execution's redrive: another try of the same run,
    /// so that nothing of the last try is taken for this one's.
    pub(super) fn redrive_map_run(&mut self, id: FrameId, task: TaskPhase, behind: u64) {
        let attempt = self.next_attempt();
        let mut parameters = task.parameters.into_value();
        let run = parameters.get("run").and_then(Value::as_u64).unwrap_or_else(|| u64::from(task.attempt));
        let count = parameters.get("redriveCount").and_then(Value::as_u64).unwrap_or(0) + 1;
        let arn = parameters.get("mapRunArn").and_then(Value::as_str).unwrap_or_default().to_owned();
        parameters["run"] = json!(run);
        parameters["redriveCount"] = json!(count);
        let event = self.record(behind, EventKind::MapRunRedriven, || {
            vec![Field::MapRunArn(arn), Field::RedriveCount(count)]
        });
        let frame = self.frame(id);
        frame.retries.clear();
        frame.last = event;
        let parameters = Data::new(parameters);
        frame.phase = Phase::Task(Box::new(TaskPhase { parameters, ..TaskPhase::new(attempt, None) }));
        self.act(Action::Task { frame: id, attempt });
    }

    /// The task that a frame waits for, if it is this try of it.
    fn awaited(&self, id: FrameId, attempt: u32) -> Option<&TaskPhase> {
        self.ex.frames.get(&id)?.task().filter(|task| task.attempt == attempt)
    }

    pub(super) fn submitted(&mut self, id: FrameId, attempt: u32, answer: Data) -> bool {
        let machine = self.ex.machine.clone();
        let (Some(task), Some(state)) = (self.awaited(id, attempt), self.ex.state_of(&machine, id)) else {
            return false;
        };
        if task.submitted.is_some() {
            return false;
        }
        let resource = resource_of(state);
        self.record_in(id, EventKind::TaskSubmitted, || {
            let mut fields = named(&resource);
            fields.push(Field::Output(answer.clone()));
            fields
        });
        if let Phase::Task(task) = &mut self.frame(id).phase {
            task.submitted = Some(answer);
        }
        true
    }

    pub(super) fn taken(&mut self, id: FrameId, attempt: u32, worker: Option<String>) -> bool {
        let Some(task) = self.awaited(id, attempt) else { return false };
        if task.taken {
            return false;
        }
        let heartbeat_s = task.heartbeat_s;
        self.record_in(id, EventKind::ActivityStarted, || {
            worker.map(Field::WorkerName).into_iter().collect()
        });
        let heartbeat = heartbeat_s.map(|seconds| self.set_timer(id, seconds as f64));
        if let Phase::Task(task) = &mut self.frame(id).phase {
            task.taken = true;
            task.heartbeat = heartbeat;
        }
        true
    }

    pub(super) fn heartbeat(&mut self, id: FrameId, attempt: u32) -> bool {
        let Some(task) = self.awaited(id, attempt) else { return false };
        let (old, Some(seconds)) = (task.heartbeat, task.heartbeat_s) else { return true };
        self.clear_timer(id, old);
        let heartbeat = Some(self.set_timer(id, seconds as f64));
        if let Phase::Task(task) = &mut self.frame(id).phase {
            task.heartbeat = heartbeat;
        }
        true
    }

    pub(super) fn succeeded(&mut self, id: FrameId, attempt: u32, output: Data) -> bool {
        let machine = self.ex.machine.clone();
        let (Some(_), Some(state)) = (self.awaited(id, attempt), self.ex.state_of(&machine, id)) else {
            return false;
        };
        let resource = resource_of(state);
        if output.exceeds(self.ex.meta.payload_bytes_max as usize) {
            let failure = Failure::too_large(&full_name(state));
            self.task_over(id, state, &resource, failure);
            return true;
        }
        self.release_task(id, false);
        let done = if matches!(state.kind, Kind::Map(_)) {
            let started = self.ex.frames.get(&id).map_or(0, |frame| frame.last);
            let event = self.record(started, EventKind::MapRunSucceeded, Vec::new);
            self.record(event, EventKind::MapStateSucceeded, Vec::new);
            self.nested_over(id, state, started, output.into_value())
        } else {
            let kind = match &resource {
                Resource::Service { .. } => EventKind::TaskSucceeded,
                Resource::Function(_) => EventKind::LambdaFunctionSucceeded,
                Resource::Activity(_) => EventKind::ActivitySucceeded,
            };
            self.record_in(id, kind, || {
                let mut fields = named(&resource);
                fields.push(Field::Output(output.clone()));
                fields
            });
            let entered = Entered { after_input_path: Value::Null, after_parameters: None };
            self.finish(id, state, &entered, output.into_value())
                .and_then(|finished| self.leave(id, state, finished, state.next.as_deref()))
        };
        match done {
            Ok(()) => self.ready.push_back(id),
            Err(failure) => self.fail(id, state, failure),
        }
        true
    }

    pub(super) fn task_failed(
        &mut self,
        id: FrameId,
        attempt: u32,
        error: Option<String>,
        cause: Option<String>,
    ) -> bool {
        let machine = self.ex.machine.clone();
        let (Some(_), Some(state)) = (self.awaited(id, attempt), self.ex.state_of(&machine, id)) else {
            return false;
        };
        self.task_over(id, state, &resource_of(state), Failure::said(error, cause));
        true
    }

    pub(super) fn task_timed_out(&mut self, id: FrameId, heartbeat: bool) {
        let machine = self.ex.machine.clone();
        let Some(state) = self.ex.state_of(&machine, id) else { return };
        let failure = Failure { heartbeat, ..Failure::said(Some("States.Timeout".into()), None) };
        self.task_over(id, state, &resource_of(state), failure);
    }

    /// A task has ended badly.
    fn task_over(&mut self, id: FrameId, state: &State, resource: &Resource, failure: Failure) {
        let timed_out = failure.error.as_deref() == Some("States.Timeout");
        self.release_task(id, timed_out);
        let kind = match (resource, timed_out) {
            _ if matches!(state.kind, Kind::Map(_)) => EventKind::MapRunFailed,
            (Resource::Service { .. }, true) => EventKind::TaskTimedOut,
            (Resource::Service { .. }, false) => EventKind::TaskFailed,
            (Resource::Function(_), true) => EventKind::LambdaFunctionTimedOut,
            (Resource::Function(_), false) => EventKind::LambdaFunctionFailed,
            (Resource::Activity(_), true) => EventKind::ActivityTimedOut,
            (Resource::Activity(_), false) => EventKind::ActivityFailed,
        };
        let is_map = matches!(state.kind, Kind::Map(_));
        self.record_in(id, kind, || {
            let mut fields = if is_map { Vec::new() } else { named(resource) };
            fields.extend(failure.error.clone().map(Field::Error));
            fields.extend(failure.cause.clone().map(Field::Cause));
            fields
        });
        self.fail(id, state, failure);
    }

    /// Lets go of a frame's task: its timers, its runner (if it may still be at work) and its offer.
    pub(super) fn release_task(&mut self, id: FrameId, cancel: bool) {
        let machine = self.ex.machine.clone();
        let Some(task) = self.ex.frames.get(&id).and_then(Frame::task).cloned() else { return };
        self.clear_timer(id, task.timeout);
        self.clear_timer(id, task.heartbeat);
        self.frame(id).phase = Phase::Cut;
        let Some(state) = self.ex.state_of(&machine, id) else { return };
        let attempt = task.attempt;
        if matches!(state.kind, Kind::Map(_)) {
            self.frame(id).phase = Phase::CutRun(Box::new(task.clone()));
        }
        match resource_of(state) {
            Resource::Activity(activity) if !task.taken => {
                self.act(Action::Withdraw { frame: id, attempt, activity });
            }
            Resource::Activity(_) => {}
            _ if cancel => self.act(Action::CancelTask { frame: id, attempt }),
            _ => {}
        }
    }
}

impl TaskPhase {
    pub fn new(attempt: u32, secret: Option<u64>) -> Self {
        Self {
            attempt,
            secret,
            parameters: Data::default(),
            submitted: None,
            taken: false,
            timeout: None,
            timeout_s: None,
            heartbeat: None,
            heartbeat_s: None,
        }
    }
}

/// What a state runs; a distributed Map runs a map run.
pub(super) fn resource_of(state: &State) -> Resource {
    match &state.kind {
        Kind::Task(task) => Resource::parse(&task.resource),
        _ => Resource::parse("bourn:mapRun"),
    }
}

/// How causes name what was run.
fn full_name(state: &State) -> String {
    match &state.kind {
        Kind::Task(task) => match Resource::parse(&task.resource) {
            Resource::Service { service, .. } => service,
            Resource::Function(arn) | Resource::Activity(arn) => arn,
        },
        _ => state.name.clone(),
    }
}

fn named(resource: &Resource) -> Vec<Field> {
    match resource {
        Resource::Service { service, call, .. } => {
            vec![Field::ResourceType(service.clone()), Field::Resource(call.clone())]
        }
        Resource::Function(_) | Resource::Activity(_) => Vec::new(),
    }
}
