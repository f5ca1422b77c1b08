//! Cron: fields, faults, days, and changes of the clocks.

use bourn_schedule::{Cron, parse_time, rfc3339, zone};

/// The times behind `from`, as many as are expected. A time is written in UTC.
#[track_caller]
fn check(text: &str, zone_name: &str, from: &str, expected: &[&str]) {
    let zone = zone(zone_name).expect("a zone");
    let cron = Cron::parse(text, zone).unwrap_or_else(|error| panic!("{text}: {error}"));
    let utc = |text: &str| parse_time(text, chrono_tz::UTC).expect("a time");
    let times = std::iter::successors(cron.next_after(utc(from)), |at| cron.next_after(*at));
    let found: Vec<String> = times.take(expected.len()).map(rfc3339).collect();
    let expected: Vec<String> = expected.iter().map(|at| rfc3339(utc(at))).collect();
    assert_eq!(found, expected, "`{text}` in {zone_name} from {from}");
}

#[track_caller]
fn check_utc(text: &str, from: &str, expected: &[&str]) {
    check(text, "UTC", from, expected);
}

#[test]
fn fields_have_values_ranges_steps_lists_and_names() {
    check_utc(
        "*/20 9-10 * * *",
        "2026-01-01T09:30",
        &["2026-01-01T09:40", "2026-01-01T10:00", "2026-01-01T10:20"],
    );
    check_utc("5,10 0 * * *", "2026-01-01", &["2026-01-01T00:05", "2026-01-01T00:10", "2026-01-02T00:05"]);
    check_utc("50/5 3 * * *", "2026-01-01", &["2026-01-01T03:50", "2026-01-01T03:55", "2026-01-02T03:50"]);
    check_utc("0 0 1 jan,JUL *", "2026-01-01", &["2026-07-01", "2027-01-01"]);
    check_utc("0 8 * * mon-fri", "2026-11-20T09:00", &["2026-11-23T08:00"]);
    check_utc("0 8 * * 7", "2026-11-21", &["2026-11-22T08:00", "2026-11-29T08:00"]);
    check_utc("0 8 * * 6-7", "2026-11-20", &["2026-11-21T08:00", "2026-11-22T08:00", "2026-11-28T08:00"]);
    check_utc("0 0 ? * SUN", "2026-11-21", &["2026-11-22"]);
    check_utc("@monthly", "2026-11-21", &["2026-12-01", "2027-01-01"]);
}

#[test]
fn a_time_is_strictly_behind_the_one_asked_for() {
    check_utc("* * * * *", "2026-01-01T00:00:00", &["2026-01-01T00:01"]);
    check_utc("* * * * *", "2026-01-01T00:00:59.999999", &["2026-01-01T00:01"]);
}

#[test]
fn either_field_of_days_is_enough_unless_one_begins_with_a_star() {
    // Friday the 13th of November, or any Monday.
    check_utc("0 0 13 * MON", "2026-11-10", &["2026-11-13", "2026-11-16", "2026-11-23"]);
    // Odd days that are Mondays.
    check_utc("0 0 */2 * MON", "2026-11-10", &["2026-11-23", "2026-12-07"]);
    check_utc("0 0 13 * *", "2026-11-14", &["2026-12-13"]);
}

#[test]
fn last_and_nearest_and_nth_days() {
    check_utc("0 0 L * *", "2028-02-01", &["2028-02-29", "2028-03-31", "2028-04-30"]);
    check_utc("0 0 L-2 * *", "2026-02-01", &["2026-02-26", "2026-03-29"]);
    // The 1st of August 2026 is a Saturday: the nearest weekday of the month is Monday the 3rd.
    check_utc("0 0 1W 8 *", "2026-01-01", &["2026-08-03"]);
    // The 15th of November 2026 is a Sunday.
    check_utc("0 0 15W * *", "2026-11-01", &["2026-11-16", "2026-12-15"]);
    // The 31st of May 2026 is a Sunday: back to Friday the 29th.
    check_utc("0 0 LW 5 *", "2026-01-01", &["2026-05-29"]);
    check_utc("0 0 * * 5L", "2026-11-01", &["2026-11-27", "2026-12-25"]);
    check_utc("0 0 * * MON#2", "2026-11-01", &["2026-11-09", "2026-12-14"]);
    check_utc("0 0 * * 1#5", "2026-11-01", &["2026-11-30", "2027-03-29"]);
}

#[test]
fn a_rare_day_is_found() {
    check_utc("0 0 29 2 *", "2026-01-01", &["2028-02-29", "2032-02-29"]);
    check_utc("0 0 29 2 *", "2096-03-01", &["2104-02-29"]);
    // The 1st or 29th of February, if it is a Monday: `*/28` begins with a star, so both fields count.
    check_utc("0 0 */28 2 MON", "2026-02-28", &["2027-02-01", "2038-02-01", "2044-02-01", "2044-02-29"]);
    check_utc("0 * 29 2 *", "2026-01-01", &["2028-02-29T00:00", "2028-02-29T01:00"]);
}

