//! The vocabulary of Bourn and the seams between its steps.
//!
//! Every other crate imports this one; it imports none of them. It holds no I/O: a step that
//! wants to write, query or wait does so through a trait that is declared here and implemented
//! by the step that owns the edge. Arrow is the only heavy thing allowed in.

mod batch;
pub mod click;
mod clock;
mod date;
mod function;
mod ledger;
mod log;
mod percent;
mod query;
mod record;
mod reject;
mod run;
mod span;
mod streams;
mod task;
mod value;

pub use batch::{Decoded, Drop, Refined, SYSTEM_COLUMNS, system_fields};
pub use clock::{Clock, ManualClock, SystemClock};
pub use date::civil_date;
pub use function::{FunctionError, Functions, Invocation, InvokeError, Invoked};
pub use ledger::{Counts, Ledger, Outcome, SourceCounts};
pub use log::{Ack, AppendError, Delivery, Draft, Log, Receipt};
pub use percent::{hex, percent_decode, percent_encode};
pub use query::{Query, QueryError, QueryOptions, Rows};
pub use record::RecordError;
pub use reject::{Fault, Reject, RejectReason};
pub use run::{JobDone, Jobs, Run, RunKind, RunStatus};
pub use span::{Producer, Span};
pub use streams::{SendError, Sending, Sent, Streams};
pub use task::{TaskFailure, TaskRequest, Tasks};
pub use value::{Micros, Offset, SystemColumn, micros};
