//! `bourn runs`.

use super::{Context, Json, Outcome, runtime};
use crate::{report, verbs};
use clap::Args;
use serde_json::json;

#[derive(Args)]
#[command(after_help = "Examples:
  bourn runs
  bourn runs --status failed
  bourn runs --name nightly --limit 5 --json
  bourn sql \"select name, count(*), avg(took_ms) from system.runs group by name\"")]
pub struct Runs {
    /// Only runs of this workflow, function or job.
    #[arg(long)]
    name: Option<String>,
    /// Only runs that stand like this: queued, running, succeeded, failed, skipped, aborted.
    #[arg(long)]
    status: Option<String>,
    /// At most so many, the latest.
    #[arg(long, default_value_t = 20)]
    limit: u32,
    #[command(flatten)]
    json: Json,
}

impl Runs {
    pub fn run(self, context: &Context) -> Outcome {
        let args = json!({"name": self.name, "status": self.status, "limit": self.limit});
        let rows = runtime()?.block_on(verbs::call(context, "runs", args))?;
        let columns = ["started_at", "kind", "name", "stream", "cause", "status", "took_ms", "rows", "error"];
        report::print_rows(&rows, &columns, self.json.json)
    }
}
