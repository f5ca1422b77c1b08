//! Lookups: formats, keys, missing rows, reload.

use crate::support::{check, decoded, live, options, story};
use bourn_refine::{Lookups, Plan, PlanFault};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

const CSV: &str = "sku,name,price\na,Apple,1\nb,Bean,2\na,Avocado,3\n";

fn open(dir: &Path, file: &str, key: serde_json::Value) -> Lookups {
    let lookup = serde_json::from_value(json!({"file": file, "key": key})).expect("a lookup");
    Lookups::open(&BTreeMap::from([("products".to_owned(), lookup)]), dir).expect("opened")
}

fn plan(dir: &Path, lookups: &Lookups, step: serde_json::Value) -> Result<Plan, Vec<PlanFault>> {
    let mut step = step;
    step["table"] = json!("products");
    let sql = step.as_object_mut().and_then(|step| step.remove("sql"));
    let sql = sql.as_ref().and_then(|sql| sql.as_str());
    bourn_refine::plan(options(dir, json!({"enrich": [{"lookup": step}]}), sql), lookups)
}

fn stories(plan: &Plan, events: &[&str]) -> Vec<String> {
    let events: Vec<String> = events.iter().map(|event| (*event).to_owned()).collect();
    story(&check(&mut plan.refiner(live(0)).expect("a refiner"), &decoded(0, 0, &events)))
}

