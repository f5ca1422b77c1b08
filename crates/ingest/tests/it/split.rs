//! Splitting.

use bourn_ingest::split::{PieceKind, Shape, Splitter, fold};
use proptest::prelude::*;

const MAX: usize = 64;

/// `"text"` for an event, `!text` for what cannot be one, `>` for one that is too large.
fn pieces(shape: Shape, body: &[u8]) -> Vec<String> {
    let mut splitter = Splitter::new(shape, MAX);
    let (mut at, mut found) = (0, Vec::new());
    while let Some(piece) = splitter.next(&body[at..], true) {
        let bytes = &body[at..][piece.range];
        let text = String::from_utf8_lossy(bytes);
        found.push(match piece.kind {
            PieceKind::Event { newlines: true } => String::from_utf8_lossy(&fold(bytes)).into_owned(),
            PieceKind::Event { newlines: false } => text.into_owned(),
            PieceKind::TooLarge => ">".into(),
            PieceKind::Broken(_) => format!("!{text}"),
            PieceKind::Rest(_) => format!("!!{text}"),
        });
        at += piece.next;
    }
    found
}

/// The same with windows that grow by `step`.
fn pieces_stepwise(shape: Shape, body: &[u8], step: usize) -> Vec<Vec<u8>> {
    let mut splitter = Splitter::new(shape, usize::MAX);
    let (mut start, mut end, mut found) = (0, 0, Vec::new());
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

#[test]
fn bodies_split_as_the_table_says() {
    use Shape::{Json, Lines};
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(MAX));
    let large_in_array = format!("[{large},{{}}]");
    let large_line = format!("{large}\n{{}}\n");
    let cases: &[(Shape, &str, &[&str])] = &[
        (Json, "", &[]),
        (Json, " \n\t", &[]),
        (Json, "{}", &["{}"]),
        (Json, "\u{feff}{\"a\":1}", &["{\"a\":1}"]),
        (Json, "  {\"a\":1}  ", &["{\"a\":1}"]),
        (Json, "{\n \"a\": 1,\n \"b\": \"}{\"\n}", &["{  \"a\": 1,  \"b\": \"}{\" }"]),
        (Json, "{\"a\":1}{\"a\":2}", &["{\"a\":1}", "{\"a\":2}"]),
        (Json, "{\"a\":1}\n{\"a\":2}\n", &["{\"a\":1}", "{\"a\":2}"]),
        (Json, "{\"a\":1}\n{\"a\"\n{\"a\":3}", &["{\"a\":1}", "{\"a\"", "{\"a\":3}"]),
        (Json, "{\"a\":1", &["!!{\"a\":1"]),
        (Json, "hello\n{\"a\":1}", &["!hello", "{\"a\":1}"]),
        (Json, "[]", &[]),
        (Json, "[ ]\n", &[]),
        (Json, "[{\"a\":1}, {\"a\":[2,3]}]", &["{\"a\":1}", "{\"a\":[2,3]}"]),
        (Json, "[{\"a\":\"],[\\\"\"},1,\"x\"]", &["{\"a\":\"],[\\\"\"}", "1", "\"x\""]),
        (Json, "[{\"a\":1},,{\"a\":2}]", &["{\"a\":1}", "!!,{\"a\":2}]"]),
        (Json, "[{\"a\":1},]", &["{\"a\":1}", "!!]"]),
        (Json, "[{\"a\":1},{\"a\":", &["{\"a\":1}", "!!{\"a\":"]),
        (Json, "[{\"a\":1}] x", &["{\"a\":1}", "!!x"]),
        (Json, &large_in_array, &[">", "{}"]),
        (Lines, "{\"a\":1}\r\n\n  \n{\"a\":2}", &["{\"a\":1}", "{\"a\":2}"]),
        (Lines, "\u{feff}{}\n", &["{}"]),
        (Lines, "[1,2]\nnull\n", &["[1,2]", "null"]),
        (Lines, &large_line, &[">", "{}"]),
    ];
    for (shape, body, expected) in cases {
        assert_eq!(pieces(*shape, body.as_bytes()), *expected, "{shape:?} {body:?}");
    }
}

#[test]
fn line_feeds_in_strings_stay_for_the_decoder_to_refuse() {
    assert_eq!(fold(b"{\n\"a\":\"x\ny\\\"\n\"\n}"), b"{ \"a\":\"x\ny\\\"\n\" }");
}

#[test]
fn depth_costs_no_stack() {
    let deep = "[".repeat(1_000_000);
    assert_eq!(pieces(Shape::Json, deep.as_bytes()).len(), 1);
    let deep = format!("{{\"a\":{}", "{\"a\":".repeat(100_000));
    assert_eq!(pieces(Shape::Json, deep.as_bytes()).len(), 1);
}

fn event() -> impl Strategy<Value = String> {
    const TEXT: &str = "[ -~äé]{0,12}";
    prop::collection::vec((TEXT, TEXT), 0..4).prop_map(|fields| {
        let object: serde_json::Map<_, _> =
            fields.into_iter().map(|(name, value)| (name, value.into())).collect();
        serde_json::Value::Object(object).to_string()
    })
}

proptest! {
    #[test]
    fn what_was_joined_is_split_again(events in prop::collection::vec(event(), 0..8), step in 1usize..40) {
        let expected: Vec<Vec<u8>> = events.iter().map(|event| event.clone().into_bytes()).collect();
        let bodies = [
            (Shape::Lines, events.join("\n")),
            (Shape::Lines, events.join("\r\n\n") + "\n"),
            (Shape::Json, events.join("\n")),
            (Shape::Json, events.join("")),
            (Shape::Json, format!("[{}]", events.join(" ,\n"))),
        ];
        for (shape, body) in bodies {
            prop_assert_eq!(&pieces_stepwise(shape, body.as_bytes(), body.len().max(1)), &expected, "{}", body);
            prop_assert_eq!(&pieces_stepwise(shape, body.as_bytes(), step), &expected, "{} by {}", body, step);
        }
    }

    #[test]
    fn any_bytes_are_split_without_a_panic(body in prop::collection::vec(any::<u8>(), 0..200), step in 1usize..9) {
        for shape in [Shape::Json, Shape::Lines] {
            pieces(shape, &body);
            pieces_stepwise(shape, &body, step);
        }
    }
}
