//! Finds the events in a body or a file, without building values.
//!
//! ```text
//!  window   [ {"a":1} , {"b":[2,3]} ]        Json, an array: a scan of strings and depth
//!             └─────┘   └─────────┘          Json, objects one behind the other: the same scan
//!  window   {"a":1}⏎{"b":2}⏎                 Lines, or Json whose first line is a whole object:
//!           └─────┘ └─────┘                  the next line feed
//! ```
//!
//! Pure and resumable: [`Splitter::next`] looks at the bytes that were not taken yet and answers
//! `None` when it needs more of them; it never looks at a byte twice. It decides where an event
//! ends, not whether it is JSON: that is the decoder's to say.
//!
//! Deliberately absent: recursion (depth is a number) and copying (only [`fold`] makes bytes).

use memchr::{memchr, memchr2};
use std::ops::Range;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// How events follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One object, an array of objects, or objects one behind the other.
    Json,
    /// An object a line.
    Lines,
}

/// What a [`Piece`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PieceKind {
    /// Bytes that may be an event. With `newlines`, some stand between its tokens: see [`fold`].
    Event { newlines: bool },
    /// An event longer than the limit.
    TooLarge,
    /// Bytes that cannot be an event; the next piece starts behind them.
    Broken(&'static str),
    /// Everything from here to the end of the input: where the next event starts cannot be told.
    Rest(&'static str),
}

/// The next piece of a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its bytes in the window, without surrounding whitespace.
    pub range: Range<usize>,
    /// How many bytes of the window it takes with what separates it from the next one.
    pub next: usize,
    pub kind: PieceKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Start(Shape),
    Lines,
    Values,
    Elements { first: bool },
    BehindArray,
    End,
}

/// Splits one input. See the module for what it does.
#[derive(Clone, Debug)]
pub struct Splitter {
    state: State,
    max_event: usize,
    /// Where the current value starts in the window.
    from: usize,
    /// Up to where the window was looked at.
    at: usize,
    depth: usize,
    quoted: bool,
    newlines: bool,
}

impl Splitter {
    /// `max_event` is in bytes.
    pub fn new(shape: Shape, max_event: usize) -> Self {
        let state = State::Start(shape);
        Self { state, max_event, from: 0, at: 0, depth: 0, quoted: false, newlines: false }
    }

    /// A splitter that goes on in the middle of an input of lines, at the start of a line.
    pub fn in_lines(max_event: usize) -> Self {
        Self { state: State::Lines, ..Self::new(Shape::Lines, max_event) }
    }

    /// Is the input an array?
    pub fn is_array(&self) -> bool {
        matches!(self.state, State::Elements { .. } | State::BehindArray)
    }

    /// The next piece of `window`, which starts at the first byte not taken by an earlier piece.
    /// `last` says that nothing follows the window. `None`: more bytes are needed, or, with
    /// `last`, there are no more events.
    pub fn next(&mut self, window: &[u8], last: bool) -> Option<Piece> {
        if let State::Start(shape) = self.state
            && !self.start(shape, window, last)
        {
            return None;
        }
        match self.state {
            State::Lines => self.next_line(window, last),
            State::Values => self.next_value(window, last),
            State::Elements { first } => self.next_element(window, last, first),
            State::BehindArray => self.behind_array(window, last),
            State::Start(_) | State::End => None,
        }
    }

    /// How many bytes at the start of the window belong to no event and may be dropped now.
    pub fn settle(&mut self) -> usize {
        let settled = std::mem::take(&mut self.from);
        self.at -= settled;
        settled
    }

    /// Gives up the bytes of an event that is larger than the caller wants to hold: all that were
    /// looked at may be dropped, and the event's end is found all the same.
    pub fn forget(&mut self) -> usize {
        self.from = 0;
        std::mem::take(&mut self.at)
    }

