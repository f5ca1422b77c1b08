//! What files and state tell of functions that nobody runs at the moment.

use crate::host::runtime_name;
use crate::rows::{FunctionRow, InvocationRow, LogRow};
use crate::scribe::Files;
use bourn_config::Function;
use bourn_state::{Key, KeyKind, Scope, State, StateError, read_book};
use std::collections::BTreeMap;
use std::path::Path;

/// The newest invocations, the oldest of them first. `dir` is that of the host's settings.
pub fn read_invocations(dir: &Path) -> Vec<InvocationRow> {
    read_book(&Files::at(dir).history())
}

/// The newest lines of all logs, by time.
pub fn read_logs<'a>(dir: &Path, functions: impl IntoIterator<Item = &'a String>) -> Vec<LogRow> {
    let files = Files::at(dir);
    let mut rows: Vec<LogRow> = functions.into_iter().flat_map(|name| read_book(&files.log(name))).collect();
    rows.sort_by_key(|row| row.at);
    rows
}

/// The functions, none of which has a process; what is counted since the start is 0.
pub fn read_functions(
    state: &State,
    functions: &BTreeMap<String, Function>,
) -> Result<Vec<FunctionRow>, StateError> {
    let mut pending = BTreeMap::<String, u64>::new();
    for entry in state.scan::<serde::de::IgnoredAny>(Scope::all(KeyKind::PendingInvocation)) {
        if let (Key::PendingInvocation { function, .. }, _) = entry? {
            *pending.entry(function).or_default() += 1;
        }
    }
    let row = |(name, function): (&String, &Function)| FunctionRow {
        name: name.clone(),
        runtime: runtime_name(function.runtime),
        memory_bytes: function.memory.0,
        timeout_ms: u64::try_from(function.timeout.0.as_millis()).unwrap_or(u64::MAX),
        concurrency_max: function.concurrency.max.into(),
        concurrency_reserved: function.concurrency.reserved.into(),
        processes: 0,
        busy: 0,
        idle: 0,
        waiting: 0,
        pending: pending.get(name).copied().unwrap_or_default(),
        invocations: 0,
        errors: 0,
        throttles: 0,
        cold_starts: 0,
    };
    Ok(functions.iter().map(row).collect())
}
