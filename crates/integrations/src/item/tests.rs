//! Expressions on items, as tables.

use super::ItemError;
use super::condition::Condition;
use super::lexer::Placeholders;
use super::update::Update;
use super::value::{Attribute, Item, item_of_json, item_to_json};
use serde_json::{Value, json};

fn item() -> Item {
    item_of_json(&json!({
        "id": {"S": "a1"},
        "n": {"N": "5"},
        "big": {"N": "12345678901234567890.5"},
        "flag": {"BOOL": true},
        "none": {"NULL": true},
        "tags": {"SS": ["x", "y"]},
        "nums": {"NS": ["1", "2.0"]},
        "bytes": {"B": "AQID"},
        "list": {"L": [{"N": "1"}, {"S": "two"}, {"M": {"k": {"S": "v"}}}]},
        "info": {"M": {"rating": {"N": "4.5"}, "deep": {"M": {"leaf": {"S": "l"}}}}},
    }))
    .expect("an item")
}

fn values() -> Value {
    json!({
        "ExpressionAttributeNames": {"#n": "n", "#odd": "odd name"},
        "ExpressionAttributeValues": {
            ":0": {"N": "0"}, ":5": {"N": "5.00"}, ":6": {"N": "6"}, ":a1": {"S": "a1"}, ":a": {"S": "a"},
            ":z": {"S": "z"}, ":x": {"S": "x"}, ":t": {"BOOL": true}, ":S": {"S": "S"}, ":N": {"S": "N"},
            ":Q": {"S": "Q"}, ":two": {"S": "two"}, ":b": {"B": "AQI="}, ":1": {"N": "1"}, ":xs": {"SS": ["x", "z"]},
            ":l": {"L": [{"S": "new"}]}, ":m": {"M": {"k": {"S": "w"}}}, ":ns": {"NS": ["2"]},
        },
    })
}

fn holds(text: &str, item: &Item) -> Result<bool, String> {
    let values = values();
    let condition = Condition::parse("ConditionExpression", text, &Placeholders::of(&values));
    condition.map(|condition| condition.holds(item)).map_err(|error| error.to_string())
}

#[test]
fn conditions_mean_what_dynamodb_says() {
    let cases = [
        ("n = :5", true),
        ("#n = :5", true),
        ("n <> :5", false),
        ("n < :6", true),
        ("n >= :5 AND n <= :5", true),
        ("n > :a", false),
        ("n = :a1", false),
        ("n <> :a1", true),
        ("missing = :5", false),
        ("missing <> :5", true),
        ("missing < :5", false),
        ("id BETWEEN :a AND :z", true),
        ("n BETWEEN :0 AND :1", false),
        ("n IN (:0, :5)", true),
        ("n in (:0)", false),
        ("flag = :t", true),
        ("attribute_exists(info.rating)", true),
        ("attribute_exists(info.rating.more)", false),
        ("attribute_exists(list[2].k)", true),
        ("attribute_exists(list[3])", false),
        ("attribute_not_exists(missing)", true),
        ("attribute_not_exists(#odd)", true),
        ("attribute_type(id, :S)", true),
        ("attribute_type(id, :N)", false),
        ("begins_with(id, :a)", true),
        ("begins_with(id, :z)", false),
        ("begins_with(bytes, :b)", true),
        ("contains(id, :1)", false),
        ("contains(tags, :x)", true),
        ("contains(tags, :z)", false),
        ("contains(nums, :1)", true),
        ("contains(list, :two)", true),
        ("size(id) < :5", true),
        ("size(list) > :1 AND size(tags) <> :0", true),
        ("size(n) > :0", false),
        ("NOT n = :5", false),
        ("NOT (n = :0 OR n = :1)", true),
        // NOT binds tighter than AND, AND tighter than OR.
        ("n = :5 OR n = :0 AND n = :1", true),
        ("(n = :5 OR n = :0) AND n = :1", false),
        ("NOT n = :0 AND n = :1", false),
    ];
    for (text, expected) in cases {
        assert_eq!(holds(text, &item()), Ok(expected), "{text}");
    }
}

