//! Paths: steps, filters, sorting, and the bindings `@$x`, `#$i` and `%`.

use super::Fault;
use super::ast::{Kind, Node, Stage};
use super::env::{Env, Parents, Run};
use super::eval::{self, duplicate_key, group, group_key, state_value};
use super::value::{Array, Object, Val, append};
use std::cmp::Ordering;
use std::rc::Rc;

/// One item on its way along a path, and what was bound to names on the way.
#[derive(Clone)]
struct Tuple {
    value: Val,
    bound: Vec<(String, Val)>,
    parents: Option<Rc<Parents>>,
}

pub(super) fn eval_path(
    run: &Run<'_>,
    steps: &[Node],
    keep_singleton: bool,
    grouping: Option<&[(Node, Node)]>,
    input: &Val,
    env: &Rc<Env>,
) -> Result<Val, Fault> {
    let binds = |s: &Node| {
        s.focus.is_some() || s.index.is_some() || s.stages.iter().any(|s| matches!(s, Stage::Index(_)))
    };
    if run.uses_parent || steps.iter().any(binds) {
        return tuple_path(run, steps, keep_singleton, grouping, input, env);
    }
    let (mut current, skip) = match shortcut(run, steps, env)? {
        Some((value, taken)) => (value, taken),
        None => (start(steps, input), 0),
    };
    for (at, step) in steps.iter().enumerate().skip(skip) {
        current = if at == 0 && step.cons {
            eval::eval(run, step, input, env)?
        } else {
            eval_step(run, step, &current, env, at + 1 == steps.len())?
        };
        if current.is_undefined() || current.items().is_some_and(<[Val]>::is_empty) {
            break;
        }
    }
    if keep_singleton {
        current = keep(current);
    }
    match grouping {
        Some(pairs) => group(run, pairs, &current, env),
        None => Ok(current),
    }
}

/// What a path starts from: a list unless its first step is a variable, which looks at the input whole.
fn start(steps: &[Node], input: &Val) -> Val {
    let variable = steps.first().is_some_and(|s| matches!(s.kind, Kind::Variable(_)));
    match input {
        Val::Array(_) if !variable => input.clone(),
        other => Val::sequence(vec![other.clone()]),
    }
}

/// `$states.input.a.b`, or a workflow variable: walks the JSON and converts only what is found there. Gives the value
/// and how many steps were taken; anything but plain names on the way is left to the steps.
fn shortcut(run: &Run<'_>, steps: &[Node], env: &Rc<Env>) -> Result<Option<(Val, usize)>, Fault> {
    let [Node { kind: Kind::Variable(name), stages, .. }, second, ..] = steps else { return Ok(None) };
    if !stages.is_empty() || name.is_empty() || env.get(name).is_some() {
        return Ok(None);
    }
    let plain = |s: &Node| s.stages.is_empty() && !s.keep_array && s.group.is_none();
    let (mut json, mut taken) = match (name.as_str(), &second.kind) {
        ("states", Kind::Name(field)) if plain(second) => match state_value(run, field) {
            Some(value) => (value, 2),
            None => return Ok(Some((Val::Undefined, steps.len()))),
        },
        ("states", _) => return Ok(None),
        _ => match run.scope.variables.get(name) {
            Some(value) => (value, 1),
            None => return Ok(None),
        },
    };
    while let (Some(step), serde_json::Value::Object(fields)) = (steps.get(taken), json) {
        let Kind::Name(field) = &step.kind else { break };
        if !plain(step) {
            break;
        }
        match fields.get(field) {
            Some(value) => json = value,
            None => return Ok(Some((Val::Undefined, steps.len()))),
        }
        taken += 1;
    }
    let value = Val::from_json(json, run)?;
    Ok(Some(match value {
        Val::Array(_) => (value, taken),
        // Further steps go over a list of one; at the end the value stands for itself.
        other => (Val::sequence(vec![other]), taken),
    }))
}

