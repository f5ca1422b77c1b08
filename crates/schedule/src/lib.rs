//! Schedules, triggers and runs: when something begins, and how it ended.
