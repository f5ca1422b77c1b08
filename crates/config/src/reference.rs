//! The configuration reference, written from the JSON Schema.

use crate::schema;
use serde_json::Value;
use std::fmt::Write;

const HEAD: &str = "# Configuration

`bourn.yaml` in a pipeline's folder. This page is made from the types that read the file; `bourn schema` prints the same as a
JSON Schema for editors. Unknown keys are faults. All faults are told at once: `bourn validate`.

Values may hold references: `${env:NAME}`, `${env:NAME:-default}`, `${file:path}`. `environments/<name>.yaml` lays other values
over the file; it cannot add or remove streams, lookups, sources or steps.

```yaml
name: shop
streams:
  orders:
    schema: schemas/order.json
    sources:
      - http: {}
      - files: {path: \"inbox/*.jsonl.gz\"}
    event_time: {field: occurred_at, lateness: 10m, max_future: 5m}
    dedupe: {key: order_id, window: 24h}
    enrich:
      - lookup: {table: products, on: sku, take: [category, unit_cost]}
    transform: transforms/orders.sql
    partition_by: [day(occurred_at)]
    policy: {invalid: reject, late: correct, schema: evolve}
lookups:
  products: {file: lookups/products.csv, key: sku}
```

Types: *duration* is a number and one of `us`, `ms`, `s`, `m`, `h`, `d`, `w`; *size* is bytes, or a number and one of `B`, `KB`,
`MB`, `GB`, `TB` (powers of 1000), `KiB`, `MiB`, `GiB`, `TiB` (of 1024).
";

/// `docs/configuration.md`: every key with type, default and description, sections nested.
pub fn reference_markdown() -> String {
    let root = schema::json_schema();
    let mut writer = Writer { root: &root, out: HEAD.to_string() };
    writer.section("", &root, 2);
    writer.out
}

struct Writer<'a> {
    root: &'a Value,
    out: String,
}

impl<'a> Writer<'a> {
    /// A table of the keys of `node`, then a section for each that has keys of its own.
    fn section(&mut self, path: &str, node: &'a Value, level: usize) {
        let title = if path.is_empty() { "The file".to_string() } else { format!("`{path}`") };
        let _ = write!(self.out, "\n{} {title}\n\n", "#".repeat(level.min(5)));
        if !path.is_empty()
            && let Some(text) = node.get("description").and_then(Value::as_str)
        {
            let _ = write!(self.out, "{}\n\n", one_line(text));
        }
        let Some(properties) = node.get("properties").and_then(Value::as_object) else {
            match self.kind(node).as_str() {
                "mapping" => self.out.push_str("No keys: write `{}`.\n"),
                kind => self.out.push_str(&format!("The value is {kind}.\n")),
            }
            return;
        };
        self.out.push_str("| Key | Type | Default | Meaning |\n| --- | --- | --- | --- |\n");
        for (key, property) in properties {
            let default = self.default_of(node, key, property);
            let kind = cell(&self.kind(property));
            let meaning = cell(&self.meaning(property));
            let _ = writeln!(self.out, "| `{key}` | {kind} | {default} | {meaning} |");
        }
        for (key, property) in properties {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            self.nested(&path, property, level + 1);
        }
    }

    fn nested(&mut self, path: &str, property: &'a Value, level: usize) {
        let node = self.target(property);
        if node.get("properties").is_some() {
            self.section(path, node, level);
        } else if let Some(values) = node.get("additionalProperties").filter(|values| values.is_object()) {
            self.nested(&format!("{path}.<name>"), values, level);
        } else if let Some(items) = node.get("items") {
            self.nested(&format!("{path}[]"), items, level);
        } else if let Some(choices) = node.get("anyOf").and_then(Value::as_array) {
            choices.iter().for_each(|choice| self.nested(path, choice, level));
        } else if let Some(variants) = node.get("oneOf").and_then(Value::as_array) {
            for variant in variants {
                for (key, property) in
                    variant.get("properties").and_then(Value::as_object).into_iter().flatten()
                {
                    let target = self.target(property);
                    self.section(&format!("{path}.{key}"), target, level);
                }
            }
        }
    }

