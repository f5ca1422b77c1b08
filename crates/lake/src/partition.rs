//! Which partition a row lies in. Pure.
//!
//! Day, hour, month and year make a string column whose values sort as time does; they are
//! counted in UTC. A column that partitions by itself is left out of the files.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, UInt32Array};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::{DataType, Int64Type, SchemaRef, TimeUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bourn_config::{Partition, PartitionFunction};
use chrono::{DateTime, Datelike};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Values of the partition columns, in the order of the partitions; `None` is null.
pub type PartitionKey = Vec<Option<String>>;

const HOUR_MICROS: i64 = 3_600_000_000;
const DAY_MICROS: i64 = 24 * HOUR_MICROS;

/// Rows of `batch` by partition, in the columns of `file_schema`; rows keep their order.
pub fn split(
    batch: &RecordBatch,
    partitions: &[Partition],
    file_schema: &SchemaRef,
) -> Result<Vec<(PartitionKey, RecordBatch)>, ArrowError> {
    let groups = group(batch, partitions)?;
    let body = project(batch, file_schema)?;
    if groups.len() == 1 {
        return Ok(groups.into_iter().map(|(key, _)| (key, body.clone())).collect());
    }
    groups
        .into_iter()
        .map(|(key, rows)| Ok((key, take_record_batch(&body, &UInt32Array::from(rows))?)))
        .collect()
}

fn project(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = schema
        .fields()
        .iter()
        .map(|f| {
            batch
                .column_by_name(f.name())
                .cloned()
                .ok_or_else(|| ArrowError::SchemaError(format!("column `{}` is missing", f.name())))
        })
        .collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new(schema.clone(), columns)
}

/// Partition keys in order of appearance with their rows; rows are left empty if there is one key.
fn group(batch: &RecordBatch, partitions: &[Partition]) -> Result<Vec<(PartitionKey, Vec<u32>)>, ArrowError> {
    let columns =
        partitions.iter().map(|partition| codes(batch, partition)).collect::<Result<Vec<_>, _>>()?;
    if columns.iter().all(|c| c.values.len() <= 1) {
        let key = columns.into_iter().map(|c| c.values.into_iter().next().flatten()).collect();
        return Ok(vec![(key, Vec::new())]);
    }
    let mut seen: HashMap<Vec<u32>, usize> = HashMap::new();
    let mut groups: Vec<(PartitionKey, Vec<u32>)> = Vec::new();
    let mut last: Option<(Vec<u32>, usize)> = None;
    for row in 0..batch.num_rows() {
        let key: Vec<u32> = columns.iter().map(|c| c.code(row)).collect();
        let at = match &last {
            Some((same, at)) if *same == key => *at,
            _ => *seen.entry(key.clone()).or_insert_with(|| {
                let values = columns.iter().zip(&key).map(|(c, code)| c.values[*code as usize].clone());
                groups.push((values.collect(), Vec::new()));
                groups.len() - 1
            }),
        };
        groups[at].1.push(row as u32);
        last = Some((key, at));
    }
    Ok(groups)
}

/// A column's partition values: distinct ones, and which of them each row has (empty if all have the first).
struct Codes {
    values: Vec<Option<String>>,
    rows: Vec<u32>,
}

impl Codes {
    fn code(&self, row: usize) -> u32 {
        self.rows.get(row).copied().unwrap_or(0)
    }
}

fn codes(batch: &RecordBatch, partition: &Partition) -> Result<Codes, ArrowError> {
    let column = batch
        .column_by_name(&partition.column)
        .ok_or_else(|| ArrowError::SchemaError(format!("column `{}` is missing", partition.column)))?;
    if partition.function != PartitionFunction::Identity {
        let micros = micros_of(column)?;
        let micros = micros.as_primitive::<TimestampMicrosecondType>();
        let buckets = (0..micros.len())
            .map(|i| micros.is_valid(i).then(|| bucket(micros.value(i), partition.function)));
        return Ok(code(buckets, |b| b.map(|b| bucket_name(b, partition.function))));
    }
    if column.data_type() == &DataType::Utf8 {
        let text = column.as_string::<i32>();
        return Ok(code(text.iter(), |t| t.filter(|t| !t.is_empty()).map(str::to_string)));
    }
    let options = FormatOptions::default();
    let format = ArrayFormatter::try_new(column.as_ref(), &options)?;
    let values = (0..column.len()).map(|i| column.is_valid(i).then(|| format.value(i).to_string()));
    Ok(code(values, |v| v))
}

