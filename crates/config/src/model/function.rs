//! `functions:`: a user's code, and how much of it may run.

use super::units::{ByteSize, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A function: code of any language behind the AWS Lambda Runtime API. Its processes start on demand
/// and are put away when they idle.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Function {
    /// What runs it.
    pub runtime: Runtime,
    /// `module.function` for `python3` and `nodejs`; handed to `provided` as `_HANDLER`.
    #[serde(default)]
    pub handler: Option<String>,
    /// The folder with its code, relative to the pipeline's; `functions/<name>` if absent.
    #[serde(default)]
    pub code: Option<PathBuf>,
    /// Memory a process may use; above it, it is ended.
    #[serde(default = "memory")]
    pub memory: ByteSize,
    /// How long an invocation may take; then the whole process group is ended.
    #[serde(default = "timeout")]
    pub timeout: Span,
    /// How many invocations run at once.
    #[serde(default)]
    pub concurrency: Concurrency,
    /// Environment variables.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Environment variables that are secret, each by reference (`${env:…}` or `${file:…}`).
    #[serde(default)]
    pub secrets: BTreeMap<String, super::Secret>,
    /// A process without work is put away after this.
    #[serde(default = "idle")]
    pub idle: Span,
    /// How often an asynchronous invocation is tried again, 0 to 2.
    #[serde(default = "retries")]
    pub retries: u32,
    /// An asynchronous invocation older than this is given up.
    #[serde(default = "max_age")]
    pub max_age: Span,
    /// Where an asynchronous invocation goes that is given up. Without it, it is kept as a dead letter
    /// in `system.invocations` and the state.
    #[serde(default)]
    pub on_failure: Option<Destination>,
}

fn memory() -> ByteSize {
    ByteSize::mib(256)
}

fn timeout() -> Span {
    Span::from_secs(30)
}

fn idle() -> Span {
    Span::from_secs(300)
}

fn retries() -> u32 {
    2
}

fn max_age() -> Span {
    Span::from_secs(21_600)
}

/// What runs a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Runtime {
    /// An executable called `bootstrap` in the function's folder.
    Provided,
    /// A Python module, by the machine's `python3`.
    Python3,
    /// A Node.js module, by the machine's `node`.
    Nodejs,
}

/// Concurrency of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Concurrency {
    /// Processes that are started with the pipeline and never put away.
    pub reserved: u32,
    /// Most processes at once; further invocations are throttled.
    pub max: u32,
}

impl Default for Concurrency {
    fn default() -> Self {
        Self { reserved: 0, max: 10 }
    }
}

/// Where something goes that could not be delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Destination {
    /// A stream.
    Stream(String),
    /// A function.
    Function(String),
}
