//! What each call does to an item, without touching the store.

use super::ItemError;
use super::condition::Condition;
use super::lexer::{Cursor, Placeholders};
use super::path::{Path, clash, project};
use super::update::Update;
use super::value::{Item, item_bytes, item_of_json, item_to_json};
use bourn_config::KeyedTable;
use serde_json::{Map, Value};

/// DynamoDB's limit on an item.
pub(super) const ITEM_BYTES_MAX: usize = 400 << 10;
const PARTITION_BYTES_MAX: usize = 2048;
const SORT_BYTES_MAX: usize = 1024;

/// What a call made of an item, and its answer.
pub(super) struct Effect {
    /// The item from now on; `None`: there is none.
    pub after: Option<Item>,
    pub answer: Value,
}

/// The place of an item: its partition key and sort key as sortable texts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub partition: String,
    pub sort: String,
}

impl Place {
    /// Where an item, or the key of one, belongs. `exact`: nothing but the key may be there.
    pub fn of(schema: &KeyedTable, item: &Item, exact: bool) -> Result<Self, ItemError> {
        let names: Vec<&String> = std::iter::once(&schema.key).chain(&schema.sort).collect();
        if exact && (item.len() != names.len() || !names.iter().all(|name| item.contains_key(*name))) {
            return Err(ItemError::Validation("The provided key element does not match the schema".into()));
        }
        let text = |name: &String, bytes_max: usize| {
            let value = item.get(name).ok_or_else(|| {
                ItemError::Validation(format!(
                    "One or more parameter values were invalid: Missing the key {name} in the item"
                ))
            })?;
            let text = value.key_text().ok_or_else(|| {
                ItemError::Validation(format!(
                    "One or more parameter values were invalid: Type mismatch for key {name} expected: S, N or B \
                     actual: {}",
                    value.type_name()
                ))
            })?;
            match value.bytes() {
                0 => Err(ItemError::Validation(format!(
                    "One or more parameter values are not valid. The AttributeValue for a key attribute cannot \
                     contain an empty string value. Key: {name}"
                ))),
                bytes if bytes > bytes_max => Err(ItemError::Validation(format!(
                    "One or more parameter values were invalid: Size of key {name} has exceeded the maximum size \
                     limit of {bytes_max} bytes"
                ))),
                _ => Ok(text),
            }
        };
        Ok(Self {
            partition: text(&schema.key, PARTITION_BYTES_MAX)?,
            sort: schema
                .sort
                .as_ref()
                .map(|name| text(name, SORT_BYTES_MAX))
                .transpose()?
                .unwrap_or_default(),
        })
    }
}

/// A text parameter; absent if null.
pub(super) fn text<'a>(parameters: &'a Value, name: &str) -> Result<Option<&'a str>, ItemError> {
    match parameters.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(ItemError::Validation(format!("{name} must be a text, not {other}"))),
    }
}

/// An item parameter that must be there.
pub(super) fn item(parameters: &Value, name: &str) -> Result<Item, ItemError> {
    match parameters.get(name) {
        None | Some(Value::Null) => {
            let member = name[..1].to_lowercase() + &name[1..];
            Err(ItemError::Validation(format!(
                "1 validation error detected: Value null at '{member}' failed to satisfy constraint: \
                 Member must not be null"
            )))
        }
        Some(value) => Ok(item_of_json(value)?),
    }
}

fn condition(
    parameters: &Value,
    name: &'static str,
    placeholders: &Placeholders<'_>,
) -> Result<Option<Condition>, ItemError> {
    text(parameters, name)?.map(|text| Condition::parse(name, text, placeholders)).transpose()
}

/// `ReturnValues`, which must be one of these.
fn return_values<'a>(parameters: &'a Value, allowed: &[&str]) -> Result<&'a str, ItemError> {
    let wanted = text(parameters, "ReturnValues")?.unwrap_or("NONE");
    if allowed.contains(&wanted) {
        return Ok(wanted);
    }
    Err(ItemError::Validation(format!("ReturnValues can only be {}", allowed.join(" or "))))
}

