//! Which days of a month a cron expression names.

use chrono::{Datelike, NaiveDate};

/// The two fields of days, compiled.
#[derive(Clone, Debug, Default)]
pub(super) struct Days {
    pub of_month: DaysOfMonth,
    pub of_week: DaysOfWeek,
}

#[derive(Clone, Debug, Default)]
pub(super) struct DaysOfMonth {
    /// Does the field begin with `*` (or `?`)?
    pub star: bool,
    /// Bit n: day n, from 1.
    pub days: u32,
    /// `L-n`: so many days before the last.
    pub before_last: Vec<u32>,
    /// `nW`: the weekday nearest to day n.
    pub nearest_weekday: Vec<u32>,
    /// `LW`: the last weekday.
    pub last_weekday: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct DaysOfWeek {
    pub star: bool,
    /// Bit n: day n, Sunday is 0.
    pub days: u8,
    /// `dL`: bit n: the last day n of the month.
    pub last: u8,
    /// `d#n`: day and which, from 1.
    pub nth: Vec<(u32, u32)>,
}

impl Days {
    /// The days of a month that match: bit n is day n.
    pub fn of(&self, year: i32, month: u32) -> u32 {
        let Some(month) = Month::new(year, month) else { return 0 };
        let (by_month, by_week) = (self.of_month.of(&month), self.of_week.of(&month));
        if self.of_month.star || self.of_week.star { by_month & by_week } else { by_month | by_week }
    }
}

struct Month {
    length: u32,
    /// Day of week of the first, Sunday is 0.
    first: u32,
}

impl Month {
    fn new(year: i32, month: u32) -> Option<Self> {
        let first = NaiveDate::from_ymd_opt(year, month, 1)?;
        let next = first.checked_add_months(chrono::Months::new(1))?;
        let length = next.signed_duration_since(first).num_days() as u32;
        Some(Self { length, first: first.weekday().num_days_from_sunday() })
    }

    fn all(&self) -> u32 {
        ((1u64 << (self.length + 1)) - 2) as u32
    }

    fn day_of_week(&self, day: u32) -> u32 {
        (self.first + day - 1) % 7
    }

    /// The weekday nearest to a day, without leaving the month.
    fn weekday_near(&self, day: u32) -> u32 {
        match self.day_of_week(day) {
            6 if day == 1 => 3,
            6 => day - 1,
            0 if day == self.length => day - 2,
            0 => day + 1,
            _ => day,
        }
    }
}

impl DaysOfMonth {
    fn of(&self, month: &Month) -> u32 {
        let mut days = self.days & month.all();
        for before in &self.before_last {
            if *before < month.length {
                days |= 1 << (month.length - before);
            }
        }
        for day in &self.nearest_weekday {
            if *day <= month.length {
                days |= 1 << month.weekday_near(*day);
            }
        }
        if self.last_weekday {
            days |= 1 << month.weekday_near(month.length);
        }
        days
    }
}

impl DaysOfWeek {
    fn of(&self, month: &Month) -> u32 {
        let mut days = 0;
        for day in 1..=month.length {
            let weekday = month.day_of_week(day);
            let is_last = day + 7 > month.length;
            let nth = (day - 1) / 7 + 1;
            if self.days >> weekday & 1 == 1
                || (is_last && self.last >> weekday & 1 == 1)
                || self.nth.contains(&(weekday, nth))
            {
                days |= 1 << day;
            }
        }
        days
    }
}
