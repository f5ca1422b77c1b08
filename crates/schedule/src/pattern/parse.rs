//! Compiling a pattern. Every fault is told with its place, not only the first.

use super::literal::Literals;
use super::number::{Number, Range};
use super::text::{Text, Wildcard, folded};
use super::{Field, Group, Leaf, Pattern, Test};
use serde_json::{Map, Value};
use std::net::IpAddr;

/// Deeper patterns are refused.
const DEPTH_MAX: usize = 64;
/// Patterns with more values are refused.
const VALUES_MAX: usize = 10_000;
const FAULTS_MAX: usize = 100;

/// What is wrong with a pattern, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{pointer}: {message}")]
pub struct PatternFault {
    /// JSON pointer into the pattern.
    pub pointer: String,
    pub message: String,
}

impl Pattern {
    pub fn compile(pattern: &Value) -> Result<Self, Vec<PatternFault>> {
        let mut parser = Parser::default();
        let root = match pattern {
            Value::Object(object) => parser.group(object),
            _ => {
                parser.fault("must be an object whose fields name fields of the event");
                Group::default()
            }
        };
        if parser.faults.is_empty() {
            let literals = Literals::of(&root);
            Ok(Self { root, absent: parser.absent, literals })
        } else {
            Err(parser.faults)
        }
    }
}

#[derive(Default)]
struct Parser {
    /// The names and indices from the root.
    place: Vec<String>,
    /// The same without `$or` and its indices: the path in the event.
    path: Vec<String>,
    absent: Vec<Vec<String>>,
    values: usize,
    faults: Vec<PatternFault>,
}

impl Parser {
    fn fault(&mut self, message: impl Into<String>) {
        if self.faults.len() < FAULTS_MAX {
            let escaped = self.place.iter().map(|part| part.replace('~', "~0").replace('/', "~1"));
            let pointer = escaped.map(|part| format!("/{part}")).collect();
            self.faults.push(PatternFault { pointer, message: message.into() });
        }
    }

    fn at<T>(&mut self, part: impl ToString, inside: impl FnOnce(&mut Self) -> T) -> T {
        self.place.push(part.to_string());
        let result = inside(self);
        self.place.pop();
        result
    }

    fn group(&mut self, object: &Map<String, Value>) -> Group {
        let mut group = Group::default();
        if object.is_empty() {
            self.fault("is empty: name at least one field");
        }
        if self.place.len() > DEPTH_MAX {
            self.fault(format!("is deeper than {DEPTH_MAX}"));
            return group;
        }
        for (name, value) in object {
            self.at(name, |parser| {
                if name == "$or" {
                    group.choices.push(parser.choice(value));
                    return;
                }
                parser.path.push(name.clone());
                group.fields.extend(parser.field(value).map(|field| (name.clone(), field)));
                parser.path.pop();
            });
        }
        group
    }

    fn field(&mut self, value: &Value) -> Option<Field> {
        match value {
            Value::Object(object) => Some(Field::Inner(self.group(object))),
            Value::Array(values) => Some(Field::Leaf(self.leaf(values))),
            other => {
                self.fault(format!("must be a list of values or an object of fields: write `[{other}]`"));
                None
            }
        }
    }

    fn choice(&mut self, value: &Value) -> Vec<Group> {
        let Value::Array(patterns) = value else {
            self.fault("must be a list of patterns");
            return Vec::new();
        };
        if patterns.len() < 2 {
            self.fault("must list at least 2 patterns");
        }
        let mut groups = Vec::new();
        for (index, pattern) in patterns.iter().enumerate() {
            self.at(index, |parser| match pattern {
                Value::Object(object) => {
                    for name in object.keys().filter(|name| OPERATORS.contains(&name.as_str())) {
                        let message = "is an operator, not a field: the members of `$or` are patterns";
                        parser.at(name, |parser| parser.fault(message));
                    }
                    groups.push(parser.group(object));
                }
                _ => parser.fault("must be a pattern: an object of fields"),
            });
        }
        groups
    }

