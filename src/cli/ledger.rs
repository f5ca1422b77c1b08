//! `bourn ledger`.

use super::{Context, Json, Outcome, Stop, runtime};
use crate::reading;
use crate::report;
use clap::Args;

#[derive(Args)]
#[command(after_help = "received = stored + duplicate + rejected + filtered + late + in_flight

Examples:
  bourn ledger
  bourn ledger flights --json
  bourn ledger --prove          recount from segments, tables and rejects; exit 3 on a difference")]
pub struct Ledger {
    /// The stream; all if absent.
    stream: Option<String>,
    /// Recount everything from the files and compare.
    #[arg(long)]
    prove: bool,
    #[command(flatten)]
    json: Json,
}

impl Ledger {
    pub fn run(self, context: &Context) -> Outcome {
        let runtime = runtime()?;
        if !self.prove {
            let ledgers = runtime.block_on(reading::ledgers(context, self.stream.as_deref()))?;
            report::print_ledgers(&ledgers, self.json.json)?;
            return if ledgers.values().all(bourn_event::Ledger::balances) {
                Ok(())
            } else {
                Err(Stop::Differs)
            };
        }
        let proofs = runtime.block_on(reading::proofs(context, self.stream.as_deref()))?;
        match self.json.json {
            true => println!("{}", report::proofs_json(&proofs)),
            false => print!("{}", report::proofs_text(&proofs)),
        }
        if proofs.values().all(crate::ledger::Proof::holds) { Ok(()) } else { Err(Stop::Differs) }
    }
}
