//! Steps that call what lies outside their stream, in the real binary: functions that are slow, choke or
//! answer in part, and an API that goes away and comes back. The ledger balances after each.

use crate::probe::get;
use crate::support::{Folder, Running, eventually};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};

const SCHEMA: &str = r#"{"type": "object", "required": ["order_id", "quantity"],
  "properties": {"order_id": {"type": "string"}, "quantity": {"type": "integer"}}}"#;

/// The pipeline with these steps between its events and its rows.
fn folder(steps: &str, handler: &str) -> Folder {
    let folder = Folder::empty();
    let definition = format!(
        "name: shop
streams:
  orders:
    schema: schemas/order.json
    sources: [{{http: {{}}}}]
    dedupe: {{key: order_id, window: 24h}}
{steps}    commit: {{every: 100ms, bytes: 1MB}}
functions:
  shape: {{runtime: python3, handler: handler.handler, timeout: 60s}}
"
    );
    folder.write("bourn.yaml", definition);
    folder.write("schemas/order.json", SCHEMA);
    folder.write("functions/shape/handler.py", handler);
    folder
}

/// The same function as a column's source, and as what makes the rows.
fn both_ways(more: &str) -> [(&'static str, String); 2] {
    [
        ("enrich", format!("    enrich: [{{function: {{name: shape, take: {{size: text}}, {more}}}}}]\n")),
        (
            "transform",
            format!(
                "    transform: {{function: {{name: shape, columns: {{order_id: text, size: text}}, {more}}}}}\n"
            ),
        ),
    ]
}

/// Lines with the quantities from 0 on; `name` makes their ids.
fn orders(name: &str, count: usize) -> String {
    (0..count).map(|at| format!("{{\"order_id\":\"{name}{at}\",\"quantity\":{at}}}\n")).collect()
}

/// Sends without waiting for more than that the events are durable.
fn send(running: &Running, body: &str) {
    let headers = [("content-type", "application/x-ndjson")];
    let (status, answer) = running.post("/v1/streams/orders", &headers, body.as_bytes());
    assert_eq!(status, 200, "{answer}");
}

/// Received, stored, duplicate, rejected once nothing is in flight.
fn settled(folder: &Folder) -> [u64; 4] {
    let mut ledger = Value::Null;
    eventually("every event has ended somewhere", || {
        ledger = folder.json(&["ledger", "--json"])["orders"].clone();
        ledger["in_flight"] == 0
    });
    ["received", "stored", "duplicate", "rejected"].map(|key| ledger[key].as_u64().expect("a count"))
}

/// Each order once, in silver or in the rejects.
fn each_once(folder: &Folder, rows: u64) {
    assert_eq!(folder.number("select count(*) from silver.orders"), rows);
    assert_eq!(folder.number("select count(distinct order_id) from silver.orders"), rows);
}

/// Tells in the file `asked` that it was called, then waits for as long as the file `closed` is there.
fn slow(folder: &Folder) -> String {
    let [asked, closed] = ["asked", "closed"].map(|name| folder.join(name).display().to_string());
    format!(
        "import os, time
def handler(event, context):
    with open('{asked}', 'a') as asked:
        asked.write('x')
    while os.path.exists('{closed}'):
        time.sleep(0.01)
    return {{'records': [dict(r['event'], size='s%d' % r['event']['quantity']) for r in event['records']]}}
"
    )
}

#[test]
fn killed_while_a_function_is_slow_nothing_is_lost_and_nothing_is_twice() {
    for (way, steps) in both_ways("batch: 40, in_flight: 2") {
        let folder = folder(&steps, "");
        folder.write("functions/shape/handler.py", slow(&folder));
        let asked = || std::fs::metadata(folder.join("asked")).map_or(0, |file| file.len());
        for (turn, open) in [("a", true), ("b", false), ("c", false)] {
            if !open {
                folder.write("closed", "");
            }
            let before = asked();
            let mut running = folder.start();
            send(&running, &orders(turn, 100));
            // Again: to the function they must be no news.
            send(&running, &orders("a", 10));
            eventually("the function is at work", || asked() > before);
            running.kill();
        }
        std::fs::remove_file(folder.join("closed")).expect("a file");
        let running = folder.start();
        assert_eq!(settled(&folder), [330, 300, 30, 0], "{way}");
        each_once(&folder, 300);
        assert_eq!(folder.number("select count(*) from silver.orders where size is null"), 0, "{way}");
        assert_eq!(running.stop(), Some(0));
        folder.prove();
    }
}

#[test]
fn a_poison_event_is_found_by_splitting_and_costs_only_itself() {
    let fails = [
        ("raises", "raise ValueError('thirteen is unlucky')", "thirteen is unlucky"),
        ("ends its process", "os._exit(3)", ""),
    ];
    for (name, failure, told) in fails {
        let handler = format!(
            "import os
def handler(event, context):
    if any(r['event']['quantity'] == 13 for r in event['records']):
        {failure}
    return {{'records': [dict(r['event'], size='fine') for r in event['records']]}}
"
        );
        for (way, steps) in both_ways("batch: 64, retries: 0") {
            let folder = folder(&steps, &handler);
            let running = folder.start();
            send(&running, &orders("a", 64));
            assert_eq!(settled(&folder), [64, 63, 0, 1], "{name}, {way}");
            let rejects = folder.sql("select reason, message, original from rejects.orders");
            assert_eq!(rejects[0]["reason"], "function", "{name}, {way}");
            assert!(rejects[0]["message"].as_str().is_some_and(|text| text.contains(told)), "{rejects:?}");
            assert!(
                rejects[0]["original"].as_str().is_some_and(|text| text.contains("\"a13\"")),
                "{rejects:?}"
            );
            each_once(&folder, 63);
            // Found by halves: 1 + 2 for each of six halvings, not one call for each of 64.
            assert!(folder.number("select count(*) from system.invocations") <= 13, "{name}, {way}");
            // Mended, it is put back and passes.
            assert_eq!(running.stop(), Some(0));
            let mended = handler.replace("== 13", "== -1");
            folder.write("functions/shape/handler.py", mended);
            let running = folder.start();
            assert_eq!(
                folder.json(&["rejects", "replay", "orders", "--json"])["accepted"],
                1,
                "{name}, {way}"
            );
            assert_eq!(settled(&folder), [64, 64, 0, 0], "{name}, {way}");
            each_once(&folder, 64);
            assert_eq!(running.stop(), Some(0));
            folder.prove();
        }
    }
}

#[test]
fn events_that_a_function_names_as_failed_are_tried_again_and_the_others_are_kept() {
    // Odd quantities fail; those that three divides only once.
    let handler = "
seen = {}
def handler(event, context):
    records, failed = [], []
    for record in event['records']:
        quantity, times = record['event']['quantity'], seen.get(record['offset'], 0)
        seen[record['offset']] = times + 1
        if quantity % 2 and (quantity % 3 or times == 0):
            failed.append({'itemIdentifier': str(record['offset']), 'errorMessage': 'odd: %d' % quantity})
        records.append(dict(record['event'], size='after %d' % times))
    return {'records': records, 'batchItemFailures': failed}
";
    for (way, steps) in both_ways("batch: 12, in_flight: 1, retries: 2") {
        let folder = folder(&steps, handler);
        let running = folder.start();
        send(&running, &orders("a", 12));
        assert_eq!(settled(&folder), [12, 8, 0, 4], "{way}");
        let rows = folder.sql("select order_id, size from silver.orders order by _offset");
        let rows: Vec<_> = rows.iter().map(|row| (row["order_id"].as_str(), row["size"].as_str())).collect();
        let expected = [0, 2, 3, 4, 6, 8, 9, 10].map(|at| (format!("a{at}"), format!("after {}", at % 2)));
        let expected: Vec<_> =
            expected.iter().map(|(id, size)| (Some(id.as_str()), Some(size.as_str()))).collect();
        assert_eq!(rows, expected, "{way}");
        let rejects = folder.sql("select reason, message from rejects.orders order by stream_offset");
        for (reject, quantity) in rejects.iter().zip([1, 5, 7, 11]) {
            assert_eq!(reject["reason"], "function", "{way}");
            let message = reject["message"].as_str().unwrap_or_default();
            assert!(message.contains(&format!("odd: {quantity}")), "{way}: {reject}");
        }
        assert_eq!(running.stop(), Some(0));
        folder.prove();
    }
}

/// An API that knows the tier of every order, as long as its status is 200.
struct Api {
    address: String,
    status: Arc<AtomicU16>,
    asked: Arc<AtomicUsize>,
}

impl Api {
    fn new(status: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let api = Self { address, status: Arc::new(AtomicU16::new(status)), asked: Arc::default() };
        let (status, asked) = (api.status.clone(), api.asked.clone());
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let (status, asked) = (status.clone(), asked.clone());
                // A client that goes away ends only its own connection.
                std::thread::spawn(move || drop(serve(socket, &status, &asked)));
            }
        });
        api
    }

    fn set(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn serve(mut socket: TcpStream, status: &AtomicU16, asked: &AtomicUsize) -> std::io::Result<()> {
    let mut lines = BufReader::new(socket.try_clone()?).lines();
    while let Some(first) = lines.next() {
        let first = first?;
        while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
        asked.fetch_add(1, Ordering::SeqCst);
        let id = first.split(' ').nth(1).and_then(|path| path.rsplit('/').next()).unwrap_or_default();
        let body = json!({"tier": format!("of {id}")}).to_string();
        let (status, length) = (status.load(Ordering::SeqCst), body.len());
        write!(socket, "HTTP/1.1 {status} Told\r\ncontent-length: {length}\r\n\r\n{body}")?;
    }
    Ok(())
}

/// The breaker as `/metrics` shows it: 0 closed, 2 open.
fn breaker(running: &Running) -> Option<String> {
    let shown = get(&running.http, "/metrics").body;
    let line = shown.lines().find(|line| line.starts_with("bourn_outbound_breaker_state{"))?;
    line.rsplit(' ').next().map(str::to_string)
}

#[test]
fn while_the_breaker_is_open_the_policy_decides_and_afterwards_the_api_is_asked_again() {
    const EVENTS: usize = 300;
    // Stored without a tier, and rejected, while the API is away.
    let cases = [("null", EVENTS, 0), ("reject", 0, EVENTS), ("wait", 0, 0)];
    for (policy, without, rejected) in cases {
        let api = Api::new(503);
        let steps = format!(
            "    enrich: [{{http: {{url: 'http://{}/orders/{{order_id}}', take: {{tier: text}}, concurrency: 2, retry: {{max: 0}}, breaker: {{failures: 3, open: 500ms}}, on_failure: '{policy}'}}}}]\n",
            api.address
        );
        let folder = folder(&steps, "");
        let running = folder.start();
        send(&running, &orders("away", EVENTS));
        eventually("the breaker is open", || breaker(&running).as_deref() == Some("2"));
        match policy {
            "wait" => {
                let ledger = folder.json(&["ledger", "--json"])["orders"].clone();
                assert_eq!(ledger["in_flight"], EVENTS, "{ledger}");
            }
            _ => assert_eq!(settled(&folder), [EVENTS, without, 0, rejected].map(|n| n as u64), "{policy}"),
        }
        // Which spares the API: it was not asked about each.
        assert!(api.asked() < EVENTS / 2, "{policy}: asked {} times", api.asked());

        api.set(200);
        let mut sent = 0;
        eventually("the API is asked again", || {
            sent += 1;
            send(&running, &orders(&format!("back{sent}-"), 1));
            settled(&folder);
            folder.number("select count(*) from silver.orders where tier like 'of back%'") > 0
        });
        eventually("the breaker is closed", || {
            sent += 1;
            send(&running, &orders(&format!("back{sent}-"), 1));
            settled(&folder);
            breaker(&running).as_deref() == Some("0")
        });
        let back = match policy {
            "reject" => folder.json(&["rejects", "replay", "orders", "--json"])["accepted"].clone(),
            _ => json!(0),
        };
        let total = (EVENTS + sent) as u64;
        let [received, stored, duplicate, refused] = settled(&folder);
        assert_eq!([received, duplicate, refused], [total, 0, 0], "{policy}: {back} put back");
        assert_eq!(stored, total, "{policy}");
        each_once(&folder, total);
        let told = folder.sql(
            "select case when tier is null then 'none' when tier = 'of ' || order_id then 'its own' else 'wrong' end as tier, count(*) as n from silver.orders where order_id like 'away%' group by 1",
        );
        let told: BTreeMap<_, _> =
            told.iter().map(|row| (row["tier"].as_str().unwrap_or_default(), row["n"].as_u64())).collect();
        let expected = if policy == "null" { "none" } else { "its own" };
        assert_eq!(told, BTreeMap::from([(expected, Some(EVENTS as u64))]), "{policy}");
        assert_eq!(running.stop(), Some(0));
        folder.prove();
    }
}
