//! `pattern`, with the judge's reading of ECMA-262.
//!
//! Anchored sequences of ASCII classes run in a matcher of a few instructions a byte. Other patterns are
//! translated by the judge's own translator and run in the engine it delegates to. What could differ
//! between the two (look-around, back-references, rare escapes) has no [`Pattern`] and is left to the judge.

use regex_automata::meta::Regex;

pub(crate) enum Pattern {
    Classes(Vec<Class>),
    Regex(Box<Regex>),
}

/// A run of bytes out of a set.
pub(crate) struct Class {
    set: [bool; 256],
    min: usize,
    max: usize,
}

impl Pattern {
    pub fn new(source: &str) -> Option<Self> {
        if let Some(classes) = classes(source) {
            return Some(Self::Classes(classes));
        }
        if !is_plain(source) {
            return None;
        }
        let translated = jsonschema_regex::to_rust_regex(source).ok()?;
        Regex::new(&translated).ok().map(|regex| Self::Regex(Box::new(regex)))
    }

    #[inline]
    pub fn holds(&self, text: &[u8]) -> bool {
        match self {
            Self::Classes(classes) => {
                let mut at = 0usize;
                for class in classes {
                    let end = text.len().min(at.saturating_add(class.max));
                    let from = at;
                    while at < end && class.set[usize::from(text[at])] {
                        at += 1;
                    }
                    if at - from < class.min {
                        return false;
                    }
                }
                at == text.len()
            }
            Self::Regex(regex) => regex.is_match(text),
        }
    }
}

/// Whether the pattern keeps to the syntax that every engine reads alike.
fn is_plain(source: &str) -> bool {
    let bytes = source.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => {
                match bytes.get(at + 1) {
                    Some(escaped) if b"dDwWsS.-/()[]{}+*?^$|\\nrt".contains(escaped) => {}
                    _ => return false,
                }
                at += 1;
            }
            b'(' if bytes.get(at + 1) == Some(&b'?') && bytes.get(at + 2) != Some(&b':') => return false,
            _ => {}
        }
        at += 1;
    }
    true
}

/// Reads `^…$` as a row of ASCII classes that greedy matching decides without ever going back.
fn classes(source: &str) -> Option<Vec<Class>> {
    let body = source.strip_prefix('^')?.strip_suffix('$')?.as_bytes();
    if !body.is_ascii() || body.ends_with(b"\\") {
        return None;
    }
    let mut classes: Vec<Class> = Vec::new();
    let mut at = 0;
    while at < body.len() {
        let (set, after) = set(body, at)?;
        let (min, max, after) = repeat(body, after)?;
        if let Some(before) = classes.last()
            && before.min != before.max
            && before.set.iter().zip(&set).any(|(a, b)| *a && *b)
        {
            return None;
        }
        // Behind an optional class the one before it meets the next directly.
        if min == 0 && classes.last().is_some_and(|before| before.min != before.max) {
            return None;
        }
        classes.push(Class { set, min, max });
        at = after;
    }
    Some(classes)
}

fn set(body: &[u8], at: usize) -> Option<([bool; 256], usize)> {
    let mut set = [false; 256];
    match body[at] {
        b'[' => {
            let mut at = at + 1;
            if matches!(body.get(at)?, b'^' | b']') {
                return None;
            }
            while *body.get(at)? != b']' {
                let (first, after) = class_byte(body, at)?;
                at = after;
                let mut last = first;
                if body.get(at) == Some(&b'-') && *body.get(at + 1)? != b']' {
                    (last, at) = class_byte(body, at + 1)?;
                }
                if last < first {
                    return None;
                }
                (first..=last).for_each(|byte| set[usize::from(byte)] = true);
            }
            Some((set, at + 1))
        }
        b'\\' => {
            match *body.get(at + 1)? {
                b'd' => (b'0'..=b'9').for_each(|byte| set[usize::from(byte)] = true),
                byte @ (b'.' | b'-' | b'/' | b'+') => set[usize::from(byte)] = true,
                _ => return None,
            }
            Some((set, at + 2))
        }
        byte if byte.is_ascii_alphanumeric() || b"-_ :/@#,=%~".contains(&byte) => {
            set[usize::from(byte)] = true;
            Some((set, at + 1))
        }
        _ => None,
    }
}

