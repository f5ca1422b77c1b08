//! Frames of variables, and the meter that ends an expression which would not end.

use super::value::Val;
use super::{EVAL_DEPTH_MAX, EVAL_STEPS_MAX, Fault};
use crate::Scope;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

/// A frame; inner frames see outer ones.
pub(super) struct Env {
    vars: RefCell<HashMap<String, Val>>,
    outer: Option<Rc<Env>>,
    /// Values that `%` goes back to, nearest first.
    pub parents: Option<Rc<Parents>>,
}

pub(super) struct Parents {
    pub value: Val,
    pub above: Option<Rc<Parents>>,
}

impl Env {
    pub fn root() -> Rc<Env> {
        Rc::new(Env { vars: RefCell::default(), outer: None, parents: None })
    }

    pub fn inner(outer: &Rc<Env>) -> Rc<Env> {
        Rc::new(Env {
            vars: RefCell::default(),
            outer: Some(Rc::clone(outer)),
            parents: outer.parents.clone(),
        })
    }

    pub fn with_parents(outer: &Rc<Env>, parents: Option<Rc<Parents>>) -> Rc<Env> {
        Rc::new(Env { vars: RefCell::default(), outer: Some(Rc::clone(outer)), parents })
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

/// One run of an expression.
pub(super) struct Run<'a> {
    pub scope: &'a Scope<'a>,
    pub uses_parent: bool,
    steps: Cell<u64>,
    depth: Cell<usize>,
}

impl<'a> Run<'a> {
    pub fn new(scope: &'a Scope<'a>, uses_parent: bool) -> Run<'a> {
        Run { scope, uses_parent, steps: Cell::new(0), depth: Cell::new(0) }
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

    pub fn leave(&self) {
        self.depth.set(self.depth.get().saturating_sub(1));
    }
}
