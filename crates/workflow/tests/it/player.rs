//! Plays what a case says of functions and other services.

use async_trait::async_trait;
use bourn_event::{Clock, ManualClock, TaskFailure, TaskRequest, Tasks};
use bourn_workflow::{ObjectItem, Objects};
use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use tokio::sync::oneshot;

/// What services answer in one case.
#[derive(Default)]
pub struct Script {
    lambdas: BTreeMap<String, Value>,
    /// Outputs of calls that succeeded, and the failures, each in the order of the recording.
    successes: VecDeque<Value>,
    failures: VecDeque<(Option<String>, Option<String>)>,
    submissions: VecDeque<Value>,
    /// Recorded ends of calls to other services, by resource.
    services: BTreeMap<String, VecDeque<Value>>,
    objects: BTreeMap<(String, String), Bytes>,
}

pub struct Player {
    pub clock: Arc<ManualClock>,
    pub script: Mutex<Script>,
    sleeping: Mutex<Vec<(i64, oneshot::Sender<()>)>>,
    /// Tokens that were handed out, with how each is to be answered.
    pub tokens: Mutex<VecDeque<Value>>,
}

fn cause_text(cause: &Value, spaced: bool) -> Option<String> {
    match cause {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        object if spaced => Some(python(object)),
        object => Some(object.to_string()),
    }
}

