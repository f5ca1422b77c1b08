//! Fake functions, and the router around all fakes.

use crate::flows::FakeFlows;
use async_trait::async_trait;
use axum::body::Body;
use bourn_aws::{AwsOptions, StepFunctions};
use bourn_config::Aws;
use bourn_event::{Clock, FunctionError, Functions, Invocation, InvokeError, Invoked, ManualClock};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// 2026-01-02T03:04:05.678Z.
pub const NOW: i64 = 1_767_323_045_678_000;

/// Functions that do what their names say; `echo` gives its payload back.
#[derive(Default)]
pub struct FakeFunctions {
    pub queued: Mutex<Vec<Invocation>>,
    pub invoked: Mutex<Vec<Invocation>>,
}

impl FakeFunctions {
    fn refuse(function: &str) -> Option<InvokeError> {
        let (function, why) = (function.to_owned(), "no process".to_owned());
        match function.as_str() {
            "busy" => Some(InvokeError::Throttled { function, retry_after: Duration::from_millis(1_500) }),
            "broken" => Some(InvokeError::Unavailable { function, why }),
            "closed" => Some(InvokeError::Closed),
            "picky" => Some(InvokeError::Invalid("it is not what it takes".into())),
            "small" => Some(InvokeError::TooLarge { bytes: 9, bytes_max: 8 }),
            "gone" => Some(InvokeError::NotFound(function)),
            _ => None,
        }
    }
}

#[async_trait]
impl Functions for FakeFunctions {
    async fn invoke(&self, call: Invocation) -> Result<Invoked, InvokeError> {
        if let Some(error) = Self::refuse(&call.function) {
            return Err(error);
        }
        self.invoked.lock().expect("no panic").push(call.clone());
        let error = match call.function.as_str() {
            "fails" => Some(FunctionError::Handled),
            "crashes" => Some(FunctionError::Unhandled),
            _ => None,
        };
        let failure = json!({"errorType": "ValueError", "errorMessage": "no such carrier"});
        Ok(Invoked {
            request_id: "11111111-2222-3333-4444-555555555555".into(),
            payload: if error.is_some() { failure.to_string().into() } else { call.payload },
            error,
            log_tail: if call.wants_log { Bytes::from_static(b"START\nEND\n") } else { Bytes::new() },
        })
    }

    async fn invoke_later(&self, call: Invocation) -> Result<String, InvokeError> {
        if let Some(error) = Self::refuse(&call.function) {
            return Err(error);
        }
        self.queued.lock().expect("no panic").push(call);
        Ok("99999999-2222-3333-4444-555555555555".into())
    }

    fn names(&self) -> Vec<String> {
        let names = ["broken", "busy", "closed", "crashes", "echo", "fails", "gone", "picky", "small"];
        names.map(str::to_owned).to_vec()
    }
}

/// The router and what stands behind it.
pub struct Server {
    pub router: axum::Router,
    pub functions: Arc<FakeFunctions>,
    pub flows: Arc<FakeFlows>,
    pub drain: CancellationToken,
}

pub fn server() -> Server {
    server_with(Aws::default(), Arc::new(ManualClock::at(NOW)))
}

pub fn server_with(aws: Aws, clock: Arc<dyn Clock>) -> Server {
    let flows = Arc::new(FakeFlows::default());
    Server { flows: flows.clone(), ..server_over(aws, clock, flows) }
}

/// Over other workflows than the fake ones.
pub fn server_over(aws: Aws, clock: Arc<dyn Clock>, workflows: Arc<dyn StepFunctions>) -> Server {
    let functions = Arc::new(FakeFunctions::default());
    let drain = CancellationToken::new();
    let echo: bourn_config::Function =
        serde_json::from_value(json!({"runtime": "python3", "handler": "app.handler", "memory": "128MiB"}))
            .expect("settings");
    let router = bourn_aws::router(AwsOptions {
        aws,
        clock,
        functions: functions.clone(),
        function_settings: BTreeMap::from([("echo".to_owned(), echo)]),
        workflows,
        drain: drain.clone(),
    });
    Server { router, functions, flows: Arc::default(), drain }
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Server {
    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = match self.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        let answer = Answer { status: head.status, headers: head.headers, body };
        assert!(!answer.header("x-amzn-requestid").is_empty(), "every answer has its request id: {answer:?}");
        answer
    }

    pub async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).expect("a request")).await
    }

    /// One operation of Step Functions.
    pub async fn operate(&self, operation: &str, input: Value) -> Answer {
        let target = format!("AWSStepFunctions.{operation}");
        let headers = [("x-amz-target", target.as_str()), ("content-type", "application/x-amz-json-1.0")];
        self.call("POST", "/", &headers, input.to_string()).await
    }
}
