//! CSV as in RFC 4180, with `\n` between lines and nulls that differ from empty texts.

use super::BatchWriter;
use super::text::{Cells, json_options};
use arrow::array::RecordBatch;
use arrow::datatypes::Schema;

pub(super) struct CsvWriter {
    out: Vec<u8>,
}

impl CsvWriter {
    pub(super) fn new(schema: &Schema) -> Self {
        let mut out = Vec::new();
        for (index, field) in schema.fields().iter().enumerate() {
            separate(index, &mut out);
            quote(field.name(), &mut out);
        }
        out.push(b'\n');
        Self { out }
    }
}

impl BatchWriter for CsvWriter {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), String> {
        let options = json_options();
        let mut cells = Cells::of(batch, &options)?;
        let mut text = String::new();
        for row in 0..batch.num_rows() {
            for column in 0..batch.num_columns() {
                separate(column, &mut self.out);
                if cells.read(column, row, &mut text)? {
                    quote(&text, &mut self.out);
                }
            }
            self.out.push(b'\n');
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), String> {
        Ok(())
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }
}

fn separate(column: usize, out: &mut Vec<u8>) {
    if column > 0 {
        out.push(b',');
    }
}

fn quote(text: &str, out: &mut Vec<u8>) {
    let plain = !text.is_empty() && !text.bytes().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r'));
    if plain {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    for byte in text.bytes() {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}
