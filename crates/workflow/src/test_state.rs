//! `TestState`: one state by itself, with what it does to its input and output.
//!
//! Follows the Step Functions API reference. What a Task, Map or Parallel would run is mocked, or, for a
//! Task without a mock, really done.

mod check;

use crate::api::*;
use crate::machine::{Pattern, Resource, rfc3339};
use crate::{ErrorKind, WorkflowError, Workflows};
use bourn_asl::{
    Entered, EvalError, Finished, Kind, Machine, MapMode, MapState, QueryLanguage, Scope, Seeded, State,
    Variables, errors,
};
use bourn_event::{TaskFailure, TaskRequest};
use serde_json::{Map, Value, json};

/// The name of a state that has none of its own.
const STATE_NAME: &str = "StateName";

fn refused(message: impl Into<String>) -> WorkflowError {
    WorkflowError::new(ErrorKind::ValidationException, message)
}

/// How a state came out, before it is put into words.
enum End {
    Left { finished: Finished, next: Option<String> },
    Failed { error: Option<String>, cause: Option<String> },
}

struct Trial<'a> {
    state: &'a State,
    input: Value,
    context: Value,
    variables: Variables,
    outside: Seeded,
    request: &'a TestState,
    shown: Map<String, Value>,
}

impl Workflows {
    /// Runs one state by itself.
    pub async fn test_state(&self, request: TestState) -> Result<TestedState, WorkflowError> {
        check::mock(&request)?;
        let invalid = |faults: Vec<bourn_asl::Diagnostic>| {
            let message = bourn_asl::Diagnostic::invalid_definition(&faults);
            WorkflowError::new(ErrorKind::InvalidDefinition, message)
        };
        let state = match &request.state_name {
            Some(name) => {
                let machine = Machine::parse(&request.definition).map_err(invalid)?;
                let found = machine.find_state(name).cloned();
                found.ok_or_else(|| refused("State not found in definition"))?
            }
            None => Machine::parse_state(STATE_NAME, &request.definition).map_err(invalid)?,
        };
        check::mock_fits(&request, &state)?;
        let json = |text: &Option<String>, what: &str| match text {
            Some(text) => serde_json::from_str::<Value>(text)
                .map_err(|error| refused(format!("{what} is not valid JSON: {error}"))),
            None => Ok(json!({})),
        };
        let input = json(&request.input, "Input")?;
        let Value::Object(variables) = json(&request.variables, "Variables")? else {
            return Err(refused("Variables must be a JSON object"));
        };
        let given = match &request.context {
            Some(_) => Some(json(&request.context, "Context")?),
            None => None,
        };
        check::context(given.as_ref(), &state)?;
        let now_ms = self.engine.now().wall.div_euclid(1_000);
        let context = self.test_context(&request, &state, &input, given);
        let outside = Seeded::new(uuid::Uuid::new_v4().as_u64_pair().0, now_ms);
        let shown = Map::from_iter([("input".to_owned(), input.clone())]);
        check::mock_counts(&request, &state)?;
        let mut trial = Trial { state: &state, input, context, variables, outside, request: &request, shown };
        let end = self.try_state(&mut trial).await;
        Ok(trial.told(end))
    }

    fn test_context(&self, request: &TestState, state: &State, input: &Value, given: Option<Value>) -> Value {
        let (now, options) = (self.engine.now().wall, &self.engine.options);
        let (name, machine) = (uuid::Uuid::new_v4().to_string(), uuid::Uuid::new_v4().to_string());
        let prefix = format!("arn:aws:states:{}:{}", options.region, options.account);
        let mut context = json!({
            "Execution": {
                "Id": format!("{prefix}:express:{machine}:{name}"), "Input": input, "Name": name,
                "RoleArn": request.role_arn, "StartTime": rfc3339(now),
            },
            "StateMachine": {"Id": format!("{prefix}:stateMachine:{machine}"), "Name": machine},
            "State": {"Name": state.name, "EnteredTime": rfc3339(now), "RetryCount": 0},
        });
        if let (Some(Value::Object(given)), Value::Object(context)) = (given, &mut context) {
            for (key, value) in given {
                match (context.get_mut(&key), value) {
                    (Some(Value::Object(ours)), Value::Object(theirs)) => ours.extend(theirs),
                    (_, value) => drop(context.insert(key, value)),
                }
            }
        }
        context
    }

    async fn try_state(&self, trial: &mut Trial<'_>) -> End {
        let entered = match trial.entered() {
            Ok(entered) => entered,
            Err(error) => return trial.evaluation(error),
        };
        let done = match &trial.state.kind {
            Kind::Task(task) => {
                let answer = match trial.mocked() {
                    Some(answer) => answer,
                    None => self.really(&task.resource, &entered).await,
                };
                trial.answered(&entered, answer)
            }
            Kind::Map(map) => trial.map(map, &entered),
            Kind::Parallel(_) => {
                let answer = trial.mocked().unwrap_or_else(|| {
                    Err(TaskFailure::new(errors::RUNTIME, "A Parallel state needs a mock to be tested"))
                });
                trial.answered(&entered, answer)
            }
            _ => trial.simple(&entered),
        };
        done.unwrap_or_else(|error| trial.evaluation(error))
    }

