//! What the types cannot say: names, references between the parts, files, addresses, limits.

mod compute;
mod files;
mod network;
mod outside;
mod streams;

use crate::fault::{Faults, Places, child};
use crate::model::{ByteSize, Pipeline, Span};
use crate::suggest;
use std::path::Path;

/// Everything that is wrong with a definition that has the right shape.
pub(crate) fn check(pipeline: &Pipeline, dir: &Path, places: &Places, needs_files: bool) -> Faults {
    let mut context = Context { pipeline, dir, places, needs_files, faults: Faults::default() };
    context.pipeline_name();
    streams::check(&mut context);
    compute::check(&mut context);
    network::check(&mut context);
    context.faults
}

struct Context<'a> {
    pipeline: &'a Pipeline,
    dir: &'a Path,
    places: &'a Places,
    /// Must the files that are referred to be there?
    needs_files: bool,
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

    /// Names of functions, workflows and the like, which stand in ARNs and addresses.
    fn plain_name(&mut self, pointer: &str, name: &str) {
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || name.len() > 64 || !name.chars().all(legal) {
            let message = format!("`{name}` is not a name: letters, digits, `_` and `-`, at most 64");
            self.fault_key(pointer, message, None);
        }
    }

    /// `name` must be a key of a section (`kind` is what its members are called). A member that is there
    /// with faults of its own is there.
    fn member(&mut self, pointer: &str, kind: &str, section: &str, name: &str, names: &[&str]) {
        if names.contains(&name) || self.places.has(&child(&format!("/{section}"), name)) {
            return;
        }
        let hint =
            suggest::hint(name, names.iter().copied()).or_else(|| Some(format!("name it under `{section}`")));
        self.fault(pointer, format!("there is no {kind} `{name}`"), hint);
    }

    fn function(&mut self, pointer: &str, name: &str) {
        let pipeline = self.pipeline;
        let names: Vec<&str> = pipeline.functions.keys().map(String::as_str).collect();
        self.member(pointer, "function", "functions", name, &names);
    }

    fn stream(&mut self, pointer: &str, name: &str) {
        let pipeline = self.pipeline;
        let names: Vec<&str> = pipeline.streams.keys().map(String::as_str).collect();
        self.member(pointer, "stream", "streams", name, &names);
    }

    fn connection(&mut self, pointer: &str, name: &str) {
        let pipeline = self.pipeline;
        let names: Vec<&str> = pipeline.connections.keys().map(String::as_str).collect();
        self.member(pointer, "connection", "connections", name, &names);
    }

    /// A secret must be a reference, so that the definition can be shown and kept.
    fn by_reference(&mut self, pointer: &str, what: &str) {
        if !self.places.references.contains_key(pointer) {
            let hint = "refer to it: `${env:NAME}` or `${file:path}`".to_string();
            self.fault(pointer, format!("{what} stands in the file in plain text"), Some(hint));
        }
    }

    fn not_empty(&mut self, pointer: &str, text: &str, what: &str) {
        if text.trim().is_empty() {
            self.fault(pointer, format!("expected {what}, found nothing"), None);
        }
    }

    fn within(&mut self, pointer: &str, number: u64, least: u64, most: u64) {
        if number < least || number > most {
            self.fault(pointer, format!("{number} is out of range: {least} to {most}"), None);
        }
    }

    fn http_address(&mut self, pointer: &str, address: &str) {
        if !address.starts_with("http://") && !address.starts_with("https://") {
            let hint = Some("write it like `https://api.example.org/…`".to_string());
            self.fault(pointer, format!("`{address}` is not an HTTP address"), hint);
        }
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
