//! A request from its socket to its operation: signature, size, request id.

use crate::error::{AwsError, Protocol, REQUEST_ID};
use crate::sigv4::Verifier;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Request, StatusCode};
use http_body_util::BodyExt;

/// The signature service and the protocol of an API.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Api {
    /// As credential scopes name it.
    pub(crate) service: &'static str,
    pub(crate) protocol: Protocol,
    /// What a body may have at most.
    pub(crate) body_bytes_max: usize,
    /// Name of the error that says it has more.
    pub(crate) too_large: &'static str,
    /// Status of a signature that is not right.
    pub(crate) denied: StatusCode,
}

/// What is read and thrown away of a body that is refused: a client that is still sending would not see
/// why, were the connection closed under it.
const DISCARDED_BYTES_MAX: usize = 8 << 20;

/// The head and the whole body of a request whose signature is right.
pub(crate) async fn admit(
    api: Api,
    verifier: &Verifier,
    request: Request<Body>,
) -> Result<(Parts, Bytes), AwsError> {
    let (head, mut body) = request.into_parts();
    let pending = match verifier.begin(&head, api.service) {
        Ok(pending) => pending,
        Err(fault) => {
            // Whether the rest comes or not, the answer is the same.
            let _ = read(&mut body, 0).await;
            return Err(fault.into_error(api.denied));
        }
    };
    let body = match read(&mut body, api.body_bytes_max).await {
        Ok(Some(body)) => body,
        Ok(None) => {
            let detail = format!("Request must be smaller than {} bytes", api.body_bytes_max);
            return Err(AwsError::new(api.too_large, detail).status(StatusCode::PAYLOAD_TOO_LARGE));
        }
        Err(error) => {
            let detail = format!("The request body did not arrive whole: {error}");
            return Err(AwsError::new("RequestTimeoutException", detail).status(StatusCode::REQUEST_TIMEOUT));
        }
    };
    if let Some(pending) = pending {
        pending.finish(&head, &body).map_err(|fault| fault.into_error(api.denied))?;
    }
    Ok((head, body))
}

/// A body to its end; `None` if it has more than `bytes_max`, of which no more is kept then.
async fn read(body: &mut Body, bytes_max: usize) -> Result<Option<Bytes>, axum::Error> {
    let (mut frames, mut bytes): (Vec<Bytes>, usize) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        bytes = bytes.saturating_add(data.len());
        if bytes <= bytes_max {
            frames.push(data);
        } else {
            frames.clear();
            if bytes - bytes_max > DISCARDED_BYTES_MAX {
                break;
            }
        }
    }
    if bytes > bytes_max {
        return Ok(None);
    }
    Ok(Some(match frames.len() {
        1 => frames.swap_remove(0),
        _ => frames.concat().into(),
    }))
}

/// Gives an answer its request id, unless it has one.
pub(crate) fn with_request_id(mut response: Response) -> Response {
    if !response.headers().contains_key(REQUEST_ID)
        && let Ok(id) = HeaderValue::from_str(&uuid::Uuid::new_v4().to_string())
    {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}
