//! The query seam: SQL in, record batches out.

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use futures::stream::BoxStream;
use std::time::Duration;

/// What a caller may ask for beside the statement.
#[derive(Clone, Debug, Default)]
pub struct QueryOptions {
    /// Give up after this long; the configured limit if `None`.
    pub timeout: Option<Duration>,
    /// Stop after this many rows.
    pub limit: Option<usize>,
}

/// Why a statement gave no rows.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum QueryError {
    /// The statement does not parse, names what does not exist, or is not a query.
    #[error("{0}")]
    Invalid(String),
    #[error("the query took longer than {}", humantime(.0))]
    Timeout(Duration),
    #[error("the query needs more memory than it may use: {0}")]
    Memory(String),
    #[error("{0}")]
    Failed(String),
}

fn humantime(limit: &Duration) -> String {
    format!("{:.1} s", limit.as_secs_f64())
}

/// A running query. Dropping it cancels the query.
pub struct Rows {
    pub schema: SchemaRef,
    pub batches: BoxStream<'static, Result<RecordBatch, QueryError>>,
}

/// Answers SQL over the one catalog.
#[async_trait]
pub trait Query: Send + Sync {
    async fn query(&self, sql: &str, options: QueryOptions) -> Result<Rows, QueryError>;
}
