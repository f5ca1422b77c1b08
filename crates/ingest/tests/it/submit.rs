//! Submissions: counts, offsets, order, retries, refusals.

use crate::world::{MAX_REJECT, World, from_producer, lines, ndjson};
use bourn_event::{Ack, AppendError};
use bourn_ingest::{ERRORS_MAX, Framing, IngestError, Submission, split::Shape};
use std::time::Duration;

#[tokio::test]
async fn good_and_bad_events_part_ways() {
    let world = World::new();
    let body = "{\"id\":1}\nnope\n{\"id\":\"x\"}\n\n{\"id\":2}";
    let answer = world.port.submit(lines(body)).await.expect("stored");
    assert_eq!((answer.accepted, answer.rejected, answer.first_offset), (2, 2, Some(0)));
    let errors: Vec<_> =
        answer.errors.iter().map(|e| (e.index, e.pointer.as_str(), e.keyword.as_str())).collect();
    assert_eq!(errors, [(1, "", ""), (2, "/id", "type")]);
    assert_eq!(world.ids(), [1, 2]);
    let rejected = world.rejected();
    assert_eq!(rejected[0]["original"], "nope");
    assert_eq!(rejected[0]["reason"], "parse");
    assert_eq!(rejected[1]["original"], "{\"id\":\"x\"}");
    assert_eq!(rejected[1]["schema_version"], "v1");
}

#[tokio::test]
async fn an_array_that_breaks_off_keeps_the_events_before() {
    let world = World::new();
    let framing = Framing::Plain(Shape::Json);
    let body = Submission { framing, ..lines("[{\"id\":1},{\"id\":2},{\"id\":") };
    let answer = world.port.submit(body).await.expect("stored");
    assert_eq!((answer.accepted, answer.rejected), (2, 1));
    assert_eq!(world.rejected()[0]["original"], "{\"id\":");
}

#[tokio::test]
async fn large_bodies_keep_their_order_over_many_drafts() {
    let world = World::new();
    let filler = "x".repeat(400);
    let body: String = (0..30_000).map(|id| format!("{{\"id\":{id},\"name\":\"{filler}\"}}\n")).collect();
    let answer = world.port.submit(lines(body)).await.expect("stored");
    assert_eq!((answer.accepted, answer.first_offset), (30_000, Some(0)));
    assert_eq!(world.ids(), (0..30_000).collect::<Vec<_>>());
    assert!(world.log.drafts() > 1, "{} drafts", world.log.drafts());
}

#[tokio::test]
async fn errors_are_bounded_and_the_rest_counted() {
    let world = World::new();
    let answer = world.port.submit(lines("x\n".repeat(20_000))).await.expect("stored");
    assert_eq!((answer.rejected, answer.errors.len()), (20_000, ERRORS_MAX));
    assert_eq!(answer.errors_omitted, 20_000 - ERRORS_MAX as u64);
}

#[tokio::test]
async fn too_large_events_are_rejects_cut_to_the_limit() {
    let world = World::new();
    let body = format!("{{\"id\":1,\"name\":\"{}\"}}\n{{\"id\":2}}\n", "x".repeat(2000));
    let answer = world.port.submit(lines(body)).await.expect("stored");
    assert_eq!((answer.accepted, answer.rejected), (1, 1));
    let reject = &world.rejected()[0];
    assert_eq!(reject["reason"], "too_large");
    assert_eq!(reject["original"].as_str().map(str::len), Some(MAX_REJECT));
    assert_eq!(reject["original_len"], 2018);
}

#[tokio::test]
async fn strict_stores_all_or_only_the_rejects() {
    let world = World::new();
    let strict = |body: &str| Submission { strict: true, ..lines(body.to_owned()) };
    let refused = world.port.submit(strict("{\"id\":1}\n{}\n")).await;
    let Err(IngestError::Strict(answer)) = refused else { panic!("{refused:?}") };
    assert_eq!((answer.accepted, answer.rejected), (0, 1));
    assert_eq!((world.log.lines().len(), world.rejects.lines().len()), (0, 1));
    let answer = world.port.submit(strict("{\"id\":1}\n{\"id\":2}\n")).await.expect("stored");
    assert_eq!((answer.accepted, world.ids()), (2, vec![1, 2]));
}

#[tokio::test]
async fn a_retried_sequence_stores_nothing_twice() {
    let world = World::new();
    let body = "{\"id\":1}\nnope\n{\"id\":2}\n";
    let first = world.port.submit(from_producer(body, 7)).await.expect("stored");
    assert_eq!((first.accepted, first.rejected, first.repeated), (2, 1, 0));
    let again = world.port.submit(from_producer(body, 7)).await.expect("answered");
    assert_eq!((again.accepted, again.rejected, again.repeated, again.first_offset), (2, 1, 2, None));
    assert_eq!((world.log.lines().len(), world.rejects.lines().len()), (2, 1));
    let next = world.port.submit(from_producer("{\"id\":3}", 8)).await.expect("stored");
    assert_eq!((next.repeated, next.first_offset), (0, Some(2)));
    assert_eq!(world.log.spans()[0].producer.as_ref().map(|p| p.sequence), Some(7));
    assert_eq!(world.rejects.spans()[0].producer.as_ref().map(|p| p.sequence), Some(7));
}

