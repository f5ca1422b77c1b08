//! `bourn sql`.

use super::{Context, Outcome, Stop, runtime};
use crate::client::{Client, checked};
use crate::reading::{self, Reading};
use crate::report::counted;
use anyhow::{Result, anyhow};
use arrow::ipc::reader::StreamReader;
use bourn_config::Faults;
use bourn_event::{Query, QueryError, QueryOptions, Rows};
use bourn_sql::Engine;
use bourn_web::render::{Format, TableStyle, render};
use clap::{Args, ValueHint};
use futures::StreamExt;
use rustyline::error::ReadlineError;
use std::io::{IsTerminal, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

#[derive(Args)]
#[command(
    after_help = "Zones: raw, bronze, silver, rejects, lookups, system. Without a statement it prompts.

Examples:
  bourn sql 'select carrier, count(*), avg(dep_delay) from silver.flights group by 1'
  bourn sql 'select * from rejects.flights' --format json
  bourn sql \"select count(*) from at_version('silver.flights', 3)\"
  bourn sql 'select * from silver.flights' --format parquet --output flights.parquet
  echo 'select 1' | bourn sql -"
)]
pub struct Sql {
    /// The statement; `-` reads it from standard input.
    statement: Option<String>,
    #[arg(long, short, value_enum, default_value_t = OutputFormat::Table)]
    format: OutputFormat,
    /// Write to this file.
    #[arg(long, short, value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
    /// At most so many rows.
    #[arg(long)]
    limit: Option<usize>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum OutputFormat {
    Table,
    Json,
    Csv,
    Ndjson,
    Parquet,
    Arrow,
}

impl From<OutputFormat> for Format {
    fn from(format: OutputFormat) -> Self {
        match format {
            OutputFormat::Table => Format::Table,
            OutputFormat::Json => Format::Json,
            OutputFormat::Csv => Format::Csv,
            OutputFormat::Ndjson => Format::Ndjson,
            OutputFormat::Parquet => Format::Parquet,
            OutputFormat::Arrow => Format::Arrow,
        }
    }
}

/// Who answers.
enum Asked {
    Server(Client),
    /// With what keeps parts of the definition from being read.
    Files(Arc<Engine>, Faults),
}

impl Sql {
    pub fn run(self, context: &Context) -> Outcome {
        let runtime = runtime()?;
        let asked = match runtime.block_on(reading::open(context))? {
            Reading::Running(client) => Asked::Server(client),
            Reading::Stopped(stopped) => Asked::Files(stopped.engine()?, stopped.faults),
        };
        let statement = match self.statement.as_deref() {
            Some("-") => {
                let mut text = String::new();
                std::io::stdin().read_to_string(&mut text)?;
                Some(text)
            }
            given => given.map(str::to_string),
        };
        match statement {
            Some(statement) => runtime.block_on(async {
                tokio::select! {
                    answered = self.answer(&asked, &statement) => Ok(answered.map(drop)?),
                    _ = tokio::signal::ctrl_c() => Err(Stop::Interrupted),
                }
            }),
            None => self.prompt(&runtime, &asked, context),
        }
    }

    async fn answer(&self, asked: &Asked, statement: &str) -> Result<u64> {
        let options = QueryOptions { timeout: None, limit: self.limit };
        let rows = match asked {
            Asked::Files(engine, faults) => {
                engine.query(statement, options).await.map_err(|error| explained(error, faults))?
            }
            Asked::Server(client) => remote(client, statement, self.limit).await?,
        };
        let format = Format::from(self.format);
        match &self.output {
            Some(path) => {
                let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
                let count = render(rows, format, TableStyle::default(), &mut file).await?;
                file.flush()?;
                Ok(count)
            }
            None => {
                let is_terminal = std::io::stdout().is_terminal();
                if is_terminal && !format.is_text() {
                    return Err(anyhow!("{} is not for terminals; use --output FILE", format.name()));
                }
                let terminal_width = is_terminal.then(width);
                let mut out = std::io::BufWriter::new(std::io::stdout());
                Ok(render(rows, format, TableStyle { terminal_width }, &mut out).await?)
            }
        }
    }

