//! Frames of variables, and the meter that ends an expression which would not end.

use super::value::{Extent, Val, drop_flat};
use super::{EVAL_DEPTH_MAX, EVAL_STEPS_MAX, Fault, VALUE_DEPTH_MAX, VALUES_MAX};
use crate::Scope;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};

/// Frames that are noted before those that are gone are forgotten.
const SEEN_ROOM: usize = 64;

/// A frame; inner frames see outer ones.
pub(super) struct Env {
    vars: RefCell<HashMap<String, Val>>,
    outer: Option<Rc<Env>>,
    /// Whether a function sees it.
    seen: Cell<bool>,
    /// Values that `%` goes back to, nearest first.
    pub parents: Option<Rc<Parents>>,
}

pub(super) struct Parents {
    pub value: Val,
    pub above: Option<Rc<Parents>>,
}

impl Env {
    pub fn root() -> Rc<Env> {
        Env::new(None, None)
    }

    pub fn inner(outer: &Rc<Env>) -> Rc<Env> {
        Env::new(Some(Rc::clone(outer)), outer.parents.clone())
    }

    pub fn with_parents(outer: &Rc<Env>, parents: Option<Rc<Parents>>) -> Rc<Env> {
        Env::new(Some(Rc::clone(outer)), parents)
    }

    fn new(outer: Option<Rc<Env>>, parents: Option<Rc<Parents>>) -> Rc<Env> {
        Rc::new(Env { vars: RefCell::default(), outer, seen: Cell::new(false), parents })
    }

    pub fn bind(&self, name: &str, value: Val) {
        self.vars.borrow_mut().insert(name.to_owned(), value);
    }

    pub fn get(&self, name: &str) -> Option<Val> {
        let mut env = Some(self);
        while let Some(frame) = env {
            if let Some(value) = frame.vars.borrow().get(name) {
                return Some(value.clone());
            }
            env = frame.outer.as_deref();
        }
        None
    }
}

impl Drop for Env {
    fn drop(&mut self) {
        drop_flat(self.vars.take().into_values());
    }
}

impl Drop for Parents {
    fn drop(&mut self) {
        drop_flat(std::iter::once(std::mem::replace(&mut self.value, Val::Undefined)));
        let mut above = self.above.take();
        while let Some(mut parents) = above.and_then(Rc::into_inner) {
            drop_flat(std::iter::once(std::mem::replace(&mut parents.value, Val::Undefined)));
            above = parents.above.take();
        }
    }
}

/// One run of an expression.
pub(super) struct Run<'a> {
    pub scope: &'a Scope<'a>,
    pub uses_parent: bool,
    steps: Cell<u64>,
    depth: Cell<usize>,
    /// Frames that functions see.
    seen: RefCell<Vec<Weak<Env>>>,
}

impl<'a> Run<'a> {
    pub fn new(scope: &'a Scope<'a>, uses_parent: bool) -> Run<'a> {
        Run { scope, uses_parent, steps: Cell::new(0), depth: Cell::new(0), seen: RefCell::default() }
    }

    /// Counts work done; the whole run has a bound.
    pub fn spend(&self, steps: usize) -> Result<(), Fault> {
        let spent = self.steps.get().saturating_add(steps as u64);
        self.steps.set(spent);
        if spent > EVAL_STEPS_MAX {
            return Err(Fault::new(
                "D1012",
                format!("The expression takes more than {EVAL_STEPS_MAX} steps"),
            ));
        }
        Ok(())
    }

    pub fn enter(&self) -> Result<(), Fault> {
        self.spend(1)?;
        let depth = self.depth.get() + 1;
        if depth > EVAL_DEPTH_MAX {
            return Err(Fault::new(
                "D1011",
                format!("The evaluation is nested deeper than {EVAL_DEPTH_MAX} levels"),
            ));
        }
        self.depth.set(depth);
        Ok(())
    }

    /// The value, unless it is larger than what walks over it may meet.
    pub fn bounded(&self, value: Val) -> Result<Val, Fault> {
        let Extent { depth, values } = value.extent();
        if depth > VALUE_DEPTH_MAX {
            let why = format!("A value is nested deeper than {VALUE_DEPTH_MAX} levels");
            return Err(Fault::new("D1013", why));
        }
        if values > VALUES_MAX {
            return Err(Fault::new("D1013", format!("A value holds more than {VALUES_MAX} values")));
        }
        Ok(value)
    }

    /// Notes that a function sees `env`. Kept in a frame that it sees, a function would keep the frame and the frame
    /// the function, for ever; so these frames are emptied when the run ends.
    pub fn sees(&self, env: &Rc<Env>) {
        let mut seen = self.seen.borrow_mut();
        let mut env = Some(env);
        while let Some(frame) = env
            && !frame.seen.replace(true)
        {
            if seen.len() == seen.capacity() {
                seen.retain(|frame| frame.strong_count() > 0);
                let room = seen.len().max(SEEN_ROOM);
                seen.reserve(room);
            }
            seen.push(Rc::downgrade(frame));
            env = frame.outer.as_ref();
        }
    }

    pub fn leave(&self) {
        self.depth.set(self.depth.get().saturating_sub(1));
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        for frame in self.seen.take() {
            if let Some(frame) = frame.upgrade() {
                drop_flat(frame.vars.take().into_values());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jsonata::{eval, parse};
    use crate::{Seeded, Variables};
    use serde_json::Value;

    #[test]
    fn frees_functions_that_see_themselves() {
        for text in [
            "$f := function(){$f}",
            "($f := function(){$f}; $f())",
            "($f := (function(){$f}); $f)",
            "($f := [function(){$f}]; 1)",
            "($f := {'a': {'b': function(){$f}}}; 1)",
            "($f := $power(?, function(){$f}); 1)",
            "($f := function($x){$x} ~> function(){$f}; 1)",
            "($t := |$|{'a': $t}|; 1)",
            "($f := function($n){($g := function(){$f}; $n = 0 ? $g : $f($n - 1))}; $f(1000))",
            "([1..9].($f := function(){$f}); 1)",
            "({'a': [1, 2]}.a.(%.(function(){$f})))",
            "($f := function(){$f}; $error('stop'))",
        ] {
            let (tree, uses_parent) = parse::parse(text).expect("an expression");
            let (variables, outside) = (Variables::new(), Seeded::new(1, 0));
            let scope = Scope::new(&Value::Null, &Value::Null, &variables, &outside);
            let root = Env::root();
            let left = Rc::downgrade(&root);
            let run = Run::new(&scope, uses_parent);
            drop(eval::eval(&run, &tree, &Val::Undefined, &root));
            drop((root, run));
            assert_eq!(left.strong_count(), 0, "{text}");
        }
    }
}
