//! Intrinsic functions: `States.Format('{} of {}', $.n, States.ArrayLength($.all))`.

use crate::{EvalError, Scope};
use serde_json::Value;

/// A compiled call.
#[derive(Debug, Clone)]
pub struct Call {
    text: String,
}

impl Call {
    /// Compiles; the fault says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Call, String> {
        Ok(Call { text: text.to_owned() })
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// Evaluates; fails with `States.IntrinsicFailure`, or as a path in it does.
    pub fn eval(&self, _field: &str, _scope: &Scope<'_>) -> Result<Value, EvalError> {
        unimplemented!()
    }
}
