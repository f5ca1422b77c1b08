//! Begins what schedules, triggers and backfills name: workflows, functions and jobs.

use async_trait::async_trait;
use bourn_config::{JobTarget, Target};
use bourn_event::{Clock, Functions, Invocation, InvokeError, Jobs, Micros};
use bourn_functions::{Host, InvocationRow};
use bourn_schedule::{Ended, RunRef, StartError, Started, Starter, execution_name, job_name, request_id};
use bourn_workflow::{
    ErrorKind, ExecutionStatus, MachineType, StartExecution, StopExecution, WorkflowError, Workflows,
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// How long a wait for an execution lasts before it is renewed.
const WAIT: Duration = Duration::from_secs(60);
/// How often an asynchronous invocation is asked after.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// How long an invocation's end may be unknown beyond its age limit.
const GRACE: Micros = 60_000_000;

pub struct PipelineStarter {
    pub workflows: Workflows,
    pub host: Arc<Host>,
    pub settings: BTreeMap<String, bourn_config::Function>,
    pub jobs: Arc<dyn Jobs>,
    pub clock: Arc<dyn Clock>,
    running: Mutex<HashMap<String, Here>>,
}

/// A run that lives in this process and ends with it: a job, an Express execution.
struct Here {
    ended: watch::Receiver<Option<Ended>>,
    abort: AbortHandle,
}

impl PipelineStarter {
    pub fn new(
        workflows: Workflows,
        host: Arc<Host>,
        settings: BTreeMap<String, bourn_config::Function>,
        jobs: Arc<dyn Jobs>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { workflows, host, settings, jobs, clock, running: Mutex::default() }
    }

    async fn start_workflow(&self, name: &str, run_id: &str, input: &Value) -> Result<Started, StartError> {
        let request = StartExecution {
            machine_arn: self.workflows.machine_arn(name),
            name: Some(execution_name(run_id)),
            input: Some(input.to_string()),
            trace: None,
        };
        let kind = self.workflows.machine_type(&request.machine_arn).await.map_err(|e| refusal(&e))?;
        if kind == MachineType::Express {
            let workflows = self.workflows.clone();
            return Ok(self.start_here(run_id, async move {
                match workflows.start_sync(request).await {
                    Ok(done) => ended(done.status, done.error, done.cause).unwrap_or_else(Ended::succeeded),
                    Err(error) => Ended::failed(error.to_string()),
                }
            }));
        }
        match self.workflows.start(request).await {
            Ok(started) => Ok(Started { execution: Some(started.arn) }),
            // Begun before a crash; what differs is the time in an input that was made anew.
            Err(error) if error.kind() == ErrorKind::ExecutionAlreadyExists => {
                let arn = self.workflows.machine_arn(name).replace(":stateMachine:", ":execution:");
                Ok(Started { execution: Some(format!("{arn}:{}", execution_name(run_id))) })
            }
            Err(error) => Err(refusal(&error)),
        }
    }

    /// After a crash a function may be invoked again for the same run: it can tell by the request id, which is made
    /// of the run's, and by the client context, which holds the run's itself.
    async fn start_function(&self, name: &str, run_id: &str, input: &Value) -> Result<Started, StartError> {
        let call = Invocation {
            function: name.into(),
            payload: input.to_string().into(),
            client_context: Some(json!({"custom": {"run": run_id}}).to_string()),
            request_id: Some(request_id(run_id)),
            ..Invocation::default()
        };
        match self.host.invoke_later(call).await {
            Ok(request_id) => Ok(Started { execution: Some(request_id) }),
            Err(error @ InvokeError::Closed) => Err(StartError::Later(error.to_string())),
            Err(error) if error.is_retryable() => Err(StartError::Later(error.to_string())),
            Err(error) => Err(StartError::Never(error.to_string())),
        }
    }

    fn start_job(&self, job: &JobTarget, run_id: &str, arguments: Value) -> Started {
        let (jobs, job) = (self.jobs.clone(), job.clone());
        self.start_here(run_id, async move {
            // A schedule's own input says when it was due; that is no argument of a job.
            let arguments = if arguments.get("schedule").is_some() { Value::Null } else { arguments };
            match jobs.run(job_name(job.name), job.stream.as_deref(), &arguments).await {
                Ok(done) => Ended { rows: done.rows, ..Ended::succeeded() },
                Err(error) => Ended::failed(error),
            }
        })
    }

    fn start_here(&self, run_id: &str, run: impl Future<Output = Ended> + Send + 'static) -> Started {
        let mut running = self.running.lock();
        if !running.contains_key(run_id) {
            let (tell, ended) = watch::channel(None);
            let task = tokio::spawn(async move {
                let _ = tell.send(Some(run.await));
            });
            running.insert(run_id.into(), Here { ended, abort: task.abort_handle() });
        }
        Started::default()
    }

    async fn ended_here(&self, run_id: &str) -> Ended {
        let ended = self.running.lock().get(run_id).map(|run| run.ended.clone());
        let Some(mut ended) = ended else { return Ended::aborted("the process ended while it ran") };
        let told = ended.wait_for(Option::is_some).await.ok().and_then(|ended| ended.clone());
        self.running.lock().remove(run_id);
        told.unwrap_or_else(|| Ended::aborted("stopped"))
    }

    async fn workflow_ended(&self, arn: &str) -> Ended {
        loop {
            let described = match self.workflows.wait(arn, WAIT).await {
                Ok(described) => described,
                Err(error) if error.is_retryable() => {
                    tokio::time::sleep(ASK_EVERY).await;
                    continue;
                }
                Err(error) => return Ended::aborted(error.to_string()),
            };
            if let Some(ended) = ended(described.status, described.error, described.cause) {
                return ended;
            }
        }
    }

    /// The end of an asynchronous invocation, retries and all, as the newest invocations tell it.
    async fn invocation_ended(&self, name: &str, request_id: &str) -> Ended {
        let Some(settings) = self.settings.get(name) else {
            return Ended::aborted(format!("there is no function `{name}` any more"));
        };
        let begun = self.clock.now();
        loop {
            let rows = self.host.invocations();
            let last = rows.iter().rev().find(|row| *row.request_id == *request_id);
            if let Some(ended) = last.and_then(|row| verdict(row, settings.retries)) {
                return ended;
            }
            if self.clock.now() - begun > settings.max_age.micros().saturating_add(GRACE) {
                return Ended::aborted("it was given up, or its end is not known");
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }
}

/// None while it runs.
fn ended(status: ExecutionStatus, error: Option<String>, cause: Option<String>) -> Option<Ended> {
    let error = [error, cause].into_iter().flatten().collect::<Vec<_>>().join(": ");
    match status {
        ExecutionStatus::Running | ExecutionStatus::PendingRedrive => None,
        ExecutionStatus::Succeeded => Some(Ended::succeeded()),
        ExecutionStatus::Aborted => Some(Ended::aborted(error)),
        ExecutionStatus::Failed => Some(Ended::failed(error)),
        ExecutionStatus::TimedOut => Some(Ended::failed(format!("it took too long {error}"))),
    }
}

fn refusal(error: &WorkflowError) -> StartError {
    if error.is_retryable() {
        return StartError::Later(error.to_string());
    }
    StartError::Never(error.to_string())
}

fn verdict(row: &InvocationRow, retries: u32) -> Option<Ended> {
    match &row.error {
        None => Some(Ended::succeeded()),
        Some(error) if row.attempt > retries => Some(Ended::failed(error.clone())),
        Some(_) => None,
    }
}

#[async_trait]
impl Starter for PipelineStarter {
    async fn start(&self, target: &Target, run_id: &str, input: Value) -> Result<Started, StartError> {
        match target {
            Target::Workflow(name) => self.start_workflow(name, run_id, &input).await,
            Target::Function(name) => self.start_function(name, run_id, &input).await,
            Target::Job(job) => Ok(self.start_job(job, run_id, input)),
        }
    }

    async fn finished(&self, run: &RunRef) -> Ended {
        match (&run.target, &run.execution) {
            (Target::Workflow(_), Some(arn)) => self.workflow_ended(arn).await,
            (Target::Function(name), Some(id)) => self.invocation_ended(name, id).await,
            (Target::Job(_) | Target::Workflow(_), _) => self.ended_here(&run.id).await,
            _ => Ended::aborted("it was not begun"),
        }
    }

    async fn stop(&self, run: &RunRef) -> Result<(), String> {
        match (&run.target, &run.execution) {
            (Target::Workflow(_), Some(arn)) => {
                let request = StopExecution {
                    execution_arn: arn.clone(),
                    error: Some("Bourn.Replaced".into()),
                    cause: Some("a later run took its place".into()),
                };
                match self.workflows.stop(request).await {
                    Err(error) if error.is_retryable() => Err(error.to_string()),
                    _ => Ok(()),
                }
            }
            // What a function began cannot be called back: it ends by itself, within its time.
            (Target::Function(_), _) => Ok(()),
            (Target::Job(_) | Target::Workflow(_), _) => {
                if let Some(job) = self.running.lock().get(&run.id) {
                    job.abort.abort();
                }
                Ok(())
            }
        }
    }
}

/// A request that the engine refused, as an error of a command.
pub fn refused(error: &WorkflowError) -> anyhow::Error {
    anyhow::anyhow!("{} ({})", error.message(), error.code())
}
