//! Replay: the table rebuilt from the log equals the one that stands (G5), and follows a changed
//! definition.

use crate::support::{Folder, ORDERS_SQL};
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
