//! What checking and decoding the click event costs, by share of invalid events. Prints figures.

use bourn_decode::{EventSchema, Options};
use bourn_event::click::{ClickEvents, SCHEMA};
use std::hint::black_box;
use std::time::Instant;

const EVENTS: usize = 100_000;
const BATCH: usize = 1_000;
const ROUNDS: usize = 15;

fn main() {
    let schema = EventSchema::compile_text(SCHEMA, Options::default()).expect("the click schema compiles");
    println!(
        "{:>9} {:>10} {:>10} {:>8} {:>8} {:>8}",
        "invalid", "ns/event", "MB/s", "refused", "judged", "bytes"
    );
    for invalid_percent in [0, 1, 10, 50, 100] {
        run(&schema, "", invalid_percent);
    }
    let unique = SCHEMA.replace("\"type\":\"array\"", "\"type\":\"array\",\"uniqueItems\":true");
    let judged = EventSchema::compile_text(&unique, Options::default()).expect("compiles");
    run(&judged, " all judged", 1);
}

fn run(schema: &EventSchema, note: &str, invalid_percent: u32) {
    let mut text = Vec::new();
    ClickEvents::new(1, invalid_percent, 1).write_many(EVENTS, &mut text);
    let events: Vec<&[u8]> = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    let mut best = f64::INFINITY;
    let mut decoder = schema.decoder();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for batch in events.chunks(BATCH) {
            for event in batch {
                let _ = black_box(decoder.push(event));
            }
            black_box(decoder.finish());
        }
        best = best.min(start.elapsed().as_secs_f64());
    }
    let stats = decoder.stats();
    let rounds = ROUNDS as u64;
    println!(
        "{invalid_percent:>8}% {:>10.0} {:>10.0} {:>8} {:>8} {:>8.1}{note}",
        best * 1e9 / EVENTS as f64,
        text.len() as f64 / best / 1e6,
        stats.refused / rounds,
        stats.judged / rounds,
        text.len() as f64 / EVENTS as f64,
    );
}
