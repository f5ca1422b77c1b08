//! A workflow as an SVG picture: states in rows by their distance from the start, ways as lines.

use super::{EdgeKind, Graph, Node};
use bourn_asl::Machine;
use std::fmt::Write as _;

const CHARACTER_WIDTH: f64 = 7.6;
const NODE_WIDTH_MIN: f64 = 110.0;
const NODE_HEIGHT: f64 = 44.0;
/// Room around nodes.
const GAP: f64 = 46.0;
/// Room between a state's frame and what is inside.
const PADDING: f64 = 16.0;
const HEADER: f64 = 24.0;

/// A picture without outside references, readable on light and dark grounds.
pub fn svg(machine: &Machine) -> String {
    let graph = Graph::of(machine);
    let layout = Layout::of(&graph);
    let (width, height) = (layout.width + 2.0 * GAP, layout.height + 2.0 * GAP);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         height=\"{height:.0}\" font-family=\"ui-sans-serif, sans-serif\" font-size=\"13\">\n\
         <defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" \
         orient=\"auto\"><path d=\"M0 0 L8 4 L0 8 z\" fill=\"#5b6b7b\"/></marker></defs>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    draw(&graph, &layout, GAP, GAP, &mut out);
    out.push_str("</svg>\n");
    out
}

/// Where the nodes of a graph lie, from its upper left corner.
struct Layout {
    width: f64,
    height: f64,
    boxes: Vec<Placed>,
}

struct Placed {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    inner: Vec<Layout>,
}

impl Layout {
    fn of(graph: &Graph) -> Self {
        let mut boxes: Vec<Placed> = graph.nodes.iter().map(size).collect();
        let rows = rows(graph);
        let row_width = |row: &[usize], boxes: &[Placed]| -> f64 {
            row.iter().map(|node| boxes[*node].width).sum::<f64>()
                + GAP * (row.len().saturating_sub(1)) as f64
        };
        let width = rows.iter().map(|row| row_width(row, &boxes)).fold(0.0, f64::max);
        let mut y = 0.0;
        for row in &rows {
            let mut x = (width - row_width(row, &boxes)) / 2.0;
            let height = row.iter().map(|node| boxes[*node].height).fold(0.0, f64::max);
            for node in row {
                let placed = &mut boxes[*node];
                (placed.x, placed.y) = (x, y + (height - placed.height) / 2.0);
                x += placed.width + GAP;
            }
            y += height + GAP;
        }
        Self { width, height: (y - GAP).max(0.0), boxes }
    }
}

fn size(node: &Node) -> Placed {
    let letters = node.name.chars().count().max(node.type_name.len() + 4);
    let named = (letters as f64 * CHARACTER_WIDTH + 2.0 * PADDING).max(NODE_WIDTH_MIN);
    let inner: Vec<Layout> = node.inner.iter().map(Layout::of).collect();
    if inner.is_empty() {
        return Placed { x: 0.0, y: 0.0, width: named, height: NODE_HEIGHT, inner };
    }
    let across: f64 = inner.iter().map(|layout| layout.width + 2.0 * PADDING).sum();
    let high = inner.iter().map(|layout| layout.height).fold(0.0, f64::max);
    Placed { x: 0.0, y: 0.0, width: across.max(named), height: high + HEADER + 2.0 * PADDING, inner }
}

/// Nodes by row: each as far down as its longest way from the start that goes through no node twice.
fn rows(graph: &Graph) -> Vec<Vec<usize>> {
    let order = topological(graph);
    let mut rank = vec![0_usize; graph.nodes.len()];
    for from in &order {
        for edge in graph.edges.iter().filter(|edge| edge.from == *from) {
            if is_forward(&order, edge.from, edge.to) {
                rank[edge.to] = rank[edge.to].max(rank[edge.from] + 1);
            }
        }
    }
    let mut rows = vec![Vec::new(); rank.iter().max().map_or(0, |last| last + 1)];
    for node in order {
        rows[rank[node]].push(node);
    }
    rows
}

fn is_forward(order: &[usize], from: usize, to: usize) -> bool {
    let place = |node| order.iter().position(|other| *other == node);
    place(from) < place(to)
}

/// The nodes in the order of a depth-first walk from the start, finished last first: without a way
/// back, every way leads forward in it.
fn topological(graph: &Graph) -> Vec<usize> {
    let mut seen = vec![false; graph.nodes.len()];
    let mut order = Vec::new();
    for start in 0..graph.nodes.len() {
        let mut stack = vec![(start, false)];
        while let Some((node, finished)) = stack.pop() {
            if finished {
                order.push(node);
            } else if !std::mem::replace(&mut seen[node], true) {
                stack.push((node, true));
                let ways = graph.edges.iter().filter(|edge| edge.from == node && !seen[edge.to]);
                stack.extend(ways.map(|edge| (edge.to, false)));
            }
        }
    }
    order.reverse();
    // Walks begun later stand before the start's; the start comes first.
    if let Some(first) = order.iter().position(|node| *node == 0) {
        order.rotate_left(first);
    }
    order
}

