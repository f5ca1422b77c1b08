//! From a document to a [`Machine`]: all faults are found in one pass, and a machine comes out only without any.

use super::fields::{Fields, Reading};
use super::{Common, Flow, Kind, Machine, QueryLanguage, State, kinds, reach, retry};
use crate::document::{Document, join};
use crate::{Diagnostic, Severity};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::HashMap;

/// Longest name of a state, in characters.
const NAME_CHARS_MAX: usize = 80;
/// Most time-out in seconds.
pub(super) const SECONDS_MAX: u64 = 99_999_999;

pub(super) fn machine(document: &Document) -> Result<Machine, Vec<Diagnostic>> {
    let (machine, faults) = read(document);
    match machine {
        Some(machine) if !faults.iter().any(|f| f.severity == Severity::Error) => Ok(machine),
        _ => Err(faults),
    }
}

pub(super) fn diagnose(document: &Document) -> Vec<Diagnostic> {
    read(document).1
}

pub(super) fn lone_state(name: &str, document: &Document) -> Result<State, Vec<Diagnostic>> {
    let reading = new_reading(document);
    let state = state(&reading, name, &join("/States", name), &document.value, QueryLanguage::JsonPath);
    let faults = reading.faults.into_inner();
    match state {
        Some(state) if !faults.iter().any(|f| f.severity == Severity::Error) => Ok(state),
        _ => Err(faults),
    }
}

fn new_reading(document: &Document) -> Reading<'_> {
    Reading { document, faults: RefCell::default(), names: RefCell::new(HashMap::new()) }
}

fn read(document: &Document) -> (Option<Machine>, Vec<Diagnostic>) {
    let reading = new_reading(document);
    let machine = top(&reading, &document.value);
    (machine, reading.faults.into_inner())
}

fn top(reading: &Reading<'_>, value: &Value) -> Option<Machine> {
    let Value::Object(_) = value else {
        reading.schema("Expected value of type Object", "/");
        return None;
    };
    let fields = Fields::of(reading, "", &reading.document.value, QueryLanguage::JsonPath)?;
    let allowed = ["Comment", "StartAt", "States", "Version", "TimeoutSeconds", "QueryLanguage"];
    fields.only(&allowed, &[], &[]);
    let query_language = language(&fields, QueryLanguage::JsonPath);
    let version = fields.string("Version");
    if version.as_deref().is_some_and(|v| v != "1.0") {
        fields.fault("Version", "The field 'Version' should have one of these values: [1.0]");
    }
    let timeout_seconds = fields.whole("TimeoutSeconds", 0, SECONDS_MAX);
    let comment = fields.string("Comment");
    let flow = flow(&fields, query_language);
    Some(Machine {
        comment,
        version,
        query_language,
        timeout_seconds,
        flow: flow?,
        source: reading.document.value.clone(),
    })
}

/// `QueryLanguage`, or the one around it. JSONPath inside JSONata does not exist.
fn language(fields: &Fields<'_, '_>, outer: QueryLanguage) -> QueryLanguage {
    match fields.choice("QueryLanguage", &["JSONPath", "JSONata"]).as_deref() {
        Some("JSONata") => QueryLanguage::Jsonata,
        Some("JSONPath") if outer == QueryLanguage::Jsonata => {
            let message = "The QueryLanguage cannot be 'JSONPath' where the QueryLanguage of the state machine is 'JSONata'";
            fields.fault("QueryLanguage", message);
            QueryLanguage::JsonPath
        }
        Some("JSONPath") => QueryLanguage::JsonPath,
        _ => outer,
    }
}

/// `StartAt` and `States` of a machine, branch or processor.
pub(super) fn flow(fields: &Fields<'_, '_>, language: QueryLanguage) -> Option<Flow> {
    fields.require(&["StartAt", "States"]);
    let reading = fields.reading;
    let start_at = fields.string("StartAt");
    let pointer = fields.at("States");
    let value = fields.get("States")?;
    let Value::Object(map) = value else {
        fields.fault("States", "Expected value of type Object");
        return None;
    };
    if map.is_empty() {
        fields.fault("States", "Value cannot be empty");
    }
    let mut states = Vec::with_capacity(map.len());
    for (name, value) in reading.document.members(&pointer, map) {
        states.extend(state(reading, name, &join(&pointer, name), value, language));
    }
    let names: Vec<&str> = map.keys().map(String::as_str).collect();
    reach::check(reading, fields.pointer, start_at.as_deref(), &names, &states);
    Some(Flow::new(start_at?, states))
}

