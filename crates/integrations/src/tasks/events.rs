//! `events:putEvents`: events on a bus, for triggers and, where a stream is the bus, into it.
//!
//! The event is the whole envelope, as a target of EventBridge receives it. Of the optimized integration it names the
//! execution and its machine among its `resources`, as Step Functions does.

use super::read::Reader;
use super::resource::last_part;
use super::service::{Caller, uuid_of};
use super::streams::{rejection, send};
use async_trait::async_trait;
use bourn_config::{Aws, DEFAULT_BUS};
use bourn_event::{Micros, SendError, Streams, TaskFailure};
use chrono::{DateTime, SecondsFormat};
use serde_json::{Value, json};
use std::sync::Arc;

const ENTRIES_MAX: usize = 10;

/// All entries of a request together, as EventBridge has it.
const ENTRIES_BYTES_MAX: usize = 1 << 20;

/// What EventBridge counts a `Time` as.
const TIME_BYTES: usize = 14;

/// Sources that others cannot speak for: AWS's, and those of the pipeline's own events.
const RESERVED: [&str; 2] = ["aws", "bourn"];

/// Takes events for the triggers that listen to a bus.
#[async_trait]
pub trait EventBus: Send + Sync {
    /// Resolves once the event is durable, or there is nobody for it. The same `id` is taken once.
    async fn put(&self, bus: &str, event: Value) -> Result<(), BusRefusal>;
}

/// Why a bus did not take an event; it may do so later.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BusRefusal {
    /// Too many wait.
    #[error("{0}")]
    Busy(String),
    /// The disk is full or failing.
    #[error("{0}")]
    Failed(String),
}

/// Who puts events.
pub(super) struct Putter<'a> {
    pub streams: &'a dyn Streams,
    pub bus: &'a Arc<dyn EventBus>,
    pub aws: &'a Aws,
    pub caller: Caller<'a>,
    pub execution: &'a str,
}

/// `ErrorCode` and `ErrorMessage` of an entry.
type Refused = (&'static str, String);

impl Putter<'_> {
    /// `events:putEvents`.
    pub async fn put(&self, parameters: &Value) -> Result<Value, TaskFailure> {
        let read = Reader::new(self.caller, parameters);
        let entries = match read.value("Entries") {
            Some(Value::Array(entries)) if (1..=ENTRIES_MAX).contains(&entries.len()) => entries,
            _ => {
                return Err(read.wrong(format!(
                    "1 validation error detected: Value at 'entries' failed to satisfy constraint: Member must \
                     have length from 1 to {ENTRIES_MAX}"
                )));
            }
        };
        if entries.iter().map(size).sum::<usize>() > ENTRIES_BYTES_MAX {
            return Err(read.wrong("Total size of the entries in the request is over the limit.".into()));
        }
        let (mut answers, mut failed) = (Vec::new(), 0);
        for (index, entry) in entries.iter().enumerate() {
            let id = uuid_of(&["event", self.caller.id, &index.to_string()]);
            match self.put_entry(entry, &id).await {
                Ok(()) => answers.push(json!({ "EventId": id })),
                Err((code, message)) => {
                    failed += 1;
                    answers.push(json!({"ErrorCode": code, "ErrorMessage": message}));
                }
            }
        }
        let answer = json!({"Entries": answers, "FailedEntryCount": failed});
        if failed > 0 && !self.caller.is_sdk() {
            return Err(TaskFailure::new("EventBridge.FailedEntry", answer.to_string()));
        }
        Ok(answer)
    }

    async fn put_entry(&self, entry: &Value, id: &str) -> Result<(), Refused> {
        let event = self.envelope(entry, id)?;
        let bus = text(entry, "EventBusName").map_or(DEFAULT_BUS, last_part);
        let is_stream = self.streams.names().iter().any(|name| name == bus);
        if bus != DEFAULT_BUS && !is_stream {
            let why = format!("Event bus {bus} does not exist: there is no such stream.");
            return Err(("ResourceNotFoundException", why));
        }
        if is_stream {
            self.send(bus, &event, id).await?;
        }
        self.bus.put(bus, event).await.map_err(|refusal| match refusal {
            BusRefusal::Busy(why) => ("ThrottlingException", why),
            BusRefusal::Failed(why) => ("InternalFailure", why),
        })
    }

    async fn send(&self, stream: &str, event: &Value, id: &str) -> Result<(), Refused> {
        let caller = Caller { id, ..self.caller };
        let sent = send(self.streams, caller, self.execution, stream, event.to_string().into()).await;
        let sent = sent.map_err(|error| match error {
            SendError::NotFound(_) => ("ResourceNotFoundException", error.to_string()),
            SendError::Unavailable { .. } => ("ThrottlingException", error.to_string()),
        })?;
        match rejection(&sent) {
            None => Ok(()),
            Some(why) => {
                let why = format!("the event is kept among the rejects of stream `{stream}`: {why}");
                Err(("InvalidArgument", why))
            }
        }
    }

    /// An entry as the event that targets receive.
    fn envelope(&self, entry: &Value, id: &str) -> Result<Value, Refused> {
        let (source, kind) = (required(entry, "Source")?, required(entry, "DetailType")?);
        if RESERVED.iter().any(|reserved| source.split('.').next() == Some(reserved)) {
            return Err(("NotAuthorizedForSourceException", "Not authorized for the source.".into()));
        }
        let malformed = || ("MalformedDetail", "Detail is malformed.".to_string());
        let detail = match entry.get("Detail") {
            None | Some(Value::Null) => return Err(missing("Detail")),
            Some(Value::String(text)) => serde_json::from_str::<Value>(text).map_err(|_| malformed())?,
            Some(json) => json.clone(),
        };
        if !detail.is_object() {
            return Err(malformed());
        }
        Ok(json!({
            "version": "0",
            "id": id,
            "detail-type": kind,
            "source": source,
            "account": self.aws.account,
            "time": time(entry, self.caller.now)?,
            "region": self.aws.region,
            "resources": self.resources(entry),
            "detail": detail,
        }))
    }

    fn resources(&self, entry: &Value) -> Vec<Value> {
        let mut resources = entry.get("Resources").and_then(Value::as_array).cloned().unwrap_or_default();
        if !self.caller.is_sdk() {
            resources.push(json!(self.execution));
            resources.extend(machine_of(self.execution).map(Value::String));
        }
        resources
    }
}

