//! Tables for the tests.

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray,
    TimestampMicrosecondArray,
};
use arrow::util::pretty::pretty_format_batches;
use async_trait::async_trait;
use bourn_event::{Query, QueryError, QueryOptions};
use bourn_sql::{BatchSource, Engine, EngineOptions, Point, ScanRequest, ScanSource, TableSource};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use futures::TryStreamExt;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Five departures.
pub fn flights() -> RecordBatch {
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("carrier", Arc::new(StringArray::from(vec!["UA", "UA", "AA", "B6", "DL"])), false),
        ("flight", Arc::new(Int64Array::from(vec![1545, 1714, 1141, 725, 461])), false),
        (
            "dep_delay",
            Arc::new(Float64Array::from(vec![Some(2.0), Some(4.0), None, Some(-1.0), Some(-6.0)])),
            true,
        ),
        ("cancelled", Arc::new(BooleanArray::from(vec![false, false, true, false, false])), false),
        ("_extra", Arc::new(StringArray::from(vec![None, Some(r#"{"gate":"B7"}"#), None, None, None])), true),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).expect("columns of one length")
}

fn airlines() -> RecordBatch {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("code", Arc::new(StringArray::from(vec!["UA", "AA", "DL"]))),
        ("name", Arc::new(StringArray::from(vec!["United", "American", "Delta"]))),
    ];
    RecordBatch::try_from_iter(columns).expect("columns of one length")
}

/// A table with versions: version `n` has `n` rows, and was made `n` seconds after 1970.
struct Versioned;

impl Versioned {
    fn rows(count: i64) -> Result<Arc<dyn TableProvider>, String> {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..count));
        let batch = RecordBatch::try_from_iter([("n", column)]).map_err(|e| e.to_string())?;
        let table = MemTable::try_new(batch.schema(), vec![vec![batch]]).map_err(|e| e.to_string())?;
        Ok(Arc::new(table))
    }
}

#[async_trait]
impl TableSource for Versioned {
    fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]))
    }

    async fn provider(&self) -> Result<Arc<dyn TableProvider>, String> {
        Self::rows(9)
    }

    async fn at(&self, point: Point) -> Result<Arc<dyn TableProvider>, String> {
        match point {
            Point::Version(version @ 0..=9) => Self::rows(version),
            Point::Version(version) => Err(format!("there is no version {version}; the latest is 9")),
            Point::Time(micros) => Self::rows(micros / 1_000_000),
        }
    }
}

/// What the scan of `raw.flights` was asked for, and how far it got.
#[derive(Default)]
pub struct Seen {
    pub requests: Mutex<Vec<ScanRequest>>,
    pub batches: AtomicUsize,
    pub dropped: AtomicUsize,
}

struct Endless {
    seen: Arc<Seen>,
    schema: SchemaRef,
    next: u64,
    end: u64,
}

/// Rows in a batch of `raw.flights`.
pub const BATCH_ROWS: u64 = 1000;

impl Iterator for Endless {
    type Item = Result<RecordBatch, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.end {
            return None;
        }
        self.seen.batches.fetch_add(1, Ordering::SeqCst);
        let rows = self.next..(self.next + BATCH_ROWS).min(self.end);
        self.next = rows.end;
        let columns = self.schema.fields().iter().map(|field| -> ArrayRef {
            let values = rows.clone().map(|offset| offset as i64);
            match field.name().as_str() {
                "_received_at" => {
                    Arc::new(TimestampMicrosecondArray::from_iter_values(values).with_timezone("UTC"))
                }
                _ => Arc::new(Int64Array::from_iter_values(values)),
            }
        });
        // A count needs no column, but the number of rows.
        let options = RecordBatchOptions::new().with_row_count(Some((rows.end - rows.start) as usize));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns.collect(), &options);
        Some(batch.map_err(|e| e.to_string()))
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        self.seen.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

fn raw(seen: Arc<Seen>) -> ScanSource {
    let schema: SchemaRef = Arc::new(Schema::new(vec![
        Field::new("_offset", DataType::Int64, false),
        Field::new("_received_at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
        Field::new("value", DataType::Int64, false),
    ]));
    ScanSource::new(schema.clone(), move |request: ScanRequest| {
        let (next, end) = (request.offsets.start, request.offsets.end);
        let projected = match &request.projection {
            Some(columns) => Arc::new(schema.project(columns).map_err(|e| e.to_string())?),
            None => schema.clone(),
        };
        seen.requests.lock().push(request);
        Ok(Box::new(Endless { seen: seen.clone(), schema: projected, next, end }))
    })
}

/// An engine with `silver.flights`, `lookups.airlines`, the versioned `silver.growing`, the
/// broken `silver.broken` and the endless `raw.flights`.
pub fn engine(options: EngineOptions) -> (Arc<Engine>, Arc<Seen>) {
    let engine = Engine::new(options).expect("options are good");
    let seen = Arc::new(Seen::default());
    let table = |batch: RecordBatch| -> Arc<dyn TableSource> {
        let schema = batch.schema();
        Arc::new(BatchSource::new(schema, move || Ok(vec![batch.clone()])))
    };
    engine.register("silver", "flights", table(flights()));
    engine.register("lookups", "airlines", table(airlines()));
    engine.register("silver", "growing", Arc::new(Versioned));
    let broken = BatchSource::new(flights().schema(), || Err("part-0.parquet is missing".to_owned()));
    engine.register("silver", "broken", Arc::new(broken));
    engine.register("raw", "flights", Arc::new(raw(seen.clone())));
    (engine, seen)
}

/// The answer as a drawn table, or the error.
pub async fn ask(engine: &Engine, sql: &str, options: QueryOptions) -> Result<String, QueryError> {
    let rows = engine.query(sql, options).await?;
    let batches: Vec<RecordBatch> = rows.batches.try_collect().await?;
    Ok(pretty_format_batches(&batches).expect("batches of one schema").to_string())
}
