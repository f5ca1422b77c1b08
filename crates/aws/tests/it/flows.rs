//! Fake workflows: remembers what it was asked, answers the same to all, and fails as a name says:
//! whatever ends in `!Kind` is refused with that error.

use async_trait::async_trait;
use bourn_aws::StepFunctions;
use bourn_event::Micros;
use bourn_workflow::*;
use serde_json::json;
use std::sync::Mutex;
use std::time::Duration;

pub const MACHINE: &str = "arn:aws:states:us-east-1:000000000000:stateMachine:nightly";
pub const EXECUTION: &str = "arn:aws:states:us-east-1:000000000000:execution:nightly:one";
pub const ACTIVITY: &str = "arn:aws:states:us-east-1:000000000000:activity:approve";
pub const MAP_RUN: &str = "arn:aws:states:us-east-1:000000000000:mapRun:nightly/Each:aaaa-bbbb";
/// 2026-01-01T00:00:00.123456Z
pub const AT: Micros = 1_767_225_600_123_456;

pub const KINDS: [ErrorKind; 23] = [
    ErrorKind::ActivityAlreadyExists,
    ErrorKind::ActivityDoesNotExist,
    ErrorKind::ConflictException,
    ErrorKind::ExecutionAlreadyExists,
    ErrorKind::ExecutionDoesNotExist,
    ErrorKind::ExecutionNotRedrivable,
    ErrorKind::InvalidArn,
    ErrorKind::InvalidDefinition,
    ErrorKind::InvalidExecutionInput,
    ErrorKind::InvalidLoggingConfiguration,
    ErrorKind::InvalidName,
    ErrorKind::InvalidOutput,
    ErrorKind::InvalidToken,
    ErrorKind::ResourceNotFound,
    ErrorKind::StateMachineAlreadyExists,
    ErrorKind::StateMachineDoesNotExist,
    ErrorKind::StateMachineTypeNotSupported,
    ErrorKind::TaskDoesNotExist,
    ErrorKind::TaskTimedOut,
    ErrorKind::TooManyTags,
    ErrorKind::ValidationException,
    ErrorKind::ServiceUnavailable,
    ErrorKind::InternalServerError,
];

#[derive(Default)]
pub struct FakeFlows {
    asked: Mutex<Vec<String>>,
}

impl FakeFlows {
    /// What it was asked last.
    pub fn last(&self) -> String {
        self.asked.lock().expect("no panic").last().cloned().unwrap_or_default()
    }

    pub fn count(&self) -> usize {
        self.asked.lock().expect("no panic").len()
    }

    fn take(&self, name: &str, asked: impl std::fmt::Debug) -> Result<(), WorkflowError> {
        self.asked.lock().expect("no panic").push(format!("{asked:?}"));
        let kind = KINDS.into_iter().find(|kind| name.ends_with(&format!("!{}", kind.code())));
        kind.map_or(Ok(()), |kind| Err(WorkflowError::new(kind, format!("refused: {name}"))))
    }
}

fn page<T>(page: &Paging, item: T) -> Page<T> {
    let next_token = page.next_token.is_none().then(|| "more".to_owned());
    Page { items: vec![item], next_token }
}

fn machine() -> MachineDescription {
    MachineDescription {
        arn: MACHINE.into(),
        name: "nightly".into(),
        definition: "{}".into(),
        machine_type: MachineType::Express,
        role_arn: "arn:aws:iam::000000000000:role/r".into(),
        logging: None,
        tracing: Some(json!({"enabled": true})),
        created_at: AT,
        revision_id: "r1".into(),
        from_file: false,
    }
}

fn activity() -> Activity {
    Activity { arn: ACTIVITY.into(), name: "approve".into(), created_at: AT }
}

fn map_run() -> MapRunDescription {
    MapRunDescription {
        arn: MAP_RUN.into(),
        execution_arn: EXECUTION.into(),
        machine_arn: MACHINE.into(),
        status: ExecutionStatus::Running,
        started_at: AT,
        ended_at: None,
        max_concurrency: 3,
        tolerated_failure_percentage: 12.5,
        tolerated_failure_count: 4,
        items: MapRunCounts { total: 10, pending: 7, timed_out: 1, ..MapRunCounts::default() },
        executions: MapRunCounts { total: 5, results_written: 2, ..MapRunCounts::default() },
        redrive_count: 0,
        redriven_at: None,
    }
}

