//! One stream while it runs: its three logs, its table, and the loop that refines between them.

use crate::bronze;
use crate::decoding::{decode, refused_rejects};
use crate::definition::StreamDefinition;
use crate::layout::{Layout, LogKind};
use crate::originals::{LogOriginals, lines};
use crate::replay::generation_of;
use crate::resolved::Resolved;
use anyhow::{Context, Result, anyhow};
use arrow::array::RecordBatch;
use bourn_config::LogSettings;
use bourn_decode::EventSchema;
use bourn_event::{
    Ack, Clock, Decoded, Delivery, Draft, Drop, Fault, Offset, Outcome, Refined, Reject, RejectReason, Span,
};
use bourn_lake::{Lake, Table, TableOptions};
use bourn_queue::{Consumer, Item, LogOptions, LogReader, RealFiles, StreamLog, Tail};
use bourn_refine::{Mode, Outside, RefineError, Refiner, Start};
use bytes::Bytes;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::runtime::Handle;

/// Source prefix of rejects that had been accepted into the log before.
pub const REFINE_SOURCE: &str = "refine:";

/// A stream that is open for writing.
pub struct StreamRuntime {
    pub name: String,
    pub schema: EventSchema,
    pub events: Arc<StreamLog>,
    pub rejects: Arc<StreamLog>,
    pub outcomes: Arc<StreamLog>,
    pub table: Arc<Table>,
    /// Only if the stream asks for one.
    pub bronze: Option<Arc<Table>>,
    pub resolved: Arc<Resolved>,
    pub max_reject: usize,
}

/// The loop of a stream, to be joined when the stream closes.
pub struct RefineLoop {
    thread: JoinHandle<Result<()>>,
}

impl RefineLoop {
    /// Waits for the loop to end; it ends when the stream's log is closed and read to its end.
    pub fn join(self) -> Result<()> {
        self.thread.join().map_err(|_| anyhow!("the refine loop panicked"))?
    }

    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }
}