fn state(
    reading: &Reading<'_>,
    name: &str,
    pointer: &str,
    value: &Value,
    outer: QueryLanguage,
) -> Option<State> {
    if name.is_empty() || name.chars().nth(NAME_CHARS_MAX).is_some() {
        let message = format!("A state's name has 1 to {NAME_CHARS_MAX} characters");
        reading.fault("INVALID_STATE_NAME", message, pointer);
    }
    if reading.names.borrow_mut().insert(name.to_owned(), pointer.to_owned()).is_some() {
        reading.fault("DUPLICATE_STATE_NAME", format!("Duplicate State name: {name}"), pointer);
    }
    let probe = Fields::of(reading, pointer, value, outer)?;
    let language = language(&probe, outer);
    let fields = Fields { language, ..probe };
    fields.require(&["Type"]);
    let comment = fields.string("Comment");
    let type_name = fields.choice("Type", &kinds::TYPES)?;
    let rules = kinds::rules(&type_name)?;
    rules.check(&fields);
    let common = common(&fields, &type_name);
    let next = if rules.moves_on { transition(&fields) } else { None };
    let kind = kinds::read(&fields, &type_name)?;
    Some(State {
        name: name.to_owned(),
        pointer: pointer.to_owned(),
        comment,
        query_language: language,
        next,
        common,
        kind,
    })
}

fn transition(fields: &Fields<'_, '_>) -> Option<String> {
    fields.one_of(&["Next", "End"], true);
    match fields.boolean("End") {
        Some(true) => None,
        Some(false) if !fields.has("Next") => {
            fields.fault("End", "Value must be true");
            None
        }
        _ => fields.string("Next"),
    }
}

fn common(fields: &Fields<'_, '_>, type_name: &str) -> Common {
    let mut common = Common { assign: fields.assign(), ..Common::default() };
    if fields.is_jsonata() {
        common.arguments = fields.template("Arguments");
        common.output = fields.template("Output");
    } else {
        common.input_path = fields.selector("InputPath");
        common.output_path = fields.selector("OutputPath");
        common.result_path = fields.result_path();
        common.result_selector = fields.template("ResultSelector");
        // In a Map they are the older name of ItemSelector.
        if type_name != "Map" {
            common.parameters = fields.template("Parameters");
        }
    }
    common.retry = retry::retriers(fields);
    common.catch = retry::catchers(fields);
    common
}

impl Machine {
    /// What an EXPRESS machine must not have: activities, `.sync` and `.waitForTaskToken`.
    pub fn express_faults(&self) -> Vec<Diagnostic> {
        let mut faults = Vec::new();
        for used in self.uses() {
            let message = if used.resource.contains(":activity:") {
                "Express state machine does not support Activity ARN"
            } else if used.resource.ends_with(".waitForTaskToken") {
                // The two spaces are AWS's.
                "Express state machine does not support '.waitForTaskToken' service integration "
            } else if used.resource.ends_with(".sync") || used.resource.ends_with(".sync:2") {
                "Express state machine does not support '.sync' service integration"
            } else {
                continue;
            };
            faults.push(Diagnostic::error(crate::document::SCHEMA, message, used.pointer));
        }
        for state in self.states() {
            if matches!(&state.kind, Kind::Map(map) if map.mode == super::MapMode::Distributed) {
                let message = "Express state machine does not support Map states in DISTRIBUTED mode";
                faults.push(Diagnostic::error(crate::document::SCHEMA, message, state.pointer.clone()));
            }
        }
        faults
    }

    /// Every state, nested ones behind the state they are in.
    pub fn states(&self) -> Vec<&State> {
        fn collect<'a>(flow: &'a Flow, out: &mut Vec<&'a State>) {
            for state in &flow.states {
                out.push(state);
                state.flows().into_iter().for_each(|flow| collect(flow, out));
            }
        }
        let mut states = Vec::new();
        collect(&self.flow, &mut states);
        states
    }
}

impl Diagnostic {
    /// The fault of a Task whose resource nobody knows, as AWS words it.
    pub fn unknown_resource(resource: &str, pointer: &str) -> Diagnostic {
        let message = format!(
            "The resource provided {resource} is not recognized. The value is not a valid resource ARN, or the resource is not available in this region."
        );
        Diagnostic::error(crate::document::SCHEMA, message, pointer)
    }
}
