//! `$formatNumber`: the picture strings of XPath and XQuery Functions 3.1, section 4.7.

use super::arg;
use super::number::round_to;
use crate::jsonata::Fault;
use crate::jsonata::env::Run;
use crate::jsonata::value::Val;

/// Most digits a picture asks for.
const DIGITS_MAX: usize = 300;

/// Characters with a meaning; the third argument may change them.
struct Marks {
    decimal: char,
    grouping: char,
    exponent: char,
    minus: String,
    percent: String,
    per_mille: String,
    zero: char,
    digit: char,
    pattern: char,
}

/// One half of a picture, taken apart.
struct Picture {
    prefix: String,
    suffix: String,
    percent: bool,
    per_mille: bool,
    /// Places of grouping marks, counted from the decimal mark.
    integer_groups: Vec<usize>,
    fraction_groups: Vec<usize>,
    /// All groups of the integer part have this size.
    regular: usize,
    integer_min: usize,
    scale: usize,
    fraction_min: usize,
    fraction_max: usize,
    exponent_min: usize,
}

pub fn format_number(_: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    let (Some(n), Some(picture)) = (arg(&args, 0).as_num(), arg(&args, 1).as_str()) else {
        return Ok(Val::Undefined);
    };
    let marks = Marks::of(arg(&args, 2));
    let halves: Vec<&str> = picture.split(marks.pattern).collect();
    if halves.len() > 2 {
        return Err(Fault::new(
            "D3080",
            "The picture string must only contain a maximum of two sub-pictures",
        ));
    }
    let mut parsed = marks.picture(halves[0])?;
    if n.is_sign_negative() && n != 0.0 {
        match halves.get(1) {
            Some(second) => parsed = marks.picture(second)?,
            None => parsed.prefix.insert_str(0, &marks.minus),
        }
    }
    Ok(Val::str(&marks.format(n.abs(), &parsed)))
}

impl Marks {
    fn of(options: &Val) -> Marks {
        let option = |name: &str| match options {
            Val::Object(object) => object.get(name).and_then(Val::as_str).filter(|s| !s.is_empty()),
            _ => None,
        };
        let mark = |name, default| option(name).and_then(|s| s.chars().next()).unwrap_or(default);
        let text = |name, default: &str| option(name).unwrap_or(default).to_owned();
        Marks {
            decimal: mark("decimal-separator", '.'),
            grouping: mark("grouping-separator", ','),
            exponent: mark("exponent-separator", 'e'),
            minus: text("minus-sign", "-"),
            percent: text("percent", "%"),
            per_mille: text("per-mille", "‰"),
            zero: mark("zero-digit", '0'),
            digit: mark("digit", '#'),
            pattern: mark("pattern-separator", ';'),
        }
    }

    fn is_digit(&self, c: char) -> bool {
        (0..10).any(|d| char::from_u32(self.zero as u32 + d) == Some(c))
    }

    fn is_active(&self, c: char) -> bool {
        self.is_digit(c) || c == self.decimal || c == self.grouping || c == self.digit
    }

    fn picture(&self, text: &str) -> Result<Picture, Fault> {
        let chars: Vec<char> = text.chars().collect();
        let missing = || Fault::new("D3085", "The mantissa of a picture must contain a digit");
        let first = chars.iter().position(|c| self.is_active(*c)).ok_or_else(missing)?;
        let last = chars.iter().rposition(|c| self.is_active(*c)).ok_or_else(missing)?;
        let (prefix, suffix): (String, String) =
            (chars[..first].iter().collect(), chars[last + 1..].iter().collect());
        let active = &chars[first..=last];
        let exponent_at = active.iter().position(|c| *c == self.exponent);
        let mantissa = &active[..exponent_at.unwrap_or(active.len())];
        let exponent_min = exponent_at.map_or(0, |at| active.len() - at - 1);
        let decimal_at = mantissa.iter().position(|c| *c == self.decimal);
        let (integer, fraction) = mantissa.split_at(decimal_at.unwrap_or(mantissa.len()));
        let fraction = fraction.get(1..).unwrap_or_default();
        self.check(active, integer, fraction, exponent_at.is_some())?;
        let digits = |part: &[char]| part.iter().filter(|c| self.is_digit(**c)).count();
        let mut integer_min = digits(integer);
        let scale = integer_min;
        let mut fraction_min = digits(fraction);
        let mut fraction_max = fraction.iter().filter(|c| self.is_digit(**c) || **c == self.digit).count();
        if integer_min == 0 && fraction_max == 0 {
            if exponent_at.is_some() {
                (fraction_min, fraction_max) = (1, 1);
            } else {
                integer_min = 1;
            }
        }
        if exponent_at.is_some() && integer_min == 0 && integer.contains(&self.digit) {
            integer_min = 1;
        }
        if integer_min == 0 && fraction_min == 0 {
            fraction_min = 1;
        }
        if integer_min > DIGITS_MAX || fraction_max > DIGITS_MAX {
            return Err(Fault::new(
                "D3080",
                format!("A picture must not ask for more than {DIGITS_MAX} digits"),
            ));
        }
        let integer_groups = self.groups(integer, true);
        Ok(Picture {
            percent: text.contains(&self.percent),
            per_mille: text.contains(&self.per_mille),
            regular: regular(&integer_groups),
            integer_groups,
            fraction_groups: self.groups(fraction, false),
            prefix,
            suffix,
            integer_min,
            scale,
            fraction_min,
            fraction_max,
            exponent_min,
        })
    }

