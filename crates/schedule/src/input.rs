//! Input transformers: a value made out of an event, as EventBridge makes it.
//!
//! A template is JSON in which `<name>` stands for a part of the event:
//! * A text that is nothing but `<name>` becomes the part itself, whatever its type. Is there no such part, the
//!   field or member is left out.
//! * Within a longer text, texts are put in as they are, other values as JSON; what is not there as nothing.
//!
//! A template may also be one text, as EventBridge's API takes it: if it begins with `{`, `[` or `"` it is read as
//! JSON, in which `<name>` may stand without quotes (the part itself) or inside a text (as text); otherwise it is
//! a text.

use crate::path::Path;
use bourn_config::InputTransformer;
use serde_json::{Map, Value};

/// EventBridge's own limit.
const VARIABLES_MAX: usize = 100;

/// Marks, while a text is read as JSON, the names that stood there without quotes.
const BARE: char = '\u{F8FF}';

/// A compiled transformer.
#[derive(Clone, Debug)]
pub struct Input {
    variables: Vec<(String, Path)>,
    template: Node,
}

/// What is wrong with a transformer, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{pointer}: {message}")]
pub struct InputFault {
    /// JSON pointer into the transformer.
    pub pointer: String,
    pub message: String,
}

/// What a template may name beside the event.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Name of the trigger.
    pub rule: &'a str,
    /// When the event was received, as RFC 3339.
    pub ingestion_time: &'a str,
}

#[derive(Clone, Debug)]
enum Node {
    Literal(Value),
    Variable(Variable),
    Text(Vec<Piece>),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

#[derive(Clone, Debug)]
enum Piece {
    Literal(String),
    Variable(Variable),
}

#[derive(Clone, Debug)]
enum Variable {
    /// By its index.
    Path(usize),
    Event,
    EventWithoutDetail,
    IngestionTime,
    RuleName,
    RuleArn,
}

impl Input {
    pub fn compile(transformer: &InputTransformer) -> Result<Self, Vec<InputFault>> {
        let mut compiler = Compiler { variables: Vec::new(), faults: Vec::new() };
        compiler.variables(transformer);
        let template = compiler.root(&transformer.template);
        if compiler.faults.is_empty() {
            Ok(Self { variables: compiler.variables, template })
        } else {
            Err(compiler.faults)
        }
    }

    /// The input that an event makes; null if the whole template is a part that is not there.
    pub fn render(&self, event: &Value, facts: Facts<'_>) -> Value {
        let values: Vec<_> = self.variables.iter().map(|(_, path)| path.find(event)).collect();
        let renderer = Renderer { event, facts, values };
        renderer.node(&self.template).unwrap_or(Value::Null)
    }
}

struct Compiler {
    variables: Vec<(String, Path)>,
    faults: Vec<InputFault>,
}

impl Compiler {
    fn fault(&mut self, pointer: &str, message: impl Into<String>) {
        self.faults.push(InputFault { pointer: pointer.to_owned(), message: message.into() });
    }

    fn variables(&mut self, transformer: &InputTransformer) {
        if transformer.paths.len() > VARIABLES_MAX {
            self.fault("/paths", format!("has more than {VARIABLES_MAX} names"));
        }
        for (name, path) in &transformer.paths {
            let pointer = format!("/paths/{}", escaped(name));
            let known = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            if name.is_empty() || !name.chars().all(known) {
                self.fault(&pointer, "is not a name: write letters, digits, `_` and `-`");
            } else if name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("aws")) {
                self.fault(&pointer, "begins with `aws`, which is reserved");
            }
            match Path::parse(path) {
                Ok(path) => self.variables.push((name.clone(), path)),
                Err(message) => self.fault(&pointer, message),
            }
        }
    }

    fn root(&mut self, template: &Value) -> Node {
        match template {
            Value::String(text) if text.trim_start().starts_with(['{', '[', '"']) => {
                match serde_json::from_str(&quote_bare_names(text)) {
                    Ok(value) => self.node(&value, "/template", true),
                    Err(error) => {
                        self.fault("/template", format!("is not JSON: {error}"));
                        Node::Literal(Value::Null)
                    }
                }
            }
            value => self.node(value, "/template", false),
        }
    }

    /// `read`: was it read from a text, so that names without quotes are marked?
    fn node(&mut self, value: &Value, pointer: &str, read: bool) -> Node {
        match value {
            Value::String(text) => self.text(text, pointer, read),
            Value::Array(members) => {
                let at = |(index, member)| self.node(member, &format!("{pointer}/{index}"), read);
                Node::List(members.iter().enumerate().map(at).collect())
            }
            Value::Object(object) => {
                let mut fields = Vec::with_capacity(object.len());
                for (name, value) in object {
                    let pointer = format!("{pointer}/{}", escaped(name));
                    if name.contains(BARE) {
                        self.fault(&pointer, "`<name>` cannot stand for a field's name");
                    }
                    fields.push((name.clone(), self.node(value, &pointer, read)));
                }
                Node::Object(fields)
            }
            literal => Node::Literal(literal.clone()),
        }
    }

