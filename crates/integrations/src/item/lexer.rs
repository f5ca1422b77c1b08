//! Expressions as tokens, and the cursor that all expression parsers share.

use super::ItemError;
use super::path::{Path, Step};
use super::value::Attribute;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeSet;

/// DynamoDB's limit on the text of an expression.
const EXPRESSION_BYTES_MAX: usize = 4096;
/// Parentheses, `NOT` and functions may be nested this deep.
pub(super) const DEPTH_MAX: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// An attribute's name, a keyword or a function.
    Word(String),
    /// `#name`
    Name(String),
    /// `:value`
    Value(String),
    Number(usize),
    Symbol(&'static str),
}

/// Longer ones first.
const SYMBOLS: [&str; 14] = ["<>", "<=", ">=", "=", "<", ">", "(", ")", "[", "]", ",", ".", "+", "-"];

/// `ExpressionAttributeNames` and `ExpressionAttributeValues` of a request, and which of them were used.
pub(super) struct Placeholders<'a> {
    names: Option<&'a Value>,
    values: Option<&'a Value>,
    used: RefCell<BTreeSet<String>>,
}

impl<'a> Placeholders<'a> {
    pub fn of(parameters: &'a Value) -> Self {
        let get = |name| parameters.get(name).filter(|value: &&Value| !value.is_null());
        Self {
            names: get("ExpressionAttributeNames"),
            values: get("ExpressionAttributeValues"),
            used: RefCell::default(),
        }
    }

    fn name(&self, expression: &str, key: &str) -> Result<String, ItemError> {
        self.used.borrow_mut().insert(key.to_string());
        let found = self.names.and_then(|names| names.get(key)).and_then(Value::as_str);
        found.map(str::to_string).ok_or_else(|| {
            ItemError::Validation(format!(
                "Invalid {expression}: An expression attribute name used in the document path is not defined; \
                 attribute name: {key}"
            ))
        })
    }

    pub fn value(&self, expression: &str, key: &str) -> Result<Attribute, ItemError> {
        self.used.borrow_mut().insert(key.to_string());
        let found = self.values.and_then(|values| values.get(key)).ok_or_else(|| {
            ItemError::Validation(format!(
                "Invalid {expression}: An expression attribute value used in expression is not defined; \
                 attribute value: {key}"
            ))
        })?;
        Attribute::parse(found).map_err(|error| {
            ItemError::Validation(format!(
                "ExpressionAttributeValues contains invalid value: {error} for key {key}"
            ))
        })
    }

    /// After all expressions were read: what was given and not used is a mistake.
    pub fn check_used(&self) -> Result<(), ItemError> {
        let used = self.used.borrow();
        for (kind, given) in [("Names", self.names), ("Values", self.values)] {
            let Some(Value::Object(given)) = given else { continue };
            let unused: Vec<_> =
                given.keys().filter(|key| !used.contains(*key)).map(String::as_str).collect();
            if !unused.is_empty() {
                return Err(ItemError::Validation(format!(
                    "Value provided in ExpressionAttribute{kind} unused in expressions: keys: {{{}}}",
                    unused.join(", ")
                )));
            }
        }
        Ok(())
    }
}

