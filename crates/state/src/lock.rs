//! One process owns a data folder.
//!
//! The lock is the operating system's advisory lock on `<dir>/lock` (`flock`): the kernel releases it
//! when the process ends, also by `kill -9`, so there is no stale lock to clean up. The file's content
//! is one JSON object that says who holds it; it means something only while the lock is held, and is
//! never deleted. On a file system shared by machines the lock is as good as that file system's `flock`.

use crate::LockError;
use bourn_event::{Clock, Micros};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Name of the lock file in the data folder.
pub const LOCK_FILE: &str = "lock";

/// Looking at a lock takes it in shared mode for a moment, so a holder-to-be tries again this often.
const ATTEMPTS: usize = 10;
const ATTEMPT_PAUSE: Duration = Duration::from_millis(20);

/// Who owns a data folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    pub pid: u32,
    /// When it took the lock.
    pub since: Micros,
    /// Name of the machine it runs on; empty if unknown.
    #[serde(default)]
    pub host: String,
    /// Address of its HTTP server, once it serves.
    #[serde(default)]
    pub http: Option<String>,
    /// Address of its Postgres server, once it serves.
    #[serde(default)]
    pub pg: Option<String>,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pid == 0 {
            return f.write_str("in use by another process that has not said its name yet");
        }
        write!(f, "in use by process {}", self.pid)?;
        if !self.host.is_empty() {
            write!(f, " on {}", self.host)?;
        }
        if let Some(http) = &self.http {
            write!(f, ", serving http={http}")?;
        }
        if let Some(pg) = &self.pg {
            write!(f, " pg={pg}")?;
        }
        Ok(())
    }
}

/// The right to write into a data folder, for as long as the value lives.
#[derive(Debug)]
pub struct OwnerLock {
    path: PathBuf,
    file: File,
    holder: Held,
}

impl OwnerLock {
    /// Takes the folder, creating it if there is none.
    pub fn acquire(dir: &Path, clock: &dyn Clock) -> Result<Self, LockError> {
        let path = dir.join(LOCK_FILE);
        let fail = |source| LockError::Io { path: path.clone(), source };
        std::fs::create_dir_all(dir).map_err(fail)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(fail)?;
        if !take(&file).map_err(fail)? {
            let held = read_holder(&file).unwrap_or_default();
            return Err(LockError::Held { dir: dir.to_path_buf(), held });
        }
        let holder =
            Held { pid: std::process::id(), since: clock.now(), host: host_name(), ..Held::default() };
        let lock = Self { path, file, holder };
        lock.write_holder()?;
        Ok(lock)
    }

    /// Says where the process serves, for read verbs that would rather ask it.
    pub fn publish(&mut self, http: Option<String>, pg: Option<String>) -> Result<(), LockError> {
        self.holder.http = http;
        self.holder.pg = pg;
        self.write_holder()
    }

    pub fn holder(&self) -> &Held {
        &self.holder
    }

    /// Who owns the folder, if anybody does now. Takes nothing and creates nothing.
    pub fn inspect(dir: &Path) -> Result<Option<Held>, LockError> {
        let path = dir.join(LOCK_FILE);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(LockError::Io { path, source }),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => Ok(Some(read_holder(&file).unwrap_or_default())),
            Err(TryLockError::Error(source)) => Err(LockError::Io { path, source }),
        }
    }

    fn write_holder(&self) -> Result<(), LockError> {
        let fail = |source| LockError::Io { path: self.path.clone(), source };
        let mut text = serde_json::to_vec(&self.holder).map_err(|error| fail(error.into()))?;
        text.push(b'\n');
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0)).map_err(fail)?;
        file.write_all(&text).map_err(fail)?;
        file.set_len(text.len() as u64).map_err(fail)
    }
}

/// Takes the lock, or says that it stays with another.
fn take(file: &File) -> io::Result<bool> {
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            std::thread::sleep(ATTEMPT_PAUSE);
        }
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(false)
}

/// The holder's own words; `None` while it is just writing them.
fn read_holder(mut file: &File) -> Option<Held> {
    for _ in 0..ATTEMPTS {
        let mut text = String::new();
        let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_string(&mut text));
        if let (Ok(_), Some(line)) = (read, text.lines().next())
            && let Ok(held) = serde_json::from_str(line)
        {
            return Some(held);
        }
        std::thread::sleep(ATTEMPT_PAUSE);
    }
    None
}

fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok())
        .map(|name| name.trim().to_owned())
        .unwrap_or_default()
}
