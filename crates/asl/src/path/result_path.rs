//! `ResultPath`: where a result goes into the raw input.

use super::{Path, Step};
use crate::{EvalError, errors};
use serde_json::{Map, Value};

/// Where a result goes.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum ResultPath {
    /// `$`, the default: the result takes the input's place.
    #[default]
    Replace,
    /// `null`: the input goes on, the result is dropped.
    Discard,
    /// Into the input, at a reference path; objects on the way are made.
    At(Path),
}

impl ResultPath {
    pub fn apply(&self, input: &Value, result: Value) -> Result<Value, EvalError> {
        match self {
            ResultPath::Replace => Ok(result),
            ResultPath::Discard => Ok(input.clone()),
            ResultPath::At(path) => {
                let mut whole = input.clone();
                match place(&mut whole, &path.steps) {
                    Some(slot) => *slot = result,
                    None => {
                        return Err(EvalError::new(
                            errors::RESULT_PATH_MATCH_FAILURE,
                            format!("Unable to apply ReferencePath {path} to input {input}"),
                        ));
                    }
                }
                Ok(whole)
            }
        }
    }
}

/// The place itself. An absent field is made; an index must be there already.
fn place<'a>(mut node: &'a mut Value, steps: &[Step]) -> Option<&'a mut Value> {
    for (at, step) in steps.iter().enumerate() {
        if at > 0 && node.is_null() && matches!(step, Step::Fields(_)) {
            *node = Value::Object(Map::new());
        }
        node = match (step, node) {
            (Step::Fields(names), Value::Object(fields)) => {
                fields.entry(names.first()?.as_str()).or_insert(Value::Null)
            }
            (Step::Indexes(at), Value::Array(items)) => items.get_mut(usize::try_from(*at.first()?).ok()?)?,
            _ => return None,
        };
    }
    Some(node)
}
