//! Takes a segment's bytes apart into pieces and tells whole ones from damage. Pure over a
//! source of bytes.
//!
//! From a piece's end the next one must start. Where it does not, everything up to the next
//! header that is intact is damage; a rest that is all zeros is preallocated room.

use crate::files::{LogFile, read_up_to};
use crate::format::{self, FRAME_BYTES_MIN, FRAME_MAGIC, FrameHeader, Kind, SKIPPABLE_BYTES, Snapshot};
use std::io;
use xxhash_rust::xxh3::xxh3_64;

/// How much is looked through at once for the next header behind damage.
const WINDOW_BYTES: usize = 1 << 20;
/// Enough for the header of an ordinary frame in one read.
const HEADER_GUESS_BYTES: usize = 512;

const _: () = assert!(HEADER_GUESS_BYTES >= FRAME_BYTES_MIN);
const _: () = assert!(WINDOW_BYTES > FRAME_BYTES_MIN);

/// A whole frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FramePiece {
    /// Position of the header in the segment, in bytes.
    pub at: u64,
    /// Bytes of header and payload together.
    pub len: u64,
    pub header: FrameHeader,
    /// The zstd frame; empty if it was not asked for.
    pub payload: Vec<u8>,
}

/// A stretch of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    Snapshot {
        at: u64,
        len: u64,
        snapshot: Snapshot,
    },
    Frame(FramePiece),
    /// Bytes that are no whole piece. `header` is there if only the payload is damaged or cut.
    Damage {
        at: u64,
        len: u64,
        header: Option<FrameHeader>,
        why: &'static str,
    },
    /// Zeros up to the end of the file.
    Zeros {
        at: u64,
        len: u64,
    },
}

impl Piece {
    /// Position behind the piece, in bytes.
    pub fn end(&self) -> u64 {
        match self {
            Self::Snapshot { at, len, .. } | Self::Damage { at, len, .. } | Self::Zeros { at, len } => {
                at + len
            }
            Self::Frame(frame) => frame.at + frame.len,
        }
    }
}

/// Why scanning stopped.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("segment format version {0}")]
    Version(u16),
}

/// Are payloads read and held against their checksum, or passed over?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Payloads {
    Read,
    Skip,
}

/// Where a segment's bytes come from.
pub(crate) trait Source {
    fn len(&self) -> io::Result<u64>;
    /// Up to `len` bytes; fewer only at the end.
    fn read(&self, at: u64, len: usize) -> io::Result<Vec<u8>>;
}

impl Source for &[u8] {
    fn len(&self) -> io::Result<u64> {
        Ok(<[u8]>::len(self) as u64)
    }

    fn read(&self, at: u64, len: usize) -> io::Result<Vec<u8>> {
        let all = <[u8]>::len(self);
        let start = usize::try_from(at).unwrap_or(all).min(all);
        Ok(self[start..start.saturating_add(len).min(all)].to_vec())
    }
}

impl Source for &dyn LogFile {
    fn len(&self) -> io::Result<u64> {
        LogFile::len(*self)
    }

    fn read(&self, at: u64, len: usize) -> io::Result<Vec<u8>> {
        read_up_to(*self, at, len)
    }
}

/// All pieces of a segment, payloads checked. They cover `bytes` without gap or overlap.
pub fn scan(bytes: &[u8]) -> Result<Vec<Piece>, ScanError> {
    let (mut pieces, mut at) = (Vec::new(), 0);
    while let Some(piece) = next_piece(&bytes, at, Payloads::Read)? {
        at = piece.end();
        pieces.push(piece);
    }
    Ok(pieces)
}

/// The piece that starts at `at`; `None` at the end of the file.
pub(crate) fn next_piece(
    source: &impl Source,
    at: u64,
    payloads: Payloads,
) -> Result<Option<Piece>, ScanError> {
    let file_len = source.len()?;
    if at >= file_len {
        return Ok(None);
    }
    if let Some(piece) = piece_at(source, at, file_len, payloads)? {
        return Ok(Some(piece));
    }
    if is_zero_from(source, at)? {
        return Ok(Some(Piece::Zeros { at, len: file_len - at }));
    }
    let next = find_header(source, at + 1, file_len)?;
    let why = "no intact header stands here";
    Ok(Some(Piece::Damage { at, len: next.unwrap_or(file_len) - at, header: None, why }))
}

fn piece_at(
    source: &impl Source,
    at: u64,
    file_len: u64,
    payloads: Payloads,
) -> Result<Option<Piece>, ScanError> {
    let mut bytes = source.read(at, HEADER_GUESS_BYTES)?;
    let Some((kind, len)) = format::peek(&bytes) else { return Ok(None) };
    if len as u64 > file_len - at {
        return Ok(None);
    }
    if len > bytes.len() {
        bytes = source.read(at, len)?;
    }
    bytes.truncate(len);
    if bytes.len() < len || !format::is_intact(&bytes) {
        return Ok(None);
    }
    let version = format::version(&bytes);
    if version != format::VERSION {
        return Err(ScanError::Version(version));
    }
    match kind {
        Kind::Snapshot => {
            Ok(Snapshot::decode(&bytes).map(|snapshot| Piece::Snapshot { at, len: len as u64, snapshot }))
        }
        Kind::Frame => match FrameHeader::decode(&bytes) {
            Some(header) => frame_at(source, at, len as u64, file_len, header, payloads).map(Some),
            None => Ok(None),
        },
    }
}

fn frame_at(
    source: &impl Source,
    at: u64,
    header_len: u64,
    file_len: u64,
    header: FrameHeader,
    payloads: Payloads,
) -> Result<Piece, ScanError> {
    let len = header_len + u64::from(header.compressed_len);
    if len > file_len - at {
        let why = "the file ends inside the frame";
        return Ok(Piece::Damage { at, len: file_len - at, header: Some(header), why });
    }
    if payloads == Payloads::Skip {
        return Ok(Piece::Frame(FramePiece { at, len, header, payload: Vec::new() }));
    }
    let payload = source.read(at + header_len, header.compressed_len as usize)?;
    if xxh3_64(&payload) != header.payload_xxh3 {
        let why = "the payload does not match its checksum";
        return Ok(Piece::Damage { at, len, header: Some(header), why });
    }
    Ok(Piece::Frame(FramePiece { at, len, header, payload }))
}

fn is_zero_from(source: &impl Source, mut at: u64) -> io::Result<bool> {
    let mut window = 4096;
    loop {
        let bytes = source.read(at, window)?;
        if bytes.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        if bytes.len() < window {
            return Ok(true);
        }
        at += bytes.len() as u64;
        window = WINDOW_BYTES;
    }
}

/// Position of the next intact header at or behind `from`.
fn find_header(source: &impl Source, mut from: u64, file_len: u64) -> Result<Option<u64>, ScanError> {
    let finder = memchr::memmem::Finder::new(&FRAME_MAGIC);
    while from < file_len {
        let bytes = source.read(from, WINDOW_BYTES)?;
        for found in finder.find_iter(&bytes) {
            let Some(start) = found.checked_sub(SKIPPABLE_BYTES) else { continue };
            let candidate = from + start as u64;
            if piece_at(source, candidate, file_len, Payloads::Skip)?.is_some() {
                return Ok(Some(candidate));
            }
        }
        if bytes.len() < WINDOW_BYTES {
            break;
        }
        // Windows overlap, so that a magic and what stands before it is never cut in two.
        from += (WINDOW_BYTES - SKIPPABLE_BYTES - FRAME_MAGIC.len() + 1) as u64;
    }
    Ok(None)
}
