//! The ledger: what became of every event, from the counters that are committed with the data; and
//! its proof, recounted from the files.

use crate::layout::{Layout, LogKind};
use crate::originals::lines;
use crate::replay::{current_generation, generation_of};
use crate::resolved::{ResolvedSet, replayed_reject};
use crate::stream::{REFINE_SOURCE, open_reader};
use crate::table::Silver;
use anyhow::Result;
use bourn_event::{Counts, Delivery, Drop, Ledger, Offset, Outcome, Producer, Reject, SourceCounts};
use bourn_lake::Committed;
use bourn_queue::{Item, LogReader};
use roaring::RoaringTreemap;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Range;

/// Source under which events are told that were damaged in the log.
pub const DAMAGED: &str = "(damaged)";

/// Cumulative events by source, as the logs' headers count them.
pub type Received = BTreeMap<String, u64>;

/// A stream's counters at one moment.
pub struct Snapshot {
    /// Read before the others, so that what is in flight is never negative.
    pub committed: Committed,
    /// Read before the logs' ends: a reject is resolved only after the log took it.
    pub resolved: ResolvedSet,
    pub rejects: Received,
    pub rejects_end: Offset,
    pub events: Received,
    pub events_end: Offset,
}

impl Snapshot {
    /// `received = stored + duplicate + rejected + filtered + late + in_flight`, by source.
    ///
    /// An event that was rejected at the door counts as received there; when it is put back it is
    /// received by the log instead, so it leaves both `received` and `rejected`.
    pub fn ledger(&self) -> Ledger {
        let mut sources = SourceCounts::new();
        for (source, count) in &self.events {
            sources.entry(source.clone()).or_default().received += count;
        }
        let at_the_door = |source: &str| !source.starts_with(REFINE_SOURCE);
        for (source, count) in self.rejects.iter().filter(|(source, _)| at_the_door(source)) {
            let counts = sources.entry(source.clone()).or_default();
            counts.received += count;
            counts.rejected += count;
        }
        for ((outcome, source), count) in &self.committed.counts {
            *sources.entry(source.clone()).or_default().outcome_mut(*outcome) += count;
        }
        for (source, count) in &self.resolved.by_source {
            let counts = sources.entry(source.clone()).or_default();
            counts.received = counts.received.saturating_sub(*count);
            counts.rejected = counts.rejected.saturating_sub(*count);
        }
        finish(sources)
    }
}

fn finish(mut sources: SourceCounts) -> Ledger {
    for counts in sources.values_mut() {
        counts.in_flight = counts.received.saturating_sub(counts.settled());
    }
    attribute_damage(&mut sources);
    sources.retain(|_, counts| *counts != Counts::default());
    Ledger::of(sources)
}

/// Whose events a damaged frame held cannot be read any more. They were received by some source and
/// rejected under [`DAMAGED`]; here they are received there too.
fn attribute_damage(sources: &mut SourceCounts) {
    let Some(damaged) = sources.get(DAMAGED).map(|counts| counts.settled().saturating_sub(counts.received))
    else {
        return;
    };
    let mut left = damaged;
    for counts in sources.values_mut().filter(|counts| counts.in_flight > 0) {
        let moved = left.min(counts.in_flight);
        counts.received -= moved;
        counts.in_flight -= moved;
        left -= moved;
    }
    if let Some(counts) = sources.get_mut(DAMAGED) {
        counts.received += damaged - left;
    }
}

/// The ledger and its recount.
#[derive(Debug, Serialize, Deserialize)]
pub struct Proof {
    pub counted: Ledger,
    pub recounted: Ledger,
    /// Offsets that no file tells of, or that two tell of.
    pub faults: Vec<String>,
}

impl Proof {
    pub fn holds(&self) -> bool {
        self.counted == self.recounted && self.faults.is_empty() && self.counted.balances()
    }
}

/// Everything the files say about one stream.
#[derive(Default)]
struct Recount {
    sources: SourceCounts,
    faults: Vec<String>,
    /// Settled offsets without a row.
    gone: RoaringTreemap,
}

