//! Tags of machines and activities.

use super::input::Input;
use super::output::empty;
use crate::error::AwsError;
use crate::seam::StepFunctions;
use serde_json::{Value, json};

pub(super) async fn tag(flows: &dyn StepFunctions, mut input: Input) -> Result<Value, AwsError> {
    let (arn, tags) = (input.arn("resourceArn"), input.tags(true));
    input.finish()?;
    flows.tag(&arn, tags).await?;
    Ok(empty())
}

pub(super) async fn untag(flows: &dyn StepFunctions, mut input: Input) -> Result<Value, AwsError> {
    let (arn, keys) = (input.arn("resourceArn"), input.tag_keys());
    input.finish()?;
    flows.untag(&arn, &keys).await?;
    Ok(empty())
}

pub(super) async fn list(flows: &dyn StepFunctions, mut input: Input) -> Result<Value, AwsError> {
    let arn = input.arn("resourceArn");
    input.finish()?;
    let tags: Vec<Value> =
        flows.tags(&arn).await?.into_iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
    Ok(json!({ "tags": tags }))
}
