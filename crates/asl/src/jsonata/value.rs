//! Values while an expression runs: JSON, nothing at all, and functions.

use super::ast::{Lambda, Transform};
use super::env::{Env, Run};
use super::functions::Builtin;
use super::{Fault, STRING_BYTES_MAX};
use regex::Regex;
use serde_json::{Map, Number, Value};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

#[derive(Clone)]
pub(super) enum Val {
    Undefined,
    Null,
    Bool(bool),
    Num(f64),
    Str(Rc<str>),
    Array(Rc<Array>),
    Object(Rc<Object>),
    Func(Rc<Func>),
}

/// A list, and how paths treat it.
#[derive(Clone, Default)]
pub(super) struct Array {
    pub items: Vec<Val>,
    /// Made by the evaluator: one item alone stands for the list.
    pub sequence: bool,
    /// One item alone stays a list: `[]`.
    pub keep: bool,
    /// Made by `[…]` in a path: not flattened.
    pub cons: bool,
    /// Set by [`Val::array`].
    pub extent: Extent,
}

/// Members in the order they were set.
#[derive(Clone, Default)]
pub(super) struct Object {
    entries: Vec<(Rc<str>, Val)>,
    /// Only once there are many members.
    index: HashMap<Rc<str>, usize>,
    /// Set by [`Val::object`].
    extent: Extent,
}

/// How large a list or an object is. Walks over values recurse, and see a value that is shared as often as it is
/// there; [`super::env::Run::bounded`] keeps both within bounds.
#[derive(Clone, Copy, Default)]
pub(super) struct Extent {
    /// Levels, its own among them; what functions hold does not count.
    pub depth: usize,
    /// Values in it and itself.
    pub values: usize,
}

impl Extent {
    fn around<'a>(values: impl Iterator<Item = &'a Val>) -> Extent {
        let mut extent = Extent { depth: 1, values: 1 };
        for inner in values.map(Val::extent) {
            extent.depth = extent.depth.max(inner.depth + 1);
            extent.values = extent.values.saturating_add(inner.values);
        }
        extent
    }
}

/// What any value counts for in the size of a result.
const VALUE_BYTES: usize = 8;
/// From how many members on an index pays.
const INDEX_FROM: usize = 12;

pub(super) enum Func {
    Builtin(Builtin),
    Lambda {
        lambda: Arc<Lambda>,
        env: Rc<Env>,
        input: Val,
    },
    /// A function and its arguments; `None` is open.
    Partial {
        func: Val,
        args: Vec<Option<Val>>,
    },
    /// `f ~> g`.
    Chain(Val, Val),
    Transform {
        transform: Arc<Transform>,
        env: Rc<Env>,
    },
    Regex(Regex),
    /// `next` of a match of a regular expression: all matches, and which it gives.
    NextMatch(Val, usize),
}

thread_local! {
    /// What functions and frames held, waiting to be dropped one after the other: dropped inside each other, a long
    /// chain of closures would need a long stack.
    static DROPPING: RefCell<Option<Vec<Val>>> = const { RefCell::new(None) };
}

/// Drops values without recursing through what the functions in them hold.
pub(super) fn drop_flat(values: impl Iterator<Item = Val>) {
    let waiting: Vec<Val> =
        values.filter(|value| matches!(value, Val::Array(_) | Val::Object(_) | Val::Func(_))).collect();
    if waiting.is_empty() {
        return;
    }
    let nested = DROPPING.with_borrow_mut(|queue| {
        let nested = queue.is_some();
        queue.get_or_insert_default().extend(waiting);
        nested
    });
    if nested {
        return;
    }
    // What is dropped here puts what it holds into the queue.
    while let Some(value) = DROPPING.with_borrow_mut(|queue| queue.as_mut().and_then(Vec::pop)) {
        drop(value);
    }
    DROPPING.set(None);
}

impl Drop for Func {
    fn drop(&mut self) {
        let take = |value: &mut Val| std::mem::replace(value, Val::Undefined);
        match self {
            Func::Lambda { input, .. } => drop_flat(std::iter::once(take(input))),
            Func::Partial { func, args } => {
                let args = std::mem::take(args).into_iter().flatten();
                drop_flat(std::iter::once(take(func)).chain(args));
            }
            Func::Chain(f, g) => drop_flat([take(f), take(g)].into_iter()),
            Func::NextMatch(matches, _) => drop_flat(std::iter::once(take(matches))),
            Func::Builtin(_) | Func::Transform { .. } | Func::Regex(_) => {}
        }
    }
}

