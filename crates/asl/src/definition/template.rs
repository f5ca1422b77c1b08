//! Compiling payload templates.

use super::QueryLanguage;
use super::fields::Reading;
use crate::document::join;
use crate::{Call, Expr, Jsonata, Path, Template, TemplateField};
use serde_json::{Map, Value};

/// `field` is the key the value belongs to, `pointer` where the value stands.
pub(super) fn compile(
    reading: &Reading<'_>,
    value: &Value,
    field: &str,
    pointer: &str,
    language: QueryLanguage,
) -> Template {
    match value {
        Value::String(text) if language == QueryLanguage::Jsonata => match Jsonata::enclosed(text) {
            None => Template::Literal(value.clone()),
            Some(inner) => match Jsonata::parse(inner) {
                Ok(jsonata) => Template::Expr(Expr::Jsonata(jsonata)),
                Err(why) => {
                    let message = format!(
                        "The value for the field '{field}' must be a valid JSONata expression: {why}"
                    );
                    reading.schema(message, pointer);
                    Template::Literal(Value::Null)
                }
            },
        },
        Value::Array(items) => {
            let compiled: Vec<Template> = items
                .iter()
                .enumerate()
                .map(|(i, item)| compile(reading, item, field, &join(pointer, &i.to_string()), language))
                .collect();
            match compiled.iter().all(|t| matches!(t, Template::Literal(_))) {
                true => Template::Literal(value.clone()),
                false => Template::Array(compiled),
            }
        }
        Value::Object(map) => object(reading, value, map, pointer, language),
        _ => Template::Literal(value.clone()),
    }
}

fn object(
    reading: &Reading<'_>,
    value: &Value,
    map: &Map<String, Value>,
    pointer: &str,
    language: QueryLanguage,
) -> Template {
    let members = reading.document.members(pointer, map);
    let mut fields: Vec<TemplateField> = Vec::with_capacity(members.len());
    for (key, child) in members {
        let bare = key.strip_suffix(".$").filter(|_| language == QueryLanguage::JsonPath);
        let compiled = match bare {
            Some(_) => dynamic(reading, key, child, pointer),
            None => compile(reading, child, key, &join(pointer, key), language),
        };
        let name = bare.unwrap_or(key);
        if fields.iter().any(|f| f.key == name) {
            reading.schema(format!("The field '{name}' is given twice, as '{name}' and '{name}.$'"), pointer);
        }
        fields.push(TemplateField { key: name.to_owned(), source_key: key.to_owned(), value: compiled });
    }
    let plain = fields.iter().all(|f| f.key == f.source_key && matches!(f.value, Template::Literal(_)));
    if plain { Template::Literal(value.clone()) } else { Template::Object(fields) }
}

/// The value of a key that ends in `.$`.
fn dynamic(reading: &Reading<'_>, key: &str, value: &Value, pointer: &str) -> Template {
    let expr = value.as_str().and_then(|text| match Path::is_path(text) {
        true => Path::parse(text).ok().map(Expr::Path),
        false => Call::parse(text).ok().map(Expr::Intrinsic),
    });
    match expr {
        Some(expr) => Template::Expr(expr),
        None => {
            let message = format!(
                "The value for the field '{key}' must be a valid JSONPath or a valid intrinsic function call"
            );
            reading.schema(message, pointer);
            Template::Literal(Value::Null)
        }
    }
}

/// Most characters of a variable's name.
const VARIABLE_CHARS_MAX: usize = 80;

/// Whether `name` may be a variable: letters, digits and underscores, no digit first, not `states`.
pub(super) fn check_variable_name(name: &str) -> Result<(), String> {
    let mut chars = name.chars();
    let first = chars.next().is_some_and(|c| c.is_alphabetic() || c == '_');
    if !first
        || !chars.all(|c| c.is_alphanumeric() || c == '_')
        || name.chars().nth(VARIABLE_CHARS_MAX).is_some()
    {
        return Err(format!("Invalid variable name: {name}"));
    }
    match name {
        "states" => Err(format!("Reserved variable name: {name}")),
        _ => Ok(()),
    }
}
