//! Events of a history: their types, what they tell, and their form in the API.
//!
//! Types, fields and the chain of previous events follow the Step Functions API reference
//! (`HistoryEvent`). An event is kept as its type and a short list of fields; the API's nested form is
//! made when somebody asks for it.

use crate::api::HistoryEvent;
use crate::data::Data;
use bourn_event::Micros;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// One event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub id: u64,
    pub previous: u64,
    pub at: Micros,
    pub kind: EventKind,
    pub fields: Vec<Field>,
}

/// What an event tells. Persisted by position: new ones go to the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Field {
    Name(String),
    Input(Data),
    Output(Data),
    Parameters(Data),
    Error(String),
    Cause(String),
    Resource(String),
    ResourceType(String),
    Region(String),
    TimeoutSeconds(u64),
    HeartbeatSeconds(u64),
    RoleArn(String),
    CredentialsRole(String),
    WorkerName(String),
    Index(u64),
    Length(u64),
    MapRunArn(String),
    RedriveCount(u64),
    Location(String),
    State(String),
    Assigned(Vec<(String, Data)>),
}

macro_rules! kinds {
    ($($kind:ident => $details:expr,)*) => {
        /// The types of events. Persisted by position: new ones go to the end.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum EventKind { $($kind,)* }

        impl EventKind {
            /// As the API writes it.
            pub fn name(self) -> &'static str {
                match self { $(Self::$kind => stringify!($kind),)* }
            }

            /// The API's field for its details.
            fn details(self) -> Option<&'static str> {
                match self { $(Self::$kind => $details,)* }
            }
        }
    };
}

const ENTERED: Option<&str> = Some("stateEnteredEventDetails");
const EXITED: Option<&str> = Some("stateExitedEventDetails");

kinds! {
    ExecutionStarted => Some("executionStartedEventDetails"),
    ExecutionSucceeded => Some("executionSucceededEventDetails"),
    ExecutionFailed => Some("executionFailedEventDetails"),
    ExecutionTimedOut => Some("executionTimedOutEventDetails"),
    ExecutionAborted => Some("executionAbortedEventDetails"),
    ExecutionRedriven => Some("executionRedrivenEventDetails"),
    PassStateEntered => ENTERED,
    PassStateExited => EXITED,
    TaskStateEntered => ENTERED,
    TaskStateExited => EXITED,
    TaskStateAborted => None,
    ChoiceStateEntered => ENTERED,
    ChoiceStateExited => EXITED,
    WaitStateEntered => ENTERED,
    WaitStateExited => EXITED,
    WaitStateAborted => None,
    SucceedStateEntered => ENTERED,
    SucceedStateExited => EXITED,
    FailStateEntered => ENTERED,
    ParallelStateEntered => ENTERED,
    ParallelStateExited => EXITED,
    ParallelStateStarted => None,
    ParallelStateSucceeded => None,
    ParallelStateFailed => None,
    ParallelStateAborted => None,
    MapStateEntered => ENTERED,
    MapStateExited => EXITED,
    MapStateStarted => Some("mapStateStartedEventDetails"),
    MapStateSucceeded => None,
    MapStateFailed => None,
    MapStateAborted => None,
    MapIterationStarted => Some("mapIterationStartedEventDetails"),
    MapIterationSucceeded => Some("mapIterationSucceededEventDetails"),
    MapIterationFailed => Some("mapIterationFailedEventDetails"),
    MapIterationAborted => Some("mapIterationAbortedEventDetails"),
    MapRunStarted => Some("mapRunStartedEventDetails"),
    MapRunSucceeded => None,
    MapRunFailed => Some("mapRunFailedEventDetails"),
    MapRunAborted => None,
    MapRunRedriven => Some("mapRunRedrivenEventDetails"),
    TaskScheduled => Some("taskScheduledEventDetails"),
    TaskStarted => Some("taskStartedEventDetails"),
    TaskStartFailed => Some("taskStartFailedEventDetails"),
    TaskSubmitted => Some("taskSubmittedEventDetails"),
    TaskSubmitFailed => Some("taskSubmitFailedEventDetails"),
    TaskSucceeded => Some("taskSucceededEventDetails"),
    TaskFailed => Some("taskFailedEventDetails"),
    TaskTimedOut => Some("taskTimedOutEventDetails"),
    LambdaFunctionScheduled => Some("lambdaFunctionScheduledEventDetails"),
    LambdaFunctionStarted => None,
    LambdaFunctionSucceeded => Some("lambdaFunctionSucceededEventDetails"),
    LambdaFunctionFailed => Some("lambdaFunctionFailedEventDetails"),
    LambdaFunctionTimedOut => Some("lambdaFunctionTimedOutEventDetails"),
    ActivityScheduled => Some("activityScheduledEventDetails"),
    ActivityStarted => Some("activityStartedEventDetails"),
    ActivitySucceeded => Some("activitySucceededEventDetails"),
    ActivityFailed => Some("activityFailedEventDetails"),
    ActivityTimedOut => Some("activityTimedOutEventDetails"),
    EvaluationFailed => Some("evaluationFailedEventDetails"),
}

