//! Maintenance: compaction, retention, checkpoints, log cleanup and vacuum. One at a time in a
//! lake, inside `compaction.memory`; it never holds up or fails the writer: what does not work
//! now is reported and tried again when it is due.

use crate::LakeError;
use crate::actions::Action;
use crate::commit::{Done, Intent};
use crate::committer::{commit_until_told, refresh_until_told};
use crate::files::{DataFile, data_files};
use crate::lake::CHECKPOINT_EVERY;
use crate::options::CompactionReport;
use crate::recount::{Recount, count_file};
use crate::rewrite::Rewriter;
use crate::table::{Shared, Table};
use deltalake_core::DeltaTable;
use deltalake_core::checkpoints::{cleanup_expired_logs_for, create_checkpoint};
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

impl Table {
    /// Does what is due: retention, compaction, checkpoint, log cleanup, vacuum. Call it every
    /// few seconds; `None` if nothing was due.
    pub async fn maintain(&self) -> Option<CompactionReport> {
        let shared = &self.shared;
        let now = shared.options.clock.now();
        let every = shared.options.compaction.every.micros();
        let version = shared.state().version() as i64;
        let (due, vacuum) = {
            let done = shared.maintained.lock();
            let passed = |at: Option<i64>, span: i64| at.is_none_or(|at| now.saturating_sub(at) >= span);
            let checkpoint = version - done.checkpoint >= CHECKPOINT_EVERY;
            let vacuum_every = (shared.options.compaction.vacuum_after.micros() / 8).max(every);
            (passed(done.at, every) || checkpoint, passed(done.vacuumed_at, vacuum_every))
        };
        if !due {
            return None;
        }
        shared.maintained.lock().at = Some(now);
        let _one = shared.maintenance.lock().await;
        let mut report = self.report();
        let started = Instant::now();
        if let Err(e) = self.maintain_steps(&mut report, vacuum).await {
            tracing::warn!(table = self.name(), error = %e, "maintenance stopped early");
            report.error = Some(e.to_string());
        }
        report.took_ms = started.elapsed().as_millis() as u64;
        shared.keep_report(report.clone());
        Some(report)
    }

    async fn maintain_steps(&self, report: &mut CompactionReport, vacuum: bool) -> Result<(), LakeError> {
        let shared = &self.shared;
        report.expired_files = expire(shared).await?;
        if shared.options.compaction.enabled {
            compact(shared, report, shared.options.compaction.min_files).await?;
        }
        let version = shared.state().version() as i64;
        if version - shared.maintained.lock().checkpoint >= CHECKPOINT_EVERY {
            checkpoint(shared, report).await?;
        }
        if vacuum {
            report.vacuumed_files = sweep(shared).await?;
            shared.maintained.lock().vacuumed_at = Some(shared.options.clock.now());
        }
        Ok(())
    }

    fn report(&self) -> CompactionReport {
        CompactionReport {
            table: self.name().into(),
            at: self.shared.options.clock.now(),
            ..CompactionReport::default()
        }
    }

    /// Merges small files now, wherever a partition has two or more.
    pub async fn compact(&self) -> Result<CompactionReport, LakeError> {
        let _one = self.shared.maintenance.lock().await;
        let mut report = self.report();
        let started = Instant::now();
        compact(&self.shared, &mut report, 2).await?;
        report.took_ms = started.elapsed().as_millis() as u64;
        self.shared.keep_report(report.clone());
        Ok(report)
    }

    /// Removes files whose rows are all older than the retention; returns how many.
    pub async fn expire(&self) -> Result<u64, LakeError> {
        let _one = self.shared.maintenance.lock().await;
        expire(&self.shared).await
    }

    /// Deletes files from storage that no version younger than `vacuum_after` needs; returns how many.
    pub async fn vacuum(&self) -> Result<u64, LakeError> {
        let _one = self.shared.maintenance.lock().await;
        sweep(&self.shared).await
    }

    /// Writes a checkpoint at the present version and deletes the log files that it makes
    /// superfluous and that are older than `vacuum_after`; returns the version.
    pub async fn checkpoint(&self) -> Result<i64, LakeError> {
        let _one = self.shared.maintenance.lock().await;
        let mut report = self.report();
        checkpoint(&self.shared, &mut report).await?;
        Ok(report.checkpoint.unwrap_or_default())
    }
}

