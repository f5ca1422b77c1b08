//! The file sources of a running pipeline.

use crate::pipeline::Pipeline;
use crate::progress;
use anyhow::{Context, Result};
use bourn_config::Source;
use bourn_ingest::{FileMemory, FileProgress, FileSourceTask};
use bourn_state::{Durability, Key, State};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
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
            let task = FileSourceTask {
                port: port.clone(),
                index,
                dir: pipeline.definition.loaded.dir.clone(),
                source: settings.clone(),
                memory: Arc::new(StateMemory { state: pipeline.state.clone(), stream: name.clone() }),
                observer: Arc::new(move |progress: &FileProgress<'_>| {
                    bar.set_length(progress.bytes_total);
                    bar.set_position(progress.bytes_read);
                }),
            };
            let cancel = cancel.clone();
            tasks.spawn(async move { Ok(task.run(cancel, once).await.map(drop)?) });
        }
    }
    Ok(FileTasks(tasks))
}

/// Remembers finished files in the state store.
struct StateMemory {
    state: Arc<State>,
    stream: String,
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
        self.state.put(&self.key(identity), &finished, Durability::Synced).map_err(std::io::Error::other)
    }
}
