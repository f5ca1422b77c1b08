//! Functions on lists, aggregates and booleans.

use super::arg;
use super::number::finite;
use crate::jsonata::Fault;
use crate::jsonata::env::Run;
use crate::jsonata::value::{self, Val};

fn numbers(args: &[Val]) -> Option<Vec<f64>> {
    match arg(args, 0) {
        Val::Undefined => None,
        list => Some(list.as_list().iter().filter_map(Val::as_num).collect()),
    }
}

pub fn sum(_: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    numbers(&args).map_or(Ok(Val::Undefined), |list| finite(list.iter().sum()))
}

pub fn max(_: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    Ok(numbers(&args).and_then(|list| list.into_iter().reduce(f64::max)).map_or(Val::Undefined, Val::Num))
}

pub fn min(_: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    Ok(numbers(&args).and_then(|list| list.into_iter().reduce(f64::min)).map_or(Val::Undefined, Val::Num))
}

pub fn average(_: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    match numbers(&args) {
        Some(list) if !list.is_empty() => finite(list.iter().sum::<f64>() / list.len() as f64),
        _ => Ok(Val::Undefined),
    }
}

pub fn count(_: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    Ok(Val::Num(arg(&args, 0).as_list().len() as f64))
}

pub fn boolean(_: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    Ok(match arg(&args, 0) {
        Val::Undefined => Val::Undefined,
        value => Val::Bool(value.truthy()),
    })
}

pub fn not(_: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    Ok(match arg(&args, 0) {
        Val::Undefined => Val::Undefined,
        value => Val::Bool(!value.truthy()),
    })
}

pub fn exists(_: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    Ok(Val::Bool(!arg(&args, 0).is_undefined()))
}

pub fn append(run: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    run.spend(arg(&args, 0).as_list().len() + arg(&args, 1).as_list().len())?;
    Ok(value::append(arg(&args, 0).clone(), arg(&args, 1).clone()))
}

pub fn reverse(run: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    let Some(items) = arg(&args, 0).items() else { return Ok(Val::Undefined) };
    run.spend(items.len())?;
    Ok(Val::list(items.iter().rev().cloned().collect()))
}

pub fn shuffle(run: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    let Some(items) = arg(&args, 0).items() else { return Ok(Val::Undefined) };
    run.spend(items.len())?;
    let mut items = items.to_vec();
    for at in (1..items.len()).rev() {
        let with = (run.scope.outside.random() * (at + 1) as f64) as usize;
        items.swap(at, with.min(at));
    }
    Ok(Val::list(items))
}

/// Each value once, the first of it; quadratic only among values that are no plain scalars.
pub fn distinct(run: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    let Val::Array(list) = arg(&args, 0) else { return Ok(arg(&args, 0).clone()) };
    if list.items.len() <= 1 {
        return Ok(arg(&args, 0).clone());
    }
    let mut strings = std::collections::HashSet::new();
    let mut numbers = std::collections::HashSet::new();
    let mut others: Vec<Val> = Vec::new();
    let mut kept = Vec::new();
    for item in &list.items {
        run.spend(1)?;
        let new = match item {
            Val::Str(text) => {
                run.spend(text.len() / 16)?;
                strings.insert(text.clone())
            }
            Val::Num(n) => numbers.insert(n.to_bits()),
            other => {
                let mut new = true;
                for known in &others {
                    new = new && !known.same(other, run)?;
                }
                if new {
                    others.push(other.clone());
                }
                new
            }
        };
        if new {
            kept.push(item.clone());
        }
    }
    Ok(if list.sequence { Val::sequence(kept) } else { Val::list(kept) })
}

pub fn zip(run: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    let len = args.iter().map(|list| list.as_list().len()).min().unwrap_or(0);
    run.spend(len * args.len())?;
    let row = |at: usize| Val::list(args.iter().filter_map(|list| list.as_list().get(at).cloned()).collect());
    Ok(Val::list((0..len).map(row).collect()))
}