fn keep(value: Val) -> Val {
    match value {
        Val::Undefined => Val::Undefined,
        Val::Array(array) => {
            let array = Rc::unwrap_or_clone(array);
            if array.cons && !array.sequence {
                let inner = Val::Array(Rc::new(array));
                return Val::array(Array {
                    items: vec![inner],
                    sequence: true,
                    keep: true,
                    ..Array::default()
                });
            }
            Val::Array(Rc::new(Array { keep: true, sequence: true, ..array }))
        }
        one => Val::array(Array { items: vec![one], sequence: true, keep: true, ..Array::default() }),
    }
}

fn eval_step(run: &Run<'_>, step: &Node, input: &Val, env: &Rc<Env>, last: bool) -> Result<Val, Fault> {
    if let Kind::Sort(terms) = &step.kind {
        let sorted = sort(run, terms, input, env)?;
        return apply_filters(run, &step.stages, sorted, env);
    }
    let mut results = Vec::new();
    for item in input.as_list() {
        let value = apply_filters(run, &step.stages, eval::eval(run, step, item, env)?, env)?;
        if !value.is_undefined() {
            results.push(value);
        }
    }
    if last
        && let [Val::Array(only)] = results.as_slice()
        && !only.sequence
    {
        return Ok(results.remove(0));
    }
    let mut flat = Vec::with_capacity(results.len());
    for value in results {
        match value {
            Val::Array(array) if !array.cons => {
                run.spend(array.items.len())?;
                flat.extend(array.items.iter().cloned());
            }
            other => flat.push(other),
        }
    }
    Ok(Val::sequence(flat))
}

fn apply_filters(run: &Run<'_>, stages: &[Stage], mut value: Val, env: &Rc<Env>) -> Result<Val, Fault> {
    for stage in stages {
        if let Stage::Filter(node) = stage {
            value = filter(run, node, &value, env)?;
        }
    }
    Ok(value)
}

/// `[…]`: a number picks by index, a list of numbers by indexes, anything else by truth.
pub(super) fn filter(run: &Run<'_>, predicate: &Node, input: &Val, env: &Rc<Env>) -> Result<Val, Fault> {
    let items = input.as_list();
    if let Kind::Num(n) = predicate.kind {
        return Ok(match position(n, items.len()).and_then(|i| items.get(i)) {
            None => Val::sequence(Vec::new()),
            Some(list @ Val::Array(_)) => list.clone(),
            Some(one) => Val::sequence(vec![one.clone()]),
        });
    }
    let mut kept = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let verdict = eval::eval(run, predicate, item, env)?;
        for _ in 0..picks(&verdict, at, items.len()) {
            kept.push(item.clone());
        }
    }
    Ok(Val::sequence(kept))
}

/// How often the item at `at` is taken.
fn picks(verdict: &Val, at: usize, len: usize) -> usize {
    let numbers = match verdict {
        Val::Num(_) => Some(std::slice::from_ref(verdict)),
        Val::Array(list) if !list.items.is_empty() => Some(list.items.as_slice()),
        _ => None,
    };
    match numbers.filter(|list| list.iter().all(|v| matches!(v, Val::Num(_)))) {
        Some(list) => list.iter().filter_map(Val::as_num).filter(|n| position(*n, len) == Some(at)).count(),
        None => usize::from(verdict.truthy()),
    }
}

fn position(n: f64, len: usize) -> Option<usize> {
    let n = n.floor();
    let n = if n < 0.0 { n + len as f64 } else { n };
    (n >= 0.0 && n < len as f64).then_some(n as usize)
}

/// The value of a single step for one item.
pub(super) fn step_value(run: &Run<'_>, node: &Node, input: &Val, env: &Rc<Env>) -> Result<Val, Fault> {
    match &node.kind {
        Kind::Name(name) => lookup(run, input, name, 0),
        Kind::Wildcard => wildcard(run, input),
        Kind::Descendants => {
            let mut found = Vec::new();
            descend(run, input, &mut found, 0)?;
            Ok(match found.len() {
                0 => Val::Undefined,
                1 => found.remove(0),
                _ => Val::sequence(found),
            })
        }
        Kind::Parent => Ok(env.parents.as_ref().map_or(Val::Undefined, |p| p.value.clone())),
        _ => Ok(Val::Undefined),
    }
}

