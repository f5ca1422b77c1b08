//! Clients that are broken or mean no good: each gets its answer, and nobody else notices.

use crate::probe::{Answer, exchange, get, memory_peak_bytes, order, raise_open_files, request, send};
use crate::support::{Folder, ORDERS, Running};
use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// What the process may take at most, whatever it is sent.
const MEMORY_MAX: u64 = 400 << 20;

fn start(server: &str) -> (Folder, Running) {
    let folder = Folder::orders();
    folder.write("bourn.yaml", format!("{ORDERS}server: {server}\n"));
    let running = folder.start();
    (folder, running)
}

/// The pipeline is well: it takes an event, shows it, and its memory is in bounds.
fn assert_unharmed(folder: &Folder, running: &Running) {
    assert_eq!(get(&running.http, "/healthz").status, 200);
    assert_eq!(get(&running.http, "/readyz").status, 200);
    running.send("orders", &order("unharmed"));
    assert_eq!(folder.number("select count(*) from silver.orders where order_id = 'unharmed'"), 1);
    let peak = memory_peak_bytes(running.pid());
    assert!(peak < MEMORY_MAX, "the process took {} MiB", peak >> 20);
}

/// An order with something in place of its quantity or behind it.
fn with(tail: &str) -> Vec<u8> {
    format!("{{\"order_id\":\"bad\",\"sku\":\"A\",{tail}}}").into_bytes()
}

#[test]
fn every_bad_event_is_a_reject_with_its_reason_beside_good_ones() {
    let nested = |open: &str, close: &str| {
        with(&format!("\"quantity\":1,\"x\":{}1{}", open.repeat(10_000), close.repeat(10_000)))
    };
    let cases: Vec<(&str, Vec<u8>, &[&str])> = vec![
        ("not JSON", b"nonsense".to_vec(), &["parse"]),
        ("torn JSON", b"{\"order_id\":\"x".to_vec(), &["parse"]),
        ("no object", b"[1,2]".to_vec(), &["parse", "type", "schema"]),
        ("a number", b"17".to_vec(), &["parse", "type", "schema"]),
        ("two objects", [with("\"quantity\":1"), with("\"quantity\":1")].concat(), &["parse"]),
        (
            "not UTF-8",
            [&b"{\"order_id\":\"\xff\xfe\""[..], b",\"sku\":\"A\",\"quantity\":1}"].concat(),
            &["parse"],
        ),
        (
            "Latin-1",
            [&b"{\"order_id\":\"caf\xe9\""[..], b",\"sku\":\"A\",\"quantity\":1}"].concat(),
            &["parse"],
        ),
        ("a NUL in a text", b"{\"order_id\":\"\0\",\"sku\":\"A\",\"quantity\":1}".to_vec(), &["parse"]),
        ("a NUL behind", b"{\"order_id\":\"x\",\"sku\":\"A\",\"quantity\":1}\0".to_vec(), &["parse"]),
        ("only NULs", vec![0; 1000], &["parse"]),
        ("half a surrogate pair", with("\"quantity\":1,\"x\":\"\\ud800\""), &["parse"]),
        ("deep arrays", nested("[", "]"), &["parse", "schema", "too_large"]),
        ("deep objects", nested("{\"a\":", "}"), &["parse", "schema", "too_large"]),
        (
            "deep and torn",
            with(&format!("\"quantity\":1,\"x\":{}", "[".repeat(100_000))),
            &["parse", "too_large"],
        ),
        ("a key twice", with("\"quantity\":1,\"quantity\":2"), &["parse", "schema"]),
        ("an unknown key twice", with("\"quantity\":1,\"x\":1,\"x\":2"), &["parse", "schema"]),
        ("beyond a double", with("\"quantity\":1e400"), &["parse", "type", "schema"]),
        ("beyond 64 bits", with("\"quantity\":123456789012345678901234567890"), &["type", "schema"]),
        (
            "beyond 64 bits, downwards",
            with("\"quantity\":-123456789012345678901234567890"),
            &["type", "schema"],
        ),
        ("a fraction", with("\"quantity\":1.5"), &["type", "schema"]),
        ("not a number", with("\"quantity\":NaN"), &["parse"]),
        (
            "a long number",
            with(&format!("\"quantity\":{}", "9".repeat(100_000))),
            &["parse", "type", "schema"],
        ),
        ("too large", with(&format!("\"quantity\":1,\"x\":\"{}\"", "y".repeat(2 << 20))), &["too_large"]),
    ];
    let (folder, running) = start("{}");
    for (index, (name, bad, reasons)) in cases.iter().enumerate() {
        let (before, behind) = (order(format!("{index}-before")), order(format!("{index}-behind")));
        let body = [before.as_bytes(), bad, b"\n", behind.as_bytes()].concat();
        let answer = send(&running.http, "orders", &body);
        assert_eq!(answer.status, 200, "{name}: {answer:?}");
        let said = answer.json();
        assert_eq!((&said["accepted"], &said["rejected"]), (&json!(2), &json!(1)), "{name}: {said}");
        assert_eq!(said["errors"][0]["index"], 1, "{name}: {said}");
        let rejects = folder.sql("select reason, original_len, length(original) as kept from rejects.orders order by _offset desc limit 1");
        let reject = &rejects[0];
        let reason = reject["reason"].as_str().unwrap_or_default();
        assert!(reasons.contains(&reason), "{name}: {reject}");
        assert_eq!(reject["original_len"], bad.len(), "{name}: {reject}");
    }
    assert_unharmed(&folder, &running);
    assert_eq!(running.stop(), Some(0));
    folder.prove();
}