#[test]
fn bad_conditions_are_refused_in_dynamodbs_words() {
    let deep = format!("{}n = :5", "(".repeat(100));
    let cases = [
        ("", "Invalid ConditionExpression: The expression can not be empty;"),
        ("n", "Syntax error; token: \"<EOF>\""),
        ("n = ", "Syntax error"),
        ("n = :5 :6", "Syntax error; token: \":6\""),
        (
            "n = :nope",
            "An expression attribute value used in expression is not defined; attribute value: :nope",
        ),
        (
            "#nope = :5",
            "An expression attribute name used in the document path is not defined; attribute name: #nope",
        ),
        ("is_even(n)", "Invalid function name; function: is_even"),
        ("attribute_type(n, :Q)", "Invalid attribute type name found; type: Q"),
        ("n < :t", "Incorrect operand type for operator or function"),
        ("list[x] = :5", "expected: an index"),
        ("list[99999999999999999999] = :5", "Syntax error"),
        ("n = 5", "Syntax error; token: \"5\""),
        ("n ~ :5", "Syntax error; token: \"~\""),
        ("n = :ü", "Syntax error"),
        ("n IN ()", "Syntax error"),
        (deep.as_str(), "nested too deep"),
    ];
    for (text, part) in cases {
        let error = holds(text, &item()).expect_err(text);
        assert!(error.contains(part), "{text}: {error}");
    }
}

fn updated(text: &str) -> Result<Value, String> {
    let values = values();
    let update = Update::parse(text, &Placeholders::of(&values)).map_err(|error| error.to_string())?;
    let after = update.apply(&item()).map_err(|error| error.to_string())?;
    let paths = update.paths();
    Ok(item_to_json(
        &after.into_iter().filter(|(name, _)| paths.iter().any(|path| path.root() == name)).collect(),
    ))
}

#[test]
fn updates_change_what_they_name() {
    let cases = [
        ("SET n = :6", json!({"n": {"N": "6"}})),
        ("set n = n + :1", json!({"n": {"N": "6"}})),
        ("SET n = :1 - n", json!({"n": {"N": "-4"}})),
        ("SET n = :6, copy = n", json!({"n": {"N": "6"}, "copy": {"N": "5"}})),
        ("SET big = big + :1", json!({"big": {"N": "12345678901234567891.5"}})),
        ("SET seen = if_not_exists(seen, :0) + :1", json!({"seen": {"N": "1"}})),
        ("SET n = if_not_exists(n, :0) + :1", json!({"n": {"N": "6"}})),
        ("SET #odd = :x", json!({"odd name": {"S": "x"}})),
        (
            "SET info.rating = :5",
            json!({"info": {"M": {"rating": {"N": "5"}, "deep": {"M": {"leaf": {"S": "l"}}}}}}),
        ),
        ("SET list[0] = :x", json!({"list": {"L": [{"S": "x"}, {"S": "two"}, {"M": {"k": {"S": "v"}}}]}})),
        ("SET list[2].k = :x", json!({"list": {"L": [{"N": "1"}, {"S": "two"}, {"M": {"k": {"S": "x"}}}]}})),
        (
            "SET list[90] = :x, list[50] = :z",
            json!({"list": {"L": [{"N": "1"}, {"S": "two"}, {"M": {"k": {"S": "v"}}}, {"S": "z"}, {"S": "x"}]}}),
        ),
        (
            "SET list = list_append(:l, list)",
            json!({"list": {"L": [{"S": "new"}, {"N": "1"}, {"S": "two"}, {"M": {"k": {"S": "v"}}}]}}),
        ),
        (
            "SET log = list_append(if_not_exists(log, :l), :l)",
            json!({"log": {"L": [{"S": "new"}, {"S": "new"}]}}),
        ),
        ("REMOVE n", json!({})),
        ("REMOVE missing", json!({})),
        ("REMOVE list[0], list[1]", json!({"list": {"L": [{"M": {"k": {"S": "v"}}}]}})),
        ("REMOVE info.deep.leaf", json!({"info": {"M": {"rating": {"N": "4.5"}, "deep": {"M": {}}}}})),
        ("ADD n :1", json!({"n": {"N": "6"}})),
        ("ADD count :5", json!({"count": {"N": "5"}})),
        ("ADD tags :xs", json!({"tags": {"SS": ["x", "y", "z"]}})),
        ("ADD fresh :xs", json!({"fresh": {"SS": ["x", "z"]}})),
        ("DELETE tags :xs", json!({"tags": {"SS": ["y"]}})),
        ("DELETE missing :xs", json!({})),
        ("DELETE nums :ns ADD n :1", json!({"nums": {"NS": ["1"]}, "n": {"N": "6"}})),
    ];
    for (text, expected) in cases {
        assert_eq!(updated(text), Ok(expected), "{text}");
    }
}

