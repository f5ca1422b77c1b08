//! Functions on objects, and those that raise errors.

use super::arg;
use crate::jsonata::env::Run;
use crate::jsonata::path;
use crate::jsonata::value::{Object, Val};
use crate::jsonata::{Fault, VALUE_DEPTH_MAX};
use std::collections::HashSet;
use std::rc::Rc;

pub fn keys(run: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    let mut seen = HashSet::new();
    let mut keys = Vec::new();
    collect_keys(run, arg(&args, 0), &mut seen, &mut keys, 0)?;
    Ok(Val::sequence(keys))
}

fn collect_keys(
    run: &Run<'_>,
    value: &Val,
    seen: &mut HashSet<Rc<str>>,
    keys: &mut Vec<Val>,
    depth: usize,
) -> Result<(), Fault> {
    run.spend(1)?;
    match value {
        Val::Object(object) => {
            for (key, _) in object.iter() {
                if seen.insert(Rc::clone(key)) {
                    keys.push(Val::Str(Rc::clone(key)));
                }
            }
            Ok(())
        }
        Val::Array(list) if depth < VALUE_DEPTH_MAX => {
            list.items.iter().try_for_each(|item| collect_keys(run, item, seen, keys, depth + 1))
        }
        _ => Ok(()),
    }
}

pub fn lookup(run: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    match arg(&args, 1).as_str() {
        Some(key) => path::lookup(run, arg(&args, 0), key, 0),
        None => Ok(Val::Undefined),
    }
}

pub fn spread(run: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    match arg(&args, 0) {
        value @ (Val::Object(_) | Val::Array(_)) => {
            let mut out = Vec::new();
            spread_into(run, value, &mut out, 0)?;
            Ok(Val::sequence(out))
        }
        other => Ok(other.clone()),
    }
}

fn spread_into(run: &Run<'_>, value: &Val, out: &mut Vec<Val>, depth: usize) -> Result<(), Fault> {
    run.spend(1)?;
    match value {
        Val::Array(list) if depth < VALUE_DEPTH_MAX => {
            list.items.iter().try_for_each(|item| spread_into(run, item, out, depth + 1))
        }
        Val::Object(object) => {
            for (key, value) in object.iter() {
                let mut one = Object::default();
                one.set(Rc::clone(key), value.clone());
                out.push(Val::object(one));
            }
            Ok(())
        }
        other => {
            out.push(other.clone());
            Ok(())
        }
    }
}

pub fn merge(run: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    if arg(&args, 0).is_undefined() {
        return Ok(Val::Undefined);
    }
    let mut merged = Object::default();
    for value in arg(&args, 0).as_list() {
        if let Val::Object(object) = value {
            run.spend(object.len())?;
            for (key, value) in object.iter() {
                merged.set(Rc::clone(key), value.clone());
            }
        }
    }
    Ok(Val::object(merged))
}

pub fn type_of(_: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    Ok(match arg(&args, 0) {
        Val::Undefined => Val::Undefined,
        value => Val::str(value.type_name()),
    })
}

pub fn error(_: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    Err(Fault::new("D3137", arg(&args, 0).as_str().unwrap_or("$error() function evaluated").to_owned()))
}

pub fn assert(_: &Run<'_>, args: Vec<Val>) -> Result<Val, Fault> {
    if arg(&args, 0).truthy() {
        return Ok(Val::Undefined);
    }
    Err(Fault::new("D3141", arg(&args, 1).as_str().unwrap_or("$assert() statement failed").to_owned()))
}
