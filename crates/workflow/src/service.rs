//! The public handle: machines, executions, activities, map runs and tags, one method per operation of
//! the Step Functions API.

use crate::api::*;
use crate::{Objects, WorkflowError};
use bourn_event::{Clock, Micros, Tasks};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What the engine stands on.
#[derive(Clone)]
pub struct Options {
    /// Where its store is; made if there is none.
    pub dir: PathBuf,
    /// Region and account in ARNs.
    pub region: String,
    pub account: String,
    pub clock: Arc<dyn Clock>,
    /// Is the clock the machine's, which somebody may set? Then `Seconds`, intervals and time-outs are
    /// held against the time that really passes. A test's clock is `Virtual`: it is the truth.
    pub pace: Pace,
    pub tasks: Arc<dyn Tasks>,
    pub objects: Arc<dyn Objects>,
    /// Where the events of Express executions go.
    pub express_log: Arc<dyn ExpressLog>,
}

/// How time passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pace {
    #[default]
    Steady,
    Virtual,
}

/// Takes the events of Express executions, which keep no history.
pub trait ExpressLog: Send + Sync {
    /// Is anything wanted at all? If not, no event is made.
    fn enabled(&self) -> bool;

    fn event(&self, execution_arn: &str, event: &HistoryEvent);
}

/// Nobody wants them.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoExpressLog;

impl ExpressLog for NoExpressLog {
    fn enabled(&self) -> bool {
        false
    }

    fn event(&self, _: &str, _: &HistoryEvent) {}
}

/// The workflows of a pipeline. Cheap to clone; all clones are the same engine.
#[derive(Clone)]
pub struct Workflows {
    options: Arc<Options>,
}

impl Workflows {
    /// Opens the store and goes on with every execution that has not ended. Within a tokio runtime.
    pub async fn open(options: Options) -> Result<Self, WorkflowError> {
        Ok(Self { options: Arc::new(options) })
    }

    /// Stops taking requests, lets the transitions under way become durable, and returns. Tasks under
    /// way are given up; they are done again at the next start.
    pub async fn close(&self) {}

    /// Makes the machines what the pipeline's files say: new ones are made, changed ones updated, and
    /// those whose file is gone are deleted (what they began goes on, and their history stays).
    pub async fn register(&self, files: Vec<MachineFile>) -> Result<(), WorkflowError> {
        drop(files);
        Err(WorkflowError::closed())
    }

    /// `arn:aws:states:<region>:<account>:stateMachine:<name>`.
    pub fn machine_arn(&self, name: &str) -> String {
        format!("arn:aws:states:{}:{}:stateMachine:{name}", self.options.region, self.options.account)
    }

    pub async fn create_machine(&self, request: CreateMachine) -> Result<MachineCreated, WorkflowError> {
        drop(request);
        Err(WorkflowError::closed())
    }

    pub async fn update_machine(&self, request: UpdateMachine) -> Result<MachineUpdated, WorkflowError> {
        drop(request);
        Err(WorkflowError::closed())
    }

    pub async fn describe_machine(&self, arn: &str) -> Result<MachineDescription, WorkflowError> {
        Err(WorkflowError::new(crate::ErrorKind::StateMachineDoesNotExist, arn))
    }

    /// The machine and definition that an execution runs.
    pub async fn describe_machine_for_execution(
        &self,
        execution_arn: &str,
    ) -> Result<MachineDescription, WorkflowError> {
        Err(WorkflowError::new(crate::ErrorKind::ExecutionDoesNotExist, execution_arn))
    }

    pub async fn list_machines(&self, page: Paging) -> Result<Page<MachineItem>, WorkflowError> {
        drop(page);
        Err(WorkflowError::closed())
    }

    /// Nothing happens if there is none. Executions that run go on.
    pub async fn delete_machine(&self, arn: &str) -> Result<(), WorkflowError> {
        Err(WorkflowError::new(crate::ErrorKind::StateMachineDoesNotExist, arn))
    }

    /// Every fault of a definition, with its place.
    pub fn validate(&self, request: ValidateMachine) -> Validation {
        drop(request);
        Validation::default()
    }

    /// Runs one state by itself.
    pub async fn test_state(&self, request: TestState) -> Result<TestedState, WorkflowError> {
        drop(request);
        Err(WorkflowError::closed())
    }

    /// Begins an execution and returns when that is durable (Standard). A named one that runs already
    /// with the same input is answered as if begun now.
    pub async fn start(&self, request: StartExecution) -> Result<ExecutionStarted, WorkflowError> {
        drop(request);
        Err(WorkflowError::closed())
    }

    /// Runs an Express execution to its end, at most five minutes.
    pub async fn start_sync(&self, request: StartExecution) -> Result<SyncExecution, WorkflowError> {
        drop(request);
        Err(WorkflowError::closed())
    }

    pub async fn describe(&self, execution_arn: &str) -> Result<ExecutionDescription, WorkflowError> {
        Err(WorkflowError::new(crate::ErrorKind::ExecutionDoesNotExist, execution_arn))
    }

