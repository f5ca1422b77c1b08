//! Event patterns: each operator, with its traps.

use bourn_schedule::Pattern;
use serde_json::{Value, json};

#[track_caller]
fn compile(pattern: &Value) -> Pattern {
    Pattern::compile(pattern).unwrap_or_else(|faults| panic!("{pattern}: {faults:?}"))
}

#[track_caller]
fn check(pattern: Value, event: Value, expected: bool) {
    let compiled = compile(&pattern);
    assert_eq!(compiled.matches(&event), expected, "{pattern} on {event}");
    if expected && let Some(detail) = event.get("detail") {
        let text = detail.to_string();
        assert!(compiled.could_match_detail(text.as_bytes()), "{pattern} prefiltered {event}");
    }
}

/// One value of a field, against one value of the event.
#[track_caller]
fn check_value(value: Value, event: Value, expected: bool) {
    check(json!({"detail": {"x": [value]}}), json!({"detail": {"x": event}}), expected);
}

#[test]
fn exact_values_are_of_the_same_type() {
    for (value, event, expected) in [
        (json!("a"), json!("a"), true),
        (json!("a"), json!("A"), false),
        (json!(""), json!(""), true),
        (json!(""), json!(null), false),
        (json!(null), json!(null), true),
        (json!(null), json!("null"), false),
        (json!(true), json!(true), true),
        (json!(true), json!("true"), false),
        (json!(300), json!(300.0), true),
        (json!(300), json!(3e2), true),
        (json!(300), json!("300"), false),
        (json!("300"), json!(300), false),
        (json!(9007199254740993i64), json!(9007199254740992i64), false),
        (json!(u64::MAX), json!(u64::MAX), true),
        (json!(0.1), json!(0.1), true),
        (json!("a"), json!({"a": "a"}), false),
    ] {
        check_value(value, event, expected);
    }
    check(json!({"x": [null]}), json!({}), false);
}

#[test]
fn all_fields_and_one_of_their_values() {
    let pattern = json!({"source": ["bourn", "bourn.stream"], "detail": {"a": [1], "b": {"c": ["x"]}}});
    let event = |a: i32, c: &str| json!({"source": "bourn", "detail": {"a": a, "b": {"c": c}, "more": 1}});
    check(pattern.clone(), event(1, "x"), true);
    check(pattern.clone(), event(2, "x"), false);
    check(pattern.clone(), event(1, "y"), false);
    check(pattern, json!({"source": "bourn", "detail": {"a": 1}}), false);
}

#[test]
fn prefixes_and_suffixes() {
    for (value, event, expected) in [
        (json!({"prefix": "ab"}), json!("abc"), true),
        (json!({"prefix": "ab"}), json!("Abc"), false),
        (json!({"prefix": "1"}), json!(12), false),
        (json!({"prefix": ""}), json!(""), true),
        (json!({"prefix": {"equals-ignore-case": "AB"}}), json!("aBc"), true),
        (json!({"prefix": {"equals-ignore-case": "ÄB"}}), json!("äbc"), true),
        (json!({"prefix": {"equals-ignore-case": "ab"}}), json!("a"), false),
        (json!({"suffix": ".png"}), json!("a.png"), true),
        (json!({"suffix": ".png"}), json!("a.PNG"), false),
        (json!({"suffix": {"equals-ignore-case": ".PNG"}}), json!("a.pNg"), true),
        (json!({"suffix": {"equals-ignore-case": ".PNG"}}), json!("png"), false),
        (json!({"equals-ignore-case": "Straße"}), json!("STRAßE"), true),
        (json!({"equals-ignore-case": "alice"}), json!("ALICE"), true),
        (json!({"equals-ignore-case": "alice"}), json!("ALICEX"), false),
        (json!({"equals-ignore-case": "1"}), json!(1), false),
    ] {
        check_value(value, event, expected);
    }
}