/// Recounts a stream from its segments, its table and its rejects, as they were at the snapshot.
pub async fn prove(layout: &Layout, stream: &str, table: &Silver, snapshot: Snapshot) -> Result<Proof> {
    let (layout, name) = (layout.clone(), stream.to_string());
    let counted = snapshot.ledger();
    let (end, expired) = (snapshot.committed.offset, snapshot.committed.expired.clone());
    let mut recount =
        tokio::task::spawn_blocking(move || Recount::of_logs(&layout, &name, &snapshot)).await??;
    let rows = table.recount(end).await?;
    for (source, stored) in &rows.stored {
        recount.sources.entry(source.clone()).or_default().stored += stored;
    }
    for (source, deleted) in &expired {
        recount.sources.entry(source.clone()).or_default().stored += deleted;
    }
    if rows.repeated > 0 {
        recount.faults.push(format!("{} rows repeat an offset that is in the table already", rows.repeated));
    }
    recount.check_coverage(&rows.offsets, expired.values().sum(), end);
    Ok(Proof { counted, recounted: finish(recount.sources), faults: recount.faults })
}

impl Recount {
    fn of_logs(layout: &Layout, stream: &str, snapshot: &Snapshot) -> Result<Self> {
        let mut recount = Self::default();
        recount.count_events(&open_reader(layout, stream, LogKind::Events)?, snapshot)?;
        recount.count_rejects(&open_reader(layout, stream, LogKind::Rejects)?, snapshot)?;
        recount.count_drops(&open_reader(layout, stream, LogKind::Outcomes)?, snapshot)?;
        Ok(recount)
    }

    /// Counts events frame by frame. What retention deleted and what is damaged is told by the
    /// difference to the log's cumulative counts.
    fn count_events(&mut self, reader: &LogReader, snapshot: &Snapshot) -> Result<()> {
        let mut unread = reader.received().clone();
        let mut put_back = RoaringTreemap::new();
        let mut damaged = 0;
        for item in reader.frames(reader.first_retained(), reader.end()) {
            match item? {
                Item::Events(delivery) => {
                    for span in delivery.spans.iter() {
                        let left = unread.entry(span.source.clone()).or_default();
                        *left = left.saturating_sub(u64::from(span.count));
                    }
                    put_back
                        .extend(delivery.spans.iter().filter_map(replayed_reject).map(|(offset, _)| offset));
                    if delivery.end() <= snapshot.events_end {
                        self.count_frame(&delivery);
                    }
                }
                Item::Hole { from, to, why } => {
                    damaged += to - from;
                    self.faults.push(format!("offsets {from} to {to} are damaged in the log: {why}"));
                }
            }
        }
        let first = reader.first_retained();
        if unread.values().sum::<u64>() != first + damaged {
            self.faults
                .push(format!("the log's headers count other events than its frames hold: {unread:?}"));
        }
        for (source, count) in unread {
            self.sources.entry(source).or_default().received += count;
        }
        if first == 0 && damaged == 0 && !snapshot.resolved.replayed.is_subset(&put_back) {
            self.faults.push("rejects are marked as put back that the log does not hold".into());
        }
        Ok(())
    }

    fn count_frame(&mut self, delivery: &Delivery) {
        for span in delivery.spans.iter() {
            self.sources.entry(span.source.clone()).or_default().received += u64::from(span.count);
        }
        let held = delivery.payload.as_ref().map_or(0, |payload| lines(payload).len());
        if held != delivery.count as usize {
            self.faults.push(format!(
                "the frame at offset {} says {} events and holds {held}",
                delivery.first_offset, delivery.count
            ));
        }
    }

    fn count_rejects(&mut self, reader: &LogReader, snapshot: &Snapshot) -> Result<()> {
        each_reject(reader, snapshot, |reject, is_put_back| {
            let counts = self.sources.entry(reject.source.clone()).or_default();
            match (reject.offset, is_put_back) {
                (Some(offset), true) => {
                    counts.received = counts.received.saturating_sub(1);
                    self.mark(offset, "the rejects");
                }
                (Some(offset), false) => {
                    counts.rejected += 1;
                    self.mark(offset, "the rejects");
                }
                (None, true) => {}
                (None, false) => {
                    counts.received += 1;
                    counts.rejected += 1;
                }
            }
        })
    }

