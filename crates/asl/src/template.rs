//! Payload templates: JSON in which some strings are expressions. In JSONPath those are the values of keys that end
//! in `.$`; in JSONata every string that is enclosed in `{%` and `%}`.

use crate::{Call, EvalError, Jsonata, Path, Scope, errors};
use serde_json::{Map, Value};

/// A compiled template.
#[derive(Debug, Clone)]
pub enum Template {
    /// Nothing in it is evaluated.
    Literal(Value),
    Array(Vec<Template>),
    Object(Vec<TemplateField>),
    Expr(Expr),
}

#[derive(Debug, Clone)]
pub struct TemplateField {
    /// The key of the result: without `.$`.
    pub key: String,
    /// The key as written.
    pub source_key: String,
    pub value: Template,
}

/// An expression of either language.
#[derive(Debug, Clone)]
pub enum Expr {
    Path(Path),
    Intrinsic(Call),
    Jsonata(Jsonata),
}

impl Template {
    /// Fills the template in. `field` is the definition's field it stands in, such as `Arguments` or `Assign`.
    pub fn eval(&self, field: &str, scope: &Scope<'_>) -> Result<Value, EvalError> {
        match self {
            Template::Literal(value) => Ok(value.clone()),
            Template::Expr(expr) => expr.eval(field, scope),
            Template::Array(items) => {
                let items =
                    items.iter().enumerate().map(|(i, item)| item.eval(&format!("{field}[{i}]"), scope));
                items.collect::<Result<Vec<_>, _>>().map(Value::Array)
            }
            Template::Object(fields) => {
                let mut object = Map::with_capacity(fields.len());
                for f in fields {
                    object.insert(f.key.clone(), f.value.eval(&format!("{field}/{}", f.source_key), scope)?);
                }
                Ok(Value::Object(object))
            }
        }
    }

    /// Fills in the template of `Assign`: its top level is always an object.
    pub fn eval_object(&self, field: &str, scope: &Scope<'_>) -> Result<Map<String, Value>, EvalError> {
        match self.eval(field, scope)? {
            Value::Object(object) => Ok(object),
            _ => Err(EvalError::runtime(format!("The {field} field must be an object."))),
        }
    }
}

impl Expr {
    /// Evaluates; `field` is where it stands, its parts joined by `/`: `Output/result`, `Parameters/a.$`.
    pub fn eval(&self, field: &str, scope: &Scope<'_>) -> Result<Value, EvalError> {
        match self {
            Expr::Path(path) => match path.find(scope) {
                Ok(value) => Ok(value.into_owned()),
                Err(_) => {
                    let name = field.rsplit('/').next().unwrap_or(field);
                    Err(EvalError::new(
                        errors::PARAMETER_PATH_FAILURE,
                        format!(
                            "The JSONPath '{path}' specified for the field '{name}' could not be found in the input '{}'",
                            path.root_value(scope)
                        ),
                    ))
                }
            },
            Expr::Intrinsic(call) => call.eval(field, scope),
            Expr::Jsonata(jsonata) => jsonata.eval(field, scope),
        }
    }

    /// The text as written, without `{%` and `%}`.
    pub fn text(&self) -> &str {
        match self {
            Expr::Path(path) => path.text(),
            Expr::Intrinsic(call) => call.text(),
            Expr::Jsonata(jsonata) => jsonata.text(),
        }
    }
}
