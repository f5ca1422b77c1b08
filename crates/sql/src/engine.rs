//! The query engine: one session over the catalog, with a budget of memory, time and threads.

use crate::catalog::{CATALOG, Catalog, Listing};
use crate::error::{SqlError, explain};
use crate::source::TableSource;
use crate::{functions, statement, travel};
use arrow::array::RecordBatch;
use async_trait::async_trait;
use bourn_event::{Query, QueryError, QueryOptions, Rows};
use datafusion::catalog::CatalogProvider;
use datafusion::common::config::Dialect;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use datafusion::logical_expr::{LogicalPlan, ScalarUDF};
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext};
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::context::EmptyContextProvider;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::{
    PgCatalogSchemaProvider, PgCatalogStaticTables, setup_pg_catalog,
};
use futures::{StreamExt, stream};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// The zone in which a table without one is looked for.
pub const DEFAULT_ZONE: &str = "silver";

/// Zones that are there before they have a table.
const ZONES: [&str; 7] = ["bronze", "gold", "lookups", "raw", "rejects", "silver", "system"];

/// How many of the hungriest operators an error about memory names.
const CONSUMERS_NAMED: NonZeroUsize = NonZeroUsize::new(3).unwrap();

/// The engine's budget.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// What all running queries may hold together before they spill or fail.
    pub memory_bytes: usize,
    /// Limit of a query that asks for none; nobody may ask for more.
    pub timeout: Duration,
    /// Where queries spill what does not fit into memory; `None`: they fail instead.
    pub spill_dir: Option<PathBuf>,
    /// What all running queries may spill together.
    pub spill_bytes_max: u64,
    /// Partitions a query is split into; at least 1.
    pub threads: usize,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            memory_bytes: 256 << 20,
            timeout: Duration::from_secs(60),
            spill_dir: None,
            spill_bytes_max: 10 << 30,
            threads: 1,
        }
    }
}

/// Answers SQL over one catalog. Shared by every listener.
pub struct Engine {
    context: Arc<SessionContext>,
    catalog: Arc<Catalog>,
    timeout: Duration,
}

impl Engine {
    /// An engine over an empty catalog.
    pub fn new(options: EngineOptions) -> Result<Arc<Self>, SqlError> {
        let catalog = Arc::new(Catalog::default());
        ZONES.iter().for_each(|zone| drop(catalog.add_zone(zone)));
        let context = session(&options, catalog.clone())?;
        setup_pg_catalog(&context, CATALOG, EmptyContextProvider).map_err(|e| SqlError::from(*e))?;
        let tables = Arc::new(PgCatalogStaticTables::try_new()?);
        let pg_catalog =
            PgCatalogSchemaProvider::try_new(Listing(catalog.clone()), tables.clone(), EmptyContextProvider)?;
        catalog.register_schema("pg_catalog", Arc::new(pg_catalog))?;
        functions::register(&context, &tables);
        Ok(Arc::new(Self { context: Arc::new(context), catalog, timeout: options.timeout }))
    }

    /// Adds or replaces the table `zone.name`. Statements planned from now on see it.
    pub fn register(&self, zone: &str, name: &str, source: Arc<dyn TableSource>) {
        self.catalog.register(zone, name, source);
    }

    /// Adds a function, or replaces the one of its name.
    pub fn register_function(&self, function: ScalarUDF) {
        self.context.register_udf(function);
    }

    /// Takes the table out of the catalog; running statements keep what they planned with.
    pub fn deregister(&self, zone: &str, name: &str) {
        self.catalog.deregister(zone, name);
    }

    /// `zone.name` of every table, in order.
    pub fn tables(&self) -> Vec<String> {
        self.catalog.table_paths()
    }

    pub(crate) fn context(&self) -> &Arc<SessionContext> {
        &self.context
    }

    pub(crate) fn has_zone(&self, zone: &str) -> bool {
        self.catalog.has_zone(zone)
    }

    /// The limit for a query that asks for `wanted`.
    pub(crate) fn timeout(&self, wanted: Option<Duration>) -> Duration {
        wanted.map_or(self.timeout, |wanted| wanted.min(self.timeout))
    }

    /// Plans a statement against fresh snapshots; unqualified tables are looked for in `zone`.
    pub(crate) async fn plan(&self, statement: Statement, zone: &str) -> Result<Planned, QueryError> {
        statement::check(&statement)?;
        let mut state = self.context.state();
        if zone != DEFAULT_ZONE {
            state.config_mut().options_mut().catalog.default_schema = zone.to_owned();
        }
        let plan = state.statement_to_plan(statement).await.map_err(|e| self.explain(e))?;
        read_only().verify_plan(&plan).map_err(|_| statement::refuse("this statement"))?;
        Ok(Planned { state, plan })
    }

