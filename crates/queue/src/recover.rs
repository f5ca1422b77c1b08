//! Opening after a stop or a crash: surveys the newest segments, cuts a torn tail and names holes.

use crate::active::Active;
use crate::book::Book;
use crate::error::LogError;
use crate::files::{FileSystem, LogFile, read_up_to, write_all_at};
use crate::format::{self, FrameHeader};
use crate::log::LogOptions;
use crate::scan::{Payloads, Piece, ScanError, next_piece};
use crate::segments::{self, Segment};
use bourn_event::Offset;
use serde::Serialize;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes kept of a torn tail; it is never longer than the writes of one group.
const COPY_BYTES: usize = 1 << 20;

/// What opening found.
#[derive(Clone, Debug, Default)]
pub struct Recovery {
    /// Segments of the log, the raw zone included.
    pub segments: usize,
    /// Offset behind the last event.
    pub end: Offset,
    /// A write that was under way when the process or the machine stopped.
    pub cut: Option<Cut>,
    /// Damaged frames in the newest segments; older ones are met by readers and by `fsck`.
    pub holes: Vec<Hole>,
}

/// A torn tail that was cut.
#[derive(Clone, Debug)]
pub struct Cut {
    pub path: PathBuf,
    /// Position of the cut in bytes.
    pub at: u64,
    pub bytes: u64,
    /// The side file that holds the bytes.
    pub kept_in: PathBuf,
}

/// Offsets `[from, to)` whose events cannot be read. The bytes stay where they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hole {
    pub from: Offset,
    pub to: Offset,
    pub why: String,
}

pub(crate) struct Recovered {
    pub book: Book,
    pub segments: Vec<Segment>,
    pub active: Option<Active>,
    pub recovery: Recovery,
}

/// What a read-only look at a log's newest segments tells.
#[derive(Default)]
pub(crate) struct Survey {
    pub book: Book,
    pub holes: Vec<Hole>,
    pub name: Option<String>,
    /// Of the newest segment: position behind the last whole piece, and whether there is one.
    pub sound_bytes: u64,
    pub is_begun: bool,
}

/// Reads forward from the newest segment with a whole snapshot.
pub(crate) fn survey(files: &dyn FileSystem, segments: &[Segment]) -> Result<Survey, LogError> {
    let mut survey = Survey::default();
    let Some(newest) = segments.len().checked_sub(1) else { return Ok(survey) };
    let mut start = newest;
    loop {
        let segment = &segments[start];
        let file = files.open(&segment.path, false).map_err(LogError::io(&segment.path))?;
        match next_piece(&&*file, 0, Payloads::Skip).map_err(scan_error(&segment.path))? {
            Some(Piece::Snapshot { snapshot, .. }) if snapshot.first_offset == segment.first_offset => {
                survey.name = Some(snapshot.name.clone());
                survey.book = Book::of(snapshot);
                break;
            }
            _ if start == 0 => {
                survey.book.apply_unknown(segment.first_offset);
                break;
            }
            _ => start -= 1,
        }
    }
    for index in start..=newest {
        let bound = segments.get(index + 1).map_or(Offset::MAX, |next| next.first_offset);
        survey.segment(files, &segments[index], bound)?;
        if index < newest && survey.book.end < bound {
            survey.hole(bound, "the segment ends before the next one begins");
            survey.book.apply_unknown(bound);
        }
    }
    Ok(survey)
}

