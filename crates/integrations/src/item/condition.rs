//! Condition, key condition and filter expressions: what they say, and whether an item meets them.
//!
//! ```text
//! condition = and {OR and} · and = not {AND not} · not = NOT not | primary
//! primary = ( condition ) | function | operand comparator operand
//!         | operand BETWEEN operand AND operand | operand IN ( operand {, operand} )
//! operand = path | :value | size(path)
//! ```

use super::ItemError;
use super::lexer::{Cursor, DEPTH_MAX, Placeholders, Token};
use super::path::Path;
use super::value::{Attribute, Item};
use std::cmp::Ordering;

/// A condition on an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
    Not(Box<Condition>),
    Compare(Operand, Comparator, Operand),
    Between(Operand, Operand, Operand),
    In(Operand, Vec<Operand>),
    Exists(Path),
    NotExists(Path),
    Type(Path, String),
    BeginsWith(Operand, Operand),
    Contains(Operand, Operand),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparator {
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operand {
    Path(Path),
    Value(Attribute),
    Size(Path),
}

impl Condition {
    /// Reads the expression of this parameter.
    pub fn parse(
        parameter: &'static str,
        text: &str,
        placeholders: &Placeholders<'_>,
    ) -> Result<Self, ItemError> {
        let mut cursor = Cursor::new(parameter, text, placeholders)?;
        let condition = or(&mut cursor, 0)?;
        cursor.end()?;
        Ok(condition)
    }

    /// Does the item meet it? An item that does not exist has no attributes.
    pub fn holds(&self, item: &Item) -> bool {
        match self {
            Self::And(a, b) => a.holds(item) && b.holds(item),
            Self::Or(a, b) => a.holds(item) || b.holds(item),
            Self::Not(condition) => !condition.holds(item),
            Self::Compare(a, comparator, b) => compare(a.of(item).as_ref(), *comparator, b.of(item).as_ref()),
            Self::Between(value, low, high) => {
                let (value, low, high) = (value.of(item), low.of(item), high.of(item));
                compare(value.as_ref(), Comparator::AtLeast, low.as_ref())
                    && compare(value.as_ref(), Comparator::AtMost, high.as_ref())
            }
            Self::In(value, list) => {
                let value = value.of(item);
                list.iter().any(|other| compare(value.as_ref(), Comparator::Equal, other.of(item).as_ref()))
            }
            Self::Exists(path) => path.get(item).is_some(),
            Self::NotExists(path) => path.get(item).is_none(),
            Self::Type(path, name) => path.get(item).is_some_and(|value| value.type_name() == name),
            Self::BeginsWith(value, start) => match (value.of(item), start.of(item)) {
                (Some(Attribute::Text(value)), Some(Attribute::Text(start))) => value.starts_with(&start),
                (Some(Attribute::Binary(value)), Some(Attribute::Binary(start))) => value.starts_with(&start),
                _ => false,
            },
            Self::Contains(value, part) => match (value.of(item), part.of(item)) {
                (Some(value), Some(part)) => contains(&value, &part),
                _ => false,
            },
        }
    }

    /// The attributes that must equal a value for it to hold.
    pub fn equalities(&self) -> Vec<(&str, &Attribute)> {
        match self {
            Self::And(a, b) => {
                let mut all = a.equalities();
                all.extend(b.equalities());
                all
            }
            Self::Compare(Operand::Path(path), Comparator::Equal, Operand::Value(value))
            | Self::Compare(Operand::Value(value), Comparator::Equal, Operand::Path(path))
                if path.0.len() == 1 =>
            {
                vec![(path.root(), value)]
            }
            _ => Vec::new(),
        }
    }
}

impl Operand {
    fn of(&self, item: &Item) -> Option<Attribute> {
        match self {
            Self::Path(path) => path.get(item).cloned(),
            Self::Value(value) => Some(value.clone()),
            Self::Size(path) => {
                let size = path.get(item)?.size()?;
                super::number::Decimal::parse(&size.to_string()).ok().map(Attribute::Number)
            }
        }
    }
}

fn compare(a: Option<&Attribute>, comparator: Comparator, b: Option<&Attribute>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return comparator == Comparator::Unequal };
    let order = a.order(b);
    match comparator {
        Comparator::Equal => a == b,
        Comparator::Unequal => a != b,
        Comparator::Less => order == Some(Ordering::Less),
        Comparator::AtMost => order.is_some_and(Ordering::is_le),
        Comparator::Greater => order == Some(Ordering::Greater),
        Comparator::AtLeast => order.is_some_and(Ordering::is_ge),
    }
}

fn contains(value: &Attribute, part: &Attribute) -> bool {
    match (value, part) {
        (Attribute::Text(value), Attribute::Text(part)) => value.contains(part.as_str()),
        (Attribute::Binary(value), Attribute::Binary(part)) => {
            part.is_empty() || value.windows(part.len()).any(|window| window == part.as_slice())
        }
        (Attribute::List(list), part) => list.contains(part),
        (Attribute::TextSet(set), Attribute::Text(part)) => set.contains(part),
        (Attribute::NumberSet(set), Attribute::Number(part)) => set.contains(part),
        (Attribute::BinarySet(set), Attribute::Binary(part)) => set.contains(part),
        _ => false,
    }
}

