//! ARNs of machines, executions, map runs and activities.

/// An ARN of Step Functions, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arn<'a> {
    /// `…:stateMachine:<name>`
    Machine { name: &'a str },
    /// `…:execution:<machine>:<name>`, and of a map run's child `…:execution:<machine>/<label>:<name>`.
    Execution { machine: &'a str, name: &'a str },
    /// `…:express:<machine>:<name>:<id>`
    Express,
    /// `…:activity:<name>`
    Activity { name: &'a str },
    /// `…:mapRun:<machine>/<label>:<id>`
    MapRun,
}

/// The parts of an ARN, if it is one of Step Functions.
pub fn parse(arn: &str) -> Option<Arn<'_>> {
    let parts: Vec<&str> = arn.splitn(7, ':').collect();
    let ["arn", _, "states", _, _, kind, rest] = parts.as_slice() else { return None };
    match *kind {
        "stateMachine" => Some(Arn::Machine { name: rest }),
        "execution" => rest.split_once(':').map(|(machine, name)| Arn::Execution { machine, name }),
        "express" => Some(Arn::Express),
        "activity" => Some(Arn::Activity { name: rest }),
        "mapRun" => Some(Arn::MapRun),
        _ => None,
    }
}

/// May a machine, an execution or an activity be called this? Up to 80 characters, none of them white
/// space, a bracket, a wildcard, or one that means something in an ARN or a URL.
pub fn is_name(name: &str) -> bool {
    const REFUSED: &str = "<>{}[]?*\"#%\\^|~`$&,;:/";
    let length = name.chars().count();
    (1..=80).contains(&length)
        && !name.chars().any(|c| c.is_whitespace() || c.is_control() || REFUSED.contains(c))
}
