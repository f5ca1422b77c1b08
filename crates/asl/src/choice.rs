//! Choice rules: comparisons of both forms, their combinations, and JSONata conditions.

use crate::path::same;
use crate::timestamp::parse_timestamp_ms;
use crate::{EvalError, Jsonata, Path, Scope};
use serde_json::Value;
use std::cmp::Ordering;

/// What a rule asks.
#[derive(Debug, Clone)]
pub enum Condition {
    Compare(Comparison),
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Not(Box<Condition>),
    Jsonata(Jsonata),
}

#[derive(Debug, Clone)]
pub struct Comparison {
    pub variable: Path,
    pub operator: Operator,
    pub operand: Operand,
}

/// The right side: in the definition, or where a `…Path` operator points.
#[derive(Debug, Clone)]
pub enum Operand {
    Literal(Value),
    Path(Path),
}

/// An operator without the `Path` ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    String(Relation),
    StringMatches,
    Numeric(Relation),
    BooleanEquals,
    Timestamp(Relation),
    IsNull,
    IsPresent,
    IsNumeric,
    IsString,
    IsBoolean,
    IsTimestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    Equals,
    LessThan,
    GreaterThan,
    LessThanEquals,
    GreaterThanEquals,
}

impl Operator {
    /// The operator of a field name and whether it is the `…Path` form.
    pub fn of_field(field: &str) -> Option<(Operator, bool)> {
        let (name, by_path) = match field.strip_suffix("Path") {
            Some(name) => (name, true),
            None => (field, false),
        };
        let operator = match name {
            "StringMatches" => Operator::StringMatches,
            "BooleanEquals" => Operator::BooleanEquals,
            "IsNull" => Operator::IsNull,
            "IsPresent" => Operator::IsPresent,
            "IsNumeric" => Operator::IsNumeric,
            "IsString" => Operator::IsString,
            "IsBoolean" => Operator::IsBoolean,
            "IsTimestamp" => Operator::IsTimestamp,
            _ => related(name)?,
        };
        let has_path = !operator.is_test() && operator != Operator::StringMatches;
        (!by_path || has_path).then_some((operator, by_path))
    }

    /// `IsNull` and its kin, whose operand is a boolean.
    pub fn is_test(self) -> bool {
        use Operator::{IsBoolean, IsNull, IsNumeric, IsPresent, IsString, IsTimestamp};
        matches!(self, IsNull | IsPresent | IsNumeric | IsString | IsBoolean | IsTimestamp)
    }

    /// Whether `literal` may stand in the definition; if not, what must.
    pub(crate) fn check_literal(self, literal: &Value) -> Result<(), &'static str> {
        let (fits, expected) = match self {
            Operator::String(_) | Operator::StringMatches => (literal.is_string(), "a string"),
            Operator::Numeric(_) => (literal.is_number(), "a number"),
            Operator::Timestamp(_) => {
                (literal.as_str().is_some_and(|t| parse_timestamp_ms(t).is_some()), "a timestamp")
            }
            _ => (literal.is_boolean(), "a boolean"),
        };
        if fits { Ok(()) } else { Err(expected) }
    }
}

fn related(name: &str) -> Option<Operator> {
    for (prefix, operator) in [
        ("String", Operator::String as fn(Relation) -> Operator),
        ("Numeric", Operator::Numeric),
        ("Timestamp", Operator::Timestamp),
    ] {
        if let Some(relation) = name.strip_prefix(prefix) {
            let relation = match relation {
                "Equals" => Relation::Equals,
                "LessThan" => Relation::LessThan,
                "GreaterThan" => Relation::GreaterThan,
                "LessThanEquals" => Relation::LessThanEquals,
                "GreaterThanEquals" => Relation::GreaterThanEquals,
                _ => return None,
            };
            return Some(operator(relation));
        }
    }
    None
}

