//! File sources of the real binary: every event exactly once, whatever is killed or broken.

use crate::probe::{files, order};
use crate::support::{Dice, Folder, ORDERS, eventually};
use serde_json::json;
use std::io::Write;
use std::time::Duration;

fn orders(ids: std::ops::Range<u64>) -> String {
    ids.map(order).collect()
}

fn with_source(source: &str) -> Folder {
    let folder = Folder::orders();
    folder.write("bourn.yaml", ORDERS.replace("{path: inbox/*.jsonl*}", source));
    folder
}

fn gzip(text: &str) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(text.as_bytes()).expect("memory");
    writer.finish().expect("memory")
}

fn stored(folder: &Folder) -> u64 {
    folder.number("select count(*) from silver.orders")
}

#[test]
fn a_file_is_taken_exactly_once_however_often_its_reader_is_killed() {
    let kills: u64 = std::env::var("BOURN_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(8);
    let seed: u64 = std::env::var("BOURN_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(0xf11e);
    println!("seed {seed}, {kills} kills");
    const COUNT: u64 = 120_000;
    let mut dice = Dice(seed);
    // Without dedupe, so that a line that is read twice is seen.
    let folder = Folder::orders();
    let plain = ORDERS.replace("    dedupe: {key: order_id, window: 24h}\n", "");
    folder.write("bourn.yaml", plain);
    folder.write("inbox/a.jsonl", orders(0..COUNT / 3));
    folder.write("inbox/b.jsonl.gz", gzip(&orders(COUNT / 3..2 * COUNT / 3)));
    let last = orders(2 * COUNT / 3..COUNT);
    folder.write("inbox/c.jsonl.zst", zstd::encode_all(last.as_bytes(), 1).expect("memory"));
    for _ in 0..kills {
        let mut running = folder.start();
        std::thread::sleep(Duration::from_millis(dice.below(700)));
        running.kill();
        let rows = folder.sql("select count(*) as n, count(distinct order_id) as d from silver.orders");
        assert_eq!(rows[0]["n"], rows[0]["d"], "an order is stored twice");
    }
    let ledger = folder.json(&["run", "--once", "--json"]);
    assert_eq!(ledger["orders"]["received"], COUNT, "{ledger}");
    assert_eq!(ledger["orders"]["stored"], COUNT, "{ledger}");
    assert_eq!(folder.number("select count(distinct order_id) from silver.orders"), COUNT);
    folder.prove();
}

#[test]
fn a_file_that_grows_is_followed_also_across_restarts() {
    let folder = with_source("{path: inbox/*.jsonl, every: 100ms}");
    folder.write("inbox/a.jsonl", "");
    let path = folder.join("inbox/a.jsonl");
    let grow = |text: &str| {
        let file = std::fs::OpenOptions::new().append(true).open(&path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).expect("a file");
    };
    let mut running = folder.start();
    for round in 0..6_u64 {
        let text = orders(round * 100..(round + 1) * 100);
        // In the middle of a line, and on.
        let (first, second) = text.split_at(text.len() / 2 + 7);
        grow(first);
        if round == 2 {
            running.kill();
            running = folder.start();
        }
        grow(second);
        eventually("what was added is stored", || stored(&folder) == (round + 1) * 100);
        if round == 4 {
            assert_eq!(running.stop(), Some(0));
            running = folder.start();
        }
    }
    assert_eq!(running.stop(), Some(0));
    let ledger = folder.json(&["ledger", "--json"]);
    assert_eq!((&ledger["orders"]["received"], &ledger["orders"]["duplicate"]), (&json!(600), &json!(0)));
    folder.prove();
}

#[test]
fn every_format_is_taken_and_moved_to_the_done_folder() {
    let folder = with_source("{path: inbox/*, done: done}");
    let rows = "select 'p' || value as order_id, 'A' as sku, cast(1 as bigint) as quantity from generate_series(1, 10)";
    folder.write("lake/README", "");
    let parquet = folder.bourn(&["sql", rows, "--format", "parquet"]);
    assert!(parquet.status.success(), "{}", String::from_utf8_lossy(&parquet.stderr));
    let csv = "order_id,sku,quantity\nc1,A,1\nc2,\"B\",2\n";
    let json = r#"[{"order_id":"j1","sku":"A","quantity":1},{"order_id":"j2","sku":"A","quantity":2}]"#;
    folder.write("inbox/a.parquet", parquet.stdout);
    folder.write("inbox/b.csv", csv);
    folder.write("inbox/c.csv.gz", gzip(&csv.replace("c1", "c3").replace("c2", "c4")));
    folder.write("inbox/d.json", json);
    folder.write("inbox/e.ndjson", orders(0..10));
    folder.write("inbox/f.jsonl.gz", [gzip(&orders(10..15)), gzip(&orders(15..20))].concat());
    folder.write("inbox/g.jsonl.zst", zstd::encode_all(orders(20..30).as_bytes(), 1).expect("memory"));
    folder.write("inbox/h.jsonl", "");
    let ledger = folder.json(&["run", "--once", "--json"]);
    assert_eq!(ledger["orders"]["stored"], 10 + 2 + 2 + 2 + 10 + 10 + 10, "{ledger}");
    assert_eq!(ledger["orders"]["rejected"], 0, "{ledger}");
    assert_eq!(files(&folder.join("inbox"), ""), Vec::<std::path::PathBuf>::new());
    assert_eq!(files(&folder.join("done"), "").len(), 8);
    // The same content again is the same file; other content under the same name is another.
    folder.write("inbox/e.ndjson", orders(0..10));
    folder.write("inbox/b.csv", csv.replace("c1", "c5").replace("c2", "c6"));
    let ledger = folder.json(&["run", "--once", "--json"]);
    assert_eq!(ledger["orders"]["stored"], 48, "{ledger}");
    assert_eq!(ledger["orders"]["duplicate"], 0, "{ledger}");
    assert_eq!(files(&folder.join("done"), "").len(), 10);
    folder.prove();
}

#[test]
fn a_broken_file_is_one_reject_and_the_next_goes_on() {
    let folder = with_source("{path: inbox/*}");
    let mut torn = gzip(&orders(0..1000));
    torn.truncate(torn.len() / 2);
    // Without a checksum zstd itself may not notice.
    let mut writer = zstd::Encoder::new(Vec::new(), 1).expect("memory");
    writer.include_checksum(true).expect("memory");
    writer.write_all(orders(2000..3000).as_bytes()).expect("memory");
    let mut flipped = writer.finish().expect("memory");
    let middle = flipped.len() / 2;
    flipped[middle..middle + 16].fill(0xaa);
    folder.write("inbox/a.jsonl.gz", &torn);
    folder.write("inbox/b.jsonl.zst", &flipped);
    folder.write("inbox/c.parquet", b"PAR1 but nothing of it PAR1");
    folder.write("inbox/d.csv", "order_id,order_id\n1,2\n");
    folder.write("inbox/e.jsonl.gz", b"no gzip at all");
    folder.write("inbox/z.jsonl", orders(5000..5010));
    for _ in 0..2 {
        let ledger = folder.json(&["run", "--once", "--json"]);
        let rejects =
            folder.sql("select message, _source from rejects.orders where reason = 'file' order by message");
        assert_eq!(rejects.len(), 5, "{rejects:?}");
        for (reject, name) in
            rejects.iter().zip(["a.jsonl.gz", "b.jsonl.zst", "c.parquet", "d.csv", "e.jsonl.gz"])
        {
            assert!(reject.to_string().contains(name), "{name} is not named: {reject}");
        }
        assert_eq!(
            folder.number("select count(*) from silver.orders where order_id >= '5000'"),
            10,
            "{ledger}"
        );
        assert_eq!(
            ledger["orders"]["rejected"].as_u64(),
            Some(folder.number("select count(*) from rejects.orders"))
        );
        folder.prove();
    }
}
