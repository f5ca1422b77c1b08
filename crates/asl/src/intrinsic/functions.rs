//! The eighteen functions and the rules for their arguments.

use super::compute;
use crate::Outside;
use crate::path::same;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// Longest text that is encoded, decoded or hashed, in characters.
const TEXT_CHARS_MAX: usize = 10_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Array,
    ArrayContains,
    ArrayGetItem,
    ArrayLength,
    ArrayPartition,
    ArrayRange,
    ArrayUnique,
    Base64Decode,
    Base64Encode,
    Format,
    Hash,
    JsonMerge,
    JsonToString,
    MathAdd,
    MathRandom,
    StringSplit,
    StringToJson,
    Uuid,
}

impl Function {
    pub fn named(name: &str) -> Option<Function> {
        Some(match name {
            "Array" => Function::Array,
            "ArrayContains" => Function::ArrayContains,
            "ArrayGetItem" => Function::ArrayGetItem,
            "ArrayLength" => Function::ArrayLength,
            "ArrayPartition" => Function::ArrayPartition,
            "ArrayRange" => Function::ArrayRange,
            "ArrayUnique" => Function::ArrayUnique,
            "Base64Decode" => Function::Base64Decode,
            "Base64Encode" => Function::Base64Encode,
            "Format" => Function::Format,
            "Hash" => Function::Hash,
            "JsonMerge" => Function::JsonMerge,
            "JsonToString" => Function::JsonToString,
            "MathAdd" => Function::MathAdd,
            "MathRandom" => Function::MathRandom,
            "StringSplit" => Function::StringSplit,
            "StringToJson" => Function::StringToJson,
            "UUID" => Function::Uuid,
            _ => return None,
        })
    }

    /// Whether it takes this many arguments.
    pub fn check(self, count: usize) -> Result<(), String> {
        let (least, most) = match self {
            Function::Array => (0, usize::MAX),
            Function::Format => (1, usize::MAX),
            Function::Uuid => (0, 0),
            Function::ArrayLength
            | Function::ArrayUnique
            | Function::Base64Decode
            | Function::Base64Encode
            | Function::JsonToString
            | Function::StringToJson => (1, 1),
            Function::ArrayRange | Function::JsonMerge => (3, 3),
            Function::MathRandom => (2, 3),
            _ => (2, 2),
        };
        if (least..=most).contains(&count) {
            return Ok(());
        }
        Err(format!("States.{self:?} takes {least} arguments, not {count}"))
    }

    pub fn call(self, args: Vec<Value>, outside: &dyn Outside) -> Result<Value, String> {
        let [a, b, c] = [0, 1, 2].map(|at| args.get(at).unwrap_or(&Value::Null));
        match self {
            Function::Array => Ok(Value::Array(args)),
            Function::ArrayContains => Ok(Value::Bool(list(a)?.iter().any(|item| same(item, b)))),
            Function::ArrayLength => Ok(Value::from(list(a)?.len())),
            Function::ArrayGetItem => {
                let found = usize::try_from(whole(b, "index")?).ok().and_then(|at| list(a).ok()?.get(at));
                list(a)?;
                found
                    .cloned()
                    .ok_or_else(|| "The index argument must be within the bounds of the array".to_owned())
            }
            Function::ArrayPartition => {
                let size = usize::try_from(whole(b, "chunk size")?).unwrap_or(0);
                if size == 0 {
                    return Err("The chunk size argument must be a positive integer".to_owned());
                }
                Ok(list(a)?.chunks(size).map(|chunk| Value::Array(chunk.to_vec())).collect())
            }
            Function::ArrayRange => {
                let range = compute::range(whole(a, "start")?, whole(b, "end")?, whole(c, "step")?)?;
                Ok(Value::from(range))
            }
            Function::ArrayUnique => Ok(Value::Array(unique(list(a)?))),
            Function::Base64Encode => Ok(Value::from(STANDARD.encode(text(a)?))),
            Function::Base64Decode => decode(text(a)?).map(Value::from),
            Function::Format => format(a, args.get(1..).unwrap_or_default()).map(Value::from),
            Function::Hash => {
                let algorithm = b.as_str().ok_or("The algorithm argument must be a string")?;
                let data = match a {
                    Value::String(_) => text(a)?.to_owned(),
                    other => text(&Value::from(other.to_string()))?.to_owned(),
                };
                compute::hash(&data, algorithm).map(Value::from)
            }
            Function::JsonMerge => merge(a, b, c),
            Function::JsonToString => Ok(Value::from(a.to_string())),
            Function::MathAdd => add(a, b),
            Function::MathRandom => random(a, b, args.get(2), outside),
            Function::StringSplit => split(a, b),
            Function::StringToJson => from_text(a),
            Function::Uuid => Ok(Value::from(outside.uuid())),
        }
    }
}

fn list(value: &Value) -> Result<&Vec<Value>, String> {
    value.as_array().ok_or_else(|| format!("The argument must be an array, not {value}"))
}

fn text(value: &Value) -> Result<&str, String> {
    let text = value.as_str().ok_or_else(|| format!("The argument must be a string, not {value}"))?;
    if text.chars().nth(TEXT_CHARS_MAX).is_some() {
        return Err(format!("The argument must not be longer than {TEXT_CHARS_MAX} characters"));
    }
    Ok(text)
}

