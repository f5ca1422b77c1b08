//! `lookups:`: small reference tables.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A reference table, read from a file and read again when the file changes.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lookup {
    /// The file, relative to the pipeline's folder.
    pub file: PathBuf,
    /// The column, or columns, that name a row. Of rows with the same key the last counts.
    pub key: super::KeyList,
    /// Told from the file's name if absent: `.csv`, `.parquet`, `.ndjson`/`.jsonl`, each also `.gz` and `.zst`.
    #[serde(default)]
    pub format: Option<LookupFormat>,
}

/// Format of a lookup's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LookupFormat {
    /// With a header line; types are inferred.
    Csv,
    Parquet,
    Ndjson,
}
