//! A small schema: `{"id": integer, required; "price": number; "ok": boolean; "name": string}`,
//! all but `id` nullable.

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef};
use bourn_event::{Fault, RejectReason};
use bourn_ingest::{Decode, Schema};
use serde_json::Value;
use std::sync::Arc;

pub struct FakeSchema;

struct FakeDecoder(Vec<i64>);

impl Schema for FakeSchema {
    fn arrow(&self) -> SchemaRef {
        Arc::new(ArrowSchema::new(vec![
            Field::new("id", DataType::Int64, true),
            Field::new("price", DataType::Float64, true),
            Field::new("ok", DataType::Boolean, true),
            Field::new("name", DataType::Utf8, true),
        ]))
    }

    fn version(&self) -> &str {
        "v1"
    }

    fn decoder(&self) -> Box<dyn Decode> {
        Box::new(FakeDecoder(Vec::new()))
    }
}

fn check(event: &[u8]) -> Result<i64, Fault> {
    let value: Value =
        serde_json::from_slice(event).map_err(|error| Fault::new(RejectReason::Parse, error.to_string()))?;
    let Value::Object(fields) = value else {
        return Err(Fault::new(RejectReason::Parse, "not an object"));
    };
    let of_type = |name: &str, ok: fn(&Value) -> bool| match fields.get(name) {
        Some(value) if !ok(value) => {
            Err(Fault::new(RejectReason::Schema, "wrong type").at(format!("/{name}"), "type"))
        }
        _ => Ok(()),
    };
    of_type("id", Value::is_i64)?;
    of_type("price", |value| value.is_number() || value.is_null())?;
    of_type("ok", |value| value.is_boolean() || value.is_null())?;
    of_type("name", |value| value.is_string() || value.is_null())?;
    let id = fields.get("id").and_then(Value::as_i64);
    id.ok_or_else(|| Fault::new(RejectReason::Schema, "id is missing").at("", "required"))
}

impl Decode for FakeDecoder {
    fn push(&mut self, event: &[u8]) -> Result<(), Box<Fault>> {
        self.0.push(check(event).map_err(Box::new)?);
        Ok(())
    }

    fn rows(&self) -> usize {
        self.0.len()
    }

    fn finish(&mut self) -> RecordBatch {
        let ids = Int64Array::from(std::mem::take(&mut self.0));
        let schema = ArrowSchema::new(vec![Field::new("id", DataType::Int64, true)]);
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(ids)]).expect("one column")
    }
}