/// JSON as Python writes it.
fn python(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields: Vec<_> = fields.iter().map(|(k, v)| format!("{}: {}", json!(k), python(v))).collect();
            format!("{{{}}}", fields.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(python).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

impl Script {
    pub fn of(case: &Value) -> Self {
        let mut script = Self::default();
        for (arn, behaviour) in case["lambdas"].as_object().into_iter().flatten() {
            script.lambdas.insert(arn.rsplit(':').next().unwrap_or_default().to_owned(), behaviour.clone());
        }
        for event in case["expect"]["events"].as_array().into_iter().flatten() {
            script.learn(event);
        }
        for (bucket, files) in case["resources"]["s3"].as_object().into_iter().flatten() {
            for (key, body) in files.as_object().into_iter().flatten() {
                let body = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
                script.objects.insert((bucket.clone(), key.clone()), body.into());
            }
        }
        script
    }

    fn learn(&mut self, event: &Value) {
        let (kind, details) = (event["type"].as_str().unwrap_or_default(), &event["details"]);
        let resource = format!(
            "{}:{}",
            details["resourceType"].as_str().unwrap_or_default(),
            details["resource"].as_str().unwrap_or_default()
        );
        let is_function = kind.starts_with("Lambda") || details["resourceType"] == "lambda";
        match kind {
            "TaskSubmitted" => self.submissions.push_back(details["output"].clone()),
            "TaskSucceeded" | "LambdaFunctionSucceeded" if is_function => {
                self.successes.push_back(details["output"].clone());
            }
            "TaskFailed" | "LambdaFunctionFailed" if is_function => {
                let error = details["error"].as_str().map(str::to_owned);
                let cause = cause_text(&details["cause"], kind.starts_with("Lambda"));
                self.failures.push_back((error, cause));
            }
            "TaskSucceeded" | "TaskFailed" | "TaskTimedOut" => {
                self.services.entry(resource).or_default().push_back(event.clone());
            }
            _ => {}
        }
    }

    fn failure(&mut self, error: &str, cause: String) -> TaskFailure {
        let position = self.failures.iter().position(|(name, _)| name.as_deref() == Some(error));
        match position.and_then(|index| self.failures.remove(index)) {
            Some((error, cause)) => TaskFailure::new(error.unwrap_or_default(), cause.unwrap_or_default()),
            None => TaskFailure::new(error, cause),
        }
    }

    fn success(&mut self, payload: Value, invoked: bool) -> Value {
        let same = |output: &Value| (if invoked { &output["Payload"] } else { output }) == &payload;
        let alike = |output: &Value| output.is_string() || payload.is_object();
        let found = self.successes.iter().position(same).or_else(|| self.successes.iter().position(alike));
        match found.and_then(|index| self.successes.get(index).cloned().map(|output| (index, output))) {
            Some((index, output)) if invoked => {
                self.successes.remove(index);
                let mut output = output;
                output["Payload"] = payload;
                output
            }
            _ if invoked => json!({"ExecutedVersion": "$LATEST", "Payload": payload, "StatusCode": 200}),
            _ => payload,
        }
    }
}

impl Player {
    pub fn new(clock: Arc<ManualClock>) -> Self {
        Self { clock, script: Mutex::default(), sleeping: Mutex::default(), tokens: Mutex::default() }
    }

    pub fn asleep(&self) -> usize {
        let mut sleeping = self.sleeping.lock();
        sleeping.retain(|(_, tell)| !tell.is_closed());
        sleeping.len()
    }

    pub fn next_wake(&self) -> Option<i64> {
        self.sleeping.lock().iter().map(|(due, _)| *due).min()
    }

    /// Wakes who is due.
    pub fn wake(&self) {
        let now = self.clock.now();
        let mut sleeping = self.sleeping.lock();
        let (due, rest) = std::mem::take(&mut *sleeping).into_iter().partition(|(due, _)| *due <= now);
        *sleeping = rest;
        let due: Vec<(i64, oneshot::Sender<()>)> = due;
        for (_, tell) in due {
            let _ = tell.send(());
        }
    }

    async fn sleep(&self, seconds: f64) {
        let (tell, told) = oneshot::channel();
        self.sleeping.lock().push((self.clock.now() + (seconds * 1e6) as i64, tell));
        let _ = told.await;
    }

    async fn behave(
        &self,
        name: &str,
        behaviour: Value,
        payload: Value,
        invoked: bool,
    ) -> Result<Value, TaskFailure> {
        let mut behaviour = behaviour;
        while behaviour["kind"] == "sleep" {
            self.sleep(behaviour["seconds"].as_f64().unwrap_or(0.0)).await;
            behaviour = behaviour["then"].clone();
        }
        let mut script = self.script.lock();
        Ok(match behaviour["kind"].as_str().unwrap_or_default() {
            "echo" => script.success(payload, invoked),
            "static" => script.success(behaviour["payload"].clone(), invoked),
            "prefix" => {
                let text = format!("{}{}", behaviour["prefix"].as_str().unwrap_or_default(), repr(&payload));
                script.success(Value::String(text), invoked)
            }
            "raw-text" => {
                let count = behaviour["count"].as_u64().unwrap_or(0) as usize;
                Value::String(behaviour["repeat"].as_str().unwrap_or("a").repeat(count))
            }
            "raise" => {
                let (kind, message) = (&behaviour["error_type"], &behaviour["message"]);
                let cause = json!({
                    "errorMessage": message, "errorType": kind, "requestId": "<uuid:1>", "stackTrace": []
                });
                let cause = if invoked { cause.to_string() } else { python(&cause) };
                return Err(script.failure(kind.as_str().unwrap_or_default(), cause));
            }
            other => return Err(TaskFailure::new("Test.Unknown", format!("{name} is a {other}"))),
        })
    }
}

/// A value as Python's `str` writes it.
fn repr(value: &Value) -> String {
    match value {
        Value::String(text) => format!("'{text}'"),
        Value::Array(items) => format!("[{}]", items.iter().map(repr).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let fields: Vec<_> = fields.iter().map(|(k, v)| format!("'{k}': {}", repr(v))).collect();
            format!("{{{}}}", fields.join(", "))
        }
        Value::Null => "None".into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        other => other.to_string(),
    }
}

#[async_trait]
impl Tasks for Player {
    fn check(&self, resource: &str, _: &str, _: Option<&Value>) -> Result<(), String> {
        if resource.ends_with("dynamodb:query") {
            return Err(format!(
                "The resource provided {resource} is not recognized. The value is not a valid resource ARN, or \
                 the resource is not available in this region."
            ));
        }
        Ok(())
    }

    async fn submit(&self, request: &TaskRequest) -> Result<Value, TaskFailure> {
        let invoked = request.resource.contains(":states:::lambda:invoke");
        let direct = request.resource.contains(":lambda:") && !invoked;
        let token = find_token(&request.parameters);
        if let Some(token) = &token {
            self.tokens.lock().push_back(json!(token));
        }
        if invoked || direct {
            let named =
                if invoked { request.parameters["FunctionName"].clone() } else { json!(request.resource) };
            let name = named.as_str().unwrap_or_default().rsplit(':').next().unwrap_or_default().to_owned();
            if let (Some(_), Some(answer)) = (&token, self.script.lock().submissions.pop_front()) {
                return Ok(answer);
            }
            let Some(behaviour) = self.script.lock().lambdas.get(&name).cloned() else {
                let mut script = self.script.lock();
                let error = script.failures.front().and_then(|f| f.0.clone());
                let error = error.unwrap_or_else(|| "Lambda.ResourceNotFoundException".into());
                return Err(script.failure(&error, "Function not found".into()));
            };
            let payload = if invoked {
                request.parameters.get("Payload").cloned().unwrap_or_else(|| json!({}))
            } else {
                request.parameters.clone()
            };
            // A text is the function's payload as it is.
            let payload = match &payload {
                Value::String(text) if invoked => serde_json::from_str(text).unwrap_or(payload),
                _ => payload,
            };
            return self.behave(&name, behaviour, payload, invoked).await;
        }
        let mut script = self.script.lock();
        if let Some(answer) = script.submissions.pop_front() {
            return Ok(answer);
        }
        script.replay(&request.resource)
    }

    async fn wait(&self, request: &TaskRequest, _: &Value) -> Result<Value, TaskFailure> {
        self.script.lock().replay(&request.resource)
    }
}

impl Script {
    fn replay(&mut self, resource: &str) -> Result<Value, TaskFailure> {
        let base = resource.rsplit(":::").next().unwrap_or_default().to_owned();
        let queue = self
            .services
            .iter_mut()
            .find(|(key, queue)| !queue.is_empty() && key.split('.').next() == Some(base.as_str()));
        let Some(event) = queue.and_then(|(_, queue)| queue.pop_front()) else {
            return Err(TaskFailure::new("Test.NotRecorded", resource));
        };
        let details = &event["details"];
        match event["type"].as_str() {
            Some("TaskSucceeded") => Ok(details["output"].clone()),
            _ => Err(TaskFailure::new(
                details["error"].as_str().unwrap_or_default(),
                cause_text(&details["cause"], false).unwrap_or_default(),
            )),
        }
    }
}

fn find_token(value: &Value) -> Option<String> {
    match value {
        Value::Object(fields) => fields.iter().find_map(|(key, value)| match value {
            Value::String(text) if key.to_lowercase().contains("tasktoken") => Some(text.clone()),
            other => find_token(other),
        }),
        Value::Array(items) => items.iter().find_map(find_token),
        _ => None,
    }
}

#[async_trait]
impl Objects for Player {
    async fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&str>,
        max: usize,
    ) -> Result<Vec<ObjectItem>, TaskFailure> {
        let script = self.script.lock();
        let found = script.objects.iter().filter(|((b, key), _)| {
            b == bucket && key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after)
        });
        let item = |((_, key), body): (&(String, String), &Bytes)| ObjectItem {
            key: key.clone(),
            size: body.len() as u64,
            etag: "<Etag>".into(),
            modified_s: 0,
        };
        Ok(found.take(max).map(item).collect())
    }

    async fn get(&self, bucket: &str, key: &str, _: u64) -> Result<Bytes, TaskFailure> {
        let found = self.script.lock().objects.get(&(bucket.to_owned(), key.to_owned())).cloned();
        found.ok_or_else(|| TaskFailure::new("S3.NoSuchKeyException", "The specified key does not exist."))
    }

    async fn put(&self, bucket: &str, key: &str, body: Bytes) -> Result<String, TaskFailure> {
        self.script.lock().objects.insert((bucket.to_owned(), key.to_owned()), body);
        Ok("<Etag>".into())
    }
}
