//! The walk: one pass over an event's bytes that parses strictly (RFC 8259), checks, and writes columns.
//!
//! Three things can go wrong, and only the first ends the walk: the bytes are not JSON (`Err`), the schema
//! certainly refuses a value (`fault`, the first is kept), a value does not fit its column (`misfit`).
//! A value whose schema says more than the plan can check sets `judge`.

use crate::column::{Column, Data, Texts};
use crate::formats::{date_days, timestamp_micros};
use crate::keys::Keys;
use crate::number::{Number, Plain, Value};
use crate::plan::{Kind, ListPlan, Node, Types};
use crate::pointer::pointer_at;
use crate::scan::{Broken, copy_plain, string_stop, unescape};
use bourn_event::{Fault, RejectReason};

/// Largest part of a value that a message repeats, in bytes.
const SHOWN_BYTES: usize = 80;

/// Parsing goes on, or the bytes are no JSON.
pub(crate) type Parsed<T = ()> = Result<T, Box<Fault>>;

/// Memory that is reused from event to event.
#[derive(Default)]
pub(crate) struct Scratch {
    pub keys: Keys,
    pub text: Vec<u8>,
    /// Members of `_extra`, each followed by a comma.
    pub extra: Vec<u8>,
}

pub(crate) struct Walk<'a> {
    pub text: &'a str,
    pub bytes: &'a [u8],
    pub at: usize,
    pub depth: usize,
    pub max_depth: usize,
    pub scratch: &'a mut Scratch,
    pub judge: bool,
    pub fault: Option<Box<Fault>>,
    pub misfit: Option<Box<Fault>>,
}

/// A string's content: where it lies in the event, or in the scratch if it has escapes.
pub(crate) struct Str {
    pub start: usize,
    pub end: usize,
    pub escaped: bool,
}

impl<'a> Walk<'a> {
    #[inline]
    pub fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    #[inline]
    pub fn space(&mut self) {
        if self.peek() <= b' ' {
            while let b' ' | b'\n' | b'\r' | b'\t' = self.peek() {
                self.at += 1;
            }
        }
    }

    #[inline]
    pub fn enter(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth >= self.max_depth { Err(self.too_deep()) } else { Ok(()) }
    }

    /// Reads the value here into row `row` of `column`, which has fewer rows yet.
    #[inline]
    pub fn value(&mut self, node: &Node, column: &mut Column, row: usize) -> Parsed {
        column.reach(row);
        self.judge |= node.judged;
        let start = self.at;
        let done = match (&node.kind, &mut column.data, self.peek()) {
            (Kind::Text, Data::Text(texts), b'"') => self.string_value(node, texts)?,
            (Kind::Int, Data::Int(values), b'-' | b'0'..=b'9') => {
                match self.plain(node).and_then(|plain| Some((plain.integer()?, plain.end))) {
                    Some((value, end)) => {
                        self.at = end;
                        values.push(value);
                        true
                    }
                    None => self.integer(node, values)?,
                }
            }
            (Kind::Float, Data::Float(values), b'-' | b'0'..=b'9') => match self.plain(node) {
                Some(plain) => {
                    self.at = plain.end;
                    values.push(plain.float());
                    true
                }
                None => self.float(node, values)?,
            },
            (Kind::Json, Data::Text(texts), _) => self.json(node, texts)?,
            (Kind::Struct(plan), Data::Struct(structs), b'{') => {
                self.object(plan, structs, row)?;
                true
            }
            (Kind::List(plan), Data::List(lists), b'[') => {
                let count = self.list(plan, &mut lists.item)?;
                lists.ends.push(lists.item.rows as i32);
                self.check_count(start, "Items", count, plan.min, plan.max);
                true
            }
            (Kind::Timestamp, Data::Timestamp(values), b'"') => {
                let micros = self.parsed_string(node, timestamp_micros, "a date and time (RFC 3339)")?;
                micros.is_some_and(|micros| {
                    values.push(micros);
                    true
                })
            }
            (Kind::Bool, Data::Bool(values), b't') => {
                self.word("true")?;
                values.push(true);
                true
            }
            (Kind::Bool, Data::Bool(values), b'f') => {
                self.word("false")?;
                values.push(false);
                true
            }
            (Kind::Date, Data::Date(values), b'"') => {
                let days = self.parsed_string(node, date_days, "a date (RFC 3339)")?;
                days.is_some_and(|days| {
                    values.push(days);
                    true
                })
            }
            (Kind::Decimal, Data::Decimal(values), b'-' | b'0'..=b'9') => self.decimal(node, values)?,
            (_, _, b'n') => {
                self.word("null")?;
                if !node.null_ok {
                    self.wrong_type(node, start);
                }
                false
            }
            _ => {
                self.skip()?;
                self.wrong_type(node, start);
                false
            }
        };
        if done {
            column.rows = row + 1;
        }
        Ok(())
    }

