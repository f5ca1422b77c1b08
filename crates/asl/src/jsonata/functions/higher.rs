//! Functions that take functions.

use super::arg;
use crate::jsonata::Fault;
use crate::jsonata::call::{apply, arity};
use crate::jsonata::env::Run;
use crate::jsonata::value::{Object, Val};
use std::cmp::Ordering;
use std::rc::Rc;

/// Calls with as many of the arguments as the function takes.
fn callback(run: &Run<'_>, func: &Val, mut args: Vec<Val>) -> Result<Val, Fault> {
    args.truncate(arity(func).max(1));
    apply(run, func, args, &Val::Undefined)
}

fn each_item(list: &Val) -> impl Iterator<Item = (usize, &Val)> {
    list.as_list().iter().enumerate()
}

pub fn map(run: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    let (list, func) = (arg(&args, 0), arg(&args, 1));
    if list.is_undefined() {
        return Ok(Val::Undefined);
    }
    let mut out = Vec::new();
    for (at, item) in each_item(list) {
        let value = callback(run, func, vec![item.clone(), Val::Num(at as f64), list.clone()])?;
        if !value.is_undefined() {
            out.push(value);
        }
    }
    Ok(Val::sequence(out))
}

pub fn filter(run: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    let (list, func) = (arg(&args, 0), arg(&args, 1));
    if list.is_undefined() {
        return Ok(Val::Undefined);
    }
    let mut out = Vec::new();
    for (at, item) in each_item(list) {
        if callback(run, func, vec![item.clone(), Val::Num(at as f64), list.clone()])?.truthy() {
            out.push(item.clone());
        }
    }
    Ok(Val::sequence(out))
}

pub fn single(run: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    let (list, func) = (arg(&args, 0), arg(&args, 1));
    if list.is_undefined() {
        return Ok(Val::Undefined);
    }
    let mut found = None;
    for (at, item) in each_item(list) {
        let fits = func.is_undefined()
            || callback(run, func, vec![item.clone(), Val::Num(at as f64), list.clone()])?.truthy();
        if fits && found.replace(item.clone()).is_some() {
            return Err(Fault::new(
                "D3138",
                "The $single() function expected exactly 1 matching result. Instead it matched more.",
            ));
        }
    }
    found.ok_or_else(|| {
        Fault::new(
            "D3139",
            "The $single() function expected exactly 1 matching result. Instead it matched 0.",
        )
    })
}

pub fn reduce(run: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    let (list, func, start) = (arg(&args, 0), arg(&args, 1), arg(&args, 2));
    if list.is_undefined() {
        return Ok(Val::Undefined);
    }
    if arity(func) < 2 {
        return Err(Fault::new(
            "D3050",
            "The second argument of reduce function must be a function with at least two arguments",
        ));
    }
    let mut items = each_item(list);
    let mut result = match start {
        Val::Undefined => match items.next() {
            Some((_, first)) => first.clone(),
            None => return Ok(Val::Undefined),
        },
        start => start.clone(),
    };
    for (at, item) in items {
        result = callback(run, func, vec![result, item.clone(), Val::Num(at as f64), list.clone()])?;
    }
    Ok(result)
}

pub fn sift(run: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    let Val::Object(object) = arg(&args, 0) else { return Ok(Val::Undefined) };
    let func = arg(&args, 1);
    let mut kept = Object::default();
    for (key, value) in object.iter() {
        if callback(run, func, vec![value.clone(), Val::Str(Rc::clone(key)), arg(&args, 0).clone()])?.truthy()
        {
            kept.set(Rc::clone(key), value.clone());
        }
    }
    Ok(if kept.len() == 0 { Val::Undefined } else { Val::object(kept) })
}

pub fn each(run: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    let Val::Object(object) = arg(&args, 0) else { return Ok(Val::Undefined) };
    let func = arg(&args, 1);
    let mut out = Vec::new();
    for (key, value) in object.iter() {
        let value =
            callback(run, func, vec![value.clone(), Val::Str(Rc::clone(key)), arg(&args, 0).clone()])?;
        if !value.is_undefined() {
            out.push(value);
        }
    }
    Ok(Val::sequence(out))
}

pub fn sort(run: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    let Some(items) = arg(&args, 0).items() else { return Ok(Val::Undefined) };
    let func = arg(&args, 1);
    run.spend(items.len())?;
    if !func.is_undefined() {
        return merge_sort(run, items.to_vec(), func).map(Val::list);
    }
    let mut sorted = items.to_vec();
    if sorted.iter().all(|v| matches!(v, Val::Num(_))) {
        sorted.sort_by(|a, b| a.as_num().partial_cmp(&b.as_num()).unwrap_or(Ordering::Equal));
    } else if sorted.iter().all(|v| matches!(v, Val::Str(_))) {
        sorted.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
    } else {
        return Err(Fault::new(
            "D3070",
            "The single argument form of the sort function can only be applied to an array of strings or an array of numbers. Use the second argument to specify a comparison function",
        ));
    }
    Ok(Val::list(sorted))
}

/// The comparison may fail or contradict itself, which the standard library's sort does not allow.
fn merge_sort(run: &Run<'_>, items: Vec<Val>, func: &Val) -> Result<Vec<Val>, Fault> {
    if items.len() <= 1 {
        return Ok(items);
    }
    let mut left = items;
    let right = left.split_off(left.len() / 2);
    let left = merge_sort(run, left, func)?;
    let right = merge_sort(run, right, func)?;
    let mut out = Vec::with_capacity(left.len() + right.len());
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        let swap = callback(run, func, vec![a.clone(), b.clone()])?.truthy();
        out.extend(if swap { right.next() } else { left.next() });
    }
    out.extend(left);
    out.extend(right);
    Ok(out)
}
