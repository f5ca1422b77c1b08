//! From a schema to its plan.

use crate::flatten::{Flat, Flattener, is_annotation, types_of};
use crate::formats::Format;
use crate::number::Value as Num;
use crate::options::{Draft, SchemaFault};
use crate::order::ORDER;
use crate::pattern::Pattern;
use crate::plan::{Bound, FieldPlan, Kind, ListPlan, Node, NumberChecks, ObjectPlan, TextChecks, Types};
use crate::pointer::push_token;
use bourn_event::{SYSTEM_COLUMNS, SystemColumn};
use serde_json::{Map, Value};
use std::collections::HashSet;

/// More nodes than this and the rest of the schema is kept as JSON text: references may multiply.
const NODES_MAX: usize = 4_096;

pub(crate) struct Compiler<'a> {
    pub flattener: Flattener<'a>,
    pub assert_format: bool,
    pub nodes: usize,
    pub faults: Vec<SchemaFault>,
}

impl Compiler<'_> {
    fn draft(&self) -> Draft {
        self.flattener.draft
    }

    /// The plan of the whole event, and whether every event is judged.
    pub fn root(&mut self, schema: &Value) -> (ObjectPlan, bool) {
        let Value::Object(map) = schema else {
            return (ObjectPlan::new(Vec::new()), *schema != Value::Bool(true));
        };
        let flat = self.flattener.flatten(map, &["#".to_owned()]);
        if types_of(&flat.map).is_some_and(|types| !types.has(Types::OBJECT)) {
            let hint = "events are JSON objects: wrap the value in one";
            self.faults.push(SchemaFault::new("/type", "the schema refuses every object", hint));
        }
        let mut judged = !flat.exact || flat.map.contains_key("enum") || flat.map.contains_key("const");
        let mut plan = self.object(&flat, "", &mut judged);
        for system in SYSTEM_COLUMNS.into_iter().chain([SystemColumn::Extra]) {
            if plan.fields.iter().any(|field| field.name.eq_ignore_ascii_case(system.name())) {
                let mut pointer = "/properties/".to_owned();
                push_token(&mut pointer, system.name());
                let message = format!("{:?} is the name of a system column", system.name());
                self.faults.push(SchemaFault::new(pointer, message, "rename the property"));
            }
        }
        plan.fields.shrink_to_fit();
        (plan, judged)
    }

    fn node(&mut self, schema: &Value, refs: &[String], pointer: &str) -> Node {
        self.nodes += 1;
        let map = match schema {
            Value::Object(map) => map,
            Value::Bool(true) => return Node::json(false, "any value: its JSON text"),
            _ => return Node::json(true, "no value is valid"),
        };
        if self.nodes > NODES_MAX {
            return Node::json(true, "the schema is too large for columns: JSON text");
        }
        // Inside another dialect keywords may mean something else.
        if map.contains_key("$schema") {
            return Node::json(true, "a schema of another dialect: JSON text");
        }
        let flat = self.flattener.flatten(map, refs);
        if flat.recursive {
            return Node::json(true, "recursive: JSON text");
        }
        self.typed(&flat, pointer)
    }

    fn typed(&mut self, flat: &Flat, pointer: &str) -> Node {
        let map = &flat.map;
        let listed = Listed::of(map, self.draft());
        let types = types_of(map).unwrap_or(Types::ALL).both(listed.types);
        let mut node = Node::json(!flat.exact || listed.judged, "");
        node.types = types;
        node.null_ok = flat.or_null || (types.has(Types::NULL) && listed.null);
        node.integer_strict = self.draft() == Draft::Draft4;
        let has_type = map.contains_key("type") || listed.any;
        match types.without(Types::NULL) {
            Types::STRING => self.text(map, listed, &mut node),
            Types::INTEGER => number(map, listed, true, &mut node),
            Types::NUMBER => number(map, listed, false, &mut node),
            Types::BOOLEAN => {
                node.kind = Kind::Bool;
                node.why = "boolean";
                node.judged |= listed.any;
                node.judged |= has_unknown(map, &[]);
            }
            Types::OBJECT if named_properties(map) && !listed.any => {
                let mut judged = node.judged;
                node.kind = Kind::Struct(Box::new(self.object(flat, pointer, &mut judged)));
                node.judged = judged;
                node.why = "object with named properties";
            }
            Types::ARRAY
                if matches!(map.get("items"), Some(Value::Object(_) | Value::Bool(true)))
                    && !map.contains_key("prefixItems")
                    && !listed.any =>
            {
                self.list(flat, pointer, &mut node);
            }
            others => {
                // A union's members have checks of their own, which only the judge tells apart.
                node.judged |= listed.any || others == Types::NONE;
                node.judged |= others.has(Types::INTEGER) && !others.has(Types::NUMBER);
                node.judged |= map.iter().any(|(keyword, value)| !self.says_nothing(keyword, value));
                node.why = match others {
                    Types::OBJECT => "object without named properties: its JSON text",
                    Types::ARRAY => "array without one schema for its items: its JSON text",
                    _ if !has_type => "no single type: JSON text",
                    _ => "several types: JSON text",
                };
            }
        }
        node
    }

    /// Whether a keyword refuses nothing in a JSON column, beside `type`, which is checked there.
    fn says_nothing(&self, keyword: &str, value: &Value) -> bool {
        match keyword {
            "type" => true,
            "format" => !self.assert_format,
            "properties" => value.as_object().is_some_and(Map::is_empty),
            "items" | "additionalProperties" => {
                *value == Value::Bool(true) || value.as_object().is_some_and(Map::is_empty)
            }
            _ => is_annotation(keyword),
        }
    }

    fn text(&self, map: &Map<String, Value>, listed: Listed, node: &mut Node) {
        let mut checks = TextChecks { constant: map.contains_key("const"), ..TextChecks::default() };
        (node.kind, node.why) = (Kind::Text, "string");
        if listed.any {
            checks.allowed = Some(listed.texts);
            node.why = "one of a list of strings";
        }
        node.judged |= has_unknown(map, &["minLength", "maxLength", "pattern", "format"]);
        checks.min = count(map, "minLength", node).unwrap_or(0);
        checks.max = count(map, "maxLength", node);
        if let Some(Value::String(source)) = map.get("pattern") {
            match Pattern::new(source) {
                Some(pattern) => checks.pattern = Some((pattern, source.clone())),
                None => node.judged = true,
            }
        }
        if let Some(Value::String(name)) = map.get("format") {
            let format = Format::of(name);
            match format {
                Some(Format::DateTime) => (node.kind, node.why) = (Kind::Timestamp, "format date-time"),
                Some(Format::Date) => (node.kind, node.why) = (Kind::Date, "format date"),
                _ => {}
            }
            if self.assert_format {
                let known = *name != "uuid" || self.draft() >= Draft::Draft201909;
                checks.format = format.filter(|_| known);
                node.judged |= format.is_none();
            }
        }
        node.text = checks.any().then(|| Box::new(checks));
    }

    fn list(&mut self, flat: &Flat, pointer: &str, node: &mut Node) {
        let map = &flat.map;
        node.judged |= has_unknown(map, &["items", "minItems", "maxItems", "uniqueItems"]);
        node.judged |= map.get("uniqueItems").is_some_and(|unique| *unique != Value::Bool(false));
        let item = map.get("items").unwrap_or(&Value::Null);
        let plan = ListPlan {
            item: self.node(item, &flat.refs, &format!("{pointer}/items")),
            min: count(map, "minItems", node).unwrap_or(0),
            max: count(map, "maxItems", node),
        };
        node.kind = Kind::List(Box::new(plan));
        node.why = "array with one schema for its items";
    }

    fn object(&mut self, flat: &Flat, pointer: &str, judged: &mut bool) -> ObjectPlan {
        let map = &flat.map;
        let known = ["properties", "required", "additionalProperties", "minProperties", "maxProperties"];
        *judged |= has_unknown(map, &known);
        let mut plan = ObjectPlan::new(self.fields(flat, pointer));
        let mut count = |keyword: &str| match map.get(keyword) {
            None => None,
            Some(limit) => {
                *judged |= limit.as_u64().is_none();
                limit.as_u64()
            }
        };
        plan.min = count("minProperties").unwrap_or(0);
        plan.max = count("maxProperties");
        match map.get("additionalProperties") {
            None | Some(Value::Bool(true)) => {}
            Some(Value::Bool(false)) => plan.closed = !map.contains_key("patternProperties"),
            Some(Value::Object(schema)) if schema.is_empty() => {}
            Some(_) => *judged = true,
        }
        if let Some(Value::Array(names)) = map.get("required") {
            for name in names {
                match name.as_str().and_then(|name| plan.by_name.get(name.as_bytes())) {
                    Some(index) => plan.require(*index),
                    None => *judged = true,
                }
            }
        }
        plan
    }

    fn fields(&mut self, flat: &Flat, pointer: &str) -> Vec<FieldPlan> {
        let Some(Value::Object(properties)) = flat.map.get("properties") else { return Vec::new() };
        let ordered = flat.map.get(ORDER).and_then(Value::as_array).into_iter().flatten();
        let mut names: Vec<&str> = ordered.filter_map(Value::as_str).collect();
        let known: HashSet<&str> = names.iter().copied().collect();
        names.extend(properties.keys().map(String::as_str).filter(|name| !known.contains(name)));
        let mut folded = HashSet::new();
        let mut fields = Vec::new();
        for name in names {
            let Some(schema) = properties.get(name) else { continue };
            let mut place = format!("{pointer}/properties/");
            push_token(&mut place, name);
            if !folded.insert(name.to_lowercase()) {
                let message = format!("{name:?} differs from another property only in case");
                let hint = "tables do not tell column names apart by case: rename one";
                self.faults.push(SchemaFault::new(&place, message, hint));
            }
            fields.push(FieldPlan::new(name, self.node(schema, &flat.refs, &place)));
        }
        fields
    }
}