fn draw(graph: &Graph, layout: &Layout, x: f64, y: f64, out: &mut String) {
    for edge in &graph.edges {
        let (from, to) = (&layout.boxes[edge.from], &layout.boxes[edge.to]);
        draw_edge(from, to, edge.kind, &edge.label, x, y, out);
    }
    for (node, placed) in graph.nodes.iter().zip(&layout.boxes) {
        let (left, top) = (x + placed.x, y + placed.y);
        let (fill, stroke) = colours(node.type_name);
        let _ = writeln!(
            out,
            "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"8\" fill=\"{fill}\" \
             stroke=\"{stroke}\"/>",
            placed.width, placed.height
        );
        let middle = left + placed.width / 2.0;
        let text = |y: f64, colour: &str, size: u32, words: &str| {
            format!(
                "<text x=\"{middle:.1}\" y=\"{y:.1}\" text-anchor=\"middle\" fill=\"{colour}\" \
                 font-size=\"{size}\">{}</text>\n",
                escape(words)
            )
        };
        out.push_str(&text(top + 18.0, "#16212c", 13, &node.name));
        out.push_str(&text(top + 33.0, "#5b6b7b", 10, node.type_name));
        let mut inner_x = left + PADDING;
        for (inner, layout) in node.inner.iter().zip(&placed.inner) {
            draw(inner, layout, inner_x, top + HEADER + PADDING, out);
            inner_x += layout.width + 2.0 * PADDING;
        }
    }
}

fn draw_edge(from: &Placed, to: &Placed, kind: EdgeKind, label: &str, x: f64, y: f64, out: &mut String) {
    let dash = if kind == EdgeKind::Catch { " stroke-dasharray=\"5 4\"" } else { "" };
    let (x1, y1) = (x + from.x + from.width / 2.0, y + from.y + from.height);
    let (x2, y2) = (x + to.x + to.width / 2.0, y + to.y);
    let path = if y2 > y1 {
        let bend = (y2 - y1) / 2.0;
        format!("M{x1:.1} {y1:.1} C{x1:.1} {:.1} {x2:.1} {:.1} {x2:.1} {y2:.1}", y1 + bend, y2 - bend)
    } else {
        // A way back goes around on the right.
        let (x1, y1) = (x + from.x + from.width, y + from.y + from.height / 2.0);
        let (x2, y2) = (x + to.x + to.width, y + to.y + to.height / 2.0);
        let out = x1.max(x2) + GAP;
        format!("M{x1:.1} {y1:.1} C{out:.1} {y1:.1} {out:.1} {y2:.1} {x2:.1} {y2:.1}")
    };
    let _ =
        writeln!(out, "<path d=\"{path}\" fill=\"none\" stroke=\"#5b6b7b\" marker-end=\"url(#tip)\"{dash}/>");
    if !label.is_empty() {
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"#5b6b7b\" font-size=\"10\">{}</text>",
            (x1 + x2) / 2.0 + 5.0,
            (y1 + y2) / 2.0,
            escape(label)
        );
    }
}

/// Fill and frame by the type of the state.
fn colours(type_name: &str) -> (&'static str, &'static str) {
    match type_name {
        "Task" => ("#e8f1fb", "#3b7dc4"),
        "Choice" => ("#fdf4e0", "#c7912b"),
        "Wait" => ("#f1ecfa", "#7d5bbe"),
        "Succeed" => ("#e6f5ea", "#3a9a58"),
        "Fail" => ("#fbe9e9", "#c24545"),
        "Parallel" | "Map" => ("#f6f8fa", "#8494a4"),
        _ => ("#f3f5f7", "#8494a4"),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(states: &str) -> Machine {
        Machine::parse(&format!(r#"{{"StartAt": "A", "States": {{{states}}}}}"#)).expect("a machine")
    }

    #[test]
    fn states_stand_below_those_that_lead_to_them() {
        let machine = machine(
            r#""C": {"Type": "Succeed"}, "B": {"Type": "Pass", "Next": "C"},
               "A": {"Type": "Choice", "Choices": [{"Variable": "$.x", "IsPresent": true, "Next": "B"}], "Default": "C"}"#,
        );
        let graph = Graph::of(&machine);
        let rows: Vec<Vec<&str>> = rows(&graph)
            .into_iter()
            .map(|row| row.into_iter().map(|node| graph.nodes[node].name.as_str()).collect())
            .collect();
        assert_eq!(rows, [["A"], ["B"], ["C"]]);
    }

    #[test]
    fn a_loop_ends_and_every_name_is_escaped() {
        let machine = machine(
            r#""A": {"Type": "Wait", "Seconds": 1, "Next": "<b>"}, "E": {"Type": "Succeed"},
               "<b>": {"Type": "Choice", "Choices": [{"Variable": "$.x", "IsPresent": true, "Next": "A"}], "Default": "E"}"#,
        );
        let picture = svg(&machine);
        assert!(picture.contains("&lt;b&gt;") && !picture.contains("<b>"), "{picture}");
        assert_eq!(picture.matches("<path d=\"M").count(), 4, "three ways and the tip");
    }
}
