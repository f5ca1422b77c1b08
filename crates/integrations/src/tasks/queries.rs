//! Queries by their id (`athena:*`): begun by one Task, looked at and read by others, kept for a while.
//!
//! | key | value |
//! | --- | --- |
//! | `QueryExecution { id }` | statement, state, times, columns, number of pages |
//! | `QueryRows { id, page }` | up to `PAGE_ROWS` rows as texts |
//!
//! A query that was running when the process ended is begun anew by whoever asks for it next: it only
//! reads. Results are bounded, and the oldest make room; they can be had again by asking again.

use super::background::Background;
use super::bind::bind;
use super::read::Reader;
use super::service::{Caller, iso_time, object, uuid_of};
use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bourn_event::{Clock, Micros, Query, QueryError, QueryOptions, TaskFailure};
use bourn_state::{Durability, Key, KeyKind, Scope, State, StateError};
use futures::StreamExt;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::Arc;

const RUNNING_MAX: usize = 16;
/// Rows of one result.
const ROWS_MAX: usize = 10_000;
const PAGE_ROWS: usize = 1_000;
const RESULT_BYTES_MAX: usize = 4 << 20;
/// Of all results.
const KEPT_MAX: usize = 1_000;
const KEPT_BYTES_MAX: usize = 64 << 20;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Record {
    sql: String,
    state: Stage,
    reason: Option<String>,
    submitted_at: Micros,
    completed_at: Option<Micros>,
    /// Name and type.
    columns: Vec<(String, String)>,
    rows: usize,
    bytes: usize,
    work_group: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Stage {
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

type Row = Vec<Option<String>>;

/// All queries of workflows. Cheap to clone.
#[derive(Clone)]
pub(super) struct Queries {
    shared: Arc<Shared>,
    background: Arc<Background<()>>,
}

struct Shared {
    query: Arc<dyn Query>,
    state: State,
    clock: Arc<dyn Clock>,
    /// Ended queries and their bytes, oldest first.
    kept: Mutex<VecDeque<(String, usize)>>,
}

impl Queries {
    pub fn open(query: Arc<dyn Query>, state: State, clock: Arc<dyn Clock>) -> Result<Self, StateError> {
        let mut ended = Vec::new();
        for entry in state.scan::<Record>(Scope::all(KeyKind::QueryExecution)) {
            if let (Key::QueryExecution { id }, record) = entry? {
                ended.push((record.submitted_at, id, record.bytes));
            }
        }
        ended.sort();
        let kept = Mutex::new(ended.into_iter().map(|(_, id, bytes)| (id, bytes)).collect());
        let shared = Arc::new(Shared { query, state, clock, kept });
        Ok(Self { shared, background: Arc::new(Background::new(RUNNING_MAX)) })
    }

    /// `StartQueryExecution`.
    pub async fn start(&self, caller: Caller<'_>, parameters: &Value) -> Result<Value, TaskFailure> {
        let read = Reader::new(caller, parameters);
        let values = match read.value("ExecutionParameters") {
            None => Vec::new(),
            Some(Value::Array(values)) => values.iter().map(execution_parameter).collect(),
            Some(_) => return Err(bad_request(caller, "ExecutionParameters must be a list of texts")),
        };
        let sql = bind(read.text("QueryString")?, &values).map_err(|why| bad_request(caller, &why))?;
        let token = read.maybe_text("ClientRequestToken")?.unwrap_or(caller.id);
        let id = uuid_of(&["query", token]);
        if self.read(caller, &id).await?.is_none() {
            let record = Record {
                sql,
                state: Stage::Running,
                reason: None,
                submitted_at: self.shared.clock.now(),
                completed_at: None,
                columns: Vec::new(),
                rows: 0,
                bytes: 0,
                work_group: read.maybe_text("WorkGroup")?.unwrap_or("primary").to_string(),
            };
            self.blocking(caller, {
                let (id, record) = (id.clone(), record.clone());
                move |shared| shared.state.put(&Key::QueryExecution { id }, &record, Durability::Synced)
            })
            .await?;
            self.begin(caller, &id, &record)?;
        }
        Ok(Value::Object(object(json!({ "QueryExecutionId": id }))))
    }

    /// Waits for the end of a query (`.sync`).
    pub async fn wait(&self, caller: Caller<'_>, submitted: &Value) -> Result<Value, TaskFailure> {
        let id = submitted.get("QueryExecutionId").and_then(Value::as_str).unwrap_or_default();
        let record = self.get(caller, id).await?;
        if record.state == Stage::Running {
            self.begin(caller, id, &record)?;
            self.background.join(id).await;
        }
        let record = self.get(caller, id).await?;
        let answer = json!({ "QueryExecution": execution(caller, id, &record) });
        match record.state {
            Stage::Succeeded => Ok(answer),
            _ => Err(TaskFailure::new("States.TaskFailed", answer.to_string())),
        }
    }

    /// `GetQueryExecution`.
    pub async fn show(&self, caller: Caller<'_>, parameters: &Value) -> Result<Value, TaskFailure> {
        let id = Reader::new(caller, parameters).text("QueryExecutionId")?;
        let record = self.get(caller, id).await?;
        if record.state == Stage::Running {
            self.begin(caller, id, &record)?;
        }
        Ok(json!({ "QueryExecution": execution(caller, id, &record) }))
    }

    /// `StopQueryExecution`.
    pub async fn stop(&self, caller: Caller<'_>, parameters: &Value) -> Result<Value, TaskFailure> {
        let id = Reader::new(caller, parameters).text("QueryExecutionId")?;
        let mut record = self.get(caller, id).await?;
        if record.state == Stage::Running {
            self.background.stop(id);
            record.state = Stage::Cancelled;
            record.reason = Some("Query cancelled by user".into());
            record.completed_at = Some(self.shared.clock.now());
            let id = id.to_string();
            self.blocking(caller, move |shared| shared.keep(&id, &record, &[])).await?;
        }
        Ok(json!({}))
    }

    /// `GetQueryResults`: a page of rows as texts, the first with the names of the columns before it.
    pub async fn results(&self, caller: Caller<'_>, parameters: &Value) -> Result<Value, TaskFailure> {
        let read = Reader::new(caller, parameters);
        let id = read.text("QueryExecutionId")?;
        let record = self.get(caller, id).await?;
        if record.state != Stage::Succeeded {
            let why = format!("Query did not finish successfully. Final query state: {}", word(record.state));
            return Err(bad_request(caller, &why));
        }
        let wanted = read.maybe_number("MaxResults")?.map_or(PAGE_ROWS, |wanted| wanted as usize);
        if !(1..=PAGE_ROWS).contains(&wanted) {
            return Err(bad_request(caller, &format!("MaxResults must be a number from 1 to {PAGE_ROWS}")));
        }
        // Line 0 is the names of the columns, line n is row n-1.
        let from: usize = match read.maybe_text("NextToken")? {
            None => 0,
            Some(token) => {
                token.parse().map_err(|_| bad_request(caller, "NextToken is not one of this query"))?
            }
        };
        let to = (from + wanted).min(record.rows + 1);
        let rows = self.rows(caller, id, from.saturating_sub(1), to.saturating_sub(1)).await?;
        let line = |row: Vec<Value>| json!({ "Data": row });
        let names = record.columns.iter().map(|(name, _)| json!({ "VarCharValue": name })).collect();
        let header = (from == 0).then(|| line(names));
        let value =
            |value: Option<String>| value.map_or_else(|| json!({}), |text| json!({ "VarCharValue": text }));
        let rows = rows.into_iter().map(|row| line(row.into_iter().map(value).collect()));
        let columns: Vec<Value> = record
            .columns
            .iter()
            .map(|(name, kind)| json!({"Name": name, "Label": name, "Type": kind, "Nullable": "UNKNOWN"}))
            .collect();
        let mut answer = json!({
            "ResultSet": {
                "ResultSetMetadata": {"ColumnInfo": columns},
                "Rows": header.into_iter().chain(rows).collect::<Vec<_>>(),
            },
            "UpdateCount": 0,
        });
        if to <= record.rows {
            answer["NextToken"] = json!(to.to_string());
        }
        Ok(answer)
    }

    /// Rows `from..to`.
    async fn rows(
        &self,
        caller: Caller<'_>,
        id: &str,
        from: usize,
        to: usize,
    ) -> Result<Vec<Row>, TaskFailure> {
        let id = id.to_string();
        self.blocking(caller, move |shared| {
            let mut rows = Vec::new();
            for page in from / PAGE_ROWS..to.div_ceil(PAGE_ROWS) {
                let key = Key::QueryRows { id: id.clone(), page: page as u64 };
                let held: Vec<Row> = shared.state.get(&key)?.unwrap_or_default();
                let first = page * PAGE_ROWS;
                let skip = from.saturating_sub(first);
                let take = to.saturating_sub(first.max(from));
                rows.extend(held.into_iter().skip(skip).take(take));
            }
            Ok(rows)
        })
        .await
    }

    fn begin(&self, caller: Caller<'_>, id: &str, record: &Record) -> Result<(), TaskFailure> {
        let (shared, id_held, record) = (self.shared.clone(), id.to_string(), record.clone());
        self.background.begin(id, move || shared.run(id_held, record)).map_err(|_| {
            let name = "TooManyRequestsException";
            caller.fail(name, name, 400, format!("{RUNNING_MAX} queries of workflows are running already"))
        })
    }

    async fn get(&self, caller: Caller<'_>, id: &str) -> Result<Record, TaskFailure> {
        let found = self.read(caller, id).await?;
        found.ok_or_else(|| bad_request(caller, &format!("QueryExecution {id} was not found")))
    }

    async fn read(&self, caller: Caller<'_>, id: &str) -> Result<Option<Record>, TaskFailure> {
        let id = id.to_string();
        self.blocking(caller, move |shared| shared.state.get(&Key::QueryExecution { id })).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        caller: Caller<'_>,
        work: impl FnOnce(&Shared) -> Result<T, StateError> + Send + 'static,
    ) -> Result<T, TaskFailure> {
        let shared = self.shared.clone();
        let failed =
            |why: String| caller.fail("InternalServerException", "InternalServerException", 500, why);
        match tokio::task::spawn_blocking(move || work(&shared)).await {
            Ok(result) => result.map_err(|error| failed(error.to_string())),
            Err(error) => Err(failed(error.to_string())),
        }
    }
}

impl Shared {
    async fn run(self: Arc<Self>, id: String, mut record: Record) {
        let fetched = fetch(&*self.query, &record.sql).await;
        record.completed_at = Some(self.clock.now());
        let rows = match fetched {
            Ok(result) => {
                record.state = Stage::Succeeded;
                record.columns = result.columns;
                record.rows = result.rows.len();
                record.bytes = result.bytes;
                result.rows
            }
            Err(reason) => {
                record.state = Stage::Failed;
                record.reason = Some(reason);
                Vec::new()
            }
        };
        let kept = tokio::task::spawn_blocking(move || self.keep(&id, &record, &rows)).await;
        if let Ok(Err(error)) = kept {
            tracing::error!(%error, "the result of a query could not be kept");
        }
    }

    /// Keeps a result, and forgets the oldest ones beyond the bounds.
    fn keep(&self, id: &str, record: &Record, rows: &[Row]) -> Result<(), StateError> {
        let mut batch = self.state.batch();
        for (page, rows) in rows.chunks(PAGE_ROWS).enumerate() {
            batch.put(&Key::QueryRows { id: id.to_string(), page: page as u64 }, &rows)?;
        }
        batch.put(&Key::QueryExecution { id: id.to_string() }, record)?;
        let mut kept = self.kept.lock();
        // One that was begun anew is there already.
        kept.retain(|(held, _)| held != id);
        kept.push_back((id.to_string(), record.bytes));
        let mut bytes: usize = kept.iter().map(|(_, bytes)| bytes).sum();
        while kept.len() > KEPT_MAX || bytes > KEPT_BYTES_MAX {
            let Some((old, size)) = kept.pop_front() else { break };
            bytes -= size;
            for page in 0..ROWS_MAX.div_ceil(PAGE_ROWS) as u64 {
                batch.delete(&Key::QueryRows { id: old.clone(), page });
            }
            batch.delete(&Key::QueryExecution { id: old });
        }
        batch.commit(Durability::Synced)
    }
}

struct Fetched {
    columns: Vec<(String, String)>,
    rows: Vec<Row>,
    bytes: usize,
}

async fn fetch(query: &dyn Query, sql: &str) -> Result<Fetched, String> {
    let words = |error: QueryError| error.to_string();
    let options = QueryOptions { limit: Some(ROWS_MAX + 1), ..QueryOptions::default() };
    let mut answer = query.query(sql, options).await.map_err(words)?;
    let columns = answer.schema.fields().iter();
    let columns = columns.map(|field| (field.name().clone(), athena_type(field.data_type()))).collect();
    let mut fetched = Fetched { columns, rows: Vec::new(), bytes: 0 };
    while let Some(batch) = answer.batches.next().await {
        let batch = batch.map_err(words)?;
        if fetched.rows.len() + batch.num_rows() > ROWS_MAX {
            return Err(format!("the result has more than {ROWS_MAX} rows: aggregate, or add a LIMIT"));
        }
        let rows = texts(&batch)?;
        fetched.bytes +=
            rows.iter().flatten().map(|text| 3 + text.as_ref().map_or(4, String::len)).sum::<usize>();
        if fetched.bytes > RESULT_BYTES_MAX {
            return Err(format!(
                "the result takes more than {RESULT_BYTES_MAX} bytes: select less, or add a LIMIT"
            ));
        }
        fetched.rows.extend(rows);
    }
    Ok(fetched)
}

fn texts(batch: &RecordBatch) -> Result<Vec<Row>, String> {
    let options = FormatOptions::default();
    let formatters: Vec<_> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options))
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())?;
    let cell = |row: usize, column: usize| {
        (!batch.column(column).is_null(row)).then(|| formatters[column].value(row).to_string())
    };
    Ok((0..batch.num_rows())
        .map(|row| (0..formatters.len()).map(|column| cell(row, column)).collect())
        .collect())
}

