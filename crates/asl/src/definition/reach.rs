//! Transitions: that they lead somewhere, that every state is reached, that there is an end.

use super::fields::Reading;
use super::{Kind, State};
use crate::document::join;
use std::collections::HashSet;

const MISSING_TARGET: &str = "MISSING_TRANSITION_TARGET";

/// `names` are all names of the flow at `pointer`, also of states that could not be read.
pub(super) fn check(
    reading: &Reading<'_>,
    pointer: &str,
    start_at: Option<&str>,
    names: &[&str],
    states: &[State],
) {
    let known: HashSet<&str> = names.iter().copied().collect();
    let mut reached: HashSet<&str> = HashSet::new();
    if let Some(start) = start_at {
        if !known.contains(start) {
            let message = format!("Missing 'StartAt' target: {start}");
            reading.fault(MISSING_TARGET, message, &join(pointer, "StartAt"));
        }
        reached.insert(start);
    }
    let mut ends = states.len() != names.len();
    for state in states {
        ends |= state.next.is_none() && !matches!(state.kind, Kind::Choice(_));
        for (at, target) in targets(state) {
            if !known.contains(target) {
                let field = at.rsplit('/').next().unwrap_or("Next");
                let message = format!("Missing '{field}' target: {target}");
                reading.fault(MISSING_TARGET, message, &at);
            }
        }
    }
    follow(states, &mut reached);
    // With a state that could not be read nobody knows what it leads to.
    if states.len() == names.len() && start_at.is_some_and(|s| known.contains(s)) {
        for state in states.iter().filter(|s| !reached.contains(s.name.as_str())) {
            let message = format!("State \"{}\" is not reachable.", state.name);
            reading.fault(MISSING_TARGET, message, &state.pointer);
        }
    }
    if !ends && !states.is_empty() {
        let message = "No state ends the flow: one needs \"End\": true, or the type Succeed or Fail";
        reading.fault("MISSING_END_STATE", message, &join(pointer, "States"));
    }
}

/// A state counts as reached if any other state leads to it, as AWS counts.
fn follow<'a>(states: &'a [State], reached: &mut HashSet<&'a str>) {
    for state in states {
        for (_, target) in targets(state) {
            if target != state.name {
                reached.insert(target);
            }
        }
    }
}

/// Where a state can lead, each with its place.
fn targets(state: &State) -> Vec<(String, &str)> {
    let at = |tail: &str| format!("{}/{tail}", state.pointer);
    let mut targets: Vec<(String, &str)> = Vec::new();
    targets.extend(state.next.as_deref().map(|next| (at("Next"), next)));
    if let Kind::Choice(choice) = &state.kind {
        for (i, rule) in choice.rules.iter().enumerate() {
            targets.push((at(&format!("Choices/{i}/Next")), &rule.next));
        }
        targets.extend(choice.default.as_deref().map(|next| (at("Default"), next)));
    }
    for (i, catcher) in state.common.catch.iter().enumerate() {
        targets.push((at(&format!("Catch/{i}/Next")), &catcher.next));
    }
    targets
}
