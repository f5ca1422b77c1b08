//! A stream's table as queries and the ledger see it: open in this process, or read from the lake.

use anyhow::Result;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use bourn_event::Offset;
use bourn_lake::{Commit, Committed, CompactionReport, Lake, LakeError, Recount, Table, TableReader};
use bourn_sql::{Point, TableSource};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use std::sync::Arc;

/// A table of the lake, for reading.
#[derive(Clone)]
pub enum Silver {
    /// Open for writing here: committed rows and the tail.
    Open(Arc<Table>),
    /// The committed rows.
    Stored { reader: Arc<TableReader>, committed: Committed },
    /// Nothing was committed yet.
    Absent(SchemaRef),
}

impl Silver {
    /// The table as it stands in the lake; `schema` is what it will have once it exists.
    pub async fn stored(lake: Option<&Lake>, name: &str, schema: SchemaRef) -> Result<Self> {
        let Some(lake) = lake else { return Ok(Self::Absent(schema)) };
        match lake.reader(name).await {
            Ok(reader) => {
                let committed = reader.committed().await?;
                Ok(Self::Stored { reader, committed })
            }
            Err(LakeError::NoTable { .. }) => Ok(Self::Absent(schema)),
            Err(error) => Err(error.into()),
        }
    }

    pub fn committed(&self) -> Committed {
        match self {
            Self::Open(table) => table.committed(),
            Self::Stored { committed, .. } => committed.clone(),
            Self::Absent(_) => Committed::default(),
        }
    }

    /// Counts the rows below `end` from the files.
    pub async fn recount(&self, end: Offset) -> Result<Recount> {
        match self {
            Self::Open(table) => Ok(table.recount_range(0..end).await?),
            Self::Stored { reader, .. } => Ok(reader.recount().await?),
            Self::Absent(_) => Ok(Recount::default()),
        }
    }

    pub async fn history(&self, limit: usize) -> Result<Vec<Commit>> {
        match self {
            Self::Open(table) => Ok(table.history(limit).await?),
            Self::Stored { reader, .. } => Ok(reader.history(limit).await?),
            Self::Absent(_) => Ok(Vec::new()),
        }
    }

    /// What this process's maintenance did lately.
    pub fn reports(&self) -> Vec<CompactionReport> {
        match self {
            Self::Open(table) => table.reports(),
            _ => Vec::new(),
        }
    }
}

#[async_trait]
impl TableSource for Silver {
    fn schema(&self) -> SchemaRef {
        match self {
            Self::Open(table) => table.schema(),
            Self::Stored { reader, .. } => reader.schema(),
            Self::Absent(schema) => schema.clone(),
        }
    }

    async fn provider(&self) -> Result<Arc<dyn TableProvider>, String> {
        match self {
            Self::Open(table) => Ok(table.provider()),
            Self::Stored { reader, .. } => Ok(reader.provider()),
            Self::Absent(schema) => {
                let empty = MemTable::try_new(schema.clone(), vec![Vec::new()]);
                Ok(Arc::new(empty.map_err(|error| error.to_string())?))
            }
        }
    }

    async fn at(&self, point: Point) -> Result<Arc<dyn TableProvider>, String> {
        let past = match (self, point) {
            (Self::Open(table), Point::Version(version)) => table.provider_at_version(version).await,
            (Self::Open(table), Point::Time(at)) => table.provider_at_time(at).await,
            (Self::Stored { reader, .. }, Point::Version(version)) => {
                reader.provider_at_version(version).await
            }
            (Self::Stored { reader, .. }, Point::Time(at)) => reader.provider_at_time(at).await,
            (Self::Absent(_), _) => return Err("the table does not exist yet".into()),
        };
        past.map_err(|error| error.to_string())
    }
}
