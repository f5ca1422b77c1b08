//! Failure: retried, caught, or handed up; and every way an execution ends.

use super::nest::iteration;
use super::*;
use crate::event::{EventKind, Field};
use bourn_asl::{Catcher, EvalError, Kind, State, errors};
use serde_json::{Map, Value};

/// Why a state failed.
#[derive(Clone, Debug, Default)]
pub struct Failure {
    pub error: Option<String>,
    pub cause: Option<String>,
    /// A heartbeat that did not come: it goes by two names.
    pub heartbeat: bool,
    /// An evaluation that the history tells of: where, and behind which event.
    pub(super) evaluated: Option<(Option<String>, u64)>,
}

impl Failure {
    pub fn said(error: Option<String>, cause: Option<String>) -> Self {
        Self { error, cause, ..Self::default() }
    }

    /// Its result is over the limit.
    pub fn too_large(what: &str) -> Self {
        let cause = format!(
            "The state/task '{what}' returned a result with a size exceeding the maximum number of bytes \
             service limit."
        );
        Self::said(Some(errors::DATA_LIMIT_EXCEEDED.into()), Some(cause))
    }

    fn is(&self, names: &[String]) -> bool {
        let error = self.error.as_deref().unwrap_or_default();
        let heartbeat = self.heartbeat && names.iter().any(|name| name == errors::HEARTBEAT_TIMEOUT);
        heartbeat || bourn_asl::takes(names, error)
    }

    /// `$states.errorOutput`. What has no name has no cause either; a missing cause alone is empty.
    fn output(&self) -> Value {
        let mut output = Map::new();
        let named = self.error.is_some();
        let cause = self.cause.clone().or_else(|| named.then(String::new));
        output.insert("Error".into(), self.error.clone().map_or(Value::Null, Value::String));
        output.insert("Cause".into(), cause.map_or(Value::Null, Value::String));
        Value::Object(output)
    }
}

