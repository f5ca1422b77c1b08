//! `bourn bench`.

use super::{Context, Outcome, runtime};
use crate::bench::{self, Amounts, Figures, Mode, Plan};
use clap::{Args, Subcommand};
use serde_json::json;
use std::path::{Path, PathBuf};

#[derive(Subcommand)]
pub enum Bench {
    /// The whole route: click events over loopback into a server of its own.
    Ingest(Ingest),
    /// Rebuild the table of a measured pipeline from its log.
    Replay(Ingest),
    /// From start to ready, for an empty pipeline.
    Start {
        #[arg(long)]
        json: bool,
    },
    /// Invocations of a function that gives back what it gets: warm, cold, and in the stream.
    Functions {
        /// Warm invocations.
        #[arg(long, default_value_t = 5000)]
        invocations: usize,
        /// Events through the stream.
        #[arg(long, default_value_t = 500_000)]
        events: usize,
        #[arg(long)]
        json: bool,
    },
    /// Executions of small workflows, durable and express; a large Map; many that wait.
    Workflows {
        /// Standard executions of two Pass and two function states.
        #[arg(long, default_value_t = 5000)]
        standard: usize,
        /// Express executions of four states.
        #[arg(long, default_value_t = 50_000)]
        express: usize,
        /// Items of the Map.
        #[arg(long, default_value_t = 10_000)]
        items: usize,
        /// Executions that wait on a timer.
        #[arg(long, default_value_t = 100_000)]
        waiting: usize,
        #[arg(long)]
        json: bool,
    },
    /// The function that `functions` and `workflows` call.
    #[command(hide = true)]
    EchoFunction,
    /// A server that reads bodies and answers: what HTTP itself costs here.
    #[command(hide = true)]
    BareServer,
}

#[derive(Args)]
#[command(after_help = "Examples:
  bourn bench ingest
  bourn bench ingest --invalid 10
  bourn bench ingest --mode single --events 200000
  bourn bench ingest --mode rate --rate 100000 --json")]
pub struct Ingest {
    #[arg(long, value_enum, default_value_t = Mode::Batch)]
    mode: Mode,
    /// Events to send; 2,000,000, or 200,000 one by one.
    #[arg(long)]
    events: Option<usize>,
    /// Events a request.
    #[arg(long, default_value_t = 1000)]
    batch: usize,
    /// Connections; 8, or 64 one by one.
    #[arg(long)]
    connections: Option<usize>,
    /// Events a second in mode rate.
    #[arg(long, default_value_t = 100_000.0, value_parser = rate)]
    rate: f64,
    /// Percent of events that the schema refuses.
    #[arg(long, default_value_t = 1)]
    invalid: u32,
    /// Keep the measured pipeline in this folder.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    #[arg(long)]
    json: bool,
}

impl Bench {
    pub fn run(self, _: &Context) -> Outcome {
        match self {
            Self::Ingest(verb) => verb.ingest(),
            Self::Replay(verb) => verb.replay(),
            Self::Start { json } => cold_start(json),
            Self::Functions { invocations, events, json } => functions(invocations, events, json),
            Self::Workflows { standard, express, items, waiting, json } => {
                workflows(Amounts { standard, express, map_items: items, waiting }, json)
            }
            Self::EchoFunction => Ok(bourn_functions::echo()?),
            Self::BareServer => Ok(runtime()?.block_on(bench::bare_server())?),
        }
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate >= 1.0);
    rate.ok_or_else(|| format!("`{text}` is not a number of events a second, at least 1"))
}

impl Ingest {
    fn plan(&self) -> Plan {
        let single = self.mode == Mode::Single;
        Plan {
            mode: self.mode,
            events: self.events.unwrap_or(if single { 200_000 } else { 2_000_000 }),
            batch: self.batch.max(1),
            connections: self.connections.unwrap_or(if single { 64 } else { 8 }),
            rate: self.rate,
            invalid_percent: self.invalid,
            duplicate_permille: 1,
        }
    }

    fn in_folder<T>(&self, run: impl FnOnce(&Path) -> anyhow::Result<T>) -> anyhow::Result<T> {
        match &self.keep {
            Some(dir) => {
                std::fs::create_dir_all(dir)?;
                run(dir)
            }
            None => run(tempfile::tempdir()?.path()),
        }
    }

