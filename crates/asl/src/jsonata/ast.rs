//! The tree of an expression, in the shape the evaluator walks: chains of `.` are one path of steps.

use super::signature::Signature;
use regex::Regex;
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct Node {
    pub kind: Kind,
    /// `[…]` behind anything that is not a step of a path.
    pub predicates: Vec<Stage>,
    /// `[…]` and `#$i` behind a step of a path.
    pub stages: Vec<Stage>,
    /// `{…}` behind it.
    pub group: Option<Vec<(Node, Node)>>,
    /// `[]` behind it: one result stays a list.
    pub keep_array: bool,
    /// An array constructor that a path does not flatten.
    pub cons: bool,
    /// `@$name`.
    pub focus: Option<String>,
    /// `#$name`.
    pub index: Option<String>,
}

#[derive(Debug)]
pub(super) enum Stage {
    Filter(Node),
    Index(String),
}

#[derive(Debug)]
pub(super) enum Kind {
    Path {
        steps: Vec<Node>,
        keep_singleton: bool,
    },
    Name(String),
    Str(String),
    Num(f64),
    Bool(bool),
    Null,
    /// Without `$`; empty for `$` itself.
    Variable(String),
    Regex(Regex),
    Wildcard,
    Descendants,
    Parent,
    Negate(Box<Node>),
    Array(Vec<Node>),
    Object(Vec<(Node, Node)>),
    Binary(Op, Box<Node>, Box<Node>),
    Bind(String, Box<Node>),
    Condition(Box<Node>, Box<Node>, Option<Box<Node>>),
    /// `a ?: b`: `a` unless it is false.
    Default(Box<Node>, Box<Node>),
    /// `a ?? b`: `a` if it exists.
    Coalesce(Box<Node>, Box<Node>),
    Block(Vec<Node>),
    Call(Box<Node>, Vec<Node>),
    /// A call with `?` among its arguments.
    Partial(Box<Node>, Vec<Node>),
    /// `?` in a partial call.
    Placeholder,
    Lambda(Arc<Lambda>),
    Apply(Box<Node>, Box<Node>),
    Transform(Arc<Transform>),
    /// Terms, each with whether it is descending.
    Sort(Vec<(Node, bool)>),
}

#[derive(Debug)]
pub(super) struct Lambda {
    pub params: Vec<String>,
    pub signature: Option<Signature>,
    pub body: Node,
}

#[derive(Debug)]
pub(super) struct Transform {
    pub pattern: Node,
    pub update: Node,
    pub delete: Option<Node>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    And,
    Or,
    In,
    Concat,
    Range,
}

impl Op {
    pub fn symbol(self) -> &'static str {
        match self {
            Op::Add => "+",
            Op::Subtract => "-",
            Op::Multiply => "*",
            Op::Divide => "/",
            Op::Modulo => "%",
            Op::Equal => "=",
            Op::NotEqual => "!=",
            Op::Less => "<",
            Op::LessEqual => "<=",
            Op::Greater => ">",
            Op::GreaterEqual => ">=",
            Op::And => "and",
            Op::Or => "or",
            Op::In => "in",
            Op::Concat => "&",
            Op::Range => "..",
        }
    }
}

impl Node {
    pub fn new(kind: Kind) -> Node {
        Node {
            kind,
            predicates: Vec::new(),
            stages: Vec::new(),
            group: None,
            keep_array: false,
            cons: false,
            focus: None,
            index: None,
        }
    }

    pub fn name(name: String) -> Node {
        Node::new(Kind::Path { steps: vec![Node::new(Kind::Name(name))], keep_singleton: false })
    }
}
