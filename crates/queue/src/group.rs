//! What is written and synced at once: frames, and the callers who wait for them.

use crate::book::{Book, Verdict, judge, keep};
use crate::format::FrameHeader;
use crate::pack::compress;
use crate::shared::{Pending, Reply};
use bourn_event::{Ack, AppendError, Delivery, Micros, Offset, Receipt};
use std::collections::HashMap;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// A frame of the group being written.
pub(crate) struct Frame {
    pub header: FrameHeader,
    pub zstd: Vec<u8>,
    pub delivery: Delivery,
}

/// A caller of the group and what it will be told.
pub(crate) struct Waiting {
    pub reply: Option<Reply>,
    pub ack: Ack,
    pub receipt: Receipt,
}

#[derive(Default)]
pub(crate) struct Group {
    pub frames: Vec<Frame>,
    pub waiting: Vec<Waiting>,
}

impl Group {
    /// Gives every draft its offsets, leaving out what producers sent before.
    pub fn plan(appends: Vec<Pending>, book: &Book, received_at: Micros) -> Self {
        let group_first = book.end;
        let mut fresh: HashMap<String, u64> = HashMap::new();
        let mut group = Self::default();
        let mut next = group_first;
        for Pending { packed, ack, reply } in appends {
            let mut packed = packed;
            let held = |id: &str| book.producers.get(id).map(|held| held.sequence);
            let last = |id: &str| fresh.get(id).copied().or_else(|| held(id));
            let count = match judge(&packed.spans, last) {
                Verdict::All => packed.count,
                Verdict::Nothing => 0,
                Verdict::Some(kept) => {
                    let (spans, payload) = keep(&packed.spans, &kept, &packed.draft.payload);
                    match compress(&payload) {
                        Ok(zstd) => packed.zstd = zstd,
                        Err(error) => {
                            reply.send(Err(error));
                            continue;
                        }
                    }
                    packed.xxh3 = xxh3_64(&packed.zstd);
                    packed.spans = spans;
                    packed.draft.payload = payload.into();
                    packed.draft.columns = None;
                    packed.spans.iter().map(|span| span.count).sum()
                }
            };
            let (first_offset, end) = (next, next + Offset::from(count));
            let receipt = Receipt { first_offset, end, repeated: packed.count - count };
            group.waiting.push(Waiting { reply: Some(reply), ack, receipt });
            if count == 0 {
                continue;
            }
            for producer in packed.spans.iter().filter_map(|span| span.producer.as_ref()) {
                let sequence = fresh.entry(producer.id.clone()).or_default();
                *sequence = producer.sequence.max(*sequence);
            }
            let header = FrameHeader {
                first_offset,
                group_first,
                received_at,
                count,
                uncompressed_len: packed.draft.payload.len() as u32,
                compressed_len: packed.zstd.len() as u32,
                payload_xxh3: packed.xxh3,
                spans: Arc::clone(&packed.spans),
            };
            let payload = packed.draft.columns.is_none().then_some(packed.draft.payload);
            let (spans, columns) = (packed.spans, packed.draft.columns);
            let delivery = Delivery { first_offset, count, received_at, spans, payload, columns };
            group.frames.push(Frame { header, zstd: packed.zstd, delivery });
            next = end;
        }
        group
    }

    /// Answers everybody who asked for at most `ack` and was not answered yet.
    pub fn answer(&mut self, ack: Ack, result: &Result<(), AppendError>) {
        for waiting in self.waiting.iter_mut().filter(|waiting| waiting.ack <= ack) {
            if let Some(reply) = waiting.reply.take() {
                reply.send(result.clone().map(|()| waiting.receipt));
            }
        }
    }
}