impl Survey {
    /// Applies the frames of one segment up to `bound`.
    fn segment(&mut self, files: &dyn FileSystem, segment: &Segment, bound: Offset) -> Result<(), LogError> {
        let file = files.open(&segment.path, false).map_err(LogError::io(&segment.path))?;
        let (mut at, mut lost): (u64, Vec<FrameHeader>) = (0, Vec::new());
        let mut why = "";
        (self.sound_bytes, self.is_begun) = (0, false);
        while let Some(piece) = next_piece(&&*file, at, Payloads::Read).map_err(scan_error(&segment.path))? {
            at = piece.end();
            match piece {
                Piece::Snapshot { .. } => (self.sound_bytes, self.is_begun) = (at, true),
                Piece::Zeros { .. } => {}
                Piece::Damage { header, why: what, .. } => {
                    why = what;
                    lost.extend(header);
                }
                Piece::Frame(frame) => {
                    if frame.header.end() > bound {
                        break;
                    }
                    if frame.header.first_offset >= self.book.end {
                        self.fill(frame.header.first_offset, &mut lost, why);
                        self.book.apply(&frame.header);
                    }
                    (self.sound_bytes, self.is_begun) = (at, true);
                }
            }
        }
        Ok(())
    }

    /// Accounts for everything between the last sound frame and the one at `to`.
    fn fill(&mut self, to: Offset, lost: &mut Vec<FrameHeader>, why: &str) {
        if self.book.end < to {
            self.hole(to, if why.is_empty() { "a frame is missing" } else { why });
        }
        for header in lost.drain(..) {
            if header.first_offset >= self.book.end && header.end() <= to {
                self.book.apply_unknown(header.first_offset);
                self.book.apply_hole(&header);
            }
        }
        self.book.apply_unknown(to);
    }

    fn hole(&mut self, to: Offset, why: &str) {
        self.holes.push(Hole { from: self.book.end, to, why: why.to_owned() });
    }
}

pub(crate) fn scan_error(path: &Path) -> impl FnOnce(ScanError) -> LogError + '_ {
    move |error| match error {
        ScanError::Io(source) => LogError::Io { path: path.to_owned(), source },
        ScanError::Version(found) => {
            LogError::Version { path: path.to_owned(), found, supported: format::VERSION }
        }
    }
}

/// Brings the log's files into a state that can be written on.
pub(crate) fn recover(options: &LogOptions) -> Result<Recovered, LogError> {
    let (files, dir) = (&*options.files, &options.dir);
    for dir in [dir, &options.sealed_dir] {
        create_dir(files, dir).map_err(LogError::io(dir))?;
    }
    let mut segments = segments::list(files, dir, &options.sealed_dir)?;
    let mut survey = survey(files, &segments)?;
    let mut cut = None;
    // A new segment whose creation a crash interrupted: nothing of it was ever acknowledged.
    if let Some(newest) = segments.last().filter(|newest| !survey.is_begun && !newest.sealed) {
        cut = keep_torn(options, newest, 0)?;
        files.remove(&newest.path).map_err(LogError::io(&newest.path))?;
        files.sync_dir(dir).map_err(LogError::io(dir))?;
        segments.pop();
        survey = self::survey(files, &segments)?;
    }
    if let (Some(found), Some(segment)) = (&survey.name, segments.last())
        && *found != options.name
    {
        let (path, found, expected) = (segment.path.clone(), found.clone(), options.name.clone());
        return Err(LogError::Foreign { path, found, expected });
    }
    let mut active = None;
    if let Some(newest) = segments.last_mut() {
        newest.end = survey.book.end;
        newest.received_last = survey.book.received_last;
        if !newest.sealed {
            let torn = keep_torn(options, newest, survey.sound_bytes)?;
            active = Some(reopen(files, newest, survey.sound_bytes)?);
            newest.bytes = survey.sound_bytes;
            cut = cut.or(torn);
        }
    }
    let recovery =
        Recovery { segments: segments.len(), end: survey.book.end, cut, holes: survey.holes.clone() };
    report(&options.name, &recovery);
    Ok(Recovered { book: survey.book, segments, active, recovery })
}

/// Folders above the log's that may be as new as it: pipeline, `.bourn`, `streams`, stream.
const ANCESTORS: usize = 4;

