//! A definition as types. Every path, template and expression in it is compiled; the text it came from is kept.

mod build;
mod fields;
mod kinds;
mod map;
mod reach;
mod retry;
mod rules;
mod template;
mod uses;

use crate::document::Document;
use crate::template::Template;
use crate::{Condition, Diagnostic, ResultPath, Setting};
use serde_json::Value;
use std::collections::HashMap;
pub use uses::{Use, UseKind};

/// A state machine.
#[derive(Debug, Clone)]
pub struct Machine {
    pub comment: Option<String>,
    pub version: Option<String>,
    /// The default of its states.
    pub query_language: QueryLanguage,
    pub timeout_seconds: Option<u64>,
    pub flow: Flow,
    /// The definition as JSON.
    pub source: Value,
}

impl Machine {
    /// Reads JSON or YAML text; gives every fault of severity `ERROR` and what is only warned of beside them.
    pub fn parse(text: &str) -> Result<Machine, Vec<Diagnostic>> {
        build::machine(&Document::read(text)?)
    }

    /// Reads a definition that is parsed already. Its states are in the order of their names.
    pub fn from_value(value: &Value) -> Result<Machine, Vec<Diagnostic>> {
        build::machine(&Document::of(value.clone())?)
    }

    /// Every diagnostic of a text, warnings included; empty for a definition without fault.
    pub fn validate(text: &str) -> Vec<Diagnostic> {
        match Document::read(text) {
            Ok(document) => build::diagnose(&document),
            Err(faults) => faults,
        }
    }

    /// One state alone, as `TestState` takes it, with the default query language JSONPath. Its transitions are not
    /// held against other states; its faults are placed below `/States/<name>`.
    pub fn parse_state(name: &str, text: &str) -> Result<State, Vec<Diagnostic>> {
        build::lone_state(name, &Document::read(text)?)
    }

    /// Every resource a machine uses, in nested flows too.
    pub fn uses(&self) -> Vec<Use<'_>> {
        uses::of(self)
    }

    /// A state by name, wherever it is nested. Names are unique in a machine.
    pub fn find_state(&self, name: &str) -> Option<&State> {
        self.flow.find(name)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum QueryLanguage {
    #[default]
    JsonPath,
    Jsonata,
}

/// States that lead to each other: the machine itself, a branch of a Parallel, the processor of a Map.
#[derive(Debug, Clone)]
pub struct Flow {
    pub start_at: String,
    /// In the order of the text.
    pub states: Vec<State>,
    by_name: HashMap<String, usize>,
}

impl Flow {
    pub(crate) fn new(start_at: String, states: Vec<State>) -> Flow {
        let by_name = states.iter().enumerate().map(|(i, s)| (s.name.clone(), i)).collect();
        Flow { start_at, states, by_name }
    }

    pub fn state(&self, name: &str) -> Option<&State> {
        self.by_name.get(name).and_then(|&i| self.states.get(i))
    }

    fn find(&self, name: &str) -> Option<&State> {
        self.state(name).or_else(|| self.states.iter().flat_map(State::flows).find_map(|f| f.find(name)))
    }
}

/// One state: what all types share, and what its type adds.
#[derive(Debug, Clone)]
pub struct State {
    pub name: String,
    /// Where it stands: `/States/X`, `/States/M/ItemProcessor/States/Y`.
    pub pointer: String,
    pub comment: Option<String>,
    pub query_language: QueryLanguage,
    /// The next state; `None` at an end, and in Choice, Succeed and Fail.
    pub next: Option<String>,
    pub common: Common,
    pub kind: Kind,
}

impl State {
    /// `Task`, `Pass`, …
    pub fn type_name(&self) -> &'static str {
        match &self.kind {
            Kind::Task(_) => "Task",
            Kind::Pass(_) => "Pass",
            Kind::Choice(_) => "Choice",
            Kind::Wait(_) => "Wait",
            Kind::Succeed => "Succeed",
            Kind::Fail(_) => "Fail",
            Kind::Parallel(_) => "Parallel",
            Kind::Map(_) => "Map",
        }
    }

    /// Flows nested in it: the branches of a Parallel, the processor of a Map.
    pub fn flows(&self) -> Vec<&Flow> {
        match &self.kind {
            Kind::Parallel(p) => p.branches.iter().map(|b| &b.flow).collect(),
            Kind::Map(m) => vec![&m.flow],
            _ => Vec::new(),
        }
    }
}

/// Input and output processing and error handling; what a type or language does not have is empty.
#[derive(Debug, Clone, Default)]
pub struct Common {
    /// `InputPath`.
    pub input_path: Selector,
    pub output_path: Selector,
    pub parameters: Option<Template>,
    pub result_selector: Option<Template>,
    pub result_path: ResultPath,
    pub arguments: Option<Template>,
    pub output: Option<Template>,
    pub assign: Option<Template>,
    pub retry: Vec<Retrier>,
    pub catch: Vec<Catcher>,
}

/// `InputPath` and `OutputPath`.
#[derive(Debug, Clone, Default)]
pub enum Selector {
    /// Absent or `$`.
    #[default]
    Whole,
    /// `null`: an empty object.
    Nothing,
    Path(crate::Path),
}

