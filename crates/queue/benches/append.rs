//! CPU and wall time of appending 426-byte events, durable, in drafts of 1,000 and of 1. Prints
//! figures; asserts nothing.

use bourn_event::{Ack, Draft, Log, Span};
use bourn_queue::{Item, LogOptions, LogReader, StreamLog};
use std::time::Instant;

fn event(n: u64) -> String {
    let mixed = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    format!(
        "{{\"event_id\":\"{mixed:016x}{:016x}\",\"occurred_at\":\"2026-11-21T06:{:02}:{:02}.{:03}Z\",\
         \"type\":\"click\",\"user_id\":{},\"session\":\"{:012x}\",\"page\":{{\"url\":\"https://shop.example/p/{}\",\
         \"referrer\":\"https://search.example/?q={}\",\"title\":\"Product {}\"}},\"device\":{{\"os\":\"android\",\
         \"browser\":\"firefox\",\"width\":{},\"height\":{}}},\"country\":\"DE\",\"price\":{}.{:02},\"quantity\":{},\
         \"campaign\":\"autumn\",\"ok\":true}}\n",
        !mixed,
        n / 60 % 60,
        n % 60,
        n % 1000,
        mixed % 100_000,
        mixed >> 16,
        mixed % 5_000,
        mixed % 777,
        mixed % 5_000,
        360 + mixed % 1_000,
        640 + mixed % 1_000,
        mixed % 500,
        mixed % 100,
        mixed % 9
    )
}

/// CPU time of the process so far, in µs.
fn cpu_us() -> f64 {
    // SAFETY: `getrusage` fills the zeroed struct it is given.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    };
    let micros = |time: libc::timeval| time.tv_sec as f64 * 1e6 + time.tv_usec as f64;
    micros(usage.ru_utime) + micros(usage.ru_stime)
}

fn run(per_draft: u64, drafts: u64, tasks: u64) -> Result<(), Box<dyn std::error::Error>> {
    let root = tempfile::tempdir_in(std::env::var("BOURN_BENCH_DIR").unwrap_or_else(|_| ".".into()))?;
    let (dir, sealed_dir) = (root.path().join("log"), root.path().join("raw"));
    let (log, _) = StreamLog::open(LogOptions::new("bench/events", &dir, &sealed_dir))?;
    let payload: bytes::Bytes = (0..per_draft).map(event).collect::<String>().into_bytes().into();
    let draft = Draft { spans: vec![Span::new("http", per_draft as u32)], payload, columns: None };
    let bytes = draft.payload.len() as f64 / per_draft as f64;
    let (started, cpu) = (Instant::now(), cpu_us());
    let refused: u64 = std::thread::scope(|scope| {
        let append = || (0..drafts / tasks).filter(|_| log.append_now(draft.clone(), Ack::Durable).is_err());
        let threads: Vec<_> = (0..tasks).map(|_| scope.spawn(move || append().count() as u64)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or(1)).sum()
    });
    let (wall, cpu) = (started.elapsed().as_secs_f64(), cpu_us() - cpu);
    let events = log.end() as f64;
    log.close();
    println!(
        "append {per_draft:>5}/draft x{tasks:<3} {bytes:.0} B/event: {:.3} us CPU/event, {:.0} events/s, \
         {:.0} drafts/s, {refused} refused, ratio {:.3}",
        cpu / events,
        events / wall,
        drafts as f64 / wall,
        log.stats().bytes as f64 / (events * bytes)
    );
    let (started, cpu) = (Instant::now(), cpu_us());
    let reader = LogReader::open(&dir, &sealed_dir)?;
    let (opened, mut read) = (started.elapsed().as_secs_f64(), 0u64);
    let cpu_opened = cpu_us();
    for item in reader.frames(0, reader.end()) {
        if let Item::Events(delivery) = item? {
            read += u64::from(delivery.count);
        }
    }
    println!(
        "  open {:.1} ms ({:.0} us CPU); read {:.3} us CPU/event, {read} events",
        opened * 1e3,
        cpu_opened - cpu,
        (cpu_us() - cpu_opened) / read as f64
    );
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    run(1_000, 2_000, 8)?;
    run(1, 40_000, 64)
}
