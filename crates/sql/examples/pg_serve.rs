//! Serves a small `silver.flights` over the Postgres wire: something to point drivers at.
//!
//! `cargo run -p bourn-sql --example pg_serve [-- HOST:PORT [PASSWORD]]` prints `ready pg=HOST:PORT`.

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use bourn_sql::{BatchSource, Engine, EngineOptions, PgOptions, ScanRequest, ScanSource};
use std::sync::Arc;

fn flights() -> RecordBatch {
    let time = TimestampMicrosecondArray::from(vec![1_357_034_400_000_000; 5]).with_timezone("UTC");
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("_offset", Arc::new(Int64Array::from_iter_values(0..5)), false),
        ("_received_at", Arc::new(time.clone()), false),
        ("carrier", Arc::new(StringArray::from(vec!["UA", "UA", "AA", "B6", "DL"])), false),
        ("flight", Arc::new(Int32Array::from(vec![1545, 1714, 1141, 725, 461])), false),
        (
            "dep_delay",
            Arc::new(Float64Array::from(vec![Some(2.0), Some(4.0), None, Some(-1.0), Some(-6.0)])),
            true,
        ),
        ("cancelled", Arc::new(BooleanArray::from(vec![false, false, true, false, false])), false),
        ("day", Arc::new(Date32Array::from(vec![15_706; 5])), true),
        ("scheduled_at", Arc::new(time), true),
        (
            "_extra",
            Arc::new(StringArray::from(vec![None, Some("{\"gate\":\"B7\"}"), None, None, None])),
            true,
        ),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).expect("columns of one length")
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let listen = arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let password = arguments.next();
    let engine = Engine::new(EngineOptions::default())?;
    let batch = flights();
    let rows = batch.clone();
    let source = BatchSource::new(batch.schema(), move || Ok(vec![rows.clone()]));
    engine.register("silver", "flights", Arc::new(source));
    let schema = batch.schema();
    let scan = ScanSource::new(schema, move |request: ScanRequest| {
        let batch = match &request.projection {
            Some(columns) => batch.project(columns).map_err(|e| e.to_string())?,
            None => batch.clone(),
        };
        Ok(Box::new(std::iter::once(Ok(batch))))
    });
    engine.register("raw", "flights", Arc::new(scan));
    let server = engine.postgres(PgOptions { listen, password, ..PgOptions::default() }).await?;
    println!("ready pg={}", server.address());
    tokio::signal::ctrl_c().await?;
    server.shutdown().await;
    Ok(())
}
