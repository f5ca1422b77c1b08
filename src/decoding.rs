//! Frames of the log as rows: the columns they carry, or their bytes decoded under today's schema.

use anyhow::{Context, Result, bail};
use bourn_decode::EventSchema;
use bourn_event::{Decoded, Delivery, Fault, Micros, Offset, Reject, Span};
use bytes::Bytes;
use std::sync::Arc;

/// An event of the log that today's schema refuses.
pub struct Refused {
    offset: Offset,
    source: String,
    fault: Fault,
    original: Bytes,
}

/// The rejects of events that today's schema refuses, with at most `max_bytes` of each.
pub fn refused_rejects(
    refused: Vec<Refused>,
    schema: &EventSchema,
    received_at: Micros,
    max_bytes: usize,
) -> impl Iterator<Item = Reject> {
    refused.into_iter().map(move |refused| Reject {
        fault: refused.fault,
        schema_version: schema.version().to_string(),
        source: refused.source,
        producer: None,
        received_at,
        offset: Some(refused.offset),
        original_len: refused.original.len() as u64,
        original: refused.original.slice(..refused.original.len().min(max_bytes)),
    })
}

/// The delivery's columns: those it carries, or its bytes decoded again. Events are decoded again
/// after a restart and on replay, perhaps under a schema that has become stricter since; what that
/// refuses comes back beside the rest. The rows then are not contiguous, which is why each carries
/// its own offset from there on.
pub fn decode(schema: &EventSchema, delivery: Delivery) -> Result<(Decoded, Vec<Refused>)> {
    let Delivery { first_offset, count, received_at, spans, payload, columns } = delivery;
    if let Some(columns) = columns {
        return Ok((Decoded { first_offset, received_at, spans, columns, offsets: None }, Vec::new()));
    }
    let payload = payload.context("a frame came without its events")?;
    let mut decoder = schema.decoder();
    let mut refused = Vec::new();
    let mut kept = Vec::new();
    let mut start = 0;
    for (index, end) in memchr::memchr_iter(b'\n', &payload).enumerate() {
        let offset = first_offset + index as Offset;
        match decoder.push(&payload[start..end]) {
            Ok(()) => kept.push(offset),
            Err(fault) => refused.push(Refused {
                offset,
                source: source_at(&spans, index).to_string(),
                fault: *fault,
                original: payload.slice(start..end),
            }),
        }
        start = end + 1;
    }
    let found = kept.len() + refused.len();
    if found != count as usize {
        bail!(
            "the frame at offset {first_offset} holds {found} events where it says {count}: run `bourn fsck`"
        );
    }
    let columns = decoder.finish();
    let (spans, offsets) = match refused.is_empty() {
        true => (spans, None),
        false => (spans_of(&spans, first_offset, &kept), Some(kept)),
    };
    Ok((Decoded { first_offset, received_at, spans, columns, offsets }, refused))
}

/// The source of a frame's event.
pub fn source_at(spans: &[Span], index: usize) -> &str {
    let mut seen = 0;
    for span in spans {
        seen += span.count as usize;
        if index < seen {
            return &span.source;
        }
    }
    "unknown"
}

/// The spans of the offsets that were kept.
fn spans_of(spans: &[Span], first_offset: Offset, kept: &[Offset]) -> Arc<[Span]> {
    let mut kept = kept.iter().copied().peekable();
    let mut start = first_offset;
    let mut out = Vec::with_capacity(spans.len());
    for span in spans {
        let end = start + Offset::from(span.count);
        let mut count = 0;
        while kept.next_if(|offset| *offset < end).is_some() {
            count += 1;
        }
        out.push(Span { count, ..span.clone() });
        start = end;
    }
    out.into()
}
