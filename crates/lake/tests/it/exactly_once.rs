//! G3: an offset is in the table at most once, whatever failed in between.

use crate::faults::Fault;
use crate::lab::{Lab, assert_exact, events};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Pushes, dies at `fault`, starts again, pushes what the table does not have.
async fn crash_and_resume(part: &'static str, fault: Fault, committed: u64) {
    let lab = Lab::new();
    let table = lab.open().await;
    table.push(events(0, 100)).await.unwrap();
    table.flush().await.unwrap();
    lab.store.on_put(part, fault, 1);
    table.push(events(100, 200)).await.unwrap();
    let mut flush = Box::pin(table.flush());
    while lab.store.met() == 0 {
        assert!(futures::poll!(&mut flush).is_pending());
        tokio::task::yield_now().await;
    }
    drop(flush);
    table.stop().await;
    lab.store.heal();

    let table = lab.open().await;
    let offset = table.committed().offset;
    assert_eq!(offset, committed, "{part} {fault:?}");
    for first in (offset..300).step_by(100) {
        table.push(events(first, first + 100)).await.unwrap();
    }
    table.close().await.unwrap();
    assert_exact(&table, 300).await;
    assert_exact(&*lab.open().await, 300).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_step_of_a_commit_neither_loses_nor_repeats() {
    crash_and_resume("part-", Fault::Hang, 100).await;
    crash_and_resume("part-", Fault::Refuse, 100).await;
    crash_and_resume("_delta_log", Fault::Hang, 100).await;
    crash_and_resume("_delta_log", Fault::LoseAnswer, 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_store_delays_commits_and_fails_nobody() {
    let check = async |part, fault, times| {
        let lab = Lab::new();
        let table = lab.open().await;
        table.push(events(0, 50)).await.unwrap();
        lab.store.on_put(part, fault, times);
        table.push(events(50, 100)).await.unwrap();
        table.flush().await.unwrap();
        assert_eq!(lab.store.met(), times, "{part} {fault:?}");
        table.push(events(100, 110)).await.unwrap();
        table.close().await.unwrap();
        assert_eq!(table.health().failing_since, None);
        assert_exact(&table, 110).await;
    };
    check("part-", Fault::Refuse, 3).await;
    check("part-", Fault::LoseAnswer, 2).await;
    check("_delta_log", Fault::Refuse, 3).await;
    check("_delta_log", Fault::LoseAnswer, 1).await;
    check("_delta_log", Fault::Exists, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_store_shows_in_the_health_and_the_tail_stays_visible() {
    let lab = Lab::new();
    let table = lab.open().await;
    lab.store.on_put("part-", Fault::Refuse, u64::MAX);
    table.push(events(0, 100)).await.unwrap();
    let mut flush = Box::pin(table.flush());
    while table.health().failing_since.is_none() {
        assert!(futures::poll!(&mut flush).is_pending());
        tokio::task::yield_now().await;
    }
    assert!(table.health().last_error.unwrap().contains("503"));
    assert_eq!(crate::lab::number(table.provider(), "select count(*) from t").await, 90);
    lab.store.heal();
    flush.await.unwrap();
    assert_exact(&table, 100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_logs_are_durable_before_a_commit() {
    let lab = Lab::new();
    let table = lab.open().await;
    let seen = Arc::new(AtomicU64::new(0));
    let hook = seen.clone();
    let failures = AtomicU64::new(2);
    table.set_before_commit(Box::new(move |end| {
        let fails = failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
        if !fails {
            hook.store(end, Ordering::SeqCst);
        }
        Box::pin(async move { if fails { Err("disk full".to_string()) } else { Ok(()) } })
    }));
    table.push(events(0, 30)).await.unwrap();
    table.flush().await.unwrap();
    assert_eq!(seen.load(Ordering::SeqCst), 30);
    assert_exact(&table, 30).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_only_drop_advance_the_offset() {
    let lab = Lab::new();
    let table = lab.open().await;
    table.push(events(0, 9)).await.unwrap();
    table.flush().await.unwrap();
    table.push(events(9, 10)).await.unwrap();
    table.close().await.unwrap();
    assert_exact(&table, 10).await;
    assert_eq!(table.files().len(), 1);
    assert_exact(&*lab.open().await, 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_events_are_passed_over_and_gaps_are_refused() {
    let lab = Lab::new();
    let table = lab.open().await;
    table.push(events(0, 10)).await.unwrap();
    table.push(events(0, 10)).await.unwrap();
    let error = table.push(events(20, 30)).await.unwrap_err().to_string();
    assert!(error.contains("events from offset 20 came where 10 was due"), "{error}");
    table.close().await.unwrap();
    assert_exact(&table, 10).await;
    assert!(table.push(events(10, 20)).await.is_err());
}
