//! Pictures of date and time (XPath and XQuery Functions 3.1, section 9.8): `[Y0001]-[M01]-[D01] [h]:[m01] [P]`.
//! The components are `Y M D d F W H h P m s f Z z C E`; the ISO year `X` and week of the month `w` are not here.

use super::integer;
use crate::jsonata::Fault;
use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, TimeDelta, Timelike, Utc};

/// Longest picture.
const PICTURE_BYTES_MAX: usize = 2_000;
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

enum Part {
    Literal(String),
    Marker(Marker),
}

struct Marker {
    component: char,
    /// How it is written, without the width: `01`, `Nn`, `1`, `I`.
    shape: String,
    ordinal: bool,
    /// `t`: `Z` for UTC.
    zulu: bool,
    least: Option<usize>,
    most: Option<usize>,
}

fn parts(picture: &str) -> Result<Vec<Part>, Fault> {
    if picture.len() > PICTURE_BYTES_MAX {
        return Err(Fault::new(
            "D3133",
            format!("A picture must not be longer than {PICTURE_BYTES_MAX} bytes"),
        ));
    }
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = picture;
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("[[").or_else(|| rest.strip_prefix("]]")) {
            literal.push(c);
            rest = after;
        } else if c == '[' {
            let end = rest
                .find(']')
                .ok_or_else(|| Fault::new("D3135", "No matching closing bracket \"]\" in a date picture"))?;
            parts.push(Part::Literal(std::mem::take(&mut literal)));
            parts.push(Part::Marker(marker(&rest[1..end])?));
            rest = &rest[end + 1..];
        } else {
            literal.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    parts.push(Part::Literal(literal));
    Ok(parts)
}

fn marker(text: &str) -> Result<Marker, Fault> {
    let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let unknown =
        || Fault::new("D3132", format!("Unknown component specifier in a date picture: \"{text}\""));
    let component = text.chars().next().filter(|c| "YMDdFWHhPmsfZzCE".contains(*c)).ok_or_else(unknown)?;
    let (shape, width) = match text[1..].split_once(',') {
        Some((shape, width)) => (shape, width),
        None => (&text[1..], ""),
    };
    let (least, most) = width.split_once('-').unwrap_or((width, ""));
    let default = match component {
        'F' | 'P' | 'C' | 'E' => "n",
        'm' | 's' => "01",
        'Z' | 'z' => "01:01",
        _ => "1",
    };
    let zulu = shape.ends_with('t');
    let ordinal = shape.len() > 1 && shape.ends_with('o');
    let shape = if zulu || ordinal || (shape.len() > 1 && shape.ends_with('c')) {
        &shape[..shape.len() - 1]
    } else {
        shape
    };
    let shape = if shape.is_empty() { default } else { shape };
    Ok(Marker {
        component,
        shape: shape.to_owned(),
        ordinal,
        zulu,
        least: least.parse().ok(),
        most: most.parse().ok(),
    })
}

/// `zone` is an offset such as `-0500`.
pub fn format(time: DateTime<Utc>, picture: &str, zone: Option<&str>) -> Result<String, Fault> {
    let offset = zone.map_or(Ok(0), |zone| {
        let (sign, digits) = match zone.strip_prefix('-') {
            Some(digits) => (-1, digits),
            None => (1, zone.strip_prefix('+').unwrap_or(zone)),
        };
        let n: i32 = digits
            .replace(':', "")
            .parse()
            .map_err(|_| Fault::new("D3134", format!("Not a timezone: \"{zone}\"")))?;
        Ok(sign * (n / 100 * 60 + n % 100))
    })?;
    let fixed = FixedOffset::east_opt(offset * 60)
        .ok_or_else(|| Fault::new("D3134", "The timezone is out of range"))?;
    let time = time.with_timezone(&fixed);
    let mut out = String::new();
    for part in parts(picture)? {
        match part {
            Part::Literal(text) => out.push_str(&text),
            Part::Marker(marker) => out.push_str(&component(time, offset, &marker)?),
        }
    }
    Ok(out)
}

fn component(time: DateTime<FixedOffset>, offset: i32, marker: &Marker) -> Result<String, Fault> {
    let number = |n: u32| plain(u64::from(n), marker);
    match marker.component {
        'Y' => {
            let year = u64::try_from(time.year()).unwrap_or(0);
            let digits = marker.shape.chars().filter(char::is_ascii_digit).count();
            let keep = marker.most.or(if digits >= 2 { Some(digits) } else { None });
            plain(keep.map_or(year, |n| year % 10u64.pow(n.min(18) as u32)), marker)
        }
        'M' if is_name(marker) => Ok(name(MONTHS[time.month0() as usize], marker)),
        'M' => number(time.month()),
        'D' => number(time.day()),
        'd' => number(time.ordinal()),
        'F' if is_name(marker) => Ok(name(DAYS[time.weekday().num_days_from_monday() as usize], marker)),
        'F' => number(time.weekday().number_from_monday()),
        'W' => number(time.iso_week().week()),
        'H' => number(time.hour()),
        'h' => number(time.hour12().1),
        'P' => Ok(name(if time.hour() < 12 { "Am" } else { "Pm" }, marker)),
        'm' => number(time.minute()),
        's' => number(time.second()),
        'f' => number(time.timestamp_subsec_millis()),
        'C' | 'E' => Ok(name("ISO", marker)),
        _ => Ok(zone_text(offset, marker)),
    }
}

fn is_name(marker: &Marker) -> bool {
    marker.shape.starts_with(['N', 'n'])
}

fn name(text: &str, marker: &Marker) -> String {
    let text = match marker.shape.as_str() {
        "N" => text.to_uppercase(),
        "Nn" => text.to_owned(),
        _ => text.to_lowercase(),
    };
    text.chars().take(marker.most.unwrap_or(usize::MAX)).collect()
}

fn plain(n: u64, marker: &Marker) -> Result<String, Fault> {
    let shape = if marker.shape.starts_with(['N', 'n']) { "1" } else { &marker.shape };
    let text = integer::write(n, &if marker.ordinal { format!("{shape};o") } else { shape.to_owned() })?;
    let least = marker.least.unwrap_or(0).min(PICTURE_BYTES_MAX);
    Ok(format!("{text:0>least$}"))
}

fn zone_text(offset: i32, marker: &Marker) -> String {
    let prefix = if marker.component == 'z' { "GMT" } else { "" };
    if marker.zulu && offset == 0 {
        return "Z".to_owned();
    }
    let sign = if offset < 0 { '-' } else { '+' };
    let (hours, minutes) = (offset.abs() / 60, offset.abs() % 60);
    let digits = marker.shape.chars().filter(char::is_ascii_digit).count();
    let text = match (marker.shape.contains(':'), digits) {
        (true, _) => format!("{sign}{hours:02}:{minutes:02}"),
        (false, 3 | 4) => format!("{sign}{hours:0width$}{minutes:02}", width = digits - 2),
        (false, width) if minutes == 0 => format!("{sign}{hours:0width$}"),
        (false, width) => format!("{sign}{hours:0width$}:{minutes:02}"),
    };
    format!("{prefix}{text}")
}

/// Parts of a time as they were read.
#[derive(Default)]
struct Read {
    year: Option<i32>,
    month: Option<u32>,
    day: Option<u32>,
    day_of_year: Option<u32>,
    hour: Option<u32>,
    hour12: Option<u32>,
    pm: Option<bool>,
    minute: u32,
    second: u32,
    millis: u32,
    offset_minutes: i32,
}

/// Milliseconds since 1970; `None` if the text does not have the picture's shape.
pub fn parse(text: &str, picture: &str) -> Result<Option<i64>, Fault> {
    let mut read = Read::default();
    let mut rest = text;
    let parts = parts(picture)?;
    for (at, part) in parts.iter().enumerate() {
        let marker = match part {
            Part::Literal(literal) => match rest.strip_prefix(literal.as_str()) {
                Some(after) => {
                    rest = after;
                    continue;
                }
                None => return Ok(None),
            },
            Part::Marker(marker) => marker,
        };
        // Digits that touch the next marker's are told apart by the width alone.
        let touching = matches!(parts.get(at + 1), Some(Part::Literal(t)) if t.is_empty())
            && matches!(parts.get(at + 2), Some(Part::Marker(_)));
        match read.take(marker, rest, touching) {
            Some(after) => rest = after,
            None => return Ok(None),
        }
    }
    Ok(if rest.is_empty() { read.millis_since_epoch() } else { None })
}

impl Read {
    fn take<'a>(&mut self, marker: &Marker, text: &'a str, touching: bool) -> Option<&'a str> {
        match marker.component {
            'M' if is_name(marker) => {
                let (at, rest) = one_of(text, &MONTHS, marker)?;
                self.month = Some(at as u32 + 1);
                return Some(rest);
            }
            'F' | 'C' | 'E' if is_name(marker) => return one_of(text, &DAYS, marker).map(|(_, rest)| rest),
            'P' => {
                let (at, rest) = one_of(text, &["Am", "Pm"], marker)?;
                self.pm = Some(at == 1);
                return Some(rest);
            }
            'Z' | 'z' => return self.take_zone(text),
            _ => {}
        }
        let (n, rest) = take_number(marker, text, touching)?;
        match marker.component {
            'Y' => self.year = Some(i32::try_from(n).ok()?),
            'M' => self.month = Some(n),
            'D' => self.day = Some(n),
            'd' => self.day_of_year = Some(n),
            'H' => self.hour = Some(n),
            'h' => self.hour12 = Some(n),
            'm' => self.minute = n,
            's' => self.second = n,
            'f' => self.millis = n,
            _ => {}
        }
        Some(rest)
    }

    fn take_zone<'a>(&mut self, text: &'a str) -> Option<&'a str> {
        let text = text.strip_prefix("GMT").unwrap_or(text);
        if let Some(rest) = text.strip_prefix('Z') {
            return Some(rest);
        }
        let sign = match text.chars().next()? {
            '+' => 1,
            '-' => -1,
            _ => return None,
        };
        let body = &text[1..];
        let end = body.find(|c: char| !c.is_ascii_digit() && c != ':').unwrap_or(body.len());
        let digits = body[..end].replace(':', "");
        let n: i32 = digits.parse().ok()?;
        self.offset_minutes = sign * if digits.len() <= 2 { n * 60 } else { n / 100 * 60 + n % 100 };
        Some(&body[end..])
    }

    fn millis_since_epoch(&self) -> Option<i64> {
        let year = self.year?;
        let date = match (self.day_of_year, self.month) {
            (Some(day), None) => NaiveDate::from_yo_opt(year, day)?,
            _ => NaiveDate::from_ymd_opt(year, self.month.unwrap_or(1), self.day.unwrap_or(1))?,
        };
        let hour = match (self.hour, self.hour12) {
            (Some(hour), _) => hour,
            (None, Some(hour)) => hour % 12 + if self.pm == Some(true) { 12 } else { 0 },
            (None, None) => 0,
        };
        let time = date.and_hms_milli_opt(hour, self.minute, self.second, self.millis)?;
        let time = time.checked_sub_signed(TimeDelta::minutes(i64::from(self.offset_minutes)))?;
        Some(time.and_utc().timestamp_millis())
    }
}

