//! What the log knows at its durable end: counts by source, producers' sequences, the clock's
//! high water. Pure; the same book comes out of a snapshot and the frames behind it.

use crate::format::{FrameHeader, HeldProducer, Snapshot};
use bourn_event::{Micros, Offset, Producer, Span};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Source under which events of frames with a lost header are counted.
pub(crate) const DAMAGED_SOURCE: &str = "(damaged)";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub sequence: u64,
    pub used_at: Micros,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Book {
    /// Offset behind the last durable event; the sum of `received`.
    pub end: Offset,
    pub received: BTreeMap<String, u64>,
    pub producers: HashMap<String, Held>,
    /// The latest time of receipt; later frames are never stamped earlier.
    pub received_last: Micros,
}

impl Book {
    pub fn of(snapshot: Snapshot) -> Self {
        let held = |p: HeldProducer| (p.id, Held { sequence: p.sequence, used_at: p.used_at });
        Self {
            end: snapshot.first_offset,
            received: snapshot.received.into_iter().collect(),
            producers: snapshot.producers.into_iter().map(held).collect(),
            received_last: snapshot.created_at,
        }
    }

    /// Forgets producers that were silent for longer than `idle`, and those that send once for
    /// longer than `once_idle`.
    pub fn forget(&mut self, now: Micros, idle: Micros, once_idle: Micros) {
        self.producers.retain(|id, held| {
            let idle = if Producer::is_once(id) { once_idle } else { idle };
            held.used_at >= now.saturating_sub(idle)
        });
    }

    /// The snapshot a segment that starts here opens with.
    pub fn snapshot(&self, name: &str, now: Micros) -> Snapshot {
        let mut producers: Vec<_> = self
            .producers
            .iter()
            .map(|(id, held)| HeldProducer { id: id.clone(), sequence: held.sequence, used_at: held.used_at })
            .collect();
        producers.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        Snapshot {
            name: name.to_owned(),
            first_offset: self.end,
            created_at: now,
            received: self.received.iter().map(|(source, events)| (source.clone(), *events)).collect(),
            producers,
        }
    }

    pub fn apply(&mut self, header: &FrameHeader) {
        self.count(&header.spans, header.end(), header.received_at);
        for producer in header.spans.iter().filter_map(|span| span.producer.as_ref()) {
            let fresh = Held { sequence: producer.sequence, used_at: header.received_at };
            match self.producers.get_mut(&producer.id) {
                Some(held) => *held = Held { sequence: held.sequence.max(fresh.sequence), ..fresh },
                None => drop(self.producers.insert(producer.id.clone(), fresh)),
            }
        }
    }

    /// A frame whose header is known and whose events are lost. Its producers are not advanced:
    /// a client that sends the events again heals the loss.
    pub fn apply_hole(&mut self, header: &FrameHeader) {
        self.count(&header.spans, header.end(), header.received_at);
    }

    /// Events up to `to` of which nothing is known.
    pub fn apply_unknown(&mut self, to: Offset) {
        let lost = to.saturating_sub(self.end);
        if lost > 0 {
            self.add(DAMAGED_SOURCE, lost);
            self.end = to;
        }
    }

    fn count(&mut self, spans: &[Span], end: Offset, received_at: Micros) {
        for span in spans {
            self.add(&span.source, u64::from(span.count));
        }
        self.end = end;
        self.received_last = self.received_last.max(received_at);
    }

    fn add(&mut self, source: &str, events: u64) {
        match self.received.get_mut(source) {
            Some(count) => *count += events,
            None => drop(self.received.insert(source.to_owned(), events)),
        }
    }
}

/// What of a draft is new.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    All,
    Nothing,
    /// For each span: is it stored?
    Some(Vec<bool>),
}

/// Holds a draft's spans against the producers' last sequences as they were before the draft;
/// `last` knows those of the book and of the drafts before this one.
pub(crate) fn judge(spans: &[Span], last: impl Fn(&str) -> Option<u64>) -> Verdict {
    let is_new = |span: &Span| {
        span.producer.as_ref().is_none_or(|p| last(&p.id).is_none_or(|sequence| p.sequence > sequence))
    };
    if spans.iter().all(|span| span.producer.is_none()) {
        return Verdict::All;
    }
    let kept: Vec<bool> = spans.iter().map(is_new).collect();
    let events = |want: bool| {
        spans.iter().zip(&kept).filter(|(_, kept)| **kept == want).map(|(span, _)| span.count).sum::<u32>()
    };
    match (events(true), events(false)) {
        (0, _) => Verdict::Nothing,
        (_, 0) if kept.iter().all(|kept| *kept) => Verdict::All,
        _ => Verdict::Some(kept),
    }
}

/// The spans that are stored, and their lines of `payload`.
pub(crate) fn keep(spans: &[Span], kept: &[bool], payload: &[u8]) -> (Arc<[Span]>, Vec<u8>) {
    let mut lines = payload.split_inclusive(|byte| *byte == b'\n');
    let (mut left, mut out) = (Vec::new(), Vec::with_capacity(payload.len()));
    for (span, kept) in spans.iter().zip(kept) {
        for line in lines.by_ref().take(span.count as usize) {
            if *kept {
                out.extend_from_slice(line);
            }
        }
        if *kept {
            left.push(span.clone());
        }
    }
    (left.into(), out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(id: Option<&str>, sequence: u64, count: u32) -> Span {
        let producer = id.map(|id| Producer { id: id.into(), sequence });
        Span { source: "http".into(), producer, count }
    }

    #[test]
    fn spans_at_or_below_the_held_sequence_are_retries() {
        let last = |id: &str| (id == "a").then_some(5);
        let check = |spans: &[Span], expected: Verdict| assert_eq!(judge(spans, last), expected);
        check(&[span(None, 0, 3)], Verdict::All);
        check(&[span(Some("a"), 6, 1), span(Some("a"), 6, 1)], Verdict::All);
        check(&[span(Some("a"), 5, 1), span(Some("a"), 4, 1)], Verdict::Nothing);
        check(&[span(Some("a"), 5, 1), span(Some("b"), 0, 1)], Verdict::Some(vec![false, true]));
        check(&[span(Some("a"), 5, 1), span(None, 0, 1)], Verdict::Some(vec![false, true]));
        check(&[span(None, 0, 0)], Verdict::All);
    }

    #[test]
    fn only_lines_of_kept_spans_stay() {
        let spans = [span(None, 0, 2), span(Some("a"), 1, 1), span(None, 0, 1)];
        let (left, payload) = keep(&spans, &[true, false, true], b"1\n2\n3\n4\n");
        assert_eq!((left.len(), payload.as_slice()), (2, b"1\n2\n4\n".as_slice()));
    }

    #[test]
    fn a_snapshot_holds_the_book_but_idle_producers() {
        let mut book = Book::default();
        let once = |id: &str| Producer::once(id).id;
        for (id, used_at) in [("old".into(), 10), ("new".into(), 60), (once("old"), 60), (once("new"), 90)] {
            book.producers.insert(id, Held { sequence: 1, used_at });
        }
        book.apply_unknown(4);
        book.forget(100, 50, 20);
        let again = Book::of(book.snapshot("s", 100));
        assert_eq!((again.end, again.received[DAMAGED_SOURCE]), (4, 4));
        let mut kept: Vec<_> = again.producers.into_keys().collect();
        kept.sort();
        assert_eq!(kept, ["new".to_string(), once("new")]);
    }
}
