//! `bourn run`.

use super::{Context, Outcome, Stop};
use crate::definition::Definition;
use crate::pipeline::Pipeline;
use crate::serve::{self, Listen};
use crate::{report, signals};
use clap::Args;

#[derive(Args)]
#[command(
    after_help = "Prints one line `ready http=HOST:PORT pg=HOST:PORT` when it serves. The first Ctrl-C drains: \
events in flight are committed. The second stops at once; nothing acknowledged is lost.

Examples:
  bourn run
  bourn run --listen 127.0.0.1:0 --pg-listen 127.0.0.1:0
  bourn run --once            read the file sources to their end, commit, print the ledger"
)]
pub struct Run {
    /// HTTP address; bourn.yaml's server.listen if absent. Port 0 picks a free one.
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Postgres wire address; bourn.yaml's postgres.listen if absent. Port 0 picks a free one.
    #[arg(long, value_name = "HOST:PORT")]
    pg_listen: Option<String>,
    /// Read the file sources to their end, commit, print the ledger, and exit.
    #[arg(long)]
    once: bool,
    /// Print the ledger of --once as JSON.
    #[arg(long)]
    json: bool,
}

impl Run {
    pub fn run(self, context: &Context) -> Outcome {
        super::runtime()?.block_on(self.serve(context))
    }

    async fn serve(self, context: &Context) -> Outcome {
        let definition =
            Definition::load(&context.dir, context.environment.as_deref()).map_err(|faults| {
                eprintln!("{faults}");
                Stop::Invalid
            })?;
        let pipeline = Pipeline::open(definition).await?;
        let signals = signals::watch();
        match self.once {
            true => self.exhaust(&pipeline, &signals).await,
            false => {
                let listen = Listen { http: self.listen, pg: self.pg_listen };
                serve::until_stopped(&pipeline, listen, &signals, |addresses| {
                    println!("ready http={} pg={}", addresses.http, addresses.pg());
                })
                .await
            }
        }
    }

    async fn exhaust(&self, pipeline: &std::sync::Arc<Pipeline>, signals: &signals::Signals) -> Outcome {
        let files = pipeline.start_files(&signals.drain, true)?;
        let outcome = files.join().await;
        pipeline.settle().await?;
        pipeline.close().await?;
        report::print_ledgers(&pipeline.ledgers(), self.json)?;
        outcome?;
        if signals.drain.is_cancelled() { Err(Stop::Interrupted) } else { Ok(()) }
    }
}
