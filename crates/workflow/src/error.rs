//! Why a request was refused, under the names of the Step Functions API.

use bourn_state::StateError;

/// A request that was refused. [`WorkflowError::code`] is the name of the API's error, the text its message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct WorkflowError {
    kind: ErrorKind,
    message: String,
}

/// The errors of the Step Functions API, and the two that are the service's own fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    ActivityAlreadyExists,
    ActivityDoesNotExist,
    ConflictException,
    ExecutionAlreadyExists,
    ExecutionDoesNotExist,
    ExecutionNotRedrivable,
    InvalidArn,
    InvalidDefinition,
    InvalidExecutionInput,
    InvalidLoggingConfiguration,
    InvalidName,
    InvalidOutput,
    InvalidToken,
    ResourceNotFound,
    StateMachineAlreadyExists,
    StateMachineDoesNotExist,
    StateMachineTypeNotSupported,
    TaskDoesNotExist,
    TaskTimedOut,
    TooManyTags,
    ValidationException,
    /// The disk is full or failing, or the engine is closing: the same request may succeed later.
    ServiceUnavailable,
    /// What is stored does not read. The message says what.
    InternalServerError,
}

impl ErrorKind {
    /// The API's name.
    pub fn code(self) -> &'static str {
        match self {
            Self::ActivityAlreadyExists => "ActivityAlreadyExists",
            Self::ActivityDoesNotExist => "ActivityDoesNotExist",
            Self::ConflictException => "ConflictException",
            Self::ExecutionAlreadyExists => "ExecutionAlreadyExists",
            Self::ExecutionDoesNotExist => "ExecutionDoesNotExist",
            Self::ExecutionNotRedrivable => "ExecutionNotRedrivable",
            Self::InvalidArn => "InvalidArn",
            Self::InvalidDefinition => "InvalidDefinition",
            Self::InvalidExecutionInput => "InvalidExecutionInput",
            Self::InvalidLoggingConfiguration => "InvalidLoggingConfiguration",
            Self::InvalidName => "InvalidName",
            Self::InvalidOutput => "InvalidOutput",
            Self::InvalidToken => "InvalidToken",
            Self::ResourceNotFound => "ResourceNotFound",
            Self::StateMachineAlreadyExists => "StateMachineAlreadyExists",
            Self::StateMachineDoesNotExist => "StateMachineDoesNotExist",
            Self::StateMachineTypeNotSupported => "StateMachineTypeNotSupported",
            Self::TaskDoesNotExist => "TaskDoesNotExist",
            Self::TaskTimedOut => "TaskTimedOut",
            Self::TooManyTags => "TooManyTags",
            Self::ValidationException => "ValidationException",
            Self::ServiceUnavailable => "ServiceUnavailable",
            Self::InternalServerError => "InternalServerError",
        }
    }
}

impl WorkflowError {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The API's name of the error.
    pub fn code(&self) -> &'static str {
        self.kind.code()
    }

    pub fn message(&self) -> &str {
        &self.message
    }

    /// May the same request succeed later?
    pub fn is_retryable(&self) -> bool {
        self.kind == ErrorKind::ServiceUnavailable
    }

    pub(crate) fn closed() -> Self {
        Self::new(ErrorKind::ServiceUnavailable, "the workflow engine is closing")
    }
}

impl From<StateError> for WorkflowError {
    fn from(error: StateError) -> Self {
        let kind = match &error {
            StateError::Io { .. } | StateError::InUse(_) | StateError::Poisoned(_) => {
                ErrorKind::ServiceUnavailable
            }
            _ => ErrorKind::InternalServerError,
        };
        Self::new(kind, error.to_string())
    }
}
