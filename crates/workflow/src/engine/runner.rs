//! Runners: each does one try of one task, outside the steps.

use super::{Busy, Command, Engine, TaskId, maprun};
use crate::WorkflowError;
use crate::api::{ExecutionStatus, StartExecution};
use crate::data::Data;
use crate::machine::{Input, Meta, Pattern, Resource};
use bourn_asl::{Machine, Variables};
use bourn_event::{Micros, TaskFailure, TaskRequest};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::AbortHandle;
use uuid::Uuid;

/// What a runner has to do.
pub struct Job {
    pub id: TaskId,
    pub resource: Resource,
    pub parameters: Data,
    pub submitted: Option<Data>,
    pub meta: Arc<Meta>,
    pub machine: Arc<Machine>,
    pub visible: Arc<Variables>,
    /// A map run: the Map state.
    pub map_state: Option<String>,
    pub entered_at: Micros,
}

impl Engine {
    pub(super) fn run_task(self: &Arc<Self>, job: Job) {
        let (engine, id) = (self.clone(), job.id);
        let map_run = job.map_state.is_some().then(|| maprun::number_of_job(&job));
        let mut running = self.running.lock();
        if running.contains_key(&id) || self.check_open().is_err() {
            return;
        }
        let mut busy = Some(self.busy());
        let task = self.handle.spawn(async move {
            let input = engine.work(&job, &mut busy).await;
            engine.running.lock().remove(&id);
            if let Some(input) = input {
                // Refused only while closing: the task is done again at the next start.
                let _ = engine.send(Command::Input { seq: id.0, input, expect: None, reply: None });
            }
            drop(busy);
        });
        running.insert(id, (task.abort_handle(), map_run));
    }

    pub(super) fn cancel_task(self: &Arc<Self>, id: TaskId) {
        let Some((task, map_run)) = self.running.lock().remove(&id) else { return };
        task.abort();
        if let Some(map_run) = map_run {
            self.abandon_map_run(map_run, Some(task));
        }
    }

    /// Stops the children of a map run whose runner was told to go. Who goes on with that run waits until
    /// this is over.
    pub(super) fn abandon_map_run(self: &Arc<Self>, map_run: u64, runner: Option<AbortHandle>) {
        let engine = self.clone();
        self.abandoning.lock().insert(map_run);
        self.handle.spawn(async move {
            while runner.as_ref().is_some_and(|runner| !runner.is_finished()) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            if let Err(error) = maprun::abandon(&engine, map_run).await {
                tracing::error!(%error, "the children of a map run cannot be stopped");
            }
            engine.abandoning.lock().remove(&map_run);
            engine.abandoned.notify_waiters();
        });
    }

    async fn work(self: &Arc<Self>, job: &Job, busy: &mut Option<Busy>) -> Option<Input> {
        let (_, frame, attempt) = job.id;
        let done = if job.map_state.is_some() {
            maprun::drive(self, job, busy).await
        } else {
            match job.resource.pattern() {
                Pattern::Answer => self.submit(job).await,
                Pattern::Token => {
                    return Some(match self.submit(job).await {
                        Ok(answer) => Input::Submitted { frame, attempt, answer: Data::new(answer) },
                        Err(failure) => failed(job, failure),
                    });
                }
                Pattern::Sync | Pattern::Sync2 => match self.submitted(job).await {
                    Ok(Some(answer)) => self.wait(job, &answer, busy).await,
                    Ok(None) => return None,
                    Err(failure) => Err(failure),
                },
            }
        };
        Some(match done {
            Ok(output) => Input::Succeeded { frame, attempt, output: Data::new(output) },
            Err(failure) => failed(job, failure),
        })
    }

    /// The answer to the submission, durable; `None` if nobody waits for it any more.
    async fn submitted(self: &Arc<Self>, job: &Job) -> Result<Option<Value>, TaskFailure> {
        if let Some(answer) = &job.submitted {
            return Ok(Some(answer.value().clone()));
        }
        let answer = self.submit(job).await?;
        let (seq, frame, attempt) = job.id;
        let input = Input::Submitted { frame, attempt, answer: Data::new(answer.clone()) };
        match self.input(seq, input).await {
            Ok(true) => Ok(Some(answer)),
            Ok(false) | Err(_) => Ok(None),
        }
    }

    pub(super) async fn submit(self: &Arc<Self>, job: &Job) -> Result<Value, TaskFailure> {
        if let Some(form) = start_form(&job.resource) {
            return self.start_execution(job, form).await;
        }
        self.options.tasks.submit(&request(job)).await
    }

    async fn wait(
        self: &Arc<Self>,
        job: &Job,
        submitted: &Value,
        busy: &mut Option<Busy>,
    ) -> Result<Value, TaskFailure> {
        if start_form(&job.resource).is_some() {
            return self.await_execution(job, submitted, busy).await;
        }
        self.options.tasks.wait(&request(job), submitted).await
    }

