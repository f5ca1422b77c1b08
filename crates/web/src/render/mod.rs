//! Query results as bytes: a table for people, JSON, NDJSON, CSV, Parquet and Arrow for programs.
//!
//! | format | what | nulls | floats that are not numbers |
//! | --- | --- | --- | --- |
//! | table | aligned columns, numbers to the right | `null` | `NaN`, `inf` |
//! | json | one array of objects | `null` | `null` |
//! | ndjson | one object a line | `null` | `null` |
//! | csv | RFC 4180 with `\n`, header line | an empty field; an empty text is `""` | `NaN`, `inf` |
//! | parquet | one file, zstd | null | as they are |
//! | arrow | IPC stream | null | as they are |
//!
//! Everywhere in text: timestamps as in RFC 3339, integers and decimals with all their digits, binary
//! as base64, nested values as JSON. A [`Renderer`] keeps in memory what it has not handed out, a
//! Parquet row group, and for a table the first rows that decide its widths; never the whole answer.

mod columnar;
mod csv;
mod json;
mod table;
mod text;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bourn_event::{QueryError, Rows};
use futures::StreamExt;
use std::io::Write;

/// How a result is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Table,
    Json,
    Ndjson,
    Csv,
    Parquet,
    Arrow,
}

impl Format {
    pub const ALL: [Format; 6] =
        [Self::Table, Self::Json, Self::Ndjson, Self::Csv, Self::Parquet, Self::Arrow];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
            Self::Arrow => "arrow",
        }
    }

    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Table => "text/plain; charset=utf-8",
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Parquet => "application/vnd.apache.parquet",
            Self::Arrow => "application/vnd.apache.arrow.stream",
        }
    }

    /// May the bytes be shown on a terminal?
    pub const fn is_text(self) -> bool {
        !matches!(self, Self::Parquet | Self::Arrow)
    }
}

/// How a table is drawn; the other formats have no choices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableStyle {
    /// Width of the terminal; long cells are cut to fit, and lines drawn with box characters. Without
    /// one (a file, a pipe) nothing is cut and lines are plain ASCII.
    pub terminal_width: Option<usize>,
}

/// Why a result could not be written.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    #[error(transparent)]
    Query(#[from] QueryError),
    /// A value that the format has no form for.
    #[error("cannot write the result as {format}: {detail}")]
    Value { format: &'static str, detail: String },
    #[error("cannot write the result: {0}")]
    Io(#[from] std::io::Error),
}

/// Turns batches into bytes, one by one.
///
/// Call [`Renderer::write`] for each batch and [`Renderer::finish`] at the end; [`Renderer::take`]
/// hands out what is ready at any time.
pub struct Renderer {
    format: Format,
    writer: Box<dyn BatchWriter>,
    rows: u64,
}

/// One format. Bytes that are ready collect in the writer until they are taken.
trait BatchWriter: Send {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), String>;
    fn finish(&mut self) -> Result<(), String>;
    fn take(&mut self) -> Vec<u8>;
}

impl Renderer {
    pub fn new(format: Format, schema: SchemaRef, style: TableStyle) -> Result<Self, RenderError> {
        let writer: Result<Box<dyn BatchWriter>, String> = match format {
            Format::Table => Ok(Box::new(table::TableWriter::new(schema, style))),
            Format::Json => Ok(Box::new(json::JsonWriter::array())),
            Format::Ndjson => Ok(Box::new(json::JsonWriter::lines())),
            Format::Csv => Ok(Box::new(csv::CsvWriter::new(&schema))),
            Format::Parquet => columnar::ParquetWriter::new(schema).map(|writer| Box::new(writer) as _),
            Format::Arrow => columnar::ArrowWriter::new(&schema).map(|writer| Box::new(writer) as _),
        };
        let writer = writer.map_err(|detail| RenderError::Value { format: format.name(), detail })?;
        Ok(Self { format, writer, rows: 0 })
    }

    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), RenderError> {
        self.rows += batch.num_rows() as u64;
        self.writer.write(batch).map_err(|detail| self.fault(detail))
    }

    /// Writes what belongs at the end: the closing bracket, the footer, the last rows of a table.
    pub fn finish(&mut self) -> Result<(), RenderError> {
        self.writer.finish().map_err(|detail| self.fault(detail))
    }

    /// The bytes that are ready.
    pub fn take(&mut self) -> Vec<u8> {
        self.writer.take()
    }

    /// Rows written so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    fn fault(&self, detail: String) -> RenderError {
        RenderError::Value { format: self.format.name(), detail }
    }
}

/// Writes a whole result; says how many rows it had.
pub async fn render(
    mut rows: Rows,
    format: Format,
    style: TableStyle,
    out: &mut (dyn Write + Send),
) -> Result<u64, RenderError> {
    let mut renderer = Renderer::new(format, rows.schema.clone(), style)?;
    while let Some(batch) = rows.batches.next().await {
        renderer.write(&batch?)?;
        out.write_all(&renderer.take())?;
    }
    renderer.finish()?;
    out.write_all(&renderer.take())?;
    out.flush()?;
    Ok(renderer.rows())
}
