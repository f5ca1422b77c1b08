//! Reads a lookup's file into one record batch of storable types.

use crate::column::stored_type;
use arrow::array::RecordBatch;
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use bourn_config::LookupFormat;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::io::{Cursor, Read};
use std::path::Path;
use std::sync::Arc;

/// # Errors
/// What is wrong, for people.
pub fn read(bytes: Vec<u8>, path: &Path, format: Option<LookupFormat>) -> Result<RecordBatch, String> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_ascii_lowercase();
    let (bytes, inner) = if let Some(inner) = name.strip_suffix(".gz") {
        let mut plain = Vec::new();
        flate2::read::MultiGzDecoder::new(bytes.as_slice())
            .read_to_end(&mut plain)
            .map_err(|e| format!("is not whole gzip: {e}"))?;
        (plain, inner)
    } else if let Some(inner) = name.strip_suffix(".zst") {
        (zstd::stream::decode_all(bytes.as_slice()).map_err(|e| format!("is not whole zstd: {e}"))?, inner)
    } else {
        (bytes, name.as_str())
    };
    let extension = inner.rsplit('.').next().unwrap_or_default();
    let format = match (format, extension) {
        (Some(format), _) => format,
        (None, "csv") => LookupFormat::Csv,
        (None, "parquet") => LookupFormat::Parquet,
        (None, "ndjson" | "jsonl") => LookupFormat::Ndjson,
        (None, _) => return Err("its name does not tell its format; set `format`".to_owned()),
    };
    let read = match format {
        LookupFormat::Csv => csv(&bytes),
        LookupFormat::Parquet => parquet(bytes.into()),
        LookupFormat::Ndjson => ndjson(&bytes),
    };
    read.and_then(|(schema, batches)| stored(&concat_batches(&schema, &batches)?)).map_err(|e| e.to_string())
}

type Batches = (SchemaRef, Vec<RecordBatch>);

fn csv(bytes: &[u8]) -> Result<Batches, ArrowError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if let Some(line) = unclosed_quote(bytes) {
        return Err(ArrowError::CsvError(format!("the value that is quoted from line {line} on has no end")));
    }
    let format = arrow::csv::reader::Format::default().with_header(true);
    let schema = Arc::new(format.infer_schema(Cursor::new(bytes), None)?.0);
    let reader = arrow::csv::ReaderBuilder::new(Arc::clone(&schema)).with_format(format);
    Ok((schema, reader.build(Cursor::new(bytes))?.collect::<Result<_, _>>()?))
}

/// The line on which a quoted value begins that does not end. The reader would take the rest of the file
/// for its text.
fn unclosed_quote(bytes: &[u8]) -> Option<usize> {
    let (mut line, mut opened, mut begins) = (1, None, true);
    let mut rest = bytes.iter().peekable();
    while let Some(byte) = rest.next() {
        match (byte, opened) {
            (b'"', Some(_)) if rest.peek() == Some(&&b'"') => drop(rest.next()),
            (b'"', Some(_)) => opened = None,
            (b'"', None) if begins => opened = Some(line),
            _ => {}
        }
        line += usize::from(*byte == b'\n');
        begins = matches!(byte, b',' | b'\n' | b'\r');
    }
    opened
}

fn ndjson(bytes: &[u8]) -> Result<Batches, ArrowError> {
    let schema = Arc::new(arrow::json::reader::infer_json_schema(Cursor::new(bytes), None)?.0);
    let reader = arrow::json::ReaderBuilder::new(Arc::clone(&schema)).build(Cursor::new(bytes))?;
    Ok((schema, reader.collect::<Result<_, _>>()?))
}

fn parquet(bytes: Bytes) -> Result<Batches, ArrowError> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)?.build()?;
    let schema = arrow::array::RecordBatchReader::schema(&reader);
    Ok((schema, reader.collect::<Result<_, _>>()?))
}

fn stored(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let stored = stored_type(field.data_type()).map_err(|_| {
            ArrowError::SchemaError(format!(
                "the column `{}` is of type {}, which no table stores",
                field.name(),
                field.data_type()
            ))
        })?;
        columns.push(cast(column, &stored)?);
        fields.push(Field::new(field.name(), stored, true));
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}
