//! What the types cannot say: names, references between the parts, files, addresses, limits.

mod files;
mod network;
mod streams;

use crate::fault::{Faults, Places};
use crate::model::{ByteSize, Pipeline, Span};
use std::path::Path;

/// Everything that is wrong with a definition that has the right shape.
pub(crate) fn check(pipeline: &Pipeline, dir: &Path, places: &Places) -> Faults {
    let mut context = Context { pipeline, dir, places, faults: Faults::default() };
    context.pipeline_name();
    streams::check(&mut context);
    network::check(&mut context);
    context.faults
}

struct Context<'a> {
    pipeline: &'a Pipeline,
    dir: &'a Path,
    places: &'a Places,
    faults: Faults,
}

impl Context<'_> {
    fn fault(&mut self, pointer: &str, message: impl Into<String>, hint: Option<String>) {
        self.faults.push(self.places.fault_at(pointer, message, hint));
    }

    fn fault_key(&mut self, pointer: &str, message: impl Into<String>, hint: Option<String>) {
        self.faults.push(self.places.fault_at_key(pointer, message, hint));
    }

    fn pipeline_name(&mut self) {
        let name = &self.pipeline.name;
        let legal =
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        if !legal {
            self.fault("/name", format!("`{name}` is not a name: letters, digits, `_` and `-`"), None);
        }
    }

    /// Names of streams and lookups become table names.
    fn identifier(&mut self, pointer: &str, name: &str) {
        let mut characters = name.chars();
        let starts = characters.next().is_some_and(|c| c.is_ascii_lowercase());
        let legal = starts && characters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if legal && name.len() <= 63 {
            return;
        }
        let message = format!(
            "`{name}` is not an SQL identifier: a small letter, then small letters, digits and `_`, at most 63"
        );
        let mut better: String = name
            .to_lowercase()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .take(63)
            .collect();
        if !better.starts_with(|c: char| c.is_ascii_lowercase()) {
            better.insert(0, 'x');
        }
        self.fault_key(pointer, message, Some(format!("`{better}` would do")));
    }

    fn longer_than_nothing(&mut self, pointer: &str, span: Span) {
        if span.0.is_zero() {
            self.fault(pointer, "must be longer than 0", None);
        }
    }

    fn at_least(&mut self, pointer: &str, size: ByteSize, least: ByteSize) {
        if size < least {
            self.fault(pointer, format!("{size} is too small: at least {least}"), None);
        }
    }
}
