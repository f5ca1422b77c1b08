//! Events on their way into drafts: the accepted ones as payload and columns, the others as rejects.
//!
//! The payload of a body whose events are all taken as they are is a slice of that body: nothing
//! is copied. Otherwise runs of neighbouring events are copied together.

use crate::answer::Framing;
use crate::cloudevents;
use crate::meters::Reasons;
use crate::port::{Core, PART_BYTES};
use crate::schema::Decode;
use crate::split::{PieceKind, fold};
use bourn_event::{Draft, Fault, Micros, Producer, Reject, RejectReason, Span};
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;

/// Drafts that belong together.
#[derive(Debug, Default)]
pub(crate) struct Part {
    pub events: Draft,
    pub rejects: Draft,
    /// Of the rejects.
    pub reasons: Reasons,
}

impl Part {
    pub fn is_empty(&self) -> bool {
        self.events.spans.is_empty() && self.rejects.spans.is_empty()
    }
}

/// Where events come from.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub source: Arc<str>,
    pub producer: Option<Producer>,
}

impl Origin {
    fn is_span(&self, span: &Span) -> bool {
        *span.source == *self.source && span.producer == self.producer
    }

    fn count(&self, spans: &mut Vec<Span>) {
        match spans.last_mut() {
            Some(span) if self.is_span(span) => span.count += 1,
            _ => spans.push(Span {
                source: self.source.to_string(),
                producer: self.producer.clone(),
                count: 1,
            }),
        }
    }
}

/// Gathers one [`Part`].
pub(crate) struct Pending {
    core: Arc<Core>,
    decoder: Option<Box<dyn Decode>>,
    payload: Payload,
    events: Vec<Span>,
    reject_lines: Vec<u8>,
    rejects: Vec<Span>,
    reasons: Reasons,
    now: Micros,
}

impl Pending {
    pub fn new(core: &Arc<Core>) -> Self {
        Self {
            core: Arc::clone(core),
            decoder: Some(core.decoder()),
            payload: Payload::default(),
            events: Vec::new(),
            reject_lines: Vec::new(),
            rejects: Vec::new(),
            reasons: Reasons::default(),
            now: core.options.clock.now(),
        }
    }

    /// The next pieces are ranges of `body`.
    pub fn start(&mut self, body: Bytes) {
        self.payload.start(body);
    }

    /// Bytes that would be appended.
    pub fn bytes(&self) -> usize {
        self.payload.len() + self.reject_lines.len()
    }

    /// Takes a piece of the current body. With an error it went to the rejects.
    pub fn take(
        &mut self,
        kind: PieceKind,
        range: Range<usize>,
        framing: &Framing,
        origin: &Origin,
    ) -> Result<(), Box<Fault>> {
        let taken = match kind {
            PieceKind::Event { newlines } => self.event(range.clone(), newlines, framing, origin),
            PieceKind::TooLarge => Err(Box::new(too_large(range.len() as u64, self.core.options.max_event))),
            PieceKind::Broken(why) | PieceKind::Rest(why) => {
                Err(Box::new(Fault::new(RejectReason::Parse, why)))
            }
        };
        let fault = match taken {
            Ok(None) => return Ok(()),
            Ok(Some(composed)) => return self.line(&composed, origin),
            Err(fault) => fault,
        };
        let original = self.payload.body.slice(range);
        self.reject(&fault, &original, original.len() as u64, origin);
        Err(fault)
    }

    /// Takes an event as it stands, or gives it back as the line it has to become first.
    fn event(
        &mut self,
        range: Range<usize>,
        newlines: bool,
        framing: &Framing,
        origin: &Origin,
    ) -> Result<Option<Vec<u8>>, Box<Fault>> {
        let Self { core, decoder, payload, events, .. } = self;
        let bytes = &payload.body[range.clone()];
        match framing {
            Framing::Plain(_) if !newlines => {
                decoder.get_or_insert_with(|| core.decoder()).push(bytes)?;
                payload.push(range);
                origin.count(events);
                Ok(None)
            }
            Framing::Plain(_) => Ok(Some(fold(bytes))),
            Framing::CloudEvent | Framing::CloudEventBatch => cloudevents::structured(bytes).map(Some),
            Framing::CloudEventBinary(attributes) => cloudevents::binary(attributes, bytes).map(Some),
        }
    }

    /// Takes one event that is a line. With an error it went to the rejects.
    pub fn line(&mut self, event: &[u8], origin: &Origin) -> Result<(), Box<Fault>> {
        let pushed = if event.len() > self.core.options.max_event {
            Err(Box::new(too_large(event.len() as u64, self.core.options.max_event)))
        } else {
            self.decode(event)
        };
        match pushed {
            Ok(()) => {
                self.payload.push_copy(event);
                origin.count(&mut self.events);
            }
            Err(ref fault) => {
                let kept = event.len().min(self.core.options.max_reject);
                self.reject(fault, &Bytes::copy_from_slice(&event[..kept]), event.len() as u64, origin);
            }
        }
        pushed
    }

