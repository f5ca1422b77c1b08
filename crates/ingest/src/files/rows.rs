//! The events of an open file, one behind the other, each with the position behind it.

use crate::inflate::{self, Coding};
use crate::pending::too_large;
use crate::split::{PieceKind, Shape, Splitter, fold};
use bourn_event::{Fault, RejectReason};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes read at once.
const STRETCH_BYTES: usize = 1 << 20;

/// An event, or what stands in its place.
pub(super) enum Row<'a> {
    /// One line of JSON, or what should be.
    Line(&'a [u8]),
    Bad {
        /// The start of its bytes.
        original: &'a [u8],
        len: u64,
        fault: Fault,
    },
}

/// The rest of a file cannot be read, and why.
#[derive(Debug)]
pub(super) struct Broken(pub String);

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

/// Reads events in order.
pub(super) trait Rows {
    /// The next event and the position behind it, in bytes of the uncompressed file or in rows.
    /// `None` at the end of what there is.
    fn next(&mut self) -> Result<Option<(u64, Row<'_>)>, Broken>;
}

/// What rows are kept within, in bytes.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub max_event: usize,
    pub max_reject: usize,
}

/// Reads a file and counts the bytes it gave.
struct Counted {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Opens the uncompressed content at `position`. `read` is set to the bytes of the file itself.
pub(super) fn open(
    mut file: File,
    coding: Option<Coding>,
    position: u64,
    read: &Arc<AtomicU64>,
) -> io::Result<Box<dyn BufRead + Send>> {
    let start = if coding.is_none() { position } else { 0 };
    file.seek(SeekFrom::Start(start))?;
    read.store(start, Ordering::Relaxed);
    let counted = Counted { file, read: Arc::clone(read) };
    let input: Box<dyn BufRead + Send> = Box::new(BufReader::with_capacity(64 << 10, counted));
    let Some(coding) = coding else { return Ok(input) };
    let mut content = inflate::file(input, coding)?;
    io::copy(&mut content.by_ref().take(position), &mut io::sink())?;
    Ok(content)
}

/// NDJSON and JSON.
pub(super) struct TextRows {
    input: Box<dyn BufRead + Send>,
    splitter: Splitter,
    sizes: Sizes,
    /// Bytes that were read and not taken yet start at `start`.
    window: Vec<u8>,
    start: usize,
    /// Position of `window[start]` in the file.
    position: u64,
    /// Events up to this position are passed over.
    skip: u64,
    at_end: bool,
    /// Is the file complete, so that what its last line feed is followed by is an event too?
    complete: bool,
    /// The start of an event that is too large to be held, and how much of it went by.
    head: Vec<u8>,
    gone: u64,
    folded: Vec<u8>,
}

impl TextRows {
    /// Lines from `position` on, which is the start of one. `input` is at that position.
    pub fn lines(input: Box<dyn BufRead + Send>, position: u64, complete: bool, sizes: Sizes) -> Self {
        let splitter = if position == 0 {
            Splitter::new(Shape::Lines, sizes.max_event)
        } else {
            Splitter::in_lines(sizes.max_event)
        };
        Self { complete, position, ..Self::new(input, splitter, sizes) }
    }

    /// Objects or an array of them. `input` is at its start; events up to `skip` are passed over.
    pub fn json(input: Box<dyn BufRead + Send>, skip: u64, sizes: Sizes) -> Self {
        Self { skip, ..Self::new(input, Splitter::new(Shape::Json, sizes.max_event), sizes) }
    }

    fn new(input: Box<dyn BufRead + Send>, splitter: Splitter, sizes: Sizes) -> Self {
        Self {
            input,
            splitter,
            sizes,
            window: Vec::new(),
            start: 0,
            position: 0,
            skip: 0,
            at_end: false,
            complete: true,
            head: Vec::new(),
            gone: 0,
            folded: Vec::new(),
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        self.window.drain(..std::mem::take(&mut self.start));
        let read = self.input.by_ref().take(STRETCH_BYTES as u64).read_to_end(&mut self.window)?;
        self.at_end = read < STRETCH_BYTES;
        Ok(())
    }

    fn pass(&mut self, bytes: usize) {
        self.start += bytes;
        self.position += bytes as u64;
    }

    /// Drops what is not needed any more, and the bytes of an event that is too large.
    fn make_room(&mut self) {
        let settled = self.splitter.settle();
        self.pass(settled);
        if self.window.len() - self.start > self.sizes.max_event + STRETCH_BYTES {
            if self.gone == 0 {
                let kept = self.sizes.max_reject.min(self.window.len() - self.start);
                self.head = self.window[self.start..self.start + kept].to_vec();
            }
            let dropped = self.splitter.forget();
            self.gone += dropped as u64;
            self.pass(dropped);
        }
    }

    /// Passes over the rest of the input and returns its length.
    fn drain(&mut self) -> io::Result<u64> {
        let rest = io::copy(&mut self.input, &mut io::sink())?;
        self.at_end = true;
        self.position += rest;
        Ok(rest)
    }
}

impl Rows for TextRows {
    fn next(&mut self) -> Result<Option<(u64, Row<'_>)>, Broken> {
        let piece = loop {
            let last = self.at_end && self.complete;
            if let Some(piece) = self.splitter.next(&self.window[self.start..], last) {
                let behind = self.position + piece.next as u64;
                if behind > self.skip || matches!(piece.kind, PieceKind::Rest(_)) {
                    break piece;
                }
                self.gone = 0;
                self.pass(piece.next);
                continue;
            }
            if self.at_end {
                return Ok(None);
            }
            self.make_room();
            self.fill()?;
        };
        let range = self.start + piece.range.start..self.start + piece.range.end;
        let gone = std::mem::take(&mut self.gone);
        self.pass(piece.next);
        let mut len = gone + range.len() as u64;
        let kind = if gone > 0 && !matches!(piece.kind, PieceKind::Rest(_)) {
            PieceKind::TooLarge
        } else {
            piece.kind
        };
        if matches!(kind, PieceKind::Rest(_)) {
            len += self.drain()?;
        }
        let original = if gone > 0 { &self.head[..] } else { &self.window[range] };
        let row = match kind {
            PieceKind::Event { newlines: false } => Row::Line(original),
            PieceKind::Event { newlines: true } => {
                self.folded = fold(original);
                Row::Line(&self.folded)
            }
            PieceKind::TooLarge => {
                let fault = too_large(len, self.sizes.max_event);
                Row::Bad { original, len, fault }
            }
            PieceKind::Broken(why) | PieceKind::Rest(why) => {
                Row::Bad { original, len, fault: Fault::new(RejectReason::Parse, why) }
            }
        };
        Ok(Some((self.position, row)))
    }
}
