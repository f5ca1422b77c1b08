//! Where a JSON pointer stands in JSON and YAML text; YAML as a definition.

use bourn_asl::{Machine, Place, place};

const JSON: &str = r#"{
  "StartAt": "Ä",
  "States": {
    "Ä": {"Type": "Pass", "Next": "Nope"},
    "a/b": {
      "Type": "Succeed"
    }
  }
}"#;

const YAML: &str = "# A comment: here
StartAt: One
States:
  Zero:
    Type: Pass
    Next: One
  One:
    Type: Choice
    Choices:
      - Variable: $.a
        NumericEquals: 1
        Next: Zero
    Default: Two
  Two: {Type: Succeed}
";

#[test]
fn finds_lines_and_columns() {
    let check = |text: &str, pointer: &str, expected: Option<(usize, usize)>| {
        let found = place(text, pointer).map(|Place { line, column }| (line, column));
        assert_eq!(found, expected, "{pointer}");
    };
    check(JSON, "/", Some((1, 1)));
    check(JSON, "/StartAt", Some((2, 3)));
    check(JSON, "/States/Ä/Next", Some((4, 27)));
    check(JSON, "/States/a~1b/Type", Some((6, 7)));
    check(JSON, "/States/a~1b/Missing/Deeper", Some((5, 5)));
    check(YAML, "/StartAt", Some((2, 1)));
    check(YAML, "/States/One/Choices/0/NumericEquals", Some((11, 9)));
    check(YAML, "/States/Two/Type", Some((14, 9)));
    check("{", "/", None);
}

#[test]
fn reads_yaml_in_the_order_of_the_text() {
    let machine = Machine::parse(YAML).unwrap_or_else(|f| panic!("{f:?}"));
    let names: Vec<&str> = machine.flow.states.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["Zero", "One", "Two"]);
    let machine =
        Machine::parse(r#"{"StartAt":"Z","States":{"Z":{"Type":"Pass","Next":"A"},"A":{"Type":"Succeed"}}}"#);
    let names: Vec<String> = machine.expect("a machine").flow.states.iter().map(|s| s.name.clone()).collect();
    assert_eq!(names, ["Z", "A"]);
}

#[test]
fn says_where_text_cannot_be_read() {
    let check = |text: &str, part: &str| {
        let faults = Machine::validate(text);
        assert_eq!(faults.len(), 1, "{text}: {faults:?}");
        let shown = faults[0].to_string();
        assert!(shown.starts_with("INVALID_JSON_DESCRIPTION: ") && shown.contains(part), "{shown}");
    };
    check("{\n  \"a\" 1}", "line: 2, column: 7");
    check("{\"a\": 1, \"a\": 2}", "Duplicate field 'a'");
    check("{\"a\": tru}", "Unrecognized token 'tru'");
    check("{\"a\": [1, 2}", "comma to separate Array");
    check("{\"a\": \"x", "closing quote");
    check("{} {}", "behind the end");
    check("", "end-of-input");
    check("StartAt: [a\nStates: 1\n", "YAML");
    check("StartAt: &a x\nOther: *a\n", "Anchors");
}
