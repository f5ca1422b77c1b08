//! Torn tails, damage in the middle, foreign files, and the disk's errors one by one.

use crate::kit::{draft, lines, options, read_all};
use crate::sim::SimFiles;
use bourn_event::{Ack, AppendError, Log};
use bourn_queue::{LogError, LogOptions, LogReader, Piece, StreamLog, fsck_with, scan};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A closed log of `frames` frames with three events each.
fn written(frames: u64) -> (SimFiles, LogOptions, PathBuf) {
    let files = SimFiles::new(9);
    let (options, _) = options(Arc::new(files.clone()), Path::new("/"));
    let (log, _) = StreamLog::open(options.clone()).expect("opens");
    for frame in 0..frames {
        log.append_now(draft(&lines(frame * 3, 3), "http", None), Ack::Durable).expect("taken");
    }
    drop(log);
    let path = options.dir.join("00000000000000000000.jsonl.zst");
    (files, options, path)
}

fn positions(bytes: &[u8]) -> Vec<(usize, usize)> {
    let pieces = scan(bytes).expect("version 1");
    let frames = pieces.into_iter().filter_map(|piece| match piece {
        Piece::Frame(frame) => Some((frame.at as usize, (frame.at + frame.len) as usize)),
        _ => None,
    });
    frames.collect()
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_to_the_last_whole_frame() {
    let (files, options, path) = written(3);
    let whole = files.bytes(&path);
    let (start, end) = positions(&whole)[2];
    for cut in start..end {
        for zeros in [0, 300] {
            let mut torn = whole[..cut].to_vec();
            torn.resize(cut + zeros, 0);
            files.replace(&path, torn.clone());
            let (log, recovery) = StreamLog::open(options.clone()).expect("opens");
            assert_eq!((recovery.end, recovery.holes.len()), (6, 0), "cut at {cut}");
            match recovery.cut {
                Some(cut) => {
                    let kept = files.bytes(&cut.kept_in);
                    assert_eq!(kept, torn[start..start + kept.len()]);
                }
                None => assert!(torn[start..].iter().all(|byte| *byte == 0), "cut at {cut}"),
            }
            let receipt = log.append_now(draft(&lines(6, 1), "http", None), Ack::Durable).expect("taken");
            assert_eq!(receipt.first_offset, 6);
            drop(log);
            assert_eq!(read_all(&options).len(), 7);
        }
    }
}

#[test]
fn damage_in_the_middle_is_a_named_hole_and_deletes_nothing() {
    let (files, options, path) = written(4);
    let whole = files.bytes(&path);
    let (start, end) = positions(&whole)[1];
    for at in start..end {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x40;
        files.replace(&path, damaged.clone());
        let (log, recovery) = StreamLog::open(options.clone()).expect("opens");
        let holes: Vec<_> = recovery.holes.iter().map(|hole| (hole.from, hole.to)).collect();
        assert_eq!((recovery.end, holes, recovery.cut.is_none()), (12, vec![(3, 6)], true), "byte {at}");
        assert_eq!(log.stats().received.values().sum::<u64>(), 12);
        drop(log);
        let all = read_all(&options);
        let missing: Vec<_> = (0..12).filter(|offset| all[*offset].is_none()).collect();
        assert_eq!(missing, [3, 4, 5]);
        assert_eq!(files.bytes(&path), damaged, "nothing changed");
        let report = fsck_with(&files, &options.dir, &options.sealed_dir).expect("fsck reads on");
        assert_eq!((report.holes.len(), report.frames, report.events), (1, 3, 9));
        assert!(serde_json::to_string(&report).is_ok_and(|json| json.contains("\"from\":3")));
    }
}

#[test]
fn a_bound_of_all_segments_lost_with_the_state_folder_is_no_loss() {
    let (files, options, path) = written(2);
    let (log, _) = StreamLog::open(options.clone()).expect("opens");
    log.seal().expect("sealed");
    drop(log);
    assert!(!files.paths().contains(&path), "moved to the raw zone");
    let newest = options.dir.join("00000000000000000006.jsonl.zst");
    bourn_queue::FileSystem::remove(&files, &newest).expect("there");
    let (log, recovery) = StreamLog::open(options.clone()).expect("opens");
    assert_eq!((recovery.end, recovery.segments), (6, 1));
    log.append_now(draft(&lines(6, 1), "http", None), Ack::Durable).expect("taken");
    assert_eq!(read_all(&options).len(), 7);
}

#[test]
fn other_versions_and_other_logs_are_refused_by_name() {
    let (files, options, path) = written(1);
    let whole = files.bytes(&path);
    let mut newer = whole.clone();
    let snapshot = &mut newer[bourn_queue::format::OPENING.len()..];
    snapshot[16] = 2;
    let len = 8 + u32::from_le_bytes([snapshot[4], snapshot[5], snapshot[6], snapshot[7]]) as usize;
    let checksum = xxhash(&snapshot[..len - 8]);
    snapshot[len - 8..len].copy_from_slice(&checksum.to_le_bytes());
    files.replace(&path, newer);
    let error = StreamLog::open(options.clone()).map(drop).expect_err("a newer version");
    assert!(matches!(&error, LogError::Version { found: 2, .. }), "{error}");
    assert!(error.to_string().contains("00000000000000000000.jsonl.zst"), "{error}");
    assert!(LogReader::open_with(options.files.clone(), &options.dir, &options.sealed_dir).is_err());
    files.replace(&path, whole);
    let foreign = LogOptions { name: "clicks/events".into(), ..options };
    let error = StreamLog::open(foreign).map(drop).expect_err("another log");
    assert!(matches!(&error, LogError::Foreign { .. }), "{error}");
}

fn xxhash(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    let (files, options, _) = written(1);
    let (log, _) = StreamLog::open(options.clone()).expect("opens");
    files.set_full(true);
    let refused = log.append_now(draft(&lines(100, 50), "http", None), Ack::Durable);
    assert!(matches!(refused, Err(AppendError::Unavailable(_))), "{refused:?}");
    assert_eq!(log.end(), 3);
    assert!(log.failing().is_some());
    log.maintain().expect("upkeep");
    assert!(log.failing().is_some(), "the disk is full still");
    files.set_full(false);
    log.maintain().expect("upkeep");
    assert_eq!(log.failing(), None, "there is room again, though nobody wrote");
    log.append_now(draft(&lines(3, 1), "http", None), Ack::Durable).expect("space returned");
    drop(log);
    let all: Vec<_> = read_all(&options).into_iter().flatten().collect();
    assert_eq!(all, lines(0, 4));
}

#[test]
fn a_failed_sync_abandons_the_segment_and_loses_nothing() {
    let (files, options, _) = written(1);
    let (log, _) = StreamLog::open(options.clone()).expect("opens");
    files.fail_syncs(1);
    log.append_now(draft(&lines(3, 2), "http", None), Ack::Durable).expect("written again elsewhere");
    assert_eq!(log.stats().segments.last().map(|segment| segment.first_offset), Some(3));
    files.fail_syncs(9);
    let refused = log.append_now(draft(&lines(90, 1), "http", None), Ack::Durable);
    assert!(matches!(refused, Err(AppendError::Unavailable(_))), "{refused:?}");
    files.fail_syncs(0);
    log.append_now(draft(&lines(5, 1), "http", None), Ack::Durable).expect("the disk is well again");
    files.lose_power();
    drop(log);
    let (log, _) = StreamLog::open(options.clone()).expect("opens");
    assert_eq!(log.end(), 6);
    let all: Vec<_> = read_all(&options).into_iter().flatten().collect();
    assert_eq!(all, lines(0, 6));
}

/// A process killed between creating a segment and syncing its name left a file that the next
/// process wrote to; power loss then took the name, and everything acknowledged with it.
#[test]
fn a_segment_that_a_killed_process_began_survives_power_loss() {
    for operations in 0..30 {
        let files = SimFiles::new(operations);
        let (options, _) = options(Arc::new(files.clone()), Path::new("/"));
        files.die_after(operations);
        if let Ok((log, _)) = StreamLog::open(options.clone()) {
            drop(log.append_now(draft(&lines(50, 1), "http", None), Ack::Durable));
        }
        files.kill();
        let (log, _) = StreamLog::open(options.clone()).expect("opens");
        let receipt = log.append_now(draft(&lines(0, 1), "http", None), Ack::Durable).expect("taken");
        files.lose_power();
        drop(log);
        let all = read_all(&options);
        let line = all.get(receipt.first_offset as usize).cloned().flatten();
        assert_eq!(line, lines(0, 1).pop(), "killed after {operations} operations");
    }
}
