//! Messages and records into streams: `sqs:sendMessage`, `kinesis:putRecord`.
//!
//! A message's body and a record's data are the stream's event: a JSON object, or its text.

use super::read::Reader;
use super::resource::last_part;
use super::service::{Caller, object, uuid_of};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bourn_event::{SendError, Sending, Sent, Streams, TaskFailure};
use bytes::Bytes;
use md5::{Digest, Md5};
use serde_json::{Map, Value, json};

/// A stream has one.
const SHARD: &str = "shardId-000000000000";

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

pub(super) async fn send(
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

/// Why a stream refused the event, if it did.
pub(super) fn rejection(sent: &Sent) -> Option<String> {
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
