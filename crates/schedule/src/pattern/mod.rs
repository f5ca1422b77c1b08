//! Event patterns, as EventBridge documents them, compiled once.
//!
//! ```text
//!  pattern   := { field: pattern | [value, …], …, "$or": [pattern, pattern, …] }
//!  value     := "text" | number | true | false | null | {operator: …}
//!  operators := prefix  suffix  equals-ignore-case  wildcard  anything-but  numeric  cidr  exists
//! ```
//!
//! All fields must match, and of a field's values one. How values are compared:
//! * Numbers by their value: `300`, `300.0` and `3e2` are equal. Text never equals a number.
//! * A field that holds an array matches if one of its members does; arrays in arrays are looked into. Several
//!   fields below one array must match in the same member of it.
//! * `exists` looks for leaves: a value that is neither an object nor an empty array. `false` is true only if
//!   there is no such leaf in any member of the arrays above.
//! * `anything-but` needs the field to be there, and of an array one member that is something else.

mod literal;
mod matches;
mod number;
mod parse;
mod text;

pub use matches::Known;
pub use parse::PatternFault;

use literal::Literals;
use number::{Number, Range};
use std::net::IpAddr;
use text::Text;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub struct Pattern {
    root: Group,
    /// Where `{"exists": false}` stands: the names from the root.
    absent: Vec<Vec<String>>,
    /// What an event's bytes must hold, if that can be told.
    literals: Option<Literals>,
}

/// Fields that must all match, and choices of which one must.
#[derive(Clone, Debug, Default)]
struct Group {
    fields: Vec<(String, Field)>,
    choices: Vec<Vec<Group>>,
}

#[derive(Clone, Debug)]
enum Field {
    Inner(Group),
    Leaf(Leaf),
}

/// A list of values, of which one must match.
#[derive(Clone, Debug)]
struct Leaf {
    tests: Vec<Test>,
    /// With `{"exists": false}` among the values: its place in [`Pattern::absent`].
    absent: Option<usize>,
}

/// A value of a leaf.
#[derive(Clone, Debug)]
enum Test {
    Null,
    Bool(bool),
    Number(Number),
    Text(Text),
    Numeric(Range),
    Cidr {
        network: IpAddr,
        bits: u8,
    },
    Exists,
    NotNumbers(Vec<Number>),
    /// Any value but these texts: what is no text passes.
    NotTexts(Vec<Text>),
}
