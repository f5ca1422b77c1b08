//! The way in: HTTP bodies, CloudEvents and files become checked drafts in a stream's log.
//!
//! ```text
//!  http ─ body ─ inflate ─┐
//!                         ├─ split ─ (cloudevents) ─ check and decode ─ pending ─► log ∥ rejects
//!  files ─ rows ──────────┘                                                  └──► answer
//! ```
//!
//! [`StreamPort`] is the way into one stream; [`handler`] offers the ports over HTTP, and a
//! [`FileSourceTask`] feeds one from files. Deliberately absent: TLS, API keys and the server loop
//! (the web crate's), and everything that happens behind the log.

mod answer;
mod body;
mod budget;
pub mod cloudevents;
mod coalesce;
mod files;
mod http;
mod inflate;
mod meters;
mod pending;
mod port;
mod problem;
mod schema;
pub mod split;

pub use answer::{Answer, ERRORS_MAX, EventError, Framing, IngestError, Submission};
pub use body::BodyLimits;
pub use budget::Budget;
pub use files::{FileMemory, FileProgress, FileSourceError, FileSourceTask, FilesDone, RunMemory};
pub use http::{HTTP_SOURCE, PRODUCER_HEADER, SEQUENCE_HEADER, handler};
pub use inflate::Coding;
pub use port::{SMALL_BYTES, StreamOptions, StreamPort};
pub use problem::{PROBLEM_JSON, Problem};
pub use schema::{Decode, Schema};
pub use split::Shape;
