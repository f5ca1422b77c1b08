//! Parquet rows as events: every column a field, nulls as null, times in UTC as RFC 3339.

use super::rows::{Broken, Row, Rows};
use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use arrow::json::writer::{LineDelimited, WriterBuilder};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Rows decoded at once.
const BATCH_ROWS: usize = 1024;

/// The rows of a Parquet file.
pub(super) struct ParquetRows {
    reader: ParquetRecordBatchReader,
    /// Rows given so far.
    position: u64,
    lines: Vec<u8>,
    /// Where the next line starts.
    at: usize,
}

impl ParquetRows {
    /// Starts behind the first `position` rows.
    pub fn open(file: File, position: u64) -> Result<Self, Broken> {
        let reader = guarded(|| {
            let builder = ParquetRecordBatchReaderBuilder::try_new(file)?.with_batch_size(BATCH_ROWS);
            builder.with_offset(usize::try_from(position).unwrap_or(usize::MAX)).build()
        })?;
        Ok(Self { reader, position, lines: Vec::new(), at: 0 })
    }

    fn fill(&mut self) -> Result<bool, Broken> {
        self.lines.clear();
        self.at = 0;
        let (reader, lines) = (&mut self.reader, &mut self.lines);
        guarded(|| -> Result<bool, ArrowError> {
            let Some(batch) = reader.next().transpose()? else { return Ok(false) };
            let batch = in_utc(&batch)?;
            let mut writer =
                WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(&mut *lines);
            writer.write(&batch)?;
            writer.finish()?;
            Ok(true)
        })
    }
}

impl Rows for ParquetRows {
    fn next(&mut self) -> Result<Option<(u64, Row<'_>)>, Broken> {
        while self.at >= self.lines.len() {
            if !self.fill()? {
                return Ok(None);
            }
        }
        let rest = &self.lines[self.at..];
        let len = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        self.at += len + 1;
        self.position += 1;
        Ok(Some((self.position, Row::Line(&rest[..len]))))
    }
}

/// The reader is written for good files; what it does with a bad one must stay with that file.
fn guarded<T, E: std::fmt::Display>(read: impl FnOnce() -> Result<T, E>) -> Result<T, Broken> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Broken(error.to_string())),
        Err(_) => Err(Broken("its structure is damaged".into())),
    }
}

/// Timestamps without a zone are taken as UTC, so that they are written with one.
fn in_utc(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns());
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        match field.data_type() {
            DataType::Timestamp(unit, None) => {
                let zoned = DataType::Timestamp(*unit, Some("UTC".into()));
                let column = cast(column, &zoned)?;
                fields.push(Arc::new(Field::new(field.name(), column.data_type().clone(), true)));
                columns.push(column);
            }
            _ => {
                fields.push(Arc::clone(field));
                columns.push(Arc::clone(column));
            }
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}
