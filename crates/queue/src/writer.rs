//! The writer thread: takes everything that is pending, gives it offsets, writes it at once,
//! syncs it once, then tells tails and callers.
//!
//! ```text
//!  write fails ─► cut back to the last durable byte, sync the cut ─► same segment goes on
//!       └ or the cut fails ─┐
//!  sync fails ──────────────┴► segment is abandoned: a new one at the durable end bounds it
//! ```
//! A failed sync is never tried again on the same file: the kernel may have dropped the pages and
//! would report success. The group is written once more, into the new segment.

use crate::active::Active;
use crate::error::LogError;
use crate::files::write_all_at;
use crate::group::{Frame, Group};
use crate::segments::{self, Segment};
use crate::shared::{Pending, Shared, Work};
use bourn_event::{Ack, AppendError, micros};
use metrics::{Counter, Histogram};
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// A file that is written and removed to find out whether there is room again.
const PROBE: &str = "probe";
const PROBE_BYTES: usize = 64 << 10;

struct Figures {
    sync_seconds: Histogram,
    bytes: Counter,
    frames: Counter,
    events: Counter,
}

pub(crate) struct Writer {
    shared: Arc<Shared>,
    active: Option<Active>,
    figures: Figures,
    /// Events acknowledged from memory that a failing disk lost since the last `sync`.
    lost_events: u64,
    headers: Vec<u8>,
}

enum Failure {
    /// Nothing of the group is in the file.
    Write(io::Error),
    /// The segment was abandoned.
    Sync(io::Error),
}

/// Leaves the log closed however the thread ends, so that nobody waits for it.
struct Closing(Arc<Shared>);

impl Drop for Closing {
    fn drop(&mut self) {
        let left = {
            let mut inbox = self.0.inbox.lock();
            inbox.closed = true;
            std::mem::take(&mut inbox.work)
        };
        drop(left);
        let end = {
            let mut state = self.0.state.lock();
            state.closed = true;
            state.book.end
        };
        self.0.announce(end);
    }
}

impl Writer {
    pub fn new(shared: Arc<Shared>, active: Option<Active>) -> Self {
        let (stream, log) = match shared.options.name.split_once('/') {
            Some((stream, log)) => (stream.to_owned(), log.to_owned()),
            None => (shared.options.name.clone(), "events".to_owned()),
        };
        let labels = [("stream", stream), ("log", log)];
        let figures = Figures {
            sync_seconds: metrics::histogram!("bourn_log_fsync_seconds", &labels),
            bytes: metrics::counter!("bourn_log_bytes_total", &labels),
            frames: metrics::counter!("bourn_log_frames_total", &labels),
            events: metrics::counter!("bourn_log_events_total", &labels),
        };
        Self { shared, active, figures, lost_events: 0, headers: Vec::new() }
    }

    pub fn run(mut self) {
        let closing = Closing(Arc::clone(&self.shared));
        self.move_finished();
        while let Some(work) = self.take() {
            self.serve(work);
        }
        self.finish_active();
        drop(closing);
    }

    fn take(&self) -> Option<Vec<Work>> {
        let mut inbox = self.shared.inbox.lock();
        while inbox.work.is_empty() {
            if inbox.closed {
                return None;
            }
            self.shared.wake.wait(&mut inbox);
        }
        Some(std::mem::take(&mut inbox.work))
    }

    fn serve(&mut self, work: Vec<Work>) {
        let mut appends = Vec::new();
        for work in work {
            let (reply, answer) = match work {
                Work::Append(pending) => {
                    appends.push(pending);
                    continue;
                }
                Work::Sync(reply) => {
                    self.commit(std::mem::take(&mut appends));
                    (reply, self.check_lost())
                }
                Work::Seal(reply) => {
                    self.commit(std::mem::take(&mut appends));
                    (reply, self.seal())
                }
                Work::Maintain(reply) => {
                    self.commit(std::mem::take(&mut appends));
                    (reply, self.maintain())
                }
            };
            drop(reply.send(answer));
        }
        self.commit(appends);
    }

