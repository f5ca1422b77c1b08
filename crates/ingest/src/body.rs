//! Reads a request's body inside its limits: on the wire, inflated, in time, and together with
//! the other bodies in flight.

use crate::budget::{Budget, Held};
use crate::inflate::{self, Coding};
use crate::problem::Problem;
use axum::body::Body;
use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body::Body as _;
use http_body_util::BodyExt;
use std::future::poll_fn;
use std::io::Read;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// Bytes inflated before other tasks get a turn.
const TURN_BYTES: usize = 256 << 10;

/// What a body may take.
#[derive(Clone, Debug)]
pub struct BodyLimits {
    /// On the wire, in bytes.
    pub max_body: usize,
    /// After its codings are undone, in bytes.
    pub max_inflated: usize,
    /// Shared by all bodies in flight.
    pub in_flight: Arc<Budget>,
    /// From the head of the request to the end of its body.
    pub timeout: Duration,
}

/// The whole body, and its share of the memory, to be kept while the body is in use.
pub(crate) async fn read(
    body: Body,
    headers: &HeaderMap,
    codings: &[Coding],
    limits: &BodyLimits,
) -> Result<(Bytes, Held), Problem> {
    let told = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if told.is_some_and(|told| told > limits.max_body as u64) {
        return Err(over_wire(limits));
    }
    let mut held = limits.in_flight.hold();
    let wire = {
        let mut receiving = pin!(receive(body, limits, &mut held));
        // A small body mostly comes with its head: then no timer is set.
        match poll_fn(|context| Poll::Ready(receiving.as_mut().poll(context))).await {
            Poll::Ready(received) => received?,
            Poll::Pending => tokio::time::timeout(limits.timeout, receiving)
                .await
                .map_err(|_| Problem::too_slow(limits.timeout))??,
        }
    };
    if codings.is_empty() {
        if wire.len() > limits.max_inflated {
            return Err(over_inflated(limits));
        }
        return Ok((wire, held));
    }
    let inflated = Box::pin(unpack(wire, codings, limits, &mut held)).await?;
    Ok((inflated, held))
}

async fn receive(mut body: Body, limits: &BodyLimits, held: &mut Held) -> Result<Bytes, Problem> {
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Problem::unreadable_body("the body broke off"))?;
        let Ok(data) = frame.into_data() else { continue };
        if first.len() + all.len() + data.len() > limits.max_body {
            return Err(over_wire(limits));
        }
        if !held.grow(data.len()) {
            return Err(no_room(held, data.len()));
        }
        if first.is_empty() && all.is_empty() {
            if body.is_end_stream() {
                return Ok(data);
            }
            first = data;
            continue;
        }
        if !first.is_empty() {
            let expected = usize::try_from(body.size_hint().lower()).unwrap_or(0).min(limits.max_body);
            all.reserve(first.len() + data.len() + expected.min(1 << 20));
            all.extend_from_slice(&std::mem::take(&mut first));
        }
        all.extend_from_slice(&data);
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

async fn unpack(
    wire: Bytes,
    codings: &[Coding],
    limits: &BodyLimits,
    held: &mut Held,
) -> Result<Bytes, Problem> {
    let broken = |error: std::io::Error| {
        Problem::unreadable_body(format!("the body is not what its Content-Encoding says: {error}"))
    };
    let mut input = inflate::body(Box::new(wire.reader()), codings).map_err(broken)?;
    let mut inflated = Vec::new();
    loop {
        let before = inflated.len();
        input.by_ref().take(TURN_BYTES as u64).read_to_end(&mut inflated).map_err(broken)?;
        let grown = inflated.len() - before;
        if inflated.len() > limits.max_inflated {
            return Err(over_inflated(limits));
        }
        if !held.grow(grown) {
            return Err(no_room(held, grown));
        }
        if grown < TURN_BYTES {
            return Ok(inflated.into());
        }
        tokio::task::yield_now().await;
    }
}

fn over_wire(limits: &BodyLimits) -> Problem {
    Problem::too_large(format!("the body is larger than {} bytes", limits.max_body))
}

fn over_inflated(limits: &BodyLimits) -> Problem {
    Problem::too_large(format!("the body is larger than {} bytes when inflated", limits.max_inflated))
}

/// A body that would not fit even alone must not be told to come again.
fn no_room(held: &Held, bytes: usize) -> Problem {
    if !held.fits_alone(bytes) {
        return Problem::too_large("the body takes more memory than all bodies in flight may together");
    }
    Problem::busy("the bodies in flight use all the memory they may", Duration::from_secs(1))
}
