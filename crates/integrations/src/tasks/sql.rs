//! `bourn:sql`, and rows out of a query as JSON, within bounds.

use super::bind::bind;
use super::read::Reader;
use super::service::Caller;
use arrow::array::RecordBatch;
use arrow::json::WriterBuilder;
use arrow::json::writer::JsonArray;
use bourn_event::{Query, QueryError, QueryOptions, TaskFailure};
use futures::StreamExt;
use serde_json::{Value, json};

const ROWS_DEFAULT: usize = 1_000;
const ROWS_MAX: usize = 10_000;
/// Of the rows as JSON; a state's output is limited to much less.
const BYTES_MAX: usize = 4 << 20;

/// `arn:aws:states:::bourn:sql`: `{Query, Parameters?, MaxRows?}` → `{Rows, RowCount, Truncated}`.
pub(super) async fn run(
    query: &dyn Query,
    caller: Caller<'_>,
    parameters: &Value,
) -> Result<Value, TaskFailure> {
    let read = Reader::new(caller, parameters);
    let invalid = |why: String| TaskFailure::new("Bourn.InvalidQuery", why);
    let statement = match read.value("Query") {
        Some(Value::String(text)) => text,
        _ => return Err(invalid("`Query` must be a text with one SELECT".into())),
    };
    let values = match read.value("Parameters") {
        None => Vec::new(),
        Some(Value::Array(values)) => values.clone(),
        Some(_) => return Err(invalid("`Parameters` must be a list of values".into())),
    };
    let rows_max = match read.value("MaxRows").map(Value::as_u64) {
        None => ROWS_DEFAULT,
        Some(Some(rows @ 1..)) if rows <= ROWS_MAX as u64 => rows as usize,
        Some(_) => return Err(invalid(format!("`MaxRows` must be a number from 1 to {ROWS_MAX}"))),
    };
    let statement = bind(statement, &values).map_err(invalid)?;
    // One more than wanted shows whether there are more.
    let options = QueryOptions { limit: Some(rows_max + 1), ..QueryOptions::default() };
    let mut answer = query.query(&statement, options).await.map_err(failure)?;
    let (mut rows, mut bytes, mut truncated) = (Vec::new(), 0, false);
    while let Some(batch) = answer.batches.next().await {
        let batch = batch.map_err(failure)?;
        let room = rows_max - rows.len();
        truncated |= batch.num_rows() > room;
        let batch = batch.slice(0, batch.num_rows().min(room));
        let (more, size) = json_rows(&batch)?;
        bytes += size;
        if bytes > BYTES_MAX {
            return Err(TaskFailure::new(
                "States.DataLimitExceeded",
                format!("the query's rows take more than {BYTES_MAX} bytes: select less, or add a LIMIT"),
            ));
        }
        rows.extend(more);
        if truncated {
            break;
        }
    }
    Ok(json!({"RowCount": rows.len(), "Rows": rows, "Truncated": truncated}))
}

/// Rows as objects, and their size as JSON text.
fn json_rows(batch: &RecordBatch) -> Result<(Vec<Value>, usize), TaskFailure> {
    if batch.num_rows() == 0 {
        return Ok((Vec::new(), 0));
    }
    let failed =
        |why: String| TaskFailure::new("Bourn.QueryFailed", format!("a row has no JSON form: {why}"));
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(Vec::new());
    writer.write(batch).map_err(|error| failed(error.to_string()))?;
    writer.finish().map_err(|error| failed(error.to_string()))?;
    let text = writer.into_inner();
    let rows = serde_json::from_slice(&text).map_err(|error| failed(error.to_string()))?;
    Ok((rows, text.len()))
}

fn failure(error: QueryError) -> TaskFailure {
    let name = match &error {
        QueryError::Invalid(_) => "Bourn.InvalidQuery",
        QueryError::Timeout(_) => "Bourn.QueryTimeout",
        QueryError::Memory(_) => "Bourn.QueryMemory",
        QueryError::Failed(_) => "Bourn.QueryFailed",
    };
    TaskFailure::new(name, error.to_string())
}
