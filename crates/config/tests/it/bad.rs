//! Definitions that do not load: for each the fault, its place, its words and its hint.

use bourn_config::{Fault, Faults, load_text};
use tempfile::TempDir;

/// line, column, path, fragment of the message, fragment of the hint (empty: none is asked for).
type Expected = (usize, usize, &'static str, &'static str, &'static str);

fn folder() -> TempDir {
    let dir = TempDir::new().expect("temporary folder");
    for path in ["schemas/order.json", "transforms/orders.sql", "lookups/products.csv"] {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().expect("inside the folder")).expect("folder");
        std::fs::write(path, "{}").expect("file");
    }
    dir
}

fn faults(text: &str) -> Faults {
    let dir = folder();
    load_text(text, "bourn.yaml", dir.path()).expect_err(text)
}

fn matches(fault: &Fault, (line, column, path, message, hint): &Expected) -> bool {
    fault.line == *line
        && fault.column == *column
        && fault.path == *path
        && fault.message.contains(message)
        && fault.hint.as_deref().unwrap_or("").contains(hint)
}

/// Exactly the expected faults, in this order.
fn check(text: &str, expected: &[Expected]) {
    let found = faults(text);
    let same = found.0.len() == expected.len() && found.0.iter().zip(expected).all(|(f, e)| matches(f, e));
    assert!(same, "definition:\n{text}\nexpected: {expected:#?}\nfound:\n{found}");
}

/// `body` stands in a stream at line 4, indented by 4.
fn in_stream(body: &str, expected: Expected) {
    let mut text = "name: t\nstreams:\n  orders:\n".to_string();
    for line in body.lines() {
        text.push_str(&format!("    {line}\n"));
    }
    text.push_str(
        "    schema: schemas/order.json\nlookups:\n  products: {file: lookups/products.csv, key: sku}\n",
    );
    check(&text, &[expected]);
}

#[test]
fn files_that_are_no_definition() {
    check("", &[(0, 0, "", "empty", "name")]);
    check("# nothing\n", &[(0, 0, "", "empty", "name")]);
    check("- a\n", &[(1, 1, "", "expected a mapping, found a list", "")]);
    check("just text\n", &[(1, 1, "", "expected a mapping", "")]);
    check("{}", &[(1, 1, "name", "`name` is missing", "")]);
    check("name: a\n---\nname: b\n", &[(2, 1, "", "a second document", "")]);
    assert!(faults("name: [a\n").0[0].message.contains("not valid YAML"));
    assert!(faults("name: a\n\tb: c\n").0[0].line > 0);
    check("name: a\nname: b\n", &[(2, 1, "", "`name` comes twice; it is first at 1:1", "keep one")]);
    check("name: *x\n", &[(1, 7, "", "", "")]);
}

#[test]
fn wrong_keys_and_values() {
    check("name: t\nstream: {}\n", &[(2, 1, "stream", "unknown key `stream`", "did you mean `streams`?")]);
    check("name: 5\n", &[(1, 7, "name", "expected text, found the number 5", "\"5\"")]);
    check("name: a b\n", &[(1, 7, "name", "is not a name", "")]);
    check("name: t\nstreams: []\n", &[(2, 10, "streams", "expected a mapping, found a list", "")]);
    check("name: t\nstreams:\n  orders: {}\n", &[(3, 3, "streams.orders.schema", "`schema` is missing", "")]);
    check("name: t\nserver: {max_connections: -1}\n", &[(2, 27, "server.max_connections", "too small", "")]);
    in_stream("dedup: {key: a}", (4, 5, "streams.orders.dedup", "unknown key", "did you mean `dedupe`?"));
    in_stream(
        "dedupe: {key: a, windw: 1h}",
        (4, 22, "streams.orders.dedupe.windw", "unknown key", "`window`"),
    );
    in_stream("dedupe: {window: 1h}", (4, 5, "streams.orders.dedupe.key", "`key` is missing", ""));
    in_stream("dedupe: {key: 7}", (4, 19, "streams.orders.dedupe.key", "expected a list or text", "\"7\""));
    in_stream("dedupe: {key: [a, 7]}", (4, 23, "streams.orders.dedupe.key[1]", "expected text", ""));
    in_stream("dedupe: {key: []}", (4, 19, "streams.orders.dedupe.key", "found nothing", ""));
    in_stream("dedupe: 5", (4, 13, "streams.orders.dedupe", "expected a mapping, found the number 5", ""));
    in_stream(
        "policy: {late: corect}",
        (4, 20, "streams.orders.policy.late", "`corect` is not one of", "`correct`"),
    );
    in_stream(
        "policy: {schema: 3}",
        (4, 22, "streams.orders.policy.schema", "the number 3 is not one of", ""),
    );
    in_stream("draft: 7", (4, 12, "streams.orders.draft", "the number 7 is not one of", "\"7\""));
    in_stream("format: asert", (4, 13, "streams.orders.format", "`asert` is not one of", "`assert`"));
    in_stream("bronze_table: maybe", (4, 19, "streams.orders.bronze_table", "expected true or false", ""));
}

