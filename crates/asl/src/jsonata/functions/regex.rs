//! Functions that take a string or a regular expression.

use super::arg;
use super::text::{bounded, to_text};
use crate::jsonata::Fault;
use crate::jsonata::call::apply;
use crate::jsonata::env::Run;
use crate::jsonata::value::{Func, Object, Val};
use regex::{Captures, Regex};
use std::rc::Rc;

/// The regular expression that a value is.
fn as_regex(value: &Val) -> Option<&Regex> {
    match value {
        Val::Func(func) => match &**func {
            Func::Regex(regex) => Some(regex),
            _ => None,
        },
        _ => None,
    }
}

fn unsupported() -> Fault {
    Fault::new("T1010", "The matcher function argument must be a regular expression")
}

pub fn contains(run: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    let Some(text) = arg(&args, 0).as_str() else { return Ok(Val::Undefined) };
    run.spend(text.len() / 16)?;
    match arg(&args, 1) {
        Val::Str(part) => Ok(Val::Bool(text.contains(&**part))),
        Val::Undefined => Ok(Val::Undefined),
        other => {
            run.spend(text.len())?;
            Ok(Val::Bool(as_regex(other).ok_or_else(unsupported)?.is_match(text)))
        }
    }
}

/// What a match counts for: it is an object of several values.
const MATCH_STEPS: usize = 16;

/// Positions in characters, asked for from left to right.
struct Chars<'a> {
    text: &'a str,
    byte: usize,
    count: usize,
}