    fn leaf(&mut self, values: &[Value]) -> Leaf {
        let mut leaf = Leaf { tests: Vec::with_capacity(values.len()), absent: None };
        if values.is_empty() {
            self.fault("is an empty list, which nothing matches");
        }
        for (index, value) in values.iter().enumerate() {
            self.values += 1;
            if self.values > VALUES_MAX {
                self.fault(format!("a pattern has at most {VALUES_MAX} values"));
                break;
            }
            self.at(index, |parser| parser.value(value, &mut leaf));
        }
        leaf
    }

    fn value(&mut self, value: &Value, leaf: &mut Leaf) {
        let test = match value {
            Value::Null => Some(Test::Null),
            Value::Bool(value) => Some(Test::Bool(*value)),
            Value::Number(number) => Number::of(number).map(Test::Number),
            Value::String(text) => Some(Test::Text(Text::Equals(text.clone()))),
            Value::Array(_) => {
                self.fault("is a list in a list: write its values into the outer one");
                None
            }
            Value::Object(object) => {
                let mut members = object.iter();
                match (members.next(), members.next()) {
                    (Some((operator, argument)), None) => {
                        self.at(operator, |parser| parser.operator(operator, argument, leaf))
                    }
                    _ => {
                        self.fault(format!("must have exactly one operator of {}", OPERATORS.join(", ")));
                        None
                    }
                }
            }
        };
        leaf.tests.extend(test);
    }

    fn operator(&mut self, operator: &str, argument: &Value, leaf: &mut Leaf) -> Option<Test> {
        match operator {
            "prefix" | "suffix" => self.affix(operator, argument).map(Test::Text),
            "equals-ignore-case" | "wildcard" => self.text(operator, argument).map(Test::Text),
            "anything-but" => self.anything_but(argument),
            "numeric" => self.numeric(argument).map(Test::Numeric),
            "cidr" => self.cidr(argument),
            "exists" => match argument {
                Value::Bool(true) => Some(Test::Exists),
                Value::Bool(false) => {
                    leaf.absent = Some(self.absent.len());
                    self.absent.push(self.path.clone());
                    None
                }
                _ => self.refuse("must be true or false"),
            },
            _ => self.refuse(format!("is no operator: there are {}", OPERATORS.join(", "))),
        }
    }

    fn refuse<T>(&mut self, message: impl Into<String>) -> Option<T> {
        self.fault(message);
        None
    }

    /// `prefix` and `suffix`: a text, or one without regard to case.
    fn affix(&mut self, operator: &str, argument: &Value) -> Option<Text> {
        let is_prefix = operator == "prefix";
        match argument {
            Value::String(text) if is_prefix => Some(Text::Prefix(text.clone())),
            Value::String(text) => Some(Text::Suffix(text.clone())),
            Value::Object(object) => match (object.len(), object.get("equals-ignore-case")) {
                (1, Some(Value::String(text))) if is_prefix => Some(Text::PrefixFolded(folded(text))),
                (1, Some(Value::String(text))) => Some(Text::SuffixFolded(folded(text))),
                _ => self.refuse("may hold only `equals-ignore-case` with a text"),
            },
            _ => self.refuse("must be a text, or `{\"equals-ignore-case\": text}`"),
        }
    }

    /// An operator that takes one text.
    fn text(&mut self, operator: &str, argument: &Value) -> Option<Text> {
        let Value::String(text) = argument else { return self.refuse("must be a text") };
        match operator {
            "equals-ignore-case" => Some(Text::EqualsFolded(folded(text))),
            _ => match Wildcard::parse(text) {
                Ok(wildcard) => Some(Text::Wildcard(wildcard)),
                Err(message) => self.refuse(message),
            },
        }
    }

    fn anything_but(&mut self, argument: &Value) -> Option<Test> {
        match argument {
            Value::String(text) => Some(Test::NotTexts(vec![Text::Equals(text.clone())])),
            Value::Number(number) => Some(Test::NotNumbers(Number::of(number).into_iter().collect())),
            Value::Array(values) => self.anything_but_list(values),
            Value::Object(object) => {
                let mut members = object.iter();
                match (members.next(), members.next()) {
                    (Some((operator, argument)), None) => self.at(operator, |parser| {
                        parser.anything_but_operator(operator, argument).map(Test::NotTexts)
                    }),
                    _ => self.refuse("must have exactly one operator"),
                }
            }
            _ => self.refuse("must be a text, a number, a list of either, or an operator on texts"),
        }
    }

