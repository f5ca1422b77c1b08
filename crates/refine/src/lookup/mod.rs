//! Lookups: small reference tables in memory, read again when their files change.

mod join;
mod read;

pub use join::{Join, JoinPlan};

use crate::column::nearest;
use arrow::array::RecordBatch;
use arrow::compute::{CastOptions, cast_with_options};
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;
use xxhash_rust::xxh3::xxh3_64;

/// What is wrong with a lookup's definition or file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("lookups.{name}.{key}: {message}")]
pub struct LookupFault {
    pub name: String,
    /// The key below the lookup: `file` or `key`.
    pub key: &'static str,
    pub message: String,
    pub hint: String,
}

/// A lookup whose file had changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reloaded {
    pub name: String,
    /// Rows it has now.
    pub rows: usize,
    /// Why the new file was not taken; the old rows stay.
    pub error: Option<String>,
}

/// All lookups of a pipeline. Clones share their rows.
#[derive(Clone, Default)]
pub struct Lookups {
    entries: Arc<BTreeMap<String, Entry>>,
}

/// A lookup's rows at one moment.
#[derive(Debug)]
pub struct LookupTable {
    pub key: Vec<String>,
    pub rows: RecordBatch,
}

struct Entry {
    definition: bourn_config::Lookup,
    path: PathBuf,
    table: RwLock<Arc<LookupTable>>,
    stamp: Mutex<Stamp>,
}

/// How to tell that a file changed without reading it, and that its content did not.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    content: u64,
}

impl Lookups {
    /// Reads all lookups; their files are relative to `base`.
    ///
    /// # Errors
    /// Every fault of every lookup.
    pub fn open(
        definitions: &BTreeMap<String, bourn_config::Lookup>,
        base: &Path,
    ) -> Result<Self, Vec<LookupFault>> {
        let (lookups, faults) = Self::open_some(definitions, base);
        if faults.is_empty() { Ok(lookups) } else { Err(faults) }
    }

    /// Reads the lookups that can be read, and tells what is wrong with the others: for who only looks
    /// at what is stored.
    pub fn open_some(
        definitions: &BTreeMap<String, bourn_config::Lookup>,
        base: &Path,
    ) -> (Self, Vec<LookupFault>) {
        let (mut entries, mut faults) = (BTreeMap::new(), Vec::new());
        for (name, definition) in definitions {
            let path = base.join(&definition.file);
            match load(name, definition, &path) {
                Ok((rows, stamp)) => {
                    let table = LookupTable { key: definition.key.names().to_vec(), rows };
                    let entry = Entry {
                        definition: definition.clone(),
                        path,
                        table: RwLock::new(Arc::new(table)),
                        stamp: Mutex::new(stamp),
                    };
                    entries.insert(name.clone(), entry);
                }
                Err(mut found) => faults.append(&mut found),
            }
        }
        (Self { entries: Arc::new(entries) }, faults)
    }

    /// Reads the files that changed. A file that cannot be read, or whose columns no longer have
    /// the types they had, leaves the old rows in place.
    pub fn reload_changed(&self) -> Vec<Reloaded> {
        self.entries.iter().filter_map(|(name, entry)| entry.reload(name)).collect()
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The rows of a lookup as they are now.
    pub fn table(&self, name: &str) -> Option<RecordBatch> {
        self.snapshot(name).map(|table| table.rows.clone())
    }

    pub(crate) fn snapshot(&self, name: &str) -> Option<Arc<LookupTable>> {
        Some(Arc::clone(&self.entries.get(name)?.table.read()))
    }
}

impl Entry {
    fn reload(&self, name: &str) -> Option<Reloaded> {
        let mut stamp = self.stamp.lock();
        let old = Arc::clone(&self.table.read());
        let unchanged = std::fs::metadata(&self.path)
            .is_ok_and(|meta| meta.len() == stamp.length && meta.modified().ok() == stamp.modified);
        if unchanged {
            return None;
        }
        let loaded = load(name, &self.definition, &self.path).map_err(|faults| {
            faults.iter().map(|fault| fault.message.clone()).collect::<Vec<_>>().join("; ")
        });
        let taken = loaded.and_then(|(rows, new)| {
            if new.content != stamp.content {
                let rows = reshape(&rows, &old.rows)?;
                *self.table.write() = Arc::new(LookupTable { key: old.key.clone(), rows });
            }
            Ok(new)
        });
        let error = match taken {
            Ok(new) if new.content == stamp.content => {
                *stamp = new;
                return None;
            }
            Ok(new) => {
                *stamp = new;
                None
            }
            Err(error) => Some(error),
        };
        let rows = self.table.read().rows.num_rows();
        Some(Reloaded { name: name.to_owned(), rows, error })
    }
}

/// The new rows with exactly the columns and types that plans were made with.
fn reshape(new: &RecordBatch, old: &RecordBatch) -> Result<RecordBatch, String> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let schema = old.schema();
    let columns = schema.fields().iter().map(|field| {
        let name = field.name();
        let column = new.column_by_name(name).ok_or_else(|| format!("the column `{name}` is gone"))?;
        cast_with_options(column, field.data_type(), &options)
            .map_err(|e| format!("the column `{name}` is no longer of type {}: {e}", field.data_type()))
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new(Arc::clone(&schema), columns).map_err(|e| e.to_string())
}

fn load(
    name: &str,
    definition: &bourn_config::Lookup,
    path: &Path,
) -> Result<(RecordBatch, Stamp), Vec<LookupFault>> {
    let fault =
        |key, message: String, hint: String| LookupFault { name: name.to_owned(), key, message, hint };
    let unreadable = |message: String| {
        let hint = "a lookup is a CSV, Parquet or NDJSON file, plain, .gz or .zst".to_owned();
        vec![fault("file", format!("{}: {message}", path.display()), hint)]
    };
    let meta = std::fs::metadata(path).map_err(|e| unreadable(e.to_string()))?;
    let bytes = std::fs::read(path).map_err(|e| unreadable(e.to_string()))?;
    let stamp = Stamp { modified: meta.modified().ok(), length: meta.len(), content: xxh3_64(&bytes) };
    let rows = read::read(bytes, path, definition.format).map_err(unreadable)?;
    let schema = rows.schema();
    let absent = definition.key.names().iter().filter(|key| schema.column_with_name(key).is_none());
    let faults: Vec<LookupFault> = absent
        .map(|key| fault("key", format!("the file has no column `{key}`"), nearest(schema.fields(), key)))
        .collect();
    if faults.is_empty() { Ok((rows, stamp)) } else { Err(faults) }
}
