//! `when:`: rates, single times, windows and their faults.

use bourn_config::Schedule;
use bourn_schedule::{When, execution_name, parse_time, rfc3339};
use serde_json::json;

pub fn schedule(mut settings: serde_json::Value) -> Schedule {
    settings["run"] = settings.get("run").cloned().unwrap_or_else(|| json!({"workflow": "w"}));
    serde_json::from_value(settings).expect("a schedule")
}

fn utc(text: &str) -> i64 {
    parse_time(text, chrono_tz::UTC).expect("a time")
}

#[track_caller]
fn check(settings: serde_json::Value, anchor: &str, from: &str, expected: &[&str]) {
    let when = When::compile(&schedule(settings.clone())).unwrap_or_else(|faults| panic!("{faults:?}"));
    let anchor = when.anchor(utc(anchor));
    let times = when.between(anchor, utc(from), utc(from) + 400 * 86_400_000_000);
    let found: Vec<String> = times.take(expected.len()).map(rfc3339).collect();
    let expected: Vec<String> = expected.iter().map(|at| rfc3339(utc(at))).collect();
    assert_eq!(found, expected, "{settings}");
}

#[test]
fn a_rate_counts_from_its_anchor_without_drift() {
    let rate = json!({"when": "rate(7 minutes)"});
    check(rate.clone(), "2026-01-01", "2026-01-01", &["2026-01-01T00:07", "2026-01-01T00:14"]);
    check(rate, "2026-01-01", "2026-01-02", &["2026-01-02T00:02", "2026-01-02T00:09"]);
    check(json!({"when": "rate( 1 day )"}), "2026-03-07T05:00", "2026-03-08T05:00", &["2026-03-08T05:00"]);
}

#[test]
fn a_rate_with_a_beginning_counts_from_there() {
    let rate = json!({"when": "rate(1 hour)", "from": "2026-01-01T00:30"});
    check(rate, "2020-01-01", "2025-12-31", &["2026-01-01T00:30", "2026-01-01T01:30"]);
}

#[test]
fn a_single_time_is_in_its_zone() {
    let at = json!({"when": "at(2026-03-08T02:30:00)", "timezone": "America/New_York"});
    check(at, "2026-01-01", "2026-01-01", &["2026-03-08T07:00"]);
    check(
        json!({"when": "at(2026-01-31T02:00:00+01:00)"}),
        "2026-01-01",
        "2026-01-01",
        &["2026-01-31T01:00"],
    );
}

#[test]
fn a_window_bounds_the_times() {
    let settings = json!({"when": "0 * * * *", "timezone": "Europe/Berlin", "from": "2026-07-01T12:00", "until": "2026-07-01T14:00"});
    let when = When::compile(&schedule(settings)).expect("when");
    let times: Vec<String> = when.between(0, utc("2026-01-01"), utc("2027-01-01")).map(rfc3339).collect();
    assert_eq!(times, ["2026-07-01T10:00:00Z", "2026-07-01T11:00:00Z"]);
}

#[test]
fn the_last_time_is_found_without_the_others() {
    let of = |text: &str| When::compile(&schedule(json!({"when": text}))).expect("when");
    let cases = [
        ("* * * * *", "1990-01-01", "2026-01-01T00:00:30", Some("2026-01-01")),
        ("0 0 29 2 *", "1990-01-01", "2026-01-01", Some("2024-02-29")),
        ("0 0 29 2 *", "2024-03-01", "2026-01-01", None),
        ("rate(5 minutes)", "2025-01-01", "2026-01-01T00:04", Some("2026-01-01")),
        ("at(2025-01-01)", "1990-01-01", "2026-01-01", Some("2025-01-01")),
        ("at(2025-01-01)", "2025-01-01", "2026-01-01", None),
    ];
    for (text, after, until, expected) in cases {
        let found = of(text).last_until(utc("2020-01-01"), utc(after), utc(until));
        assert_eq!(found.map(rfc3339), expected.map(|at| rfc3339(utc(at))), "{text} in ({after}, {until}]");
    }
}

#[test]
fn faults_name_their_key_and_all_are_told() {
    let cases = [
        (json!({"when": "0 0 30 2 *"}), "when: `0 0 30 2 *` never runs"),
        (json!({"when": "rate(0 minutes)"}), "when: `rate(0 minutes)` needs a number from 1"),
        (json!({"when": "rate(5 fortnights)"}), "like `rate(5 minutes)`"),
        (json!({"when": "rate(9223372036854775807 days)"}), "needs a number"),
        (json!({"when": "at(tomorrow)"}), "`tomorrow` is not a time"),
        (json!({"when": "cron(0 12 * * ? *)"}), "without `cron(…)`"),
        (json!({"when": "noon"}), "Expected are five cron fields"),
        (json!({"when": "@daily", "timezone": "Berlin"}), "timezone: `Berlin` is not a time zone"),
        (json!({"when": "@daily", "from": "x"}), "from: `x` is not a time"),
        (
            json!({"when": "@daily", "from": "2026-02-01", "until": "2026-01-01"}),
            "until: is not behind `from`",
        ),
        (json!({"when": "0 0 1 1 *", "from": "2026-02-01", "until": "2026-03-01"}), "has no time between"),
        (json!({"when": "at(2026-01-01)", "until": "2025-01-01"}), "has no time between"),
    ];
    for (settings, expected) in cases {
        let faults = When::compile(&schedule(settings.clone())).expect_err("faults");
        assert!(faults.iter().any(|fault| fault.to_string().contains(expected)), "{settings}: {faults:?}");
    }
    let all = json!({"when": "noon", "timezone": "Berlin", "from": "x", "until": "y"});
    assert_eq!(When::compile(&schedule(all)).expect_err("faults").len(), 4);
}

#[test]
fn names_of_executions_are_allowed_and_differ() {
    assert_eq!(
        execution_name("schedule/nightly/2026-01-01T02:00:00Z"),
        "schedule.nightly.2026-01-01T02-00-00Z"
    );
    let ids = [
        "trigger/a-b/c/1".to_owned(),
        "trigger/a/b-c/1".to_owned(),
        "trigger/a.b/c/1".to_owned(),
        "trigger/a/b.c/1".to_owned(),
        "trigger/a b/c/1".to_owned(),
        format!("trigger/{}/c/1", "x".repeat(100)),
        format!("trigger/{}/c/2", "x".repeat(100)),
        "trigger/é/c/1".to_owned(),
    ];
    let names: std::collections::BTreeSet<String> = ids.iter().map(|id| execution_name(id)).collect();
    assert_eq!(names.len(), ids.len());
    for name in names {
        assert!(
            name.len() <= 80 && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)),
            "{name}"
        );
    }
}
