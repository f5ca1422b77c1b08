//! The seam between the catalog and whatever holds a table's rows.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use bourn_event::Micros;
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use std::sync::Arc;

/// A state of a table in the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// The table's version number.
    Version(i64),
    /// What the table held at this moment.
    Time(Micros),
}

/// A table of the catalog.
///
/// Errors are texts for the person who wrote the statement.
#[async_trait]
pub trait TableSource: Send + Sync {
    /// The columns as they are now; cheap, used to describe the table without opening it.
    fn schema(&self) -> SchemaRef;

    /// The rows as they are now. Called once per statement that names the table, so that each
    /// statement sees one snapshot, taken when it is planned.
    async fn provider(&self) -> Result<Arc<dyn TableProvider>, String>;

    /// The rows as they were at `point`.
    async fn at(&self, point: Point) -> Result<Arc<dyn TableProvider>, String> {
        let _ = point;
        Err("the table keeps no versions: time travel works on tables of the lake".to_owned())
    }
}

/// Makes a small table's rows when asked: system tables and lookups.
#[derive(Clone)]
pub struct BatchSource {
    schema: SchemaRef,
    rows: Arc<dyn Fn() -> Result<Vec<RecordBatch>, String> + Send + Sync>,
}

impl BatchSource {
    /// `rows` gives batches of `schema`; it runs on a thread that may block.
    pub fn new(
        schema: SchemaRef,
        rows: impl Fn() -> Result<Vec<RecordBatch>, String> + Send + Sync + 'static,
    ) -> Self {
        Self { schema, rows: Arc::new(rows) }
    }
}

#[async_trait]
impl TableSource for BatchSource {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    async fn provider(&self) -> Result<Arc<dyn TableProvider>, String> {
        let rows = self.rows.clone();
        let batches = tokio::task::spawn_blocking(move || rows()).await.map_err(|e| e.to_string())??;
        let table = MemTable::try_new(self.schema.clone(), vec![batches]).map_err(|e| e.to_string())?;
        Ok(Arc::new(table))
    }
}

/// A table that some provider already serves freshly, unchanged between statements.
pub struct ProviderSource(pub Arc<dyn TableProvider>);

#[async_trait]
impl TableSource for ProviderSource {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    async fn provider(&self) -> Result<Arc<dyn TableProvider>, String> {
        Ok(self.0.clone())
    }
}