impl Object {
    pub fn get(&self, key: &str) -> Option<&Val> {
        if self.index.is_empty() {
            return self.entries.iter().find(|(k, _)| &**k == key).map(|(_, v)| v);
        }
        self.index.get(key).and_then(|&i| self.entries.get(i)).map(|(_, v)| v)
    }

    pub fn set(&mut self, key: Rc<str>, value: Val) {
        let known = if self.index.is_empty() {
            self.entries.iter().position(|(k, _)| *k == key)
        } else {
            self.index.get(&key).copied()
        };
        match known.and_then(|i| self.entries.get_mut(i)) {
            Some(entry) => entry.1 = value,
            None => {
                self.entries.push((Rc::clone(&key), value));
                if !self.index.is_empty() {
                    self.index.insert(key, self.entries.len() - 1);
                } else if self.entries.len() >= INDEX_FROM {
                    self.reindex();
                }
            }
        }
    }

    pub fn remove(&mut self, key: &str) {
        self.entries.retain(|(k, _)| &**k != key);
        self.index.clear();
        if self.entries.len() >= INDEX_FROM {
            self.reindex();
        }
    }

    fn reindex(&mut self) {
        self.index = self.entries.iter().enumerate().map(|(i, (k, _))| (Rc::clone(k), i)).collect();
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Rc<str>, &Val)> {
        self.entries.iter().map(|(k, v)| (k, v))
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }
}

impl Val {
    pub fn str(text: &str) -> Val {
        Val::Str(Rc::from(text))
    }

    /// A plain list, as of the input or of `[…]`.
    pub fn list(items: Vec<Val>) -> Val {
        Val::array(Array { items, ..Array::default() })
    }

    /// A list of results.
    pub fn sequence(items: Vec<Val>) -> Val {
        Val::array(Array { items, sequence: true, ..Array::default() })
    }

    pub fn array(mut array: Array) -> Val {
        array.extent = Extent::around(array.items.iter());
        Val::Array(Rc::new(array))
    }

    pub fn object(mut object: Object) -> Val {
        object.extent = Extent::around(object.iter().map(|(_, value)| value));
        Val::Object(Rc::new(object))
    }

    pub fn extent(&self) -> Extent {
        match self {
            Val::Array(array) => array.extent,
            Val::Object(object) => object.extent,
            _ => Extent { depth: 0, values: 1 },
        }
    }

