//! The paths of input transformers: `$.detail.items[0].name`, with `*` for all members.

use serde_json::Value;

const STEPS_MAX: usize = 64;

/// A compiled path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Field(String),
    Index(usize),
    All,
}

impl Path {
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected = |at: &str| {
            format!(
                "`{text}` does not go on as a path at `{at}`: write `$`, then `.field`, `[0]`, `.*` or `[*]`"
            )
        };
        let mut rest = text.strip_prefix('$').ok_or_else(|| expected(text))?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, behind) = next_step(rest).ok_or_else(|| expected(rest))?;
            steps.push(step);
            rest = behind;
            if steps.len() > STEPS_MAX {
                return Err(format!("`{text}` has more than {STEPS_MAX} steps"));
            }
        }
        Ok(Self(steps))
    }

    /// What is there; with a `*` on the way the list of all that is. `None` if nothing is.
    pub fn find(&self, event: &Value) -> Option<Value> {
        let mut found = vec![event];
        for step in &self.0 {
            found = found.into_iter().flat_map(|value| step.take(value)).collect();
        }
        if self.0.contains(&Step::All) {
            let all: Vec<Value> = found.into_iter().cloned().collect();
            return (!all.is_empty()).then_some(Value::Array(all));
        }
        found.first().map(|value| (*value).clone())
    }
}

impl Step {
    fn take<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        match (self, value) {
            (Self::Field(name), Value::Object(object)) => object.get(name).into_iter().collect(),
            (Self::Index(index), Value::Array(members)) => members.get(*index).into_iter().collect(),
            (Self::All, Value::Object(object)) => object.values().collect(),
            (Self::All, Value::Array(members)) => members.iter().collect(),
            _ => Vec::new(),
        }
    }
}

fn next_step(rest: &str) -> Option<(Step, &str)> {
    if let Some(rest) = rest.strip_prefix('.') {
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let (name, behind) = rest.split_at(end);
        let step = if name == "*" { Step::All } else { Step::Field(name.to_owned()) };
        return (!name.is_empty()).then_some((step, behind));
    }
    let rest = rest.strip_prefix('[')?;
    for quote in ['\'', '"'] {
        if let Some(rest) = rest.strip_prefix(quote) {
            let (name, behind) = rest.split_once(quote)?;
            return Some((Step::Field(name.to_owned()), behind.strip_prefix(']')?));
        }
    }
    let (index, behind) = rest.split_once(']')?;
    let step = if index == "*" { Step::All } else { Step::Index(index.parse().ok()?) };
    Some((step, behind))
}
