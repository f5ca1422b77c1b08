//! What the bytes of an event must hold for a pattern to match: looked for before the event is parsed.
//!
//! Only fields below `detail` count, outside `$or`, whose values are all exact texts. A text is looked for as
//! JSON writes it at its plainest; an event that has an escape anywhere is not judged by its bytes.

use super::{Field, Group, Leaf, Test, text::Text};
use memchr::memmem::Finder;

/// Of each list, one must be there.
#[derive(Clone, Debug)]
pub(super) struct Literals(Vec<Vec<Finder<'static>>>);

impl Literals {
    pub fn of(root: &Group) -> Option<Self> {
        let mut found = Vec::new();
        for (name, field) in &root.fields {
            if let (true, Field::Inner(detail)) = (name == "detail", field) {
                collect(detail, &mut found);
            }
        }
        (!found.is_empty()).then_some(Self(found))
    }

    pub fn could_be_in(&self, event: &[u8]) -> bool {
        let one_of = |finders: &Vec<Finder<'_>>| finders.iter().any(|finder| finder.find(event).is_some());
        self.0.iter().all(one_of) || memchr::memchr(b'\\', event).is_some()
    }
}

fn collect(group: &Group, found: &mut Vec<Vec<Finder<'static>>>) {
    for (_, field) in &group.fields {
        match field {
            Field::Inner(group) => collect(group, found),
            Field::Leaf(leaf) => found.extend(finders(leaf)),
        }
    }
}

fn finders(leaf: &Leaf) -> Option<Vec<Finder<'static>>> {
    if leaf.absent.is_some() {
        return None;
    }
    let finder = |test: &Test| match test {
        Test::Text(Text::Equals(text)) if is_plain(text) => {
            Some(Finder::new(format!("\"{text}\"").as_bytes()).into_owned())
        }
        _ => None,
    };
    leaf.tests.iter().map(finder).collect()
}

/// Does JSON write it without an escape?
fn is_plain(text: &str) -> bool {
    text.chars().all(|c| c >= ' ' && c != '"' && c != '\\')
}