    fn check(
        &self,
        active: &[char],
        integer: &[char],
        fraction: &[char],
        exponent: bool,
    ) -> Result<(), Fault> {
        let count = |mark: char| active.iter().filter(|c| **c == mark).count();
        let fault = |code, why: &str| Err(Fault::new(code, why));
        if count(self.decimal) > 1 {
            return fault(
                "D3081",
                "The sub-picture must not contain more than one instance of the decimal separator",
            );
        }
        if !active.iter().any(|c| self.is_digit(*c) || *c == self.digit) {
            return fault(
                "D3085",
                "The mantissa part of a sub-picture must contain at least one decimal or optional digit",
            );
        }
        let mut seen = false;
        for c in integer {
            seen |= self.is_digit(*c);
            if *c == self.digit && seen {
                return fault(
                    "D3090",
                    "The integer part of a sub-picture must not have an optional digit behind a decimal digit",
                );
            }
        }
        let mut optional = false;
        for c in fraction {
            optional |= *c == self.digit;
            if self.is_digit(*c) && optional {
                return fault(
                    "D3091",
                    "The fractional part of a sub-picture must not have a decimal digit behind an optional digit",
                );
            }
        }
        let known = |c: char| self.is_active(c) || (exponent && c == self.exponent);
        let passive = !active.iter().all(|c| known(*c));
        if passive {
            return fault(
                "D3086",
                "The sub-picture must not contain a passive character between two active characters",
            );
        }
        Ok(())
    }

    /// Digits between each grouping mark and the decimal mark.
    fn groups(&self, part: &[char], to_left: bool) -> Vec<usize> {
        let digits = |part: &[char]| part.iter().filter(|c| self.is_digit(**c) || **c == self.digit).count();
        let marks = part.iter().enumerate().filter(|(_, c)| **c == self.grouping);
        marks.map(|(at, _)| if to_left { digits(&part[at..]) } else { digits(&part[..at]) }).collect()
    }

    fn format(&self, n: f64, picture: &Picture) -> String {
        let mut n = match (picture.percent, picture.per_mille) {
            (true, _) => n * 100.0,
            (_, true) => n * 1000.0,
            _ => n,
        };
        let mut exponent = 0i32;
        if picture.exponent_min > 0 && n > 0.0 {
            let (most, least) = (10f64.powi(picture.scale as i32), 10f64.powi(picture.scale as i32 - 1));
            while n < least && exponent > -400 {
                n *= 10.0;
                exponent -= 1;
            }
            while n >= most && exponent < 400 {
                n /= 10.0;
                exponent += 1;
            }
        }
        let rounded = format!("{:.*}", picture.fraction_max, round_to(n, picture.fraction_max as i32));
        let (integer, fraction) = rounded.split_once('.').unwrap_or((&rounded, ""));
        let integer = format!("{:0>width$}", integer.trim_start_matches('0'), width = picture.integer_min);
        let fraction = format!("{:0<width$}", fraction.trim_end_matches('0'), width = picture.fraction_min);
        let mut out = picture.prefix.clone();
        out.push_str(&self.grouped(&integer, picture));
        if !fraction.is_empty() {
            out.push(self.decimal);
            for (at, c) in fraction.chars().enumerate() {
                if picture.fraction_groups.contains(&at) {
                    out.push(self.grouping);
                }
                out.push(self.native(c));
            }
        }
        if picture.exponent_min > 0 {
            out.push(self.exponent);
            if exponent < 0 {
                out.push_str(&self.minus);
            }
            let digits = format!("{:0>width$}", exponent.unsigned_abs(), width = picture.exponent_min);
            out.extend(digits.chars().map(|c| self.native(c)));
        }
        out + &picture.suffix
    }

    fn grouped(&self, integer: &str, picture: &Picture) -> String {
        let len = integer.chars().count();
        let mut out = String::new();
        for (at, c) in integer.chars().enumerate() {
            let right = len - at;
            let due = match picture.regular {
                0 => picture.integer_groups.contains(&right),
                size => right.is_multiple_of(size),
            };
            if at > 0 && due {
                out.push(self.grouping);
            }
            out.push(self.native(c));
        }
        out
    }

    fn native(&self, c: char) -> char {
        c.to_digit(10).and_then(|d| char::from_u32(self.zero as u32 + d)).unwrap_or(c)
    }
}

/// The size of all groups if they are the same; 0 if not.
fn regular(groups: &[usize]) -> usize {
    let size = groups.iter().copied().min().unwrap_or(0);
    let even = size > 0 && (1..=groups.len()).all(|i| groups.contains(&(i * size)));
    if even { size } else { 0 }
}
