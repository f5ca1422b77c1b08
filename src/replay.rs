//! Replay: a stream's table rebuilt from its log through today's definition, swapped in with one
//! commit, while ingest goes on behind it.
//!
//! A replay has a generation, the moment it began. What it drops and rejects is written under the
//! producer `replay/<generation>`; the commit that swaps its rows in names the generation and its
//! range. So an offset's drop or reject counts only if it is of the newest committed generation
//! that covers the offset, and a replay that was cut off counts for nothing.

use crate::admin::Report;
use crate::compute;
use crate::decoding::{decode, refused_rejects, source_at};
use crate::definition::{Definition, StreamDefinition};
use crate::layout::{Layout, LogKind};
use crate::ledger::{Snapshot, settled_without_row};
use crate::originals::{LogOriginals, lines};
use crate::outside::Reach;
use crate::pipeline::Pipeline;
use crate::resolved::{Resolved, ResolvedSet};
use crate::stream::{REFINE_SOURCE, open_log, open_reader, table_options};
use anyhow::{Context, Result, anyhow, bail};
use arrow::array::{AsArray, BooleanArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use bourn_config::LatePolicy;
use bourn_event::{
    Ack, Clock, Draft, Drop, Fault, Micros, Offset, Outcome, Producer, Refined, Reject, RejectReason, Span,
    SystemClock, SystemColumn,
};
use bourn_lake::{Lake, Rebuild, Table, TableOptions};
use bourn_queue::{Item, LogReader, StreamLog};
use bourn_refine::{Mode, Outside, Refiner, Start};
use bourn_state::{OwnerLock, State};
use bytes::Bytes;
use roaring::RoaringTreemap;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// Producer ids of what a replay drops and rejects begin with this.
pub const PRODUCER: &str = "replay/";

/// Where to begin and end: offsets, or times of receipt.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ReplayRange {
    #[serde(default)]
    pub from: Option<String>,
    #[serde(default)]
    pub to: Option<String>,
}

/// What a replay did.
#[derive(Debug, Serialize)]
pub struct Replayed {
    pub from: Offset,
    pub to: Offset,
    pub stored: u64,
    pub duplicate: u64,
    pub filtered: u64,
    pub late: u64,
    pub rejected: u64,
    /// The table's version with the new rows.
    pub version: i64,
}

/// The generation that wrote a drop or a reject: 0 for the stream's own loop.
pub fn generation_of(producer: Option<&Producer>) -> Option<i64> {
    match producer {
        Some(producer) => match producer.id.strip_prefix(PRODUCER) {
            Some(generation) => generation.parse().ok(),
            None => Some(0),
        },
        None => Some(0),
    }
}

/// The generation whose word counts for an offset.
pub fn current_generation(replays: &[bourn_lake::Replayed], offset: Offset) -> i64 {
    let covering = replays.iter().filter(|replay| (replay.from..replay.to).contains(&offset));
    covering.map(|replay| replay.generation).max().unwrap_or(0)
}

/// Replays a stream of a running pipeline.
pub async fn run(
    pipeline: &Arc<Pipeline>,
    name: &str,
    range: &ReplayRange,
    report: Report,
) -> Result<Replayed> {
    let stream = pipeline.stream(name)?.clone();
    stream.table.flush().await?;
    let definition = pipeline.definition.clone();
    let job = Job {
        name: name.to_string(),
        layout: definition.layout.clone(),
        rejects: stream.rejects.clone(),
        outcomes: stream.outcomes.clone(),
        table: stream.table.clone(),
        resolved: stream.resolved.of(name),
        generation: pipeline.clock.now(),
        outside: pipeline.outside.clone(),
    };
    let _one = pipeline.jobs.lock().await;
    job.run(&definition.streams[name], range, report).await
}