    fn commit(&mut self, appends: Vec<Pending>) {
        if appends.is_empty() {
            return;
        }
        let bytes: usize = appends.iter().map(|pending| pending.packed.zstd.len()).sum();
        let mut group = self.plan(appends);
        let mut result = self.write(&mut group);
        if let Err(Failure::Sync(error)) = &result {
            let log = &self.shared.options.name;
            tracing::error!(log, %error, "sync failed; writing the group into a new segment");
            result = self.write(&mut group);
        }
        self.shared.queued_bytes.fetch_sub(bytes as u64, Ordering::Relaxed);
        match result {
            Ok(()) => {
                self.publish(&mut group.frames);
                group.answer(Ack::Visible, &Ok(()));
            }
            Err(Failure::Write(error) | Failure::Sync(error)) => self.refuse(group, &error),
        }
    }

    fn plan(&self, appends: Vec<Pending>) -> Group {
        let state = self.shared.state.lock();
        let received_at = state.book.received_last.max(self.shared.options.clock.now());
        Group::plan(appends, &state.book, received_at)
    }

    /// Puts the group's frames on the disk, all or none.
    fn write(&mut self, group: &mut Group) -> Result<(), Failure> {
        if group.frames.is_empty() {
            return Ok(());
        }
        self.headers.clear();
        let mut ends = Vec::with_capacity(group.frames.len());
        for frame in &group.frames {
            frame.header.encode(&mut self.headers);
            ends.push(self.headers.len());
        }
        if self.is_due() {
            self.finish_active();
            self.active = None;
        }
        if self.active.is_none() {
            self.active = Some(self.create().map_err(Failure::Write)?);
            self.move_finished();
        }
        let Some(active) = &mut self.active else {
            return Err(Failure::Write(io::ErrorKind::NotFound.into()));
        };
        let payload_bytes: usize = group.frames.iter().map(|frame| frame.zstd.len()).sum();
        let bytes = (self.headers.len() + payload_bytes) as u64;
        let mut parts = Vec::with_capacity(2 * ends.len());
        let mut start = 0;
        for (frame, end) in group.frames.iter().zip(ends) {
            parts.push(IoSlice::new(&self.headers[start..end]));
            parts.push(IoSlice::new(&frame.zstd));
            start = end;
        }
        if let Err(error) = active.append(&mut parts, bytes) {
            return Err(self.cut_back(error));
        }
        group.answer(Ack::Memory, &Ok(()));
        let started = Instant::now();
        if let Err(error) = active.file.sync() {
            return Err(self.abandon(error));
        }
        self.figures.sync_seconds.record(started.elapsed().as_secs_f64());
        active.bytes += bytes;
        self.figures.bytes.increment(bytes);
        Ok(())
    }

    /// Is the segment large or old enough to be finished?
    fn is_due(&self) -> bool {
        let options = &self.shared.options;
        let state = self.shared.state.lock();
        self.active.as_ref().is_some_and(|active| {
            let age = options.clock.now().saturating_sub(active.created_at);
            state.book.end > active.first_offset
                && (active.bytes >= options.segment_bytes || age >= micros(options.segment_age))
        })
    }

    /// A new segment at the durable end, itself durable.
    fn create(&self) -> io::Result<Active> {
        let options = &self.shared.options;
        let (snapshot, first_offset) = {
            let mut state = self.shared.state.lock();
            let now = state.book.received_last.max(options.clock.now());
            state.book.forget(now, micros(options.producer_idle), micros(options.once_idle));
            (state.book.snapshot(&options.name, now), state.book.end)
        };
        let path = options.dir.join(segments::file_name(first_offset));
        // Left by an attempt that failed before anything was acknowledged into it.
        match options.files.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut bytes = Vec::new();
        snapshot.encode(&mut bytes);
        let file = options.files.create(&path)?;
        let length = bytes.len() as u64;
        write_all_at(&*file, &mut [IoSlice::new(&bytes)], 0)?;
        file.sync()?;
        options.files.sync_dir(&options.dir)?;
        let created_at = snapshot.created_at;
        let mut state = self.shared.state.lock();
        state.segments.retain(|segment| segment.path != path);
        state.segments.push(Segment {
            path: path.clone(),
            first_offset,
            end: first_offset,
            bytes: length,
            sealed: false,
            created_at,
            received_last: created_at,
        });
        Ok(Active { file, path, first_offset, created_at, bytes: length, allocated: length, zeroed: length })
    }