fn number(map: &Map<String, Value>, listed: Listed, integer: bool, node: &mut Node) {
    let mut checks = NumberChecks::default();
    for keyword in ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"] {
        match map.get(keyword) {
            None => {}
            Some(Value::Number(limit)) => match Num::of_json(limit) {
                Some(value) => {
                    checks.bounds.push(Bound { keyword, limit: value, text: limit.to_string() });
                }
                None => node.judged = true,
            },
            // Draft 4: a flag beside `minimum` or `maximum`.
            Some(flag) => node.judged |= *flag != Value::Bool(false),
        }
    }
    let wide = checks.bounds.iter().any(|bound| {
        bound.keyword.ends_with("aximum")
            && bound.limit.order(Num::Whole(i64::MAX.into())) == Some(std::cmp::Ordering::Greater)
    });
    (node.kind, node.why) = match (integer, wide) {
        (true, true) => (Kind::Decimal, "integer whose maximum lies beyond 64 bits with sign"),
        (true, false) => (Kind::Int, "integer"),
        (false, _) => (Kind::Float, "number"),
    };
    // A certain fault could come before a flag that the plan does not read, but both refuse.
    match map.get("multipleOf").map(|step| step.as_i64().filter(|step| (1..1 << 53).contains(step))) {
        Some(Some(step)) if integer => checks.multiple_of = Some(step),
        Some(_) => node.judged = true,
        None => {}
    }
    if listed.any {
        if integer && listed.all_whole {
            checks.allowed = Some(listed.wholes);
        } else {
            node.judged = true;
        }
    }
    let known = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"];
    node.judged |= has_unknown(map, &known);
    let any = !checks.bounds.is_empty() || checks.multiple_of.is_some() || checks.allowed.is_some();
    checks.certain = certain(&checks);
    node.number = any.then(|| Box::new(checks));
}

