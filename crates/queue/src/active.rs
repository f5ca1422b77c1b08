//! The segment being written: how its file grows, and how frames get into it.

use crate::files::{LogFile, write_all_at};
use bourn_event::{Micros, Offset};
use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::Arc;

/// A file grows by its own size, but by at least and at most this much.
const ALLOCATE_BYTES_MIN: u64 = 256 << 10;
const ALLOCATE_BYTES_MAX: u64 = 16 << 20;

/// Groups up to this size are written over zeros that are on the disk already: then syncing them
/// changes nothing but data, and costs no commit of the file system's journal.
const SMALL_GROUP_BYTES_MAX: u64 = 64 << 10;
static ZEROS: [u8; 256 << 10] = [0; 256 << 10];

const _: () = assert!(ALLOCATE_BYTES_MIN <= ALLOCATE_BYTES_MAX);
const _: () = assert!(SMALL_GROUP_BYTES_MAX < ZEROS.len() as u64, "zeros last for some groups");

/// The segment being written.
pub(crate) struct Active {
    pub file: Arc<dyn LogFile>,
    pub path: PathBuf,
    pub first_offset: Offset,
    pub created_at: Micros,
    /// Position behind the last durable frame.
    pub bytes: u64,
    /// Length of the file, preallocated zeros included.
    pub allocated: u64,
    /// Up to here the file has been written, be it with zeros.
    pub zeroed: u64,
}

impl Active {
    /// Writes behind the last durable frame, `bytes` in all.
    pub fn append(&mut self, parts: &mut [IoSlice<'_>], bytes: u64) -> io::Result<()> {
        let needed = self.bytes + bytes;
        if needed > self.allocated {
            let room = needed + self.bytes.clamp(ALLOCATE_BYTES_MIN, ALLOCATE_BYTES_MAX);
            // No room for more than the frames is no reason to refuse the frames.
            if self.file.preallocate(self.bytes, room).is_ok() {
                self.allocated = room;
            }
        }
        if bytes <= SMALL_GROUP_BYTES_MAX && needed > self.zeroed {
            self.zero_ahead();
        }
        write_all_at(&*self.file, parts, self.bytes)
    }

    /// Writes zeros into preallocated room. That it fails is no reason to refuse the frames.
    fn zero_ahead(&mut self) {
        let from = self.zeroed.max(self.bytes);
        let room = self.allocated.saturating_sub(from).min(ZEROS.len() as u64);
        let written = self.file.write_at(&[IoSlice::new(&ZEROS[..room as usize])], from);
        self.zeroed = from + written.map_or(0, |written| written as u64);
    }
}
