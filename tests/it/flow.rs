//! The route from a request to a row, and the ledger beside it.

use crate::support::{Folder, Running, eventually, within};
use serde_json::json;
use std::time::Duration;

#[test]
fn every_event_is_accounted_for() {
    let folder = Folder::orders();
    let running = folder.start();
    let body = [
        r#"{"order_id":"1","sku":"A","quantity":2}"#,
        r#"{"order_id":"1","sku":"A","quantity":2}"#,
        r#"{"order_id":"2","sku":"Z","quantity":3,"note":{"gift":true}}"#,
        r#"{"order_id":"3","sku":"A","quantity":0}"#,
        r#"not json"#,
        r#"{"order_id":"4","sku":"test","quantity":1}"#,
        r#"{"order_id":"5","sku":"B","quantity":13}"#,
    ];
    let answer = running.send("orders", &body.join("\n"));
    assert_eq!(
        (&answer["accepted"], &answer["rejected"], &answer["first_offset"]),
        (&json!(5), &json!(2), &json!(0))
    );
    assert_eq!(answer["errors"][0]["pointer"], "/quantity");
    assert_eq!(answer["errors"][0]["keyword"], "minimum");
    assert_eq!(answer["errors"][1]["index"], 4);

    let rows = folder.sql("select order_id, category, quantity, _extra from silver.orders order by order_id");
    assert_eq!(
        json!(rows),
        json!([
            {"order_id": "1", "category": "tea", "quantity": 2, "_extra": null},
            {"order_id": "2", "category": null, "quantity": 3, "_extra": "{\"note\":{\"gift\":true}}"},
        ])
    );
    eventually("everything is committed", || folder.json(&["ledger", "--json"])["orders"]["in_flight"] == 0);
    let expected = json!({
        "received": 7, "stored": 2, "duplicate": 1, "rejected": 3, "filtered": 1, "late": 0, "in_flight": 0
    });
    let check = |ledger: serde_json::Value| {
        for (key, value) in expected.as_object().expect("an object") {
            assert_eq!(&ledger["orders"][key], value, "{key} in {ledger}");
        }
    };
    check(folder.json(&["ledger", "--json"]));
    folder.prove();
    assert_eq!(running.stop(), Some(0));
    check(folder.json(&["ledger", "--json"]));
    folder.prove();
    assert_eq!(folder.number("select count(*) from raw.orders"), 5);
    assert_eq!(folder.number("select count(*) from bronze.orders where quantity > 1"), 4);
    let reasons = folder.sql("select reason, count(*) as n from rejects.orders group by 1 order by 1");
    assert_eq!(
        json!(reasons),
        json!([{"reason": "parse", "n": 1}, {"reason": "schema", "n": 1}, {"reason": "transform", "n": 1}])
    );
}

#[test]
fn once_exhausts_the_files_and_prints_the_ledger() {
    let folder = Folder::orders();
    let lines: String =
        (0..5000).map(|id| format!("{{\"order_id\":\"{id}\",\"sku\":\"A\",\"quantity\":1}}\n")).collect();
    folder.write("inbox/a.jsonl", &lines);
    folder.write("inbox/b.jsonl", "{\"order_id\":\"0\",\"sku\":\"A\",\"quantity\":1}\n");
    for _ in 0..2 {
        let ledger = folder.json(&["run", "--once", "--json"]);
        assert_eq!(ledger["orders"]["received"], 5001, "{ledger}");
        assert_eq!(ledger["orders"]["stored"], 5000, "{ledger}");
        assert_eq!(ledger["orders"]["duplicate"], 1, "{ledger}");
    }
    folder.prove();
}

#[test]
fn two_processes_do_not_share_a_folder() {
    let folder = Folder::orders();
    let running = folder.start();
    let second = folder.bourn(&["run", "--once"]);
    assert_eq!(second.status.code(), Some(4));
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains("process") && said.contains(&running.http), "{said}");
}

#[test]
fn a_retried_request_is_harmless() {
    let folder = Folder::orders();
    let running = folder.start();
    let headers =
        [("content-type", "application/x-ndjson"), ("bourn-producer", "p"), ("bourn-sequence", "1")];
    let body = b"{\"order_id\":\"1\",\"sku\":\"A\",\"quantity\":2}\n{\"order_id\":\"2\"}\n";
    let (first, second) = (
        running.post("/v1/streams/orders", &headers, body),
        running.post("/v1/streams/orders", &headers, body),
    );
    assert_eq!((first.0, second.0), (200, 200));
    assert_eq!(first.1["accepted"], second.1["accepted"]);
    let ledger = folder.json(&["ledger", "--json"]);
    assert_eq!(ledger["orders"]["received"], 2, "{ledger}");
}

/// Runs a template on all of its real events.
fn template(name: &str, stream: &str, events: u64) {
    let folder = Folder::empty();
    let path = folder.join(name);
    folder.ok(&["init", name, "--template", name, "--with-sample"]);
    let dir = path.to_str().expect("text");
    let running = Running::start(&path, &[]);
    let sample = path.join("sample.jsonl.zst");
    let sent = folder.json(&["send", stream, sample.to_str().expect("text"), "--dir", dir, "--json"]);
    assert_eq!((&sent["accepted"], &sent["rejected"]), (&json!(events), &json!(0)), "{sent}");
    // Every event goes through a function or an API; a drain does not wait for all of them.
    within(Duration::from_secs(900), "everything is in the table", || {
        folder.json(&["ledger", "--json", "--dir", dir])[stream]["in_flight"] == 0
    });
    assert_eq!(running.stop(), Some(0));
    let ledger = folder.json(&["ledger", "--json", "--dir", dir]);
    assert_eq!(ledger[stream]["stored"], events, "{ledger}");
    let proof = folder.bourn(&["ledger", "--prove", "--dir", dir]);
    assert!(proof.status.success(), "{}", String::from_utf8_lossy(&proof.stdout));
}

#[test]
fn the_flights_template_takes_every_flight() {
    template("flights", "flights", 336_776);
}

#[test]
fn the_shop_template_takes_every_purchase() {
    template("shop", "purchases", 69_659);
}
