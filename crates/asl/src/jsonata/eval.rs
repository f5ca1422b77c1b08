//! Evaluation of everything but paths: literals, operators, constructors, conditions, blocks.

use super::Fault;
use super::ast::{Kind, Node, Op, Stage};
use super::call::{self, Tail};
use super::env::{Env, Run};
use super::functions;
use super::functions::text::{bounded, to_text};
use super::path;
use super::value::{Array, Func, Object, Val, append, collapse};
use std::rc::Rc;

/// Longest range `[1..n]`.
const RANGE_MAX: f64 = 1e6;

/// An evaluation nests deeper than a thread's stack may be: below the first, the second is added. The first is for
/// walks over the deepest value, in a build without optimisation.
const STACK_LEFT_BYTES: usize = 512 << 10;
const STACK_MORE_BYTES: usize = 4 << 20;

/// A node's value, its predicates and grouping applied, a sequence of one collapsed.
pub(super) fn eval(run: &Run<'_>, node: &Node, input: &Val, env: &Rc<Env>) -> Result<Val, Fault> {
    run.enter()?;
    let result = more_stack(|| whole(run, node, input, env));
    run.leave();
    run.bounded(result?)
}

/// Does it with room on the stack for everything that does not evaluate.
pub(super) fn more_stack<T>(f: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(STACK_LEFT_BYTES, STACK_MORE_BYTES, f)
}

/// As [`eval`], but a call in the last place comes back unmade, so that recursion there needs no stack.
pub(super) fn eval_tail(run: &Run<'_>, node: &Node, input: &Val, env: &Rc<Env>) -> Result<Tail, Fault> {
    let plain = node.predicates.is_empty() && node.group.is_none() && !node.keep_array;
    match &node.kind {
        Kind::Call(procedure, args) if plain => call::prepare(run, procedure, args, input, env),
        Kind::Condition(test, yes, no) if plain => {
            if eval(run, test, input, env)?.truthy() {
                return eval_tail(run, yes, input, env);
            }
            no.as_ref().map_or(Ok(Tail::Value(Val::Undefined)), |no| eval_tail(run, no, input, env))
        }
        Kind::Block(nodes) if plain => {
            let env = Env::inner(env);
            let Some((last, before)) = nodes.split_last() else { return Ok(Tail::Value(Val::Undefined)) };
            for node in before {
                eval(run, node, input, &env)?;
            }
            eval_tail(run, last, input, &env)
        }
        _ => eval(run, node, input, env).map(Tail::Value),
    }
}

fn whole(run: &Run<'_>, node: &Node, input: &Val, env: &Rc<Env>) -> Result<Val, Fault> {
    let mut result = match &node.kind {
        Kind::Path { steps, keep_singleton } => {
            path::eval_path(run, steps, *keep_singleton, node.group.as_deref(), input, env)?
        }
        _ => kind(run, node, input, env)?,
    };
    for stage in &node.predicates {
        if let Stage::Filter(filter) = stage {
            result = path::filter(run, filter, &result, env)?;
        }
    }
    if let (Some(pairs), false) = (&node.group, matches!(node.kind, Kind::Path { .. })) {
        result = group(run, pairs, &result, env)?;
    }
    Ok(collapse(result, node.keep_array))
}

fn kind(run: &Run<'_>, node: &Node, input: &Val, env: &Rc<Env>) -> Result<Val, Fault> {
    match &node.kind {
        Kind::Str(text) => Ok(Val::str(text)),
        Kind::Num(n) => Ok(Val::Num(*n)),
        Kind::Bool(b) => Ok(Val::Bool(*b)),
        Kind::Null => Ok(Val::Null),
        Kind::Variable(name) => variable(run, name, input, env),
        Kind::Regex(regex) => Ok(Val::Func(Rc::new(Func::Regex(regex.clone())))),
        Kind::Negate(operand) => match eval(run, operand, input, env)? {
            Val::Undefined => Ok(Val::Undefined),
            Val::Num(n) => Ok(Val::Num(-n)),
            _ => Err(Fault::new("D1002", "Cannot negate a non-numeric value")),
        },
        Kind::Array(items) => array(run, items, node.cons, input, env),
        Kind::Object(pairs) => group(run, pairs, input, env),
        Kind::Binary(op, left, right) => binary(run, *op, left, right, input, env),
        Kind::Bind(name, value) => {
            let value = eval(run, value, input, env)?;
            env.bind(name, value.clone());
            Ok(value)
        }
        Kind::Condition(test, yes, no) => match (eval(run, test, input, env)?.truthy(), no) {
            (true, _) => eval(run, yes, input, env),
            (false, Some(no)) => eval(run, no, input, env),
            (false, None) => Ok(Val::Undefined),
        },
        Kind::Default(left, right) => match eval(run, left, input, env)? {
            value if value.truthy() => Ok(value),
            _ => eval(run, right, input, env),
        },
        Kind::Coalesce(left, right) => match eval(run, left, input, env)? {
            Val::Undefined => eval(run, right, input, env),
            value => Ok(value),
        },
        Kind::Block(nodes) => {
            let env = Env::inner(env);
            nodes.iter().try_fold(Val::Undefined, |_, node| eval(run, node, input, &env))
        }
        Kind::Call(procedure, args) => call::call(run, procedure, args, None, input, env),
        Kind::Partial(procedure, args) => call::partial(run, procedure, args, input, env),
        Kind::Lambda(lambda) => {
            run.sees(env);
            let func = Func::Lambda { lambda: lambda.clone(), env: Rc::clone(env), input: input.clone() };
            Ok(Val::Func(Rc::new(func)))
        }
        Kind::Apply(left, right) => call::pipe(run, left, right, input, env),
        Kind::Transform(transform) => {
            run.sees(env);
            Ok(Val::Func(Rc::new(Func::Transform { transform: transform.clone(), env: Rc::clone(env) })))
        }
        Kind::Name(_) | Kind::Wildcard | Kind::Descendants | Kind::Parent => {
            path::step_value(run, node, input, env)
        }
        Kind::Sort(terms) => path::sort(run, terms, input, env),
        Kind::Placeholder | Kind::Path { .. } => Ok(Val::Undefined),
    }
}

