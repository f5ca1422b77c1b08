//! A schema that grows: by policy a column, a value in `_extra`, or a refusal; never silently null.

use crate::probe::{order, refused};
use crate::support::{Folder, ORDER_SCHEMA, ORDERS};
use serde_json::{Value, json};

const SQL: &str = "select * from events\n";

fn folder(policy: &str) -> Folder {
    let folder = Folder::orders();
    let policy = format!("    policy: {{schema: {policy}}}\n    commit:");
    folder.write("bourn.yaml", ORDERS.replace("    commit:", &policy));
    folder.write("transforms/orders.sql", SQL);
    let running = folder.start();
    running.send(
        "orders",
        "{\"order_id\":\"1\",\"sku\":\"A\",\"quantity\":1,\"coupon\":\"X1\",\"gift\":{\"to\":\"you\"}}\n",
    );
    assert_eq!(running.stop(), Some(0));
    folder
}

fn grown() -> String {
    ORDER_SCHEMA.replace(r#""sku": {"#, r#""coupon": {"type": "string"}, "sku": {"#)
}

const SECOND: &str = "{\"order_id\":\"2\",\"sku\":\"A\",\"quantity\":2,\"coupon\":\"X2\",\"gift\":1}\n";

fn extra(row: &Value) -> Value {
    row["_extra"].as_str().map_or(Value::Null, |text| serde_json::from_str(text).expect("JSON"))
}

#[test]
fn unknown_fields_are_kept_beside_the_columns() {
    let folder = folder("evolve");
    let rows = folder.sql("select * from silver.orders");
    assert_eq!(extra(&rows[0]), json!({"coupon": "X1", "gift": {"to": "you"}}));
    assert_eq!(rows[0].get("coupon"), None);
}

#[test]
fn evolve_adds_the_new_field_as_a_column() {
    let folder = folder("evolve");
    folder.write("schemas/order.json", grown());
    let running = folder.start();
    running.send("orders", SECOND);
    let check = || {
        let rows = folder.sql("select * from silver.orders order by _offset");
        assert_eq!((&rows[0]["coupon"], &rows[1]["coupon"]), (&Value::Null, &json!("X2")), "{rows:?}");
        assert_eq!(extra(&rows[0]), json!({"coupon": "X1", "gift": {"to": "you"}}));
        assert_eq!(extra(&rows[1]), json!({"gift": 1}));
    };
    check();
    assert_eq!(running.stop(), Some(0));
    check();
    folder.prove();
    // From the raw zone through today's definition, the old event has its column too.
    folder.ok(&["replay", "orders"]);
    let rows = folder.sql("select coupon from silver.orders order by _offset");
    assert_eq!(json!(rows), json!([{"coupon": "X1"}, {"coupon": "X2"}]));
    folder.prove();
}

#[test]
fn freeze_keeps_the_columns_and_the_value() {
    let folder = folder("freeze");
    folder.write("schemas/order.json", grown());
    let running = folder.start();
    running.send("orders", SECOND);
    running.send("orders", &order("3"));
    assert_eq!(running.stop(), Some(0));
    let rows = folder.sql("select * from silver.orders order by _offset");
    assert_eq!(rows[0].get("coupon"), None, "the table was changed");
    assert_eq!(extra(&rows[1]), json!({"coupon": "X2", "gift": 1}));
    assert_eq!(rows[2]["_extra"], Value::Null);
    folder.prove();
}

#[test]
fn reject_does_not_start_until_the_difference_is_resolved() {
    let folder = folder("reject");
    folder.write("schemas/order.json", grown());
    let (_, said) = refused(&folder, &["run", "--once"]);
    assert!(said.contains("coupon") && said.contains("silver/orders"), "{said}");
    folder.write("schemas/order.json", ORDER_SCHEMA);
    folder.ok(&["run", "--once"]);
    folder.prove();
}

#[test]
fn evolve_widens_a_type_and_keeps_old_rows() {
    let folder = folder("evolve");
    folder.write("schemas/order.json", ORDER_SCHEMA.replace("\"integer\"", "\"number\""));
    let output = folder.bourn(&["run", "--once"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        // An integer of 64 bits does not fit a double: refused, never rounded.
        assert!(said.contains("quantity"), "{said}");
        return;
    }
    let running = folder.start();
    running.send("orders", "{\"order_id\":\"2\",\"sku\":\"A\",\"quantity\":1.5}\n");
    let rows = folder.sql("select cast(quantity as double) as q from silver.orders order by _offset");
    assert_eq!(json!(rows), json!([{"q": 1.0}, {"q": 1.5}]));
    assert_eq!(running.stop(), Some(0));
    folder.prove();
}