/// A field of an object, or of every object of a list.
pub(super) fn lookup(run: &Run<'_>, input: &Val, name: &str, depth: usize) -> Result<Val, Fault> {
    match input {
        Val::Object(object) => Ok(object.get(name).cloned().unwrap_or(Val::Undefined)),
        Val::Array(array) if depth < super::VALUE_DEPTH_MAX => {
            run.spend(array.items.len())?;
            let mut found = Vec::new();
            for item in &array.items {
                match lookup(run, item, name, depth + 1)? {
                    Val::Undefined => {}
                    Val::Array(list) => found.extend(list.items.iter().cloned()),
                    one => found.push(one),
                }
            }
            Ok(Val::sequence(found))
        }
        _ => Ok(Val::Undefined),
    }
}

fn wildcard(run: &Run<'_>, input: &Val) -> Result<Val, Fault> {
    let values: Vec<&Val> = match input {
        Val::Object(object) => object.iter().map(|(_, v)| v).collect(),
        Val::Array(array) => array.items.iter().collect(),
        _ => return Ok(Val::Undefined),
    };
    let mut found = Vec::new();
    for value in values {
        flatten(run, value, &mut found, 0)?;
    }
    Ok(Val::sequence(found))
}

fn flatten(run: &Run<'_>, value: &Val, out: &mut Vec<Val>, depth: usize) -> Result<(), Fault> {
    run.spend(1)?;
    match value {
        Val::Array(array) if depth < super::VALUE_DEPTH_MAX => {
            array.items.iter().try_for_each(|item| flatten(run, item, out, depth + 1))
        }
        one => {
            out.push(one.clone());
            Ok(())
        }
    }
}

fn descend(run: &Run<'_>, value: &Val, out: &mut Vec<Val>, depth: usize) -> Result<(), Fault> {
    run.spend(1)?;
    if depth > super::VALUE_DEPTH_MAX {
        return Ok(());
    }
    match value {
        Val::Undefined => Ok(()),
        Val::Array(array) => array.items.iter().try_for_each(|item| descend(run, item, out, depth + 1)),
        Val::Object(object) => {
            out.push(value.clone());
            object.iter().try_for_each(|(_, v)| descend(run, v, out, depth + 1))
        }
        one => {
            out.push(one.clone());
            Ok(())
        }
    }
}

/// `^(…)`: a stable sort by terms.
pub(super) fn sort(run: &Run<'_>, terms: &[(Node, bool)], input: &Val, env: &Rc<Env>) -> Result<Val, Fault> {
    let tuples: Vec<Tuple> = input
        .as_list()
        .iter()
        .map(|v| Tuple { value: v.clone(), bound: Vec::new(), parents: env.parents.clone() })
        .collect();
    Ok(Val::sequence(sort_tuples(run, terms, tuples, env)?.into_iter().map(|t| t.value).collect()))
}

fn sort_tuples(
    run: &Run<'_>,
    terms: &[(Node, bool)],
    tuples: Vec<Tuple>,
    env: &Rc<Env>,
) -> Result<Vec<Tuple>, Fault> {
    let mut keyed = Vec::with_capacity(tuples.len());
    for tuple in tuples {
        let frame = tuple.frame(env);
        let keys = terms.iter().map(|(term, _)| eval::eval(run, term, &tuple.value, &frame));
        keyed.push((keys.collect::<Result<Vec<_>, _>>()?, tuple));
    }
    check_sort_keys(&keyed, terms.len())?;
    keyed.sort_by(|(a, _), (b, _)| {
        for ((a, b), (_, descending)) in a.iter().zip(b).zip(terms) {
            let order = match (a, b) {
                (Val::Undefined, Val::Undefined) => Ordering::Equal,
                (Val::Undefined, _) => return Ordering::Greater,
                (_, Val::Undefined) => return Ordering::Less,
                (Val::Num(a), Val::Num(b)) => a.partial_cmp(b).unwrap_or(Ordering::Equal),
                (Val::Str(a), Val::Str(b)) => a.cmp(b),
                _ => Ordering::Equal,
            };
            if order != Ordering::Equal {
                return if *descending { order.reverse() } else { order };
            }
        }
        Ordering::Equal
    });
    Ok(keyed.into_iter().map(|(_, tuple)| tuple).collect())
}

