//! `POST /v1/streams/{stream}`: a request becomes a [`Submission`], its answer a response.

use crate::answer::{Answer, Framing, Submission};
use crate::body::{self, BodyLimits};
use crate::cloudevents::Attributes;
use crate::inflate::Coding;
use crate::port::{StreamPort, first_byte};
use crate::problem::Problem;
use crate::split::Shape;
use axum::body::Body;
use axum::response::IntoResponse;
use bourn_event::{Ack, Producer};
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, header, request};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Name of the source of events that come over HTTP.
pub const HTTP_SOURCE: &str = "http";
/// Names an idempotent producer.
pub const PRODUCER_HEADER: &str = "bourn-producer";
/// The producer's number of this request; greater in each new one.
pub const SEQUENCE_HEADER: &str = "bourn-sequence";

/// Asked of every request: names that are not parsed each time.
const PRODUCER: HeaderName = HeaderName::from_static(PRODUCER_HEADER);
const SEQUENCE: HeaderName = HeaderName::from_static(SEQUENCE_HEADER);
const CLOUD_EVENT: HeaderName = HeaderName::from_static("ce-specversion");

const PREFIX: &str = "/v1/streams/";
const PRODUCER_MAX: usize = 128;

struct Shared {
    ports: Arc<BTreeMap<String, Arc<StreamPort>>>,
    limits: BodyLimits,
    source: Arc<str>,
}

/// The way in, for requests under `/v1/streams/`. Streams that are not in `ports` are unknown.
///
/// One function and no router, which would cost every request several allocations.
pub fn handler(
    ports: Arc<BTreeMap<String, Arc<StreamPort>>>,
    limits: BodyLimits,
) -> impl Fn(Request<Body>) -> BoxFuture<'static, Response<Body>> + Clone + Send + Sync {
    let shared = Arc::new(Shared { ports, limits, source: HTTP_SOURCE.into() });
    move |request| {
        let shared = Arc::clone(&shared);
        Box::pin(async move {
            match handle(&shared, request).await {
                Ok(response) => response,
                Err(problem) => problem.into_response(),
            }
        })
    }
}

async fn handle(shared: &Shared, request: Request<Body>) -> Result<Response<Body>, Problem> {
    if request.method() != Method::POST {
        return Err(Problem::method_not_allowed("POST"));
    }
    let (head, body) = request.into_parts();
    let name = head.uri.path().strip_prefix(PREFIX).unwrap_or_default();
    let port = shared.ports.get(name).ok_or_else(|| Problem::unknown_stream(name))?;
    let Options { ack, strict } = options(head.uri.query().unwrap_or_default())?;
    let producer = producer(&head.headers)?;
    let framing = framing(&head)?;
    let codings = codings(&head.headers)?;
    let (body, _held) = body::read(body, &head.headers, &codings, &shared.limits).await?;
    if body.starts_with(b"\xff\xfe") || body.starts_with(b"\xfe\xff") {
        return Err(Problem::unsupported("the body is UTF-16; send UTF-8"));
    }
    let single = is_single(&framing, &body);
    let source = Arc::clone(&shared.source);
    let answer = port.submit(Submission { body, framing, source, producer, ack, strict }).await?;
    if single && answer.rejected == 1 && answer.accepted == 0 {
        let why = answer.errors.first().map(|error| error.message.clone()).unwrap_or_default();
        return Err(Problem::rejected(format!("the event was rejected: {why}"), &answer));
    }
    Ok(respond(&answer))
}

