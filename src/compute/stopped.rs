//! `system.*` of what stands beside the route, from the files of a pipeline that does not run. Nothing is begun or changed.

use super::calls::{item_json, run_json};
use super::express::LoggedEvent;
use super::tables::{EXECUTIONS_SHOWN, Rows, execution_logs, function_logs, invocations, rows, schedules};
use crate::definition::Definition;
use bourn_event::{Clock, SystemClock};
use bourn_functions::{read_functions, read_invocations, read_logs};
use bourn_schedule::{read_runs, read_schedules};
use bourn_state::{OwnerLock, State, read_book};
use bourn_workflow::read_executions;
use serde_json::Value;
use std::sync::Arc;

/// The files of a pipeline.
#[derive(Clone)]
pub struct Files(pub Arc<Definition>);

impl Files {
    /// Reads under the folder's lock, which is let go again at once: a store has one owner at a time.
    fn owned<T>(&self, read: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
        let held = |error: &dyn std::fmt::Display| {
            format!("{error}. Ask again: a pipeline that runs answers over its HTTP server")
        };
        let _lock = OwnerLock::acquire(&self.0.layout.state, &SystemClock).map_err(|error| held(&error))?;
        read()
    }

    fn state<T: Default>(&self, read: impl FnOnce(&State) -> Result<T, String>) -> Result<T, String> {
        let path = self.0.layout.store();
        if !path.exists() {
            return Ok(T::default());
        }
        self.owned(|| read(&State::open(path).map_err(|error| error.to_string())?))
    }
}

impl Rows for Files {
    fn rows(&self, table: &str) -> Result<Vec<Value>, String> {
        let (layout, pipeline) = (&self.0.layout, &self.0.loaded.pipeline);
        match table {
            "runs" => self.state(|state| {
                let runs = read_runs(state).map_err(|error| error.to_string())?;
                Ok(runs.iter().map(run_json).collect())
            }),
            "schedules" => self.state(|state| {
                let read = read_schedules(state, &pipeline.schedules, SystemClock.now());
                schedules(&read.map_err(|error| error.to_string())?)
            }),
            "functions" => self.state(|state| {
                rows(read_functions(state, &pipeline.functions).map_err(|error| error.to_string())?)
            }),
            "invocations" => invocations(read_invocations(&layout.functions()).iter()),
            "function_logs" => {
                function_logs(read_logs(&layout.functions(), pipeline.functions.keys()).iter())
            }
            "executions" if !layout.workflows().exists() => Ok(Vec::new()),
            "executions" => self.owned(|| {
                let read = read_executions(&layout.workflows(), EXECUTIONS_SHOWN);
                let items = read.map_err(|error| error.message().to_string())?;
                Ok(items.iter().map(item_json).collect())
            }),
            _ => Ok(execution_logs(read_book::<LoggedEvent>(&layout.execution_log()).iter())),
        }
    }
}
