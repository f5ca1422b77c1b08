//! `bourn validate`.

use super::{Context, Json, Outcome, Stop};
use crate::definition::Definition;
use clap::Args;
use serde_json::json;

#[derive(Args)]
#[command(after_help = "Examples:
  bourn validate
  bourn validate --dir shop --json")]
pub struct Validate {
    #[command(flatten)]
    json: Json,
}

impl Validate {
    pub fn run(self, context: &Context) -> Outcome {
        let loaded = Definition::load(&context.dir, context.environment.as_deref());
        match (&loaded, self.json.json) {
            (Ok(_), true) => println!("{}", json!({"valid": true, "faults": []})),
            (Ok(definition), false) => {
                let streams: Vec<_> = definition.streams.keys().map(String::as_str).collect();
                println!("{} is valid: streams {}", definition.loaded.pipeline.name, streams.join(", "));
            }
            (Err(faults), true) => println!("{}", json!({"valid": false, "faults": faults})),
            (Err(faults), false) => eprintln!("{faults}"),
        }
        loaded.map(drop).map_err(|_| Stop::Invalid)
    }
}
