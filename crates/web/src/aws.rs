//! The server's own refusals on AWS's routes, in the form that AWS clients read: the name of the error in
//! `x-amzn-ErrorType` and in `__type`.

use crate::problem::{Problem, ProblemKind};
use axum::body::Body;
use http::Response;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use serde_json::json;

const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// Names that SDKs know: those of the last column are tried again by them.
///
/// | refused | name | tried again |
/// | --- | --- | --- |
/// | no key, or one that may not | `AccessDeniedException` | no |
/// | too many bodies in flight | `ThrottlingException` | yes |
/// | draining | `ServiceUnavailable` | yes |
/// | a defect | `InternalFailure` | yes |
const fn name(kind: ProblemKind) -> &'static str {
    match kind {
        ProblemKind::Unauthorized | ProblemKind::Forbidden => "AccessDeniedException",
        ProblemKind::Overloaded => "ThrottlingException",
        ProblemKind::Draining | ProblemKind::Unavailable => "ServiceUnavailable",
        ProblemKind::RequestTimeout => "RequestTimeoutException",
        ProblemKind::NotFound | ProblemKind::MethodNotAllowed => "UnknownOperationException",
        _ => "InternalFailure",
    }
}

pub(crate) fn refusal(problem: &Problem) -> Response<Body> {
    let name = name(problem.kind());
    let body = json!({"__type": name, "message": problem.detail()});
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = problem.kind().status();
    let headers = response.headers_mut();
    for (name, value) in problem.headers().iter().filter(|(name, _)| name != WWW_AUTHENTICATE) {
        headers.insert(name, value.clone());
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ERROR_TYPE, HeaderValue::from_static(name));
    response
}