#[test]
fn wildcards() {
    for (wildcard, text, expected) in [
        ("*", "", true),
        ("*", "anything", true),
        ("a*", "a", true),
        ("a*b", "ab", true),
        ("a*b", "axxb", true),
        ("a*b", "axxbc", false),
        ("a*a", "a", false),
        ("ab*ba", "aba", false),
        ("*ab*", "xxabxx", true),
        ("*ab*cd*", "cdab", false),
        ("*ab*cd*", "ab-cd", true),
        ("*aab*b", "aaab", false),
        ("*aab*b", "aaabb", true),
        ("dir/*.png", "dir/a/b.png", true),
        (r"a\*b", "a*b", true),
        (r"a\*b", "axb", false),
        (r"a\\*", r"a\b", true),
        ("plain", "plain", true),
        ("plain", "plainer", false),
        ("*é*", "caffé latte", true),
    ] {
        check_value(json!({"wildcard": wildcard}), json!(text), expected);
    }
    check_value(json!({"wildcard": "*"}), json!(5), false);
}

#[test]
fn a_wildcard_takes_linear_time() {
    let wildcard = "*a".repeat(500) + "*b";
    let pattern = compile(&json!({"x": [{"wildcard": wildcard}]}));
    assert!(!pattern.matches(&json!({"x": "a".repeat(1 << 20)})));
}

#[test]
fn anything_but() {
    let of = |argument: Value| json!({"anything-but": argument});
    for (value, event, expected) in [
        (of(json!("a")), json!("b"), true),
        (of(json!("a")), json!("a"), false),
        (of(json!("a")), json!(1), true),
        (of(json!("a")), json!(null), true),
        (of(json!("a")), json!({"b": 1}), false),
        (of(json!(["a", "b"])), json!("b"), false),
        (of(json!(["a", "b"])), json!("c"), true),
        (of(json!(1)), json!(1.0), false),
        (of(json!(1)), json!(2), true),
        (of(json!([1, 2])), json!(2), false),
        (of(json!([1, 2])), json!("2"), true),
        (of(json!({"prefix": "ab"})), json!("abc"), false),
        (of(json!({"prefix": "ab"})), json!("b"), true),
        (of(json!({"prefix": ["ab", "c"]})), json!("cd"), false),
        (of(json!({"prefix": {"equals-ignore-case": "AB"}})), json!("abc"), false),
        (of(json!({"suffix": [".png", ".jpg"]})), json!("x.jpg"), false),
        (of(json!({"suffix": ".png"})), json!("x.jpg"), true),
        (of(json!({"equals-ignore-case": "Init"})), json!("INIT"), false),
        (of(json!({"equals-ignore-case": ["a", "b"]})), json!("B"), false),
        (of(json!({"wildcard": "*/lib/*"})), json!("/a/lib/b"), false),
        (of(json!({"wildcard": ["*/lib/*", "*/bin/*"]})), json!("/a/x/b"), true),
        // Of an array, one member that is something else.
        (of(json!("a")), json!(["a", "b"]), true),
        (of(json!("a")), json!(["a", "a"]), false),
        (of(json!("a")), json!([]), false),
    ] {
        check_value(value, event, expected);
    }
    check(json!({"x": [{"anything-but": "a"}]}), json!({}), false);
}

#[test]
fn numeric_ranges() {
    let of = |argument: Value| json!({"numeric": argument});
    for (value, event, expected) in [
        (of(json!([">", 0, "<=", 5])), json!(5), true),
        (of(json!([">", 0, "<=", 5])), json!(0), false),
        (of(json!([">", 0, "<=", 5])), json!(0.000001), true),
        (of(json!(["<=", 5, ">", 0])), json!(3), true),
        (of(json!(["<", 10])), json!(-1e300), true),
        (of(json!([">=", 10])), json!(10.0), true),
        (of(json!(["=", 3.018e2])), json!(301.8), true),
        (of(json!(["=", 5])), json!("5"), false),
        (of(json!([">", 9007199254740992i64])), json!(9007199254740993i64), true),
        (of(json!(["<", 0.5])), json!(0), true),
        (of(json!(["<", -0.5])), json!(0), false),
        (of(json!([">", 1e30])), json!(u64::MAX), false),
        (of(json!(["<", 5])), json!([9, 3]), true),
        // Both bounds hold for the same member.
        (of(json!([">", 0, "<", 5])), json!([-1, 9]), false),
    ] {
        check_value(value, event, expected);
    }
}

