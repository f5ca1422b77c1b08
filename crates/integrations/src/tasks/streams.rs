//! Messages, records and events into streams: `sqs:sendMessage`, `kinesis:putRecord`, `events:putEvents`.
//!
//! A message's body and a record's data are the stream's event: a JSON object, or its text. Of
//! `putEvents`, the event is the whole envelope, as a target of EventBridge receives it; it goes to the
//! stream that the bus is named after, and in any case to the triggers.

use super::read::Reader;
use super::resource::last_part;
use super::service::{Caller, iso_time, object, uuid_of};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bourn_config::Aws;
use bourn_event::{SendError, Sending, Sent, Streams, TaskFailure};
use bytes::Bytes;
use md5::{Digest, Md5};
use serde_json::{Map, Value, json};
use std::sync::Arc;

const ENTRIES_MAX: usize = 10;
/// A stream has one.
const SHARD: &str = "shardId-000000000000";

/// Takes events that triggers may be waiting for, as EventBridge has them. Must not block.
pub type OnEvent = Arc<dyn Fn(Value) + Send + Sync>;

/// `sqs:sendMessage`.
pub(super) async fn send_message(
    streams: &dyn Streams,
    caller: Caller<'_>,
    execution: &str,
    parameters: &Value,
) -> Result<Value, TaskFailure> {
    let read = Reader::new(caller, parameters);
    let stream = last_part(read.text("QueueUrl")?);
    let body = match read.value("MessageBody") {
        Some(Value::String(text)) if !text.is_empty() => text.clone(),
        None | Some(Value::String(_)) => {
            return Err(caller.fail(
                "",
                "MissingParameter",
                400,
                "The request must contain the parameter MessageBody.",
            ));
        }
        Some(json) => json.to_string(),
    };
    let md5 = hex(&Md5::digest(body.as_bytes()));
    let sent = send(streams, caller, execution, stream, body.into()).await;
    let sent = sent.map_err(|error| match error {
        SendError::NotFound(_) => caller.fail(
            "QueueDoesNotExistException",
            "AWS.SimpleQueueService.NonExistentQueue",
            400,
            format!("The specified queue does not exist: there is no stream `{stream}`."),
        ),
        SendError::Unavailable { .. } => caller.fail("", "ServiceUnavailable", 503, error),
    })?;
    if let Some(why) = rejection(&sent) {
        let message =
            format!("The message is no event of stream `{stream}` and is kept among its rejects: {why}");
        return Err(caller.fail("InvalidMessageContentsException", "InvalidMessageContents", 400, message));
    }
    let id = uuid_of(&["message", caller.id]);
    let body = object(json!({"MD5OfMessageBody": md5, "MessageId": id}));
    Ok(caller.answer(body, "application/x-amz-json-1.0", &[]))
}

/// `kinesis:putRecord`.
pub(super) async fn put_record(
    streams: &dyn Streams,
    caller: Caller<'_>,
    execution: &str,
    parameters: &Value,
) -> Result<Value, TaskFailure> {
    let read = Reader::new(caller, parameters);
    let stream = match read.maybe_text("StreamName")? {
        Some(name) => name,
        None => last_part(read.text("StreamARN")?),
    };
    let data = match read.value("Data") {
        None => return Err(read.wrong("The request must contain the parameter Data.".into())),
        Some(Value::String(text)) => decoded(text),
        Some(json) => json.to_string().into(),
    };
    let sent = send(streams, caller, execution, stream, data).await.map_err(|error| match error {
        SendError::NotFound(_) => {
            let name = "ResourceNotFoundException";
            caller.fail(name, name, 400, format!("Stream {stream} not found."))
        }
        SendError::Unavailable { .. } => {
            let name = "ProvisionedThroughputExceededException";
            caller.fail(name, name, 400, error)
        }
    })?;
    if let Some(why) = rejection(&sent) {
        let name = "InvalidArgumentException";
        let message =
            format!("The record is no event of stream `{stream}` and is kept among its rejects: {why}");
        return Err(caller.fail(name, name, 400, message));
    }
    // Sent again after a crash, the stream has it already and tells no place.
    let sequence =
        sent.first_offset.map_or_else(|| uuid_of(&["record", caller.id]), |offset| offset.to_string());
    let body = object(json!({"SequenceNumber": sequence, "ShardId": SHARD, "EncryptionType": "NONE"}));
    Ok(caller.answer(body, "application/x-amz-json-1.1", &[]))
}

/// A record's data: JSON text, or such a text in Base64.
fn decoded(text: &str) -> Bytes {
    if !text.trim_start().starts_with(['{', '[', '"'])
        && let Ok(bytes) = BASE64_STANDARD.decode(text)
        && serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_ok()
    {
        return bytes.into();
    }
    text.to_string().into()
}