impl Event {
    /// As the API has it; without inputs and outputs unless they are wanted.
    pub fn to_api(&self, include_data: bool) -> HistoryEvent {
        let details = self.kind.details().map(|name| {
            let mut map = Map::new();
            for field in &self.fields {
                put(field, include_data, &mut map);
            }
            (name, Value::Object(map))
        });
        HistoryEvent { id: self.id, previous_id: self.previous, at: self.at, kind: self.kind.name(), details }
    }
}

fn put(field: &Field, include_data: bool, map: &mut Map<String, Value>) {
    let mut text = |key: &str, value: &str| map.insert(key.into(), Value::String(value.into()));
    match field {
        Field::Name(name) => text("name", name),
        Field::Error(error) => text("error", error),
        Field::Cause(cause) => text("cause", cause),
        Field::Resource(resource) => text("resource", resource),
        Field::ResourceType(kind) => text("resourceType", kind),
        Field::Region(region) => text("region", region),
        Field::RoleArn(role) => text("roleArn", role),
        Field::WorkerName(name) => text("workerName", name),
        Field::MapRunArn(arn) => text("mapRunArn", arn),
        Field::Location(location) => text("location", location),
        Field::State(state) => text("state", state),
        Field::Parameters(data) => text("parameters", data.text()),
        Field::TimeoutSeconds(n) => map.insert("timeoutInSeconds".into(), json!(n)),
        Field::HeartbeatSeconds(n) => map.insert("heartbeatInSeconds".into(), json!(n)),
        Field::Index(n) => map.insert("index".into(), json!(n)),
        Field::Length(n) => map.insert("length".into(), json!(n)),
        Field::RedriveCount(n) => map.insert("redriveCount".into(), json!(n)),
        Field::CredentialsRole(role) => map.insert("taskCredentials".into(), json!({"roleArn": role})),
        Field::Input(data) => put_data("input", data, include_data, map),
        Field::Output(data) => put_data("output", data, include_data, map),
        Field::Assigned(variables) => put_assigned(variables, include_data, map),
    };
}

fn put_data(key: &str, data: &Data, include: bool, map: &mut Map<String, Value>) -> Option<Value> {
    if include {
        map.insert(key.into(), Value::String(data.text().into()));
    }
    map.insert(format!("{key}Details"), json!({"truncated": false}))
}

fn put_assigned(variables: &[(String, Data)], include: bool, map: &mut Map<String, Value>) -> Option<Value> {
    if include {
        let texts = variables.iter().map(|(name, value)| (name.clone(), Value::String(value.text().into())));
        map.insert("assignedVariables".into(), Value::Object(texts.collect()));
    }
    map.insert("assignedVariablesDetails".into(), json!({"truncated": false}))
}
