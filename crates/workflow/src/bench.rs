//! Measuring: many executions, how many a second, and how long each took.

use crate::api::*;
use crate::{WorkflowError, Workflows};
use futures::stream::{StreamExt, TryStreamExt};
use std::time::{Duration, Instant};

/// What is measured.
#[derive(Clone, Debug)]
pub struct Load {
    /// The machine; Express ones are run to their end by the call that starts them.
    pub machine_arn: String,
    pub input: String,
    pub count: usize,
    /// Executions at once.
    pub concurrency: usize,
    pub express: bool,
}

/// What came out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    pub count: usize,
    pub failed: usize,
    pub seconds: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
}

impl Measured {
    pub fn per_second(&self) -> f64 {
        if self.seconds > 0.0 { self.count as f64 / self.seconds } else { 0.0 }
    }
}

/// How long one execution may take before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(300);

/// Runs a load against an engine that has the machine.
pub async fn measure(workflows: &Workflows, load: &Load) -> Result<Measured, WorkflowError> {
    let began = Instant::now();
    let runs = futures::stream::iter(0..load.count).map(|_| one(workflows, load));
    let mut took: Vec<(f64, bool)> = runs.buffer_unordered(load.concurrency.max(1)).try_collect().await?;
    took.sort_by(|a, b| a.0.total_cmp(&b.0));
    let at = |share: f64| {
        let index = ((took.len() as f64 * share) as usize).min(took.len().saturating_sub(1));
        took.get(index).map_or(0.0, |took| took.0)
    };
    Ok(Measured {
        count: took.len(),
        failed: took.iter().filter(|(_, ok)| !ok).count(),
        seconds: began.elapsed().as_secs_f64(),
        p50_ms: at(0.5),
        p99_ms: at(0.99),
    })
}

async fn one(workflows: &Workflows, load: &Load) -> Result<(f64, bool), WorkflowError> {
    let began = Instant::now();
    let request = StartExecution {
        machine_arn: load.machine_arn.clone(),
        input: Some(load.input.clone()),
        ..StartExecution::default()
    };
    let status = if load.express {
        workflows.start_sync(request).await?.status
    } else {
        let started = workflows.start(request).await?;
        workflows.wait(&started.arn, PATIENCE).await?.status
    };
    Ok((began.elapsed().as_secs_f64() * 1e3, status == ExecutionStatus::Succeeded))
}
