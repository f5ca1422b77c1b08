//! Rows as JSON objects, written straight from the columns.
//!
//! A field that is null is left out. Times are RFC 3339 in UTC, dates `YYYY-MM-DD`, bytes hexadecimal;
//! `_extra` is the object it holds. Floats that JSON has no number for are null.

use crate::column::{stored_type, timestamp};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Float32Array, Float64Array, Int64Array, ListArray,
    RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bourn_event::{SystemColumn, civil_date};
use std::io::Write;

/// A batch's columns, ready to be written row by row.
pub struct Rows {
    fields: Vec<Field>,
}

struct Field {
    /// `"name":`
    key: Vec<u8>,
    values: Values,
}

/// One column.
pub enum Values {
    Text(StringArray),
    /// JSON text.
    Raw(StringArray),
    Integer(Int64Array),
    Double(Float64Array),
    Single(Float32Array),
    Boolean(BooleanArray),
    Time(TimestampMicrosecondArray),
    Date(Date32Array),
    Object(Option<NullBuffer>, Vec<(Vec<u8>, Values)>),
    List(ListArray, Box<Values>),
    /// Decimals: their digits are a JSON number.
    Number(ArrayRef),
    /// As arrow prints it, in quotes.
    Other(ArrayRef),
}

impl Rows {
    pub fn new(batch: &RecordBatch) -> Result<Self, ArrowError> {
        let schema = batch.schema();
        let fields = schema.fields().iter().zip(batch.columns()).map(|(field, column)| {
            let values = match field.name() == SystemColumn::Extra.name() {
                true => Values::Raw(cast(column, &DataType::Utf8)?.as_string::<i32>().clone()),
                false => Values::new(column)?,
            };
            Ok(Field { key: key_of(field.name()), values })
        });
        Ok(Self { fields: fields.collect::<Result<_, ArrowError>>()? })
    }

    pub fn write(&self, row: usize, out: &mut Vec<u8>) {
        out.push(b'{');
        let start = out.len();
        for field in &self.fields {
            if field.values.is_null(row) {
                continue;
            }
            if out.len() > start {
                out.push(b',');
            }
            out.extend_from_slice(&field.key);
            field.values.write(row, out);
        }
        out.push(b'}');
    }
}

fn key_of(name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(name.len() + 3);
    write_text(name, &mut key);
    key.push(b':');
    key
}

impl Values {
    pub fn new(column: &ArrayRef) -> Result<Self, ArrowError> {
        // What no table stores is printed as arrow prints it.
        let Ok(stored) = stored_type(column.data_type()) else { return Ok(Self::Other(column.clone())) };
        let column = if &stored == column.data_type() { column.clone() } else { cast(column, &stored)? };
        Ok(match &stored {
            DataType::Utf8 => Self::Text(column.as_string::<i32>().clone()),
            DataType::Int64 => Self::Integer(column.as_primitive().clone()),
            DataType::Int8 | DataType::Int16 | DataType::Int32 => {
                Self::Integer(cast(&column, &DataType::Int64)?.as_primitive().clone())
            }
            DataType::Float64 => Self::Double(column.as_primitive().clone()),
            DataType::Float32 => Self::Single(column.as_primitive().clone()),
            DataType::Boolean => Self::Boolean(column.as_boolean().clone()),
            other if *other == timestamp() => Self::Time(column.as_primitive().clone()),
            DataType::Date32 => Self::Date(column.as_primitive().clone()),
            DataType::Struct(fields) => {
                let object = column.as_struct();
                let inner = fields.iter().zip(object.columns());
                let inner = inner.map(|(field, column)| Ok((key_of(field.name()), Self::new(column)?)));
                Self::Object(object.nulls().cloned(), inner.collect::<Result<_, ArrowError>>()?)
            }
            DataType::List(_) => {
                let list = column.as_list::<i32>().clone();
                let inner = Self::new(list.values())?;
                Self::List(list, Box::new(inner))
            }
            DataType::Decimal128(_, _) => Self::Number(column),
            _ => Self::Other(column),
        })
    }

