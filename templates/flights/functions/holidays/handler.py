"""Says which federal holiday a departure falls on, or is within three days of.

Called with a batch of events in order; answers with one object per event.
"""

from datetime import date, timedelta
from functools import lru_cache

NEAR_DAYS = 3
MONDAY, THURSDAY = 0, 3


def nth(year, month, weekday, count):
    """The count-th such weekday of a month; the last one if count is -1."""
    if count > 0:
        first = date(year, month, 1)
        return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (count - 1))
    last = date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)
    return last - timedelta(days=(last.weekday() - weekday) % 7)


@lru_cache(maxsize=8)
def holidays(year):
    return {
        "New Year's Day": date(year, 1, 1),
        "Martin Luther King Jr. Day": nth(year, 1, MONDAY, 3),
        "Presidents' Day": nth(year, 2, MONDAY, 3),
        "Memorial Day": nth(year, 5, MONDAY, -1),
        "Independence Day": date(year, 7, 4),
        "Labor Day": nth(year, 9, MONDAY, 1),
        "Columbus Day": nth(year, 10, MONDAY, 2),
        "Veterans Day": date(year, 11, 11),
        "Thanksgiving Day": nth(year, 11, THURSDAY, 4),
        "Christmas Day": date(year, 12, 25),
    }


@lru_cache(maxsize=1024)
def near(year, month, day):
    """The nearest holiday and how many days after it the day is (negative: before it)."""
    when = date(year, month, day)
    known = [(name, on) for around in (year - 1, year, year + 1) for name, on in holidays(around).items()]
    name, on = min(known, key=lambda holiday: abs((when - holiday[1]).days))
    days = (when - on).days
    if abs(days) > NEAR_DAYS:
        return {}
    return {"holiday": name, "holiday_days": days}


def handler(event, context):
    records = (record["event"] for record in event["records"])
    return {"records": [near(row["year"], row["month"], row["day"]) for row in records]}
