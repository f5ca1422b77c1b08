//! Files as a source: a folder is looked at again and again, and every file in it is taken once.
//!
//! One closed decision per file and look, [`Watch::decide`]; everything that touches a file is in
//! [`load`], on a blocking thread, one file at a time in the order of their names.
//!
//! Invariant: a position is durable together with the events before it (it is their producer's
//! sequence), so no state of this module has to survive a crash for exactness.

mod csv;
mod identity;
mod load;
mod parquet;
mod rows;

use crate::inflate::Coding;
use crate::port::StreamPort;
use bourn_config::{FileFormat, FileSource};
use load::{End, Load, Loaded};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// Looks at an unchanged file of lines before it counts as finished.
const QUIET_LOOKS: u32 = 5;

/// Remembers finished files by identity.
pub trait FileMemory: Send + Sync {
    /// The position at which a file was finished, if it was.
    fn finished(&self, identity: &str) -> Option<u64>;

    /// `path` is for people; `position` is behind the file's last event.
    fn finish(&self, identity: &str, path: &Path, position: u64) -> io::Result<()>;
}

/// Remembers for as long as it lives.
#[derive(Debug, Default)]
pub struct RunMemory(Mutex<HashMap<String, u64>>);

impl FileMemory for RunMemory {
    fn finished(&self, identity: &str) -> Option<u64> {
        self.0.lock().get(identity).copied()
    }

    fn finish(&self, identity: &str, _: &Path, position: u64) -> io::Result<()> {
        self.0.lock().insert(identity.to_owned(), position);
        Ok(())
    }
}

/// How far a file is, told after every batch.
#[derive(Clone, Copy, Debug)]
pub struct FileProgress<'a> {
    pub path: &'a Path,
    /// Of the file as it lies on disk.
    pub bytes_read: u64,
    pub bytes_total: u64,
    /// Accepted in this look.
    pub events: u64,
    pub rejected: u64,
}

/// Is told of progress, on the thread that reads.
pub type Observer = Arc<dyn Fn(&FileProgress<'_>) + Send + Sync>;

/// What a task did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FilesDone {
    pub files: u64,
    pub events: u64,
    pub rejected: u64,
    /// Of `files`, those that could not be read to their end.
    pub broken: u64,
}

/// Why a file source gave up.
#[derive(Debug, thiserror::Error)]
pub enum FileSourceError {
    #[error("`{0}` is not a pattern of file names: {1}")]
    Pattern(String, String),
    #[error("the log is closed")]
    Closed,
    #[error("`{path}` was taken but cannot be moved to the folder of finished files: {error}")]
    Move { path: PathBuf, error: io::Error },
    #[error("a finished file cannot be remembered: {0}")]
    Memory(io::Error),
    #[error("reading `{0}` ended in a panic")]
    Panicked(PathBuf),
}

/// A `files:` source of a stream.
pub struct FileSourceTask {
    pub port: Arc<StreamPort>,
    /// Position among the stream's sources: the source's name is `files:<index>`.
    pub index: usize,
    /// The pipeline's folder; `source`'s paths are relative to it.
    pub dir: PathBuf,
    pub source: FileSource,
    pub memory: Arc<dyn FileMemory>,
    pub observer: Observer,
}

impl FileSourceTask {
    /// Takes files until `cancel`, or, with `once` or without `watch`, until every file that is
    /// there was taken to its end. Cancellation takes effect between two batches.
    pub async fn run(self, cancel: CancellationToken, once: bool) -> Result<FilesDone, FileSourceError> {
        let once = once || !self.source.watch;
        let task = Arc::new(self);
        let mut watches: HashMap<PathBuf, Watch> = HashMap::new();
        let mut done = FilesDone::default();
        loop {
            for path in task.list()? {
                if cancel.is_cancelled() {
                    return Ok(done);
                }
                let Ok(look) = Look::at(&path) else { continue };
                let kind = Kind::of(&path, task.source.format);
                let grows = kind.is_some_and(Kind::grows);
                let watch = watches.entry(path.clone()).or_default();
                let Decision::Take { complete } = watch.decide(look, grows, once) else { continue };
                let loaded = task.load(&path, kind, complete, &cancel).await?;
                task.settle(&path, &loaded, complete, watch, &mut done)?;
            }
            if once {
                return Ok(done);
            }
            tokio::select! {
                () = cancel.cancelled() => return Ok(done),
                () = tokio::time::sleep(task.source.every.0) => {}
            }
        }
    }

    fn list(&self) -> Result<Vec<PathBuf>, FileSourceError> {
        let pattern = self.dir.join(&self.source.path);
        let pattern = pattern.to_string_lossy();
        let fault = |error: glob::PatternError| {
            FileSourceError::Pattern(self.source.path.clone(), error.msg.to_owned())
        };
        let finished = self.source.done.as_ref().map(|done| self.dir.join(done));
        let mut paths: Vec<PathBuf> = glob::glob(&pattern)
            .map_err(fault)?
            .filter_map(Result::ok)
            .filter(|path| finished.as_ref().is_none_or(|finished| !path.starts_with(finished)))
            .collect();
        paths.sort();
        Ok(paths)
    }

