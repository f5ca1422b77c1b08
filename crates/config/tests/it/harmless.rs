//! Arbitrary bytes neither panic nor hang.

use bourn_config::load_text;
use proptest::prelude::*;
use std::path::Path;

const VALID: &str = "name: shop
streams:
  orders:
    schema: schemas/order.json
    sources:
      - http: {}
      - files: {path: inbox/*.jsonl.gz}
    event_time: {field: occurred_at, lateness: 10m, max_future: 5m}
    dedupe: {key: [order_id, sku], window: 24h}
    enrich:
      - lookup: {table: products, on: sku, take: [category, unit_cost]}
    partition_by: [day(occurred_at)]
    policy: {invalid: reject, late: correct, schema: evolve}
lookups:
  products: {file: lookups/products.csv, key: sku}
server: {listen: \"127.0.0.1:0\", keys: [{name: a, hash: \"${env:HOME}\"}]}
";

fn load(text: &str) -> Option<String> {
    load_text(text, "f", Path::new("/nonexistent")).err().map(|faults| faults.to_string())
}

#[test]
fn bombs_are_refused() {
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_string();
    for level in 1..30 {
        let before = format!("*a{}", level - 1);
        laughs.push_str(&format!("a{level}: &a{level} [{}]\n", vec![before; 9].join(", ")));
    }
    let mut aliases = "a: &a {b: c}\nl:\n".to_string();
    aliases.push_str(&"  - *a\n".repeat(80_000));
    let many: String =
        (0..9_000).map(|key| format!("k{key}: \"${{env:BOURN_TEST_X:-value{key}}}\"\n")).collect();
    let cases = [
        many,
        format!("name: \"{}\"", "${env:BOURN_TEST_X:-abcd}".repeat(20_000)),
        laughs,
        aliases,
        "[".repeat(100_000),
        "{a: ".repeat(100_000),
        "- ".repeat(100_000),
        "? ".repeat(100_000),
        "a: &a [*a]".to_string(),
        "a: &a {<<: *a}".to_string(),
        "x".repeat(2 << 20),
        "!!int x".to_string(),
        "\u{feff}\u{0}\u{1}".to_string(),
        "a: 1e999\nb: .inf\nc: .nan".to_string(),
    ];
    for text in cases {
        assert!(load(&text).is_some(), "{}", &text.chars().take(60).collect::<String>());
    }
}

#[test]
fn aliases_within_limits_work() {
    let found = load("name: &n t\nstreams: {o: {schema: *n}, p: {schema: *n}}").expect("no such files");
    assert_eq!(found.matches("no file `t`").count(), 2, "{found}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_text_never_panics(text in "(?s).{0,400}") {
        load(&text);
    }

    #[test]
    fn text_of_yaml_characters_never_panics(text in "[a-c0-9:,{}\\[\\]&*!|>'\"%@`#?\\- \n\t$]{0,300}") {
        load(&text);
    }

    #[test]
    fn mutated_definitions_never_panic(
        edits in prop::collection::vec((0usize..VALID.len(), 0usize..12, "[a-z0-9:,{}\\[\\]&*\\- \n\"$]{0,6}"), 1..6),
    ) {
        let mut bytes: Vec<u8> = VALID.into();
        for (at, cut, put) in edits {
            let at = at.min(bytes.len());
            let end = (at + cut).min(bytes.len());
            bytes.splice(at..end, put.into_bytes());
        }
        load(&String::from_utf8_lossy(&bytes));
    }
}
