//! Rows to Parquet: zstd 1, row groups of at most [`ROW_GROUP_ROWS`] rows, dictionaries where a
//! sample says that they pay, and Delta's statistics from the file's own.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::ScalarValue;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use serde_json::{Map, Value, json};
use std::collections::HashSet;
use std::io::Write;

/// Rows of a row group: small enough to prune and to read inside a budget, large enough to compress.
pub const ROW_GROUP_ROWS: usize = 128 * 1024;

/// Columns that get minimum, maximum and null count in the log (Delta's own default).
pub const STATISTICS_COLUMNS: usize = 32;

/// Rows looked at to tell whether a column's values repeat.
const SAMPLE_ROWS: usize = 512;

/// A file that is encoded but not yet stored.
#[derive(Debug)]
pub struct Encoded {
    pub bytes: Vec<u8>,
    /// Delta's `stats` JSON.
    pub stats: String,
}

/// A Parquet writer for rows of `schema`, tuned on `sample`.
pub fn writer<W: Write + Send>(
    out: W,
    schema: &SchemaRef,
    sample: &RecordBatch,
) -> Result<ArrowWriter<W>, ParquetError> {
    let options =
        ArrowWriterOptions::new().with_properties(properties(schema, sample)).with_skip_arrow_metadata(true);
    ArrowWriter::try_new_with_options(out, schema.clone(), options)
}

