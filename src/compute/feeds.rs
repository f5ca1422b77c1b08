//! What triggers are fed with: the events of streams, and what happens in the pipeline itself.

use crate::pipeline::Pipeline;
use crate::stream::StreamRuntime;
use anyhow::Result;
use bourn_event::Outcome;
use bourn_queue::Item;
use bourn_schedule::{Announcer, FeedError, Launcher, OwnEvent, RejectMeter, StreamTrigger, Triggers};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How often the streams' counts are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Follows every stream that a trigger concerns, from where it was, until `stop`. The log keeps what
/// is not settled.
pub fn follow_streams(
    pipeline: &Arc<Pipeline>,
    triggers: &Arc<Triggers>,
    launcher: &Arc<Launcher>,
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
) -> Result<()> {
    for stream in pipeline.streams.values() {
        let end = stream.events.stats().end;
        let feed = StreamTrigger::open(&stream.name, end, triggers.clone(), launcher.clone())?;
        if let Some(feed) = feed {
            tasks.spawn(follow(stream.clone(), feed, stop.clone()));
        }
    }
    Ok(())
}

async fn follow(stream: Arc<StreamRuntime>, mut feed: StreamTrigger, stop: CancellationToken) {
    let consumer = stream.events.consumer("triggers", feed.settled());
    let mut tail = stream.events.subscribe_bytes(feed.settled());
    loop {
        let item = tokio::select! {
            () = stop.cancelled() => return,
            item = tail.next() => item,
        };
        let delivery = match item {
            Ok(Some(Item::Events(delivery))) => delivery,
            Ok(Some(Item::Hole { .. })) => continue,
            Ok(None) => return,
            Err(error) => {
                tracing::error!(stream = stream.name, "triggers cannot read the log: {error}");
                return;
            }
        };
        let payload = delivery.payload.unwrap_or_default();
        let taken = tokio::select! {
            () = stop.cancelled() => return,
            taken = feed.take(delivery.first_offset, delivery.received_at, &payload) => taken,
        };
        match taken {
            Ok(settled) => consumer.advance(settled),
            Err(FeedError::Closing(_)) => return,
            Err(error) => {
                tracing::error!(stream = stream.name, "triggers stop until the next start: {error}");
                return;
            }
        }
    }
}

/// Tells of every commit of the streams' tables, and of rejects, until `stop`.
pub fn announce(
    pipeline: &Arc<Pipeline>,
    announcer: &Announcer,
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
) {
    for stream in pipeline.streams.values() {
        tasks.spawn(announce_commits(stream.clone(), announcer.clone(), stop.clone()));
    }
    tasks.spawn(announce_rejects(pipeline.clone(), announcer.clone(), stop.clone()));
}

async fn announce_commits(stream: Arc<StreamRuntime>, announcer: Announcer, stop: CancellationToken) {
    let mut committed = stream.table.committed_offset();
    let stored = |committed: &bourn_lake::Committed| -> u64 {
        let counts = committed.counts.iter().filter(|((outcome, _), _)| *outcome == Outcome::Stored);
        counts.map(|(_, count)| count).sum()
    };
    committed.borrow_and_update();
    let mut before = stored(&stream.table.committed());
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            changed = committed.changed() => if changed.is_err() { return },
        }
        let now = stream.table.committed();
        let rows = stored(&now);
        announcer.announce(OwnEvent::TableCommitted {
            stream: stream.name.clone(),
            table: format!("silver.{}", stream.name),
            version: u64::try_from(now.version).unwrap_or_default(),
            rows: rows.saturating_sub(before),
            end_offset: now.offset,
        });
        before = rows;
    }
}

async fn announce_rejects(pipeline: Arc<Pipeline>, announcer: Announcer, stop: CancellationToken) {
    let mut meter = RejectMeter::default();
    loop {
        let counts = pipeline.ledgers().into_iter();
        let counts = counts.map(|(name, ledger)| (name, ledger.total.received, ledger.total.rejected));
        for event in meter.look(pipeline.clock.now(), counts) {
            announcer.announce(event);
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}
