//! G6: an event that a stage chokes on stops nobody, and a table that cannot be written slows only
//! its own stream.

use crate::probe::{get, order, send};
use crate::support::{Folder, ORDERS, eventually};
use serde_json::json;

/// The orders pipeline with a second stream beside it.
fn two_streams(log: &str) -> Folder {
    let folder = Folder::orders();
    let visits = format!(
        "  visits:\n    schema: schemas/visit.json\n    sources:\n      - http: {{}}\n    log: {log}\n    commit: {{every: 200ms, bytes: 1MB}}\nlookups:"
    );
    folder.write("bourn.yaml", ORDERS.replace("lookups:", &visits));
    folder.write(
        "schemas/visit.json",
        r#"{"type": "object", "required": ["page"], "properties": {"page": {"type": "string"}, "noise": {"type": "string"}}}"#,
    );
    folder
}

#[test]
fn half_of_all_events_being_poison_costs_only_them() {
    let folder = two_streams("{}");
    let running = folder.start();
    let orders: String = (0..4000)
        .map(|id| format!("{{\"order_id\":\"{id}\",\"sku\":\"A\",\"quantity\":{}}}\n", 13 - id % 2))
        .collect();
    let answer = running.send("orders", &orders);
    assert_eq!(answer["accepted"], 4000, "{answer}");
    running.send("visits", "{\"page\":\"/\"}\n");
    assert_eq!(folder.number("select count(*) from silver.orders"), 2000);
    assert_eq!(folder.number("select count(*) from rejects.orders where reason = 'transform'"), 2000);
    assert_eq!(folder.number("select count(*) from silver.visits"), 1);
    assert_eq!(get(&running.http, "/readyz").status, 200);
    assert_eq!(running.stop(), Some(0));
    folder.prove();
}

#[test]
fn functions_that_choke_reject_their_event_alone() {
    // Each fails, panics or asks for absurd memory on the quantity 13 alone.
    let cases = [
        ("division", "100 / (quantity - 13)"),
        ("cast", "cast(case when quantity = 13 then 'x' else '1' end as bigint)"),
        ("overflow", "quantity * (case when quantity = 13 then 9223372036854775807 else 1 end)"),
        ("repeat", "repeat(sku, case when quantity = 13 then 9223372036854775807 else 1 end)"),
        ("repeat, large", "length(repeat(sku, case when quantity = 13 then 100000000000 else 1 end))"),
        ("pattern", "regexp_like(sku, case when quantity = 13 then '(' else 'A' end)"),
        ("pad", "lpad(sku, case when quantity = 13 then 9223372036854775807 else 1 end, 'x')"),
        ("pad, large", "length(lpad(sku, case when quantity = 13 then 100000000000 else 1 end, 'x'))"),
        ("pad right", "length(rpad(sku, case when quantity = 13 then 9223372036854775800 else 1 end))"),
        ("character", "chr(case when quantity = 13 then -1 else 65 end)"),
        (
            "timestamp",
            "to_timestamp_seconds(case when quantity = 13 then 9223372036854775807 else 1 end) + interval '1 day'",
        ),
        ("date", "to_date(case when quantity = 13 then 'never' else '2026-01-01' end)"),
        ("factorial", "factorial(case when quantity = 13 then 1000 else 3 end)"),
        ("json", "json_get_int(case when quantity = 13 then '{' else '{\"a\":1}' end, 'a')"),
    ];
    for (name, expression) in cases {
        let folder = two_streams("{}");
        folder.write("transforms/orders.sql", format!("select order_id, {expression} as x from events\n"));
        let running = folder.start();
        let body = [
            order("before"),
            "{\"order_id\":\"poison\",\"sku\":\"A\",\"quantity\":13}\n".to_string(),
            order("behind"),
        ];
        let answer = running.send("orders", &body.concat());
        assert_eq!(answer["accepted"], 3, "{name}: {answer}");
        running.send("visits", "{\"page\":\"/\"}\n");
        running.send("orders", &order("later"));
        let rows =
            folder.sql("select order_id from silver.orders where order_id <> 'poison' order by _offset");
        assert_eq!(
            json!(rows),
            json!([{"order_id": "before"}, {"order_id": "behind"}, {"order_id": "later"}]),
            "{name}"
        );
        let accounted =
            "select (select count(*) from silver.orders) + (select count(*) from rejects.orders) as n";
        assert_eq!(folder.number(accounted), 4, "{name}");
        assert_eq!(folder.number("select count(*) from silver.visits"), 1, "{name}");
        assert_eq!(running.stop(), Some(0), "{name}");
        folder.prove();
    }
}

#[test]
fn a_table_that_cannot_be_written_slows_only_its_own_stream() {
    let folder = two_streams("{segment: 1MiB, budget: 2MiB, memory: 1MiB}");
    let running = folder.start();
    running.send("visits", "{\"page\":\"first\"}\n");
    eventually("the first visit is committed", || {
        folder.json(&["ledger", "--json"])["visits"]["in_flight"] == 0
    });
    let (table, aside) = (folder.join("lake/silver/visits"), folder.join("aside"));
    std::fs::rename(&table, &aside).expect("a table");
    std::fs::write(&table, b"not a folder").expect("a file");

    let mut dice = crate::support::Dice(0xdead);
    let (mut taken, mut refused) = (1_u64, None);
    for round in 0..4000_u64 {
        let lines: String = (0..100)
            .map(|visit| {
                let noise: String = (0..20).map(|_| format!("{:016x}", dice.next())).collect();
                format!("{{\"page\":\"{round}-{visit}\",\"noise\":\"{noise}\"}}\n")
            })
            .collect();
        let answer = send(&running.http, "visits", lines.as_bytes());
        if answer.status != 200 {
            refused = Some(answer);
            break;
        }
        taken += 100;
    }
    let refused = refused.expect("a budget that ends");
    assert_eq!(refused.status, 429, "{refused:?}");
    assert!(refused.header("retry-after").and_then(|s| s.parse::<u64>().ok()).is_some(), "{refused:?}");
    assert_eq!(refused.json()["type"], "/problems/busy", "{refused:?}");
    // What was stored before the refusal is told.
    taken += refused.json()["accepted"].as_u64().unwrap_or(0);
    eventually("it says which table waits", || {
        let ready = get(&running.http, "/readyz");
        ready.status == 503 && ready.body.contains("visits") && !ready.body.contains("orders")
    });
    for id in 0..10 {
        running.send("orders", &order(id));
    }
    assert_eq!(folder.number("select count(*) from silver.orders"), 10);

    std::fs::remove_file(&table).expect("a file");
    std::fs::rename(&aside, &table).expect("a table");
    eventually("it is ready again", || get(&running.http, "/readyz").status == 200);
    eventually("visits are taken again", || {
        send(&running.http, "visits", b"{\"page\":\"last\"}\n").status == 200
    });
    assert_eq!(running.stop(), Some(0));
    let stored = folder.number("select count(*) from silver.visits where page <> 'last'");
    assert_eq!(stored, taken);
    folder.prove();
}
