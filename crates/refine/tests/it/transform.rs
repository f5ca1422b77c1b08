//! The transform: SQL in, rows, drops and rejects out, or a fault with a hint.

use crate::support::{check, decoded, live, plan, story};
use serde_json::json;

fn stories(sql: Option<&str>, events: &[&str]) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = plan(folder.path(), json!({}), sql).unwrap_or_else(|faults| panic!("{sql:?}: {faults:?}"));
    let mut refiner = plan.refiner(live(10)).expect("a refiner");
    let events: Vec<String> = events.iter().map(|event| (*event).to_owned()).collect();
    let refined = check(&mut refiner, &decoded(10, 86_400_000_000, &events));
    assert_eq!(refined.rows.schema(), plan.table_schema());
    story(&refined)
}

const EVENTS: [&str; 3] = [
    r#"{"id":"1","n":4,"x":0.5,"at":"2024-02-03T04:05:06Z","who":{"id":"w","age":7},"doc":"{\"k\":{\"z\":3}}","_extra":"{\"e\":1}"}"#,
    r#"{"id":"two","n":0}"#,
    r#"{"id":"3","n":-2}"#,
];

#[test]
fn a_select_gives_rows() {
    let cases: [(&str, [&str; 3]); 19] = [
        ("SELECT id FROM events", ["10: row 1|{\"e\":1}", "11: row two|null", "12: row 3|null"]),
        ("SELECT id FROM events WHERE n > 0", ["10: row 1|{\"e\":1}", "11: filtered", "12: filtered"]),
        ("SELECT id FROM events WHERE x > 0", ["10: row 1|{\"e\":1}", "11: filtered", "12: filtered"]),
        ("SELECT 8 / n AS q FROM events", ["10: row 2|{\"e\":1}", "11: reject transform", "12: row -4|null"]),
        (
            "SELECT cast(id AS bigint) AS i FROM events",
            ["10: row 1|{\"e\":1}", "11: reject transform", "12: row 3|null"],
        ),
        (
            "SELECT 8 / n AS q FROM events WHERE n <> 0",
            ["10: row 2|{\"e\":1}", "11: filtered", "12: row -4|null"],
        ),
        (
            "SELECT n FROM events WHERE 8 / n > 0",
            ["10: row 4|{\"e\":1}", "11: reject transform", "12: filtered"],
        ),
        (
            "SELECT 'c' AS c, n FROM events",
            ["10: row c|4|{\"e\":1}", "11: row c|0|null", "12: row c|-2|null"],
        ),
        (
            "SELECT null AS c FROM events",
            ["10: row null|{\"e\":1}", "11: row null|null", "12: row null|null"],
        ),
        (
            "SELECT who['id'] AS w FROM events",
            ["10: row w|{\"e\":1}", "11: row null|null", "12: row null|null"],
        ),
        (
            "SELECT json_get_int(doc, 'k', 'z') AS z FROM events",
            ["10: row 3|{\"e\":1}", "11: row null|null", "12: row null|null"],
        ),
        (
            "SELECT doc -> 'k' ->> 'z' AS z FROM events",
            ["10: row 3|{\"e\":1}", "11: row null|null", "12: row null|null"],
        ),
        (
            "SELECT date_trunc('hour', at) AS h FROM events",
            ["10: row 2024-02-03T04:00:00Z|{\"e\":1}", "11: row null|null", "12: row null|null"],
        ),
        (
            "SELECT at::date AS d FROM events",
            ["10: row 2024-02-03|{\"e\":1}", "11: row null|null", "12: row null|null"],
        ),
        (
            "SELECT _offset + 1 AS o, _source AS s FROM events",
            ["10: row 11|http|{\"e\":1}", "11: row 12|files:0|null", "12: row 13|files:0|null"],
        ),
        (
            "SELECT id, _extra, _offset FROM events",
            ["10: row 1|{\"e\":1}", "11: row two|null", "12: row 3|null"],
        ),
        (
            "WITH a AS (SELECT n * 2 AS m FROM events WHERE n <> 0) SELECT m + 1 AS k FROM a WHERE m > 0",
            ["10: row 9|{\"e\":1}", "11: filtered", "12: filtered"],
        ),
        (
            "SELECT CASE WHEN n = 0 THEN -1 ELSE 8 / n END AS q FROM events",
            ["10: row 2|{\"e\":1}", "11: row -1|null", "12: row -4|null"],
        ),
        (
            "SELECT upper(id) AS u, length(id) AS l, n % 3 AS m, n % 3 + 1 AS m1 FROM events",
            ["10: row 1|1|1|2|{\"e\":1}", "11: row TWO|3|0|1|null", "12: row 3|1|-2|-1|null"],
        ),
    ];
    for (sql, expected) in cases {
        assert_eq!(stories(Some(sql), &EVENTS), expected, "{sql}");
    }
}