/// Numbers that are not whole are rounded.
fn whole(value: &Value, name: &str) -> Result<i64, String> {
    if let Some(n) = value.as_i64() {
        return Ok(n);
    }
    let n = value.as_f64().ok_or_else(|| format!("The {name} argument must be a number, not {value}"))?;
    let n = compute::round(n);
    if n.abs() > 9.0e15 {
        return Err(format!("The {name} argument is out of range: {value}"));
    }
    Ok(n as i64)
}

fn unique(list: &[Value]) -> Vec<Value> {
    let mut kept: Vec<Value> = Vec::new();
    for item in list {
        if !kept.iter().any(|seen| same(seen, item)) {
            kept.push(item.clone());
        }
    }
    kept
}

fn decode(text: &str) -> Result<String, String> {
    let bytes = STANDARD.decode(text).map_err(|_| "The argument is not Base64".to_owned())?;
    String::from_utf8(bytes).map_err(|_| "The decoded data is not UTF-8".to_owned())
}

/// Whether a template in the definition has as many `{}` as there are arguments.
pub(super) fn check_template(template: &str, args: usize) -> Result<(), String> {
    pieces(template).and_then(|pieces| holes(&pieces, args))
}

fn holes(pieces: &[String], args: usize) -> Result<(), String> {
    if pieces.len() - 1 == args {
        return Ok(());
    }
    Err(format!(
        "The template has {} occurrences of {{}}, but there are {args} arguments for them",
        pieces.len() - 1
    ))
}

/// The text between the `{}`.
fn pieces(template: &str) -> Result<Vec<String>, String> {
    let mut pieces = vec![String::new()];
    let mut chars = template.chars().peekable();
    while let Some(c) = chars.next() {
        let piece = match c {
            '{' if chars.next_if_eq(&'}').is_some() => {
                pieces.push(String::new());
                continue;
            }
            '{' | '}' => {
                return Err(format!("Matching '}}' or '{{' not found for '{c}'; write it as '\\{c}'"));
            }
            '\\' => chars.next_if(|next| matches!(next, '{' | '}' | '\\' | '\'')).unwrap_or('\\'),
            c => c,
        };
        if let Some(last) = pieces.last_mut() {
            last.push(piece);
        }
    }
    Ok(pieces)
}

fn format(template: &Value, args: &[Value]) -> Result<String, String> {
    let template = template.as_str().ok_or("The template argument must be a string")?;
    let pieces = pieces(template)?;
    holes(&pieces, args.len())?;
    let mut out = String::new();
    for (at, piece) in pieces.iter().enumerate() {
        out.push_str(piece);
        match args.get(at) {
            Some(Value::String(text)) => out.push_str(text),
            Some(other) => out.push_str(&other.to_string()),
            None => {}
        }
    }
    Ok(out)
}

/// Shallow; a key in both has the second's value.
fn merge(a: &Value, b: &Value, deep: &Value) -> Result<Value, String> {
    let (Value::Object(a), Value::Object(b)) = (a, b) else {
        return Err("The first two arguments must be objects".to_owned());
    };
    if deep != &Value::Bool(false) {
        return Err("Only the shallow merging mode is supported: the third argument must be false".to_owned());
    }
    let mut merged = a.clone();
    merged.extend(b.iter().map(|(k, v)| (k.clone(), v.clone())));
    Ok(Value::Object(merged))
}

/// Each argument is rounded first; both and the sum are 32-bit.
fn add(a: &Value, b: &Value) -> Result<Value, String> {
    let number = |value: &Value| {
        let n = whole(value, "number")?;
        i32::try_from(n)
            .map_err(|_| format!("The argument is not within -2147483648 and 2147483647: {value}"))
    };
    let sum = i64::from(number(a)?) + i64::from(number(b)?);
    Ok(Value::from(sum))
}

/// From `a`, included, to `b`, excluded. A seed always gives the same number.
fn random(a: &Value, b: &Value, seed: Option<&Value>, outside: &dyn Outside) -> Result<Value, String> {
    let (from, to) = (whole(a, "start")?, whole(b, "end")?);
    if from >= to {
        return Err(format!("The start number {from} must be less than the end number {to}"));
    }
    let chance = match seed {
        Some(seed) => compute::seeded(whole(seed, "seed")? as f64),
        None => outside.random(),
    };
    let n = from as f64 + (chance * (to as f64 - from as f64)).floor();
    Ok(Value::from((n as i64).clamp(from, to - 1)))
}

/// At any of the characters; nothing between two of them is no part.
fn split(text: &Value, marks: &Value) -> Result<Value, String> {
    let (Some(text), Some(marks)) = (text.as_str(), marks.as_str()) else {
        return Err("Both arguments must be strings".to_owned());
    };
    let parts = text.split(|c| marks.contains(c)).filter(|part| !part.is_empty());
    Ok(parts.map(Value::from).collect())
}

/// Blank text is null.
fn from_text(value: &Value) -> Result<Value, String> {
    let text = value.as_str().ok_or_else(|| format!("The argument must be a string, not {value}"))?;
    if text.trim().is_empty() {
        return Ok(Value::Null);
    }
    let parsed: Value =
        serde_json::from_str(text).map_err(|_| format!("Invalid JSON string argument: {text}"))?;
    // JSON's -0 is a whole number to Step Functions.
    Ok(if parsed.as_f64() == Some(0.0) { Value::from(0) } else { parsed })
}
