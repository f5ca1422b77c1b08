//! Amazon States Language: definitions, their faults, and everything that is evaluated in them.
//!
//! Follows the specification at <https://states-language.net> and the AWS Step Functions guide. Nothing here does
//! I/O, reads a clock or draws random numbers: time, UUIDs and chance come in as [`Outside`].
//!
//! - [`Machine::parse`] reads JSON or YAML into a [`Machine`] whose paths, templates and expressions are compiled, or
//!   gives every fault at once as [`Diagnostic`]s.
//! - [`Scope`] is what an expression sees; [`Template`], [`Expr`], [`Setting`] and [`Condition`] are evaluated in it.
//! - [`State::enter`], [`State::finish`], [`State::catch`] and [`State::choose`] apply the order of input and output
//!   processing of both query languages around what a state does.

mod choice;
mod definition;
mod document;
mod error;
mod intrinsic;
mod io;
mod jsonata;
mod path;
mod retry;
mod scope;
mod setting;
mod template;
mod timestamp;

pub use choice::{Comparison, Condition, Operand, Operator, Relation};
pub use definition::{
    Batcher, Branch, Catcher, ChoiceRule, ChoiceState, Common, ExecutionType, FailState, Flow, Jitter, Kind,
    Machine, MapMode, MapState, ParallelState, PassState, QueryLanguage, Reader, ReaderConfig, Retrier,
    Selector, State, TaskState, Use, UseKind, WaitState, WaitUntil, Writer,
};
pub use document::{DEFINITION_BYTES_MAX, Document, JSON_DEPTH_MAX, Place, place};
pub use error::{Diagnostic, EvalError, Severity, errors};
pub use intrinsic::Call;
pub use io::{Chosen, DATA_DEPTH_MAX, Entered, Finished};
pub use jsonata::Jsonata;
pub use path::{Path, ResultPath};
pub use retry::takes;
pub use scope::{Outside, Scope, Seeded, Variables};
pub use setting::{Setting, Source};
pub use template::{Expr, Template, TemplateField};
pub use timestamp::parse_timestamp_ms;
