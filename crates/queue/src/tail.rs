//! Following a log: what is on disk first, then frames as they become durable, each once.

use crate::error::LogError;
use crate::read::{Cursor, Item, trim};
use crate::segments::{Segment, sealed_path};
use crate::shared::Shared;
use bourn_event::Offset;
use std::io;
use std::sync::Arc;

/// A reader of a log that is being written. Reading from disk happens in the calling task or
/// thread: a frame costs one or two reads and its decompression.
pub struct Tail {
    shared: Arc<Shared>,
    /// Holds decoded frames in memory until they are given; `None` for one that wants bytes.
    id: Option<u64>,
    position: Offset,
    cursor: Option<(Offset, Cursor)>,
}

enum Step {
    Give(Item),
    Wait,
    Closed,
    /// Read from the segment that begins and ends here.
    Disk {
        first_offset: Offset,
        bound: Offset,
    },
}

impl Tail {
    pub(crate) fn new(shared: Arc<Shared>, from: Offset) -> Self {
        let id = {
            let mut state = shared.state.lock();
            let id = state.tail_next;
            state.tail_next += 1;
            state.tails.insert(id, from);
            id
        };
        Self { shared, id: Some(id), position: from, cursor: None }
    }

    /// A tail whose deliveries always have their payload: it reads from disk what is in memory only
    /// as columns.
    pub(crate) fn of_bytes(shared: Arc<Shared>, from: Offset) -> Self {
        Self { shared, id: None, position: from, cursor: None }
    }

    /// Offset of the next event.
    pub fn position(&self) -> Offset {
        self.position
    }

    /// The next frame or hole; `None` once the log is closed and everything was given. Safe to
    /// cancel: nothing is taken before it is returned.
    pub async fn next(&mut self) -> Result<Option<Item>, LogError> {
        let mut end = self.shared.end.subscribe();
        loop {
            end.borrow_and_update();
            match self.step() {
                Step::Wait => {
                    if end.changed().await.is_err() {
                        return Ok(None);
                    }
                }
                step => return self.take(step),
            }
        }
    }

    /// [`Tail::next`] for threads.
    pub fn next_blocking(&mut self) -> Result<Option<Item>, LogError> {
        let shared = Arc::clone(&self.shared);
        loop {
            match self.step() {
                Step::Wait => {
                    let mut state = shared.state.lock();
                    if state.book.end <= self.position && !state.closed {
                        shared.published.wait(&mut state);
                    }
                }
                step => return self.take(step),
            }
        }
    }

    /// [`Tail::next`] if there is something already; `None` if not.
    pub fn try_next(&mut self) -> Result<Option<Item>, LogError> {
        match self.step() {
            Step::Wait => Ok(None),
            step => self.take(step),
        }
    }

    fn step(&self) -> Step {
        let state = self.shared.state.lock();
        let (position, end) = (self.position, state.book.end);
        if position >= end {
            return if state.closed { Step::Closed } else { Step::Wait };
        }
        if let Some(frame) = state.ring.find(position)
            && (self.id.is_some() || frame.payload.is_some())
        {
            return Step::Give(Item::Events(trim(frame.clone(), position, end)));
        }
        let behind = state.segments.partition_point(|segment| segment.first_offset <= position);
        let Some(index) = behind.checked_sub(1) else {
            let to = state.segments.first().map_or(end, |segment| segment.first_offset);
            return Step::Give(Item::Hole { from: position, to, why: "deleted by retention".into() });
        };
        let next = state.segments.get(index + 1).map_or(end, |segment| segment.first_offset);
        Step::Disk { first_offset: state.segments[index].first_offset, bound: next.min(end) }
    }

    fn take(&mut self, step: Step) -> Result<Option<Item>, LogError> {
        let item = match step {
            Step::Closed | Step::Wait => return Ok(None),
            Step::Give(item) => item,
            Step::Disk { first_offset, bound } => self.read(first_offset, bound)?,
        };
        self.position = item.end();
        if let Some(id) = self.id {
            let mut state = self.shared.state.lock();
            state.tails.insert(id, self.position);
            state.release_ring();
            self.shared.weigh_ring(&state);
        }
        Ok(Some(item))
    }

    fn read(&mut self, first_offset: Offset, bound: Offset) -> Result<Item, LogError> {
        if self.cursor.as_ref().is_none_or(|(open, _)| *open != first_offset) {
            let Some(cursor) = self.open(first_offset)? else {
                let why = "deleted by retention".into();
                return Ok(Item::Hole { from: self.position, to: bound, why });
            };
            self.cursor = Some((first_offset, cursor));
        }
        let position = self.position;
        let item = match &mut self.cursor {
            Some((_, cursor)) => cursor.next(position, bound)?,
            None => None,
        };
        Ok(item.unwrap_or_else(|| Item::Hole {
            from: position,
            to: bound,
            why: "the segment ends before its last event".into(),
        }))
    }

    /// A finished segment that is not where the state says was moved to the raw zone just now, or
    /// deleted: then `None`.
    fn open(&self, first_offset: Offset) -> Result<Option<Cursor>, LogError> {
        let options = &self.shared.options;
        let places = {
            let state = self.shared.state.lock();
            let found = state.segments.iter().find(|segment| segment.first_offset == first_offset);
            let sealed =
                |segment: &Segment| sealed_path(&options.sealed_dir, first_offset, segment.created_at);
            found.map(|segment| [segment.path.clone(), sealed(segment)])
        };
        for path in places.into_iter().flatten() {
            match options.files.open(&path, false) {
                Ok(file) => return Ok(Some(Cursor::new(file, path))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(LogError::io(&path)(error)),
            }
        }
        Ok(None)
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            let mut state = self.shared.state.lock();
            state.tails.remove(&id);
            state.release_ring();
        }
    }
}
