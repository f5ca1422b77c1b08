//! Lookups that change while the pipeline runs.

use crate::probe::request;
use crate::support::{Folder, ORDERS, Running, eventually};

/// Sends an order and tells which category it got.
fn category(running: &Running, id: &mut u64, sku: &str) -> String {
    *id += 1;
    running.send("orders", &format!("{{\"order_id\":\"{id}\",\"sku\":\"{sku}\",\"quantity\":1}}\n"));
    // Over HTTP: a verb is a process, and many are asked.
    let statement = format!("select category from silver.orders where order_id = '{id}'");
    let headers = [("content-type", "text/plain")];
    let answer = request(&running.http, "POST", "/v1/sql", &headers, statement.as_bytes());
    assert_eq!(answer.status, 200, "{answer:?}");
    let category = answer.body.split("\"category\":\"").nth(1).and_then(|rest| rest.split('"').next());
    category.unwrap_or("none").to_string()
}

#[test]
fn a_lookup_that_changes_is_used_for_the_next_events() {
    let folder = Folder::orders();
    let running = folder.start();
    let mut id = 0;
    assert_eq!(category(&running, &mut id, "A"), "tea");
    assert_eq!(category(&running, &mut id, "C"), "none");
    folder.write("lookups/products.csv", "sku,category\nA,coffee\nB,cups\nC,spoons\n");
    eventually("the new rows are used", || category(&running, &mut id, "A") == "coffee");
    assert_eq!(category(&running, &mut id, "C"), "spoons");
    assert_eq!(folder.number("select count(*) from lookups.products"), 3);

    // As editors and deployments do it: another file is moved over it.
    folder.write("lookups/new", "sku,category\nA,cocoa\n");
    std::fs::rename(folder.join("lookups/new"), folder.join("lookups/products.csv")).expect("a file");
    eventually("the newest rows are used", || category(&running, &mut id, "A") == "cocoa");
    assert_eq!(category(&running, &mut id, "C"), "none");
    assert_eq!(running.stop(), Some(0));
    folder.prove();
}

#[test]
fn a_lookup_that_breaks_keeps_its_old_rows() {
    let broken: [(&str, Option<&[u8]>); 5] = [
        ("not UTF-8", Some(b"sku,category\nA,\xff\xfe\n")),
        ("a torn line", Some(b"sku,category\nA,coffee\nB")),
        ("no key", Some(b"article,category\nA,coffee\n")),
        ("no column", Some(b"sku,kind\nA,coffee\n")),
        ("gone", None),
    ];
    for (name, content) in broken {
        let folder = Folder::orders();
        let running = folder.start();
        let mut id = 0;
        assert_eq!(category(&running, &mut id, "A"), "tea", "{name}");
        match content {
            Some(content) => folder.write("lookups/products.csv", content),
            None => std::fs::remove_file(folder.join("lookups/products.csv")).expect("a file"),
        }
        // Longer than the upkeep takes to look: it looks at least twice while these are answered.
        for _ in 0..12 {
            assert_eq!(category(&running, &mut id, "A"), "tea", "{name}");
        }
        // Verbs that ask the process do not need the file either.
        assert!(folder.number("select count(*) from silver.orders") > 0, "{name}");
        assert!(folder.json(&["ledger", "--json"])["orders"]["received"].is_u64(), "{name}");
        folder.write("lookups/products.csv", "sku,category\nA,mended\n");
        eventually("the mended rows are used", || category(&running, &mut id, "A") == "mended");
        assert_eq!(running.stop(), Some(0));
        folder.prove();
    }
}

#[test]
fn read_verbs_of_a_stopped_pipeline_need_only_what_they_read() {
    let folder = Folder::orders();
    let visits = "  visits:\n    schema: schemas/visit.json\n    sources: [{http: {}}]\n    commit: {every: 200ms, bytes: 1MB}\nlookups:";
    folder.write("bourn.yaml", ORDERS.replace("lookups:", visits));
    folder.write("schemas/visit.json", r#"{"type": "object", "properties": {"page": {"type": "string"}}}"#);
    let running = folder.start();
    running.send("orders", "{\"order_id\":\"1\",\"sku\":\"A\",\"quantity\":1}\n{\"order_id\":\"2\"}\n");
    running.send("visits", "{\"page\":\"/\"}\n");
    assert_eq!(running.stop(), Some(0));

    // Each file, whether a table of bronze is left without it, and the rest that is read.
    for (gone, bronze) in
        [("lookups/products.csv", true), ("transforms/orders.sql", true), ("schemas/order.json", false)]
    {
        let content = std::fs::read(folder.join(gone)).expect("a file");
        std::fs::remove_file(folder.join(gone)).expect("a file");
        for (statement, rows) in [
            ("select count(*) from silver.visits", 1),
            ("select count(*) from silver.orders where category = 'tea'", 1),
            ("select count(*) from raw.orders", 1),
            ("select count(*) from rejects.orders", 1),
            ("select count(*) from system.streams where stored = 1", 2),
        ] {
            assert_eq!(folder.number(statement), rows, "{gone}: {statement}");
        }
        assert_eq!(folder.json(&["ledger", "--json"])["orders"]["rejected"], 1, "{gone}");
        assert_eq!(
            folder.json(&["rejects", "ls", "orders", "--json"]).as_array().map(Vec::len),
            Some(1),
            "{gone}"
        );
        folder.prove();
        let refused = match (gone, bronze) {
            (_, false) => "select * from bronze.orders",
            ("lookups/products.csv", _) => "select * from lookups.products",
            _ => "select nothing from silver.orders",
        };
        let output = folder.bourn(&["sql", refused]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && told.contains(gone), "{gone}: {told}");
        assert_eq!(folder.bourn(&["sql", "select * from bronze.orders"]).status.success(), bronze, "{gone}");
        // Who runs it needs all of it.
        let output = folder.bourn(&["run", "--once"]);
        assert!(!output.status.success(), "{gone}");
        folder.write(gone, content);
    }
    assert_eq!(folder.start().stop(), Some(0));
    folder.prove();
}