    pub fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Text(array) | Self::Raw(array) => array.is_null(row),
            Self::Integer(array) => array.is_null(row),
            Self::Double(array) => array.is_null(row),
            Self::Single(array) => array.is_null(row),
            Self::Boolean(array) => array.is_null(row),
            Self::Time(array) => array.is_null(row),
            Self::Date(array) => array.is_null(row),
            Self::Object(nulls, _) => nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)),
            Self::List(array, _) => array.is_null(row),
            Self::Number(array) | Self::Other(array) => array.is_null(row),
        }
    }

    /// Writes the row's value, `null` if it has none.
    pub fn write(&self, row: usize, out: &mut Vec<u8>) {
        if self.is_null(row) {
            return out.extend_from_slice(b"null");
        }
        match self {
            Self::Text(array) => write_text(array.value(row), out),
            Self::Raw(array) => out.extend_from_slice(array.value(row).as_bytes()),
            Self::Integer(array) => write_number(&array.value(row), out),
            Self::Double(array) => write_number(&array.value(row), out),
            Self::Single(array) => write_number(&array.value(row), out),
            Self::Boolean(array) => out.extend_from_slice(if array.value(row) { b"true" } else { b"false" }),
            Self::Time(array) => write_time(array.value(row), out),
            Self::Date(array) => {
                out.push(b'"');
                write_date(i64::from(array.value(row)), out);
                out.push(b'"');
            }
            Self::Object(_, fields) => {
                out.push(b'{');
                let start = out.len();
                for (key, values) in fields.iter().filter(|(_, values)| !values.is_null(row)) {
                    if out.len() > start {
                        out.push(b',');
                    }
                    out.extend_from_slice(key);
                    values.write(row, out);
                }
                out.push(b'}');
            }
            Self::List(array, values) => {
                let (start, end) = (array.value_offsets()[row], array.value_offsets()[row + 1]);
                out.push(b'[');
                for at in start..end {
                    if at > start {
                        out.push(b',');
                    }
                    values.write(at as usize, out);
                }
                out.push(b']');
            }
            Self::Number(array) => out.extend_from_slice(printed(array, row).as_bytes()),
            Self::Other(array) => write_text(&printed(array, row), out),
        }
    }
}

fn printed(array: &ArrayRef, row: usize) -> String {
    let options = FormatOptions::default();
    ArrayFormatter::try_new(array, &options).map(|printer| printer.value(row).to_string()).unwrap_or_default()
}

/// Integers as they are; a float that JSON has no number for is `null`.
fn write_number<T: serde::Serialize>(value: &T, out: &mut Vec<u8>) {
    // Writing a number to memory has no way to fail.
    let _ = serde_json::to_writer(out, value);
}

pub fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut start = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[start..at]);
        start = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control => {
                let _ = write!(out, "\\u{control:04x}");
            }
        }
    }
    out.extend_from_slice(&bytes[start..]);
    out.push(b'"');
}

const DAY_MICROS: i64 = 86_400_000_000;

fn write_time(micros: i64, out: &mut Vec<u8>) {
    let (day, rest) = (micros.div_euclid(DAY_MICROS), micros.rem_euclid(DAY_MICROS));
    let (seconds, fraction) = (rest / 1_000_000, rest % 1_000_000);
    out.push(b'"');
    write_date(day, out);
    out.push(b'T');
    write_digits(seconds / 3600, 2, out);
    out.push(b':');
    write_digits(seconds / 60 % 60, 2, out);
    out.push(b':');
    write_digits(seconds % 60, 2, out);
    if fraction > 0 {
        out.push(b'.');
        write_digits(fraction, 6, out);
    }
    out.extend_from_slice(b"Z\"");
}

fn write_date(day: i64, out: &mut Vec<u8>) {
    let (year, month, date) = civil_date(day);
    match year {
        0..=9999 => write_digits(year, 4, out),
        // ISO 8601 has more digits only with a sign.
        year => drop(write!(out, "{year:+05}")),
    }
    out.push(b'-');
    write_digits(month, 2, out);
    out.push(b'-');
    write_digits(date, 2, out);
}