/// Opens one of a stream's logs for writing.
pub fn open_log(
    layout: &Layout,
    stream: &str,
    kind: LogKind,
    settings: &LogSettings,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<StreamLog>> {
    let is_events = kind == LogKind::Events;
    let options = LogOptions {
        name: format!("{stream}/{}", kind.name()),
        dir: layout.log(stream, kind),
        sealed_dir: layout.sealed(stream, kind),
        segment_bytes: settings.segment.0,
        segment_age: settings.segment_age.0,
        // Rejects and outcomes are kept: the first until somebody purges them, the second as proof.
        retention_age: settings.retention_age.filter(|_| is_events).map(|age| age.0),
        retention_bytes: settings.retention_bytes.filter(|_| is_events).map(|bytes| bytes.0),
        budget_bytes: settings.budget.0,
        tail_memory_bytes: if is_events { settings.memory.bytes() } else { 0 },
        producer_idle: std::time::Duration::from_secs(7 * 86_400),
        once_idle: std::time::Duration::from_secs(86_400),
        clock: clock.clone(),
        files: Arc::new(RealFiles),
    };
    let (log, recovery) = StreamLog::open(options)
        .with_context(|| format!("the {} log of stream {stream} cannot be opened", kind.name()))?;
    if let Some(cut) = &recovery.cut {
        let (path, kept) = (cut.path.display(), cut.kept_in.display());
        tracing::info!("{path}: an unfinished write of {} bytes was cut off, and kept in {kept}", cut.bytes);
    }
    for hole in &recovery.holes {
        tracing::error!(
            stream,
            log = kind.name(),
            "offsets {} to {} are damaged: {}",
            hole.from,
            hole.to,
            hole.why
        );
    }
    Ok(Arc::new(log))
}

impl StreamRuntime {
    /// Opens the stream and starts its loop where the table's last commit left off.
    pub async fn open(
        definition: &StreamDefinition,
        layout: &Layout,
        lake: &Arc<Lake>,
        resolved: Arc<Resolved>,
        clock: &Arc<dyn Clock>,
        outside: Arc<dyn Outside>,
    ) -> Result<(Arc<Self>, RefineLoop)> {
        let (name, settings) = (&definition.name, &definition.settings);
        let events = open_log(layout, name, LogKind::Events, &settings.log, clock)?;
        let rejects = open_log(layout, name, LogKind::Rejects, &settings.log, clock)?;
        let outcomes = open_log(layout, name, LogKind::Outcomes, &settings.log, clock)?;
        let table = lake.table(table_options(definition, clock)).await?;
        let bronze = match settings.bronze_table {
            true => Some(lake.table(bronze::options(definition, clock)).await?),
            false => None,
        };
        let committed = table.committed();
        if committed.offset > bourn_event::Log::end(&*events) {
            return Err(anyhow!(
                "the table of stream {name} holds events up to offset {}, its log ends at {}: the log in {} is not \
                 the one the table was made from; restore it, or move the table away and replay",
                committed.offset,
                bourn_event::Log::end(&*events),
                layout.log(name, LogKind::Events).display()
            ));
        }
        let start =
            Start { offset: committed.offset, event_time_max: committed.event_time_max, mode: Mode::Live };
        let mut refiner = definition.plan.refiner_with(start, outside)?;
        // What comes again after a crash ends where it was said to end.
        if committed.offset < bourn_event::Log::end(&*events) {
            refiner.recall(told(layout, name, committed.offset)?);
        }
        let stream = Arc::new(Self {
            name: name.clone(),
            schema: definition.schema.clone(),
            events,
            rejects,
            outcomes,
            table,
            bronze,
            resolved,
            max_reject: settings.max_reject.bytes(),
        });
        stream.remember(&mut refiner, layout, committed.offset)?;
        stream.sync_before_commit();
        let begin = stream.committed_everywhere();
        let tail = stream.events.subscribe(begin);
        let consumer = stream.events.consumer("refine", refiner.needs_log_from().min(begin));
        let originals = LogOriginals::new(layout, name);
        let running = stream.clone();
        let runtime = Handle::current();
        let thread = std::thread::Builder::new().name(format!("refine-{name}")).spawn(move || {
            let outcome = running.refine_until_closed(refiner, tail, consumer, originals, &runtime);
            if let Err(error) = &outcome {
                tracing::error!(stream = running.name, "the stream stopped: {error:#}");
            }
            outcome
        })?;
        Ok((stream, RefineLoop { thread }))
    }

    /// Feeds the dedupe index the keys that it holds in memory only.
    fn remember(&self, refiner: &mut Refiner, layout: &Layout, end: Offset) -> Result<()> {
        let from = refiner.rebuild_from();
        if from >= end {
            return Ok(());
        }
        let unstored = unstored(layout, &self.name, from, end)?;
        let reader = open_reader(layout, &self.name, LogKind::Events)?;
        for item in reader.frames(from, end) {
            if let Item::Events(delivery) = item? {
                let (decoded, _) = decode(&self.schema, delivery)?;
                refiner.remember(&decoded, &unstored)?;
            }
        }
        Ok(())
    }

    /// Makes the logs that a commit refers to durable before it.
    fn sync_before_commit(self: &Arc<Self>) {
        let stream = Arc::downgrade(self);
        self.table.set_before_commit(Box::new(move |_end| {
            let stream = stream.upgrade();
            Box::pin(async move {
                let Some(stream) = stream else { return Ok(()) };
                tokio::task::spawn_blocking(move || {
                    stream.rejects.sync().map_err(|error| error.to_string())?;
                    stream.outcomes.sync().map_err(|error| error.to_string())?;
                    stream.resolved.save(&stream.name).map_err(|error| error.to_string())
                })
                .await
                .map_err(|error| error.to_string())?
            })
        }));
    }

    /// The offset behind the last event that every table of the stream has committed.
    fn committed_everywhere(&self) -> Offset {
        let silver = self.table.committed().offset;
        self.bronze.as_ref().map_or(silver, |bronze| bronze.committed().offset.min(silver))
    }

    fn refine_until_closed(
        &self,
        mut refiner: Refiner,
        mut tail: Tail,
        consumer: Consumer,
        mut originals: LogOriginals,
        runtime: &Handle,
    ) -> Result<()> {
        // A bronze table that is behind is fed frames that the stream's table has already.
        let silver_from = self.table.committed().offset;
        let mut cut_short = false;
        while let Some(item) = tail.next_blocking()? {
            let end = item.end();
            match item {
                Item::Events(delivery) => {
                    self.resolved.note(&self.name, &delivery);
                    let (decoded, refused) = self.decode(delivery)?;
                    self.feed_bronze(&decoded, &refused, end, runtime)?;
                    if end > silver_from {
                        let refined = match refine(&mut refiner, &decoded, refused, end, &mut originals) {
                            Err(error) if is_closing(&error) => {
                                cut_short = true;
                                break;
                            }
                            refined => refined?,
                        };
                        self.settle(refined, &refiner, runtime)?;
                    }
                }
                Item::Hole { from, to, why } => {
                    tracing::error!(stream = self.name, from, to, "events are damaged in the log: {why}");
                    if end > silver_from {
                        let damaged = self.damaged(&refiner, from, to, &why);
                        self.settle(damaged, &refiner, runtime)?;
                    }
                }
            }
            refiner.settled(self.table.committed().offset)?;
            consumer.advance(refiner.needs_log_from().min(self.committed_everywhere()));
        }
        // What is committed need not be remembered from the log at the next start.
        runtime.block_on(self.table.flush())?;
        if let Some(bronze) = &self.bronze {
            runtime.block_on(bronze.flush())?;
        }
        if cut_short {
            let left = bourn_event::Log::end(&*self.events) - self.table.committed().offset;
            tracing::info!(stream = self.name, "{left} events wait in the log for the next start");
            return Ok(());
        }
        refiner.settled(self.table.committed().offset)?;
        refiner.checkpoint()?;
        Ok(())
    }

    fn decode(&self, delivery: Delivery) -> Result<(Decoded, Vec<Reject>)> {
        let received_at = delivery.received_at;
        let (decoded, refused) = decode(&self.schema, delivery)?;
        let rejects = refused_rejects(refused, &self.schema, received_at, self.max_reject).collect();
        Ok((decoded, rejects))
    }

    fn feed_bronze(
        &self,
        decoded: &Decoded,
        refused: &[Reject],
        end: Offset,
        runtime: &Handle,
    ) -> Result<()> {
        let Some(bronze) = &self.bronze else { return Ok(()) };
        if end > bronze.committed().offset {
            let rows = bronze::refined(&bronze.schema(), decoded, refused.to_vec(), end)?;
            runtime.block_on(bronze.push(rows))?;
        }
        Ok(())
    }

    /// Keeps what a frame became: what has no row in the logs, the rows in the table.
    fn settle(&self, refined: Refined, refiner: &Refiner, runtime: &Handle) -> Result<()> {
        self.keep_rejects(&refined, refiner)?;
        self.keep_drops(&refined, refiner)?;
        Ok(runtime.block_on(self.table.push(refined))?)
    }

    /// A damaged range: its events are accounted for as rejects without bytes.
    fn damaged(&self, refiner: &Refiner, from: Offset, to: Offset, why: &str) -> Refined {
        let reject = |offset| Reject {
            fault: Fault::new(RejectReason::File, format!("damaged in the log: {why}")),
            schema_version: self.schema.version().to_string(),
            source: crate::ledger::DAMAGED.into(),
            producer: None,
            received_at: 0,
            offset: Some(offset),
            original: Bytes::new(),
            original_len: 0,
        };
        let (mut drops, mut rejects) = (Vec::new(), Vec::new());
        for offset in from..to {
            sort_by_what_was_told(refiner, reject(offset), &mut drops, &mut rejects);
        }
        Refined {
            first_offset: from,
            end: to,
            rows: RecordBatch::new_empty(self.table.schema()),
            drops,
            rejects,
            event_time_max: self.table.committed().event_time_max,
        }
    }

    /// What was told of before stands in the logs already.
    fn keep_rejects(&self, refined: &Refined, refiner: &Refiner) -> Result<()> {
        let is_new = |offset: Option<Offset>| offset.is_none_or(|offset| refiner.told(offset).is_none());
        let (mut payload, mut spans) = (Vec::new(), Vec::new());
        for reject in refined.rejects.iter().filter(|reject| is_new(reject.offset)) {
            reject.write_line(&mut payload);
            add_to_spans(&mut spans, &format!("{REFINE_SOURCE}{}", reject.source));
        }
        self.append_own(&self.rejects, spans, payload)
    }

    fn keep_drops(&self, refined: &Refined, refiner: &Refiner) -> Result<()> {
        let (mut payload, mut spans) = (Vec::new(), Vec::new());
        for drop in refined.drops.iter().filter(|drop| refiner.told(drop.offset).is_none()) {
            drop.write_line(&mut payload);
            add_to_spans(&mut spans, &drop.source);
        }
        self.append_own(&self.outcomes, spans, payload)
    }

    /// Appends to one of the stream's own logs, for as long as it takes: a full disk stops this
    /// stream, and loses nothing.
    fn append_own(&self, log: &StreamLog, spans: Vec<Span>, payload: Vec<u8>) -> Result<()> {
        if spans.is_empty() {
            return Ok(());
        }
        let draft = Draft { spans, payload: payload.into(), columns: None };
        let mut wait = std::time::Duration::from_millis(50);
        loop {
            match log.append_now(draft.clone(), Ack::Memory) {
                Ok(_) => return Ok(()),
                Err(error) if error.is_retryable() => {
                    tracing::warn!(stream = self.name, "waiting to write: {error}");
                    std::thread::sleep(wait);
                    wait = (wait * 2).min(std::time::Duration::from_secs(5));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Drains: no event is taken any more, those that are in are committed.
    pub async fn close(&self, refine: RefineLoop) -> Result<()> {
        let events = self.events.clone();
        tokio::task::spawn_blocking(move || events.close()).await?;
        tokio::task::spawn_blocking(move || refine.join()).await??;
        self.table.close().await?;
        if let Some(bronze) = &self.bronze {
            bronze.close().await?;
        }
        let (rejects, outcomes) = (self.rejects.clone(), self.outcomes.clone());
        tokio::task::spawn_blocking(move || {
            rejects.close();
            outcomes.close();
        })
        .await?;
        Ok(())
    }
}

/// Takes a frame through the stages, beside those of its events that today's schema refuses.
fn refine(
    refiner: &mut Refiner,
    decoded: &Decoded,
    refused: Vec<Reject>,
    end: Offset,
    originals: &mut LogOriginals,
) -> Result<Refined> {
    let mut refined = refiner.process(decoded, originals)?;
    if !refused.is_empty() {
        for reject in refused {
            sort_by_what_was_told(refiner, reject, &mut refined.drops, &mut refined.rejects);
        }
        refined.drops.sort_by_key(|drop| drop.offset);
        refined.rejects.sort_by_key(|reject| reject.offset);
    }
    refined.first_offset = decoded.first_offset;
    refined.end = end;
    Ok(refined)
}

/// An event that would be a reject now, but was told of as something else, stays that.
fn sort_by_what_was_told(
    refiner: &Refiner,
    reject: Reject,
    drops: &mut Vec<Drop>,
    rejects: &mut Vec<Reject>,
) {
    match reject.offset.and_then(|offset| refiner.told(offset)) {
        None => rejects.push(reject),
        Some(told) if told.outcome == Outcome::Rejected => {
            rejects.push(Reject { source: told.source.to_string(), ..reject });
        }
        Some(told) => drops.push(told.clone()),
    }
}

/// Is it only that the pipeline closes while a step waits?
fn is_closing(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(RefineError::Closed))
}

/// One more event of a source, behind the others.
fn add_to_spans(spans: &mut Vec<Span>, source: &str) {
    match spans.last_mut() {
        Some(span) if span.source == source => span.count += 1,
        _ => spans.push(Span::new(source, 1)),
    }
}

/// What the rejects and the outcomes tell of events from `from` on: a crash came between them and
/// the commit. Processed again, these events keep what was told, so that each is told of once (G2)
/// although a step may answer otherwise now.
fn told(layout: &Layout, stream: &str, from: Offset) -> Result<Vec<Drop>> {
    let mut told = Vec::new();
    for kind in [LogKind::Rejects, LogKind::Outcomes] {
        let reader = open_reader(layout, stream, kind)?;
        for item in reader.frames(reader.first_retained(), reader.end()) {
            let Item::Events(delivery) = item? else { continue };
            let payload = delivery.payload.unwrap_or_default();
            let spans = delivery.spans.iter();
            let by_line = spans.flat_map(|span| std::iter::repeat_n(span, span.count as usize));
            for (line, span) in lines(&payload).iter().zip(by_line) {
                // A replay tells of what is committed.
                if generation_of(span.producer.as_ref()) != Some(0) {
                    continue;
                }
                let drop = match kind {
                    LogKind::Rejects => {
                        let reject = Reject::read_line(line, delivery.received_at, None)?;
                        let Some(offset) = reject.offset else { continue };
                        let source = reject.source.as_str().into();
                        Drop { offset, outcome: Outcome::Rejected, source, kept: None }
                    }
                    _ => Drop::read_line(line)?,
                };
                told.extend((drop.offset >= from).then_some(drop));
            }
        }
    }
    Ok(told)
}

pub fn open_reader(layout: &Layout, stream: &str, kind: LogKind) -> Result<LogReader> {
    LogReader::open(layout.log(stream, kind), layout.sealed(stream, kind))
        .with_context(|| format!("the {} log of stream {stream} cannot be read", kind.name()))
}

/// A stream's table in the lake.
pub fn table_name(stream: &str) -> String {
    format!("silver/{stream}")
}

pub fn table_options(definition: &StreamDefinition, clock: &Arc<dyn Clock>) -> TableOptions {
    let settings = &definition.settings;
    TableOptions {
        name: table_name(&definition.name),
        schema: definition.plan.table_schema(),
        partition_by: settings.partition_by.clone(),
        policy: settings.policy.schema,
        as_is: false,
        commit: settings.commit.clone(),
        compaction: settings.compaction.clone(),
        retention: settings.retention.clone(),
        clock: clock.clone(),
    }
}

/// Offsets of a range that ended as rejects or late, ascending: their keys keep nobody out.
fn unstored(layout: &Layout, stream: &str, from: Offset, end: Offset) -> Result<Vec<Offset>> {
    let mut offsets = Vec::new();
    for kind in [LogKind::Rejects, LogKind::Outcomes] {
        let reader = open_reader(layout, stream, kind)?;
        for item in reader.frames(reader.first_retained(), reader.end()) {
            let Item::Events(delivery) = item? else { continue };
            for line in lines(&delivery.payload.unwrap_or_default()) {
                offsets.extend(match kind {
                    LogKind::Rejects => Reject::read_line(&line, delivery.received_at, None)?.offset,
                    _ => {
                        Some(Drop::read_line(&line)?).filter(|d| d.outcome == Outcome::Late).map(|d| d.offset)
                    }
                });
            }
        }
    }
    offsets.retain(|offset| (from..end).contains(offset));
    offsets.sort_unstable();
    offsets.dedup();
    Ok(offsets)
}
