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

/// `body` stands at the top; the pipeline has the stream `orders` and the function `score`.
fn in_pipeline(body: &str, expected: &[Expected]) {
    let dir = folder();
    std::fs::create_dir_all(dir.path().join("functions/score")).expect("folder");
    std::fs::create_dir_all(dir.path().join("workflows")).expect("folder");
    std::fs::write(dir.path().join("workflows/nightly.asl.json"), "{}").expect("file");
    let text = format!(
        "{body}name: t\nfunctions:\n  score: {{runtime: python3, handler: score.handle}}\nstreams:\n  orders: {{schema: \
         schemas/order.json}}\n"
    );
    let found = match load_text(&text, "bourn.yaml", dir.path()) {
        Ok(_) => Faults::default(),
        Err(faults) => faults,
    };
    let same = found.0.len() == expected.len() && found.0.iter().zip(expected).all(|(f, e)| matches(f, e));
    assert!(same, "definition:\n{text}\nexpected: {expected:#?}\nfound:\n{found}");
}

#[test]
fn steps_that_call_name_what_is_there() {
    let dir = folder();
    std::fs::create_dir_all(dir.path().join("functions/score")).expect("folder");
    // The step, the text that the fault points at, and the fault.
    let cases: &[(&str, &str, &str, &str, &str)] = &[
        (
            "enrich: [function: {name: scor, take: {a: text}}]",
            "scor,",
            "enrich[0].function.name",
            "no function `scor`",
            "`score`",
        ),
        (
            "enrich: [function: {name: score, take: {a: txt}}]",
            "txt",
            "enrich[0].function.take.a",
            "`txt` is not one of",
            "`text`",
        ),
        (
            "enrich: [function: {name: score, take: {a: {type: text, from: /x, form: 1}}}]",
            "form:",
            "enrich[0].function.take.a.form",
            "unknown key",
            "`from`",
        ),
        (
            "enrich: [function: {name: score, take: {a: {type: text, from: xy}}}]",
            "xy",
            "enrich[0].function.take.a.from",
            "not a JSON pointer",
            "`/xy`",
        ),
        (
            "enrich: [function: {name: score, take: {a: text}, batch: 0}]",
            "0}",
            "enrich[0].function.batch",
            "out of range",
            "",
        ),
        (
            "transform: {function: {name: scores, columns: {a: text}}}",
            "scores",
            "transform.function.name",
            "no function `scores`",
            "`score`",
        ),
        (
            "transform: {function: {name: score, columns: {a: text}, retrys: 1}}",
            "retrys",
            "transform.function.retrys",
            "unknown key",
            "`retries`",
        ),
        ("transform: 7", "7", "transform", "found the number 7", ""),
        (
            "enrich: [http: {url: 'example.org/{a}', take: {a: text}}]",
            "'example",
            "enrich[0].http.url",
            "not an HTTP address",
            "https://",
        ),
        (
            "enrich: [http: {url: 'http://x/{a}', connection: crm, take: {a: text}}]",
            "crm",
            "enrich[0].http.connection",
            "no connection `crm`",
            "`connections`",
        ),
        (
            "enrich: [http: {url: 'http://x/', take: {a: text}}]",
            "{url",
            "enrich[0].http",
            "nothing says",
            "`on`",
        ),
        (
            "enrich: [http: {url: 'http://x/{a}', batch: 5, on: a, take: {a: text}}]",
            "'http",
            "enrich[0].http.url",
            "cannot name one",
            "`on`",
        ),
        (
            "enrich: [http: {url: 'http://x/{a}', on: b, take: {a: text}}]",
            "b,",
            "enrich[0].http.on",
            "depends on `a`",
            "",
        ),
        (
            "enrich: [http: {url: 'http://x/{a}', on_failure: nul, take: {a: text}}]",
            "nul",
            "enrich[0].http.on_failure",
            "`nul` is not one of",
            "`null`",
        ),
        (
            "enrich: [http: {url: 'http://x/{a}', method: POST, body: {n: '{b}'}, batch: 2, on: [a, b], take: {a: text}}]",
            "{n:",
            "enrich[0].http.body",
            "a body of its own",
            "",
        ),
    ];
    for (body, at, path, message, hint) in cases {
        let text = format!(
            "functions: {{score: {{runtime: provided}}}}\nname: t\nstreams:\n  orders: {{schema: schemas/order.json, {body}}}\n"
        );
        let line = text.lines().nth(3).expect("the stream's line");
        let column = line.rfind(at).expect(at) + 1;
        let found = load_text(&text, "bourn.yaml", dir.path()).expect_err(&text);
        let path = format!("streams.orders.{path}");
        let [fault] = found.0.as_slice() else { panic!("{text}\n{found}") };
        assert_eq!((fault.line, fault.column, &fault.path), (4, column, &path), "{text}\n{found}");
        assert!(fault.message.contains(message), "{text}\n{found}");
        assert!(fault.hint.as_deref().unwrap_or("").contains(hint), "{text}\n{found}");
    }
}

