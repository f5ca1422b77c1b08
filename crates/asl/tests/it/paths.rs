//! JSONPath and reference paths.

use crate::support::with_scope;
use bourn_asl::{Path, ResultPath};
use serde_json::{Value, json};

fn find(text: &str, input: &Value) -> Result<Value, String> {
    let path = Path::parse(text)?;
    with_scope(input, |scope| path.find(scope).map(|v| v.into_owned()).map_err(|miss| miss.to_string()))
}

fn check(text: &str, input: &Value, expected: Value) {
    assert_eq!(find(text, input), Ok(expected), "{text} on {input}");
}

fn store() -> Value {
    json!({
        "books": [
            {"title": "A", "price": 8, "tags": ["x"]},
            {"title": "B", "price": 12.5},
            {"title": "C", "price": 8, "isbn": "3", "tags": ["x", "y"]},
        ],
        "delivery-partner": "UQS", "with space": 1, "it's": 2, "n": null, "deep": {"title": "D"},
    })
}

#[test]
fn finds_one_place() {
    let s = store();
    check("$", &s, s.clone());
    check("$.delivery-partner", &s, json!("UQS"));
    check("$['with space']", &s, json!(1));
    check("$[\"with space\"]", &s, json!(1));
    check(r"$['it\'s']", &s, json!(2));
    check("$.n", &s, json!(null));
    check("$.books[0].title", &s, json!("A"));
    check("$.books[-1].title", &s, json!("C"));
    check("$['books'][1]['price']", &s, json!(12.5));
    check("$$.State.Name", &s, json!("State"));
    check("$name", &s, json!("Ada"));
    check("$list[1]", &s, json!(2));
    check("$[0]", &json!([5]), json!(5));
}

#[test]
fn finds_many_places() {
    let s = store();
    check("$.books[*].title", &s, json!(["A", "B", "C"]));
    check("$.books.*.title", &s, json!(["A", "B", "C"]));
    check("$.books[0,2].title", &s, json!(["A", "C"]));
    check("$.books[0]['title','price']", &s, json!(["A", 8]));
    check("$.books[1:].title", &s, json!(["B", "C"]));
    check("$.books[:1].title", &s, json!(["A"]));
    check("$.books[-2:].title", &s, json!(["B", "C"]));
    check("$.books[0:2].title", &s, json!(["A", "B"]));
    check("$..title", &s, json!(["A", "B", "C", "D"]));
    check("$..books[0].title", &s, json!(["A"]));
    check("$.deep..*", &s, json!(["D"]));
    check("$list[*]", &s, json!([1, 2, 3]));
}

#[test]
fn filters() {
    let s = store();
    let titles =
        |filter: &str, expected: &[&str]| check(&format!("$.books[?({filter})].title"), &s, json!(expected));
    titles("@.price == 8", &["A", "C"]);
    titles("@.price != 8", &["B"]);
    titles("@.price < 10 && @.isbn", &["C"]);
    titles("@.price > 10 || @.title == 'A'", &["A", "B"]);
    titles("!(@.isbn)", &["A", "B"]);
    titles("@.price >= 12.5", &["B"]);
    titles("@.price <= 8", &["A", "C"]);
    titles("@.title in ['A', 'Z']", &["A"]);
    titles("@.title nin ['A', 'Z']", &["B", "C"]);
    titles("@.tags contains 'y'", &["C"]);
    titles("@.tags size 1", &["A"]);
    titles("@.title =~ /[ab]/i", &["A", "B"]);
    titles("@.title == $.books[1].title", &["B"]);
    titles("'B' == @['title']", &["B"]);
    titles("@.isbn == null", &[]);
    check("$..[?(@.title == 'D')]", &s, json!([{"title": "D"}]));
}

#[test]
fn says_what_is_missing() {
    let s = store();
    let fails = |text: &str, why: &str| assert_eq!(find(text, &s), Err(why.to_owned()), "{text}");
    fails("$.nope", "No results for path: $['nope']");
    fails("$.deep.nope", "No results for path: $['deep']['nope']");
    fails("$.nope.deeper", "Missing property in path $['nope']");
    fails("$.books[9]", "No results for path: $['books'][9]");
    fails("$missing.x", "No value for variable: $missing");
}

