//! What every `Log` must do, and what only this one promises.

use crate::kit::{draft, lines, options, put, read_all};
use crate::sim::SimFiles;
use arrow_array::{Int64Array, RecordBatch};
use bourn_event::{Ack, AppendError, Draft, Log, Producer, Span};
use bourn_queue::{Item, LogOptions, LogReader, RealFiles, StreamLog};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn open(tune: impl FnOnce(&mut LogOptions)) -> (StreamLog, LogOptions) {
    let (mut options, _) = options(Arc::new(SimFiles::new(1)), Path::new("/"));
    tune(&mut options);
    let (log, _) = StreamLog::open(options.clone()).expect("an empty log opens");
    (log, options)
}

/// The contract of [`Log`], on any implementation that starts empty.
async fn conforms(log: &dyn Log) {
    assert_eq!(log.end(), 0);
    let empty = log.append(Draft::default(), Ack::Durable).await.expect("nothing to refuse");
    assert_eq!((empty.first_offset, empty.end), (0, 0));
    let mut next = 0;
    for ack in [Ack::Durable, Ack::Memory, Ack::Visible] {
        let receipt = log.append(draft(&lines(next, 3), "http", None), ack).await.expect("taken");
        assert_eq!((receipt.first_offset, receipt.end, receipt.repeated), (next, next + 3, 0));
        next += 3;
    }
    for (sequence, stored) in [(5, 2), (5, 0), (4, 0), (6, 2)] {
        let draft = draft(&lines(next, 2), "http", Some(("p", sequence)));
        let receipt = log.append(draft, Ack::Durable).await.expect("taken");
        assert_eq!((receipt.end - receipt.first_offset, receipt.repeated), (stored, 2 - stored as u32));
        next += stored;
        assert_eq!((log.end(), log.producer_sequence("p")), (next, Some(sequence.max(5))));
    }
    assert_eq!(log.producer_sequence("nobody"), None);
}

#[tokio::test]
async fn the_stream_log_is_a_log() {
    conforms(&open(|_| {}).0).await;
    let root = tempfile::tempdir().expect("a temporary folder");
    let (options, _) = options(Arc::new(RealFiles), root.path());
    conforms(&StreamLog::open(options).expect("opens").0).await;
}

#[test]
fn a_draft_that_partly_repeats_stores_the_rest() {
    let (log, options) = open(|_| {});
    log.append_now(draft(&lines(0, 1), "http", Some(("a", 3))), Ack::Durable).expect("taken");
    let span = |id: &str, sequence, count| Span {
        source: "http".into(),
        producer: Some(Producer { id: id.into(), sequence }),
        count,
    };
    let mut mixed = draft(&lines(10, 5), "http", None);
    mixed.spans = vec![span("b", 1, 2), span("a", 3, 1), span("b", 1, 2)];
    let receipt = log.append_now(mixed, Ack::Durable).expect("taken");
    assert_eq!((receipt.first_offset, receipt.end, receipt.repeated), (1, 5, 1));
    let kept: Vec<_> = read_all(&options).into_iter().flatten().collect();
    let expected = [0, 10, 11, 13, 14].map(|n| format!("{{\"n\":{n}}}"));
    assert_eq!(kept, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_appends_keep_order_without_gaps() {
    let (log, options) = open(|options| options.segment_bytes = 4_000);
    let log = Arc::new(log);
    let tasks: Vec<_> = (0..16u64)
        .map(|task| {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                let mut last = None;
                for n in 0..40 {
                    let draft = draft(&lines(task * 1_000 + n, 1), &format!("s{task}"), None);
                    let receipt = log.append(draft, Ack::Durable).await.expect("taken");
                    assert!(last.is_none_or(|last| last < receipt.first_offset), "in order");
                    last = Some(receipt.first_offset);
                }
            })
        })
        .collect();
    let mut tail = log.subscribe(0);
    let mut tailed = Vec::new();
    while tailed.len() < 640 {
        put(&mut tailed, tail.next().await.expect("readable").expect("open"));
    }
    for task in tasks {
        task.await.expect("no task panics");
    }
    assert_eq!(read_all(&options), tailed);
    let stats = log.stats();
    assert_eq!((stats.end, stats.received["s7"], stats.received.len()), (640, 40, 16));
    assert!(stats.segments.len() > 1, "rotated");
}