#[test]
fn odd_events_that_are_good_json_are_stored_as_they_are() {
    let (folder, running) = start("{}");
    let lines = [
        "{\"order_id\":\"nul\\u0000\",\"sku\":\"A\",\"quantity\":1}",
        "{\"order_id\":\"\\ud83d\\ude00\",\"sku\":\"A\",\"quantity\":1e0}",
        "{\"order_id\":\"big\",\"sku\":\"A\",\"quantity\":9223372036854775807}",
        "{\"order_id\":\"precise\",\"sku\":\"A\",\"quantity\":1,\"x\":123456789012345678901234567890.125}",
    ];
    let answer = running.send("orders", &lines.join("\n"));
    assert_eq!(answer["accepted"], lines.len(), "{answer}");
    let rows = folder.sql("select order_id, quantity, _extra from silver.orders order by _offset");
    assert_eq!(rows[0]["order_id"], "nul\0");
    assert_eq!((&rows[1]["order_id"], &rows[1]["quantity"]), (&json!("😀"), &json!(1)));
    assert_eq!(rows[2]["quantity"], 9_223_372_036_854_775_807_u64);
    assert_eq!(rows[3]["_extra"], "{\"x\":123456789012345678901234567890.125}");
    folder.prove();
}

#[test]
fn an_encoding_that_is_not_utf_8_is_refused() {
    let (folder, running) = start("{}");
    let wide: Vec<u8> = order("x").encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (kind, body) in [
        ("application/json; charset=utf-16", wide.clone()),
        ("application/json", [&[0xff, 0xfe][..], &wide].concat()),
        ("text/html", order("x").into_bytes()),
        ("application/json; charset=latin1", order("x").into_bytes()),
    ] {
        let answer = request(&running.http, "POST", "/v1/streams/orders", &[("content-type", kind)], &body);
        assert_eq!(answer.status, 415, "{kind}: {answer:?}");
        assert_eq!(answer.json()["type"], "/problems/unsupported-media-type", "{answer:?}");
    }
    assert_unharmed(&folder, &running);
}

#[test]
fn a_line_of_100_mb_is_refused_or_rejected_in_bounded_memory() {
    let line = [&b"{\"order_id\":\""[..], &vec![b'x'; 100 << 20], b"\"}\n"].concat();
    let (folder, running) = start("{}");
    let answer = send(&running.http, "orders", &line);
    assert_eq!(answer.status, 413, "{answer:?}");
    assert_eq!(answer.json()["type"], "/problems/too-large", "{answer:?}");
    assert_unharmed(&folder, &running);
    drop(running);

    let (folder, running) = start("{max_body: 128MiB, max_inflated: 128MiB, max_in_flight: 256MiB}");
    let body = [order("beside").as_bytes(), &line].concat();
    let answer = send(&running.http, "orders", &body);
    assert_eq!(answer.status, 200, "{answer:?}");
    let reject = folder.sql("select reason, original_len, length(original) as kept from rejects.orders");
    assert_eq!(reject[0]["reason"], "too_large", "{reject:?}");
    assert_eq!(reject[0]["original_len"], line.len() - 1, "{reject:?}");
    assert!(reject[0]["kept"].as_u64().is_some_and(|kept| kept <= 1 << 20), "{reject:?}");
    assert_unharmed(&folder, &running);
    assert_eq!(running.stop(), Some(0));
    folder.prove();
}

