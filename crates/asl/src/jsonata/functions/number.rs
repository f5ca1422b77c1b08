//! Functions on numbers.

use super::arg;
use crate::jsonata::Fault;
use crate::jsonata::env::Run;
use crate::jsonata::value::Val;

/// Refuses infinity and what is no number.
pub fn finite(n: f64) -> Result<Val, Fault> {
    if n.is_finite() {
        Ok(Val::Num(n))
    } else {
        Err(Fault::new("D1001", format!("Number out of range: {n}")))
    }
}

fn on_number(args: &[Val], f: impl FnOnce(f64) -> Result<Val, Fault>) -> Result<Val, Fault> {
    arg(args, 0).as_num().map_or(Ok(Val::Undefined), f)
}

pub fn number(_: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    let value = arg(&args, 0);
    match value {
        Val::Undefined | Val::Num(_) => Ok(value.clone()),
        Val::Bool(b) => Ok(Val::Num(f64::from(u8::from(*b)))),
        Val::Str(text) => parse(text)
            .map(Val::Num)
            .ok_or_else(|| Fault::new("D3030", format!("Unable to cast value to a number: \"{text}\""))),
        _ => Err(Fault::new("T0410", "Argument 1 of function \"number\" does not match function signature")),
    }
}

/// JSON's numbers, and whole ones in hexadecimal, octal and binary.
fn parse(text: &str) -> Option<f64> {
    for (prefix, radix) in [("0x", 16), ("0X", 16), ("0o", 8), ("0O", 8), ("0b", 2), ("0B", 2)] {
        if let Some(digits) = text.strip_prefix(prefix) {
            return u64::from_str_radix(digits, radix)
                .ok()
                .filter(|_| !digits.starts_with('+'))
                .map(|n| n as f64);
        }
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    let whole = digits.split(['.', 'e', 'E']).next()?;
    let leading_zero = whole.len() > 1 && whole.starts_with('0');
    let shape = digits.starts_with(|c: char| c.is_ascii_digit()) && !leading_zero && !digits.ends_with('.');
    let dot_digit = digits.split_once('.').is_none_or(|(_, f)| f.starts_with(|c: char| c.is_ascii_digit()));
    let parsed: f64 = text.parse().ok()?;
    (shape && dot_digit && parsed.is_finite()).then_some(parsed)
}

pub fn abs(_: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    on_number(&args, |n| Ok(Val::Num(n.abs())))
}

pub fn floor(_: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    on_number(&args, |n| Ok(Val::Num(n.floor())))
}

pub fn ceil(_: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    on_number(&args, |n| Ok(Val::Num(n.ceil())))
}

pub fn round(_: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    let precision = arg(&args, 1).as_num().unwrap_or(0.0) as i32;
    on_number(&args, |n| Ok(Val::Num(round_to(n, precision))))
}

/// Half to even, at `precision` decimals; shifting in decimal keeps 2.675 what it says.
pub fn round_to(n: f64, precision: i32) -> f64 {
    let shift = |n: f64, by: i32| {
        let text = format!("{n:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        format!("{mantissa}e{}", exponent.saturating_add(by)).parse().unwrap_or(n)
    };
    if precision == 0 {
        return n.round_ties_even() + 0.0;
    }
    shift(shift(n, precision).round_ties_even(), precision.saturating_neg()) + 0.0
}

pub fn power(_: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    let (Some(base), Some(exponent)) = (arg(&args, 0).as_num(), arg(&args, 1).as_num()) else {
        return Ok(Val::Undefined);
    };
    let result = base.powf(exponent);
    if result.is_finite() {
        return Ok(Val::Num(result));
    }
    Err(Fault::new(
        "D3061",
        format!(
            "The power function has resulted in a value that cannot be represented as a JSON number: base={base}, exponent={exponent}"
        ),
    ))
}

pub fn sqrt(_: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    on_number(&args, |n| {
        if n < 0.0 {
            return Err(Fault::new(
                "D3060",
                format!("The sqrt function cannot be applied to a negative number: {n}"),
            ));
        }
        Ok(Val::Num(n.sqrt()))
    })
}

pub fn format_base(_: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    let radix = round_to(arg(&args, 1).as_num().unwrap_or(10.0), 0);
    if !(2.0..=36.0).contains(&radix) {
        return Err(Fault::new(
            "D3100",
            format!("The radix of the formatBase function must be between 2 and 36. It was given {radix}"),
        ));
    }
    on_number(&args, |n| {
        let (mut rest, radix) = (round_to(n, 0).abs() as u128, radix as u128);
        let mut digits = Vec::new();
        while rest > 0 || digits.is_empty() {
            digits.push(char::from_digit((rest % radix) as u32, radix as u32).unwrap_or('0'));
            rest /= radix;
        }
        if round_to(n, 0) < 0.0 {
            digits.push('-');
        }
        Ok(Val::str(&digits.iter().rev().collect::<String>()))
    })
}