    /// Decides the state from the first bytes; `false` if there are too few.
    fn start(&mut self, shape: Shape, window: &[u8], last: bool) -> bool {
        if window.len() < BOM.len() && !last {
            return false;
        }
        let lead = if window.starts_with(BOM) { BOM.len() } else { 0 };
        let first = skip_space(window, lead);
        let state = match window.get(first) {
            _ if shape == Shape::Lines => State::Lines,
            None if !last => return false,
            None => State::End,
            Some(b'[') => State::Elements { first: true },
            Some(_) if first_line_is_whole(&window[first..]) => State::Lines,
            Some(_) => State::Values,
        };
        self.from = if shape == Shape::Lines { lead } else { first };
        self.from += usize::from(matches!(state, State::Elements { .. }));
        self.at = self.from;
        self.state = state;
        true
    }

    fn next_line(&mut self, window: &[u8], last: bool) -> Option<Piece> {
        loop {
            let rest = window.get(self.at..).unwrap_or_default();
            let (end, next) = match memchr(b'\n', rest) {
                Some(found) => (self.at + found, self.at + found + 1),
                None if last => {
                    self.state = State::End;
                    (window.len(), window.len())
                }
                None => {
                    self.at = window.len();
                    return None;
                }
            };
            let range = trim(window, self.from..end);
            if !range.is_empty() {
                return Some(self.event(range, next));
            }
            (self.from, self.at) = (next, next);
            if self.state == State::End {
                return None;
            }
        }
    }

    fn next_value(&mut self, window: &[u8], last: bool) -> Option<Piece> {
        if self.depth == 0 && !self.quoted {
            self.from = skip_space(window, self.from);
            self.at = self.at.max(self.from);
        }
        match window.get(self.from) {
            None => {
                if last {
                    self.state = State::End;
                }
                return None;
            }
            Some(b'{' | b'[') => {}
            Some(_) if self.depth == 0 => return self.not_a_value(window, last),
            Some(_) => {}
        }
        match self.scan(window, false) {
            Some(end) => Some(self.event(self.from..end, end)),
            None if last => Some(self.rest(window, "the object is not closed")),
            None => None,
        }
    }

    /// Text between values: taken up to the end of its line.
    fn not_a_value(&mut self, window: &[u8], last: bool) -> Option<Piece> {
        let rest = window.get(self.at..).unwrap_or_default();
        let end = match memchr(b'\n', rest) {
            Some(found) => self.at + found,
            None if last => window.len(),
            None => {
                self.at = window.len();
                return None;
            }
        };
        let range = trim(window, self.from..end);
        self.reset();
        Some(Piece { range, next: end, kind: PieceKind::Broken("a JSON object was expected") })
    }

    fn next_element(&mut self, window: &[u8], last: bool, first: bool) -> Option<Piece> {
        let Some(end) = self.scan(window, true) else {
            return if last { Some(self.rest(window, "the array is not closed")) } else { None };
        };
        let range = trim(window, self.from..end);
        match window[end] {
            b',' | b']' if !range.is_empty() => {
                let closes = window[end] == b']';
                self.state = if closes { State::BehindArray } else { State::Elements { first: false } };
                Some(self.event(range, end + 1))
            }
            b']' if first => {
                self.state = State::BehindArray;
                (self.from, self.at) = (end + 1, end + 1);
                self.behind_array(window, last)
            }
            b',' | b']' => Some(self.rest(window, "a value is missing in the array")),
            _ => Some(self.rest(window, "a bracket closes what was not opened")),
        }
    }

    fn behind_array(&mut self, window: &[u8], last: bool) -> Option<Piece> {
        self.from = skip_space(window, self.from);
        self.at = self.from;
        if self.from < window.len() {
            return Some(self.rest(window, "something follows the array"));
        }
        if last {
            self.state = State::End;
        }
        None
    }