/// From where to where a number passes, if bounds that are exact floats are all there is to check.
fn certain(checks: &NumberChecks) -> Option<(f64, f64)> {
    if checks.multiple_of.is_some() || checks.allowed.is_some() {
        return None;
    }
    let (mut least, mut most) = (f64::NEG_INFINITY, f64::INFINITY);
    for bound in &checks.bounds {
        let limit = match bound.limit {
            Num::Whole(whole) if whole.unsigned_abs() <= 1 << f64::MANTISSA_DIGITS => whole as f64,
            Num::Float(float) => float,
            Num::Whole(_) => return None,
        };
        match bound.keyword {
            "minimum" => least = least.max(limit),
            "maximum" => most = most.min(limit),
            "exclusiveMinimum" => least = least.max(limit.next_up()),
            _ => most = most.min(limit.next_down()),
        }
    }
    Some((least, most))
}

fn named_properties(map: &Map<String, Value>) -> bool {
    map.get("properties").and_then(Value::as_object).is_some_and(|properties| !properties.is_empty())
}

/// Whether a keyword is there that may refuse values and is not among those handled.
fn has_unknown(map: &Map<String, Value>, handled: &[&str]) -> bool {
    let own_type = OTHER_TYPES.iter().filter(|keyword| !handled.contains(*keyword));
    let harmless: Vec<&str> = own_type.copied().collect();
    map.keys().any(|keyword| {
        let keyword = keyword.as_str();
        !matches!(keyword, "type" | "enum" | "const")
            && !is_annotation(keyword)
            && !handled.contains(&keyword)
            && !harmless.contains(&keyword)
    })
}

