//! The order in which input and output of a state are processed, for both query languages.
//!
//! JSONPath: `InputPath` ► `Parameters` ► (the state's work) ► `ResultSelector` ► `Assign` ► `ResultPath` ►
//! `OutputPath`. JSONata: `Arguments` ► (work) ► `Output` and `Assign`, which both see the old variables.

use crate::document::depth;
use crate::{Catcher, EvalError, Kind, QueryLanguage, Scope, Selector, State, Template, errors};
use serde_json::{Map, Value};

/// Deepest nesting of what states hand on; readers of JSON stop soon behind it.
pub const DATA_DEPTH_MAX: usize = 120;

/// Input as a state's work sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Entered {
    /// JSONPath: what `InputPath` selects. JSONata: the raw input.
    pub after_input_path: Value,
    /// What `Parameters` or `Arguments` make of it; `None` if the state has neither.
    pub after_parameters: Option<Value>,
}

impl Entered {
    /// What the state's work gets.
    pub fn effective(&self) -> &Value {
        self.after_parameters.as_ref().unwrap_or(&self.after_input_path)
    }
}

/// A state's end: what it hands on.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// JSONPath: the result after `ResultSelector`; `None` without one.
    pub after_result_selector: Option<Value>,
    /// JSONPath: after `ResultPath`.
    pub after_result_path: Option<Value>,
    pub output: Value,
    /// Variables to set, in one go; `None` if the state (or rule, or catcher) has no `Assign`.
    pub assigned: Option<Map<String, Value>>,
}

impl Finished {
    /// Fails if its data are nested too deeply.
    fn checked(self) -> Result<Finished, EvalError> {
        check_depth(&self.output)?;
        self.assigned.iter().flat_map(Map::values).try_for_each(check_depth)?;
        Ok(self)
    }
}

/// A Choice that was made.
#[derive(Debug, Clone, PartialEq)]
pub struct Chosen {
    /// The rule that matched; `None` for `Default`.
    pub rule: Option<usize>,
    pub next: String,
    pub finished: Finished,
}

impl State {
    /// Input processing. Fails as the state fails: in a state with `Retry` or `Catch` they may take the error.
    pub fn enter(&self, scope: &Scope<'_>) -> Result<Entered, EvalError> {
        let after_input_path = self.common.input_path.apply(scope)?;
        let after_parameters = match (&self.common.parameters, &self.common.arguments) {
            (Some(template), _) => {
                let scope = scope.with_input(&after_input_path);
                Some(template.eval("Parameters", &scope).map_err(|e| self.worded(e))?)
            }
            (None, Some(template)) => Some(template.eval("Arguments", scope)?),
            (None, None) => None,
        };
        after_parameters.as_ref().map_or(Ok(()), check_depth)?;
        Ok(Entered { after_input_path, after_parameters })
    }

    /// Output processing of a state that succeeded with `result`. `scope.input` is the raw input; `entered` is what
    /// [`State::enter`] gave.
    pub fn finish(&self, scope: &Scope<'_>, entered: &Entered, result: Value) -> Result<Finished, EvalError> {
        match self.query_language {
            QueryLanguage::Jsonata => self.finish_jsonata(scope, result),
            QueryLanguage::JsonPath => self.finish_json_path(scope, entered, result),
        }
    }

    fn finish_jsonata(&self, scope: &Scope<'_>, result: Value) -> Result<Finished, EvalError> {
        let has_result = matches!(self.kind, Kind::Task(_) | Kind::Parallel(_) | Kind::Map(_));
        let seen = if has_result { scope.with_result(&result) } else { *scope };
        let assigned = assign(self.common.assign.as_ref(), &seen)?;
        let output = match &self.common.output {
            Some(template) => template.eval("Output", &seen)?,
            None => result,
        };
        Finished { after_result_selector: None, after_result_path: None, output, assigned }.checked()
    }

    fn finish_json_path(
        &self,
        scope: &Scope<'_>,
        entered: &Entered,
        result: Value,
    ) -> Result<Finished, EvalError> {
        let selected = match &self.common.result_selector {
            Some(template) => {
                let seen = scope.with_input(&result);
                Some(template.eval("ResultSelector", &seen).map_err(|e| self.worded(e))?)
            }
            None => None,
        };
        let result = selected.clone().unwrap_or(result);
        let assigned =
            assign(self.common.assign.as_ref(), &scope.with_input(&result)).map_err(|e| self.worded(e))?;
        let merged = match self.kind {
            Kind::Choice(_) | Kind::Wait(_) | Kind::Succeed | Kind::Fail(_) => entered.effective().clone(),
            _ => self.common.result_path.apply(scope.input, result)?,
        };
        let output = self.common.output_path.apply(&scope.with_input(&merged))?;
        Finished { after_result_selector: selected, after_result_path: Some(merged), output, assigned }
            .checked()
    }

