//! Answers of tasks that wait, from people and programs without AWS's tools.

use async_trait::async_trait;
use bourn_web::{TaskAnswerError, TaskAnswers};
use bourn_workflow::{ErrorKind, WorkflowError, Workflows};

pub struct Answers(pub Workflows);

#[async_trait]
impl TaskAnswers for Answers {
    async fn succeed(&self, token: &str, output: &str) -> Result<(), TaskAnswerError> {
        self.0.send_task_success(token, output).await.map_err(refusal)
    }

    async fn fail(
        &self,
        token: &str,
        error: Option<String>,
        cause: Option<String>,
    ) -> Result<(), TaskAnswerError> {
        self.0.send_task_failure(token, error, cause).await.map_err(refusal)
    }

    async fn heartbeat(&self, token: &str) -> Result<(), TaskAnswerError> {
        self.0.send_task_heartbeat(token).await.map_err(refusal)
    }
}

fn refusal(error: WorkflowError) -> TaskAnswerError {
    let message = error.message().to_string();
    match error.kind() {
        ErrorKind::InvalidToken | ErrorKind::InvalidOutput => TaskAnswerError::Invalid(message),
        ErrorKind::TaskDoesNotExist => TaskAnswerError::Unknown(message),
        ErrorKind::TaskTimedOut => TaskAnswerError::Over(message),
        ErrorKind::ServiceUnavailable => TaskAnswerError::Unavailable(message),
        _ => TaskAnswerError::Failed(message),
    }
}
