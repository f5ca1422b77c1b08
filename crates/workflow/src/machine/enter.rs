//! What each type of state does when it is entered, and how it is left.

use super::fail::Failure;
use super::step::exited_kind;
use super::*;
use crate::event::{EventKind, Field};
use bourn_asl::{Entered, Finished, Kind, Setting, State, WaitUntil};
use serde_json::Value;

impl Step<'_> {
    /// Does the state that a frame is in, as far as it goes.
    pub(super) fn run_state(&mut self, id: FrameId, state: &State) {
        let done = match &state.kind {
            Kind::Pass(pass) => self.pass(id, state, pass.result.as_ref()),
            Kind::Choice(_) => self.choice(id, state),
            Kind::Succeed => self.succeed(id, state),
            Kind::Wait(wait) => self.wait(id, state, &wait.until),
            Kind::Fail(fail) => self.fail_state(id, state, fail.error.as_ref(), fail.cause.as_ref()),
            Kind::Task(task) => self.start_task(id, state, task),
            Kind::Parallel(parallel) => self.start_parallel(id, state, parallel),
            Kind::Map(map) => self.start_map(id, state, map),
        };
        if let Err(failure) = done {
            self.fail(id, state, failure);
        }
    }

    fn pass(&mut self, id: FrameId, state: &State, result: Option<&Value>) -> Result<(), Failure> {
        let entered = self.enter(id, state)?;
        let result = result.cloned().unwrap_or_else(|| entered.effective().clone());
        let finished = self.finish(id, state, &entered, result)?;
        self.leave(id, state, finished, state.next.as_deref())
    }

    fn succeed(&mut self, id: FrameId, state: &State) -> Result<(), Failure> {
        let entered = self.enter(id, state)?;
        let finished = self.finish(id, state, &entered, entered.effective().clone())?;
        self.leave(id, state, finished, None)
    }

    fn choice(&mut self, id: FrameId, state: &State) -> Result<(), Failure> {
        let entered = self.enter(id, state)?;
        let chosen = self
            .eval(id, state, None, |state, scope| state.choose(scope, &entered))
            .map_err(|error| self.evaluation(id, state, error))?;
        self.leave(id, state, chosen.finished, Some(&chosen.next))
    }

    fn wait(&mut self, id: FrameId, state: &State, until: &WaitUntil) -> Result<(), Failure> {
        let entered = self.enter(id, state)?;
        let input = Some(entered.effective());
        let (due, wall) = match until {
            WaitUntil::Seconds(setting) => {
                let seconds = self
                    .eval(id, state, input, |_, scope| setting.seconds(scope))
                    .map_err(|error| self.late_evaluation(id, state, error))?;
                (self.now.steady.saturating_add_unsigned(seconds.saturating_mul(1_000_000)), false)
            }
            WaitUntil::Timestamp(setting) => {
                let due_ms = self
                    .eval(id, state, input, |_, scope| setting.timestamp_ms(scope))
                    .map_err(|error| self.late_evaluation(id, state, error))?;
                (due_ms.saturating_mul(1_000), true)
            }
        };
        if due <= if wall { self.now.wall } else { self.now.steady } {
            self.wait_over(id);
        } else {
            let timer = self.set_timer_at(id, due, wall);
            self.frame(id).phase = Phase::Waiting(timer);
        }
        Ok(())
    }

    /// A Wait has come to its end.
    pub(super) fn wait_over(&mut self, id: FrameId) {
        let machine = self.ex.machine.clone();
        let Some(state) = self.ex.state_of(&machine, id) else { return };
        self.frame(id).phase = Phase::Again;
        let left = self.enter(id, state).and_then(|entered| {
            let finished = self.finish(id, state, &entered, entered.effective().clone())?;
            self.leave(id, state, finished, state.next.as_deref())
        });
        match left {
            Ok(()) => self.ready.push_back(id),
            Err(failure) => self.fail(id, state, failure),
        }
    }

    fn fail_state(
        &mut self,
        id: FrameId,
        state: &State,
        error: Option<&Setting>,
        cause: Option<&Setting>,
    ) -> Result<(), Failure> {
        let entered = self.enter(id, state)?;
        let mut text = |setting: Option<&Setting>| match setting {
            Some(setting) => self
                .eval(id, state, Some(entered.effective()), |_, scope| setting.text_value(scope))
                .map(Some)
                .map_err(|error| self.evaluation(id, state, error)),
            None => Ok(None),
        };
        let (error, cause) = (text(error)?, text(cause)?);
        Err(Failure::said(error, cause))
    }

    pub(super) fn enter(&mut self, id: FrameId, state: &State) -> Result<Entered, Failure> {
        self.eval(id, state, None, |state, scope| state.enter(scope))
            .map_err(|error| self.evaluation(id, state, error))
    }

    pub(super) fn finish(
        &mut self,
        id: FrameId,
        state: &State,
        entered: &Entered,
        result: Value,
    ) -> Result<Finished, Failure> {
        self.eval(id, state, None, |state, scope| state.finish(scope, entered, result))
            .map_err(|error| self.evaluation(id, state, error))
    }

    /// Leaves the state, for the next one or for good.
    pub(super) fn leave(
        &mut self,
        id: FrameId,
        state: &State,
        finished: Finished,
        next: Option<&str>,
    ) -> Result<(), Failure> {
        let previous = self.ex.frames.get(&id).map_or(0, |frame| frame.last);
        self.leave_after(previous, id, state, finished, next)
    }

    /// The same, with the exit behind another event than the frame's last.
    pub(super) fn leave_after(
        &mut self,
        previous: u64,
        id: FrameId,
        state: &State,
        finished: Finished,
        next: Option<&str>,
    ) -> Result<(), Failure> {
        let output = Data::new(finished.output);
        if output.exceeds(self.ex.meta.payload_bytes_max as usize) {
            return Err(Failure::too_large(&state.name));
        }
        let assigned: Vec<(String, Data)> = finished
            .assigned
            .map(|map| map.into_iter().map(|(name, value)| (name, Data::new(value))).collect())
            .unwrap_or_default();
        let event = self.record(previous, exited_kind(state), || {
            let mut fields = vec![Field::Name(state.name.clone()), Field::Output(output.clone())];
            if !assigned.is_empty() {
                fields.push(Field::Assigned(assigned.clone()));
            }
            fields
        });
        let frame = self.frame(id);
        frame.last = event;
        frame.items = None;
        frame.effective = None;
        if !assigned.is_empty() {
            frame.assign(&assigned);
        }
        match next {
            Some(next) => {
                frame.state = next.to_owned();
                frame.input = output;
                frame.phase = Phase::Enter;
            }
            None => self.ended(id, output),
        }
        Ok(())
    }

    /// A frame has come to its end.
    fn ended(&mut self, id: FrameId, output: Data) {
        let Some(parent) = self.ex.frames.get(&id).and_then(|frame| frame.parent) else {
            return self.end_succeeded(output);
        };
        self.frame(id).phase = Phase::Ended(output);
        self.child_ended(parent, id);
    }

    fn end_succeeded(&mut self, output: Data) {
        self.record_in(ROOT, EventKind::ExecutionSucceeded, || vec![Field::Output(output.clone())]);
        self.end(ExecutionStatus::Succeeded, Some(output), None, None);
    }
}