fn micros_of(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match column.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, _) => Ok(column.clone()),
        _ => cast(column, &DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
    }
}

fn code<T: Clone + Eq + std::hash::Hash>(
    given: impl Iterator<Item = T>,
    name: impl Fn(T) -> Option<String>,
) -> Codes {
    let mut seen: HashMap<T, u32> = HashMap::new();
    let mut values = Vec::new();
    let mut rows = Vec::new();
    let mut last: Option<(T, u32)> = None;
    for value in given {
        let code = match &last {
            Some((same, code)) if *same == value => *code,
            _ => *seen.entry(value.clone()).or_insert_with(|| {
                values.push(name(value.clone()));
                (values.len() - 1) as u32
            }),
        };
        rows.push(code);
        last = Some((value, code));
    }
    Codes { values, rows }
}

/// A number that is equal for moments of one partition and only for them.
fn bucket(micros: i64, function: PartitionFunction) -> i64 {
    match function {
        PartitionFunction::Hour => micros.div_euclid(HOUR_MICROS),
        PartitionFunction::Day | PartitionFunction::Identity => micros.div_euclid(DAY_MICROS),
        PartitionFunction::Month | PartitionFunction::Year => {
            let date = DateTime::from_timestamp_micros(micros).unwrap_or_default();
            match function {
                PartitionFunction::Year => i64::from(date.year()),
                _ => i64::from(date.year()) * 12 + i64::from(date.month0()),
            }
        }
    }
}

fn bucket_name(bucket: i64, function: PartitionFunction) -> String {
    let at = |micros: i64, format: &str| {
        DateTime::from_timestamp_micros(micros).unwrap_or_default().format(format).to_string()
    };
    match function {
        PartitionFunction::Hour => at(bucket.saturating_mul(HOUR_MICROS), "%Y-%m-%d-%H"),
        PartitionFunction::Day | PartitionFunction::Identity => {
            at(bucket.saturating_mul(DAY_MICROS), "%Y-%m-%d")
        }
        PartitionFunction::Month => format!("{:04}-{:02}", bucket.div_euclid(12), bucket.rem_euclid(12) + 1),
        PartitionFunction::Year => format!("{bucket:04}"),
    }
}

/// `batch` in the columns of `table_schema`: with the partition columns that functions make, and
/// with a column that partitions by itself as the table reads it back (empty text is null).
pub fn with_partition_columns(
    batch: &RecordBatch,
    partitions: &[Partition],
    table_schema: &SchemaRef,
) -> Result<RecordBatch, ArrowError> {
    if partitions.is_empty() {
        return RecordBatch::try_new(table_schema.clone(), batch.columns().to_vec());
    }
    let mut made: BTreeMap<String, ArrayRef> = BTreeMap::new();
    for partition in partitions {
        let identity = partition.function == PartitionFunction::Identity;
        let text = batch.column_by_name(&partition.column).is_some_and(|c| c.data_type() == &DataType::Utf8);
        if identity && !text {
            continue;
        }
        let codes = codes(batch, partition)?;
        let values = (0..batch.num_rows()).map(|row| codes.values[codes.code(row) as usize].as_deref());
        made.insert(partition.table_column(), Arc::new(StringArray::from_iter(values)));
    }
    let columns = table_schema
        .fields()
        .iter()
        .map(|f| {
            made.get(f.name())
                .or_else(|| batch.column_by_name(f.name()))
                .cloned()
                .ok_or_else(|| ArrowError::SchemaError(format!("column `{}` is missing", f.name())))
        })
        .collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new(table_schema.clone(), columns)
}

