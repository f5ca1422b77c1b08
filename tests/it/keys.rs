//! API keys, TLS, and the command line with a key.

use crate::probe::{Answer, order, request};
use crate::support::{Folder, ORDERS, Running, bourn};
use serde_json::Value;
use std::process::Command;

fn sha256(key: &str, folder: &Folder) -> String {
    folder.write("key", key);
    let output = Command::new("sha256sum").arg(folder.join("key")).output().expect("sha256sum");
    String::from_utf8_lossy(&output.stdout).split_whitespace().next().expect("a hash").to_string()
}

/// The orders pipeline and a stream `visits`, with five keys; `more` are further keys of `server`.
fn folder(more: &str) -> Folder {
    let folder = Folder::orders();
    let hash = |key: &str| sha256(key, &folder);
    let keys = [
        format!("{{name: all, hash: \"sha256:{}\"}}", hash("k-all")),
        format!(
            "{{name: orders, hash: \"sha256:{}\", streams: [orders], verbs: [ingest]}}",
            hash("k-orders")
        ),
        format!("{{name: ingest, hash: \"sha256:{}\", verbs: [ingest]}}", hash("k-ingest")),
        format!("{{name: query, hash: \"sha256:{}\", verbs: [query]}}", hash("k-query")),
        format!("{{name: admin, hash: \"sha256:{}\", verbs: [admin]}}", hash("k-admin")),
    ];
    let streams = "  visits: {schema: schemas/order.json, sources: [{http: {}}]}\nlookups:";
    let yaml = ORDERS.replace("lookups:", streams);
    folder.write("bourn.yaml", format!("{yaml}server:\n  keys: [{}]\n{more}", keys.join(", ")));
    folder
}

fn ask(running: &Running, method: &str, path: &str, header: Option<(&str, &str)>, body: &str) -> Answer {
    let kind = if path == "/v1/sql" { "text/plain" } else { "application/json" };
    let mut headers = vec![("content-type", kind)];
    headers.extend(header);
    request(&running.http, method, path, &headers, body.as_bytes())
}

#[test]
fn a_key_opens_what_it_is_for_and_nothing_else() {
    let folder = folder("");
    let running = folder.start();
    let event = order("1");
    let (orders, visits) = ("/v1/streams/orders", "/v1/streams/visits");
    let cases = [
        // path, body, and the status for: no key, an unknown one, all, orders, ingest, query, admin
        ("POST", orders, event.as_str(), [401, 401, 200, 200, 200, 403, 403]),
        ("POST", visits, event.as_str(), [401, 401, 200, 403, 200, 403, 403]),
        ("POST", "/v1/streams/unknown", event.as_str(), [401, 401, 404, 403, 404, 403, 403]),
        ("POST", "/v1/sql", "select 1 as one", [401, 401, 200, 403, 403, 200, 403]),
        ("POST", "/v1/admin/ledger", "{}", [401, 401, 200, 403, 403, 403, 200]),
        ("GET", "/metrics", "", [401, 401, 200, 200, 200, 200, 200]),
        ("GET", "/v1/openapi.json", "", [401, 401, 200, 200, 200, 200, 200]),
        ("GET", "/healthz", "", [200; 7]),
        ("GET", "/readyz", "", [200; 7]),
    ];
    let keys = [
        None,
        Some("wrong"),
        Some("k-all"),
        Some("k-orders"),
        Some("k-ingest"),
        Some("k-query"),
        Some("k-admin"),
    ];
    for (method, path, body, expected) in cases {
        for (key, expected) in keys.iter().zip(expected) {
            let bearer = key.map(|key| format!("Bearer {key}"));
            for header in [("authorization", bearer.as_deref()), ("x-api-key", *key)] {
                let answer = ask(&running, method, path, header.1.map(|value| (header.0, value)), body);
                assert_eq!(answer.status, expected, "{method} {path} with {key:?}: {answer:?}");
                if expected == 401 {
                    assert!(answer.header("www-authenticate").is_some(), "{answer:?}");
                }
                if expected >= 400 {
                    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
                }
            }
        }
    }
    let broken = ["Basic ay1hbGw6", "Bearer", "Bearer  ", "bearer wrong", "k-all"];
    for header in broken {
        let answer = ask(&running, "POST", orders, Some(("authorization", header)), &event);
        assert_eq!(answer.status, 401, "{header}: {answer:?}");
    }
}

