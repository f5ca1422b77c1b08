//! Filters of a path: `[?(@.price < 10 && @.kind in ['a', 'b'])]`.

use super::find::{self, Miss};
use super::parse::Cursor;
use super::{Path, Root};
use regex::{Regex, RegexBuilder};
use serde_json::Value;
use std::cmp::Ordering;

/// Deepest nesting of parentheses and filters.
pub(super) const FILTER_DEPTH_MAX: usize = 32;
const REGEX_BYTES_MAX: usize = 1 << 20;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Filter {
    Or(Vec<Filter>),
    And(Vec<Filter>),
    Not(Box<Filter>),
    Exists(Operand),
    Compare(Operand, Op, Operand),
    Matches(Operand, Pattern),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Operand {
    Path(Box<Path>),
    Literal(Value),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Op {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    In,
    NotIn,
    Contains,
    Size,
    Empty,
}

/// Compared by its text.
#[derive(Debug, Clone)]
pub(crate) struct Pattern(Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

const OPS: [(&str, Op); 11] = [
    ("==", Op::Eq),
    ("!=", Op::Ne),
    ("<=", Op::Le),
    (">=", Op::Ge),
    ("<", Op::Lt),
    (">", Op::Gt),
    ("in ", Op::In),
    ("nin ", Op::NotIn),
    ("contains ", Op::Contains),
    ("size ", Op::Size),
    ("empty ", Op::Empty),
];

pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Filter, String> {
    let mut any = vec![conjunction(cursor)?];
    while {
        cursor.spaces();
        cursor.take("||")
    } {
        any.push(conjunction(cursor)?);
    }
    Ok(if any.len() == 1 { any.remove(0) } else { Filter::Or(any) })
}

fn conjunction(cursor: &mut Cursor<'_>) -> Result<Filter, String> {
    let mut all = vec![term(cursor)?];
    while {
        cursor.spaces();
        cursor.take("&&")
    } {
        all.push(term(cursor)?);
    }
    Ok(if all.len() == 1 { all.remove(0) } else { Filter::And(all) })
}

fn term(cursor: &mut Cursor<'_>) -> Result<Filter, String> {
    cursor.depth += 1;
    if cursor.depth > FILTER_DEPTH_MAX {
        return Err("Filter is nested too deeply".to_owned());
    }
    cursor.spaces();
    let filter = if cursor.take("!") {
        Filter::Not(Box::new(term(cursor)?))
    } else if cursor.take("(") {
        let inner = parse(cursor)?;
        cursor.spaces();
        cursor.expect(")")?;
        inner
    } else {
        relation(cursor)?
    };
    cursor.depth -= 1;
    Ok(filter)
}

fn relation(cursor: &mut Cursor<'_>) -> Result<Filter, String> {
    let left = operand(cursor)?;
    cursor.spaces();
    if cursor.take("=~") {
        cursor.spaces();
        return Ok(Filter::Matches(left, pattern(cursor)?));
    }
    let Some((_, op)) = OPS.iter().find(|(token, _)| cursor.take(token)) else {
        return match left {
            Operand::Path(_) => Ok(Filter::Exists(left)),
            Operand::Literal(_) => Err(cursor.unexpected()),
        };
    };
    cursor.spaces();
    Ok(Filter::Compare(left, *op, operand(cursor)?))
}

fn operand(cursor: &mut Cursor<'_>) -> Result<Operand, String> {
    match cursor.peek() {
        Some('@' | '$') => Ok(Operand::Path(Box::new(cursor.path(false)?))),
        _ => literal(cursor, 0).map(Operand::Literal),
    }
}

fn literal(cursor: &mut Cursor<'_>, depth: usize) -> Result<Value, String> {
    match cursor.peek() {
        Some('\'' | '"') => cursor.quoted().map(Value::String),
        Some('[') if depth < FILTER_DEPTH_MAX => {
            cursor.expect("[")?;
            let mut items = Vec::new();
            cursor.spaces();
            while !cursor.take("]") {
                items.push(literal(cursor, depth + 1)?);
                cursor.spaces();
                if !cursor.take(",") && !cursor.starts("]") {
                    return Err(cursor.unexpected());
                }
                cursor.spaces();
            }
            Ok(Value::Array(items))
        }
        _ => {
            let at = cursor.at;
            let word =
                cursor.while_char(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.')).to_owned();
            serde_json::from_str(&word)
                .map_err(|_| format!("Could not parse token starting at position {at}"))
        }
    }
}

fn pattern(cursor: &mut Cursor<'_>) -> Result<Pattern, String> {
    cursor.expect("/")?;
    let mut source = String::new();
    loop {
        let c = cursor.peek().ok_or("Regular expression has no closing '/'")?;
        cursor.at += c.len_utf8();
        match c {
            '/' => break,
            '\\' if cursor.take("/") => source.push('/'),
            '\\' => {
                source.push(c);
                if let Some(next) = cursor.peek() {
                    cursor.at += next.len_utf8();
                    source.push(next);
                }
            }
            c => source.push(c),
        }
    }
    let flags = cursor.while_char(|c| c.is_ascii_lowercase()).to_owned();
    RegexBuilder::new(&format!("^(?:{source})$"))
        .case_insensitive(flags.contains('i'))
        .dot_matches_new_line(flags.contains('s'))
        .multi_line(false)
        .size_limit(REGEX_BYTES_MAX)
        .build()
        .map(Pattern)
        .map_err(|_| format!("Not a regular expression: {source}"))
}

impl Filter {
    pub(super) fn matches(&self, item: &Value, document: &Value) -> Result<bool, Miss> {
        match self {
            Filter::Or(any) => {
                for filter in any {
                    if filter.matches(item, document)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Filter::And(all) => {
                for filter in all {
                    if !filter.matches(item, document)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Filter::Not(filter) => Ok(!filter.matches(item, document)?),
            Filter::Exists(operand) => Ok(operand.value(item, document).is_some()),
            Filter::Matches(operand, pattern) => {
                let value = operand.value(item, document);
                Ok(value.as_ref().and_then(Value::as_str).is_some_and(|text| pattern.0.is_match(text)))
            }
            Filter::Compare(left, op, right) => {
                Ok(compare(left.value(item, document).as_ref(), *op, right.value(item, document).as_ref()))
            }
        }
    }
}

impl Operand {
    fn value(&self, item: &Value, document: &Value) -> Option<Value> {
        match self {
            Operand::Literal(value) => Some(value.clone()),
            Operand::Path(path) => {
                let root = if path.root == Root::Current { item } else { document };
                let found = find::find(path, root, document).ok()?.into_owned();
                let nothing = !path.is_definite() && found.as_array().is_some_and(Vec::is_empty);
                (!nothing).then_some(found)
            }
        }
    }
}

fn compare(left: Option<&Value>, op: Op, right: Option<&Value>) -> bool {
    let (left, right) = match (left, right) {
        (Some(left), Some(right)) => (left, right),
        (left, right) => return op == Op::Ne && left.is_some() != right.is_some(),
    };
    let order = || match (left, right) {
        (Value::Number(a), Value::Number(b)) => a.as_f64().partial_cmp(&b.as_f64()),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        _ => None,
    };
    match op {
        Op::Eq => same(left, right),
        Op::Ne => !same(left, right),
        Op::Lt => order() == Some(Ordering::Less),
        Op::Le => order().is_some_and(Ordering::is_le),
        Op::Gt => order() == Some(Ordering::Greater),
        Op::Ge => order().is_some_and(Ordering::is_ge),
        Op::In => right.as_array().is_some_and(|list| list.iter().any(|v| same(v, left))),
        Op::NotIn => right.as_array().is_some_and(|list| !list.iter().any(|v| same(v, left))),
        Op::Contains => match (left, right) {
            (Value::Array(list), item) => list.iter().any(|v| same(v, item)),
            (Value::String(text), Value::String(part)) => text.contains(part.as_str()),
            _ => false,
        },
        Op::Size => right.as_u64().is_some() && right.as_u64() == size(left).map(|n| n as u64),
        Op::Empty => right.as_bool().is_some() && right.as_bool() == size(left).map(|n| n == 0),
    }
}

fn size(value: &Value) -> Option<usize> {
    match value {
        Value::Array(list) => Some(list.len()),
        Value::String(text) => Some(text.chars().count()),
        _ => None,
    }
}

/// Equal, with numbers by value: 1 is 1.0.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => x == y || x.as_f64() == y.as_f64(),
        (Value::Array(x), Value::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(a, b)| same(a, b)),
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len() && x.iter().all(|(k, v)| y.get(k).is_some_and(|w| same(v, w)))
        }
        _ => a == b,
    }
}
