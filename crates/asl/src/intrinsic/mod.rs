//! Intrinsic functions of JSONPath states: `States.Format('{} of {}', $.n, States.ArrayLength($.all))`.
//!
//! Arguments are paths, strings in single quotes, numbers, `true`, `false`, `null` and further calls. In a string a
//! backslash stands before `'`, `{`, `}` or another backslash and before nothing else.

pub(crate) mod compute;
mod functions;
mod parse;

use crate::{EvalError, Path, Scope, errors};
use functions::Function;
use serde_json::Value;

/// Deepest nesting of calls, as in Step Functions.
pub const CALL_DEPTH_MAX: usize = 10;
/// Longest text of a call.
pub const CALL_BYTES_MAX: usize = 10_240;

/// A compiled call.
#[derive(Debug, Clone)]
pub struct Call {
    text: String,
    function: Function,
    args: Vec<Arg>,
}

#[derive(Debug, Clone)]
enum Arg {
    Literal(Value),
    Path(Path),
    Call(Call),
}

impl Call {
    /// Compiles; the fault says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Call, String> {
        parse::call(text)
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// Evaluates; fails with `States.IntrinsicFailure`.
    pub fn eval(&self, _field: &str, scope: &Scope<'_>) -> Result<Value, EvalError> {
        self.value(scope).map_err(|why| {
            let cause = format!("The function '{}' had the following error: {why}", self.text);
            EvalError::new(errors::INTRINSIC_FAILURE, cause)
        })
    }

    fn value(&self, scope: &Scope<'_>) -> Result<Value, String> {
        let mut args = Vec::with_capacity(self.args.len());
        for arg in &self.args {
            args.push(match arg {
                Arg::Literal(value) => value.clone(),
                Arg::Call(call) => call.value(scope)?,
                Arg::Path(path) => match path.find(scope) {
                    Ok(value) => value.into_owned(),
                    Err(_) => {
                        return Err(format!(
                            "The JsonPath argument for the field '{path}' could not be found in the input '{}'",
                            path.root_value(scope)
                        ));
                    }
                },
            });
        }
        self.function.call(args, scope.outside)
    }
}