fn or(cursor: &mut Cursor<'_>, depth: usize) -> Result<Condition, ItemError> {
    let mut left = and(cursor, depth)?;
    while cursor.takes_word("OR") {
        left = Condition::Or(Box::new(left), Box::new(and(cursor, depth)?));
    }
    Ok(left)
}

fn and(cursor: &mut Cursor<'_>, depth: usize) -> Result<Condition, ItemError> {
    let mut left = not(cursor, depth)?;
    while cursor.takes_word("AND") {
        left = Condition::And(Box::new(left), Box::new(not(cursor, depth)?));
    }
    Ok(left)
}

fn not(cursor: &mut Cursor<'_>, depth: usize) -> Result<Condition, ItemError> {
    if depth > DEPTH_MAX {
        return cursor.fault("The expression is nested too deep");
    }
    if cursor.takes_word("NOT") {
        return Ok(Condition::Not(Box::new(not(cursor, depth + 1)?)));
    }
    if cursor.takes("(") {
        let inner = or(cursor, depth + 1)?;
        cursor.expect(")")?;
        return Ok(inner);
    }
    if let (Some(Token::Word(word)), Some(Token::Symbol("("))) = (cursor.peek(), cursor.peek_second()) {
        let word = word.clone();
        if word != "size" {
            return function(cursor, &word);
        }
    }
    let value = operand(cursor)?;
    comparison(cursor, value)
}

fn comparison(cursor: &mut Cursor<'_>, value: Operand) -> Result<Condition, ItemError> {
    if cursor.takes_word("BETWEEN") {
        let low = operand(cursor)?;
        if !cursor.takes_word("AND") {
            return Err(cursor.unexpected("AND"));
        }
        return Ok(Condition::Between(value, low, operand(cursor)?));
    }
    if cursor.takes_word("IN") {
        cursor.expect("(")?;
        let mut list = vec![operand(cursor)?];
        while cursor.takes(",") {
            list.push(operand(cursor)?);
        }
        cursor.expect(")")?;
        return Ok(Condition::In(value, list));
    }
    let comparator = match cursor.peek() {
        Some(Token::Symbol("=")) => Comparator::Equal,
        Some(Token::Symbol("<>")) => Comparator::Unequal,
        Some(Token::Symbol("<")) => Comparator::Less,
        Some(Token::Symbol("<=")) => Comparator::AtMost,
        Some(Token::Symbol(">")) => Comparator::Greater,
        Some(Token::Symbol(">=")) => Comparator::AtLeast,
        _ => return Err(cursor.unexpected("a comparator")),
    };
    cursor.next();
    let other = operand(cursor)?;
    let ordered = !matches!(comparator, Comparator::Equal | Comparator::Unequal);
    for operand in [&value, &other] {
        if let Operand::Value(literal) = operand
            && ordered
            && literal.order(literal).is_none()
        {
            let kind = literal.type_name();
            return cursor.fault(format!(
                "Incorrect operand type for operator or function; operator or function: <, operand type: {kind}"
            ));
        }
    }
    Ok(Condition::Compare(value, comparator, other))
}

fn operand(cursor: &mut Cursor<'_>) -> Result<Operand, ItemError> {
    if let Some(Token::Value(key)) = cursor.peek() {
        let value = cursor.placeholders.value(cursor.expression, key)?;
        cursor.next();
        return Ok(Operand::Value(value));
    }
    if let (Some(Token::Word(word)), Some(Token::Symbol("("))) = (cursor.peek(), cursor.peek_second()) {
        if word != "size" {
            return Err(cursor.unexpected("an operand"));
        }
        cursor.next();
        cursor.next();
        let path = cursor.path()?;
        cursor.expect(")")?;
        return Ok(Operand::Size(path));
    }
    Ok(Operand::Path(cursor.path()?))
}

fn function(cursor: &mut Cursor<'_>, name: &str) -> Result<Condition, ItemError> {
    const ALL: [&str; 5] =
        ["attribute_exists", "attribute_not_exists", "attribute_type", "begins_with", "contains"];
    if !ALL.contains(&name) {
        return cursor.fault(format!("Invalid function name; function: {name}"));
    }
    cursor.next();
    cursor.expect("(")?;
    let condition = match name {
        "attribute_exists" => Condition::Exists(cursor.path()?),
        "attribute_not_exists" => Condition::NotExists(cursor.path()?),
        "attribute_type" => {
            let path = cursor.path()?;
            cursor.expect(",")?;
            let Operand::Value(Attribute::Text(kind)) = operand(cursor)? else {
                return cursor.fault(
                    "Incorrect operand type for operator or function; operator or function: attribute_type",
                );
            };
            if !["S", "N", "B", "BOOL", "NULL", "L", "M", "SS", "NS", "BS"].contains(&kind.as_str()) {
                return cursor.fault(format!("Invalid attribute type name found; type: {kind}"));
            }
            Condition::Type(path, kind)
        }
        _ => {
            let value = operand(cursor)?;
            cursor.expect(",")?;
            let part = operand(cursor)?;
            if name == "contains" {
                Condition::Contains(value, part)
            } else {
                Condition::BeginsWith(value, part)
            }
        }
    };
    cursor.expect(")")?;
    Ok(condition)
}