    fn ingest(self) -> Outcome {
        let plan = self.plan();
        let runtime = runtime()?;
        let (figures, bare) = self.in_folder(|dir| match plan.mode {
            Mode::Single => {
                let (figures, bare) = runtime.block_on(bench::single_against_bare(dir, &plan))?;
                Ok((figures, Some(bare)))
            }
            _ => Ok((runtime.block_on(bench::ingest(dir, &plan))?, None)),
        })?;
        match self.json {
            true => {
                let mut value = serde_json::to_value(&figures)?;
                value["bare_requests_per_second"] = json!(bare);
                println!("{value}");
            }
            false => print(&figures, bare),
        }
        Ok(())
    }

    fn replay(self) -> Outcome {
        let plan = self.plan();
        let runtime = runtime()?;
        let (figures, cpu) = self.in_folder(|dir| {
            let figures = runtime.block_on(bench::ingest(dir, &plan))?;
            Ok((figures, bench::replay(dir)?))
        })?;
        let each = cpu.as_secs_f64() * 1e6 / figures.events as f64;
        match self.json {
            true => println!("{}", json!({"events": figures.events, "cpu_us_per_event": each})),
            false => println!("replay of {} events: {each:.2} µs of CPU each", figures.events),
        }
        Ok(())
    }
}

fn cold_start(json: bool) -> Outcome {
    let dir = tempfile::tempdir()?;
    let median_ms = bench::cold_start(dir.path(), 5)?.as_secs_f64() * 1e3;
    match json {
        true => println!("{}", json!({"ready_ms_median": median_ms})),
        false => println!("from start to ready, median of 5: {median_ms:.0} ms"),
    }
    Ok(())
}

fn functions(invocations: usize, events: usize, json: bool) -> Outcome {
    let dir = tempfile::tempdir()?;
    let figures = runtime()?.block_on(bench::functions(dir.path(), invocations, events))?;
    if json {
        println!("{}", serde_json::to_value(&figures)?);
        return Ok(());
    }
    println!("{:>10.3} ms warm, p50          {:>8.3} ms p99", figures.warm_ms_p50, figures.warm_ms_p99);
    println!(
        "{:>10.2} ms cold, p50          {:>8.2} ms of it the program's own, {:.2} ms the host's",
        figures.cold_ms_p50, figures.program_ms_p50, figures.cold_overhead_ms_p50
    );
    println!(
        "{:>10.2} µs of server CPU per event for a function in the stream, beyond the route's {:.2}",
        figures.stream_cpu_us_per_event, figures.route_cpu_us_per_event
    );
    Ok(())
}

fn workflows(amounts: Amounts, json: bool) -> Outcome {
    let dir = tempfile::tempdir()?;
    let figures = runtime()?.block_on(bench::workflows(dir.path(), amounts))?;
    if json {
        println!("{}", serde_json::to_value(&figures)?);
        return Ok(());
    }
    println!("{:>10.0} durable executions a minute", figures.standard_per_minute);
    println!(
        "{:>10.1} ms from start to end, p50   {:>8.1} ms p99",
        figures.standard_ms_p50, figures.standard_ms_p99
    );
    println!("{:>10.0} express executions a second", figures.express_per_second);
    println!("{:>10.2} s for a Map of {} items", figures.map_seconds, figures.map_items);
    println!("{:>10.1} MB for {} executions that wait", figures.waiting_bytes as f64 / 1e6, figures.waiting);
    Ok(())
}

fn print(figures: &Figures, bare: Option<f64>) {
    println!("{} events, {} bytes", figures.events, figures.bytes_in);
    println!("  {:>12.0} events a second", figures.events_per_second);
    println!(
        "  {:>12.2} µs of server CPU per event, committed; compressing it once costs {:.2} here",
        figures.cpu_us_per_event, figures.yardstick_us_per_event
    );
    println!("  {:>12.2} ms acknowledged, p50   {:>8.2} ms p99", figures.ack_ms_p50, figures.ack_ms_p99);
    println!(
        "  {:>12.2} ms visible, p50        {:>8.2} ms p99",
        figures.visible_ms_p50, figures.visible_ms_p99
    );
    println!("  {:>12.1} MB largest resident set", figures.rss_peak_bytes as f64 / 1e6);
    println!("  {:>12.1} MB on disk", figures.bytes_on_disk as f64 / 1e6);
    if let Some(bare) = bare {
        let share = figures.events_per_second / bare * 100.0;
        println!("  {share:>12.1} % of the {bare:.0} requests a second of a bare server");
    }
    println!("  ledger {}", figures.ledger);
}
