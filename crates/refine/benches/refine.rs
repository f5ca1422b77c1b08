//! Microseconds an event of dedupe, a lookup and a typical transform, on the click event's shape.

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::Schema;
use bourn_event::{Decoded, Offset, Span};
use bourn_refine::{Lookups, Mode, Originals, RefineOptions, Start};
use bytes::Bytes;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

const ROWS: u64 = 1000;

struct NoOriginals;

impl Originals for NoOriginals {
    fn original(&mut self, _: Offset) -> Result<Bytes, String> {
        Ok(Bytes::new())
    }
}

fn batch(first: u64) -> RecordBatch {
    let each = |f: &dyn Fn(u64) -> String| -> ArrayRef {
        Arc::new((first..first + ROWS).map(|n| Some(f(n))).collect::<StringArray>())
    };
    let at = (first..first + ROWS).map(|n| 1_700_000_000_000_000 + n as i64).collect::<Vec<_>>();
    RecordBatch::try_from_iter_with_nullable([
        ("event_id", each(&|n| format!("{:032x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))), true),
        ("occurred_at", Arc::new(TimestampMicrosecondArray::from(at).with_timezone("UTC")) as ArrayRef, true),
        ("user_id", Arc::new(Int64Array::from_iter_values((0..ROWS).map(|n| n as i64))) as ArrayRef, true),
        ("country", each(&|n| format!("C{}", n % 200)), true),
        ("sku", each(&|n| format!("SKU-{:06}", n % 10_000)), true),
        ("url", each(&|n| format!("https://example.org/products/{n}?ref=mail")), true),
        ("amount", Arc::new(Int64Array::from_iter_values((0..ROWS).map(|n| n as i64 * 7))) as ArrayRef, true),
        ("_extra", each(&|_| "{}".into()), true),
    ])
    .expect("a batch")
}

fn measure(
    name: &str,
    dir: &Path,
    yaml: serde_json::Value,
    sql: Option<&str>,
    lookups: &Lookups,
    batches: &[RecordBatch],
) {
    let mut settings = json!({"schema": "click.json"});
    for (key, value) in yaml.as_object().into_iter().flatten() {
        settings[key] = value.clone();
    }
    let options = RefineOptions {
        stream: "clicks".into(),
        columns: Arc::new(Schema::clone(&batches[0].schema())),
        schema_version: "bench".into(),
        settings: serde_json::from_value(settings).expect("settings"),
        transform_sql: sql.map(str::to_owned),
        dedupe_dir: dir.join("dedupe"),
        partition: 0,
    };
    let plan = bourn_refine::plan(options, lookups).expect("a plan");
    let start = Start { offset: 0, event_time_max: None, mode: Mode::Replay };
    let mut refiner = plan.refiner(start).expect("a refiner");
    let clock = Instant::now();
    for (i, columns) in batches.iter().enumerate() {
        let spans = vec![Span::new("http", ROWS as u32)].into();
        let first_offset = i as u64 * ROWS;
        let received_at = 1_700_000_100_000_000 + i as i64;
        let batch = Decoded { first_offset, received_at, spans, columns: columns.clone(), offsets: None };
        let refined = refiner.process(&batch, &mut NoOriginals).expect("refined");
        assert!(refined.rejects.is_empty());
        std::hint::black_box(refined);
    }
    let events = batches.len() as f64 * ROWS as f64;
    println!("{name:<24} {:.3} µs/event", clock.elapsed().as_secs_f64() * 1e6 / events);
}

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path();
    let products: String = (0..10_000).map(|n| format!("SKU-{n:06},category {},{n}\n", n % 50)).collect();
    std::fs::write(dir.join("products.csv"), format!("sku,category,unit_cost\n{products}")).expect("written");
    let lookup = serde_json::from_value(json!({"file": "products.csv", "key": "sku"})).expect("a lookup");
    let lookups = Lookups::open(&BTreeMap::from([("products".to_owned(), lookup)]), dir).expect("opened");
    let count = if cfg!(debug_assertions) { 20 } else { 1000 };
    let batches: Vec<RecordBatch> = (0..count).map(|i| batch(i * ROWS)).collect();
    let dedupe = json!({"key": "event_id", "window": "24h"});
    let time = json!({"field": "occurred_at"});
    let enrich = json!([{"lookup": {"table": "products", "on": "sku"}}]);
    let sql = "SELECT event_id, occurred_at, date_trunc('hour', occurred_at) AS hour, user_id, upper(country) AS \
               country, sku, amount / 100.0 AS price, amount > 100 AS large FROM events WHERE user_id >= 0";
    let run = |name, yaml, sql| measure(name, dir, yaml, sql, &lookups, &batches);
    run("nothing", json!({}), None);
    run("dedupe", json!({"dedupe": dedupe}), None);
    run("dedupe, spilling", json!({"dedupe": {"key": "event_id", "window": "24h", "memory": "4MiB"}}), None);
    run("time", json!({"event_time": time}), None);
    run("lookup", json!({"enrich": enrich}), None);
    run("transform", json!({}), Some(sql));
    run("all", json!({"dedupe": dedupe, "event_time": time, "enrich": enrich}), Some(sql));
}