fn meets(condition: Option<&Condition>, before: Option<&Item>, parameters: &Value) -> Result<(), ItemError> {
    let nothing = Item::new();
    if condition.is_none_or(|condition| condition.holds(before.unwrap_or(&nothing))) {
        return Ok(());
    }
    let wants = text(parameters, "ReturnValuesOnConditionCheckFailure")? == Some("ALL_OLD");
    Err(ItemError::ConditionFailed { item: before.filter(|_| wants).map(item_to_json) })
}

fn attributes(item: Option<&Item>) -> Value {
    let mut answer = Map::new();
    if let Some(item) = item.filter(|item| !item.is_empty()) {
        answer.insert("Attributes".into(), item_to_json(item));
    }
    Value::Object(answer)
}

fn check_size(item: &Item) -> Result<(), ItemError> {
    if item_bytes(item) > ITEM_BYTES_MAX {
        return Err(ItemError::Validation("Item size has exceeded the maximum allowed size".into()));
    }
    Ok(())
}

/// `PutItem`: replaces the item.
pub(super) fn put(parameters: &Value, before: Option<&Item>, new: Item) -> Result<Effect, ItemError> {
    let returns = return_values(parameters, &["NONE", "ALL_OLD"])?;
    let placeholders = Placeholders::of(parameters);
    let condition = condition(parameters, "ConditionExpression", &placeholders)?;
    placeholders.check_used()?;
    check_size(&new)?;
    meets(condition.as_ref(), before, parameters)?;
    Ok(Effect { after: Some(new), answer: attributes(before.filter(|_| returns == "ALL_OLD")) })
}

/// `DeleteItem`.
pub(super) fn delete(parameters: &Value, before: Option<&Item>) -> Result<Effect, ItemError> {
    let returns = return_values(parameters, &["NONE", "ALL_OLD"])?;
    let placeholders = Placeholders::of(parameters);
    let condition = condition(parameters, "ConditionExpression", &placeholders)?;
    placeholders.check_used()?;
    meets(condition.as_ref(), before, parameters)?;
    Ok(Effect { after: None, answer: attributes(before.filter(|_| returns == "ALL_OLD")) })
}

/// `UpdateItem`: changes the item, or makes one of the key.
pub(super) fn update(
    schema: &KeyedTable,
    parameters: &Value,
    before: Option<&Item>,
    key: Item,
) -> Result<Effect, ItemError> {
    let returns = return_values(parameters, &["NONE", "ALL_OLD", "UPDATED_OLD", "ALL_NEW", "UPDATED_NEW"])?;
    let placeholders = Placeholders::of(parameters);
    let update = match text(parameters, "UpdateExpression")? {
        Some(text) => Update::parse(text, &placeholders)?,
        None => Update::default(),
    };
    let condition = condition(parameters, "ConditionExpression", &placeholders)?;
    placeholders.check_used()?;
    let paths = update.paths();
    if let Some(path) =
        paths.iter().find(|path| schema.key == path.root() || schema.sort.as_deref() == Some(path.root()))
    {
        return Err(ItemError::Validation(format!(
            "One or more parameter values were invalid: Cannot update attribute {}. This attribute is part of the key",
            path.root()
        )));
    }
    meets(condition.as_ref(), before, parameters)?;
    let after = update.apply(before.unwrap_or(&key))?;
    check_size(&after)?;
    let answer = match returns {
        "ALL_OLD" => attributes(before),
        "UPDATED_OLD" => attributes(before.map(|before| project(before, &paths)).as_ref()),
        "ALL_NEW" => attributes(Some(&after)),
        "UPDATED_NEW" => attributes(Some(&project(&after, &paths))),
        _ => attributes(None),
    };
    Ok(Effect { after: Some(after), answer })
}

