//! The HTTP client against servers that are slow, refuse, flap, never answer, or never stop.

use crate::world::{NOW, client, serve, until};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use bourn_event::ManualClock;
use bourn_integrations::outbound::{
    BreakerRule, BreakerState, Outbound, OutboundError, Policy, Request, Retry,
};
use bytes::Bytes;
use futures::StreamExt;
use reqwest::{Method, Url};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

fn request(url: &str) -> Request {
    Request {
        endpoint: "api".into(),
        method: Method::GET,
        url: Url::parse(url).expect(url),
        headers: HeaderMap::new(),
        body: Bytes::new(),
    }
}

fn policy() -> Policy {
    Policy {
        timeout: Duration::from_secs(20),
        response_bytes_max: 64 << 10,
        retry: Retry { attempts: 3, base: Duration::from_millis(1), ..Retry::default() },
        breaker: None,
        ..Policy::default()
    }
}

fn outbound() -> (Outbound, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(NOW));
    (client(clock.clone()), clock)
}

type Hits = Arc<AtomicUsize>;

/// Fails twice with a status, then answers.
async fn flaky(State(hits): State<Hits>) -> Response {
    match hits.fetch_add(1, Ordering::SeqCst) {
        0 => (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "0")], "").into_response(),
        1 => StatusCode::TOO_MANY_REQUESTS.into_response(),
        _ => "well".into_response(),
    }
}

#[tokio::test]
async fn passing_failures_are_retried_and_lasting_ones_are_not() {
    let hits = Hits::default();
    let router = Router::new()
        .route("/flaky", get(flaky))
        .route(
            "/missing",
            get(|State(hits): State<Hits>| async move {
                hits.fetch_add(1, Ordering::SeqCst);
                StatusCode::NOT_FOUND
            }),
        )
        .route(
            "/later",
            get(|State(hits): State<Hits>| async move {
                hits.fetch_add(1, Ordering::SeqCst);
                (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "3600")])
            }),
        )
        .route(
            "/moved",
            get(|State(hits): State<Hits>| async move {
                hits.fetch_add(1, Ordering::SeqCst);
                (StatusCode::FOUND, [("location", "/flaky")])
            }),
        )
        .with_state(hits.clone());
    let address = serve(router).await;
    let (outbound, _) = outbound();
    // path, status, attempts
    for (path, status, attempts) in
        [("/flaky", 200, 3), ("/missing", 404, 1), ("/later", 503, 1), ("/moved", 302, 1)]
    {
        hits.store(0, Ordering::SeqCst);
        let answer = outbound.call(&request(&format!("{address}{path}")), &policy()).await.expect(path);
        assert_eq!((answer.status, answer.attempts), (status, attempts), "{path}");
        assert_eq!(hits.load(Ordering::SeqCst), attempts as usize, "{path}");
    }
}

#[tokio::test]
async fn an_answer_that_never_comes_times_out() {
    let router = Router::new().route("/", get(|| async { std::future::pending::<()>().await }));
    let address = serve(router).await;
    let (outbound, _) = outbound();
    let policy = Policy { timeout: Duration::from_millis(50), retry: Retry::never(), ..policy() };
    let error = outbound.call(&request(&address), &policy).await.expect_err("no answer");
    assert!(matches!(error, OutboundError::Timeout { .. }), "{error}");
    assert_eq!(outbound.endpoints()[0].in_flight, 0);
}

#[tokio::test]
async fn a_flood_is_cut_off_at_the_limit() {
    let sent = Hits::default();
    let flood = |State(sent): State<Hits>| async move {
        let chunk = Bytes::from(vec![b'x'; 64 << 10]);
        let chunks = futures::stream::iter(0..1600).map(move |_| {
            sent.fetch_add(1, Ordering::SeqCst);
            Ok::<_, std::io::Error>(chunk.clone())
        });
        Body::from_stream(chunks)
    };
    let honest = || async { vec![b'x'; 1 << 20] };
    let router = Router::new().route("/", get(flood)).route("/honest", get(honest)).with_state(sent.clone());
    let address = serve(router).await;
    let (outbound, _) = outbound();
    for path in ["/", "/honest"] {
        let error =
            outbound.call(&request(&format!("{address}{path}")), &policy()).await.expect_err("too much");
        assert_eq!(error, OutboundError::TooLarge { endpoint: "api".into(), bytes_max: 64 << 10 }, "{path}");
    }
    assert!(sent.load(Ordering::SeqCst) < 1600, "all of the 100 MiB were taken");
}

#[tokio::test]
async fn a_refused_connection_is_named_without_the_address() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let (outbound, _) = outbound();
    let error = outbound
        .call(&request(&format!("http://{address}/?key=hush-hush")), &policy())
        .await
        .expect_err("nobody listens");
    assert!(matches!(error, OutboundError::Connect { .. }), "{error}");
    assert!(!error.to_string().contains("hush") && !format!("{error:?}").contains("hush"), "{error:?}");
}

#[tokio::test]
async fn debug_holds_no_secrets() {
    let mut secret = request("http://user:hush@127.0.0.1/hush?hush");
    secret.headers.insert("authorization", "hush".parse().expect("a header"));
    secret.body = Bytes::from_static(b"hush");
    let shown = format!("{secret:?}");
    assert!(!shown.contains("hush"), "{shown}");
    assert!(shown.contains("127.0.0.1"), "{shown}");
}

