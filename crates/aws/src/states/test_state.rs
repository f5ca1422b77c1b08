//! TestState: one state, tried by itself.

use super::input::{ARN_CHARS_MAX, Input, NAME_CHARS_MAX};
use super::output::present;
use crate::error::AwsError;
use crate::seam::StepFunctions;
use bourn_workflow::{Inspection, Mock, TestState};
use serde_json::{Map, Value, json};

const DEFINITION_CHARS_MAX: usize = 1 << 20;
/// Members of `inspectionData` that hold data; the others are numbers and structures.
const DATA_MEMBERS: [&str; 12] = [
    "input",
    "afterArguments",
    "afterInputPath",
    "afterParameters",
    "result",
    "afterResultSelector",
    "afterResultPath",
    "variables",
    "afterItemsPath",
    "afterItemSelector",
    "afterItemBatcher",
    "afterItemsPointer",
];

pub(super) async fn answer(flows: &dyn StepFunctions, mut input: Input) -> Result<Value, AwsError> {
    let level = |text: &str| match text {
        "INFO" => Some(Inspection::Info),
        "DEBUG" => Some(Inspection::Debug),
        "TRACE" => Some(Inspection::Trace),
        _ => None,
    };
    let request = TestState {
        definition: input.required("definition", DEFINITION_CHARS_MAX),
        input: input.free_text("input"),
        inspection: input.word("inspectionLevel", &["INFO", "DEBUG", "TRACE"], level).unwrap_or_default(),
        state_name: input.text("stateName", 1, NAME_CHARS_MAX),
        role_arn: input.text("roleArn", 1, ARN_CHARS_MAX),
        reveal_secrets: input.flag("revealSecrets").unwrap_or(false),
        variables: input.free_text("variables"),
        context: input.free_text("context"),
        mock: input.structure("mock").map(mock),
        configuration: input.structure("stateConfiguration").map(Value::Object),
    };
    input.finish()?;
    let tested = flows.test_state(request).await?;
    Ok(present(json!({
        "status": tested.status,
        "output": tested.output,
        "error": tested.error,
        "cause": tested.cause,
        "nextState": tested.next_state,
        "inspectionData": tested.inspection.map(inspection),
    })))
}

/// Data are JSON texts on the wire; the engine has them as values.
fn inspection(mut told: Value) -> Value {
    for (name, value) in told.as_object_mut().into_iter().flatten() {
        if DATA_MEMBERS.contains(&name.as_str()) {
            *value = value.to_string().into();
        }
    }
    told
}

fn mock(members: Map<String, Value>) -> Mock {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    Mock {
        result: text(members.get("result")),
        error_output: members
            .get("errorOutput")
            .map(|output| (text(output.get("error")), text(output.get("cause")))),
        field_validation: text(members.get("fieldValidationMode")),
    }
}
