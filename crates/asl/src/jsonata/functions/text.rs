//! Functions on strings, and the text of any value.

use super::arg;
use crate::jsonata::env::Run;
use crate::jsonata::value::{Object, Val};
use crate::jsonata::{Fault, STRING_BYTES_MAX, VALUE_DEPTH_MAX};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write as _;

pub fn string(run: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    match arg(&args, 0) {
        Val::Undefined => Ok(Val::Undefined),
        value => {
            let text = to_text(value, arg(&args, 1).truthy())?;
            run.spend(text.len() / 16)?;
            Ok(Val::str(&text))
        }
    }
}

/// `$string`: strings as they are, functions as nothing, the rest as JSON.
pub fn to_text(value: &Val, pretty: bool) -> Result<String, Fault> {
    let mut out = String::new();
    match value {
        Val::Str(text) => out.push_str(text),
        Val::Func(_) | Val::Undefined => {}
        Val::Num(n) if !n.is_finite() => {
            return Err(Fault::new("D3001", "Attempting to invoke string function on Infinity or NaN"));
        }
        value => write_json(value, pretty, 0, &mut out)?,
    }
    Ok(out)
}

fn write_json(value: &Val, pretty: bool, depth: usize, out: &mut String) -> Result<(), Fault> {
    if depth > VALUE_DEPTH_MAX || out.len() > STRING_BYTES_MAX {
        return Err(Fault::new("D3001", "The value is too large to be written as a string"));
    }
    let line = |depth: usize, out: &mut String| {
        if pretty {
            out.push('\n');
            out.extend(std::iter::repeat_n("  ", depth));
        }
    };
    match value {
        Val::Undefined | Val::Null => out.push_str("null"),
        Val::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Val::Num(n) => out.push_str(&js_number(precise(*n))),
        Val::Str(text) => quote(text, out),
        Val::Func(_) => out.push_str("\"\""),
        Val::Array(array) => {
            out.push('[');
            for (at, item) in array.items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                line(depth + 1, out);
                write_json(item, pretty, depth + 1, out)?;
            }
            if !array.items.is_empty() {
                line(depth, out);
            }
            out.push(']');
        }
        Val::Object(object) => write_object(object, pretty, depth, &line, out)?,
    }
    Ok(())
}

