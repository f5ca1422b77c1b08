//! One cell as text, for tables and CSV; and how JSON differs from Arrow's own writing.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, FieldRef};
use arrow::error::ArrowError;
use arrow::json::writer::{Encoder, EncoderFactory, EncoderOptions, NullableEncoder, make_encoder};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::fmt::Write;
use std::sync::Arc;

/// Nulls written out, binary as base64.
pub(super) fn json_options() -> EncoderOptions {
    EncoderOptions::default().with_explicit_nulls(true).with_encoder_factory(Arc::new(Base64))
}

/// The columns of a batch, ready to be read cell by cell.
pub(super) struct Cells<'a> {
    columns: Vec<Cell<'a>>,
}

enum Cell<'a> {
    Plain { values: &'a dyn Array, formatter: ArrayFormatter<'a> },
    Binary(&'a dyn Array),
    Json { values: &'a dyn Array, encoder: NullableEncoder<'a> },
}

impl<'a> Cells<'a> {
    pub(super) fn of(batch: &'a RecordBatch, options: &'a EncoderOptions) -> Result<Self, String> {
        let fields = batch.schema_ref().fields();
        let columns = fields.iter().zip(batch.columns()).map(|(field, values)| cell(field, values, options));
        let columns = columns.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
        Ok(Self { columns })
    }

    /// Puts the cell's text into `out`, replacing what was there; says whether it is not null.
    pub(super) fn read(&mut self, column: usize, row: usize, out: &mut String) -> Result<bool, String> {
        out.clear();
        match &mut self.columns[column] {
            Cell::Plain { values, .. } | Cell::Json { values, .. } if is_null(*values, row) => {
                return Ok(false);
            }
            Cell::Binary(values) if values.is_null(row) => return Ok(false),
            Cell::Plain { formatter, .. } => {
                write!(out, "{}", formatter.value(row)).map_err(|_| unprintable(column))?;
            }
            Cell::Binary(values) => STANDARD.encode_string(bytes(*values, row), out),
            Cell::Json { encoder, .. } => {
                let mut json = Vec::new();
                encoder.encode(row, &mut json);
                *out = String::from_utf8(json).map_err(|_| unprintable(column))?;
            }
        }
        Ok(true)
    }
}

fn unprintable(column: usize) -> String {
    format!("a value of column {} has no text form", column + 1)
}

/// Also true for a dictionary's key that points to a null.
fn is_null(values: &dyn Array, row: usize) -> bool {
    match values.data_type() {
        DataType::Null => true,
        DataType::Dictionary(_, _) => values.logical_nulls().is_some_and(|nulls| nulls.is_null(row)),
        _ => values.is_null(row),
    }
}

fn cell<'a>(
    field: &'a FieldRef,
    values: &'a ArrayRef,
    options: &'a EncoderOptions,
) -> Result<Cell<'a>, ArrowError> {
    let kind = field.data_type();
    Ok(if kind.is_nested() {
        Cell::Json { values, encoder: make_encoder(field, values, options)? }
    } else if is_binary(kind) {
        Cell::Binary(values)
    } else {
        let formatter = ArrayFormatter::try_new(values, &FormatOptions::new().with_display_error(false))?;
        Cell::Plain { values, formatter }
    })
}

fn is_binary(kind: &DataType) -> bool {
    matches!(
        kind,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_)
    )
}

fn bytes(values: &dyn Array, row: usize) -> &[u8] {
    match values.data_type() {
        DataType::Binary => values.as_binary::<i32>().value(row),
        DataType::LargeBinary => values.as_binary::<i64>().value(row),
        DataType::BinaryView => values.as_binary_view().value(row),
        _ => values.as_fixed_size_binary().value(row),
    }
}

/// Numbers are aligned to the right.
pub(super) fn is_number(kind: &DataType) -> bool {
    match kind {
        DataType::Dictionary(_, values) => values.is_numeric(),
        kind => kind.is_numeric(),
    }
}

#[derive(Debug)]
struct Base64;

impl EncoderFactory for Base64 {
    fn make_default_encoder<'a>(
        &self,
        _field: &'a FieldRef,
        array: &'a dyn Array,
        _options: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        let binary = is_binary(array.data_type());
        Ok(binary.then(|| NullableEncoder::new(Box::new(Base64Encoder(array)), array.nulls().cloned())))
    }
}

struct Base64Encoder<'a>(&'a dyn Array);

impl Encoder for Base64Encoder<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        out.push(b'"');
        out.extend_from_slice(STANDARD.encode(bytes(self.0, row)).as_bytes());
        out.push(b'"');
    }
}