    /// Runs a plan. The limit of time covers planning the execution and every batch.
    pub(crate) async fn run(&self, planned: Planned, limits: Limits) -> Result<Rows, QueryError> {
        let Planned { state, plan } = planned;
        let started = async {
            let physical = state.create_physical_plan(&plan).await?;
            execute_stream(physical, state.task_ctx())
        };
        let batches = match timeout_at(limits.deadline, started).await {
            Ok(batches) => batches.map_err(|e| self.explain(e))?,
            Err(_) => return Err(QueryError::Timeout(limits.timeout)),
        };
        let schema = batches.schema();
        let run = Run { batches: Some(batches), limits, catalog: self.catalog.clone() };
        let batches = stream::unfold(run, |mut run| async move { run.next().await.map(|item| (item, run)) });
        let batches = batches.fuse();
        Ok(Rows { schema, batches: batches.boxed() })
    }

    pub(crate) fn explain(&self, error: datafusion::common::DataFusionError) -> QueryError {
        explain(error, &self.catalog)
    }
}

/// A plan and the session it was planned in.
pub(crate) struct Planned {
    pub state: SessionState,
    pub plan: LogicalPlan,
}

/// When a query has to stop.
pub(crate) struct Limits {
    pub timeout: Duration,
    pub deadline: Instant,
    /// Rows still wanted.
    pub rows: Option<usize>,
}

impl Limits {
    pub fn new(timeout: Duration, rows: Option<usize>) -> Self {
        Self { timeout, deadline: Instant::now() + timeout, rows }
    }
}

/// A running query; `batches` is gone once it has ended, which frees what the query held.
struct Run {
    batches: Option<SendableRecordBatchStream>,
    limits: Limits,
    catalog: Arc<Catalog>,
}

impl Run {
    async fn next(&mut self) -> Option<Result<RecordBatch, QueryError>> {
        if self.limits.rows == Some(0) {
            self.batches = None;
        }
        let batches = self.batches.as_mut()?;
        let item = match timeout_at(self.limits.deadline, batches.next()).await {
            Ok(Some(Ok(batch))) => Ok(self.take(batch)),
            Ok(Some(Err(error))) => Err(explain(error, &self.catalog)),
            Ok(None) => {
                self.batches = None;
                return None;
            }
            Err(_) => Err(QueryError::Timeout(self.limits.timeout)),
        };
        if item.is_err() {
            self.batches = None;
        }
        Some(item)
    }

    fn take(&mut self, batch: RecordBatch) -> RecordBatch {
        let Some(left) = self.limits.rows else { return batch };
        let taken = batch.num_rows().min(left);
        self.limits.rows = Some(left - taken);
        batch.slice(0, taken)
    }
}

#[async_trait]
impl Query for Engine {
    async fn query(&self, sql: &str, options: QueryOptions) -> Result<Rows, QueryError> {
        let limits = Limits::new(self.timeout(options.timeout), options.limit);
        let statement = parse(sql)?;
        let planned = match timeout_at(limits.deadline, self.plan(statement, DEFAULT_ZONE)).await {
            Ok(planned) => planned?,
            Err(_) => return Err(QueryError::Timeout(limits.timeout)),
        };
        self.run(planned, limits).await
    }
}

fn parse(sql: &str) -> Result<Statement, QueryError> {
    let sql = travel::rewrite(sql)?;
    let invalid = |error: datafusion::common::DataFusionError| {
        QueryError::Invalid(match error {
            datafusion::common::DataFusionError::SQL(error, _) => error.to_string(),
            other => other.strip_backtrace(),
        })
    };
    let mut parser =
        DFParserBuilder::new(sql.as_ref()).with_dialect(&GenericDialect {}).build().map_err(invalid)?;
    let mut statements = parser.parse_statements().map_err(invalid)?;
    match (statements.pop_front(), statements.is_empty()) {
        (Some(statement), true) => Ok(statement),
        (None, _) => Err(QueryError::Invalid("the statement is empty".to_owned())),
        (Some(_), false) => Err(QueryError::Invalid("one statement at a time, please".to_owned())),
    }
}

fn read_only() -> SQLOptions {
    SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false)
}

fn session(options: &EngineOptions, catalog: Arc<Catalog>) -> Result<SessionContext, SqlError> {
    let pool = TrackConsumersPool::new(FairSpillPool::new(options.memory_bytes), CONSUMERS_NAMED);
    let disk = match &options.spill_dir {
        Some(dir) => {
            std::fs::create_dir_all(dir).map_err(|e| SqlError::Engine(format!("{}: {e}", dir.display())))?;
            DiskManagerMode::Directories(vec![dir.clone()])
        }
        None => DiskManagerMode::Disabled,
    };
    let disk =
        DiskManagerBuilder::default().with_mode(disk).with_max_temp_directory_size(options.spill_bytes_max);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(pool))
        .with_disk_manager_builder(disk)
        .build_arc()?;
    let mut config = SessionConfig::new()
        .with_target_partitions(options.threads.max(1))
        .with_information_schema(true)
        .with_create_default_catalog_and_schema(false)
        .with_default_catalog_and_schema(CATALOG, DEFAULT_ZONE);
    config.options_mut().sql_parser.dialect = Dialect::PostgreSQL;
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_default_features()
        .build();
    let mut context = SessionContext::new_with_state(state);
    context.register_catalog(CATALOG, catalog);
    datafusion_functions_json::register_all(&mut context)?;
    Ok(context)
}
