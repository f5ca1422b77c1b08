//! What the Step Functions API stands on: the engine's own calls as a trait, so that the protocol can be
//! tried without an engine.

use async_trait::async_trait;
use bourn_event::Micros;
use bourn_workflow::*;
use std::time::Duration;

/// One method per operation; [`Workflows`] is the one that matters.
#[async_trait]
pub trait StepFunctions: Send + Sync {
    async fn create_machine(&self, request: CreateMachine) -> Result<MachineCreated, WorkflowError>;
    async fn update_machine(&self, request: UpdateMachine) -> Result<MachineUpdated, WorkflowError>;
    async fn describe_machine(&self, arn: &str) -> Result<MachineDescription, WorkflowError>;
    async fn describe_machine_for_execution(&self, arn: &str) -> Result<MachineDescription, WorkflowError>;
    async fn list_machines(&self, page: Paging) -> Result<Page<MachineItem>, WorkflowError>;
    async fn delete_machine(&self, arn: &str) -> Result<(), WorkflowError>;
    fn validate(&self, request: ValidateMachine) -> Validation;
    async fn test_state(&self, request: TestState) -> Result<TestedState, WorkflowError>;
    async fn start(&self, request: StartExecution) -> Result<ExecutionStarted, WorkflowError>;
    async fn start_sync(&self, request: StartExecution) -> Result<SyncExecution, WorkflowError>;
    async fn describe(&self, execution_arn: &str) -> Result<ExecutionDescription, WorkflowError>;
    async fn history(&self, request: GetHistory) -> Result<Page<HistoryEvent>, WorkflowError>;
    async fn list(&self, request: ListExecutions) -> Result<Page<ExecutionItem>, WorkflowError>;
    async fn stop(&self, request: StopExecution) -> Result<Micros, WorkflowError>;
    async fn redrive(&self, execution_arn: &str) -> Result<Micros, WorkflowError>;
    async fn send_task_success(&self, token: &str, output: &str) -> Result<(), WorkflowError>;
    async fn send_task_failure(
        &self,
        token: &str,
        error: Option<String>,
        cause: Option<String>,
    ) -> Result<(), WorkflowError>;
    async fn send_task_heartbeat(&self, token: &str) -> Result<(), WorkflowError>;
    async fn create_activity(&self, name: &str, tags: Tags) -> Result<Activity, WorkflowError>;
    async fn describe_activity(&self, arn: &str) -> Result<Activity, WorkflowError>;
    async fn list_activities(&self, page: Paging) -> Result<Page<Activity>, WorkflowError>;
    async fn delete_activity(&self, arn: &str) -> Result<(), WorkflowError>;
    async fn get_activity_task(
        &self,
        arn: &str,
        worker: Option<String>,
        wait: Duration,
    ) -> Result<Option<ActivityTask>, WorkflowError>;
    async fn list_map_runs(
        &self,
        execution_arn: &str,
        page: Paging,
    ) -> Result<Page<MapRunDescription>, WorkflowError>;
    async fn describe_map_run(&self, arn: &str) -> Result<MapRunDescription, WorkflowError>;
    async fn update_map_run(&self, request: UpdateMapRun) -> Result<(), WorkflowError>;
    async fn tag(&self, arn: &str, tags: Tags) -> Result<(), WorkflowError>;
    async fn untag(&self, arn: &str, keys: &[String]) -> Result<(), WorkflowError>;
    async fn tags(&self, arn: &str) -> Result<Tags, WorkflowError>;
}

#[async_trait]
impl StepFunctions for Workflows {
    async fn create_machine(&self, request: CreateMachine) -> Result<MachineCreated, WorkflowError> {
        Workflows::create_machine(self, request).await
    }

    async fn update_machine(&self, request: UpdateMachine) -> Result<MachineUpdated, WorkflowError> {
        Workflows::update_machine(self, request).await
    }

    async fn describe_machine(&self, arn: &str) -> Result<MachineDescription, WorkflowError> {
        Workflows::describe_machine(self, arn).await
    }

