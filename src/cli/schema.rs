//! `bourn schema`.

use super::{Context, Outcome};
use clap::Args;

#[derive(Args)]
#[command(after_help = "Examples:
  bourn schema > bourn.schema.json
  bourn schema --reference > configuration.md")]
pub struct Schema {
    /// Print the configuration reference as Markdown instead.
    #[arg(long)]
    reference: bool,
}

impl Schema {
    pub fn run(self, _: &Context) -> Outcome {
        match self.reference {
            true => print!("{}", bourn_config::reference_markdown()),
            false => println!("{}", serde_json::to_string_pretty(&bourn_config::json_schema())?),
        }
        Ok(())
    }
}
