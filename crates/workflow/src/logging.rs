//! What of Express executions is logged, which keep no history.
//!
//! Levels and their events follow the Step Functions developer guide, "Log levels for Step Functions execution
//! events".

use crate::api::HistoryEvent;
use serde_json::Value;

/// Takes the events of Express executions.
pub trait ExpressLog: Send + Sync {
    /// Is anything wanted at all? If not, no event is made.
    fn enabled(&self) -> bool;

    /// Takes an event that the machine's logging asks for; `workflow` is the machine's name. Must not block.
    fn event(&self, workflow: &str, execution_arn: &str, event: HistoryEvent);
}

/// Nobody wants them.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoExpressLog;

impl ExpressLog for NoExpressLog {
    fn enabled(&self) -> bool {
        false
    }

    fn event(&self, _: &str, _: &str, _: HistoryEvent) {}
}

/// What a machine wants logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Logging {
    pub level: Level,
    /// With inputs and outputs.
    pub data: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Off,
    Fatal,
    Error,
    /// Failures, and how executions begin and end: what a machine has that says nothing else.
    Ends,
    All,
}

impl Logging {
    pub const OFF: Self = Self { level: Level::Off, data: false };

    /// Reads a `loggingConfiguration`.
    pub fn of(configuration: Option<&str>) -> Self {
        let read: Option<Value> = configuration.and_then(|text| serde_json::from_str(text).ok());
        let Some(read) = read else { return Self { level: Level::Ends, data: true } };
        let level = match read["level"].as_str() {
            Some("ALL") => Level::All,
            Some("ERROR") => Level::Error,
            Some("FATAL") => Level::Fatal,
            _ => Level::Off,
        };
        Self { level, data: read["includeExecutionData"].as_bool().unwrap_or(false) }
    }

    pub fn is_off(self) -> bool {
        self.level == Level::Off
    }

    /// Does the level ask for events of this type?
    pub fn wants(self, kind: &str) -> bool {
        let fatal = matches!(kind, "ExecutionFailed" | "ExecutionTimedOut" | "ExecutionAborted");
        let error = || {
            kind == "FailStateEntered"
                || ["Failed", "TimedOut", "Aborted"].iter().any(|ending| kind.ends_with(ending))
        };
        match self.level {
            Level::Off => false,
            Level::Fatal => fatal,
            Level::Error => fatal || error(),
            Level::Ends => matches!(kind, "ExecutionStarted" | "ExecutionSucceeded") || fatal || error(),
            Level::All => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_those_of_step_functions() {
        let kinds =
            ["ExecutionStarted", "TaskScheduled", "TaskFailed", "FailStateEntered", "ExecutionFailed"];
        let cases = [
            (None, [true, false, true, true, true], true),
            (Some(r#"{"level": "OFF"}"#), [false; 5], false),
            (Some(r#"{"level": "FATAL"}"#), [false, false, false, false, true], false),
            (
                Some(r#"{"level": "ERROR", "includeExecutionData": true}"#),
                [false, false, true, true, true],
                true,
            ),
            (Some(r#"{"level": "ALL"}"#), [true; 5], false),
            (Some("{}"), [false; 5], false),
        ];
        for (configuration, wanted, data) in cases {
            let logging = Logging::of(configuration);
            assert_eq!(kinds.map(|kind| logging.wants(kind)), wanted, "{configuration:?}");
            assert_eq!(logging.data, data, "{configuration:?}");
        }
    }
}
