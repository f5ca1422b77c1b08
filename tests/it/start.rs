//! What is refused before anything runs: with a place, a reason and a way out, and with nothing
//! changed or deleted.

use crate::probe::{content, files, order, refused};
use crate::support::{Folder, ORDER_SCHEMA, ORDERS};
use bourn_state::{Durability, Key, State};

struct Case {
    name: &'static str,
    /// The file that is wrong, and what it holds.
    file: (&'static str, String),
    /// What is said: the place, and a word of the reason or hint.
    said: &'static [&'static str],
}

fn schema(quantity: &str) -> String {
    ORDER_SCHEMA.replace(r#"{"type": "integer", "minimum": 1}"#, quantity)
}

fn cases() -> Vec<Case> {
    let case = |name, path, content: String, said| Case { name, file: (path, content), said };
    let (yaml, json, sql) = ("bourn.yaml", "schemas/order.json", "transforms/orders.sql");
    let select = |tail: &str| format!("select order_id, quantity from events {tail}");
    vec![
        case(
            "a schema that is not JSON",
            json,
            "{\"type\": \"object\",}".into(),
            &["bourn.yaml:4:", "order.json:1:"],
        ),
        case(
            "a schema with a wrong keyword",
            json,
            schema(r#"{"type": "intger"}"#),
            &["bourn.yaml:4:", "order.json#/properties/quantity", "intger"],
        ),
        case(
            "a pattern that does not compile",
            json,
            schema(r#"{"type": "string", "pattern": "("}"#),
            &["order.json#/properties/quantity"],
        ),
        case(
            "a reference to nowhere",
            json,
            schema(r##"{"$ref": "#/$defs/none"}"##),
            &["order.json#/properties/quantity", "none"],
        ),
        case(
            "a reference to itself",
            json,
            schema(r##"{"$ref": "#/properties/quantity"}"##),
            &["order.json#/properties/quantity", "circles"],
        ),
        case(
            "references in a circle",
            json,
            schema(r##"{"$ref": "#/$defs/a"}"##).replacen(
                '{',
                r##"{"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}},"##,
                1,
            ),
            &["order.json#/", "$ref"],
        ),
        case(
            "a reference to the network",
            json,
            schema(r#"{"$ref": "https://example.org/x.json"}"#),
            &["order.json#/properties/quantity", "example.org"],
        ),
        case(
            "no schema file",
            yaml,
            ORDERS.replace("order.json", "ordr.json"),
            &["bourn.yaml:4:", "ordr.json"],
        ),
        case("SQL that does not parse", sql, "select from where".into(), &["orders.sql:1:"]),
        case(
            "an unknown column",
            sql,
            "select order_id,\n  quantty from events".into(),
            &["orders.sql:2:", "quantty"],
        ),
        case(
            "an unknown function",
            sql,
            "select no_such(sku) as x from events".into(),
            &["orders.sql:1:", "no_such"],
        ),
        case("an unknown table", sql, "select order_id from orders".into(), &["orders.sql", "`events`"]),
        case(
            "an aggregate",
            sql,
            "select count(*) as n from events".into(),
            &["bourn.yaml:11:", "aggregate", "hint"],
        ),
        case("a group", sql, "select sku from events group by sku".into(), &["bourn.yaml:11:", "aggregate"]),
        case(
            "a join",
            sql,
            "select a.sku from events a join events b on a.sku = b.sku".into(),
            &["bourn.yaml:11:", "join"],
        ),
        case("an order", sql, select("order by 1"), &["bourn.yaml:11:", "ORDER BY"]),
        case("a limit", sql, select("limit 1"), &["bourn.yaml:11:", "LIMIT"]),
        case(
            "a window",
            sql,
            "select row_number() over () as n from events".into(),
            &["bourn.yaml:11:", "window"],
        ),
        case("a subquery", sql, select("where quantity > (select 1)"), &["bourn.yaml:11:", "subquery"]),
        case(
            "two statements",
            sql,
            "select sku from events; select sku from events".into(),
            &["bourn.yaml:11:", "one SELECT"],
        ),
        case("no SELECT", sql, "drop table events".into(), &["bourn.yaml:11:", "one SELECT"]),
        case(
            "two columns of one name",
            sql,
            "select sku, order_id as sku from events".into(),
            &["bourn.yaml:11:", "sku"],
        ),
        case(
            "Bourn's own name",
            sql,
            "select sku as _offset from events".into(),
            &["bourn.yaml:11:", "_offset"],
        ),
        case(
            "no lookup file",
            yaml,
            ORDERS.replace("products.csv", "produkts.csv"),
            &["bourn.yaml:14:", "produkts.csv"],
        ),
        case(
            "an unknown lookup",
            yaml,
            ORDERS.replace("table: products", "table: product"),
            &["bourn.yaml:10:", "products"],
        ),
        case(
            "an unknown lookup column",
            yaml,
            ORDERS.replace("[category]", "[categry]"),
            &["bourn.yaml:10:", "categry", "category"],
        ),
        case(
            "an unknown lookup key",
            yaml,
            ORDERS.replace("key: sku}", "key: skuu}"),
            &["bourn.yaml:14:", "skuu"],
        ),
        case(
            "an unknown enrich field",
            yaml,
            ORDERS.replace("on: sku", "on: skuu"),
            &["bourn.yaml:10:", "skuu"],
        ),
        case(
            "a broken lookup file",
            "lookups/products.csv",
            "sku,category\n\"A,tea\nB".into(),
            &["bourn.yaml:14:", "products.csv"],
        ),
        case(
            "an unknown dedupe key",
            yaml,
            ORDERS.replace("key: order_id", "key: order"),
            &["bourn.yaml:8:", "order"],
        ),
        case(
            "an unknown event time",
            yaml,
            ORDERS.replace("    dedupe:", "    event_time: {field: occured_at}\n    dedupe:"),
            &["bourn.yaml:8:", "occured_at"],
        ),
        case(
            "an event time that is no time",
            yaml,
            ORDERS.replace("    dedupe:", "    event_time: {field: sku}\n    dedupe:"),
            &["bourn.yaml:8:", "sku"],
        ),
        case(
            "an unknown partition column",
            yaml,
            ORDERS.replace("    commit:", "    partition_by: [day(when)]\n    commit:"),
            &["bourn.yaml:12:", "when"],
        ),
        case(
            "an open port without keys",
            yaml,
            format!("{ORDERS}server: {{listen: \"0.0.0.0:0\"}}\n"),
            &["bourn.yaml:15:", "keys"],
        ),
        case(
            "a certificate that is not there",
            yaml,
            format!("{ORDERS}server: {{tls: {{cert: no.pem, key: no.key}}}}\n"),
            &["bourn.yaml:15:", "no.pem"],
        ),
        case(
            "a secret that is not set",
            yaml,
            format!("{ORDERS}postgres: {{password: \"${{env:BOURN_TEST_NOT_SET}}\"}}\n"),
            &["bourn.yaml:15:", "BOURN_TEST_NOT_SET"],
        ),
        case("not YAML", yaml, "name: [".into(), &["bourn.yaml:2:"]),
        case("a key twice", yaml, format!("{ORDERS}name: again\n"), &["bourn.yaml:15:", "name"]),
        case("not UTF-16", yaml, "n\0a\0m\0e\0".into(), &["bourn.yaml:1:"]),
        case("nested without end", yaml, format!("name: {}", "[".repeat(20_000)), &["bourn.yaml:1:"]),
    ]
}

#[test]
fn a_wrong_definition_is_refused_with_its_place() {
    let mut faults = Vec::new();
    for case in cases() {
        let folder = Folder::orders();
        folder.write(case.file.0, &case.file.1);
        for verb in [&["validate"][..], &["run", "--once"]] {
            let output = folder.bourn(verb);
            let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            let missing: Vec<_> = case.said.iter().filter(|word| !said.contains(**word)).collect();
            if output.status.code() != Some(2) || !missing.is_empty() || said.contains("panicked") {
                faults.push(format!(
                    "{} ({}): {}, without {missing:?}:\n{said}",
                    case.name, verb[0], output.status
                ));
            }
            assert!(!folder.join("lake").exists(), "{}: a refused pipeline began", case.name);
        }
    }
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn an_address_for_everybody_needs_keys_wherever_it_is_written() {
    let folder = Folder::orders();
    for listen in ["0.0.0.0:0", "[::]:0"] {
        let (_, said) = refused(&folder, &["run", "--listen", listen, "--pg-listen", "127.0.0.1:0"]);
        assert!(said.contains("keys") && said.contains("allow_unauthenticated"), "{said}");
    }
    let (_, said) = refused(&folder, &["run", "--listen", "127.0.0.1:0", "--pg-listen", "0.0.0.0:0"]);
    assert!(said.contains("password"), "{said}");
}

/// A pipeline that ran, with its commits in several files.
fn used() -> Folder {
    let folder = Folder::orders();
    let running = folder.start();
    for id in 0..4 {
        running.send("orders", &order(id));
    }
    assert_eq!(running.stop(), Some(0));
    folder.prove();
    folder
}

/// Nothing that was in these folders may be gone or changed.
fn assert_kept(before: &[(std::path::PathBuf, Vec<u8>)], name: &str) {
    for (path, bytes) in before {
        // Journals of the state and the lock belong to whoever looks; the dedupe index is made from the log.
        let own = |part: &str| path.to_string_lossy().contains(part);
        if own("/.bourn/state/") || own("/.bourn/lock") || own("/.bourn/spill") || own("/dedupe/") {
            assert!(path.exists() || own("journal") || own("/dedupe/"), "{name}: {} is gone", path.display());
            continue;
        }
        let now =
            std::fs::read(path).unwrap_or_else(|error| panic!("{name}: {} is gone: {error}", path.display()));
        assert!(now == *bytes, "{name}: {} was changed", path.display());
    }
}

fn kept(folder: &Folder) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    [".bourn", "lake"].into_iter().flat_map(|name| content(&folder.join(name))).collect()
}

#[test]
fn a_schema_that_the_table_cannot_follow_is_refused() {
    let changed = [
        ("another type", schema(r#"{"type": "array", "items": {"type": "string"}}"#)),
        ("a structure", schema(r#"{"type": "object", "properties": {"x": {"type": "integer"}}}"#)),
        ("no number any more", schema(r#"{"type": "boolean"}"#)),
    ];
    for policy in ["evolve", "freeze", "reject"] {
        let folder = used();
        folder.write(
            "bourn.yaml",
            ORDERS.replace("    commit:", &format!("    policy: {{schema: {policy}}}\n    commit:")),
        );
        folder.write("transforms/orders.sql", "select order_id, sku, category, quantity from events\n");
        let before = kept(&folder);
        for (name, schema) in &changed {
            folder.write("schemas/order.json", schema);
            let (code, said) = refused(&folder, &["run", "--once"]);
            assert!(said.contains("quantity") && said.contains("replay"), "{policy}, {name}: {code} {said}");
            assert_kept(&before, name);
        }
        folder.write("schemas/order.json", ORDER_SCHEMA);
        folder.write("transforms/orders.sql", crate::support::ORDERS_SQL);
        folder.ok(&["run", "--once"]);
        folder.prove();
    }
}

#[test]
fn a_damaged_segment_is_named_and_kept() {
    let folder = used();
    let segment = files(&folder.join(".bourn/streams/orders/events"), ".jsonl.zst").remove(0);
    let mut bytes = std::fs::read(&segment).expect("a segment");
    let middle = bytes.len() / 2;
    bytes[middle..middle + 8].fill(0x5a);
    std::fs::write(&segment, &bytes).expect("a segment");
    let before = kept(&folder);
    let name = segment.file_name().expect("a name").to_string_lossy().into_owned();
    let (code, said) = refused(&folder, &["fsck"]);
    assert!(code == 3 && said.contains(&name), "{code}: {said}");
    let proof = folder.bourn(&["ledger", "--prove"]);
    let said = String::from_utf8_lossy(&[proof.stdout, proof.stderr].concat()).into_owned();
    assert!(!said.contains("panicked"), "{said}");
    assert_kept(&before, "fsck and ledger");

    // What was in the table stays there; what comes is taken.
    let running = folder.start();
    running.send("orders", &order("behind"));
    assert_eq!(folder.number("select count(*) from silver.orders"), 5);
    assert_eq!(running.stop(), Some(0));
    let now = std::fs::read(&segment)
        .or_else(|_| std::fs::read(files(&folder.join("lake/raw/orders"), &name).remove(0)));
    assert!(now.expect("the segment").starts_with(&bytes), "the damaged segment was rewritten");
}

#[test]
fn a_missing_lake_file_is_named() {
    let folder = used();
    let file = files(&folder.join("lake/silver/orders"), ".parquet").remove(0);
    let aside = folder.join("aside.parquet");
    std::fs::rename(&file, &aside).expect("a file");
    let before = kept(&folder);
    let name = file.file_name().expect("a name").to_string_lossy().into_owned();
    for verb in [&["sql", "select order_id, sku from silver.orders"][..], &["ledger", "--prove"]] {
        let (_, said) = refused(&folder, verb);
        assert!(said.contains(&name), "{verb:?} does not name {name}: {said}");
        assert!(said.contains("restore") && said.contains("replay"), "{verb:?} tells no way out: {said}");
        assert_kept(&before, verb[0]);
    }
    // The way out that the message names.
    folder.ok(&["replay", "orders"]);
    folder.prove();
    assert_eq!(folder.number("select count(*) from silver.orders"), 4);
}

#[test]
fn a_missing_table_log_is_not_taken_for_an_empty_table() {
    let folder = used();
    std::fs::rename(folder.join("lake/silver/orders/_delta_log"), folder.join("aside")).expect("a folder");
    let before = kept(&folder);
    let output = folder.bourn(&["run", "--once"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said.contains("panicked"), "{said}");
    assert_kept(&before, "run");
    if output.status.success() {
        // The table is made again from the log, none of it lost.
        assert_eq!(folder.number("select count(*) from silver.orders"), 4);
        folder.prove();
    }
}

#[test]
fn a_newer_state_is_refused_and_kept() {
    let folder = used();
    let dir = folder.join(".bourn/state");
    State::open(&dir)
        .and_then(|state| state.put(&Key::FormatVersion, &99, Durability::Synced))
        .expect("a state");
    let before = kept(&folder);
    let (code, said) = refused(&folder, &["run", "--once"]);
    assert_eq!(code, 1, "{said}");
    for word in [dir.to_str().expect("text"), "99", "newer", "Nothing was changed"] {
        assert!(said.contains(word), "{word} is missing: {said}");
    }
    assert_kept(&before, "run");
}

/// An intact snapshot of a segment of `orders/events`, as a format version 2 might begin.
const NEWER_SEGMENT: &[u8] = include_bytes!("newer-segment.bin");

#[test]
fn a_newer_segment_is_refused_and_kept() {
    let folder = used();
    let segment = files(&folder.join(".bourn/streams/orders/events"), ".jsonl.zst").remove(0);
    std::fs::write(&segment, NEWER_SEGMENT).expect("a segment");
    let before = kept(&folder);
    let name = segment.file_name().expect("a name").to_string_lossy().into_owned();
    for verb in [&["run", "--once"][..], &["fsck"], &["ledger", "--prove"]] {
        let (_, said) = refused(&folder, verb);
        assert!(said.contains(&name) && said.contains("version"), "{verb:?}: {said}");
        assert_kept(&before, verb[0]);
    }
}

#[test]
fn a_lake_without_its_log_is_refused_and_kept() {
    let folder = used();
    let log = folder.join(".bourn/streams/orders/events");
    for dir in [&log, &folder.join("lake/raw")] {
        if dir.exists() {
            let aside = folder.join(&format!("aside-{}", dir.ends_with("raw")));
            std::fs::rename(dir, aside).expect("a folder");
        }
    }
    let before = kept(&folder);
    let (_, said) = refused(&folder, &["run", "--once"]);
    assert!(said.contains(log.to_str().expect("text")) && said.contains("restore"), "{said}");
    assert_kept(&before, "run");
}

#[test]
fn a_folder_without_a_pipeline_says_what_to_do() {
    let folder = Folder::empty();
    for verb in ["run", "validate", "ledger", "fsck"] {
        let (code, said) = refused(&folder, &[verb]);
        assert!(code == 2 && said.contains("bourn.yaml") && said.contains("bourn init"), "{verb}: {said}");
    }
    assert!(std::fs::read_dir(folder.path()).expect("a folder").next().is_none());
}
