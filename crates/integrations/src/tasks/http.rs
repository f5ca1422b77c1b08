//! HTTP calls of Tasks: `http:invoke`, `apigateway:invoke`, and notices to webhooks (`sns:publish`).
//!
//! A Task's call is made once: `Retry` in the definition says what happens then, and sees the error
//! that AWS would give. Webhooks are retried, behind a breaker, with the same message id.

use super::form;
use super::read::Reader;
use super::resource::last_part;
use super::service::{Caller, object, uuid_of};
use super::streams::attributes;
use crate::connection::connect;
use crate::outbound::{Outbound, OutboundError, Policy, Request, Response, Retry};
use bourn_config::suggest::hint;
use bourn_config::{Connection, Notifier};
use bourn_event::TaskFailure;
use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// As AWS has it.
const TIMEOUT: Duration = Duration::from_secs(60);
/// A state's output is limited to much less.
const RESPONSE_BYTES_MAX: usize = 4 << 20;
const CONCURRENCY: usize = 64;
const NOTICE_TIMEOUT: Duration = Duration::from_secs(15);

/// Headers of the connection itself; a definition cannot set them.
const NOT_SETTABLE: [&str; 9] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "proxy-authorization",
];

fn once() -> Policy {
    Policy {
        timeout: TIMEOUT,
        response_bytes_max: RESPONSE_BYTES_MAX,
        concurrency: CONCURRENCY,
        retry: Retry::never(),
        breaker: None,
    }
}

/// What reaches the outside.
pub(super) struct Web {
    pub outbound: Outbound,
    pub connections: BTreeMap<String, Connection>,
    pub notifiers: BTreeMap<String, Notifier>,
}

/// A parameter that does not fit.
fn runtime(why: impl Into<String>) -> TaskFailure {
    TaskFailure::new("States.Runtime", why)
}

impl Web {
    /// `http:invoke`.
    pub async fn invoke(&self, caller: Caller<'_>, parameters: &Value) -> Result<Value, TaskFailure> {
        let read = Reader::new(caller, parameters);
        let endpoint = text(read, "ApiEndpoint")?;
        let mut url = address(endpoint)?;
        form::add_query(&mut url, read.value("QueryParameters")).map_err(runtime)?;
        let mut headers = headers(read.value("Headers"))?;
        let encoding = read.value("Transform").and_then(|transform| transform.get("RequestBodyEncoding"));
        let body = match read.value("RequestBody") {
            None => Bytes::new(),
            Some(body) if encoding.and_then(Value::as_str) == Some("URL_ENCODED") => {
                let options =
                    read.value("Transform").and_then(|transform| transform.get("RequestEncodingOptions"));
                let arrays = options.and_then(|options| options.get("ArrayFormat")).and_then(Value::as_str);
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
                form::encode(body, arrays.unwrap_or("INDICES")).map_err(runtime)?.into()
            }
            Some(body) => payload(body, &mut headers),
        };
        let connection = ["Authentication", "InvocationConfig"]
            .iter()
            .find_map(|name| read.value(name)?.get("ConnectionArn")?.as_str());
        let mut name = None;
        if let Some(arn) = connection {
            let (found, connection) = self.connection(arn)?;
            connect(found, connection, &url, &mut headers).map_err(runtime)?;
            name = Some(format!("connection {found}"));
        }
        let answer = self.exchange(read, name, url, headers, body).await?;
        if answer.is_success() {
            return Ok(shown(&answer));
        }
        let cause = String::from_utf8_lossy(&answer.body).into_owned();
        let cause = if cause.is_empty() { status_text(answer.status).to_string() } else { cause };
        Err(TaskFailure::new(format!("States.Http.StatusCode.{}", answer.status), cause))
    }