/// Replays a stream that no process runs. The table is opened with the columns it has, so that a
/// definition that does not fit them can replace them.
pub async fn offline(
    definition: &Definition,
    name: &str,
    range: &ReplayRange,
    report: Report,
) -> Result<Replayed> {
    let stream = definition.streams.get(name).ok_or_else(|| crate::reading::no_stream(definition, name))?;
    let (layout, clock) = (&definition.layout, Arc::new(SystemClock) as Arc<dyn Clock>);
    let _lock = OwnerLock::acquire(&layout.state, &SystemClock)?;
    let state = Arc::new(State::open(layout.store())?);
    let functions = compute::open_functions(definition, &state, &clock)?;
    let outside = Reach::open(definition, &clock)?;
    outside.connect(functions.clone());
    let resolved = Resolved::open(state, std::iter::once(name.to_string()))?.of(name);
    let lake = Lake::open(&definition.loaded.pipeline.storage, &definition.loaded.dir)?;
    let options = TableOptions { as_is: true, ..table_options(stream, &clock) };
    let job = Job {
        name: name.to_string(),
        layout: layout.clone(),
        rejects: open_log(layout, name, LogKind::Rejects, &stream.settings.log, &clock)?,
        outcomes: open_log(layout, name, LogKind::Outcomes, &stream.settings.log, &clock)?,
        table: lake.table(options).await?,
        resolved,
        generation: clock.now(),
        outside,
    };
    let replayed = job.run(stream, range, report).await;
    compute::close_functions(&functions).await;
    let replayed = replayed?;
    job.table.close().await?;
    job.rejects.close();
    job.outcomes.close();
    Ok(replayed)
}

struct Job {
    name: String,
    layout: Layout,
    rejects: Arc<StreamLog>,
    outcomes: Arc<StreamLog>,
    table: Arc<Table>,
    resolved: ResolvedSet,
    generation: Micros,
    outside: Arc<dyn Outside>,
}

impl Job {
    async fn run(
        &self,
        definition: &StreamDefinition,
        range: &ReplayRange,
        report: Report,
    ) -> Result<Replayed> {
        let committed = self.table.committed();
        let reader = open_reader(&self.layout, &self.name, LogKind::Events)?;
        let range = resolve(range, &reader, committed.offset)?;
        let before = self.counts_before(&reader, &range, &committed)?;
        let moved = self.moved()?;
        // Duplicates and late events are told by what came before them.
        let needs_history =
            definition.settings.dedupe.is_some() || definition.settings.policy.late != LatePolicy::Correct;
        let begin = if needs_history { reader.first_retained() } else { range.start };
        let start = Start { offset: begin, event_time_max: None, mode: Mode::Replay };
        let mut refiner = definition.plan.refiner_with(start, self.outside.clone())?;
        // What was put back keeps nobody out: its new event would be taken for a duplicate of the old one,
        // which has no row.
        refiner.recall(moved.iter().map(|offset| Drop {
            offset,
            outcome: Outcome::Rejected,
            source: "".into(),
            kept: None,
        }));
        let rebuild =
            self.table.rebuild(&definition.plan.table_schema(), &definition.settings.partition_by)?;
        let feed = Feed {
            name: self.name.clone(),
            refiner,
            originals: LogOriginals::new(&self.layout, &self.name),
            definition_schema: definition.schema.clone(),
            max_reject: definition.settings.max_reject.bytes(),
            range: range.clone(),
            moved,
        };
        let rebuild = self.feed(feed, reader, begin, rebuild, report).await?;
        let after = rebuild.counts().clone();
        let adjust = difference(&before, &after);
        self.rejects.sync()?;
        self.outcomes.sync()?;
        let rebuilt = rebuild.finish(range.clone(), &adjust, self.generation).await?;
        let total = |outcome| after.iter().filter(|((o, _), _)| *o == outcome).map(|(_, count)| count).sum();
        Ok(Replayed {
            from: range.start,
            to: range.end,
            stored: total(Outcome::Stored),
            duplicate: total(Outcome::Duplicate),
            filtered: total(Outcome::Filtered),
            late: total(Outcome::Late),
            rejected: total(Outcome::Rejected),
            version: rebuilt.version,
        })
    }

    /// Refines on a thread of its own while the rebuild writes.
    async fn feed(
        &self,
        mut feed: Feed,
        reader: LogReader,
        begin: Offset,
        mut rebuild: Rebuild,
        report: Report,
    ) -> Result<Rebuild> {
        let range = feed.range.clone();
        let (refined, mut ready) = tokio::sync::mpsc::channel(4);
        let worker = tokio::task::spawn_blocking(move || -> Result<()> {
            for item in reader.frames(begin, feed.range.end) {
                if let Some(part) = feed.refine(item?)?
                    && refined.blocking_send(part).is_err()
                {
                    break;
                }
            }
            Ok(())
        });
        while let Some((part, kept)) = ready.recv().await {
            self.keep(&part, kept)?;
            report(part.end.saturating_sub(range.start), range.end - range.start);
            rebuild.write(part).await?;
        }
        worker.await.context("the replay panicked")??;
        Ok(rebuild)
    }

