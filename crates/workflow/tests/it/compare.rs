//! Comparing what was recorded with what happened: values with placeholders, and histories.

use bourn_workflow::HistoryEvent;
use regex::Regex;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Tokens without brackets that stand for anything.
const BARE: [&str; 27] = [
    "start-time",
    "entered-time",
    "map_run_arn",
    "snf_role_arn",
    "sfn_role_arn",
    "RequestId",
    "x-amzn-RequestId",
    "X-Amzn-Trace-Id",
    "x-amz-crc32",
    "date",
    "datetime",
    "timestamp",
    "start-date",
    "stop-date",
    "sqs_queue_url",
    "bucket-name",
    "bucket_name",
    "file-key",
    "table-name",
    "topic-arn",
    "activity_arn",
    "execution-arn",
    "state-machine-arn",
    "RandomNumberGenerated",
    "generated-uuid",
    "stateExitedEventDetails.output",
    "executionSucceededEventDetails.output",
];

/// Compares within one case.
pub struct Matcher {
    placeholders: BTreeMap<String, String>,
    bracketed: Regex,
}

impl Matcher {
    pub fn new(case: &Value) -> Self {
        let placeholders = case["placeholders"].as_object().cloned().unwrap_or_default();
        let placeholders = placeholders
            .into_iter()
            .map(|(token, value)| (token, value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
            .collect();
        Self {
            placeholders,
            bracketed: Regex::new(r"<<[A-Za-z][^<>]*>:\d+>|<[A-Za-z][^<>]*>").expect("a pattern"),
        }
    }

    /// Where two values differ, if they do.
    pub fn differs(&self, at: &str, expected: &Value, actual: &Value) -> Option<String> {
        let tell = || Some(format!("{at}: expected {expected}, got {actual}"));
        match (expected, actual) {
            (Value::String(e), Value::String(a)) => (!self.text(e, a)).then(tell).flatten(),
            (Value::String(e), _) if self.is_token(e) => None,
            (Value::Object(_), Value::String(a)) => match serde_json::from_str::<Value>(a) {
                Ok(parsed @ Value::Object(_)) => self.differs(at, expected, &parsed),
                _ => tell(),
            },
            (Value::Number(e), Value::Number(a)) => (e.as_f64() != a.as_f64()).then(tell).flatten(),
            (Value::Array(e), Value::Array(a)) if e.len() == a.len() => {
                e.iter().zip(a).enumerate().find_map(|(i, (e, a))| self.differs(&format!("{at}/{i}"), e, a))
            }
            (Value::Object(e), Value::Object(a)) => self.objects(at, e, a),
            (e, a) => (e != a).then(tell).flatten(),
        }
    }

    fn objects(&self, at: &str, e: &Map<String, Value>, a: &Map<String, Value>) -> Option<String> {
        // The envelope of an HTTP answer is AWS's own: what begins executions here has none.
        let is_envelope = |key: &str| matches!(key, "SdkHttpMetadata" | "SdkResponseMetadata");
        for (key, value) in e {
            match a.get(key) {
                Some(actual) => {
                    if let Some(why) = self.differs(&format!("{at}/{key}"), value, actual) {
                        return Some(why);
                    }
                }
                None if is_envelope(key) => {}
                None => return Some(format!("{at}: {key} is missing")),
            }
        }
        // AWS began to show this after some of the cases were recorded.
        let is_new = |key: &str| key == "RedriveCount" && a[key] == 0;
        a.keys()
            .find(|key| !e.contains_key(*key) && !is_new(key))
            .map(|key| format!("{at}: {key} is not expected"))
    }

    fn is_token(&self, text: &str) -> bool {
        let whole = self.bracketed.find(text).is_some_and(|found| found.len() == text.len());
        whole || BARE.contains(&text) || self.placeholders.contains_key(text)
    }

    fn text(&self, expected: &str, actual: &str) -> bool {
        if expected == actual || BARE.contains(&expected) {
            return true;
        }
        let mut tokens: Vec<(usize, usize)> =
            self.bracketed.find_iter(expected).map(|found| (found.start(), found.end())).collect();
        let known =
            self.placeholders.keys().map(String::as_str).chain(BARE.into_iter().filter(|b| b.len() > 9));
        for token in known.filter(|token| !token.starts_with('<')) {
            tokens.extend(expected.match_indices(token).map(|(start, _)| (start, start + token.len())));
        }
        tokens.sort_by_key(|(start, end)| (*start, std::cmp::Reverse(*end)));
        let (mut pattern, mut at) = ("(?s)^".to_owned(), 0);
        for (start, end) in tokens {
            if start >= at {
                pattern += &regex::escape(&expected[at..start]);
                pattern += ".*";
                at = end;
            }
        }
        pattern += &regex::escape(&expected[at..]);
        pattern += "$";
        Regex::new(&pattern).is_ok_and(|pattern| pattern.is_match(actual))
    }

    /// Compares histories. Where the recording has events in no order, and where iterations run side by
    /// side, each expected event has to be there once.
    pub fn histories(&self, expected: &[Value], actual: &[HistoryEvent]) -> Option<String> {
        let runs = actual.iter().any(|event| event.kind == "MapRunStarted");
        let actual: Vec<Value> = actual.iter().map(|event| plain(event, runs)).collect();
        let in_order = self.in_order(expected, &actual)?;
        let loose = expected.iter().any(|event| event["id"].is_array()) || is_concurrent(expected);
        if loose { self.as_set(expected, actual) } else { Some(in_order) }
    }

    fn in_order(&self, expected: &[Value], actual: &[Value]) -> Option<String> {
        for (index, (e, a)) in expected.iter().zip(actual).enumerate() {
            if let Some(why) = self.event(index, e, a) {
                return Some(why);
            }
        }
        (expected.len() != actual.len()).then(|| {
            let kinds: Vec<_> = actual.iter().map(|event| event["type"].as_str().unwrap_or("")).collect();
            format!("{} events expected, got {}: {kinds:?}", expected.len(), actual.len())
        })
    }

    fn event(&self, index: usize, e: &Value, a: &Value) -> Option<String> {
        let at = format!("event {} {}", index + 1, e["type"].as_str().unwrap_or_default());
        if e["type"] != a["type"] || e["id"] != a["id"] {
            return Some(format!("{at}: got {} {}", a["id"], a["type"]));
        }
        // Whether the run's start or its end was seen last when a distributed Map is left differs between
        // the recordings.
        if e["prev"] != a["prev"] && !(e["type"] == "MapStateExited" && a["after_run"] == true) {
            return Some(format!("{at}: previous {} expected, got {}", e["prev"], a["prev"]));
        }
        self.differs(&at, &e["details"], &a["details"])
    }

    fn as_set(&self, expected: &[Value], mut actual: Vec<Value>) -> Option<String> {
        let sorted = expected.iter().any(|event| event["id"].is_array());
        if sorted {
            // These recordings left the ends of Parallel states out.
            actual.retain(|a| {
                !matches!(a["type"].as_str(), Some("ParallelStateSucceeded" | "ParallelStateFailed"))
            });
        }
        for e in expected {
            let found = actual.iter().position(|a| {
                e["type"] == a["type"] && self.differs("", &e["details"], &a["details"]).is_none()
            });
            match found {
                Some(index) => drop(actual.remove(index)),
                None => return Some(format!("no such event: {} {}", e["type"], e["details"])),
            }
        }
        // In sorted recordings nested Parallel states were cut down too.
        actual.retain(|a| {
            !(sorted && a["type"].as_str().is_some_and(|kind| kind.starts_with("ParallelState")))
        });
        actual.first().map(|a| format!("not expected: {} {}", a["type"], a["details"]))
    }
}

fn is_concurrent(expected: &[Value]) -> bool {
    let started = |event: &&Value| event["type"] == "MapIterationStarted";
    let previous: Vec<&Value> = expected.iter().filter(started).map(|event| &event["prev"]).collect();
    previous.windows(2).any(|pair| pair[0] == pair[1])
}

/// An event in the recording's form.
fn plain(event: &HistoryEvent, runs: bool) -> Value {
    let mut details = event.details.as_ref().map(|(_, details)| details.clone()).unwrap_or_default();
    if let Value::Object(fields) = &mut details {
        fields.retain(|key, _| !key.ends_with("Details"));
        for key in ["input", "output", "parameters"] {
            if let Some(text) = fields.get(key).and_then(Value::as_str) {
                let parsed = serde_json::from_str(text).unwrap_or_default();
                fields.insert(key.into(), parsed);
            }
        }
        if let Some(Value::Object(variables)) = fields.get_mut("assignedVariables") {
            for value in variables.values_mut() {
                *value = serde_json::from_str(value.as_str().unwrap_or("null")).unwrap_or_default();
            }
        }
    }
    let after_run = runs && event.kind == "MapStateExited";
    json!({"type": event.kind, "id": event.id, "prev": event.previous_id, "details": details, "after_run": after_run})
}