/// Encodes `batches`, all of `schema`, as one file.
pub fn encode(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Encoded, ParquetError> {
    let sample = batches.iter().max_by_key(|b| b.num_rows());
    let Some(sample) = sample else {
        return Err(ParquetError::General("a file needs rows".into()));
    };
    let mut writer = writer(Vec::new(), schema, sample)?;
    for batch in batches {
        writer.write(batch)?;
    }
    let metadata = writer.finish()?;
    let stats = stats(&metadata, schema)?;
    // A finished writer cannot be taken apart; what it wrote can be taken out of it.
    Ok(Encoded { bytes: std::mem::take(writer.inner_mut()), stats })
}

fn properties(schema: &SchemaRef, sample: &RecordBatch) -> WriterProperties {
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_created_by(concat!("bourn ", env!("CARGO_PKG_VERSION")).into());
    for (field, column) in schema.fields().iter().zip(sample.columns()) {
        let repeats = values_repeat(column);
        let path = ColumnPath::from(vec![field.name().clone()]);
        match field.data_type() {
            DataType::Int64 | DataType::Int32 | DataType::Timestamp(..) | DataType::Date32 if !repeats => {
                builder = builder
                    .set_column_dictionary_enabled(path.clone(), false)
                    .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
            }
            DataType::Utf8 | DataType::Float64 | DataType::Float32 if !repeats => {
                builder = builder.set_column_dictionary_enabled(path, false);
            }
            _ => {}
        }
    }
    builder.build()
}

/// Do the values of a column repeat enough for a dictionary? Told from an evenly spread sample.
fn values_repeat(column: &ArrayRef) -> bool {
    let step = column.len().div_ceil(SAMPLE_ROWS).max(1);
    let rows = (0..column.len()).step_by(step).filter(|&row| column.is_valid(row));
    let hashes: Vec<u64> = match column.data_type() {
        DataType::Utf8 => {
            let text = column.as_string::<i32>();
            rows.map(|row| hash(text.value(row).as_bytes())).collect()
        }
        kind => match kind.primitive_width() {
            None => return true,
            Some(width) => {
                let data = column.to_data();
                let Some(values) = data.buffers().first() else { return true };
                let at = |row: usize| (data.offset() + row) * width;
                rows.filter_map(|row| values.get(at(row)..at(row) + width)).map(hash).collect()
            }
        },
    };
    let distinct = hashes.iter().collect::<HashSet<_>>().len();
    hashes.len() < 16 || distinct * 5 < hashes.len() * 4
}

fn hash(bytes: &[u8]) -> u64 {
    use std::hash::{DefaultHasher, Hasher};
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

/// Delta's `stats` of a file, from its Parquet metadata. A bound that the file does not state is left out.
pub fn stats(metadata: &ParquetMetaData, schema: &SchemaRef) -> Result<String, ParquetError> {
    let (mut least, mut most, mut nulls) = (Map::new(), Map::new(), Map::new());
    let groups = metadata.row_groups();
    let descriptor = metadata.file_metadata().schema_descr();
    for field in schema.fields().iter().take(STATISTICS_COLUMNS) {
        if field.data_type().is_nested() || field.data_type() == &DataType::Binary {
            continue;
        }
        let converter = StatisticsConverter::try_new(field.name(), schema, descriptor)?;
        let null_counts = converter.row_group_null_counts(groups.iter())?;
        let all_known = null_counts.null_count() == 0;
        if all_known {
            nulls.insert(field.name().clone(), json!(null_counts.iter().flatten().sum::<u64>()));
        }
        let mins = converter.row_group_mins(groups.iter())?;
        let maxes = converter.row_group_maxes(groups.iter())?;
        let bounded = |array: &ArrayRef| {
            all_known
                && (0..groups.len())
                    .all(|i| array.is_valid(i) || null_counts.value(i) == groups[i].num_rows().max(0) as u64)
        };
        if let Some(value) = bounded(&mins).then(|| extreme(&mins, std::cmp::Ordering::Less)).flatten() {
            least.insert(field.name().clone(), value);
        }
        if let Some(value) = bounded(&maxes).then(|| extreme(&maxes, std::cmp::Ordering::Greater)).flatten() {
            most.insert(field.name().clone(), value);
        }
    }
    let rows = metadata.file_metadata().num_rows();
    Ok(json!({"numRecords": rows, "minValues": least, "maxValues": most, "nullCount": nulls}).to_string())
}

/// The least or largest value of an array as Delta's JSON writes it.
fn extreme(array: &ArrayRef, side: std::cmp::Ordering) -> Option<Value> {
    let mut best: Option<ScalarValue> = None;
    for row in (0..array.len()).filter(|&row| array.is_valid(row)) {
        let value = ScalarValue::try_from_array(array, row).ok()?;
        let better = match &best {
            None => true,
            Some(best) => value.partial_cmp(best)? == side,
        };
        if better {
            best = Some(value);
        }
    }
    scalar_json(&best?)
}

fn scalar_json(value: &ScalarValue) -> Option<Value> {
    Some(match value {
        ScalarValue::Boolean(Some(_)) => return None,
        ScalarValue::Int8(Some(v)) => json!(v),
        ScalarValue::Int16(Some(v)) => json!(v),
        ScalarValue::Int32(Some(v)) => json!(v),
        ScalarValue::Int64(Some(v)) => json!(v),
        ScalarValue::Float32(Some(v)) if v.is_finite() => json!(v),
        ScalarValue::Float64(Some(v)) if v.is_finite() => json!(v),
        ScalarValue::Utf8(Some(v)) => json!(v),
        ScalarValue::Date32(Some(_)) => json!(displayed(value, "%Y-%m-%d")?),
        ScalarValue::TimestampMicrosecond(Some(v), _) => {
            let moment = chrono::DateTime::from_timestamp_micros(*v)?;
            json!(moment.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string())
        }
        _ => return None,
    })
}

fn displayed(value: &ScalarValue, format: &str) -> Option<String> {
    let array = value.to_array().ok()?;
    let options = FormatOptions::default().with_date_format(Some(format));
    let formatter = ArrayFormatter::try_new(array.as_ref(), &options).ok()?;
    Some(formatter.value(0).to_string())
}

/// Microseconds of a timestamp in Delta's `stats`.
pub fn stats_micros(value: &Value) -> Option<i64> {
    chrono::DateTime::parse_from_rfc3339(value.as_str()?).ok().map(|t| t.timestamp_micros())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};
    use std::sync::Arc;

    #[test]
    fn statistics_bound_every_value() {
        let long = "é".repeat(100);
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("n", Arc::new(Int64Array::from(vec![Some(3), None, Some(-7)]))),
            ("t", Arc::new(TimestampMicrosecondArray::from(vec![1, 1_500_001, 2]).with_timezone("UTC"))),
            ("s", Arc::new(StringArray::from(vec!["b", long.as_str(), "a"]))),
            ("none", Arc::new(Float64Array::from(vec![None, None, None]))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let encoded = encode(&batch.schema(), std::slice::from_ref(&batch)).unwrap();
        let stats: Value = serde_json::from_str(&encoded.stats).unwrap();
        assert_eq!(stats["numRecords"], 3);
        assert_eq!(stats["minValues"]["n"], -7);
        assert_eq!(stats["maxValues"]["n"], 3);
        assert_eq!(stats["nullCount"]["n"], 1);
        assert_eq!(stats["maxValues"]["t"], "1970-01-01T00:00:01.500001Z");
        assert_eq!(stats["minValues"]["s"], "a");
        assert!(stats["maxValues"]["s"].as_str().unwrap() >= long.as_str());
        assert_eq!(stats["nullCount"]["none"], 3);
        assert!(stats["maxValues"].get("none").is_none());
    }

    #[test]
    fn a_dictionary_is_for_values_that_repeat() {
        let check = |values: Vec<i64>, expected: bool| {
            let column: ArrayRef = Arc::new(Int64Array::from(values));
            assert_eq!(values_repeat(&column), expected);
        };
        check((0..10_000).collect(), false);
        check((0..10_000).map(|i| i % 7).collect(), true);
        check(vec![1, 2, 3], true);
    }
}
