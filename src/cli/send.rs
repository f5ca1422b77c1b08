//! `bourn send`.

use super::{Context, Outcome, load, runtime};
use crate::client::Client;
use crate::layout::Layout;
use crate::send::{self, Source};
use anyhow::anyhow;
use clap::{Args, ValueHint};
use std::path::PathBuf;

#[derive(Args)]
#[command(after_help = "Examples:
  bourn send flights data.jsonl
  bourn send flights data.jsonl.zst
  zcat data.jsonl.gz | bourn send flights -
  bourn send flights data.jsonl --to https://bourn.example:8686   (BOURN_API_KEY holds the key)")]
pub struct Send {
    /// The stream.
    stream: String,
    /// Newline-delimited JSON, as it is or compressed with gzip or zstd; `-` reads standard input.
    #[arg(value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// Events a request.
    #[arg(long, default_value_t = 1000)]
    batch: usize,
    /// Address of the pipeline; the one that owns --dir if absent.
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

impl Send {
    pub fn run(self, context: &Context) -> Outcome {
        let client = match &self.to {
            Some(base) => Client::to(base, false)?,
            None => {
                let loaded = load(context)?;
                let state = Layout::of(&loaded).state;
                Client::of_running(&loaded.pipeline, &state)?
                    .ok_or_else(|| anyhow!("no process runs this pipeline; start it with `bourn run`"))?
            }
        };
        let source = Source::open(&self.file)?;
        let producer = format!("send-{}", uuid::Uuid::now_v7());
        let sent = runtime()?.block_on(send::send(&client, &self.stream, source, self.batch, &producer))?;
        match self.json {
            true => println!("{}", serde_json::to_string(&sent)?),
            false => {
                println!("{} events accepted, {} rejected", sent.accepted, sent.rejected);
                for error in &sent.errors {
                    println!("  line {}: {} {}: {}", error.line, error.pointer, error.keyword, error.message);
                }
                if sent.rejected > 0 {
                    println!("see them with `bourn rejects ls {}`", self.stream);
                }
            }
        }
        Ok(())
    }
}