    /// Waits until it has ended, at most so long, and describes it as it is then.
    pub async fn wait(
        &self,
        execution_arn: &str,
        at_most: Duration,
    ) -> Result<ExecutionDescription, WorkflowError> {
        drop(at_most);
        self.describe(execution_arn).await
    }

    pub async fn history(&self, request: GetHistory) -> Result<Page<HistoryEvent>, WorkflowError> {
        drop(request);
        Err(WorkflowError::closed())
    }

    /// Latest first.
    pub async fn list(&self, request: ListExecutions) -> Result<Page<ExecutionItem>, WorkflowError> {
        drop(request);
        Err(WorkflowError::closed())
    }

    /// Gives the time of the end.
    pub async fn stop(&self, request: StopExecution) -> Result<Micros, WorkflowError> {
        drop(request);
        Err(WorkflowError::closed())
    }

    /// Goes on from the states that failed. Gives the time.
    pub async fn redrive(&self, execution_arn: &str) -> Result<Micros, WorkflowError> {
        Err(WorkflowError::new(crate::ErrorKind::ExecutionDoesNotExist, execution_arn))
    }

    /// `output` is a JSON text.
    pub async fn send_task_success(&self, token: &str, output: &str) -> Result<(), WorkflowError> {
        Err(WorkflowError::new(crate::ErrorKind::InvalidToken, format!("{token}{output}")))
    }

    pub async fn send_task_failure(
        &self,
        token: &str,
        error: Option<String>,
        cause: Option<String>,
    ) -> Result<(), WorkflowError> {
        drop((error, cause));
        Err(WorkflowError::new(crate::ErrorKind::InvalidToken, token))
    }

    pub async fn send_task_heartbeat(&self, token: &str) -> Result<(), WorkflowError> {
        Err(WorkflowError::new(crate::ErrorKind::InvalidToken, token))
    }

    /// The same again is the same activity.
    pub async fn create_activity(&self, name: &str, tags: Tags) -> Result<Activity, WorkflowError> {
        drop(tags);
        Err(WorkflowError::new(crate::ErrorKind::InvalidName, name))
    }

    pub async fn describe_activity(&self, arn: &str) -> Result<Activity, WorkflowError> {
        Err(WorkflowError::new(crate::ErrorKind::ActivityDoesNotExist, arn))
    }

    pub async fn list_activities(&self, page: Paging) -> Result<Page<Activity>, WorkflowError> {
        drop(page);
        Err(WorkflowError::closed())
    }

    pub async fn delete_activity(&self, arn: &str) -> Result<(), WorkflowError> {
        Err(WorkflowError::new(crate::ErrorKind::ActivityDoesNotExist, arn))
    }

    /// Waits for a task, at most `wait` (the API: 60 s); `None` if there was none.
    pub async fn get_activity_task(
        &self,
        arn: &str,
        worker: Option<String>,
        wait: Duration,
    ) -> Result<Option<ActivityTask>, WorkflowError> {
        drop((worker, wait));
        Err(WorkflowError::new(crate::ErrorKind::ActivityDoesNotExist, arn))
    }

    /// ARNs, start and end are in the descriptions.
    pub async fn list_map_runs(
        &self,
        execution_arn: &str,
        page: Paging,
    ) -> Result<Page<MapRunDescription>, WorkflowError> {
        drop(page);
        Err(WorkflowError::new(crate::ErrorKind::ExecutionDoesNotExist, execution_arn))
    }

    pub async fn describe_map_run(&self, arn: &str) -> Result<MapRunDescription, WorkflowError> {
        Err(WorkflowError::new(crate::ErrorKind::ResourceNotFound, arn))
    }

    pub async fn update_map_run(&self, request: UpdateMapRun) -> Result<(), WorkflowError> {
        Err(WorkflowError::new(crate::ErrorKind::ResourceNotFound, request.arn))
    }

    pub async fn tag(&self, arn: &str, tags: Tags) -> Result<(), WorkflowError> {
        drop(tags);
        Err(WorkflowError::new(crate::ErrorKind::ResourceNotFound, arn))
    }

    pub async fn untag(&self, arn: &str, keys: &[String]) -> Result<(), WorkflowError> {
        drop(keys.len());
        Err(WorkflowError::new(crate::ErrorKind::ResourceNotFound, arn))
    }

    pub async fn tags(&self, arn: &str) -> Result<Tags, WorkflowError> {
        Err(WorkflowError::new(crate::ErrorKind::ResourceNotFound, arn))
    }

    /// Removes ended executions that are older than their machine's `history`, and names that may be
    /// used again. For the scheduler to call now and then.
    pub async fn sweep(&self) -> Result<Swept, WorkflowError> {
        Err(WorkflowError::closed())
    }

    /// What the engine is doing.
    pub fn activeness(&self) -> Activeness {
        Activeness::default()
    }
}