/// A body that inflates to 1.25 GiB.
fn bomb(coding: &str) -> Vec<u8> {
    let piece = vec![b' '; 16 << 20];
    let member = match coding {
        "gzip" => {
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            writer.write_all(&piece).expect("memory");
            writer.finish().expect("memory")
        }
        "deflate" => {
            let mut writer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
            for _ in 0..10 {
                writer.write_all(&piece).expect("memory");
            }
            return writer.finish().expect("memory");
        }
        _ => zstd::encode_all(&piece[..], 3).expect("memory"),
    };
    member.repeat(80)
}

#[test]
fn a_bomb_is_refused_in_flat_memory() {
    let (folder, running) = start("{}");
    for coding in ["gzip", "zstd", "deflate"] {
        let bomb = bomb(coding);
        let headers = [("content-type", "application/x-ndjson"), ("content-encoding", coding)];
        let answer = request(&running.http, "POST", "/v1/streams/orders", &headers, &bomb);
        assert_eq!(answer.status, 413, "{coding}: {answer:?}");
        assert_eq!(answer.json()["type"], "/problems/too-large", "{coding}: {answer:?}");
    }
    // A bomb in a bomb, and more codings than any honest client names.
    let twice = zstd::encode_all(&bomb("zstd")[..], 3).expect("memory");
    for coding in ["zstd, zstd", &vec!["gzip"; 100].join(", ")] {
        let headers = [("content-type", "application/x-ndjson"), ("content-encoding", coding)];
        let answer = request(&running.http, "POST", "/v1/streams/orders", &headers, &twice);
        assert!(matches!(answer.status, 400 | 413 | 415), "{coding}: {answer:?}");
    }
    let torn = zstd::encode_all(order("x").as_bytes(), 3).expect("memory");
    for (coding, body) in [("zstd", &torn[..torn.len() - 3]), ("gzip", &torn), ("zstd", b"nonsense")] {
        let headers = [("content-type", "application/x-ndjson"), ("content-encoding", coding)];
        let answer = request(&running.http, "POST", "/v1/streams/orders", &headers, body);
        assert_eq!(answer.status, 400, "{coding}: {answer:?}");
    }
    assert_unharmed(&folder, &running);
}

/// Writes byte for byte, slowly, until the server ends it or all is written; what it said, and how
/// many bytes it took.
fn drip(address: &str, begin: &str, rest: &str) -> (Option<Answer>, usize) {
    let mut socket = TcpStream::connect(address).expect("a connection");
    socket.set_nodelay(true).expect("a socket");
    socket.write_all(begin.as_bytes()).expect("a connection");
    socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
    let (mut said, mut buffer) = (Vec::new(), [0; 4096]);
    for (index, byte) in rest.bytes().enumerate() {
        if socket.write_all(&[byte]).is_err() {
            return (Answer::read(&said), index);
        }
        match socket.read(&mut buffer) {
            Ok(0) => return (Answer::read(&said), index),
            Ok(read) => said.extend(&buffer[..read]),
            Err(error)
                if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(_) => return (Answer::read(&said), index),
        }
    }
    (Answer::read(&said), rest.len())
}

#[test]
fn a_client_that_sends_byte_by_byte_is_cut_off() {
    let (folder, running) = start("{request_timeout: 1s}");
    let head = "POST /v1/streams/orders HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n";
    let slow_head = format!("{head}x-slow: {}\r\n\r\n", "y".repeat(600));
    let (_, taken) = drip(&running.http, "", &slow_head);
    assert!(taken < slow_head.len(), "a slow head was waited for");
    let (answer, taken) =
        drip(&running.http, &format!("{head}content-length: 600\r\n\r\n"), &" ".repeat(600));
    assert!(taken < 600, "a slow body was waited for");
    assert!(answer.is_some_and(|answer| answer.status == 408));
    assert_unharmed(&folder, &running);
}