    async fn really(&self, resource: &str, entered: &Entered) -> Result<Value, TaskFailure> {
        let base = match Resource::parse(resource) {
            Resource::Service { base, pattern: Pattern::Answer, .. } => base,
            Resource::Function(arn) => arn,
            _ => {
                return Err(TaskFailure::new(
                    errors::RUNTIME,
                    "A Task of this kind needs a mock to be tested",
                ));
            }
        };
        let request = TaskRequest {
            resource: base,
            parameters: entered.effective().clone(),
            id: uuid::Uuid::new_v4().to_string(),
            execution: String::new(),
        };
        self.engine.options.tasks.submit(&request).await
    }
}

impl Trial<'_> {
    fn is_jsonata(&self) -> bool {
        self.state.query_language == QueryLanguage::Jsonata
    }

    fn show(&mut self, key: &str, value: &Value) {
        self.shown.insert(key.to_owned(), value.clone());
    }

    fn eval<T>(
        &self,
        input: &Value,
        what: impl FnOnce(&State, &Scope<'_>) -> Result<T, EvalError>,
    ) -> Result<T, EvalError> {
        what(self.state, &Scope::new(input, &self.context, &self.variables, &self.outside))
    }

    fn setting(&self, key: &str) -> Option<&Value> {
        self.request.configuration.as_ref()?.get(key).filter(|value| !value.is_null())
    }

    fn entered(&mut self) -> Result<Entered, EvalError> {
        let entered = self.eval(&self.input, |state, scope| state.enter(scope))?;
        let kind = &self.state.kind;
        if self.is_jsonata() {
            if let (Some(arguments), Kind::Task(_)) = (&entered.after_parameters, kind) {
                self.show("afterArguments", arguments);
            }
        } else if !matches!(kind, Kind::Parallel(_)) && !is_fixed(kind) {
            self.show("afterInputPath", &entered.after_input_path);
            if matches!(kind, Kind::Task(_) | Kind::Pass(_)) {
                self.show("afterParameters", entered.effective());
            }
        }
        Ok(entered)
    }

    /// What the mock says.
    fn mocked(&mut self) -> Option<Result<Value, TaskFailure>> {
        let mock = self.request.mock.as_ref()?;
        if let Some((error, cause)) = &mock.error_output {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            return Some(Err(TaskFailure::new(text(error), text(cause))));
        }
        let result = mock.result.as_deref()?;
        Some(Ok(serde_json::from_str(result).unwrap_or_else(|_| Value::String(result.to_owned()))))
    }

    fn answered(&mut self, entered: &Entered, answer: Result<Value, TaskFailure>) -> Result<End, EvalError> {
        match answer {
            Ok(result) => {
                if matches!(self.state.kind, Kind::Task(_)) {
                    self.show("result", &result);
                }
                let finished = self.finished(entered, result)?;
                Ok(End::Left { finished, next: self.state.next.clone() })
            }
            Err(TaskFailure { error, cause }) => {
                let some = |text: String| (!text.is_empty()).then_some(text);
                Ok(End::Failed { error: some(error), cause: some(cause) })
            }
        }
    }

    fn finished(&mut self, entered: &Entered, result: Value) -> Result<Finished, EvalError> {
        let plain = result.clone();
        let finished = self.eval(&self.input, |state, scope| state.finish(scope, entered, result))?;
        let kind = &self.state.kind;
        if !self.is_jsonata()
            && matches!(kind, Kind::Task(_) | Kind::Pass(_) | Kind::Map(_) | Kind::Parallel(_))
        {
            self.show("afterResultSelector", finished.after_result_selector.as_ref().unwrap_or(&plain));
            if let Some(merged) = &finished.after_result_path {
                self.show("afterResultPath", merged);
            }
        }
        Ok(finished)
    }

    fn simple(&mut self, entered: &Entered) -> Result<End, EvalError> {
        let effective = entered.effective().clone();
        match &self.state.kind {
            Kind::Choice(_) => {
                let chosen = self.eval(&self.input, |state, scope| state.choose(scope, entered))?;
                Ok(End::Left { finished: chosen.finished, next: Some(chosen.next) })
            }
            Kind::Fail(fail) => {
                let text = |setting: &Option<bourn_asl::Setting>| {
                    let value =
                        setting.as_ref().map(|s| self.eval(&effective, |_, scope| s.text_value(scope)));
                    value.transpose()
                };
                Ok(End::Failed { error: text(&fail.error)?, cause: text(&fail.cause)? })
            }
            kind => {
                let result = match kind {
                    Kind::Pass(pass) => pass.result.clone().unwrap_or(effective),
                    _ => effective,
                };
                if is_fixed(kind) && !self.is_jsonata() {
                    self.show("result", &result);
                }
                let finished = self.finished(entered, result)?;
                Ok(End::Left { finished, next: self.state.next.clone() })
            }
        }
    }

    fn map(&mut self, map: &MapState, entered: &Entered) -> Result<End, EvalError> {
        let effective = entered.effective().clone();
        if let (Some(setting), None) = (&map.items, &map.reader) {
            let items = self.eval(&effective, |_, scope| setting.items(scope))?;
            if !self.is_jsonata() {
                self.show("afterItemsPath", &Value::Array(items));
            }
        }
        let mut bound = 0;
        if let Some(setting) = &map.max_concurrency {
            bound = self.eval(&effective, |_, scope| setting.count(scope))?;
        }
        self.show("maxConcurrency", &json!(bound));
        let mut tolerated = None;
        if let Some(setting) = &map.tolerated_failure_count {
            let count = self.eval(&effective, |_, scope| setting.count(scope))?;
            self.show("toleratedFailureCount", &json!(count));
            tolerated = Some(count);
        }
        if let Some(setting) = &map.tolerated_failure_percentage {
            let share = self.eval(&effective, |_, scope| setting.percentage(scope))?;
            self.show("toleratedFailurePercentage", &json!(share));
        }
        let failed = self.setting("mapIterationFailureCount").and_then(Value::as_u64).unwrap_or(0);
        let mocked = self.mocked().unwrap_or_else(|| {
            Err(TaskFailure::new(errors::RUNTIME, "A Map state needs a mock to be tested"))
        });
        let is_too_many = tolerated.is_some_and(|tolerated| failed > tolerated);
        if mocked.is_ok() && is_too_many && map.mode == MapMode::Distributed {
            return Ok(End::Failed {
                error: Some(errors::EXCEED_TOLERATED_FAILURE_THRESHOLD.into()),
                cause: Some("The specified tolerated failure threshold was exceeded".into()),
            });
        }
        self.answered(entered, mocked)
    }

    fn evaluation(&mut self, error: EvalError) -> End {
        if let Some(location) = &error.location {
            self.shown.insert("errorDetails".into(), json!({"location": location}));
        }
        End::Failed { error: Some(error.error.to_owned()), cause: Some(error.cause) }
    }

    fn told(mut self, end: End) -> TestedState {
        let mut tested = match end {
            End::Left { finished, next } => TestedState {
                status: "SUCCEEDED",
                output: Some(finished.output.to_string()),
                next_state: next,
                ..TestedState::default()
            },
            End::Failed { error, cause } => self.failed(error, cause),
        };
        if self.request.inspection != Inspection::Info {
            tested.inspection = Some(Value::Object(self.shown));
        }
        tested
    }

    fn failed(&mut self, error: Option<String>, cause: Option<String>) -> TestedState {
        let named = error.clone().unwrap_or_default();
        let failed = TestedState { status: "FAILED", error, cause, ..TestedState::default() };
        let used = self.setting("retrierRetryCount").and_then(Value::as_u64).unwrap_or(0);
        let retriers = &self.state.common.retry;
        let retrier = retriers.iter().enumerate().find(|(_, retrier)| retrier.matches(&named));
        if let Some((index, retrier)) = retrier {
            let mut details = json!({"retryIndex": index});
            let again = used < retrier.max_attempts;
            if again {
                let seconds = retrier.delay_seconds(used, bourn_asl::Outside::random(&self.outside));
                details["retryBackoffIntervalSeconds"] = json!(seconds.round() as u64);
            }
            self.show("errorDetails", &details);
            if again {
                return TestedState { status: "RETRIABLE", ..failed };
            }
        }
        let catchers = &self.state.common.catch;
        let catcher = catchers.iter().enumerate().find(|(_, catcher)| catcher.matches(&named));
        let Some((index, catcher)) = catcher else { return failed };
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let output = json!({"Error": text(&failed.error), "Cause": text(&failed.cause)});
        let details = self.shown.entry("errorDetails").or_insert_with(|| json!({}));
        details["catchIndex"] = json!(index);
        match self.eval(&self.input, |state, scope| state.catch(scope, catcher, output)) {
            Ok(finished) => TestedState {
                status: "CAUGHT_ERROR",
                output: Some(finished.output.to_string()),
                next_state: Some(catcher.next.clone()),
                ..failed
            },
            Err(error) => {
                TestedState { error: Some(error.error.to_owned()), cause: Some(error.cause), ..failed }
            }
        }
    }
}

/// A Pass whose result stands in the definition.
fn is_fixed(kind: &Kind) -> bool {
    matches!(kind, Kind::Pass(pass) if pass.result.is_some())
}
