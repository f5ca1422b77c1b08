//! Tables as DataFusion sees them: a Delta state and the hot tail, cut at one offset.
//!
//! Filters, projection and limit go to the Delta scan, which skips partitions, files and row
//! groups by them; DataFusion filters again above, so pushing down is never the only check.
//! Without filters a count is answered from statistics.

use crate::LakeError;
use crate::handle::Handle;
use crate::shape::Shape;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::TableType;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::union::UnionExec;
use deltalake_core::delta_datafusion::{DeltaScanConfig, DeltaScanNext};
use deltalake_core::table::state::DeltaTableState;
use std::sync::Arc;

/// What a provider reads: taken once per scan, so that state and tail fit together.
pub(crate) trait Source: Send + Sync {
    fn cut(&self) -> (Arc<DeltaTableState>, Arc<Shape>, Vec<RecordBatch>);
    fn handle(&self) -> &Handle;
}

/// A state that stays as it is: time travel, and tables that nobody here writes.
pub(crate) struct Still {
    pub handle: Handle,
    pub state: Arc<DeltaTableState>,
    pub shape: Arc<Shape>,
}

impl Still {
    pub fn new(handle: Handle, state: DeltaTableState) -> Self {
        let shape = Shape::new(state.snapshot().arrow_schema(), Vec::new(), Vec::new());
        Self { handle, state: Arc::new(state), shape: Arc::new(shape) }
    }
}

impl Source for Still {
    fn cut(&self) -> (Arc<DeltaTableState>, Arc<Shape>, Vec<RecordBatch>) {
        (self.state.clone(), self.shape.clone(), Vec::new())
    }

    fn handle(&self) -> &Handle {
        &self.handle
    }
}

/// A table of the lake for one query.
pub struct LakeProvider {
    source: Arc<dyn Source>,
    schema: SchemaRef,
}

impl std::fmt::Debug for LakeProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LakeProvider").field("table", &self.source.handle().name).finish_non_exhaustive()
    }
}

impl LakeProvider {
    pub(crate) fn new(source: Arc<dyn Source>) -> Self {
        let schema = source.cut().1.table.clone();
        Self { source, schema }
    }

    pub(crate) async fn at_version(
        handle: &Handle,
        version: i64,
    ) -> Result<Arc<dyn TableProvider>, LakeError> {
        let state = handle.load(Some(version)).await.map_err(|e| match e {
            LakeError::Unavailable { problem, .. } => {
                LakeError::broken(&handle.name, format!("version {version}"), problem)
            }
            other => other,
        })?;
        if state.version() as i64 != version {
            let (table, oldest) = (handle.name.to_string(), state.version() as i64);
            return Err(LakeError::NoVersion { table, version, oldest });
        }
        Ok(Arc::new(Self::new(Arc::new(Still::new(handle.clone(), state)))))
    }

    async fn scan_state(
        &self,
        state: &DeltaTableState,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let handle = self.source.handle();
        let authority = &handle.url[..url::Position::BeforePath];
        let root = ObjectStoreUrl::parse(authority)?;
        if session.runtime_env().object_store(&root).is_err() {
            session.runtime_env().register_object_store(root.as_ref(), handle.root.clone());
        }
        let config = DeltaScanConfig {
            wrap_partition_values: false,
            schema_force_view_types: false,
            ..DeltaScanConfig::new_from_session(session)
        };
        let scan = DeltaScanNext::new(state.snapshot().clone(), config)?;
        scan.scan(session, projection, filters, limit).await
    }
}

#[async_trait]
impl TableProvider for LakeProvider {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (state, shape, tail) = self.source.cut();
        if shape.table.fields() != self.schema.fields() {
            let table = &self.source.handle().name;
            return Err(DataFusionError::Plan(format!(
                "the columns of {table} were changed just now: ask again"
            )));
        }
        let stored = self.scan_state(&state, session, projection, filters, limit).await?;
        if tail.is_empty() {
            return Ok(stored);
        }
        let tail = tail
            .iter()
            .map(|batch| shape.to_table(batch))
            .collect::<std::result::Result<Vec<_>, _>>()
            .map_err(|e| DataFusionError::ArrowError(Box::new(e), None))?;
        let hot = MemorySourceConfig::try_new_exec(&[tail], shape.table.clone(), projection.cloned())?;
        UnionExec::try_new(vec![stored, hot])
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }
}
