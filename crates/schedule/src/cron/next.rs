//! From a cron expression to moments.

use super::{Cron, EVERY_HOUR};
use crate::time::{first_reached, shown};
use bourn_event::Micros;
use chrono::{DateTime, Datelike, Duration, NaiveDate, NaiveDateTime, Offset, TimeZone, Timelike, Utc};

/// The calendar repeats after so many years: what does not come within them never does.
const YEARS_MAX: i32 = 400;

/// No change of the clocks ever was larger (Samoa left out a day).
const CHANGE_MAX: Duration = Duration::hours(26);

impl Cron {
    /// The first moment behind `after`; `None` if the calendar ends before.
    pub fn next_after(&self, after: Micros) -> Option<Micros> {
        let after = DateTime::from_timestamp_micros(after)?;
        let next = if self.runs_each_hour() { self.next_shown(after) } else { self.next_named(after) };
        Some(next?.timestamp_micros())
    }

    /// The moments of `[from, to)`, in order.
    pub fn between(&self, from: Micros, to: Micros) -> impl Iterator<Item = Micros> {
        let next = move |after: Micros| self.next_after(after).filter(|at| *at < to);
        std::iter::successors(from.checked_sub(1).and_then(next), move |at| next(*at))
    }

    /// Do schedules like this one follow the clocks as they go?
    pub(super) fn runs_each_hour(&self) -> bool {
        self.hours == EVERY_HOUR
    }

    /// Is there a date on which it runs?
    pub(super) fn is_possible(&self) -> bool {
        let months = (2000..2000 + YEARS_MAX).flat_map(|year| (1..=12).map(move |month| (year, month)));
        months.into_iter().any(|(year, month)| self.days_of(year, month) != 0)
    }

    /// Each time it names, once: at the first moment the clocks show it, or have passed it.
    fn next_named(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut local = shown(self.zone, after);
        loop {
            local = self.next_time(local)?;
            // In the second pass of an hour that comes twice, the times of the first are over.
            let at = first_reached(self.zone, local)?;
            if at > after {
                return Some(at);
            }
        }
    }

    /// Each moment at which the clocks show a time it names.
    fn next_shown(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let careful_until = after.checked_add_signed(CHANGE_MAX)?;
        let mut at = after;
        loop {
            let here = shown(self.zone, at);
            let step = self.next_time(here)?.signed_duration_since(here);
            if at >= careful_until && step > CHANGE_MAX * 2 {
                // Clocks that go back now come to times that were looked at already.
                at = at.checked_add_signed(step - CHANGE_MAX)?;
                continue;
            }
            let ahead = at.checked_add_signed(step.min(Duration::hours(1)))?;
            if self.offset_s(ahead) != self.offset_s(at) {
                if let Some(found) = self.minute_by_minute(at, ahead) {
                    return Some(found);
                }
            } else if step <= Duration::hours(1) {
                return Some(ahead);
            }
            at = ahead;
        }
    }

    /// Around a change of the clocks: every minute of `(after, until]` on its own.
    fn minute_by_minute(&self, after: DateTime<Utc>, until: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let second = after.timestamp() + 1;
        (second..=until.timestamp()).find_map(|second| {
            let at = DateTime::from_timestamp(second, 0)?;
            self.names(shown(self.zone, at)).then_some(at)
        })
    }

    fn offset_s(&self, at: DateTime<Utc>) -> i32 {
        self.zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc()
    }

    fn days_of(&self, year: i32, month: u32) -> u32 {
        if self.months >> month & 1 == 1 { self.days.of(year, month) } else { 0 }
    }

    /// Does it name this time of the wall clock?
    pub(super) fn names(&self, local: NaiveDateTime) -> bool {
        local.second() == 0
            && local.nanosecond() == 0
            && self.minutes >> local.minute() & 1 == 1
            && self.hours >> local.hour() & 1 == 1
            && self.days_of(local.year(), local.month()) >> local.day() & 1 == 1
    }

    /// The first time it names behind `local`, by the calendar alone.
    fn next_time(&self, local: NaiveDateTime) -> Option<NaiveDateTime> {
        let from = local.date().and_hms_opt(local.hour(), local.minute(), 0)? + Duration::minutes(1);
        let (mut year, mut month) = (from.year(), from.month());
        let mut days = self.days_of(year, month) & (u32::MAX << from.day());
        loop {
            while days != 0 {
                let day = days.trailing_zeros();
                days &= days - 1;
                let date = NaiveDate::from_ymd_opt(year, month, day)?;
                let (hour, minute) = if date == from.date() { (from.hour(), from.minute()) } else { (0, 0) };
                if let Some((hour, minute)) = self.time_from(hour, minute) {
                    return date.and_hms_opt(hour, minute, 0);
                }
            }
            (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
            if year > from.year() + YEARS_MAX {
                return None;
            }
            days = self.days_of(year, month);
        }
    }

    /// The first time of day at or behind one.
    fn time_from(&self, hour: u32, minute: u32) -> Option<(u32, u32)> {
        let minutes_left = self.minutes & (u64::MAX << minute);
        if self.hours >> hour & 1 == 1 && minutes_left != 0 {
            return Some((hour, minutes_left.trailing_zeros()));
        }
        let hours_left = self.hours & (u32::MAX << hour << 1);
        (hours_left != 0).then(|| (hours_left.trailing_zeros(), self.minutes.trailing_zeros()))
    }
}