fn check_sort_keys(keyed: &[(Vec<Val>, Tuple)], terms: usize) -> Result<(), Fault> {
    for term in 0..terms {
        let mut kind: Option<&'static str> = None;
        for key in keyed.iter().filter_map(|(keys, _)| keys.get(term)) {
            let this = match key {
                Val::Undefined => continue,
                Val::Num(_) | Val::Str(_) => key.type_name(),
                _ => {
                    let why =
                        "The expressions within an order-by clause must evaluate to numeric or string values";
                    return Err(Fault::new("T2008", why));
                }
            };
            if *kind.get_or_insert(this) != this {
                let why = "The values within an order-by clause must all be of the same type";
                return Err(Fault::new("T2007", why));
            }
        }
    }
    Ok(())
}

impl Tuple {
    fn frame(&self, env: &Rc<Env>) -> Rc<Env> {
        let frame = Env::with_parents(env, self.parents.clone());
        for (name, value) in &self.bound {
            frame.bind(name, value.clone());
        }
        frame
    }
}

/// A path with bindings: items go along as tuples.
fn tuple_path(
    run: &Run<'_>,
    steps: &[Node],
    keep_singleton: bool,
    grouping: Option<&[(Node, Node)]>,
    input: &Val,
    env: &Rc<Env>,
) -> Result<Val, Fault> {
    let mut tuples: Vec<Tuple> = start(steps, input)
        .as_list()
        .iter()
        .map(|v| Tuple { value: v.clone(), bound: Vec::new(), parents: env.parents.clone() })
        .collect();
    let mut plain_last = None;
    for (at, step) in steps.iter().enumerate() {
        if at == 0 && step.cons {
            let value = eval::eval(run, step, input, env)?;
            tuples = value
                .as_list()
                .iter()
                .map(|v| Tuple { value: v.clone(), bound: Vec::new(), parents: env.parents.clone() })
                .collect();
            continue;
        }
        let last = at + 1 == steps.len();
        (tuples, plain_last) = tuple_step(run, step, tuples, env, last)?;
    }
    if let Some(pairs) = grouping {
        return group_tuples(run, pairs, &tuples, env);
    }
    let value = match plain_last {
        Some(list) => list,
        None => Val::sequence(tuples.into_iter().map(|t| t.value).collect()),
    };
    Ok(if keep_singleton { keep(value) } else { value })
}

