//! `bourn workflows`.

use super::functions::text_of;
use super::{Context, Json, Outcome, load, runtime};
use crate::compute::timeline;
use crate::{graph, report, time, verbs};
use anyhow::{Context as _, anyhow};
use clap::{Args, Subcommand, ValueEnum, ValueHint};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Characters of an input or output that a timeline shows.
const SHOWN: usize = 160;

#[derive(Subcommand)]
pub enum Workflows {
    /// The workflows, or the executions of one.
    Ls(Ls),
    /// Begin an execution.
    Start(Start),
    /// One execution: state by state, with inputs, outputs, retries and errors.
    Show(Show),
    /// Every event of an execution.
    History(History),
    /// End an execution.
    Stop(StopVerb),
    /// Go on with an execution that failed, from the states that failed.
    Redrive(Redrive),
    /// Draw a workflow.
    Graph(Graph),
    /// Answer a task that waits for a person: yes.
    Approve(Approve),
    /// Answer a task that waits for a person: no.
    Refuse(Refuse),
}

const EXECUTION: &str = "An execution is named WORKFLOW/NAME or by its ARN; WORKFLOW alone is its latest.";

#[derive(Args)]
#[command(after_help = "Examples:
  bourn workflows ls
  bourn workflows ls nightly --status failed")]
pub struct Ls {
    /// The workflow whose executions are listed.
    workflow: Option<String>,
    /// Only executions that stand like this: running, succeeded, failed, timed_out, aborted.
    #[arg(long)]
    status: Option<String>,
    /// At most so many, the latest.
    #[arg(long, default_value_t = 20)]
    limit: u32,
    #[command(flatten)]
    json: Json,
}

#[derive(Args)]
#[command(after_help = "On a pipeline that does not run, the execution is run to its end.

Examples:
  bourn workflows start nightly --input '{\"day\": \"2013-06-01\"}'
  bourn workflows start nightly --input @day.json --name june-first --wait")]
pub struct Start {
    workflow: String,
    /// A JSON text, @FILE, or - for standard input.
    #[arg(long, default_value = "{}")]
    input: String,
    /// Name of the execution; the same name with the same input is begun once.
    #[arg(long)]
    name: Option<String>,
    /// Wait for its end; exits with 1 if it does not succeed.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    json: Json,
}

#[derive(Args)]
#[command(after_help = EXECUTION)]
pub struct Show {
    execution: String,
    /// Inputs and outputs in full.
    #[arg(long)]
    full: bool,
    #[command(flatten)]
    json: Json,
}

#[derive(Args)]
#[command(after_help = EXECUTION)]
pub struct History {
    execution: String,
    /// Latest first.
    #[arg(long)]
    reverse: bool,
    #[command(flatten)]
    json: Json,
}

#[derive(Args)]
#[command(after_help = EXECUTION)]
pub struct StopVerb {
    execution: String,
    /// The error it ends with.
    #[arg(long)]
    error: Option<String>,
    /// Why.
    #[arg(long)]
    cause: Option<String>,
}

#[derive(Args)]
#[command(after_help = EXECUTION)]
pub struct Redrive {
    execution: String,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Mermaid,
    Svg,
}

#[derive(Args)]
#[command(after_help = "Examples:
  bourn workflows graph nightly
  bourn workflows graph nightly --format svg --output nightly.svg")]
pub struct Graph {
    workflow: String,
    #[arg(long, value_enum, default_value = "mermaid")]
    format: Format,
    /// Write to this file instead of standard output.
    #[arg(long, value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
}

#[derive(Args)]
#[command(after_help = "Examples:
  bourn workflows approve nightly
  bourn workflows approve --token AAAA… --output '{\"by\": \"Ada\"}'")]
pub struct Approve {
    /// The execution that waits.
    #[arg(required_unless_present = "token")]
    execution: Option<String>,
    /// The task's token, if several wait.
    #[arg(long)]
    token: Option<String>,
    /// What the task gives out, a JSON text.
    #[arg(long, default_value = "{}")]
    output: String,
}

#[derive(Args)]
#[command(after_help = "Examples:
  bourn workflows refuse nightly --cause 'half of the day is missing'")]
pub struct Refuse {
    /// The execution that waits.
    #[arg(required_unless_present = "token")]
    execution: Option<String>,
    /// The task's token, if several wait.
    #[arg(long)]
    token: Option<String>,
    /// The error the task fails with.
    #[arg(long, default_value = "Refused")]
    error: String,
    /// Why.
    #[arg(long, default_value = "")]
    cause: String,
}

impl Workflows {
    pub fn run(self, context: &Context) -> Outcome {
        match self {
            Self::Ls(verb) => verb.run(context),
            Self::Start(verb) => verb.run(context),
            Self::Show(verb) => verb.run(context),
            Self::History(verb) => verb.run(context),
            Self::Stop(verb) => verb.run(context),
            Self::Redrive(verb) => verb.run(context),
            Self::Graph(verb) => verb.run(context),
            Self::Approve(verb) => verb.run(context),
            Self::Refuse(verb) => verb.run(context),
        }
    }
}