fn variable(run: &Run<'_>, name: &str, input: &Val, env: &Rc<Env>) -> Result<Val, Fault> {
    if name.is_empty() {
        return Ok(input.clone());
    }
    if let Some(value) = env.get(name) {
        return Ok(value);
    }
    if name == "states" {
        return states(run);
    }
    if let Some(value) = run.scope.variables.get(name) {
        return Val::from_json(value, run);
    }
    Ok(functions::find(name).map_or(Val::Undefined, |f| Val::Func(Rc::new(Func::Builtin(f)))))
}

/// `$states` whole; paths into it take a shorter way.
fn states(run: &Run<'_>) -> Result<Val, Fault> {
    let mut object = Object::default();
    for name in ["input", "context", "result", "errorOutput"] {
        if let Some(value) = state_value(run, name) {
            object.set(Rc::from(name), Val::from_json(value, run)?);
        }
    }
    Ok(Val::object(object))
}

/// What `$states.<name>` is.
pub(super) fn state_value<'a>(run: &Run<'a>, name: &str) -> Option<&'a serde_json::Value> {
    match name {
        "input" => Some(run.scope.input),
        "context" => Some(run.scope.context),
        "result" => run.scope.result,
        "errorOutput" => run.scope.error_output,
        _ => None,
    }
}

fn array(run: &Run<'_>, nodes: &[Node], cons: bool, input: &Val, env: &Rc<Env>) -> Result<Val, Fault> {
    let mut items = Vec::new();
    for node in nodes {
        let value = eval(run, node, input, env)?;
        match value {
            Val::Undefined => {}
            Val::Array(list) if !matches!(node.kind, Kind::Array(_)) => {
                run.spend(list.items.len())?;
                items.extend(list.items.iter().cloned());
            }
            one => items.push(one),
        }
    }
    Ok(Val::array(Array { items, cons, ..Array::default() }))
}

/// An object from pairs, each evaluated for every item; items with the same key are put together first.
pub(super) fn group(run: &Run<'_>, pairs: &[(Node, Node)], input: &Val, env: &Rc<Env>) -> Result<Val, Fault> {
    let alone = [Val::Undefined];
    let items = match input.as_list() {
        [] => &alone[..],
        items => items,
    };
    let mut groups: Vec<(Rc<str>, usize, Val)> = Vec::new();
    let mut index = std::collections::HashMap::new();
    for item in items {
        for (at, (key, _)) in pairs.iter().enumerate() {
            let Some(key) = group_key(run, eval(run, key, item, env)?)? else { continue };
            match index.get(&key).copied() {
                None => {
                    index.insert(Rc::clone(&key), groups.len());
                    groups.push((key, at, item.clone()));
                }
                Some(found) => {
                    let (_, pair, data): &mut (_, usize, Val) = &mut groups[found];
                    if *pair != at {
                        return Err(duplicate_key(&key));
                    }
                    *data = append(std::mem::replace(data, Val::Undefined), item.clone());
                }
            }
        }
    }
    let mut object = Object::default();
    for (key, at, data) in groups {
        let value = eval(run, &pairs[at].1, &data, env)?;
        if !value.is_undefined() {
            object.set(key, value);
        }
    }
    Ok(Val::object(object))
}

pub(super) fn group_key(run: &Run<'_>, key: Val) -> Result<Option<Rc<str>>, Fault> {
    match key {
        Val::Undefined => Ok(None),
        Val::Str(text) => {
            run.spend(text.len() / 16)?;
            Ok(Some(text))
        }
        other => Err(Fault::new(
            "T1003",
            format!("Key in object structure must evaluate to a string; got: {}", to_text(&other, false)?),
        )),
    }
}