    /// `apigateway:invoke`: the endpoint is a host, perhaps with its scheme; `Stage` and `Path` follow it.
    pub async fn invoke_gateway(&self, caller: Caller<'_>, parameters: &Value) -> Result<Value, TaskFailure> {
        let read = Reader::new(caller, parameters);
        let host = text(read, "ApiEndpoint")?.trim_end_matches('/');
        let mut whole = if host.contains("://") { host.to_string() } else { format!("https://{host}") };
        for part in ["Stage", "Path"] {
            if let Some(part) = read.maybe_text(part)?.filter(|part| !part.is_empty()) {
                whole.push('/');
                whole.push_str(part.trim_start_matches('/'));
            }
        }
        let mut url = address(&whole)?;
        form::add_query(&mut url, read.value("QueryParameters")).map_err(runtime)?;
        let mut headers = headers(read.value("Headers"))?;
        let nulls = read.value("AllowNullValues").and_then(Value::as_bool).unwrap_or(false);
        let body = match parameters.get("RequestBody") {
            None => Bytes::new(),
            Some(Value::Null) if !nulls => Bytes::new(),
            Some(body) => payload(body, &mut headers),
        };
        let fail = |failure: TaskFailure| match failure.error.as_str() {
            "States.Http.Socket" => TaskFailure::new("ApiGateway.SdkClientException", failure.cause),
            _ => failure,
        };
        let answer = self.exchange(read, None, url, headers, body).await.map_err(fail)?;
        if answer.is_success() {
            return Ok(shown(&answer));
        }
        let cause = String::from_utf8_lossy(&answer.body).into_owned();
        Err(TaskFailure::new(format!("ApiGateway.{}", answer.status), cause))
    }

    /// `sns:publish`: a POST of `{"id", "subject", "message", "attributes"}` to a notifier's webhook.
    pub async fn publish(&self, caller: Caller<'_>, parameters: &Value) -> Result<Value, TaskFailure> {
        let read = Reader::new(caller, parameters);
        let topic = match read.maybe_text("TopicArn")? {
            Some(topic) => topic,
            None => read.text("TargetArn")?,
        };
        let name = last_part(topic);
        let Some(notifier) = self.notifiers.get(name) else {
            return Err(caller.fail("NotFoundException", "NotFound", 404, "Topic does not exist"));
        };
        let invalid = |why: String| {
            caller.fail(
                "InvalidParameterException",
                "InvalidParameter",
                400,
                format!("Invalid parameter: {why}"),
            )
        };
        let message = match read.value("Message") {
            None => return Err(invalid("Empty message".into())),
            Some(Value::String(text)) if text.is_empty() => return Err(invalid("Empty message".into())),
            Some(message) => message,
        };
        let id = uuid_of(&["notice", caller.id]);
        let body = json!({
            "id": id,
            "subject": read.maybe_text("Subject")?,
            "message": message,
            "attributes": attributes(read.value("MessageAttributes")),
        });
        let url = Url::parse(&notifier.webhook)
            .map_err(|_| invalid(format!("the webhook of `{name}` is no address")))?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Ok(key) = HeaderValue::from_str(&id) {
            headers.insert(HeaderName::from_static("idempotency-key"), key);
        }
        if let Some(connection) = &notifier.connection {
            let (found, connection) =
                self.connection(connection).map_err(|failure| invalid(failure.cause))?;
            connect(found, connection, &url, &mut headers).map_err(invalid)?;
        }
        let request = Request {
            endpoint: format!("notifier {name}"),
            method: Method::POST,
            url,
            headers,
            body: body.to_string().into(),
        };
        let policy = Policy { timeout: NOTICE_TIMEOUT, response_bytes_max: 1 << 20, ..Policy::default() };
        let undelivered = |why: String| {
            caller.fail(
                "InternalErrorException",
                "InternalError",
                500,
                format!("The notice was not delivered: {why}"),
            )
        };
        match self.outbound.call(&request, &policy).await {
            Ok(answer) if answer.is_success() => {
                Ok(caller.answer(object(json!({ "MessageId": id })), "application/json", &[]))
            }
            Ok(answer) => Err(undelivered(format!("notifier {name} answered with status {}", answer.status))),
            Err(error) => Err(undelivered(error.to_string())),
        }
    }

    fn connection(&self, given: &str) -> Result<(&str, &Connection), TaskFailure> {
        // `arn:aws:events:region:account:connection/name/id`, or the bare name.
        let name = match given.split_once(":connection/") {
            Some((_, rest)) => rest.split('/').next().unwrap_or_default(),
            None => given,
        };
        if let Some((name, connection)) = self.connections.get_key_value(name) {
            return Ok((name, connection));
        }
        let hint = hint(name, self.connections.keys().map(String::as_str));
        let hint = hint.map(|hint| format!(": {hint}")).unwrap_or_default();
        Err(runtime(format!("there is no connection `{name}`{hint}")))
    }