    fn anything_but_list(&mut self, values: &[Value]) -> Option<Test> {
        let texts = values.iter().map(|value| value.as_str().map(|text| Text::Equals(text.into())));
        let numbers = values.iter().map(|value| value.as_number().and_then(Number::of));
        if values.is_empty() {
            self.refuse("is an empty list")
        } else if let Some(texts) = texts.collect() {
            Some(Test::NotTexts(texts))
        } else if let Some(numbers) = numbers.collect() {
            Some(Test::NotNumbers(numbers))
        } else {
            self.refuse("must list texts only or numbers only")
        }
    }

    fn anything_but_operator(&mut self, operator: &str, argument: &Value) -> Option<Vec<Text>> {
        if !["prefix", "suffix", "equals-ignore-case", "wildcard"].contains(&operator) {
            return self
                .refuse("is not known here: there are prefix, suffix, equals-ignore-case and wildcard");
        }
        let one = |parser: &mut Self, argument: &Value| match argument {
            Value::String(text) if text.is_empty() && matches!(operator, "prefix" | "suffix") => {
                parser.refuse("is empty, which every text begins and ends with")
            }
            _ if matches!(operator, "prefix" | "suffix") => parser.affix(operator, argument),
            _ => parser.text(operator, argument),
        };
        match argument {
            Value::Array(values) if values.is_empty() => self.refuse("is an empty list"),
            Value::Array(values) => {
                let texts: Vec<_> = (values.iter().enumerate())
                    .map(|(index, value)| self.at(index, |parser| one(parser, value)))
                    .collect();
                texts.into_iter().collect()
            }
            value => one(self, value).map(|text| vec![text]),
        }
    }

    fn numeric(&mut self, argument: &Value) -> Option<Range> {
        const EXPECTED: &str = "must be like `[\"=\", 5]`, `[\">\", 0]` or `[\">=\", 0, \"<\", 5]`";
        let Value::Array(parts) = argument else { return self.refuse(EXPECTED) };
        let mut range = Range::default();
        if parts.is_empty() || parts.len() % 2 != 0 || parts.len() > 4 {
            return self.refuse(EXPECTED);
        }
        for (index, pair) in parts.chunks_exact(2).enumerate() {
            let Some(number) = pair[1].as_number().and_then(Number::of) else {
                return self.at(2 * index + 1, |parser| parser.refuse("must be a number"));
            };
            let (above, below) = match pair[0].as_str() {
                Some("=") if parts.len() == 2 => (Some((number, true)), Some((number, true))),
                Some("=") => return self.at(2 * index, |parser| parser.refuse("`=` stands alone")),
                Some(">") => (Some((number, false)), None),
                Some(">=") => (Some((number, true)), None),
                Some("<") => (None, Some((number, false))),
                Some("<=") => (None, Some((number, true))),
                _ => return self.at(2 * index, |parser| parser.refuse("must be one of =, <, <=, >, >=")),
            };
            if (above.is_some() && range.above.is_some()) || (below.is_some() && range.below.is_some()) {
                return self.refuse("bounds the same side twice: one bound is from below, one from above");
            }
            range = Range { above: range.above.or(above), below: range.below.or(below) };
        }
        if range.is_empty() { self.refuse("is a range without a number in it") } else { Some(range) }
    }

    fn cidr(&mut self, argument: &Value) -> Option<Test> {
        let parsed = argument.as_str().and_then(|text| {
            let (network, bits) = text.split_once('/')?;
            let network: IpAddr = network.parse().ok()?;
            let bits_max = if network.is_ipv4() { 32 } else { 128 };
            let digits = !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit());
            let bits = bits.parse::<u8>().ok().filter(|bits| digits && *bits <= bits_max)?;
            Some(Test::Cidr { network, bits })
        });
        parsed.or_else(|| self.refuse("must be a network like `10.0.0.0/24` or `2001:db8::/32`"))
    }
}

const OPERATORS: [&str; 8] =
    ["prefix", "suffix", "equals-ignore-case", "wildcard", "anything-but", "numeric", "cidr", "exists"];
