//! What expressions see: the context object, the variables, and the outside world.

use super::{Execution, FrameId, Meta, Phase, Step};
use crate::data::Data;
use crate::token::Token;
use bourn_asl::{EvalError, Kind, Scope, State};
use bourn_event::Micros;
use chrono::DateTime;
use serde_json::{Map, Value, json};

/// A time as the context object writes it: `2026-01-31T02:00:00.123Z`.
pub fn rfc3339(at: Micros) -> String {
    DateTime::from_timestamp_micros(at)
        .unwrap_or_default()
        .to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

/// The parts of the context object that are the same for all of an execution.
pub fn base_context(meta: &Meta, redrive_count: u32) -> Value {
    let mut execution = Map::new();
    execution.insert("Id".into(), Value::String(meta.arn.clone()));
    execution.insert("Input".into(), meta.input.value().clone());
    execution.insert("Name".into(), Value::String(meta.name.clone()));
    execution.insert("RoleArn".into(), Value::String(meta.role_arn.clone()));
    execution.insert("StartTime".into(), Value::String(rfc3339(meta.started_at)));
    execution.insert("RedriveCount".into(), json!(redrive_count));
    let mut context = Map::new();
    context.insert("Execution".into(), Value::Object(execution));
    let mut machine = Map::new();
    machine.insert("Id".into(), Value::String(meta.machine_arn.clone()));
    machine.insert("Name".into(), Value::String(meta.machine_name.clone()));
    context.insert("StateMachine".into(), Value::Object(machine));
    Value::Object(context)
}

impl Execution {
    /// The context object as a frame sees it. The parts that are large are built once; the rest is set
    /// anew for every evaluation.
    pub(crate) fn set_context(&mut self, id: FrameId, state: &State) {
        if self.context.is_null() {
            self.context = base_context(&self.meta, self.head.redrive_count);
        }
        let can_retry = matches!(state.kind, Kind::Task(_) | Kind::Parallel(_) | Kind::Map(_));
        let token = self.token_of(id);
        let (item, retries) = (self.item_of(id), self.frames.get(&id).map_or(0, |f| f.retry_count()));
        let (Value::Object(context), Some(frame)) = (&mut self.context, self.frames.get(&id)) else { return };
        let mut state = Map::new();
        state.insert("EnteredTime".into(), Value::String(rfc3339(frame.entered_at)));
        state.insert("Name".into(), Value::String(frame.state.clone()));
        if can_retry {
            state.insert("RetryCount".into(), retries.into());
        }
        context.insert("State".into(), Value::Object(state));
        match item {
            Some((index, value)) => {
                context.insert("Map".into(), json!({"Item": {"Index": index, "Value": value}}))
            }
            None => context.remove("Map"),
        };
        match token {
            Some(token) => context.insert("Task".into(), json!({"Token": token})),
            None => context.remove("Task"),
        };
    }

    /// Shows the context object's `Map.Item` of an iteration that is about to begin.
    pub(crate) fn set_item(&mut self, index: u32, value: Value) {
        if let Value::Object(context) = &mut self.context {
            context.insert("Map".into(), json!({"Item": {"Index": index, "Value": value}}));
        }
    }

    /// Something in its large parts has changed.
    pub(crate) fn forget_context(&mut self) {
        self.context = Value::Null;
    }

    pub(crate) fn context(&self) -> &Value {
        &self.context
    }

    /// Index and value of the inline Map's item that a frame works on.
    fn item_of(&self, id: FrameId) -> Option<(u32, Value)> {
        let mut frame = self.frames.get(&id)?;
        loop {
            let parent = self.frames.get(&frame.parent?)?;
            if let (Phase::Map(_), Some(Value::Array(items))) =
                (&parent.phase, parent.items.as_ref().map(Data::value))
            {
                return Some((frame.index, items.get(frame.index as usize)?.clone()));
            }
            frame = parent;
        }
    }

    /// The token of the task that a frame waits for, if its resource has one.
    pub fn token_of(&self, id: FrameId) -> Option<String> {
        let task = self.frames.get(&id)?.task()?;
        let seq = self.meta.seq;
        Some(Token { seq, frame: id, attempt: task.attempt, secret: task.secret? }.encode())
    }
}

impl Step<'_> {
    /// Evaluates something of the state that a frame is in; `input` is what it takes for `$`, and the
    /// state's own if absent.
    pub(crate) fn eval<T>(
        &mut self,
        id: FrameId,
        state: &State,
        input: Option<&Value>,
        what: impl FnOnce(&State, &Scope<'_>) -> Result<T, EvalError>,
    ) -> Result<T, EvalError> {
        self.ex.set_context(id, state);
        let Some(frame) = self.ex.frames.get(&id) else {
            return Err(EvalError::runtime("The state is no longer there."));
        };
        let input = input.unwrap_or(frame.input.value());
        let scope = Scope::new(input, self.ex.context(), &frame.visible, &self.outside);
        what(state, &scope)
    }
}
