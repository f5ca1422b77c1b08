//! Operations on state machines.

use super::input::{Input, LONG_ARN_CHARS_MAX, NAME_CHARS_MAX};
use super::output::{empty, page, present, time};
use crate::error::AwsError;
use crate::seam::StepFunctions;
use bourn_workflow::{CreateMachine, MachineDescription, MachineType, UpdateMachine, ValidateMachine};
use serde_json::{Map, Value, json};

const DEFINITION_CHARS_MAX: usize = 1 << 20;
const MACHINE_TYPES: [&str; 2] = ["STANDARD", "EXPRESS"];
const DIAGNOSTICS_MAX: u64 = 100;

pub(super) async fn create(flows: &dyn StepFunctions, mut input: Input) -> Result<Value, AwsError> {
    let request = CreateMachine {
        name: input.required("name", NAME_CHARS_MAX),
        definition: input.required("definition", DEFINITION_CHARS_MAX),
        role_arn: input.arn("roleArn"),
        machine_type: input.word("type", &MACHINE_TYPES, MachineType::parse).unwrap_or_default(),
        logging: input.structure("loggingConfiguration").map(Value::Object),
        tracing: input.structure("tracingConfiguration").map(Value::Object),
        tags: input.tags(false),
    };
    let offered = check_offered(&mut input);
    input.finish()?;
    offered?;
    let created = flows.create_machine(request).await?;
    Ok(json!({"stateMachineArn": created.arn, "creationDate": time(created.created_at)}))
}

pub(super) async fn update(flows: &dyn StepFunctions, mut input: Input) -> Result<Value, AwsError> {
    let request = UpdateMachine {
        arn: input.arn("stateMachineArn"),
        definition: input.text("definition", 1, DEFINITION_CHARS_MAX),
        role_arn: input.text("roleArn", 1, super::input::ARN_CHARS_MAX),
        logging: input.structure("loggingConfiguration").map(Value::Object),
        tracing: input.structure("tracingConfiguration").map(Value::Object),
    };
    let offered = check_offered(&mut input);
    input.finish()?;
    offered?;
    let changes_nothing = request.definition.is_none()
        && request.role_arn.is_none()
        && request.logging.is_none()
        && request.tracing.is_none();
    if changes_nothing {
        let detail = "Either the definition, the role ARN, the LoggingConfiguration, or the \
                      TracingConfiguration must be specified";
        return Err(AwsError::new("MissingRequiredParameter", detail));
    }
    let updated = flows.update_machine(request).await?;
    Ok(json!({"updateDate": time(updated.updated_at), "revisionId": updated.revision_id}))
}

/// Versions and keys of KMS are not offered, and saying nothing would promise them.
fn check_offered(input: &mut Input) -> Result<(), AwsError> {
    if input.flag("publish") == Some(true) {
        let detail = "Versions of state machines are not kept here: leave out 'publish'";
        return Err(AwsError::new("ValidationException", detail));
    }
    let encryption = input.structure("encryptionConfiguration");
    match encryption.as_ref().and_then(|members| members.get("type")).and_then(Value::as_str) {
        None | Some("AWS_OWNED_KEY") => Ok(()),
        Some(other) => {
            let detail = format!("Invalid Encryption Configuration: '{other}' is not offered here");
            Err(AwsError::new("InvalidEncryptionConfiguration", detail))
        }
    }
}

pub(super) async fn describe(flows: &dyn StepFunctions, mut input: Input) -> Result<Value, AwsError> {
    let (arn, wants_data) = (input.arn("stateMachineArn"), input.wants_data());
    input.finish()?;
    let machine = flows.describe_machine(&arn).await?;
    let (machine_type, created_at) = (machine.machine_type, machine.created_at);
    let mut answer = common(machine, wants_data);
    answer.insert("status".into(), "ACTIVE".into());
    answer.insert("type".into(), machine_type.as_str().into());
    answer.insert("creationDate".into(), time(created_at));
    Ok(present(Value::Object(answer)))
}

pub(super) async fn describe_for_execution(
    flows: &dyn StepFunctions,
    mut input: Input,
) -> Result<Value, AwsError> {
    let (arn, wants_data) = (input.arn("executionArn"), input.wants_data());
    input.finish()?;
    let machine = flows.describe_machine_for_execution(&arn).await?;
    let created_at = machine.created_at;
    let mut answer = common(machine, wants_data);
    answer.insert("updateDate".into(), time(created_at));
    Ok(present(Value::Object(answer)))
}

fn common(machine: MachineDescription, wants_data: bool) -> Map<String, Value> {
    let logging = || json!({"level": "OFF", "includeExecutionData": false});
    let members = [
        ("stateMachineArn", machine.arn.into()),
        ("name", machine.name.into()),
        ("definition", if wants_data { machine.definition.into() } else { Value::Null }),
        ("roleArn", machine.role_arn.into()),
        ("loggingConfiguration", machine.logging.unwrap_or_else(logging)),
        ("tracingConfiguration", machine.tracing.unwrap_or_else(|| json!({"enabled": false}))),
        ("encryptionConfiguration", json!({"type": "AWS_OWNED_KEY"})),
        ("revisionId", machine.revision_id.into()),
    ];
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

pub(super) async fn list(flows: &dyn StepFunctions, mut input: Input) -> Result<Value, AwsError> {
    let paging = input.paging("stateMachines");
    input.finish()?;
    let machines = flows.list_machines(paging).await?;
    Ok(page("stateMachines", machines, |machine| {
        json!({
            "stateMachineArn": machine.arn,
            "name": machine.name,
            "type": machine.machine_type.as_str(),
            "creationDate": time(machine.created_at),
        })
    }))
}

pub(super) async fn delete(flows: &dyn StepFunctions, mut input: Input) -> Result<Value, AwsError> {
    let arn = input.arn("stateMachineArn");
    input.finish()?;
    flows.delete_machine(&arn).await?;
    Ok(empty())
}

/// A machine has no versions; there being none is asked for by tools that look before they change.
pub(super) async fn list_versions(flows: &dyn StepFunctions, input: Input) -> Result<Value, AwsError> {
    list_none(flows, input, "stateMachineVersions").await
}

pub(super) async fn list_aliases(flows: &dyn StepFunctions, input: Input) -> Result<Value, AwsError> {
    list_none(flows, input, "stateMachineAliases").await
}

async fn list_none(flows: &dyn StepFunctions, mut input: Input, name: &str) -> Result<Value, AwsError> {
    let arn = input.required("stateMachineArn", LONG_ARN_CHARS_MAX);
    input.paging(name);
    input.finish()?;
    flows.describe_machine(&arn).await?;
    Ok(json!({ name: [] }))
}

pub(super) fn validate(flows: &dyn StepFunctions, mut input: Input) -> Result<Value, AwsError> {
    let severity = |text: &str| match text {
        "ERROR" => Some(false),
        "WARNING" => Some(true),
        _ => None,
    };
    let request = ValidateMachine {
        definition: input.required("definition", DEFINITION_CHARS_MAX),
        machine_type: input.word("type", &MACHINE_TYPES, MachineType::parse).unwrap_or_default(),
        warnings: input.word("severity", &["ERROR", "WARNING"], severity).unwrap_or(false),
        max_results: input.number("maxResults", DIAGNOSTICS_MAX).unwrap_or_default() as u32,
    };
    input.finish()?;
    let validation = flows.validate(request);
    Ok(json!({
        "result": if validation.ok { "OK" } else { "FAIL" },
        "diagnostics": validation.diagnostics,
        "truncated": validation.truncated,
    }))
}