    /// Writes drops and rejects under the replay's generation; the first `kept` rejects are new,
    /// those behind them stand in the rejects already.
    fn keep(&self, refined: &Refined, kept: usize) -> Result<()> {
        let mut payload = Vec::new();
        let span = |source: String, offset: Offset| Span {
            source,
            producer: Some(Producer { id: format!("{PRODUCER}{}", self.generation), sequence: offset + 1 }),
            count: 1,
        };
        let mut spans = Vec::new();
        for reject in &refined.rejects[..kept] {
            reject.write_line(&mut payload);
            spans.push(span(format!("{REFINE_SOURCE}{}", reject.source), reject.offset.unwrap_or_default()));
        }
        append(&self.rejects, spans, std::mem::take(&mut payload))?;
        let mut spans = Vec::new();
        for drop in &refined.drops {
            drop.write_line(&mut payload);
            spans.push(span(drop.source.to_string(), drop.offset));
        }
        append(&self.outcomes, spans, payload)
    }

    /// Stream offsets whose reject was put back as a new event: they stay rejected.
    fn moved(&self) -> Result<RoaringTreemap> {
        let mut moved = RoaringTreemap::new();
        if self.resolved.replayed.is_empty() {
            return Ok(moved);
        }
        let reader = open_reader(&self.layout, &self.name, LogKind::Rejects)?;
        for item in reader.frames(reader.first_retained(), reader.end()) {
            let Item::Events(delivery) = item? else { continue };
            let payload = delivery.payload.unwrap_or_default();
            for (index, line) in lines(&payload).iter().enumerate() {
                if self.resolved.replayed.contains(delivery.first_offset + index as Offset) {
                    moved.extend(Reject::read_line(line, delivery.received_at, None)?.offset);
                }
            }
        }
        Ok(moved)
    }

    fn snapshot(&self, committed: &bourn_lake::Committed) -> Snapshot {
        let rejects_end = bourn_event::Log::end(&*self.rejects);
        Snapshot {
            committed: committed.clone(),
            resolved: self.resolved.clone(),
            rejects: BTreeMap::new(),
            rejects_end,
            events: BTreeMap::new(),
            events_end: committed.offset,
        }
    }

    /// How the events of the range are counted now.
    fn counts_before(
        &self,
        reader: &LogReader,
        range: &Range<Offset>,
        committed: &bourn_lake::Committed,
    ) -> Result<BTreeMap<(Outcome, String), u64>> {
        let mut counts: BTreeMap<(Outcome, String), u64> = BTreeMap::new();
        if range.start == 0 && range.end == committed.offset {
            return Ok(committed.counts.clone());
        }
        for item in reader.frames(range.start, range.end) {
            let Item::Events(delivery) = item? else { continue };
            let mut offset = delivery.first_offset;
            for span in delivery.spans.iter() {
                let end = offset + Offset::from(span.count);
                let inside = end.min(range.end).saturating_sub(offset.max(range.start));
                *counts.entry((Outcome::Stored, span.source.clone())).or_default() += inside;
                offset = end;
            }
        }
        let gone = settled_without_row(&self.layout, &self.name, &self.snapshot(committed), range)?;
        for ((outcome, source), count) in gone {
            let stored = counts.entry((Outcome::Stored, source.clone())).or_default();
            *stored = stored.saturating_sub(count);
            *counts.entry((outcome, source)).or_default() += count;
        }
        Ok(counts)
    }
}

fn append(log: &StreamLog, spans: Vec<Span>, payload: Vec<u8>) -> Result<()> {
    if spans.is_empty() {
        return Ok(());
    }
    log.append_now(Draft { spans, payload: Bytes::from(payload), columns: None }, Ack::Memory)?;
    Ok(())
}

fn resolve(range: &ReplayRange, reader: &LogReader, committed: Offset) -> Result<Range<Offset>> {
    let place = |text: &Option<String>, default: Offset| -> Result<Offset> {
        let Some(text) = text else { return Ok(default) };
        if let Ok(offset) = text.parse() {
            return Ok(offset);
        }
        let at = crate::time::parse(text)
            .map_err(|_| anyhow!("`{text}` is neither an offset nor a time such as 2026-11-21T06:00:00Z"))?;
        Ok(reader.offset_at(at)?)
    };
    let (from, to) =
        (place(&range.from, reader.first_retained())?, place(&range.to, committed)?.min(committed));
    if from < reader.first_retained() {
        bail!(
            "the log begins at offset {}; what came before was deleted by its retention",
            reader.first_retained()
        );
    }
    if from > to {
        bail!("the range is empty: offsets {from} to {to} (committed up to {committed})");
    }
    Ok(from..to)
}

