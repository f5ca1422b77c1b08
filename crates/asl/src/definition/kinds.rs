//! The types of states: which fields each has, and what they mean.

use super::build::{SECONDS_MAX, flow};
use super::fields::Fields;
use super::{
    Branch, ChoiceState, FailState, Kind, ParallelState, PassState, QueryLanguage, TaskState, WaitState,
    WaitUntil, map, rules,
};
use crate::document::join;
use crate::{Setting, Source};
use serde_json::Value;

pub(super) const TYPES: [&str; 8] = ["Task", "Wait", "Pass", "Succeed", "Fail", "Choice", "Parallel", "Map"];

/// Fields of a type: of both languages, of JSONPath only, of JSONata only.
pub(super) struct Rules {
    both: &'static [&'static str],
    json_path: &'static [&'static str],
    jsonata: &'static [&'static str],
    required: &'static [&'static str],
    /// Whether it has `Next` or `End`.
    pub moves_on: bool,
}

const ANY: [&str; 3] = ["Type", "Comment", "QueryLanguage"];
const TRANSITION: [&str; 2] = ["Next", "End"];

impl Rules {
    pub fn check(&self, fields: &Fields<'_, '_>) {
        let mut both = [&ANY[..], self.both].concat();
        if self.moves_on {
            both.extend(TRANSITION);
        }
        fields.only(&both, self.json_path, self.jsonata);
        fields.require(self.required);
    }
}

pub(super) fn rules(type_name: &str) -> Option<&'static Rules> {
    RULES.iter().find(|(name, _)| *name == type_name).map(|(_, rules)| rules)
}

const RULES: [(&str, Rules); 8] = [
    (
        "Task",
        Rules {
            both: &[
                "Resource",
                "TimeoutSeconds",
                "HeartbeatSeconds",
                "Credentials",
                "Retry",
                "Catch",
                "Assign",
            ],
            json_path: &[
                "InputPath",
                "OutputPath",
                "ResultPath",
                "Parameters",
                "ResultSelector",
                "TimeoutSecondsPath",
                "HeartbeatSecondsPath",
            ],
            jsonata: &["Arguments", "Output"],
            required: &["Resource"],
            moves_on: true,
        },
    ),
    (
        "Pass",
        Rules {
            both: &["Assign"],
            json_path: &["InputPath", "OutputPath", "ResultPath", "Parameters", "Result"],
            jsonata: &["Output"],
            required: &[],
            moves_on: true,
        },
    ),
    (
        "Choice",
        Rules {
            both: &["Choices", "Default", "Assign"],
            json_path: &["InputPath", "OutputPath"],
            jsonata: &["Output"],
            required: &["Choices"],
            moves_on: false,
        },
    ),
    (
        "Wait",
        Rules {
            both: &["Seconds", "Timestamp", "Assign"],
            json_path: &["InputPath", "OutputPath", "SecondsPath", "TimestampPath"],
            jsonata: &["Output"],
            required: &[],
            moves_on: true,
        },
    ),
    (
        "Succeed",
        Rules {
            both: &[],
            json_path: &["InputPath", "OutputPath"],
            jsonata: &["Output"],
            required: &[],
            moves_on: false,
        },
    ),
    (
        "Fail",
        Rules {
            both: &["Error", "Cause"],
            json_path: &["ErrorPath", "CausePath"],
            jsonata: &[],
            required: &[],
            moves_on: false,
        },
    ),
    (
        "Parallel",
        Rules {
            both: &["Branches", "Retry", "Catch", "Assign"],
            json_path: &["InputPath", "OutputPath", "ResultPath", "Parameters", "ResultSelector"],
            jsonata: &["Arguments", "Output"],
            required: &["Branches"],
            moves_on: true,
        },
    ),
    (
        "Map",
        Rules {
            both: &[
                "ItemProcessor",
                "Iterator",
                "ItemSelector",
                "MaxConcurrency",
                "ToleratedFailureCount",
                "ToleratedFailurePercentage",
                "ItemReader",
                "ItemBatcher",
                "ResultWriter",
                "Label",
                "Retry",
                "Catch",
                "Assign",
            ],
            json_path: &[
                "InputPath",
                "OutputPath",
                "ResultPath",
                "Parameters",
                "ResultSelector",
                "ItemsPath",
                "MaxConcurrencyPath",
                "ToleratedFailureCountPath",
                "ToleratedFailurePercentagePath",
            ],
            jsonata: &["Items", "Output"],
            required: &[],
            moves_on: true,
        },
    ),
];

