//! The AWS Lambda Runtime API, version 2018-06-01, as one process sees it.
//!
//! | request | answers |
//! | --- | --- |
//! | `GET /runtime/invocation/next` | 200 with the event, once there is one; 403 while one is unanswered |
//! | `POST /runtime/invocation/{id}/response` | 202; 400 unknown id; 403 answered already; 413 too large |
//! | `POST /runtime/invocation/{id}/error` | the same |
//! | `POST /runtime/init/error` | 202; 403 once the first event was asked for |
//!
//! Each process has a port of its own on the loopback interface, so that it needs to name itself nowhere.
//! Source: "Using the Lambda runtime API for custom runtimes" in the AWS Lambda developer guide.

use crate::call::{Ended, Work, as_json, error_payload, reported};
use crate::pool::Pool;
use crate::process::{Ending, GRACE, Process};
use crate::roster::Misstep;
use crate::settings::PAYLOAD_BYTES_MAX;
use base64::Engine;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};

const PREFIX: &str = "/2018-06-01/runtime/";

/// Connections of one process at once.
const CONNECTIONS_MAX: usize = 32;

/// An answer that is too large is read this far, so that its sender hears why.
const OVERSIZE_BYTES_MAX: u64 = 1 << 30;

const ERROR_TYPE: &str = "lambda-runtime-function-error-type";
const ERROR_BODY: &str = "lambda-runtime-function-error-body";

type Answer = Response<Full<Bytes>>;

/// Serves one process until it is gone.
pub(crate) async fn serve(pool: Arc<Pool>, process: Arc<Process>, listener: TcpListener) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = process.gone.cancelled() => return,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            continue;
        };
        let (pool, process) = (pool.clone(), process.clone());
        tokio::spawn(async move {
            converse(pool, process, stream).await;
            drop(place);
        });
    }
}

