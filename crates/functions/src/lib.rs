//! Functions: a user's processes behind the AWS Lambda Runtime API, from none to many and back.
//!
//! ```text
//!  invoke ───────────────► Pool ──► Roster ──► a process of its own group ◄──► api (one port each)
//!  invoke_later ─► Later ──┘          │           │ stdout, stderr
//!                  (state)            └ watch     └──► Intake ──► Log ──► Scribe (files)
//! ```
//!
//! * A pool has the processes of one function. The roster decides who does what, under one lock and
//!   without I/O; calls beyond the concurrency are refused, never queued.
//! * A process serves one call at a time. It is ended when its time or memory is over, when it idles or
//!   when its code changes. It never outlives its host: the kernel tells it, and a warden ends what it
//!   forked.
//! * Asynchronous calls are in the state before they are answered, and leave it when they are settled.
//!
//! Deliberately absent: extensions, telemetry, layers, versions and aliases, and more than one call at a
//! time in a process.

mod account;
mod api;
mod call;
mod check;
mod echo;
mod folder;
mod host;
mod intake;
mod later;
mod logs;
mod memory;
mod meter;
mod pool;
mod process;
mod reading;
mod record;
mod roster;
mod rows;
mod scribe;
mod settings;
mod shim;
mod spawn;
mod warden;
mod watch;
mod writer;

pub use check::{Finding, check};
pub use echo::echo;
pub use host::{Host, OpenError};
pub use reading::{read_functions, read_invocations, read_logs};
pub use rows::{DeadRow, FunctionRow, InvocationRow, LogRow, PendingRow};
pub use settings::{LATER_PAYLOAD_BYTES_MAX, PAYLOAD_BYTES_MAX, PENDING_MAX, Settings};
