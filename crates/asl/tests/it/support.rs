//! Recorded cases, comparing with placeholders, and running a machine whose states need nobody else.

use bourn_asl::{EvalError, Kind, Machine, Scope, Seeded, State, Variables};
use serde_json::{Map, Value, json};

/// 2026-01-01T00:00:00Z.
pub const NOW_MS: i64 = 1_767_225_600_000;

pub fn cases() -> Vec<Value> {
    let packed = include_bytes!("../data/cases.jsonl.zst");
    let text = zstd::decode_all(&packed[..]).expect("zstd");
    let text = String::from_utf8(text).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("a case")).collect()
}

pub fn name(case: &Value) -> &str {
    case["name"].as_str().unwrap_or_default()
}

/// Words that stand for any value where they are the whole string.
const WORDS: [&str; 10] = [
    "date",
    "datetime",
    "timestamp",
    "generated-uuid",
    "RandomNumberGenerated",
    "snf_role_arn",
    "sfn_role_arn",
    "RequestId",
    "start-time",
    "entered-time",
];

const REDRIVE: &str = "RedriveCount";

/// Numbers by value, placeholders as wildcards.
pub fn fits(expected: &Value, actual: &Value) -> bool {
    match (expected, actual) {
        (Value::String(e), _) if WORDS.contains(&e.as_str()) || is_token(e) => true,
        (Value::String(e), Value::String(a)) => text_fits(e, a),
        (Value::Number(e), Value::Number(a)) => e.as_f64() == a.as_f64(),
        (Value::Array(e), Value::Array(a)) => e.len() == a.len() && e.iter().zip(a).all(|(e, a)| fits(e, a)),
        (Value::Object(e), Value::Object(a)) => {
            // Older recordings are from before executions could be redriven.
            let new = usize::from(a.contains_key(REDRIVE) && !e.contains_key(REDRIVE));
            e.len() == a.len() - new && e.iter().all(|(k, v)| a.get(k).is_some_and(|w| fits(v, w)))
        }
        _ => expected == actual,
    }
}

fn is_token(text: &str) -> bool {
    text.len() > 2 && text.starts_with('<') && text.ends_with('>') && text.matches('<').count() == 1
}

/// A text with `<tokens>` in it.
fn text_fits(expected: &str, actual: &str) -> bool {
    let mut rest = actual;
    let mut first = true;
    let mut last_open = false;
    for piece in split_tokens(expected) {
        if first {
            let Some(after) = rest.strip_prefix(piece) else { return false };
            rest = after;
        } else if piece.is_empty() {
            last_open = true;
            continue;
        } else {
            let Some(at) = rest.find(piece) else { return false };
            rest = &rest[at + piece.len()..];
            last_open = false;
        }
        first = false;
    }
    last_open || rest.is_empty()
}

fn split_tokens(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find('<') {
        let Some(close) = rest[open..].find('>') else { break };
        pieces.push(&rest[..open]);
        rest = &rest[open + close + 1..];
    }
    pieces.push(rest);
    pieces
}

/// Whether every state can be run here: no Task, no Map, no Parallel, no Wait.
pub fn runs_alone(machine: &Machine) -> bool {
    let alone = |s: &State| matches!(s.kind, Kind::Pass(_) | Kind::Choice(_) | Kind::Succeed | Kind::Fail(_));
    machine.states().iter().all(|state| alone(state))
}

/// How a run ended, and what each state handed on: name, output, variables set.
pub struct Ended {
    pub outcome: Result<Value, (String, String)>,
    pub exits: Vec<(String, Value, Option<Value>)>,
}

const STATES_MAX: usize = 100;