fn difference(
    before: &BTreeMap<(Outcome, String), u64>,
    after: &BTreeMap<(Outcome, String), u64>,
) -> BTreeMap<(Outcome, String), i64> {
    let keys = before.keys().chain(after.keys());
    let count = |of: &BTreeMap<(Outcome, String), u64>, key| of.get(key).copied().unwrap_or(0) as i64;
    keys.map(|key| (key.clone(), count(after, key) - count(before, key))).collect()
}

/// Makes refined parts of the range from the log's frames.
struct Feed {
    name: String,
    refiner: Refiner,
    originals: LogOriginals,
    definition_schema: bourn_decode::EventSchema,
    max_reject: usize,
    range: Range<Offset>,
    moved: RoaringTreemap,
}

impl Feed {
    /// The part of the frame that lies in the range, and how many of its rejects are new.
    fn refine(&mut self, item: Item) -> Result<Option<(Refined, usize)>> {
        let delivery = match item {
            Item::Events(delivery) => delivery,
            Item::Hole { from, to, why } => {
                bail!("offsets {from} to {to} of stream {} are damaged in the log: {why}", self.name)
            }
        };
        let (first_offset, end) = (delivery.first_offset, delivery.end());
        let (received_at, spans) = (delivery.received_at, delivery.spans.clone());
        let (decoded, refused) = decode(&self.definition_schema, delivery)?;
        let mut refined = self.refiner.process(&decoded, &mut self.originals)?;
        let schema = &self.definition_schema;
        refined.rejects.extend(refused_rejects(refused, schema, received_at, self.max_reject));
        refined.rejects.sort_by_key(|reject| reject.offset);
        if end <= self.range.start {
            return Ok(None);
        }
        refined.first_offset = first_offset.max(self.range.start);
        refined.end = end.min(self.range.end);
        self.clip(&mut refined)?;
        // Not what was decoded tells the sources: some events may have been refused.
        let source = |offset| source_at(&spans, (offset - first_offset) as usize).to_string();
        Ok(Some(self.leave_moved(refined, received_at, source)?))
    }

    fn clip(&self, refined: &mut Refined) -> Result<()> {
        let inside = |offset: Offset| self.range.contains(&offset);
        refined.drops.retain(|drop| inside(drop.offset));
        refined.rejects.retain(|reject| reject.offset.is_some_and(inside));
        let rows = refined.rows.num_rows();
        let offsets = offsets_of(refined)?;
        if rows > 0 && !(inside(offsets[0]) && inside(offsets[rows - 1])) {
            let mask: BooleanArray = offsets.iter().map(|offset| Some(inside(*offset))).collect();
            refined.rows = filter_record_batch(&refined.rows, &mask)?;
        }
        Ok(())
    }

    /// Takes out what was put back under another offset, and counts it as rejected, as before.
    fn leave_moved(
        &self,
        mut refined: Refined,
        received_at: Micros,
        source: impl Fn(Offset) -> String,
    ) -> Result<(Refined, usize)> {
        let inside = |offset: &Offset| (refined.first_offset..refined.end).contains(offset);
        let moved: Vec<Offset> = self.moved.iter().filter(inside).collect();
        if moved.is_empty() {
            let kept = refined.rejects.len();
            return Ok((refined, kept));
        }
        let stays = |offset: &Offset| !self.moved.contains(*offset);
        refined.drops.retain(|drop| stays(&drop.offset));
        refined.rejects.retain(|reject| reject.offset.as_ref().is_some_and(stays));
        let mask: BooleanArray = offsets_of(&refined)?.iter().map(|offset| Some(stays(offset))).collect();
        refined.rows = filter_record_batch(&refined.rows, &mask)?;
        let kept = refined.rejects.len();
        refined.rejects.extend(moved.into_iter().map(|offset| Reject {
            fault: Fault::new(RejectReason::Transform, "put back under another offset"),
            schema_version: String::new(),
            source: source(offset),
            producer: None,
            received_at,
            offset: Some(offset),
            original: Bytes::new(),
            original_len: 0,
        }));
        Ok((refined, kept))
    }
}

fn offsets_of(refined: &Refined) -> Result<Vec<Offset>> {
    let column = refined.rows.column_by_name(SystemColumn::Offset.name()).context("rows without offsets")?;
    Ok(column.as_primitive::<Int64Type>().values().iter().map(|offset| *offset as Offset).collect())
}