    /// Output processing of a Catch. `error_output` is `{"Error": …, "Cause": …}`.
    pub fn catch(
        &self,
        scope: &Scope<'_>,
        catcher: &Catcher,
        error_output: Value,
    ) -> Result<Finished, EvalError> {
        match self.query_language {
            QueryLanguage::Jsonata => {
                let seen = scope.with_error_output(&error_output);
                let assigned = assign(catcher.assign.as_ref(), &seen)?;
                let output = match &catcher.output {
                    Some(template) => template.eval("Output", &seen)?,
                    None => error_output,
                };
                Finished { after_result_selector: None, after_result_path: None, output, assigned }.checked()
            }
            QueryLanguage::JsonPath => {
                let seen = scope.with_input(&error_output);
                let assigned = assign(catcher.assign.as_ref(), &seen).map_err(|e| self.worded(e))?;
                let merged = catcher.result_path.apply(scope.input, error_output)?;
                let after_result_path = Some(merged.clone());
                Finished { after_result_selector: None, after_result_path, output: merged, assigned }
                    .checked()
            }
        }
    }

    /// Decides a Choice; fails with `States.NoChoiceMatched` if no rule holds and there is no default.
    pub fn choose(&self, scope: &Scope<'_>, entered: &Entered) -> Result<Chosen, EvalError> {
        let Kind::Choice(choice) = &self.kind else {
            return Err(EvalError::runtime(format!("'{}' is no Choice state.", self.name)));
        };
        let effective = entered.effective();
        let seen = scope.with_input(effective);
        for (index, rule) in choice.rules.iter().enumerate() {
            if !rule.condition.holds(&format!("Choices[{index}]/Condition"), &seen)? {
                continue;
            }
            let assigned = assign(rule.assign.as_ref(), &seen).map_err(|e| self.worded(e))?;
            let output = match &rule.output {
                Some(template) => template.eval("Output", &seen)?,
                None => self.passed_on(&seen)?,
            };
            let finished =
                Finished { after_result_selector: None, after_result_path: None, output, assigned }
                    .checked()?;
            return Ok(Chosen { rule: Some(index), next: rule.next.clone(), finished });
        }
        let next = choice.default.clone().ok_or_else(|| {
            EvalError::new(
                errors::NO_CHOICE_MATCHED,
                "Failed to transition out of the state. The state does not point to a next state.",
            )
        })?;
        let assigned = assign(self.common.assign.as_ref(), &seen).map_err(|e| self.worded(e))?;
        let output = match &self.common.output {
            Some(template) => template.eval("Output", &seen)?,
            None => self.passed_on(&seen)?,
        };
        let finished =
            Finished { after_result_selector: None, after_result_path: None, output, assigned }.checked()?;
        Ok(Chosen { rule: None, next, finished })
    }

    /// The items of a Map, before `ItemSelector`. `entered` is what [`State::enter`] gave.
    pub fn map_items(&self, scope: &Scope<'_>, entered: &Entered) -> Result<Vec<Value>, EvalError> {
        let Kind::Map(map) = &self.kind else {
            return Err(EvalError::runtime(format!("'{}' is no Map state.", self.name)));
        };
        match (&map.items, entered.effective()) {
            (Some(items), effective) => items.items(&scope.with_input(effective)),
            (None, Value::Array(items)) => Ok(items.clone()),
            (None, other) => Err(match self.query_language {
                QueryLanguage::Jsonata => {
                    EvalError::query("", format!("Map state input must be an array but was: {other}"))
                }
                QueryLanguage::JsonPath => EvalError::runtime("Reference path \"$\" must point to array."),
            }),
        }
    }

    fn passed_on(&self, scope: &Scope<'_>) -> Result<Value, EvalError> {
        self.common.output_path.apply(scope)
    }

    /// A path that fails in a state without `Retry` and `Catch` is `States.Runtime`, as recorded by AWS.
    fn worded(&self, fault: EvalError) -> EvalError {
        let can_catch = matches!(self.kind, Kind::Task(_) | Kind::Parallel(_) | Kind::Map(_));
        match fault.error {
            errors::PARAMETER_PATH_FAILURE if !can_catch => EvalError { error: errors::RUNTIME, ..fault },
            _ => fault,
        }
    }
}

impl Selector {
    pub(crate) fn apply(&self, scope: &Scope<'_>) -> Result<Value, EvalError> {
        match self {
            Selector::Whole => Ok(scope.input.clone()),
            Selector::Nothing => Ok(Value::Object(Map::new())),
            Selector::Path(path) => match path.find(scope) {
                Ok(value) => Ok(value.into_owned()),
                Err(miss) => Err(EvalError::runtime(format!("Invalid path '{path}' : {miss}"))),
            },
        }
    }
}

fn assign(template: Option<&Template>, scope: &Scope<'_>) -> Result<Option<Map<String, Value>>, EvalError> {
    template.map(|t| t.eval_object("Assign", scope)).transpose()
}

fn check_depth(value: &Value) -> Result<(), EvalError> {
    if depth(value) > DATA_DEPTH_MAX {
        return Err(EvalError::runtime(format!("The data are nested deeper than {DATA_DEPTH_MAX} levels.")));
    }
    Ok(())
}
