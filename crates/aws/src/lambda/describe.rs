//! ListFunctions, GetFunction, GetFunctionConfiguration: what the pipeline's folder says of its functions.
//!
//! Environment variables are not told: they may hold what was a secret elsewhere.

use super::name::{FunctionName, arn};
use super::{not_found, parameter};
use crate::error::{AwsError, Protocol};
use crate::router::Shared;
use axum::body::Body;
use axum::response::Response;
use bourn_config::Runtime;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};

const PAGE_MAX: usize = 50;
/// What clients may ask for, as AWS has it.
const ITEMS_MAX: usize = 10_000;

pub(super) fn list(shared: &Shared, query: &str) -> Result<Response, AwsError> {
    let items = match parameter(query, "MaxItems") {
        None => PAGE_MAX,
        Some(text) => match text.parse() {
            Ok(items) if (1..=ITEMS_MAX).contains(&items) => PAGE_MAX.min(items),
            _ => {
                let detail = format!("MaxItems must be a number from 1 to {ITEMS_MAX}, not '{text}'");
                return Err(AwsError::new("InvalidParameterValueException", detail));
            }
        },
    };
    // A marker is the name of the last function that was told of, so that it survives changes.
    let behind = parameter(query, "Marker").filter(|marker| !marker.is_empty());
    let mut names = shared.functions.names().into_iter();
    let mut page: Vec<String> = names
        .by_ref()
        .filter(|name| behind.as_ref().is_none_or(|behind| name > behind))
        .take(items)
        .collect();
    let more = names.next().is_some();
    let marker = page.last().filter(|_| more).cloned();
    let functions: Vec<Value> = page.drain(..).map(|name| configuration(shared, &name)).collect();
    Ok(respond(json!({"Functions": functions, "NextMarker": marker})))
}

pub(super) fn get(shared: &Shared, name: &FunctionName) -> Result<Response, AwsError> {
    known(shared, name)?;
    let concurrency = shared
        .function_settings
        .get(&name.name)
        .map(|function| json!({"ReservedConcurrentExecutions": function.concurrency.max}));
    Ok(respond(json!({
        "Configuration": configuration(shared, &name.name),
        "Concurrency": concurrency,
        "Tags": {},
    })))
}

pub(super) fn get_configuration(shared: &Shared, name: &FunctionName) -> Result<Response, AwsError> {
    known(shared, name)?;
    Ok(respond(configuration(shared, &name.name)))
}

fn known(shared: &Shared, name: &FunctionName) -> Result<(), AwsError> {
    let there = name.is_latest && shared.functions.names().contains(&name.name);
    there.then_some(()).ok_or_else(|| not_found(name))
}

fn configuration(shared: &Shared, name: &str) -> Value {
    let mut told = json!({
        "FunctionName": name,
        "FunctionArn": arn(&shared.aws, name),
        "Role": format!("arn:aws:iam::{}:role/bourn", shared.aws.account),
        "Version": "$LATEST",
        "State": "Active",
        "LastUpdateStatus": "Successful",
        "PackageType": "Zip",
    });
    if let Some(function) = shared.function_settings.get(name) {
        let runtime = match function.runtime {
            Runtime::Provided => "provided",
            Runtime::Python3 => "python3",
            Runtime::Nodejs => "nodejs",
        };
        told["Runtime"] = runtime.into();
        told["Handler"] = function.handler.clone().unwrap_or_default().into();
        told["Timeout"] = function.timeout.0.as_secs().max(1).into();
        told["MemorySize"] = (function.memory.bytes() >> 20).max(1).into();
    }
    told
}

fn respond(mut body: Value) -> Response {
    if let Some(members) = body.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    let mut response = Response::new(Body::from(body.to_string()));
    response.headers_mut().insert(CONTENT_TYPE, Protocol::RestJson.media_type());
    response
}