/// Keywords that only speak to one type, in every draft: beside another type they say nothing.
const OTHER_TYPES: [&str; 17] = [
    "minLength",
    "maxLength",
    "pattern",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minItems",
    "maxItems",
    "uniqueItems",
    "items",
    "minProperties",
    "maxProperties",
    "required",
    "properties",
    "additionalProperties",
];

fn count(map: &Map<String, Value>, keyword: &str, node: &mut Node) -> Option<u64> {
    let limit = map.get(keyword)?;
    node.judged |= limit.as_u64().is_none();
    limit.as_u64()
}

/// What `enum` or `const` lists.
struct Listed {
    /// There is a list.
    any: bool,
    types: Types,
    null: bool,
    texts: Vec<Box<str>>,
    wholes: Vec<i64>,
    all_whole: bool,
    judged: bool,
}

impl Listed {
    fn of(map: &Map<String, Value>, draft: Draft) -> Self {
        let constant = map.get("const").filter(|_| draft != Draft::Draft4);
        let mut listed = Self {
            any: false,
            types: Types::ALL,
            null: true,
            texts: Vec::new(),
            wholes: Vec::new(),
            all_whole: true,
            judged: map.contains_key("const") && (draft == Draft::Draft4 || map.contains_key("enum")),
        };
        let values = match (map.get("enum"), constant) {
            (Some(Value::Array(values)), _) => values.as_slice(),
            (None, Some(value)) => std::slice::from_ref(value),
            (Some(_), _) => {
                listed.judged = true;
                return listed;
            }
            (None, None) => return listed,
        };
        (listed.any, listed.null, listed.types) = (true, false, Types::NONE);
        for value in values {
            listed.add(value);
        }
        listed
    }

    fn add(&mut self, value: &Value) {
        let types = match value {
            Value::Null => {
                self.null = true;
                Types::NULL
            }
            Value::Bool(_) => Types::BOOLEAN,
            Value::Number(number) => {
                match number.as_i64() {
                    Some(whole) => self.wholes.push(whole),
                    None => self.all_whole = false,
                }
                if number.as_i64().is_some() || number.as_u64().is_some() {
                    Types::INTEGER
                } else {
                    Types::NUMBER
                }
            }
            Value::String(text) => {
                self.texts.push(text.as_str().into());
                Types::STRING
            }
            Value::Array(_) => Types::ARRAY,
            Value::Object(_) => Types::OBJECT,
        };
        self.types = self.types.with(types);
    }
}
