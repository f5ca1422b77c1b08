//! Events that mean harm: each is refused with its reason, and the decoder goes on.

use crate::support::{compile, push, row};
use bourn_decode::{EventSchema, Options};
use bourn_event::RejectReason::{self, Parse, Schema, TooLarge, Type};
use serde_json::{Value, json};

fn schema() -> EventSchema {
    compile(&json!({
        "properties": {
            "s": {"type": "string"}, "i": {"type": "integer"}, "n": {"type": "number"}, "b": {"type": "boolean"},
            "o": {"type": "object", "properties": {"x": {"type": "string"}}},
            "l": {"type": "array", "items": {"type": "integer"}},
            "j": {}
        }
    }))
}

fn check(event: &[u8], reason: RejectReason, pointer: &str) {
    let shown = String::from_utf8_lossy(&event[..event.len().min(100)]);
    match push(&schema(), event) {
        Ok(_) => panic!("{shown} was taken"),
        Err(fault) => {
            assert_eq!((fault.reason, fault.pointer.as_str()), (reason, pointer), "{shown}: {fault:?}");
            assert!(fault.message.len() < 400, "{shown}: the message is long");
        }
    }
}

#[test]
fn what_is_no_json_object_is_a_parse_reject() {
    let events: [&[u8]; 30] = [
        b"",
        b" ",
        b"null",
        b"[]",
        b"1",
        b"\"s\"",
        b"{",
        b"}",
        b"{}{}",
        b"{} x",
        b"{,}",
        b"{\"s\"}",
        b"{\"s\":}",
        b"{\"s\":1,}",
        b"{s:1}",
        b"{'s':1}",
        b"\0",
        b"{\"s\":\"a\0b\"}",
        b"{\"s\":\"a\nb\"}",
        b"{\"s\":\"\\ud800\"}",
        b"{\"j\":\"\\udc00x\"}",
        b"{\"z\":[\"\\ud800\\u0061\"]}",
        b"{\"s\":\"\xff\"}",
        b"{\"s\":\"\xed\xa0\x80\"}",
        b"\xef\xbb\xbf{}",
        b"{\"i\":01}",
        b"{\"n\":1.}",
        b"{\"n\":NaN}",
        b"{\"b\":tru}",
        b"{\"j\":[1,]}",
    ];
    for event in events {
        check(event, Parse, "");
    }
}