/// Groups of files that are worth merging: small ones of one partition, in offset order, up to
/// the target together.
fn plan(files: Vec<DataFile>, target: u64, min_files: usize) -> Vec<Vec<DataFile>> {
    let mut partitions: BTreeMap<_, Vec<DataFile>> = BTreeMap::new();
    for file in files.into_iter().filter(|f| f.size_bytes < target / 2 && !f.has_deletions) {
        partitions.entry(file.partition_values.clone()).or_default().push(file);
    }
    let mut groups = Vec::new();
    for mut files in partitions.into_values() {
        files.sort_by_key(|f| f.offsets);
        let mut group: Vec<DataFile> = Vec::new();
        for file in files {
            let size: u64 = group.iter().map(|f| f.size_bytes).sum();
            if size + file.size_bytes > target {
                groups.push(std::mem::take(&mut group));
            }
            group.push(file);
        }
        groups.push(group);
    }
    groups.retain(|g| g.len() >= min_files.max(2));
    groups
}

async fn compact(
    shared: &Arc<Shared>,
    report: &mut CompactionReport,
    min_files: usize,
) -> Result<(), LakeError> {
    let limits = &shared.options.compaction;
    let shape = shared.shape();
    for group in plan(data_files(&shared.state()), limits.target.0, min_files) {
        let now_ms = shared.now_ms();
        let mut rewriter = Rewriter::new(shared.handle.clone(), shape.clone(), limits.clone(), now_ms);
        rewriter.data_change = false;
        for file in &group {
            rewriter.copy(file, &shape, |_| true).await?;
        }
        let added = rewriter.finish().await?;
        report.files_before += group.len() as u64;
        report.bytes_before += group.iter().map(|f| f.size_bytes).sum::<u64>();
        report.files_after += added.len() as u64;
        report.bytes_after += added.iter().map(|a| a.size.max(0) as u64).sum::<u64>();
        let mut actions: Vec<Action> = group.iter().map(|f| f.remove(false, now_ms)).collect();
        actions.extend(added.into_iter().map(Action::from));
        commit_and_publish(shared, Intent::new("OPTIMIZE", actions, now_ms)).await?;
    }
    Ok(())
}

/// Commits a change that keeps the offset, and shows it.
pub(crate) async fn commit_and_publish(shared: &Shared, intent: Intent) -> Result<Done, LakeError> {
    let _guard = shared.commit_lock.lock().await;
    let base = shared.state().version() as i64;
    let done = commit_until_told(shared, base, &intent).await?;
    let state = refresh_until_told(shared).await;
    shared.inner.lock().state = Arc::new(state);
    Ok(done)
}

async fn expire(shared: &Arc<Shared>) -> Result<u64, LakeError> {
    let Some(age) = shared.options.retention.age else { return Ok(0) };
    let before = shared.options.clock.now().saturating_sub(age.micros());
    let old: Vec<DataFile> = data_files(&shared.state())
        .into_iter()
        .filter(|f| f.received_at_max.is_some_and(|newest| newest < before))
        .collect();
    if old.is_empty() {
        return Ok(0);
    }
    let (shape, mut gone) = (shared.shape(), Recount::default());
    for file in &old {
        count_file(&shared.handle, file, &shape, &(0..u64::MAX), &mut gone).await?;
    }
    let now_ms = shared.now_ms();
    let _guard = shared.commit_lock.lock().await;
    let before = shared.inner.lock().settled.clone();
    let mut after = before.clone();
    for (source, rows) in gone.stored {
        *after.expired.entry(source).or_default() += rows;
    }
    let mut actions = after.txns_since(&before, now_ms);
    // The offset stays the writer's: a delete must not look like one of its commits.
    actions.retain(|a| a.txn.as_ref().is_none_or(|t| t.app_id.starts_with("bourn/expired/")));
    actions.extend(old.iter().map(|f| f.remove(true, now_ms)));
    let base = shared.state().version() as i64;
    commit_until_told(shared, base, &Intent::new("DELETE", actions, now_ms)).await?;
    let state = refresh_until_told(shared).await;
    let mut inner = shared.inner.lock();
    inner.state = Arc::new(state);
    inner.settled = after;
    Ok(old.len() as u64)
}

