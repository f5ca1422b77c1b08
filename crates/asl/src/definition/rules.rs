//! Rules of a Choice.

use super::ChoiceRule;
use super::fields::Fields;
use crate::choice::Operand;
use crate::document::join;
use crate::{Comparison, Condition, Jsonata, Operator};
use serde_json::Value;

/// A rule of `Choices`: a condition with `Next`.
pub(super) fn rule(fields: &Fields<'_, '_>) -> Option<ChoiceRule> {
    fields.require(&["Next"]);
    let condition = if fields.is_jsonata() {
        fields.only(&["Condition", "Next", "Assign", "Output", "Comment"], &[], &[]);
        fields.require(&["Condition"]);
        jsonata(fields)
    } else {
        condition(fields, true)
    };
    let assign = fields.assign();
    let output = if fields.is_jsonata() { fields.template("Output") } else { None };
    Some(ChoiceRule { condition: condition?, next: fields.string("Next")?, assign, output })
}

fn jsonata(fields: &Fields<'_, '_>) -> Option<Condition> {
    let key = "Condition";
    match fields.get(key)? {
        Value::Bool(held) => {
            Jsonata::parse(if *held { "true" } else { "false" }).ok().map(Condition::Jsonata)
        }
        Value::String(text) if Jsonata::enclosed(text).is_some() => {
            fields.jsonata(key, text).map(Condition::Jsonata)
        }
        _ => {
            fields
                .fault(key, "The value for the field 'Condition' must be a boolean or a JSONata expression");
            None
        }
    }
}

/// `And`, `Or`, `Not`, or a comparison. Nested ones have no `Next` and no `Assign`.
fn condition(fields: &Fields<'_, '_>, top: bool) -> Option<Condition> {
    let mut allowed = vec!["Comment"];
    if top {
        allowed.extend(["Next", "Assign"]);
    }
    let combined: Vec<&str> = ["And", "Or", "Not"].into_iter().filter(|key| fields.has(key)).collect();
    match combined.as_slice() {
        [] => comparison(fields, &allowed),
        [key] => {
            allowed.push(key);
            fields.only(&allowed, &[], &["Condition", "Output"]);
            combination(fields, key)
        }
        _ => {
            fields.one_of(&["And", "Or", "Not"], true);
            None
        }
    }
}

fn combination(fields: &Fields<'_, '_>, key: &str) -> Option<Condition> {
    let pointer = fields.at(key);
    let value = fields.get(key)?;
    if key == "Not" {
        let inner = Fields::of(fields.reading, &pointer, value, fields.language)?;
        return condition(&inner, false).map(|c| Condition::Not(Box::new(c)));
    }
    let Some(entries) = value.as_array().filter(|list| !list.is_empty()) else {
        fields.fault(key, "A non-empty array of rules is required");
        return None;
    };
    let mut inner = Vec::with_capacity(entries.len());
    for (at, entry) in entries.iter().enumerate() {
        let pointer = join(&pointer, &at.to_string());
        if let Some(entry) = Fields::of(fields.reading, &pointer, entry, fields.language) {
            inner.extend(condition(&entry, false));
        }
    }
    Some(if key == "And" { Condition::And(inner) } else { Condition::Or(inner) })
}

fn comparison(fields: &Fields<'_, '_>, allowed: &[&str]) -> Option<Condition> {
    let found: Vec<(&str, Operator, bool)> = fields
        .map
        .keys()
        .filter_map(|key| {
            Operator::of_field(key).map(|(operator, by_path)| (key.as_str(), operator, by_path))
        })
        .collect();
    let names: Vec<&str> = found.iter().map(|(key, ..)| *key).collect();
    let allowed = [allowed, &["Variable"], &names].concat();
    fields.only(&allowed, &[], &["Condition", "Output"]);
    fields.require(&["Variable"]);
    let variable = fields.path("Variable");
    let [(key, operator, by_path)] = found.as_slice() else {
        let message = match names.as_slice() {
            [] => "A comparison operator is required".to_owned(),
            many => format!("Only one of these fields is allowed: [{}]", many.join(", ")),
        };
        fields.reading.schema(message, fields.pointer);
        return None;
    };
    let operand = if *by_path {
        Operand::Path(fields.path(key)?)
    } else {
        let value = fields.get(key)?;
        if let Err(expected) = operator.check_literal(value) {
            let message = match operator {
                Operator::Timestamp(_) if value.is_string() => {
                    "String does not match RFC3339 timestamp".to_owned()
                }
                _ => format!("Expected {expected}"),
            };
            fields.fault(key, message);
        }
        Operand::Literal(value.clone())
    };
    Some(Condition::Compare(Comparison { variable: variable?, operator: *operator, operand }))
}