fn write_object(
    object: &Object,
    pretty: bool,
    depth: usize,
    line: &dyn Fn(usize, &mut String),
    out: &mut String,
) -> Result<(), Fault> {
    out.push('{');
    let mut first = true;
    for (key, value) in object.iter().filter(|(_, v)| !v.is_undefined()) {
        if !std::mem::take(&mut first) {
            out.push(',');
        }
        line(depth + 1, out);
        quote(key, out);
        out.push_str(if pretty { ": " } else { ":" });
        write_json(value, pretty, depth + 1, out)?;
    }
    if !first {
        line(depth, out);
    }
    out.push('}');
    Ok(())
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Rounded to 15 significant digits, as JSONata shows numbers.
fn precise(n: f64) -> f64 {
    if n.fract() == 0.0 && n.abs() < 9.0e15 { n } else { format!("{n:.14e}").parse().unwrap_or(n) }
}

/// A number as JavaScript writes it.
pub fn js_number(n: f64) -> String {
    if n == 0.0 {
        return "0".to_owned();
    }
    if (1e-6..1e21).contains(&n.abs()) {
        return n.to_string();
    }
    let text = format!("{n:e}");
    match text.split_once('e') {
        Some((mantissa, exponent)) if !exponent.starts_with('-') => format!("{mantissa}e+{exponent}"),
        _ => text,
    }
}

/// Refuses to make strings without bound.
pub fn bounded(bytes: usize) -> Result<(), Fault> {
    if bytes > STRING_BYTES_MAX {
        return Err(Fault::new(
            "D1013",
            format!("A string must not be longer than {STRING_BYTES_MAX} bytes"),
        ));
    }
    Ok(())
}

fn on_text(run: &Run<'_>, args: &[Val], f: impl FnOnce(&str) -> Result<String, Fault>) -> Result<Val, Fault> {
    let Some(text) = arg(args, 0).as_str() else { return Ok(Val::Undefined) };
    run.spend(text.len() / 16)?;
    let made = f(text)?;
    bounded(made.len())?;
    run.spend(made.len() / 16)?;
    Ok(Val::str(&made))
}

pub fn length(run: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    let Some(text) = arg(&args, 0).as_str() else { return Ok(Val::Undefined) };
    run.spend(text.len() / 16)?;
    Ok(Val::Num(text.chars().count() as f64))
}

pub fn substring(run: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    on_text(run, &args, |text| {
        let chars: Vec<char> = text.chars().collect();
        let len = chars.len() as f64;
        let start = arg(&args, 1).as_num().unwrap_or(0.0).trunc();
        let from = if start < 0.0 { (len + start).max(0.0) } else { start.min(len) };
        let to = match arg(&args, 2).as_num() {
            Some(count) if count <= 0.0 => return Ok(String::new()),
            Some(count) if start < -len => (len + start + count).trunc().clamp(0.0, len),
            Some(count) => (from + count).trunc().min(len),
            None => len,
        };
        Ok(chars.get(from as usize..to as usize).unwrap_or_default().iter().collect())
    })
}

pub fn substring_before(run: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    on_text(run, &args, |text| {
        let found = arg(&args, 1).as_str().and_then(|mark| text.split_once(mark));
        Ok(found.map_or(text, |(before, _)| before).to_owned())
    })
}

pub fn substring_after(run: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    on_text(run, &args, |text| {
        let found = arg(&args, 1).as_str().and_then(|mark| text.split_once(mark));
        Ok(found.map_or(text, |(_, after)| after).to_owned())
    })
}

pub fn uppercase(run: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    on_text(run, &args, |text| Ok(text.to_uppercase()))
}

pub fn lowercase(run: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    on_text(run, &args, |text| Ok(text.to_lowercase()))
}

/// Blanks at the ends go, others become one space each run.
pub fn trim(run: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    on_text(run, &args, |text| {
        let words: Vec<&str> = text.split([' ', '\t', '\n', '\r']).filter(|w| !w.is_empty()).collect();
        Ok(words.join(" "))
    })
}

pub fn pad(run: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    on_text(run, &args, |text| {
        let width = arg(&args, 1).as_num().unwrap_or(0.0).trunc();
        let fill = arg(&args, 2).as_str().filter(|f| !f.is_empty()).unwrap_or(" ");
        if width.abs() > STRING_BYTES_MAX as f64 {
            return Err(Fault::new(
                "D1013",
                format!("A string must not be longer than {STRING_BYTES_MAX} bytes"),
            ));
        }
        let missing = (width.abs() as usize).saturating_sub(text.chars().count());
        let padding: String = fill.chars().cycle().take(missing).collect();
        Ok(if width < 0.0 { padding + text } else { text.to_owned() + &padding })
    })
}

pub fn join(run: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    let Val::Array(list) = arg(&args, 0) else { return Ok(Val::Undefined) };
    let parts: Vec<&str> = list.items.iter().filter_map(Val::as_str).collect();
    let mark = arg(&args, 1).as_str().unwrap_or_default();
    bounded(parts.iter().map(|part| part.len() + mark.len()).sum())?;
    let joined = parts.join(mark);
    run.spend(joined.len() / 16)?;
    Ok(Val::str(&joined))
}

pub fn base64_encode(run: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    on_text(run, &args, |text| Ok(STANDARD.encode(text)))
}

pub fn base64_decode(run: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    on_text(run, &args, |text| {
        let bytes =
            STANDARD.decode(text.trim_end()).map_err(|_| Fault::new("D3137", "The text is not Base64"))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    })
}

const UNRESERVED: &str = "-_.!~*'()";
const URL: &str = "-_.!~*'();/?:@&=+$,#";

fn percent(text: &str, keep: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || keep.as_bytes().contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

pub fn encode_url_component(run: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    on_text(run, &args, |text| Ok(percent(text, UNRESERVED)))
}

pub fn encode_url(run: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    on_text(run, &args, |text| Ok(percent(text, URL)))
}

pub fn decode_url(run: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    on_text(run, &args, |text| {
        let malformed =
            || Fault::new("D3140", format!("Malformed URL passed to a decoding function: {text}"));
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            if byte != b'%' {
                bytes.push(byte);
                continue;
            }
            let digits = rest.get(..2).and_then(|d| std::str::from_utf8(d).ok()).ok_or_else(malformed)?;
            bytes.push(u8::from_str_radix(digits, 16).map_err(|_| malformed())?);
            rest = &rest[2..];
        }
        String::from_utf8(bytes).map_err(|_| malformed())
    })
}