/// `events:putEvents`.
pub(super) async fn put_events(
    streams: &dyn Streams,
    on_event: Option<&OnEvent>,
    aws: &Aws,
    caller: Caller<'_>,
    execution: &str,
    parameters: &Value,
) -> Result<Value, TaskFailure> {
    let read = Reader::new(caller, parameters);
    let entries = match read.value("Entries") {
        Some(Value::Array(entries)) if (1..=ENTRIES_MAX).contains(&entries.len()) => entries,
        _ => {
            return Err(read.wrong(format!(
                "1 validation error detected: Value at 'entries' failed to satisfy constraint: Member must have \
                 length from 1 to {ENTRIES_MAX}"
            )));
        }
    };
    let (mut answers, mut failed) = (Vec::new(), 0);
    for (index, entry) in entries.iter().enumerate() {
        let id = uuid_of(&["event", caller.id, &index.to_string()]);
        match put_event(streams, on_event, aws, caller, execution, entry, &id).await {
            Ok(()) => answers.push(json!({ "EventId": id })),
            Err((code, message)) => {
                failed += 1;
                answers.push(json!({"ErrorCode": code, "ErrorMessage": message}));
            }
        }
    }
    let answer = json!({"Entries": answers, "FailedEntryCount": failed});
    if failed > 0 && !caller.is_sdk() {
        return Err(TaskFailure::new("EventBridge.FailedEntry", answer.to_string()));
    }
    Ok(answer)
}

async fn put_event(
    streams: &dyn Streams,
    on_event: Option<&OnEvent>,
    aws: &Aws,
    caller: Caller<'_>,
    execution: &str,
    entry: &Value,
    id: &str,
) -> Result<(), (&'static str, String)> {
    let event = envelope(aws, caller, entry, id)?;
    let bus = entry.get("EventBusName").and_then(Value::as_str).map_or("default", last_part);
    let is_stream = streams.names().iter().any(|name| name == bus);
    if bus == "default" && !is_stream && on_event.is_none() {
        // Answered as taken, it would be gone.
        let why = "Event bus default does not exist: name a stream as EventBusName.";
        return Err(("ResourceNotFoundException", why.into()));
    }
    if bus != "default" || is_stream {
        let caller = Caller { id, ..caller };
        let sent = send(streams, caller, execution, bus, event.to_string().into()).await.map_err(
            |error| match error {
                SendError::NotFound(_) => (
                    "ResourceNotFoundException",
                    format!("Event bus {bus} does not exist: there is no such stream."),
                ),
                SendError::Unavailable { .. } => ("ThrottlingException", error.to_string()),
            },
        )?;
        if let Some(why) = rejection(&sent) {
            return Err((
                "InvalidArgument",
                format!("the event is kept among the rejects of stream `{bus}`: {why}"),
            ));
        }
    }
    if let Some(on_event) = on_event {
        on_event(event);
    }
    Ok(())
}

/// An entry as the event that targets receive.
fn envelope(aws: &Aws, caller: Caller<'_>, entry: &Value, id: &str) -> Result<Value, (&'static str, String)> {
    let text = |name: &str| entry.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let required = |name: &str| {
        text(name).ok_or_else(|| {
            (
                "InvalidArgument",
                format!("Parameter {name} is not valid. Reason: {name} is a required argument."),
            )
        })
    };
    let (source, kind) = (required("Source")?, required("DetailType")?);
    let malformed = || ("MalformedDetail", "Detail is malformed.".to_string());
    let detail = match entry.get("Detail") {
        None | Some(Value::Null) => return Err(required("Detail").err().unwrap_or_else(malformed)),
        Some(Value::String(text)) => serde_json::from_str::<Value>(text).map_err(|_| malformed())?,
        Some(json) => json.clone(),
    };
    if !detail.is_object() {
        return Err(malformed());
    }
    let time = text("Time").map_or_else(|| iso_time(caller.now), str::to_string);
    Ok(json!({
        "version": "0",
        "id": id,
        "detail-type": kind,
        "source": source,
        "account": aws.account,
        "time": time,
        "region": aws.region,
        "resources": entry.get("Resources").cloned().unwrap_or_else(|| json!([])),
        "detail": detail,
    }))
}

async fn send(
    streams: &dyn Streams,
    caller: Caller<'_>,
    execution: &str,
    stream: &str,
    event: Bytes,
) -> Result<Sent, SendError> {
    let sending = Sending {
        stream: stream.into(),
        events: vec![json_text(event)],
        source: source(execution),
        id: Some(caller.id.into()),
    };
    streams.send(sending).await
}

/// A text that is not JSON is the JSON text of itself: the stream then says what it thinks of it.
fn json_text(event: Bytes) -> Bytes {
    match serde_json::from_slice::<serde::de::IgnoredAny>(&event) {
        Ok(_) => event,
        Err(_) => Value::String(String::from_utf8_lossy(&event).into_owned()).to_string().into(),
    }
}

fn rejection(sent: &Sent) -> Option<String> {
    (sent.rejected > 0).then(|| {
        sent.errors.first().map_or_else(|| "the stream's schema refuses it".into(), |(_, why)| why.clone())
    })
}

/// `workflow:NAME` of an execution's ARN.
pub(super) fn source(execution: &str) -> String {
    format!("workflow:{}", execution.split(':').nth(6).unwrap_or("unknown"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What an SNS publish or another caller hands over as attributes: name → value.
pub(super) fn attributes(given: Option<&Value>) -> Map<String, Value> {
    let Some(Value::Object(given)) = given else { return Map::new() };
    let value = |attribute: &Value| {
        ["StringValue", "BinaryValue", "Value"]
            .iter()
            .find_map(|name| attribute.get(name))
            .unwrap_or(attribute)
            .clone()
    };
    given.iter().map(|(name, attribute)| (name.clone(), value(attribute))).collect()
}
