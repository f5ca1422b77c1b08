//! What a caller chooses when a schema is compiled, and what can be wrong with one.

/// The drafts of JSON Schema that are understood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Draft {
    Draft4,
    Draft6,
    Draft7,
    Draft201909,
    #[default]
    Draft202012,
}

impl Draft {
    pub const ALL: [Draft; 5] =
        [Self::Draft4, Self::Draft6, Self::Draft7, Self::Draft201909, Self::Draft202012];

    /// The draft whose meta-schema `uri` names.
    pub fn of_uri(uri: &str) -> Option<Self> {
        let bare = uri.trim_end_matches('#');
        Self::ALL.into_iter().find(|draft| draft.uri().trim_end_matches('#') == bare)
    }

    /// URI of the draft's meta-schema, as `$schema` names it.
    pub const fn uri(self) -> &'static str {
        match self {
            Self::Draft4 => "http://json-schema.org/draft-04/schema#",
            Self::Draft6 => "http://json-schema.org/draft-06/schema#",
            Self::Draft7 => "http://json-schema.org/draft-07/schema#",
            Self::Draft201909 => "https://json-schema.org/draft/2019-09/schema",
            Self::Draft202012 => "https://json-schema.org/draft/2020-12/schema",
        }
    }

    /// Whether `format` asserts unless told otherwise: up to draft 7 it does, later it annotates.
    pub const fn asserts_format(self) -> bool {
        matches!(self, Self::Draft4 | Self::Draft6 | Self::Draft7)
    }

    /// Whether keywords beside a `$ref` count.
    pub(crate) const fn ref_has_siblings(self) -> bool {
        matches!(self, Self::Draft201909 | Self::Draft202012)
    }

    pub(crate) const fn judge(self) -> jsonschema::Draft {
        match self {
            Self::Draft4 => jsonschema::Draft::Draft4,
            Self::Draft6 => jsonschema::Draft::Draft6,
            Self::Draft7 => jsonschema::Draft::Draft7,
            Self::Draft201909 => jsonschema::Draft::Draft201909,
            Self::Draft202012 => jsonschema::Draft::Draft202012,
        }
    }
}

/// How a schema is read and which events are taken at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// For schemas without `$schema`.
    pub draft: Draft,
    /// Whether `format` refuses values; `None` leaves it to the draft ([`Draft::asserts_format`]).
    pub assert_format: Option<bool>,
    /// The largest event, in bytes.
    pub max_event_bytes: usize,
    /// An event nests objects and arrays fewer than this many levels deep. At most 128 counts, since
    /// that is where `jsonschema`'s values end.
    pub max_depth: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { draft: Draft::default(), assert_format: None, max_event_bytes: 1 << 20, max_depth: 128 }
    }
}

/// One thing that is wrong with a schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{pointer}: {message}{}{hint}", if .hint.is_empty() { "" } else { "; " })]
pub struct SchemaFault {
    /// JSON pointer (RFC 6901) into the schema.
    pub pointer: String,
    pub message: String,
    /// What to do about it; may be empty.
    pub hint: String,
}

impl SchemaFault {
    pub(crate) fn new(
        pointer: impl Into<String>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self { pointer: pointer.into(), message: message.into(), hint: hint.into() }
    }
}
