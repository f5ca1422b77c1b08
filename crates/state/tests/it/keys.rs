//! The encodings of keys are format v1: these bytes may only be added to.

use bourn_state::{Key, KeyKind};

fn text(value: &str) -> String {
    value.to_owned()
}

#[track_caller]
fn check(key: Key, number: u16, encoded: &[u8]) {
    assert_eq!(key.kind().number(), number);
    assert_eq!(key.encode().escape_ascii().to_string(), encoded.escape_ascii().to_string());
    assert_eq!(Key::decode(encoded).as_ref(), Ok(&key));
}

#[test]
fn encodings_are_golden() {
    let stream = || text("orders");
    check(Key::FormatVersion, 0, b"\0\0");
    check(
        Key::FinishedFile { stream: stream(), identity: text("f\0\u{e4}") },
        1,
        b"\0\x01orders\0\x01f\0\xff\xc3\xa4\0\x01",
    );
    check(Key::TableGeneration { stream: stream() }, 2, b"\0\x02orders\0\x01");
    check(
        Key::LakeUpload { stream: stream(), first_offset: 258 },
        3,
        b"\0\x03orders\0\x01\0\0\0\0\0\0\x01\x02",
    );
    check(
        Key::ResolvedReject { stream: stream(), offset: u64::MAX },
        4,
        b"\0\x04orders\0\x01\xff\xff\xff\xff\xff\xff\xff\xff",
    );
    check(Key::Replay { stream: text("") }, 5, b"\0\x05\0\x01");
    check(Key::PurgedRejects { stream: stream() }, 6, b"\0\x06orders\0\x01");
    check(Key::Schedule { name: text("nightly") }, 240, b"\0\xf0nightly\0\x01");
    check(Key::Run { id: text("20260101") }, 241, b"\0\xf120260101\0\x01");
    check(Key::TriggerOffset { stream: stream() }, 242, b"\0\xf2orders\0\x01");
    check(Key::Backfill { name: text("b") }, 243, b"\0\xf3b\0\x01");
    check(Key::BusEvent { id: text("e") }, 244, b"\0\xf4e\0\x01");
    check(
        Key::PendingInvocation { function: text("score"), sequence: 1 },
        220,
        b"\0\xdcscore\0\x01\0\0\0\0\0\0\0\x01",
    );
    check(
        Key::DeadInvocation { function: text("score"), sequence: 2 },
        221,
        b"\0\xddscore\0\x01\0\0\0\0\0\0\0\x02",
    );
    check(
        Key::KeyedItem { partition: text("carts/Sa"), sort: text("N25001") },
        260,
        b"\x01\x04carts/Sa\0\x01N25001\0\x01",
    );
    check(Key::KeyedRequest { id: text("r1") }, 261, b"\x01\x05r1\0\x01");
    check(Key::QueryExecution { id: text("q1") }, 262, b"\x01\x06q1\0\x01");
    check(Key::QueryRows { id: text("q1"), page: 1 }, 263, b"\x01\x07q1\0\x01\0\0\0\0\0\0\0\x01");
    check(Key::WorkflowMachine { name: text("m") }, 200, b"\0\xc8m\0\x01");
    check(Key::WorkflowName { machine: text("m"), name: text("n") }, 203, b"\0\xcbm\0\x01n\0\x01");
    check(
        Key::WorkflowFrame { execution: 1, frame: 2, part: 3 },
        205,
        b"\0\xcd\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03",
    );
    check(
        Key::WorkflowIndex { machine: text("m"), status: 1, execution: 2 },
        209,
        b"\0\xd1m\0\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02",
    );
    check(Key::WorkflowCounter, 217, b"\0\xd9");
    check(Key::WorkflowOutcome { execution: 1 }, 218, b"\0\xda\0\0\0\0\0\0\0\x01");
    check(Key::WorkflowClock, 219, b"\0\xdb");
}

#[test]
fn numbers_are_unique() {
    let mut numbers: Vec<u16> = KeyKind::ALL.into_iter().map(KeyKind::number).collect();
    numbers.dedup();
    assert_eq!(numbers.len(), KeyKind::ALL.len());
}

#[test]
fn strange_bytes_are_refused() {
    let cases: [&[u8]; 7] =
        [b"", b"\0", b"\x7f\x7f", b"\0\x02orders", b"\0\x02a\0\x02", b"\0\x02\xff\0\x01", b"\0\0more"];
    for bytes in cases {
        assert!(Key::decode(bytes).is_err(), "{}", bytes.escape_ascii());
    }
}

#[test]
fn encodings_sort_as_their_parts() {
    let of = |stream: &str, offset| Key::ResolvedReject { stream: text(stream), offset };
    let sorted = [of("", 9), of("a", 1), of("a", 256), of("a\0", 0), of("a\0b", 0), of("ab", 0), of("b", 0)];
    for pair in sorted.windows(2) {
        assert!(pair[0].encode() < pair[1].encode(), "{} before {}", pair[0], pair[1]);
    }
}
