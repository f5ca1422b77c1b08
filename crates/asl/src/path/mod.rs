//! JSONPath as Step Functions takes it: `$` the input, `$$` the context object, `$name` a variable; fields by dot or
//! bracket, unions, indexes from either end, slices, wildcards, recursive descent and filters.
//!
//! A *definite* path names one place and gives the value there, or fails. Any other path gives the list of all it
//! finds. A *reference path* is definite and has only field names and indexes. Functions such as `.length()` are not
//! part of the language.

mod filter;
mod find;
mod parse;
mod result_path;

use crate::Scope;
use serde_json::Value;
use std::borrow::Cow;
use std::fmt;

pub(crate) use filter::same;
pub use find::Miss;
pub use result_path::ResultPath;

/// Longest text of a path.
pub const PATH_BYTES_MAX: usize = 10_240;
/// Most steps of a path, and deepest nesting of its filters.
pub const PATH_STEPS_MAX: usize = 256;

/// A compiled path.
#[derive(Debug, Clone, PartialEq)]
pub struct Path {
    text: String,
    root: Root,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Root {
    Input,
    Context,
    Variable(String),
    /// `@`, inside a filter.
    Current,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    Fields(Vec<String>),
    Indexes(Vec<i64>),
    Slice(Option<i64>, Option<i64>),
    Wildcard,
    /// `..`: the node and everything below it; a step follows.
    Descend,
    Filter(filter::Filter),
}

impl Path {
    /// Compiles; the fault is worded to stand behind "Invalid path '…': ".
    pub fn parse(text: &str) -> Result<Path, String> {
        parse::path(text)
    }

    /// Whether `text` looks like a path rather than an intrinsic function.
    pub fn is_path(text: &str) -> bool {
        text.starts_with('$')
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// Names exactly one place.
    pub fn is_definite(&self) -> bool {
        self.steps.iter().all(Step::is_definite)
    }

    /// Definite, rooted in the input, and without anything but names and indexes from the front.
    pub fn is_reference(&self) -> bool {
        let plain = |s: &Step| match s {
            Step::Fields(names) => names.len() == 1,
            Step::Indexes(at) => at.len() == 1 && at[0] >= 0,
            _ => false,
        };
        self.root == Root::Input && self.steps.iter().all(plain)
    }

    pub fn is_context(&self) -> bool {
        self.root == Root::Context
    }

    /// The name of the variable it starts from.
    pub fn variable(&self) -> Option<&str> {
        match &self.root {
            Root::Variable(name) => Some(name),
            _ => None,
        }
    }

    /// Just `$`.
    pub fn is_whole_input(&self) -> bool {
        self.root == Root::Input && self.steps.is_empty()
    }

    /// Evaluates. An indefinite path that finds nothing gives `[]`.
    pub fn find<'a>(&self, scope: &Scope<'a>) -> Result<Cow<'a, Value>, Miss> {
        let root = match &self.root {
            Root::Input | Root::Current => scope.input,
            Root::Context => scope.context,
            Root::Variable(name) => scope.variables.get(name).ok_or_else(|| Miss::variable(name))?,
        };
        find::find(self, root, root)
    }

    /// The document the path is applied to, for messages; `null` for a variable that is not set.
    pub(crate) fn root_value<'a>(&self, scope: &Scope<'a>) -> &'a Value {
        match &self.root {
            Root::Input | Root::Current => scope.input,
            Root::Context => scope.context,
            Root::Variable(name) => scope.variables.get(name).unwrap_or(&Value::Null),
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Step {
    fn is_definite(&self) -> bool {
        match self {
            Step::Fields(names) => names.len() == 1,
            Step::Indexes(at) => at.len() == 1,
            _ => false,
        }
    }
}
