//! Reading segments: frame by frame, with holes told as such, beside a running writer or on a
//! stopped pipeline.

use crate::error::LogError;
use crate::files::{FileSystem, LogFile, RealFiles};
use crate::pack::decompress;
use crate::recover::{Hole, scan_error, survey};
use crate::scan::{FramePiece, Payloads, Piece, next_piece};
use crate::segments::{self, Segment};
use bourn_event::{Delivery, Micros, Offset, Span};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// What a reader gets, in offset order and without gaps between items.
#[derive(Clone, Debug)]
pub enum Item {
    Events(Delivery),
    /// Offsets `[from, to)` that cannot be read any more.
    Hole {
        from: Offset,
        to: Offset,
        why: String,
    },
}

impl Item {
    /// Offset of the first event.
    pub fn first_offset(&self) -> Offset {
        match self {
            Self::Events(delivery) => delivery.first_offset,
            Self::Hole { from, .. } => *from,
        }
    }

    /// The offset behind the last event.
    pub fn end(&self) -> Offset {
        match self {
            Self::Events(delivery) => delivery.end(),
            Self::Hole { to, .. } => *to,
        }
    }
}

/// The part of a delivery that lies in `[from, to)`.
pub(crate) fn trim(delivery: Delivery, from: Offset, to: Offset) -> Delivery {
    if from <= delivery.first_offset && delivery.end() <= to {
        return delivery;
    }
    let from = from.max(delivery.first_offset);
    let to = to.min(delivery.end()).max(from);
    let (skip, keep) = ((from - delivery.first_offset) as usize, (to - from) as usize);
    let mut row = 0;
    let mut spans = Vec::new();
    for span in delivery.spans.iter() {
        let end = row + span.count as usize;
        let count = end.min(skip + keep).saturating_sub(row.max(skip));
        if count > 0 {
            spans.push(Span { count: count as u32, ..span.clone() });
        }
        row = end;
    }
    let payload = delivery.payload.map(|payload| {
        let mut lines = memchr::memchr_iter(b'\n', &payload);
        let mut behind = |lines_in: usize| match lines_in.checked_sub(1) {
            Some(nth) => lines.nth(nth).map_or(payload.len(), |at| at + 1),
            None => 0,
        };
        let start = behind(skip);
        let end = if keep == 0 { start } else { behind(keep) };
        payload.slice(start..end.max(start))
    });
    Delivery {
        first_offset: from,
        count: keep as u32,
        received_at: delivery.received_at,
        spans: spans.into(),
        payload,
        columns: delivery.columns.map(|columns| columns.slice(skip, keep)),
    }
}

/// Walks one segment.
pub(crate) struct Cursor {
    file: Arc<dyn LogFile>,
    path: PathBuf,
    at: u64,
}

impl Cursor {
    pub fn new(file: Arc<dyn LogFile>, path: PathBuf) -> Self {
        Self { file, path, at: 0 }
    }

    /// The frame or hole at `position`, cut at `bound`; `None` if the segment ends before it.
    pub fn next(&mut self, position: Offset, bound: Offset) -> Result<Option<Item>, LogError> {
        let mut why = "a frame is missing";
        if position >= bound {
            return Ok(None);
        }
        loop {
            let piece = next_piece(&&*self.file, self.at, Payloads::Skip).map_err(scan_error(&self.path))?;
            let (header, end) = match piece {
                None | Some(Piece::Zeros { .. }) => return Ok(None),
                Some(Piece::Snapshot { at, len, .. }) => {
                    self.at = at + len;
                    continue;
                }
                Some(Piece::Damage { at, len, header: None, why: what }) => {
                    (self.at, why) = (at + len, what);
                    continue;
                }
                Some(Piece::Damage { at, len, header: Some(header), .. }) => (header, at + len),
                Some(Piece::Frame(frame)) => (frame.header, frame.at + frame.len),
            };
            if header.end() <= position {
                self.at = end;
                continue;
            }
            if header.first_offset > position {
                // The frame itself is given by the next call.
                let to = header.first_offset.min(bound);
                return Ok(Some(Item::Hole { from: position, to, why: why.into() }));
            }
            self.at = end;
            let payload_at = end.saturating_sub(u64::from(header.compressed_len));
            let piece = FramePiece { at: payload_at, len: 0, header, payload: Vec::new() };
            return self.load(piece, position, bound).map(Some);
        }
    }