impl<'a> Chars<'a> {
    fn of(text: &'a str) -> Chars<'a> {
        Chars { text, byte: 0, count: 0 }
    }

    fn at(&mut self, byte: usize) -> Val {
        self.count += self.text[self.byte..byte].chars().count();
        self.byte = byte;
        Val::Num(self.count as f64)
    }
}

/// One match of `$match`.
fn found(run: &Run<'_>, captures: &Captures<'_>, chars: &mut Chars<'_>) -> Result<Val, Fault> {
    let (start, text) = captures.get(0).map_or((0, ""), |m| (m.start(), m.as_str()));
    let groups = groups(run, captures, text)?;
    let mut object = Object::default();
    object.set(Rc::from("match"), Val::str(text));
    object.set(Rc::from("index"), chars.at(start));
    object.set(Rc::from("groups"), groups);
    Ok(Val::object(object))
}

fn groups(run: &Run<'_>, captures: &Captures<'_>, text: &str) -> Result<Val, Fault> {
    run.spend(MATCH_STEPS + captures.len() * (1 + text.len() / 16))?;
    let groups = captures.iter().skip(1).map(|group| group.map_or(Val::str(""), |g| Val::str(g.as_str())));
    Ok(Val::list(groups.collect()))
}

pub fn matches(run: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    let Some(text) = arg(&args, 0).as_str() else { return Ok(Val::Undefined) };
    let regex = as_regex(arg(&args, 1)).ok_or_else(unsupported)?;
    let limit = limit(arg(&args, 2), "D3040", "match")?;
    run.spend(text.len())?;
    let (mut matches, mut chars) = (Vec::new(), Chars::of(text));
    for captures in regex.captures_iter(text).take(limit) {
        matches.push(found(run, &captures, &mut chars)?);
    }
    Ok(Val::sequence(matches))
}

fn limit(value: &Val, code: &'static str, name: &str) -> Result<usize, Fault> {
    match value.as_num() {
        None => Ok(usize::MAX),
        Some(n) if n >= 0.0 => Ok(n as usize),
        Some(_) => {
            Err(Fault::new(code, format!("The limit of the {name} function must be a positive number")))
        }
    }
}

pub fn split(run: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    let Some(text) = arg(&args, 0).as_str() else { return Ok(Val::Undefined) };
    let limit = limit(arg(&args, 2), "D3020", "split")?;
    run.spend(text.len() / 4)?;
    let parts: Vec<Val> = match arg(&args, 1) {
        Val::Str(mark) if mark.is_empty() => {
            text.chars().take(limit).map(|c| Val::str(&c.to_string())).collect()
        }
        Val::Str(mark) => text.split(&**mark).take(limit).map(Val::str).collect(),
        Val::Undefined => return Ok(Val::Undefined),
        other => {
            run.spend(text.len())?;
            as_regex(other).ok_or_else(unsupported)?.split(text).take(limit).map(Val::str).collect()
        }
    };
    Ok(Val::list(parts))
}

pub fn replace(run: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    let Some(text) = arg(&args, 0).as_str() else { return Ok(Val::Undefined) };
    let (pattern, with) = (arg(&args, 1), arg(&args, 2));
    let limit = limit(arg(&args, 3), "D3011", "replace")?;
    run.spend(text.len() / 16)?;
    if let Some(pattern) = pattern.as_str() {
        if pattern.is_empty() {
            return Err(Fault::new("D3010", "Second argument of replace function cannot be an empty string"));
        }
        let Some(with) = with.as_str() else {
            return Err(Fault::new("D3012", "A string to look for is replaced by a string"));
        };
        let hits = text.matches(pattern).take(limit).count();
        bounded(text.len() + hits * with.len())?;
        return Ok(Val::str(&text.replacen(pattern, with, hits)));
    }
    let regex = as_regex(pattern).ok_or_else(unsupported)?;
    run.spend(text.len())?;
    let (mut out, mut at, mut chars) = (String::new(), 0, Chars::of(text));
    for captures in regex.captures_iter(text).take(limit) {
        run.spend(1)?;
        let Some(whole) = captures.get(0) else { continue };
        if whole.as_str().is_empty() {
            return Err(Fault::new("D1004", "Regular expression matches zero length string"));
        }
        out.push_str(&text[at..whole.start()]);
        at = whole.end();
        match with {
            Val::Str(template) => expand(template, &captures, &mut out),
            func => {
                let value = apply(run, func, vec![found(run, &captures, &mut chars)?], &Val::Undefined)?;
                match value.as_str() {
                    Some(text) => out.push_str(text),
                    None => {
                        let got = to_text(&value, false)?;
                        return Err(Fault::new(
                            "D3012",
                            format!("A replacement function must return a string, not {got}"),
                        ));
                    }
                }
            }
        }
        bounded(out.len())?;
    }
    out.push_str(&text[at..]);
    Ok(Val::str(&out))
}

/// `$$` is a dollar, `$0` the match, `$n` a group: as many digits as name a group that there is.
fn expand(template: &str, captures: &Captures<'_>, out: &mut String) {
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if digits == 0 {
            out.push('$');
            continue;
        }
        let fits = (1..=digits).rev().find(|n| rest[..*n].parse().is_ok_and(|g: usize| g < captures.len()));
        let taken = fits.unwrap_or(1);
        let group = rest[..taken].parse().ok().and_then(|g: usize| captures.get(g));
        out.push_str(group.map_or("", |g| g.as_str()));
        rest = &rest[taken..];
    }
    out.push_str(rest);
}

/// What a regular expression gives when it is called as a function.
pub fn first_match(run: &Run<'_>, regex: &Regex, text: &str) -> Result<Val, Fault> {
    run.spend(text.len())?;
    let (mut all, mut chars) = (Vec::new(), Chars::of(text));
    for captures in regex.captures_iter(text) {
        let Some(whole) = captures.get(0) else { continue };
        let groups = groups(run, &captures, whole.as_str())?;
        let mut object = Object::default();
        object.set(Rc::from("match"), Val::str(whole.as_str()));
        object.set(Rc::from("start"), chars.at(whole.start()));
        object.set(Rc::from("end"), chars.at(whole.end()));
        object.set(Rc::from("groups"), groups);
        all.push(Val::object(object));
    }
    Ok(match_object(&Val::list(all), 0))
}

/// The match at `at` with the function `next` that gives the one after it; undefined behind the last.
pub fn match_object(matches: &Val, at: usize) -> Val {
    let Some(Val::Object(object)) = matches.as_list().get(at) else { return Val::Undefined };
    let mut object = (**object).clone();
    object.set(Rc::from("next"), Val::Func(Rc::new(Func::NextMatch(matches.clone(), at + 1))));
    Val::object(object)
}