    /// `states:startExecution`.
    async fn start_execution(self: &Arc<Self>, job: &Job, form: StartForm) -> Result<Value, TaskFailure> {
        let parameters = job.parameters.value();
        let text = |key: &str| parameters.get(key).and_then(Value::as_str).map(str::to_owned);
        let input = match parameters.get("Input") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(other) => Some(other.to_string()),
        };
        // The same for every try after a crash, so that it begins one execution.
        let (high, low) = (job.id.0, (u64::from(job.id.1) << 32) | u64::from(job.id.2));
        let name = text("Name").unwrap_or_else(|| Uuid::from_u64_pair(high, low).to_string());
        let request = StartExecution {
            machine_arn: text("StateMachineArn").unwrap_or_default(),
            name: Some(name),
            input,
            trace: text("TraceHeader").or_else(|| job.meta.trace.clone()),
        };
        let started = self.begin(request).await.map_err(|error| {
            TaskFailure::new(format!("{}.{}Exception", form.prefix(), error.code()), error.message())
        })?;
        Ok(json!({ "ExecutionArn": started.arn, "StartDate": form.date(started.started_at) }))
    }

    async fn await_execution(
        self: &Arc<Self>,
        job: &Job,
        submitted: &Value,
        busy: &mut Option<Busy>,
    ) -> Result<Value, TaskFailure> {
        let arn = submitted.get("ExecutionArn").and_then(Value::as_str).unwrap_or_default();
        let describe = |error: WorkflowError| {
            TaskFailure::new(format!("StepFunctions.{}Exception", error.code()), error.message())
        };
        let seq = self.find(arn).map_err(describe)?.meta.seq;
        let known = loop {
            let told = self.watch(seq);
            let known = self.find(arn).map_err(describe)?;
            if known.outcome.is_some() && known.head.status != ExecutionStatus::Running {
                break known;
            }
            // What waits for another execution is not busy.
            drop(busy.take());
            let _ = told.await;
            *busy = Some(self.busy());
        };
        let outcome = known.outcome.unwrap_or_default();
        let status = known.head.status;
        let mut result = Map::new();
        let mut put = |key: &str, value: Value| result.insert(key.into(), value);
        put("ExecutionArn", json!(known.meta.arn));
        put("Input", json!(known.meta.input.text()));
        put("InputDetails", json!({"Included": true}));
        put("Name", json!(known.meta.name));
        put("StartDate", json!(known.meta.started_at / 1_000));
        put("StateMachineArn", json!(known.meta.machine_arn));
        put("Status", json!(status.as_str()));
        put("StopDate", json!(outcome.ended_at / 1_000));
        if status != ExecutionStatus::Succeeded {
            outcome.error.map(|error| put("Error", json!(error)));
            outcome.cause.map(|cause| put("Cause", json!(cause)));
            return Err(TaskFailure::new("States.TaskFailed", Value::Object(result).to_string()));
        }
        let output = outcome.output.unwrap_or_default();
        let as_json = job.resource.pattern() == Pattern::Sync2;
        put("Output", if as_json { output.value().clone() } else { json!(output.text()) });
        put("OutputDetails", json!({"Included": true}));
        put("RedriveCount", json!(known.head.redrive_count));
        put("RedriveStatus", json!("NOT_REDRIVABLE"));
        put("RedriveStatusReason", json!("Execution is SUCCEEDED and cannot be redriven"));
        Ok(Value::Object(result))
    }
}

/// How `startExecution` is called.
#[derive(Clone, Copy)]
enum StartForm {
    Optimised,
    Sdk,
}

impl StartForm {
    fn prefix(self) -> &'static str {
        match self {
            Self::Optimised => "StepFunctions",
            Self::Sdk => "Sfn",
        }
    }

    fn date(self, at: Micros) -> Value {
        match self {
            Self::Optimised => json!(at as f64 / 1e6),
            Self::Sdk => json!(crate::machine::rfc3339(at)),
        }
    }
}

fn start_form(resource: &Resource) -> Option<StartForm> {
    let Resource::Service { service, call, .. } = resource else { return None };
    match (service.as_str(), call.split('.').next()?) {
        ("states", "startExecution") => Some(StartForm::Optimised),
        ("aws-sdk:sfn", "startExecution") => Some(StartForm::Sdk),
        _ => None,
    }
}

fn request(job: &Job) -> TaskRequest {
    let resource = match &job.resource {
        Resource::Function(arn) | Resource::Activity(arn) => arn.clone(),
        Resource::Service { base, .. } => base.clone(),
    };
    let (seq, frame, attempt) = job.id;
    TaskRequest {
        resource,
        parameters: job.parameters.value().clone(),
        id: format!("{seq:x}-{frame:x}-{attempt:x}"),
        execution: job.meta.arn.clone(),
    }
}

fn failed(job: &Job, failure: TaskFailure) -> Input {
    let (_, frame, attempt) = job.id;
    let some = |text: String| (!text.is_empty()).then_some(text);
    Input::Failed { frame, attempt, error: some(failure.error), cause: some(failure.cause) }
}