pub fn run(machine: &Machine, input: &Value) -> Ended {
    let outside = Seeded::new(7, NOW_MS);
    let mut variables = Variables::new();
    let mut exits = Vec::new();
    let (mut at, mut value, mut event) = (machine.flow.start_at.clone(), input.clone(), 1);
    for _ in 0..STATES_MAX {
        let state = machine.flow.state(&at).expect("a state of the machine");
        event += 1;
        let entered_at = event;
        let context = context(input, &state.name);
        let result = {
            let scope = Scope::new(&value, &context, &variables, &outside);
            step(state, &scope)
        };
        let (next, output, assigned) = match result {
            Ok(Stepped::On { next, output, assigned }) => (next, output, assigned),
            Ok(Stepped::Failed { error, cause }) => return Ended { outcome: Err((error, cause)), exits },
            Err(fault) => {
                let cause = fault.cause_in(&state.name, entered_at);
                return Ended { outcome: Err((fault.error.to_owned(), cause)), exits };
            }
        };
        event += 1;
        exits.push((state.name.clone(), output.clone(), assigned.clone().map(Value::Object)));
        variables.extend(assigned.unwrap_or_default());
        value = output;
        match next {
            Some(next) => at = next,
            None => return Ended { outcome: Ok(value), exits },
        }
    }
    panic!("more than {STATES_MAX} states were run");
}

enum Stepped {
    On { next: Option<String>, output: Value, assigned: Option<Map<String, Value>> },
    Failed { error: String, cause: String },
}

fn step(state: &State, scope: &Scope<'_>) -> Result<Stepped, EvalError> {
    let entered = state.enter(scope)?;
    match &state.kind {
        Kind::Choice(_) => {
            let chosen = state.choose(scope, &entered)?;
            let (output, assigned) = (chosen.finished.output, chosen.finished.assigned);
            Ok(Stepped::On { next: Some(chosen.next), output, assigned })
        }
        Kind::Fail(fail) => {
            let seen = scope.with_input(entered.effective());
            let text = |s: &Option<bourn_asl::Setting>| s.as_ref().map(|s| s.text_value(&seen)).transpose();
            let (error, cause) = (text(&fail.error)?, text(&fail.cause)?);
            Ok(Stepped::Failed { error: error.unwrap_or_default(), cause: cause.unwrap_or_default() })
        }
        kind => {
            let result = match kind {
                Kind::Pass(pass) => pass.result.clone(),
                _ => None,
            };
            let result = result.unwrap_or_else(|| entered.effective().clone());
            let finished = state.finish(scope, &entered, result)?;
            Ok(Stepped::On { next: state.next.clone(), output: finished.output, assigned: finished.assigned })
        }
    }
}

fn context(input: &Value, state: &str) -> Value {
    let arn = "arn:aws:states:us-east-1:111111111111";
    json!({
        "Execution": {
            "Id": format!("{arn}:execution:machine:run"),
            "Input": input,
            "Name": "run",
            "RoleArn": "arn:aws:iam::111111111111:role/role",
            "StartTime": "2026-01-01T00:00:00.000Z",
            "RedriveCount": 0,
        },
        "State": {"EnteredTime": "2026-01-01T00:00:00.000Z", "Name": state},
        "StateMachine": {"Id": format!("{arn}:stateMachine:machine"), "Name": "machine"},
    })
}

/// In the scope of a Task at its first try.
pub fn with_task_scope<T>(input: &Value, state: &str, f: impl FnOnce(&Scope<'_>) -> T) -> T {
    let outside = Seeded::new(7, NOW_MS);
    let mut context = context(input, state);
    context["State"]["RetryCount"] = json!(0);
    f(&Scope::new(input, &context, &Variables::new(), &outside))
}

/// A value in the scope of an input alone.
pub fn with_scope<T>(input: &Value, f: impl FnOnce(&Scope<'_>) -> T) -> T {
    let outside = Seeded::new(7, NOW_MS);
    let context = context(input, "State");
    let mut variables = Variables::new();
    variables.insert("list".to_owned(), json!([1, 2, 3]));
    variables.insert("name".to_owned(), json!("Ada"));
    f(&Scope::new(input, &context, &variables, &outside))
}