/// The folder of a partition, as hive writes it; characters that would need escaping are `_`,
/// which is safe because Delta reads the values from its log and file names are unique.
pub fn folder(columns: &[String], key: &PartitionKey) -> String {
    let clean = |text: &str| -> String {
        let safe = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
        text.chars().take(64).map(safe).collect()
    };
    let part = |(column, value): (&String, &Option<String>)| {
        let value = value.as_deref().map_or("__HIVE_DEFAULT_PARTITION__".into(), clean);
        format!("{}={value}/", clean(column))
    };
    columns.iter().zip(key).map(part).collect()
}

/// Sum of distinct rows by the text of a column, in order of their runs.
pub fn count_runs(column: &StringArray, mut add: impl FnMut(&str, u64)) {
    let mut row = 0;
    while row < column.len() {
        let value = column.value(row);
        let mut end = row + 1;
        while end < column.len() && column.value(end) == value {
            end += 1;
        }
        add(value, (end - row) as u64);
        row = end;
    }
}

/// The Int64 column of offsets, by name.
pub fn offsets(batch: &RecordBatch) -> Option<&arrow::array::Int64Array> {
    batch
        .column_by_name(bourn_event::SystemColumn::Offset.name())
        .and_then(|c| c.as_primitive_opt::<Int64Type>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, TimestampMicrosecondArray};

    #[test]
    fn partition_functions_name_their_values() {
        use PartitionFunction::*;
        let check = |function, text: &str, expected: &str| {
            let micros = DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros();
            assert_eq!(bucket_name(bucket(micros, function), function), expected, "{function:?} {text}");
        };
        check(Day, "2013-01-01T00:00:00Z", "2013-01-01");
        check(Day, "2013-01-01T01:30:00+02:00", "2012-12-31");
        check(Day, "1969-12-31T23:59:59.999999Z", "1969-12-31");
        check(Hour, "2024-02-29T23:59:59Z", "2024-02-29-23");
        check(Month, "2024-12-31T23:59:59Z", "2024-12");
        check(Month, "1969-01-31T23:59:59Z", "1969-01");
        check(Year, "0999-06-01T00:00:00Z", "0999");
        check(Year, "2024-06-01T00:00:00Z", "2024");
    }

    #[test]
    fn rows_are_split_by_all_partition_columns_and_keep_their_order() {
        let day = DAY_MICROS;
        let columns: Vec<(&str, ArrayRef)> = vec![
            (
                "at",
                Arc::new(
                    TimestampMicrosecondArray::from(vec![Some(0), Some(day), None, Some(5), Some(day)])
                        .with_timezone("UTC"),
                ),
            ),
            ("who", Arc::new(StringArray::from(vec![Some("a"), Some("a"), Some("b"), Some("a"), Some("")]))),
            ("n", Arc::new(Int64Array::from(vec![0, 1, 2, 3, 4]))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let partitions = [Partition::parse("day(at)").unwrap(), Partition::parse("who").unwrap()];
        let file = Arc::new(batch.schema().project(&[0, 2]).unwrap());
        let got: Vec<_> = split(&batch, &partitions, &file)
            .unwrap()
            .into_iter()
            .map(|(key, rows)| (key, rows.column(1).as_primitive::<Int64Type>().values().to_vec()))
            .collect();
        let key = |day: Option<&str>, who: Option<&str>| vec![day.map(String::from), who.map(String::from)];
        let expected = vec![
            (key(Some("1970-01-01"), Some("a")), vec![0, 3]),
            (key(Some("1970-01-02"), Some("a")), vec![1]),
            (key(None, Some("b")), vec![2]),
            (key(Some("1970-01-02"), None), vec![4]),
        ];
        assert_eq!(got, expected);
    }

    #[test]
    fn folders_are_safe_names() {
        let columns = vec!["day".to_string(), "who".to_string()];
        assert_eq!(
            folder(&columns, &vec![Some("2013-01-01".into()), None]),
            "day=2013-01-01/who=__HIVE_DEFAULT_PARTITION__/"
        );
        assert_eq!(folder(&columns, &vec![Some("a/b c".into()), Some("é".into())]), "day=a_b_c/who=_/");
    }
}
