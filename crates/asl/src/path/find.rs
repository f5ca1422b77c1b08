//! Walking a document along a path.

use super::{Path, Root, Step};
use serde_json::Value;
use std::borrow::Cow;
use std::fmt::{self, Write as _};

/// Most nodes a path may visit; beyond that it fails rather than take the machine's memory.
pub const PATH_NODES_MAX: usize = 1_000_000;

/// Why a path found nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Miss(String);

impl Miss {
    pub(crate) fn variable(name: &str) -> Miss {
        Miss(format!("No value for variable: ${name}"))
    }
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `root` is where the path starts; `document` is what `$` in a filter means.
pub(super) fn find<'a>(path: &Path, root: &'a Value, document: &'a Value) -> Result<Cow<'a, Value>, Miss> {
    let mut nodes = vec![root];
    let definite = path.is_definite();
    for (at, step) in path.steps.iter().enumerate() {
        let mut next = Vec::new();
        for node in nodes {
            let found = apply(step, node, document, &mut next)?;
            if !found && definite {
                return Err(missing(path, at));
            }
            if next.len() > PATH_NODES_MAX {
                return Err(Miss(format!("The path reaches more than {PATH_NODES_MAX} nodes: {path}")));
            }
        }
        nodes = next;
    }
    match definite {
        true => nodes.first().map(|v| Cow::Borrowed(*v)).ok_or_else(|| missing(path, path.steps.len())),
        false => Ok(Cow::Owned(Value::Array(nodes.into_iter().cloned().collect()))),
    }
}

/// Adds what the step selects below `node`; false if it selects nothing.
fn apply<'a>(
    step: &Step,
    node: &'a Value,
    document: &'a Value,
    out: &mut Vec<&'a Value>,
) -> Result<bool, Miss> {
    let before = out.len();
    match (step, node) {
        (Step::Fields(names), Value::Object(fields)) => {
            out.extend(names.iter().filter_map(|n| fields.get(n)))
        }
        (Step::Indexes(at), Value::Array(items)) => {
            out.extend(at.iter().filter_map(|&i| index(i, items.len()).and_then(|i| items.get(i))));
        }
        (Step::Slice(from, to), Value::Array(items)) => {
            let (from, to) = bounds(*from, *to, items.len());
            out.extend(items.get(from..to).unwrap_or_default());
        }
        (Step::Wildcard, Value::Array(items)) => out.extend(items),
        (Step::Wildcard, Value::Object(fields)) => out.extend(fields.values()),
        (Step::Filter(filter), Value::Array(items)) => {
            for item in items {
                if filter.matches(item, document)? {
                    out.push(item);
                }
            }
        }
        (Step::Filter(filter), Value::Object(_)) if filter.matches(node, document)? => out.push(node),
        (Step::Descend, _) => descend(node, out)?,
        _ => {}
    }
    Ok(out.len() > before)
}

fn descend<'a>(node: &'a Value, out: &mut Vec<&'a Value>) -> Result<(), Miss> {
    let mut rest = vec![node];
    while let Some(node) = rest.pop() {
        out.push(node);
        if out.len() > PATH_NODES_MAX {
            return Err(Miss(format!("The path reaches more than {PATH_NODES_MAX} nodes")));
        }
        match node {
            Value::Array(items) => rest.extend(items.iter().rev()),
            Value::Object(fields) => rest.extend(fields.values().rev()),
            _ => {}
        }
    }
    Ok(())
}

fn index(at: i64, len: usize) -> Option<usize> {
    let len = i64::try_from(len).ok()?;
    let at = if at < 0 { at + len } else { at };
    usize::try_from(at).ok()
}

fn bounds(from: Option<i64>, to: Option<i64>, len: usize) -> (usize, usize) {
    let clamp = |at: i64| index(at, len).unwrap_or(0).min(len);
    let to = to.map_or(len, clamp);
    (from.map_or(0, clamp).min(to), to)
}

/// Worded as AWS does, with the path in bracket form up to the step that failed.
fn missing(path: &Path, at: usize) -> Miss {
    let mut text = match &path.root {
        Root::Variable(name) => format!("${name}"),
        Root::Context => "$$".to_owned(),
        Root::Current => "@".to_owned(),
        Root::Input => "$".to_owned(),
    };
    for step in path.steps.iter().take(at + 1) {
        let _ = match step {
            Step::Fields(names) => {
                let names: Vec<String> = names.iter().map(|n| format!("'{n}'")).collect();
                write!(text, "[{}]", names.join(","))
            }
            Step::Indexes(at) => {
                let at: Vec<String> = at.iter().map(ToString::to_string).collect();
                write!(text, "[{}]", at.join(","))
            }
            Step::Slice(..) => write!(text, "[:]"),
            Step::Wildcard => write!(text, "[*]"),
            Step::Descend => write!(text, ".."),
            Step::Filter(_) => write!(text, "[?]"),
        };
    }
    let last = at + 1 >= path.steps.len();
    Miss(if last {
        format!("No results for path: {text}")
    } else {
        format!("Missing property in path {text}")
    })
}
