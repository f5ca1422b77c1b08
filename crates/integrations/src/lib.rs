//! What a workflow's Task can run: functions, SQL, jobs, keyed state, streams, notifiers, HTTP.
//!
//! ```text
//!  Task ─ resource ─► action ─┬─► Functions · Query · Jobs · Streams   (seams)
//!                             ├─► item: keyed tables ─► state
//!                             └─► outbound: HTTP with retries, limits and breaker ◄─ steps of streams
//! ```
//! [`Integrations`] implements the seam `bourn_event::Tasks` over the other seams; [`outbound`] is the
//! HTTP client that it and the steps of streams call outside APIs with.

mod connection;
mod item;
pub mod outbound;
mod tasks;

pub use connection::connect;
pub use tasks::{BusRefusal, EventBus, Integrations, Names, Parts, Unrunnable};
