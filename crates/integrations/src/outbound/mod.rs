//! Calls to outside APIs over HTTP: pooled connections, limits, retries, a circuit breaker for each
//! endpoint, and a cache.
//!
//! ```text
//!  call ─► breaker ─► slot (concurrency) ─► request ─► answer ≤ bytes_max, within timeout
//!            ▲ open: refused at once                      │
//!            └──────────── success or failure ◄───────────┤
//!                          pause, full jitter ◄── 429, 5xx, no answer
//! ```
//!
//! What is decided ([`Breaker`], [`Retry`]) is pure; the client is the only edge. No error and no
//! `Debug` holds a header, a body or more of an address than its host.

mod breaker;
mod cache;
mod client;
mod error;
mod retry;

pub use breaker::{Breaker, BreakerRule, BreakerState, Outcome, Permit, Refused};
pub use cache::{CacheLimits, Look, TtlCache};
pub use client::{EndpointStatus, Outbound, Policy, Request, Response};
pub use error::OutboundError;
pub use retry::Retry;