async fn converse(pool: Arc<Pool>, process: Arc<Process>, stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let gone = process.gone.clone();
    let service = service_fn(move |request| {
        let (pool, process) = (pool.clone(), process.clone());
        async move { Ok::<_, Infallible>(route(&pool, &process, request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // A process may hang up when it likes; what that means for its call is decided elsewhere.
        _ = connection => {}
        () = gone.cancelled() => {}
    }
}

async fn route(pool: &Arc<Pool>, process: &Arc<Process>, request: Request<Incoming>) -> Answer {
    let path = request.uri().path().to_owned();
    let parts: Vec<&str> = match path.strip_prefix(PREFIX) {
        Some(place) => place.split('/').collect(),
        None => Vec::new(),
    };
    let (expected, post) = match parts[..] {
        ["invocation", "next"] => (Method::GET, None),
        ["invocation", id, "response"] => (Method::POST, Some((id, false))),
        ["invocation", id, "error"] => (Method::POST, Some((id, true))),
        ["init", "error"] => (Method::POST, None),
        _ => return unread(request, not_found(&path)).await,
    };
    if *request.method() != expected {
        let refusal = refusal(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", &format!("use {expected}"));
        return unread(request, refusal).await;
    }
    match post {
        Some((id, failed)) => answered(pool, process, id, failed, request).await,
        None if parts[0] == "init" => init_error(pool, process, request).await,
        None => next(pool, process).await,
    }
}

/// A request for an event that waits. If its connection goes, the process no longer waits.
struct Parked<'a> {
    pool: &'a Arc<Pool>,
    process: &'a Arc<Process>,
    event: oneshot::Receiver<Work>,
    told: bool,
}

impl Drop for Parked<'_> {
    fn drop(&mut self) {
        if !self.told {
            self.pool.unpark(self.process, &mut self.event);
        }
    }
}

async fn next(pool: &Arc<Pool>, process: &Arc<Process>) -> Answer {
    let event = match pool.park(process) {
        Ok(event) => event,
        Err(Misstep::Ending) => {
            pool.end(process, Ending::Stale);
            return std::future::pending().await;
        }
        Err(misstep) => return misstep_answer(&misstep, "Next"),
    };
    let mut parked = Parked { pool, process, event, told: false };
    let Ok(work) = (&mut parked.event).await else {
        // Another request took this one's place, or the process is ending.
        parked.told = true;
        return misstep_answer(&Misstep::State("Next"), "Next");
    };
    parked.told = true;
    process.intake.begin(&work.request_id, work.wants_log);
    event_answer(pool, work)
}

fn event_answer(pool: &Pool, work: Work) -> Answer {
    let mut answer = Response::new(Full::new(work.payload));
    let headers = answer.headers_mut();
    let mut put = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            headers.insert(name, value);
        }
    };
    put("content-type", "application/json");
    put("lambda-runtime-aws-request-id", &work.request_id);
    put("lambda-runtime-deadline-ms", &work.deadline_ms.to_string());
    put("lambda-runtime-invoked-function-arn", &pool.arn);
    put("lambda-runtime-trace-id", &work.trace);
    if let Some(context) = &work.client_context {
        put("lambda-runtime-client-context", context);
    }
    answer
}

async fn answered(
    pool: &Arc<Pool>,
    process: &Arc<Process>,
    id: &str,
    failed: bool,
    request: Request<Incoming>,
) -> Answer {
    let wanted = if failed { "InvocationErrorResponse" } else { "InvocationResponse" };
    if let Err(misstep) = pool.holds(process, id) {
        return unread(request, misstep_answer(&misstep, wanted)).await;
    }
    let error_type = text_of(request.headers(), ERROR_TYPE);
    let (body, trailers) = match whole(request.into_body()).await {
        Body::Whole(body, trailers) => (body, trailers),
        Body::TooLarge(bytes) => return too_large(pool, process, id, bytes),
        // It hung up in the middle; it may try again, or its time will be over.
        Body::Broken => return refusal(StatusCode::BAD_REQUEST, "IncompleteBody", "the body broke off"),
    };
    let late = trailers.as_ref().and_then(|trailers| text_of(trailers, ERROR_TYPE));
    let ended = if failed {
        let (kind, payload) = reported(body, error_type.as_deref());
        Ended::Failed { kind, payload }
    } else if let Some(kind) = late {
        let told = trailers.as_ref().and_then(|trailers| text_of(trailers, ERROR_BODY)).unwrap_or_default();
        let told = base64::engine::general_purpose::STANDARD.decode(told).unwrap_or_default();
        let (kind, payload) = reported(told.into(), Some(&kind));
        Ended::Failed { kind, payload }
    } else {
        Ended::Answered(as_json(body))
    };
    match pool.finish(process, id, ended) {
        Ok(()) => accepted(),
        Err(misstep) => misstep_answer(&misstep, wanted),
    }
}

fn too_large(pool: &Arc<Pool>, process: &Arc<Process>, id: &str, bytes: u64) -> Answer {
    let message = format!(
        "Response payload size ({bytes} bytes) exceeded maximum allowed payload size ({PAYLOAD_BYTES_MAX} bytes)."
    );
    let kind = "Function.ResponseSizeTooLarge";
    let ended = Ended::Broken { kind, payload: error_payload(kind, &message) };
    match pool.finish(process, id, ended) {
        Ok(()) => {
            let message = format!("Exceeded maximum allowed payload size ({PAYLOAD_BYTES_MAX} bytes).");
            refusal(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", &message)
        }
        Err(misstep) => misstep_answer(&misstep, "InvocationResponse"),
    }
}

async fn init_error(pool: &Arc<Pool>, process: &Arc<Process>, request: Request<Incoming>) -> Answer {
    if !pool.is_starting(process) {
        return unread(request, misstep_answer(&Misstep::State("Ready"), "InitError")).await;
    }
    let error_type = text_of(request.headers(), ERROR_TYPE);
    let body = match whole(request.into_body()).await {
        Body::Whole(body, _) => body,
        Body::TooLarge(_) | Body::Broken => Bytes::new(),
    };
    let (kind, payload) = reported(body, error_type.as_deref());
    process.set_init_error(kind.clone(), payload.clone());
    let (pool, process) = (pool.clone(), process.clone());
    tokio::spawn(async move {
        // It should end by itself now.
        tokio::time::sleep(GRACE).await;
        pool.end(&process, Ending::InitError { kind, payload });
    });
    accepted()
}

/// Answers a request whose body means nothing. It is read all the same: a connection with an unread body
/// would have to be closed.
async fn unread(request: Request<Incoming>, answer: Answer) -> Answer {
    whole(request.into_body()).await;
    answer
}

enum Body {
    Whole(Bytes, Option<HeaderMap>),
    TooLarge(u64),
    Broken,
}

/// The whole body, if it is not too large; else its size. In streaming mode it comes in chunks, and its
/// trailers may tell of an error.
async fn whole(mut body: Incoming) -> Body {
    let mut first: Option<Bytes> = None;
    let mut more = BytesMut::new();
    let (mut bytes, mut trailers) = (0u64, None);
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return if bytes > PAYLOAD_BYTES_MAX as u64 { Body::TooLarge(bytes) } else { Body::Broken };
        };
        match frame.into_data() {
            Ok(data) => {
                bytes += data.len() as u64;
                if bytes > OVERSIZE_BYTES_MAX {
                    return Body::TooLarge(bytes);
                }
                if bytes > PAYLOAD_BYTES_MAX as u64 {
                    (first, more) = (None, BytesMut::new());
                } else if first.is_none() && more.is_empty() {
                    first = Some(data);
                } else {
                    if let Some(first) = first.take() {
                        more.extend_from_slice(&first);
                    }
                    more.extend_from_slice(&data);
                }
            }
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    if bytes > PAYLOAD_BYTES_MAX as u64 {
        return Body::TooLarge(bytes);
    }
    Body::Whole(first.unwrap_or_else(|| more.freeze()), trailers)
}

fn text_of(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

fn accepted() -> Answer {
    with_json(StatusCode::ACCEPTED, Bytes::from_static(b"{\"status\":\"OK\"}\n"))
}

fn not_found(path: &str) -> Answer {
    let message =
        format!("{path} is not of the Runtime API 2018-06-01; extensions and telemetry are not served");
    refusal(StatusCode::NOT_FOUND, "NotFound", &message)
}

fn misstep_answer(misstep: &Misstep, wanted: &str) -> Answer {
    match misstep {
        Misstep::UnknownId => refusal(StatusCode::BAD_REQUEST, "InvalidRequestID", "Invalid request ID"),
        Misstep::State(state) => {
            let message = format!("Transition from {state} to {wanted} is not allowed");
            refusal(StatusCode::FORBIDDEN, "InvalidStateTransition", &message)
        }
        Misstep::Ending => {
            let message = "Container error. Non-recoverable state.";
            refusal(StatusCode::INTERNAL_SERVER_ERROR, "ContainerError", message)
        }
    }
}

fn refusal(status: StatusCode, kind: &str, message: &str) -> Answer {
    with_json(status, error_payload(kind, message))
}

fn with_json(status: StatusCode, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    answer
}