#[tokio::test]
async fn a_connection_that_breaks_off_is_an_error() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut buffer = [0; 1024];
            let _ = socket.read(&mut buffer).await;
            let _ = socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await;
        }
    });
    let (outbound, _) = outbound();
    let error = outbound.call(&request(&format!("http://{address}/")), &policy()).await.expect_err("half");
    assert!(matches!(error, OutboundError::Broken { .. }), "{error}");
}

#[tokio::test]
async fn no_more_attempts_at_once_than_allowed() {
    let (now, most, gate) = (Hits::default(), Hits::default(), Arc::new(tokio::sync::Semaphore::new(0)));
    let router = Router::new().route(
        "/",
        get({
            let (now, most, gate) = (now.clone(), most.clone(), gate.clone());
            move || async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let _permit = gate.acquire().await;
                now.fetch_sub(1, Ordering::SeqCst);
            }
        }),
    );
    let address = serve(router).await;
    let (outbound, _) = outbound();
    let policy = Policy { concurrency: 3, ..policy() };
    let calls: Vec<_> = (0..12)
        .map(|_| {
            let (outbound, request, policy) = (outbound.clone(), request(&address), policy.clone());
            tokio::spawn(async move { outbound.call(&request, &policy).await.map(|answer| answer.status) })
        })
        .collect();
    until("three at once", || now.load(Ordering::SeqCst) == 3).await;
    gate.add_permits(12);
    for call in calls {
        assert_eq!(call.await.expect("a call"), Ok(200));
    }
    assert_eq!(most.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn the_breaker_opens_half_opens_and_closes_as_the_api_flaps() {
    let (hits, broken) = (Hits::default(), Hits::new(AtomicUsize::new(1)));
    let router = Router::new().route(
        "/",
        any({
            let (hits, broken) = (hits.clone(), broken.clone());
            move || async move {
                hits.fetch_add(1, Ordering::SeqCst);
                if broken.load(Ordering::SeqCst) == 1 {
                    StatusCode::INTERNAL_SERVER_ERROR
                } else {
                    StatusCode::OK
                }
            }
        }),
    );
    let address = serve(router).await;
    let (outbound, clock) = outbound();
    let rule =
        BreakerRule { failures: 4, open_for: Duration::from_secs(5), probes: 1, ..BreakerRule::default() };
    let policy = Policy { breaker: Some(rule), retry: Retry::never(), ..policy() };
    let call = || async { outbound.call(&request(&address), &policy).await.map(|answer| answer.status) };
    for _ in 0..4 {
        assert_eq!(call().await, Ok(500));
    }
    assert_eq!(outbound.breaker("api"), Some(BreakerState::Open));
    assert!(
        matches!(call().await, Err(OutboundError::Open { retry_after, .. }) if retry_after == Duration::from_secs(5))
    );
    assert_eq!(hits.load(Ordering::SeqCst), 4, "an open breaker asks nobody");

    clock.advance(5_000_000);
    assert_eq!(outbound.breaker("api"), Some(BreakerState::HalfOpen));
    assert_eq!(call().await, Ok(500), "a probe");
    assert!(matches!(call().await, Err(OutboundError::Open { .. })));

    broken.store(0, Ordering::SeqCst);
    clock.advance(10_000_000);
    assert_eq!(call().await, Ok(200));
    assert_eq!(outbound.breaker("api"), Some(BreakerState::Closed));
    assert_eq!(outbound.endpoints().len(), 1);
}

#[tokio::test]
async fn a_call_that_is_dropped_gives_back_its_probe() {
    let (hits, mode) = (Hits::default(), Hits::default());
    let router = Router::new().route(
        "/",
        get({
            let (hits, mode) = (hits.clone(), mode.clone());
            move || async move {
                hits.fetch_add(1, Ordering::SeqCst);
                match mode.load(Ordering::SeqCst) {
                    0 => StatusCode::BAD_GATEWAY,
                    1 => std::future::pending().await,
                    _ => StatusCode::OK,
                }
            }
        }),
    );
    let address = serve(router).await;
    let (outbound, clock) = outbound();
    let rule = BreakerRule { failures: 1, probes: 1, ..BreakerRule::default() };
    let policy = Policy { breaker: Some(rule), retry: Retry::never(), ..policy() };
    assert_eq!(outbound.call(&request(&address), &policy).await.map(|answer| answer.status), Ok(502));
    clock.advance(5_000_000);
    mode.store(1, Ordering::SeqCst);
    let probe = tokio::spawn({
        let (outbound, policy, request) = (outbound.clone(), policy.clone(), request(&address));
        async move { outbound.call(&request, &policy).await }
    });
    until("the probe", || hits.load(Ordering::SeqCst) == 2).await;
    assert!(matches!(outbound.call(&request(&address), &policy).await, Err(OutboundError::Open { .. })));
    probe.abort();
    assert!(probe.await.is_err());
    mode.store(2, Ordering::SeqCst);
    assert_eq!(outbound.call(&request(&address), &policy).await.map(|answer| answer.status), Ok(200));
}
