//! An execution's history as a person reads it: one row a state, with what it took in and gave out,
//! how often it was tried, and how it failed.

use serde_json::Value;
use std::collections::HashMap;
use std::fmt::Write as _;

/// A state that an execution went through, or is in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    pub state: String,
    /// `Task`, `Pass`, …
    pub kind: String,
    /// How many Parallel and Map states it is inside of.
    pub depth: usize,
    /// Seconds since 1970.
    pub entered: f64,
    /// `None` while it is in there.
    pub exited: Option<f64>,
    pub input: Option<String>,
    pub output: Option<String>,
    /// Attempts of a Task beyond the first.
    pub retries: u32,
    /// The failures on the way, error and cause.
    pub failures: Vec<(String, String)>,
}

/// Rows in the order in which the states were entered. `events` are the API's: `id`, `previousEventId`,
/// `timestamp`, `type` and the details.
pub fn rows(events: &[Value]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    // By event: the row it belongs to, and how deep its successors are.
    let mut places: HashMap<u64, (Option<usize>, usize)> = HashMap::new();
    for event in events {
        let (id, previous) = (number(event, "id"), number(event, "previousEventId"));
        let kind = event["type"].as_str().unwrap_or_default();
        let at = event["timestamp"].as_f64().unwrap_or_default();
        let (row, depth) = places.get(&previous).copied().unwrap_or_default();
        let mut place = (row, depth);
        if let Some(state_kind) = kind.strip_suffix("StateEntered") {
            let details = &event["stateEnteredEventDetails"];
            place.0 = Some(rows.len());
            rows.push(Row {
                state: text(details, "name"),
                kind: state_kind.to_string(),
                depth,
                entered: at,
                input: details["input"].as_str().map(str::to_string),
                ..Row::default()
            });
        } else if kind.ends_with("StateExited") {
            let details = &event["stateExitedEventDetails"];
            let name = text(details, "name");
            let open = |row: &Row| row.state == name && row.exited.is_none();
            let own = row.filter(|row| rows.get(*row).is_some_and(open));
            if let Some(index) = own.or_else(|| rows.iter().rposition(open)) {
                rows[index].exited = Some(at);
                rows[index].output = details["output"].as_str().map(str::to_string);
                place = (Some(index), rows[index].depth);
            }
        } else if matches!(kind, "ParallelStateStarted" | "MapStateStarted") {
            place.1 = depth + 1;
        } else if let Some(row) = row.and_then(|row| rows.get_mut(row)) {
            note(row, kind, event);
        }
        places.insert(id, place);
    }
    rows
}

/// What an event inside a state adds to its row.
fn note(row: &mut Row, kind: &str, event: &Value) {
    let scheduled = matches!(kind, "TaskScheduled" | "LambdaFunctionScheduled" | "ActivityScheduled");
    if scheduled && !row.failures.is_empty() {
        row.retries += 1;
    }
    let failed = kind.ends_with("Failed") || kind.ends_with("TimedOut");
    if failed && kind != "MapIterationFailed" {
        let details = event.as_object().into_iter().flatten().find(|(key, _)| key.ends_with("EventDetails"));
        let details = details.map_or(&Value::Null, |(_, details)| details);
        let error = text(details, "error");
        let error = if error.is_empty() { kind.to_string() } else { error };
        row.failures.push((error, text(details, "cause")));
    }
}

/// The rows as text; inputs and outputs are cut to `width` characters.
pub fn print(rows: &[Row], width: usize) -> String {
    let mut out = String::new();
    for row in rows {
        let indent = "  ".repeat(row.depth);
        let took = match row.exited {
            Some(exited) => duration(exited - row.entered),
            None => "…".to_string(),
        };
        let mark = match (row.exited, row.failures.is_empty()) {
            (Some(_), _) => "✓",
            (None, true) => "▸",
            (None, false) => "✗",
        };
        let _ = writeln!(out, "{indent}{mark} {} ({}) {took}", row.state, row.kind);
        let mut line = |label: &str, text: &str| {
            let _ = writeln!(out, "{indent}    {label:<7} {}", cut(text, width));
        };
        row.input.iter().for_each(|input| line("input", input));
        row.output.iter().for_each(|output| line("output", output));
        if row.retries > 0 {
            line("retries", &row.retries.to_string());
        }
        row.failures.iter().for_each(|(error, cause)| line("failed", &format!("{error}: {cause}")));
    }
    out
}

fn cut(text: &str, width: usize) -> String {
    match text.char_indices().nth(width) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}

fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s if s < 120.0 => format!("{s:.1} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

fn number(event: &Value, key: &str) -> u64 {
    event[key].as_u64().unwrap_or_default()
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(id: u64, previous: u64, kind: &str, details: Value) -> Value {
        let mut event = json!({"id": id, "previousEventId": previous, "timestamp": id as f64, "type": kind});
        for (key, value) in details.as_object().into_iter().flatten() {
            event[key] = value.clone();
        }
        event
    }

    fn entered(name: &str) -> Value {
        json!({"stateEnteredEventDetails": {"name": name, "input": "{}"}})
    }

    fn exited(name: &str) -> Value {
        json!({"stateExitedEventDetails": {"name": name, "output": "1"}})
    }

    #[test]
    fn retries_failures_and_branches_belong_to_their_states() {
        let failed = json!({"taskFailedEventDetails": {"error": "E", "cause": "c"}});
        let events = [
            event(1, 0, "ExecutionStarted", json!({})),
            event(2, 1, "TaskStateEntered", entered("Try")),
            event(3, 2, "TaskScheduled", json!({})),
            event(4, 3, "TaskFailed", failed),
            event(5, 4, "TaskScheduled", json!({})),
            event(6, 5, "TaskSucceeded", json!({})),
            event(7, 6, "TaskStateExited", exited("Try")),
            event(8, 7, "ParallelStateEntered", entered("Both")),
            event(9, 8, "ParallelStateStarted", json!({})),
            event(10, 9, "PassStateEntered", entered("Inner")),
            event(11, 10, "PassStateExited", exited("Inner")),
            event(12, 11, "ParallelStateSucceeded", json!({})),
            event(13, 12, "ParallelStateExited", exited("Both")),
            event(14, 13, "WaitStateEntered", entered("Last")),
        ];
        let rows = rows(&events);
        let told: Vec<_> = rows
            .iter()
            .map(|row| (row.state.as_str(), row.depth, row.exited, row.retries, row.failures.len()))
            .collect();
        assert_eq!(
            told,
            [
                ("Try", 0, Some(7.0), 1, 1),
                ("Both", 0, Some(13.0), 0, 0),
                ("Inner", 1, Some(11.0), 0, 0),
                ("Last", 0, None, 0, 0),
            ]
        );
        let text = print(&rows, 40);
        assert!(
            text.contains(
                "✓ Try (Task) 5.0 s\n    input   {}\n    output  1\n    retries 1\n    failed  E: c"
            )
        );
        assert!(text.contains("  ✓ Inner (Pass) 1.0 s") && text.contains("▸ Last (Wait) …"), "{text}");
    }
}
