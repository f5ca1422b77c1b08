//! Format v1 of a segment: layout, encoding and decoding of its two headers. Pure.
//!
//! A segment is a valid `.jsonl.zst` file (RFC 8878): a *snapshot*, then frames, each a *header*
//! followed by one zstd frame of newline-delimited JSON. Snapshot and header are zstd *skippable
//! frames*, which every zstd reader passes over. The snapshot stands behind an empty zstd frame of 9
//! bytes, since some readers tell a zstd file only by a frame that is not skippable. All numbers are
//! little-endian, and positions are within a skippable frame.
//!
//! ```text
//!  any skippable frame of ours          frame header               snapshot
//!   0 u32 0x184D2A5B | 0x184D2A5A       20 u32 number of spans     20 u32 number of sources
//!   4 u32 bytes behind this field       24 u64 first offset        24 u64 first offset
//!   8 [8] "BOURNFRM" | "BOURNSEG"       32 u64 group's first       32 i64 created at, µs
//!  16 u16 version                       40 i64 received at, µs     40 u32 number of producers
//!  18 u16 flags, 0                      48 u32 events              44 u32 bytes of the name
//!   … fields and lists of the kind      52 u32 bytes of the NDJSON 48 [ ] the log's name
//!  -8 u64 xxh3 of everything before     56 u32 bytes of the zstd    … sources: text, u64 events
//!                                       60 u32 0                    … producers: text, u64 sequence,
//!                                       64 u64 xxh3 of the zstd           i64 last used, µs
//!                                       72 [ ] spans: text source, u8 1 and text id and u64 sequence
//!                                              or u8 0, u32 events.       A text is u32 bytes, UTF-8
//! ```
//!
//! Every version keeps the first 20 bytes and the trailing checksum, so that an intact header of
//! another version is told from a damaged one. *Group's first* is the first offset of the write
//! this frame was part of: everything before it was synced. A payload is JSON text, in which the
//! control byte 0x18 of the magic cannot stand, so that no event can imitate a header.

use bourn_event::{Micros, Offset, Producer, Span};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// The version this build writes, and the only one it reads.
pub const VERSION: u16 = 1;
/// zstd's skippable magic of a frame header.
pub const FRAME_SKIPPABLE: u32 = 0x184D_2A5B;
/// zstd's skippable magic of a snapshot.
pub const SNAPSHOT_SKIPPABLE: u32 = 0x184D_2A5A;
/// Our magic in a frame header.
pub const FRAME_MAGIC: [u8; 8] = *b"BOURNFRM";
/// Our magic in a snapshot.
pub const SNAPSHOT_MAGIC: [u8; 8] = *b"BOURNSEG";
/// An empty zstd frame (RFC 8878 §3.1.1: magic, descriptor, content size 0, one empty raw block): what
/// a segment's first bytes are.
pub const OPENING: [u8; 9] = [0x28, 0xB5, 0x2F, 0xFD, 0x20, 0x00, 0x01, 0x00, 0x00];
/// Bytes of a skippable frame's own magic and length.
pub const SKIPPABLE_BYTES: usize = 8;
/// Bytes that are the same in every version.
pub const PREAMBLE_BYTES: usize = 20;
/// A header without spans.
pub const FRAME_BYTES_MIN: usize = 80;
/// A snapshot without name, sources and producers.
pub const SNAPSHOT_BYTES_MIN: usize = 56;
/// The most NDJSON one frame may hold: lengths are u32, and readers hold a whole frame.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 30;
/// The zstd level frames are written with.
pub const LEVEL: i32 = 1;

const CHECKSUM_BYTES: usize = 8;
const SPAN_BYTES_MIN: usize = 9;

// A header is at least its preamble and checksum, and lengths must fit their u32.
const _: () = assert!(FRAME_BYTES_MIN == 72 + CHECKSUM_BYTES);
const _: () = assert!(SNAPSHOT_BYTES_MIN == 48 + CHECKSUM_BYTES);
const _: () = assert!(PREAMBLE_BYTES + CHECKSUM_BYTES < SNAPSHOT_BYTES_MIN);
const _: () = assert!(PAYLOAD_BYTES_MAX < u32::MAX as usize / 2);

/// What stands before each zstd frame of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    pub first_offset: Offset,
    /// First offset of the group commit that wrote the frame: what lies before it was durable.
    pub group_first: Offset,
    pub received_at: Micros,
    /// Number of events.
    pub count: u32,
    pub uncompressed_len: u32,
    pub compressed_len: u32,
    /// xxh3 (64 bit, seed 0) of the zstd frame's bytes.
    pub payload_xxh3: u64,
    /// Their counts add up to `count`.
    pub spans: Arc<[Span]>,
}

impl FrameHeader {
    /// The offset behind the last event.
    pub fn end(&self) -> Offset {
        self.first_offset.saturating_add(Offset::from(self.count))
    }

