//! JSONata.

use crate::{EvalError, Scope};
use serde_json::Value;

/// A compiled expression.
#[derive(Debug, Clone)]
pub struct Jsonata {
    text: String,
}

impl Jsonata {
    /// Compiles the text between `{%` and `%}`.
    pub fn parse(text: &str) -> Result<Jsonata, String> {
        Ok(Jsonata { text: text.to_owned() })
    }

    /// The expression inside a string of the form `{% … %}`; `None` for any other string.
    pub fn enclosed(text: &str) -> Option<&str> {
        Some(text.strip_prefix("{%")?.strip_suffix("%}")?.trim())
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// Evaluates; fails with `States.QueryEvaluationError`, also if the result is undefined.
    pub fn eval(&self, _field: &str, _scope: &Scope<'_>) -> Result<Value, EvalError> {
        unimplemented!()
    }

    /// The error for a value of a type that the field does not take.
    pub fn wrong_type(&self, field: &str, expected: &str, value: &Value) -> EvalError {
        let got = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        EvalError::query(
            field,
            format!(
                "The JSONata expression '{}' specified for the field '{field}' returned an unexpected result type. \
                 Expected '{expected}', but was '{got}' for value: {value}",
                self.text
            ),
        )
    }
}
