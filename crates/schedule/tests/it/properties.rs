//! Cron against an oracle that looks at every minute, through changes of the clocks in several zones; and what
//! is told of an event before it is parsed against what is told of it then.

use bourn_schedule::{Cron, Pattern, parse_time, rfc3339, zone};
use chrono::{DateTime, Datelike, Duration, NaiveDateTime, Timelike};
use chrono_tz::Tz;
use proptest::collection::btree_set;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Zones, and a time some days before a change of their clocks.
const CHANGES: [(&str, &str); 11] = [
    ("America/New_York", "2026-03-06"),
    ("America/New_York", "2026-10-30"),
    ("Europe/London", "2026-03-27"),
    ("Europe/London", "2026-10-23"),
    ("Australia/Lord_Howe", "2026-04-03"),
    ("Australia/Lord_Howe", "2026-10-02"),
    ("Pacific/Apia", "2011-12-28"),
    ("America/Havana", "2026-10-30"),
    ("America/Santiago", "2026-09-04"),
    ("Africa/Cairo", "2026-04-22"),
    ("Asia/Kolkata", "2026-06-01"),
];
const DAYS: i64 = 5;

/// A field as a set of its values; `None` is `*`.
type Field = Option<BTreeSet<u32>>;

#[derive(Clone, Debug)]
struct Fields {
    minute: Field,
    hour: Field,
    day_of_month: Field,
    day_of_week: Field,
}

impl Fields {
    fn text(&self) -> String {
        let field = |field: &Field| match field {
            None => "*".to_owned(),
            Some(values) => values.iter().map(u32::to_string).collect::<Vec<_>>().join(","),
        };
        let [minute, hour] = [&self.minute, &self.hour].map(field);
        format!("{minute} {hour} {} * {}", field(&self.day_of_month), field(&self.day_of_week))
    }

    fn names(&self, local: NaiveDateTime) -> bool {
        let has = |field: &Field, value| field.as_ref().is_none_or(|values| values.contains(&value));
        let by_month = has(&self.day_of_month, local.day());
        let by_week = has(&self.day_of_week, local.weekday().num_days_from_sunday());
        let day = match (&self.day_of_month, &self.day_of_week) {
            (Some(_), Some(_)) => by_month || by_week,
            _ => by_month && by_week,
        };
        day && has(&self.minute, local.minute()) && has(&self.hour, local.hour())
    }

    /// Every minute on its own.
    fn oracle(&self, zone: Tz, from: i64) -> Vec<i64> {
        let local = |minute: i64| {
            let at = DateTime::from_timestamp(from + minute * 60, 0).expect("a time");
            at.with_timezone(&zone).naive_local()
        };
        let mut furthest = local(-1);
        let mut times = Vec::new();
        for minute in 0..DAYS * 1_440 {
            let shown = local(minute);
            let fires = if self.hour.is_none() {
                self.names(shown)
            } else {
                let mut passed = furthest;
                std::iter::from_fn(|| {
                    passed += Duration::minutes(1);
                    (passed <= shown).then_some(passed)
                })
                .any(|time| self.names(time))
            };
            furthest = furthest.max(shown);
            if fires {
                times.push((from + minute * 60) * 1_000_000);
            }
        }
        times
    }
}

fn field(values: std::ops::Range<u32>, stars: u32) -> impl Strategy<Value = Field> {
    prop_oneof![stars => Just(None), 3 => btree_set(values, 1..5).prop_map(Some)]
}

fn fields() -> impl Strategy<Value = Fields> {
    (field(0..60, 1), field(0..24, 1), field(1..32, 4), field(0..7, 3)).prop_map(
        |(minute, hour, day_of_month, day_of_week)| Fields { minute, hour, day_of_month, day_of_week },
    )
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![Just(json!("x")), Just(json!("y\"")), Just(json!("é")), Just(json!(1)), Just(json!(null))]
}

fn test() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => value(),
        1 => any::<bool>().prop_map(|is| json!({"exists": is})),
        1 => Just(json!({"anything-but": "x"})),
        1 => Just(json!({"prefix": "x"})),
    ]
}

fn object(inner: impl Strategy<Value = Value> + Clone) -> impl Strategy<Value = Value> {
    let field = prop_oneof![Just("detail"), Just("source"), Just("a"), Just("b")];
    let fields = proptest::collection::vec((field, inner), 1..4);
    fields.prop_map(|fields| {
        Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
    })
}

fn pattern() -> impl Strategy<Value = Value> {
    let leaf = proptest::collection::vec(test(), 1..3).prop_map(Value::Array);
    let fields = leaf.prop_recursive(3, 24, 3, |inner| object(inner).boxed());
    let group = object(fields).boxed();
    let or = (group.clone(), proptest::collection::vec(group.clone(), 2..3));
    prop_oneof![
        group,
        or.prop_map(|(mut group, either)| {
            group["$or"] = Value::Array(either);
            group
        })
    ]
}

fn event() -> impl Strategy<Value = Value> {
    let inner = value().prop_recursive(3, 24, 3, |inner| {
        prop_oneof![proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::Array), object(inner)]
            .boxed()
    });
    object(inner)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_event_that_matches_is_never_ruled_out_beforehand(pattern in pattern(), event in event()) {
        let compiled = Pattern::compile(&pattern).expect("a pattern");
        if compiled.matches(&event) {
            let texts = event.as_object().into_iter().flatten();
            let known: Vec<_> = texts.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?))).collect();
            prop_assert!(compiled.could_match(&known), "{} on {}", pattern, event);
            let detail = event.get("detail").map(Value::to_string).unwrap_or_default();
            prop_assert!(compiled.could_match_detail(detail.as_bytes()), "{} on {}", pattern, event);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_time_is_what_looking_at_each_minute_gives(fields in fields(), change in 0..CHANGES.len()) {
        let (zone_name, from) = CHANGES[change];
        let zone = zone(zone_name).expect("a zone");
        let from = parse_time(from, chrono_tz::UTC).expect("a time");
        let text = fields.text();
        let cron = Cron::parse(&text, zone).expect("cron");
        let found: Vec<String> = cron.between(from, from + DAYS * 86_400_000_000).map(rfc3339).collect();
        let expected: Vec<String> = fields.oracle(zone, from / 1_000_000).into_iter().map(rfc3339).collect();
        prop_assert_eq!(found, expected, "`{}` in {}", text, zone_name);
    }

    #[test]
    fn times_ascend_from_wherever_one_asks(fields in fields(), change in 0..CHANGES.len(), minutes in 0..7_200i64) {
        let (zone_name, from) = CHANGES[change];
        let cron = Cron::parse(&fields.text(), zone(zone_name).expect("a zone")).expect("cron");
        let from = parse_time(from, chrono_tz::UTC).expect("a time");
        let after = from + minutes * 60_000_000;
        let first = cron.next_after(after).expect("a time");
        prop_assert!(first > after);
        prop_assert_eq!(cron.next_after(first - 1), Some(first));
        prop_assert_eq!(cron.between(after + 1, first + 1).collect::<Vec<_>>(), vec![first]);
    }
}
