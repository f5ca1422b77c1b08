//! The task seam: what a workflow's Task can run.

use async_trait::async_trait;
use serde_json::Value;

/// One attempt of a Task.
#[derive(Clone, Debug)]
pub struct TaskRequest {
    /// As the definition has it, without `.sync`, `.sync:2` and `.waitForTaskToken`:
    /// `arn:aws:states:::sqs:sendMessage`, `arn:aws:lambda:…:function:name`.
    pub resource: String,
    /// `Parameters` or `Arguments`, evaluated.
    pub parameters: Value,
    /// The same for every attempt of this task after a crash: what a task does under one id may be
    /// done twice, and should have the effect of once.
    pub id: String,
    /// ARN of the execution it belongs to.
    pub execution: String,
}

/// Why a Task failed: what `Retry` and `Catch` see.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}: {cause}")]
pub struct TaskFailure {
    /// An error name such as `Lambda.TooManyRequestsException`, `States.TaskFailed`.
    pub error: String,
    pub cause: String,
}

impl TaskFailure {
    pub fn new(error: impl Into<String>, cause: impl Into<String>) -> Self {
        Self { error: error.into(), cause: cause.into() }
    }
}

/// Runs the resources of Tasks. Activities and `states:startExecution` are the engine's own and never
/// come here. Dropping a future cancels what it does, as far as that can be cancelled.
#[async_trait]
pub trait Tasks: Send + Sync {
    /// May a definition name this resource, with this suffix (`""`, `.sync`, `.sync:2`,
    /// `.waitForTaskToken`) and these parameters? They may hold paths and expressions that are not
    /// evaluated yet; what is literal is looked at. The error says why not, and what there is instead.
    fn check(&self, resource: &str, suffix: &str, parameters: Option<&Value>) -> Result<(), String>;

    /// Does it, and gives what the service answered. For `.sync` that is the answer to the submission.
    async fn submit(&self, request: &TaskRequest) -> Result<Value, TaskFailure>;

    /// Waits for the end of what `submit` began, and gives its result (`.sync`).
    async fn wait(&self, request: &TaskRequest, submitted: &Value) -> Result<Value, TaskFailure>;
}