    /// After a failed write: the segment goes on if the cut itself reaches the disk.
    fn cut_back(&mut self, error: io::Error) -> Failure {
        let Some(active) = &mut self.active else { return Failure::Write(error) };
        let cut = active.file.set_len(active.bytes).and_then(|()| active.file.sync());
        (active.allocated, active.zeroed) = (active.bytes, active.bytes);
        match cut {
            Ok(()) => Failure::Write(error),
            Err(_) => match self.abandon(error) {
                Failure::Write(error) | Failure::Sync(error) => Failure::Write(error),
            },
        }
    }

    /// Gives up a file whose pages cannot be trusted. The next segment bounds it, so that one is
    /// begun at once: only then is it certain that the frames never come back.
    fn abandon(&mut self, error: io::Error) -> Failure {
        if let Some(active) = self.active.take()
            && let Err(error) = active.file.set_len(active.bytes)
        {
            let path = active.path.display();
            tracing::error!(%path, %error, "cannot cut an abandoned segment");
        }
        match self.create() {
            Ok(active) => {
                self.active = Some(active);
                Failure::Sync(error)
            }
            Err(_) => Failure::Write(error),
        }
    }

    fn refuse(&mut self, group: Group, error: &io::Error) {
        let log = &self.shared.options.name;
        let dropped: u64 = group
            .waiting
            .iter()
            .filter(|waiting| waiting.reply.is_none())
            .map(|waiting| waiting.receipt.end - waiting.receipt.first_offset)
            .sum();
        if dropped > 0 {
            self.lost_events += dropped;
            tracing::error!(log, events = dropped, "events acknowledged from memory are lost");
        }
        tracing::error!(log, %error, drafts = group.waiting.len(), "the log cannot write");
        *self.shared.failing.lock() = Some(error.to_string());
        let mut group = group;
        group.answer(Ack::Visible, &Err(AppendError::Unavailable(error.to_string())));
    }

    /// Makes a durable group known.
    fn publish(&mut self, frames: &mut Vec<Frame>) {
        if frames.is_empty() {
            return;
        }
        let (mut events, budget) = (0, self.shared.options.tail_memory_bytes);
        let mut guard = self.shared.state.lock();
        let state = &mut *guard;
        let count = frames.len() as u64;
        for frame in frames.drain(..) {
            state.book.apply(&frame.header);
            events += u64::from(frame.header.count);
            if !state.tails.is_empty() {
                state.ring.push(frame.delivery, budget);
            }
        }
        self.shared.weigh_ring(state);
        if let (Some(segment), Some(active)) = (state.segments.last_mut(), &self.active) {
            segment.end = state.book.end;
            segment.bytes = active.bytes;
            segment.received_last = state.book.received_last;
        }
        self.shared.weigh(state);
        let end = state.book.end;
        drop(guard);
        self.writes_again();
        self.figures.frames.increment(count);
        self.figures.events.increment(events);
        self.shared.announce(end);
    }

    fn check_lost(&mut self) -> Result<(), LogError> {
        match std::mem::take(&mut self.lost_events) {
            0 => Ok(()),
            lost => Err(LogError::Unavailable(format!("{lost} events acknowledged from memory were lost"))),
        }
    }

    /// Cuts the preallocated room of the segment, so that it is a plain `.jsonl.zst`.
    fn finish_active(&mut self) {
        let Some(active) = &mut self.active else { return };
        let cut = active.file.set_len(active.bytes).and_then(|()| active.file.sync());
        (active.allocated, active.zeroed) = (active.bytes, active.bytes);
        if let Err(error) = cut {
            let path = active.path.display();
            tracing::warn!(%path, %error, "cannot cut preallocated room");
        }
    }