#[test]
fn functions_have_limits_and_their_secrets_are_references() {
    let dir = folder();
    std::fs::create_dir_all(dir.path().join("functions/f")).expect("folder");
    let cases: &[(&str, &str, &str)] = &[
        ("runtime: ruby", "functions.f.runtime", "`ruby` is not one of"),
        ("runtime: python3", "functions.f", "`handler` is missing"),
        ("runtime: python3, handler: handle", "functions.f.handler", "is not `module.function`"),
        ("runtime: provided, code: elsewhere", "functions.f.code", "there is no folder `elsewhere`"),
        ("runtime: provided, memory: 16MiB", "functions.f.memory", "at least 32MiB"),
        ("runtime: provided, timeout: 16m", "functions.f.timeout", "at most 15m"),
        ("runtime: provided, retries: 3", "functions.f.retries", "at most 2"),
        ("runtime: provided, concurrency: {max: 0}", "functions.f.concurrency.max", "out of range"),
        (
            "runtime: provided, concurrency: {reserved: 11}",
            "functions.f.concurrency.reserved",
            "more than `max`",
        ),
        ("runtime: provided, secrets: {K: abc}", "functions.f.secrets.K", "plain text"),
        (
            "runtime: provided, environment: {1a: x}",
            "functions.f.environment.1a",
            "not the name of a variable",
        ),
        ("runtime: provided, on_failure: {stream: x}", "functions.f.on_failure.stream", "no stream `x`"),
        ("runtime: provided, on_failure: {function: f}", "functions.f.on_failure.function", "its own"),
        ("runtime: provided, on_failure: {queue: f}", "functions.f.on_failure.queue", "unknown key"),
    ];
    for (body, path, message) in cases {
        let text = format!("name: t\nfunctions:\n  f: {{{body}}}\n");
        let found = load_text(&text, "bourn.yaml", dir.path()).expect_err(&text);
        let [fault] = found.0.as_slice() else { panic!("{text}\n{found}") };
        assert!(fault.path == *path && fault.message.contains(message), "{text}\n{found}");
    }
}

#[test]
fn what_begins_and_what_is_reached_must_be_there() {
    in_pipeline("", &[]);
    in_pipeline("schedules: {a: {when: 0 2 * * *, run: {workflow: nightly}}}\n", &[]);
    in_pipeline(
        "triggers: {a: {pattern: {source: [bourn]}, run: {job: {name: compact, stream: orders}}}}\n",
        &[],
    );
    in_pipeline("notifiers: {a: {webhook: 'https://x/y'}}\nkeyed: {k: {key: id}}\n", &[]);
    let cases: &[(&str, usize, &str, &str, &str)] = &[
        (
            "schedules: {a: {when: x, run: {workflow: nightli}}}",
            42,
            "schedules.a.run.workflow",
            "no workflow",
            "`nightly`",
        ),
        (
            "schedules: {a: {when: x, run: {function: scor}}}",
            42,
            "schedules.a.run.function",
            "no function",
            "`score`",
        ),
        ("schedules: {a: {when: '', run: {function: score}}}", 23, "schedules.a.when", "found nothing", ""),
        (
            "schedules: {a: {when: x, timezone: '', run: {function: score}}}",
            36,
            "schedules.a.timezone",
            "found nothing",
            "",
        ),
        (
            "schedules: {a: {when: x, run: {job: {name: compat}}}}",
            44,
            "schedules.a.run.job.name",
            "not one of",
            "`compact`",
        ),
        (
            "schedules: {a: {when: x, run: {job: {name: replay, stream: o}}}}",
            60,
            "schedules.a.run.job.stream",
            "no stream",
            "`orders`",
        ),
        (
            "triggers: {a: {pattern: {}, run: {function: score}}}",
            25,
            "triggers.a.pattern",
            "expected an event pattern",
            "",
        ),
        (
            "workflows: {nightl: {}}",
            13,
            "workflows.nightl",
            "no file `workflows/nightl.asl.json`",
            "`nightly`",
        ),
        ("workflows: {nightly: {history: 0s}}", 32, "workflows.nightly.history", "longer than 0", ""),
        ("keyed: {k: {key: id, sort: id}}", 28, "keyed.k.sort", "is the key already", ""),
        ("notifiers: {a: {webhook: x}}", 26, "notifiers.a.webhook", "not an HTTP address", ""),
        (
            "notifiers: {a: {webhook: 'http://x', connection: b}}",
            50,
            "notifiers.a.connection",
            "no connection `b`",
            "",
        ),
        (
            "connections: {a: {headers: {Authorization: abc}}}",
            44,
            "connections.a.headers.Authorization",
            "plain text",
            "${env:NAME}",
        ),
        (
            "connections: {a: {headers: {'a b': abc}}}",
            29,
            "connections.a.headers.a b",
            "not the name of a header",
            "",
        ),
        (
            "connections: {a: {basic: {user: u, password: p}}}",
            46,
            "connections.a.basic.password",
            "plain text",
            "${env:NAME}",
        ),
        ("aws: {account: '12345'}", 16, "aws.account", "12 digits", ""),
        ("aws: {keys: [{id: a, secret: b}]}", 30, "aws.keys[0].secret", "plain text", "${env:NAME}"),
    ];
    for (body, column, path, message, hint) in cases {
        in_pipeline(&format!("{body}\n"), &[(1, *column, path, message, hint)]);
    }
}

#[test]
fn a_member_with_faults_is_still_there_for_those_who_name_it() {
    check(
        "name: t
functions: {f: {runtime: provided, timeout: soon}}
schedules: {a: {when: x, run: {function: f}}}
",
        &[
            (2, 16, "functions.f", "there is no folder", ""),
            (2, 45, "functions.f.timeout", "not a duration", ""),
        ],
    );
}
