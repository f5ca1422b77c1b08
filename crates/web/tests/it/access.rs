//! Who may do what.

use crate::fakes::{self, FakeQuery};
use crate::server::{call, check_problem, start};
use bourn_config::{ApiKey, Verb};
use bourn_web::WebError;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

pub fn key(name: &str, streams: &[&str], verbs: &[Verb]) -> ApiKey {
    let hash: String = Sha256::digest(name).iter().map(|byte| format!("{byte:02x}")).collect();
    ApiKey {
        name: name.into(),
        hash: format!("sha256:{hash}"),
        streams: streams.iter().map(|stream| (*stream).to_owned()).collect(),
        verbs: verbs.to_vec(),
    }
}

#[tokio::test]
async fn a_key_opens_what_it_is_scoped_to() {
    let server = start(|options| {
        options.server.keys = vec![
            key("all", &[], &[]),
            key("orders", &["orders"], &[Verb::Ingest]),
            key("other", &["other"], &[Verb::Ingest]),
            key("reader", &[], &[Verb::Query]),
            key("admin", &[], &[Verb::Admin]),
        ];
    })
    .await;
    let routes = [
        ("POST", "/v1/streams/orders", "{\"id\":1}"),
        ("POST", "/v1/streams/%6frders", "{\"id\":1}"),
        ("POST", "/v1/sql", "select 1"),
        ("POST", "/v1/admin/compact", ""),
        ("GET", "/metrics", ""),
        ("GET", "/v1/openapi.json", ""),
        ("GET", "/healthz", ""),
        ("GET", "/readyz", ""),
    ];
    #[rustfmt::skip]
    let cases: [(&str, [u16; 8]); 7] = [
        //        orders %6frders sql  admin metrics openapi healthz readyz
        ("all",    [200, 200, 200, 200, 200, 200, 200, 200]),
        ("orders", [200, 200, 403, 403, 200, 200, 200, 200]),
        ("other",  [403, 403, 403, 403, 200, 200, 200, 200]),
        ("reader", [403, 403, 200, 403, 200, 200, 200, 200]),
        ("admin",  [403, 403, 403, 200, 200, 200, 200, 200]),
        ("wrong",  [401, 401, 401, 401, 401, 401, 200, 200]),
        ("",       [401, 401, 401, 401, 401, 401, 200, 200]),
    ];
    for (key, expected) in cases {
        for ((method, path, body), status) in routes.into_iter().zip(expected) {
            let bearer = format!("bEaReR {key}");
            for header in [("Authorization", bearer.as_str()), ("X-Api-Key", key)] {
                let headers = if key.is_empty() { vec![] } else { vec![header] };
                let answer = call(server.addr, method, path, &headers, body).await;
                assert_eq!(answer.status, status, "{key:?} {path} {}: {answer:?}", header.0);
                match status {
                    401 => check_problem(&answer, 401, "unauthorized"),
                    403 => check_problem(&answer, 403, "forbidden"),
                    _ => {}
                }
                assert_eq!(answer.header("www-authenticate").is_some(), status >= 400, "{answer:?}");
            }
        }
    }
    for value in ["Basic YTpi", "Bearer", "Bearer ", "Bearer\u{e4}\u{f6}\u{fc}"] {
        let answer = call(server.addr, "POST", "/v1/sql", &[("Authorization", value)], "select 1").await;
        assert_eq!(answer.status, 401, "{value:?}");
    }
}

#[tokio::test]
async fn without_keys_pages_of_other_origins_are_refused() {
    let server = start(|_| {}).await;
    for (origin, status) in [("https://evil.example", 403), ("null", 403), ("http://localhost:3000", 200)] {
        let answer = call(server.addr, "POST", "/v1/sql", &[("Origin", origin)], "select 1").await;
        assert_eq!(answer.status, status, "{origin}");
    }
}

#[tokio::test]
async fn an_open_server_on_a_public_address_does_not_start_unless_told_so() {
    let public = |allow: bool, keys: Vec<ApiKey>| async move {
        let mut options = fakes::options(Arc::new(FakeQuery::default()));
        options.server.listen = "0.0.0.0:0".into();
        options.server.allow_unauthenticated = allow;
        options.server.keys = keys;
        bourn_web::serve(options, CancellationToken::new()).await.err()
    };
    let error = public(false, vec![]).await.expect("refused");
    assert!(matches!(error, WebError::Unauthenticated(_)), "{error}");
    assert!(public(true, vec![]).await.is_none());
    assert!(public(false, vec![key("k", &[], &[])]).await.is_none());
    let bad = ApiKey { hash: "sha256:12".into(), ..key("bad", &[], &[]) };
    let error = public(false, vec![bad]).await.expect("refused");
    assert!(matches!(&error, WebError::KeyHash { name } if name == "bad"), "{error}");
}
