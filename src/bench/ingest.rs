//! `bourn bench ingest`: the whole route, the server as its own process, loaded over loopback.

use super::driver::{Load, Seen, drive, percentile_ms};
use super::host::{Server, bytes_on_disk};
use super::pipeline::{add_functions, prepare};
use super::yardstick;
use crate::client::Client;
use anyhow::{Context, Result};
use bourn_event::click::ClickEvents;
use serde::Serialize;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Turns that this server and a bare one take.
const TURNS: usize = 4;

/// How the events are offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// Batches, as fast as they are taken.
    Batch,
    /// One event a request, as fast as they are taken.
    Single,
    /// Batches at a fixed rate.
    Rate,
}

/// What to offer.
#[derive(Clone, Debug)]
pub struct Plan {
    pub mode: Mode,
    pub events: usize,
    pub batch: usize,
    pub connections: usize,
    /// Events a second, for [`Mode::Rate`].
    pub rate: f64,
    pub invalid_percent: u32,
    pub duplicate_permille: u32,
}

/// What was measured. Latencies in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    pub events: usize,
    pub events_per_second: f64,
    /// User and system time of the server, until everything is committed.
    pub cpu_us_per_event: f64,
    /// What compressing an event once costs on this machine: the same work whatever the version.
    pub yardstick_us_per_event: f64,
    pub ack_ms_p50: f64,
    pub ack_ms_p99: f64,
    pub visible_ms_p50: f64,
    pub visible_ms_p99: f64,
    pub rss_peak_bytes: u64,
    pub bytes_on_disk: u64,
    pub bytes_in: u64,
    pub ready_ms: f64,
    pub ledger: Value,
}

/// The same with a change of the definition (what is replaced, and by what) and a function to call.
pub async fn ingest_with(dir: &Path, plan: &Plan, change: (&str, &str)) -> Result<Figures> {
    prepare(dir)?;
    add_functions(dir, 1)?;
    let path = dir.join("bourn.yaml");
    let definition = std::fs::read_to_string(&path)?;
    std::fs::write(path, definition.replacen(change.0, change.1, 1))?;
    measure(dir, plan).await
}

/// Starts a server in `dir`, offers the events, waits until all are committed.
pub async fn ingest(dir: &Path, plan: &Plan) -> Result<Figures> {
    prepare(dir)?;
    measure(dir, plan).await
}

async fn measure(dir: &Path, plan: &Plan) -> Result<Figures> {
    Ok(measure_beside(dir, plan, None).await?.0)
}

/// The figures, and how long the server `beside` took for the same load.
async fn measure_beside(dir: &Path, plan: &Plan, beside: Option<&Server>) -> Result<(Figures, Duration)> {
    let path = dir.display().to_string();
    let server =
        Server::start(&["run", "--dir", &path, "--listen", "127.0.0.1:0", "--pg-listen", "127.0.0.1:0"])?;
    let bodies = Arc::new(bodies(plan));
    let bytes_in: u64 = bodies.iter().map(|body| body.len() as u64).sum();
    let yardstick = yardstick::seconds_per_byte(&bodies)? * bytes_in as f64 * 1e6;
    let requests_a_second = plan.rate / plan.batch as f64;
    let load = Load {
        bodies,
        connections: plan.connections,
        rate: (plan.mode == Mode::Rate).then_some(requests_a_second),
        path: "/v1/streams/clicks".into(),
        visible_every: if plan.mode == Mode::Rate { 10 } else { 0 },
    };
    let client = Client::to(&format!("http://{}", server.http), false)?;
    let cpu_before = server.cpu()?;
    let (mut seen, taken_beside) = match beside {
        None => (drive(&server.http, &load).await?, Duration::ZERO),
        Some(beside) => in_turns(&server, &client, beside, &load).await?,
    };
    if plan.mode != Mode::Rate {
        seen.visible = visible_sample(&server.http, plan).await?.visible;
    }
    client.admin("settle", &json!({}), |_| {}).await?;
    let cpu = server.cpu()? - cpu_before;
    let ledger = client.admin("ledger", &json!({}), |_| {}).await?;
    let figures = Figures {
        events: plan.events,
        events_per_second: plan.events as f64 / seen.elapsed.as_secs_f64(),
        cpu_us_per_event: cpu.as_secs_f64() * 1e6 / plan.events as f64,
        yardstick_us_per_event: yardstick / plan.events as f64,
        ack_ms_p50: percentile_ms(&mut seen.ack, 0.50),
        ack_ms_p99: percentile_ms(&mut seen.ack, 0.99),
        visible_ms_p50: percentile_ms(&mut seen.visible, 0.50),
        visible_ms_p99: percentile_ms(&mut seen.visible, 0.99),
        rss_peak_bytes: server.rss_peak_bytes()?,
        bytes_on_disk: bytes_on_disk(dir),
        bytes_in,
        ready_ms: server.started_in.as_secs_f64() * 1e3,
        ledger: ledger.get("clicks").cloned().context("the ledger has no stream clicks")?,
    };
    server.stop()?;
    Ok((figures, taken_beside))
}

