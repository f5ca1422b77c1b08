//! `bourn functions`.

use super::{Context, Json, Outcome, runtime};
use crate::{report, verbs};
use anyhow::{Context as _, anyhow};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::io::Read;

#[derive(Subcommand)]
pub enum Functions {
    /// The functions: their processes and what they did.
    Ls(Ls),
    /// Invoke a function and print its answer.
    Invoke(Invoke),
    /// What a function logged.
    Logs(Logs),
}

#[derive(Args)]
pub struct Ls {
    #[command(flatten)]
    json: Json,
}

#[derive(Args)]
#[command(after_help = "Examples:
  bourn functions invoke holidays --payload '{\"records\": []}'
  bourn functions invoke holidays --payload @event.json --tail
  bourn functions invoke holidays --later")]
pub struct Invoke {
    function: String,
    /// A JSON text, @FILE, or - for standard input.
    #[arg(long, default_value = "{}")]
    payload: String,
    /// Also print the last of its log, on standard error.
    #[arg(long)]
    tail: bool,
    /// Do not wait: the call is taken durably, made soon and retried.
    #[arg(long, conflicts_with = "tail")]
    later: bool,
}

#[derive(Args)]
#[command(after_help = "Examples:
  bourn functions logs holidays
  bourn functions logs holidays --limit 200 --json")]
pub struct Logs {
    /// The function; all if absent.
    function: Option<String>,
    /// At most so many lines, the latest.
    #[arg(long, default_value_t = 100)]
    limit: u32,
    #[command(flatten)]
    json: Json,
}

impl Functions {
    pub fn run(self, context: &Context) -> Outcome {
        match self {
            Self::Ls(verb) => verb.run(context),
            Self::Invoke(verb) => verb.run(context),
            Self::Logs(verb) => verb.run(context),
        }
    }
}

/// The text itself, of a file after `@`, or of standard input for `-`.
pub(super) fn text_of(argument: &str) -> anyhow::Result<String> {
    if let Some(path) = argument.strip_prefix('@') {
        return std::fs::read_to_string(path).with_context(|| path.to_string());
    }
    if argument != "-" {
        return Ok(argument.to_string());
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    Ok(text)
}

impl Ls {
    fn run(self, context: &Context) -> Outcome {
        let rows = runtime()?.block_on(verbs::call(context, "functions", json!({})))?;
        let columns =
            ["name", "runtime", "processes", "busy", "invocations", "errors", "throttles", "cold_starts"];
        report::print_rows(&rows, &columns, self.json.json)
    }
}

impl Invoke {
    fn run(self, context: &Context) -> Outcome {
        let payload = text_of(&self.payload)?;
        let args =
            json!({"function": self.function, "payload": payload, "log": self.tail, "later": self.later});
        let answer = runtime()?.block_on(verbs::call(context, "function_invoke", args))?;
        if let Some(log) = answer["log"].as_str() {
            eprint!("{log}");
        }
        match (&answer["payload"], &answer["request_id"]) {
            (Value::String(payload), _) => println!("{payload}"),
            (_, id) => println!("taken as {}", id.as_str().unwrap_or_default()),
        }
        match answer["error"].as_str() {
            None => Ok(()),
            Some(kind) => Err(anyhow!("the function failed ({kind})").into()),
        }
    }
}

impl Logs {
    fn run(self, context: &Context) -> Outcome {
        let args = json!({"function": self.function, "limit": self.limit});
        let lines = runtime()?.block_on(verbs::call(context, "function_logs", args))?;
        if self.json.json {
            println!("{lines}");
            return Ok(());
        }
        for line in lines.as_array().into_iter().flatten() {
            let field = |key: &str| line[key].as_str().unwrap_or_default().to_string();
            println!("{} {} {}", field("at"), field("function"), field("line"));
        }
        Ok(())
    }
}
