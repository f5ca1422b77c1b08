//! Bodies that are refused: read on a while, so that the client sees why, but kept no longer.

use crate::fakes::{server, server_with};
use axum::body::Body;
use bourn_config::{AccessKey, Aws, Secret};
use bourn_event::SystemClock;
use bytes::Bytes;
use futures::stream;
use http::Request;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

const CHUNK_BYTES: usize = 1 << 20;

/// So many MiB, and a count of those that were read.
fn body(chunks: usize) -> (Body, Arc<AtomicUsize>) {
    let read = Arc::new(AtomicUsize::new(0));
    let counter = read.clone();
    let body = stream::iter((0..chunks).map(move |_| {
        counter.fetch_add(1, Relaxed);
        Ok::<_, Infallible>(Bytes::from(vec![b' '; CHUNK_BYTES]))
    }));
    (Body::from_stream(body), read)
}

#[tokio::test]
async fn a_refused_body_is_read_to_its_end_unless_that_is_far() {
    let keys = vec![AccessKey { id: "AKIDEXAMPLE".into(), secret: Secret::new("secret") }];
    let signed = server_with(Aws { keys, ..Aws::default() }, Arc::new(SystemClock));
    let open = server();
    // server, MiB sent, status, MiB read
    let cases = [(&signed, 5, 403, 5), (&signed, 100, 403, 9), (&open, 7, 413, 7), (&open, 100, 413, 15)];
    for (server, sent, status, expected) in cases {
        let (body, read) = body(sent);
        let request = Request::post("/2015-03-31/functions/echo/invocations").body(body).expect("a request");
        let answer = server.send(request).await;
        assert_eq!((answer.status.as_u16(), read.load(Relaxed)), (status, expected), "{sent} MiB");
    }
}

#[tokio::test]
async fn a_body_in_pieces_is_put_together() {
    let server = server();
    let pieces = ["{\"a\"", ":", "", "1}"].map(|piece| Ok::<_, Infallible>(Bytes::from(piece)));
    let body = Body::from_stream(stream::iter(pieces));
    let request = Request::post("/2015-03-31/functions/echo/invocations").body(body).expect("a request");
    assert_eq!(server.send(request).await.body, "{\"a\":1}");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_no_request() {
    let server = server();
    let pieces = [Ok(Bytes::from("{\"a\"")), Err(std::io::Error::other("reset"))];
    let body = Body::from_stream(stream::iter(pieces));
    let request = Request::post("/2015-03-31/functions/echo/invocations").body(body).expect("a request");
    let answer = server.send(request).await;
    assert_eq!(answer.status, 408, "{answer:?}");
    assert!(server.functions.invoked.lock().expect("no panic").is_empty());
}
