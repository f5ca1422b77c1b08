//! The cache of answers: its ends, its bounds, one fetch at a time.

use crate::world::until;
use bourn_event::ManualClock;
use bourn_integrations::outbound::{CacheLimits, Look, TtlCache};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

const SECOND: i64 = 1_000_000;

type Cache = TtlCache<String, &'static str>;

fn cache(bytes_max: usize) -> (Arc<Cache>, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(1000 * SECOND));
    let limits =
        CacheLimits { bytes_max, ttl: Duration::from_secs(10), negative_ttl: Duration::from_secs(2) };
    (Arc::new(TtlCache::new(limits, clock.clone(), String::len)), clock)
}

#[test]
fn entries_end_and_absences_end_sooner() {
    let (cache, clock) = cache(10_000);
    assert_eq!(cache.look("a"), Look::Unknown);
    cache.put("a", Some("1".into()));
    cache.put("b", None);
    clock.advance(SECOND);
    assert_eq!((cache.look("a"), cache.look("b")), (Look::Found("1".into()), Look::Absent));
    clock.advance(SECOND);
    assert_eq!((cache.look("a"), cache.look("b")), (Look::Found("1".into()), Look::Unknown));
    clock.advance(8 * SECOND);
    assert_eq!(cache.look("a"), Look::Unknown);
    cache.put("c", Some("1".into()));
    clock.advance(-SECOND);
    assert_eq!(cache.look("c"), Look::Unknown, "an entry from the future");
    assert_eq!(cache.size(), (0, 0));
}

#[test]
fn the_longest_unused_make_room() {
    let (cache, _) = cache(1000);
    for key in ["a", "b", "c", "d", "e"] {
        cache.put(key, Some("x".repeat(39)));
    }
    assert_eq!(cache.size(), (5, 1000));
    assert!(matches!(cache.look("a"), Look::Found(_)));
    cache.put("f", Some("x".repeat(39)));
    assert_eq!(cache.look("b"), Look::Unknown);
    assert!(matches!(cache.look("a"), Look::Found(_)));
    cache.put("g", Some("x".repeat(1000)));
    assert_eq!((cache.look("g"), cache.size().0), (Look::Unknown, 5), "too large for the cache");
    cache.put("f", Some("y".into()));
    assert_eq!(cache.size(), (5, 962));
}

#[tokio::test]
async fn one_caller_fetches_and_all_get_its_result() {
    let (cache, _) = cache(10_000);
    let (fetches, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let callers: Vec<_> = (0..20)
        .map(|_| {
            let (cache, fetches, gate) = (cache.clone(), fetches.clone(), gate.clone());
            tokio::spawn(async move {
                let fetch = || async {
                    fetches.fetch_add(1, Ordering::SeqCst);
                    gate.notified().await;
                    Ok(Some("v".to_string()))
                };
                cache.get_or_fetch("k", fetch).await
            })
        })
        .collect();
    until("a fetch", || fetches.load(Ordering::SeqCst) == 1).await;
    gate.notify_one();
    for caller in callers {
        assert_eq!(caller.await.expect("a caller"), Ok(Some("v".to_string())));
    }
    assert_eq!(fetches.load(Ordering::SeqCst), 1);
    assert_eq!(cache.look("k"), Look::Found("v".into()));
}

#[tokio::test]
async fn a_fetcher_that_goes_away_is_followed_by_another() {
    let (cache, _) = cache(10_000);
    let started = Arc::new(Notify::new());
    let first = tokio::spawn({
        let (cache, started) = (cache.clone(), started.clone());
        async move {
            let fetch = || async {
                started.notify_one();
                std::future::pending().await
            };
            cache.get_or_fetch("k", fetch).await
        }
    });
    started.notified().await;
    let second = tokio::spawn({
        let cache = cache.clone();
        async move { cache.get_or_fetch("k", || async { Ok(None) }).await }
    });
    first.abort();
    assert_eq!(second.await.expect("the second caller"), Ok(None));
    assert_eq!(cache.look("k"), Look::Absent);
}

#[tokio::test]
async fn failures_are_shared_and_not_kept() {
    let (cache, _) = cache(10_000);
    assert_eq!(cache.get_or_fetch("k", || async { Err("down") }).await, Err("down"));
    assert_eq!(cache.look("k"), Look::Unknown);
    assert_eq!(cache.get_or_fetch("k", || async { Ok(Some("up".into())) }).await, Ok(Some("up".into())));
}