#[async_trait]
impl StepFunctions for FakeFlows {
    async fn create_machine(&self, request: CreateMachine) -> Result<MachineCreated, WorkflowError> {
        self.take(&request.name, &request)?;
        Ok(MachineCreated { arn: MACHINE.into(), created_at: AT })
    }

    async fn update_machine(&self, request: UpdateMachine) -> Result<MachineUpdated, WorkflowError> {
        self.take(&request.arn, &request)?;
        Ok(MachineUpdated { updated_at: AT, revision_id: "r2".into() })
    }

    async fn describe_machine(&self, arn: &str) -> Result<MachineDescription, WorkflowError> {
        self.take(arn, arn)?;
        Ok(machine())
    }

    async fn describe_machine_for_execution(&self, arn: &str) -> Result<MachineDescription, WorkflowError> {
        self.take(arn, arn)?;
        Ok(machine())
    }

    async fn list_machines(&self, paging: Paging) -> Result<Page<MachineItem>, WorkflowError> {
        self.take("", &paging)?;
        let item = MachineItem {
            arn: MACHINE.into(),
            name: "nightly".into(),
            machine_type: MachineType::Standard,
            created_at: AT,
        };
        Ok(page(&paging, item))
    }

    async fn delete_machine(&self, arn: &str) -> Result<(), WorkflowError> {
        self.take(arn, arn)
    }

    fn validate(&self, request: ValidateMachine) -> Validation {
        let diagnostic = Diagnostic {
            severity: "ERROR",
            code: "SCHEMA_VALIDATION_FAILED".into(),
            message: "These fields are required: [StartAt]".into(),
            location: "/".into(),
        };
        let ok = request.definition.contains("StartAt");
        let diagnostics = if ok { Vec::new() } else { vec![diagnostic] };
        self.asked.lock().expect("no panic").push(format!("{request:?}"));
        Validation { ok, diagnostics, truncated: false }
    }

    async fn test_state(&self, request: TestState) -> Result<TestedState, WorkflowError> {
        self.take(request.state_name.as_deref().unwrap_or_default(), &request)?;
        let inspection = (request.inspection != Inspection::Info)
            .then(|| json!({"input": {}, "errorDetails": {"retryIndex": 0}}));
        Ok(TestedState {
            status: "SUCCEEDED",
            output: Some("{\"a\":1}".into()),
            next_state: Some("Next".into()),
            inspection,
            ..TestedState::default()
        })
    }

    async fn start(&self, request: StartExecution) -> Result<ExecutionStarted, WorkflowError> {
        self.take(&request.machine_arn, &request)?;
        Ok(ExecutionStarted { arn: EXECUTION.into(), started_at: AT })
    }

    async fn start_sync(&self, request: StartExecution) -> Result<SyncExecution, WorkflowError> {
        self.take(&request.machine_arn, &request)?;
        Ok(SyncExecution {
            arn: EXECUTION.into(),
            machine_arn: MACHINE.into(),
            name: "one".into(),
            started_at: AT,
            ended_at: AT + 1_000_000,
            status: ExecutionStatus::Failed,
            error: Some("Refused".into()),
            cause: Some("too dear".into()),
            input: "{}".into(),
            output: None,
            trace: None,
            billed_ms: 1_000,
        })
    }

    async fn describe(&self, arn: &str) -> Result<ExecutionDescription, WorkflowError> {
        self.take(arn, arn)?;
        Ok(ExecutionDescription {
            arn: EXECUTION.into(),
            machine_arn: MACHINE.into(),
            name: "one".into(),
            status: ExecutionStatus::Succeeded,
            started_at: AT,
            ended_at: Some(AT + 2_000_000),
            input: "{\"a\":1}".into(),
            output: Some("{\"b\":2}".into()),
            error: None,
            cause: None,
            map_run_arn: None,
            revision_id: "r1".into(),
            redrive_count: 0,
            redriven_at: None,
            redrive_status: "NOT_REDRIVABLE",
            redrive_reason: Some("Execution is SUCCEEDED and cannot be redriven".into()),
            trace: None,
            events: 7,
        })
    }