/// Runs a verb with a key in the environment; its exit code and what it said.
fn with_key(folder: &Folder, key: Option<&str>, args: &[&str]) -> (bool, String) {
    let mut command = bourn();
    command.arg("--dir").arg(folder.path()).args(args).env_remove("BOURN_API_KEY");
    if let Some(key) = key {
        command.env("BOURN_API_KEY", key);
    }
    let output = command.output().expect("the binary runs");
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

fn check_verbs(folder: &Folder) {
    folder.write("more.jsonl", order("sent"));
    let file = folder.join("more.jsonl");
    let send = ["send", "orders", file.to_str().expect("text"), "--json"];
    let sql = ["sql", "select count(*) as n from silver.orders", "--format", "json"];
    let cases: [(&[&str], &str); 3] =
        [(&send, "k-orders"), (&sql, "k-query"), (&["ledger", "--json"], "k-admin")];
    for (verb, key) in cases {
        for (key, passes) in [(Some("k-all"), true), (Some(key), true), (None, false), (Some("wrong"), false)]
        {
            let (passed, said) = with_key(folder, key, verb);
            assert_eq!(passed, passes, "{verb:?} with {key:?}: {said}");
            if !passes {
                assert!(said.contains("BOURN_API_KEY") || said.contains("key"), "{verb:?}: {said}");
            }
        }
    }
}

#[test]
fn verbs_send_the_key_of_their_environment() {
    let folder = folder("");
    let running = folder.start();
    check_verbs(&folder);
    assert_eq!(running.stop(), Some(0));
    folder.prove();
}

#[test]
fn tls_is_spoken_and_the_verbs_follow() {
    let folder = folder("  tls: {cert: cert.pem, key: key.pem}\n");
    let openssl = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(folder.join("key.pem"))
        .arg("-out")
        .arg(folder.join("cert.pem"))
        .output();
    if !openssl.is_ok_and(|output| output.status.success()) {
        println!("skipped: openssl makes no certificate");
        return;
    }
    let running = folder.start();
    check_verbs(&folder);

    let _ = rustls::crypto::ring::default_provider().install_default();
    let cert = std::fs::read(folder.join("cert.pem")).expect("a certificate");
    let client = reqwest::Client::builder()
        .add_root_certificate(reqwest::Certificate::from_pem(&cert).expect("a certificate"))
        .build()
        .expect("a client");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let url = format!("https://{}/v1/streams/orders?ack=visible", running.http);
    let sent = runtime.block_on(async {
        let request = client.post(url).bearer_auth("k-orders").header("content-type", "application/json");
        let answer = request.body(order("tls")).send().await.expect("an answer");
        (answer.status().as_u16(), answer.json::<Value>().await.expect("JSON"))
    });
    assert_eq!((sent.0, &sent.1["accepted"]), (200, &Value::from(1)));
    // An idle HTTP/2 client that nobody runs would hold up the drain to its limit.
    drop((client, runtime));
    // Plain HTTP on the port of TLS is no way in.
    let said = crate::probe::exchange(&running.http, b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n");
    assert!(!String::from_utf8_lossy(&said).contains("200 OK"));
    let (passed, said) = with_key(
        &folder,
        Some("k-all"),
        &["sql", "select count(*) as n from silver.orders", "--format", "json"],
    );
    assert!(passed && said.contains("\"n\":2"), "{said}");
    assert_eq!(running.stop(), Some(0));
    folder.prove();
}
