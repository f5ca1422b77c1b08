//! The key-value store: typed values under [`Key`]s, atomic batches, a versioned format.
//!
//! One keyspace, `state`. Values are JSON texts. The store is small (thousands of keys), so its
//! caches and buffers are.

use crate::{Key, Scope, StateError};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use serde::{Serialize, de::DeserializeOwned};
use std::path::{Path, PathBuf};

/// The format this version writes; it reads this and all smaller ones.
pub const FORMAT_VERSION: u32 = 1;

const KEYSPACE: &str = "state";
const CACHE_BYTES: u64 = 4 << 20;
const MEMTABLE_BYTES: u64 = 4 << 20;

/// How much memory a store may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// Blocks read from disk.
    pub cache_bytes: u64,
    /// Writes that are not in tables yet; beyond this they are written out.
    pub memtable_bytes: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { cache_bytes: CACHE_BYTES, memtable_bytes: MEMTABLE_BYTES }
    }
}

/// When a write is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// At once for the operating system, and on disk with the next synced write: lost only if the
    /// machine loses power.
    Buffered,
    /// When the call returns.
    Synced,
}

impl Durability {
    fn mode(self) -> PersistMode {
        match self {
            Self::Buffered => PersistMode::Buffer,
            Self::Synced => PersistMode::SyncAll,
        }
    }
}

/// An open store. Cheap to clone; all clones are the same store. Calls block on the disk.
#[derive(Clone)]
pub struct State {
    dir: PathBuf,
    database: Database,
    keys: Keyspace,
}

impl State {
    /// Opens the store in `dir`, creating it if there is none.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, StateError> {
        Self::open_with(dir, StoreOptions::default())
    }

    /// The same, with other budgets of memory.
    pub fn open_with(dir: impl Into<PathBuf>, budget: StoreOptions) -> Result<Self, StateError> {
        let dir = dir.into();
        let fail = |error| classify(&dir, error);
        let database =
            Database::builder(&dir).cache_size(budget.cache_bytes).worker_threads(1).open().map_err(fail)?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(budget.memtable_bytes);
        let keys = database.keyspace(KEYSPACE, options).map_err(fail)?;
        let state = Self { dir, database, keys };
        state.check_version()?;
        Ok(state)
    }

    fn check_version(&self) -> Result<(), StateError> {
        match self.get::<serde_json::Value>(&Key::FormatVersion)? {
            Some(version) if version.as_u64().is_some_and(|v| v <= u64::from(FORMAT_VERSION)) => Ok(()),
            Some(version) => Err(StateError::NewerVersion {
                dir: self.dir.clone(),
                found: version.to_string(),
                supported: FORMAT_VERSION,
            }),
            None => self.put(&Key::FormatVersion, &FORMAT_VERSION, Durability::Synced),
        }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn get<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>, StateError> {
        match self.keys.get(key.encode()).map_err(|error| self.fail(error))? {
            Some(value) => read(key, &value).map(Some),
            None => Ok(None),
        }
    }

    pub fn contains(&self, key: &Key) -> Result<bool, StateError> {
        self.keys.contains_key(key.encode()).map_err(|error| self.fail(error))
    }

    pub fn put<T: Serialize>(&self, key: &Key, value: &T, durability: Durability) -> Result<(), StateError> {
        let mut batch = self.batch();
        batch.put(key, value)?;
        batch.commit(durability)
    }

    pub fn delete(&self, key: &Key, durability: Durability) -> Result<(), StateError> {
        let mut batch = self.batch();
        batch.delete(key);
        batch.commit(durability)
    }

    /// The keys and values of a scope as they are at this moment, in the order of the keys.
    pub fn scan<T: DeserializeOwned>(
        &self,
        scope: Scope<'_>,
    ) -> impl Iterator<Item = Result<(Key, T), StateError>> + use<T> {
        let dir = self.dir.clone();
        self.keys.prefix(scope.prefix()).map(move |guard| {
            let (key, value) = guard.into_inner().map_err(|error| classify(&dir, error))?;
            let key = Key::decode(&key)?;
            let value = read(&key, &value)?;
            Ok((key, value))
        })
    }

    /// The bytes of a value that was put with [`Batch::put_raw`].
    pub fn get_raw(&self, key: &Key) -> Result<Option<Vec<u8>>, StateError> {
        let value = self.keys.get(key.encode()).map_err(|error| self.fail(error))?;
        Ok(value.map(|value| value.to_vec()))
    }

    /// Keys and bytes from `from` to before `to`, as they are at this moment, in the order of the keys or,
    /// taken from the back, against it. Both bounds should be of one kind.
    pub fn range_raw(
        &self,
        from: &Key,
        to: &Key,
    ) -> impl DoubleEndedIterator<Item = Result<(Key, Vec<u8>), StateError>> + use<> {
        let dir = self.dir.clone();
        self.keys.range(from.encode()..to.encode()).map(move |guard| {
            let (key, value) = guard.into_inner().map_err(|error| classify(&dir, error))?;
            Ok((Key::decode(&key)?, value.to_vec()))
        })
    }

    /// Several writes that take effect together or not at all.
    pub fn batch(&self) -> Batch<'_> {
        Batch { state: self, writes: self.database.batch() }
    }

    /// Makes everything written so far durable.
    pub fn sync(&self) -> Result<(), StateError> {
        self.database.persist(PersistMode::SyncAll).map_err(|error| self.fail(error))
    }

    fn fail(&self, error: fjall::Error) -> StateError {
        classify(&self.dir, error)
    }
}

/// Writes that are kept in memory until [`Batch::commit`]; dropping it forgets them.
#[must_use = "a batch does nothing until it is committed"]
pub struct Batch<'a> {
    state: &'a State,
    writes: fjall::OwnedWriteBatch,
}

impl Batch<'_> {
    pub fn put<T: Serialize>(&mut self, key: &Key, value: &T) -> Result<(), StateError> {
        let value = serde_json::to_vec(value)
            .map_err(|error| StateError::Value { key: key.to_string(), detail: error.to_string() })?;
        self.writes.insert(&self.state.keys, key.encode(), value);
        Ok(())
    }

    /// A value of the caller's own format. It must begin with the version of that format.
    pub fn put_raw(&mut self, key: &Key, value: &[u8]) {
        self.writes.insert(&self.state.keys, key.encode(), value);
    }

    pub fn delete(&mut self, key: &Key) {
        self.writes.remove(&self.state.keys, key.encode());
    }

    pub fn commit(self, durability: Durability) -> Result<(), StateError> {
        let state = self.state;
        self.writes.durability(Some(durability.mode())).commit().map_err(|error| state.fail(error))
    }
}

fn read<T: DeserializeOwned>(key: &Key, value: &[u8]) -> Result<T, StateError> {
    serde_json::from_slice(value)
        .map_err(|error| StateError::Value { key: key.to_string(), detail: error.to_string() })
}

fn classify(dir: &Path, error: fjall::Error) -> StateError {
    let dir = dir.to_path_buf();
    match error {
        fjall::Error::Locked => StateError::InUse(dir),
        fjall::Error::Poisoned => StateError::Poisoned(dir),
        fjall::Error::Io(source) => StateError::Io { dir, source },
        fjall::Error::Storage(fjall::LsmError::Io(source)) => StateError::Io { dir, source },
        fjall::Error::InvalidVersion(found) => StateError::NewerVersion {
            dir,
            found: format!("of another storage engine ({found:?})"),
            supported: FORMAT_VERSION,
        },
        other => StateError::Damaged { dir, detail: other.to_string() },
    }
}
