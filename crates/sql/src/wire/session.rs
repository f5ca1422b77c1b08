//! One connection: statements in, rows out, in the simple and the extended protocol.

use crate::engine::{Limits, Planned};
use crate::travel;
use crate::wire::cursors::{Cursors, wanted};
use crate::wire::error::{cancelled, error, fatal, query_error};
use crate::wire::startup::Startup;
use crate::wire::{Shared, compat, params, settings};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use bourn_event::{QueryError, Rows};
use datafusion::common::{DFSchema, ParamValues};
use datafusion::logical_expr::{EmptyRelation, LogicalPlan};
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::Statement;
use datafusion_postgres::arrow_pg::datatypes::{arrow_schema_to_pg_fields, encode_recordbatch};
use datafusion_postgres::datafusion_pg_catalog::sql::PostgresCompatibilityParser;
use datafusion_postgres::hooks::transactions::TransactionStatementHook;
use datafusion_postgres::hooks::{HookClient, QueryHook};
use datafusion_postgres::pgwire::api::portal::{Format, Portal};
use datafusion_postgres::pgwire::api::query::{ExtendedQueryHandler, SimpleQueryHandler};
use datafusion_postgres::pgwire::api::results::{FieldInfo, QueryResponse, Response, Tag};
use datafusion_postgres::pgwire::api::stmt::{QueryParser, StoredStatement};
use datafusion_postgres::pgwire::api::store::PortalStore;
use datafusion_postgres::pgwire::api::{
    ClientInfo, ClientPortalStore, PgWireServerHandlers, Type, auth, cancel,
};
use datafusion_postgres::pgwire::error::{PgWireError, PgWireResult};
use datafusion_postgres::pgwire::messages::PgWireBackendMessage;
use datafusion_postgres::pgwire::messages::response::TransactionStatus;
use datafusion_postgres::pgwire::types::format::FormatOptions;
use futures::{Sink, Stream, StreamExt, stream};
use std::fmt::Debug;
use std::sync::{Arc, LazyLock};
use tokio::sync::watch;

/// Building its table of known client queries takes a while; it holds no state.
static PARSER: LazyLock<PostgresCompatibilityParser> = LazyLock::new(PostgresCompatibilityParser::new);

/// What pgwire keeps of a prepared statement. The types are those the library's cursors need.
type Prepared = (String, Option<(Statement, LogicalPlan)>);

/// The handlers of one connection.
pub struct Wire {
    session: Arc<Session>,
    seated: bool,
}

impl Wire {
    /// `seated`: is there a place for the connection?
    pub fn new(shared: Arc<Shared>, seated: bool) -> Self {
        Self { session: Arc::new(Session { shared }), seated }
    }
}

impl PgWireServerHandlers for Wire {
    fn simple_query_handler(&self) -> Arc<impl SimpleQueryHandler> {
        self.session.clone()
    }

    fn extended_query_handler(&self) -> Arc<impl ExtendedQueryHandler> {
        self.session.clone()
    }

    fn startup_handler(&self) -> Arc<impl auth::StartupHandler> {
        Arc::new(Startup::new(&self.session.shared, self.seated))
    }

    fn cancel_handler(&self) -> Arc<impl cancel::CancelHandler> {
        self.session.shared.cancels.clone()
    }
}

/// Runs the statements of a connection.
#[derive(Clone)]
pub struct Session {
    shared: Arc<Shared>,
}

/// What to do with a statement.
enum Task {
    /// Plan and run it.
    Query(Box<Statement>),
    /// BEGIN, COMMIT, ROLLBACK: the library answers.
    Transaction,
    Declare,
    Fetch,
    Close,
    /// Answer with the tag.
    Done(&'static str),
    Set,
}

impl Session {
    fn parse(&self, client: &(impl ClientInfo + ?Sized), sql: &str) -> PgWireResult<Vec<Statement>> {
        if *self.shared.stopping.borrow() {
            return Err(fatal("57P01", "terminating connection: the server is shutting down"));
        }
        let sql = compat::replace(sql);
        let sql = travel::rewrite(&sql).map_err(query_error)?;
        let mut statements = PARSER.parse(&sql).map_err(|e| error("42601", e.to_string()))?;
        statements.iter_mut().for_each(compat::rewrite);
        let ends = |s: &Statement| matches!(s, Statement::Commit { .. } | Statement::Rollback { .. });
        if client.transaction_status() == TransactionStatus::Error && !statements.iter().any(ends) {
            return Err(error(
                "25P02",
                "current transaction is aborted, commands ignored until end of transaction block",
            ));
        }
        Ok(statements)
    }

