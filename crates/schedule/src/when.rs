//! `when:` compiled: cron, `rate(…)` or `at(…)`, inside a window of time.

use crate::cron::Cron;
use crate::time::{MICROS_PER_SECOND, parse_time, zone};
use bourn_config::Schedule;
use bourn_event::Micros;
use chrono_tz::Tz;

/// The times of a schedule.
#[derive(Clone, Debug)]
pub struct When {
    times: Times,
    /// Not before.
    from: Option<Micros>,
    /// Not at or behind.
    until: Option<Micros>,
}

#[derive(Clone, Debug)]
enum Times {
    Cron(Cron),
    /// Every so many microseconds from an anchor on.
    Rate(Micros),
    At(Micros),
}

/// What is wrong with a schedule, and under which of its keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct WhenFault {
    pub key: &'static str,
    pub message: String,
}

impl When {
    /// Compiles `when`, `timezone`, `from` and `until`; gives every fault.
    pub fn compile(schedule: &Schedule) -> Result<Self, Vec<WhenFault>> {
        let mut faults = Vec::new();
        let mut fault = |key, message| faults.push(WhenFault { key, message });
        let zone = zone(&schedule.timezone).map_err(|message| fault("timezone", message)).unwrap_or(Tz::UTC);
        let mut time = |key, text: &Option<String>| {
            parse_time(text.as_ref()?, zone).map_err(|message| fault(key, message)).ok()
        };
        let (from, until) = (time("from", &schedule.from), time("until", &schedule.until));
        if let (Some(from), Some(until)) = (from, until)
            && from >= until
        {
            fault("until", "is not behind `from`: there is no time between them".into());
        }
        let times = Times::parse(&schedule.when, zone).map_err(|message| fault("when", message)).ok();
        match times {
            Some(times) if faults.is_empty() => {
                let when = Self { times, from, until };
                if when.never_runs() {
                    let message =
                        format!("`{}` has no time between `from` and `until`", schedule.when.trim());
                    return Err(vec![WhenFault { key: "when", message }]);
                }
                Ok(when)
            }
            _ => Err(faults),
        }
    }

    /// Times at a steady distance, for backfills.
    pub fn every(period: std::time::Duration) -> Option<Self> {
        let period = Micros::try_from(period.as_micros()).ok().filter(|period| *period > 0)?;
        Some(Self { times: Times::Rate(period), from: None, until: None })
    }

    /// Where a rate counts from, given when the schedule was first seen.
    pub fn anchor(&self, first_seen: Micros) -> Micros {
        self.from.unwrap_or(first_seen)
    }

    /// The first time behind `after`. A rate counts from `anchor`; the anchor itself is a time of it only if
    /// it is the window's beginning.
    pub fn next_after(&self, anchor: Micros, after: Micros) -> Option<Micros> {
        let after = self.from.map_or(after, |from| after.max(from.saturating_sub(1)));
        let next = match &self.times {
            Times::Cron(cron) => cron.next_after(after)?,
            Times::At(at) => (*at > after).then_some(*at)?,
            Times::Rate(period) => {
                let first = if self.from.is_some() { anchor } else { anchor.checked_add(*period)? };
                match after.checked_sub(first)? {
                    before if before < 0 => first,
                    passed => first.checked_add((passed / period).checked_add(1)?.checked_mul(*period)?)?,
                }
            }
        };
        self.until.is_none_or(|until| next < until).then_some(next)
    }

    /// The last time of `(after, until]`, without going through those before it.
    pub fn last_until(&self, anchor: Micros, after: Micros, until: Micros) -> Option<Micros> {
        let mut window = 3_600 * MICROS_PER_SECOND;
        loop {
            let start = until.saturating_sub(window).max(after);
            let mut found = self.next_after(anchor, start).filter(|at| *at <= until);
            while let Some(next) = found.and_then(|at| self.next_after(anchor, at)).filter(|at| *at <= until)
            {
                found = Some(next);
            }
            if found.is_some() || start == after {
                return found;
            }
            window = window.saturating_mul(2);
        }
    }

    /// The times of `[from, to)`, in order.
    pub fn between(&self, anchor: Micros, from: Micros, to: Micros) -> impl Iterator<Item = Micros> + use<> {
        let when = self.clone();
        let mut after = from.checked_sub(1);
        std::iter::from_fn(move || {
            after = when.next_after(anchor, after?).filter(|at| *at < to);
            after
        })
    }

    fn never_runs(&self) -> bool {
        self.until.is_some() && {
            let from = self.from.unwrap_or(Micros::MIN / 2);
            match self.times {
                // Its times depend on when it is first seen.
                Times::Rate(_) => self.from.is_some() && self.next_after(from, from - 1).is_none(),
                Times::Cron(_) => self.from.is_some() && self.next_after(0, from - 1).is_none(),
                Times::At(at) => self.next_after(0, at - 1).is_none(),
            }
        }
    }
}

impl Times {
    fn parse(text: &str, zone: Tz) -> Result<Self, String> {
        let text = text.trim();
        if let Some(rate) = call(text, "rate") {
            return rate_period(rate).map(Self::Rate);
        }
        if let Some(at) = call(text, "at") {
            return parse_time(at, zone).map(Self::At);
        }
        if call(text, "cron").is_some() {
            return Err(format!(
                "`{text}`: write the five fields without `cron(…)`; they have no year, and count Sunday as 0"
            ));
        }
        Cron::parse(text, zone).map(Self::Cron).map_err(|error| {
            format!("{error}. Expected are five cron fields (`0 2 * * *`), `rate(5 minutes)` or `at(2026-01-31T02:00:00)`")
        })
    }
}

/// The inside of `name(…)`.
fn call<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.strip_prefix(name)?.trim_start().strip_prefix('(')?.strip_suffix(')').map(str::trim)
}

fn rate_period(text: &str) -> Result<Micros, String> {
    let expected = || {
        format!(
            "`rate({text})` needs a number from 1 and second(s), minute(s), hour(s) or day(s), like `rate(5 minutes)`"
        )
    };
    let (number, unit) = text.split_once(char::is_whitespace).ok_or_else(expected)?;
    let number: Micros = number.parse().ok().filter(|number| *number > 0).ok_or_else(expected)?;
    let seconds = match unit.trim() {
        "second" | "seconds" => 1,
        "minute" | "minutes" => 60,
        "hour" | "hours" => 3_600,
        "day" | "days" => 86_400,
        _ => return Err(expected()),
    };
    number.checked_mul(seconds * MICROS_PER_SECOND).ok_or_else(expected)
}
