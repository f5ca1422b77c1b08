//! Rejects: seen, put back exactly once, purged; and the ledger shows it.

use crate::support::{Folder, ORDER_SCHEMA};
use serde_json::json;

fn bad_orders(count: usize) -> String {
    (0..count).map(|id| format!("{{\"order_id\":\"{id}\",\"sku\":\"A\",\"quantity\":0}}\n")).collect()
}

#[test]
fn a_reject_that_passes_leaves_the_rejects_once() {
    let folder = Folder::orders();
    let running = folder.start();
    running.send("orders", &bad_orders(10));
    assert_eq!(folder.json(&["rejects", "ls", "orders", "--json"]).as_array().map(Vec::len), Some(10));
    let dry = folder.json(&["rejects", "replay", "orders", "--dry-run", "--json"]);
    assert_eq!((&dry["tried"], &dry["accepted"]), (&json!(10), &json!(0)), "{dry}");
    assert_eq!(running.stop(), Some(0));

    folder.write("schemas/order.json", ORDER_SCHEMA.replace("\"minimum\": 1", "\"minimum\": 0"));
    for (accepted, left) in [(10, 0), (0, 0)] {
        let done = folder.json(&["rejects", "replay", "orders", "--json"]);
        assert_eq!(done["accepted"], accepted, "{done}");
        assert_eq!(folder.json(&["rejects", "ls", "orders", "--json"]).as_array().map(Vec::len), Some(left));
    }
    let ledger = folder.json(&["ledger", "--json"]);
    let counts = (&ledger["orders"]["received"], &ledger["orders"]["stored"], &ledger["orders"]["rejected"]);
    assert_eq!(counts, (&json!(10), &json!(10), &json!(0)), "{ledger}");
    folder.prove();
}

#[test]
fn a_fix_up_mends_what_it_selects() {
    let folder = Folder::orders();
    let running = folder.start();
    running.send("orders", &bad_orders(3));
    folder.write(
        "fix.sql",
        "select _offset, replace(original, '\"quantity\":0', '\"quantity\":7') as event from rejects where _offset > 0",
    );
    let fix = folder.join("fix.sql");
    let done = folder.json(&["rejects", "replay", "orders", "--fix", fix.to_str().expect("text"), "--json"]);
    assert_eq!((&done["tried"], &done["accepted"]), (&json!(2), &json!(2)), "{done}");
    assert_eq!(running.stop(), Some(0));
    assert_eq!(folder.number("select sum(quantity) from silver.orders"), 14);
    assert_eq!(folder.number("select count(*) from rejects.orders"), 1);
    folder.prove();
}

#[test]
fn a_purged_reject_is_counted_but_not_seen() {
    let folder = Folder::orders();
    let running = folder.start();
    running.send("orders", &bad_orders(4));
    let refused = folder.bourn(&["rejects", "purge", "orders"]);
    assert_eq!(refused.status.code(), Some(1), "purging everything must be asked for");
    assert_eq!(folder.json(&["rejects", "purge", "orders", "--offset", "1", "--json"])["purged"], 1);
    assert_eq!(running.stop(), Some(0));
    assert_eq!(folder.number("select count(*) from rejects.orders"), 3);
    assert_eq!(folder.json(&["ledger", "--json"])["orders"]["rejected"], 4);
    folder.prove();
}