    /// The same, but a fault is let go if the event is in the rejects already.
    pub fn line_unless_held(&mut self, event: &[u8], origin: &Origin, held: bool) {
        if !held {
            let _ = self.line(event, origin);
            return;
        }
        if event.len() <= self.core.options.max_event && self.decode(event).is_ok() {
            self.payload.push_copy(event);
            origin.count(&mut self.events);
        }
    }

    fn decode(&mut self, event: &[u8]) -> Result<(), Box<Fault>> {
        let core = &self.core;
        self.decoder.get_or_insert_with(|| core.decoder()).push(event)
    }

    /// `original_len` is the length of what `original` may be the start of.
    pub fn reject(&mut self, fault: &Fault, original: &Bytes, original_len: u64, origin: &Origin) {
        let kept = original.len().min(self.core.options.max_reject);
        let reject = Reject {
            fault: fault.clone(),
            schema_version: self.core.options.schema.version().to_owned(),
            source: origin.source.to_string(),
            producer: origin.producer.clone(),
            received_at: self.now,
            offset: None,
            original: original.slice(..kept),
            original_len,
        };
        reject.write_line(&mut self.reject_lines);
        origin.count(&mut self.rejects);
        self.reasons.count(fault.reason);
    }

    /// What was gathered since the last call; the spans' producer, if they have one, now stands at
    /// `sequence` if that is given.
    pub fn finish(&mut self, sequence: Option<u64>) -> Part {
        let columns = match &mut self.decoder {
            Some(decoder) if decoder.rows() > 0 => Some(decoder.finish()),
            _ => None,
        };
        let mut events =
            Draft { spans: std::mem::take(&mut self.events), payload: self.payload.finish(), columns };
        let mut rejects = Draft {
            spans: std::mem::take(&mut self.rejects),
            payload: std::mem::take(&mut self.reject_lines).into(),
            columns: None,
        };
        if let Some(sequence) = sequence {
            let spans = events.spans.iter_mut().chain(&mut rejects.spans);
            spans.filter_map(|span| span.producer.as_mut()).for_each(|producer| producer.sequence = sequence);
        }
        Part { events, rejects, reasons: std::mem::take(&mut self.reasons) }
    }
}

impl std::ops::Drop for Pending {
    fn drop(&mut self) {
        if let Some(decoder) = self.decoder.take() {
            self.core.give_back(decoder);
        }
    }
}

pub(crate) fn too_large(len: u64, max: usize) -> Fault {
    Fault::new(RejectReason::TooLarge, format!("the event has {len} bytes; the stream takes up to {max}"))
}

/// NDJSON that is a slice of the body for as long as that is possible.
#[derive(Default)]
struct Payload {
    body: Bytes,
    run: Range<usize>,
    copied: Vec<u8>,
}

impl Payload {
    fn start(&mut self, body: Bytes) {
        self.flush();
        self.body = body;
    }

    fn len(&self) -> usize {
        self.copied.len() + self.run.len()
    }

    fn push(&mut self, range: Range<usize>) {
        if self.body.get(range.end) != Some(&b'\n') {
            self.flush();
            self.copied.extend_from_slice(&self.body[range]);
            self.copied.push(b'\n');
            return;
        }
        if self.run.end != range.start || self.run.is_empty() {
            self.flush();
            self.run.start = range.start;
        }
        self.run.end = range.end + 1;
    }

    fn push_copy(&mut self, line: &[u8]) {
        self.flush();
        self.copied.extend_from_slice(line);
        self.copied.push(b'\n');
    }

    fn flush(&mut self) {
        if self.run.is_empty() {
            return;
        }
        // From here on the rest of the body is copied too: room for it at once, rather than growing towards it.
        self.copied.reserve((self.body.len() - self.run.start).min(PART_BYTES));
        self.copied.extend_from_slice(&self.body[self.run.clone()]);
        self.run = 0..0;
    }

    fn finish(&mut self) -> Bytes {
        // A slice keeps the whole body in memory: only worth it if it is most of it.
        if self.copied.is_empty() && self.run.len() * 2 >= self.body.len() {
            let run = std::mem::replace(&mut self.run, 0..0);
            return self.body.slice(run);
        }
        self.flush();
        let mut copied = std::mem::take(&mut self.copied);
        if copied.capacity() > copied.len() + copied.len() / 4 {
            copied.shrink_to_fit();
        }
        copied.into()
    }
}
