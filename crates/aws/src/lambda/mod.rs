//! The Lambda API, REST-JSON: `Invoke`, and what it takes to list and describe functions.
//!
//! | call | method and path |
//! | --- | --- |
//! | Invoke | `POST /2015-03-31/functions/{name}/invocations` |
//! | ListFunctions | `GET /2015-03-31/functions` |
//! | GetFunction | `GET /2015-03-31/functions/{name}` |
//! | GetFunctionConfiguration | `GET /2015-03-31/functions/{name}/configuration` |
//!
//! Functions have one version, `$LATEST`, and no aliases. There are no calls that change a function:
//! the pipeline's folder holds it.

mod describe;
mod invoke;
mod name;

use crate::error::{AwsError, Protocol};
use crate::request::{self, Api, with_request_id};
use crate::router::Shared;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, StatusCode};
use name::{FunctionName, decode_segment};
use std::sync::Arc;

const PREFIX: &str = "/2015-03-31/functions";
/// A payload of a synchronous invocation.
const SYNC_BYTES_MAX: usize = 6 << 20;
/// A payload of an asynchronous invocation.
const EVENT_BYTES_MAX: usize = 1 << 20;
const _: () = assert!(EVENT_BYTES_MAX <= SYNC_BYTES_MAX, "the body is read before its type is known");

const API: Api = Api {
    service: "lambda",
    protocol: Protocol::RestJson,
    body_bytes_max: SYNC_BYTES_MAX,
    too_large: "RequestTooLargeException",
    denied: StatusCode::FORBIDDEN,
};

/// What a request asks for; names are decoded.
#[derive(Debug, PartialEq, Eq)]
enum Call {
    Invoke(String),
    List,
    Get(String),
    GetConfiguration(String),
}

impl Call {
    fn of(method: &Method, path: &str) -> Option<Self> {
        let rest = path.strip_prefix(PREFIX)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let mut parts = rest.split('/').skip(1);
        let (name, verb, end) = (parts.next(), parts.next(), parts.next());
        if end.is_some() || !(rest.is_empty() || rest.starts_with('/')) {
            return None;
        }
        let Some(name) = name else { return (method == Method::GET).then_some(Self::List) };
        let name = decode_segment(name)?;
        match (method, verb) {
            (&Method::POST, Some("invocations")) => Some(Self::Invoke(name)),
            (&Method::GET, None) => Some(Self::Get(name)),
            (&Method::GET, Some("configuration")) => Some(Self::GetConfiguration(name)),
            _ => None,
        }
    }
}

/// Answers one request.
pub(crate) async fn answer(shared: Arc<Shared>, request: Request<Body>) -> Response {
    let answered = match request::admit(API, &shared.verifier, request).await {
        Ok((head, body)) => dispatch(&shared, &head, body).await,
        Err(error) => Err(error),
    };
    with_request_id(answered.unwrap_or_else(|error| error.into_response(Protocol::RestJson)))
}

async fn dispatch(shared: &Shared, head: &Parts, body: Bytes) -> Result<Response, AwsError> {
    let query = head.uri.query().unwrap_or_default();
    let Some(call) = Call::of(&head.method, head.uri.path()) else {
        let detail = format!("Unknown operation: {} {}", head.method, head.uri.path());
        return Err(AwsError::new("UnknownOperationException", detail).status(StatusCode::NOT_FOUND));
    };
    let named = |name: &str| FunctionName::parse(name, parameter(query, "Qualifier"), &shared.aws);
    match call {
        Call::Invoke(name) => invoke::answer(shared, &named(&name)?, &head.headers, body).await,
        Call::List => describe::list(shared, query),
        Call::Get(name) => describe::get(shared, &named(&name)?),
        Call::GetConfiguration(name) => describe::get_configuration(shared, &named(&name)?),
    }
}

/// A query parameter, decoded.
fn parameter(query: &str, name: &str) -> Option<String> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (key == name).then(|| decode_segment(value))?
    })
}

fn not_found(name: &FunctionName) -> AwsError {
    AwsError::new("ResourceNotFoundException", format!("Function not found: {}", name.arn))
        .status(StatusCode::NOT_FOUND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_and_a_path_name_one_call_or_none() {
        let cases = [
            ("POST", "/2015-03-31/functions/echo/invocations", Some(Call::Invoke("echo".into()))),
            ("POST", "/2015-03-31/functions/a%3Ab/invocations", Some(Call::Invoke("a:b".into()))),
            ("GET", "/2015-03-31/functions", Some(Call::List)),
            ("GET", "/2015-03-31/functions/", Some(Call::List)),
            ("GET", "/2015-03-31/functions/echo", Some(Call::Get("echo".into()))),
            ("GET", "/2015-03-31/functions/echo/", Some(Call::Get("echo".into()))),
            ("GET", "/2015-03-31/functions/echo/configuration", Some(Call::GetConfiguration("echo".into()))),
            ("GET", "/2015-03-31/functions/echo/invocations", None),
            ("POST", "/2015-03-31/functions", None),
            ("DELETE", "/2015-03-31/functions/echo", None),
            ("GET", "/2015-03-31/functions/echo/configuration/x", None),
            ("GET", "/2015-03-31/functions2", None),
            ("GET", "/2015-03-31/functions/%ff", None),
            ("GET", "/2015-03-31/layers", None),
        ];
        for (method, path, call) in cases {
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            assert_eq!(Call::of(&method, path), call, "{method} {path}");
        }
    }
}
