//! Text to tokens.

use super::Fault;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// An operator or bracket.
    Op(&'static str),
    /// A field name; `true` if it stood in backticks and so is no keyword.
    Name(String, bool),
    /// Without `$`.
    Variable(String),
    Str(String),
    Num(f64),
    Bool(bool),
    Null,
    /// Pattern and flags.
    Regex(String, String),
    End,
}

/// Longest first.
const OPS: [&str; 34] = [
    "..", ":=", "!=", ">=", "<=", "**", "~>", "?:", "??", ".", "[", "]", "{", "}", "(", ")", ",", "@", "#",
    ";", ":", "?", "+", "-", "*", "/", "%", "|", "=", "<", ">", "^", "&", "!",
];

pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    pub fn new(text: &'a str) -> Lexer<'a> {
        Lexer { text, at: 0 }
    }

    pub fn position(&self) -> usize {
        self.at
    }

    /// The next token. With `operand` a `/` starts a regular expression.
    pub fn next(&mut self, operand: bool) -> Result<Token, Fault> {
        self.blanks()?;
        let rest = &self.text[self.at..];
        let Some(first) = rest.chars().next() else { return Ok(Token::End) };
        if operand && first == '/' {
            return self.regex();
        }
        if let Some(op) = OPS.iter().find(|op| rest.starts_with(**op)) {
            self.at += op.len();
            return Ok(Token::Op(op));
        }
        match first {
            '"' | '\'' => self.string(first),
            '`' => {
                let end = rest[1..].find('`').ok_or_else(|| {
                    Fault::at(
                        "S0105",
                        "Quoted property name must be terminated with a backquote (`)",
                        self.at,
                    )
                })?;
                self.at += end + 2;
                Ok(Token::Name(rest[1..=end].to_owned(), true))
            }
            '0'..='9' => self.number(),
            _ => self.word(),
        }
    }

    fn blanks(&mut self) -> Result<(), Fault> {
        loop {
            let rest = &self.text[self.at..];
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            if !trimmed.starts_with("/*") {
                return Ok(());
            }
            match trimmed.find("*/") {
                Some(end) => self.at += end + 2,
                None => return Err(Fault::at("S0106", "Comment has no closing tag", self.at)),
            }
        }
    }

    fn string(&mut self, quote: char) -> Result<Token, Fault> {
        let start = self.at;
        self.at += 1;
        let mut out = String::new();
        while let Some(c) = self.char() {
            match c {
                c if c == quote => return Ok(Token::Str(out)),
                '\\' => out.push(self.escape()?),
                c => out.push(c),
            }
        }
        Err(Fault::at("S0101", "String literal must be terminated by a matching quote", start))
    }

    fn char(&mut self) -> Option<char> {
        let c = self.text[self.at..].chars().next()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn escape(&mut self) -> Result<char, Fault> {
        let at = self.at;
        match self.char() {
            Some(c @ ('"' | '\'' | '\\' | '/' | '`')) => Ok(c),
            Some('b') => Ok('\u{8}'),
            Some('f') => Ok('\u{c}'),
            Some('n') => Ok('\n'),
            Some('r') => Ok('\r'),
            Some('t') => Ok('\t'),
            Some('u') => {
                let high = self.hex4(at)?;
                if !(0xd800..0xdc00).contains(&high) {
                    return Ok(char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER));
                }
                if !self.text[self.at..].starts_with("\\u") {
                    return Ok(char::REPLACEMENT_CHARACTER);
                }
                self.at += 2;
                let low = self.hex4(at)?;
                let code = 0x10000 + ((high - 0xd800) << 10) + (low.wrapping_sub(0xdc00) & 0x3ff);
                Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))
            }
            Some(c) => Err(Fault::at("S0103", format!("Unsupported escape sequence: \\{c}"), at)),
            None => Err(Fault::at("S0101", "String literal must be terminated by a matching quote", at)),
        }
    }

    fn hex4(&mut self, at: usize) -> Result<u32, Fault> {
        let digits = self.text.get(self.at..self.at + 4).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        let code = digits.and_then(|d| u32::from_str_radix(d, 16).ok()).ok_or_else(|| {
            Fault::at("S0104", "The escape sequence \\u must be followed by 4 hex digits", at)
        })?;
        self.at += 4;
        Ok(code)
    }

    fn number(&mut self) -> Result<Token, Fault> {
        let bytes = self.text.as_bytes();
        let digits = |mut at: usize| {
            while bytes.get(at).is_some_and(u8::is_ascii_digit) {
                at += 1;
            }
            at
        };
        let start = self.at;
        let mut end = digits(start);
        if bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit) {
            end = digits(end + 1);
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            if bytes.get(end + 1 + sign).is_some_and(u8::is_ascii_digit) {
                end = digits(end + 1 + sign);
            }
        }
        self.at = end;
        let text = &self.text[start..end];
        match text.parse::<f64>() {
            Ok(n) if n.is_finite() => Ok(Token::Num(n)),
            _ => Err(Fault::at("S0102", format!("Number out of range: {text}"), start)),
        }
    }

    fn regex(&mut self) -> Result<Token, Fault> {
        let start = self.at;
        self.at += 1;
        let (mut depth, mut pattern) = (0usize, String::new());
        loop {
            let Some(c) = self.char() else {
                return Err(Fault::at("S0302", "No terminating / in regular expression", start));
            };
            match c {
                '/' if depth == 0 => break,
                '\\' => match self.char() {
                    Some('/') => pattern.push('/'),
                    Some(next) => pattern.extend(['\\', next]),
                    None => pattern.push('\\'),
                },
                c => {
                    match c {
                        '(' | '[' | '{' => depth += 1,
                        ')' | ']' | '}' => depth = depth.saturating_sub(1),
                        _ => {}
                    }
                    pattern.push(c);
                }
            }
        }
        if pattern.is_empty() {
            return Err(Fault::at("S0301", "Empty regular expressions are not allowed", start));
        }
        let rest = &self.text[self.at..];
        let flags = rest.len() - rest.trim_start_matches(['i', 'm', 'g']).len();
        self.at += flags;
        Ok(Token::Regex(pattern, rest[..flags].to_owned()))
    }

    fn word(&mut self) -> Result<Token, Fault> {
        let rest = &self.text[self.at..];
        let end = rest
            .char_indices()
            .find(|(i, c)| {
                c.is_whitespace()
                    || (*i > 0 && matches!(c, '"' | '\'' | '`'))
                    || OPS.iter().any(|op| rest[*i..].starts_with(op))
            })
            .map_or(rest.len(), |(i, _)| i);
        let word = &rest[..end];
        if word.is_empty() {
            return Err(Fault::at("S0204", "Unknown operator", self.at));
        }
        self.at += end;
        Ok(match word {
            "true" => Token::Bool(true),
            "false" => Token::Bool(false),
            "null" => Token::Null,
            _ => match word.strip_prefix('$') {
                Some(name) => Token::Variable(name.to_owned()),
                None => Token::Name(word.to_owned(), false),
            },
        })
    }
}
