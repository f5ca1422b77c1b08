//! The lines of a Delta commit (Delta protocol, "Actions") that Bourn writes and reads, and the
//! names of the application transactions that carry the ledger.

use bourn_event::{Micros, Offset, Outcome};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One line of a commit file: exactly one field is set. Actions of other kinds parse as all-`None`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Action {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit_info: Option<CommitInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meta_data: Option<MetaData>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub txn: Option<Txn>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub add: Option<Add>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remove: Option<Remove>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CommitInfo {
    /// Milliseconds since 1970.
    pub timestamp: i64,
    pub operation: String,
    pub operation_parameters: serde_json::Map<String, serde_json::Value>,
    pub is_blind_append: Option<bool>,
    pub engine_info: Option<String>,
    /// Names this commit, so that its writer knows it again when the answer was lost.
    pub txn_id: Option<String>,
    pub operation_metrics: serde_json::Map<String, serde_json::Value>,
}

/// Reader 1, writer 2: what every reader and writer of Delta understands.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Protocol {
    pub min_reader_version: i32,
    pub min_writer_version: i32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetaData {
    pub id: String,
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub description: Option<String>,
    pub format: Format,
    pub schema_string: String,
    pub partition_columns: Vec<String>,
    #[serde(default)]
    pub configuration: BTreeMap<String, String>,
    #[serde(default)]
    pub created_time: Option<i64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Format {
    pub provider: String,
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Txn {
    pub app_id: String,
    pub version: i64,
    #[serde(default)]
    pub last_updated: Option<i64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Add {
    pub path: String,
    #[serde(default)]
    pub partition_values: BTreeMap<String, Option<String>>,
    pub size: i64,
    pub modification_time: i64,
    pub data_change: bool,
    #[serde(default)]
    pub stats: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Remove {
    pub path: String,
    #[serde(default)]
    pub deletion_timestamp: Option<i64>,
    pub data_change: bool,
    #[serde(default)]
    pub extended_file_metadata: Option<bool>,
    #[serde(default)]
    pub partition_values: Option<BTreeMap<String, Option<String>>>,
    #[serde(default)]
    pub size: Option<i64>,
}

impl From<CommitInfo> for Action {
    fn from(info: CommitInfo) -> Self {
        Self { commit_info: Some(info), ..Self::default() }
    }
}

impl From<Protocol> for Action {
    fn from(protocol: Protocol) -> Self {
        Self { protocol: Some(protocol), ..Self::default() }
    }
}

impl From<MetaData> for Action {
    fn from(meta_data: MetaData) -> Self {
        Self { meta_data: Some(meta_data), ..Self::default() }
    }
}

impl From<Txn> for Action {
    fn from(txn: Txn) -> Self {
        Self { txn: Some(txn), ..Self::default() }
    }
}

impl From<Add> for Action {
    fn from(add: Add) -> Self {
        Self { add: Some(add), ..Self::default() }
    }
}

impl From<Remove> for Action {
    fn from(remove: Remove) -> Self {
        Self { remove: Some(remove), ..Self::default() }
    }
}

/// Parses a commit file; lines that are no JSON object make it an error naming the line.
pub fn parse(bytes: &[u8]) -> Result<Vec<Action>, String> {
    bytes
        .split(|b| *b == b'\n')
        .enumerate()
        .filter(|(_, line)| !line.iter().all(u8::is_ascii_whitespace))
        .map(|(i, line)| serde_json::from_slice(line).map_err(|e| format!("line {}: {e}", i + 1)))
        .collect()
}

/// One line per action.
pub fn render(actions: &[Action]) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = Vec::with_capacity(actions.len() * 256);
    for action in actions {
        serde_json::to_writer(&mut bytes, action)?;
        bytes.push(b'\n');
    }
    Ok(bytes)
}

/// Cumulative counts by how events ended and by source.
pub type Tally = BTreeMap<(Outcome, String), u64>;

/// The part of the ledger that is committed with the data, as `txn` actions:
///
/// | application id | version |
/// | --- | --- |
/// | `bourn/offset` | the offset behind the last settled event |
/// | `bourn/event_time_max` | the largest event time, µs |
/// | `bourn/<outcome>/<source>` | events that ended so, ever |
/// | `bourn/expired/<source>` | stored events that retention deleted, ever |
/// | `bourn/replay/<generation>/<from>` | the offset behind the last one that this replay settled anew |
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    pub offset: Offset,
    pub event_time_max: Option<Micros>,
    pub counts: Tally,
    pub expired: BTreeMap<String, u64>,
    pub replays: Vec<Replayed>,
}

/// A replay whose rows are in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Replayed {
    /// Names the replay; a later one has a larger generation.
    pub generation: i64,
    /// The offsets it settled anew, `[from, to)`.
    pub from: Offset,
    pub to: Offset,
}

const OFFSET: &str = "bourn/offset";
const EVENT_TIME_MAX: &str = "bourn/event_time_max";
const EXPIRED: &str = "expired";
const REPLAY: &str = "replay";

impl Settled {
    /// Reads what a log's transactions say; those of other applications are passed over.
    pub fn from_txns(txns: &BTreeMap<String, i64>) -> Self {
        let mut settled = Self::default();
        for (id, &version) in txns {
            let count = version.max(0) as u64;
            match id.as_str() {
                OFFSET => settled.offset = count,
                EVENT_TIME_MAX => settled.event_time_max = Some(version),
                _ => settled.read_count(id, count),
            }
        }
        settled.replays.sort_unstable();
        settled
    }

    fn read_count(&mut self, id: &str, count: u64) {
        let Some((kind, source)) = id.strip_prefix("bourn/").and_then(|rest| rest.split_once('/')) else {
            return;
        };
        if kind == REPLAY {
            let replay = source.split_once('/').and_then(|(generation, from)| {
                Some(Replayed { generation: generation.parse().ok()?, from: from.parse().ok()?, to: count })
            });
            self.replays.extend(replay);
        } else if kind == EXPIRED {
            self.expired.insert(source.into(), count);
        } else if let Some(outcome) = Outcome::ALL.into_iter().find(|o| o.name() == kind) {
            self.counts.insert((outcome, source.into()), count);
        }
    }

    /// The transactions that turn `before` into `self`.
    pub fn txns_since(&self, before: &Self, now_ms: i64) -> Vec<Action> {
        let mut out = Vec::new();
        let mut put = |app_id: String, version: i64| {
            out.push(Action::from(Txn { app_id, version, last_updated: Some(now_ms) }));
        };
        put(OFFSET.into(), self.offset as i64);
        if let Some(time) = self.event_time_max.filter(|t| before.event_time_max != Some(*t)) {
            put(EVENT_TIME_MAX.into(), time);
        }
        for ((outcome, source), &count) in &self.counts {
            if before.counts.get(&(*outcome, source.clone())) != Some(&count) {
                put(format!("bourn/{}/{source}", outcome.name()), count as i64);
            }
        }
        for (source, &count) in &self.expired {
            if before.expired.get(source) != Some(&count) {
                put(format!("bourn/{EXPIRED}/{source}"), count as i64);
            }
        }
        for replay in self.replays.iter().filter(|replay| !before.replays.contains(replay)) {
            put(format!("bourn/{REPLAY}/{}/{}", replay.generation, replay.from), replay.to as i64);
        }
        out
    }

    /// The offset a commit carries, if it carries one.
    pub fn offset_of(actions: &[Action]) -> Option<Offset> {
        actions
            .iter()
            .filter_map(|a| a.txn.as_ref())
            .find(|txn| txn.app_id == OFFSET)
            .map(|txn| txn.version.max(0) as Offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settled_counts_survive_their_transactions() {
        let mut settled = Settled { offset: 12, event_time_max: Some(-5), ..Settled::default() };
        settled.counts.insert((Outcome::Stored, "http".into()), 7);
        settled.counts.insert((Outcome::Late, "files:0/with/slashes".into()), 5);
        settled.expired.insert("http".into(), 3);
        settled.replays.push(Replayed { generation: 77, from: 2, to: 9 });
        let actions = settled.txns_since(&Settled::default(), 1);
        let txns = actions.iter().filter_map(|a| a.txn.clone()).map(|t| (t.app_id, t.version)).collect();
        assert_eq!(Settled::from_txns(&txns), settled);
        assert_eq!(Settled::offset_of(&actions), Some(12));
        assert_eq!(settled.txns_since(&settled, 1).len(), 1, "only what changed is written again");
    }

    #[test]
    fn a_commit_survives_rendering_and_foreign_actions_are_passed_over() {
        let actions = vec![Action::from(Protocol { min_reader_version: 1, min_writer_version: 2 })];
        let mut bytes = render(&actions).unwrap();
        bytes.extend_from_slice(b"{\"domainMetadata\":{\"domain\":\"x\"}}\n");
        let parsed = parse(&bytes).unwrap();
        assert_eq!(parsed.len(), 2);
        assert_eq!(parsed[0].protocol.as_ref().unwrap().min_writer_version, 2);
        assert!(parse(b"{\"add\":").unwrap_err().starts_with("line 1"));
    }
}
