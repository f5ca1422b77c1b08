//! Calling: built-in functions, lambdas, partial application, chains, transforms.

use super::Fault;
use super::ast::{Kind, Lambda, Node, Transform};
use super::env::{Env, Run};
use super::eval::{eval, eval_tail, more_stack};
use super::functions;
use super::functions::regex::match_object;
use super::value::{Func, Object, Val};
use std::rc::Rc;
use std::sync::Arc;

/// The end of a lambda's body: a value, or a call still to be made.
pub(super) enum Tail {
    Value(Val),
    Call(Val, Vec<Val>, Val),
}

/// `f(…)`; `first` comes before the arguments (`x ~> f(…)`).
pub(super) fn call(
    run: &Run<'_>,
    procedure: &Node,
    args: &[Node],
    first: Option<Val>,
    input: &Val,
    env: &Rc<Env>,
) -> Result<Val, Fault> {
    let (func, args) = callee(run, procedure, args, first, input, env)?;
    apply(run, &func, args, input)
}

/// The same, not made yet.
pub(super) fn prepare(
    run: &Run<'_>,
    procedure: &Node,
    args: &[Node],
    input: &Val,
    env: &Rc<Env>,
) -> Result<Tail, Fault> {
    let (func, args) = callee(run, procedure, args, None, input, env)?;
    Ok(Tail::Call(func, args, input.clone()))
}

fn callee(
    run: &Run<'_>,
    procedure: &Node,
    nodes: &[Node],
    first: Option<Val>,
    input: &Val,
    env: &Rc<Env>,
) -> Result<(Val, Vec<Val>), Fault> {
    let func = eval(run, procedure, input, env)?;
    if !matches!(func, Val::Func(_)) {
        return Err(not_callable(procedure, env));
    }
    let mut args: Vec<Val> = first.into_iter().collect();
    for node in nodes {
        args.push(eval(run, node, input, env)?);
    }
    Ok((func, args))
}

fn not_callable(procedure: &Node, _env: &Rc<Env>) -> Fault {
    if let Kind::Path { steps, .. } = &procedure.kind
        && let [Node { kind: Kind::Name(name), .. }] = steps.as_slice()
        && functions::find(name).is_some()
    {
        return Fault::new("T1005", format!("Attempted to invoke a non-function. Did you mean ${name}?"));
    }
    Fault::new("T1006", "Attempted to invoke a non-function")
}

/// Calls a function with values. `input` is the context that missing arguments may stand for.
pub(super) fn apply(run: &Run<'_>, func: &Val, args: Vec<Val>, input: &Val) -> Result<Val, Fault> {
    run.enter()?;
    let result = more_stack(|| apply_here(run, func, args, input));
    run.leave();
    run.bounded(result?)
}

fn apply_here(run: &Run<'_>, func: &Val, args: Vec<Val>, input: &Val) -> Result<Val, Fault> {
    let (mut func, mut args, mut context) = (func.clone(), args, input.clone());
    loop {
        run.spend(1)?;
        let Val::Func(called) = &func else {
            return Err(Fault::new("T1006", "Attempted to invoke a non-function"));
        };
        match &**called {
            Func::Builtin(builtin) => return functions::call(run, *builtin, args, &context),
            Func::Lambda { lambda, env, input } => match enter_lambda(run, lambda, env, input, args)? {
                Tail::Value(value) => return Ok(value),
                Tail::Call(next, next_args, next_input) => {
                    (func, args, context) = (next, next_args, next_input);
                    continue;
                }
            },
            Func::Partial { func: inner, args: held } => {
                let mut given = args.into_iter();
                let filled = held.iter().map(|arg| match arg {
                    Some(value) => value.clone(),
                    None => given.next().unwrap_or(Val::Undefined),
                });
                let filled: Vec<Val> = filled.collect();
                let inner = inner.clone();
                (func, args) = (inner, filled);
            }
            Func::Chain(f, g) => {
                let middle = apply(run, f, args, &context)?;
                let g = g.clone();
                (func, args) = (g, vec![middle]);
            }
            Func::Transform { transform, env } => {
                let subject = args.into_iter().next().unwrap_or(Val::Undefined);
                return apply_transform(run, transform, env, subject);
            }
            Func::Regex(regex) => {
                let text = args.first().and_then(Val::as_str).unwrap_or_default();
                return functions::regex::first_match(run, regex, text);
            }
            Func::NextMatch(matches, at) => return Ok(match_object(matches, *at)),
        }
        context = Val::Undefined;
    }
}

fn enter_lambda(
    run: &Run<'_>,
    lambda: &Arc<Lambda>,
    env: &Rc<Env>,
    input: &Val,
    args: Vec<Val>,
) -> Result<Tail, Fault> {
    let args = match &lambda.signature {
        Some(signature) => signature.apply("lambda", args, input)?,
        None => args,
    };
    let frame = Env::inner(env);
    let mut args = args.into_iter();
    for param in &lambda.params {
        frame.bind(param, args.next().unwrap_or(Val::Undefined));
    }
    eval_tail(run, &lambda.body, input, &frame)
}

/// How many arguments a function takes, so that callbacks get no more.
pub(super) fn arity(func: &Val) -> usize {
    match func {
        Val::Func(called) => match &**called {
            Func::Builtin(builtin) => functions::arity(*builtin),
            Func::Lambda { lambda, .. } => lambda.params.len(),
            Func::Partial { args, .. } => args.iter().filter(|a| a.is_none()).count(),
            _ => 1,
        },
        _ => 1,
    }
}