#[test]
fn units_say_what_was_expected() {
    in_stream("commit: {every: 5}", (4, 21, "streams.orders.commit.every", "`5` is not a duration", ""));
    in_stream("commit: {every: 5 parsecs}", (4, 21, "streams.orders.commit.every", "is not a duration", ""));
    in_stream("commit: {every: 1.2.3s}", (4, 21, "streams.orders.commit.every", "is not a duration", ""));
    in_stream("commit: {every: 0s}", (4, 21, "streams.orders.commit.every", "longer than 0", ""));
    in_stream("commit: {every: [1]}", (4, 21, "streams.orders.commit.every", "found a list", ""));
    in_stream("commit: {bytes: 5 XB}", (4, 21, "streams.orders.commit.bytes", "is not a size", ""));
    in_stream("log: {segment: 1KB}", (4, 20, "streams.orders.log.segment", "at least 1MiB", ""));
    in_stream("log: {retention_age: old}", (4, 26, "streams.orders.log.retention_age", "not a duration", ""));
    in_stream("partition_by: [week(a)]", (4, 20, "streams.orders.partition_by[0]", "is not a partition", ""));
    in_stream("partition_by: [a, a]", (4, 23, "streams.orders.partition_by[1]", "already", ""));
}

#[test]
fn choices_give_one_readable_fault() {
    in_stream(
        "sources: [htp: {}]",
        (4, 15, "streams.orders.sources[0].htp", "expected `http`, `files`", "`http`"),
    );
    in_stream("sources: [http]", (4, 15, "streams.orders.sources[0]", "expected a mapping", ""));
    in_stream("sources: [{}]", (4, 15, "streams.orders.sources[0]", "expected one of `http`, `files`", ""));
    in_stream(
        "sources: [http: {port: 1}]",
        (4, 22, "streams.orders.sources[0].http.port", "unknown key", ""),
    );
    in_stream(
        "sources: [files: {}]",
        (4, 15, "streams.orders.sources[0].files.path", "`path` is missing", ""),
    );
    in_stream(
        "sources: [files: {path: a, format: cvs}]",
        (4, 40, "streams.orders.sources[0].files.format", "`cvs` is not one of", "`csv`"),
    );
    in_stream(
        "enrich: [lookup: {table: products, on: sku, tak: [a]}]",
        (4, 49, "streams.orders.enrich[0].lookup.tak", "unknown key", "`take`"),
    );
    in_stream(
        "enrich: [lookup: {table: products, on: sku, missing: null}]",
        (4, 58, "streams.orders.enrich[0].lookup.missing", "nothing is not one of", "\"null\""),
    );
}

#[test]
fn what_does_not_fit_together() {
    in_stream(
        "enrich: [lookup: {table: product, on: sku}]",
        (4, 30, "streams.orders.enrich[0].lookup.table", "no lookup `product`", "`products`"),
    );
    in_stream(
        "enrich: [lookup: {table: products, on: [a, b]}]",
        (4, 44, "streams.orders.enrich[0].lookup.on", "2 field(s) for a key of 1: sku", ""),
    );
    in_stream("sources: [http: {}, http: {}]", (4, 25, "streams.orders.sources[1]", "one http source", ""));
    in_stream(
        "sources: [files: {path: a}, files: {path: ./a}]",
        (
            4,
            47,
            "streams.orders.sources[1].files.path",
            "watched by source 0 of the stream `orders`",
            "twice",
        ),
    );
    in_stream(
        "sources: [files: {path: \"a[\"}]",
        (4, 29, "streams.orders.sources[0].files.path", "not a glob", ""),
    );
    in_stream(
        "transform: transforms/order.sql",
        (4, 16, "streams.orders.transform", "no file", "transforms/orders.sql"),
    );
    in_stream("transform: transforms", (4, 16, "streams.orders.transform", "not a file", ""));
    check(
        "name: t\nstreams:\n  My-Orders: {schema: schemas/order.json}\n",
        &[(3, 3, "streams.My-Orders", "not an SQL identifier", "`my_orders`")],
    );
    check(
        "name: t\nstreams:\n  o: {schema: order.json}\n",
        &[(3, 15, "streams.o.schema", "no file `order.json`", "schemas/order.json")],
    );
}