    #[inline(always)]
    fn string_value(&mut self, node: &Node, texts: &mut Texts) -> Parsed<bool> {
        let (start, from) = (self.at, texts.bytes.len());
        let end = copy_plain(self.bytes, start + 1, &mut texts.bytes);
        if self.bytes.get(end) == Some(&b'"') {
            self.at = end + 1;
        } else {
            texts.bytes.truncate(from);
            let behind = unescape(self.bytes, start + 1, &mut texts.bytes);
            self.at = behind.map_err(|Broken { at, why }| self.broken(at, why))?;
        }
        texts.end();
        if let Some(checks) = &node.text {
            self.check_text(checks, &texts.bytes[from..], start);
        }
        Ok(true)
    }

    /// A string that a column keeps as something else. `None`: told as a fault.
    fn parsed_string<T>(
        &mut self,
        node: &Node,
        parse: fn(&[u8]) -> Option<T>,
        what: &str,
    ) -> Parsed<Option<T>> {
        let start = self.at;
        let string = self.string()?;
        let text = std::mem::take(&mut self.scratch.text);
        let content = if string.escaped { &text[..] } else { &self.bytes[string.start..string.end] };
        if let Some(checks) = &node.text {
            self.check_text(checks, content, start);
        }
        let value = parse(content);
        self.scratch.text = text;
        if value.is_none() {
            self.misfit(start, format_args!("{} is not {what}, as its column needs", self.shown(start)));
        }
        Ok(value)
    }

    /// Reads the string here; its content is in the scratch if it is `escaped`.
    #[inline]
    pub fn string(&mut self) -> Parsed<Str> {
        let start = self.at + 1;
        let end = string_stop(self.bytes, start);
        if self.bytes.get(end) == Some(&b'"') {
            self.at = end + 1;
            return Ok(Str { start, end, escaped: false });
        }
        self.scratch.text.clear();
        match unescape(self.bytes, start, &mut self.scratch.text) {
            Ok(behind) => {
                self.at = behind;
                Ok(Str { start, end: behind - 1, escaped: true })
            }
            Err(Broken { at, why }) => Err(self.broken(at, why)),
        }
    }

    /// The number here, if it is a plain one that certainly passes its checks. It is not read yet.
    #[inline]
    fn plain(&self, node: &Node) -> Option<Plain> {
        let plain = Plain::read(self.bytes, self.at)?;
        match &node.number {
            None => Some(plain),
            Some(checks) => {
                let (least, most) = checks.certain?;
                (least..=most).contains(&plain.float()).then_some(plain)
            }
        }
    }

    fn integer(&mut self, node: &Node, values: &mut Vec<i64>) -> Parsed<bool> {
        let start = self.at;
        Ok(match self.number(node)?.integer() {
            Some(whole) => match i64::try_from(whole) {
                Ok(value) => {
                    values.push(value);
                    true
                }
                Err(_) => self.no_fit(start, "an Int64"),
            },
            None => self.no_integer(node, start),
        })
    }

    fn float(&mut self, node: &Node, values: &mut Vec<f64>) -> Parsed<bool> {
        let start = self.at;
        let float = match self.number(node)? {
            Value::Whole(whole) => whole as f64,
            Value::Float(float) => float,
        };
        if !float.is_finite() {
            return Ok(self.no_fit(start, "a Float64"));
        }
        values.push(float);
        Ok(true)
    }

