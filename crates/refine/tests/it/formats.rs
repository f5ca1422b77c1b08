//! Golden files: what an older bourn wrote is read by this one.

use bourn_refine::{Index, IndexOptions};
use std::path::Path;

fn key(n: u64) -> u128 {
    (u128::from(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)) << 64)
        | u128::from(n.wrapping_mul(0xbf58_476d_1ce4_e5b9) | 1)
}

const NAME: &str = "00000000000000000000-00000000000000000300.run";

#[test]
#[ignore = "writes the golden run of the present version; only for a new version"]
fn write_the_golden_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.keep();
    println!("{}", dir.display());
    let options = IndexOptions { dir, window: 1_000_000, memory_bytes: 1 << 20, fingerprint: 7 };
    let mut index = Index::open(options, 0).expect("opened");
    let keys: Vec<u128> = (0..300).map(key).collect();
    index.judge(&keys, |row| row as u64, 5, |_| true, &mut Vec::new()).expect("judged");
    index.judged(300, 5);
    index.settled(300).expect("settled");
    index.checkpoint().expect("written");
}

#[test]
fn a_run_of_format_v1_is_read() {
    let golden = Path::new("tests/formats/v1");
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::copy(golden.join(NAME), folder.path().join(NAME)).expect("the golden run");
    let options = IndexOptions {
        dir: folder.path().to_owned(),
        window: 1_000_000,
        memory_bytes: 1 << 20,
        fingerprint: 7,
    };
    let mut index = Index::open(options, 300).expect("opened");
    assert_eq!(index.rebuild_from(), 300);
    let keys: Vec<u128> = (0..310).map(key).collect();
    let mut duplicates = Vec::new();
    index.judge(&keys, |row| 300 + row as u64, 6, |_| true, &mut duplicates).expect("judged");
    assert_eq!(duplicates, (0..300).map(|n| (n as u32, n)).collect::<Vec<_>>());
}
