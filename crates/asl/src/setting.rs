//! One scalar field that stands in the definition, or is found by its `…Path` twin or a JSONata expression.

use crate::timestamp::parse_timestamp_ms;
use crate::{EvalError, Expr, Scope};
use serde_json::Value;

/// A field and where its value comes from.
#[derive(Debug, Clone)]
pub struct Setting {
    /// As written: `TimeoutSeconds`, or `TimeoutSecondsPath`.
    pub field: String,
    pub source: Source,
}

#[derive(Debug, Clone)]
pub enum Source {
    Literal(Value),
    Expr(Expr),
    /// A JSONata array or object with expressions in it, as `Items` may be.
    Template(crate::Template),
}

impl Setting {
    /// The value, of whatever type.
    pub fn value(&self, scope: &Scope<'_>) -> Result<Value, EvalError> {
        match &self.source {
            Source::Literal(value) => Ok(value.clone()),
            Source::Template(template) => template.eval(&self.field, scope),
            Source::Expr(expr) => expr.eval(&self.field, scope).map_err(|e| self.not_found(expr, scope, e)),
        }
    }

    /// The value if nothing has to be evaluated for it.
    pub fn literal(&self) -> Option<&Value> {
        match &self.source {
            Source::Literal(value) => Some(value),
            _ => None,
        }
    }

    /// A whole number from 0: `MaxConcurrency`, `ToleratedFailureCount`, `MaxItems`, `TimeoutSeconds`, ….
    pub fn count(&self, scope: &Scope<'_>) -> Result<u64, EvalError> {
        let value = self.value(scope)?;
        let Some(number) = whole(&value).or_else(|| self.in_text(&value)) else {
            return Err(self.wrong_number(&value, "integer", "number"));
        };
        u64::try_from(number).map_err(|_| self.fault(format!("{} must be positive.", self.base())))
    }

    /// `Seconds`, `TimeoutSeconds` and `HeartbeatSeconds`.
    pub fn seconds(&self, scope: &Scope<'_>) -> Result<u64, EvalError> {
        let value = self.value(scope)?;
        let Some(number) = whole(&value) else {
            return Err(match &self.source {
                Source::Expr(Expr::Jsonata(_)) => self.wrong_number(&value, "integer", "number"),
                _ => self.fault(format!(
                    "The {} parameter does not reference a valid integer: {} == {}",
                    self.field,
                    self.text(),
                    plain(&value)
                )),
            });
        };
        u64::try_from(number)
            .map_err(|_| self.fault(format!("{} must be positive: {} == {number}", self.field, self.text())))
    }

    /// `ToleratedFailurePercentage`: 0 to 100.
    pub fn percentage(&self, scope: &Scope<'_>) -> Result<f64, EvalError> {
        let value = self.value(scope)?;
        let number = value.as_f64().or_else(|| self.in_text(&value));
        let number = number.ok_or_else(|| self.wrong_number(&value, "float", "number"))?;
        if !(0.0..=100.0).contains(&number) {
            return Err(self.fault(format!("{} must be between 0 and 100.", self.base())));
        }
        Ok(number)
    }

    /// `Error`, `Cause` and other texts.
    pub fn text_value(&self, scope: &Scope<'_>) -> Result<String, EvalError> {
        match (self.value(scope)?, &self.source) {
            (Value::String(text), _) => Ok(text),
            (value, Source::Expr(Expr::Jsonata(j))) => Err(j.wrong_type(&self.field, "string", &value)),
            (value, _) => Err(self.fault(format!(
                "The {} parameter does not reference a string: {} == {}",
                self.field,
                self.text(),
                value
            ))),
        }
    }

    /// `Timestamp`, in milliseconds since 1970.
    pub fn timestamp_ms(&self, scope: &Scope<'_>) -> Result<i64, EvalError> {
        let value = self.value(scope)?;
        if let Some(ms) = value.as_str().and_then(parse_timestamp_ms) {
            return Ok(ms);
        }
        Err(match &self.source {
            Source::Expr(Expr::Path(_) | Expr::Intrinsic(_)) => self.fault(format!(
                "The {} parameter does not reference a valid ISO-8601 extended offset date-time format string: {} == {}",
                self.field,
                self.text(),
                plain(&value)
            )),
            Source::Expr(Expr::Jsonata(j)) if !value.is_string() => j.wrong_type(&self.field, "string", &value),
            _ => self.fault(format!(
                "The {} field cannot be parsed as an ISO-8601 extended offset date-time format string: {}",
                self.field,
                plain(&value)
            )),
        })
    }

    /// The items of a Map: an array.
    pub fn items(&self, scope: &Scope<'_>) -> Result<Vec<Value>, EvalError> {
        match (self.value(scope)?, &self.source) {
            (Value::Array(items), _) => Ok(items),
            (value, Source::Expr(Expr::Jsonata(j))) => Err(j.wrong_type(&self.field, "array", &value)),
            (_, Source::Expr(expr)) => {
                Err(EvalError::runtime(format!("Reference path \"{}\" must point to array.", expr.text())))
            }
            (value, _) => Err(EvalError::query(
                &self.field,
                format!("Map state input must be an array but was: {value}"),
            )),
        }
    }

    /// By path a number may stand in a string.
    fn in_text<T: std::str::FromStr>(&self, value: &Value) -> Option<T> {
        let by_path = matches!(&self.source, Source::Expr(Expr::Path(_)));
        value.as_str().filter(|_| by_path)?.trim().parse().ok()
    }

    fn base(&self) -> &str {
        self.field.strip_suffix("Path").unwrap_or(&self.field)
    }

    fn text(&self) -> String {
        match &self.source {
            Source::Literal(value) => plain(value),
            Source::Expr(expr) => expr.text().to_owned(),
            Source::Template(_) => self.field.clone(),
        }
    }

    fn is_jsonata(&self) -> bool {
        matches!(&self.source, Source::Expr(Expr::Jsonata(_)) | Source::Template(_))
    }

    fn fault(&self, cause: String) -> EvalError {
        if self.is_jsonata() { EvalError::query(&self.field, cause) } else { EvalError::runtime(cause) }
    }

    fn wrong_number(&self, value: &Value, path_kind: &str, jsonata_kind: &str) -> EvalError {
        match &self.source {
            Source::Expr(Expr::Jsonata(j)) => j.wrong_type(&self.field, jsonata_kind, value),
            _ => self.fault(format!(
                "The {} field refers to value {} which is not a valid {path_kind}: {}",
                self.field,
                quoted(value),
                self.text()
            )),
        }
    }

    /// Paths that lead nowhere are worded by what they are for.
    fn not_found(&self, expr: &Expr, scope: &Scope<'_>, fault: EvalError) -> EvalError {
        let Expr::Path(path) = expr else { return fault };
        match self.base() {
            "Error" | "Cause" => EvalError::runtime(fault.cause),
            "Items" => match path.find(scope) {
                Err(miss) => EvalError::runtime(format!("Invalid path '{path}' : {miss}")),
                Ok(_) => fault,
            },
            _ => EvalError::runtime(format!(
                "The {} parameter does not reference an input value: {path}",
                self.field
            )),
        }
    }
}

/// A whole number, also one written as 3.0.
fn whole(value: &Value) -> Option<i64> {
    if let Some(n) = value.as_i64() {
        return Some(n);
    }
    let n = value.as_f64()?;
    (n.fract() == 0.0 && n.abs() < 9.0e15).then_some(n as i64)
}

/// Strings bare, everything else as JSON.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// AWS shows the value between quotes without escaping it.
fn quoted(value: &Value) -> String {
    format!("\"{}\"", plain(value))
}
