//! Random actions on a faulty file system against a simple model: acknowledged events stay at
//! their offsets, refused ones never appear, nothing appears twice. `BOURN_SEEDS=n` runs more,
//! `BOURN_SEED=n` only that one.

use crate::kit::{draft, lines, options, put, read_all};
use crate::sim::{Rng, SimFiles};
use bourn_event::{Ack, AppendError, Log, ManualClock, Receipt};
use bourn_queue::{LogOptions, StreamLog, fsck_with};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

struct World {
    rng: Rng,
    files: SimFiles,
    options: LogOptions,
    clock: Arc<ManualClock>,
    log: Option<StreamLog>,
    /// Acknowledged lines by offset.
    acked: BTreeMap<u64, String>,
    /// Refused while the disk could still take a cut: may never appear.
    refused: BTreeSet<String>,
    line_next: u64,
    sequences: [u64; 3],
    /// The disk fails so that a refused draft may come back after a loss of power.
    is_lax: bool,
    seals: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng(seed);
        let files = SimFiles::new(rng.next());
        let (mut options, clock) = options(Arc::new(files.clone()), Path::new("/"));
        options.segment_bytes = 300 + rng.below(6_000);
        options.segment_age = Duration::from_secs(60);
        files.set_crosses_devices(rng.chance(20));
        Self {
            rng,
            files,
            options,
            clock,
            log: None,
            acked: BTreeMap::new(),
            refused: BTreeSet::new(),
            line_next: 0,
            sequences: [0; 3],
            is_lax: false,
            seals: 0,
        }
    }

    fn open(&mut self) -> &StreamLog {
        if self.log.is_none() {
            let (log, recovery) = StreamLog::open(self.options.clone()).expect("the log opens");
            let acked_end = self.acked.keys().last().map_or(0, |last| last + 1);
            assert!(recovery.end >= acked_end, "{} acknowledged, {} found", acked_end, recovery.end);
            self.is_lax = false;
            self.log = Some(log);
        }
        self.log.as_ref().expect("just opened")
    }

    fn fresh(&mut self) -> Vec<String> {
        let count = 1 + self.rng.below(20);
        let lines = lines(self.line_next, count);
        self.line_next += count;
        lines
    }

    fn judge(&mut self, lines: Vec<String>, result: Result<Receipt, AppendError>) {
        match result {
            Ok(receipt) => {
                assert_eq!(receipt.repeated, 0);
                assert_eq!(receipt.end - receipt.first_offset, lines.len() as u64);
                for (at, line) in lines.into_iter().enumerate() {
                    let before = self.acked.insert(receipt.first_offset + at as u64, line);
                    assert_eq!(before, None, "an offset is given once");
                }
            }
            Err(_) if self.is_lax => {}
            Err(_) => self.refused.extend(lines),
        }
    }

    fn append(&mut self) {
        self.open();
        let lines = self.fresh();
        let producer = self.rng.below(4) as usize;
        let ids = ["a", "b", "c"];
        let at = ids.get(producer).map(|id| {
            self.sequences[producer] += 1;
            (*id, self.sequences[producer])
        });
        let first = self.open().append_now(draft(&lines, "http", at), Ack::Durable);
        let is_retried = at.is_some() && first.is_ok() && self.rng.chance(30);
        self.judge(lines.clone(), first);
        if is_retried {
            match self.open().append_now(draft(&lines, "http", at), Ack::Durable) {
                Ok(again) => assert_eq!(again.repeated, lines.len() as u32, "a retry is not stored"),
                Err(error) => panic!("a retry writes nothing and cannot fail: {error}"),
            }
        }
    }

    /// Several drafts at once, so that groups have several frames.
    fn append_group(&mut self) {
        self.open();
        let drafts: Vec<_> = (0..2 + self.rng.below(6)).map(|_| self.fresh()).collect();
        let log = self.log.as_ref().expect("open");
        let results: Vec<_> = std::thread::scope(|scope| {
            let run = |lines: &Vec<String>| log.append_now(draft(lines, "files:0", None), Ack::Durable);
            let threads: Vec<_> = drafts.iter().map(|lines| scope.spawn(move || run(lines))).collect();
            threads.into_iter().map(|thread| thread.join().expect("appending does not panic")).collect()
        });
        for (lines, result) in drafts.into_iter().zip(results) {
            self.judge(lines, result);
        }
    }

    fn crash(&mut self) {
        self.open();
        self.is_lax = true;
        self.files.die_after(self.rng.below(12));
        self.append_group();
        self.log = None;
        if self.rng.chance(70) {
            self.files.lose_power()
        } else {
            self.files.kill()
        }
        self.open();
        self.check();
    }

    fn full_disk(&mut self) {
        self.open();
        self.files.set_full(true);
        self.append();
        self.append_group();
        self.files.set_full(false);
        let lines = self.fresh();
        let result = self.open().append_now(draft(&lines, "http", None), Ack::Durable);
        assert!(result.is_ok(), "the log recovers when space returns: {result:?}");
        self.judge(lines, result);
    }

    fn failing_syncs(&mut self) {
        self.open();
        let count = 1 + self.rng.below(4) as u32;
        self.is_lax |= count > 1;
        self.files.fail_syncs(count);
        self.append_group();
        self.files.fail_syncs(0);
        self.append();
    }

    /// What is there is what the model says.
    fn check(&mut self) {
        let all = read_all(&self.options);
        let mut seen = BTreeSet::new();
        for (offset, line) in all.iter().enumerate() {
            if let Some(expected) = self.acked.get(&(offset as u64)) {
                assert_eq!(line.as_ref(), Some(expected), "offset {offset} was acknowledged");
            }
            if let Some(line) = line {
                assert!(!self.refused.contains(line), "{line} was refused and is at {offset}");
                assert!(seen.insert(line.clone()), "{line} is there twice");
            }
        }
        let log = self.open();
        let (mut tail, mut tailed) = (log.subscribe(0), Vec::new());
        while tail.position() < log.end() {
            let item = tail.next_blocking().expect("the tail can read").expect("the log is open");
            put(&mut tailed, item);
        }
        assert_eq!(tailed, all[..tailed.len()], "tail and reader agree");
    }

    fn act(&mut self) {
        match self.rng.below(100) {
            0..45 => self.append(),
            45..60 => self.append_group(),
            60..68 => self.crash(),
            68..74 => self.full_disk(),
            74..80 => self.failing_syncs(),
            80..85 => {
                self.seals += 1;
                self.open().seal().expect("a healthy disk seals");
            }
            85..90 => {
                self.clock.advance(self.rng.below(90_000_000) as i64 - 20_000_000);
                self.open().maintain().expect("a healthy disk can be kept up");
            }
            90..95 => {
                self.log = None;
            }
            _ => self.check(),
        }
    }

    /// One flipped bit costs no more than one frame's events and never changes one.
    fn flip(&mut self) {
        self.log = None;
        let before = read_all(&self.options);
        let paths = self.files.paths();
        let segments: Vec<_> = paths.iter().filter(|path| path.to_string_lossy().ends_with(".zst")).collect();
        let path = segments[self.rng.below(segments.len() as u64) as usize];
        let mut bytes = self.files.bytes(path);
        if bytes.is_empty() {
            return;
        }
        let bit = self.rng.below(bytes.len() as u64 * 8) as usize;
        bytes[bit / 8] ^= 1 << (bit % 8);
        self.files.replace(path, bytes);
        let report = fsck_with(&*self.options.files, &self.options.dir, &self.options.sealed_dir)
            .expect("fsck reads on");
        assert!(!report.is_clean(), "fsck notices bit {bit} of {}", path.display());
        self.log = Some(StreamLog::open(self.options.clone()).expect("a flipped bit stops nobody").0);
        let after = read_all(&self.options);
        assert!(after.len() <= before.len());
        let mut lost = before.len() - after.len();
        for (offset, line) in after.iter().enumerate() {
            match line {
                Some(_) => assert_eq!(line, &before[offset], "offset {offset} is what it was"),
                None => lost += usize::from(before[offset].is_some()),
            }
        }
        assert!(lost <= 20, "{lost} events lost to one bit");
    }
}

#[test]
fn acknowledged_events_survive_and_refused_ones_never_appear() {
    let seeds = std::env::var("BOURN_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(200u64);
    let only = std::env::var("BOURN_SEED").ok().and_then(|n| n.parse().ok());
    for seed in only.map_or(0..seeds, |seed: u64| seed..seed + 1) {
        let run = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            for _ in 0..40 {
                world.act();
            }
            world.check();
            world.flip();
        });
        if let Err(panic) = run {
            eprintln!("failed with seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