    async fn load(
        self: &Arc<Self>,
        path: &Path,
        kind: Option<Kind>,
        complete: bool,
        cancel: &CancellationToken,
    ) -> Result<Loaded, FileSourceError> {
        let (task, owned, cancel, runtime) =
            (Arc::clone(self), path.to_owned(), cancel.clone(), Handle::current());
        let work = tokio::task::spawn_blocking(move || {
            let relative = owned.strip_prefix(&task.dir).unwrap_or(&owned);
            Load {
                core: task.port.core(),
                memory: &*task.memory,
                observer: &task.observer,
                runtime: &runtime,
                cancel: &cancel,
                source: &format!("files:{}", task.index).into(),
                path: &owned,
                name: &relative.to_string_lossy(),
                kind,
                complete,
            }
            .run()
        });
        work.await.unwrap_or_else(|_| Err(FileSourceError::Panicked(path.to_owned())))
    }

    fn settle(
        &self,
        path: &Path,
        loaded: &Loaded,
        complete: bool,
        watch: &mut Watch,
        done: &mut FilesDone,
    ) -> Result<(), FileSourceError> {
        done.events += loaded.events;
        done.rejected += loaded.rejected;
        match loaded.end {
            End::Stopped => return Ok(()),
            End::Vanished => {
                tracing::info!(file = %path.display(), "a file vanished before it was read");
                return Ok(());
            }
            End::Reached if !complete => return Ok(()),
            End::Broken => done.broken += 1,
            End::Reached => {}
        }
        done.files += 1;
        watch.finished = true;
        if let Some(folder) = &self.source.done {
            let moved = move_to(path, &self.dir.join(folder));
            return moved.map_err(|error| FileSourceError::Move { path: path.to_owned(), error });
        }
        match &loaded.identity {
            Some(identity) if loaded.end == End::Reached => {
                self.memory.finish(identity, path, loaded.position).map_err(FileSourceError::Memory)
            }
            _ => Ok(()),
        }
    }
}

/// What a file is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kind {
    format: FileFormat,
    coding: Option<Coding>,
}

impl Kind {
    /// By the configuration, else by the name: `orders.jsonl.gz`.
    fn of(path: &Path, format: Option<FileFormat>) -> Option<Self> {
        let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
        let (name, coding) = match (name.strip_suffix(".gz"), name.strip_suffix(".zst")) {
            (Some(name), _) => (name, Some(Coding::Gzip)),
            (_, Some(name)) => (name, Some(Coding::Zstd)),
            _ => (name.as_str(), None),
        };
        let told = match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
            "json" => Some(FileFormat::Json),
            "jsonl" | "ndjson" => Some(FileFormat::Ndjson),
            "csv" => Some(FileFormat::Csv),
            "parquet" => Some(FileFormat::Parquet),
            _ => None,
        };
        format.or(told).map(|format| Self { format, coding })
    }

    /// May more be appended to it while it is read?
    fn grows(self) -> bool {
        self.coding.is_none() && matches!(self.format, FileFormat::Ndjson | FileFormat::Csv)
    }
}

/// What can be seen of a file without opening it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    len: u64,
    modified: Option<SystemTime>,
}

impl Look {
    fn at(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        if !metadata.is_file() {
            return Err(ErrorKind::InvalidInput.into());
        }
        Ok(Self { len: metadata.len(), modified: metadata.modified().ok() })
    }
}

/// What to do with a file now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    Leave,
    /// `complete`: nothing more is coming, its last line needs no line feed.
    Take {
        complete: bool,
    },
}

/// What was seen of a file so far in this run.
#[derive(Debug, Default)]
struct Watch {
    last: Option<Look>,
    /// Looks in a row that found it as it was.
    quiet_looks: u32,
    finished: bool,
}

impl Watch {
    fn decide(&mut self, look: Look, grows: bool, once: bool) -> Decision {
        let changed = self.last.replace(look) != Some(look);
        if changed {
            self.quiet_looks = 0;
            self.finished = false;
        } else {
            self.quiet_looks += 1;
        }
        match () {
            () if self.finished => Decision::Leave,
            () if once => Decision::Take { complete: true },
            () if grows && changed => Decision::Take { complete: false },
            () if grows && self.quiet_looks >= QUIET_LOOKS => Decision::Take { complete: true },
            // Others are read from end to end, so only when nobody writes to them any more.
            () if !grows && !changed => Decision::Take { complete: true },
            () => Decision::Leave,
        }
    }
}

fn move_to(path: &Path, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut target = folder.join(&name);
    let mut number = 0;
    while target.exists() {
        number += 1;
        target = folder.join(format!("{name}.{number}"));
    }
    match fs::rename(path, &target) {
        Err(error) if error.kind() == ErrorKind::CrossesDevices => {
            fs::copy(path, &target)?;
            fs::File::open(&target)?.sync_all()?;
            fs::remove_file(path)
        }
        other => other,
    }
}