    /// Runs to the end of the current value and returns it: behind its closing bracket or, in an
    /// array, at the comma or bracket that follows it.
    fn scan(&mut self, window: &[u8], in_array: bool) -> Option<usize> {
        let mut at = self.at;
        loop {
            if self.quoted {
                let Some(found) = memchr2(b'"', b'\\', window.get(at..)?) else {
                    self.at = window.len();
                    return None;
                };
                at += found;
                if window[at] == b'\\' {
                    if at + 1 >= window.len() {
                        self.at = at;
                        return None;
                    }
                    at += 2;
                    continue;
                }
                self.quoted = false;
                at += 1;
            }
            let rest = window.get(at..)?;
            let Some(found) = rest.iter().position(|byte| CLASS[*byte as usize] != OTHER) else {
                self.at = window.len();
                return None;
            };
            at += found;
            match CLASS[window[at] as usize] {
                QUOTE => self.quoted = true,
                OPEN => self.depth += 1,
                CLOSE if self.depth == 0 => return Some(at),
                CLOSE => {
                    self.depth -= 1;
                    if self.depth == 0 && !in_array {
                        return Some(at + 1);
                    }
                }
                COMMA if self.depth == 0 && in_array => return Some(at),
                COMMA => {}
                _ => self.newlines = true,
            }
            at += 1;
            self.at = at;
        }
    }

    fn event(&mut self, range: Range<usize>, next: usize) -> Piece {
        let kind = if range.len() > self.max_event {
            PieceKind::TooLarge
        } else {
            PieceKind::Event { newlines: self.newlines }
        };
        self.reset();
        Piece { range, next, kind }
    }

    fn rest(&mut self, window: &[u8], why: &'static str) -> Piece {
        let range = trim(window, self.from..window.len());
        self.state = State::End;
        self.reset();
        Piece { range, next: window.len(), kind: PieceKind::Rest(why) }
    }

    fn reset(&mut self) {
        (self.from, self.at, self.depth) = (0, 0, 0);
        (self.quoted, self.newlines) = (false, false);
    }
}

/// The event with its line feeds outside strings replaced by spaces, so that it is one line. Those
/// inside strings stay, for the decoder to refuse.
pub fn fold(event: &[u8]) -> Vec<u8> {
    let mut line = event.to_vec();
    let (mut quoted, mut escaped) = (false, false);
    for byte in &mut line {
        match *byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'\n' if !quoted => *byte = b' ',
            _ => {}
        }
    }
    line
}

const OTHER: u8 = 0;
const QUOTE: u8 = 1;
const OPEN: u8 = 2;
const CLOSE: u8 = 3;
const COMMA: u8 = 4;
const NEWLINE: u8 = 5;

static CLASS: [u8; 256] = {
    let mut class = [OTHER; 256];
    class[b'"' as usize] = QUOTE;
    class[b'{' as usize] = OPEN;
    class[b'[' as usize] = OPEN;
    class[b'}' as usize] = CLOSE;
    class[b']' as usize] = CLOSE;
    class[b',' as usize] = COMMA;
    class[b'\n' as usize] = NEWLINE;
    class
};

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn skip_space(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    from + rest.iter().position(|byte| !is_space(*byte)).unwrap_or(rest.len())
}

fn trim(bytes: &[u8], range: Range<usize>) -> Range<usize> {
    let Range { mut start, mut end } = range;
    while start < end && is_space(bytes[start]) {
        start += 1;
    }
    while end > start && is_space(bytes[end - 1]) {
        end -= 1;
    }
    start..end
}

/// Does `bytes` start with a line that is a whole object? Then lines follow, and a bad one costs
/// only itself.
fn first_line_is_whole(bytes: &[u8]) -> bool {
    let Some(end) = memchr(b'\n', bytes) else { return false };
    let line = &bytes[trim(bytes, 0..end)];
    if line.first() != Some(&b'{') {
        return false;
    }
    let mut scan = Splitter { state: State::Values, ..Splitter::new(Shape::Json, usize::MAX) };
    scan.scan(line, false) == Some(line.len())
}
