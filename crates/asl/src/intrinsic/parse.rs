//! Text of a call to its parts.

use super::functions::Function;
use super::{Arg, CALL_BYTES_MAX, CALL_DEPTH_MAX, Call};
use crate::Path;
use serde_json::Value;

pub(super) fn call(text: &str) -> Result<Call, String> {
    if text.len() > CALL_BYTES_MAX {
        return Err(format!("The call is longer than {CALL_BYTES_MAX} bytes"));
    }
    let mut parser = Parser { text, at: 0 };
    let call = parser.call(1)?;
    parser.spaces();
    if parser.at < text.len() {
        return Err(format!("Unexpected text behind the call: {}", parser.rest()));
    }
    Ok(call)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn spaces(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    fn take(&mut self, token: char) -> bool {
        self.spaces();
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len_utf8();
        }
        found
    }

    fn call(&mut self, depth: usize) -> Result<Call, String> {
        if depth > CALL_DEPTH_MAX {
            return Err(format!("Calls are nested deeper than {CALL_DEPTH_MAX} levels"));
        }
        self.spaces();
        let start = self.at;
        let rest = self.rest();
        let name = rest.strip_prefix("States.").ok_or("A function's name starts with 'States.'")?;
        let name = &name[..name.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(name.len())];
        let function = Function::named(name).ok_or_else(|| format!("Unknown function: States.{name}"))?;
        self.at += "States.".len() + name.len();
        if !self.take('(') {
            return Err(format!("Expected '(' behind States.{name}"));
        }
        let mut args = Vec::new();
        if !self.take(')') {
            loop {
                args.push(self.arg(function, args.is_empty(), depth)?);
                if self.take(')') {
                    break;
                }
                if !self.take(',') {
                    return Err(format!("Expected ',' or ')' in the arguments of States.{name}"));
                }
            }
        }
        function.check(args.len())?;
        if let (Function::Format, Some(Arg::Literal(Value::String(template)))) = (function, args.first()) {
            super::functions::check_template(template, args.len() - 1)?;
        }
        Ok(Call { text: self.text[start..self.at].to_owned(), function, args })
    }

    fn arg(&mut self, function: Function, first: bool, depth: usize) -> Result<Arg, String> {
        self.spaces();
        match self.rest().chars().next() {
            Some('\'') => {
                let raw = function == Function::Format && first;
                self.string(raw).map(|text| Arg::Literal(Value::String(text)))
            }
            Some('$') => {
                let text = self.path_text();
                Path::parse(text).map(Arg::Path).map_err(|why| format!("Invalid path '{text}': {why}"))
            }
            Some('S') => self.call(depth + 1).map(Arg::Call),
            Some(_) => {
                let rest = self.rest();
                let word = rest[..rest.find([',', ')']).unwrap_or(rest.len())].trim_end();
                let value: Value =
                    serde_json::from_str(word).map_err(|_| format!("Not an argument: {word}"))?;
                if value.is_object() || value.is_array() || value.is_string() {
                    return Err(format!("Not an argument: {word}"));
                }
                self.at += word.len();
                Ok(Arg::Literal(value))
            }
            None => Err("The call is not closed".to_owned()),
        }
    }

    /// A string in single quotes. The template of `States.Format` keeps its escapes, which tell `\{}` from `{}`.
    fn string(&mut self, raw: bool) -> Result<String, String> {
        let rest = self.rest();
        let mut chars = rest.char_indices().skip(1);
        let mut out = String::new();
        while let Some((at, c)) = chars.next() {
            match c {
                '\'' => {
                    self.at += at + 1;
                    return Ok(out);
                }
                '\\' => match chars.next() {
                    Some((_, '\'')) => out.push('\''),
                    Some((_, escaped @ ('\\' | '{' | '}'))) => {
                        if raw {
                            out.push('\\');
                        }
                        out.push(escaped);
                    }
                    Some((_, other)) => return Err(format!("Illegal escape in a string: \\{other}")),
                    None => break,
                },
                c => out.push(c),
            }
        }
        Err("A string is not closed".to_owned())
    }

    /// A path ends at a comma, blank or closing parenthesis outside its brackets and quotes.
    fn path_text(&mut self) -> &'a str {
        let rest = self.rest();
        let (mut depth, mut quote) = (0usize, None);
        let mut escaped = false;
        let mut end = rest.len();
        for (at, c) in rest.char_indices() {
            match (quote, c) {
                _ if std::mem::take(&mut escaped) => {}
                (Some(_), '\\') => escaped = true,
                (Some(open), c) if c == open => quote = None,
                (Some(_), _) => {}
                (None, '\'' | '"') if depth > 0 => quote = Some(c),
                (None, '[' | '(') => depth += 1,
                (None, ']') => depth = depth.saturating_sub(1),
                (None, ')') if depth > 0 => depth -= 1,
                (None, ',' | ')' | ' ') if depth == 0 => {
                    end = at;
                    break;
                }
                _ => {}
            }
        }
        self.at += end;
        &rest[..end]
    }
}
