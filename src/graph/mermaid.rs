//! A workflow as a Mermaid flowchart.

use super::{EdgeKind, Graph, Node};
use bourn_asl::Machine;
use std::fmt::Write as _;

/// Text that Mermaid draws: `flowchart TD` and a line for each state and way.
pub fn mermaid(machine: &Machine) -> String {
    let mut text = String::from("flowchart TD\n");
    draw(&Graph::of(machine), "s", 1, &mut text);
    text
}

/// Nodes are named by their place (`s0`, `s3_1_0`), since names of states may hold anything.
fn draw(graph: &Graph, prefix: &str, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    for (index, node) in graph.nodes.iter().enumerate() {
        let id = format!("{prefix}{index}");
        if node.inner.is_empty() {
            let _ = writeln!(out, "{indent}{id}{}", shape(node));
            continue;
        }
        let _ = writeln!(out, "{indent}subgraph {id} [\"{}\"]", label(node));
        for (branch, inner) in node.inner.iter().enumerate() {
            draw(inner, &format!("{id}_{branch}_"), depth + 1, out);
        }
        let _ = writeln!(out, "{indent}end");
    }
    for edge in &graph.edges {
        let arrow = if edge.kind == EdgeKind::Catch { "-.->" } else { "-->" };
        let label = match edge.label.as_str() {
            "" => String::new(),
            text => format!("|\"{}\"|", escape(text)),
        };
        let _ = writeln!(out, "{indent}{prefix}{} {arrow}{label} {prefix}{}", edge.from, edge.to);
    }
}

fn label(node: &Node) -> String {
    format!("{} <small>{}</small>", escape(&node.name), node.type_name)
}

fn shape(node: &Node) -> String {
    let label = label(node);
    match node.type_name {
        "Choice" => format!("{{\"{label}\"}}"),
        "Wait" => format!("([\"{label}\"])"),
        "Succeed" | "Fail" => format!("[[\"{label}\"]]"),
        _ => format!("[\"{label}\"]"),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_is_drawn() {
        let machine = Machine::parse(
            r#"{"StartAt": "A", "States": {
                "A": {"Type": "Choice", "Choices": [{"Variable": "$.x", "NumericEquals": 1, "Next": "B \"q\""}], "Default": "C"},
                "B \"q\"": {"Type": "Task", "Resource": "arn:aws:states:::bourn:sql", "Parameters": {"Query": "select 1"},
                    "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "C"}], "Next": "P"},
                "P": {"Type": "Parallel", "Branches": [{"StartAt": "I", "States": {"I": {"Type": "Succeed"}}}], "End": true},
                "C": {"Type": "Fail", "Error": "E"}}}"#,
        )
        .expect("a machine");
        let text = mermaid(&machine);
        for line in [
            "s0{\"A <small>Choice</small>\"}",
            "s1[\"B &quot;q&quot; <small>Task</small>\"]",
            "subgraph s2 [\"P <small>Parallel</small>\"]",
            "s2_0_0[[\"I <small>Succeed</small>\"]]",
            "s0 -->|\"1\"| s1",
            "s0 -->|\"default\"| s3",
            "s1 --> s2",
            "s1 -.->|\"States.ALL\"| s3",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