    fn seal(&mut self) -> Result<(), LogError> {
        let has_events = {
            let state = self.shared.state.lock();
            self.active.as_ref().is_some_and(|active| state.book.end > active.first_offset)
        };
        if has_events {
            self.finish_active();
            self.active = None;
            let active = self.create().map_err(LogError::io(&self.shared.options.dir))?;
            self.active = Some(active);
        }
        self.move_finished();
        Ok(())
    }

    /// After a failed write: is there room again? Nobody may send while the log is known to fail,
    /// so that waiting for a write to succeed could be waiting for ever.
    fn probe(&mut self) {
        if self.shared.failing.lock().is_none() {
            return;
        }
        let path = self.shared.options.dir.join(PROBE);
        let files = &*self.shared.options.files;
        // One may be left from a process that was killed here.
        let _ = files.remove(&path);
        let outcome = files.create(&path).and_then(|file| {
            write_all_at(&*file, &mut [IoSlice::new(&[0; PROBE_BYTES])], 0)?;
            file.sync()
        });
        if files.remove(&path).is_ok() && outcome.is_ok() {
            self.writes_again();
        }
    }

    fn writes_again(&self) {
        if self.shared.failing.lock().take().is_some() {
            tracing::warn!(log = self.shared.options.name, "the log can write again");
        }
    }

    fn maintain(&mut self) -> Result<(), LogError> {
        let result = if self.is_due() { self.seal() } else { Ok(()) };
        self.probe();
        self.move_finished();
        self.retain();
        result
    }

    /// Moves finished segments to the raw zone. What cannot be moved now is tried again later.
    fn move_finished(&mut self) {
        let options = &self.shared.options;
        let finished: Vec<Segment> = {
            let state = self.shared.state.lock();
            let is_active = |segment: &Segment| {
                self.active.as_ref().is_some_and(|active| active.first_offset == segment.first_offset)
            };
            // Without an active segment the last one still bounds nothing: it stays.
            let last = state.segments.len().saturating_sub(1);
            let older = state.segments[..last].iter();
            older.filter(|segment| !segment.sealed && !is_active(segment)).cloned().collect()
        };
        for segment in finished {
            match segments::seal_file(&*options.files, &options.sealed_dir, &segment) {
                Ok(path) => {
                    let mut state = self.shared.state.lock();
                    let moved =
                        state.segments.iter_mut().find(|other| other.first_offset == segment.first_offset);
                    if let Some(moved) = moved {
                        (moved.path, moved.sealed) = (path, true);
                    }
                }
                Err(error) => {
                    let path = segment.path.display();
                    tracing::warn!(%path, %error, "cannot move a finished segment to the raw zone");
                }
            }
        }
    }

    /// Deletes the oldest sealed segments that are too old or too much, never one that a
    /// consumer still needs and never the newest.
    fn retain(&mut self) {
        let options = &self.shared.options;
        let now = options.clock.now();
        loop {
            let mut state = self.shared.state.lock();
            let bytes: u64 = state.segments.iter().map(|segment| segment.bytes).sum();
            let floor = state.floor();
            let Some(oldest) = state.segments.first() else { return };
            let age = now.saturating_sub(oldest.received_last);
            let too_old = options.retention_age.is_some_and(|limit| age > micros(limit));
            let too_much = options.retention_bytes.is_some_and(|limit| bytes > limit);
            let may_go = oldest.sealed && oldest.end <= floor && state.segments.len() > 1;
            if !may_go || !(too_old || too_much) {
                return;
            }
            let oldest = state.segments.remove(0);
            drop(state);
            match options.files.remove(&oldest.path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    let path = oldest.path.display();
                    tracing::warn!(%path, %error, "cannot delete an old segment");
                    self.shared.state.lock().segments.insert(0, oldest);
                    return;
                }
            }
        }
    }
}
