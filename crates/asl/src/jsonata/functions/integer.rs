//! `$formatInteger` and `$parseInteger`: digits, letters, Roman numerals and English words.

use super::arg;
use crate::jsonata::Fault;
use crate::jsonata::env::Run;
use crate::jsonata::value::Val;

const FEW: [&str; 20] = [
    "Zero",
    "One",
    "Two",
    "Three",
    "Four",
    "Five",
    "Six",
    "Seven",
    "Eight",
    "Nine",
    "Ten",
    "Eleven",
    "Twelve",
    "Thirteen",
    "Fourteen",
    "Fifteen",
    "Sixteen",
    "Seventeen",
    "Eighteen",
    "Nineteen",
];
const TENS: [&str; 8] = ["Twenty", "Thirty", "Forty", "Fifty", "Sixty", "Seventy", "Eighty", "Ninety"];
const LARGE: [(u64, &str); 5] = [
    (1_000_000_000_000_000, "Quadrillion"),
    (1_000_000_000_000, "Trillion"),
    (1_000_000_000, "Billion"),
    (1_000_000, "Million"),
    (1_000, "Thousand"),
];
const ORDINALS: [(&str, &str); 7] = [
    ("One", "First"),
    ("Two", "Second"),
    ("Three", "Third"),
    ("Five", "Fifth"),
    ("Eight", "Eighth"),
    ("Nine", "Ninth"),
    ("Twelve", "Twelfth"),
];
const ROMAN: [(u64, &str); 13] = [
    (1000, "M"),
    (900, "CM"),
    (500, "D"),
    (400, "CD"),
    (100, "C"),
    (90, "XC"),
    (50, "L"),
    (40, "XL"),
    (10, "X"),
    (9, "IX"),
    (5, "V"),
    (4, "IV"),
    (1, "I"),
];
/// Larger numbers are written in digits.
const WORDS_MAX: u64 = 999_999_999_999_999_999;
const ROMAN_MAX: u64 = 100_000;
const WIDTH_MAX: usize = 300;

pub fn format_integer(_: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    let (Some(n), Some(picture)) = (arg(&args, 0).as_num(), arg(&args, 1).as_str()) else {
        return Ok(Val::Undefined);
    };
    let n = n.floor();
    let text = write(n.abs() as u64, picture)?;
    Ok(Val::str(&if n < 0.0 { format!("-{text}") } else { text }))
}

/// A number by a picture such as `#,##0`, `01`, `I`, `a`, `w`, `Ww;o`.
pub fn write(n: u64, picture: &str) -> Result<String, Fault> {
    let (shape, modifier) = picture.rsplit_once(';').unwrap_or((picture, ""));
    let ordinal = modifier.starts_with('o');
    Ok(match shape {
        "I" if n <= ROMAN_MAX => roman(n),
        "i" if n <= ROMAN_MAX => roman(n).to_lowercase(),
        "A" => letters(n, b'A'),
        "a" => letters(n, b'a'),
        "W" if n <= WORDS_MAX => words(n, ordinal).to_uppercase(),
        "w" if n <= WORDS_MAX => words(n, ordinal).to_lowercase(),
        "Ww" if n <= WORDS_MAX => words(n, ordinal),
        "I" | "i" | "W" | "w" | "Ww" => n.to_string(),
        shape => digits(n, shape, ordinal)?,
    })
}

fn roman(mut n: u64) -> String {
    let mut out = String::new();
    for (value, numeral) in ROMAN {
        while n >= value {
            out.push_str(numeral);
            n -= value;
        }
    }
    out
}

fn letters(mut n: u64, first: u8) -> String {
    let mut out = Vec::new();
    while n > 0 {
        n -= 1;
        out.push(char::from(first + (n % 26) as u8));
        n /= 26;
    }
    out.iter().rev().collect()
}

fn words(n: u64, ordinal: bool) -> String {
    let text = cardinal(n, false);
    if !ordinal {
        return text;
    }
    let at = text.rfind([' ', '-']).map_or(0, |at| at + 1);
    let (head, last) = text.split_at(at);
    let last = match ORDINALS.iter().find(|(cardinal, _)| *cardinal == last) {
        Some((_, ordinal)) => (*ordinal).to_owned(),
        None => match last.strip_suffix('y') {
            Some(stem) => format!("{stem}ieth"),
            None => format!("{last}th"),
        },
    };
    format!("{head}{last}")
}

/// `rest` behind a larger part: joined by "and" below a hundred, by a comma above.
fn cardinal(n: u64, rest: bool) -> String {
    if n < 100 {
        let lead = if rest { " and " } else { "" };
        let text = match n {
            0..=19 => FEW[n as usize].to_owned(),
            _ if n.is_multiple_of(10) => TENS[n as usize / 10 - 2].to_owned(),
            _ => format!("{}-{}", TENS[n as usize / 10 - 2], FEW[n as usize % 10]),
        };
        return format!("{lead}{text}");
    }
    let lead = if rest { ", " } else { "" };
    let (size, name) = match LARGE.iter().find(|(size, _)| n >= *size) {
        Some((size, name)) => (*size, *name),
        None => (100, "Hundred"),
    };
    let tail = if n.is_multiple_of(size) { String::new() } else { cardinal(n % size, true) };
    format!("{lead}{} {name}{tail}", cardinal(n / size, false))
}