pub(super) fn duplicate_key(key: &str) -> Fault {
    Fault::new("D1009", format!("Multiple key definitions evaluate to same key: \"{key}\""))
}

fn binary(
    run: &Run<'_>,
    op: Op,
    left: &Node,
    right: &Node,
    input: &Val,
    env: &Rc<Env>,
) -> Result<Val, Fault> {
    let a = eval(run, left, input, env)?;
    match op {
        Op::And if !a.truthy() => return Ok(Val::Bool(false)),
        Op::Or if a.truthy() => return Ok(Val::Bool(true)),
        _ => {}
    }
    let b = eval(run, right, input, env)?;
    match op {
        Op::And | Op::Or => Ok(Val::Bool(b.truthy())),
        Op::Equal => Ok(Val::Bool(a.same(&b, run)?)),
        Op::NotEqual => Ok(Val::Bool(!a.is_undefined() && !b.is_undefined() && !a.same(&b, run)?)),
        Op::In => {
            for item in b.as_list() {
                if item.same(&a, run)? {
                    return Ok(Val::Bool(true));
                }
            }
            Ok(Val::Bool(false))
        }
        Op::Concat => {
            let text = format!("{}{}", concat_text(&a)?, concat_text(&b)?);
            bounded(text.len())?;
            run.spend(text.len() / 16)?;
            Ok(Val::str(&text))
        }
        Op::Less | Op::LessEqual | Op::Greater | Op::GreaterEqual => compare(run, op, &a, &b),
        Op::Range => range(run, &a, &b),
        _ => arithmetic(op, &a, &b),
    }
}

fn concat_text(value: &Val) -> Result<String, Fault> {
    match value {
        Val::Undefined => Ok(String::new()),
        other => to_text(other, false),
    }
}

fn arithmetic(op: Op, a: &Val, b: &Val) -> Result<Val, Fault> {
    for (value, code, side) in [(a, "T2001", "left"), (b, "T2002", "right")] {
        if !matches!(value, Val::Num(_) | Val::Undefined) {
            let why =
                format!("The {side} side of the \"{}\" operator must evaluate to a number", op.symbol());
            return Err(Fault::new(code, why));
        }
    }
    let (Val::Num(a), Val::Num(b)) = (a, b) else { return Ok(Val::Undefined) };
    let result = match op {
        Op::Add => a + b,
        Op::Subtract => a - b,
        Op::Multiply => a * b,
        Op::Divide => a / b,
        _ => a % b,
    };
    functions::number::finite(result)
}

fn compare(run: &Run<'_>, op: Op, a: &Val, b: &Val) -> Result<Val, Fault> {
    let comparable = |v: &Val| matches!(v, Val::Undefined | Val::Num(_) | Val::Str(_));
    if !comparable(a) || !comparable(b) {
        let why = format!(
            "The expressions either side of operator \"{}\" must evaluate to numeric or string values",
            op.symbol()
        );
        return Err(Fault::new("T2010", why));
    }
    let order = match (a, b) {
        (Val::Undefined, _) | (_, Val::Undefined) => return Ok(Val::Undefined),
        (Val::Num(a), Val::Num(b)) => a.partial_cmp(b),
        (Val::Str(a), Val::Str(b)) => {
            run.spend(a.len().min(b.len()) / 16)?;
            Some(a.cmp(b))
        }
        _ => {
            let why = format!(
                "The values either side of operator \"{}\" must be of the same data type",
                op.symbol()
            );
            return Err(Fault::new("T2009", why));
        }
    };
    let holds = order.is_some_and(|order| match op {
        Op::Less => order.is_lt(),
        Op::LessEqual => order.is_le(),
        Op::Greater => order.is_gt(),
        _ => order.is_ge(),
    });
    Ok(Val::Bool(holds))
}

fn range(run: &Run<'_>, a: &Val, b: &Val) -> Result<Val, Fault> {
    let whole = |v: &Val| matches!(v, Val::Undefined) || v.as_num().is_some_and(|n| n.fract() == 0.0);
    for (value, code, side) in [(a, "T2003", "left"), (b, "T2004", "right")] {
        if !whole(value) {
            let why = format!("The {side} side of the range operator (..) must evaluate to an integer");
            return Err(Fault::new(code, why));
        }
    }
    let (Val::Num(from), Val::Num(to)) = (a, b) else { return Ok(Val::Undefined) };
    if from > to {
        return Ok(Val::Undefined);
    }
    if to - from >= RANGE_MAX {
        let why = format!(
            "The size of the sequence allocated by the range operator (..) must not exceed {RANGE_MAX}"
        );
        return Err(Fault::new("D2014", why));
    }
    let count = (to - from) as usize + 1;
    run.spend(count)?;
    Ok(Val::sequence((0..count).map(|i| Val::Num(from + i as f64)).collect()))
}
