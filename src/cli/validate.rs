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
                let pipeline = &definition.loaded.pipeline;
                let workflows = definition.workflows.iter().map(|file| file.name.as_str());
                println!("{} is valid", pipeline.name);
                said("streams", definition.streams.keys().map(String::as_str));
                said("functions", pipeline.functions.keys().map(String::as_str));
                said("workflows", workflows);
                said("schedules", pipeline.schedules.keys().map(String::as_str));
                said("triggers", pipeline.triggers.keys().map(String::as_str));
            }
            (Err(faults), true) => println!("{}", json!({"valid": false, "faults": faults})),
            (Err(faults), false) => eprintln!("{faults}"),
        }
        loaded.map(drop).map_err(|_| Stop::Invalid)
    }
}

fn said<'a>(what: &str, names: impl Iterator<Item = &'a str>) {
    let names: Vec<_> = names.collect();
    if !names.is_empty() {
        println!("  {what:<10} {}", names.join(", "));
    }
}
