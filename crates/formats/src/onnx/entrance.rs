//! What enters the block that a graph's layer closes: all that lies behind it follows from that one value.

use std::collections::BTreeMap;

use crate::onnx::graph::{FLOAT, Graph};

/// Operations with graphs in them, which may read values that they do not name.
const NESTED: [&str; 3] = ["If", "Loop", "Scan"];

/// The last value from which alone both what a layer reads and its stream follow: of a plain network what
/// the layer reads, of a residual one what enters the block; nothing where there is no such value.
pub(super) fn entrance(graph: &Graph, reads: &str, stream: &str) -> Option<String> {
    let values = Values::new(graph);
    let wanted = [reads, stream].map(|name| values.places.get(name));
    let [Some(reads), Some(stream)] = wanted else {
        return None;
    };
    let mut before = values.behind(*reads);
    before.sort_by_key(|at| std::cmp::Reverse(values.made[*at]));
    let mut before = before.into_iter();
    let found = before.find(|at| values.follow([*reads, *stream], *at));
    found.map(|at| values.names[at].to_owned())
}

/// The values of a graph, by number.
struct Values<'a> {
    places: BTreeMap<&'a str, usize>,
    names: Vec<&'a str>,
    /// The values that each is made from.
    from: Vec<Vec<usize>>,
    /// The number of the operation that makes it, from 1; 0 for inputs and weights.
    made: Vec<usize>,
    /// Whether it depends on more than the values that it is made from.
    open: Vec<bool>,
    /// Whether it is an input of another kind than numbers that could be drawn.
    discrete: Vec<bool>,
}

impl<'a> Values<'a> {
    fn new(graph: &'a Graph) -> Self {
        let mut values = Self {
            places: BTreeMap::new(),
            names: Vec::new(),
            from: Vec::new(),
            made: Vec::new(),
            open: Vec::new(),
            discrete: Vec::new(),
        };
        for input in &graph.inputs {
            let at = values.place(&input.name);
            values.open[at] = true;
            values.discrete[at] = input.element != FLOAT;
        }
        for (number, node) in (1..).zip(&graph.nodes) {
            let inputs = node.inputs.iter().filter(|name| !name.is_empty());
            let from: Vec<usize> = inputs.map(|name| values.place(name)).collect();
            for output in node.outputs.iter().filter(|name| !name.is_empty()) {
                let at = values.place(output);
                values.from[at].clone_from(&from);
                values.made[at] = number;
                values.open[at] = NESTED.contains(&node.kind.as_str());
            }
        }
        values
    }

    fn place(&mut self, name: &'a str) -> usize {
        let next = self.names.len();
        let at = *self.places.entry(name).or_insert(next);
        if at == next {
            self.names.push(name);
            self.from.push(Vec::new());
            self.made.push(0);
            self.open.push(false);
            self.discrete.push(false);
        }
        at
    }

    /// A value and all that it follows from.
    fn behind(&self, value: usize) -> Vec<usize> {
        let (mut todo, mut seen) = (vec![value], vec![false; self.names.len()]);
        let mut found = Vec::new();
        while let Some(at) = todo.pop() {
            if !std::mem::replace(&mut seen[at], true) {
                found.push(at);
                todo.extend(&self.from[at]);
            }
        }
        found
    }

    /// Whether some values follow from one alone, and depend on it.
    fn follow(&self, wanted: [usize; 2], from: usize) -> bool {
        let (mut todo, mut seen) = (wanted.to_vec(), vec![false; self.names.len()]);
        while let Some(at) = todo.pop() {
            if std::mem::replace(&mut seen[at], true) || at == from {
                continue;
            }
            if self.open[at] {
                return false;
            }
            todo.extend(&self.from[at]);
        }
        seen[from] && !self.discrete[from]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::graph::{Input, Node};

    /// An operation, what it reads, and what it makes.
    type Operation<'a> = (&'a str, &'a [&'a str], &'a str);

    /// A graph of operations on `inputs` with the numbers of their types.
    fn graph(inputs: &[(&str, u64)], nodes: &[Operation<'_>]) -> Graph {
        let input = |(name, element): &(&str, u64)| Input {
            name: (*name).to_owned(),
            element: *element,
            shape: Vec::new(),
        };
        let node = |(kind, inputs, output): &Operation<'_>| Node {
            name: String::new(),
            kind: (*kind).to_owned(),
            domain: String::new(),
            inputs: inputs.iter().map(|name| (*name).to_owned()).collect(),
            outputs: vec![(*output).to_owned()],
            whole: BTreeMap::new(),
            float: BTreeMap::new(),
            lists: BTreeMap::new(),
            texts: BTreeMap::new(),
            tensors: BTreeMap::new(),
        };
        Graph {
            inputs: inputs.iter().map(input).collect(),
            nodes: nodes.iter().map(node).collect(),
            ..Graph::default()
        }
    }

    /// What enters the block of a layer that reads `a` and writes `s`.
    fn found(graph: &Graph) -> Option<String> {
        entrance(graph, "a", "s")
    }

    #[test]
    fn the_last_value_that_leads_to_both_is_found() {
        let float = [("x", 1)];
        let plain: &[Operation<'_>] = &[("Relu", &["x"], "a"), ("Conv", &["a", "w"], "s")];
        assert_eq!(found(&graph(&float, plain)).as_deref(), Some("a"));
        let residual: &[Operation<'_>] = &[
            ("Relu", &["x"], "b"),
            ("Conv", &["b", "v"], "a"),
            ("Conv", &["a", "w"], "o"),
            ("Conv", &["b", "u"], "c"),
            ("Add", &["o", "c"], "s"),
        ];
        assert_eq!(found(&graph(&float, residual)).as_deref(), Some("b"));
    }

    #[test]
    fn there_need_not_be_such_a_value() {
        let sum: &[Operation<'_>] = &[
            ("Relu", &["x"], "a"),
            ("Conv", &["a", "w"], "o"),
            ("Add", &["o", "y"], "s"),
        ];
        assert_eq!(found(&graph(&[("x", 1), ("y", 1)], sum)), None);
        let nested: &[Operation<'_>] = &[
            ("Relu", &["x"], "a"),
            ("If", &["a"], "o"),
            ("Add", &["a", "o"], "s"),
        ];
        assert_eq!(found(&graph(&[("x", 1)], nested)), None);
        // Numbers of tokens are not drawn.
        let tokens: &[Operation<'_>] = &[
            ("Gather", &["v", "x"], "a"),
            ("Gather", &["u", "x"], "p"),
            ("Add", &["a", "p"], "s"),
        ];
        assert_eq!(found(&graph(&[("x", 7)], tokens)), None);
        assert_eq!(found(&graph(&[("x", 1)], &[])), None);
        // A file may go round in circles; the search ends all the same.
        let circle: &[Operation<'_>] = &[("Relu", &["s"], "a"), ("Relu", &["a"], "s")];
        assert!(found(&graph(&[("x", 1)], circle)).is_some());
    }
}