#[test]
fn addresses_of_networks() {
    for (network, address, expected) in [
        ("10.0.0.0/24", "10.0.0.255", true),
        ("10.0.0.0/24", "10.0.1.0", false),
        ("10.0.0.7/24", "10.0.0.1", true),
        ("0.0.0.0/0", "255.1.2.3", true),
        ("10.0.0.1/32", "10.0.0.1", true),
        ("10.0.0.1/32", "10.0.0.2", false),
        ("2001:db8::/32", "2001:db8:ffff::1", true),
        ("2001:db8::/32", "2001:db9::1", false),
        ("::/0", "::1", true),
        ("::/0", "1.2.3.4", false),
        ("10.0.0.0/8", "not an address", false),
        ("10.0.0.0/8", "10.0.0.1/8", false),
    ] {
        check_value(json!({"cidr": network}), json!(address), expected);
    }
}

#[test]
fn exists_looks_for_leaves() {
    let present = json!({"detail": {"x": [{"exists": true}]}});
    let absent = json!({"detail": {"x": [{"exists": false}]}});
    for (event, is_there) in [
        (json!({"detail": {"x": 1}}), true),
        (json!({"detail": {"x": null}}), true),
        (json!({"detail": {"x": ""}}), true),
        (json!({"detail": {"x": [1]}}), true),
        (json!({"detail": {"x": []}}), false),
        (json!({"detail": {"x": {"y": 1}}}), false),
        (json!({"detail": {"y": 1}}), false),
        (json!({"detail": {}}), false),
        (json!({"detail": 1}), false),
        (json!({}), false),
        (json!({"detail": [{"y": 1}, {"x": 1}]}), true),
        (json!({"detail": [{"y": 1}]}), false),
    ] {
        check(present.clone(), event.clone(), is_there);
        check(absent.clone(), event, !is_there);
    }
    check(json!({"x": ["a", {"exists": false}]}), json!({"x": "a"}), true);
    check(json!({"x": ["a", {"exists": false}]}), json!({}), true);
    check(json!({"x": ["a", {"exists": false}]}), json!({"x": "b"}), false);
}

#[test]
fn arrays_match_by_their_members() {
    let pattern = json!({"resources": ["b", "c"]});
    check(pattern.clone(), json!({"resources": ["a", "b"]}), true);
    check(pattern.clone(), json!({"resources": ["a"]}), false);
    check(pattern.clone(), json!({"resources": [["a", ["c"]]]}), true);
    check(pattern, json!({"resources": []}), false);
}

#[test]
fn fields_below_an_array_match_in_the_same_member() {
    let pattern = json!({"items": {"sku": ["a"], "count": [2]}});
    check(pattern.clone(), json!({"items": [{"sku": "a", "count": 1}, {"sku": "b", "count": 2}]}), false);
    check(pattern.clone(), json!({"items": [{"sku": "a", "count": 1}, {"sku": "a", "count": 2}]}), true);
    check(pattern.clone(), json!({"items": [[{"sku": "a", "count": 2}]]}), true);
    check(pattern, json!({"items": {"sku": "a", "count": 2}}), true);
    let without = json!({"items": {"sku": ["a"], "gift": [{"exists": false}]}});
    check(without.clone(), json!({"items": [{"sku": "a"}, {"sku": "b"}]}), true);
    // In any member of the array, as AWS has it.
    check(without, json!({"items": [{"sku": "a"}, {"gift": 1}]}), false);
}

