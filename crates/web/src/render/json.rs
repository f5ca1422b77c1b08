//! JSON and NDJSON.

use super::BatchWriter;
use super::text::json_options;
use arrow::array::{Array, RecordBatch, StructArray};
use arrow::datatypes::{DataType, Field};
use arrow::json::writer::make_encoder;
use std::sync::Arc;

pub(super) struct JsonWriter {
    array: bool,
    started: bool,
    out: Vec<u8>,
}

impl JsonWriter {
    pub(super) fn array() -> Self {
        Self { array: true, started: false, out: Vec::new() }
    }

    pub(super) fn lines() -> Self {
        Self { array: false, started: false, out: Vec::new() }
    }

    fn separate(&mut self) {
        if self.array {
            self.out.extend_from_slice(if self.started { b",\n" } else { b"[" });
        }
        self.started = true;
    }
}

impl BatchWriter for JsonWriter {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), String> {
        let rows = StructArray::from(batch.clone());
        let field = Arc::new(Field::new("row", DataType::Struct(batch.schema_ref().fields().clone()), false));
        let options = json_options();
        let mut encoder =
            make_encoder(&field, &rows as &dyn Array, &options).map_err(|error| error.to_string())?;
        for row in 0..batch.num_rows() {
            self.separate();
            encoder.encode(row, &mut self.out);
            if !self.array {
                self.out.push(b'\n');
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), String> {
        if self.array {
            self.out.extend_from_slice(if self.started { b"]\n" } else { b"[]\n" });
        }
        Ok(())
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }
}