#[tokio::test]
async fn a_retry_after_half_a_failure_completes_it() {
    let world = World::new();
    world.log.fail([AppendError::Unavailable("disk".into())]);
    let body = "{\"id\":1}\nnope\n";
    assert!(world.port.submit(from_producer(body, 1)).await.is_err());
    let answer = world.port.submit(from_producer(body, 1)).await.expect("stored");
    assert_eq!((answer.accepted, answer.repeated), (1, 0));
    assert_eq!((world.log.lines().len(), world.rejects.lines().len()), (1, 1));
}

#[tokio::test]
async fn a_producers_request_is_one_draft_whatever_its_size() {
    let world = World::new();
    let filler = "x".repeat(400);
    let body: String = (0..15_000).map(|id| format!("{{\"id\":{id},\"name\":\"{filler}\"}}\n")).collect();
    assert!(body.len() > 4 << 20, "larger than a part");
    world.port.submit(from_producer(body, 1)).await.expect("stored");
    assert_eq!(world.log.drafts(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_that_share_drafts_get_their_own_offsets_and_faults() {
    let world = World::new();
    let tasks: Vec<_> = (0..64_i64)
        .map(|task| {
            let port = std::sync::Arc::clone(&world.port);
            tokio::spawn(async move {
                let mut told = Vec::new();
                for round in 0..20 {
                    let first = task * 1000 + round * 10;
                    let bad = (task + round) % 3 == 0;
                    let body = format!(
                        "{}{}{}",
                        ndjson([first]),
                        if bad { "bad\n" } else { "" },
                        ndjson([first + 1])
                    );
                    let answer = port.submit(lines(body)).await.expect("stored");
                    assert_eq!((answer.accepted, answer.rejected), (2, u64::from(bad)));
                    assert_eq!(answer.errors.first().map(|error| error.index), bad.then_some(1));
                    told.push((first, answer.first_offset.expect("stored") as usize));
                }
                told
            })
        })
        .collect();
    let mut told = Vec::new();
    for task in tasks {
        told.extend(task.await.expect("no panic"));
    }
    let ids = world.ids();
    assert_eq!(ids.len(), 64 * 20 * 2);
    for (first, offset) in told {
        assert_eq!(ids[offset..offset + 2], [first, first + 1]);
    }
    assert!(world.log.drafts() < 64 * 20, "{} drafts", world.log.drafts());
}

#[tokio::test]
async fn a_draft_stays_open_while_every_round_brings_more() {
    let world = World::new();
    let tasks: Vec<_> = (0..40_i64)
        .map(|task| {
            let port = std::sync::Arc::clone(&world.port);
            tokio::spawn(async move {
                for _ in 0..task {
                    tokio::task::yield_now().await;
                }
                port.submit(lines(ndjson([task]))).await.expect("stored")
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
    assert_eq!(world.ids(), (0..40).collect::<Vec<_>>());
    // One, were it not for the time that a draft stays open at most.
    assert!(world.log.drafts() < 40, "{} drafts", world.log.drafts());
}

#[tokio::test]
async fn a_failing_log_fails_the_requests_that_needed_it() {
    let world = World::new();
    world.log.fail([AppendError::Full { retry_after: Duration::from_secs(3) }]);
    let failed = world.port.submit(lines("{\"id\":1}")).await;
    assert!(matches!(failed, Err(IngestError::Append { error: AppendError::Full { .. }, .. })), "{failed:?}");
    assert!(world.log.lines().is_empty());
    world.log.fail([AppendError::Closed]);
    let answer = world.port.submit(lines("nope")).await.expect("needs the rejects only");
    assert_eq!(answer.rejected, 1);
}

#[tokio::test]
async fn visible_waits_for_queries_and_gives_up_in_time() {
    let world = World::new();
    let visible = || Submission { ack: Ack::Visible, ..lines("{\"id\":1}") };
    let unseen = world.port.submit(visible()).await;
    assert!(
        matches!(unseen, Err(IngestError::NotVisible { ref stored, .. }) if stored.accepted == 1),
        "{unseen:?}"
    );
    world.visible.send_replace(2);
    let seen = world.port.submit(visible()).await.expect("visible");
    assert_eq!(seen.first_offset, Some(1));
}

#[tokio::test]
async fn a_draining_port_takes_nothing() {
    let world = World::new();
    world.port.drain();
    assert!(matches!(world.port.submit(lines("{\"id\":1}")).await, Err(IngestError::Draining)));
}
