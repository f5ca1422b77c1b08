//! Rejects: which there are, putting them back, forgetting them.

use crate::admin::Report;
use crate::layout::{Layout, LogKind};
use crate::originals::lines;
use crate::pipeline::Pipeline;
use crate::resolved::{Gone, PRODUCER};
use crate::stream::{StreamRuntime, open_reader};
use anyhow::{Context, Result, anyhow, bail};
use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use bourn_event::{Ack, Draft, Log, Offset, Producer, Query, QueryOptions, Reject, RejectReason, Span};
use bourn_queue::Item;
use bytes::Bytes;
use futures::StreamExt;
use roaring::RoaringTreemap;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rejects that are put back in one frame.
const BATCH: usize = 1000;
/// Failures that are told one by one.
const FAILURES_TOLD: usize = 10;

/// Which rejects are meant; all if every field is empty.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RejectFilter {
    #[serde(default)]
    pub reason: Option<RejectReason>,
    /// Offsets in the rejects' log.
    #[serde(default)]
    pub offsets: Vec<Offset>,
    /// Received before this moment, in microseconds.
    #[serde(default)]
    pub before: Option<i64>,
}

impl RejectFilter {
    pub fn takes(&self, offset: Offset, reject: &Reject) -> bool {
        self.reason.is_none_or(|reason| reason == reject.fault.reason)
            && (self.offsets.is_empty() || self.offsets.contains(&offset))
            && self.before.is_none_or(|before| reject.received_at < before)
    }
}

/// A reject with its offset in the rejects' log.
pub struct Held {
    pub offset: Offset,
    pub reject: Reject,
}

/// Reads the rejects of a stream that were neither put back nor purged, in order.
pub fn read(
    layout: &Layout,
    stream: &str,
    gone: Gone,
    from: Offset,
    to: Offset,
) -> Result<impl Iterator<Item = Result<Held>> + Send + use<>> {
    let reader = open_reader(layout, stream, LogKind::Rejects)?;
    let (from, to) = (from.max(reader.first_retained()), to.min(reader.end()));
    let frames = reader.frames(from, to);
    Ok(frames.flat_map(move |item| read_frame(item, &gone, from, to)))
}

fn read_frame(
    item: Result<Item, bourn_queue::LogError>,
    gone: &Gone,
    from: Offset,
    to: Offset,
) -> Vec<Result<Held>> {
    let delivery = match item {
        Ok(Item::Events(delivery)) => delivery,
        Ok(Item::Hole { from, to, why }) => {
            return vec![Err(anyhow!("rejects {from} to {to} are damaged: {why}; see `bourn fsck`"))];
        }
        Err(error) => return vec![Err(error.into())],
    };
    let payload = delivery.payload.clone().unwrap_or_default();
    let mut producers = delivery
        .spans
        .iter()
        .flat_map(|span| std::iter::repeat_n(span.producer.clone(), span.count as usize));
    let mut held = Vec::new();
    for (index, line) in lines(&payload).iter().enumerate() {
        let offset = delivery.first_offset + index as Offset;
        let producer = producers.next().flatten();
        if !(from..to).contains(&offset) {
            continue;
        }
        match Reject::read_line(line, delivery.received_at, producer) {
            Ok(reject) if gone.hides(offset, &reject) => {}
            Ok(reject) => held.push(Ok(Held { offset, reject })),
            Err(error) => held.push(Err(error.into())),
        }
    }
    held
}

/// What became of rejects that were tried again.
#[derive(Debug, Default, Serialize)]
pub struct Replayed {
    /// Rejects that were tried.
    pub tried: u64,
    /// Those that today's schema takes; they left the rejects, or would have.
    pub accepted: u64,
    pub still_rejected: u64,
    /// Rejects without all of their bytes; they cannot be tried.
    pub cut: u64,
    pub dry_run: bool,
    /// The first few that failed again.
    pub failures: Vec<Failure>,
}

#[derive(Debug, Serialize)]
pub struct Failure {
    pub offset: Offset,
    pub message: String,
}

/// Puts rejects back through today's schema, in order; those that pass leave the rejects, exactly
/// once.
pub async fn replay(
    pipeline: &Arc<Pipeline>,
    name: &str,
    filter: &RejectFilter,
    fix: Option<&str>,
    dry_run: bool,
    report: Report,
) -> Result<Replayed> {
    let stream = pipeline.stream(name)?.clone();
    let _one = pipeline.jobs.lock().await;
    let fixed = match fix {
        Some(sql) => Some(fixed_events(pipeline, name, sql).await?),
        None => None,
    };
    let end = stream.rejects.end();
    let layout = pipeline.definition.layout.clone();
    let filter = filter.clone();
    tokio::task::spawn_blocking(move || {
        // A run of its own: within it the rejects' offsets rise, as a producer's sequence must.
        let run = format!("{PRODUCER}{}", uuid::Uuid::now_v7());
        let mut replay = Run { stream, run, dry_run, done: Replayed { dry_run, ..Replayed::default() } };
        let gone = replay.stream.gone();
        let mut batch = Vec::with_capacity(BATCH);
        for held in read(&layout, &replay.stream.name, gone, 0, end)? {
            let held = held?;
            let offset = held.offset;
            if filter.takes(offset, &held.reject) {
                batch.extend(replay.bytes_of(held, fixed.as_ref()));
            }
            if batch.len() >= BATCH {
                replay.put_back(std::mem::take(&mut batch))?;
                report(offset + 1, end);
            }
        }
        replay.put_back(batch)?;
        Ok(replay.done)
    })
    .await?
}

