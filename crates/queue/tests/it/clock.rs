//! The wall clock jumps: an operator sets it, or a machine wakes up.

use crate::kit::{draft, lines, options, read_all};
use crate::sim::SimFiles;
use bourn_event::{Ack, Micros};
use bourn_queue::{Item, LogReader, StreamLog};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const YEAR: Micros = 365 * 86_400_000_000;

#[test]
fn a_clock_that_jumps_costs_no_event_and_keeps_times_of_receipt_in_order() {
    for jumps in [[-10, 20, 0], [10, -20, 10], [-1, -1, -1], [50, 50, 50]] {
        let (mut options, clock) = options(Arc::new(SimFiles::new(5)), Path::new("/"));
        options.segment_age = Duration::from_secs(60);
        options.retention_age = Some(Duration::from_secs(3_600));
        let (log, _) = StreamLog::open(options.clone()).expect("opens");
        let consumer = log.consumer("refine", 0);
        for (n, jump) in jumps.into_iter().enumerate() {
            log.append_now(draft(&lines(n as u64, 1), "http", None), Ack::Durable).expect("taken");
            clock.advance(jump * YEAR);
            log.maintain().expect("kept up");
        }
        log.append_now(draft(&lines(3, 1), "http", None), Ack::Durable).expect("taken");
        log.maintain().expect("kept up");
        let all: Vec<_> = lines(0, 4).into_iter().map(Some).collect();
        assert_eq!(read_all(&options), all, "{jumps:?}: what a consumer needs is kept");
        let reader = LogReader::open_with(options.files.clone(), &options.dir, &options.sealed_dir);
        let mut last = Micros::MIN;
        for item in reader.expect("readable").frames(0, 4) {
            let Item::Events(delivery) = item.expect("whole") else { panic!("{jumps:?}: a hole") };
            assert!(delivery.received_at >= last, "{jumps:?}");
            last = delivery.received_at;
        }
        drop(log);
        let (log, _) = StreamLog::open(options.clone()).expect("opens again");
        assert_eq!(log.stats().end, 4, "{jumps:?}");
        drop(consumer);
    }
}

#[test]
fn a_clock_that_was_ahead_and_is_right_again_still_ends_segments() {
    let (mut options, clock) = options(Arc::new(SimFiles::new(6)), Path::new("/"));
    options.segment_age = Duration::from_secs(60);
    let (log, _) = StreamLog::open(options).expect("opens");
    let mut next = 0;
    let mut append = || {
        log.append_now(draft(&lines(next, 1), "http", None), Ack::Durable).expect("taken");
        next += 1;
    };
    append();
    clock.advance(YEAR);
    append();
    log.maintain().expect("kept up");
    clock.advance(-YEAR);
    let before = log.stats().segments.len();
    append();
    log.seal().expect("sealed on demand, whatever the clock says");
    append();
    assert!(log.stats().segments.len() > before);
}