#[test]
fn networks_are_closed_unless_told_otherwise() {
    check(
        "name: t\nserver: {listen: nowhere}\n",
        &[(2, 18, "server.listen", "not an address", "127.0.0.1:8686")],
    );
    check("name: t\nserver: {listen: 8080}\n", &[(2, 18, "server.listen", "expected text", "\"8080\"")]);
    check(
        "name: t\nserver: {listen: 0.0.0.0:1}\n",
        &[(2, 18, "server.listen", "no API keys", "allow_unauthenticated")],
    );
    check(
        "name: t\npostgres: {listen: \"[::]:1\"}\n",
        &[(2, 20, "postgres.listen", "no password", "${env:…}")],
    );
    check(
        "name: t\npostgres: {password: abc}\n",
        &[(2, 22, "postgres.password", "plain text", "${env:NAME}")],
    );
    check(
        "name: t\nserver: {keys: [{name: a, hash: abc, streams: [x], verbs: [ingst]}]}\n",
        &[(2, 60, "server.keys[0].verbs[0]", "`ingst` is not one of", "`ingest`")],
    );
    check(
        "name: t\nserver: {keys: [{name: a, hash: abc, streams: [x]}]}\n",
        &[
            (2, 33, "server.keys[0].hash", "64 hexadecimal digits", "sha256sum"),
            (2, 48, "server.keys[0].streams[0]", "no stream `x`", ""),
        ],
    );
    check("name: t\nstorage: {lake: \"s4://b\"}\n", &[(2, 17, "storage.lake", "not in a store", "`s3`")]);
    check("name: t\nstorage: {lake: \"s3://\"}\n", &[(2, 17, "storage.lake", "no bucket", "bucket/prefix")]);
}

#[test]
fn references_that_lead_nowhere() {
    check(
        "name: t\npostgres: {password: \"${env:BOURN_TEST_NOT_SET}\"}\n",
        &[(2, 22, "postgres.password", "`BOURN_TEST_NOT_SET` is not set", ":-")],
    );
    check("name: \"${file:nothing}\"\n", &[(1, 7, "name", "`nothing` cannot be read", "")]);
    check("name: \"${vault:x}\"\n", &[(1, 7, "name", "not a reference", "${env:NAME}")]);
    check("name: \"${env:x\"\n", &[(1, 7, "name", "no end", "")]);
}

#[test]
fn all_faults_are_told_at_once() {
    check(
        "name: a b
streams:
  orders:
    schema: schemas/ordr.json
    dedupe: {key: id, window: 5}
    policy: {late: lost}
    enrich:
      - lookup: {table: products, on: sku}
  Bad: {schema: schemas/order.json}
server:
  listen: 0.0.0.0:1
  lisen: x
",
        &[
            (1, 7, "name", "is not a name", ""),
            (4, 13, "streams.orders.schema", "no file", "schemas/order.json"),
            (5, 31, "streams.orders.dedupe.window", "not a duration", ""),
            (6, 20, "streams.orders.policy.late", "not one of", ""),
            (8, 25, "streams.orders.enrich[0].lookup.table", "no lookup", "lookups"),
            (9, 3, "streams.Bad", "SQL identifier", "`bad`"),
            (11, 11, "server.listen", "no API keys", "127.0.0.1"),
            (12, 3, "server.lisen", "unknown key", "`listen`"),
        ],
    );
}

#[test]
fn a_fault_prints_its_place_and_its_hint() {
    let found = faults("name: t\nstream: {}\n");
    let shown = "bourn.yaml:2:1: stream: unknown key `stream`\n  hint: did you mean `streams`?";
    assert_eq!(found.to_string(), shown);
    let json = serde_json::to_value(&found).expect("json");
    assert_eq!(json[0]["path"], "stream");
    assert_eq!(json[0]["line"], 2);
}
