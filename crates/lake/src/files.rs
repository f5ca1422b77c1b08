//! The data files of a table's state, with what their statistics say.

use crate::actions::{Action, Add, Remove};
use crate::encode::stats_micros;
use bourn_event::{Micros, SystemColumn};
use deltalake_core::table::state::DeltaTableState;
use serde_json::Value;
use std::collections::BTreeMap;

/// A data file that is part of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct DataFile {
    /// Relative to the table's folder.
    pub path: String,
    pub size_bytes: u64,
    pub partition_values: BTreeMap<String, Option<String>>,
    pub rows: Option<u64>,
    /// First and last offset.
    pub offsets: Option<(u64, u64)>,
    pub received_at_max: Option<Micros>,
    /// Milliseconds since 1970.
    pub modified_ms: i64,
    pub stats: Option<String>,
    /// Another writer marked rows of it as deleted; Bourn leaves such files alone.
    pub has_deletions: bool,
}

impl DataFile {
    pub fn add(&self, data_change: bool) -> Action {
        Action::from(Add {
            path: self.path.clone(),
            partition_values: self.partition_values.clone(),
            size: self.size_bytes as i64,
            modification_time: self.modified_ms,
            data_change,
            stats: self.stats.clone(),
        })
    }

    pub fn remove(&self, data_change: bool, now_ms: i64) -> Action {
        Action::from(Remove {
            path: self.path.clone(),
            deletion_timestamp: Some(now_ms),
            data_change,
            extended_file_metadata: Some(true),
            partition_values: Some(self.partition_values.clone()),
            size: Some(self.size_bytes as i64),
        })
    }
}

/// The files of `state`, by path.
pub fn data_files(state: &DeltaTableState) -> Vec<DataFile> {
    let mut files: Vec<DataFile> = state
        .log_data()
        .iter()
        .map(|view| {
            let stats = view.stats();
            let parsed: Value =
                stats.as_deref().and_then(|s| serde_json::from_str(s).ok()).unwrap_or_default();
            let bound = |side: &str, column: SystemColumn| parsed[side][column.name()].clone();
            let offsets = bound("minValues", SystemColumn::Offset)
                .as_u64()
                .zip(bound("maxValues", SystemColumn::Offset).as_u64());
            DataFile {
                path: view.path().into_owned(),
                size_bytes: view.size().max(0) as u64,
                partition_values: view.partition_values_map().into_iter().collect(),
                rows: parsed["numRecords"].as_u64(),
                offsets,
                received_at_max: stats_micros(&bound("maxValues", SystemColumn::ReceivedAt)),
                modified_ms: view.modification_time(),
                has_deletions: view.deletion_vector_descriptor().is_some(),
                stats,
            }
        })
        .collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}
