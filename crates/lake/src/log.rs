//! Reading a Delta log directly, for what the library's snapshot does not tell: all application
//! transactions at once, and the history.

use crate::LakeError;
use crate::actions::{Action, CommitInfo, parse};
use crate::handle::Handle;
use crate::reading::StoredFile;
use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use parquet::arrow::ProjectionMask;
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;
use std::collections::BTreeMap;

/// Commit files read at the same time.
const READ_AHEAD: usize = 16;

/// A commit, for `system.commits`.
#[derive(Clone, Debug)]
pub struct Commit {
    pub version: i64,
    /// Milliseconds since 1970.
    pub timestamp_ms: i64,
    /// `WRITE`, `OPTIMIZE`, `DELETE`, `REPLAY`, `CREATE TABLE`, …
    pub operation: String,
    pub files_added: u64,
    pub files_removed: u64,
    pub bytes_added: u64,
    /// Rows in the added files, where their statistics say so.
    pub rows_added: u64,
}

/// What lies in `_delta_log`.
#[derive(Debug, Default)]
pub struct Listing {
    /// Versions of the commit files, ascending.
    pub commits: Vec<i64>,
    /// The newest checkpoint and its files.
    pub checkpoint: Option<(i64, Vec<Path>)>,
}

/// Path of a commit file within the table.
pub fn commit_path(version: i64) -> Path {
    Path::from(format!("_delta_log/{version:020}.json"))
}

/// Lists the log. An empty listing means that there is no table.
pub async fn list(handle: &Handle) -> Result<Listing, LakeError> {
    let prefix = Path::from("_delta_log");
    let mut names: Vec<Path> = handle
        .store
        .list(Some(&prefix))
        .map_ok(|meta| meta.location)
        .try_collect()
        .await
        .map_err(|e| handle.store_error(e))?;
    names.sort();
    let mut listing = Listing::default();
    for path in names {
        let Some((version, rest)) = path.filename().and_then(split_name) else { continue };
        if rest == "json" {
            listing.commits.push(version);
        } else if rest.starts_with("checkpoint") && rest.ends_with(".parquet") {
            match &mut listing.checkpoint {
                Some((newest, files)) if *newest == version => files.push(path),
                slot => *slot = Some((version, vec![path])),
            }
        }
    }
    Ok(listing)
}

fn split_name(name: &str) -> Option<(i64, &str)> {
    let (version, rest) = name.split_once('.')?;
    (version.len() == 20).then_some(())?;
    Some((version.parse().ok()?, rest))
}

/// The actions of one commit; `None` if there is no such file.
pub async fn read_commit(handle: &Handle, version: i64) -> Result<Option<Vec<Action>>, LakeError> {
    let path = commit_path(version);
    let bytes = match handle.store.get(&path).await {
        Ok(got) => got.bytes().await.map_err(|e| handle.store_error(e))?,
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        Err(e) => return Err(handle.store_error(e)),
    };
    parse(&bytes).map(Some).map_err(|e| LakeError::broken(&handle.name, &path, e))
}

/// All application transactions as of `version` (the log's end if `None`), by application id.
pub async fn transactions(
    handle: &Handle,
    listing: &Listing,
    version: Option<i64>,
) -> Result<BTreeMap<String, i64>, LakeError> {
    let last = version.unwrap_or(i64::MAX);
    let mut txns = BTreeMap::new();
    let mut from = 0;
    if let Some((at, files)) = listing.checkpoint.as_ref().filter(|(at, _)| *at <= last) {
        for file in files {
            read_checkpoint(handle, file, &mut txns).await?;
        }
        from = at + 1;
    }
    let versions: Vec<i64> = listing.commits.iter().copied().filter(|v| (from..=last).contains(v)).collect();
    let mut commits =
        futures::stream::iter(versions.into_iter().map(|v| read_commit(handle, v))).buffered(READ_AHEAD);
    while let Some(actions) = commits.next().await {
        for txn in actions?.into_iter().flatten().filter_map(|a| a.txn) {
            txns.insert(txn.app_id, txn.version);
        }
    }
    Ok(txns)
}

async fn read_checkpoint(
    handle: &Handle,
    path: &Path,
    txns: &mut BTreeMap<String, i64>,
) -> Result<(), LakeError> {
    let broken = |e: parquet::errors::ParquetError| LakeError::broken(&handle.name, path, e);
    let reader = StoredFile::new(handle.store.clone(), path.clone(), None);
    let builder = ParquetRecordBatchStreamBuilder::new(reader).await.map_err(broken)?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), ["txn.appId", "txn.version"]);
    let mut batches = builder.with_projection(mask).build().map_err(broken)?;
    while let Some(batch) = batches.next().await {
        let batch = batch.map_err(broken)?;
        let Some(txn) = batch.column_by_name("txn").and_then(|c| c.as_struct_opt()) else { continue };
        let (Some(ids), Some(versions)) = (txn.column_by_name("appId"), txn.column_by_name("version")) else {
            continue;
        };
        let ids = arrow::compute::cast(ids, &arrow::datatypes::DataType::Utf8)
            .map_err(|e| LakeError::broken(&handle.name, path, e))?;
        let ids = ids.as_string::<i32>();
        let Some(versions) = versions.as_primitive_opt::<Int64Type>() else { continue };
        for row in (0..txn.len()).filter(|&row| txn.is_valid(row) && ids.is_valid(row)) {
            txns.insert(ids.value(row).to_string(), versions.value(row));
        }
    }
    Ok(())
}

/// The newest `limit` commits that the log still has, newest first.
pub async fn history(handle: &Handle, limit: usize) -> Result<Vec<Commit>, LakeError> {
    let listing = list(handle).await?;
    let versions: Vec<i64> = listing.commits.iter().rev().take(limit).copied().collect();
    futures::stream::iter(versions.into_iter().map(|version| async move {
        let actions = read_commit(handle, version).await?.unwrap_or_default();
        Ok(summary(version, &actions))
    }))
    .buffered(READ_AHEAD)
    .try_collect()
    .await
}

fn summary(version: i64, actions: &[Action]) -> Commit {
    let info = actions.iter().find_map(|a| a.commit_info.clone()).unwrap_or_else(CommitInfo::default);
    let adds: Vec<_> = actions.iter().filter_map(|a| a.add.as_ref()).collect();
    let rows = |stats: &Option<String>| {
        let stats: serde_json::Value = serde_json::from_str(stats.as_deref()?).ok()?;
        stats["numRecords"].as_u64()
    };
    Commit {
        version,
        timestamp_ms: info.timestamp,
        operation: info.operation,
        files_added: adds.len() as u64,
        files_removed: actions.iter().filter(|a| a.remove.is_some()).count() as u64,
        bytes_added: adds.iter().map(|a| a.size.max(0) as u64).sum(),
        rows_added: adds.iter().filter_map(|a| rows(&a.stats)).sum(),
    }
}

/// The newest version committed at or before `at_ms`.
pub async fn version_at(handle: &Handle, at_ms: i64) -> Result<i64, LakeError> {
    let listing = list(handle).await?;
    for &version in listing.commits.iter().rev() {
        let actions = read_commit(handle, version).await?.unwrap_or_default();
        if summary(version, &actions).timestamp_ms <= at_ms {
            return Ok(version);
        }
    }
    let oldest = listing.commits.first().copied().unwrap_or(0);
    Err(LakeError::NoVersion { table: handle.name.to_string(), version: oldest - 1, oldest })
}