fn digits(n: u64, shape: &str, ordinal: bool) -> Result<String, Fault> {
    let unsupported = || {
        Fault::new(
            "D3130",
            format!("Formatting or parsing an integer with the picture \"{shape}\" is not supported"),
        )
    };
    let is_digit = |c: char| c.is_ascii_digit();
    if !shape.contains(is_digit) || shape.len() > WIDTH_MAX || shape.contains(|c: char| c.is_alphabetic()) {
        return Err(unsupported());
    }
    let least = shape.chars().filter(|c| is_digit(*c)).count();
    let text = format!("{n:0>least$}");
    // Marks with how many digits stand to the right of each.
    let mut marks: Vec<(usize, char)> = Vec::new();
    let mut right = 0;
    for c in shape.chars().rev() {
        match c {
            '#' => right += 1,
            c if is_digit(c) => right += 1,
            mark => marks.push((right, mark)),
        }
    }
    let size = marks.first().map_or(0, |(at, _)| *at);
    let one_mark = marks.iter().all(|(_, mark)| *mark == marks[0].1);
    let regular = size > 0 && one_mark && marks.iter().enumerate().all(|(i, (at, _))| *at == size * (i + 1));
    let len = text.len();
    let mut out = String::new();
    for (at, c) in text.chars().enumerate() {
        let right = len - at;
        let mark = match regular {
            true if right % size == 0 => marks.first().map(|(_, mark)| *mark),
            true => None,
            false => marks.iter().find(|(place, _)| *place == right).map(|(_, mark)| *mark),
        };
        if at > 0 {
            out.extend(mark);
        }
        out.push(c);
    }
    if ordinal {
        out.push_str(match (n % 100, n % 10) {
            (11..=13, _) => "th",
            (_, 1) => "st",
            (_, 2) => "nd",
            (_, 3) => "rd",
            _ => "th",
        });
    }
    Ok(out)
}

pub fn parse_integer(_: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    let (Some(text), Some(picture)) = (arg(&args, 0).as_str(), arg(&args, 1).as_str()) else {
        return Ok(Val::Undefined);
    };
    let n = read(text, picture);
    n.map(|n| Val::Num(n as f64)).ok_or_else(|| {
        Fault::new("D3137", format!("\"{text}\" is not an integer of the picture \"{picture}\""))
    })
}

/// The inverse of [`write`].
pub fn read(text: &str, picture: &str) -> Option<u64> {
    let shape = picture.rsplit_once(';').map_or(picture, |(shape, _)| shape);
    match shape {
        "I" | "i" => from_roman(&text.to_uppercase()),
        "A" | "a" => text.to_lowercase().bytes().try_fold(0u64, |n, b| {
            let digit = b.is_ascii_lowercase().then(|| u64::from(b - b'a') + 1)?;
            n.checked_mul(26)?.checked_add(digit)
        }),
        "W" | "w" | "Ww" => from_words(&text.to_lowercase()),
        _ => {
            let digits: String = text.chars().filter(char::is_ascii_digit).collect();
            digits.parse().ok()
        }
    }
}

fn from_roman(text: &str) -> Option<u64> {
    let (mut rest, mut n) = (text, 0u64);
    while !rest.is_empty() {
        let (value, after) = ROMAN
            .iter()
            .find_map(|(value, numeral)| rest.strip_prefix(numeral).map(|after| (*value, after)))?;
        n = n.checked_add(value)?;
        rest = after;
    }
    Some(n)
}

fn from_words(text: &str) -> Option<u64> {
    let (mut total, mut part) = (0u64, 0u64);
    for word in text
        .split(|c: char| c.is_whitespace() || c == ',' || c == '-')
        .filter(|w| !w.is_empty() && *w != "and")
    {
        match word_value(word)? {
            100 => part = part.max(1).checked_mul(100)?,
            size if size >= 1000 => {
                total = total.checked_add(part.max(1).checked_mul(size)?)?;
                part = 0;
            }
            small => part = part.checked_add(small)?,
        }
    }
    total.checked_add(part)
}

fn word_value(word: &str) -> Option<u64> {
    let is = |name: &str| word == name.to_lowercase() || word == words_ordinal(name);
    if let Some(n) = FEW.iter().position(|name| is(name)) {
        return Some(n as u64);
    }
    if let Some(n) = TENS.iter().position(|name| is(name)) {
        return Some((n as u64 + 2) * 10);
    }
    if is("Hundred") {
        return Some(100);
    }
    LARGE.iter().find(|(_, name)| is(name)).map(|(size, _)| *size)
}

fn words_ordinal(name: &str) -> String {
    match ORDINALS.iter().find(|(cardinal, _)| *cardinal == name) {
        Some((_, ordinal)) => ordinal.to_lowercase(),
        None => match name.strip_suffix('y') {
            Some(stem) => format!("{stem}ieth").to_lowercase(),
            None => format!("{name}th").to_lowercase(),
        },
    }
}
