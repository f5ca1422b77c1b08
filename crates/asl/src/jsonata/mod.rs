//! JSONata, as Step Functions has it: the language of <https://docs.jsonata.org> 2.x, evaluated here.
//!
//! An evaluator of our own, because the one kept crate (`jsonata-core`) turns on `serde_json/preserve_order` for the
//! whole program and reads the clock itself, and because an evaluation must end: by depth, steps and size, with time
//! and chance given from outside. What it lacks against the published language:
//!
//! - regular expressions have no look-around and no back-references;
//! - pictures of dates have neither the ISO year `X` nor the week of the month `w`;
//! - where a missing first argument is taken from the context, arguments are matched from the left without going back;
//! - `$eval` is absent, as in Step Functions; so is what the input of an expression would be outside `$states`;
//! - objects of the input have their members in the order of names, since that is how they arrive.

mod ast;
mod call;
mod env;
mod eval;
mod functions;
mod lex;
mod parse;
mod path;
mod signature;
mod value;

use crate::io::DATA_DEPTH_MAX;
use crate::{EvalError, Scope};
use ast::Node;
use env::{Env, Run};
use serde_json::Value;
use std::fmt;
use std::sync::Arc;
use value::Val;

/// Longest text of an expression.
pub const EXPRESSION_BYTES_MAX: usize = 256 * 1024;
/// Deepest nesting of an expression's text.
const EXPRESSION_DEPTH_MAX: usize = 100;
/// Deepest nesting of an evaluation; calls in the last place of a function do not add to it.
const EVAL_DEPTH_MAX: usize = 2_000;
/// Most steps of an evaluation: nodes evaluated, items made.
const EVAL_STEPS_MAX: u64 = 10_000_000;
/// Deepest nesting of a value.
const VALUE_DEPTH_MAX: usize = DATA_DEPTH_MAX;
/// Most values in one value.
const VALUES_MAX: usize = 10_000_000;
/// Longest string an expression makes, and the most text in its result.
const STRING_BYTES_MAX: usize = 16 << 20;

/// A compiled expression.
#[derive(Clone)]
pub struct Jsonata {
    text: String,
    tree: Arc<Node>,
    uses_parent: bool,
}

impl fmt::Debug for Jsonata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Jsonata").field(&self.text).finish()
    }
}

impl Jsonata {
    /// Compiles the text between `{%` and `%}`.
    pub fn parse(text: &str) -> Result<Jsonata, String> {
        if text.len() > EXPRESSION_BYTES_MAX {
            return Err(format!("The expression is longer than {EXPRESSION_BYTES_MAX} bytes"));
        }
        let (tree, uses_parent) = parse::parse(text).map_err(|fault| fault.to_string())?;
        Ok(Jsonata { text: text.to_owned(), tree: Arc::new(tree), uses_parent })
    }

    /// The expression inside a string of the form `{% … %}`; `None` for any other string.
    pub fn enclosed(text: &str) -> Option<&str> {
        Some(text.strip_prefix("{%")?.strip_suffix("%}")?.trim())
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// Evaluates; fails with `States.QueryEvaluationError`, also if the result is undefined. `field` is where the
    /// expression stands: `Output/result`.
    pub fn eval(&self, field: &str, scope: &Scope<'_>) -> Result<Value, EvalError> {
        let about = |what: String| {
            EvalError::query(
                field,
                format!("The JSONata expression '{}' specified for the field '{field}' {what}", self.text),
            )
        };
        match self.run(scope) {
            Ok(Some(value)) => Ok(value),
            Ok(None) => Err(about("returned nothing (undefined).".to_owned())),
            Err(fault) => Err(about(format!("threw an error during evaluation. {fault}"))),
        }
    }

    fn run(&self, scope: &Scope<'_>) -> Result<Option<Value>, Fault> {
        let run = Run::new(scope, self.uses_parent);
        match eval::eval(&run, &self.tree, &Val::Undefined, &Env::root())? {
            Val::Func(_) => Err(Fault::new("T1006", "The result is a function")),
            value => value.to_json(),
        }
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

/// What went wrong, with the code that JSONata publishes for it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fault {
    code: &'static str,
    why: String,
    at: Option<usize>,
}

impl Fault {
    fn new(code: &'static str, why: impl Into<String>) -> Fault {
        Fault { code, why: why.into(), at: None }
    }

    fn at(code: &'static str, why: impl Into<String>, at: usize) -> Fault {
        Fault { code, why: why.into(), at: Some(at) }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.why)?;
        match self.at {
            Some(at) => write!(f, " (position {at})"),
            None => Ok(()),
        }
    }
}
