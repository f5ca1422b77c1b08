//! A file system in memory that loses, tears and refuses what real ones lose, tear and refuse.

use bourn_queue::{Entry, FileSystem, LogFile};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

const PAGE_BYTES: usize = 512;

/// A small deterministic generator (splitmix64).
#[derive(Clone, Debug)]
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

#[derive(Default)]
struct Inode {
    cache: Vec<u8>,
    disk: Vec<u8>,
    dirty: BTreeSet<usize>,
}

struct Disk {
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    durable: BTreeMap<PathBuf, usize>,
    rng: Rng,
    /// Handles of an earlier life fail.
    life: u64,
    is_full: bool,
    failing_syncs: u32,
    operations_left: Option<u64>,
    pub crosses_devices: bool,
}

/// The file system; clones share one disk.
#[derive(Clone)]
pub struct SimFiles(Arc<Mutex<Disk>>);

struct SimFile {
    disk: SimFiles,
    inode: usize,
    life: u64,
}

fn failing() -> io::Error {
    io::Error::other("simulated I/O error")
}

fn no_space() -> io::Error {
    io::ErrorKind::StorageFull.into()
}

impl Disk {
    fn operate(&mut self) -> io::Result<()> {
        match &mut self.operations_left {
            Some(0) => Err(failing()),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl SimFiles {
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Disk {
            inodes: Vec::new(),
            names: BTreeMap::new(),
            durable: BTreeMap::new(),
            rng: Rng(seed),
            life: 0,
            is_full: false,
            failing_syncs: 0,
            operations_left: None,
            crosses_devices: false,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().expect("no test panics while it holds the disk")
    }

    pub fn set_full(&self, is_full: bool) {
        self.lock().is_full = is_full;
    }

    pub fn fail_syncs(&self, count: u32) {
        self.lock().failing_syncs = count;
    }

    pub fn set_crosses_devices(&self, crosses: bool) {
        self.lock().crosses_devices = crosses;
    }

    /// From the `count`th operation on everything fails: the process is as good as dead.
    pub fn die_after(&self, count: u64) {
        self.lock().operations_left = Some(count);
    }

    /// `kill -9`: what was written stays in the cache.
    pub fn kill(&self) {
        let mut disk = self.lock();
        disk.life += 1;
        (disk.operations_left, disk.is_full, disk.failing_syncs) = (None, false, 0);
    }

    /// Power loss: each page that was not synced survives or not, on its own.
    pub fn lose_power(&self) {
        self.kill();
        let mut guard = self.lock();
        let disk = &mut *guard;
        for inode in &mut disk.inodes {
            if inode.cache.len() != inode.disk.len() && disk.rng.chance(50) {
                inode.disk.resize(inode.cache.len(), 0);
            }
            for page in std::mem::take(&mut inode.dirty) {
                let start = page * PAGE_BYTES;
                let end = (start + PAGE_BYTES).min(inode.cache.len()).min(inode.disk.len());
                if start < end && disk.rng.chance(50) {
                    inode.disk[start..end].copy_from_slice(&inode.cache[start..end]);
                }
            }
            inode.cache = inode.disk.clone();
        }
        if disk.rng.chance(50) {
            disk.names = disk.durable.clone();
        }
        disk.durable = disk.names.clone();
    }

    pub fn paths(&self) -> Vec<PathBuf> {
        self.lock().names.keys().cloned().collect()
    }

    pub fn bytes(&self, path: &Path) -> Vec<u8> {
        let disk = self.lock();
        disk.names.get(path).map(|inode| disk.inodes[*inode].cache.clone()).unwrap_or_default()
    }

    /// Puts other bytes in place of a file's, on disk too.
    pub fn replace(&self, path: &Path, bytes: Vec<u8>) {
        let mut disk = self.lock();
        let inode = disk.names[path];
        disk.inodes[inode] = Inode { cache: bytes.clone(), disk: bytes, dirty: BTreeSet::new() };
    }
}

impl FileSystem for SimFiles {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        let mut disk = self.lock();
        disk.operate()?;
        if disk.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if disk.is_full {
            return Err(no_space());
        }
        let inode = disk.inodes.len();
        disk.inodes.push(Inode::default());
        disk.names.insert(path.to_owned(), inode);
        Ok(Arc::new(SimFile { disk: self.clone(), inode, life: disk.life }))
    }

    fn open(&self, path: &Path, _write: bool) -> io::Result<Arc<dyn LogFile>> {
        let mut disk = self.lock();
        disk.operate()?;
        let inode = *disk.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimFile { disk: self.clone(), inode, life: disk.life }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut disk = self.lock();
        disk.operate()?;
        let mut entries = BTreeMap::new();
        for path in disk.names.keys() {
            let Ok(rest) = path.strip_prefix(dir) else { continue };
            let mut parts = rest.components();
            if let Some(first) = parts.next() {
                let name = first.as_os_str().to_string_lossy().into_owned();
                entries.insert(name, parts.next().is_some());
            }
        }
        Ok(entries.into_iter().map(|(name, is_dir)| Entry { name, is_dir }).collect())
    }

    fn create_dir_all(&self, _dir: &Path) -> io::Result<()> {
        self.lock().operate()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.lock();
        disk.operate()?;
        if disk.crosses_devices && from.parent() != to.parent() {
            return Err(io::ErrorKind::CrossesDevices.into());
        }
        let inode = disk.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        disk.names.insert(to.to_owned(), inode);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.lock();
        disk.operate()?;
        disk.names.remove(path).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        let mut disk = self.lock();
        disk.operate()?;
        disk.durable = disk.names.clone();
        Ok(())
    }
}

impl SimFile {
    fn on<T>(&self, act: impl FnOnce(&mut Disk, usize) -> io::Result<T>) -> io::Result<T> {
        let mut disk = self.disk.lock();
        if disk.life != self.life {
            return Err(failing());
        }
        disk.operate()?;
        act(&mut disk, self.inode)
    }
}

impl LogFile for SimFile {
    fn write_at(&self, parts: &[IoSlice<'_>], at: u64) -> io::Result<usize> {
        self.on(|disk, inode| {
            let mut bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
            if disk.rng.chance(20) {
                let len = 1 + disk.rng.below(bytes.len() as u64) as usize;
                bytes.truncate(len);
            }
            let (at, inode) = (at as usize, &mut disk.inodes[inode]);
            if disk.is_full {
                bytes.truncate(inode.cache.len().saturating_sub(at));
                if bytes.is_empty() || disk.rng.chance(50) {
                    return Err(no_space());
                }
            }
            let end = at + bytes.len();
            if inode.cache.len() < end {
                inode.cache.resize(end, 0);
            }
            inode.cache[at..end].copy_from_slice(&bytes);
            inode.dirty.extend(at / PAGE_BYTES..=end.saturating_sub(1) / PAGE_BYTES);
            Ok(bytes.len())
        })
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        self.on(|disk, inode| {
            let cache = &disk.inodes[inode].cache;
            let start = (at as usize).min(cache.len());
            let read = buffer.len().min(cache.len() - start);
            buffer[..read].copy_from_slice(&cache[start..start + read]);
            Ok(read)
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.on(|disk, inode| Ok(disk.inodes[inode].cache.len() as u64))
    }

    fn sync(&self) -> io::Result<()> {
        self.on(|disk, inode| {
            let inode = &mut disk.inodes[inode];
            let dirty = std::mem::take(&mut inode.dirty);
            if disk.failing_syncs > 0 {
                // As Linux does: the pages count as clean from now on, and are not on disk.
                disk.failing_syncs -= 1;
                return Err(failing());
            }
            inode.disk.resize(inode.cache.len(), 0);
            for page in dirty {
                let start = (page * PAGE_BYTES).min(inode.cache.len());
                let end = (start + PAGE_BYTES).min(inode.cache.len());
                inode.disk[start..end].copy_from_slice(&inode.cache[start..end]);
            }
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.on(|disk, inode| {
            disk.inodes[inode].cache.resize(len as usize, 0);
            Ok(())
        })
    }

    fn preallocate(&self, _from: u64, len: u64) -> io::Result<()> {
        self.on(|disk, inode| {
            if disk.is_full {
                return Err(no_space());
            }
            let cache = &mut disk.inodes[inode].cache;
            if cache.len() < len as usize {
                cache.resize(len as usize, 0);
            }
            Ok(())
        })
    }
}
