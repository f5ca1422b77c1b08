//! Replay: the table rebuilt from the log equals the one that stands (G5), and follows a changed
//! definition.

use crate::support::{Folder, ORDER_SCHEMA, ORDERS_SQL};
use serde_json::json;

fn orders(from: usize, to: usize) -> String {
    let line = |id: usize| {
        let sku = ["A", "B", "test", "Z"][id % 4];
        format!("{{\"order_id\":\"{}\",\"sku\":\"{sku}\",\"quantity\":{}}}\n", id % 900, 1 + id % 20)
    };
    (from..to).map(line).collect()
}

const EVERYTHING: &str = "select * from silver.orders order by _offset";

#[test]
fn a_replay_gives_equal_rows() {
    let folder = Folder::orders();
    let running = folder.start();
    running.send("orders", &orders(0, 1000));
    let ledger = |folder: &Folder| folder.json(&["ledger", "--json"])["orders"].clone();
    folder.json(&["compact", "--json"]);
    let (rows, counts) = (folder.sql(EVERYTHING), ledger(&folder));
    let replayed = folder.json(&["replay", "orders", "--json"]);
    assert_eq!(replayed["to"], 1000, "{replayed}");
    assert_eq!(folder.sql(EVERYTHING), rows);
    assert_eq!(ledger(&folder), counts);
    folder.prove();
    running.send("orders", &orders(1000, 1100));
    folder.json(&["replay", "orders", "--from", "300", "--to", "700", "--json"]);
    assert_eq!(running.stop(), Some(0));
    assert_eq!(&folder.sql(EVERYTHING)[..rows.len()], &rows[..]);
    folder.prove();
    folder.json(&["replay", "orders", "--json"]);
    assert_eq!(&folder.sql(EVERYTHING)[..rows.len()], &rows[..]);
    folder.prove();
}

#[test]
fn a_replay_follows_the_changed_definition() {
    let folder = Folder::orders();
    let running = folder.start();
    running.send("orders", &orders(0, 400));
    assert_eq!(running.stop(), Some(0));
    let before = folder.json(&["ledger", "--json"]);
    assert_eq!(before["orders"]["filtered"], 100, "{before}");
    assert_eq!(before["orders"]["rejected"], 20, "division by zero is a reject: {before}");
    // A time where a number was, no filter, no failing rows.
    let sql = ORDERS_SQL.replace("100 / (quantity - 13) as share", "to_timestamp_micros(quantity) as share");
    folder.write("transforms/orders.sql", sql.replace(" where sku <> 'test'", ""));
    let refused = folder.bourn(&["run", "--once"]);
    assert!(!refused.status.success(), "an incompatible column is refused");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("share") && said.contains("replay"), "{said}");
    let replayed = folder.json(&["replay", "orders", "--json"]);
    assert_eq!((&replayed["stored"], &replayed["rejected"]), (&json!(400), &json!(0)), "{replayed}");
    let ledger = folder.json(&["ledger", "--json"]);
    assert_eq!(
        (&ledger["orders"]["stored"], &ledger["orders"]["filtered"]),
        (&json!(400), &json!(0)),
        "{ledger}"
    );
    assert_eq!(folder.number("select count(*) from silver.orders where share > to_timestamp_micros(0)"), 400);
    assert_eq!(folder.number("select count(*) from rejects.orders"), 0);
    folder.prove();
}

#[test]
fn a_replay_under_a_stricter_schema_passes_over_what_was_put_back() {
    let folder = Folder::orders();
    let running = folder.start();
    let line = |id, quantity| format!("{{\"order_id\":\"{id}\",\"sku\":\"A\",\"quantity\":{quantity}}}\n");
    // In one frame: what will be refused stands before what was rejected.
    running.send("orders", &[line(1, 500), line(2, 1), line(3, 13)].concat());
    assert_eq!(running.stop(), Some(0));
    folder.write("transforms/orders.sql", ORDERS_SQL.replace("100 / (quantity - 13)", "quantity"));
    assert_eq!(folder.json(&["rejects", "replay", "orders", "--json"])["accepted"], 1);
    folder.write(
        "schemas/order.json",
        ORDER_SCHEMA.replace("\"minimum\": 1", "\"minimum\": 1, \"maximum\": 100"),
    );
    let replayed = folder.json(&["replay", "orders", "--json"]);
    assert_eq!(replayed["to"], 4, "{replayed}");
    let rows = folder.sql("select order_id, _offset from silver.orders order by _offset");
    assert_eq!(json!(rows), json!([{"order_id": "2", "_offset": 1}, {"order_id": "3", "_offset": 3}]));
    let rejects = folder.sql("select reason, stream_offset, _source from rejects.orders");
    assert_eq!(rejects.len(), 1, "{rejects:?}");
    assert_eq!(
        (&rejects[0]["reason"], &rejects[0]["stream_offset"]),
        (&json!("schema"), &json!(0)),
        "{rejects:?}"
    );
    folder.prove();
}