pub(super) fn partial(
    run: &Run<'_>,
    procedure: &Node,
    nodes: &[Node],
    input: &Val,
    env: &Rc<Env>,
) -> Result<Val, Fault> {
    let func = eval(run, procedure, input, env)?;
    if !matches!(func, Val::Func(_)) {
        return Err(Fault::new("T1008", "Attempted to partially apply a non-function"));
    }
    let args = nodes.iter().map(|node| match node.kind {
        Kind::Placeholder => Ok(None),
        _ => eval(run, node, input, env).map(Some),
    });
    let args = args.collect::<Result<Vec<_>, Fault>>()?;
    Ok(Val::Func(Rc::new(Func::Partial { func, args })))
}

/// `left ~> right`.
pub(super) fn pipe(
    run: &Run<'_>,
    left: &Node,
    right: &Node,
    input: &Val,
    env: &Rc<Env>,
) -> Result<Val, Fault> {
    let value = eval(run, left, input, env)?;
    if let Kind::Call(procedure, args) = &right.kind {
        return call(run, procedure, args, Some(value), input, env);
    }
    let func = eval(run, right, input, env)?;
    match (&value, &func) {
        (Val::Func(_), Val::Func(_)) => Ok(Val::Func(Rc::new(Func::Chain(value, func)))),
        (_, Val::Func(_)) => apply(run, &func, vec![value], input),
        _ => Err(Fault::new(
            "T2006",
            "The right side of the function application operator ~> must be a function",
        )),
    }
}

/// `|pattern|update, delete|`: a copy of the subject in which matched objects are changed.
fn apply_transform(run: &Run<'_>, transform: &Transform, env: &Rc<Env>, subject: Val) -> Result<Val, Fault> {
    if subject.is_undefined() {
        return Ok(subject);
    }
    if !matches!(subject, Val::Object(_) | Val::Array(_)) {
        return Err(Fault::new(
            "T0410",
            "Argument 1 of function \"transform\" does not match function signature",
        ));
    }
    // Matched objects are told apart by a mark, because values here have no identity of their own.
    let mut marks = 0.0;
    let marked = mark(run, &subject, &mut marks, 0)?;
    let matches = eval(run, &transform.pattern, &marked, env)?;
    let mut changed: Vec<(f64, Object)> = Vec::new();
    for matched in matches.as_list() {
        let Val::Object(object) = matched else { continue };
        let Some(id) = object.get(MARK).and_then(Val::as_num) else { continue };
        let at = match changed.iter().position(|(known, _)| *known == id) {
            Some(at) => at,
            None => {
                changed.push((id, (**object).clone()));
                changed.len() - 1
            }
        };
        let plain = Val::object(changed[at].1.clone());
        match eval(run, &transform.update, &plain, env)? {
            Val::Undefined => {}
            Val::Object(update) => {
                for (key, value) in update.iter() {
                    changed[at].1.set(Rc::clone(key), value.clone());
                }
            }
            _ => {
                return Err(Fault::new(
                    "T2011",
                    "The insert/update clause of the transform expression must evaluate to an object",
                ));
            }
        }
        let Some(delete) = &transform.delete else { continue };
        let plain = Val::object(changed[at].1.clone());
        for key in eval(run, delete, &plain, env)?.as_list() {
            let Some(key) = key.as_str() else {
                return Err(Fault::new(
                    "T2012",
                    "The delete clause of the transform expression must evaluate to a string or array of strings",
                ));
            };
            changed[at].1.remove(key);
            changed[at].1.set(Rc::from(MARK), Val::Num(id));
        }
    }
    unmark(run, &marked, &changed, 0)
}

/// No key of JSON text that people write holds a NUL.
const MARK: &str = "\0mark";

fn mark(run: &Run<'_>, value: &Val, next: &mut f64, depth: usize) -> Result<Val, Fault> {
    run.spend(1)?;
    if depth > super::VALUE_DEPTH_MAX {
        return Ok(value.clone());
    }
    Ok(match value {
        Val::Array(array) => {
            let items = array.items.iter().map(|v| mark(run, v, next, depth + 1));
            Val::list(items.collect::<Result<_, _>>()?)
        }
        Val::Object(object) => {
            let id = *next;
            *next += 1.0;
            let mut copy = Object::default();
            for (key, value) in object.iter() {
                copy.set(Rc::clone(key), mark(run, value, next, depth + 1)?);
            }
            copy.set(Rc::from(MARK), Val::Num(id));
            Val::object(copy)
        }
        other => other.clone(),
    })
}

fn unmark(run: &Run<'_>, value: &Val, changed: &[(f64, Object)], depth: usize) -> Result<Val, Fault> {
    run.spend(1)?;
    if depth > super::VALUE_DEPTH_MAX {
        return Ok(value.clone());
    }
    Ok(match value {
        Val::Array(array) => {
            let items = array.items.iter().map(|v| unmark(run, v, changed, depth + 1));
            Val::list(items.collect::<Result<_, _>>()?)
        }
        Val::Object(object) => {
            let id = object.get(MARK).and_then(Val::as_num);
            let new = changed.iter().find(|(known, _)| Some(*known) == id).map_or(&**object, |(_, new)| new);
            let mut copy = Object::default();
            for (key, value) in new.iter().filter(|(key, _)| &***key != MARK) {
                copy.set(Rc::clone(key), unmark(run, value, changed, depth + 1)?);
            }
            Val::object(copy)
        }
        other => other.clone(),
    })
}
