//! Any bytes at all taken for a segment: the pieces cover them without gap or overlap, and
//! scanning them neither panics nor runs on.

#![no_main]

use bourn_queue::scan;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(pieces) = scan(bytes) else { return };
    let end = pieces.iter().fold(0, |at, piece| {
        assert!(piece.end() > at, "a piece has bytes");
        piece.end()
    });
    assert_eq!(end, bytes.len() as u64);
});
