//! Takes one file from where it was left to where it ends now. Runs on a blocking thread.
//!
//! ```text
//!  file      ├──────── batch ────────┤├──────── batch ────────┤├── …
//!  logs       rejects(seq), events(seq)  rejects(seq), events(seq)     seq = position behind the batch
//!  after a crash   start = last seq of the events; rejects up to their own last seq are there already
//! ```
//!
//! Rejects are durable before the events of the same batch. So everything up to the events' last
//! sequence is in both logs, and only the rejects can be ahead: they are passed over when their
//! events are read again.

use super::csv::{CsvRows, Header};
use super::parquet::ParquetRows;
use super::rows::{Broken, Row, Rows, Sizes, TextRows, open};
use super::{FileMemory, FileProgress, FileSourceError, Kind, Observer, identity};
use crate::pending::{Origin, Pending};
use crate::port::Core;
use bourn_config::FileFormat;
use bourn_event::{Ack, AppendError, Draft, Fault, Log, Producer, RejectReason};
use bytes::Bytes;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// Payload after which a batch is appended, in bytes.
const BATCH_BYTES: usize = 1 << 20;
/// Sequence of the reject that says a file is broken: behind every position.
const BROKEN: u64 = i64::MAX as u64;
/// Bytes before the point of failure that a broken file's reject keeps.
const BROKEN_LEAD_BYTES: u64 = 64 << 10;
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// Files that replaced a longer one under the same identity, at most.
const GENERATIONS_MAX: usize = 1000;

/// How a file was left.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum End {
    /// Taken up to its present end.
    #[default]
    Reached,
    Broken,
    /// It was not there any more.
    Vanished,
    /// Cancelled at a batch boundary.
    Stopped,
}

/// What was done with a file.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub end: End,
    pub identity: Option<String>,
    pub position: u64,
    pub events: u64,
    pub rejected: u64,
}

/// A file to be taken, and everything needed for it.
pub(super) struct Load<'a> {
    pub core: &'a Arc<Core>,
    pub memory: &'a dyn FileMemory,
    pub observer: &'a Observer,
    pub runtime: &'a Handle,
    pub cancel: &'a CancellationToken,
    pub source: &'a Arc<str>,
    pub path: &'a Path,
    /// The path as messages and identities name it.
    pub name: &'a str,
    /// `None` if the name does not tell.
    pub kind: Option<Kind>,
    /// Nothing more is coming.
    pub complete: bool,
}

/// Where to go on in a file.
struct Start {
    identity: String,
    position: u64,
    /// Rejects up to here are in their log.
    rejects: u64,
}

/// A batch in the making.
struct Batch {
    pending: Pending,
    origin: Origin,
    position: u64,
    loaded: Loaded,
}