    /// Reads the number here, whatever it is, and checks its bounds.
    fn number(&mut self, node: &Node) -> Parsed<Value> {
        let number =
            Number::read(self.bytes, self.at).map_err(|at| self.broken(at, "a number is malformed"))?;
        let value = number.value(self.text);
        self.at = number.end;
        if let Some(checks) = &node.number {
            self.check_number(checks, value, number.start);
        }
        if matches!(node.kind, Kind::Int | Kind::Decimal) && !matches!(value, Value::Whole(_)) {
            return Ok(self.rare_integer(node, number, value));
        }
        Ok(value)
    }

    /// A number for an integer's column that the judge sees as a float.
    #[cold]
    fn rare_integer(&mut self, node: &Node, number: Number, value: Value) -> Value {
        if number.whole {
            // The column needs every digit, though the judge rounds.
            let exact = self.text[number.start..number.end].parse();
            return exact.map_or(value, Value::Whole);
        }
        // Which floats are integers in draft 4 is for the judge to say.
        self.judge |= node.integer_strict;
        value
    }

    fn decimal(&mut self, node: &Node, values: &mut Vec<i128>) -> Parsed<bool> {
        let start = self.at;
        Ok(match self.number(node)?.integer() {
            Some(whole) if whole.unsigned_abs() < 10u128.pow(u32::from(crate::column::DECIMAL_DIGITS)) => {
                values.push(whole);
                true
            }
            Some(_) => self.no_fit(start, "a Decimal(20, 0)"),
            None => self.no_integer(node, start),
        })
    }

    fn list(&mut self, plan: &ListPlan, item: &mut Column) -> Parsed<u64> {
        self.enter()?;
        self.at += 1;
        let mut count = 0;
        self.space();
        if self.peek() == b']' {
            self.at += 1;
        } else {
            loop {
                self.space();
                let extra = self.scratch.extra.len();
                let row = item.rows;
                self.value(&plan.item, item, row)?;
                item.reach(row + 1);
                if self.scratch.extra.len() != extra {
                    self.wrap_extra(extra, format!("\"{count}\":").as_bytes());
                }
                count += 1;
                if self.another(b']', "a comma or ] is missing")? {
                    break;
                }
            }
        }
        self.depth -= 1;
        Ok(count)
    }

    /// Behind a member: true if the container ends here.
    #[inline]
    pub fn another(&mut self, close: u8, why: &'static str) -> Parsed<bool> {
        self.space();
        let byte = self.peek();
        self.at += 1;
        match byte {
            b',' => Ok(false),
            other if other == close => Ok(true),
            _ => Err(self.broken(self.at - 1, why)),
        }
    }

    fn json(&mut self, node: &Node, texts: &mut Texts) -> Parsed<bool> {
        let start = self.at;
        let first = self.peek();
        self.skip()?;
        let is = match first {
            b'n' => {
                if !node.null_ok {
                    self.wrong_type(node, start);
                }
                return Ok(false);
            }
            b'"' => Types::STRING,
            b'{' => Types::OBJECT,
            b'[' => Types::ARRAY,
            b't' | b'f' => Types::BOOLEAN,
            // The plan judges nodes that take integers and no other numbers.
            _ => Types::INTEGER,
        };
        if !node.types.has(is) {
            self.wrong_type(node, start);
        }
        texts.push(&self.bytes[start..self.at]);
        Ok(true)
    }

    #[inline]
    pub fn word(&mut self, word: &'static str) -> Parsed {
        if self.bytes[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(());
        }
        Err(self.broken(self.at, "a value is expected"))
    }

    /// Reads the value here without keeping it.
    pub fn skip(&mut self) -> Parsed {
        match self.peek() {
            b'"' => self.string().map(drop),
            b'{' => self.skip_object(),
            b'[' => self.skip_array(),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            b'-' | b'0'..=b'9' => {
                let number = Number::read(self.bytes, self.at)
                    .map_err(|at| self.broken(at, "a number is malformed"))?;
                self.at = number.end;
                Ok(())
            }
            _ => Err(self.broken(self.at, "a value is expected")),
        }
    }

