//! Definitions that load, the generated schema and the reference.

use bourn_config::{ByteSize, Span, json_schema, load, load_text, load_with, reference_markdown};
use std::path::Path;
use tempfile::TempDir;

const BASE: &str = "name: t
streams:
  orders:
    schema: schemas/order.json
    sources:
      - http: {}
      - files: {path: \"inbox/*.jsonl\"}
    commit: {every: 5s}
postgres: {listen: \"127.0.0.1:0\"}
";

fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = TempDir::new().expect("temporary folder");
    for (path, text) in [("schemas/order.json", "{}")].iter().chain(files) {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().expect("inside the folder")).expect("folder");
        std::fs::write(path, text).expect("file");
    }
    dir
}

#[test]
fn the_templates_load() {
    let templates = Path::new("../../templates");
    for name in ["flights", "shop"] {
        let loaded = load(&templates.join(name)).unwrap_or_else(|faults| panic!("{name}:\n{faults}"));
        assert_eq!(loaded.pipeline.name, name);
    }
}

#[test]
fn the_templates_satisfy_the_generated_schema_as_an_editor_reads_it() {
    let schema = json_schema();
    assert!(schema.get("$id").is_none());
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    let plain = jsonschema::validator_for(&schema).expect("the schema compiles");
    let value =
        serde_json::json!({"name": "x", "streams": {"s": {"schema": "a", "commit": {"every": "10m"}}}});
    assert!(plain.is_valid(&value));
    assert!(!plain.is_valid(&serde_json::json!({"name": "x", "stream": {}})));
}

#[test]
fn the_schema_and_the_reference_are_the_same_every_time() {
    assert_eq!(json_schema().to_string(), json_schema().to_string());
    let reference = reference_markdown();
    assert_eq!(reference, reference_markdown());
    for part in [
        "`streams.<name>.dedupe`",
        "| `window` | duration | `1d` |",
        "`server.keys[]`",
        "| `listen` | text | `127.0.0.1:8686` |",
        "`streams.<name>.sources[].files`",
        "`streams.<name>.enrich[].lookup`",
        "| `name` | text | required |",
        "`streams.<name>.log`",
    ] {
        assert!(reference.contains(part), "no {part} in\n{reference}");
    }
}

#[test]
fn defaults_are_the_documented_ones() {
    let dir = folder(&[]);
    let loaded =
        load_text("name: t\nstreams: {o: {schema: schemas/order.json}}", "f", dir.path()).expect("loads");
    let stream = &loaded.pipeline.streams["o"];
    assert_eq!(stream.commit.every, Span::from_secs(5));
    assert_eq!(stream.max_event, ByteSize::mib(1));
    assert_eq!(stream.log.segment, ByteSize::mib(256));
}

#[test]
fn environments_change_values() {
    let over = "streams:\n  orders:\n    commit: {every: 1s}\n    sources:\n      - http: {}\n      - files: {path: \"drop/*.jsonl\"}\n";
    let dir =
        folder(&[("bourn.yaml", BASE), ("environments/prod.yaml", over), ("environments/none.yaml", "")]);
    let every = |environment| {
        let loaded = load_with(dir.path(), environment).unwrap_or_else(|faults| panic!("{faults}"));
        loaded.pipeline.streams["orders"].commit.every
    };
    assert_eq!(every(None), Span::from_secs(5));
    assert_eq!(every(Some("prod")), Span::from_secs(1));
    assert_eq!(every(Some("none")), Span::from_secs(5));
}

#[test]
fn environments_change_no_topology_and_their_faults_name_their_file() {
    let cases = [
        (
            "streams:\n  orderz: {schema: x}\n",
            2,
            3,
            "streams.orderz",
            "cannot add or remove",
            Some("`orders`"),
        ),
        ("streams:\n  orders:\n    sources: []\n", 3, 14, "streams.orders.sources", "there are 2", None),
        ("streams: {}\nlookups: {a: {file: f, key: k}}\n", 2, 1, "lookups", "cannot add or remove", None),
        ("streams: null\n", 1, 10, "streams", "cannot add or remove", None),
        (
            "streams:\n  orders: {commit: {every: 5}}\n",
            2,
            28,
            "streams.orders.commit.every",
            "not a duration",
            None,
        ),
        ("server: {lisen: x}\n", 1, 10, "server.lisen", "unknown key", Some("`listen`")),
    ];
    for (over, line, column, path, message, hint) in cases {
        let dir = folder(&[("bourn.yaml", BASE), ("environments/prod.yaml", over)]);
        let faults = load_with(dir.path(), Some("prod")).expect_err(over);
        let fault = &faults.0[0];
        assert_eq!(fault.file, "environments/prod.yaml", "{over}\n{faults}");
        assert_eq!((fault.line, fault.column, fault.path.as_str()), (line, column, path), "{over}\n{faults}");
        assert!(fault.message.contains(message), "{over}\n{faults}");
        assert!(
            hint.is_none_or(|hint| fault.hint.as_deref().unwrap_or("").contains(hint)),
            "{over}\n{faults}"
        );
    }
    let dir = folder(&[("bourn.yaml", BASE), ("environments/prod.yaml", "")]);
    let missing = load_with(dir.path(), Some("prodd")).expect_err("no such environment");
    assert!(missing.to_string().contains("did you mean `prod`?"), "{missing}");
    assert!(load_with(dir.path(), Some("../x")).is_err());
}