impl Load<'_> {
    pub fn run(&self) -> Result<Loaded, FileSourceError> {
        let mut file = match File::open(self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(Loaded { end: End::Vanished, ..Loaded::default() });
            }
            Err(error) => return self.unreadable(&error.to_string()),
        };
        let len = match file.metadata() {
            Ok(metadata) => metadata.len(),
            Err(error) => return self.unreadable(&error.to_string()),
        };
        let Some(kind) = self.kind else {
            return self.unreadable("its format cannot be told from its name: set `format`");
        };
        let start = match self.start(&mut file, len, kind) {
            Ok(Some(start)) => start,
            Ok(None) => return Ok(Loaded::default()),
            Err(error) => return self.unreadable(&error.to_string()),
        };
        if start.rejects == BROKEN {
            let identity = Some(start.identity);
            return Ok(Loaded { end: End::Broken, identity, ..Loaded::default() });
        }
        let read = Arc::new(AtomicU64::new(0));
        let mut batch = self.batch(&start);
        let end = match self.rows(&file, kind, &start, &read) {
            Ok(Some(mut rows)) => self.take(&mut *rows, &mut batch, &start, &read, len)?,
            Ok(None) => Ok(End::Reached),
            Err(broken) => Err(broken),
        };
        let end = match end {
            Ok(End::Reached) => self.shrunk(&file, kind, batch.position),
            end => end,
        };
        batch.loaded.end = match end {
            Ok(end) => end,
            Err(broken) => {
                self.broken(&mut batch, &mut file, len, read.load(Ordering::Relaxed), &broken.0)?
            }
        };
        batch.loaded.position = batch.position;
        batch.loaded.identity = Some(start.identity);
        Ok(batch.loaded)
    }

    fn batch(&self, start: &Start) -> Batch {
        let producer = Producer { id: start.identity.clone(), sequence: 0 };
        Batch {
            pending: Pending::new(self.core),
            origin: Origin { source: Arc::clone(self.source), producer: Some(producer) },
            position: start.position,
            loaded: Loaded::default(),
        }
    }

    /// Finds out which file it is and where to go on; `None` if there is nothing to tell it by yet.
    fn start(&self, file: &mut File, len: u64, kind: Kind) -> io::Result<Option<Start>> {
        let identities = if kind.grows() {
            let mut head = Vec::new();
            file.by_ref().take(identity::HEAD_BYTES as u64).read_to_end(&mut head)?;
            identity::of_lines(self.name, &head, self.complete)
        } else {
            vec![identity::of_whole(file, len)?]
        };
        let known = identities.iter().find(|identity| self.known(identity));
        let Some(identity) = known.or(identities.first()) else { return Ok(None) };
        let mut start = self.start_of(identity.clone());
        // A file that is shorter than what was taken of it is another one in its place.
        let mut generation = 0;
        while kind.grows() && start.position > len && start.rejects != BROKEN && generation < GENERATIONS_MAX
        {
            generation += 1;
            start = self.start_of(format!("{identity}.{generation}"));
        }
        Ok(Some(start))
    }

    fn known(&self, identity: &str) -> bool {
        let options = &self.core.options;
        self.memory.finished(identity).is_some()
            || options.log.producer_sequence(identity).is_some()
            || options.rejects.producer_sequence(identity).is_some()
    }

    fn start_of(&self, identity: String) -> Start {
        let options = &self.core.options;
        let finished = self.memory.finished(&identity);
        let position = options.log.producer_sequence(&identity).max(finished).unwrap_or(0);
        let rejects = options.rejects.producer_sequence(&identity).max(finished).unwrap_or(0);
        Start { identity, position, rejects }
    }

    /// `None` if the file has no rows yet.
    fn rows(
        &self,
        file: &File,
        kind: Kind,
        start: &Start,
        read: &Arc<AtomicU64>,
    ) -> Result<Option<Box<dyn Rows>>, Broken> {
        let options = &self.core.options;
        let sizes = Sizes { max_event: options.max_event, max_reject: options.max_reject };
        let open = |position| open(file.try_clone()?, kind.coding, position, read);
        let position = start.position;
        Ok(Some(match kind.format {
            FileFormat::Ndjson => Box::new(TextRows::lines(open(position)?, position, self.complete, sizes)),
            FileFormat::Json => Box::new(TextRows::json(open(0)?, position, sizes)),
            FileFormat::Csv => {
                let schema = options.schema.arrow();
                let header = Header::read(&mut *open(0)?, &schema, self.complete, sizes)?;
                let Some(header) = header else { return Ok(None) };
                let position = position.max(header.end);
                Box::new(CsvRows::new(open(position)?, header, position, self.complete, sizes))
            }
            FileFormat::Parquet if kind.coding.is_none() => {
                Box::new(ParquetRows::open(file.try_clone()?, position)?)
            }
            FileFormat::Parquet => return Err(Broken("Parquet inside gzip or zstd is not read".into())),
        }))
    }

    fn take(
        &self,
        rows: &mut dyn Rows,
        batch: &mut Batch,
        start: &Start,
        read: &AtomicU64,
        len: u64,
    ) -> Result<Result<End, Broken>, FileSourceError> {
        loop {
            if batch.pending.bytes() >= BATCH_BYTES {
                if !self.flush(batch, None)? {
                    return Ok(Ok(End::Stopped));
                }
                self.tell(batch, read.load(Ordering::Relaxed), len);
                if self.cancel.is_cancelled() {
                    return Ok(Ok(End::Stopped));
                }
            }
            match rows.next() {
                Ok(Some((position, row))) => take_row(batch, position, row, start.rejects),
                Ok(None) => {
                    let end = if self.flush(batch, None)? { End::Reached } else { End::Stopped };
                    self.tell(batch, read.load(Ordering::Relaxed), len);
                    return Ok(Ok(end));
                }
                Err(broken) => {
                    let stopped = !self.flush(batch, None)?;
                    return Ok(if stopped { Ok(End::Stopped) } else { Err(broken) });
                }
            }
        }
    }

    /// Makes what the batch gathered durable; `false` if cancelled before that.
    fn flush(&self, batch: &mut Batch, sequence: Option<u64>) -> Result<bool, FileSourceError> {
        let part = batch.pending.finish(Some(sequence.unwrap_or(batch.position)));
        let counts = [u64::from(part.events.count()), u64::from(part.rejects.count())];
        let options = &self.core.options;
        let stored = self.append(&options.rejects, &part.rejects)?;
        if !stored || !self.append(&options.log, &part.events)? {
            return Ok(false);
        }
        self.core.meters.accepted(counts[0], part.events.payload.len() as u64);
        self.core.meters.rejected(&part.reasons);
        batch.loaded.events += counts[0];
        batch.loaded.rejected += counts[1];
        Ok(true)
    }

    /// Waits for a log that is full or failing as long as it takes.
    fn append(&self, log: &Arc<dyn Log>, draft: &Draft) -> Result<bool, FileSourceError> {
        if draft.spans.is_empty() {
            return Ok(true);
        }
        let mut backoff = BACKOFF_MIN;
        loop {
            let wait = match self.runtime.block_on(log.append(draft.clone(), Ack::Durable)) {
                Ok(_) => return Ok(true),
                Err(AppendError::Closed) => return Err(FileSourceError::Closed),
                Err(AppendError::Full { retry_after }) => retry_after.clamp(BACKOFF_MIN, BACKOFF_MAX),
                Err(AppendError::Unavailable(why)) => {
                    tracing::warn!(
                        file = self.name,
                        why,
                        "the log cannot take a file's events; trying again"
                    );
                    backoff
                }
            };
            backoff = (backoff * 2).min(BACKOFF_MAX);
            let cancelled = self.runtime.block_on(async {
                tokio::select! {
                    () = self.cancel.cancelled() => true,
                    () = tokio::time::sleep(wait) => false,
                }
            });
            if cancelled {
                return Ok(false);
            }
        }
    }

    /// A plain file that became shorter than what was read of it was overwritten meanwhile.
    fn shrunk(&self, file: &File, kind: Kind, position: u64) -> Result<End, Broken> {
        let len = file.metadata()?.len();
        if kind.grows() && len < position {
            return Err(Broken(format!("it shrank to {len} bytes while {position} had been read")));
        }
        Ok(End::Reached)
    }

    /// Puts the reject for the rest of a file that cannot be read.
    fn broken(
        &self,
        batch: &mut Batch,
        file: &mut File,
        len: u64,
        read: u64,
        why: &str,
    ) -> Result<End, FileSourceError> {
        let from = read.min(len).saturating_sub(BROKEN_LEAD_BYTES);
        let mut original = Vec::new();
        let kept = self.core.options.max_reject as u64;
        let copied =
            file.seek(SeekFrom::Start(from)).and_then(|_| file.take(kept).read_to_end(&mut original));
        if copied.is_err() {
            original.clear();
        }
        let message = format!("`{}`, bytes {from} to {len}: {why}", self.name);
        tracing::warn!(file = self.name, why, "a file is broken");
        let fault = Fault::new(RejectReason::File, message);
        batch.pending.reject(&fault, &Bytes::from(original), len - from, &batch.origin);
        Ok(if self.flush(batch, Some(BROKEN))? { End::Broken } else { End::Stopped })
    }

    /// The same for a file of which nothing can be read.
    fn unreadable(&self, why: &str) -> Result<Loaded, FileSourceError> {
        let len = self.path.metadata().map_or(0, |metadata| metadata.len());
        let start = self.start_of(identity::of_unreadable(self.name, len));
        if start.rejects == BROKEN {
            return Ok(Loaded { end: End::Broken, identity: Some(start.identity), ..Loaded::default() });
        }
        let mut batch = self.batch(&start);
        let fault = Fault::new(RejectReason::File, format!("`{}`, bytes 0 to {len}: {why}", self.name));
        tracing::warn!(file = self.name, why, "a file cannot be read");
        batch.pending.reject(&fault, &Bytes::new(), len, &batch.origin);
        batch.loaded.end = if self.flush(&mut batch, Some(BROKEN))? { End::Broken } else { End::Stopped };
        batch.loaded.identity = Some(start.identity);
        Ok(batch.loaded)
    }

    fn tell(&self, batch: &Batch, read: u64, len: u64) {
        (self.observer)(&FileProgress {
            path: self.path,
            bytes_read: read.min(len),
            bytes_total: len,
            events: batch.loaded.events,
            rejected: batch.loaded.rejected,
        });
    }
}

fn take_row(batch: &mut Batch, position: u64, row: Row<'_>, rejects_held: u64) {
    let Batch { pending, origin, .. } = batch;
    match row {
        Row::Line(event) => pending.line_unless_held(event, origin, position <= rejects_held),
        Row::Bad { .. } if position <= rejects_held => {}
        Row::Bad { original, len, fault } => {
            pending.reject(&fault, &Bytes::copy_from_slice(original), len, origin);
        }
    }
    batch.position = position;
}