fn athena_type(kind: &arrow::datatypes::DataType) -> String {
    use arrow::datatypes::DataType::*;
    match kind {
        Boolean => "boolean",
        Int8 | UInt8 => "tinyint",
        Int16 | UInt16 => "smallint",
        Int32 | UInt32 => "integer",
        Int64 | UInt64 => "bigint",
        Float16 | Float32 => "float",
        Float64 => "double",
        Decimal32(..) | Decimal64(..) | Decimal128(..) | Decimal256(..) => "decimal",
        Date32 | Date64 => "date",
        Timestamp(..) => "timestamp",
        Binary | LargeBinary | BinaryView | FixedSizeBinary(_) => "varbinary",
        List(_) | LargeList(_) | FixedSizeList(..) => "array",
        Struct(_) => "row",
        Map(..) => "map",
        _ => "varchar",
    }
    .to_string()
}

/// Athena's parameters are texts: a quoted text or a number, else a text without quotes.
fn execution_parameter(value: &Value) -> Value {
    let Value::String(text) = value else { return value.clone() };
    let unquoted = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
    match (unquoted, serde_json::from_str::<serde_json::Number>(text)) {
        (Some(unquoted), _) => Value::String(unquoted.replace("''", "'")),
        (None, Ok(number)) => Value::Number(number),
        (None, Err(_)) => value.clone(),
    }
}