    fn text(&mut self, text: &str, pointer: &str, read: bool) -> Node {
        if read && let Some(name) = text.strip_prefix(BARE) {
            return self.variable(name, pointer).map_or(Node::Literal(Value::Null), Node::Variable);
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, name, behind)) = split_name(rest) {
            if !before.is_empty() {
                pieces.push(Piece::Literal(before.to_owned()));
            }
            pieces.extend(self.variable(name, pointer).map(Piece::Variable));
            rest = behind;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Literal(rest.to_owned()));
        }
        match &pieces[..] {
            [] => Node::Literal(Value::String(String::new())),
            [Piece::Literal(text)] => Node::Literal(Value::String(text.clone())),
            [Piece::Variable(variable)] if !read => Node::Variable(variable.clone()),
            _ => Node::Text(pieces),
        }
    }

    fn variable(&mut self, name: &str, pointer: &str) -> Option<Variable> {
        let variable = match name {
            "aws.events.event.json" => Some(Variable::Event),
            "aws.events.event" => Some(Variable::EventWithoutDetail),
            "aws.events.event.ingestion-time" => Some(Variable::IngestionTime),
            "aws.events.rule-name" => Some(Variable::RuleName),
            "aws.events.rule-arn" => Some(Variable::RuleArn),
            name => self.variables.iter().position(|(known, _)| known == name).map(Variable::Path),
        };
        if variable.is_none() {
            self.fault(pointer, format!("`<{name}>` is not known: name its path under `paths`"));
        }
        variable
    }
}

struct Renderer<'a> {
    event: &'a Value,
    facts: Facts<'a>,
    values: Vec<Option<Value>>,
}

impl Renderer<'_> {
    fn node(&self, node: &Node) -> Option<Value> {
        Some(match node {
            Node::Literal(value) => value.clone(),
            Node::Variable(variable) => self.variable(variable)?,
            Node::Text(pieces) => Value::String(pieces.iter().map(|piece| self.piece(piece)).collect()),
            Node::List(members) => Value::Array(members.iter().filter_map(|node| self.node(node)).collect()),
            Node::Object(fields) => {
                let field = |(name, node): &(String, Node)| Some((name.clone(), self.node(node)?));
                Value::Object(fields.iter().filter_map(field).collect::<Map<_, _>>())
            }
        })
    }

    fn piece(&self, piece: &Piece) -> String {
        match piece {
            Piece::Literal(text) => text.clone(),
            Piece::Variable(variable) => match self.variable(variable) {
                Some(Value::String(text)) => text,
                Some(value) => value.to_string(),
                None => String::new(),
            },
        }
    }

    fn variable(&self, variable: &Variable) -> Option<Value> {
        Some(match variable {
            Variable::Path(index) => self.values[*index].clone()?,
            Variable::Event => self.event.clone(),
            Variable::EventWithoutDetail => {
                let mut event = self.event.clone();
                if let Value::Object(object) = &mut event {
                    object.remove("detail");
                }
                event
            }
            Variable::IngestionTime => self.facts.ingestion_time.into(),
            Variable::RuleName => self.facts.rule.into(),
            Variable::RuleArn => {
                let part = |name: &str| self.event[name].as_str().unwrap_or_default();
                let (region, account) = (part("region"), part("account"));
                format!("arn:aws:events:{region}:{account}:rule/{}", self.facts.rule).into()
            }
        })
    }
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// What is before the first `<name>`, the name, and what is behind.
fn split_name(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    loop {
        let open = from + text[from..].find('<')?;
        let inside = &text[open + 1..];
        let end = inside.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')));
        match end {
            Some(end) if end > 0 && inside[end..].starts_with('>') => {
                return Some((&text[..open], &inside[..end], &inside[end + 1..]));
            }
            _ => from = open + 1,
        }
    }
}

/// Puts quotes and a mark around each `<name>` that stands outside a JSON text.
fn quote_bare_names(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if c == '"' {
            let end = end_of_text(rest);
            quoted.push_str(&rest[..end]);
            rest = &rest[end..];
        } else if let Some(("", name, behind)) = (c == '<').then(|| split_name(rest)).flatten() {
            quoted.push('"');
            quoted.push(BARE);
            quoted.push_str(name);
            quoted.push('"');
            rest = behind;
        } else {
            quoted.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    quoted
}

/// Length of the JSON text that begins here, with its quotes.
fn end_of_text(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}
