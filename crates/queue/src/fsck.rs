//! Reads every byte of a log and says what is wrong with it. Changes nothing.

use crate::error::LogError;
use crate::files::{FileSystem, RealFiles};
use crate::pack::decompress;
use crate::recover::{Hole, scan_error};
use crate::scan::{FramePiece, Payloads, Piece, next_piece};
use crate::segments::{self, Segment};
use bourn_event::Offset;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// The state of a log.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FsckReport {
    pub segments: Vec<SegmentReport>,
    /// Whole frames and their events.
    pub frames: u64,
    pub events: u64,
    /// Offset behind the last event.
    pub end: Offset,
    /// Offsets whose events cannot be read.
    pub holes: Vec<Hole>,
    pub problems: Vec<Problem>,
    /// Side files with the bytes of unfinished writes.
    pub torn_files: Vec<PathBuf>,
}

impl FsckReport {
    /// No hole and no problem.
    pub fn is_clean(&self) -> bool {
        self.holes.is_empty() && self.problems.is_empty()
    }
}

/// One segment.
#[derive(Clone, Debug, Serialize)]
pub struct SegmentReport {
    pub path: PathBuf,
    pub first_offset: Offset,
    pub end: Offset,
    pub bytes: u64,
    pub frames: u64,
    pub sealed: bool,
}

/// Something a segment should not have.
#[derive(Clone, Debug, Serialize)]
pub struct Problem {
    pub path: PathBuf,
    /// Position in the file, in bytes.
    pub at: u64,
    pub what: String,
}

/// Checks the log in `dir` and `sealed_dir`.
pub fn fsck(dir: &Path, sealed_dir: &Path) -> Result<FsckReport, LogError> {
    fsck_with(&RealFiles, dir, sealed_dir)
}

/// [`fsck`] on any file system.
pub fn fsck_with(files: &dyn FileSystem, dir: &Path, sealed_dir: &Path) -> Result<FsckReport, LogError> {
    let segments = segments::list(files, dir, sealed_dir)?;
    let first_offset = segments.first().map_or(0, |segment| segment.first_offset);
    let mut report = FsckReport { end: first_offset, ..FsckReport::default() };
    let mut received_last = None;
    for (index, segment) in segments.iter().enumerate() {
        let next = segments.get(index + 1).map(|next| next.first_offset);
        report.segment(files, segment, next, &mut received_last)?;
    }
    for entry in files.list(dir).map_err(LogError::io(dir))? {
        if entry.name.starts_with("torn-") {
            report.torn_files.push(dir.join(entry.name));
        }
    }
    Ok(report)
}

impl FsckReport {
    fn segment(
        &mut self,
        files: &dyn FileSystem,
        segment: &Segment,
        next: Option<Offset>,
        received_last: &mut Option<i64>,
    ) -> Result<(), LogError> {
        let (path, bound) = (&segment.path, next.unwrap_or(Offset::MAX));
        let file = files.open(path, false).map_err(LogError::io(path))?;
        let (mut at, mut frames, mut why) = (0, 0, "a frame is missing");
        while let Some(piece) = next_piece(&&*file, at, Payloads::Read).map_err(scan_error(path))? {
            let start = at;
            at = piece.end();
            match piece {
                Piece::Snapshot { snapshot, .. } => {
                    if start != 0 || snapshot.first_offset != segment.first_offset {
                        self.problem(path, start, "a snapshot that does not belong here");
                    }
                }
                Piece::Zeros { .. } if segment.sealed => {
                    self.problem(path, start, "preallocated room in a sealed segment");
                }
                Piece::Zeros { .. } => {}
                Piece::Damage { len, why: what, .. } => {
                    why = what;
                    self.problem(path, start, format!("{len} damaged bytes: {what}"));
                }
                // Written by a group whose sync failed; the next segment took its place.
                Piece::Frame(frame) if frame.header.end() > bound => break,
                Piece::Frame(frame) => {
                    self.frame(path, &frame, why, received_last);
                    (frames, why) = (frames + 1, "a frame is missing");
                }
            }
            if start == 0 && frames == 0 && self.problems.last().is_some_and(|p| p.path == *path) {
                self.problem(path, 0, "the segment does not open with its snapshot");
            }
        }
        if let Some(next) = next.filter(|next| self.end < *next) {
            self.holes.push(Hole { from: self.end, to: next, why: why.to_owned() });
            self.end = next;
        }
        self.frames += frames;
        self.segments.push(SegmentReport {
            path: path.clone(),
            first_offset: segment.first_offset,
            end: self.end,
            bytes: segment.bytes,
            frames,
            sealed: segment.sealed,
        });
        Ok(())
    }

    fn frame(&mut self, path: &Path, frame: &FramePiece, why: &str, received_last: &mut Option<i64>) {
        let header = &frame.header;
        if header.first_offset > self.end {
            self.holes.push(Hole { from: self.end, to: header.first_offset, why: why.to_owned() });
        } else if header.first_offset < self.end {
            self.problem(path, frame.at, format!("offset {} stands twice", header.first_offset));
        }
        if received_last.is_some_and(|last| header.received_at < last) {
            self.problem(path, frame.at, "received before the frame in front of it");
        }
        match decompress(&frame.payload, header.uncompressed_len) {
            Ok(payload) => {
                let lines = memchr::memchr_iter(b'\n', &payload).count();
                if lines != header.count as usize || payload.last() != Some(&b'\n') {
                    let what = format!("{lines} lines where the header says {}", header.count);
                    self.problem(path, frame.at, what);
                }
            }
            Err(what) => self.problem(path, frame.at, format!("does not decompress: {what}")),
        }
        *received_last = Some(header.received_at);
        self.events += u64::from(header.count);
        self.end = self.end.max(header.end());
    }

    fn problem(&mut self, path: &Path, at: u64, what: impl Into<String>) {
        self.problems.push(Problem { path: path.to_owned(), at, what: what.into() });
    }
}