    pub fn is_undefined(&self) -> bool {
        matches!(self, Val::Undefined)
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Val::Str(text) => Some(text),
            _ => None,
        }
    }

    pub fn as_num(&self) -> Option<f64> {
        match self {
            Val::Num(n) => Some(*n),
            _ => None,
        }
    }

    pub fn items(&self) -> Option<&[Val]> {
        match self {
            Val::Array(array) => Some(&array.items),
            _ => None,
        }
    }

    /// Its items if it is a list, nothing if undefined, else itself alone.
    pub fn as_list(&self) -> &[Val] {
        match self {
            Val::Undefined => &[],
            Val::Array(array) => &array.items,
            other => std::slice::from_ref(other),
        }
    }

    /// `$boolean`; undefined is false.
    pub fn truthy(&self) -> bool {
        match self {
            Val::Undefined | Val::Null | Val::Func(_) => false,
            Val::Bool(b) => *b,
            Val::Num(n) => *n != 0.0,
            Val::Str(text) => !text.is_empty(),
            Val::Object(object) => object.len() > 0,
            Val::Array(array) => array.items.iter().any(Val::truthy),
        }
    }

    pub fn type_name(&self) -> &'static str {
        match self {
            Val::Undefined => "undefined",
            Val::Null => "null",
            Val::Bool(_) => "boolean",
            Val::Num(_) => "number",
            Val::Str(_) => "string",
            Val::Array(_) => "array",
            Val::Object(_) => "object",
            Val::Func(_) => "function",
        }
    }

    /// Deep equality; functions equal nothing.
    pub fn same(&self, other: &Val, run: &Run<'_>) -> Result<bool, Fault> {
        run.spend(1)?;
        Ok(match (self, other) {
            (Val::Null, Val::Null) => true,
            (Val::Bool(a), Val::Bool(b)) => a == b,
            (Val::Num(a), Val::Num(b)) => a == b,
            (Val::Str(a), Val::Str(b)) if a.len() == b.len() => {
                run.spend(a.len() / 16)?;
                a == b
            }
            (Val::Array(a), Val::Array(b)) if a.items.len() == b.items.len() => {
                for (x, y) in a.items.iter().zip(&b.items) {
                    if !x.same(y, run)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Val::Object(a), Val::Object(b)) if a.len() == b.len() => {
                for (key, x) in a.iter() {
                    match b.get(key) {
                        Some(y) if x.same(y, run)? => {}
                        _ => return Ok(false),
                    }
                }
                true
            }
            _ => false,
        })
    }

    pub fn from_json(value: &Value, run: &Run<'_>) -> Result<Val, Fault> {
        run.spend(1)?;
        Ok(match value {
            Value::Null => Val::Null,
            Value::Bool(b) => Val::Bool(*b),
            Value::Number(n) => Val::Num(n.as_f64().unwrap_or(f64::NAN)),
            Value::String(text) => {
                run.spend(text.len() / 16)?;
                Val::str(text)
            }
            Value::Array(items) => {
                Val::list(items.iter().map(|item| Val::from_json(item, run)).collect::<Result<_, _>>()?)
            }
            Value::Object(fields) => {
                let mut object = Object::default();
                for (key, value) in fields {
                    object.set(Rc::from(key.as_str()), Val::from_json(value, run)?);
                }
                Val::object(object)
            }
        })
    }

    /// As JSON: functions become `""`, undefined members and items are left out; `None` for undefined.
    pub fn to_json(&self) -> Result<Option<Value>, Fault> {
        let mut left_bytes = STRING_BYTES_MAX;
        self.json(&mut left_bytes)
    }

    fn json(&self, left_bytes: &mut usize) -> Result<Option<Value>, Fault> {
        let mut spend = |bytes: usize| {
            *left_bytes = left_bytes.checked_sub(bytes).ok_or_else(|| {
                Fault::new("D1013", format!("The result is longer than {STRING_BYTES_MAX} bytes"))
            })?;
            Ok(())
        };
        spend(VALUE_BYTES)?;
        Ok(Some(match self {
            Val::Undefined => return Ok(None),
            Val::Null => Value::Null,
            Val::Bool(b) => Value::Bool(*b),
            Val::Num(n) => number(*n)?,
            Val::Str(text) => {
                spend(text.len())?;
                Value::String(text.to_string())
            }
            Val::Func(_) => Value::String(String::new()),
            Val::Array(array) => {
                let mut items = Vec::new();
                for item in &array.items {
                    items.extend(item.json(left_bytes)?);
                }
                Value::Array(items)
            }
            Val::Object(object) => {
                object.iter().try_for_each(|(key, _)| spend(key.len()))?;
                let mut fields = Map::new();
                for (key, value) in object.iter() {
                    if let Some(value) = value.json(left_bytes)? {
                        fields.insert(key.to_string(), value);
                    }
                }
                Value::Object(fields)
            }
        }))
    }
}

/// Whole numbers without a fraction, as JSON writes them.
fn number(n: f64) -> Result<Value, Fault> {
    if n.fract() == 0.0 && n.abs() < 9_007_199_254_740_992.0 {
        return Ok(Value::Number(Number::from(n as i64)));
    }
    Number::from_f64(n)
        .map(Value::Number)
        .ok_or_else(|| Fault::new("D1001", format!("Number out of range: {n}")))
}

/// Joins as `fn.append` of the reference: nothing adds nothing; what is no list counts as one item.
pub(super) fn append(a: Val, b: Val) -> Val {
    match (a, b) {
        (Val::Undefined, b) => b,
        (a, Val::Undefined) => a,
        (a, b) => {
            let sequence = !matches!(a, Val::Array(_));
            let mut items = match a {
                Val::Array(array) => Rc::unwrap_or_clone(array).items,
                one => vec![one],
            };
            match b {
                Val::Array(array) => items.extend(array.items.iter().cloned()),
                one => items.push(one),
            }
            Val::array(Array { items, sequence, ..Array::default() })
        }
    }
}

/// What a finished sequence stands for: nothing, its only item, or itself.
pub(super) fn collapse(value: Val, keep_array: bool) -> Val {
    let Val::Array(array) = &value else { return value };
    if !array.sequence {
        return value;
    }
    match array.items.as_slice() {
        [] => Val::Undefined,
        [one] if !(keep_array || array.keep) => one.clone(),
        _ if keep_array && !array.keep => {
            let mut kept = (**array).clone();
            kept.keep = true;
            Val::Array(Rc::new(kept))
        }
        _ => value,
    }
}
