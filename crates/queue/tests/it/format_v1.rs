//! Golden files of format v1, and the tools that read a segment as it is.

use crate::kit::{draft, lines, options, read_all};
use bourn_event::{Ack, ManualClock};
use bourn_queue::{Piece, RealFiles, StreamLog, scan};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// Writes the golden segment's events and returns the sealed file.
fn write_segment(root: &Path) -> PathBuf {
    let (options, clock): (_, Arc<ManualClock>) = options(Arc::new(RealFiles), root);
    let (log, _) = StreamLog::open(options).expect("opens");
    log.append_now(draft(&lines(0, 3), "http", Some(("till-1", 41))), Ack::Durable).expect("taken");
    clock.advance(1_500_000);
    log.append_now(draft(&lines(3, 40), "files:0", None), Ack::Durable).expect("taken");
    log.seal().expect("sealed");
    log.stats().segments[0].path.clone()
}

fn golden() -> PathBuf {
    PathBuf::from("tests/formats/v1/events.jsonl.zst")
}

#[test]
fn the_golden_segment_is_written_to_the_byte() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let bytes = fs::read(write_segment(root.path())).expect("readable");
    assert!(bytes == fs::read(golden()).expect("the golden file is in the repository"));
}

#[test]
fn the_golden_segment_is_read() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let (options, _) = options(Arc::new(RealFiles), root.path());
    fs::create_dir_all(&options.dir).expect("writable");
    fs::copy(golden(), options.dir.join("00000000000000000000.jsonl.zst")).expect("copied");
    let all: Vec<_> = read_all(&options).into_iter().flatten().collect();
    assert_eq!(all, lines(0, 43));
    let pieces = scan(&fs::read(golden()).expect("readable")).expect("version 1");
    let [Piece::Snapshot { snapshot, .. }, Piece::Frame(first), Piece::Frame(second)] = &pieces[..] else {
        panic!("{pieces:?}");
    };
    assert_eq!((snapshot.name.as_str(), snapshot.first_offset), ("orders/events", 0));
    let producer = first.header.spans[0].producer.as_ref().expect("it had one");
    assert_eq!((producer.id.as_str(), producer.sequence), ("till-1", 41));
    assert_eq!((second.header.first_offset, second.header.count), (3, 40));
    assert_eq!(second.header.received_at - first.header.received_at, 1_500_000);
}

#[test]
fn zstdcat_and_python_read_a_sealed_segment_as_it_is() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let path = write_segment(root.path());
    let Ok(output) = Command::new("zstdcat").arg(&path).output() else {
        println!("skipped: zstdcat is not installed");
        return;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(text.lines().collect::<Vec<_>>(), lines(0, 43));
    let script = "import json,subprocess,sys\n\
        out=subprocess.run(['zstdcat',sys.argv[1]],check=True,capture_output=True).stdout\n\
        print(sum(json.loads(line)['n'] for line in out.splitlines()))";
    match Command::new("python3").args(["-c", script]).arg(&path).output() {
        Ok(output) => assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "903"),
        Err(error) => println!("skipped the Python half: {error}"),
    }
}
