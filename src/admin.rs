//! The verbs a running pipeline carries out for other processes.

use crate::compute::calls;
use crate::ledger::prove;
use crate::pipeline::Pipeline;
use crate::rejects::{self, RejectFilter};
use crate::replay::{self, ReplayRange};
use crate::report;
use crate::table::Silver;
use anyhow::{Result, anyhow};
use async_trait::async_trait;
use bourn_web::{Admin, AdminError};
use futures::StreamExt;
use futures::stream::BoxStream;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Progress lines that may wait for a slow reader.
const LINES: usize = 64;

/// Tells how far a verb got: done, total.
pub type Report = Box<dyn Fn(u64, u64) + Send + Sync>;

pub struct PipelineAdmin {
    pipeline: Arc<Pipeline>,
}

#[derive(Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case")]
enum Call {
    Ledger(Which),
    Prove(Which),
    Compact(Which),
    Settle,
    Replay(Replay),
    RejectsReplay(RejectsReplay),
    RejectsPurge(RejectsPurge),
    RejectsGone(RejectsGone),
}

#[derive(Deserialize)]
struct Which {
    #[serde(default)]
    stream: Option<String>,
}

#[derive(Deserialize)]
struct Replay {
    stream: String,
    #[serde(flatten)]
    range: ReplayRange,
}

#[derive(Deserialize)]
struct RejectsReplay {
    stream: String,
    #[serde(flatten)]
    filter: RejectFilter,
    #[serde(default)]
    fix: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

#[derive(Deserialize)]
struct RejectsPurge {
    stream: String,
    #[serde(flatten)]
    filter: RejectFilter,
    #[serde(default)]
    all: bool,
}

#[derive(Deserialize)]
struct RejectsGone {
    stream: String,
}

impl PipelineAdmin {
    pub fn new(pipeline: Arc<Pipeline>) -> Self {
        Self { pipeline }
    }
}

#[async_trait]
impl Admin for PipelineAdmin {
    async fn call(&self, verb: &str, args: Value) -> Result<BoxStream<'static, Value>, AdminError> {
        let Value::Object(mut args) = args else {
            return Err(AdminError::Invalid("the arguments are not a JSON object".into()));
        };
        args.insert("verb".into(), json!(verb));
        let call = Asked::of(verb, Value::Object(args))?;
        let (lines, answers) = mpsc::channel(LINES);
        let pipeline = self.pipeline.clone();
        tokio::spawn(async move {
            let progress = lines.clone();
            let report: Report = Box::new(move |done, total| {
                // A reader that is behind misses a progress line, never the result.
                let _ = progress.try_send(json!({"progress": {"done": done, "total": total}}));
            });
            let last = match carry_out(&pipeline, call, report).await {
                Ok(result) => json!({"result": result}),
                Err(error) => json!({"error": format!("{error:#}")}),
            };
            let _ = lines.send(last).await;
        });
        let stream = futures::stream::unfold(answers, |mut answers| async move {
            answers.recv().await.map(|line| (line, answers))
        });
        Ok(stream.boxed())
    }
}

/// A verb of the route, or of what stands beside it.
enum Asked {
    Route(Call),
    Beside(calls::Call),
}

impl Asked {
    fn of(verb: &str, args: Value) -> Result<Self, AdminError> {
        let unknown = |error: &serde_json::Error| error.to_string().starts_with("unknown variant");
        match serde_json::from_value(args.clone()) {
            Ok(call) => return Ok(Self::Route(call)),
            Err(error) if !unknown(&error) => return Err(AdminError::Invalid(error.to_string())),
            Err(_) => {}
        }
        match serde_json::from_value(args) {
            Ok(call) => Ok(Self::Beside(call)),
            Err(error) if unknown(&error) => Err(AdminError::NotFound(format!("no verb `{verb}`"))),
            Err(error) => Err(AdminError::Invalid(error.to_string())),
        }
    }
}

async fn carry_out(pipeline: &Arc<Pipeline>, asked: Asked, report: Report) -> Result<Value> {
    let call = match asked {
        Asked::Route(call) => call,
        Asked::Beside(call) => return calls::carry_out(pipeline.compute().await?, call, report).await,
    };
    match call {
        Call::Ledger(which) => report::ledgers_json(&some(pipeline, which, pipeline.ledgers())?),
        Call::Prove(which) => {
            let proofs = prove_some(pipeline, which).await?;
            Ok(serde_json::to_value(proofs)?)
        }
        Call::Compact(which) => compact(pipeline, which).await,
        Call::Settle => pipeline.settle().await.map(|()| json!({})),
        Call::Replay(call) => {
            let replayed = replay::run(pipeline, &call.stream, &call.range, report).await?;
            Ok(serde_json::to_value(replayed)?)
        }
        Call::RejectsReplay(call) => {
            let fix = call.fix.as_deref();
            let done =
                rejects::replay(pipeline, &call.stream, &call.filter, fix, call.dry_run, report).await?;
            Ok(serde_json::to_value(done)?)
        }
        Call::RejectsPurge(call) => {
            let purged = rejects::purge(pipeline, &call.stream, &call.filter, call.all)?;
            Ok(json!({"purged": purged}))
        }
        Call::RejectsGone(call) => Ok(pipeline.stream(&call.stream)?.gone().to_json()),
    }
}

fn compaction_json(report: &bourn_lake::CompactionReport) -> Value {
    json!({
        "files_before": report.files_before,
        "files_after": report.files_after,
        "bytes_before": report.bytes_before,
        "bytes_after": report.bytes_after,
        "took_ms": report.took_ms,
    })
}

/// One stream of all, or all.
fn some<T>(pipeline: &Pipeline, which: Which, mut all: BTreeMap<String, T>) -> Result<BTreeMap<String, T>> {
    if let Some(stream) = which.stream {
        pipeline.stream(&stream)?;
        all.retain(|name, _| *name == stream);
    }
    Ok(all)
}

async fn prove_some(
    pipeline: &Arc<Pipeline>,
    which: Which,
) -> Result<BTreeMap<String, crate::ledger::Proof>> {
    let all: BTreeMap<String, ()> = pipeline.streams.keys().map(|name| (name.clone(), ())).collect();
    let mut proofs = BTreeMap::new();
    for name in some(pipeline, which, all)?.into_keys() {
        let stream = pipeline.stream(&name)?;
        proofs.insert(
            name.clone(),
            prove(&pipeline.definition.layout, &name, &Silver::Open(stream.table.clone()), stream.snapshot())
                .await?,
        );
    }
    Ok(proofs)
}

async fn compact(pipeline: &Arc<Pipeline>, which: Which) -> Result<Value> {
    let all: BTreeMap<String, ()> = pipeline.streams.keys().map(|name| (name.clone(), ())).collect();
    let mut reports = Map::new();
    for name in some(pipeline, which, all)?.into_keys() {
        let stream = pipeline.stream(&name)?;
        stream.table.flush().await.map_err(|error| anyhow!("{error}"))?;
        let report = stream.table.compact().await?;
        reports.insert(name, compaction_json(&report));
    }
    Ok(Value::Object(reports))
}
