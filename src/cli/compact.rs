//! `bourn compact`.

use super::{Context, Json, Outcome, runtime};
use crate::verbs;
use clap::Args;
use serde_json::json;

#[derive(Args)]
#[command(after_help = "Examples:
  bourn compact
  bourn compact flights --json")]
pub struct Compact {
    /// The stream; all if absent.
    stream: Option<String>,
    #[command(flatten)]
    json: Json,
}

impl Compact {
    pub fn run(self, context: &Context) -> Outcome {
        let result = runtime()?.block_on(verbs::call(context, "compact", json!({"stream": self.stream})))?;
        match self.json.json {
            true => println!("{result}"),
            false => {
                for (stream, report) in result.as_object().into_iter().flatten() {
                    println!(
                        "{stream}: {} files became {}, {} bytes became {}",
                        report["files_before"],
                        report["files_after"],
                        report["bytes_before"],
                        report["bytes_after"]
                    );
                }
            }
        }
        Ok(())
    }
}