fn write_digits(number: i64, width: u32, out: &mut Vec<u8>) {
    let mut scale = 10i64.pow(width - 1);
    while scale > 0 {
        out.push(b'0' + (number / scale % 10) as u8);
        scale /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Decimal128Array, DictionaryArray, StructArray};
    use arrow::datatypes::{Field as ArrowField, Int32Type};
    use std::sync::Arc;

    fn written(column: ArrayRef) -> Vec<String> {
        let values = Values::new(&column).expect("values");
        (0..column.len())
            .map(|row| {
                let mut out = Vec::new();
                values.write(row, &mut out);
                let text = String::from_utf8(out).expect("text");
                serde_json::from_str::<serde_json::Value>(&text).unwrap_or_else(|e| panic!("{text}: {e}"));
                text
            })
            .collect()
    }

    #[test]
    fn every_type_is_written_as_json() {
        let time = |micros: Vec<i64>| Arc::new(TimestampMicrosecondArray::from(micros).with_timezone("UTC"));
        let cases: Vec<(ArrayRef, &[&str])> = vec![
            (
                Arc::new(StringArray::from(vec![Some("a\"\\\n\u{1}ä€"), None, Some("")])),
                &["\"a\\\"\\\\\\n\\u0001ä€\"", "null", "\"\""],
            ),
            (
                Arc::new(Int64Array::from(vec![i64::MIN, 0, i64::MAX])),
                &["-9223372036854775808", "0", "9223372036854775807"],
            ),
            (Arc::new(Float64Array::from(vec![1.5, f64::NAN, -0.1])), &["1.5", "null", "-0.1"]),
            (Arc::new(BooleanArray::from(vec![true, false])), &["true", "false"]),
            (
                time(vec![0, 1_700_000_000_123_456, -1, 951_782_400_000_000]),
                &[
                    "\"1970-01-01T00:00:00Z\"",
                    "\"2023-11-14T22:13:20.123456Z\"",
                    "\"1969-12-31T23:59:59.999999Z\"",
                    "\"2000-02-29T00:00:00Z\"",
                ],
            ),
            (
                Arc::new(Date32Array::from(vec![0, -1, 19_782, -719_528])),
                &["\"1970-01-01\"", "\"1969-12-31\"", "\"2024-02-29\"", "\"0000-01-01\""],
            ),
            (
                Arc::new(
                    Decimal128Array::from(vec![12_345]).with_precision_and_scale(10, 2).expect("a decimal"),
                ),
                &["123.45"],
            ),
            (
                Arc::new(vec!["x", "y"].into_iter().collect::<DictionaryArray<Int32Type>>()),
                &["\"x\"", "\"y\""],
            ),
            (
                Arc::new(StructArray::from(vec![(
                    Arc::new(ArrowField::new("a", DataType::Int64, true)),
                    Arc::new(Int64Array::from(vec![Some(1), None])) as ArrayRef,
                )])),
                &["{\"a\":1}", "{}"],
            ),
            (
                Arc::new(ListArray::from_iter_primitive::<arrow::datatypes::Int64Type, _, _>(vec![
                    Some(vec![Some(1), None]),
                    None,
                    Some(vec![]),
                ])),
                &["[1,null]", "null", "[]"],
            ),
        ];
        for (column, expected) in cases {
            let kind = column.data_type().clone();
            assert_eq!(written(column), expected, "{kind}");
        }
    }

    #[test]
    fn rows_leave_out_what_is_null_and_hold_the_rest_of_the_event() {
        let batch = RecordBatch::try_from_iter_with_nullable([
            ("a", Arc::new(StringArray::from(vec![Some("x"), None])) as ArrayRef, true),
            ("b", Arc::new(Int64Array::from(vec![None, Some(2)])) as ArrayRef, true),
            ("_extra", Arc::new(StringArray::from(vec![Some("{\"more\":[1]}"), None])) as ArrayRef, true),
        ])
        .expect("a batch");
        let rows = Rows::new(&batch).expect("rows");
        let mut out = Vec::new();
        rows.write(0, &mut out);
        rows.write(1, &mut out);
        assert_eq!(out, br#"{"a":"x","_extra":{"more":[1]}}{"b":2}"#);
    }
}
