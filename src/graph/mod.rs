//! Pictures of a workflow: its states and the ways between them.

mod mermaid;
mod svg;

use bourn_asl::{Flow, Kind, Machine, State};

pub use mermaid::mermaid;
pub use svg::svg;

/// States and the ways between them, those of branches and Map processors inside their state.
struct Graph {
    nodes: Vec<Node>,
    edges: Vec<Edge>,
}

struct Node {
    name: String,
    type_name: &'static str,
    inner: Vec<Graph>,
}

struct Edge {
    /// Places in `nodes`.
    from: usize,
    to: usize,
    label: String,
    kind: EdgeKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum EdgeKind {
    Next,
    Choice,
    Catch,
}

impl Graph {
    fn of(machine: &Machine) -> Self {
        Self::of_flow(&machine.flow)
    }

    /// The state that a flow starts at comes first.
    fn of_flow(flow: &Flow) -> Self {
        let mut states: Vec<&State> = flow.states.iter().collect();
        states.sort_by_key(|state| state.name != flow.start_at);
        let place = |name: &str| states.iter().position(|state| state.name == name);
        let mut edges = Vec::new();
        for (from, state) in states.iter().enumerate() {
            for (name, label, kind) in ways(state) {
                if let Some(to) = place(&name) {
                    edges.push(Edge { from, to, label, kind });
                }
            }
        }
        let node = |state: &&State| Node {
            name: state.name.clone(),
            type_name: state.type_name(),
            inner: state.flows().into_iter().map(Self::of_flow).collect(),
        };
        Self { nodes: states.iter().map(node).collect(), edges }
    }
}

/// Where a state may lead to.
fn ways(state: &State) -> Vec<(String, String, EdgeKind)> {
    let mut ways: Vec<_> = state.next.iter().map(|n| (n.clone(), String::new(), EdgeKind::Next)).collect();
    if let Kind::Choice(choice) = &state.kind {
        let rules = choice.rules.iter().enumerate();
        ways.extend(
            rules.map(|(index, rule)| (rule.next.clone(), format!("{}", index + 1), EdgeKind::Choice)),
        );
        ways.extend(choice.default.iter().map(|n| (n.clone(), "default".to_string(), EdgeKind::Choice)));
    }
    ways.extend(
        state.common.catch.iter().map(|c| (c.next.clone(), c.error_equals.join(", "), EdgeKind::Catch)),
    );
    ways
}
