//! Tasks that wait for somebody's answer.

use crate::machine::Phase;
use crate::token::Token;
use crate::{ExecutionStatus, WorkflowError, Workflows, store};

/// A task whose token has not been answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingTask {
    /// The state it is in.
    pub state: String,
    pub token: String,
}

impl Workflows {
    /// The tasks of an execution that wait for their token to be answered, oldest first. None of one that has ended.
    pub async fn waiting(&self, execution_arn: &str) -> Result<Vec<WaitingTask>, WorkflowError> {
        let known = self.engine.find(execution_arn)?;
        if known.head.status != ExecutionStatus::Running {
            return Ok(Vec::new());
        }
        let seq = known.meta.seq;
        let frames = store::frames(&self.engine.state, seq)?;
        let waiting = frames.into_iter().filter_map(|(id, frame)| {
            let Phase::Task(task) = &frame.phase else { return None };
            let token = Token { seq, frame: id, attempt: task.attempt, secret: task.secret? };
            Some(WaitingTask { state: frame.state.clone(), token: token.encode() })
        });
        Ok(waiting.collect())
    }
}
