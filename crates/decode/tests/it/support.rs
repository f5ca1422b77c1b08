//! What the tests share: verdicts, and record batches read back as JSON.

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use bourn_decode::{EventSchema, Options};
use bourn_event::{Fault, RejectReason};
use serde_json::{Map, Value, json};

pub fn compile(schema: &Value) -> EventSchema {
    EventSchema::compile(schema, Options::default()).unwrap_or_else(|faults| panic!("{schema}: {faults:?}"))
}

/// Pushes one event into a decoder of its own.
pub fn push(schema: &EventSchema, event: &[u8]) -> Result<RecordBatch, Fault> {
    let mut decoder = schema.decoder();
    decoder.push(event).map_err(|fault| *fault)?;
    Ok(decoder.finish())
}

/// Whether the schema takes the event; a `type` fault says that it does and only the column refuses.
/// `None` where the event is no event at all.
pub fn verdict(result: &Result<RecordBatch, Fault>) -> Option<bool> {
    match result {
        Ok(_) => Some(true),
        Err(fault) => match fault.reason {
            RejectReason::Type => Some(true),
            RejectReason::Schema => Some(false),
            _ => None,
        },
    }
}

/// Row `row` as JSON: nulls are left out, JSON text stays text.
pub fn row(batch: &RecordBatch, row: usize) -> Value {
    let schema = batch.schema();
    let columns = schema.fields().iter().zip(batch.columns());
    let members = columns.filter(|(_, column)| column.is_valid(row));
    Value::Object(members.map(|(field, column)| (field.name().clone(), cell(column, row))).collect())
}

pub fn cell(column: &dyn Array, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    match column.data_type() {
        DataType::Boolean => json!(column.as_boolean().value(row)),
        DataType::Int64 => json!(column.as_primitive::<Int64Type>().value(row)),
        DataType::Float64 => json!(column.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(..) => json!(column.as_primitive::<Decimal128Type>().value(row).to_string()),
        DataType::Timestamp(..) => json!(column.as_primitive::<TimestampMicrosecondType>().value(row)),
        DataType::Date32 => json!(column.as_primitive::<Date32Type>().value(row)),
        DataType::Utf8 => json!(column.as_string::<i32>().value(row)),
        DataType::Struct(fields) => {
            let columns = fields.iter().zip(column.as_struct().columns());
            let members = columns.filter(|(_, column)| column.is_valid(row));
            let members: Map<_, _> =
                members.map(|(f, column)| (f.name().clone(), cell(column, row))).collect();
            Value::Object(members)
        }
        DataType::List(_) => {
            let items = column.as_list::<i32>().value(row);
            (0..items.len()).map(|item| cell(&items, item)).collect()
        }
        other => panic!("no column has type {other}"),
    }
}