fn call(context: &Context, verb: &str, args: Value) -> Result<Value, super::Stop> {
    runtime()?.block_on(verbs::call(context, verb, args))
}

impl Ls {
    fn run(self, context: &Context) -> Outcome {
        let Some(workflow) = self.workflow else {
            let rows = call(context, "workflows", json!({}))?;
            return report::print_rows(&rows, &["name", "type", "running", "last", "status"], self.json.json);
        };
        let args = json!({"workflow": workflow, "status": self.status, "limit": self.limit});
        let rows = call(context, "workflow_executions", args)?;
        report::print_rows(&rows, &["name", "status", "started_at", "ended_at"], self.json.json)
    }
}

impl Start {
    fn run(self, context: &Context) -> Outcome {
        let args = json!({
            "workflow": self.workflow,
            "input": text_of(&self.input)?,
            "name": self.name,
            "wait": self.wait,
        });
        let started = call(context, "workflow_start", args)?;
        match self.json.json {
            true => println!("{started}"),
            false => print_execution(&started),
        }
        // What was waited for, and did not end well, is a failure of this command.
        match started["status"].as_str() {
            None | Some("RUNNING" | "SUCCEEDED") => Ok(()),
            Some(status) => Err(anyhow!("the execution ended as {status}").into()),
        }
    }
}

fn print_execution(execution: &Value) {
    for key in ["name", "arn", "status", "started_at", "ended_at", "input", "output", "error", "cause"] {
        match &execution[key] {
            Value::Null => {}
            Value::String(text) => println!("{key:<10} {text}"),
            other => println!("{key:<10} {other}"),
        }
    }
}

impl Show {
    fn run(self, context: &Context) -> Outcome {
        let shown = call(context, "workflow_show", json!({"execution": self.execution}))?;
        if self.json.json {
            println!("{shown}");
            return Ok(());
        }
        print_execution(&shown["execution"]);
        let events = shown["events"].as_array().map_or(&[][..], Vec::as_slice);
        let width = if self.full { usize::MAX } else { SHOWN };
        print!("\n{}", timeline::print(&timeline::rows(events), width));
        for waiting in shown["waiting"].as_array().into_iter().flatten() {
            let (state, token) = (&waiting["state"], &waiting["token"]);
            println!("{} waits for an answer: bourn workflows approve --token {}", text(state), text(token));
        }
        Ok(())
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

impl History {
    fn run(self, context: &Context) -> Outcome {
        let args = json!({"execution": self.execution, "reverse": self.reverse});
        let events = call(context, "workflow_history", args)?;
        if self.json.json {
            println!("{events}");
            return Ok(());
        }
        for event in events.as_array().into_iter().flatten() {
            let at = time::format((event["timestamp"].as_f64().unwrap_or_default() * 1e6) as i64);
            let details = event.as_object().into_iter().flatten();
            let details = details.filter(|(key, _)| key.ends_with("Details")).map(|(_, value)| value);
            let details: Vec<String> = details.map(Value::to_string).collect();
            println!("{:>5} {at} {:<24} {}", event["id"], text(&event["type"]), details.join(" "));
        }
        Ok(())
    }
}

impl StopVerb {
    fn run(self, context: &Context) -> Outcome {
        let args = json!({"execution": self.execution, "error": self.error, "cause": self.cause});
        let stopped = call(context, "workflow_stop", args)?;
        println!("stopped at {}", text(&stopped["ended_at"]));
        Ok(())
    }
}

impl Redrive {
    fn run(self, context: &Context) -> Outcome {
        let redriven = call(context, "workflow_redrive", json!({"execution": self.execution}))?;
        println!("goes on since {}", text(&redriven["redriven_at"]));
        Ok(())
    }
}

impl Graph {
    fn run(self, context: &Context) -> Outcome {
        let loaded = load(context)?;
        let machine = crate::compute::machines::read_one(&loaded, &self.workflow)?;
        let picture = match self.format {
            Format::Mermaid => graph::mermaid(&machine),
            Format::Svg => graph::svg(&machine),
        };
        match self.output {
            Some(path) => std::fs::write(&path, picture).with_context(|| path.display().to_string())?,
            None => print!("{picture}"),
        }
        Ok(())
    }
}

impl Approve {
    fn run(self, context: &Context) -> Outcome {
        let args = json!({"execution": self.execution, "token": self.token, "output": self.output});
        call(context, "workflow_approve", args)?;
        println!("approved");
        Ok(())
    }
}

impl Refuse {
    fn run(self, context: &Context) -> Outcome {
        let args = json!({"execution": self.execution, "token": self.token, "error": self.error,
            "cause": self.cause});
        call(context, "workflow_refuse", args)?;
        println!("refused");
        Ok(())
    }
}
