//! `system.*`: what the pipeline says of itself, as tables.

use crate::definition::Definition;
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use bourn_sql::{BatchSource, Engine};
use serde_json::{Value, json};
use std::sync::Arc;

/// Rows as JSON objects, by table. Asked on every query.
pub trait SystemFacts: Send + Sync {
    fn streams(&self) -> Result<Vec<Value>, String>;
    fn segments(&self) -> Result<Vec<Value>, String>;
    fn consumers(&self) -> Result<Vec<Value>, String>;
    fn commits(&self) -> Result<Vec<Value>, String>;
    fn compactions(&self) -> Result<Vec<Value>, String>;
}

pub fn text(name: &str) -> Field {
    Field::new(name, DataType::Utf8, true)
}

pub fn number(name: &str) -> Field {
    Field::new(name, DataType::Int64, true)
}

pub fn time(name: &str) -> Field {
    Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true)
}

pub fn register(engine: &Arc<Engine>, definition: &Definition, facts: &Arc<dyn SystemFacts>) {
    let counts = ["received", "stored", "duplicate", "rejected", "filtered", "late", "in_flight"];
    let mut streams = vec![text("stream")];
    streams.extend(counts.map(number));
    streams.extend(["log_end", "committed", "first_retained", "log_bytes", "table_version"].map(number));
    streams.extend([text("schema_version"), time("event_time_max"), text("error")]);
    table(engine, facts, "streams", streams, |facts| facts.streams());
    let segments = vec![
        text("stream"),
        text("log"),
        text("path"),
        number("first_offset"),
        number("end_offset"),
        number("bytes"),
        Field::new("sealed", DataType::Boolean, true),
        time("created_at"),
        time("received_last"),
    ];
    table(engine, facts, "segments", segments, |facts| facts.segments());
    let consumers = vec![text("stream"), text("consumer"), number("offset"), number("behind")];
    table(engine, facts, "consumers", consumers, |facts| facts.consumers());
    let commits = vec![
        text("stream"),
        number("version"),
        time("committed_at"),
        text("operation"),
        number("rows_added"),
        number("bytes_added"),
        number("files_added"),
        number("files_removed"),
    ];
    table(engine, facts, "commits", commits, |facts| facts.commits());
    let compactions = vec![
        text("stream"),
        time("begun_at"),
        number("took_ms"),
        number("files_before"),
        number("files_after"),
        number("bytes_before"),
        number("bytes_after"),
        number("expired_files"),
        number("vacuumed_files"),
        number("checkpoint_version"),
        text("error"),
    ];
    table(engine, facts, "compactions", compactions, |facts| facts.compactions());
    register_configuration(engine, definition);
}

fn table(
    engine: &Arc<Engine>,
    facts: &Arc<dyn SystemFacts>,
    name: &str,
    fields: Vec<Field>,
    rows: fn(&dyn SystemFacts) -> Result<Vec<Value>, String>,
) {
    let facts = facts.clone();
    register_rows(engine, name, fields, move || rows(&*facts));
}

/// A table of `system` whose rows are asked for on every query.
pub fn register_rows(
    engine: &Arc<Engine>,
    name: &str,
    fields: Vec<Field>,
    rows: impl Fn() -> Result<Vec<Value>, String> + Send + Sync + 'static,
) {
    let schema = Arc::new(Schema::new(fields));
    let columns = schema.clone();
    let source = BatchSource::new(schema, move || batches(&columns, rows()?));
    engine.register("system", name, Arc::new(source));
}

/// `system.configuration`: each key's value in force; secrets are not shown.
fn register_configuration(engine: &Arc<Engine>, definition: &Definition) {
    let mut rows = Vec::new();
    flatten("", &definition.loaded.shown(), &mut rows);
    let schema = Arc::new(Schema::new(vec![text("key"), text("value")]));
    let columns = schema.clone();
    let source = BatchSource::new(schema, move || batches(&columns, rows.clone()));
    engine.register("system", "configuration", Arc::new(source));
}

fn flatten(path: &str, value: &Value, rows: &mut Vec<Value>) {
    let below = |key: &str| if path.is_empty() { key.to_string() } else { format!("{path}.{key}") };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| flatten(&below(key), value, rows)),
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, value)| flatten(&format!("{path}[{index}]"), value, rows));
        }
        _ => {
            let is_secret = path.starts_with("storage.options.");
            let shown = match value {
                Value::Null => Value::Null,
                _ if is_secret => json!("(hidden)"),
                Value::String(text) => json!(text),
                other => json!(other.to_string()),
            };
            rows.push(json!({"key": path, "value": shown}));
        }
    }
}

fn batches(schema: &SchemaRef, rows: Vec<Value>) -> Result<Vec<RecordBatch>, String> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let fail = |error: arrow::error::ArrowError| error.to_string();
    let mut decoder = arrow::json::ReaderBuilder::new(schema.clone())
        .with_batch_size(rows.len())
        .build_decoder()
        .map_err(fail)?;
    decoder.serialize(&rows).map_err(fail)?;
    Ok(decoder.flush().map_err(fail)?.into_iter().collect())
}