/// One step; beside the tuples the one plain list that a last step gave, which stays as it is.
fn tuple_step(
    run: &Run<'_>,
    step: &Node,
    tuples: Vec<Tuple>,
    env: &Rc<Env>,
    last: bool,
) -> Result<(Vec<Tuple>, Option<Val>), Fault> {
    if let Kind::Sort(terms) = &step.kind {
        let mut sorted = sort_tuples(run, terms, tuples, env)?;
        number(&mut sorted, step.index.as_deref());
        return Ok((whole_stages(run, &step.stages, sorted, env)?, None));
    }
    // Filters of a step with bindings see all its results; other filters those of one item.
    let bindings = step.focus.is_some()
        || step.index.is_some()
        || step.stages.iter().any(|s| matches!(s, Stage::Index(_)));
    let mut out: Vec<Tuple> = Vec::new();
    let mut plain = None;
    let alone = tuples.len() == 1;
    for tuple in tuples {
        let value = eval::eval(run, step, &tuple.value, &tuple.frame(env))?;
        if last
            && alone
            && step.stages.is_empty()
            && !bindings
            && let Val::Array(list) = &value
            && !list.sequence
        {
            plain = Some(value.clone());
        }
        let parents = match step.kind {
            Kind::Parent => tuple.parents.as_ref().and_then(|p| p.above.clone()),
            Kind::Variable(_) => tuple.parents.clone(),
            _ => Some(Rc::new(Parents { value: tuple.value.clone(), above: tuple.parents.clone() })),
        };
        let items: Vec<Val> = match value {
            Val::Undefined => continue,
            Val::Array(list) if !list.cons => list.items.clone(),
            one => vec![one],
        };
        run.spend(items.len())?;
        let mut made = Vec::with_capacity(items.len());
        for (at, item) in items.into_iter().enumerate() {
            let mut next = Tuple { value: item, bound: tuple.bound.clone(), parents: parents.clone() };
            if let Some(focus) = &step.focus {
                next.bound.push((focus.clone(), next.value));
                next.value = tuple.value.clone();
                next.parents.clone_from(&tuple.parents);
            }
            if let Some(index) = &step.index {
                next.bound.push((index.clone(), Val::Num(at as f64)));
            }
            made.push(next);
        }
        out.extend(if bindings { made } else { whole_stages(run, &step.stages, made, env)? });
    }
    let out = if bindings { whole_stages(run, &step.stages, out, env)? } else { out };
    Ok((out, plain))
}

fn whole_stages(
    run: &Run<'_>,
    stages: &[Stage],
    mut tuples: Vec<Tuple>,
    env: &Rc<Env>,
) -> Result<Vec<Tuple>, Fault> {
    for stage in stages {
        let node = match stage {
            Stage::Index(name) => {
                number(&mut tuples, Some(name));
                continue;
            }
            Stage::Filter(node) => node,
        };
        let len = tuples.len();
        let mut kept = Vec::new();
        for (at, tuple) in tuples.into_iter().enumerate() {
            let verdict = match node.kind {
                Kind::Num(n) => Val::Num(n),
                _ => eval::eval(run, node, &tuple.value, &tuple.frame(env))?,
            };
            for _ in 0..picks(&verdict, at, len) {
                kept.push(tuple.clone());
            }
        }
        tuples = kept;
    }
    Ok(tuples)
}

fn number(tuples: &mut [Tuple], name: Option<&str>) {
    if let Some(name) = name {
        for (at, tuple) in tuples.iter_mut().enumerate() {
            tuple.bound.push((name.to_owned(), Val::Num(at as f64)));
        }
    }
}

fn group_tuples(
    run: &Run<'_>,
    pairs: &[(Node, Node)],
    tuples: &[Tuple],
    env: &Rc<Env>,
) -> Result<Val, Fault> {
    let mut groups: Vec<(Rc<str>, usize, Tuple)> = Vec::new();
    for tuple in tuples {
        for (at, (key, _)) in pairs.iter().enumerate() {
            let Some(key) = group_key(run, eval::eval(run, key, &tuple.value, &tuple.frame(env))?)? else {
                continue;
            };
            match groups.iter_mut().find(|(k, _, _)| *k == key) {
                None => groups.push((key, at, tuple.clone())),
                Some((key, pair, _)) if *pair != at => return Err(duplicate_key(key)),
                Some((_, _, into)) => merge(into, tuple),
            }
        }
    }
    let mut object = Object::default();
    for (key, at, tuple) in groups {
        let value = eval::eval(run, &pairs[at].1, &tuple.value, &tuple.frame(env))?;
        if !value.is_undefined() {
            object.set(key, value);
        }
    }
    Ok(Val::object(object))
}

/// Puts the items and the bindings of two tuples with the same key together.
fn merge(into: &mut Tuple, from: &Tuple) {
    into.value = append(std::mem::replace(&mut into.value, Val::Undefined), from.value.clone());
    for (name, value) in &from.bound {
        match into.bound.iter_mut().rev().find(|(n, _)| n == name) {
            Some((_, bound)) => *bound = append(std::mem::replace(bound, Val::Undefined), value.clone()),
            None => into.bound.push((name.clone(), value.clone())),
        }
    }
}