    async fn describe_machine_for_execution(&self, arn: &str) -> Result<MachineDescription, WorkflowError> {
        Workflows::describe_machine_for_execution(self, arn).await
    }

    async fn list_machines(&self, page: Paging) -> Result<Page<MachineItem>, WorkflowError> {
        Workflows::list_machines(self, page).await
    }

    async fn delete_machine(&self, arn: &str) -> Result<(), WorkflowError> {
        Workflows::delete_machine(self, arn).await
    }

    fn validate(&self, request: ValidateMachine) -> Validation {
        Workflows::validate(self, request)
    }

    async fn test_state(&self, request: TestState) -> Result<TestedState, WorkflowError> {
        Workflows::test_state(self, request).await
    }

    async fn start(&self, request: StartExecution) -> Result<ExecutionStarted, WorkflowError> {
        Workflows::start(self, request).await
    }

    async fn start_sync(&self, request: StartExecution) -> Result<SyncExecution, WorkflowError> {
        Workflows::start_sync(self, request).await
    }

    async fn describe(&self, execution_arn: &str) -> Result<ExecutionDescription, WorkflowError> {
        Workflows::describe(self, execution_arn).await
    }

    async fn history(&self, request: GetHistory) -> Result<Page<HistoryEvent>, WorkflowError> {
        Workflows::history(self, request).await
    }

    async fn list(&self, request: ListExecutions) -> Result<Page<ExecutionItem>, WorkflowError> {
        Workflows::list(self, request).await
    }

    async fn stop(&self, request: StopExecution) -> Result<Micros, WorkflowError> {
        Workflows::stop(self, request).await
    }

    async fn redrive(&self, execution_arn: &str) -> Result<Micros, WorkflowError> {
        Workflows::redrive(self, execution_arn).await
    }

    async fn send_task_success(&self, token: &str, output: &str) -> Result<(), WorkflowError> {
        Workflows::send_task_success(self, token, output).await
    }

    async fn send_task_failure(
        &self,
        token: &str,
        error: Option<String>,
        cause: Option<String>,
    ) -> Result<(), WorkflowError> {
        Workflows::send_task_failure(self, token, error, cause).await
    }

    async fn send_task_heartbeat(&self, token: &str) -> Result<(), WorkflowError> {
        Workflows::send_task_heartbeat(self, token).await
    }

    async fn create_activity(&self, name: &str, tags: Tags) -> Result<Activity, WorkflowError> {
        Workflows::create_activity(self, name, tags).await
    }

    async fn describe_activity(&self, arn: &str) -> Result<Activity, WorkflowError> {
        Workflows::describe_activity(self, arn).await
    }

    async fn list_activities(&self, page: Paging) -> Result<Page<Activity>, WorkflowError> {
        Workflows::list_activities(self, page).await
    }

    async fn delete_activity(&self, arn: &str) -> Result<(), WorkflowError> {
        Workflows::delete_activity(self, arn).await
    }

    async fn get_activity_task(
        &self,
        arn: &str,
        worker: Option<String>,
        wait: Duration,
    ) -> Result<Option<ActivityTask>, WorkflowError> {
        Workflows::get_activity_task(self, arn, worker, wait).await
    }

    async fn list_map_runs(
        &self,
        execution_arn: &str,
        page: Paging,
    ) -> Result<Page<MapRunDescription>, WorkflowError> {
        Workflows::list_map_runs(self, execution_arn, page).await
    }

    async fn describe_map_run(&self, arn: &str) -> Result<MapRunDescription, WorkflowError> {
        Workflows::describe_map_run(self, arn).await
    }

    async fn update_map_run(&self, request: UpdateMapRun) -> Result<(), WorkflowError> {
        Workflows::update_map_run(self, request).await
    }

    async fn tag(&self, arn: &str, tags: Tags) -> Result<(), WorkflowError> {
        Workflows::tag(self, arn, tags).await
    }

    async fn untag(&self, arn: &str, keys: &[String]) -> Result<(), WorkflowError> {
        Workflows::untag(self, arn, keys).await
    }

    async fn tags(&self, arn: &str) -> Result<Tags, WorkflowError> {
        Workflows::tags(self, arn).await
    }
}
