//! Input transformers.

use bourn_config::InputTransformer;
use bourn_schedule::{Facts, Input};
use serde_json::{Value, json};

fn event() -> Value {
    json!({
        "version": "0",
        "source": "bourn.stream",
        "account": "000000000000",
        "region": "us-east-1",
        "time": "2026-01-01T00:00:00Z",
        "detail": {
            "carrier": "UA",
            "delay": 12.5,
            "quote": "say \"hi\"\n",
            "legs": [{"to": "EWR"}, {"to": "IAH"}],
            "inner": {"a": 1},
            "none": null,
        },
    })
}

fn transformer(paths: Value, template: Value) -> InputTransformer {
    serde_json::from_value(json!({"paths": paths, "template": template})).expect("a transformer")
}

fn paths() -> Value {
    json!({
        "carrier": "$.detail.carrier",
        "delay": "$.detail.delay",
        "quote": "$.detail.quote",
        "first": "$.detail.legs[0].to",
        "all": "$.detail.legs[*].to",
        "inner": "$.detail['inner']",
        "none": "$.detail.none",
        "missing": "$.detail.missing",
    })
}

#[track_caller]
fn check(template: Value, expected: Value) {
    let input =
        Input::compile(&transformer(paths(), template.clone())).unwrap_or_else(|faults| panic!("{faults:?}"));
    let facts = Facts { rule: "late", ingestion_time: "2026-01-01T00:00:01Z" };
    assert_eq!(input.render(&event(), facts), expected, "{template}");
}

#[test]
fn a_lone_name_is_the_part_itself() {
    check(
        json!({"c": "<carrier>", "d": "<delay>", "i": "<inner>"}),
        json!({"c": "UA", "d": 12.5, "i": {"a": 1}}),
    );
    check(json!(["<first>", "<all>", "<none>"]), json!(["EWR", ["EWR", "IAH"], null]));
    check(json!("<inner>"), json!({"a": 1}));
}

#[test]
fn within_a_text_a_part_is_text() {
    check(json!("<carrier> is <delay> late, <inner>"), json!("UA is 12.5 late, {\"a\":1}"));
    check(json!({"m": "[<missing>] <quote>"}), json!({"m": "[] say \"hi\"\n"}));
    check(json!("a < b > c <> <carrier>"), json!("a < b > c <> UA"));
}

#[test]
fn what_is_missing_is_left_out() {
    check(json!({"a": "<missing>", "b": ["<missing>", 1]}), json!({"b": [1]}));
    check(json!("<missing>"), json!(null));
}

#[test]
fn a_template_may_be_a_text_of_json() {
    check(
        json!("{\"c\": <carrier>, \"d\":<delay>, \"m\": \"<carrier>\"}"),
        json!({"c": "UA", "d": 12.5, "m": "UA"}),
    );
    check(
        json!("{\"d\": \"<delay>\", \"q\": \"\\\"<quote>\\\"\"}"),
        json!({"d": "12.5", "q": "\"say \"hi\"\n\""}),
    );
    check(json!(" [<all>, <missing>]"), json!([["EWR", "IAH"]]));
    check(json!("\"<carrier> flies\""), json!("UA flies"));
    check(json!("{\"e\": <aws.events.event.json>}"), json!({"e": event()}));
}

#[test]
fn reserved_names_are_known() {
    check(json!("<aws.events.rule-name>"), json!("late"));
    check(json!("at <aws.events.event.ingestion-time>"), json!("at 2026-01-01T00:00:01Z"));
    check(
        json!({"arn": "<aws.events.rule-arn>"}),
        json!({"arn": "arn:aws:events:us-east-1:000000000000:rule/late"}),
    );
    let mut without = event();
    without.as_object_mut().expect("an object").remove("detail");
    check(json!("<aws.events.event>"), without);
    check(json!("<aws.events.event.json>"), event());
}

#[test]
fn faults_have_their_places() {
    let cases = [
        (json!({}), json!({"a": ["<x>"]}), "/template/a/0", "`<x>` is not known"),
        (json!({}), json!("{\"a\": <x>}"), "/template/a", "`<x>` is not known"),
        (json!({"x": "$.a"}), json!("{<x>: 1}"), "/template/", "cannot stand for a field's name"),
        (json!({}), json!("{\"a\": }"), "/template", "is not JSON"),
        (json!({"a b": "$.a"}), json!(1), "/paths/a b", "is not a name"),
        (json!({"awsome": "$.a"}), json!(1), "/paths/awsome", "reserved"),
        (json!({"a": "detail.x"}), json!(1), "/paths/a", "does not go on as a path"),
        (json!({"a": "$.x[-1]"}), json!(1), "/paths/a", "at `[-1]`"),
        (json!({"a": "$..x"}), json!(1), "/paths/a", "at `..x`"),
        (json!({"a": "$.x["}), json!(1), "/paths/a", "at `[`"),
    ];
    for (paths, template, pointer, message) in cases {
        let faults = Input::compile(&transformer(paths.clone(), template.clone())).expect_err("faults");
        let found =
            faults.iter().any(|fault| fault.pointer.starts_with(pointer) && fault.message.contains(message));
        assert!(found, "{paths} {template}: {faults:?}");
    }
}