    fn count_drops(&mut self, reader: &LogReader, snapshot: &Snapshot) -> Result<()> {
        each_drop(reader, &snapshot.committed, |drop| {
            let counts = self.sources.entry(drop.source.to_string()).or_default();
            *counts.outcome_mut(drop.outcome) += 1;
            self.mark(drop.offset, "the outcomes");
        })
    }

    fn mark(&mut self, offset: Offset, place: &str) {
        if !self.gone.insert(offset) {
            self.faults.push(format!("offset {offset} is told of twice; once more in {place}"));
        }
    }

    /// Every settled offset must be told of exactly once.
    fn check_coverage(&mut self, stored: &RoaringTreemap, expired: u64, end: Offset) {
        let twice = &self.gone & stored;
        for offset in twice.iter().take(10) {
            self.faults.push(format!("offset {offset} is in the table and was also dropped or rejected"));
        }
        let told = (&self.gone | stored).len() + expired;
        if told != end {
            self.faults.push(format!("{end} events are settled, the files tell of {told}"));
        }
    }
}

/// Calls `see` with every reject that counts at the snapshot, and whether it was put back.
///
/// A reject that had an offset counts once that offset is committed, and only in the generation
/// whose word counts for it; one that was put back keeps its place whatever is replayed.
fn each_reject(reader: &LogReader, snapshot: &Snapshot, mut see: impl FnMut(Reject, bool)) -> Result<()> {
    for item in reader.frames(reader.first_retained(), snapshot.rejects_end) {
        let Item::Events(delivery) = item? else { continue };
        let payload = delivery.payload.clone().unwrap_or_default();
        for ((index, line), producer) in lines(&payload).iter().enumerate().zip(producers(&delivery)) {
            let is_put_back = snapshot.resolved.replayed.contains(delivery.first_offset + index as Offset);
            let reject = Reject::read_line(line, delivery.received_at, None)?;
            let counts = match reject.offset {
                None => true,
                Some(_) if is_put_back => true,
                Some(offset) => is_current(&snapshot.committed, offset, producer),
            };
            if counts {
                see(reject, is_put_back);
            }
        }
    }
    Ok(())
}

/// Calls `see` with every drop that counts.
fn each_drop(reader: &LogReader, committed: &Committed, mut see: impl FnMut(Drop)) -> Result<()> {
    for item in reader.frames(reader.first_retained(), reader.end()) {
        let Item::Events(delivery) = item? else { continue };
        let payload = delivery.payload.clone().unwrap_or_default();
        for (line, producer) in lines(&payload).iter().zip(producers(&delivery)) {
            let drop = Drop::read_line(line)?;
            if is_current(committed, drop.offset, producer) {
                see(drop);
            }
        }
    }
    Ok(())
}

fn producers(delivery: &Delivery) -> impl Iterator<Item = Option<&Producer>> {
    delivery.spans.iter().flat_map(|span| std::iter::repeat_n(span.producer.as_ref(), span.count as usize))
}

fn is_current(committed: &Committed, offset: Offset, producer: Option<&Producer>) -> bool {
    offset < committed.offset
        && generation_of(producer) == Some(current_generation(&committed.replays, offset))
}

/// The committed events of a range that have no row, by outcome and source.
pub fn settled_without_row(
    layout: &Layout,
    stream: &str,
    snapshot: &Snapshot,
    range: &Range<Offset>,
) -> Result<BTreeMap<(Outcome, String), u64>> {
    let mut counts: BTreeMap<(Outcome, String), u64> = BTreeMap::new();
    each_reject(&open_reader(layout, stream, LogKind::Rejects)?, snapshot, |reject, _| {
        if reject.offset.is_some_and(|offset| range.contains(&offset)) {
            *counts.entry((Outcome::Rejected, reject.source)).or_default() += 1;
        }
    })?;
    each_drop(&open_reader(layout, stream, LogKind::Outcomes)?, &snapshot.committed, |drop| {
        if range.contains(&drop.offset) {
            *counts.entry((drop.outcome, drop.source.to_string())).or_default() += 1;
        }
    })?;
    Ok(counts)
}