/// `arn:…:execution:MACHINE:NAME` or `arn:…:express:MACHINE:…` as the machine's ARN.
fn machine_of(execution: &str) -> Option<String> {
    let parts: Vec<&str> = execution.split(':').collect();
    let (&name, front) = (parts.get(6)?, parts.get(..5)?);
    // A child of a distributed Map: `MACHINE/LABEL`.
    let name = name.split('/').next().unwrap_or_default();
    Some(format!("{}:stateMachine:{name}", front.join(":")))
}

fn text<'a>(entry: &'a Value, name: &str) -> Option<&'a str> {
    entry.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn required<'a>(entry: &'a Value, name: &str) -> Result<&'a str, Refused> {
    text(entry, name).ok_or_else(|| missing(name))
}

fn missing(name: &str) -> Refused {
    ("InvalidArgument", format!("Parameter {name} is not valid. Reason: {name} is a required argument."))
}

/// To the second, as targets get it. A given one is RFC 3339, or seconds since 1970.
fn time(entry: &Value, now: Micros) -> Result<String, Refused> {
    let moment = match entry.get("Time") {
        None | Some(Value::Null) => DateTime::from_timestamp_micros(now),
        Some(Value::String(text)) => DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc()),
        Some(given) => given.as_f64().and_then(|seconds| DateTime::from_timestamp(seconds as i64, 0)),
    };
    let wrong =
        || ("InvalidArgument", "Parameter Time is not valid. Reason: it is no timestamp.".to_string());
    moment.map(|moment| moment.to_rfc3339_opts(SecondsFormat::Secs, true)).ok_or_else(wrong)
}

/// As EventBridge counts it.
fn size(entry: &Value) -> usize {
    let texts = |value: &Value| match value {
        Value::String(text) => text.len(),
        Value::Null => 0,
        json => json.to_string().len(),
    };
    let field = |name: &str| entry.get(name).map_or(0, texts);
    let resources = entry.get("Resources").and_then(Value::as_array).into_iter().flatten().map(texts);
    let time = if entry.get("Time").is_some() { TIME_BYTES } else { 0 };
    field("Source") + field("DetailType") + field("Detail") + resources.sum::<usize>() + time
}