#[derive(Debug, Clone)]
pub enum Kind {
    Task(Box<TaskState>),
    Pass(PassState),
    Choice(ChoiceState),
    Wait(WaitState),
    Succeed,
    Fail(FailState),
    Parallel(ParallelState),
    Map(Box<MapState>),
}

#[derive(Debug, Clone)]
pub struct TaskState {
    pub resource: String,
    /// `TimeoutSeconds` or `TimeoutSecondsPath`.
    pub timeout: Option<Setting>,
    pub heartbeat: Option<Setting>,
    /// `{"RoleArn": …}`.
    pub credentials: Option<Template>,
}

#[derive(Debug, Clone)]
pub struct PassState {
    /// `Result`; it is not a template.
    pub result: Option<Value>,
}

#[derive(Debug, Clone)]
pub struct ChoiceState {
    pub rules: Vec<ChoiceRule>,
    pub default: Option<String>,
}

#[derive(Debug, Clone)]
pub struct ChoiceRule {
    pub condition: Condition,
    pub next: String,
    pub assign: Option<Template>,
    pub output: Option<Template>,
}

#[derive(Debug, Clone)]
pub struct WaitState {
    pub until: WaitUntil,
}

#[derive(Debug, Clone)]
pub enum WaitUntil {
    /// `Seconds` or `SecondsPath`: see [`Setting::seconds`].
    Seconds(Setting),
    /// `Timestamp` or `TimestampPath`: see [`Setting::timestamp_ms`].
    Timestamp(Setting),
}

#[derive(Debug, Clone)]
pub struct FailState {
    /// `Error` or `ErrorPath`: see [`Setting::text_value`].
    pub error: Option<Setting>,
    pub cause: Option<Setting>,
}

#[derive(Debug, Clone)]
pub struct ParallelState {
    pub branches: Vec<Branch>,
}

#[derive(Debug, Clone)]
pub struct Branch {
    pub comment: Option<String>,
    pub flow: Flow,
}

#[derive(Debug, Clone)]
pub struct MapState {
    pub mode: MapMode,
    /// Of child executions; only in distributed mode.
    pub execution_type: ExecutionType,
    pub flow: Flow,
    /// `Items` or `ItemsPath`: see [`Setting::items`]. Without it the whole effective input.
    pub items: Option<Setting>,
    /// `ItemSelector`, or the older `Parameters`.
    pub item_selector: Option<Template>,
    /// 0 is no bound.
    pub max_concurrency: Option<Setting>,
    pub tolerated_failure_count: Option<Setting>,
    pub tolerated_failure_percentage: Option<Setting>,
    pub reader: Option<Reader>,
    pub batcher: Option<Batcher>,
    pub writer: Option<Writer>,
    pub label: Option<String>,
    /// Whether the text says `Iterator` instead of `ItemProcessor`.
    pub legacy_iterator: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapMode {
    Inline,
    Distributed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecutionType {
    Standard,
    Express,
}

/// `ItemReader`.
#[derive(Debug, Clone)]
pub struct Reader {
    pub resource: String,
    /// `Parameters` or `Arguments`.
    pub parameters: Option<Template>,
    pub config: ReaderConfig,
}

/// `ReaderConfig`, as written; what is absent is `None`.
#[derive(Debug, Clone, Default)]
pub struct ReaderConfig {
    /// `CSV`, `JSON`, `JSONL`, `PARQUET` or `MANIFEST`.
    pub input_type: Option<String>,
    /// `FIRST_ROW` or `GIVEN`.
    pub csv_header_location: Option<String>,
    pub csv_headers: Vec<String>,
    /// `COMMA` (default), `PIPE`, `SEMICOLON`, `SPACE` or `TAB`.
    pub csv_delimiter: Option<String>,
    /// `MaxItems` or `MaxItemsPath`; 0 by path means all.
    pub max_items: Option<Setting>,
    /// `ATHENA_DATA` or `S3_INVENTORY`.
    pub manifest_type: Option<String>,
    /// `NONE` or `LOAD_AND_FLATTEN`.
    pub transformation: Option<String>,
    /// JSON pointer to the array in a JSON file.
    pub items_pointer: Option<String>,
}

/// `ItemBatcher`.
#[derive(Debug, Clone)]
pub struct Batcher {
    /// `BatchInput`.
    pub input: Option<Template>,
    pub max_items: Option<Setting>,
    pub max_bytes: Option<Setting>,
}

/// `ResultWriter`.
#[derive(Debug, Clone)]
pub struct Writer {
    pub resource: Option<String>,
    pub parameters: Option<Template>,
    /// `WriterConfig.OutputType`: `JSON` or `JSONL`.
    pub output_type: Option<String>,
    /// `WriterConfig.Transformation`: `NONE`, `COMPACT` or `FLATTEN`.
    pub transformation: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Retrier {
    pub error_equals: Vec<String>,
    /// Default 1.
    pub interval_seconds: u64,
    /// Default 3; 0 never retries.
    pub max_attempts: u64,
    /// Default 2.0.
    pub backoff_rate: f64,
    pub max_delay_seconds: Option<u64>,
    pub jitter: Jitter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Jitter {
    None,
    Full,
}

#[derive(Debug, Clone)]
pub struct Catcher {
    pub error_equals: Vec<String>,
    pub next: String,
    /// JSONPath only.
    pub result_path: ResultPath,
    /// JSONata only.
    pub output: Option<Template>,
    pub assign: Option<Template>,
}
