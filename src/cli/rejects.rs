//! `bourn rejects`.

use super::{Context, Json, Outcome, Stop, runtime};
use crate::rejects::{Held, RejectFilter};
use crate::report::counted;
use crate::{reading, time, verbs};
use anyhow::anyhow;
use bourn_event::{Offset, RejectReason};
use clap::{Args, Subcommand, ValueHint};
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(Subcommand)]
pub enum Rejects {
    /// List them, newest last.
    Ls(Ls),
    /// Print one whole, with its original bytes.
    Show(Show),
    /// Put them back through today's schema; those that pass leave the rejects.
    Replay(Replay),
    /// Forget them: they can no longer be seen or put back.
    Purge(Purge),
}

#[derive(Args)]
struct Which {
    /// Only those with this reason (parse, schema, type, transform, …).
    #[arg(long)]
    reason: Option<String>,
    /// Only these offsets of the rejects' log.
    #[arg(long = "offset", value_name = "OFFSET")]
    offsets: Vec<Offset>,
    /// Only those received before this time (RFC 3339).
    #[arg(long, value_name = "TIME")]
    before: Option<String>,
}

#[derive(Args)]
#[command(after_help = "Examples:
  bourn rejects ls flights
  bourn rejects ls flights --reason schema --limit 5 --json")]
pub struct Ls {
    /// The stream.
    stream: String,
    #[command(flatten)]
    which: Which,
    /// At most so many, the newest.
    #[arg(long, default_value_t = 50)]
    limit: usize,
    #[command(flatten)]
    json: Json,
}

#[derive(Args)]
#[command(after_help = "Example:
  bourn rejects show flights 17")]
pub struct Show {
    /// The stream.
    stream: String,
    /// Offset in the rejects' log, as `ls` prints it.
    offset: Offset,
    #[command(flatten)]
    json: Json,
}

#[derive(Args)]
#[command(after_help = "Examples:
  bourn rejects replay flights --dry-run
  bourn rejects replay flights --reason schema
  bourn rejects replay clicks --fix fix.sql     a SELECT of _offset and event from rejects, such as
     select _offset, replace(original, '\"quantity\":0', '\"quantity\":1') as event from rejects")]
pub struct Replay {
    /// The stream.
    stream: String,
    #[command(flatten)]
    which: Which,
    /// A file with a SELECT over the table `rejects` that gives `_offset` and the mended `event`.
    #[arg(long, value_hint = ValueHint::FilePath)]
    fix: Option<PathBuf>,
    /// Only say what would happen.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    json: Json,
}

#[derive(Args)]
#[command(after_help = "Examples:
  bourn rejects purge flights --before 2026-01-01T00:00:00Z
  bourn rejects purge flights --all")]
pub struct Purge {
    /// The stream.
    stream: String,
    #[command(flatten)]
    which: Which,
    /// All of them.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    json: Json,
}

impl Which {
    fn filter(&self) -> Result<RejectFilter, Stop> {
        let reason = match &self.reason {
            None => None,
            Some(name) => Some(reason(name)?),
        };
        let before = self.before.as_deref().map(time::parse).transpose()?;
        Ok(RejectFilter { reason, offsets: self.offsets.clone(), before })
    }
}

fn reason(name: &str) -> Result<RejectReason, Stop> {
    let found = RejectReason::ALL.into_iter().find(|reason| reason.name() == name);
    found.ok_or_else(|| {
        let names: Vec<_> = RejectReason::ALL.iter().map(|reason| reason.name()).collect();
        anyhow!("there is no reason `{name}`; there are: {}", names.join(", ")).into()
    })
}

impl Rejects {
    pub fn run(self, context: &Context) -> Outcome {
        match self {
            Self::Ls(verb) => verb.run(context),
            Self::Show(verb) => verb.run(context),
            Self::Replay(verb) => verb.run(context),
            Self::Purge(verb) => verb.run(context),
        }
    }
}