    /// Through `$ref`, and through the choice between something and nothing.
    fn target(&self, node: &'a Value) -> &'a Value {
        if let Some(reference) = node.get("$ref").and_then(Value::as_str) {
            let found = reference.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
            return found.unwrap_or(node);
        }
        let choices = node.get("anyOf").and_then(Value::as_array);
        match choices.map(|all| all.iter().filter(|one| one["type"] != "null").collect::<Vec<_>>()).as_deref()
        {
            Some([only]) => self.target(only),
            _ => node,
        }
    }

    fn kind(&self, property: &'a Value) -> String {
        let node = self.target(property);
        if let Some(unit) = node.get(schema::UNIT).and_then(Value::as_str) {
            return unit.into();
        }
        if let Some(words) = words(node) {
            return words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
        }
        if let Some(items) = node.get("items") {
            return format!("list of {}", self.kind(items));
        }
        if let Some(values) = node.get("additionalProperties").filter(|values| values.is_object()) {
            return format!("mapping of names to {}", self.kind(values));
        }
        if let Some(choices) = node.get("anyOf").and_then(Value::as_array) {
            return choices.iter().map(|choice| self.kind(choice)).collect::<Vec<_>>().join(" or ");
        }
        if let Some(variants) = node.get("oneOf").and_then(Value::as_array) {
            let keys =
                variants.iter().filter_map(|variant| variant.get("properties")?.as_object()?.keys().next());
            return keys.map(|key| format!("`{key}: …`")).collect::<Vec<_>>().join(" or ");
        }
        let kinds: Vec<&str> = match node.get("type") {
            Some(Value::String(kind)) => vec![kind],
            Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let kinds: Vec<&str> = kinds.into_iter().filter(|kind| *kind != "null").map(plain_kind).collect();
        kinds.join(" or ")
    }

    fn meaning(&self, property: &'a Value) -> String {
        let node = self.target(property);
        let own = property.get("description").or_else(|| node.get("description")).and_then(Value::as_str);
        let mut text = one_line(own.unwrap_or_default());
        for variant in node.get("oneOf").and_then(Value::as_array).into_iter().flatten() {
            if let (Some(word), Some(about)) = (variant["const"].as_str(), variant["description"].as_str()) {
                let _ = write!(text, " `{word}`: {}", one_line(about));
            }
        }
        text
    }

    fn default_of(&self, parent: &Value, key: &str, property: &'a Value) -> String {
        let required = parent.get("required").and_then(Value::as_array);
        if required.is_some_and(|required| required.iter().any(|name| name == key)) {
            return "required".into();
        }
        match property.get("default") {
            None | Some(Value::Null) => String::new(),
            Some(Value::Object(_)) if !self.target(property)["properties"].is_null() => "see below".into(),
            Some(Value::Object(map)) if map.is_empty() => "none".into(),
            Some(Value::Array(items)) if items.is_empty() => "none".into(),
            Some(Value::String(text)) if text.is_empty() => "none".into(),
            Some(Value::String(text)) => format!("`{text}`"),
            Some(other) => format!("`{other}`"),
        }
    }
}

/// The words of an enumeration.
fn words(node: &Value) -> Option<Vec<&str>> {
    if let Some(words) = node.get("enum").and_then(Value::as_array) {
        return Some(words.iter().filter_map(Value::as_str).collect());
    }
    let mut all = Vec::new();
    for variant in node.get("oneOf")?.as_array()? {
        match (variant["const"].as_str(), words(variant)) {
            (Some(word), _) => all.push(word),
            (None, Some(words)) => all.extend(words),
            (None, None) => return None,
        }
    }
    Some(all)
}

fn plain_kind(kind: &str) -> &str {
    match kind {
        "string" => "text",
        "integer" => "whole number",
        "boolean" => "`true` or `false`",
        "object" => "mapping",
        "array" => "list",
        other => other,
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A bar would end the cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
