//! The pipeline's own jobs: `glue:startJobRun` and `bourn:job`.

use super::background::Background;
use super::read::Reader;
use super::service::{Caller, iso_time, uuid_of};
use bourn_config::suggest::hint;
use bourn_event::{Clock, JobDone, Jobs, Micros, TaskFailure};
use serde_json::{Map, Value, json};
use std::sync::Arc;

const RUNNING_MAX: usize = 16;

/// Jobs that workflows begin.
pub(super) struct JobRuns {
    jobs: Arc<dyn Jobs>,
    clock: Arc<dyn Clock>,
    background: Background<Ended>,
}

#[derive(Clone)]
struct Ended {
    started_at: Micros,
    ended_at: Micros,
    result: Result<JobDone, String>,
}

/// A job as it was asked for.
struct Wanted {
    name: String,
    stream: Option<String>,
    arguments: Value,
}

impl JobRuns {
    pub fn new(jobs: Arc<dyn Jobs>, clock: Arc<dyn Clock>) -> Self {
        Self { jobs, clock, background: Background::new(RUNNING_MAX) }
    }

    /// `glue:startJobRun`: `--stream` names the stream, other arguments go along without their dashes.
    pub fn start(&self, caller: Caller<'_>, parameters: &Value) -> Result<Value, TaskFailure> {
        let wanted = glue(caller, parameters)?;
        if !self.jobs.names().contains(&wanted.name) {
            let message = format!(
                "Failed to start job run due to missing metadata: job {}",
                self.unknown(&wanted.name)
            );
            return Err(caller.fail("EntityNotFoundException", "EntityNotFoundException", 400, message));
        }
        let id = self.begin(caller, wanted)?;
        Ok(json!({ "JobRunId": id }))
    }

    /// Waits for the end of a run (`.sync`). A run of a process that ended is begun anew.
    pub async fn wait(&self, caller: Caller<'_>, parameters: &Value) -> Result<Value, TaskFailure> {
        let wanted = glue(caller, parameters)?;
        let (name, arguments) = (wanted.name.clone(), parameters.get("Arguments").cloned());
        let id = self.begin(caller, wanted)?;
        let Some(ended) = self.background.join(&id).await else {
            return Err(TaskFailure::new(
                "States.TaskFailed",
                format!("job run {id} was ended from outside"),
            ));
        };
        let time = |at: Micros| if caller.is_sdk() { json!(iso_time(at)) } else { json!(at / 1000) };
        let mut run = json!({
            "Id": id,
            "JobName": name,
            "Attempt": 0,
            "StartedOn": time(ended.started_at),
            "CompletedOn": time(ended.ended_at),
            "LastModifiedOn": time(ended.ended_at),
            "ExecutionTime": (ended.ended_at - ended.started_at).max(0) / 1_000_000,
            "JobRunState": if ended.result.is_ok() { "SUCCEEDED" } else { "FAILED" },
            "PredecessorRuns": [],
        });
        if let Some(arguments) = arguments {
            run["Arguments"] = arguments;
        }
        match ended.result {
            Ok(done) => {
                run["Rows"] = json!(done.rows);
                run["Detail"] = done.detail;
                Ok(run)
            }
            Err(why) => {
                run["ErrorMessage"] = json!(why);
                Err(TaskFailure::new("States.TaskFailed", run.to_string()))
            }
        }
    }

    /// `bourn:job`: `{Job, Stream?, Arguments?}` → `{Job, Rows, Detail}`, when it is done.
    pub async fn run(&self, caller: Caller<'_>, parameters: &Value) -> Result<Value, TaskFailure> {
        let read = Reader::new(caller, parameters);
        let failed = |why: String| TaskFailure::new("Bourn.JobFailed", why);
        let name = read.text("Job").map_err(|_| failed("`Job` must be the name of a job".into()))?;
        if !self.jobs.names().iter().any(|known| known == name) {
            return Err(failed(format!("there is no job {}", self.unknown(name))));
        }
        let stream =
            read.maybe_text("Stream").map_err(|_| failed("`Stream` must be the name of a stream".into()))?;
        let arguments = read.value("Arguments").cloned().unwrap_or_else(|| json!({}));
        let done = self.jobs.run(name, stream, &arguments).await.map_err(failed)?;
        Ok(json!({"Job": name, "Rows": done.rows, "Detail": done.detail}))
    }

    fn begin(&self, caller: Caller<'_>, wanted: Wanted) -> Result<String, TaskFailure> {
        let id = format!("jr_{}", uuid_of(&["job", caller.id]).replace('-', ""));
        let (jobs, clock) = (self.jobs.clone(), self.clock.clone());
        let work = move || async move {
            let started_at = clock.now();
            let result = jobs.run(&wanted.name, wanted.stream.as_deref(), &wanted.arguments).await;
            Ended { started_at, ended_at: clock.now(), result }
        };
        match self.background.begin(&id, work) {
            Ok(()) => Ok(id),
            Err(_) => {
                let name = "ConcurrentRunsExceededException";
                Err(caller.fail(
                    name,
                    name,
                    400,
                    format!("{RUNNING_MAX} jobs of workflows are running already"),
                ))
            }
        }
    }

    fn unknown(&self, name: &str) -> String {
        let names = self.jobs.names();
        let hint = hint(name, names.iter().map(String::as_str)).map(|hint| format!(": {hint}"));
        format!("`{name}`{}", hint.unwrap_or_default())
    }
}

fn glue(caller: Caller<'_>, parameters: &Value) -> Result<Wanted, TaskFailure> {
    let read = Reader::new(caller, parameters);
    let wrong = |what: &str| caller.fail("InvalidInputException", "InvalidInputException", 400, what);
    let mut arguments = Map::new();
    match read.value("Arguments") {
        None => {}
        Some(Value::Object(given)) => {
            arguments.extend(
                given.iter().map(|(name, value)| (name.trim_start_matches('-').into(), value.clone())),
            );
        }
        Some(_) => return Err(wrong("Arguments must be an object such as {\"--stream\": \"orders\"}")),
    }
    let stream = match arguments.remove("stream") {
        None | Some(Value::Null) => None,
        Some(Value::String(stream)) => Some(stream),
        Some(_) => return Err(wrong("--stream must be the name of a stream")),
    };
    Ok(Wanted { name: read.text("JobName")?.to_string(), stream, arguments: Value::Object(arguments) })
}
