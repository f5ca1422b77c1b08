//! What triggers are fed with: the events of streams, and what happens in the pipeline itself.

use crate::pipeline::Pipeline;
use crate::stream::StreamRuntime;
use anyhow::Result;
use bourn_event::Outcome;
use bourn_queue::Item;
use bourn_schedule::{
    Announcer, Backoff, FeedError, Launcher, OwnEvent, RejectMeter, StreamTrigger, Triggers, Troubles,
};
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
            let troubles = launcher.troubles().clone();
            tasks.spawn(follow(stream.clone(), feed, troubles, stop.clone()));
        }
    }
    Ok(())
}

/// Goes on from what is settled after every failure. The log keeps what is not, meanwhile.
async fn follow(
    stream: Arc<StreamRuntime>,
    mut feed: StreamTrigger,
    troubles: Troubles,
    stop: CancellationToken,
) {
    let about = format!("triggers on stream {}", stream.name);
    let consumer = stream.events.consumer("triggers", feed.settled());
    let mut backoff = Backoff::default();
    loop {
        let before = feed.settled();
        let settle = |settled| {
            consumer.advance(settled);
            troubles.clear(&about);
        };
        let error = tokio::select! {
            () = stop.cancelled() => return,
            ended = take_all(&stream, &mut feed, settle) => match ended {
                Ok(()) => return,
                Err(error) => error,
            },
        };
        if feed.settled() > before {
            backoff = Backoff::default();
        }
        tracing::warn!(
            stream = stream.name,
            "triggers wait, and the log keeps what they have not seen: {error}"
        );
        troubles.note(&about, error);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(backoff.grow()) => {}
        }
    }
}

/// Until the log or the pipeline closes; the error says what does not work.
async fn take_all(
    stream: &StreamRuntime,
    feed: &mut StreamTrigger,
    settle: impl Fn(u64),
) -> Result<(), String> {
    let mut tail = stream.events.subscribe_bytes(feed.settled());
    loop {
        let delivery = match tail.next().await {
            Ok(Some(Item::Events(delivery))) => delivery,
            Ok(Some(Item::Hole { .. })) => continue,
            Ok(None) => return Ok(()),
            Err(error) => return Err(format!("the log cannot be read: {error}")),
        };
        let payload = delivery.payload.unwrap_or_default();
        match feed.take(delivery.first_offset, delivery.received_at, &payload).await {
            Ok(settled) => settle(settled),
            Err(FeedError::Closing(_)) => return Ok(()),
            Err(error) => return Err(format!("how far they are cannot be noted: {error}")),
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
