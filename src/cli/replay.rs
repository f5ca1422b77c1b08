//! `bourn replay`.

use super::{Context, Json, Outcome, runtime};
use crate::verbs;
use clap::Args;
use serde_json::json;

#[derive(Args)]
#[command(
    after_help = "Reads the stream's log again, through today's schema, lookups and transform, and swaps the \
result in with one commit. Ingest goes on meanwhile.

Examples:
  bourn replay flights
  bourn replay flights --from 100000 --to 200000
  bourn replay flights --from 2026-11-01T00:00:00Z"
)]
pub struct Replay {
    /// The stream.
    stream: String,
    /// First offset, or the time of receipt to begin at.
    #[arg(long, value_name = "OFFSET|TIME")]
    from: Option<String>,
    /// Offset behind the last, or the time of receipt to end at.
    #[arg(long, value_name = "OFFSET|TIME")]
    to: Option<String>,
    #[command(flatten)]
    json: Json,
}

impl Replay {
    pub fn run(self, context: &Context) -> Outcome {
        let args = json!({"stream": self.stream, "from": self.from, "to": self.to});
        let result = runtime()?.block_on(verbs::call(context, "replay", args))?;
        match self.json.json {
            true => println!("{result}"),
            false => println!(
                "replayed offsets {} to {}: {} stored, {} duplicates, {} filtered, {} late, {} rejected; table version {}",
                result["from"],
                result["to"],
                result["stored"],
                result["duplicate"],
                result["filtered"],
                result["late"],
                result["rejected"],
                result["version"]
            ),
        }
        Ok(())
    }
}