    fn skip_array(&mut self) -> Parsed {
        self.enter()?;
        self.at += 1;
        self.space();
        if self.peek() == b']' {
            self.at += 1;
        } else {
            loop {
                self.space();
                self.skip()?;
                if self.another(b']', "a comma or ] is missing")? {
                    break;
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn skip_object(&mut self) -> Parsed {
        self.enter()?;
        self.at += 1;
        self.space();
        if self.peek() == b'}' {
            self.at += 1;
        } else {
            let mut scope = self.scratch.keys.open();
            loop {
                self.space();
                let key = self.key()?;
                if !self.scratch.keys.insert(&mut scope, self.bytes, key.start, key.end, key.escaped) {
                    return Err(self.duplicate(key.end + 1));
                }
                self.colon()?;
                self.skip()?;
                if self.another(b'}', "a comma or } is missing")? {
                    break;
                }
            }
            self.scratch.keys.close(scope);
        }
        self.depth -= 1;
        Ok(())
    }

    pub fn key(&mut self) -> Parsed<Str> {
        if self.peek() != b'"' {
            return Err(self.broken(self.at, "a key is expected"));
        }
        self.string()
    }

    #[inline]
    pub fn colon(&mut self) -> Parsed {
        if self.peek() != b':' {
            self.space();
            if self.peek() != b':' {
                return Err(self.broken(self.at, "a colon is missing"));
            }
        }
        self.at += 1;
        self.space();
        Ok(())
    }

    fn no_integer(&mut self, node: &Node, start: usize) -> bool {
        // Beyond what an i128 holds a float is still whole, so only its column refuses it.
        match self.text[start..self.at].parse::<f64>() {
            Ok(float) if float.fract() == 0.0 || !float.is_finite() => self.no_fit(start, "its column"),
            _ => {
                self.wrong_type(node, start);
                false
            }
        }
    }

    #[cold]
    fn no_fit(&mut self, start: usize, what: &str) -> bool {
        self.misfit(start, format_args!("{} does not fit {what}", self.shown(start)));
        false
    }

    #[cold]
    fn wrong_type(&mut self, node: &Node, start: usize) {
        let types = if node.null_ok { node.types.with(Types::NULL) } else { node.types };
        let shown = self.shown(start);
        self.fault(start, "type", format_args!("{shown} is not of type {}", types.names()));
    }

    // Telling what is wrong.

    #[cold]
    pub fn fault(&mut self, start: usize, keyword: &str, message: std::fmt::Arguments<'_>) {
        if self.fault.is_none() {
            let pointer = pointer_at(self.bytes, start);
            let fault = Fault::new(RejectReason::Schema, message.to_string()).at(pointer, keyword);
            self.fault = Some(Box::new(fault));
        }
    }

    #[cold]
    fn misfit(&mut self, start: usize, message: std::fmt::Arguments<'_>) {
        if self.misfit.is_none() {
            let pointer = pointer_at(self.bytes, start);
            self.misfit = Some(Box::new(Fault::new(RejectReason::Type, message.to_string()).at(pointer, "")));
        }
    }

    #[cold]
    pub fn broken(&self, at: usize, why: &str) -> Box<Fault> {
        let message = if at >= self.bytes.len() {
            format!("not JSON: the event ends too early, at byte {}: {why}", self.bytes.len())
        } else {
            format!("not JSON at byte {at}: {why}")
        };
        Box::new(Fault::new(RejectReason::Parse, message))
    }

    #[cold]
    fn too_deep(&self) -> Box<Fault> {
        let message = format!("the event nests {} levels deep or more", self.max_depth);
        Box::new(Fault::new(RejectReason::TooLarge, message))
    }

    #[cold]
    pub fn duplicate(&self, behind_key: usize) -> Box<Fault> {
        let pointer = pointer_at(self.bytes, behind_key);
        Box::new(Fault::new(RejectReason::Parse, "the key stands twice in its object").at(pointer, ""))
    }

    /// The value that begins at `start` and was read up to here, cut for a message.
    pub fn shown(&self, start: usize) -> Shown<'a> {
        Shown { text: &self.text[start..self.at.max(start)] }
    }
}

/// The beginning of a value for a message.
pub(crate) struct Shown<'a> {
    text: &'a str,
}

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.text.len() <= SHOWN_BYTES {
            return f.write_str(self.text);
        }
        let cut = (0..=SHOWN_BYTES).rev().find(|at| self.text.is_char_boundary(*at)).unwrap_or(0);
        write!(f, "{}…", &self.text[..cut])
    }
}
