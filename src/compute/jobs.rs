//! The pipeline's own jobs: compaction, vacuum, retention and replay, by name.

use crate::pipeline::Pipeline;
use crate::replay::{self, ReplayRange};
use async_trait::async_trait;
use bourn_event::{JobDone, Jobs};
use serde_json::{Map, Value, json};
use std::sync::{Arc, Weak};

/// Jobs on the streams of a running pipeline.
pub struct PipelineJobs {
    /// The pipeline holds whoever begins jobs.
    pub pipeline: Weak<Pipeline>,
}

const NAMES: [&str; 4] = ["compact", "replay", "retention", "vacuum"];

#[async_trait]
impl Jobs for PipelineJobs {
    fn names(&self) -> Vec<String> {
        NAMES.map(String::from).to_vec()
    }

    async fn run(&self, job: &str, stream: Option<&str>, arguments: &Value) -> Result<JobDone, String> {
        let Some(pipeline) = self.pipeline.upgrade() else { return Err("the pipeline is closing".into()) };
        let streams = match stream {
            Some(name) => vec![pipeline.stream(name).map_err(|error| error.to_string())?.name.clone()],
            None => pipeline.streams.keys().cloned().collect(),
        };
        let (mut rows, mut detail) = (None, Map::new());
        for name in streams {
            let done = one(&pipeline, job, &name, arguments).await?;
            rows = match (rows, done.rows) {
                (Some(sum), Some(more)) => Some(sum + more),
                (sum, more) => sum.or(more),
            };
            detail.insert(name, done.detail);
        }
        Ok(JobDone { rows, detail: Value::Object(detail) })
    }
}

async fn one(pipeline: &Arc<Pipeline>, job: &str, name: &str, arguments: &Value) -> Result<JobDone, String> {
    let stream = pipeline.stream(name).map_err(|error| error.to_string())?;
    let table = &stream.table;
    let text = |error: &dyn std::fmt::Display| error.to_string();
    match job {
        "compact" => {
            table.flush().await.map_err(|error| text(&error))?;
            let report = table.compact().await.map_err(|error| text(&error))?;
            let detail = json!({"files_before": report.files_before, "files_after": report.files_after,
                "bytes_before": report.bytes_before, "bytes_after": report.bytes_after});
            Ok(JobDone { rows: None, detail })
        }
        "vacuum" => {
            let files = table.vacuum().await.map_err(|error| text(&error))?;
            Ok(JobDone { rows: None, detail: json!({"files_deleted": files}) })
        }
        "retention" => {
            let files = table.expire().await.map_err(|error| text(&error))?;
            Ok(JobDone { rows: None, detail: json!({"files_expired": files}) })
        }
        "replay" => {
            let range: ReplayRange = match arguments {
                Value::Null => ReplayRange::default(),
                arguments => serde_json::from_value(arguments.clone()).map_err(|error| text(&error))?,
            };
            let report = Box::new(|_, _| {});
            let replayed = replay::run(pipeline, name, &range, report).await;
            let replayed = replayed.map_err(|error| format!("{error:#}"))?;
            let detail = serde_json::to_value(&replayed).map_err(|error| text(&error))?;
            Ok(JobDone { rows: Some(replayed.stored), detail })
        }
        other => Err(format!("there is no job `{other}`; there are: {}", NAMES.join(", "))),
    }
}