/// A wildcard, slice or filter on missing data finds nothing, and that is no failure.
#[test]
fn gives_an_empty_list_where_many_could_be() {
    for text in
        ["$[*]", "$.items[*]", "$.items[1:]", "$.items[:1].v", "$.item.items[1:]", "$..x", "$.a[?(@.b)]"]
    {
        check(text, &json!({}), json!([]));
    }
}

#[test]
fn tells_kinds_of_paths_apart() {
    let check = |text: &str, definite: bool, reference: bool| {
        let path = Path::parse(text).expect(text);
        assert_eq!((path.is_definite(), path.is_reference()), (definite, reference), "{text}");
    };
    check("$", true, true);
    check("$.a.b[0]['c']", true, true);
    check("$.a[-1]", true, false);
    check("$.a[*]", false, false);
    check("$.a[0,1]", false, false);
    check("$.a[1:2]", false, false);
    check("$..a", false, false);
    check("$.a[?(@.b)]", false, false);
    check("$$.a", true, false);
    check("$name.a", true, false);
}

#[test]
fn refuses_what_is_no_path() {
    for text in [
        "",
        "a",
        "$.",
        "$..",
        "$.a.",
        "$[",
        "$[a]",
        "$['a",
        "$['a'",
        "$[]",
        "$[1",
        "$.a b",
        "$.length()",
        "$.a[?(]",
        "$.a[?(@.b ==)]",
        "$.a[?(1)]",
        "$[:]",
        "$.a[99999999999999999999]",
    ] {
        assert!(Path::parse(text).is_err(), "{text} was taken");
    }
    assert!(Path::parse(&format!("$.{}", "a".repeat(20_000))).is_err());
    assert!(Path::parse(&format!("$.a[?({}@.b)]", "(".repeat(5_000))).is_err());
}

/// Nested descents reach more nodes than anybody wants.
#[test]
fn ends_what_reaches_everything() {
    let wide: Value = (0..300).map(|_| json!([1, 2, 3])).collect();
    assert!(find("$..*..*..*", &json!([wide.clone(), [wide.clone(), [wide]]])).is_ok());
    let deep = (0..90).fold(json!(1), |v, _| json!([v, 1, 1, 1]));
    assert!(find(&format!("${}", "..*".repeat(8)), &deep).is_err_and(|why| why.contains("nodes")));
}

#[test]
fn puts_results_into_the_input() {
    let put = |path: &str, input: Value| {
        let path = ResultPath::At(Path::parse(path).expect(path));
        path.apply(&input, json!("R")).map_err(|fault| fault.to_string())
    };
    assert_eq!(put("$.a", json!({"b": 1})), Ok(json!({"a": "R", "b": 1})));
    assert_eq!(put("$.a.b.c", json!({})), Ok(json!({"a": {"b": {"c": "R"}}})));
    assert_eq!(put("$.a.b", json!({"a": null})), Ok(json!({"a": {"b": "R"}})));
    assert_eq!(put("$.a[1]", json!({"a": [1, 2]})), Ok(json!({"a": [1, "R"]})));
    assert_eq!(put("$.a[0].b", json!({"a": [{"c": 1}]})), Ok(json!({"a": [{"b": "R", "c": 1}]})));
    for (path, input) in [("$.a[2]", json!({"a": [1]})), ("$.a.b", json!({"a": 1})), ("$.a", json!([1]))] {
        let why = put(path, input.clone()).expect_err(path);
        assert_eq!(
            why,
            format!("States.ResultPathMatchFailure: Unable to apply ReferencePath {path} to input {input}")
        );
    }
    assert_eq!(ResultPath::Replace.apply(&json!(1), json!(2)), Ok(json!(2)));
    assert_eq!(ResultPath::Discard.apply(&json!(1), json!(2)), Ok(json!(1)));
}