fn class_byte(body: &[u8], at: usize) -> Option<(u8, usize)> {
    let byte = *body.get(at)?;
    (byte.is_ascii_alphanumeric() || b"_ .:/@".contains(&byte)).then_some((byte, at + 1))
}

fn repeat(body: &[u8], at: usize) -> Option<(usize, usize, usize)> {
    let (min, max, after) = match body.get(at) {
        Some(b'*') => (0, usize::MAX, at + 1),
        Some(b'+') => (1, usize::MAX, at + 1),
        Some(b'?') => (0, 1, at + 1),
        Some(b'{') => {
            let close = at + body[at..].iter().position(|byte| *byte == b'}')?;
            let inside = std::str::from_utf8(&body[at + 1..close]).ok()?;
            let (min, max) = match inside.split_once(',') {
                None => (count(inside)?, count(inside)?),
                Some((min, "")) => (count(min)?, usize::MAX),
                Some((min, max)) => (count(min)?, count(max)?),
            };
            if max < min {
                return None;
            }
            (min, max, close + 1)
        }
        _ => return Some((1, 1, at)),
    };
    // A second quantifier (lazy, possessive) is another engine's business.
    (!matches!(body.get(after), Some(b'*' | b'+' | b'?' | b'{'))).then_some((min, max, after))
}

fn count(digits: &str) -> Option<usize> {
    (!digits.is_empty() && digits.len() <= 4 && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| digits.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_hold_where_the_judge_says_so() {
        let texts = [
            "",
            "SKU-000001",
            "SKU-00000",
            "SKU-0000012",
            "sku-000001",
            "abc",
            "a-b_c.d",
            "ab12",
            "12ab",
            "a.b.c",
            "AAA",
            "٣",
            "a\n",
            "\u{a0}x",
            "é",
            "12",
            "2026-01-01",
            "x y",
            "aab",
            "aaab",
            "ab",
            "[]",
            "-",
            "é1",
            "SKU-000001\n",
        ];
        let mut fast = 0;
        for source in [
            "^SKU-[0-9]{6}$",
            "^[a-z]+$",
            "^[A-Z]{3}$",
            "^\\d{4}-\\d{2}-\\d{2}$",
            "^[a-z]+[0-9]*$",
            "^a*ab$",
            "^$",
            "^[a-z0-9]+(\\.[a-z]+)*$",
            "\\d",
            "^\\S+$",
            "\\s",
            "^.$",
            "a|b",
            "^a|b$",
            "^[^a]$",
            "^(?:a|b)+$",
            "^\\w+$",
            "^(?!a)",
            "(a)\\1",
            "^[a-c]?[0-9]{1,3}$",
            "^a?b?$",
            "^a+?b$",
            "^[\\d-]+$",
            "[a-z",
            "^\\p{L}+$",
            "^[-a]$",
            "^[.]$",
            "^a{0}$",
            "^[a-z]{2,}$",
            "^\\.$",
            "^[a-z]*[A-Z]*$",
            "^a{,3}$",
            "^x\\$",
        ] {
            let schema = serde_json::json!({"pattern": source});
            let Ok(judge) = jsonschema::validator_for(&schema) else { continue };
            let Some(pattern) = Pattern::new(source) else { continue };
            fast += 1;
            for text in texts {
                let expected = judge.is_valid(&serde_json::json!(text));
                assert_eq!(pattern.holds(text.as_bytes()), expected, "{source:?} on {text:?}");
            }
        }
        assert!(fast > 20, "only {fast} patterns have a matcher");
    }
}
