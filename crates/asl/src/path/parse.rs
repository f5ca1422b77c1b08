//! Text of a path to steps.

use super::filter::{self, Filter};
use super::{PATH_BYTES_MAX, PATH_STEPS_MAX, Path, Root, Step};

/// A whole text as one path.
pub(super) fn path(text: &str) -> Result<Path, String> {
    if text.len() > PATH_BYTES_MAX {
        return Err(format!("Path is longer than {PATH_BYTES_MAX} bytes"));
    }
    let mut cursor = Cursor { text, at: 0, depth: 0 };
    let path = cursor.path(true)?;
    if cursor.at < text.len() {
        return Err(cursor.unexpected());
    }
    Ok(path)
}

/// Reads paths and the filters in them.
pub(super) struct Cursor<'a> {
    pub text: &'a str,
    pub at: usize,
    pub depth: usize,
}

impl Cursor<'_> {
    pub fn peek(&self) -> Option<char> {
        self.text.get(self.at..)?.chars().next()
    }

    pub fn starts(&self, with: &str) -> bool {
        self.text.get(self.at..).is_some_and(|rest| rest.starts_with(with))
    }

    pub fn take(&mut self, token: &str) -> bool {
        let found = self.starts(token);
        if found {
            self.at += token.len();
        }
        found
    }

    pub fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.take(token) { Ok(()) } else { Err(self.unexpected()) }
    }

    pub fn spaces(&mut self) {
        self.while_char(|c| c == ' ');
    }

    /// Consumes while `keep` holds, and gives what was consumed.
    pub fn while_char(&mut self, keep: impl Fn(char) -> bool) -> &str {
        let start = self.at;
        while let Some(c) = self.peek().filter(|&c| keep(c)) {
            self.at += c.len_utf8();
        }
        &self.text[start..self.at]
    }

    pub fn unexpected(&self) -> String {
        format!("Could not parse token starting at position {}", self.at)
    }

    /// A path that starts here. Outside a filter (`whole`) it goes on to the end of the text.
    pub fn path(&mut self, whole: bool) -> Result<Path, String> {
        let start = self.at;
        let root = self.root(whole)?;
        let mut steps = Vec::new();
        while let Some(c) = self.peek() {
            match c {
                '.' => self.dotted(&mut steps, whole)?,
                '[' => steps.push(self.bracket()?),
                _ if whole => return Err(self.unexpected()),
                _ => break,
            }
            if steps.len() > PATH_STEPS_MAX {
                return Err(format!("Path has more than {PATH_STEPS_MAX} steps"));
            }
        }
        Ok(Path { text: self.text[start..self.at].to_owned(), root, steps })
    }

    fn root(&mut self, whole: bool) -> Result<Root, String> {
        if !whole && self.take("@") {
            return Ok(Root::Current);
        }
        if !self.take("$") {
            return Err("Path must start with '$'".to_owned());
        }
        if self.take("$") {
            return Ok(Root::Context);
        }
        let first = self.peek().filter(|c| c.is_alphabetic() || *c == '_');
        if first.is_none() {
            return Ok(Root::Input);
        }
        Ok(Root::Variable(self.while_char(|c| c.is_alphanumeric() || c == '_').to_owned()))
    }

    fn dotted(&mut self, steps: &mut Vec<Step>, whole: bool) -> Result<(), String> {
        self.at += 1;
        if self.take(".") {
            steps.push(Step::Descend);
        }
        match self.peek() {
            None => Err("Path must not end with a '.' or '..'".to_owned()),
            Some('[') => {
                steps.push(self.bracket()?);
                Ok(())
            }
            Some('*') => {
                self.at += 1;
                steps.push(Step::Wildcard);
                Ok(())
            }
            Some(_) => {
                let in_filter = !whole;
                let name = self.while_char(|c| is_name(c, in_filter)).to_owned();
                if name.is_empty() {
                    return Err(self.unexpected());
                }
                if self.peek() == Some('(') {
                    return Err(format!("Function expressions are not allowed: {name}()"));
                }
                steps.push(Step::Fields(vec![name]));
                Ok(())
            }
        }
    }

    fn bracket(&mut self) -> Result<Step, String> {
        self.expect("[")?;
        self.spaces();
        let step = match self.peek() {
            Some('*') => {
                self.at += 1;
                Step::Wildcard
            }
            Some('\'' | '"') => Step::Fields(self.names()?),
            Some('?') => {
                self.at += 1;
                Step::Filter(self.filter()?)
            }
            Some(c) if c == '-' || c == ':' || c.is_ascii_digit() => self.numbers()?,
            _ => return Err(self.unexpected()),
        };
        self.spaces();
        self.expect("]")?;
        Ok(step)
    }

    fn names(&mut self) -> Result<Vec<String>, String> {
        let mut names = Vec::new();
        loop {
            names.push(self.quoted()?);
            self.spaces();
            if !self.take(",") {
                return Ok(names);
            }
            self.spaces();
        }
    }

    /// A string in either kind of quotes. A backslash escapes that quote and itself; before anything else it is a
    /// character like others.
    pub fn quoted(&mut self) -> Result<String, String> {
        let quote = self.peek().filter(|c| matches!(c, '\'' | '"')).ok_or_else(|| self.unexpected())?;
        self.at += 1;
        let mut text = String::new();
        while let Some(c) = self.peek() {
            self.at += c.len_utf8();
            if c == quote {
                return Ok(text);
            }
            match self.peek().filter(|next| c == '\\' && (*next == quote || *next == '\\')) {
                Some(escaped) => {
                    self.at += escaped.len_utf8();
                    text.push(escaped);
                }
                None => text.push(c),
            }
        }
        Err("Property has not been closed - missing closing quote".to_owned())
    }

    fn numbers(&mut self) -> Result<Step, String> {
        let first = self.number()?;
        self.spaces();
        if self.take(":") {
            self.spaces();
            let to = self.number()?;
            return match (first, to) {
                (None, None) => Err(self.unexpected()),
                (from, to) => Ok(Step::Slice(from, to)),
            };
        }
        let mut indexes = vec![first.ok_or_else(|| self.unexpected())?];
        while self.take(",") {
            self.spaces();
            indexes.push(self.number()?.ok_or_else(|| self.unexpected())?);
            self.spaces();
        }
        Ok(Step::Indexes(indexes))
    }

    fn number(&mut self) -> Result<Option<i64>, String> {
        let start = self.at;
        self.take("-");
        self.while_char(|c| c.is_ascii_digit());
        match &self.text[start..self.at] {
            "" => Ok(None),
            digits => digits.parse().map(Some).map_err(|_| format!("Not an array index: {digits}")),
        }
    }

    fn filter(&mut self) -> Result<Filter, String> {
        self.depth += 1;
        if self.depth > filter::FILTER_DEPTH_MAX {
            return Err("Filter is nested too deeply".to_owned());
        }
        self.spaces();
        self.expect("(")?;
        let filter = filter::parse(self)?;
        self.spaces();
        self.expect(")")?;
        self.depth -= 1;
        Ok(filter)
    }
}

/// Characters of a name behind a dot. Blanks need brackets; in a filter operators end the name too.
fn is_name(c: char, in_filter: bool) -> bool {
    match c {
        '.' | '[' | ']' | '(' | ' ' | '\'' | '"' | '?' | '*' | ',' | ':' => false,
        ')' | '=' | '<' | '>' | '!' | '&' | '|' | '~' => !in_filter,
        _ => !c.is_control(),
    }
}