    /// Appends the header as one skippable frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = preamble(out, FRAME_SKIPPABLE, FRAME_MAGIC, self.spans.len() as u32);
        out.extend_from_slice(&self.first_offset.to_le_bytes());
        out.extend_from_slice(&self.group_first.to_le_bytes());
        out.extend_from_slice(&self.received_at.to_le_bytes());
        out.extend_from_slice(&self.count.to_le_bytes());
        out.extend_from_slice(&self.uncompressed_len.to_le_bytes());
        out.extend_from_slice(&self.compressed_len.to_le_bytes());
        out.extend_from_slice(&0u32.to_le_bytes());
        out.extend_from_slice(&self.payload_xxh3.to_le_bytes());
        for span in self.spans.iter() {
            put_text(out, &span.source);
            match &span.producer {
                Some(producer) => {
                    out.push(1);
                    put_text(out, &producer.id);
                    out.extend_from_slice(&producer.sequence.to_le_bytes());
                }
                None => out.push(0),
            }
            out.extend_from_slice(&span.count.to_le_bytes());
        }
        seal(out, start);
    }

    /// Reads a whole skippable frame whose preamble and checksum were found right.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes.get(PREAMBLE_BYTES..bytes.len().checked_sub(CHECKSUM_BYTES)?)?);
        let span_count = fields.u32()? as usize;
        let first_offset = fields.u64()?;
        let group_first = fields.u64()?;
        let received_at = fields.u64()? as Micros;
        let count = fields.u32()?;
        let uncompressed_len = fields.u32()?;
        let compressed_len = fields.u32()?;
        let _reserved = fields.u32()?;
        let payload_xxh3 = fields.u64()?;
        if span_count > fields.0.len() / SPAN_BYTES_MIN || uncompressed_len as usize > PAYLOAD_BYTES_MAX {
            return None;
        }
        let mut spans = Vec::with_capacity(span_count);
        let mut events = 0u64;
        for _ in 0..span_count {
            let source = fields.text()?;
            let producer = match fields.u8()? {
                0 => None,
                1 => Some(Producer { id: fields.text()?, sequence: fields.u64()? }),
                _ => return None,
            };
            let count = fields.u32()?;
            events += u64::from(count);
            spans.push(Span { source, producer, count });
        }
        let sound = fields.0.is_empty()
            && events == u64::from(count)
            && count > 0
            && group_first <= first_offset
            && first_offset.checked_add(events).is_some();
        sound.then(|| Self {
            first_offset,
            group_first,
            received_at,
            count,
            uncompressed_len,
            compressed_len,
            payload_xxh3,
            spans: spans.into(),
        })
    }
}

/// A producer as a snapshot holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldProducer {
    pub id: String,
    pub sequence: u64,
    pub used_at: Micros,
}

/// What a segment opens with: all that recovery needs from the segments before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    pub name: String,
    pub first_offset: Offset,
    pub created_at: Micros,
    /// Events received by source from offset 0 up to `first_offset`, sorted by source.
    pub received: Vec<(String, u64)>,
    /// Sorted by id.
    pub producers: Vec<HeldProducer>,
}

impl Snapshot {
    /// Appends the opening and the snapshot as one skippable frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&OPENING);
        let start = preamble(out, SNAPSHOT_SKIPPABLE, SNAPSHOT_MAGIC, self.received.len() as u32);
        out.extend_from_slice(&self.first_offset.to_le_bytes());
        out.extend_from_slice(&self.created_at.to_le_bytes());
        out.extend_from_slice(&(self.producers.len() as u32).to_le_bytes());
        put_text(out, &self.name);
        for (source, events) in &self.received {
            put_text(out, source);
            out.extend_from_slice(&events.to_le_bytes());
        }
        for producer in &self.producers {
            put_text(out, &producer.id);
            out.extend_from_slice(&producer.sequence.to_le_bytes());
            out.extend_from_slice(&producer.used_at.to_le_bytes());
        }
        seal(out, start);
    }

    /// Reads a whole skippable frame whose preamble and checksum were found right.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = opened(bytes);
        let mut fields = Fields(bytes.get(PREAMBLE_BYTES..bytes.len().checked_sub(CHECKSUM_BYTES)?)?);
        let source_count = fields.u32()?;
        let first_offset = fields.u64()?;
        let created_at = fields.u64()? as Micros;
        let producer_count = fields.u32()?;
        let name = fields.text()?;
        let mut received = Vec::new();
        for _ in 0..source_count {
            received.push((fields.text()?, fields.u64()?));
        }
        let mut producers = Vec::new();
        for _ in 0..producer_count {
            producers.push(HeldProducer {
                id: fields.text()?,
                sequence: fields.u64()?,
                used_at: fields.u64()? as Micros,
            });
        }
        fields.0.is_empty().then_some(Self { name, first_offset, created_at, received, producers })
    }
}

/// First bytes of a segment that hold its time of creation.
pub(crate) const CREATED_AT_BYTES: usize = OPENING.len() + 40;

