//! `storage:` and what a stream says of its table.

use super::units::{ByteSize, Span};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// Where the log, the state and the lake live.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Storage {
    /// Folder of the log and the state, relative to the pipeline's folder.
    pub state: PathBuf,
    /// A folder relative to the pipeline's, or `s3://bucket/prefix`, `gs://…`, `az://…`.
    pub lake: String,
    /// Options of the object store by their names in the `object_store` crate, such as
    /// `endpoint`, `region`, `access_key_id`, `allow_http`. Secrets by reference.
    pub options: BTreeMap<String, String>,
}

impl fmt::Debug for Storage {
    /// Options hold the keys of object stores.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options: Vec<&String> = self.options.keys().collect();
        let mut shown = f.debug_struct("Storage");
        shown.field("state", &self.state).field("lake", &self.lake).field("options", &options).finish()
    }
}

impl Default for Storage {
    fn default() -> Self {
        Self { state: ".bourn".into(), lake: "lake".into(), options: BTreeMap::new() }
    }
}

/// When rows are committed to the table: whichever comes first.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Commit {
    /// Age of the oldest uncommitted row.
    pub every: Span,
    /// Size in memory of the uncommitted rows.
    pub bytes: ByteSize,
}

impl Default for Commit {
    fn default() -> Self {
        Self { every: Span::from_secs(5), bytes: ByteSize::mib(32) }
    }
}

/// Merging of small files in the background.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Compaction {
    /// Compact in the background at all?
    pub enabled: bool,
    /// How often to look for work.
    pub every: Span,
    /// Size that files are merged up to.
    pub target: ByteSize,
    /// Small files in one partition that make a compaction worth it.
    pub min_files: usize,
    /// Memory a compaction may use.
    pub memory: ByteSize,
    /// Files that no version newer than this needs are deleted from storage.
    pub vacuum_after: Span,
}

impl Default for Compaction {
    fn default() -> Self {
        Self {
            enabled: true,
            every: Span::from_secs(60),
            target: ByteSize::mib(128),
            min_files: 8,
            memory: ByteSize::mib(128),
            vacuum_after: Span::from_secs(7 * 86_400),
        }
    }
}

/// Deletion of old rows. Off unless it is asked for.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TableRetention {
    /// Rows received longer ago than this are deleted, whole files at a time.
    pub age: Option<Span>,
}

/// What happens when the definition's columns and the table's differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SchemaPolicy {
    /// New columns are added and types widened.
    #[default]
    Evolve,
    /// The table's columns stay; values of new ones go to `_extra`.
    Freeze,
    /// The pipeline does not start until the difference is resolved.
    Reject,
}

/// A column or a function of one that names a row's partition: `country`, `day(occurred_at)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    pub function: PartitionFunction,
    pub column: String,
}

/// How a partition's value is made from its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionFunction {
    /// The column itself.
    Identity,
    /// `YYYY-MM-DD` of a timestamp, in UTC.
    Day,
    /// `YYYY-MM-DD-HH`.
    Hour,
    /// `YYYY-MM`.
    Month,
    /// `YYYY`.
    Year,
}

impl PartitionFunction {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identity => "",
            Self::Day => "day",
            Self::Hour => "hour",
            Self::Month => "month",
            Self::Year => "year",
        }
    }
}

impl Partition {
    /// Name of the table's partition column: the column's own, or `<column>_<function>`.
    pub fn table_column(&self) -> String {
        match self.function {
            PartitionFunction::Identity => self.column.clone(),
            function => format!("{}_{}", self.column, function.name()),
        }
    }

    /// Errors say what was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected = || {
            format!(
                "`{text}` is not a partition: write a column, or year, month, day or hour of one, like `day(occurred_at)`"
            )
        };
        let text = text.trim();
        let (function, column) = match text.split_once('(') {
            None => (PartitionFunction::Identity, text),
            Some((function, rest)) => {
                let function = match function.trim() {
                    "year" => PartitionFunction::Year,
                    "month" => PartitionFunction::Month,
                    "day" => PartitionFunction::Day,
                    "hour" => PartitionFunction::Hour,
                    _ => return Err(expected()),
                };
                (function, rest.strip_suffix(')').ok_or_else(expected)?.trim())
            }
        };
        let named = !column.is_empty() && column.chars().all(|c| c.is_alphanumeric() || c == '_');
        if !named {
            return Err(expected());
        }
        Ok(Self { function, column: column.into() })
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.function {
            PartitionFunction::Identity => f.write_str(&self.column),
            function => write!(f, "{}({})", function.name(), self.column),
        }
    }
}

impl Serialize for Partition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Partition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl JsonSchema for Partition {
    fn schema_name() -> Cow<'static, str> {
        "Partition".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "x-unit": "partition",
            "pattern": r"^\s*(((year|month|day|hour)\s*\(\s*\w+\s*\))|\w+)\s*$",
            "description": "A column, or `year`, `month`, `day` or `hour` of one: `day(occurred_at)`.",
        })
    }
}