#[test]
fn duplicate_keys_are_parse_rejects_wherever_they_are() {
    for (event, pointer) in [
        (r#"{"s":"a","s":"b"}"#, "/s"),
        (r#"{"s":"a","\u0073":"b"}"#, "/s"),
        (r#"{"q":1,"q":2}"#, "/q"),
        (r#"{"q":1,"\u0071":2}"#, "/q"),
        (r#"{"o":{"x":"a","x":"b"}}"#, "/o/x"),
        (r#"{"j":[{"a":1,"b":2,"a":3}]}"#, "/j/0/a"),
        (r#"{"u":{"a":{"k~/":1,"k~/":2}}}"#, "/u/a/k~0~1"),
    ] {
        check(event.as_bytes(), Parse, pointer);
    }
    let many: Vec<String> = (0..200).map(|i| format!("\"k{i}\":{i}")).collect();
    check(format!("{{{},\"k77\":0}}", many.join(",")).as_bytes(), Parse, "/k77");
    push(&schema(), format!("{{{}}}", many.join(",")).as_bytes()).expect("all keys differ");
}

#[test]
fn a_hundred_thousand_keys_are_no_quadratic_matter() {
    let many: Vec<String> = (0..60_000).map(|i| format!("\"{i}\":0")).collect();
    push(&schema(), format!("{{\"j\":{{{}}}}}", many.join(",")).as_bytes()).expect("all keys differ");
}

#[test]
fn numbers_beyond_their_column_are_type_rejects() {
    for event in
        [r#"{"i":9223372036854775808}"#, r#"{"i":-9223372036854775809}"#, r#"{"i":1e300}"#, r#"{"i":1e400}"#]
    {
        check(event.as_bytes(), Type, "/i");
    }
    check(br#"{"n":1e400}"#, Type, "/n");
    check(br#"{"n":-1e999999999999}"#, Type, "/n");
    check(br#"{"i":1.5}"#, Schema, "/i");
    let big = compile(&json!({"properties": {"d": {"type": "integer", "maximum": 1e30}}}));
    for exact in ["18446744073709551617", "-99999999999999999999", "3"] {
        let taken = push(&big, format!("{{\"d\":{exact}}}").as_bytes()).expect("fits");
        assert_eq!(row(&taken, 0), json!({"d": exact}));
    }
    let fault = push(&big, br#"{"d":100000000000000000000}"#).expect_err("21 digits");
    assert_eq!(fault.reason, Type);
    let taken = push(&schema(), br#"{"i":9223372036854775807,"n":1e308,"j":1e999}"#).expect("fits");
    assert_eq!(row(&taken, 0), json!({"i": i64::MAX, "n": 1e308, "j": "1e999"}));
}

#[test]
fn depth_is_limited_everywhere() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        for key in ["j", "unknown", "l", "o", "s"] {
            let deep = format!("{{\"{key}\":{}1{}}}", open.repeat(10_000), close.repeat(10_000));
            check(deep.as_bytes(), TooLarge, "");
        }
        let fits = format!("{{\"j\":{}1{}}}", open.repeat(126), close.repeat(126));
        push(&schema(), fits.as_bytes()).expect("127 levels");
        let one_more = format!("{{\"j\":{}1{}}}", open.repeat(127), close.repeat(127));
        check(one_more.as_bytes(), TooLarge, "");
    }
}

#[test]
fn size_is_limited_and_large_strings_are_kept_whole() {
    let large = "x".repeat(1 << 20);
    check(format!("{{\"s\":\"{large}\"}}").as_bytes(), TooLarge, "");
    let wide = Options { max_event_bytes: 2 << 20, ..Options::default() };
    let schema =
        EventSchema::compile(&json!({"properties": {"s": {"type": "string"}}}), wide).expect("compiles");
    let taken = push(&schema, format!("{{\"s\":\"{large}\"}}").as_bytes()).expect("fits");
    assert_eq!(row(&taken, 0), json!({"s": large}));
}

#[test]
fn escapes_and_nul_characters_are_decoded() {
    let taken = push(&schema(), br#" {"s":"a\u0000\ud83d\ude00\n","j":"a\u0000","\u006f":{"x":"\""}} "#)
        .expect("valid");
    assert_eq!(row(&taken, 0), json!({"s": "a\0\u{1f600}\n", "j": r#""a\u0000""#, "o": {"x": "\""}}));
}

#[test]
fn an_event_cut_at_any_byte_is_a_parse_reject() {
    let event = r#"{"s":"aé\u00e4\ud83d\ude00","i":-12,"n":1.5e+3,"b":false,"o":{"x":"y","u":[null]},"l":[1,2],"j":{"k":true}}"#;
    let schema = schema();
    let mut decoder = schema.decoder();
    for cut in 0..event.len() {
        let fault = decoder.push(&event.as_bytes()[..cut]).expect_err("cut");
        assert_eq!(fault.reason, Parse, "cut at {cut}");
    }
    decoder.push(event.as_bytes()).expect("whole");
    assert_eq!(decoder.finish(), push(&schema, event.as_bytes()).expect("whole"));
}

#[test]
fn any_byte_changed_gives_the_verdict_of_serde_json() {
    let event = br#"{"s":"ab\u00e4","i":-12,"n":1.5e+3,"o":{"x":"y"},"l":[1,2],"j":{"k":[true]},"u":null}"#;
    let schema = schema();
    for at in 0..event.len() {
        for byte in 0..=255u8 {
            let mut changed = event.to_vec();
            changed[at] = byte;
            let json = serde_json::from_slice::<Value>(&changed).is_ok_and(|value| value.is_object());
            let shown = String::from_utf8_lossy(&changed).into_owned();
            match push(&schema, &changed) {
                Ok(_) => assert!(json, "{shown} is no JSON"),
                Err(fault) if fault.reason == Parse => {
                    assert!(!json || fault.message.contains("twice"), "{shown}: {fault:?}");
                }
                Err(_) => assert!(json, "{shown}"),
            }
        }
    }
}

#[test]
fn fields_beyond_the_sixty_fourth_are_required_and_stand_once_too() {
    let names: Vec<String> = (0..200).map(|i| format!("f{i}")).collect();
    let properties: Value = names
        .iter()
        .map(|name| (name.clone(), json!({"type": "integer"})))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let schema = compile(&json!({"properties": properties, "required": ["f3", "f63", "f64", "f150"]}));
    let event = |left_out: &str, twice: &str| {
        let names = names.iter().filter(|name| *name != left_out);
        let members: Vec<_> = names.map(|name| format!("{name:?}:{}", &name[1..])).collect();
        let last = if twice.is_empty() { String::new() } else { format!(",{twice:?}:0") };
        format!("{{{}{last}}}", members.join(","))
    };
    let batch = push(&schema, event("", "").as_bytes()).expect("every field is there");
    assert_eq!(row(&batch, 0)["f199"], 199);
    for name in ["f3", "f63", "f64", "f150"] {
        let fault = push(&schema, event(name, "").as_bytes()).expect_err("a required field is missing");
        assert_eq!((fault.reason, fault.keyword.as_str()), (Schema, "required"), "{name}");
        let fault = push(&schema, event("", name).as_bytes()).expect_err("a field stands twice");
        assert_eq!((fault.reason, fault.pointer.as_str()), (Parse, format!("/{name}").as_str()));
    }
}

#[test]
fn a_key_is_known_however_it_is_written() {
    let schema = compile(&json!({"properties": {
        "a": {"type": "string"}, "say \"hi\"": {"type": "integer"}, "long name of a field": {"type": "integer"}
    }}));
    for event in [
        r#"{"a":"x","say \"hi\"":1,"long name of a field":2}"#,
        r#"{ "a" : "x" , "say \"hi\"" : 1 , "long name of a field" : 2 }"#,
        r#"{"\u0061":"x","say \u0022hi\u0022":1,"long\u0020name of a field":2}"#,
        "{\"long name of a field\"\n:\t2,\"say \\\"hi\\\"\": 1,\"a\" :\"x\"}",
    ] {
        let batch = push(&schema, event.as_bytes()).unwrap_or_else(|fault| panic!("{event}: {fault:?}"));
        assert_eq!(row(&batch, 0), json!({"a": "x", "say \"hi\"": 1, "long name of a field": 2}), "{event}");
    }
    check(br#"{"s" "x"}"#, Parse, "");
    check(br#"{"s":"x","s" :"y"}"#, Parse, "/s");
}
