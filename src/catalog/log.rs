//! Tables that are views over the segments: `raw`, `bronze` and `rejects`.

use crate::bronze;
use crate::decoding::decode;
use crate::layout::{Layout, LogKind};
use crate::originals::lines;
use crate::rejects::{self, Held};
use crate::resolved::Gone;
use crate::stream::open_reader;
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use bourn_decode::EventSchema;
use bourn_event::{Delivery, SystemColumn};
use bourn_queue::Item;
use bourn_sql::{Batches, ScanRequest, ScanSource};
use std::sync::Arc;

/// Rejects of one record batch.
const REJECTS_A_BATCH: usize = 4096;

/// `raw.<stream>`: every event as it came.
pub fn raw(layout: &Layout, stream: &str) -> ScanSource {
    let schema = bronze::with_system_columns([Field::new("event", DataType::Utf8, false)]);
    frames(layout, stream, schema.clone(), move |delivery| {
        let payload = delivery.payload.unwrap_or_default();
        let events = lines(&payload);
        let offsets = (0..events.len() as u64).map(|row| (delivery.first_offset + row) as i64).collect();
        let mut columns = bronze::system_columns(offsets, delivery.received_at, &delivery.spans);
        let texts = events.iter().map(|event| String::from_utf8_lossy(event));
        columns.push(Arc::new(StringArray::from_iter_values(texts)));
        RecordBatch::try_new(schema.clone(), columns).map_err(|error| error.to_string())
    })
}

/// `bronze.<stream>`: every event typed and checked, before the stages.
pub fn bronze(layout: &Layout, stream: &str, events: &EventSchema) -> ScanSource {
    let schema = bronze::schema(events);
    let events = events.clone();
    frames(layout, stream, schema.clone(), move |delivery| {
        // Events that today's schema refuses have no columns; `raw` and `rejects` show them.
        let (decoded, _) = decode(&events, delivery).map_err(|error| format!("{error:#}"))?;
        bronze::batch(&schema, &decoded).map_err(|error| error.to_string())
    })
}

/// A table whose rows are the frames of the events' log, made by `rows`.
fn frames(
    layout: &Layout,
    stream: &str,
    schema: SchemaRef,
    rows: impl Fn(Delivery) -> Result<RecordBatch, String> + Clone + Send + Sync + 'static,
) -> ScanSource {
    let (layout, stream) = (layout.clone(), stream.to_string());
    ScanSource::new(schema, move |request: ScanRequest| {
        if !layout.log(&stream, LogKind::Events).exists() {
            return Ok(Box::new(std::iter::empty()) as Batches);
        }
        let reader = open_reader(&layout, &stream, LogKind::Events).map_err(|error| format!("{error:#}"))?;
        let from = request.offsets.start.max(reader.first_retained());
        let to = request.offsets.end.min(reader.end());
        let rows = rows.clone();
        let (received, projection) = (request.received_at, request.projection);
        let limit = request.limit.unwrap_or(usize::MAX);
        let mut given = 0;
        let batches = reader.frames(from, to).filter_map(move |item| match item {
            _ if given >= limit => None,
            Ok(Item::Events(delivery)) if !received.contains(&delivery.received_at) => None,
            Ok(Item::Events(delivery)) => {
                let batch = rows(delivery).and_then(|batch| project(&batch, projection.as_deref()));
                given += batch.as_ref().map_or(0, RecordBatch::num_rows);
                Some(batch)
            }
            // A hole has no rows; the ledger and `bourn fsck` name it.
            Ok(Item::Hole { .. }) => None,
            Err(error) => Some(Err(error.to_string())),
        });
        Ok(Box::new(batches) as Batches)
    })
}

fn project(batch: &RecordBatch, projection: Option<&[usize]>) -> Result<RecordBatch, String> {
    match projection {
        None => Ok(batch.clone()),
        Some(columns) => batch.project(columns).map_err(|error| error.to_string()),
    }
}

/// `rejects.<stream>`: the events that failed a stage and were neither put back nor purged.
pub fn rejects(layout: &Layout, stream: &str, gone: Arc<dyn Fn(&str) -> Gone + Send + Sync>) -> ScanSource {
    let schema = rejects_schema();
    let (layout, stream, columns) = (layout.clone(), stream.to_string(), schema.clone());
    ScanSource::new(schema, move |request: ScanRequest| {
        if !layout.log(&stream, LogKind::Rejects).exists() {
            return Ok(Box::new(std::iter::empty()) as Batches);
        }
        let (from, to) = (request.offsets.start, request.offsets.end);
        let mut held =
            rejects::read(&layout, &stream, gone(&stream), from, to).map_err(|error| format!("{error:#}"))?;
        let schema = columns.clone();
        let projection = request.projection;
        Ok(Box::new(std::iter::from_fn(move || {
            let chunk: Result<Vec<Held>, _> = held.by_ref().take(REJECTS_A_BATCH).collect();
            match chunk {
                Ok(chunk) if chunk.is_empty() => None,
                Ok(chunk) => Some(
                    rejects_batch(&schema, &chunk).and_then(|batch| project(&batch, projection.as_deref())),
                ),
                Err(error) => Some(Err(format!("{error:#}"))),
            }
        })) as Batches)
    })
}

fn rejects_schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new(SystemColumn::Offset.name(), DataType::Int64, false),
        Field::new(SystemColumn::ReceivedAt.name(), time, false),
        Field::new(SystemColumn::Source.name(), DataType::Utf8, false),
        text("reason"),
        text("pointer"),
        text("keyword"),
        text("message"),
        text("schema_version"),
        Field::new("stream_offset", DataType::Int64, true),
        text("original"),
        Field::new("original_len", DataType::UInt64, false),
    ]))
}

fn rejects_batch(schema: &SchemaRef, held: &[Held]) -> Result<RecordBatch, String> {
    let text = |of: &dyn Fn(&Held) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(held.iter().map(of)))
    };
    let numbers = held.iter().map(|held| held.offset as i64);
    let times: TimestampMicrosecondArray = held.iter().map(|held| Some(held.reject.received_at)).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(numbers)),
        Arc::new(times.with_timezone("UTC")),
        text(&|held| held.reject.source.clone()),
        text(&|held| held.reject.fault.reason.to_string()),
        text(&|held| held.reject.fault.pointer.clone()),
        text(&|held| held.reject.fault.keyword.clone()),
        text(&|held| held.reject.fault.message.clone()),
        text(&|held| held.reject.schema_version.clone()),
        Arc::new(held.iter().map(|held| held.reject.offset.map(|o| o as i64)).collect::<Int64Array>()),
        text(&|held| String::from_utf8_lossy(&held.reject.original).into_owned()),
        Arc::new(UInt64Array::from_iter_values(held.iter().map(|held| held.reject.original_len))),
    ];
    RecordBatch::try_new(schema.clone(), columns).map_err(|error| error.to_string())
}