fn respond(answer: &Answer) -> Response<Body> {
    let mut response = Response::new(Body::from(serde_json::to_vec(answer).unwrap_or_default()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Is the body one event rather than a list of them?
fn is_single(framing: &Framing, body: &[u8]) -> bool {
    match framing {
        Framing::Plain(Shape::Json) | Framing::CloudEventBatch => first_byte(body) != Some(b'['),
        Framing::CloudEvent | Framing::CloudEventBinary(_) => true,
        Framing::Plain(Shape::Lines) => false,
    }
}

#[derive(Clone, Copy, Default)]
struct Options {
    ack: Ack,
    strict: bool,
}

fn options(query: &str) -> Result<Options, Problem> {
    let (mut ack, mut strict) = (None, None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let twice = match name {
            "ack" => {
                let parsed = match value {
                    "durable" => Ack::Durable,
                    "memory" => Ack::Memory,
                    "visible" => Ack::Visible,
                    _ => return Err(Problem::bad_request("`ack` is one of durable, memory, visible")),
                };
                ack.replace(parsed).is_some()
            }
            "strict" => {
                let parsed = match value {
                    "true" => true,
                    "false" => false,
                    _ => return Err(Problem::bad_request("`strict` is true or false")),
                };
                strict.replace(parsed).is_some()
            }
            _ => return Err(Problem::bad_request("the parameters of this path are `ack` and `strict`")),
        };
        if twice {
            return Err(Problem::bad_request(format!("the parameter `{name}` comes twice")));
        }
    }
    Ok(Options { ack: ack.unwrap_or_default(), strict: strict.unwrap_or_default() })
}

fn producer(headers: &HeaderMap) -> Result<Option<Producer>, Problem> {
    let one = |name: HeaderName| {
        let mut values = headers.get_all(&name).iter();
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(Problem::bad_request(format!("the header `{name}` comes twice"))),
            (value, None) => Ok(value),
        }
    };
    match (one(PRODUCER)?, one(SEQUENCE)?) {
        (None, None) => Ok(None),
        (Some(id), Some(sequence)) => {
            let id = id.to_str().ok().filter(|id| {
                (1..=PRODUCER_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
            });
            let id = id.ok_or_else(|| {
                Problem::bad_request("`Bourn-Producer` is 1 to 128 visible ASCII characters")
            })?;
            let digits = sequence.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
            let sequence = digits.and_then(|text| text.parse().ok()).ok_or_else(|| {
                Problem::bad_request(format!("`Bourn-Sequence` is an integer from 0 to {}", u64::MAX))
            })?;
            Ok(Some(Producer { id: id.to_owned(), sequence }))
        }
        _ => Err(Problem::bad_request("`Bourn-Producer` and `Bourn-Sequence` come together")),
    }
}

/// How the events lie in the body, by `Content-Type` and the headers of CloudEvents.
fn framing(head: &request::Parts) -> Result<Framing, Problem> {
    let value = match head.headers.get(header::CONTENT_TYPE) {
        None => "application/json",
        Some(value) => value.to_str().map_err(|_| Problem::unsupported("the Content-Type cannot be read"))?,
    };
    let mut parts = value.split(';').map(str::trim);
    let media = parts.next().unwrap_or_default().to_ascii_lowercase();
    let is_envelope = media.starts_with("application/cloudevents");
    if head.headers.contains_key(CLOUD_EVENT) && !is_envelope {
        let headers = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        return Ok(Framing::CloudEventBinary(Box::new(Attributes::from_headers(headers))));
    }
    check_charset(parts)?;
    Ok(match media.as_str() {
        "application/json" | "text/json" => Framing::Plain(Shape::Json),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/x-jsonlines" => {
            Framing::Plain(Shape::Lines)
        }
        "application/cloudevents+json" | "application/cloudevents" => Framing::CloudEvent,
        "application/cloudevents-batch+json" | "application/cloudevents-batch" => Framing::CloudEventBatch,
        _ => {
            return Err(Problem::unsupported(
                "the Content-Type is one of application/json, application/x-ndjson, \
                 application/cloudevents+json, application/cloudevents-batch+json",
            ));
        }
    })
}

fn check_charset<'a>(mut parameters: impl Iterator<Item = &'a str>) -> Result<(), Problem> {
    let charset = parameters.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
    });
    match charset {
        None => Ok(()),
        Some(name) if ["utf-8", "utf8", "us-ascii"].iter().any(|ok| name.eq_ignore_ascii_case(ok)) => Ok(()),
        Some(_) => Err(Problem::unsupported("the charset must be utf-8")),
    }
}

fn codings(headers: &HeaderMap) -> Result<Vec<Coding>, Problem> {
    let mut codings = Vec::new();
    for value in headers.get_all(header::CONTENT_ENCODING) {
        let value =
            value.to_str().map_err(|_| Problem::unsupported("the Content-Encoding cannot be read"))?;
        codings.extend(Coding::parse_list(value).map_err(|name| {
            Problem::unsupported(format!("the Content-Encoding `{name}` is not one of gzip, zstd, deflate"))
        })?);
    }
    Ok(codings)
}
