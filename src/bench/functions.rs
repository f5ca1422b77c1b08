//! `bourn bench functions`: what the host adds to a function's own time, and what a function in the
//! stream costs.

use super::driver::percentile_ms;
use super::ingest::{Mode, Plan, ingest};
use super::pipeline::{echo_functions, prepare_echo};
use crate::definition::Definition;
use crate::pipeline::Pipeline;
use anyhow::{Context, Result, anyhow};
use bourn_event::{Functions, Invocation};
use serde::Serialize;
use std::io::Read;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Functions that are started cold, one after the other.
pub const COLD: usize = 20;

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct FunctionFigures {
    pub warm_ms_p50: f64,
    pub warm_ms_p99: f64,
    /// A cold invocation, less a warm one and the program's own start.
    pub cold_overhead_ms_p50: f64,
    pub cold_ms_p50: f64,
    pub program_ms_p50: f64,
    /// Server CPU per event with an echo function in the stream, less the same route without.
    pub stream_cpu_us_per_event: f64,
    pub route_cpu_us_per_event: f64,
}

/// Runs all of it below `dir`.
pub async fn functions(dir: &Path, invocations: usize, events: usize) -> Result<FunctionFigures> {
    let hosted = dir.join("hosted");
    prepare_echo(&hosted, COLD)?;
    let mut program = Vec::new();
    for _ in 0..COLD {
        program.push(own_start(&hosted.join("functions/echo0/bootstrap"))?);
    }
    let (mut warm, mut cold) = invoke(&hosted, invocations).await?;
    let plan = Plan {
        mode: Mode::Batch,
        events,
        batch: 1000,
        connections: 4,
        rate: 0.0,
        invalid_percent: 1,
        duplicate_permille: 1,
    };
    let without = ingest(&dir.join("without"), &plan).await?;
    let with = super::ingest::ingest_with(&dir.join("with"), &plan, echo_functions()).await?;
    let (warm_p50, cold_p50) = (percentile_ms(&mut warm, 0.5), percentile_ms(&mut cold, 0.5));
    let program_p50 = percentile_ms(&mut program, 0.5);
    Ok(FunctionFigures {
        warm_ms_p50: warm_p50,
        warm_ms_p99: percentile_ms(&mut warm, 0.99),
        cold_overhead_ms_p50: cold_p50 - warm_p50 - program_p50,
        cold_ms_p50: cold_p50,
        program_ms_p50: program_p50,
        stream_cpu_us_per_event: with.cpu_us_per_event - without.cpu_us_per_event,
        route_cpu_us_per_event: without.cpu_us_per_event,
    })
}

/// Warm invocations of one function, one behind the other, and a first one of each of the others.
async fn invoke(dir: &Path, invocations: usize) -> Result<(Vec<Duration>, Vec<Duration>)> {
    let definition = Definition::load(dir, None).map_err(|faults| anyhow!("{faults}"))?;
    let pipeline = Pipeline::open(definition).await.map_err(|stop| anyhow!("{stop:?}"))?;
    let call = |function: String| Invocation {
        function,
        payload: bytes::Bytes::from_static(b"{\"id\":1,\"name\":\"echo\"}"),
        ..Invocation::default()
    };
    let (mut warm, mut cold) = (Vec::with_capacity(invocations), Vec::new());
    for index in 0..COLD {
        let begun = Instant::now();
        pipeline.functions.invoke(call(format!("echo{index}"))).await?;
        cold.push(begun.elapsed());
    }
    for _ in 0..invocations {
        let begun = Instant::now();
        pipeline.functions.invoke(call("echo0".into())).await?;
        warm.push(begun.elapsed());
    }
    pipeline.close().await?;
    Ok((warm, cold))
}

/// From the start of a program until it asks for its first event.
fn own_start(bootstrap: &Path) -> Result<Duration> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let begun = Instant::now();
    let mut child = Command::new(bootstrap)
        .env("AWS_LAMBDA_RUNTIME_API", listener.local_addr()?.to_string())
        .stdin(Stdio::null())
        .spawn()
        .context("the echo function cannot be started")?;
    let (mut socket, _) = listener.accept()?;
    let asked = socket.read(&mut [0; 1])?;
    let took = begun.elapsed();
    child.kill()?;
    child.wait()?;
    anyhow::ensure!(asked > 0, "the echo function hung up");
    Ok(took)
}
