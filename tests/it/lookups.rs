//! Lookups that change while the pipeline runs.

use crate::probe::request;
use crate::support::{Folder, Running, eventually};

/// Sends an order and tells which category it got.
fn category(running: &Running, id: &mut u64, sku: &str) -> String {
    *id += 1;
    running.send("orders", &format!("{{\"order_id\":\"{id}\",\"sku\":\"{sku}\",\"quantity\":1}}\n"));
    // Over HTTP: the verbs read the definition first, and refuse one whose lookup is gone.
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