    /// Reads, checks and decompresses the payload at `piece.at`.
    fn load(&self, piece: FramePiece, position: Offset, bound: Offset) -> Result<Item, LogError> {
        let FramePiece { at, header, .. } = piece;
        let zstd = crate::files::read_up_to(&*self.file, at, header.compressed_len as usize)
            .map_err(LogError::io(&self.path))?;
        if xxh3_64(&zstd) != header.payload_xxh3 {
            let why = "the payload does not match its checksum".into();
            return Ok(Item::Hole { from: position, to: header.end().min(bound), why });
        }
        let payload = decompress(&zstd, header.uncompressed_len).map_err(|what| LogError::Payload {
            path: self.path.clone(),
            offset: header.first_offset,
            what,
        })?;
        let delivery = Delivery {
            first_offset: header.first_offset,
            count: header.count,
            received_at: header.received_at,
            spans: header.spans,
            payload: Some(payload),
            columns: None,
        };
        Ok(Item::Events(trim(delivery, position, bound)))
    }
}

/// A read-only look at a log as it is when opened. Beside a running writer it may see a group
/// that is written and not yet synced.
#[derive(Clone)]
pub struct LogReader {
    files: Arc<dyn FileSystem>,
    dir: PathBuf,
    sealed_dir: PathBuf,
    segments: Arc<[Segment]>,
    end: Offset,
    received: Arc<BTreeMap<String, u64>>,
    holes: Arc<[Hole]>,
}

impl LogReader {
    pub fn open(dir: impl AsRef<Path>, sealed_dir: impl AsRef<Path>) -> Result<Self, LogError> {
        Self::open_with(Arc::new(RealFiles), dir, sealed_dir)
    }

    pub fn open_with(
        files: Arc<dyn FileSystem>,
        dir: impl AsRef<Path>,
        sealed_dir: impl AsRef<Path>,
    ) -> Result<Self, LogError> {
        let (dir, sealed_dir) = (dir.as_ref().to_owned(), sealed_dir.as_ref().to_owned());
        let (segments, survey) = stable(|| {
            let segments = segments::list(&*files, &dir, &sealed_dir)?;
            let survey = survey(&*files, &segments)?;
            Ok((segments, survey))
        })?;
        Ok(Self {
            files,
            dir,
            sealed_dir,
            segments: segments.into(),
            end: survey.book.end,
            received: Arc::new(survey.book.received),
            holes: survey.holes.into(),
        })
    }

    /// Offset behind the last event.
    pub fn end(&self) -> Offset {
        self.end
    }

    /// The oldest offset that was not deleted by retention.
    pub fn first_retained(&self) -> Offset {
        self.segments.first().map_or(self.end, |segment| segment.first_offset)
    }

    /// Events by source since offset 0; they add up to [`LogReader::end`].
    pub fn received(&self) -> &BTreeMap<String, u64> {
        &self.received
    }

    /// Holes in the newest segments, as far back as they were read.
    pub fn holes(&self) -> &[Hole] {
        &self.holes
    }

    /// The segments in offset order.
    pub fn segments(&self) -> Vec<crate::SegmentInfo> {
        self.segments.iter().map(crate::SegmentInfo::of).collect()
    }