pub(super) fn read(fields: &Fields<'_, '_>, type_name: &str) -> Option<Kind> {
    match type_name {
        "Task" => task(fields).map(|t| Kind::Task(Box::new(t))),
        "Pass" => Some(Kind::Pass(PassState {
            result: fields.get("Result").filter(|_| !fields.is_jsonata()).cloned(),
        })),
        "Choice" => choice(fields).map(Kind::Choice),
        "Wait" => wait(fields).map(Kind::Wait),
        "Succeed" => Some(Kind::Succeed),
        "Fail" => {
            let text = |f: &Fields<'_, '_>, key: &str| {
                f.string(key);
            };
            Some(Kind::Fail(FailState {
                error: fields.setting("Error", text),
                cause: fields.setting("Cause", text),
            }))
        }
        "Parallel" => parallel(fields).map(Kind::Parallel),
        _ => map::read(fields).map(|m| Kind::Map(Box::new(m))),
    }
}

fn task(fields: &Fields<'_, '_>) -> Option<TaskState> {
    let seconds = |f: &Fields<'_, '_>, key: &str| {
        f.whole(key, 1, SECONDS_MAX);
    };
    let timeout = fields.setting("TimeoutSeconds", seconds);
    let heartbeat = fields.setting("HeartbeatSeconds", seconds);
    let literal = |s: &Option<Setting>| s.as_ref().and_then(|s| s.literal().and_then(Value::as_u64));
    if let (Some(timeout), Some(heartbeat)) = (literal(&timeout), literal(&heartbeat))
        && heartbeat >= timeout
    {
        fields.fault("HeartbeatSeconds", "HeartbeatSeconds must be less than TimeoutSeconds");
    }
    let pointer = fields.at("Credentials");
    if let Some(value) = fields.get("Credentials")
        && let Some(inner) = Fields::of(fields.reading, &pointer, value, fields.language)
        && !inner.has("RoleArn")
        && (!inner.has("RoleArn.$") || fields.is_jsonata())
    {
        fields.reading.schema("The field 'RoleArn' is required but was missing", &pointer);
    }
    let credentials = fields.template("Credentials");
    Some(TaskState { resource: fields.string("Resource")?, timeout, heartbeat, credentials })
}

/// The entries of a list that must have some, each with its place.
fn entries<'d>(fields: &Fields<'_, 'd>, key: &str) -> Option<Vec<(String, &'d Value)>> {
    let Value::Array(entries) = fields.get(key)? else {
        fields.fault(key, "Expected value of type Array");
        return None;
    };
    if entries.is_empty() {
        fields.fault(key, "Value cannot be empty");
    }
    let places = (0..entries.len()).map(|at| join(&fields.at(key), &at.to_string()));
    Some(places.zip(entries).collect())
}

fn choice(fields: &Fields<'_, '_>) -> Option<ChoiceState> {
    let default = fields.string("Default");
    let entries = entries(fields, "Choices")?;
    let mut found = Vec::with_capacity(entries.len());
    for (pointer, entry) in entries {
        if let Some(entry) = Fields::of(fields.reading, &pointer, entry, fields.language) {
            found.extend(rules::rule(&entry));
        }
    }
    Some(ChoiceState { rules: found, default })
}

fn wait(fields: &Fields<'_, '_>) -> Option<WaitState> {
    let keys: &[&str] = match fields.is_jsonata() {
        true => &["Seconds", "Timestamp"],
        false => &["Seconds", "Timestamp", "SecondsPath", "TimestampPath"],
    };
    if !fields.one_of(keys, true) {
        return None;
    }
    let has_seconds = fields.has("Seconds") || fields.has("SecondsPath");
    let until = if has_seconds {
        WaitUntil::Seconds(fields.setting("Seconds", |f, key| {
            f.whole(key, 0, SECONDS_MAX);
        })?)
    } else {
        WaitUntil::Timestamp(fields.setting("Timestamp", |f, key| f.check_timestamp(key))?)
    };
    Some(WaitState { until })
}

fn parallel(fields: &Fields<'_, '_>) -> Option<ParallelState> {
    let entries = entries(fields, "Branches")?;
    let mut branches = Vec::with_capacity(entries.len());
    for (pointer, entry) in entries {
        // A branch has the machine's language, not its state's.
        let outer = machine_language(fields);
        if let Some(entry) = Fields::of(fields.reading, &pointer, entry, outer) {
            entry.only(&["StartAt", "States", "Comment"], &[], &[]);
            let comment = entry.string("Comment");
            branches.extend(flow(&entry, outer).map(|flow| Branch { comment, flow }));
        }
    }
    Some(ParallelState { branches })
}

/// The language of states that do not name theirs, at any depth.
pub(super) fn machine_language(fields: &Fields<'_, '_>) -> QueryLanguage {
    match fields.reading.document.value.get("QueryLanguage").and_then(Value::as_str) {
        Some("JSONata") => QueryLanguage::Jsonata,
        _ => QueryLanguage::JsonPath,
    }
}

impl Setting {
    pub(super) fn of_template(field: &str, template: crate::Template) -> Setting {
        let source = match template {
            crate::Template::Literal(value) => Source::Literal(value),
            crate::Template::Expr(expr) => Source::Expr(expr),
            other => Source::Template(other),
        };
        Setting { field: field.to_owned(), source }
    }
}