#[test]
fn a_star_is_the_same_as_no_transform() {
    assert_eq!(stories(Some("SELECT * FROM events"), &EVENTS), stories(None, &EVENTS));
}

#[test]
fn what_a_row_cannot_answer_is_refused_with_a_hint() {
    // SQL · in the message · in the hint
    let cases = [
        ("SELECT count(*) AS c FROM events", "an aggregate", "views or models"),
        ("SELECT id FROM events GROUP BY id", "an aggregate", "views or models"),
        ("SELECT id, row_number() OVER () AS r FROM events", "a window function", "view or a model"),
        ("SELECT DISTINCT id FROM events", "DISTINCT", "dedupe"),
        ("SELECT id FROM events ORDER BY id", "ORDER BY", "order"),
        ("SELECT id FROM events LIMIT 3", "LIMIT", "WHERE"),
        ("SELECT a.id FROM events a JOIN events b ON a.id = b.id", "a join", "enrich"),
        ("SELECT id FROM events UNION ALL SELECT id FROM events", "UNION", "one SELECT"),
        ("SELECT id FROM events WHERE n = (SELECT max(n) FROM events)", "a subquery", "enrich"),
        ("SELECT 1 AS one", "without a table", "FROM events"),
        ("SELECT now() AS t, id FROM events", "now()", "_received_at"),
        ("SELECT random() AS r, id FROM events", "random()", "_offset"),
        ("SELECT uuid() AS u, id FROM events", "uuid()", "_offset"),
        ("SELECT nope FROM events", "nope", "name a column"),
        ("SELECT id FROM orders", "orders", "`events`"),
        ("SELECT id AS _offset FROM events", "_offset", "another name"),
        ("SELECT upper(_extra) AS _extra, id FROM events", "_extra", "another name"),
        ("SELECT _offset FROM events", "no column", "at least one"),
        ("SELECT at - at AS d FROM events", "cannot store", "cast it to varchar"),
        ("SELECT json_get(doc, 'k') AS k FROM events", "cannot store", "json_get_str"),
        ("SELEC id FROM events", "", "SELECT"),
        ("DELETE FROM events", "", "SELECT"),
        ("SELECT id FROM events; SELECT n FROM events", "", "SELECT"),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    for (sql, message, hint) in cases {
        let faults =
            plan(folder.path(), json!({}), Some(sql)).err().unwrap_or_else(|| panic!("{sql} is accepted"));
        assert!(
            faults
                .iter()
                .any(|f| f.key == "transform" && f.message.contains(message) && f.hint.contains(hint)),
            "{sql}: {faults:?}"
        );
    }
}

#[test]
fn a_fault_tells_its_place_in_the_sql() {
    let folder = tempfile::tempdir().expect("a folder");
    for (sql, place) in
        [("SELECT id,\n  nope FROM events", (2, 3)), ("SELECT id FROM\n events WHERE WHERE", (2, 15))]
    {
        let faults = plan(folder.path(), json!({}), Some(sql)).err().expect("faults");
        assert_eq!((faults[0].line, faults[0].column), (Some(place.0), Some(place.1)), "{sql}: {faults:?}");
    }
}

#[test]
fn all_faults_of_a_stream_come_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = json!({
        "dedupe": {"key": ["idd", "/who/agee"]},
        "event_time": {"field": "id"},
        "enrich": [{"lookup": {"table": "none", "on": "id"}}],
    });
    let faults = plan(folder.path(), settings, Some("SELECT count(*) FROM events")).err().expect("faults");
    let keys: Vec<&str> = faults.iter().map(|fault| fault.key.as_str()).collect();
    assert_eq!(keys, ["dedupe.key", "dedupe.key", "event_time.field", "enrich[0].lookup.table", "transform"]);
}

#[test]
fn many_bad_rows_cost_only_themselves() {
    let events: Vec<String> = (0..1000).map(|n| format!(r#"{{"n":{}}}"#, n % 10)).collect();
    let events: Vec<&str> = events.iter().map(String::as_str).collect();
    let lines = stories(Some("SELECT 100 / n AS q FROM events"), &events);
    assert_eq!(lines.iter().filter(|line| line.contains("reject transform")).count(), 100);
    assert_eq!(lines.iter().filter(|line| line.contains("row")).count(), 900);
}