#[test]
fn idle_connections_keep_nobody_out() {
    let count: usize = std::env::var("BOURN_CONNECTIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(10_000);
    let count = count.min(raise_open_files(count + 1_000).saturating_sub(1_000));
    println!("{count} connections");
    let (folder, running) = start("{}");
    let mut idle = Vec::with_capacity(count);
    for index in 0..count {
        let mut socket =
            TcpStream::connect(&running.http).unwrap_or_else(|error| panic!("connection {index}: {error}"));
        if index % 2 == 0 {
            socket.write_all(b"POST /v1/streams/orders HTTP/1.1\r\nhost: te").expect("a connection");
        }
        idle.push(socket);
    }
    for index in 0..20 {
        assert_eq!(send(&running.http, "orders", order(index).as_bytes()).status, 200);
    }
    let metrics = get(&running.http, "/metrics").body;
    let open = metrics.lines().find_map(|line| line.strip_prefix("bourn_http_connections "));
    let open: f64 = open.and_then(|open| open.parse().ok()).expect("the gauge of connections");
    assert!(open >= count as f64, "{open} connections are open");
    assert_unharmed(&folder, &running);
    drop(idle);
    assert_unharmed(&folder, &running);
    assert_eq!(running.stop(), Some(0));
    folder.prove();
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let (folder, running) = start("{}");
    let body = |id: u32| order(id);
    let mut bytes = String::new();
    for id in 0..50 {
        let (body, last) = (body(id), if id == 49 { "connection: close\r\n" } else { "" });
        bytes.push_str(&format!(
            "POST /v1/streams/orders HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n{last}content-length: {}\r\n\r\n{body}",
            body.len()
        ));
    }
    let said = exchange(&running.http, bytes.as_bytes());
    let said = String::from_utf8_lossy(&said);
    assert_eq!(said.matches("HTTP/1.1 200").count(), 50, "{said}");
    let offsets: Vec<u64> = said
        .split("\"first_offset\":")
        .skip(1)
        .filter_map(|rest| rest.split([',', '}']).next()?.parse().ok())
        .collect();
    assert_eq!(offsets, (0..50).collect::<Vec<_>>());
    assert_unharmed(&folder, &running);
}

#[test]
fn what_is_not_http_is_ended_and_forgotten() {
    let (folder, running) = start("{request_timeout: 2s}");
    let head = "POST /v1/streams/orders HTTP/1.1\r\nhost: test\r\ncontent-type: application/x-ndjson\r\n";
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("noise", (0..5000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()),
        ("TLS to a plain port", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(20)),
        ("zeros", vec![0; 100_000]),
        ("line feeds", vec![b'\n'; 100_000]),
        ("a head that is too long", format!("{head}x-long: {}\r\n\r\n", "y".repeat(2 << 20)).into_bytes()),
        ("too many headers", format!("{head}{}\r\n", "x-many: y\r\n".repeat(20_000)).into_bytes()),
        ("a path that is too long", format!("GET /{} HTTP/1.1\r\n\r\n", "y".repeat(1 << 20)).into_bytes()),
        ("two lengths", format!("{head}content-length: 5\r\ncontent-length: 6\r\n\r\n{{}}\n").into_bytes()),
        ("a negative length", format!("{head}content-length: -5\r\n\r\n").into_bytes()),
        ("a huge length", format!("{head}content-length: 99999999999999999999\r\n\r\n").into_bytes()),
        (
            "a bad chunk",
            format!("{head}transfer-encoding: chunked\r\n\r\nzz\r\n{{}}\r\n0\r\n\r\n").into_bytes(),
        ),
        (
            "a huge chunk",
            format!("{head}transfer-encoding: chunked\r\n\r\nffffffffffffffff\r\nxx").into_bytes(),
        ),
        ("an unknown version", b"GET / HTTP/9.9\r\n\r\n".to_vec()),
        ("half of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff".to_vec()),
        (
            "a body that breaks off",
            format!("{head}content-length: 500\r\n\r\n{}", order("torn")).into_bytes(),
        ),
    ];
    for (name, bytes) in &cases {
        let said = exchange(&running.http, bytes);
        if let Some(answer) = Answer::read(&said) {
            assert!((400..500).contains(&answer.status), "{name}: {answer:?}");
        }
    }
    assert_unharmed(&folder, &running);
    assert_eq!(folder.number("select count(*) from silver.orders where order_id = 'torn'"), 0);
}