#[tokio::test]
async fn tails_get_columns_from_memory_and_payload_from_disk() {
    let with_columns = |from: u64| {
        let column = Int64Array::from_iter_values((from..from + 4).map(|n| n as i64));
        let batch = RecordBatch::try_from_iter([("n", Arc::new(column) as _)]).expect("one column");
        Draft { columns: Some(batch), ..draft(&lines(from, 4), "http", None) }
    };
    for (budget, from_memory) in [(1 << 20, true), (0, false)] {
        let (log, _) = open(|options| options.tail_memory_bytes = budget);
        let mut tail = log.subscribe(0);
        log.append(with_columns(0), Ack::Durable).await.expect("taken");
        let Some(Item::Events(frame)) = tail.next().await.expect("readable") else { panic!("events") };
        assert_eq!((frame.columns.is_some(), frame.payload.is_none()), (from_memory, from_memory));
        let Some(Item::Events(rest)) = log.subscribe(3).next().await.expect("readable") else { panic!() };
        assert_eq!((rest.first_offset, rest.count, rest.spans[0].count), (3, 1, 1));
        assert_eq!(rest.payload.as_deref(), Some(b"{\"n\":3}\n".as_slice()));
        let Some(Item::Events(bytes)) = log.subscribe_bytes(0).next().await.expect("readable") else {
            panic!()
        };
        assert_eq!((bytes.count, bytes.payload.map(|payload| payload.len())), (4, Some(32)));
        log.close();
        assert!(tail.next().await.expect("closed is no error").is_none());
        assert_eq!(log.append(with_columns(9), Ack::Durable).await, Err(AppendError::Closed));
    }
}

#[test]
fn the_slowest_consumer_holds_retention_and_budget() {
    let (log, options) = open(|options| {
        options.segment_bytes = 200;
        options.budget_bytes = 3_000;
        options.retention_bytes = Some(0);
    });
    let (slow, fast) = (log.consumer("slow", 0), log.consumer("fast", 0));
    let mut taken = 0;
    let full = loop {
        match log.append_now(draft(&lines(taken, 1), "http", None), Ack::Durable) {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, AppendError::Full { .. }) && full.is_retryable(), "{full}");
    fast.advance(taken);
    log.maintain().expect("kept up");
    assert_eq!(log.stats().first_retained, 0, "the slow one needs everything");
    slow.advance(taken / 2);
    log.append_now(draft(&lines(taken, 1), "http", None), Ack::Durable).expect("room again");
    log.maintain().expect("kept up");
    let first = log.stats().first_retained;
    assert!(0 < first && first <= taken / 2, "{first}");
    let deleted = log.subscribe(0).next_blocking().expect("readable");
    assert!(matches!(deleted, Some(Item::Hole { from: 0, to, .. }) if to == first));
    slow.remove();
    fast.advance(taken + 1);
    log.seal().expect("sealed");
    log.maintain().expect("kept up");
    assert_eq!(log.stats().first_retained, taken + 1);
    drop(log);
    let (log, _) = StreamLog::open(options).expect("the newest segment is enough");
    assert_eq!((log.end(), log.stats().received["http"]), (taken + 1, taken + 1));
}

#[test]
fn producers_survive_rotation_until_they_are_idle_or_forgotten() {
    let (mut options, clock) = options(Arc::new(SimFiles::new(3)), Path::new("/"));
    options.producer_idle = Duration::from_secs(100);
    let (log, _) = StreamLog::open(options.clone()).expect("opens");
    for id in ["idle", "forgotten", "kept"] {
        clock.advance(50_000_000);
        log.append_now(draft(&lines(0, 1), "http", Some((id, 7))), Ack::Durable).expect("taken");
    }
    log.forget_producer("forgotten");
    clock.advance(40_000_000);
    log.seal().expect("sealed");
    drop(log);
    let (log, _) = StreamLog::open(options).expect("opens");
    let held = ["idle", "forgotten", "kept"].map(|id| log.producer_sequence(id));
    assert_eq!(held, [None, None, Some(7)]);
}

#[test]
fn time_of_receipt_never_goes_back_and_finds_offsets() {
    let (options, clock) = options(Arc::new(SimFiles::new(4)), Path::new("/"));
    let (log, _) = StreamLog::open(options.clone()).expect("opens");
    let start = crate::kit::NOW;
    for (step, n) in [(0, 0), (10, 1), (-500, 2), (600, 3)] {
        clock.advance(step);
        log.append_now(draft(&lines(n, 1), "http", None), Ack::Durable).expect("taken");
        log.seal().expect("sealed");
    }
    let reader = LogReader::open_with(options.files, &options.dir, &options.sealed_dir).expect("opens");
    for (at, expected) in
        [(0, 0), (start, 0), (start + 1, 1), (start + 10, 1), (start + 11, 3), (start + 111, 4)]
    {
        assert_eq!(reader.offset_at(at).expect("readable"), expected, "at {}", at - start);
    }
    assert_eq!(reader.locate(2).map(|(_, first)| first), Some(2));
    assert_eq!(reader.locate(4), None);
}
