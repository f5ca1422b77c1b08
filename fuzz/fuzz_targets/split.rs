//! Any bytes split without a panic, and alike whether they come at once or bit by bit.
#![no_main]

use bourn_ingest::split::{Shape, Splitter};
use libfuzzer_sys::fuzz_target;

fn pieces(shape: Shape, body: &[u8], step: usize) -> Vec<Vec<u8>> {
    let mut splitter = Splitter::new(shape, 1 << 10);
    let (mut start, mut end, mut found) = (0, step.min(body.len()), Vec::new());
    loop {
        match splitter.next(&body[start..end], end == body.len()) {
            Some(piece) => {
                found.push(body[start..end][piece.range].to_vec());
                start += piece.next;
            }
            None if end == body.len() => return found,
            None => {
                start += splitter.settle();
                end = (end + step).min(body.len());
            }
        }
    }
}

fuzz_target!(|body: &[u8]| {
    let whole = pieces(Shape::Lines, body, body.len().max(1));
    for step in [1, 7] {
        assert_eq!(pieces(Shape::Lines, body, step), whole);
    }
    // The first stretch decides whether JSON comes as lines, so only absence of panics is claimed.
    for step in [1, 7, body.len().max(1)] {
        pieces(Shape::Json, body, step);
    }
});
