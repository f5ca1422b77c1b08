//! Bringing rows into a table's columns: by name, cast where a type differs, null where a column
//! is missing, and into `_extra` where the table has no column for them. Pure.

use arrow::array::{
    Array, ArrayRef, AsArray, ListArray, RecordBatch, StringArray, StructArray, new_null_array,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Fields, Schema, SchemaRef};
use arrow::error::ArrowError;
use bourn_event::SystemColumn;
use std::sync::Arc;

/// Rows of `batch` in the columns of `target`. Columns named in `frozen` are added to `_extra`;
/// other columns that `target` lacks are left out.
pub fn conform(
    batch: &RecordBatch,
    target: &SchemaRef,
    frozen: &[String],
) -> Result<RecordBatch, ArrowError> {
    if Arc::ptr_eq(batch.schema_ref(), target) {
        return Ok(batch.clone());
    }
    let extra = extra_with(batch, frozen)?;
    let columns = target
        .fields()
        .iter()
        .map(|field| {
            let given = match &extra {
                Some(extra) if field.name() == SystemColumn::Extra.name() => Some(extra),
                _ => batch.column_by_name(field.name()),
            };
            match given {
                Some(array) => conform_array(array, field.data_type()),
                None => Ok(new_null_array(field.data_type(), batch.num_rows())),
            }
        })
        .collect::<Result<Vec<_>, _>>()?;
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(target.clone(), columns, &options)
}

/// A cast that loses a value is an error, never a silent null; whole numbers must be exact in a double.
fn conform_array(array: &ArrayRef, target: &DataType) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == target {
        return Ok(array.clone());
    }
    match (array.data_type(), target) {
        (DataType::Struct(_), DataType::Struct(fields)) => conform_struct(array.as_struct(), fields),
        (DataType::List(_), DataType::List(element)) => {
            let list = array.as_list::<i32>();
            let values = conform_array(list.values(), element.data_type())?;
            let list =
                ListArray::try_new(element.clone(), list.offsets().clone(), values, list.nulls().cloned())?;
            Ok(Arc::new(list))
        }
        (DataType::Int64, DataType::Float64) => {
            let wide = cast(array, target)?;
            if cast(&wide, &DataType::Int64)?.to_data() != array.to_data() {
                return Err(ArrowError::CastError("a whole number beyond 2^53 has no equal double".into()));
            }
            Ok(wide)
        }
        _ => cast(array, target),
    }
}

fn cast(array: &ArrayRef, target: &DataType) -> Result<ArrayRef, ArrowError> {
    cast_with_options(array, target, &CastOptions { safe: false, ..CastOptions::default() })
}

fn conform_struct(array: &StructArray, fields: &Fields) -> Result<ArrayRef, ArrowError> {
    let columns = fields
        .iter()
        .map(|field| match array.column_by_name(field.name()) {
            Some(column) => conform_array(column, field.data_type()),
            None => Ok(new_null_array(field.data_type(), array.len())),
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Arc::new(StructArray::try_new_with_length(
        fields.clone(),
        columns,
        array.nulls().cloned(),
        array.len(),
    )?))
}

/// `_extra` with the values of `frozen` columns added to each row's object; `None` if there are none.
fn extra_with(batch: &RecordBatch, frozen: &[String]) -> Result<Option<ArrayRef>, ArrowError> {
    let present: Vec<usize> = frozen.iter().filter_map(|name| batch.schema().index_of(name).ok()).collect();
    if present.is_empty() || batch.num_rows() == 0 {
        return Ok(None);
    }
    let lines = json_lines(&batch.project(&present)?)?;
    let old = match batch.column_by_name(SystemColumn::Extra.name()) {
        Some(column) => Some(cast(column, &DataType::Utf8)?),
        None => None,
    };
    let old = old.as_ref().map(|column| column.as_string::<i32>());
    let merged = lines.iter().enumerate().map(|(row, added)| {
        let kept = old.filter(|column| column.is_valid(row)).map(|column| column.value(row));
        merge_objects(kept, added)
    });
    Ok(Some(Arc::new(StringArray::from_iter(merged))))
}

fn json_lines(columns: &RecordBatch) -> Result<Vec<String>, ArrowError> {
    let mut writer = arrow::json::LineDelimitedWriter::new(Vec::new());
    writer.write(columns)?;
    writer.finish()?;
    let text = String::from_utf8(writer.into_inner()).map_err(|e| ArrowError::JsonError(e.to_string()))?;
    Ok(text.lines().map(str::to_string).collect())
}

/// Two JSON objects as one; `{}` counts as nothing.
fn merge_objects(kept: Option<&str>, added: &str) -> Option<String> {
    let inside = |object: &str| {
        object.trim().strip_prefix('{').and_then(|o| o.strip_suffix('}')).map(|o| o.trim().to_string())
    };
    let parts: Vec<String> =
        [kept.and_then(inside), inside(added)].into_iter().flatten().filter(|p| !p.is_empty()).collect();
    (!parts.is_empty()).then(|| format!("{{{}}}", parts.join(",")))
}

/// The table's columns that are in its files: all but the partition columns.
pub fn file_schema(table: &Schema, partition_columns: &[String]) -> SchemaRef {
    let fields: Vec<_> =
        table.fields().iter().filter(|f| !partition_columns.contains(f.name())).cloned().collect();
    Arc::new(Schema::new(fields))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float64Array, Int64Array};
    use arrow::datatypes::Field;

    #[test]
    fn frozen_columns_go_to_extra_beside_what_is_there() {
        let check = |kept: Option<&str>, added: &str, expected: Option<&str>| {
            assert_eq!(merge_objects(kept, added).as_deref(), expected, "{kept:?} + {added}");
        };
        check(None, "{}", None);
        check(None, "{\"a\":1}", Some("{\"a\":1}"));
        check(Some("{\"b\":2}"), "{\"a\":1}", Some("{\"b\":2,\"a\":1}"));
        check(Some("{\"b\":2}"), "{}", Some("{\"b\":2}"));

        let columns: Vec<(&str, ArrayRef)> = vec![
            ("a", Arc::new(Int64Array::from(vec![Some(1), None]))),
            ("_extra", Arc::new(StringArray::from(vec![Some("{\"x\":true}"), None]))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let target: SchemaRef = Arc::new(Schema::new(vec![Field::new("_extra", DataType::Utf8, true)]));
        let got = conform(&batch, &target, &["a".into()]).unwrap();
        let extra = got.column(0).as_string::<i32>();
        assert_eq!(extra.value(0), "{\"x\":true,\"a\":1}");
        assert!(extra.is_null(1));
    }

    #[test]
    fn a_value_that_would_be_lost_is_an_error() {
        let big: ArrayRef = Arc::new(Int64Array::from(vec![(1 << 53) + 1]));
        assert!(conform_array(&big, &DataType::Float64).is_err());
        let half: ArrayRef = Arc::new(Float64Array::from(vec![1e300]));
        assert!(conform_array(&half, &DataType::Int64).is_err());
    }
}