    fn task(&self, client: &(impl ClientInfo + ?Sized), statement: &Statement) -> PgWireResult<Task> {
        if let Some(tag) = settings::housekeeping(statement) {
            return Ok(Task::Done(tag));
        }
        Ok(match statement {
            Statement::Set(_) => Task::Set,
            Statement::StartTransaction { .. } | Statement::Commit { .. } | Statement::Rollback { .. } => {
                Task::Transaction
            }
            Statement::Declare { .. } => Task::Declare,
            Statement::Fetch { .. } => Task::Fetch,
            Statement::Close { .. } => Task::Close,
            Statement::ShowVariable { variable } => match settings::show(client, variable) {
                None => Task::Query(Box::new(statement.clone())),
                Some(shown) => {
                    let (name, value) = shown?;
                    let query = settings::show_query(&name, &value);
                    let mut parsed = PARSER.parse(&query).map_err(|e| error("42601", e.to_string()))?;
                    Task::Query(Box::new(parsed.swap_remove(0)))
                }
            },
            _ => Task::Query(Box::new(statement.clone())),
        })
    }

    async fn plan(&self, client: &(impl ClientInfo + ?Sized), statement: Statement) -> PgWireResult<Planned> {
        let zone = settings::zone(client);
        let limits = self.limits(client);
        let planning = self.shared.engine.plan(DfStatement::Statement(Box::new(statement)), &zone);
        match tokio::time::timeout_at(limits.deadline, planning).await {
            Ok(planned) => planned.map_err(query_error),
            Err(_) => Err(query_error(QueryError::Timeout(limits.timeout))),
        }
    }

    fn limits(&self, client: &(impl ClientInfo + ?Sized)) -> Limits {
        Limits::new(self.shared.engine.timeout(settings::statement_timeout(client)), None)
    }

    /// Starts a planned query.
    async fn start(
        &self,
        client: &(impl ClientInfo + ?Sized),
        planned: Planned,
    ) -> PgWireResult<(SchemaRef, Flow)> {
        let cancelled = self.shared.cancels.watch(client);
        let busy = Busy::new(&self.shared.running);
        let Rows { schema, batches } =
            self.shared.engine.run(planned, self.limits(client)).await.map_err(query_error)?;
        Ok((schema, Flow { batches: Some(batches), cancelled, _busy: busy }))
    }

    /// Runs a planned query; its rows are encoded as they come.
    async fn run(
        &self,
        client: &(impl ClientInfo + ?Sized),
        planned: Planned,
        format: &Format,
    ) -> PgWireResult<Response> {
        let (schema, flow) = self.start(client, planned).await?;
        let batches =
            stream::unfold(flow, |mut flow| async move { flow.next().await.map(|item| (item, flow)) });
        encode(client, &schema, format, batches)
    }

    /// DECLARE: plans and starts the query; FETCH goes on with it. The portal is for clients that
    /// have a cursor described by its name.
    async fn declare(
        &self,
        client: &(impl ClientInfo + ?Sized),
        statement: &Statement,
        values: Option<&ParamValues>,
    ) -> PgWireResult<(Response, Arc<Portal<Prepared>>)> {
        let Some((name, hold, query)) = declared(statement) else {
            return Err(error("0A000", format!("{statement} is not supported")));
        };
        let mut planned = self.plan(client, query.clone()).await?;
        if let Some(values) = values {
            let bound = planned.plan.replace_params_with_values(values);
            planned.plan = bound.map_err(|e| query_error(self.shared.engine.explain(e)))?;
        }
        let prepared = (query.to_string(), Some((query, planned.plan.clone())));
        let stored = Arc::new(StoredStatement::new(name.clone(), prepared, Vec::new()));
        let (schema, flow) = self.start(client, planned).await?;
        Cursors::of(client).open(&name, schema, hold, flow)?;
        let portal = Arc::new(Portal::new_cursor(name, stored));
        Ok((Response::Execution(Tag::new("DECLARE CURSOR")), portal))
    }

    async fn fetch(
        &self,
        client: &(impl ClientInfo + ?Sized),
        statement: &Statement,
        format: &Format,
    ) -> PgWireResult<Response> {
        let Statement::Fetch { name, direction, .. } = statement else {
            return Err(error("0A000", format!("{statement} is not supported")));
        };
        let cursor = Cursors::of(client).get(&name.value)?;
        let batches = cursor.fetch(wanted(direction)?).await?;
        let mut response = encode(client, &cursor.schema, format, stream::iter(batches.into_iter().map(Ok)))?;
        if let Response::Query(rows) = &mut response {
            rows.set_command_tag("FETCH");
        }
        Ok(response)
    }

