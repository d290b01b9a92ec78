//! Mermaid.

use std::collections::HashMap;

use crate::graph::Umig;
use crate::model::ModelId;

/// The graph as a Mermaid flowchart, parents on the left.
pub fn mermaid(graph: &Umig) -> String {
    let mut out = String::from("graph LR\n");
    // Mermaid takes no `@` in a node's name.
    let mut keys: HashMap<&ModelId, usize> = HashMap::new();
    for (key, model) in graph.models().enumerate() {
        keys.insert(&model.id, key);
        out.push_str(&format!("  n{key}[\"{}\"]\n", model.id));
    }
    for (parent, child, relation) in graph.edges() {
        if let (Some(from), Some(to)) = (keys.get(parent), keys.get(child)) {
            out.push_str(&format!("  n{from} -->|{relation}| n{to}\n"));
        }
    }
    out
}
