//! Dedupe keys: an event's key fields as a 128-bit keyed hash.
//!
//! Values are tagged with their type, so that `"1"` and `1` differ; a whole float is the integer it
//! equals. An event whose key fields are all missing or null has no key.

use crate::column::Path;
use crate::dedupe::NO_KEY;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Date32Type, Float64Type, Int64Type, TimestampMicrosecondType, UInt64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

/// What stands before a value in the hashed bytes. Part of the runs' format: add, never change.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Tag {
    Null = 0,
    Text = 1,
    Integer = 2,
    Float = 3,
    Boolean = 4,
    Timestamp = 5,
    Date = 6,
    /// An object, an array or another type, as text.
    Other = 7,
}

#[derive(Clone, Debug)]
pub struct KeyFields {
    names: Vec<String>,
    paths: Vec<Path>,
}

impl KeyFields {
    pub fn new(names: &[String], paths: Vec<Path>) -> Self {
        Self { names: names.to_vec(), paths }
    }

    /// Tells indexes over different fields apart.
    pub fn fingerprint(&self) -> u64 {
        let mut text = String::from("1");
        for name in &self.names {
            text.push('\0');
            text.push_str(name);
        }
        xxh3_64(text.as_bytes())
    }

    /// Replaces `keys` by the batch's, one a row.
    pub fn hash(&self, batch: &RecordBatch, seed: u64, keys: &mut Vec<u128>) {
        keys.clear();
        keys.reserve(batch.num_rows());
        let arrays: Vec<ArrayRef> = self.paths.iter().map(|path| path.values(batch)).collect();
        if let ([path], [array]) = (self.paths.as_slice(), arrays.as_slice())
            && path.json.is_empty()
            && hash_one(array, seed, keys)
        {
            return;
        }
        let mut bytes = Vec::new();
        for row in 0..batch.num_rows() {
            bytes.clear();
            let mut named = false;
            for (path, array) in self.paths.iter().zip(&arrays) {
                named |= write_value(path, array, row, &mut bytes);
            }
            keys.push(if named { not_none(xxh3_128_with_seed(&bytes, seed)) } else { NO_KEY });
        }
    }
}

fn not_none(hash: u128) -> u128 {
    if hash == NO_KEY { 1 } else { hash }
}

/// The common keys, one text or integer, without a copy. `false` if it is another type.
fn hash_one(array: &ArrayRef, seed: u64, keys: &mut Vec<u128>) -> bool {
    let seed_of = |tag: Tag| seed ^ ((tag as u64 + 1) << 56);
    match array.data_type() {
        DataType::Utf8 => {
            let (values, seed) = (array.as_string::<i32>(), seed_of(Tag::Text));
            let (offsets, data) = (values.value_offsets(), values.value_data());
            keys.extend(
                offsets.windows(2).map(|ends| {
                    not_none(xxh3_128_with_seed(&data[ends[0] as usize..ends[1] as usize], seed))
                }),
            );
        }
        DataType::Int64 => {
            let (values, seed) = (array.as_primitive::<Int64Type>(), seed_of(Tag::Integer));
            keys.extend(values.values().iter().map(|v| not_none(xxh3_128_with_seed(&v.to_le_bytes(), seed))));
        }
        _ => return false,
    }
    if let Some(nulls) = array.nulls().filter(|nulls| nulls.null_count() > 0) {
        let unnamed = keys.iter_mut().enumerate().filter(|(row, _)| nulls.is_null(*row));
        unnamed.for_each(|(_, key)| *key = NO_KEY);
    }
    true
}

/// Appends a tagged value; `false` if it is null.
fn write_value(path: &Path, array: &ArrayRef, row: usize, out: &mut Vec<u8>) -> bool {
    if array.is_null(row) {
        out.push(Tag::Null as u8);
        return false;
    }
    match array.data_type() {
        DataType::Utf8 if !path.json.is_empty() => {
            return write_json(array.as_string::<i32>().value(row), &path.json, out);
        }
        DataType::Utf8 => write_text(Tag::Text, array.as_string::<i32>().value(row), out),
        DataType::Int64 => write_word(Tag::Integer, array.as_primitive::<Int64Type>().value(row), out),
        DataType::UInt64 => match i64::try_from(array.as_primitive::<UInt64Type>().value(row)) {
            Ok(value) => write_word(Tag::Integer, value, out),
            Err(_) => write_text(Tag::Other, &array.as_primitive::<UInt64Type>().value(row).to_string(), out),
        },
        DataType::Float64 => write_float(array.as_primitive::<Float64Type>().value(row), out),
        DataType::Boolean => write_word(Tag::Boolean, i64::from(array.as_boolean().value(row)), out),
        DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, _) => {
            write_word(Tag::Timestamp, array.as_primitive::<TimestampMicrosecondType>().value(row), out);
        }
        DataType::Date32 => {
            write_word(Tag::Date, i64::from(array.as_primitive::<Date32Type>().value(row)), out);
        }
        _ => {
            let options = FormatOptions::default();
            let text = ArrayFormatter::try_new(array, &options)
                .map(|formatter| formatter.value(row).to_string())
                .unwrap_or_default();
            write_text(Tag::Other, &text, out);
        }
    }
    true
}

fn write_json(text: &str, pointer: &[String], out: &mut Vec<u8>) -> bool {
    let parsed: Option<serde_json::Value> = serde_json::from_str(text).ok();
    let found = pointer.iter().try_fold(parsed.as_ref(), |value, part| {
        Some(match value? {
            serde_json::Value::Object(fields) => fields.get(part),
            serde_json::Value::Array(items) => part.parse::<usize>().ok().and_then(|at| items.get(at)),
            _ => None,
        })
    });
    match found.flatten() {
        None | Some(serde_json::Value::Null) => {
            out.push(Tag::Null as u8);
            return false;
        }
        Some(serde_json::Value::String(text)) => write_text(Tag::Text, text, out),
        Some(serde_json::Value::Bool(value)) => write_word(Tag::Boolean, i64::from(*value), out),
        Some(serde_json::Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => write_word(Tag::Integer, integer, out),
            (None, Some(float)) if !number.is_u64() => write_float(float, out),
            _ => write_text(Tag::Other, &number.to_string(), out),
        },
        Some(other) => write_text(Tag::Other, &other.to_string(), out),
    }
    true
}

fn write_float(value: f64, out: &mut Vec<u8>) {
    if value.fract() == 0.0 && value.abs() < (1u64 << 53) as f64 {
        write_word(Tag::Integer, value as i64, out);
    } else {
        write_word(Tag::Float, value.to_bits() as i64, out);
    }
}

fn write_word(tag: Tag, value: i64, out: &mut Vec<u8>) {
    out.push(tag as u8);
    out.extend_from_slice(&value.to_le_bytes());
}

fn write_text(tag: Tag, text: &str, out: &mut Vec<u8>) {
    out.push(tag as u8);
    out.extend_from_slice(&(text.len() as u64).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}