fn one_of<'a>(text: &'a str, names: &[&str], marker: &Marker) -> Option<(usize, &'a str)> {
    let lower = text.to_lowercase();
    names.iter().enumerate().find_map(|(at, name)| {
        let name: String = name.to_lowercase().chars().take(marker.most.unwrap_or(usize::MAX)).collect();
        let rest = lower.starts_with(&name).then(|| text.get(name.len()..)).flatten()?;
        Some((at, rest))
    })
}

fn take_number<'a>(marker: &Marker, text: &'a str, touching: bool) -> Option<(u32, &'a str)> {
    let shape = marker.shape.as_str();
    let worded = matches!(shape, "w" | "W" | "Ww" | "I" | "i" | "a" | "A");
    let width = shape.chars().filter(char::is_ascii_digit).count();
    let most =
        if touching || marker.most.is_some() { marker.most.unwrap_or(width).max(1) } else { usize::MAX };
    let mut end = 0;
    for (count, c) in text.chars().enumerate() {
        let fits = if worded {
            c.is_alphabetic() || c == '-' || (shape.len() == 1 && c == ' ')
        } else {
            c.is_ascii_digit()
        };
        if !fits || count == most {
            break;
        }
        end += c.len_utf8();
    }
    let n = integer::read(text[..end].trim(), shape).filter(|_| end > 0)?;
    let mut rest = &text[end..];
    if marker.ordinal && !worded {
        rest = ["st", "nd", "rd", "th"].iter().find_map(|tail| rest.strip_prefix(tail)).unwrap_or(rest);
    }
    Some((u32::try_from(n).ok()?, rest))
}