impl Step<'_> {
    /// An evaluation failed before the state did anything: its event comes in the place of the entry.
    pub(super) fn evaluation(&self, id: FrameId, state: &State, error: EvalError) -> Failure {
        let behind = self
            .ex
            .frames
            .get(&id)
            .map_or(0, |frame| if frame.last == frame.entered { frame.before } else { frame.last });
        self.evaluation_behind(behind, id, state, error)
    }

    /// An evaluation failed after the state began.
    pub(super) fn late_evaluation(&self, id: FrameId, state: &State, error: EvalError) -> Failure {
        let behind = self.ex.frames.get(&id).map_or(0, |frame| frame.last);
        self.evaluation_behind(behind, id, state, error)
    }

    fn evaluation_behind(&self, behind: u64, id: FrameId, state: &State, error: EvalError) -> Failure {
        let entered = self.ex.frames.get(&id).map_or(0, |frame| frame.entered);
        let evaluated =
            (error.error == errors::QUERY_EVALUATION_ERROR).then(|| (error.location.clone(), behind));
        Failure {
            error: Some(error.error.to_owned()),
            cause: Some(error.cause_in(&state.name, entered)),
            heartbeat: false,
            evaluated,
        }
    }

    /// The state that a frame is in has failed.
    pub(super) fn fail(&mut self, id: FrameId, state: &State, mut failure: Failure) {
        self.record_evaluation(id, state, &mut failure);
        self.release_task(id, true);
        if self.retry(id, state, &failure) {
            return;
        }
        let nested = match &state.kind {
            Kind::Map(_) => Some(EventKind::MapStateFailed),
            Kind::Parallel(_) => Some(EventKind::ParallelStateFailed),
            _ => None,
        };
        if let Some(kind) = nested
            && failure.error.as_deref() != Some(errors::RUNTIME)
        {
            self.record_in(id, kind, Vec::new);
        }
        if let Some(catcher) = state.common.catch.iter().find(|catcher| failure.is(&catcher.error_equals)) {
            match self.catch(id, state, catcher, &failure) {
                Ok(()) => return self.ready.push_back(id),
                Err(next) => {
                    failure = next;
                    self.record_evaluation(id, state, &mut failure);
                }
            }
        }
        self.hand_up(id, state, failure);
    }

    fn record_evaluation(&mut self, id: FrameId, state: &State, failure: &mut Failure) {
        let Some((location, behind)) = failure.evaluated.take() else { return };
        let event = self.record(behind, EventKind::EvaluationFailed, || {
            let mut fields = vec![Field::State(state.name.clone())];
            fields.extend(failure.error.clone().map(Field::Error));
            fields.extend(failure.cause.clone().map(Field::Cause));
            fields.extend(location.map(Field::Location));
            fields
        });
        self.frame(id).last = event;
    }

    fn retry(&mut self, id: FrameId, state: &State, failure: &Failure) -> bool {
        let Some(index) = state.common.retry.iter().position(|retrier| failure.is(&retrier.error_equals))
        else {
            return false;
        };
        let Some(retrier) = state.common.retry.get(index) else { return false };
        let mut retries = self.ex.frames.get(&id).map(|frame| frame.retries.clone()).unwrap_or_default();
        retries.resize(state.common.retry.len().max(retries.len()), 0);
        let Some(used) = retries.get_mut(index) else { return false };
        if u64::from(*used) >= retrier.max_attempts {
            return false;
        }
        let delay_s = retrier.delay_seconds(u64::from(*used), bourn_asl::Outside::random(&self.outside));
        *used += 1;
        self.remove_below(id);
        let timer = self.set_timer(id, delay_s);
        let frame = self.frame(id);
        frame.retries = retries;
        frame.items = None;
        frame.effective = None;
        frame.phase = Phase::Retrying(timer);
        true
    }

    fn catch(
        &mut self,
        id: FrameId,
        state: &State,
        catcher: &Catcher,
        failure: &Failure,
    ) -> Result<(), Failure> {
        let finished = self
            .eval(id, state, None, |state, scope| state.catch(scope, catcher, failure.output()))
            .map_err(|error| self.late_evaluation(id, state, error))?;
        self.remove_below(id);
        self.leave(id, state, finished, Some(&catcher.next))
    }

    /// Nothing in the state takes the failure: it is its flow's.
    fn hand_up(&mut self, id: FrameId, state: &State, failure: Failure) {
        let keeps =
            |phase: &Phase| matches!(phase, Phase::Map(_) | Phase::Parallel { .. } | Phase::CutRun(_));
        if !frame_phase(self.ex, id).is_some_and(keeps) {
            self.frame(id).phase = Phase::Cut;
        }
        let Some((parent, index, last)) =
            self.ex.frames.get(&id).and_then(|frame| Some((frame.parent?, frame.index, frame.last)))
        else {
            return self.end_failed(id, failure.error, failure.cause);
        };
        let machine = self.ex.machine.clone();
        let Some(above) = self.ex.state_of(&machine, parent) else { return };
        if matches!(above.kind, Kind::Map(_)) {
            self.record(last, EventKind::MapIterationFailed, || iteration(above, index));
        }
        if let Some(kind) = aborted_kind(state) {
            self.record(last, kind, Vec::new);
        }
        self.cut_below(parent, Some(id), last);
        self.frame(parent).last = last;
        let failure = Failure { evaluated: None, ..failure };
        self.fail(parent, above, failure);
    }

    /// Stops everything below a frame but one child. What has ended keeps its output.
    fn cut_below(&mut self, id: FrameId, spared: Option<FrameId>, behind: u64) {
        let machine = self.ex.machine.clone();
        let children: Vec<FrameId> =
            self.ex.children(id).map(|(child, _)| child).filter(|child| Some(*child) != spared).collect();
        let above = self.ex.state_of(&machine, id);
        for child in children {
            let Some(frame) = self.ex.frames.get(&child) else { continue };
            if matches!(frame.phase, Phase::Ended(_) | Phase::Cut | Phase::CutRun(_)) {
                continue;
            }
            let index = frame.index;
            if let Some(above) = above.filter(|above| matches!(above.kind, Kind::Map(_))) {
                self.record(behind, EventKind::MapIterationAborted, || iteration(above, index));
            }
            let entered = !matches!(frame_phase(self.ex, child), Some(Phase::Enter));
            if let Some(kind) = self.ex.state_of(&machine, child).filter(|_| entered).and_then(aborted_kind) {
                self.record(behind, kind, Vec::new);
            }
            self.cut(child);
            self.cut_below(child, None, behind);
        }
    }

    /// Stops what a frame waits for.
    fn cut(&mut self, id: FrameId) {
        let Some(frame) = self.ex.frames.get(&id) else { return };
        match frame.phase.clone() {
            Phase::Task(_) => self.release_task(id, true),
            Phase::Waiting(timer) | Phase::Retrying(timer) => {
                self.clear_timer(id, Some(timer));
                self.frame(id).phase = Phase::Cut;
            }
            Phase::Again => self.frame(id).phase = Phase::Cut,
            Phase::Enter
            | Phase::Parallel { .. }
            | Phase::Map(_)
            | Phase::Ended(_)
            | Phase::Cut
            | Phase::CutRun(_) => {}
        }
    }

    fn remove_below(&mut self, id: FrameId) {
        let children: Vec<FrameId> = self.ex.children(id).map(|(child, _)| child).collect();
        for child in children {
            self.remove_below(child);
            self.remove_frame(child);
        }
    }

    pub(super) fn stop(&mut self, error: Option<String>, cause: Option<String>) {
        self.record(0, EventKind::ExecutionAborted, || failed_fields(&error, &cause));
        self.end(ExecutionStatus::Aborted, None, error, cause);
    }

    pub(super) fn end_timed_out(&mut self) {
        self.record(0, EventKind::ExecutionTimedOut, Vec::new);
        self.end(ExecutionStatus::TimedOut, None, None, None);
    }

    pub(super) fn end_failed(&mut self, id: FrameId, error: Option<String>, cause: Option<String>) {
        let last = self.ex.frames.get(&id).map_or(0, |frame| frame.last);
        self.record(last, EventKind::ExecutionFailed, || failed_fields(&error, &cause));
        self.end(ExecutionStatus::Failed, None, error, cause);
    }

    /// The execution has ended. A Standard one that did not succeed keeps its frames, for a redrive.
    pub(super) fn end(
        &mut self,
        status: ExecutionStatus,
        output: Option<Data>,
        error: Option<String>,
        cause: Option<String>,
    ) {
        let timer = self.ex.head.timeout.take();
        self.clear_timer(ROOT, timer);
        let frames: Vec<FrameId> = self.ex.frames.keys().copied().collect();
        for id in frames {
            self.cut(id);
            if status == ExecutionStatus::Succeeded || self.ex.meta.express {
                self.remove_frame(id);
            }
        }
        self.ex.head.status = status;
        self.act(Action::End(Outcome { ended_at: self.now.wall, output, error, cause }));
    }

    /// Goes on where it was cut off.
    pub(super) fn redrive(&mut self) {
        self.ex.head.status = ExecutionStatus::Running;
        self.ex.head.redrive_count += 1;
        self.ex.head.redriven_at = Some(self.now.wall);
        self.ex.forget_context();
        let count = u64::from(self.ex.head.redrive_count);
        let previous = self.ex.head.next_event - 1;
        let event = self.record(previous, EventKind::ExecutionRedriven, || vec![Field::RedriveCount(count)]);
        let machine = self.ex.machine.clone();
        if self.ex.meta.map_state.is_none()
            && let Some(seconds) = machine.timeout_seconds
        {
            self.ex.head.timeout = Some(self.set_timer(ROOT, seconds as f64));
        }
        let frames: Vec<FrameId> = self.ex.frames.keys().copied().collect();
        for id in frames {
            let frame = self.frame(id);
            match &frame.phase {
                Phase::Cut => {
                    frame.phase = Phase::Again;
                    frame.retries.clear();
                    frame.last = event;
                }
                Phase::CutRun(task) => {
                    let task = TaskPhase::clone(task);
                    self.redrive_map_run(id, task, event);
                    continue;
                }
                Phase::Enter => {}
                _ => continue,
            }
            self.ready.push_back(id);
        }
    }
}

fn frame_phase(ex: &Execution, id: FrameId) -> Option<&Phase> {
    ex.frames.get(&id).map(|frame| &frame.phase)
}

fn failed_fields(error: &Option<String>, cause: &Option<String>) -> Vec<Field> {
    let mut fields = Vec::new();
    fields.extend(error.clone().map(Field::Error));
    fields.extend(cause.clone().map(Field::Cause));
    fields
}

/// The event of a state that was cut off, for the types that have one.
fn aborted_kind(state: &State) -> Option<EventKind> {
    match &state.kind {
        Kind::Task(_) => Some(EventKind::TaskStateAborted),
        Kind::Wait(_) => Some(EventKind::WaitStateAborted),
        Kind::Parallel(_) => Some(EventKind::ParallelStateAborted),
        Kind::Map(_) => Some(EventKind::MapStateAborted),
        _ => None,
    }
}
