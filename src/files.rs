//! The file sources of a running pipeline.

use crate::pipeline::Pipeline;
use crate::progress;
use anyhow::{Context, Result};
use bourn_config::Source;
use bourn_ingest::{FileMemory, FileProgress, FileSourceTask};
use bourn_schedule::OwnEvent;
use bourn_state::{Durability, Key, State};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The running tasks.
pub struct FileTasks(JoinSet<Result<()>>);

impl FileTasks {
    /// Waits for all of them; the first failure is told after the others ended.
    pub async fn join(mut self) -> Result<()> {
        let mut first = Ok(());
        while let Some(ended) = self.0.join_next().await {
            let outcome = ended.context("a file source panicked").and_then(|outcome| outcome);
            if first.is_ok() {
                first = outcome;
            }
        }
        first
    }
}

/// Starts a task for every file source.
pub fn start(pipeline: &Arc<Pipeline>, cancel: &CancellationToken, once: bool) -> Result<FileTasks> {
    let mut tasks = JoinSet::new();
    for (name, stream) in &pipeline.definition.streams {
        let Some(port) = pipeline.ports.get(name) else { continue };
        for (index, source) in stream.settings.sources.iter().enumerate() {
            let Source::Files(settings) = source else { continue };
            let bar = progress::bytes(0, &format!("{name} {}", settings.path));
            let counts = Arc::new(Mutex::new((0, 0)));
            let seen = counts.clone();
            let task = FileSourceTask {
                port: port.clone(),
                index,
                dir: pipeline.definition.loaded.dir.clone(),
                source: settings.clone(),
                memory: Arc::new(StateMemory {
                    state: pipeline.state.clone(),
                    stream: name.clone(),
                    counts,
                    pipeline: Arc::downgrade(pipeline),
                }),
                observer: Arc::new(move |progress: &FileProgress<'_>| {
                    bar.set_length(progress.bytes_total);
                    bar.set_position(progress.bytes_read);
                    *seen.lock() = (progress.events, progress.rejected);
                }),
            };
            let cancel = cancel.clone();
            tasks.spawn(async move { Ok(task.run(cancel, once).await.map(drop)?) });
        }
    }
    Ok(FileTasks(tasks))
}

/// Remembers finished files in the state store, and tells triggers of them.
struct StateMemory {
    state: Arc<State>,
    stream: String,
    /// Events and rejects of the file that is read.
    counts: Arc<Mutex<(u64, u64)>>,
    pipeline: Weak<Pipeline>,
}

impl StateMemory {
    fn key(&self, identity: &str) -> Key {
        Key::FinishedFile { stream: self.stream.clone(), identity: identity.to_string() }
    }
}

/// What is kept of a finished file.
#[derive(Serialize, Deserialize)]
struct Finished {
    path: PathBuf,
    /// Behind the file's last event.
    position: u64,
}

impl FileMemory for StateMemory {
    fn finished(&self, identity: &str) -> Option<u64> {
        // A file that cannot be looked up is read again; the log's producers keep it from being
        // stored twice.
        let finished: Option<Finished> = self.state.get(&self.key(identity)).unwrap_or_else(|error| {
            tracing::warn!("cannot look up whether a file was read before: {error}");
            None
        });
        finished.map(|finished| finished.position)
    }

    fn finish(&self, identity: &str, path: &Path, position: u64) -> std::io::Result<()> {
        let finished = Finished { path: path.to_path_buf(), position };
        self.state.put(&self.key(identity), &finished, Durability::Synced).map_err(std::io::Error::other)?;
        let pipeline = self.pipeline.upgrade();
        if let Some(compute) = pipeline.as_ref().and_then(|pipeline| pipeline.compute_if_open()) {
            let (events, rejected) = *self.counts.lock();
            compute.announce(OwnEvent::FileFinished {
                stream: self.stream.clone(),
                path: path.display().to_string(),
                events,
                rejected,
            });
        }
        Ok(())
    }
}
