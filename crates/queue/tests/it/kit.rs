//! What the tests share: drafts, options, reading everything back.

use bourn_event::{Draft, ManualClock, Micros, Offset, Producer, Span};
use bourn_queue::{FileSystem, Item, LogOptions, LogReader};
use std::path::Path;
use std::sync::Arc;

pub const NOW: Micros = 1_795_243_458_000_000;

pub fn draft(lines: &[String], source: &str, producer: Option<(&str, u64)>) -> Draft {
    let mut payload = Vec::new();
    for line in lines {
        payload.extend_from_slice(line.as_bytes());
        payload.push(b'\n');
    }
    let producer = producer.map(|(id, sequence)| Producer { id: id.into(), sequence });
    let spans = vec![Span { source: source.into(), producer, count: lines.len() as u32 }];
    Draft { spans, payload: payload.into(), columns: None }
}

pub fn lines(from: u64, count: u64) -> Vec<String> {
    (from..from + count).map(|n| format!("{{\"n\":{n}}}")).collect()
}

pub fn options(files: Arc<dyn FileSystem>, root: &Path) -> (LogOptions, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(NOW));
    let mut options = LogOptions::new("orders/events", root.join("log"), root.join("raw"));
    options.clock = Arc::clone(&clock) as _;
    options.files = files;
    (options, clock)
}

/// Every offset of the log: its line, or `None` in a hole. Checks that items meet without gaps.
pub fn read_all(options: &LogOptions) -> Vec<Option<String>> {
    let reader = LogReader::open_with(Arc::clone(&options.files), &options.dir, &options.sealed_dir)
        .expect("the log can be read");
    assert_eq!(reader.received().values().sum::<u64>(), reader.end(), "received adds up to the end");
    let mut all = Vec::new();
    for item in reader.frames(0, Offset::MAX) {
        put(&mut all, item.expect("frames can be read"));
    }
    assert_eq!(all.len() as u64, reader.end());
    all
}

pub fn put(all: &mut Vec<Option<String>>, item: Item) {
    assert_eq!(item.first_offset(), all.len() as u64, "items follow each other");
    match item {
        Item::Hole { from, to, .. } => {
            assert!(from < to, "a hole has offsets");
            all.resize(to as usize, None);
        }
        Item::Events(delivery) => {
            let payload = delivery.payload.expect("read from disk or appended without columns");
            let text = std::str::from_utf8(&payload).expect("JSON is UTF-8");
            let lines: Vec<_> = text.lines().map(|line| Some(line.to_owned())).collect();
            assert_eq!(lines.len() as u32, delivery.count);
            assert_eq!(delivery.spans.iter().map(|span| span.count).sum::<u32>(), delivery.count);
            all.extend(lines);
        }
    }
}