fn word(state: Stage) -> String {
    serde_json::to_value(state).ok().and_then(|word| word.as_str().map(str::to_string)).unwrap_or_default()
}

fn execution(caller: Caller<'_>, id: &str, record: &Record) -> Value {
    // An optimized integration tells times in milliseconds, the SDK as texts.
    let time = |at: Micros| if caller.is_sdk() { json!(iso_time(at)) } else { json!(at / 1000) };
    let mut status =
        object(json!({"State": word(record.state), "SubmissionDateTime": time(record.submitted_at)}));
    let mut statistics = object(json!({}));
    if let Some(at) = record.completed_at {
        let took = at.saturating_sub(record.submitted_at).max(0) / 1000;
        status.insert("CompletionDateTime".into(), time(at));
        statistics.insert("TotalExecutionTimeInMillis".into(), took.into());
        statistics.insert("EngineExecutionTimeInMillis".into(), took.into());
    }
    if let Some(reason) = &record.reason {
        status.insert("StateChangeReason".into(), reason.as_str().into());
    }
    json!({
        "Query": record.sql,
        "QueryExecutionId": id,
        "StatementType": "DML",
        "Statistics": statistics,
        "Status": status,
        "WorkGroup": record.work_group,
    })
}

fn bad_request(caller: Caller<'_>, message: &str) -> TaskFailure {
    caller.fail("InvalidRequestException", "InvalidRequestException", 400, message)
}
