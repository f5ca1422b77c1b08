//! Disks that are full: nothing acknowledged is lost (G1), whoever sends is told, and work goes on
//! when there is room again.

use crate::probe::{SmallDisk, get, order, send};
use crate::support::{Dice, Folder, ORDERS, Running, eventually};
use std::collections::HashSet;

/// The orders pipeline with small segments and as little dedupe memory as may be.
fn folder() -> Folder {
    let folder = Folder::orders();
    let small = ORDERS
        .replace("window: 24h}", "window: 24h, memory: 1MiB}")
        .replace("    commit:", "    log: {segment: 1MiB, budget: 256MiB}\n    commit:");
    folder.write("bourn.yaml", small);
    folder
}

/// Orders that do not compress well; every third goes to the rejects, every seventh is filtered.
fn batch(dice: &mut Dice, ids: std::ops::Range<u64>) -> String {
    ids.map(|id| {
        let noise: String = (0..6).map(|_| format!("{:016x}", dice.next())).collect();
        let (sku, quantity) = (if id % 7 == 0 { "test" } else { "A" }, if id % 3 == 0 { 13 } else { 1 });
        format!("{{\"order_id\":\"{id}\",\"sku\":\"{sku}\",\"quantity\":{quantity},\"note\":\"{noise}\"}}\n")
    })
    .collect()
}

fn stored(folder: &Folder) -> HashSet<String> {
    let rows = folder.sql("select order_id from silver.orders");
    let ids: HashSet<String> =
        rows.iter().filter_map(|row| row["order_id"].as_str().map(str::to_string)).collect();
    assert_eq!(ids.len(), rows.len(), "an order is stored twice");
    ids
}

/// Sends batches until one is refused; what refused it. Adds the acknowledged ids.
fn send_until_refused(
    running: &Running,
    dice: &mut Dice,
    next: &mut u64,
    acknowledged: &mut Vec<u64>,
) -> crate::probe::Answer {
    for _ in 0..2000 {
        let ids = *next..*next + 500;
        *next = ids.end;
        let answer = send(&running.http, "orders", batch(dice, ids.clone()).as_bytes());
        if answer.status != 200 {
            return answer;
        }
        acknowledged.extend(ids);
    }
    panic!("a full disk refused nothing");
}

fn assert_stored(folder: &Folder, acknowledged: &[u64]) {
    let stored = stored(folder);
    for id in acknowledged.iter().filter(|id| *id % 7 != 0 && *id % 3 != 0) {
        assert!(stored.contains(&id.to_string()), "order {id} is lost");
    }
}

fn is_ready(running: &Running) -> bool {
    get(&running.http, "/readyz").status == 200
}

#[test]
fn a_full_disk_refuses_events_says_so_and_recovers() {
    let folder = folder();
    let Some(disk) = SmallDisk::mount(&folder.join(".bourn"), 128) else { return };
    let (mut dice, mut next, mut acknowledged) = (Dice(0xd15c), 0, Vec::new());
    let running = folder.start();
    for _ in 0..3 {
        disk.fill();
        let refused = send_until_refused(&running, &mut dice, &mut next, &mut acknowledged);
        assert_eq!(refused.status, 503, "{refused:?}");
        assert_eq!(refused.header("content-type"), Some("application/problem+json"));
        assert!(refused.header("retry-after").is_some(), "{refused:?}");
        let problem = refused.json();
        assert_eq!(problem["type"], "/problems/log-unavailable", "{problem}");
        let detail = problem["detail"].as_str().unwrap_or_default().to_lowercase();
        assert!(detail.contains("space") || detail.contains("full"), "{detail}");
        assert_eq!(get(&running.http, "/healthz").status, 200);
        let ready = get(&running.http, "/readyz");
        assert_eq!(ready.status, 503, "{ready:?}");
        assert!(ready.body.contains("orders"), "{ready:?}");

        disk.free();
        eventually("events are taken again", || {
            let ids = next..next + 10;
            next = ids.end;
            let answer = send(&running.http, "orders", batch(&mut dice, ids.clone()).as_bytes());
            if answer.status == 200 {
                acknowledged.extend(ids);
            }
            answer.status == 200
        });
        eventually("it is ready again", || is_ready(&running));
    }
    let last = running.send("orders", &order("last"));
    assert_eq!(last["accepted"], 1, "{last}");
    assert_eq!(running.stop(), Some(0));
    assert_stored(&folder, &acknowledged);
    folder.prove();
}

#[test]
fn a_kill_on_a_full_disk_loses_nothing() {
    let folder = folder();
    let Some(disk) = SmallDisk::mount(&folder.join(".bourn"), 128) else { return };
    let (mut dice, mut next, mut acknowledged) = (Dice(0x0ff), 0, Vec::new());
    let mut running = folder.start();
    disk.fill();
    send_until_refused(&running, &mut dice, &mut next, &mut acknowledged);
    running.kill();
    // Whether it starts without room is its choice; it must not hurt what is there.
    let again = folder.bourn(&["run", "--once"]);
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(!said.contains("panicked"), "{said}");
    assert!(again.status.success() || said.contains("space"), "{said}");
    disk.free();
    let running = folder.start();
    running.send("orders", &order("last"));
    assert_eq!(running.stop(), Some(0));
    assert_stored(&folder, &acknowledged);
    folder.prove();
}

#[test]
fn a_full_lake_delays_commits_and_nothing_else() {
    let folder = folder();
    let Some(disk) = SmallDisk::mount(&folder.join("lake"), 64) else { return };
    let (mut dice, mut acknowledged) = (Dice(0x1a4e), Vec::new());
    let running = folder.start();
    running.send("orders", &order("first"));
    disk.fill();
    // More than two segments, so that sealed ones want to go to the full disk too.
    for round in 0..20 {
        let ids = round * 1000..(round + 1) * 1000;
        let answer = send(&running.http, "orders", batch(&mut dice, ids.clone()).as_bytes());
        assert_eq!(answer.status, 200, "{answer:?}");
        acknowledged.extend(ids);
    }
    eventually("it says that the table waits", || !is_ready(&running));
    let ready = get(&running.http, "/readyz");
    assert!(ready.body.contains("orders") && ready.body.to_lowercase().contains("space"), "{ready:?}");
    let answer = send(&running.http, "orders", order("meanwhile").as_bytes());
    assert_eq!(answer.status, 200, "{answer:?}");

    disk.free();
    eventually("it is ready again", || is_ready(&running));
    eventually("everything is committed", || folder.json(&["ledger", "--json"])["orders"]["in_flight"] == 0);
    folder.prove();
    assert_eq!(running.stop(), Some(0));
    assert_stored(&folder, &acknowledged);
    folder.prove();
}
