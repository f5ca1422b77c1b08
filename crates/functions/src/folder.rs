//! Notices when the code of a function changes: names, sizes and times of its files, looked at now and
//! then while it has processes.

use crate::pool::Pool;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Files of one function that are looked at.
const FILES_MAX: usize = 20_000;

/// A look may take this share of the time at most: the next one waits so many times as long.
const REST_FACTOR: u32 = 50;

/// What interpreters write by themselves.
const IGNORED: [&str; 2] = ["__pycache__", ".git"];

/// Reloads functions whose folders change, until told to stop.
pub(crate) async fn watch(pools: Vec<Arc<Pool>>, stop: CancellationToken) {
    let Some(every) = pools.first().map(|pool| pool.shared.settings.watch_every) else { return };
    let mut seen = look(pools.clone()).await;
    let mut rest = every;
    loop {
        tokio::select! {
            () = tokio::time::sleep(rest) => {}
            () = stop.cancelled() => return,
        }
        let began = Instant::now();
        let running: Vec<_> =
            pools.iter().filter(|pool| pool.roster.lock().has_processes()).cloned().collect();
        for (name, now) in look(running).await {
            let before = seen.insert(name.clone(), now);
            if before.is_some_and(|before| before != now)
                && let Some(pool) = pools.iter().find(|pool| pool.name == name)
            {
                tracing::info!("function {name}: its code has changed; new invocations get new processes");
                pool.reload();
            }
        }
        rest = every.max(began.elapsed().saturating_mul(REST_FACTOR)).min(Duration::from_secs(60));
    }
}

async fn look(pools: Vec<Arc<Pool>>) -> BTreeMap<Arc<str>, u64> {
    let task = tokio::task::spawn_blocking(move || {
        pools.iter().map(|pool| (pool.name.clone(), fingerprint(&pool.program.code))).collect()
    });
    task.await.unwrap_or_default()
}

/// Changes when a file below the folder does.
fn fingerprint(folder: &Path) -> u64 {
    let mut open = vec![folder.to_path_buf()];
    let (mut sum, mut left) = (0u64, FILES_MAX);
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                if !IGNORED.iter().any(|ignored| name == *ignored) {
                    open.push(entry.path());
                }
                continue;
            }
            if left == 0 {
                return sum;
            }
            left -= 1;
            // What a link points to counts, not the link.
            let Ok(meta) = std::fs::metadata(entry.path()) else { continue };
            let mut hasher = DefaultHasher::new();
            (entry.path(), meta.len(), meta.mtime(), meta.mtime_nsec(), meta.ino()).hash(&mut hasher);
            sum = sum.wrapping_add(hasher.finish());
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprint_tells_changes_from_noise() {
        let dir = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::write(path, text).expect("written");
        };
        write("a.py", "1");
        let first = fingerprint(dir.path());
        assert_eq!(first, fingerprint(dir.path()));
        write("__pycache__/a.pyc", "x");
        assert_eq!(first, fingerprint(dir.path()));
        write("deep/er/b.py", "1");
        let second = fingerprint(dir.path());
        assert_ne!(first, second);
        write("a.py", "22");
        assert_ne!(second, fingerprint(dir.path()));
    }
}
