//! `kill -9` at random moments under load: nothing acknowledged is lost (G1), nothing is stored
//! twice (G3), and the ledger proves (G2).

use crate::support::{Dice, Folder, Running, post};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const WRITERS: u64 = 4;
const BATCH: u64 = 50;

/// Sends batches until told to stop; the ids of those that were acknowledged. A batch whose
/// connection broke is sent again to the next process under the same sequence.
struct Writer {
    id: u64,
    sequence: u64,
    acknowledged: Vec<u64>,
}

impl Writer {
    fn body(&self) -> String {
        let ids = self.sequence * BATCH..(self.sequence + 1) * BATCH;
        ids.map(|id| format!("{{\"order_id\":\"{}-{id}\",\"sku\":\"A\",\"quantity\":1}}\n", self.id))
            .collect()
    }

    fn run(&mut self, address: &str, stop: &AtomicBool, sent: &AtomicU64) {
        while !stop.load(Ordering::Relaxed) {
            let (producer, sequence) = (format!("w{}", self.id), self.sequence.to_string());
            let headers = [
                ("content-type", "application/x-ndjson"),
                ("bourn-producer", producer.as_str()),
                ("bourn-sequence", sequence.as_str()),
            ];
            match post(address, "/v1/streams/orders", &headers, self.body().as_bytes()) {
                Ok((200, answer)) => {
                    assert_eq!(answer["accepted"], BATCH, "{answer}");
                    self.acknowledged.extend(self.sequence * BATCH..(self.sequence + 1) * BATCH);
                    self.sequence += 1;
                    sent.fetch_add(1, Ordering::Relaxed);
                }
                Ok((503 | 429, _)) => std::thread::sleep(Duration::from_millis(5)),
                Ok((status, answer)) => panic!("{status}: {answer}"),
                // Killed: whether the batch is in is not known. It is sent again.
                Err(_) => return,
            }
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_when_killed() {
    let kills: u64 = std::env::var("BOURN_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(25);
    let seed: u64 = std::env::var("BOURN_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(0x5eed);
    println!("seed {seed}, {kills} kills");
    let mut dice = Dice(seed);
    let folder = Folder::orders();
    let mut writers: Vec<_> =
        (0..WRITERS).map(|id| Writer { id, sequence: 0, acknowledged: Vec::new() }).collect();
    for kill in 0..kills {
        if kill > 0 && kill % 100 == 0 {
            let acknowledged: usize = writers.iter().map(|writer| writer.acknowledged.len()).sum();
            println!("{kill} kills, {acknowledged} acknowledged");
        }
        let mut running = Running::start(folder.path(), &[]);
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (batches, pause) = (dice.below(60), Duration::from_micros(dice.below(5000)));
        std::thread::scope(|scope| {
            for writer in &mut writers {
                let (address, stop, sent) = (running.http.clone(), stop.clone(), sent.clone());
                scope.spawn(move || writer.run(&address, &stop, &sent));
            }
            while sent.load(Ordering::Relaxed) < batches {
                std::thread::yield_now();
            }
            std::thread::sleep(pause);
            running.kill();
            stop.store(true, Ordering::Relaxed);
        });
    }
    assert_eq!(folder.start().stop(), Some(0));
    folder.prove();
    let rows = folder.sql("select order_id from silver.orders");
    let stored: HashSet<&str> = rows.iter().filter_map(|row| row["order_id"].as_str()).collect();
    assert_eq!(stored.len(), rows.len(), "an order is stored twice");
    for writer in &writers {
        for id in &writer.acknowledged {
            assert!(
                stored.contains(format!("{}-{id}", writer.id).as_str()),
                "order {}-{id} is lost",
                writer.id
            );
        }
    }
    let offsets = folder.number("select count(distinct _offset) from silver.orders");
    assert_eq!(offsets, rows.len() as u64, "an offset is stored twice");
    let acknowledged: usize = writers.iter().map(|writer| writer.acknowledged.len()).sum();
    println!("{acknowledged} acknowledged, {} stored", rows.len());
    assert!(acknowledged > 0);
}
