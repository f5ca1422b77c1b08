//! `bourn bench`.

use super::{Context, Outcome, runtime};
use crate::bench::{self, Figures, Mode, Plan};
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
    #[arg(long, default_value_t = 100_000.0)]
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
            Self::BareServer => Ok(runtime()?.block_on(bench::bare_server())?),
        }
    }
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

fn print(figures: &Figures, bare: Option<f64>) {
    println!("{} events, {} bytes", figures.events, figures.bytes_in);
    println!("  {:>12.0} events a second", figures.events_per_second);
    println!("  {:>12.2} µs of server CPU per event, committed", figures.cpu_us_per_event);
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
