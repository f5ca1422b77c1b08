//! Cursors: DECLARE, FETCH and CLOSE, in either protocol.

use crate::wire::error::error;
use crate::wire::session::Flow;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::sql::sqlparser::ast::{CloseCursor, FetchDirection, Value, ValueWithSpan};
use datafusion_postgres::pgwire::api::ClientInfo;
use datafusion_postgres::pgwire::error::{PgWireError, PgWireResult};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// The open cursors of a connection.
#[derive(Default)]
pub struct Cursors(Mutex<HashMap<String, Arc<Cursor>>>);

/// An open cursor. Its query goes on under the limits it was declared with.
pub struct Cursor {
    pub schema: SchemaRef,
    hold: bool,
    state: tokio::sync::Mutex<State>,
}

struct State {
    flow: Flow,
    /// Rows that were read beyond the last FETCH.
    left: Option<RecordBatch>,
}

impl Cursors {
    /// The client's.
    pub fn of(client: &(impl ClientInfo + ?Sized)) -> Arc<Self> {
        client.session_extensions().get_or_insert_with(Self::default)
    }

    pub fn open(&self, name: &str, schema: SchemaRef, hold: bool, flow: Flow) -> PgWireResult<()> {
        let mut cursors = self.0.lock();
        if cursors.contains_key(name) {
            return Err(error("42P03", format!("cursor \"{name}\" already exists")));
        }
        let state = tokio::sync::Mutex::new(State { flow, left: None });
        cursors.insert(name.to_owned(), Arc::new(Cursor { schema, hold, state }));
        Ok(())
    }

    pub fn get(&self, name: &str) -> PgWireResult<Arc<Cursor>> {
        self.0.lock().get(name).cloned().ok_or_else(|| missing(name))
    }

    pub fn close(&self, cursor: &CloseCursor) -> PgWireResult<()> {
        match cursor {
            CloseCursor::All => self.0.lock().clear(),
            CloseCursor::Specific { name } => {
                let closed = self.0.lock().remove(&name.value);
                closed.ok_or_else(|| missing(&name.value))?;
            }
        }
        Ok(())
    }

    /// The end of a transaction closes its cursors, except those WITH HOLD.
    pub fn end_transaction(&self) {
        self.0.lock().retain(|_, cursor| cursor.hold);
    }
}

fn missing(name: &str) -> PgWireError {
    error("34000", format!("cursor \"{name}\" does not exist"))
}

impl Cursor {
    /// The next rows, at most `wanted`.
    pub async fn fetch(&self, wanted: usize) -> PgWireResult<Vec<RecordBatch>> {
        let mut state = self.state.lock().await;
        let mut batches = Vec::new();
        let mut missing = wanted;
        while missing > 0 {
            let batch = match state.left.take() {
                Some(batch) => batch,
                None => match state.flow.next().await {
                    Some(batch) => batch?,
                    None => break,
                },
            };
            let taken = batch.num_rows().min(missing);
            if taken < batch.num_rows() {
                state.left = Some(batch.slice(taken, batch.num_rows() - taken));
            }
            missing -= taken;
            batches.push(batch.slice(0, taken));
        }
        Ok(batches)
    }
}

/// How many rows a FETCH wants.
pub fn wanted(direction: &FetchDirection) -> PgWireResult<usize> {
    let number = |limit: &ValueWithSpan| match &limit.value {
        Value::Number(digits, _) => digits.parse().map_err(|_| backward()),
        _ => Err(backward()),
    };
    match direction {
        FetchDirection::Next => Ok(1),
        FetchDirection::All | FetchDirection::ForwardAll => Ok(usize::MAX),
        FetchDirection::Count { limit } => number(limit),
        FetchDirection::Forward { limit } => limit.as_ref().map_or(Ok(1), number),
        _ => Err(backward()),
    }
}

fn backward() -> PgWireError {
    error("55000", "cursor can only scan forward")
}