#[test]
fn many_members_without_a_leaf_are_looked_at_once() {
    let pattern = compile(&json!({"items": {"sku": ["none"], "gift": [{"exists": false}]}}));
    let items: Vec<Value> = (0..200_000).map(|n| json!({"sku": n})).collect();
    assert!(!pattern.matches(&json!({"items": items})));
}

#[test]
fn or_is_one_of_several() {
    let pattern = json!({
        "source": ["s"],
        "$or": [{"detail": {"a": [1]}}, {"detail": {"b": [{"numeric": [">", 5]}], "c": [true]}}, {"region": ["r"]}],
    });
    let event = |detail: Value| json!({"source": "s", "detail": detail});
    check(pattern.clone(), event(json!({"a": 1})), true);
    check(pattern.clone(), event(json!({"b": 6})), false);
    check(pattern.clone(), event(json!({"b": 6, "c": true})), true);
    check(pattern.clone(), json!({"source": "s", "region": "r"}), true);
    check(pattern, json!({"source": "t", "region": "r"}), false);
    let nested = json!({"detail": {"$or": [{"x": [1]}, {"$or": [{"y": [1]}, {"z": [1]}]}]}});
    check(nested.clone(), json!({"detail": {"z": 1}}), true);
    check(nested.clone(), json!({"detail": [{"q": 1}, {"y": 1}]}), true);
    check(nested, json!({"detail": {"q": 1}}), false);
}

#[test]
fn what_is_known_beforehand_rules_out_safely() {
    let known = [("source", "bourn.stream"), ("detail-type", "orders")];
    for (pattern, expected) in [
        (json!({"source": ["bourn"]}), false),
        (json!({"source": [{"prefix": "bourn"}], "detail": {"x": [1]}}), true),
        (json!({"detail-type": [{"anything-but": "orders"}]}), false),
        (json!({"source": [{"exists": false}]}), false),
        (json!({"source": {"below": [1]}}), false),
        (json!({"source": {"below": [{"exists": false}]}}), true),
        (json!({"detail": {"x": [1]}}), true),
        (json!({"$or": [{"source": ["bourn"]}, {"detail": {"x": [1]}}]}), true),
        (json!({"$or": [{"source": ["bourn"]}, {"detail-type": ["x"], "detail": {"x": [1]}}]}), false),
    ] {
        assert_eq!(compile(&pattern).could_match(&known), expected, "{pattern}");
    }
}

