//! The walk's checks: each tells a fault only where the judge would too.

use crate::number::Value;
use crate::plan::{NumberChecks, TextChecks};
use crate::walk::Walk;
use std::cmp::Ordering;

impl Walk<'_> {
    #[inline]
    pub fn check_text(&mut self, checks: &TextChecks, text: &[u8], start: usize) {
        if checks.min > 0 || checks.max.is_some() {
            self.check_length(checks, text, start);
        }
        if let Some(allowed) = &checks.allowed
            && !allowed.iter().any(|one| one.as_bytes() == text)
        {
            self.not_allowed(checks, start);
        }
        if let Some((pattern, source)) = &checks.pattern
            && !pattern.holds(text)
        {
            self.fault(start, "pattern", format_args!("{} does not match {source:?}", self.shown(start)));
        }
        if let Some(format) = checks.format
            && !std::str::from_utf8(text).is_ok_and(|text| format.holds(text))
        {
            let name = format.name();
            self.fault(start, "format", format_args!("{} is not a {name:?}", self.shown(start)));
        }
    }

    #[inline]
    fn check_length(&mut self, checks: &TextChecks, text: &[u8], start: usize) {
        // A character has one to four bytes.
        let bytes = text.len() as u64;
        if bytes / 4 >= checks.min && checks.max.is_none_or(|max| bytes <= max) {
            return;
        }
        // Every character but its first byte is a continuation byte.
        let length = text.iter().filter(|byte| (**byte as i8) >= -0x40).count() as u64;
        if length < checks.min {
            let min = checks.min;
            self.fault(
                start,
                "minLength",
                format_args!("{} is shorter than {min} characters", self.shown(start)),
            );
        }
        if let Some(max) = checks.max.filter(|max| length > *max) {
            self.fault(
                start,
                "maxLength",
                format_args!("{} is longer than {max} characters", self.shown(start)),
            );
        }
    }

    #[cold]
    fn not_allowed(&mut self, checks: &TextChecks, start: usize) {
        let allowed = checks.allowed.as_deref().unwrap_or_default();
        let names: Vec<_> = allowed.iter().take(12).map(|one| format!("{one:?}")).collect();
        let more = if allowed.len() > names.len() { ", …" } else { "" };
        let keyword = if checks.constant { "const" } else { "enum" };
        let list = names.join(", ");
        self.fault(start, keyword, format_args!("{} is not one of {list}{more}", self.shown(start)));
    }

    #[inline]
    pub fn check_number(&mut self, checks: &NumberChecks, value: Value, start: usize) {
        for bound in &checks.bounds {
            let order = value.order(bound.limit);
            let (holds, relation) = match bound.keyword {
                "minimum" => (order != Some(Ordering::Less), "less than the minimum of"),
                "maximum" => (order != Some(Ordering::Greater), "greater than the maximum of"),
                "exclusiveMinimum" => (order == Some(Ordering::Greater), "not greater than"),
                _ => (order == Some(Ordering::Less), "not less than"),
            };
            if !holds {
                let text = &bound.text;
                let shown = self.shown(start);
                self.fault(start, bound.keyword, format_args!("{shown} is {relation} {text}"));
            }
        }
        if checks.multiple_of.is_some() || checks.allowed.is_some() {
            self.check_whole(checks, value, start);
        }
    }

    fn check_whole(&mut self, checks: &NumberChecks, value: Value, start: usize) {
        let Value::Whole(whole) = value else {
            // Floats have their own ideas of being equal and divisible; the judge knows them.
            self.judge = true;
            return;
        };
        if let Some(step) = checks.multiple_of.filter(|step| whole % i128::from(*step) != 0) {
            let shown = self.shown(start);
            self.fault(start, "multipleOf", format_args!("{shown} is not a multiple of {step}"));
        }
        if let Some(allowed) = &checks.allowed
            && !allowed.iter().any(|one| i128::from(*one) == whole)
        {
            let shown = self.shown(start);
            self.fault(start, "enum", format_args!("{shown} is not one of {allowed:?}"));
        }
    }

    /// `what` is `Items` or `Properties`, as in the keywords.
    #[inline]
    pub fn check_count(&mut self, start: usize, what: &str, count: u64, min: u64, max: Option<u64>) {
        if count < min {
            let lower = what.to_lowercase();
            self.fault(start, &format!("min{what}"), format_args!("{count} {lower} are fewer than {min}"));
        }
        if let Some(max) = max.filter(|max| count > *max) {
            let lower = what.to_lowercase();
            self.fault(start, &format!("max{what}"), format_args!("{count} {lower} are more than {max}"));
        }
    }
}
