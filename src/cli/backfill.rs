//! `bourn backfill`.

use super::{Context, Json, Outcome, runtime};
use crate::verbs;
use clap::Args;
use serde_json::{Value, json};

#[derive(Args)]
#[command(after_help = "The same backfill again goes on where it stopped: what has begun is not begun twice.

Examples:
  bourn backfill nightly --from 2013-01-01 --to 2013-02-01 --dry-run
  bourn backfill nightly --from 2013-01-01 --to 2013-02-01 --concurrency 4
  bourn backfill nightly --every '0 0 * * *' --from 2013-01-01 --to 2013-02-01")]
pub struct Backfill {
    /// The workflow.
    workflow: String,
    /// The first time, such as 2013-01-01 or 2013-01-01T02:00:00Z.
    #[arg(long)]
    from: String,
    /// The end; not a run itself.
    #[arg(long)]
    to: String,
    /// The schedule whose times are made up for; the workflow's own if it has one only.
    #[arg(long)]
    schedule: Option<String>,
    /// Times of its own instead of a schedule's: cron fields, or rate(1 day).
    #[arg(long, conflicts_with = "schedule")]
    every: Option<String>,
    /// Executions at once.
    #[arg(long, default_value_t = 4)]
    concurrency: u32,
    /// Only print the times.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    json: Json,
}

impl Backfill {
    pub fn run(self, context: &Context) -> Outcome {
        let args = json!({
            "workflow": self.workflow, "from": self.from, "to": self.to, "schedule": self.schedule,
            "every": self.every, "concurrency": self.concurrency, "dry_run": self.dry_run,
        });
        let done = runtime()?.block_on(verbs::call(context, "backfill", args))?;
        if self.json.json {
            println!("{done}");
            return Ok(());
        }
        if self.dry_run {
            for at in done["times"].as_array().into_iter().flatten() {
                println!("{}", at.as_str().unwrap_or_default());
            }
            return Ok(());
        }
        println!(
            "{} times: {} succeeded, {} failed, {} were begun before",
            done["total"], done["succeeded"], done["failed"], done["repeated"]
        );
        for failure in done["failures"].as_array().into_iter().flatten() {
            let field = |key: &str| failure[key].as_str().unwrap_or_default();
            println!("  {}: {}", field("scheduled_at"), field("error"));
        }
        match done["failed"].as_u64() {
            Some(0) | None => Ok(()),
            Some(failed) => Err(anyhow::anyhow!("{}", failed_text(failed, &done)).into()),
        }
    }
}

fn failed_text(failed: u64, done: &Value) -> String {
    format!("{failed} of {} executions failed; see `bourn runs --status failed`", done["total"])
}