    fn close(&self, client: &(impl ClientInfo + ?Sized), statement: &Statement) -> PgWireResult<Response> {
        if let Statement::Close { cursor } = statement {
            Cursors::of(client).close(cursor)?;
        }
        Ok(Response::Execution(Tag::new("CLOSE CURSOR")))
    }
}

/// Name, WITH HOLD and query of a DECLARE.
fn declared(statement: &Statement) -> Option<(String, bool, Statement)> {
    let Statement::Declare { stmts } = statement else { return None };
    let [declare] = stmts.as_slice() else { return None };
    let (name, query) = (declare.names.first()?, declare.for_query.as_ref()?);
    Some((name.value.clone(), declare.hold == Some(true), Statement::Query(query.clone())))
}

fn encode(
    client: &(impl ClientInfo + ?Sized),
    schema: &SchemaRef,
    format: &Format,
    batches: impl Stream<Item = PgWireResult<RecordBatch>> + Send + 'static,
) -> PgWireResult<Response> {
    let options = Arc::new(FormatOptions::from_client_metadata(client.metadata()));
    let fields = Arc::new(arrow_schema_to_pg_fields(schema, format, Some(options))?);
    let row_fields = fields.clone();
    let rows = batches.flat_map(move |batch| {
        let rows: Box<dyn Iterator<Item = _> + Send + Sync> = match batch {
            Ok(batch) => Box::new(encode_recordbatch(row_fields.clone(), batch)),
            Err(error) => Box::new(std::iter::once(Err(error))),
        };
        stream::iter(rows)
    });
    Ok(Response::Query(QueryResponse::new(fields, rows)))
}

/// Counts a query while its rows flow, for the shutdown to wait.
struct Busy(watch::Sender<usize>);

impl Busy {
    fn new(running: &watch::Sender<usize>) -> Self {
        running.send_modify(|running| *running += 1);
        Self(running.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.send_modify(|running| *running -= 1);
    }
}

/// A query's batches, until they end or somebody cancels.
pub struct Flow {
    batches: Option<stream::BoxStream<'static, Result<RecordBatch, QueryError>>>,
    cancelled: watch::Receiver<u64>,
    _busy: Busy,
}

impl Flow {
    pub async fn next(&mut self) -> Option<PgWireResult<RecordBatch>> {
        let batches = self.batches.as_mut()?;
        let item = tokio::select! {
            biased;
            Ok(()) = self.cancelled.changed() => Some(Err(cancelled())),
            batch = batches.next() => batch.map(|batch| batch.map_err(query_error)),
        };
        if !matches!(item, Some(Ok(_))) {
            self.batches = None;
        }
        item
    }
}

#[async_trait]
impl SimpleQueryHandler for Session {
    async fn do_query<C>(&self, client: &mut C, query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let statements = self.parse(client, query)?;
        if statements.is_empty() {
            return Ok(vec![Response::EmptyQuery]);
        }
        let mut responses = Vec::with_capacity(statements.len());
        for statement in statements {
            responses.push(match self.task(client, &statement)? {
                Task::Done(tag) => Response::Execution(Tag::new(tag)),
                Task::Set => self.set(client, &statement)?,
                Task::Transaction => self.transaction(client, &statement).await?,
                Task::Declare => {
                    let (response, portal) = self.declare(client, &statement, None).await?;
                    HookClient::portal_store(client).put_portal(portal);
                    response
                }
                Task::Fetch => self.fetch(client, &statement, &Format::UnifiedText).await?,
                Task::Close => self.close(client, &statement)?,
                Task::Query(statement) => {
                    let planned = self.plan(client, *statement).await?;
                    self.run(client, planned, &Format::UnifiedText).await?
                }
            });
        }
        Ok(responses)
    }
}

impl Session {
    fn set(&self, client: &mut (impl ClientInfo + ?Sized), statement: &Statement) -> PgWireResult<Response> {
        if let Statement::Set(set) = statement {
            settings::set(client, &self.shared.engine, set)?;
        }
        Ok(Response::Execution(Tag::new("SET")))
    }

    async fn transaction<C>(&self, client: &mut C, statement: &Statement) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let context = self.shared.engine.context();
        if !matches!(statement, Statement::StartTransaction { .. }) {
            Cursors::of(client).end_transaction();
        }
        match TransactionStatementHook.handle_simple_query(statement, context, client).await {
            Some(response) => response,
            None => Err(error("0A000", format!("{statement} is not supported"))),
        }
    }
}

#[async_trait]
impl QueryParser for Session {
    type Statement = Prepared;

