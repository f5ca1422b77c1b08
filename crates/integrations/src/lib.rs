//! What a workflow's Task can run: functions, SQL, jobs, keyed state, streams, notifiers, HTTP.

mod item;
pub mod outbound;
