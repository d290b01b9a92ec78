//! Graphviz.

use crate::graph::Umig;

/// The graph as a drawing for Graphviz, parents on the left; superseded versions are dashed.
pub fn dot(graph: &Umig) -> String {
    // Ids and relations hold no quotes and no backslashes.
    let mut out = String::from("digraph umig {\n  rankdir=LR;\n  node [shape=box];\n");
    for model in graph.models() {
        let style = if model.superseded {
            " [style=dashed]"
        } else {
            ""
        };
        out.push_str(&format!("  \"{}\"{style};\n", model.id));
    }
    for (parent, child, relation) in graph.edges() {
        out.push_str(&format!(
            "  \"{parent}\" -> \"{child}\" [label=\"{relation}\"];\n"
        ));
    }
    out.push_str("}\n");
    out
}