    fn prompt(&self, runtime: &tokio::runtime::Runtime, asked: &Asked, context: &Context) -> Outcome {
        let mut editor = rustyline::DefaultEditor::new()?;
        let history = context.dir.join(".bourn").join("history");
        let _ = editor.load_history(&history);
        println!("one statement, ended by `;`. \\q or Ctrl-D leaves.");
        let mut statement = String::new();
        loop {
            let prompt = if statement.is_empty() { "bourn> " } else { "   ... " };
            match editor.readline(prompt) {
                Ok(line) if statement.is_empty() && matches!(line.trim(), "\\q" | "exit" | "quit") => break,
                Ok(line) => {
                    statement.push_str(&line);
                    statement.push('\n');
                }
                Err(ReadlineError::Interrupted) => statement.clear(),
                Err(ReadlineError::Eof) => break,
                Err(error) => return Err(error.into()),
            }
            if !statement.trim_end().ends_with(';') {
                continue;
            }
            let _ = editor.add_history_entry(statement.trim_end());
            self.show(runtime, asked, &statement);
            statement.clear();
        }
        let _ = editor.save_history(&history);
        Ok(())
    }

    /// One statement of the prompt; Ctrl-C cancels it.
    fn show(&self, runtime: &tokio::runtime::Runtime, asked: &Asked, statement: &str) {
        let begun = Instant::now();
        let outcome = runtime.block_on(async {
            tokio::select! {
                answered = self.answer(asked, statement) => answered.map(Some),
                _ = tokio::signal::ctrl_c() => Ok(None),
            }
        });
        match outcome {
            Ok(Some(rows)) => println!("{} in {:.3} s", counted(rows, "row"), begun.elapsed().as_secs_f64()),
            Ok(None) => println!("cancelled"),
            Err(error) => eprintln!("error: {error:#}"),
        }
    }
}

/// A table may be unknown because its part of the definition cannot be used.
fn explained(error: QueryError, faults: &Faults) -> anyhow::Error {
    match error {
        QueryError::Invalid(message) if !faults.is_empty() => {
            anyhow!("{message}\nParts of the definition cannot be read:\n{faults}")
        }
        error => error.into(),
    }
}

/// Columns of the terminal.
fn width() -> usize {
    usize::from(console::Term::stdout().size().1)
}

/// Runs a statement in the process that runs the pipeline, batch by batch.
async fn remote(client: &Client, statement: &str, limit: Option<usize>) -> Result<Rows> {
    let answer = client
        .post("/v1/sql")
        .header("accept", Format::Arrow.media_type())
        .json(&serde_json::json!({"sql": statement, "limit": limit}))
        .send()
        .await?;
    let mut chunks = checked(answer).await?.bytes_stream();
    let (bytes, pipe) = std::sync::mpsc::sync_channel::<std::io::Result<bytes::Bytes>>(16);
    tokio::spawn(async move {
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(std::io::Error::other);
            let sender = bytes.clone();
            match tokio::task::spawn_blocking(move || sender.send(chunk)).await {
                Ok(Ok(())) => {}
                _ => return,
            }
        }
    });
    let (batches, ready) = tokio::sync::mpsc::channel(4);
    let (schema, schema_ready) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let pipe = Pipe { pipe, rest: bytes::Bytes::new() };
        let failed = |error: arrow::error::ArrowError| QueryError::Failed(error.to_string());
        let reader = match StreamReader::try_new(pipe, None) {
            Ok(reader) => reader,
            Err(error) => return drop(schema.send(Err(failed(error)))),
        };
        let _ = schema.send(Ok(reader.schema()));
        for batch in reader {
            if batches.blocking_send(batch.map_err(failed)).is_err() {
                return;
            }
        }
    });
    let schema = schema_ready.await??;
    let batches =
        futures::stream::unfold(
            ready,
            |mut ready| async move { ready.recv().await.map(|batch| (batch, ready)) },
        );
    Ok(Rows { schema, batches: batches.boxed() })
}

/// The answer's bytes as a reader.
struct Pipe {
    pipe: std::sync::mpsc::Receiver<std::io::Result<bytes::Bytes>>,
    rest: bytes::Bytes,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.rest.is_empty() {
            match self.pipe.recv() {
                Ok(chunk) => self.rest = chunk?,
                Err(_) => return Ok(0),
            }
        }
        let count = buffer.len().min(self.rest.len());
        buffer[..count].copy_from_slice(&self.rest.split_to(count));
        Ok(count)
    }
}
