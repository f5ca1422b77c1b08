//! What all tests share: a small stream, and the check that every offset has one outcome.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bourn_event::{Decoded, Micros, Offset, Refined, Span};
use bourn_refine::{Lookups, Mode, Originals, Plan, PlanFault, RefineOptions, Refiner, Start};
use bytes::Bytes;
use std::path::Path;
use std::sync::Arc;

pub const SECOND: Micros = 1_000_000;

/// `id` text · `n` integer · `x` number · `at` time · `who` object of `id` text and `age` integer ·
/// `doc` JSON text · `_extra`.
pub fn columns() -> SchemaRef {
    let who = vec![Field::new("id", DataType::Utf8, true), Field::new("age", DataType::Int64, true)];
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Utf8, true),
        Field::new("n", DataType::Int64, true),
        Field::new("x", DataType::Float64, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        Field::new("who", DataType::Struct(who.into()), true),
        Field::new("doc", DataType::Utf8, true),
        Field::new("_extra", DataType::Utf8, true),
    ]))
}

pub fn settings(yaml: serde_json::Value) -> bourn_config::Stream {
    let mut value = serde_json::json!({"schema": "s.json"});
    for (key, setting) in yaml.as_object().expect("an object") {
        value[key] = setting.clone();
    }
    serde_json::from_value(value).expect("settings")
}

pub fn options(dir: &Path, yaml: serde_json::Value, sql: Option<&str>) -> RefineOptions {
    RefineOptions {
        stream: "s".into(),
        columns: columns(),
        schema_version: "v".into(),
        settings: settings(yaml),
        transform_sql: sql.map(str::to_owned),
        dedupe_dir: dir.join("dedupe"),
        partition: 0,
    }
}

pub fn plan(dir: &Path, yaml: serde_json::Value, sql: Option<&str>) -> Result<Plan, Vec<PlanFault>> {
    bourn_refine::plan(options(dir, yaml, sql), &Lookups::default())
}

pub fn live(offset: Offset) -> Start {
    Start { offset, event_time_max: None, mode: Mode::Live }
}

/// A batch of NDJSON events.
pub fn decoded(first_offset: Offset, received_at: Micros, events: &[String]) -> Decoded {
    let text = events.join("\n");
    let mut reader = arrow::json::ReaderBuilder::new(columns())
        .with_batch_size(events.len().max(1))
        .build(text.as_bytes())
        .expect("a reader");
    let columns =
        reader.next().map_or_else(|| RecordBatch::new_empty(columns()), |batch| batch.expect("rows"));
    assert_eq!(columns.num_rows(), events.len());
    let half = events.len() as u32 / 2;
    let spans = vec![Span::new("http", half), Span::new("files:0", events.len() as u32 - half)];
    Decoded { first_offset, received_at, spans: spans.into(), columns, offsets: None }
}

/// Gives `event <offset>`.
pub struct Numbered;

impl Originals for Numbered {
    fn original(&mut self, offset: Offset) -> Result<Bytes, String> {
        Ok(format!("event {offset}").into())
    }
}

/// Processes, and checks that each offset has exactly one outcome, in order (G2, G7).
pub fn check(refiner: &mut Refiner, batch: &Decoded) -> Refined {
    let refined = refiner.process(batch, &mut Numbered).expect("refined");
    assert_eq!((refined.first_offset, refined.end), (batch.first_offset, batch.end()));
    let rows: Vec<Offset> =
        refined.rows.column(0).as_primitive::<Int64Type>().values().iter().map(|v| *v as Offset).collect();
    let drops: Vec<Offset> = refined.drops.iter().map(|drop| drop.offset).collect();
    let rejects: Vec<Offset> =
        refined.rejects.iter().map(|reject| reject.offset.expect("an offset")).collect();
    for list in [&rows, &drops, &rejects] {
        assert!(list.windows(2).all(|pair| pair[0] < pair[1]), "in offset order: {list:?}");
    }
    for drop in &refined.drops {
        assert_eq!(&*drop.source, batch.source_of((drop.offset - batch.first_offset) as usize));
        assert!(drop.kept.is_none_or(|kept| kept < drop.offset));
    }
    for reject in &refined.rejects {
        assert_eq!(reject.original, format!("event {}", reject.offset.expect("an offset")).as_bytes());
        assert_eq!(reject.producer.as_ref().map(|p| p.sequence), reject.offset.map(|offset| offset + 1));
    }
    for (i, row) in rows.iter().enumerate() {
        let source = batch.source_of((row - batch.first_offset) as usize);
        assert_eq!(refined.rows.column(3).as_string::<i32>().value(i), source);
    }
    let mut all = [rows, drops, rejects].concat();
    all.sort_unstable();
    assert_eq!(all, (batch.first_offset..batch.end()).collect::<Vec<_>>(), "each offset once");
    refined
}

/// Rows as text, from column `from` on.
pub fn text(batch: &RecordBatch, from: usize) -> Vec<String> {
    let options = FormatOptions::default().with_null("null");
    let formatters: Vec<_> = batch.columns()[from..]
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options).expect("a printable type"))
        .collect();
    (0..batch.num_rows())
        .map(|row| formatters.iter().map(|f| f.value(row).to_string()).collect::<Vec<_>>().join("|"))
        .collect()
}

/// A refined batch as one line an offset.
pub fn story(refined: &Refined) -> Vec<String> {
    let mut lines: Vec<(Offset, String)> = Vec::new();
    let offsets = refined.rows.column(0).as_primitive::<Int64Type>();
    for (row, text) in text(&refined.rows, 4).into_iter().enumerate() {
        lines.push((offsets.value(row) as Offset, format!("row {text}")));
    }
    for drop in &refined.drops {
        let kept = drop.kept.map(|kept| format!(" of {kept}")).unwrap_or_default();
        lines.push((drop.offset, format!("{}{kept}", drop.outcome.name())));
    }
    for reject in &refined.rejects {
        lines.push((reject.offset.unwrap_or_default(), format!("reject {}", reject.fault.reason)));
    }
    lines.sort();
    lines.into_iter().map(|(offset, line)| format!("{offset}: {line}")).collect()
}

/// xorshift64.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
