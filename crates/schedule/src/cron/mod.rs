//! Cron: five fields in a time zone, and the moments they name.
//!
//! ```text
//!  minute  hour  day of month  month          day of week
//!  0-59    0-23  1-31          1-12, JAN-DEC  0-7, SUN-SAT (0 and 7 are Sunday)
//! ```
//!
//! Each field is a list of `*`, values, ranges `a-b`, each with an optional step `/n` (`a/n` goes from `a` to the
//! field's end). Days of month know `L` (the last), `L-n`, `nW` (the weekday nearest to day n, in the same month)
//! and `LW`; days of week know `dL` (the month's last such day) and `d#n` (its n-th). `?` means `*` in the two
//! fields of days. `@hourly`, `@daily`, `@midnight`, `@weekly`, `@monthly`, `@yearly` and `@annually` are short
//! for what they say.
//!
//! A day must match both fields of days if one of them begins with `*`; otherwise either is enough (as cron does).
//!
//! Changes of the clocks, as cron treats them:
//! * A schedule that runs in every hour follows the clocks as they go: a time left out does not come, a time
//!   that comes twice counts twice.
//! * Any other schedule runs once for each time it names: a time left out at the moment the gap ends, a time
//!   that comes twice at its first.

mod days;
mod next;
mod parse;

pub use parse::CronError;

use chrono_tz::Tz;
use days::Days;

/// A compiled cron expression.
#[derive(Clone, Debug)]
pub struct Cron {
    /// Bit n: minute n.
    minutes: u64,
    /// Bit n: hour n.
    hours: u32,
    /// Bit n: month n, from 1.
    months: u16,
    days: Days,
    zone: Tz,
}

const EVERY_HOUR: u32 = (1 << 24) - 1;
