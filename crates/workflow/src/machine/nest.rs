//! Parallel and Map: frames within frames, and distributed Maps, whose children are executions.

use super::fail::Failure;
use super::*;
use crate::event::{EventKind, Field};
use bourn_asl::{Entered, EvalError, Kind, MapMode, MapState, ParallelState, QueryLanguage, State};
use serde_json::Value;

impl Step<'_> {
    pub(super) fn start_parallel(
        &mut self,
        id: FrameId,
        state: &State,
        parallel: &ParallelState,
    ) -> Result<(), Failure> {
        let entered = self.enter(id, state)?;
        let input = Data::new(entered.effective().clone());
        let started = self.record_in(id, EventKind::ParallelStateStarted, Vec::new);
        self.frame(id).phase = Phase::Parallel { open: parallel.branches.len() as u32 };
        for (index, branch) in parallel.branches.iter().enumerate() {
            let frame =
                Frame::new(Some(id), index as u32, branch.flow.start_at.clone(), input.clone(), started);
            let child = self.add_frame(frame);
            self.ready.push_back(child);
        }
        Ok(())
    }

    pub(super) fn start_map(&mut self, id: FrameId, state: &State, map: &MapState) -> Result<(), Failure> {
        let entered = self.enter(id, state)?;
        let effective = entered.effective().clone();
        let items = match (&map.items, &map.reader) {
            // With a reader, `ItemsPath` is for what is read.
            (_, Some(_)) => Vec::new(),
            (Some(setting), None) => self
                .eval(id, state, Some(&effective), |_, scope| setting.items(scope))
                .map_err(|error| self.evaluation(id, state, error))?,
            (None, None) => {
                whole_input(state, &effective).map_err(|error| self.evaluation(id, state, error))?
            }
        };
        let running_max = match &map.max_concurrency {
            Some(setting) => self
                .eval(id, state, Some(&effective), |_, scope| setting.count(scope))
                .map_err(|error| self.evaluation(id, state, error))?,
            None => 0,
        };
        let total = items.len() as u32;
        self.record_in(id, EventKind::MapStateStarted, || vec![Field::Length(u64::from(total))]);
        let running_max = u32::try_from(running_max).unwrap_or(u32::MAX);
        if map.mode == MapMode::Distributed {
            let items = map.reader.is_none().then_some(items);
            return self.start_map_run(id, state, map, effective, items, running_max);
        }
        let phase = MapPhase { total, next: 0, running: 0, running_max };
        let frame = self.frame(id);
        frame.phase = Phase::Map(phase);
        frame.items = Some(Data::new(Value::Array(items)));
        frame.items_changed = true;
        frame.effective = Some(Data::new(effective));
        let started = frame.last;
        if total == 0 {
            return self.map_over(id, state, started);
        }
        self.start_iterations(id, state, map, started)
    }

    /// `ToleratedFailureCount` and `ToleratedFailurePercentage`.
    pub(super) fn tolerated(
        &mut self,
        id: FrameId,
        state: &State,
        map: &MapState,
        effective: &Value,
    ) -> Result<(u64, f64), Failure> {
        let mut tolerated = (0, 0.0);
        if let Some(setting) = &map.tolerated_failure_count {
            tolerated.0 = self
                .eval(id, state, Some(effective), |_, scope| setting.count(scope))
                .map_err(|error| self.evaluation(id, state, error))?;
        }
        if let Some(setting) = &map.tolerated_failure_percentage {
            tolerated.1 = self
                .eval(id, state, Some(effective), |_, scope| setting.percentage(scope))
                .map_err(|error| self.evaluation(id, state, error))?;
        }
        Ok(tolerated)
    }

    /// Starts as many iterations as may run, each behind the event `after`.
    fn start_iterations(
        &mut self,
        id: FrameId,
        state: &State,
        map: &MapState,
        after: u64,
    ) -> Result<(), Failure> {
        loop {
            let Some(Frame { phase: Phase::Map(phase), .. }) = self.ex.frames.get(&id) else { return Ok(()) };
            let phase = *phase;
            let full = phase.running_max > 0 && phase.running >= phase.running_max;
            if phase.next >= phase.total || full {
                return Ok(());
            }
            let index = phase.next;
            self.frame(id).phase =
                Phase::Map(MapPhase { next: index + 1, running: phase.running + 1, ..phase });
            let input = self.iteration_input(id, state, map, index)?;
            let event = self.record(after, EventKind::MapIterationStarted, || iteration(state, index));
            let child = self.add_frame(Frame::new(Some(id), index, map.flow.start_at.clone(), input, event));
            self.ready.push_back(child);
        }
    }

    fn iteration_input(
        &mut self,
        id: FrameId,
        state: &State,
        map: &MapState,
        index: u32,
    ) -> Result<Data, Failure> {
        let Some(frame) = self.ex.frames.get(&id) else { return Ok(Data::default()) };
        let items = frame.items.clone().unwrap_or_default();
        let item = items.value().get(index as usize).cloned().unwrap_or(Value::Null);
        let Some(selector) = &map.item_selector else { return Ok(Data::new(item)) };
        let effective = match frame.effective.clone() {
            Some(effective) => effective,
            None => {
                let effective = Data::new(self.enter(id, state)?.effective().clone());
                self.frame(id).effective = Some(effective.clone());
                effective
            }
        };
        self.ex.set_context(id, state);
        self.ex.set_item(index, item);
        let Some(frame) = self.ex.frames.get(&id) else { return Ok(Data::default()) };
        let context = self.ex.context();
        let scope = bourn_asl::Scope::new(effective.value(), context, &frame.visible, &self.outside);
        let field = if map.legacy_iterator { "Parameters" } else { "ItemSelector" };
        let input = selector.eval(field, &scope).map_err(|error| self.evaluation(id, state, error))?;
        Ok(Data::new(input))
    }

    /// A branch or an iteration has ended well.
    pub(super) fn child_ended(&mut self, id: FrameId, child: FrameId) {
        let machine = self.ex.machine.clone();
        let Some(state) = self.ex.state_of(&machine, id) else { return };
        let Some(ended) = self.ex.frames.get(&child) else { return };
        let (last, index) = (ended.last, ended.index);
        let Some(frame) = self.ex.frames.get(&id) else { return };
        let done = match frame.phase.clone() {
            Phase::Parallel { open } => {
                self.frame(id).phase = Phase::Parallel { open: open.saturating_sub(1) };
                if open > 1 {
                    return;
                }
                self.parallel_over(id, state, last)
            }
            Phase::Map(phase) => {
                let event = self.record(last, EventKind::MapIterationSucceeded, || iteration(state, index));
                self.iteration_over(id, state, phase, last, event)
            }
            _ => return,
        };
        match done {
            Ok(()) => self.ready.push_back(id),
            Err(failure) => self.fail(id, state, failure),
        }
    }

    fn iteration_over(
        &mut self,
        id: FrameId,
        state: &State,
        phase: MapPhase,
        last: u64,
        event: u64,
    ) -> Result<(), Failure> {
        let running = phase.running.saturating_sub(1);
        self.frame(id).phase = Phase::Map(MapPhase { running, ..phase });
        if running == 0 && phase.next >= phase.total {
            return self.map_over(id, state, event);
        }
        match &state.kind {
            Kind::Map(map) => self.start_iterations(id, state, map, last),
            _ => Ok(()),
        }
    }

    fn parallel_over(&mut self, id: FrameId, state: &State, last: u64) -> Result<(), Failure> {
        self.record(last, EventKind::ParallelStateSucceeded, Vec::new);
        let result = self.collect(id);
        self.nested_over(id, state, last, result)
    }

    fn map_over(&mut self, id: FrameId, state: &State, last: u64) -> Result<(), Failure> {
        self.record(last, EventKind::MapStateSucceeded, Vec::new);
        let result = self.collect(id);
        self.nested_over(id, state, last, result)
    }

    /// Leaves a Parallel or Map with the outputs of its children.
    pub(super) fn nested_over(
        &mut self,
        id: FrameId,
        state: &State,
        last: u64,
        result: Value,
    ) -> Result<(), Failure> {
        self.frame(id).phase = Phase::Again;
        let entered = Entered { after_input_path: Value::Null, after_parameters: None };
        let finished = self.finish(id, state, &entered, result)?;
        self.leave_after(last, id, state, finished, state.next.as_deref())
    }

    /// Takes the outputs of a frame's children, in their order, and the children away.
    fn collect(&mut self, id: FrameId) -> Value {
        let mut children: Vec<(u32, FrameId)> =
            self.ex.children(id).map(|(child, frame)| (frame.index, child)).collect();
        children.sort_unstable();
        let outputs = children.into_iter().filter_map(|(_, child)| {
            let phase = self.ex.frames.get_mut(&child).map(|f| std::mem::replace(&mut f.phase, Phase::Cut));
            self.remove_frame(child);
            match phase {
                Some(Phase::Ended(output)) => Some(output.into_value()),
                _ => None,
            }
        });
        Value::Array(outputs.collect())
    }
}

impl Execution {
    /// The frames directly below a frame.
    pub fn children(&self, id: FrameId) -> impl Iterator<Item = (FrameId, &Frame)> {
        // Children have larger numbers than their parent.
        let below = self.frames.range(id + 1..);
        below.filter(move |(_, frame)| frame.parent == Some(id)).map(|(child, frame)| (*child, frame))
    }
}

pub(super) fn iteration(state: &State, index: u32) -> Vec<Field> {
    vec![Field::Name(state.name.clone()), Field::Index(u64::from(index))]
}

fn whole_input(state: &State, effective: &Value) -> Result<Vec<Value>, EvalError> {
    match (effective, state.query_language) {
        (Value::Array(items), _) => Ok(items.clone()),
        (other, QueryLanguage::Jsonata) => Err(EvalError {
            error: bourn_asl::errors::QUERY_EVALUATION_ERROR,
            cause: format!("Map state input must be an array but was: {other}"),
            location: None,
        }),
        (_, QueryLanguage::JsonPath) => Err(EvalError::runtime("Reference path \"$\" must point to array.")),
    }
}
