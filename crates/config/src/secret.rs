//! References in values: `${env:NAME}`, `${env:NAME:-default}`, `${file:path}`.

use crate::fault::{Faults, Places, child};
use serde_json::Value;
use std::path::Path;

/// Replaces the references in every string of `value` (never in keys).
pub(crate) fn resolve(value: &mut Value, dir: &Path, places: &mut Places, faults: &mut Faults) {
    resolve_at(value, "", dir, places, faults);
}

fn resolve_at(value: &mut Value, pointer: &str, dir: &Path, places: &mut Places, faults: &mut Faults) {
    match value {
        // Each is looked for in each fault's text, so that none is shown: there must not be many.
        Value::String(text) if text.contains("${") && count(places) >= MAX_REFERENCES => {
            let message = format!("more than {MAX_REFERENCES} references");
            faults.push(places.fault_at(pointer, message, None));
        }
        Value::String(text) if text.contains("${") => match expand(text, dir) {
            Ok((resolved, parts)) => {
                let written = std::mem::replace(text, resolved.clone());
                let whole = std::iter::once((written, resolved));
                places.references.insert(pointer.to_string(), whole.chain(parts).collect());
            }
            Err((message, hint)) => {
                faults.push(places.fault_at(pointer, message, hint));
            }
        },
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                resolve_at(item, &format!("{pointer}/{index}"), dir, places, faults);
            }
        }
        Value::Object(map) => {
            for (key, item) in map.iter_mut() {
                resolve_at(item, &child(pointer, key), dir, places, faults);
            }
        }
        _ => {}
    }
}

/// Most references in a definition, and in one value of it.
const MAX_REFERENCES: usize = 256;

fn count(places: &Places) -> usize {
    places.references.values().map(|parts| parts.len() - 1).sum()
}

type Refusal = (String, Option<String>);

/// The text with its references replaced; what they are replaced by is not looked into again.
/// With it, each reference and what it stands for.
fn expand(text: &str, dir: &Path) -> Result<(String, Vec<(String, String)>), Refusal> {
    let mut out = String::new();
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        out.push_str(&rest[..start]);
        if parts.len() == MAX_REFERENCES {
            return Err((format!("more than {MAX_REFERENCES} references"), None));
        }
        let behind = &rest[start + 2..];
        let end = behind.find('}').ok_or_else(|| {
            ("a reference has no end: `}` is missing".to_string(), Some("write `${env:NAME}`".to_string()))
        })?;
        let value = lookup(&behind[..end], dir)?;
        out.push_str(&value);
        parts.push((format!("${{{}}}", &behind[..end]), value));
        rest = &behind[end + 1..];
    }
    out.push_str(rest);
    Ok((out, parts))
}

fn lookup(reference: &str, dir: &Path) -> Result<String, Refusal> {
    if let Some(name) = reference.strip_prefix("env:") {
        let (name, default) = match name.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (name, None),
        };
        let legal = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !legal {
            return Err((format!("`{name}` is not the name of an environment variable"), None));
        }
        return match (std::env::var(name), default) {
            (Ok(value), _) => Ok(value),
            (Err(_), Some(default)) => Ok(default.to_string()),
            (Err(std::env::VarError::NotUnicode(_)), None) => {
                Err((format!("the environment variable `{name}` is not UTF-8"), None))
            }
            (Err(std::env::VarError::NotPresent), None) => Err((
                format!("the environment variable `{name}` is not set"),
                Some(format!("set it, or give a default: `${{env:{name}:-…}}`")),
            )),
        };
    }
    if let Some(path) = reference.strip_prefix("file:") {
        let found = dir.join(path);
        return match read_limited(&found) {
            Ok(text) => Ok(text.trim_end_matches(['\r', '\n']).to_string()),
            Err(error) => Err((format!("the file `{path}` cannot be read: {error}"), None)),
        };
    }
    let hint = "write `${env:NAME}`, `${env:NAME:-default}` or `${file:path}`".to_string();
    Err((format!("`${{{reference}}}` is not a reference"), Some(hint)))
}

/// A secret is small; a device or a large file named by mistake must not fill the memory.
fn read_limited(path: &Path) -> std::io::Result<String> {
    use std::io::{Error, Read};
    if !std::fs::metadata(path)?.is_file() {
        return Err(Error::other("not a regular file"));
    }
    let mut text = String::new();
    std::fs::File::open(path)?.take(65_537).read_to_string(&mut text)?;
    if text.len() > 65_536 {
        return Err(Error::other("larger than 64 KiB"));
    }
    Ok(text)
}
