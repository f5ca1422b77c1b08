//! Event time: who is late, who is early.

use crate::support::{SECOND, check, decoded, live, plan, story};
use serde_json::json;

#[test]
fn lateness_is_judged_in_offset_order_against_the_newest_event() {
    // policy · seconds of each event (null: none) · outcomes · newest. Received at 1000 s; lateness
    // 10 s, max_future 5 s.
    type Case<'a> = (&'a str, &'a [Option<i64>], &'a str, Option<i64>);
    let cases: [Case<'_>; 9] = [
        ("drop", &[Some(100), Some(90), Some(89), Some(101)], "row row late row", Some(101)),
        ("reject", &[Some(100), Some(90), Some(89), Some(101)], "row row late! row", Some(101)),
        ("correct", &[Some(100), Some(90), Some(89), Some(101)], "row row row row", Some(101)),
        ("drop", &[Some(89), Some(100), Some(89)], "row row late", Some(100)),
        ("drop", &[Some(1005), Some(1006), Some(996)], "row future! row", Some(1005)),
        ("drop", &[Some(100), Some(9999), Some(95)], "row future! row", Some(100)),
        ("correct", &[Some(100), Some(9999), Some(1)], "row future! row", Some(100)),
        ("drop", &[None, Some(100), None], "row row row", Some(100)),
        ("drop", &[None, None], "row row", None),
    ];
    for (late, times, expected, newest) in cases {
        for field in ["at", "n"] {
            let folder = tempfile::tempdir().expect("a folder");
            let settings = json!({
                "event_time": {"field": field, "lateness": "10s", "max_future": "5s"},
                "policy": {"late": late},
            });
            let plan = plan(folder.path(), settings, Some("SELECT id FROM events")).expect("a plan");
            let mut refiner = plan.refiner(live(0)).expect("a refiner");
            let unit = if field == "at" { 1_000_000 } else { 1000 };
            let events: Vec<String> = times
                .iter()
                .map(|time| time.map_or("{}".into(), |time| format!(r#"{{"{field}":{}}}"#, time * unit)))
                .collect();
            let refined = check(&mut refiner, &decoded(0, 1000 * SECOND, &events));
            let got: Vec<&str> = story(&refined)
                .iter()
                .map(|line| match line {
                    line if line.contains("reject future_time") => "future!",
                    line if line.contains("reject late") => "late!",
                    line if line.contains("late") => "late",
                    _ => "row",
                })
                .collect();
            assert_eq!(got.join(" "), expected, "{late} {field}");
            assert_eq!(refined.event_time_max, newest.map(|s| s * SECOND), "{late} {field} {times:?}");
        }
    }
}