#[test]
fn references_are_resolved_in_values_only() {
    let dir = folder(&[("pg", "hunter22\n")]);
    let text = "name: ${env:BOURN_TEST_UNSET:-fallback}
postgres: {password: \"${file:pg}\"}
storage: {options: {\"${env:KEY}\": \"a${file:pg}b\"}}
";
    let loaded = load_text(text, "f", dir.path()).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(loaded.pipeline.name, "fallback");
    assert_eq!(
        loaded.pipeline.postgres.password.as_ref().map(bourn_config::Secret::reveal),
        Some("hunter22")
    );
    assert_eq!(loaded.pipeline.storage.options["${env:KEY}"], "ahunter22b");
}

#[test]
fn a_secret_is_never_shown() {
    let dir = folder(&[("secret", "hunter22"), ("short", "%x"), ("long", &"hunter22".repeat(40))]);
    let cases = [
        "name: t\nserver: {listen: \"${file:secret}\"}",
        "name: t\nserver: {request_timeout: \"${file:secret}\"}",
        "name: \"${file:short}\"",
        "name: t\nserver: {keys: [{name: a, hash: \"${file:secret}\"}]}",
        "name: t\nstreams: {s: {schema: \"${file:secret}\", draft: \"${file:secret}\"}}",
        "name: t\nstorage: {lake: \"${file:secret}://x\"}",
        "name: t\nstreams: {s: {schema: a, draft: \"${file:long}\"}}",
    ];
    for text in cases {
        let faults = load_text(text, "f", dir.path()).expect_err(text);
        let shown = format!("{faults}\n{faults:?}\n{}", serde_json::to_string(&faults).expect("json"));
        assert!(!shown.contains("hunter22") && !shown.contains("%x"), "{text}: {shown}");
        assert!(!faults.is_empty());
    }
}

#[test]
fn settings_are_shown_with_references_in_place_of_what_they_stand_for() {
    let dir = folder(&[("secret", "hunter22")]);
    let text = "name: t
postgres: {password: \"${file:secret}\"}
storage: {options: {secret_access_key: \"${file:secret}\"}}
notifiers: {n: {webhook: \"https://hooks.example.org/${file:secret}\"}}
connections: {c: {headers: {authorization: \"Bearer ${file:secret}\"}, basic: {user: u, password: \"${file:secret}\"}}}
aws: {keys: [{id: a, secret: \"${file:secret}\"}]}
streams:
  s: {schema: schemas/order.json, enrich: [http: {url: \"http://x/{id}?key=${file:secret}\", take: {a: text}}]}
";
    let loaded = load_text(text, "f", dir.path()).unwrap_or_else(|faults| panic!("{faults}"));
    let shown = loaded.shown();
    assert_eq!(shown["postgres"]["password"], "${file:secret}");
    assert_eq!(shown["notifiers"]["n"]["webhook"], "https://hooks.example.org/${file:secret}");
    assert!(!shown.to_string().contains("hunter22"), "{shown}");
    let printed = format!("{loaded:?} {:?}", loaded.pipeline);
    assert!(!printed.contains("hunter22"), "{printed}");
    assert_eq!(loaded.pipeline.aws.keys[0].secret.reveal(), "hunter22");
}

#[test]
fn later_steps_report_with_places() {
    let dir = folder(&[]);
    let loaded = load_text(BASE, "bourn.yaml", dir.path()).unwrap_or_else(|faults| panic!("{faults}"));
    let fault = loaded.places.fault_at("/streams/orders/schema", "does not compile", Some("look".into()));
    let shown = "bourn.yaml:4:13: streams.orders.schema: does not compile\n  hint: look";
    assert_eq!(fault.to_string(), shown);
    let around = loaded.places.fault_at("/streams/orders/transform/x", "m", None);
    assert_eq!((around.line, around.column), (3, 3));
}

#[test]
fn units_read_as_people_write_them() {
    for (text, micros) in [
        ("500ms", 500_000),
        ("1.5s", 1_500_000),
        ("10m", 600_000_000),
        ("24h", 86_400_000_000i64),
        ("7 d", 604_800_000_000),
        ("3us", 3),
    ] {
        assert_eq!(Span::parse(text).map(Span::micros), Ok(micros), "{text}");
    }
    for text in ["", "10", "m", "-1s", "1x", "1e3s", "999999999999999w", "1..2s"] {
        assert!(Span::parse(text).is_err(), "{text}");
    }
    for (text, bytes) in
        [("64MB", 64_000_000), ("64MiB", 64 << 20), ("17", 17), ("1.5k", 1_500), ("2 GiB", 2 << 30)]
    {
        assert_eq!(ByteSize::parse(text), Ok(ByteSize(bytes)), "{text}");
    }
    for text in ["", "MB", "1XB", "-1", "1 2"] {
        assert!(ByteSize::parse(text).is_err(), "{text}");
    }
}