/// Creates a folder and makes its name, and those in it, survive power loss. A process that was
/// killed may have created the newest segment without having synced its name.
fn create_dir(files: &dyn FileSystem, dir: &Path) -> io::Result<()> {
    files.create_dir_all(dir)?;
    files.sync_dir(dir)?;
    for ancestor in dir.ancestors().skip(1).take(ANCESTORS) {
        let ancestor = if ancestor.as_os_str().is_empty() { Path::new(".") } else { ancestor };
        // Folders that only others may read were not created by this process.
        if files.sync_dir(ancestor).is_err() {
            break;
        }
    }
    Ok(())
}

fn report(log: &str, recovery: &Recovery) {
    for hole in &recovery.holes {
        tracing::error!(log, hole.from, hole.to, hole.why, "events cannot be read");
    }
    if let Some(cut) = &recovery.cut {
        let (path, kept_in) = (cut.path.display(), cut.kept_in.display());
        tracing::warn!(log, %path, cut.at, cut.bytes, %kept_in, "an unfinished write was cut");
    }
}

/// The newest segment, cut behind its last whole piece, ready to be written on.
fn reopen(files: &dyn FileSystem, segment: &Segment, sound_bytes: u64) -> Result<Active, LogError> {
    let at = LogError::io(&segment.path);
    let open = || -> io::Result<Arc<dyn LogFile>> {
        let file = files.open(&segment.path, true)?;
        file.set_len(sound_bytes)?;
        // Also makes durable what a process that was killed had written and not yet synced.
        file.sync()?;
        Ok(file)
    };
    let file = open().map_err(at)?;
    Ok(Active {
        file,
        path: segment.path.clone(),
        first_offset: segment.first_offset,
        created_at: segment.created_at,
        bytes: sound_bytes,
        allocated: sound_bytes,
        zeroed: sound_bytes,
    })
}

/// Copies everything from `at` on, but trailing zeros, to `torn-<offset>.bin`; `None` if there
/// are only zeros.
fn keep_torn(options: &LogOptions, segment: &Segment, at: u64) -> Result<Option<Cut>, LogError> {
    let (files, path) = (&*options.files, &segment.path);
    let file = files.open(path, false).map_err(LogError::io(path))?;
    let bytes = torn_len(&*file, at).map_err(LogError::io(path))?;
    if bytes == 0 {
        return Ok(None);
    }
    let (kept_in, side) = create_side_file(options, segment.end.max(segment.first_offset))?;
    let copy = || -> io::Result<()> {
        let mut done = 0;
        while done < bytes {
            let part = read_up_to(&*file, at + done, COPY_BYTES.min((bytes - done) as usize))?;
            if part.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            write_all_at(&*side, &mut [IoSlice::new(&part)], done)?;
            done += part.len() as u64;
        }
        side.sync()?;
        files.sync_dir(&options.dir)
    };
    copy().map_err(LogError::io(&kept_in))?;
    Ok(Some(Cut { path: path.clone(), at, bytes, kept_in }))
}

/// Bytes from `at` up to the last one that is not zero.
fn torn_len(file: &dyn LogFile, at: u64) -> io::Result<u64> {
    let (mut position, mut end) = (at, at);
    loop {
        let bytes = read_up_to(file, position, COPY_BYTES)?;
        if let Some(last) = bytes.iter().rposition(|byte| *byte != 0) {
            end = position + last as u64 + 1;
        }
        position += bytes.len() as u64;
        if bytes.len() < COPY_BYTES {
            return Ok(end - at);
        }
    }
}

/// `torn-<offset>.bin`, or `torn-<offset>-<n>.bin` if earlier crashes left such files.
fn create_side_file(options: &LogOptions, offset: Offset) -> Result<(PathBuf, Arc<dyn LogFile>), LogError> {
    let mut tries = 0u32;
    loop {
        let name =
            if tries == 0 { format!("torn-{offset}.bin") } else { format!("torn-{offset}-{tries}.bin") };
        let path = options.dir.join(name);
        match options.files.create(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => tries += 1,
            Err(error) => return Err(LogError::io(&path)(error)),
        }
    }
}