    async fn parse_sql<C>(
        &self,
        client: &C,
        sql: &str,
        _types: &[Option<Type>],
    ) -> PgWireResult<Option<Self::Statement>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        let mut statements = self.parse(client, sql)?;
        if statements.len() > 1 {
            return Err(error("42601", "cannot insert multiple commands into a prepared statement"));
        }
        let Some(statement) = statements.pop() else { return Ok(None) };
        let (statement, plan) = match self.task(client, &statement)? {
            Task::Query(statement) => {
                let plan = self.plan(client, (*statement).clone()).await?.plan;
                (*statement, plan)
            }
            Task::Fetch => {
                let Statement::Fetch { name, .. } = &statement else { return Ok(None) };
                let cursor = Cursors::of(client).get(&name.value)?;
                let schema = DFSchema::try_from(cursor.schema.as_ref().clone());
                (statement, nothing(schema.map_err(|e| error("XX000", e.to_string()))?))
            }
            Task::Declare => {
                let plan = match declared(&statement) {
                    Some((_, _, query)) => self.plan(client, query).await?.plan,
                    None => nothing(DFSchema::empty()),
                };
                (statement, plan)
            }
            Task::Transaction | Task::Close | Task::Done(_) | Task::Set => {
                (statement, nothing(DFSchema::empty()))
            }
        };
        Ok(Some((sql.to_owned(), Some((statement, plan)))))
    }

    fn get_parameter_types(&self, statement: &Self::Statement) -> PgWireResult<Vec<Type>> {
        let Some((_, plan)) = &statement.1 else { return Ok(Vec::new()) };
        if compat::is_type_lookup(&statement.0) {
            return Ok(vec![Type::OID_ARRAY]);
        }
        let parameters = params::parameters(&statement.0, plan)?;
        Ok(parameters.into_iter().map(|parameter| parameter.wire).collect())
    }

    fn get_result_schema(
        &self,
        statement: &Self::Statement,
        format: Option<&Format>,
    ) -> PgWireResult<Vec<FieldInfo>> {
        let Some((statement, plan)) = &statement.1 else { return Ok(Vec::new()) };
        // A DECLARE carries its query's plan for the parameters, but answers no rows.
        if matches!(statement, Statement::Declare { .. }) {
            return Ok(Vec::new());
        }
        arrow_schema_to_pg_fields(plan.schema().as_arrow(), format.unwrap_or(&Format::UnifiedText), None)
    }
}

#[async_trait]
impl ExtendedQueryHandler for Session {
    type Statement = Prepared;
    type QueryParser = Session;

    fn query_parser(&self) -> Arc<Self::QueryParser> {
        Arc::new(self.clone())
    }

    async fn do_query<C>(
        &self,
        client: &mut C,
        portal: &Portal<Self::Statement>,
        _max_rows: usize,
    ) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let (sql, Some((statement, described))) = &portal.statement.statement else {
            return Ok(Response::EmptyQuery);
        };
        match self.task(client, statement)? {
            Task::Done(tag) => Ok(Response::Execution(Tag::new(tag))),
            Task::Set => self.set(client, statement),
            Task::Transaction => self.transaction(client, statement).await,
            Task::Declare => {
                let values = params::values(portal, &params::parameters(sql, described)?)?;
                let (response, portal) = self.declare(client, statement, Some(&values)).await?;
                HookClient::portal_store(client).put_portal(portal);
                Ok(response)
            }
            Task::Fetch => self.fetch(client, statement, &portal.result_column_format).await,
            Task::Close => self.close(client, statement),
            Task::Query(statement) => {
                let values = params::values(portal, &params::parameters(sql, described)?)?;
                let planned = self.plan(client, *statement).await?;
                let planned = self.bind(planned, &values, described)?;
                self.run(client, planned, &portal.result_column_format).await
            }
        }
    }
}

impl Session {
    /// Puts the values into a fresh plan, which must still give the columns that the client was
    /// told when it prepared the statement.
    fn bind(&self, planned: Planned, values: &ParamValues, described: &LogicalPlan) -> PgWireResult<Planned> {
        let Planned { state, plan } = planned;
        let types = |plan: &LogicalPlan| -> Vec<_> {
            plan.schema().fields().iter().map(|field| field.data_type().clone()).collect()
        };
        if types(&plan) != types(described) {
            return Err(error("0A000", "cached plan must not change result type"));
        }
        let plan = plan
            .replace_params_with_values(values)
            .map_err(|e| query_error(self.shared.engine.explain(e)))?;
        Ok(Planned { state, plan })
    }
}

/// The plan of a statement that has no query.
fn nothing(schema: DFSchema) -> LogicalPlan {
    LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: false, schema: Arc::new(schema) })
}