async fn checkpoint(shared: &Arc<Shared>, report: &mut CompactionReport) -> Result<(), LakeError> {
    let state = shared.state();
    let version = state.version();
    let mut table = DeltaTable::new(shared.handle.log.clone());
    table.state = Some(state.as_ref().clone());
    create_checkpoint(&table, None).await.map_err(|e| shared.handle.delta(e))?;
    shared.maintained.lock().checkpoint = version as i64;
    report.checkpoint = Some(version as i64);
    let keep_ms = shared.options.compaction.vacuum_after.micros() / 1000;
    let cutoff_ms = shared.now_ms().saturating_sub(keep_ms);
    let deleted = cleanup_expired_logs_for(version, shared.handle.log.as_ref(), cutoff_ms, None)
        .await
        .map_err(|e| shared.handle.delta(e))?;
    report.log_files = deleted as u64;
    Ok(())
}

/// Deletes data files that are in no state and were not for `vacuum_after`.
async fn sweep(shared: &Arc<Shared>) -> Result<u64, LakeError> {
    let keep_ms = shared.options.compaction.vacuum_after.micros() / 1000;
    let cutoff_ms = shared.now_ms().saturating_sub(keep_ms);
    let mut stored = Vec::new();
    let mut listing = shared.handle.store.list(None);
    while let Some(meta) = listing.next().await {
        let meta = meta.map_err(|e| shared.handle.store_error(e))?;
        let name = meta.location.as_ref();
        let hidden = name.split('/').any(|part| part.starts_with('_') && !part.contains('='));
        if !hidden && name.ends_with(".parquet") && meta.last_modified.timestamp_millis() < cutoff_ms {
            stored.push(meta.location);
        }
    }
    // The state is read after the listing: a file that was committed meanwhile is in it.
    let state = shared.state();
    let mut needed: HashSet<Path> = data_files(&state).iter().map(|f| Path::from(f.path.as_str())).collect();
    let mut tombstones = state.all_tombstones(shared.handle.log.as_ref());
    while let Some(tombstone) = tombstones.try_next().await.map_err(|e| shared.handle.delta(e))? {
        if tombstone.deletion_timestamp().is_none_or(|at| at >= cutoff_ms) {
            needed.insert(Path::from(tombstone.path().as_ref()));
        }
    }
    drop(tombstones);
    needed.extend(shared.pending.lock().iter().map(|p| Path::from(p.as_str())));
    let mut deleted = 0;
    for path in stored.into_iter().filter(|path| !needed.contains(path)) {
        shared.handle.store.delete(&path).await.map_err(|e| shared.handle.store_error(e))?;
        deleted += 1;
    }
    Ok(deleted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_small_files_of_one_partition_are_merged() {
        let file = |partition: &str, first: u64, size_bytes: u64| DataFile {
            path: format!("{partition}/{first}"),
            size_bytes,
            partition_values: BTreeMap::from([("p".into(), Some(partition.into()))]),
            rows: None,
            offsets: Some((first, first)),
            received_at_max: None,
            modified_ms: 0,
            stats: None,
            has_deletions: false,
        };
        let check = |files: &[(&str, u64, u64)], expected: &[&[u64]]| {
            let files = files.iter().map(|(p, first, size)| file(p, *first, *size)).collect();
            let got: Vec<Vec<u64>> = plan(files, 100, 2)
                .into_iter()
                .map(|g| g.into_iter().filter_map(|f| f.offsets).map(|o| o.0).collect())
                .collect();
            assert_eq!(got, expected);
        };
        check(&[("a", 2, 10), ("a", 1, 10), ("b", 3, 10)], &[&[1, 2]]);
        check(&[("a", 1, 60), ("a", 2, 10)], &[]);
        check(&[("a", 1, 40), ("a", 2, 40), ("a", 3, 40), ("a", 4, 40)], &[&[1, 2], &[3, 4]]);
        check(&[], &[]);
    }
}