/// The created-at field of a segment's first bytes, without judging the rest.
pub(crate) fn peek_created_at(bytes: &[u8]) -> Option<Micros> {
    let bytes = opened(bytes);
    let ours = bytes.get(8..16)? == SNAPSHOT_MAGIC;
    ours.then(|| bytes.get(32..40)?.try_into().ok().map(Micros::from_le_bytes)).flatten()
}

/// What a preamble says, before anything else is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Snapshot,
    Frame,
}

/// What stands behind a segment's opening; the bytes themselves where there is none.
fn opened(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(&OPENING).unwrap_or(bytes)
}

/// Kind and whole length in bytes of the skippable frame that starts here, with the opening before
/// it, if it is one of ours.
pub(crate) fn peek(bytes: &[u8]) -> Option<(Kind, usize)> {
    let opening = bytes.len() - opened(bytes).len();
    let bytes = opened(bytes);
    let mut fields = Fields(bytes);
    let (skippable, size) = (fields.u32()?, fields.u32()? as usize);
    let magic: [u8; 8] = bytes.get(SKIPPABLE_BYTES..16)?.try_into().ok()?;
    let kind = match (skippable, magic) {
        (FRAME_SKIPPABLE, FRAME_MAGIC) => Kind::Frame,
        (SNAPSHOT_SKIPPABLE, SNAPSHOT_MAGIC) => Kind::Snapshot,
        _ => return None,
    };
    let belongs = opening == 0 || kind == Kind::Snapshot;
    (belongs && size >= PREAMBLE_BYTES).then_some((kind, opening + size + SKIPPABLE_BYTES))
}

/// Does the trailing checksum of a whole skippable frame match?
pub(crate) fn is_intact(bytes: &[u8]) -> bool {
    let bytes = opened(bytes);
    let Some(split) = bytes.len().checked_sub(CHECKSUM_BYTES) else { return false };
    let (body, checksum) = bytes.split_at(split);
    checksum == xxh3_64(body).to_le_bytes()
}

/// Version of an intact skippable frame of ours.
pub(crate) fn version(bytes: &[u8]) -> u16 {
    opened(bytes).get(16..18).map_or(0, |field| u16::from_le_bytes([field[0], field[1]]))
}

fn preamble(out: &mut Vec<u8>, skippable: u32, magic: [u8; 8], entries: u32) -> usize {
    let start = out.len();
    out.extend_from_slice(&skippable.to_le_bytes());
    out.extend_from_slice(&0u32.to_le_bytes());
    out.extend_from_slice(&magic);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&0u16.to_le_bytes());
    out.extend_from_slice(&entries.to_le_bytes());
    start
}

fn seal(out: &mut Vec<u8>, start: usize) {
    let size = (out.len() - start - SKIPPABLE_BYTES + CHECKSUM_BYTES) as u32;
    out[start + 4..start + 8].copy_from_slice(&size.to_le_bytes());
    let checksum = xxh3_64(&out[start..]);
    out.extend_from_slice(&checksum.to_le_bytes());
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Option<String> {
        let len = self.u32()? as usize;
        String::from_utf8(self.take(len)?.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> FrameHeader {
        let producer = Some(Producer { id: "p".into(), sequence: 9 });
        FrameHeader {
            first_offset: 7,
            group_first: 5,
            received_at: -3,
            count: 3,
            uncompressed_len: 30,
            compressed_len: 20,
            payload_xxh3: 11,
            spans: vec![Span { source: "http".into(), producer, count: 2 }, Span::new("files:0", 1)].into(),
        }
    }

    #[test]
    fn headers_and_snapshots_come_back() {
        let (mut bytes, header) = (Vec::new(), header());
        header.encode(&mut bytes);
        assert_eq!(peek(&bytes), Some((Kind::Frame, bytes.len())));
        assert!(is_intact(&bytes));
        assert_eq!(FrameHeader::decode(&bytes), Some(header));

        let snapshot = Snapshot {
            name: "orders/events".into(),
            first_offset: 70,
            created_at: 12,
            received: vec![("http".into(), 70)],
            producers: vec![HeldProducer { id: "p".into(), sequence: 1, used_at: 2 }],
        };
        let mut bytes = Vec::new();
        snapshot.encode(&mut bytes);
        assert_eq!(peek(&bytes), Some((Kind::Snapshot, bytes.len())));
        assert_eq!(peek_created_at(&bytes), Some(12));
        assert_eq!(Snapshot::decode(&bytes), Some(snapshot));
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_noticed() {
        let mut bytes = Vec::new();
        header().encode(&mut bytes);
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            let whole = peek(&bytes) == Some((Kind::Frame, bytes.len()));
            assert!(!whole || !is_intact(&bytes), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn decoding_never_panics_on_cut_headers() {
        let mut bytes = Vec::new();
        header().encode(&mut bytes);
        for len in 0..bytes.len() {
            assert_eq!(FrameHeader::decode(&bytes[..len]), None);
            let _ = (Snapshot::decode(&bytes[..len]), peek(&bytes[..len]), is_intact(&bytes[..len]));
        }
    }
}