/// The load in turns, each offered to both: a machine whose speed changes is equally slow for both. What a turn left
/// uncommitted is committed before the other's turn, and its CPU time counts as if all cores had done it.
async fn in_turns(
    server: &Server,
    client: &Client,
    beside: &Server,
    load: &Load,
) -> Result<(Seen, Duration)> {
    let cores = std::thread::available_parallelism()?.get() as u32;
    let (mut seen, mut taken_beside) = (Seen::default(), Duration::ZERO);
    for turn in load.bodies.chunks(load.bodies.len().div_ceil(TURNS).max(1)) {
        let turn = Arc::new(turn.to_vec());
        let part = drive(&server.http, &Load { bodies: turn.clone(), ..load.clone() }).await?;
        let before = server.cpu()?;
        client.admin("settle", &json!({}), |_| {}).await?;
        seen.elapsed += part.elapsed + (server.cpu()? - before) / cores;
        seen.ack.extend(part.ack);
        let bare = Load { bodies: turn, path: "/".into(), ..load.clone() };
        taken_beside += drive(&beside.http, &bare).await?.elapsed;
    }
    Ok((seen, taken_beside))
}

fn bodies(plan: &Plan) -> Vec<Vec<u8>> {
    let mut events = ClickEvents::new(7, plan.invalid_percent, plan.duplicate_permille);
    let batch = if plan.mode == Mode::Single { 1 } else { plan.batch };
    (0..plan.events.div_ceil(batch))
        .map(|index| {
            let mut body = Vec::with_capacity(batch * 440);
            for _ in 0..batch.min(plan.events - index * batch) {
                events.write(&mut body);
            }
            body
        })
        .collect()
}

/// A few requests that ask to be visible, after the load: what a dashboard would wait.
async fn visible_sample(address: &str, plan: &Plan) -> Result<Seen> {
    let sample = Plan { events: 50, batch: 1, mode: Mode::Batch, ..plan.clone() };
    let load = Load {
        bodies: Arc::new(bodies(&sample)),
        connections: 1,
        rate: None,
        path: "/v1/streams/clicks".into(),
        visible_every: 1,
    };
    drive(address, &load).await
}

/// One event a request: the figures, and the requests a second of a bare server on this machine.
pub async fn single_against_bare(dir: &Path, plan: &Plan) -> Result<(Figures, f64)> {
    prepare(dir)?;
    let bare = Server::start(&["bench", "bare-server"])?;
    let (figures, taken) = measure_beside(dir, plan, Some(&bare)).await?;
    Ok((figures, plan.events as f64 / taken.as_secs_f64()))
}

/// Starts an empty pipeline some times: the median from start to ready.
pub fn cold_start(dir: &Path, times: usize) -> Result<Duration> {
    let mut took = Vec::new();
    for index in 0..times {
        let dir = dir.join(index.to_string());
        std::fs::create_dir_all(&dir)?;
        prepare(&dir)?;
        let path = dir.display().to_string();
        let server =
            Server::start(&["run", "--dir", &path, "--listen", "127.0.0.1:0", "--pg-listen", "127.0.0.1:0"])?;
        took.push(server.started_in);
        server.stop()?;
    }
    took.sort_unstable();
    took.get(took.len() / 2).copied().context("nothing was started")
}

/// Replays the measured pipeline, offline, as a process of its own: its CPU time, less that of
/// opening and closing the pipeline.
pub fn replay(dir: &Path) -> Result<Duration> {
    let path = dir.display().to_string();
    let idle = child_cpu(&["compact", "--dir", &path, "--json"])?;
    let full = child_cpu(&["replay", "clicks", "--dir", &path, "--json"])?;
    Ok(full.saturating_sub(idle))
}

fn child_cpu(args: &[&str]) -> Result<Duration> {
    let before = children_cpu();
    let status = std::process::Command::new(std::env::current_exe()?)
        .args(args)
        .stdout(std::process::Stdio::null())
        .status()?;
    anyhow::ensure!(status.success(), "`bourn {}` failed", args.join(" "));
    Ok(children_cpu().saturating_sub(before))
}

/// User and system time of the children that were waited for.
fn children_cpu() -> Duration {
    // SAFETY: getrusage fills the struct it is given.
    let usage = unsafe {
        let mut usage = std::mem::zeroed::<libc::rusage>();
        libc::getrusage(libc::RUSAGE_CHILDREN, &mut usage);
        usage
    };
    let of = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000);
    of(usage.ru_utime) + of(usage.ru_stime)
}
