//! Update expressions: `SET`, `REMOVE`, `ADD` and `DELETE`.
//!
//! All operands mean the item as it was before the update.

use super::ItemError;
use super::lexer::{Cursor, DEPTH_MAX, Placeholders, Token};
use super::path::{Path, Step, clash};
use super::value::{Attribute, Item};

/// What an update does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Update {
    set: Vec<(Path, SetValue)>,
    remove: Vec<Path>,
    add: Vec<(Path, Attribute)>,
    delete: Vec<(Path, Attribute)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum SetValue {
    Path(Path),
    Value(Attribute),
    Plus(Box<SetValue>, Box<SetValue>),
    Minus(Box<SetValue>, Box<SetValue>),
    IfNotExists(Path, Box<SetValue>),
    ListAppend(Box<SetValue>, Box<SetValue>),
}

impl Update {
    pub fn parse(text: &str, placeholders: &Placeholders<'_>) -> Result<Self, ItemError> {
        let mut cursor = Cursor::new("UpdateExpression", text, placeholders)?;
        let mut update = Self::default();
        let mut seen = Vec::new();
        while cursor.peek().is_some() {
            let Some(clause) =
                ["SET", "REMOVE", "ADD", "DELETE"].into_iter().find(|word| cursor.takes_word(word))
            else {
                return Err(cursor.unexpected("SET, REMOVE, ADD or DELETE"));
            };
            if seen.contains(&clause) {
                return cursor.fault(format!(
                    "The \"{clause}\" section can only be used once in an update expression;"
                ));
            }
            seen.push(clause);
            loop {
                update.action(clause, &mut cursor)?;
                if !cursor.takes(",") {
                    break;
                }
            }
        }
        if let Some((one, two)) = clash(&update.paths()) {
            return cursor.fault(format!(
                "Two document paths overlap with each other; must remove or rewrite one of these paths; \
                 path one: {one}, path two: {two}"
            ));
        }
        Ok(update)
    }

    fn action(&mut self, clause: &str, cursor: &mut Cursor<'_>) -> Result<(), ItemError> {
        let path = cursor.path()?;
        match clause {
            "SET" => {
                cursor.expect("=")?;
                let value = set_value(cursor)?;
                self.set.push((path, value));
            }
            "REMOVE" => self.remove.push(path),
            _ => {
                let Some(Token::Value(key)) = cursor.peek().cloned() else {
                    return Err(cursor.unexpected("a value"));
                };
                let value = cursor.placeholders.value(cursor.expression, &key)?;
                cursor.next();
                let is_set = matches!(
                    value,
                    Attribute::TextSet(_) | Attribute::NumberSet(_) | Attribute::BinarySet(_)
                );
                let adds = clause == "ADD" && matches!(value, Attribute::Number(_));
                if !(is_set || adds) {
                    return cursor.fault(format!(
                        "Incorrect operand type for operator or function; operator: {clause}, operand type: {}",
                        value.type_name()
                    ));
                }
                if clause == "ADD" { self.add.push((path, value)) } else { self.delete.push((path, value)) }
            }
        }
        Ok(())
    }

    /// The paths it writes to.
    pub fn paths(&self) -> Vec<&Path> {
        let pairs = self.add.iter().chain(&self.delete).map(|(path, _)| path);
        self.set.iter().map(|(path, _)| path).chain(&self.remove).chain(pairs).collect()
    }

    /// The item after the update.
    pub fn apply(&self, before: &Item) -> Result<Item, ItemError> {
        let mut after = before.clone();
        // List elements are appended in the order of their indexes.
        let mut set: Vec<_> = self.set.iter().collect();
        set.sort_by(|a, b| a.0.cmp(&b.0));
        for (path, value) in set {
            let value = value.of(before)?;
            path.set(&mut after, value).ok_or_else(bad_path)?;
        }
        for (path, value) in &self.add {
            let sum = match (path.get(before), value) {
                (None, value) => value.clone(),
                (Some(Attribute::Number(held)), Attribute::Number(by)) => Attribute::Number(
                    held.add(*by).map_err(|error| ItemError::Validation(error.to_string()))?,
                ),
                (Some(held), value) => union(held, value).ok_or_else(|| bad_type("ADD", held))?,
            };
            path.set(&mut after, sum).ok_or_else(bad_path)?;
        }
        for (path, value) in &self.delete {
            let Some(held) = path.get(before) else { continue };
            match difference(held, value).ok_or_else(|| bad_type("DELETE", held))? {
                // There are no empty sets.
                rest if rest.size() == Some(0) => path.remove(&mut after).ok_or_else(bad_path)?,
                rest => path.set(&mut after, rest).ok_or_else(bad_path)?,
            }
        }
        // From the back, so that indexes mean what they meant before.
        let mut remove: Vec<_> = self.remove.iter().collect();
        remove.sort();
        for path in remove.into_iter().rev() {
            let within = path.0.len() > 1;
            if path.remove(&mut after).is_none() && within && !parent_exists(path, before) {
                return Err(bad_path());
            }
        }
        Ok(after)
    }
}

