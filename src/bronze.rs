//! Bronze: events typed and checked, before the stages. A view over the segments, unless the stream
//! asks for a table of its own.

use crate::definition::StreamDefinition;
use crate::stream::table_options;
use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use bourn_decode::EventSchema;
use bourn_event::{Clock, Decoded, Micros, Offset, Refined, Reject, Span, system_fields};
use bourn_lake::TableOptions;
use std::sync::Arc;

/// The system columns, then those of the schema.
pub fn schema(events: &EventSchema) -> SchemaRef {
    with_system_columns(events.arrow().fields().iter().map(|field| field.as_ref().clone()))
}

/// The system columns, then others.
pub fn with_system_columns(others: impl IntoIterator<Item = Field>) -> SchemaRef {
    let mut fields = system_fields();
    fields.extend(others);
    Arc::new(Schema::new(fields))
}

/// The rows of a decoded frame.
pub fn batch(schema: &SchemaRef, decoded: &Decoded) -> Result<RecordBatch, ArrowError> {
    let rows = decoded.columns.num_rows();
    let offsets = (0..rows).map(|row| decoded.offset_of(row) as i64).collect();
    let mut columns = system_columns(offsets, decoded.received_at, &decoded.spans);
    columns.extend(decoded.columns.columns().iter().cloned());
    RecordBatch::try_new(schema.clone(), columns)
}

/// The system columns of a frame's rows.
pub fn system_columns(offsets: Vec<i64>, received_at: Micros, spans: &[Span]) -> Vec<ArrayRef> {
    let rows = offsets.len();
    let sources =
        spans.iter().flat_map(|span| std::iter::repeat_n(span.source.as_str(), span.count as usize));
    vec![
        Arc::new(Int64Array::from(offsets)),
        Arc::new(Int32Array::from(vec![0; rows])),
        Arc::new(TimestampMicrosecondArray::from(vec![received_at; rows]).with_timezone("UTC")),
        Arc::new(StringArray::from_iter_values(sources.take(rows))),
    ]
}

/// What a frame becomes in the bronze table: all its rows but those today's schema refuses.
pub fn refined(
    schema: &SchemaRef,
    decoded: &Decoded,
    refused: Vec<Reject>,
    end: Offset,
) -> Result<Refined, ArrowError> {
    Ok(Refined {
        first_offset: decoded.first_offset,
        end,
        rows: batch(schema, decoded)?,
        drops: Vec::new(),
        rejects: refused,
        event_time_max: None,
    })
}

/// The table's name in the lake.
pub fn table_name(stream: &str) -> String {
    format!("bronze/{stream}")
}

/// The table, partitioned as the stream's own as far as it has the columns.
pub fn options(definition: &StreamDefinition, clock: &Arc<dyn Clock>) -> TableOptions {
    let schema = schema(&definition.schema);
    let mut options = table_options(definition, clock);
    options.name = table_name(&definition.name);
    options.partition_by.retain(|partition| schema.field_with_name(&partition.column).is_ok());
    options.schema = schema;
    options
}
