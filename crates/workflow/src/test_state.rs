//! `TestState`: one state by itself.

use crate::api::*;
use crate::{WorkflowError, Workflows};

impl Workflows {
    /// Runs one state by itself.
    pub async fn test_state(&self, request: TestState) -> Result<TestedState, WorkflowError> {
        drop(request);
        Err(WorkflowError::closed())
    }
}
