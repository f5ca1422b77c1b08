//! What a file is, whatever it is called: the producer its events come from.
//!
//! A file of lines may grow, so its identity is taken from its head and must be found again when
//! more follows. The head ends at a line end inside the first 4 KiB, wherever that was when the
//! file was first seen; afterwards every line end in there is tried, the longest head first:
//!
//! ```text
//!  first seen   {"a":1}⏎{"a":2}⏎                      identity = hash(name, 2 lines)
//!  later        {"a":1}⏎{"a":2}⏎{"a":3}⏎              tried: 3 lines (unknown), 2 lines (known)
//!  4 KiB seen at first                                 identity = hash(4 KiB), without the name
//! ```
//!
//! A short head has the file's name in it, since two small files may well start alike. Other
//! files do not grow: length, first and last 64 KiB are their identity.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use xxhash_rust::xxh3::Xxh3;

/// Largest head of a file of lines, in bytes.
pub(super) const HEAD_BYTES: usize = 4 << 10;
/// Bytes at either end of a file that does not grow.
const EDGE_BYTES: u64 = 64 << 10;

/// Identities that a file of lines may have been given, most likely one first; the first is the
/// one to give it if none is known. Empty if there is no whole line yet, unless the file is at
/// its `end`.
pub(super) fn of_lines(name: &str, head: &[u8], end: bool) -> Vec<String> {
    let head = &head[..head.len().min(HEAD_BYTES)];
    let mut identities = Vec::new();
    if head.len() == HEAD_BYTES {
        identities.push(identity(&[b"head", head]));
    }
    for newline in memchr::memrchr_iter(b'\n', head) {
        identities.push(identity(&[b"named", name.as_bytes(), b"\0", &head[..=newline]]));
    }
    if identities.is_empty() && end && !head.is_empty() {
        identities.push(identity(&[b"named", name.as_bytes(), b"\0", head]));
    }
    identities
}

/// Identity of a file that does not grow.
pub(super) fn of_whole(file: &mut File, len: u64) -> io::Result<String> {
    let mut head = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.by_ref().take(EDGE_BYTES).read_to_end(&mut head)?;
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(len.saturating_sub(EDGE_BYTES).max(head.len() as u64)))?;
    file.by_ref().take(EDGE_BYTES).read_to_end(&mut tail)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(identity(&[b"whole", &len.to_le_bytes(), &head, &tail]))
}

/// Identity of a file whose bytes cannot be read.
pub(super) fn of_unreadable(name: &str, len: u64) -> String {
    identity(&[b"unreadable", name.as_bytes(), b"\0", &len.to_le_bytes()])
}

fn identity(parts: &[&[u8]]) -> String {
    let mut hash = Xxh3::new();
    parts.iter().for_each(|part| hash.update(part));
    format!("file:{:032x}", hash.digest128())
}