    /// The segments' files in offset order.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.segments.iter().map(|segment| segment.path.clone()).collect()
    }

    /// The segment that holds `offset`, with its first offset.
    pub fn locate(&self, offset: Offset) -> Option<(PathBuf, Offset)> {
        if offset >= self.end {
            return None;
        }
        let behind = self.segments.partition_point(|segment| segment.first_offset <= offset);
        let segment = self.segments.get(behind.checked_sub(1)?)?;
        Some((segment.path.clone(), segment.first_offset))
    }

    /// The events of `[from, to)`, cut at the log's end.
    pub fn frames(&self, from: Offset, to: Offset) -> Frames {
        Frames { reader: self.clone(), position: from, to: to.min(self.end), cursor: None }
    }

    /// Offset of the first event received at `at` or later; the end if there is none.
    pub fn offset_at(&self, at: Micros) -> Result<Offset, LogError> {
        // Segments that were begun later cannot hold the first such event, but the last may.
        let later = self.segments.partition_point(|segment| segment.created_at < at);
        for index in later.saturating_sub(1)..self.segments.len() {
            let mut cursor = self.cursor(index)?;
            let bound = self.bound(index);
            while let Some(piece) =
                next_piece(&&*cursor.file, cursor.at, Payloads::Skip).map_err(scan_error(&cursor.path))?
            {
                cursor.at = piece.end();
                if let Piece::Frame(frame) = piece
                    && frame.header.end() <= bound
                    && frame.header.received_at >= at
                {
                    return Ok(frame.header.first_offset);
                }
            }
        }
        Ok(self.end)
    }

    fn bound(&self, index: usize) -> Offset {
        self.segments.get(index + 1).map_or(self.end, |next| next.first_offset)
    }

    fn cursor(&self, index: usize) -> Result<Cursor, LogError> {
        let segment = &self.segments[index];
        match self.files.open(&segment.path, false) {
            Ok(file) => return Ok(Cursor::new(file, segment.path.clone())),
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(LogError::io(&segment.path)(error));
            }
            Err(_) => {}
        }
        // Moved to the raw zone since this reader was opened.
        stable(|| {
            let now = segments::list(&*self.files, &self.dir, &self.sealed_dir)?;
            let found = now.into_iter().find(|other| other.first_offset == segment.first_offset);
            let path = found.map_or_else(|| segment.path.clone(), |found| found.path);
            let file = self.files.open(&path, false).map_err(LogError::io(&path))?;
            Ok(Cursor::new(file, path))
        })
    }
}

/// Repeats a look at the folders that a running writer's seal made fail.
fn stable<T>(look: impl Fn() -> Result<T, LogError>) -> Result<T, LogError> {
    const TRIES: usize = 5;
    let mut tries = 0;
    loop {
        match look() {
            Err(LogError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound && tries < TRIES => {
                tries += 1;
            }
            result => return result,
        }
    }
}

/// Iterator over [`LogReader::frames`]. Ends after the first error.
pub struct Frames {
    reader: LogReader,
    position: Offset,
    to: Offset,
    cursor: Option<(usize, Cursor)>,
}

impl Frames {
    fn read(&mut self) -> Result<Item, LogError> {
        let segments = &self.reader.segments;
        let behind = segments.partition_point(|segment| segment.first_offset <= self.position);
        let Some(index) = behind.checked_sub(1) else {
            let to = self.reader.first_retained().min(self.to);
            return Ok(Item::Hole { from: self.position, to, why: "deleted by retention".into() });
        };
        let bound = self.reader.bound(index).min(self.to);
        if self.cursor.as_ref().is_none_or(|(open, _)| *open != index) {
            self.cursor = match self.reader.cursor(index) {
                Ok(cursor) => Some((index, cursor)),
                Err(LogError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                    let why = "deleted while it was being read".into();
                    return Ok(Item::Hole { from: self.position, to: bound, why });
                }
                Err(error) => return Err(error),
            };
        }
        let item = match &mut self.cursor {
            Some((_, cursor)) => cursor.next(self.position, bound)?,
            None => None,
        };
        let why = "the segment ends before its last event";
        Ok(item.unwrap_or_else(|| Item::Hole { from: self.position, to: bound, why: why.into() }))
    }
}

impl Iterator for Frames {
    type Item = Result<Item, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.position >= self.to {
            return None;
        }
        let item = self.read();
        self.position = item.as_ref().map_or(self.to, Item::end);
        Some(item)
    }
}
