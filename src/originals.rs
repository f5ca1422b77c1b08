//! Reads the bytes of events back from the log, for those that a stage refuses.

use crate::layout::{Layout, LogKind};
use crate::stream::open_reader;
use bourn_event::{Delivery, Offset};
use bourn_queue::{Item, LogReader};
use bourn_refine::Originals;
use bytes::Bytes;

/// Keeps the frame it read last: refused events come in offset order, often many from one frame.
pub struct LogOriginals {
    layout: Layout,
    stream: String,
    reader: Option<LogReader>,
    frame: Option<Frame>,
}

struct Frame {
    first_offset: Offset,
    end: Offset,
    events: Vec<Bytes>,
}

impl LogOriginals {
    pub fn new(layout: &Layout, stream: &str) -> Self {
        Self { layout: layout.clone(), stream: stream.to_string(), reader: None, frame: None }
    }

    fn read_frame(&mut self, offset: Offset) -> Result<Frame, String> {
        // A reader sees the log as it was when it was opened; a newer frame needs a newer reader.
        if self.reader.as_ref().is_none_or(|reader| reader.end() <= offset) {
            let reader = open_reader(&self.layout, &self.stream, LogKind::Events);
            self.reader = Some(reader.map_err(|error| format!("{error:#}"))?);
        }
        let Some(reader) = &self.reader else { return Err("the log cannot be read".into()) };
        for item in reader.frames(offset, offset + 1) {
            if let Item::Events(delivery) = item.map_err(|error| error.to_string())? {
                return Ok(Frame::of(delivery));
            }
        }
        Err(format!("the log does not hold offset {offset}"))
    }
}

impl Originals for LogOriginals {
    fn original(&mut self, offset: Offset) -> Result<Bytes, String> {
        let is_held = self.frame.as_ref().is_some_and(|f| (f.first_offset..f.end).contains(&offset));
        if !is_held {
            self.frame = Some(self.read_frame(offset)?);
        }
        let held = self.frame.as_ref().and_then(|f| f.events.get((offset - f.first_offset) as usize));
        held.cloned().ok_or_else(|| format!("the frame of offset {offset} is shorter than it says"))
    }
}

impl Frame {
    fn of(delivery: Delivery) -> Self {
        let (first_offset, end) = (delivery.first_offset, delivery.end());
        let events = delivery.payload.map(|payload| lines(&payload)).unwrap_or_default();
        Self { first_offset, end, events }
    }
}

/// The events of a payload, without their line ends.
pub fn lines(payload: &Bytes) -> Vec<Bytes> {
    let mut start = 0;
    memchr::memchr_iter(b'\n', payload)
        .map(|end| {
            let line = payload.slice(start..end);
            start = end + 1;
            line
        })
        .collect()
}