#[test]
fn new_york_leaves_out_an_hour_and_has_one_twice() {
    let zone = "America/New_York";
    check("30 2 * * *", zone, "2026-03-07", &["2026-03-07T07:30", "2026-03-08T07:00", "2026-03-09T06:30"]);
    check("0 2,3 * * *", zone, "2026-03-08T06:00", &["2026-03-08T07:00", "2026-03-09T06:00"]);
    check("*/15 2 * * *", zone, "2026-03-08T06:00", &["2026-03-08T07:00", "2026-03-09T06:00"]);
    check("30 1 * * *", zone, "2026-10-31T12:00", &["2026-11-01T05:30", "2026-11-02T06:30"]);
    check("0 */2 * * *", zone, "2026-03-08T05:30", &["2026-03-08T07:00", "2026-03-08T08:00"]);
    // Asked in the second pass of the hour: what was in the first does not come again.
    check("30 1 * * *", zone, "2026-11-01T06:10", &["2026-11-02T06:30"]);
    // In every hour: as the clocks go.
    check("30 * * * *", zone, "2026-03-08T06:00", &["2026-03-08T06:30", "2026-03-08T07:30"]);
    check(
        "30 * * * *",
        zone,
        "2026-11-01T05:00",
        &["2026-11-01T05:30", "2026-11-01T06:30", "2026-11-01T07:30"],
    );
}

#[test]
fn london_changes_at_one() {
    let zone = "Europe/London";
    check("30 1 * * *", zone, "2026-03-28T12:00", &["2026-03-29T01:00", "2026-03-30T00:30"]);
    check("30 1 * * *", zone, "2026-10-24T12:00", &["2026-10-25T00:30", "2026-10-26T01:30"]);
    check("0 0 * * *", zone, "2026-10-24T12:00", &["2026-10-24T23:00", "2026-10-26T00:00"]);
}

#[test]
fn lord_howe_changes_by_half_an_hour() {
    let zone = "Australia/Lord_Howe";
    check("15 2 * * *", zone, "2026-10-02", &["2026-10-02T15:45", "2026-10-03T15:30", "2026-10-04T15:15"]);
    check("45 1 * * *", zone, "2026-04-04", &["2026-04-04T14:45", "2026-04-05T15:15"]);
    check(
        "45 * * * *",
        zone,
        "2026-04-04T14:00",
        &["2026-04-04T14:45", "2026-04-04T15:15", "2026-04-04T16:15"],
    );
}

#[test]
fn apia_left_out_a_day() {
    let zone = "Pacific/Apia";
    check("0 12 * * *", zone, "2011-12-29", &["2011-12-29T22:00", "2011-12-30T10:00", "2011-12-30T22:00"]);
    check("0 12 30 12 *", zone, "2011-01-01", &["2011-12-30T10:00", "2012-12-29T22:00"]);
    check("0 * * * *", zone, "2011-12-30T08:30", &["2011-12-30T09:00", "2011-12-30T10:00"]);
    check("0 * 30 12 *", zone, "2011-01-01", &["2012-12-29T10:00"]);
}

#[test]
fn between_includes_its_beginning_and_not_its_end() {
    let cron = Cron::parse("0 * * * *", chrono_tz::UTC).expect("cron");
    let utc = |text: &str| parse_time(text, chrono_tz::UTC).expect("a time");
    let times: Vec<String> =
        cron.between(utc("2026-01-01T01:00"), utc("2026-01-01T03:00")).map(rfc3339).collect();
    assert_eq!(times, ["2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z"]);
}

#[test]
fn faults_name_the_field_and_what_was_expected() {
    let cases = [
        ("* * * *", "has 4 fields"),
        ("0 0 * * * *", "seconds and years"),
        ("60 * * * *", "minute: `60` is not expected here: write 0 to 59"),
        ("* 24 * * *", "hour: `24`"),
        ("* * 0 * *", "day of month: `0` is not expected here: write 1 to 31"),
        ("* * * 13 *", "month: `13` is not expected here: write 1 to 12 or JAN to DEC"),
        ("* * * foo *", "month: `foo`"),
        ("* * * * 8", "day of week: `8` is not expected here: write 0 to 7 or SUN to SAT"),
        ("*/0 * * * *", "minute: `*/0` needs a number from 1"),
        ("*/x * * * *", "minute: `*/x` needs a number"),
        ("* 22-2 * * *", "hour: `22-2` goes backwards: write two ranges, `22-23,0-2`"),
        ("1,,2 * * * *", "minute: `` is not expected"),
        ("-1 * * * *", "minute: `-1` is not expected"),
        ("+1 * * * *", "minute: `+1` is not expected"),
        ("? * * * *", "minute: `?`"),
        ("0 0 32W * *", "day of month: `32W`"),
        ("0 0 L-31 * *", "needs 1 to 30"),
        ("0 0 * * L", "needs a day before the `L`"),
        ("0 0 * * 1#6", "needs 1 to 5"),
        ("0 0 30 2 *", "never runs"),
        ("0 0 31 4,6,9,11 *", "never runs"),
        ("@reboot", "a start of the pipeline is no time"),
        ("@often", "`@often` is unknown"),
    ];
    for (text, expected) in cases {
        let error = Cron::parse(text, chrono_tz::UTC).expect_err(text).to_string();
        assert!(error.contains(expected), "`{text}` gives: {error}");
    }
}
