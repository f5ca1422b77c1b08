//! What goes wrong: faults of a definition, and failures of an evaluation with the names and words AWS gives them.

use std::fmt;

/// Error names that the language reserves (<https://states-language.net/#appendix-a>).
pub mod errors {
    pub const ALL: &str = "States.ALL";
    pub const RUNTIME: &str = "States.Runtime";
    pub const TIMEOUT: &str = "States.Timeout";
    pub const HEARTBEAT_TIMEOUT: &str = "States.HeartbeatTimeout";
    pub const TASK_FAILED: &str = "States.TaskFailed";
    pub const PERMISSIONS: &str = "States.Permissions";
    pub const RESULT_PATH_MATCH_FAILURE: &str = "States.ResultPathMatchFailure";
    pub const PARAMETER_PATH_FAILURE: &str = "States.ParameterPathFailure";
    pub const BRANCH_FAILED: &str = "States.BranchFailed";
    pub const NO_CHOICE_MATCHED: &str = "States.NoChoiceMatched";
    pub const INTRINSIC_FAILURE: &str = "States.IntrinsicFailure";
    pub const QUERY_EVALUATION_ERROR: &str = "States.QueryEvaluationError";
    pub const DATA_LIMIT_EXCEEDED: &str = "States.DataLimitExceeded";
    pub const ITEM_READER_FAILED: &str = "States.ItemReaderFailed";
    pub const RESULT_WRITER_FAILED: &str = "States.ResultWriterFailed";
    pub const EXCEED_TOLERATED_FAILURE_THRESHOLD: &str = "States.ExceedToleratedFailureThreshold";
    pub const HTTP_SOCKET: &str = "States.Http.Socket";
}

/// An evaluation that failed: the error's name and its cause without the state's prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}: {cause}")]
pub struct EvalError {
    pub error: &'static str,
    /// AWS's sentence alone; [`EvalError::cause_in`] puts the state before it.
    pub cause: String,
    /// The field at fault as `EvaluationFailed` events name it: `Arguments/FunctionName`, `Condition`, …
    pub location: Option<String>,
}

impl EvalError {
    pub fn new(error: &'static str, cause: impl Into<String>) -> EvalError {
        EvalError { error, cause: cause.into(), location: None }
    }

    pub fn runtime(cause: impl Into<String>) -> EvalError {
        EvalError::new(errors::RUNTIME, cause)
    }

    /// A failed JSONata field; `location` as in `Output/result`.
    pub fn query(location: &str, cause: impl Into<String>) -> EvalError {
        EvalError {
            error: errors::QUERY_EVALUATION_ERROR,
            cause: cause.into(),
            location: (!location.is_empty()).then(|| location.to_owned()),
        }
    }

    /// The cause as histories and executions show it.
    pub fn cause_in(&self, state: &str, event_id: u64) -> String {
        format!(
            "An error occurred while executing the state '{state}' (entered at the event id #{event_id}). {}",
            self.cause
        )
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Error,
    Warning,
}

impl Severity {
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "ERROR",
            Severity::Warning => "WARNING",
        }
    }
}

/// One fault of a definition, in the shape of `ValidateStateMachineDefinition`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    pub code: &'static str,
    pub message: String,
    /// A JSON pointer such as `/States/X/Next`; for text that is no JSON, AWS's `[Source: …; line: 1, column: 4]`.
    pub location: String,
}

impl Diagnostic {
    pub fn error(code: &'static str, message: impl Into<String>, location: impl Into<String>) -> Diagnostic {
        Diagnostic { severity: Severity::Error, code, message: message.into(), location: location.into() }
    }

    pub fn warning(
        code: &'static str,
        message: impl Into<String>,
        location: impl Into<String>,
    ) -> Diagnostic {
        Diagnostic { severity: Severity::Warning, code, message: message.into(), location: location.into() }
    }

    /// The message of `InvalidDefinition`, which CreateStateMachine and its kin answer with.
    pub fn invalid_definition(faults: &[Diagnostic]) -> String {
        let list: Vec<String> =
            faults.iter().filter(|f| f.severity == Severity::Error).map(ToString::to_string).collect();
        format!("Invalid State Machine Definition: '{}'", list.join(", "))
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} at {}", self.code, self.message, self.location)
    }
}