/// The statement's events by reject offset.
async fn fixed_events(pipeline: &Pipeline, name: &str, sql: &str) -> Result<BTreeMap<Offset, Bytes>> {
    const SHAPE: &str = "the fix-up must select `_offset` (of the reject) and `event` (JSON text)";
    let sql = format!("with rejects as (select * from rejects.\"{name}\") {sql}");
    let mut rows = pipeline.engine.query(&sql, QueryOptions::default()).await.context("the fix-up failed")?;
    let mut fixed = BTreeMap::new();
    while let Some(batch) = rows.batches.next().await {
        let batch = batch.context("the fix-up failed")?;
        let offsets = batch.column_by_name("_offset").context(SHAPE)?;
        let offsets = offsets.as_primitive_opt::<Int64Type>().context(SHAPE)?;
        let events = batch.column_by_name("event").context(SHAPE)?;
        let events = arrow::compute::cast(events, &arrow::datatypes::DataType::Utf8).context(SHAPE)?;
        let events = events.as_string::<i32>();
        for row in 0..batch.num_rows() {
            if offsets.is_valid(row) && events.is_valid(row) {
                let event = Bytes::copy_from_slice(events.value(row).as_bytes());
                fixed.insert(offsets.value(row) as Offset, event);
            }
        }
    }
    Ok(fixed)
}

struct Run {
    stream: Arc<StreamRuntime>,
    run: String,
    dry_run: bool,
    done: Replayed,
}

impl Run {
    fn bytes_of(
        &mut self,
        held: Held,
        fixed: Option<&BTreeMap<Offset, Bytes>>,
    ) -> Option<(Offset, String, Bytes)> {
        let event = match fixed {
            Some(fixed) => fixed.get(&held.offset)?.clone(),
            None if held.reject.original_len > held.reject.original.len() as u64 => {
                self.done.cut += 1;
                return None;
            }
            None => held.reject.original,
        };
        Some((held.offset, held.reject.source, event))
    }

    fn put_back(&mut self, batch: Vec<(Offset, String, Bytes)>) -> Result<()> {
        let mut decoder = self.stream.schema.decoder();
        let (mut spans, mut payload, mut taken) = (Vec::new(), Vec::new(), Vec::new());
        for (offset, source, event) in batch {
            self.done.tried += 1;
            match decoder.push(&event) {
                Err(fault) => {
                    self.done.still_rejected += 1;
                    if self.done.failures.len() < FAILURES_TOLD {
                        let message = format!("{} {}", fault.pointer, fault.message).trim().to_string();
                        self.done.failures.push(Failure { offset, message });
                    }
                }
                Ok(()) => {
                    self.done.accepted += 1;
                    push_line(&mut payload, &event);
                    let producer = Some(Producer { id: self.run.clone(), sequence: offset + 1 });
                    spans.push(Span { source: source.clone(), producer, count: 1 });
                    taken.push((offset, source));
                }
            }
        }
        if self.dry_run || spans.is_empty() {
            return Ok(());
        }
        let draft = Draft { spans, payload: payload.into(), columns: Some(decoder.finish()) };
        self.stream.events.append_now(draft, Ack::Durable)?;
        self.stream.resolved.insert(&self.stream.name, taken.into_iter());
        Ok(())
    }
}

/// Appends an event as a line of its own. A raw line break in valid JSON stands between tokens only.
fn push_line(payload: &mut Vec<u8>, event: &[u8]) {
    payload.extend(
        event.trim_ascii().iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }),
    );
    payload.push(b'\n');
}

/// Forgets rejects: they can no longer be seen or put back. The ledger goes on counting them.
pub fn purge(pipeline: &Pipeline, name: &str, filter: &RejectFilter, all: bool) -> Result<u64> {
    let stream = pipeline.stream(name)?;
    if !all && filter.reason.is_none() && filter.offsets.is_empty() && filter.before.is_none() {
        bail!("say which rejects: --reason, --offset, --before or --all");
    }
    let mut offsets = RoaringTreemap::new();
    let gone = stream.gone();
    for held in read(&pipeline.definition.layout, name, gone, 0, stream.rejects.end())? {
        let held = held?;
        if filter.takes(held.offset, &held.reject) {
            offsets.insert(held.offset);
        }
    }
    stream.resolved.purge(name, &offsets)?;
    Ok(offsets.len())
}