fn parent_exists(path: &Path, item: &Item) -> bool {
    let parent = Path(path.0[..path.0.len() - 1].to_vec());
    matches!(
        (parent.get(item), path.0.last()),
        (Some(Attribute::Map(_)), Some(Step::Name(_))) | (Some(Attribute::List(_)), Some(Step::Index(_)))
    )
}

fn bad_path() -> ItemError {
    ItemError::Validation("The document path provided in the update expression is invalid for update".into())
}

fn bad_type(operator: &str, held: &Attribute) -> ItemError {
    ItemError::Validation(format!(
        "An operand in the update expression has an incorrect data type: {operator} on an attribute of type {}",
        held.type_name()
    ))
}

fn union(held: &Attribute, more: &Attribute) -> Option<Attribute> {
    Some(match (held, more) {
        (Attribute::TextSet(a), Attribute::TextSet(b)) => Attribute::TextSet(a | b),
        (Attribute::NumberSet(a), Attribute::NumberSet(b)) => Attribute::NumberSet(a | b),
        (Attribute::BinarySet(a), Attribute::BinarySet(b)) => Attribute::BinarySet(a | b),
        _ => return None,
    })
}

fn difference(held: &Attribute, less: &Attribute) -> Option<Attribute> {
    Some(match (held, less) {
        (Attribute::TextSet(a), Attribute::TextSet(b)) => Attribute::TextSet(a - b),
        (Attribute::NumberSet(a), Attribute::NumberSet(b)) => Attribute::NumberSet(a - b),
        (Attribute::BinarySet(a), Attribute::BinarySet(b)) => Attribute::BinarySet(a - b),
        _ => return None,
    })
}

impl SetValue {
    fn of(&self, item: &Item) -> Result<Attribute, ItemError> {
        match self {
            Self::Value(value) => Ok(value.clone()),
            Self::Path(path) => path.get(item).cloned().ok_or_else(|| {
                ItemError::Validation(
                    "The provided expression refers to an attribute that does not exist in the item".into(),
                )
            }),
            Self::IfNotExists(path, other) => match path.get(item) {
                Some(value) => Ok(value.clone()),
                None => other.of(item),
            },
            Self::Plus(a, b) | Self::Minus(a, b) => match (a.of(item)?, b.of(item)?) {
                (Attribute::Number(a), Attribute::Number(b)) => {
                    let result = if matches!(self, Self::Plus(..)) { a.add(b) } else { a.subtract(b) };
                    result.map(Attribute::Number).map_err(|error| ItemError::Validation(error.to_string()))
                }
                (Attribute::Number(_), other) | (other, _) => Err(bad_type("+ or -", &other)),
            },
            Self::ListAppend(a, b) => match (a.of(item)?, b.of(item)?) {
                (Attribute::List(mut a), Attribute::List(b)) => {
                    a.extend(b);
                    Ok(Attribute::List(a))
                }
                (Attribute::List(_), other) | (other, _) => Err(bad_type("list_append", &other)),
            },
        }
    }
}

fn set_value(cursor: &mut Cursor<'_>) -> Result<SetValue, ItemError> {
    let left = set_operand(cursor, 0)?;
    if cursor.takes("+") {
        return Ok(SetValue::Plus(Box::new(left), Box::new(set_operand(cursor, 0)?)));
    }
    if cursor.takes("-") {
        return Ok(SetValue::Minus(Box::new(left), Box::new(set_operand(cursor, 0)?)));
    }
    Ok(left)
}

fn set_operand(cursor: &mut Cursor<'_>, depth: usize) -> Result<SetValue, ItemError> {
    if depth > DEPTH_MAX {
        return cursor.fault("The expression is nested too deep");
    }
    if let Some(Token::Value(key)) = cursor.peek() {
        let value = cursor.placeholders.value(cursor.expression, key)?;
        cursor.next();
        return Ok(SetValue::Value(value));
    }
    if cursor.takes("(") {
        let inner = set_operand(cursor, depth + 1)?;
        cursor.expect(")")?;
        return Ok(inner);
    }
    let Some(Token::Symbol("(")) = cursor.peek_second() else { return Ok(SetValue::Path(cursor.path()?)) };
    let Some(Token::Word(name)) = cursor.next() else { return Err(cursor.unexpected("an operand")) };
    cursor.expect("(")?;
    let value = match name.as_str() {
        "if_not_exists" => {
            let path = cursor.path()?;
            cursor.expect(",")?;
            SetValue::IfNotExists(path, Box::new(set_operand(cursor, depth + 1)?))
        }
        "list_append" => {
            let first = set_operand(cursor, depth + 1)?;
            cursor.expect(",")?;
            SetValue::ListAppend(Box::new(first), Box::new(set_operand(cursor, depth + 1)?))
        }
        other => return cursor.fault(format!("Invalid function name; function: {other}")),
    };
    cursor.expect(")")?;
    Ok(value)
}