/// A cursor over the tokens of an expression.
pub(super) struct Cursor<'a> {
    /// Its parameter's name, for errors.
    pub expression: &'static str,
    pub placeholders: &'a Placeholders<'a>,
    tokens: Vec<Token>,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(
        expression: &'static str,
        text: &str,
        placeholders: &'a Placeholders<'a>,
    ) -> Result<Self, ItemError> {
        if text.trim().is_empty() {
            return Err(ItemError::Validation(format!(
                "Invalid {expression}: The expression can not be empty;"
            )));
        }
        if text.len() > EXPRESSION_BYTES_MAX {
            return Err(ItemError::Validation(format!(
                "Invalid {expression}: Expression size has exceeded the maximum allowed size; expression size: {}",
                text.len()
            )));
        }
        let tokens = tokens(expression, text)?;
        Ok(Self { expression, placeholders, tokens, at: 0 })
    }

    pub fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    pub fn peek_second(&self) -> Option<&Token> {
        self.tokens.get(self.at + 1)
    }

    pub fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    /// Takes the symbol, if it is next.
    pub fn takes(&mut self, symbol: &str) -> bool {
        let is = matches!(self.peek(), Some(Token::Symbol(found)) if *found == symbol);
        self.at += usize::from(is);
        is
    }

    /// Takes the keyword, in any case, if it is next.
    pub fn takes_word(&mut self, word: &str) -> bool {
        let is = matches!(self.peek(), Some(Token::Word(found)) if found.eq_ignore_ascii_case(word));
        self.at += usize::from(is);
        is
    }

    pub fn expect(&mut self, symbol: &str) -> Result<(), ItemError> {
        if self.takes(symbol) { Ok(()) } else { Err(self.unexpected(&format!("`{symbol}`"))) }
    }

    pub fn end(&self) -> Result<(), ItemError> {
        if self.at >= self.tokens.len() { Ok(()) } else { Err(self.unexpected("the end")) }
    }

    pub fn fault<T>(&self, text: impl std::fmt::Display) -> Result<T, ItemError> {
        Err(ItemError::Validation(format!("Invalid {}: {text}", self.expression)))
    }

    pub fn unexpected(&self, wanted: &str) -> ItemError {
        let found = match self.peek() {
            None => "<EOF>".to_string(),
            Some(Token::Word(word) | Token::Name(word) | Token::Value(word)) => word.clone(),
            Some(Token::Number(number)) => number.to_string(),
            Some(Token::Symbol(symbol)) => (*symbol).to_string(),
        };
        ItemError::Validation(format!(
            "Invalid {}: Syntax error; token: \"{found}\", expected: {wanted}",
            self.expression
        ))
    }

    pub fn path(&mut self) -> Result<Path, ItemError> {
        let mut steps = vec![self.name()?];
        loop {
            if self.takes(".") {
                steps.push(self.name()?);
            } else if self.takes("[") {
                let Some(Token::Number(index)) = self.peek().cloned() else {
                    return Err(self.unexpected("an index"));
                };
                self.at += 1;
                self.expect("]")?;
                steps.push(Step::Index(index));
            } else {
                return Ok(Path(steps));
            }
        }
    }

    fn name(&mut self) -> Result<Step, ItemError> {
        let name = match self.peek() {
            Some(Token::Word(word)) => word.clone(),
            Some(Token::Name(key)) => self.placeholders.name(self.expression, key)?,
            _ => return Err(self.unexpected("the name of an attribute")),
        };
        self.at += 1;
        Ok(Step::Name(name))
    }
}

fn tokens(expression: &str, text: &str) -> Result<Vec<Token>, ItemError> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = |from: usize| {
            rest[from..]
                .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                .map_or(rest.len(), |length| from + length)
        };
        let symbol = SYMBOLS.into_iter().find(|symbol| rest.starts_with(symbol));
        let end = match first {
            '#' | ':' if length(1) > 1 => {
                let word = rest[..length(1)].to_string();
                tokens.push(if first == '#' { Token::Name(word) } else { Token::Value(word) });
                length(1)
            }
            '0'..='9' => {
                let digits = &rest[..length(0)];
                let Ok(number) = digits.parse() else {
                    return Err(ItemError::Validation(format!(
                        "Invalid {expression}: Syntax error; token: \"{digits}\""
                    )));
                };
                tokens.push(Token::Number(number));
                length(0)
            }
            'a'..='z' | 'A'..='Z' | '_' => {
                tokens.push(Token::Word(rest[..length(0)].to_string()));
                length(0)
            }
            _ => match symbol {
                Some(symbol) => {
                    tokens.push(Token::Symbol(symbol));
                    symbol.len()
                }
                None => {
                    return Err(ItemError::Validation(format!(
                        "Invalid {expression}: Syntax error; token: \"{first}\", near: \"{}\"",
                        rest.chars().take(20).collect::<String>()
                    )));
                }
            },
        };
        rest = rest[end..].trim_start();
    }
    Ok(tokens)
}
