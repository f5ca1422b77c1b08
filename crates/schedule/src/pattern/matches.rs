//! Holding an event against a pattern.

use super::{Field, Group, Leaf, Pattern, Test};
use crate::pattern::number::Number;
use serde_json::Value;
use std::cell::OnceCell;
use std::net::IpAddr;

/// Top-level fields that are known before an event is parsed, each a text.
pub type Known<'a> = [(&'a str, &'a str)];

impl Pattern {
    /// Does the event match?
    pub fn matches(&self, event: &Value) -> bool {
        let absent = self.absent.iter().map(|_| OnceCell::new()).collect();
        let judged = Judged { event, paths: &self.absent, absent };
        self.root.matches(&judged, Some(event))
    }

    /// Could an event match that has these top-level fields, and others that are not known yet?
    pub fn could_match(&self, known: &Known<'_>) -> bool {
        self.root.could_match(known)
    }

    /// Could this text of the event's `detail` match? Never wrong when it says no.
    pub fn could_match_detail(&self, detail: &[u8]) -> bool {
        self.literals.as_ref().is_none_or(|literals| literals.could_be_in(detail))
    }
}

/// The event that is judged, and which leaves it does not have: each is looked for once, if at all.
struct Judged<'a> {
    event: &'a Value,
    paths: &'a [Vec<String>],
    absent: Vec<OnceCell<bool>>,
}

impl Judged<'_> {
    fn is_absent(&self, index: usize) -> bool {
        *self.absent[index].get_or_init(|| !has_leaf(self.event, &self.paths[index]))
    }
}

impl Group {
    /// `value` is what is here; nothing, if a name on the way is missing.
    fn matches(&self, judged: &Judged<'_>, value: Option<&Value>) -> bool {
        match value {
            // One member must satisfy all fields.
            Some(Value::Array(members)) if !members.is_empty() => {
                members.iter().any(|member| self.matches(judged, Some(member)))
            }
            Some(Value::Object(object)) => self.fields_match(judged, |name| object.get(name)),
            _ => self.fields_match(judged, |_| None),
        }
    }

    fn fields_match<'v>(&self, judged: &Judged<'_>, get: impl Fn(&str) -> Option<&'v Value> + Copy) -> bool {
        self.fields.iter().all(|(name, field)| match field {
            Field::Inner(group) => group.matches(judged, get(name)),
            Field::Leaf(leaf) => leaf.matches(judged, get(name)),
        }) && self.choices.iter().all(|groups| groups.iter().any(|group| group.fields_match(judged, get)))
    }

    /// Could it match where there is nothing?
    fn could_be_empty(&self) -> bool {
        self.fields.iter().all(|(_, field)| match field {
            Field::Inner(group) => group.could_be_empty(),
            Field::Leaf(leaf) => leaf.absent.is_some(),
        }) && self.choices.iter().all(|groups| groups.iter().any(Self::could_be_empty))
    }

    fn could_match(&self, known: &Known<'_>) -> bool {
        self.fields.iter().all(|(name, field)| match known.iter().find(|(field, _)| field == name) {
            None => true,
            Some((_, text)) => match field {
                // A text has no fields below it.
                Field::Inner(group) => group.could_be_empty(),
                Field::Leaf(leaf) => leaf.tests.iter().any(|test| test.passes_text(text)),
            },
        }) && self.choices.iter().all(|groups| groups.iter().any(|group| group.could_match(known)))
    }
}

impl Leaf {
    fn matches(&self, judged: &Judged<'_>, value: Option<&Value>) -> bool {
        value.is_some_and(|value| self.passes(value))
            || self.absent.is_some_and(|index| judged.is_absent(index))
    }

    fn passes(&self, value: &Value) -> bool {
        match value {
            Value::Array(members) => members.iter().any(|member| self.passes(member)),
            Value::Object(_) => false,
            value => self.tests.iter().any(|test| test.passes(value)),
        }
    }
}

/// Is there a leaf at the end of the path, in any member of the arrays on the way?
fn has_leaf(value: &Value, path: &[String]) -> bool {
    match (value, path) {
        (Value::Array(members), _) => members.iter().any(|member| has_leaf(member, path)),
        (Value::Object(object), [name, rest @ ..]) => {
            object.get(name).is_some_and(|value| has_leaf(value, rest))
        }
        (Value::Object(_), []) => false,
        (_, rest) => rest.is_empty(),
    }
}

impl Test {
    /// `value` is a leaf.
    fn passes(&self, value: &Value) -> bool {
        match value {
            Value::String(text) => self.passes_text(text),
            Value::Number(number) => match (self, Number::of(number)) {
                (Self::Number(other), Some(number)) => number.equals(*other),
                (Self::Numeric(range), Some(number)) => range.contains(number),
                (Self::NotNumbers(others), Some(number)) => !others.iter().any(|other| number.equals(*other)),
                (Self::NotTexts(_) | Self::Exists, _) => true,
                _ => false,
            },
            Value::Null => {
                matches!(self, Self::Null | Self::Exists | Self::NotTexts(_) | Self::NotNumbers(_))
            }
            Value::Bool(value) => match self {
                Self::Bool(other) => value == other,
                Self::Exists | Self::NotTexts(_) | Self::NotNumbers(_) => true,
                _ => false,
            },
            Value::Array(_) | Value::Object(_) => false,
        }
    }

    fn passes_text(&self, text: &str) -> bool {
        match self {
            Self::Text(test) => test.matches(text),
            Self::Cidr { network, bits } => text.parse().is_ok_and(|address| is_in(address, *network, *bits)),
            Self::NotTexts(tests) => !tests.iter().any(|test| test.matches(text)),
            Self::Exists | Self::NotNumbers(_) => true,
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Numeric(_) => false,
        }
    }
}

fn is_in(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let same = |one: u128, other: u128, width: u8| bits == 0 || (one ^ other) >> (width - bits) == 0;
    match (address, network) {
        (IpAddr::V4(one), IpAddr::V4(other)) => same(one.to_bits().into(), other.to_bits().into(), 32),
        (IpAddr::V6(one), IpAddr::V6(other)) => same(one.to_bits(), other.to_bits(), 128),
        _ => false,
    }
}
