//! Faults of a definition, and the places they are at.

use serde::Serialize;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

/// One fault of a definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// `bourn.yaml`, or the environment's file.
    pub file: String,
    /// From 1; 0 if the fault has no place in the file.
    pub line: usize,
    /// From 1, in characters; 0 if the fault has no place in the file.
    pub column: usize,
    /// Keys from the top, like `streams.orders.dedupe.window`; empty for the whole file.
    pub path: String,
    /// What is wrong and what was expected.
    pub message: String,
    /// A suggestion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl Ord for Fault {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |fault: &Self| (fault.file.clone(), fault.line, fault.column);
        key(self)
            .cmp(&key(other))
            .then_with(|| self.path.cmp(&other.path))
            .then_with(|| self.message.cmp(&other.message))
            .then_with(|| self.hint.cmp(&other.hint))
    }
}

impl PartialOrd for Fault {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// All faults of a definition, in the order of their places. As JSON: an array of [`Fault`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn push(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub fn extend(&mut self, faults: impl IntoIterator<Item = Fault>) {
        self.0.extend(faults);
    }

    /// In the order of the places, each once.
    pub fn sorted(mut self) -> Self {
        self.0.sort();
        self.0.dedup();
        self
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Self {
        Self(vec![fault])
    }
}

/// A line and a column, from 1.
pub(crate) type Mark = (usize, usize);

/// Where a value stands.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Index into [`Places::files`].
    pub file: usize,
    /// The value itself.
    pub value: Mark,
    /// Its key in a mapping, or the value itself in a list.
    pub key: Mark,
}

/// Where each value of a definition stands, by JSON pointer (RFC 6901).
#[derive(Clone, Default)]
pub struct Places {
    pub(crate) files: Vec<String>,
    pub(crate) by_pointer: BTreeMap<String, Place>,
    /// Values with references, by pointer: what is written and what it stands for, first of the
    /// whole value, then of each reference in it. What they stand for is never shown.
    pub(crate) references: BTreeMap<String, Vec<(String, String)>>,
}

impl fmt::Debug for Places {
    /// Without what references stand for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let references: Vec<&String> = self.references.keys().collect();
        f.debug_struct("Places")
            .field("files", &self.files)
            .field("by_pointer", &self.by_pointer)
            .field("references", &references)
            .finish()
    }
}

impl Places {
    /// Does anything stand at `pointer`?
    pub(crate) fn has(&self, pointer: &str) -> bool {
        self.by_pointer.contains_key(pointer)
    }

    /// What is written where references stand, by the pointers of their values.
    pub(crate) fn written(&self) -> impl Iterator<Item = (&str, &str)> {
        self.references.iter().filter_map(|(at, parts)| {
            Some((at.as_str(), parts.first().map(|(written, _)| written.as_str())?))
        })
    }

    /// A fault of the value at `pointer` (such as `/streams/orders/transform`). If nothing stands
    /// there, the place is that of the nearest value around it.
    pub fn fault_at(&self, pointer: &str, message: impl Into<String>, hint: Option<String>) -> Fault {
        self.fault(pointer, pointer, false, message.into(), hint)
    }

    /// The same, at the key rather than at its value.
    pub(crate) fn fault_at_key(
        &self,
        pointer: &str,
        message: impl Into<String>,
        hint: Option<String>,
    ) -> Fault {
        self.fault(pointer, pointer, true, message.into(), hint)
    }

    /// A fault of `pointer`, which is missing: placed at the key of what should contain it.
    pub(crate) fn fault_missing(&self, pointer: &str, message: impl Into<String>) -> Fault {
        let parent = pointer.rfind('/').map_or("", |end| &pointer[..end]);
        self.fault(parent, pointer, true, message.into(), None)
    }

    fn fault(&self, at: &str, of: &str, key: bool, message: String, hint: Option<String>) -> Fault {
        let mut around = at;
        let place = loop {
            match (self.by_pointer.get(around), around.rfind('/')) {
                (Some(place), _) => break Some(place),
                (None, Some(end)) => around = &around[..end],
                (None, None) => break None,
            }
        };
        let first = self.files.first().cloned().unwrap_or_default();
        let (file, (line, column)) = match place {
            Some(place) => (
                self.files.get(place.file).cloned().unwrap_or(first),
                if key || around != at { place.key } else { place.value },
            ),
            None => (first, (0, 0)),
        };
        let hint = hint.map(|hint| self.conceal(of, hint));
        Fault { file, line, column, path: key_path(of), message: self.conceal(of, message), hint }
    }

    /// `text` without the values of resolved references.
    fn conceal(&self, pointer: &str, mut text: String) -> String {
        let references =
            self.references.iter().flat_map(|(at, parts)| parts.iter().map(move |part| (at, part)));
        for (at, (written, value)) in references {
            // A short value may be part of any text; it is only taken out where it is the subject.
            if !value.is_empty() && (at == pointer || value.len() >= 4) && text.contains(value.as_str()) {
                text = text.replace(value.as_str(), written);
            }
        }
        text
    }
}

/// `/streams/orders/sources/0` as `streams.orders.sources[0]`.
pub(crate) fn key_path(pointer: &str) -> String {
    let mut path = String::new();
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        if !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()) {
            path.push_str(&format!("[{part}]"));
            continue;
        }
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(&part);
    }
    path
}

/// `pointer` with one more key behind it.
pub(crate) fn child(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}
