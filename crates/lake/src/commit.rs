//! Putting a commit file into a Delta log, once.
//!
//! ```text
//!  put N if absent ── done ──────────────► committed at N
//!        │ N exists: read it
//!        ├─ it is ours (an answer was lost) ► committed at N
//!        ├─ it carries our offset or more ──► superseded at N: somebody settled these events
//!        ├─ it changes what we rely on ─────► conflict
//!        └─ anything else ──────────────────► again with N + 1
//! ```

use crate::LakeError;
use crate::actions::{Action, CommitInfo, Settled, render};
use crate::handle::Handle;
use crate::log::{commit_path, read_commit};
use bourn_event::Offset;
use object_store::{PutMode, PutOptions};
use std::collections::HashSet;
use uuid::Uuid;

/// A commit to be made.
#[derive(Clone, Debug)]
pub struct Intent {
    pub operation: &'static str,
    pub parameters: serde_json::Map<String, serde_json::Value>,
    /// Without `commitInfo`.
    pub actions: Vec<Action>,
    /// Names the commit; the same through all its attempts.
    pub id: Uuid,
    pub now_ms: i64,
    /// Does it only add? Then other appends, deletes and compactions do not disturb it.
    pub blind_append: bool,
}

impl Intent {
    pub fn new(operation: &'static str, actions: Vec<Action>, now_ms: i64) -> Self {
        let blind_append = actions.iter().all(|a| a.remove.is_none() && a.meta_data.is_none());
        Self { operation, parameters: Default::default(), actions, id: Uuid::new_v4(), now_ms, blind_append }
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    Committed(i64),
    /// The commit at this version carries the intent's offset already.
    Superseded(i64),
}

/// What an existing commit means for an intent that wanted its version.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Ours,
    Settled,
    Disturbs(String),
    Unrelated,
}

/// Commits behind version `base`. Errors that may pass leave it open whether the commit is in
/// the log: calling again with the same intent and base finds out.
pub async fn commit(handle: &Handle, base: i64, intent: &Intent) -> Result<Done, LakeError> {
    let bytes = render(&with_info(intent)).map_err(|e| LakeError::rows(&handle.name, e))?;
    let bytes = bytes::Bytes::from(bytes);
    let mut version = base + 1;
    loop {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match handle.store.put_opts(&commit_path(version), bytes.clone().into(), options).await {
            Ok(_) => return Ok(Done::Committed(version)),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {}
            Err(e) => return Err(LakeError::unavailable(&handle.name, e)),
        }
        let Some(found) = read_commit(handle, version).await? else {
            let problem = format!("version {version} is being written by another");
            return Err(LakeError::Conflict { table: handle.name.to_string(), problem });
        };
        match judge(intent, &found) {
            Found::Ours => return Ok(Done::Committed(version)),
            Found::Settled => return Ok(Done::Superseded(version)),
            Found::Disturbs(problem) => {
                return Err(LakeError::Conflict { table: handle.name.to_string(), problem });
            }
            Found::Unrelated => version += 1,
        }
    }
}

fn with_info(intent: &Intent) -> Vec<Action> {
    let info = CommitInfo {
        timestamp: intent.now_ms,
        operation: intent.operation.into(),
        operation_parameters: intent.parameters.clone(),
        is_blind_append: Some(intent.blind_append),
        engine_info: Some(concat!("bourn/", env!("CARGO_PKG_VERSION")).into()),
        txn_id: Some(intent.id.to_string()),
        operation_metrics: Default::default(),
    };
    std::iter::once(Action::from(info)).chain(intent.actions.iter().cloned()).collect()
}

fn judge(intent: &Intent, found: &[Action]) -> Found {
    let id = intent.id.to_string();
    if found.iter().filter_map(|a| a.commit_info.as_ref()).any(|i| i.txn_id.as_deref() == Some(&id)) {
        return Found::Ours;
    }
    if found.iter().any(|a| a.meta_data.is_some() || a.protocol.is_some()) {
        return Found::Disturbs("the table's definition was changed".into());
    }
    let offset: Option<Offset> = Settled::offset_of(&intent.actions);
    let theirs = Settled::offset_of(found);
    if intent.blind_append && offset.is_some() && theirs >= offset {
        return Found::Settled;
    }
    if offset.is_some() && theirs.is_some() {
        return Found::Disturbs("another process commits events of this stream".into());
    }
    let ours: HashSet<&str> =
        intent.actions.iter().filter_map(|a| a.remove.as_ref()).map(|r| r.path.as_str()).collect();
    match found.iter().filter_map(|a| a.remove.as_ref()).find(|r| ours.contains(r.path.as_str())) {
        Some(removed) => Found::Disturbs(format!("{} was removed", removed.path)),
        None => Found::Unrelated,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::{Remove, Txn};

    #[test]
    fn another_commit_is_judged_by_what_it_changes() {
        let txn =
            |offset| Action::from(Txn { app_id: "bourn/offset".into(), version: offset, last_updated: None });
        let remove = |path: &str| {
            Action::from(Remove {
                path: path.into(),
                deletion_timestamp: None,
                data_change: false,
                extended_file_metadata: None,
                partition_values: None,
                size: None,
            })
        };
        let check = |ours: Vec<Action>, theirs: Vec<Action>, expected: &str| {
            let got = format!("{:?}", judge(&Intent::new("WRITE", ours, 0), &theirs));
            assert!(got.starts_with(expected), "{got} is not {expected}");
        };
        check(vec![txn(5)], vec![txn(5)], "Settled");
        check(vec![txn(5)], vec![txn(9)], "Settled");
        check(vec![txn(5)], vec![txn(4)], "Disturbs");
        check(vec![txn(5)], vec![remove("a")], "Unrelated");
        check(vec![remove("a")], vec![txn(5)], "Unrelated");
        check(vec![remove("a")], vec![remove("a")], "Disturbs");
        check(vec![remove("a")], vec![remove("b")], "Unrelated");
        let intent = Intent::new("WRITE", vec![txn(5)], 0);
        assert_eq!(judge(&intent, &with_info(&intent)), Found::Ours);
    }
}