impl Ls {
    fn run(self, context: &Context) -> Outcome {
        let filter = self.which.filter()?;
        let held = reading::rejects(context, &self.stream, &filter, self.limit)?;
        if self.json.json {
            let rows: Vec<_> = held.iter().map(|held| as_json(held, false)).collect();
            println!("{}", Value::Array(rows));
            return Ok(());
        }
        for Held { offset, reject } in &held {
            let fault = &reject.fault;
            let at = time::format(reject.received_at);
            let place = [fault.pointer.as_str(), fault.keyword.as_str()].join(" ");
            println!("{offset:>8}  {at}  {:<11} {:<24} {}", fault.reason.name(), place.trim(), fault.message);
        }
        println!("{}", counted(held.len() as u64, "reject"));
        Ok(())
    }
}

impl Show {
    fn run(self, context: &Context) -> Outcome {
        let filter = RejectFilter { offsets: vec![self.offset], ..RejectFilter::default() };
        let held = reading::rejects(context, &self.stream, &filter, 1)?;
        let Some(held) = held.first() else {
            return Err(anyhow!("stream {} has no reject {}", self.stream, self.offset).into());
        };
        if self.json.json {
            println!("{}", as_json(held, true));
            return Ok(());
        }
        let reject = &held.reject;
        println!("reject {} of stream {}", held.offset, self.stream);
        println!("reason          {}", reject.fault.reason);
        println!("pointer         {}", reject.fault.pointer);
        println!("keyword         {}", reject.fault.keyword);
        println!("message         {}", reject.fault.message);
        println!("schema version  {}", reject.schema_version);
        println!("source          {}", reject.source);
        println!("received        {}", time::format(reject.received_at));
        println!("original        {} bytes, {} kept", reject.original_len, reject.original.len());
        println!("{}", String::from_utf8_lossy(&reject.original));
        Ok(())
    }
}

fn as_json(held: &Held, whole: bool) -> Value {
    let reject = &held.reject;
    let mut value = json!({
        "_offset": held.offset,
        "reason": reject.fault.reason.name(),
        "pointer": reject.fault.pointer,
        "keyword": reject.fault.keyword,
        "message": reject.fault.message,
        "schema_version": reject.schema_version,
        "source": reject.source,
        "received_at": time::format(reject.received_at),
        "stream_offset": reject.offset,
        "original_len": reject.original_len,
    });
    if whole {
        value["original"] = json!(String::from_utf8_lossy(&reject.original));
    }
    value
}

impl Replay {
    fn run(self, context: &Context) -> Outcome {
        let fix = match &self.fix {
            Some(path) => {
                Some(std::fs::read_to_string(path).map_err(|e| anyhow!("{}: {e}", path.display()))?)
            }
            None => None,
        };
        let mut args = serde_json::to_value(self.which.filter()?)?;
        args["stream"] = json!(self.stream);
        args["fix"] = json!(fix);
        args["dry_run"] = json!(self.dry_run);
        let result = runtime()?.block_on(verbs::call(context, "rejects_replay", args))?;
        if self.json.json {
            println!("{result}");
            return Ok(());
        }
        let done = if self.dry_run { "would pass" } else { "were put back" };
        println!(
            "{} tried: {} {done}, {} fail again",
            result["tried"], result["accepted"], result["still_rejected"]
        );
        if result["cut"].as_u64() > Some(0) {
            println!("{} cannot be tried: not all of their bytes were kept (max_reject)", result["cut"]);
        }
        for failure in result["failures"].as_array().into_iter().flatten() {
            println!("  {}: {}", failure["offset"], failure["message"].as_str().unwrap_or_default());
        }
        Ok(())
    }
}

impl Purge {
    fn run(self, context: &Context) -> Outcome {
        let mut args = serde_json::to_value(self.which.filter()?)?;
        args["stream"] = json!(self.stream);
        args["all"] = json!(self.all);
        let result = runtime()?.block_on(verbs::call(context, "rejects_purge", args))?;
        match self.json.json {
            true => println!("{result}"),
            false => println!("{} purged", counted(result["purged"].as_u64().unwrap_or(0), "reject")),
        }
        Ok(())
    }
}