    async fn exchange(
        &self,
        read: Reader<'_>,
        endpoint: Option<String>,
        url: Url,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response, TaskFailure> {
        let method = text(read, "Method")?;
        let method = Method::from_bytes(method.as_bytes()).ok().filter(|method| {
            [
                Method::GET,
                Method::POST,
                Method::PUT,
                Method::DELETE,
                Method::PATCH,
                Method::OPTIONS,
                Method::HEAD,
            ]
            .contains(method)
        });
        let method = method.ok_or_else(|| {
            runtime("`Method` must be GET, POST, PUT, DELETE, PATCH, OPTIONS or HEAD".to_string())
        })?;
        let host = || format!("host {}", url.host_str().unwrap_or_default());
        let request = Request { endpoint: endpoint.unwrap_or_else(host), method, url, headers, body };
        self.outbound.call(&request, &once()).await.map_err(|error| match error {
            OutboundError::TooLarge { .. } => TaskFailure::new("States.DataLimitExceeded", error.to_string()),
            OutboundError::Invalid { .. } => runtime(error.to_string()),
            _ => TaskFailure::new("States.Http.Socket", error.to_string()),
        })
    }
}

fn text<'a>(read: Reader<'a>, name: &str) -> Result<&'a str, TaskFailure> {
    match read.value(name) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text),
        _ => Err(runtime(format!("`{name}` must be a text"))),
    }
}

fn address(text: &str) -> Result<Url, TaskFailure> {
    let url = Url::parse(text).map_err(|error| runtime(format!("`ApiEndpoint` is no address: {error}")))?;
    if matches!(url.scheme(), "http" | "https") && url.has_host() {
        return Ok(url);
    }
    Err(runtime("`ApiEndpoint` must begin with https:// or http://".to_string()))
}

/// Headers are texts, or lists of texts that are joined with commas.
fn headers(given: Option<&Value>) -> Result<HeaderMap, TaskFailure> {
    let mut headers = HeaderMap::new();
    let given = match given {
        None => return Ok(headers),
        Some(Value::Object(given)) => given,
        Some(_) => return Err(runtime("`Headers` must be an object of texts".to_string())),
    };
    for (name, value) in given {
        if NOT_SETTABLE.contains(&name.to_ascii_lowercase().as_str()) {
            return Err(runtime(format!("the header `{name}` belongs to the connection and cannot be set")));
        }
        let joined = match value {
            Value::Array(values) => {
                values.iter().map(form::scalar).collect::<Option<Vec<_>>>().map(|all| all.join(","))
            }
            other => form::scalar(other),
        };
        let key = HeaderName::from_bytes(name.as_bytes()).ok();
        let value = joined.and_then(|value| HeaderValue::from_str(&value).ok());
        let (Some(key), Some(value)) = (key, value) else {
            return Err(runtime(format!("the header `{name}` is not valid")));
        };
        headers.insert(key, value);
    }
    Ok(headers)
}

/// A body as JSON, or a text as it is if the headers say that it is something else.
fn payload(body: &Value, headers: &mut HeaderMap) -> Bytes {
    let is_json = headers
        .get(CONTENT_TYPE)
        .is_none_or(|kind| kind.to_str().is_ok_and(|kind| kind.to_ascii_lowercase().contains("json")));
    if !headers.contains_key(CONTENT_TYPE) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    match body {
        Value::String(text) if !is_json => Bytes::from(text.clone()),
        body => body.to_string().into(),
    }
}

/// `{Headers, ResponseBody, StatusCode, StatusText}`; the body is JSON if it says so and is so.
fn shown(answer: &Response) -> Value {
    let mut headers: Map<String, Value> = Map::new();
    for (name, value) in &answer.headers {
        let value = Value::String(String::from_utf8_lossy(value.as_bytes()).into_owned());
        match headers.entry(name.as_str()).or_insert_with(|| json!([])) {
            Value::Array(all) => all.push(value),
            other => *other = json!([value]),
        }
    }
    let kind = answer.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let json = kind
        .to_ascii_lowercase()
        .contains("json")
        .then(|| serde_json::from_slice(&answer.body).ok())
        .flatten();
    let body = json.unwrap_or_else(|| Value::String(String::from_utf8_lossy(&answer.body).into_owned()));
    json!({
        "Headers": headers,
        "ResponseBody": body,
        "StatusCode": answer.status,
        "StatusText": status_text(answer.status),
    })
}

fn status_text(status: u16) -> &'static str {
    reqwest::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or_default()
}