#[test]
fn every_format_gives_the_same_rows() {
    let ndjson = CSV
        .lines()
        .skip(1)
        .map(|line| {
            let v: Vec<&str> = line.split(',').collect();
            format!("{{\"sku\":\"{}\",\"name\":\"{}\",\"price\":{}}}\n", v[0], v[1], v[2])
        })
        .collect::<String>();
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path();
    std::fs::write(dir.join("p.csv"), CSV).expect("written");
    std::fs::write(dir.join("p.ndjson"), &ndjson).expect("written");
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(CSV.as_bytes()).expect("compressed");
    std::fs::write(dir.join("p.csv.gz"), gz.finish().expect("compressed")).expect("written");
    std::fs::write(dir.join("p.jsonl.zst"), zstd::encode_all(ndjson.as_bytes(), 1).expect("compressed"))
        .expect("written");
    let rows = open(dir, "p.csv", json!("sku")).table("products").expect("rows");
    let file = std::fs::File::create(dir.join("p.parquet")).expect("created");
    let mut writer = parquet::arrow::ArrowWriter::try_new(file, rows.schema(), None).expect("a writer");
    writer.write(&rows).expect("written");
    writer.close().expect("written");
    for file in ["p.csv", "p.csv.gz", "p.ndjson", "p.jsonl.zst", "p.parquet"] {
        let lookups = open(dir, file, json!("sku"));
        let plan = plan(dir, &lookups, json!({"on": "id", "sql": "SELECT id, name, price FROM events"}))
            .expect("a plan");
        let got = stories(&plan, &[r#"{"id":"a"}"#, r#"{"id":"b"}"#, r#"{"id":"c"}"#, "{}"]);
        let expected = [
            "0: row a|Avocado|3|null",
            "1: row b|Bean|2|null",
            "2: row c|null|null|null",
            "3: row null|null|null|null",
        ];
        assert_eq!(got, expected, "{file}");
    }
}

#[test]
fn keys_meet_across_types_and_missing_rows_follow_the_policy() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path();
    std::fs::write(dir.join("p.csv"), "k,j,v\n1,x,one\n2,y,two\n").expect("written");
    // key · on · missing · events · v of each
    let cases = [
        (json!("k"), json!("n"), "null", vec![r#"{"n":1}"#, r#"{"n":3}"#], "one null"),
        (json!("k"), json!("id"), "null", vec![r#"{"id":"2"}"#, r#"{"id":"x"}"#], "two null"),
        (json!("k"), json!("x"), "null", vec![r#"{"x":1.0}"#, r#"{"x":1.5}"#], "one null"),
        (json!("k"), json!("n"), "reject", vec![r#"{"n":9}"#, r#"{"n":2}"#, "{}"], "lookup! two lookup!"),
        (
            json!(["k", "j"]),
            json!(["n", "/who/id"]),
            "null",
            vec![r#"{"n":1,"who":{"id":"x"}}"#, r#"{"n":1,"who":{"id":"y"}}"#, r#"{"n":1}"#],
            "one null null",
        ),
    ];
    for (key, on, missing, events, expected) in cases {
        let lookups = open(dir, "p.csv", key.clone());
        let step = json!({"on": on, "take": ["v"], "missing": missing, "sql": "SELECT v FROM events"});
        let plan = plan(dir, &lookups, step).expect("a plan");
        let got: Vec<String> = stories(&plan, &events)
            .iter()
            .map(|line| match line.split_once("row ") {
                Some((_, row)) => row.split('|').next().unwrap_or_default().to_owned(),
                None => line.rsplit(' ').next().unwrap_or_default().to_owned() + "!",
            })
            .collect();
        assert_eq!(got.join(" "), expected, "{key} {on}");
    }
}

#[test]
fn faults_of_a_step_are_found_at_once_with_hints() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path();
    std::fs::write(dir.join("p.csv"), "sku,id,price\na,1,2\n").expect("written");
    let lookups = open(dir, "p.csv", json!("sku"));
    let cases = [
        (json!({"on": "idd"}), "enrich[0].lookup.on", "did you mean `id`?"),
        (json!({"on": "id", "take": ["prise"]}), "enrich[0].lookup.take", "did you mean `price`?"),
        (json!({"on": "id"}), "enrich[0].lookup.take", "prefix"),
        (
            json!({"on": ["id", "n"], "take": ["price"]}),
            "enrich[0].lookup.on",
            "the key of `products` is: sku",
        ),
        (json!({"on": "who", "take": ["price"]}), "enrich[0].lookup.on", "cannot be compared"),
    ];
    for (step, key, hint) in cases {
        let faults = plan(dir, &lookups, step.clone()).err().expect("faults");
        assert!(
            faults.iter().any(|fault| fault.key == key && fault.hint.contains(hint)),
            "{step}: {faults:?}"
        );
    }
    let unknown = serde_json::from_value(json!({"file": "none.csv", "key": "k"})).expect("a lookup");
    let misnamed = serde_json::from_value(json!({"file": "p.csv", "key": "skuu"})).expect("a lookup");
    let both = BTreeMap::from([("a".to_owned(), unknown), ("b".to_owned(), misnamed)]);
    let faults = Lookups::open(&both, dir).err().expect("faults");
    assert_eq!(
        faults.iter().map(|fault| (fault.name.as_str(), fault.key)).collect::<Vec<_>>(),
        [("a", "file"), ("b", "key")]
    );
}

#[test]
fn a_changed_file_is_read_again_and_a_broken_one_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path();
    let write = |text: &str| std::fs::write(dir.join("p.csv"), text).expect("written");
    write(CSV);
    let lookups = open(dir, "p.csv", json!("sku"));
    let plan = plan(dir, &lookups, json!({"on": "id", "take": ["price"], "sql": "SELECT price FROM events"}))
        .expect("a plan");
    let mut refiner = plan.refiner(live(0)).expect("a refiner");
    let mut price = |offset| {
        let refined = check(&mut refiner, &decoded(offset, 0, &[r#"{"id":"b"}"#.to_owned()]));
        story(&refined).remove(0)
    };
    assert_eq!(price(0), "0: row 2|null");
    assert_eq!(lookups.reload_changed(), []);
    write("sku,name,price\nb,Bean,77\n");
    assert_eq!(
        lookups.reload_changed().iter().map(|r| (r.rows, r.error.is_none())).collect::<Vec<_>>(),
        [(1, true)]
    );
    assert_eq!(price(1), "1: row 77|null");
    for (broken, why) in [
        ("sku,name\nb,Bean\n", "price"),
        ("sku,name,price\nb,Bean,dear\n", ""),
        ("sku,name,price\nb,\"Bean\n,\n,,,,,\n", "line 2"),
        ("sku,name,price\na,\"1\"\"\n\",3\nb,77,\"\n", "line 4"),
    ] {
        write(broken);
        for reloaded in lookups.reload_changed() {
            assert_eq!(reloaded.rows, 1, "{broken}");
            let error = reloaded.error.unwrap_or_default();
            assert!(!error.is_empty() && error.contains(why), "{broken}: {error}");
        }
    }
    write("sku,name,price\nb,\"Bean, \"\"broad\"\"\n\",77\n");
    assert!(lookups.reload_changed().iter().all(|r| r.error.is_none()), "quotes that end");
    assert_eq!(price(2), "2: row 77|null");
}
