//! Reading JSON with places. What is no JSON is told in the words of the parser that Step Functions uses.

use super::{Document, INVALID_JSON, JSON_DEPTH_MAX, Place, join, too_deep};
use crate::Diagnostic;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Most of the text that a message repeats.
const QUOTE_CHARS_MAX: usize = 500;
const EXPECTED: &str =
    "was expecting (JSON String, Number, Array, Object or token 'null', 'true' or 'false')";

pub(super) fn read(text: &str) -> Result<Document, Vec<Diagnostic>> {
    let mut reader =
        Reader { text, at: 0, line: 1, line_start: 0, places: BTreeMap::new(), faults: Vec::new() };
    let value = reader.document();
    if !reader.faults.is_empty() {
        return Err(reader.faults);
    }
    match value {
        Some(value) => Ok(Document { value, places: reader.places }),
        None => Err(vec![reader.fault("Unexpected end-of-input")]),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    line: usize,
    line_start: usize,
    places: BTreeMap<String, Place>,
    faults: Vec<Diagnostic>,
}

impl<'a> Reader<'a> {
    fn document(&mut self) -> Option<Value> {
        self.spaces();
        self.mark("");
        let value = self.value("", 1)?;
        self.spaces();
        if self.at < self.text.len() {
            self.stop("Unexpected content behind the end of the definition");
            return None;
        }
        Some(value)
    }

    /// `None` after a fault: nothing behind it can be read.
    fn value(&mut self, pointer: &str, depth: usize) -> Option<Value> {
        if depth > JSON_DEPTH_MAX {
            self.faults.push(too_deep(pointer));
            return None;
        }
        match self.peek() {
            Some(b'{') => self.object(pointer, depth),
            Some(b'[') => self.array(pointer, depth),
            Some(b'"') => self.string().map(Value::String),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.word(),
        }
    }

    fn object(&mut self, pointer: &str, depth: usize) -> Option<Value> {
        self.step();
        let mut object = Map::new();
        self.spaces();
        if self.take(b'}') {
            return Some(Value::Object(object));
        }
        loop {
            self.spaces();
            if self.peek() != Some(b'"') {
                self.stop_char("was expecting double-quote to start field name");
                return None;
            }
            let place = self.here();
            let key = self.string()?;
            let child = join(pointer, &key);
            if object.contains_key(&key) {
                self.stop(&format!("Duplicate field '{key}'"));
                return None;
            }
            self.places.insert(child.clone(), place);
            self.spaces();
            if !self.take(b':') {
                self.stop_char("was expecting a colon to separate field name and value");
                return None;
            }
            self.spaces();
            let value = self.value(&child, depth + 1)?;
            object.insert(key, value);
            self.spaces();
            if self.take(b'}') {
                return Some(Value::Object(object));
            }
            if !self.take(b',') {
                self.stop_char("was expecting comma to separate Object entries");
                return None;
            }
        }
    }

    fn array(&mut self, pointer: &str, depth: usize) -> Option<Value> {
        self.step();
        let mut items = Vec::new();
        self.spaces();
        if self.take(b']') {
            return Some(Value::Array(items));
        }
        loop {
            self.spaces();
            let child = join(pointer, &items.len().to_string());
            self.mark(&child);
            items.push(self.value(&child, depth + 1)?);
            self.spaces();
            if self.take(b']') {
                return Some(Value::Array(items));
            }
            if !self.take(b',') {
                self.stop_char("was expecting comma to separate Array entries");
                return None;
            }
        }
    }

    /// Finds the string's end here and leaves its escapes to `serde_json`.
    fn string(&mut self) -> Option<String> {
        let start = self.at;
        self.step();
        loop {
            match self.peek() {
                None => {
                    self.stop("Unexpected end-of-input: was expecting closing quote for a string value");
                    return None;
                }
                Some(b'"') => break,
                Some(b'\\') => {
                    self.step();
                    self.step();
                }
                Some(_) => self.step(),
            }
        }
        self.step();
        match serde_json::from_str(self.text.get(start..self.at)?) {
            Ok(text) => Some(text),
            Err(_) => {
                self.stop("Illegal character or escape in a string value");
                None
            }
        }
    }

    fn number(&mut self) -> Option<Value> {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.' | b'e' | b'E'))
        {
            self.step();
        }
        match serde_json::from_str(self.text.get(start..self.at)?) {
            Ok(number) => Some(number),
            Err(_) => {
                self.stop("Not a number");
                None
            }
        }
    }

    fn word(&mut self) -> Option<Value> {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$')) {
            self.step();
        }
        match &self.text[start..self.at] {
            "null" => Some(Value::Null),
            "true" => Some(Value::Bool(true)),
            "false" => Some(Value::Bool(false)),
            "" if self.at >= self.text.len() => {
                self.stop("No content to map due to end-of-input");
                None
            }
            "" => {
                self.stop_char("expected a valid value (JSON String, Number, Array, Object or token 'null', 'true' or 'false')");
                None
            }
            word => {
                let message = format!("Unrecognized token '{word}': {EXPECTED}");
                self.stop(&message);
                None
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn step(&mut self) {
        if self.peek() == Some(b'\n') {
            self.line += 1;
            self.line_start = self.at + 1;
        }
        self.at = (self.at + 1).min(self.text.len());
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.step();
        }
        found
    }

    fn spaces(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.step();
        }
    }

    fn here(&self) -> Place {
        let line = self.text.as_bytes().get(self.line_start..self.at).unwrap_or_default();
        // Continuation bytes are no characters of their own.
        Place { line: self.line, column: 1 + line.iter().filter(|b| (**b as i8) >= -0x40).count() }
    }

    fn mark(&mut self, pointer: &str) {
        let place = self.here();
        self.places.insert(pointer.to_owned(), place);
    }

    fn stop_char(&mut self, expected: &str) {
        let message = match self.text.get(self.at..).and_then(|rest| rest.chars().next()) {
            Some(c) => format!("Unexpected character ('{c}' (code {})): {expected}", c as u32),
            None => format!("Unexpected end-of-input: {expected}"),
        };
        self.stop(&message);
    }

    fn stop(&mut self, message: &str) {
        let fault = self.fault(message);
        self.faults.push(fault);
    }

    fn fault(&self, message: &str) -> Diagnostic {
        let Place { line, column } = self.here();
        let quote: String = self.text.chars().take(QUOTE_CHARS_MAX).collect();
        let source = format!("[Source: (String)\"{quote}\"; line: {line}, column: {column}]");
        Diagnostic::error(INVALID_JSON, format!("{message}\n at {source}"), source)
    }
}
