//! What `TestState` refuses: mocks and context objects that could not be.

use super::refused;
use crate::WorkflowError;
use crate::api::TestState;
use crate::machine::{Pattern, Resource};
use bourn_asl::{Kind, State};
use serde_json::Value;

/// The type of a field of a service's answer.
#[derive(Clone, Copy)]
enum Type {
    Text,
    Number,
    Array,
}

/// Fields of answers that mocks are held against: call, field, type, and whether it has to be there.
/// Answers have more fields; what is not here is not looked at.
const FIELDS: [(&str, &str, Type, bool); 6] = [
    ("lambda:invoke", "StatusCode", Type::Number, false),
    ("states:startExecution", "ExecutionArn", Type::Text, true),
    ("states:startExecution", "StartDate", Type::Text, true),
    ("events:putEvents", "Entries", Type::Array, false),
    ("events:putEvents", "EventId", Type::Text, false),
    ("sqs:sendMessage", "MessageId", Type::Text, false),
];

pub fn mock(request: &TestState) -> Result<(), WorkflowError> {
    match &request.mock {
        Some(mock) if mock.result.is_some() && mock.error_output.is_some() => {
            Err(refused("A test mock should have only one of the following fields: [result, errorOutput]."))
        }
        _ => Ok(()),
    }
}

/// Could the service have answered what the mock says? `STRICT` looks at all known fields, `PRESENT` at
/// those that are there, `NONE` at nothing.
pub fn mock_fits(request: &TestState, state: &State) -> Result<(), WorkflowError> {
    let Some(mock) = &request.mock else { return Ok(()) };
    let mode = mock.field_validation.as_deref().unwrap_or("STRICT");
    let (Some(result), Kind::Task(task)) = (&mock.result, &state.kind) else { return Ok(()) };
    let Resource::Service { service, call, .. } = Resource::parse(&task.resource) else { return Ok(()) };
    let Ok(value) = serde_json::from_str::<Value>(result) else {
        return Err(refused("Mocked result must be valid JSON"));
    };
    if mode == "NONE" {
        return Ok(());
    }
    let name = format!("{service}:{}", call.split('.').next().unwrap_or_default());
    for (_, field, kind, needed) in FIELDS.into_iter().filter(|(call, ..)| *call == name) {
        let found = find(&value, field);
        if found.is_empty() && needed && mode == "STRICT" {
            return Err(unfit(format!("Required field '{field}' is missing")));
        }
        let (fits, word): (fn(&Value) -> bool, _) = match kind {
            Type::Text => (Value::is_string, "a string"),
            Type::Number => (Value::is_number, "a number"),
            Type::Array => (Value::is_array, "an array"),
        };
        if !found.into_iter().all(fits) {
            return Err(unfit(format!("Field '{field}' must be {word}")));
        }
    }
    Ok(())
}

/// Does a mock go with the type of state, and with how many branches or items it has?
pub fn mock_counts(request: &TestState, state: &State) -> Result<(), WorkflowError> {
    let Some(mock) = &request.mock else { return Ok(()) };
    let result: Option<Value> = mock.result.as_deref().and_then(|text| serde_json::from_str(text).ok());
    let count = result.as_ref().and_then(Value::as_array).map(Vec::len);
    match &state.kind {
        Kind::Task(_) => Ok(()),
        Kind::Parallel(parallel) if count.is_some_and(|count| count != parallel.branches.len()) => Err(
            refused("Mocked result must contain the same number of items as number of Parallel branches."),
        ),
        Kind::Parallel(_) => Ok(()),
        Kind::Map(map) => {
            let writes = map.writer.as_ref().is_some_and(|writer| writer.resource.is_some());
            if writes && result.is_some_and(|result| !result.is_object()) {
                return Err(refused("Mocked result must be a JSON object."));
            }
            let failed = request.configuration.as_ref().and_then(|c| c["mapIterationFailureCount"].as_u64());
            if count.is_some_and(|count| failed.is_some_and(|failed| failed > count as u64)) {
                return Err(refused(
                    "Map iteration failure count must be less than or equal to the number of Map iterations",
                ));
            }
            Ok(())
        }
        _ => {
            let name = state.type_name();
            Err(refused(format!("State type '{name}' is not supported when a mock is specified")))
        }
    }
}

fn unfit(why: String) -> WorkflowError {
    refused(format!("Mock result schema validation error: {why}"))
}

/// Every value of a field, in an object or in the objects of its arrays.
fn find<'a>(value: &'a Value, field: &str) -> Vec<&'a Value> {
    let Value::Object(fields) = value else { return Vec::new() };
    if let Some(found) = fields.get(field) {
        return vec![found];
    }
    let arrays = fields.values().filter_map(Value::as_array).flatten();
    arrays.filter_map(|item| item.get(field)).collect()
}

pub fn context(given: Option<&Value>, state: &State) -> Result<(), WorkflowError> {
    let bad = |why: String| Err(refused(format!("Invalid Context object provided: {why}")));
    let Some(given) = given else { return Ok(()) };
    let Value::Object(fields) = given else { return bad("Context must be a JSON object".into()) };
    for (name, value) in fields {
        let allowed: &[&str] = match name.as_str() {
            "Execution" => &["Id", "Input", "Name", "RoleArn", "StartTime", "RedriveCount", "RedriveTime"],
            "State" => &["EnteredTime", "Name", "RetryCount"],
            "StateMachine" => &["Id", "Name"],
            "Task" => &["Token"],
            "Map" => return bad("'Map' field is not supported when mocking a Context object".into()),
            other => return bad(format!("Field '{other}' is not allowed")),
        };
        for (key, value) in value.as_object().into_iter().flatten() {
            if !allowed.contains(&key.as_str()) {
                return bad(format!("Field '{key}' is not allowed"));
            }
            let is_free = matches!(key.as_str(), "Input" | "RetryCount" | "RedriveCount");
            if !is_free && !value.is_string() {
                return bad(format!("{name}.{key} must be a string"));
            }
        }
    }
    let waits = match &state.kind {
        Kind::Task(task) => Resource::parse(&task.resource).pattern() != Pattern::Answer,
        _ => false,
    };
    if fields.contains_key("Task") && !waits {
        return bad("Context object contains 'Task' when state is not a Task state with a '.sync' or \
                    '.waitForTaskToken' service integration pattern"
            .into());
    }
    Ok(())
}
