//! The verbs, their options and their exit codes.

mod backfill;
mod bench;
mod compact;
mod demo;
mod fsck;
mod functions;
mod init;
mod ledger;
mod rejects;
mod replay;
mod run;
mod runs;
mod schema;
mod send;
mod sql;
mod tail;
mod validate;
mod workflows;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueHint};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const EXIT_CODES: &str = "Exit codes:
  0  done
  1  failed: the message says what and how to mend it
  2  the command line or bourn.yaml is wrong
  3  a check found a difference (ledger --prove, fsck)
  4  another process owns the pipeline's folder
  130  stopped by Ctrl-C";

/// A serverless data pipeline in one binary: events in, tables out, every event accounted for.
#[derive(Parser)]
#[command(name = "bourn", version, after_help = EXIT_CODES, propagate_version = true)]
pub struct Cli {
    /// Folder of the pipeline.
    #[arg(long, global = true, default_value = ".", value_hint = ValueHint::DirPath, value_name = "DIR")]
    dir: PathBuf,
    /// Values from environments/NAME.yaml.
    #[arg(long, global = true, value_name = "NAME", env = "BOURN_ENVIRONMENT")]
    environment: Option<String>,
    /// What to log on standard error: error, warn, info, debug, or a filter such as bourn_lake=debug.
    #[arg(long, global = true, default_value = "warn", env = "BOURN_LOG", value_name = "FILTER")]
    log: String,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Make a new pipeline folder from a template.
    Init(init::Init),
    /// Check bourn.yaml and everything it names; report all faults at once.
    Validate(validate::Validate),
    /// Run the pipeline: take events in, keep the tables, answer queries.
    Run(run::Run),
    /// Run the flights template on a year of real flights, and keep serving.
    Demo(demo::Demo),
    /// Send a file of events to a running pipeline.
    Send(send::Send),
    /// Ask the catalog: one statement, or a prompt.
    Sql(sql::Sql),
    /// Print the newest events of a stream, and follow it.
    Tail(tail::Tail),
    /// Say what became of every event.
    Ledger(ledger::Ledger),
    /// Look at events that failed a stage, put them back, or purge them.
    #[command(subcommand)]
    Rejects(rejects::Rejects),
    /// Rebuild a stream's table from its log through today's definition.
    Replay(replay::Replay),
    /// Merge small files of the tables, now.
    Compact(compact::Compact),
    /// Begin workflows, look at them, answer and stop them.
    #[command(subcommand)]
    Workflows(workflows::Workflows),
    /// Look at functions, invoke them, read their logs.
    #[command(subcommand)]
    Functions(functions::Functions),
    /// What was begun by schedules, triggers and upkeep, and how it ended.
    Runs(runs::Runs),
    /// Run a workflow for each scheduled time of a past range.
    Backfill(backfill::Backfill),
    /// Check every byte of the logs; report, change nothing.
    Fsck(fsck::Fsck),
    /// Measure this machine.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Print the JSON Schema of bourn.yaml, for editors.
    Schema(schema::Schema),
    /// Print a shell's completions.
    Completions { shell: clap_complete::Shell },
}

/// What every verb needs to know.
pub struct Context {
    pub dir: PathBuf,
    pub environment: Option<String>,
}

/// `--json`, for verbs that print a table.
#[derive(Args)]
pub struct Json {
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Why a verb ended without doing what it was asked.
#[derive(Debug)]
pub enum Stop {
    /// The definition is wrong; printed in full already.
    Invalid,
    /// A check found a difference; printed already.
    Differs,
    /// Another process owns the folder.
    Held(String),
    Interrupted,
    Failed(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

pub type Outcome = Result<(), Stop>;

impl Cli {
    pub fn run(self) -> Outcome {
        let context = Context { dir: self.dir, environment: self.environment };
        match self.verb {
            Verb::Init(verb) => verb.run(&context),
            Verb::Validate(verb) => verb.run(&context),
            Verb::Run(verb) => verb.run(&context),
            Verb::Demo(verb) => verb.run(&context),
            Verb::Send(verb) => verb.run(&context),
            Verb::Sql(verb) => verb.run(&context),
            Verb::Tail(verb) => verb.run(&context),
            Verb::Ledger(verb) => verb.run(&context),
            Verb::Rejects(verb) => verb.run(&context),
            Verb::Replay(verb) => verb.run(&context),
            Verb::Compact(verb) => verb.run(&context),
            Verb::Workflows(verb) => verb.run(&context),
            Verb::Functions(verb) => verb.run(&context),
            Verb::Runs(verb) => verb.run(&context),
            Verb::Backfill(verb) => verb.run(&context),
            Verb::Fsck(verb) => verb.run(&context),
            Verb::Bench(verb) => verb.run(&context),
            Verb::Schema(verb) => verb.run(&context),
            Verb::Completions { shell } => {
                clap_complete::generate(shell, &mut Cli::command(), "bourn", &mut std::io::stdout());
                Ok(())
            }
        }
    }
}

/// Logs go to standard error, so that standard output stays what a script reads.
pub fn start_logging(cli: &Cli) {
    let filter = tracing_subscriber::EnvFilter::try_new(&cli.log)
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).init();
}

pub fn exit_code(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Stop::Invalid) => ExitCode::from(2),
        Err(Stop::Differs) => ExitCode::from(3),
        Err(Stop::Held(who)) => {
            eprintln!("error: {who}");
            ExitCode::from(4)
        }
        Err(Stop::Interrupted) => ExitCode::from(130),
        Err(Stop::Failed(error)) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(Stop::Failed(error)) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A reader such as `head` that had enough is no failure.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Reads the definition; prints every fault and stops if there is one. The files that it refers to need
/// not be there: who runs it checks them.
pub fn load(context: &Context) -> Result<bourn_config::Loaded, Stop> {
    load_from(&context.dir, context.environment.as_deref())
}

pub fn load_from(dir: &Path, environment: Option<&str>) -> Result<bourn_config::Loaded, Stop> {
    bourn_config::load_alone(dir, environment).map_err(|faults| {
        eprintln!("{faults}");
        Stop::Invalid
    })
}

/// A runtime for a verb that is not a server.
pub fn runtime() -> Result<tokio::runtime::Runtime, Stop> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}
