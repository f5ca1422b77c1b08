//! Formats that the walk checks itself, with the judge's exact idea of each.
//!
//! Dates and times follow RFC 3339 as the `jsonschema` crate reads it: `T` and `Z` in either case, no
//! space, offsets up to 23:59, a second of 60 only where it is 23:59:60 UTC.

/// A text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    DateTime,
    Date,
    Time,
    Uuid,
    Ipv4,
    Ipv6,
}

impl Format {
    pub fn of(name: &str) -> Option<Self> {
        Some(match name {
            "date-time" => Self::DateTime,
            "date" => Self::Date,
            "time" => Self::Time,
            "uuid" => Self::Uuid,
            "ipv4" => Self::Ipv4,
            "ipv6" => Self::Ipv6,
            _ => return None,
        })
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::DateTime => "date-time",
            Self::Date => "date",
            Self::Time => "time",
            Self::Uuid => "uuid",
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        }
    }

    pub fn holds(self, text: &str) -> bool {
        match self {
            Self::DateTime => timestamp_micros(text.as_bytes()).is_some(),
            Self::Date => date_days(text.as_bytes()).is_some(),
            Self::Time => time(text.as_bytes()).is_some(),
            Self::Uuid => is_uuid(text.as_bytes()),
            Self::Ipv4 => text.parse::<std::net::Ipv4Addr>().is_ok(),
            Self::Ipv6 => text.parse::<std::net::Ipv6Addr>().is_ok(),
        }
    }
}

fn is_uuid(text: &[u8]) -> bool {
    text.len() == 36
        && text.iter().enumerate().all(|(i, byte)| match i {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[inline]
fn two(text: &[u8], at: usize) -> Option<i64> {
    let (tens, ones) = (text.get(at)?.wrapping_sub(b'0'), text.get(at + 1)?.wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| i64::from(tens) * 10 + i64::from(ones))
}

/// Days since 1970-01-01 of a `YYYY-MM-DD`.
#[inline]
pub(crate) fn date_days(text: &[u8]) -> Option<i32> {
    if text.len() != 10 || text[4] != b'-' || text[7] != b'-' {
        return None;
    }
    let year = two(text, 0)? * 100 + two(text, 2)?;
    let (month, day) = (two(text, 5)?, two(text, 8)?);
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        _ => return None,
    };
    if day < 1 || day > days {
        return None;
    }
    // Years begin in March, so that the leap day is the last one.
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some((era * 146_097 + day_of_era - 719_468) as i32)
}

/// Microseconds from the day's start in UTC; negative or beyond a day where the offset crosses midnight.
fn time(text: &[u8]) -> Option<i64> {
    if text.len() < 9 || text[2] != b':' || text[5] != b':' {
        return None;
    }
    let (hour, minute, second) = (two(text, 0)?, two(text, 3)?, two(text, 6)?);
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut at = 8;
    let mut micros = 0;
    if text[at] == b'.' {
        let first = at + 1;
        at = first;
        let mut unit = 100_000;
        while let Some(digit) = text.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
            micros += i64::from(digit) * unit;
            unit /= 10;
            at += 1;
        }
        if at == first {
            return None;
        }
    }
    let offset_minutes = match text.get(at)? {
        b'Z' | b'z' if at + 1 == text.len() => 0,
        sign @ (b'+' | b'-') if at + 6 == text.len() && text[at + 3] == b':' => {
            let (hours, minutes) = (two(text, at + 1)?, two(text, at + 4)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let offset = hours * 60 + minutes;
            if *sign == b'+' { offset } else { -offset }
        }
        _ => return None,
    };
    let utc_minutes = hour * 60 + minute - offset_minutes;
    if second == 60 && utc_minutes.rem_euclid(1_440) != 1_439 {
        return None;
    }
    Some((utc_minutes * 60 + second) * 1_000_000 + micros)
}

/// Microseconds since 1970-01-01T00:00:00Z of an RFC 3339 date and time. Digits behind the sixth of a
/// second's fraction are cut; a leap second is the first moment of the next minute.
#[inline]
pub(crate) fn timestamp_micros(text: &[u8]) -> Option<i64> {
    if !matches!(text.get(10), Some(b'T' | b't')) {
        return None;
    }
    Some(i64::from(date_days(&text[..10])?) * 86_400_000_000 + time(&text[11..])?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_hold_where_the_judge_says_so() {
        let texts = [
            "2026-11-21T02:00:00Z",
            "2026-11-21t02:00:00.123456789z",
            "2026-11-21T02:00:00+05:30",
            "2026-11-21 02:00:00Z",
            "2026-02-29T00:00:00Z",
            "2024-02-29T00:00:00Z",
            "0000-01-01T00:00:00Z",
            "9999-12-31T23:59:60Z",
            "1990-12-31T15:59:60-08:00",
            "1990-12-31T15:59:60-07:00",
            "1990-12-31T15:59:60Z",
            "1998-12-31T23:58:60Z",
            "2026-11-21T24:00:00Z",
            "2026-11-21T02:60:00Z",
            "2026-11-21T02:00:00",
            "2026-11-21T02:00:00.Z",
            "2026-11-21T02:00:00+24:00",
            "2026-11-21T02:00:00+0530",
            "2026-11-21",
            "2026-13-01",
            "2026-00-01",
            "2026-01-00",
            "2026-1-1",
            "02:00:00Z",
            "02:00:00",
            "23:59:60Z",
            "01:29:60+01:30",
            "00:29:60+00:30",
            "",
            "T",
            "٢٠٢٦-01-01",
            "2eb8aa08-aa98-11ea-b4aa-73b441d16380",
            "2EB8AA08-AA98-11EA-B4AA-73B441D16380",
            "2eb8aa08aa9811eab4aa73b441d16380",
            "{2eb8aa08-aa98-11ea-b4aa-73b441d16380}",
            "2eb8aa08-aa98-11ea-b4aa73b441d1638-0",
            "127.0.0.1",
            "127.0.0.01",
            "256.1.1.1",
            "1.2.3",
            "::1",
            "::ffff:1.2.3.4",
            "fe80::1%eth0",
            "1::2::3",
            "a",
        ];
        for format in ["date-time", "date", "time", "uuid", "ipv4", "ipv6"] {
            let schema = serde_json::json!({"format": format});
            let judge = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
            for text in texts {
                let ours = Format::of(format).unwrap().holds(text);
                assert_eq!(ours, judge.is_valid(&serde_json::json!(text)), "{format} {text:?}");
            }
        }
    }

    #[test]
    fn moments_are_counted_from_the_epoch() {
        for (text, micros) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1969-12-31T23:59:59.5Z", -500_000),
            ("1970-01-01T01:00:00+01:00", 0),
            ("2000-03-01T00:00:00Z", 951_868_800_000_000),
            ("2026-11-21T02:00:00.001234999Z", 1_795_226_400_001_234),
            ("0000-01-01T00:00:00Z", -62_167_219_200_000_000),
        ] {
            assert_eq!(timestamp_micros(text.as_bytes()), Some(micros), "{text}");
        }
    }
}
