//! The text of a cron expression. Every fault names its field, what stands there, and what was expected.

use super::days::{Days, DaysOfMonth, DaysOfWeek};
use super::{Cron, EVERY_HOUR};
use chrono_tz::Tz;

/// Why a text is no cron expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    #[error(
        "`{found}` has {count} fields: cron has five (minute, hour, day of month, month, day of week){hint}"
    )]
    Fields { found: String, count: usize, hint: &'static str },
    #[error("{field}: `{found}` {expected}")]
    Field { field: &'static str, found: String, expected: String },
    #[error("`{found}` never runs: there is no such date")]
    Never { found: String },
    #[error(
        "`{found}` is unknown: there are @hourly, @daily, @midnight, @weekly, @monthly, @yearly and @annually{hint}"
    )]
    Word { found: String, hint: &'static str },
}

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// A field: its name, its values, and the names they have.
struct Field {
    name: &'static str,
    min: u32,
    max: u32,
    names: &'static [&'static str],
}

const MINUTE: Field = Field { name: "minute", min: 0, max: 59, names: &[] };
const HOUR: Field = Field { name: "hour", min: 0, max: 23, names: &[] };
const DAY_OF_MONTH: Field = Field { name: "day of month", min: 1, max: 31, names: &[] };
const MONTH: Field = Field { name: "month", min: 1, max: 12, names: &MONTHS };
const DAY_OF_WEEK: Field = Field { name: "day of week", min: 0, max: 7, names: &WEEKDAYS };

impl Cron {
    pub fn parse(text: &str, zone: Tz) -> Result<Self, CronError> {
        let text = text.trim();
        let fields = if text.starts_with('@') { word(text)? } else { text };
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let [minute, hour, day_of_month, month, day_of_week] = fields[..] else {
            let hint = match fields.len() {
                6 => "; seconds and years are not among them",
                _ => "",
            };
            return Err(CronError::Fields { found: text.into(), count: fields.len(), hint });
        };
        let cron = Self {
            minutes: MINUTE.bits(minute)?,
            hours: HOUR.bits(hour)? as u32 & EVERY_HOUR,
            months: MONTH.bits(month)? as u16,
            days: Days { of_month: days_of_month(day_of_month)?, of_week: days_of_week(day_of_week)? },
            zone,
        };
        if !cron.is_possible() {
            return Err(CronError::Never { found: text.into() });
        }
        Ok(cron)
    }
}

fn word(text: &str) -> Result<&'static str, CronError> {
    Ok(match text.to_ascii_lowercase().as_str() {
        "@hourly" => "0 * * * *",
        "@daily" | "@midnight" => "0 0 * * *",
        "@weekly" => "0 0 * * 0",
        "@monthly" => "0 0 1 * *",
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@reboot" => {
            let hint = "; a start of the pipeline is no time";
            return Err(CronError::Word { found: text.into(), hint });
        }
        _ => return Err(CronError::Word { found: text.into(), hint: "" }),
    })
}

fn days_of_month(text: &str) -> Result<DaysOfMonth, CronError> {
    let field = &DAY_OF_MONTH;
    let mut days = DaysOfMonth { star: is_star(text), ..DaysOfMonth::default() };
    if text == "?" {
        days.days = field.bits("*")? as u32;
        return Ok(days);
    }
    for part in text.split(',') {
        let upper = part.to_ascii_uppercase();
        if upper == "L" {
            days.before_last.push(0);
        } else if upper == "LW" {
            days.last_weekday = true;
        } else if let Some(before) = upper.strip_prefix("L-") {
            let before = before.parse().ok().filter(|n| (1..=30).contains(n));
            days.before_last.push(before.ok_or_else(|| field.fault(part, "needs 1 to 30 behind `L-`"))?);
        } else if let Some(day) = upper.strip_suffix('W') {
            days.nearest_weekday.push(field.value(day, part)?);
        } else {
            days.days |= field.part(part)? as u32;
        }
    }
    Ok(days)
}

fn days_of_week(text: &str) -> Result<DaysOfWeek, CronError> {
    let field = &DAY_OF_WEEK;
    let mut days = DaysOfWeek { star: is_star(text), ..DaysOfWeek::default() };
    if text == "?" {
        days.days = sunday_once(field.bits("*")?);
        return Ok(days);
    }
    for part in text.split(',') {
        let upper = part.to_ascii_uppercase();
        if let Some((day, nth)) = upper.split_once('#') {
            let nth = nth.parse().ok().filter(|n| (1..=5).contains(n));
            let nth = nth.ok_or_else(|| field.fault(part, "needs 1 to 5 behind `#`: which of the month"))?;
            days.nth.push((field.value(day, part)? % 7, nth));
        } else if let Some(day) = upper.strip_suffix('L') {
            if day.is_empty() {
                return Err(field.fault(part, "needs a day before the `L`: `5L` is the month's last Friday"));
            }
            days.last |= 1 << (field.value(day, part)? % 7);
        } else {
            days.days |= sunday_once(field.part(part)?);
        }
    }
    Ok(days)
}

/// Sunday is 0 and 7.
fn sunday_once(bits: u64) -> u8 {
    (bits as u8 & 0x7f) | (bits >> 7 & 1) as u8
}

fn is_star(text: &str) -> bool {
    text.starts_with(['*', '?'])
}

impl Field {
    fn fault(&self, found: &str, expected: impl Into<String>) -> CronError {
        CronError::Field { field: self.name, found: found.into(), expected: expected.into() }
    }

    fn bits(&self, text: &str) -> Result<u64, CronError> {
        text.split(',').try_fold(0, |bits, part| Ok(bits | self.part(part)?))
    }

    /// One member of the list: `*`, `a`, `a-b`, each with an optional step.
    fn part(&self, part: &str) -> Result<u64, CronError> {
        let (range, step) = match part.split_once('/') {
            None => (part, None),
            Some((range, step)) => {
                let step = step.parse::<u32>().ok().filter(|step| *step > 0);
                let expected = || self.fault(part, "needs a number from 1 behind the `/`");
                (range, Some(step.ok_or_else(expected)?))
            }
        };
        let (first, last) = if range == "*" {
            (self.min, self.max)
        } else if let Some((first, last)) = range.split_once('-') {
            let (first, last) = (self.value(first, part)?, self.value(last, part)?);
            if first > last {
                return Err(self.fault(
                    part,
                    format!("goes backwards: write two ranges, {}", self.wrapped(first, last)),
                ));
            }
            (first, last)
        } else {
            let first = self.value(range, part)?;
            (first, if step.is_some() { self.max } else { first })
        };
        let values = (first..=last).step_by(step.unwrap_or(1) as usize);
        Ok(values.fold(0, |bits, value| bits | 1 << value))
    }

    fn wrapped(&self, first: u32, last: u32) -> String {
        format!("`{first}-{},{}-{last}`", self.max, self.min)
    }

    fn value(&self, text: &str, part: &str) -> Result<u32, CronError> {
        let named = self.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let value = match named {
            Some(index) => Some(self.min + index as u32),
            None if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
            None => None,
        };
        value.filter(|value| (self.min..=self.max).contains(value)).ok_or_else(|| {
            let mut expected = format!("is not expected here: write {} to {}", self.min, self.max);
            if let (Some(first), Some(last)) = (self.names.first(), self.names.last()) {
                expected += &format!(" or {first} to {last}");
            }
            self.fault(part, expected + ", `*`, a range like `a-b`, a step like `*/n`, or a list")
        })
    }
}
