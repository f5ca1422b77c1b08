//! Executions as the store has them, for readers of a pipeline that does not run.

use crate::WorkflowError;
use crate::api::{ExecutionItem, ExecutionStatus};
use crate::store;
use bourn_state::{Key, State};
use std::collections::BTreeMap;
use std::path::Path;

/// The latest executions of each machine, at most so many of each. Nothing is begun or changed. `dir` is that of the
/// engine's options, and must be owned by the caller meanwhile; if there is none, there are no executions.
pub fn read_executions(dir: &Path, each_max: usize) -> Result<Vec<ExecutionItem>, WorkflowError> {
    if !dir.exists() {
        return Ok(Vec::new());
    }
    let state = State::open(dir)?;
    let mut machines = BTreeMap::<String, Vec<u64>>::new();
    let first = Key::WorkflowIndex { machine: String::new(), status: 0, execution: 0 };
    for entry in state.range_raw(&first, &Key::WorkflowEnded { at: 0, execution: 0 }) {
        if let (Key::WorkflowIndex { machine, execution, .. }, _) = entry? {
            machines.entry(machine).or_default().push(execution);
        }
    }
    let mut items = Vec::new();
    for numbers in machines.values_mut() {
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        for number in numbers.iter().take(each_max) {
            let Some(store::Known { meta, head, outcome }) = store::known(&state, *number)? else { continue };
            let ended = outcome.filter(|_| head.status != ExecutionStatus::Running);
            items.push(ExecutionItem {
                arn: meta.arn,
                machine_arn: meta.machine_arn,
                name: meta.name,
                status: head.status,
                started_at: meta.started_at,
                ended_at: ended.map(|outcome| outcome.ended_at),
                map_run_arn: None,
                item_count: None,
                redrive_count: head.redrive_count,
                redriven_at: head.redriven_at,
            });
        }
    }
    Ok(items)
}
