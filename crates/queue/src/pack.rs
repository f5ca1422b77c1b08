//! Turns drafts into compressed, checksummed payloads, in the caller's task, and back.

use crate::format::{LEVEL, PAYLOAD_BYTES_MAX};
use bourn_event::{AppendError, Draft, Span};
use bytes::Bytes;
use std::cell::RefCell;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::compress_bound;

/// A draft that only lacks its place in the log.
pub(crate) struct Packed {
    pub spans: Arc<[Span]>,
    pub draft: Draft,
    pub count: u32,
    pub zstd: Vec<u8>,
    pub xxh3: u64,
}

/// A thread's compressor and its output buffer, kept so that a frame costs one exact allocation.
struct Scratch {
    compressor: Compressor<'static>,
    buffer: Vec<u8>,
}

/// The scratch buffer is given back above this size.
const SCRATCH_BYTES_MAX: usize = 4 << 20;

thread_local! {
    static SCRATCH: RefCell<Option<Scratch>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

pub(crate) fn pack(mut draft: Draft) -> Result<Packed, AppendError> {
    let count = draft.count();
    debug_assert_eq!(memchr::memchr_iter(b'\n', &draft.payload).count(), count as usize, "one line an event");
    let zstd = compress(&draft.payload)?;
    let xxh3 = xxh3_64(&zstd);
    Ok(Packed { spans: std::mem::take(&mut draft.spans).into(), draft, count, zstd, xxh3 })
}

/// One zstd frame with its content size set.
pub(crate) fn compress(payload: &[u8]) -> Result<Vec<u8>, AppendError> {
    if payload.len() > PAYLOAD_BYTES_MAX {
        let (len, max) = (payload.len(), PAYLOAD_BYTES_MAX);
        return Err(AppendError::Unavailable(format!("{len} bytes in one draft; a frame holds {max}")));
    }
    SCRATCH.with_borrow_mut(|slot| {
        let failed = |error: std::io::Error| AppendError::Unavailable(format!("zstd: {error}"));
        let scratch = match slot {
            Some(scratch) => scratch,
            None => {
                let compressor = Compressor::new(LEVEL).map_err(failed)?;
                slot.insert(Scratch { compressor, buffer: Vec::new() })
            }
        };
        scratch.buffer.clear();
        scratch.buffer.reserve(compress_bound(payload.len()));
        scratch.compressor.compress_to_buffer(payload, &mut scratch.buffer).map_err(failed)?;
        let exact = scratch.buffer.as_slice().to_vec();
        if scratch.buffer.capacity() > SCRATCH_BYTES_MAX {
            scratch.buffer = Vec::new();
        }
        Ok(exact)
    })
}

/// The NDJSON of a frame; an error text if it is not `len` bytes long.
pub(crate) fn decompress(zstd: &[u8], len: u32) -> Result<Bytes, String> {
    DECOMPRESSOR.with_borrow_mut(|slot| {
        let decompressor = match slot {
            Some(decompressor) => decompressor,
            None => slot.insert(Decompressor::new().map_err(|error| error.to_string())?),
        };
        let bytes = decompressor.decompress(zstd, len as usize).map_err(|error| error.to_string())?;
        if bytes.len() != len as usize {
            return Err(format!("{} bytes where the header says {len}", bytes.len()));
        }
        Ok(bytes.into())
    })
}