#[test]
fn bad_updates_change_nothing() {
    let cases = [
        ("", "can not be empty"),
        ("PUT n = :5", "expected: SET, REMOVE, ADD or DELETE"),
        ("SET n = :5 SET m = :5", "The \"SET\" section can only be used once"),
        ("SET n = :5,", "Syntax error"),
        ("SET n = :5, n = :6", "Two document paths overlap"),
        ("SET info = :m REMOVE info.rating", "Two document paths overlap"),
        ("SET n = missing", "refers to an attribute that does not exist in the item"),
        ("SET missing.x = :5", "is invalid for update"),
        ("SET n[0] = :5", "is invalid for update"),
        ("SET n = id + :1", "incorrect data type"),
        ("SET n = list_append(list, :1)", "incorrect data type"),
        ("SET n = twice(n)", "Invalid function name; function: twice"),
        ("ADD id :1", "incorrect data type"),
        ("ADD n :x", "Incorrect operand type for operator or function; operator: ADD"),
        ("DELETE n :1", "Incorrect operand type for operator or function; operator: DELETE"),
        ("DELETE tags :ns", "incorrect data type"),
        ("REMOVE missing.x", "is invalid for update"),
        ("ADD n n", "expected: a value"),
    ];
    for (text, part) in cases {
        let error = updated(text).expect_err(text);
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn values_that_are_none_are_refused() {
    let cases = [
        (json!("x"), "must be an object"),
        (json!({}), "is empty"),
        (json!({"S": "a", "N": "1"}), "more than one datatypes"),
        (json!({"X": "a"}), "`X` is no type"),
        (json!({"N": "abc"}), "cannot be converted to a numeric value"),
        (json!({"N": "1e200"}), "Number overflow"),
        (json!({"B": "%%"}), "cannot be"),
        (json!({"S": ["a"]}), "cannot be"),
        (json!({"SS": []}), "may not be empty"),
        (json!({"SS": ["a", "a"]}), "contains duplicates"),
        (json!({"NS": ["1", "1.0"]}), "contains duplicates"),
        (json!({"NULL": false}), "must have the value of true"),
        (json!({"L": [{"Z": 1}]}), "`Z` is no type"),
    ];
    for (json, part) in cases {
        let error = Attribute::parse(&json).expect_err(&json.to_string()).to_string();
        assert!(error.contains(part), "{json}: {error}");
    }
    let mut deep = json!({"S": "x"});
    for _ in 0..40 {
        deep = json!({ "L": [deep] });
    }
    assert!(Attribute::parse(&deep).is_err());
}

#[test]
fn unused_placeholders_are_a_mistake() {
    let parameters = json!({
        "ExpressionAttributeNames": {"#a": "a"},
        "ExpressionAttributeValues": {":v": {"S": "x"}, ":w": {"S": "x"}},
    });
    let placeholders = Placeholders::of(&parameters);
    Condition::parse("ConditionExpression", "#a = :v", &placeholders).expect("a condition");
    let error = placeholders.check_used().expect_err("an unused value").to_string();
    assert_eq!(error, "Value provided in ExpressionAttributeValues unused in expressions: keys: {:w}");
}

#[test]
fn parsers_never_panic() {
    let run = |text: String| {
        let values = values();
        let placeholders = Placeholders::of(&values);
        let refused = |error: ItemError| matches!(error, ItemError::Validation(_));
        if let Err(error) = Condition::parse("ConditionExpression", &text, &placeholders) {
            assert!(refused(error));
        }
        if let Err(error) = Update::parse(&text, &placeholders).and_then(|update| update.apply(&item())) {
            assert!(refused(error));
        }
    };
    let word = proptest::sample::select(vec![
        "SET",
        "REMOVE",
        "ADD",
        "DELETE",
        "n",
        "list",
        "[0]",
        "[1]",
        "info",
        ".",
        "rating",
        "=",
        "<",
        ">=",
        "(",
        ")",
        ",",
        "+",
        "-",
        ":5",
        ":x",
        ":xs",
        "#n",
        "AND",
        "OR",
        "NOT",
        "IN",
        "BETWEEN",
        "size",
        "contains",
        "if_not_exists",
        "list_append",
        "attribute_exists",
        "é",
        "99",
    ]);
    let words = proptest::collection::vec(word, 0..14);
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    runner
        .run(&words, |words| {
            run(words.join(" "));
            Ok(())
        })
        .expect("no panic");
}