impl Condition {
    /// Whether the rule holds; `field` names a JSONata condition, as in `Choices[0]/Condition`.
    pub fn holds(&self, field: &str, scope: &Scope<'_>) -> Result<bool, EvalError> {
        match self {
            Condition::Compare(comparison) => comparison.holds(scope),
            Condition::Not(inner) => inner.holds(field, scope).map(|held| !held),
            Condition::And(all) => {
                for inner in all {
                    if !inner.holds(field, scope)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Condition::Or(any) => {
                for inner in any {
                    if inner.holds(field, scope)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Condition::Jsonata(jsonata) => match jsonata.eval(field, scope)? {
                Value::Bool(held) => Ok(held),
                other => Err(jsonata.wrong_type(field, "boolean", &other)),
            },
        }
    }
}

impl Comparison {
    fn holds(&self, scope: &Scope<'_>) -> Result<bool, EvalError> {
        let found = self.variable.find(scope);
        if self.operator == Operator::IsPresent {
            return Ok(
                matches!(&self.operand, Operand::Literal(Value::Bool(wanted)) if *wanted == found.is_ok()),
            );
        }
        let left = found.map_err(|_| invalid(&self.variable))?;
        match &self.operand {
            Operand::Literal(right) => Ok(self.operator.compare(&left, right)),
            Operand::Path(path) => {
                let right = path.find(scope).map_err(|_| invalid(path))?;
                Ok(self.operator.compare(&left, &right))
            }
        }
    }
}

fn invalid(path: &Path) -> EvalError {
    EvalError::runtime(format!(
        "Invalid path '{path}': The choice state's condition path references an invalid value."
    ))
}

impl Operator {
    /// Values of the wrong type never match.
    fn compare(self, left: &Value, right: &Value) -> bool {
        let test = |is: bool| right.as_bool() == Some(is);
        match self {
            Operator::String(relation) => match (left.as_str(), right.as_str()) {
                (Some(a), Some(b)) => relation.holds(a.cmp(b)),
                _ => false,
            },
            Operator::StringMatches => match (left.as_str(), right.as_str()) {
                (Some(text), Some(pattern)) => wildcard(text, pattern),
                _ => false,
            },
            Operator::Numeric(Relation::Equals) => left.is_number() && right.is_number() && same(left, right),
            Operator::Numeric(relation) => match (left.as_f64(), right.as_f64()) {
                (Some(a), Some(b)) => a.partial_cmp(&b).is_some_and(|o| relation.holds(o)),
                _ => false,
            },
            Operator::BooleanEquals => left.is_boolean() && left == right,
            Operator::Timestamp(relation) => {
                let ms = |v: &Value| v.as_str().and_then(parse_timestamp_ms);
                matches!((ms(left), ms(right)), (Some(a), Some(b)) if relation.holds(a.cmp(&b)))
            }
            Operator::IsNull => test(left.is_null()),
            Operator::IsPresent => test(true),
            Operator::IsNumeric => test(left.is_number()),
            Operator::IsString => test(left.is_string()),
            Operator::IsBoolean => test(left.is_boolean()),
            Operator::IsTimestamp => test(left.as_str().is_some_and(|t| parse_timestamp_ms(t).is_some())),
        }
    }
}

impl Relation {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Relation::Equals => order.is_eq(),
            Relation::LessThan => order.is_lt(),
            Relation::GreaterThan => order.is_gt(),
            Relation::LessThanEquals => order.is_le(),
            Relation::GreaterThanEquals => order.is_ge(),
        }
    }
}

/// `StringMatches`: `*` stands for any characters, `\*` for an asterisk and `\\` for a backslash. Linear in the text
/// for each asterisk: on a mismatch only the last asterisk is tried again.
fn wildcard(text: &str, pattern: &str) -> bool {
    let mut tokens = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' => tokens.push(None),
            '\\' => tokens.push(Some(chars.next().unwrap_or('\\'))),
            c => tokens.push(Some(c)),
        }
    }
    let text: Vec<char> = text.chars().collect();
    let (mut t, mut p) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match tokens.get(p) {
            Some(None) => {
                retry = Some((p, t));
                p += 1;
            }
            Some(Some(c)) if *c == text[t] => {
                t += 1;
                p += 1;
            }
            _ => match retry {
                Some((star, from)) => {
                    retry = Some((star, from + 1));
                    p = star + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    tokens[p..].iter().all(Option::is_none)
}
