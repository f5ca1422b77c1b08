//! The file system seam: everything the log does to a disk, so that tests can make it fail.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// An entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    pub is_dir: bool,
}

/// The operations of a file system that the log stands on.
pub trait FileSystem: Send + Sync {
    /// A new file for reading and writing; fails with `AlreadyExists` if there is one.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn LogFile>>;
    /// An existing file; `write` asks for writing too.
    fn open(&self, path: &Path, write: bool) -> io::Result<Arc<dyn LogFile>>;
    /// The entries of a folder in any order; none if the folder does not exist.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// Replaces `to`. Fails with `CrossesDevices` if the two lie on different file systems.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes creations, renames and removals in `dir` survive power loss.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// An open file. Positions are absolute; nothing depends on a cursor.
pub trait LogFile: Send + Sync {
    /// Writes as much as it likes of `parts`, in order, from `at` on, and says how much.
    fn write_at(&self, parts: &[IoSlice<'_>], at: u64) -> io::Result<usize>;
    /// Reads up to `buffer.len()` bytes; 0 at the end.
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize>;
    fn len(&self) -> io::Result<u64>;
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Makes contents and length survive power loss (fdatasync).
    fn sync(&self) -> io::Result<()>;
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Grows the file with zeros to `len`, with its blocks reserved; does nothing where the file
    /// system cannot.
    fn preallocate(&self, from: u64, len: u64) -> io::Result<()>;
}

/// At most this many slices go into one `pwritev` (POSIX guarantees 16, Linux takes 1,024).
const PARTS_MAX: usize = 1024;

/// Writes all of `parts`, however short the single writes are.
pub(crate) fn write_all_at(file: &dyn LogFile, mut parts: &mut [IoSlice<'_>], mut at: u64) -> io::Result<()> {
    IoSlice::advance_slices(&mut parts, 0);
    while !parts.is_empty() {
        let chunk = parts.len().min(PARTS_MAX);
        match file.write_at(&parts[..chunk], at) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                at += written as u64;
                IoSlice::advance_slices(&mut parts, written);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads up to `len` bytes; fewer only at the end of the file.
pub(crate) fn read_up_to(file: &dyn LogFile, at: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    let mut filled = 0;
    while filled < len {
        match file.read_at(&mut bytes[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// The machine's file systems.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealFiles;

struct RealFile(File);

impl FileSystem for RealFiles {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        Ok(Arc::new(RealFile(file)))
    }

    fn open(&self, path: &Path, write: bool) -> io::Result<Arc<dyn LogFile>> {
        Ok(Arc::new(RealFile(OpenOptions::new().read(true).write(write).open(path)?)))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry?;
            let is_dir = entry.file_type()?.is_dir();
            if let Ok(name) = entry.file_name().into_string() {
                found.push(Entry { name, is_dir });
            }
        }
        Ok(found)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }
}

impl LogFile for RealFile {
    fn write_at(&self, parts: &[IoSlice<'_>], at: u64) -> io::Result<usize> {
        let count = parts.len().min(PARTS_MAX) as libc::c_int;
        // SAFETY: `IoSlice` is ABI-compatible with `iovec` on Unix, the slices outlive the call,
        // and the kernel only reads from them.
        let written = unsafe {
            libc::pwritev(self.0.as_raw_fd(), parts.as_ptr().cast::<libc::iovec>(), count, at as libc::off_t)
        };
        usize::try_from(written).map_err(|_| io::Error::last_os_error())
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        self.0.read_at(buffer, at)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    #[cfg(target_os = "linux")]
    fn preallocate(&self, from: u64, len: u64) -> io::Result<()> {
        let (from, more) = (from as libc::off_t, len.saturating_sub(from) as libc::off_t);
        if more == 0 {
            return Ok(());
        }
        // SAFETY: a plain system call on a descriptor that `self` keeps open.
        if unsafe { libc::fallocate(self.0.as_raw_fd(), 0, from, more) } == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EOPNOTSUPP | libc::ENOSYS) => Ok(()),
            _ => Err(error),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn preallocate(&self, _from: u64, _len: u64) -> io::Result<()> {
        Ok(())
    }
}