#[test]
fn bytes_rule_out_only_what_cannot_match() {
    let pattern = compile(&json!({"detail": {"x": ["AA", "UA"], "y": [{"numeric": [">", 1]}]}}));
    for (detail, could) in [
        (r#"{"x":"AA"}"#, true),
        (r#"{"x":"AAX"}"#, false),
        (r#"{"x":"DL"}"#, false),
        // `\u0041` is an A.
        (r#"{"x":"\u0041A"}"#, true),
    ] {
        assert_eq!(pattern.could_match_detail(detail.as_bytes()), could, "{detail}");
    }
    let free = compile(&json!({"detail": {"x": ["AA", {"exists": false}]}}));
    assert!(free.could_match_detail(b"{}"));
}

#[test]
fn faults_have_their_places() {
    let cases = [
        (json!([]), "", "must be an object"),
        (json!({}), "", "is empty"),
        (json!({"a": {}}), "/a", "is empty"),
        (json!({"a": "x"}), "/a", "write `[\"x\"]`"),
        (json!({"a": []}), "/a", "empty list"),
        (json!({"a": [[1]]}), "/a/0", "list in a list"),
        (json!({"a": [{}]}), "/a/0", "exactly one operator"),
        (json!({"a": [{"prefix": "x", "suffix": "y"}]}), "/a/0", "exactly one operator"),
        (json!({"a": [{"starts": "x"}]}), "/a/0/starts", "is no operator"),
        (json!({"a": [1, {"prefix": 1}]}), "/a/1/prefix", "must be a text"),
        (json!({"a": [{"prefix": {"wildcard": "x"}}]}), "/a/0/prefix", "only `equals-ignore-case`"),
        (json!({"a": [{"wildcard": "a**b"}]}), "/a/0/wildcard", "two `*` in a row"),
        (json!({"a": [{"wildcard": "a\\b"}]}), "/a/0/wildcard", "escapes neither"),
        (json!({"a": [{"wildcard": "a\\"}]}), "/a/0/wildcard", "escapes neither"),
        (json!({"a": [{"exists": "yes"}]}), "/a/0/exists", "true or false"),
        (json!({"a": [{"numeric": [">"]}]}), "/a/0/numeric", "must be like"),
        (json!({"a": [{"numeric": [">", "1"]}]}), "/a/0/numeric/1", "must be a number"),
        (json!({"a": [{"numeric": ["=>", 1]}]}), "/a/0/numeric/0", "must be one of"),
        (json!({"a": [{"numeric": [">", 1, ">", 2]}]}), "/a/0/numeric", "same side twice"),
        (json!({"a": [{"numeric": [">", 5, "<", 5]}]}), "/a/0/numeric", "without a number"),
        (json!({"a": [{"numeric": ["=", 1, "<", 5]}]}), "/a/0/numeric/0", "stands alone"),
        (json!({"a": [{"cidr": "10.0.0.0"}]}), "/a/0/cidr", "must be a network"),
        (json!({"a": [{"cidr": "10.0.0.0/33"}]}), "/a/0/cidr", "must be a network"),
        (json!({"a": [{"cidr": "10.0.0.0/+8"}]}), "/a/0/cidr", "must be a network"),
        (json!({"a": [{"anything-but": []}]}), "/a/0/anything-but", "empty list"),
        (json!({"a": [{"anything-but": [1, "a"]}]}), "/a/0/anything-but", "texts only or numbers only"),
        (json!({"a": [{"anything-but": true}]}), "/a/0/anything-but", "must be a text"),
        (json!({"a": [{"anything-but": {"prefix": ""}}]}), "/a/0/anything-but/prefix", "is empty"),
        (json!({"a": [{"anything-but": {"cidr": "::/0"}}]}), "/a/0/anything-but/cidr", "not known here"),
        (
            json!({"a": [{"anything-but": {"suffix": ["x", 1]}}]}),
            "/a/0/anything-but/suffix/1",
            "must be a text",
        ),
        (json!({"$or": {"a": [1]}}), "/$or", "must be a list"),
        (json!({"$or": [{"a": [1]}]}), "/$or", "at least 2"),
        (json!({"$or": [{"a": [1]}, 1]}), "/$or/1", "must be a pattern"),
        (json!({"$or": [{"a": [1]}, {"prefix": "x"}]}), "/$or/1/prefix", "is an operator, not a field"),
        (json!({"a/b": {"c~d": 1}}), "/a~1b/c~0d", "must be a list"),
    ];
    for (pattern, pointer, message) in cases {
        let faults = Pattern::compile(&pattern).expect_err("faults");
        let found = faults.iter().any(|fault| fault.pointer == pointer && fault.message.contains(message));
        assert!(found, "{pattern}: {faults:?}");
    }
    let both = Pattern::compile(&json!({"a": 1, "b": [{"cidr": 1}]})).expect_err("faults");
    assert_eq!(both.len(), 2);
}

#[test]
fn a_pattern_that_is_too_deep_is_refused() {
    let mut pattern = json!({"a": [1]});
    for _ in 0..100 {
        pattern = json!({"a": pattern});
    }
    let faults = Pattern::compile(&pattern).expect_err("faults");
    assert!(faults[0].message.contains("deeper"), "{faults:?}");
}