    async fn history(&self, request: GetHistory) -> Result<Page<HistoryEvent>, WorkflowError> {
        self.take(&request.execution_arn, &request)?;
        let details = json!({"name": "Count", "input": "{\"a\":1}", "inputDetails": {"truncated": false}});
        let entered = HistoryEvent {
            id: 2,
            previous_id: 0,
            at: AT,
            kind: "TaskStateEntered",
            details: Some(("stateEnteredEventDetails", details)),
        };
        let mut events = page(&request.page, entered);
        events.items.push(HistoryEvent {
            id: 3,
            previous_id: 2,
            at: AT,
            kind: "MapStateSucceeded",
            details: None,
        });
        Ok(events)
    }

    async fn list(&self, request: ListExecutions) -> Result<Page<ExecutionItem>, WorkflowError> {
        self.take(request.machine_arn.as_deref().unwrap_or_default(), &request)?;
        let item = ExecutionItem {
            arn: EXECUTION.into(),
            machine_arn: MACHINE.into(),
            name: "one".into(),
            status: ExecutionStatus::TimedOut,
            started_at: AT,
            ended_at: Some(AT),
            map_run_arn: None,
            item_count: Some(5),
            redrive_count: 1,
            redriven_at: Some(AT),
        };
        Ok(page(&request.page, item))
    }

    async fn stop(&self, request: StopExecution) -> Result<Micros, WorkflowError> {
        self.take(&request.execution_arn, &request)?;
        Ok(AT)
    }

    async fn redrive(&self, arn: &str) -> Result<Micros, WorkflowError> {
        self.take(arn, arn)?;
        Ok(AT)
    }

    async fn send_task_success(&self, token: &str, output: &str) -> Result<(), WorkflowError> {
        self.take(token, (token, output))
    }

    async fn send_task_failure(
        &self,
        token: &str,
        error: Option<String>,
        cause: Option<String>,
    ) -> Result<(), WorkflowError> {
        self.take(token, (token, error, cause))
    }

    async fn send_task_heartbeat(&self, token: &str) -> Result<(), WorkflowError> {
        self.take(token, token)
    }

    async fn create_activity(&self, name: &str, tags: Tags) -> Result<Activity, WorkflowError> {
        self.take(name, (name, tags))?;
        Ok(activity())
    }

    async fn describe_activity(&self, arn: &str) -> Result<Activity, WorkflowError> {
        self.take(arn, arn)?;
        Ok(activity())
    }

    async fn list_activities(&self, paging: Paging) -> Result<Page<Activity>, WorkflowError> {
        self.take("", &paging)?;
        Ok(page(&paging, activity()))
    }

    async fn delete_activity(&self, arn: &str) -> Result<(), WorkflowError> {
        self.take(arn, arn)
    }

    async fn get_activity_task(
        &self,
        arn: &str,
        worker: Option<String>,
        wait: Duration,
    ) -> Result<Option<ActivityTask>, WorkflowError> {
        self.take(arn, (arn, worker, wait))?;
        match arn {
            ACTIVITY => Ok(Some(ActivityTask { token: "token".into(), input: "{\"a\":1}".into() })),
            idle if idle.ends_with(":idle") => Ok(None),
            _ => std::future::pending().await,
        }
    }

    async fn list_map_runs(
        &self,
        arn: &str,
        paging: Paging,
    ) -> Result<Page<MapRunDescription>, WorkflowError> {
        self.take(arn, arn)?;
        Ok(page(&paging, map_run()))
    }

    async fn describe_map_run(&self, arn: &str) -> Result<MapRunDescription, WorkflowError> {
        self.take(arn, arn)?;
        let ended = arn.ends_with(":ended");
        let status = if ended { ExecutionStatus::Succeeded } else { ExecutionStatus::Running };
        Ok(MapRunDescription { status, ..map_run() })
    }

    async fn update_map_run(&self, request: UpdateMapRun) -> Result<(), WorkflowError> {
        self.take(&request.arn, &request)
    }

    async fn tag(&self, arn: &str, tags: Tags) -> Result<(), WorkflowError> {
        self.take(arn, tags)
    }

    async fn untag(&self, arn: &str, keys: &[String]) -> Result<(), WorkflowError> {
        self.take(arn, keys)
    }

    async fn tags(&self, arn: &str) -> Result<Tags, WorkflowError> {
        self.take(arn, arn)?;
        Ok(Tags::from([("team".to_owned(), "data".to_owned())]))
    }
}