/// `GetItem`.
pub(super) fn get(parameters: &Value, found: Option<Item>) -> Result<Value, ItemError> {
    let placeholders = Placeholders::of(parameters);
    let wanted = projection(parameters, &placeholders)?;
    placeholders.check_used()?;
    let mut answer = Map::new();
    if let Some(item) = found {
        answer.insert("Item".into(), item_to_json(&take(item, wanted.as_deref())));
    }
    Ok(Value::Object(answer))
}

fn projection(parameters: &Value, placeholders: &Placeholders<'_>) -> Result<Option<Vec<Path>>, ItemError> {
    let Some(text) = text(parameters, "ProjectionExpression")? else { return Ok(None) };
    let mut cursor = Cursor::new("ProjectionExpression", text, placeholders)?;
    let mut paths = vec![cursor.path()?];
    while cursor.takes(",") {
        paths.push(cursor.path()?);
    }
    cursor.end()?;
    if let Some((one, two)) = clash(&paths.iter().collect::<Vec<_>>()) {
        return cursor.fault(format!(
            "Two document paths overlap with each other; must remove or rewrite one of these paths; \
             path one: {one}, path two: {two}"
        ));
    }
    Ok(Some(paths))
}

fn take(item: Item, wanted: Option<&[Path]>) -> Item {
    match wanted {
        Some(paths) => project(&item, &paths.iter().collect::<Vec<_>>()),
        None => item,
    }
}

/// What a `Query` looks for.
pub(super) struct Search {
    /// The sortable text of the partition key.
    pub partition: String,
    key_condition: Condition,
    filter: Option<Condition>,
    wanted: Option<Vec<Path>>,
    pub limit: usize,
    pub forward: bool,
    count_only: bool,
}

impl Search {
    pub fn of(schema: &KeyedTable, parameters: &Value) -> Result<Self, ItemError> {
        let placeholders = Placeholders::of(parameters);
        let Some(key_condition) = condition(parameters, "KeyConditionExpression", &placeholders)? else {
            return Err(ItemError::Validation(
                "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.".into(),
            ));
        };
        let filter = condition(parameters, "FilterExpression", &placeholders)?;
        let wanted = projection(parameters, &placeholders)?;
        placeholders.check_used()?;
        let partition = key_condition
            .equalities()
            .into_iter()
            .find(|(name, _)| *name == schema.key)
            .and_then(|(_, value)| value.key_text())
            .ok_or_else(|| {
                ItemError::Validation(format!("Query condition missed key schema element: {}", schema.key))
            })?;
        let limit = match parameters.get("Limit") {
            None | Some(Value::Null) => usize::MAX,
            Some(limit) => limit
                .as_u64()
                .filter(|limit| *limit > 0)
                .map(|limit| limit as usize)
                .ok_or_else(|| ItemError::Validation("Limit must be a number of at least 1".into()))?,
        };
        let forward = parameters.get("ScanIndexForward").and_then(Value::as_bool).unwrap_or(true);
        let count_only = text(parameters, "Select")? == Some("COUNT");
        Ok(Self { partition, key_condition, filter, wanted, limit, forward, count_only })
    }

    /// Is it one that the key condition means?
    pub fn finds(&self, item: &Item) -> bool {
        self.key_condition.holds(item)
    }

    /// The answer out of what was found; `last`: there may be more behind this key.
    pub fn answer(&self, found: Vec<Item>, last: Option<Item>) -> Value {
        let scanned = found.len();
        let kept: Vec<Value> = found
            .into_iter()
            .filter(|item| self.filter.as_ref().is_none_or(|filter| filter.holds(item)))
            .map(|item| item_to_json(&take(item, self.wanted.as_deref())))
            .collect();
        let mut answer = Map::new();
        answer.insert("Count".into(), kept.len().into());
        answer.insert("ScannedCount".into(), scanned.into());
        if !self.count_only {
            answer.insert("Items".into(), kept.into());
        }
        if let Some(last) = last {
            answer.insert("LastEvaluatedKey".into(), item_to_json(&last));
        }
        Value::Object(answer)
    }
}
