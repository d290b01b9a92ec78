//! Graphs that are plain image networks, as their steps: found from the value that goes into the head back to the
//! graph's input.

use crate::onnx::graph::{FLOAT, Graph, Node, version};
use crate::onnx::reader::Reader;
use crate::onnx::step::GraphStep;

/// Before this version of ONNX's operations, sums and normalisations were told by attributes what they mean.
const LEAST_VERSION: u64 = 7;

/// Sums within branches of sums, at most.
const DEEPEST: usize = 16;

/// The steps by which a graph with all of its weights in it makes the value `features` from its input: of a network
/// of convolutions, linear layers, batch norms, positive parts, pools and residual blocks, where none does more
/// than its [`GraphStep`]. Nothing for any other graph, or a file that is no graph.
pub fn graph_steps(file: &[u8], features: &str) -> Option<Vec<GraphStep>> {
    let graph = Graph::read(file).ok()?;
    let [input] = &graph.inputs[..] else {
        return None;
    };
    let reads = input.element == FLOAT && version(file)? >= LEAST_VERSION;
    let mut walk = Walk {
        reader: Reader::new(&graph, file, &input.name).filter(|_| reads)?,
        graph: &graph,
        input: &input.name,
        is_read: vec![false; graph.nodes.len()],
    };
    let mut back = Back::new(features);
    while back.value != walk.input {
        back.step(&mut walk, 0)?;
    }
    Some(back.into_steps())
}

/// The way from the features back to the input.
struct Walk<'a> {
    graph: &'a Graph,
    reader: Reader<'a>,
    input: &'a str,
    /// Whether each operation is among the steps: none is twice.
    is_read: Vec<bool>,
}

/// A way back as far as it was gone.
struct Back<'a> {
    /// Where it is.
    value: &'a str,
    /// What was passed, the last step first.
    steps: Vec<GraphStep>,
}

impl<'a> Back<'a> {
    fn new(value: &'a str) -> Self {
        Self {
            value,
            steps: Vec::new(),
        }
    }

    /// Goes on to the value that this one is made from alone.
    fn step(&mut self, walk: &mut Walk<'a>, depth: usize) -> Option<()> {
        let place = walk.place(self.value)?;
        let (steps, value) = walk.before(self.value, depth)?;
        // Operations stand after those whose values they read.
        if walk.place(value)? >= place {
            return None;
        }
        self.steps.extend(steps.into_iter().rev());
        self.value = value;
        Some(())
    }

    fn into_steps(mut self) -> Vec<GraphStep> {
        self.steps.reverse();
        self.steps
    }
}

impl<'a> Walk<'a> {
    /// Where a value stands among all: 0 for the input, else by the operation that makes it.
    fn place(&self, value: &str) -> Option<usize> {
        match value == self.input {
            true => Some(0),
            false => self.reader.maker(value).map(|at| at + 1),
        }
    }

    /// The operation that makes a value as its first output, for the first time.
    fn maker(&mut self, value: &str) -> Option<&'a Node> {
        let at = self.reader.maker(value)?;
        let node = &self.graph.nodes[at];
        let first = node.outputs.first().is_some_and(|output| output == value);
        let again = std::mem::replace(&mut self.is_read[at], true);
        (first && !again && Reader::is_plain(node)).then_some(node)
    }

    /// The steps by which a value is made from one before it, and that one.
    fn before(&mut self, value: &str, depth: usize) -> Option<(Vec<GraphStep>, &'a str)> {
        let node = self.maker(value)?;
        match node.kind.as_str() {
            "Add" => self.sum(node, depth),
            _ => self.reader.read(node),
        }
    }

    /// A bias behind a product, or the sum of two branches.
    fn sum(&mut self, node: &'a Node, depth: usize) -> Option<(Vec<GraphStep>, &'a str)> {
        let [left, right] = &node.inputs[..] else {
            return None;
        };
        let bias = [(left, right), (right, left)];
        let mut bias = bias.into_iter();
        if let Some((product, bias)) = bias.find(|(_, bias)| self.reader.is_weight(bias)) {
            let node = self.maker(product).filter(|node| node.kind == "MatMul")?;
            let step = self.reader.product(node, Some(bias))?;
            return Some((vec![step], node.inputs.first()?.as_str()));
        }
        if depth == DEEPEST {
            return None;
        }
        let mut sides = [left, right].map(|value| Back::new(value));
        // The one whose value is made later goes back, until both are where they part.
        while sides[0].value != sides[1].value {
            let later = self.place(sides[1].value)? > self.place(sides[0].value)?;
            sides[usize::from(later)].step(self, depth + 1)?;
        }
        let fork = sides[0].value;
        let [left, right] = sides.map(Back::into_steps);
        let (main, shortcut) = match left.len() < right.len() {
            true => (right, left),
            false => (left, right),
        };
        Some((vec![GraphStep::Residual { main, shortcut }], fork))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::onnx::wire::{put_bytes, put_varint};

    /// Attributes: whole numbers, alone where there is one.
    type Attributes<'a> = &'a [(&'a str, &'a [i64])];

    fn put_number(into: &mut Vec<u8>, field: u64, number: u64) {
        put_varint(into, field << 3);
        put_varint(into, number);
    }

    fn node(kind: &str, inputs: &[&str], output: &str, attributes: Attributes<'_>) -> Vec<u8> {
        let mut node = Vec::new();
        for input in inputs {
            put_bytes(&mut node, 1, input.as_bytes());
        }
        put_bytes(&mut node, 2, output.as_bytes());
        put_bytes(&mut node, 4, kind.as_bytes());
        for (name, values) in attributes {
            let mut attribute = Vec::new();
            put_bytes(&mut attribute, 1, name.as_bytes());
            let field = if values.len() == 1 { 3 } else { 8 };
            for value in *values {
                put_number(&mut attribute, field, *value as u64);
            }
            put_bytes(&mut node, 5, &attribute);
        }
        node
    }

    /// A tensor of numbers that are given by their bytes; `kind` is their type.
    fn tensor(name: &str, kind: u64, shape: &[u64], bytes: &[u8]) -> Vec<u8> {
        let mut tensor = Vec::new();
        for side in shape {
            put_number(&mut tensor, 1, *side);
        }
        put_number(&mut tensor, 2, kind);
        put_bytes(&mut tensor, 8, name.as_bytes());
        put_bytes(&mut tensor, 9, bytes);
        tensor
    }

    /// A weight whose values count up.
    fn counted(name: &str, shape: &[u64]) -> Vec<u8> {
        let values = (1..=shape.iter().product()).map(|at: u64| at as f32);
        let bytes: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();
        tensor(name, FLOAT, shape, &bytes)
    }

    fn integers(name: &str, values: &[i64]) -> Vec<u8> {
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        tensor(name, 7, &[values.len() as u64], &bytes)
    }

    /// A model that reads `x`, two images at a time, for a version of the operations.
    fn model_for(version: u64, nodes: &[Vec<u8>]) -> Vec<u8> {
        let nested = |field: u64, inner: &[u8]| {
            let mut outer = Vec::new();
            put_bytes(&mut outer, field, inner);
            outer
        };
        let mut shape = Vec::new();
        for side in [2, 1, 8, 8] {
            let mut dimension = Vec::new();
            put_number(&mut dimension, 1, side);
            put_bytes(&mut shape, 1, &dimension);
        }
        let mut kind = Vec::new();
        put_number(&mut kind, 1, FLOAT);
        put_bytes(&mut kind, 2, &shape);
        let mut input = nested(1, b"x");
        put_bytes(&mut input, 2, &nested(1, &kind));
        let mut graph = nested(11, &input);
        for node in nodes {
            put_bytes(&mut graph, 1, node);
        }
        let weights = [
            counted("w", &[4, 1, 3, 3]),
            counted("m", &[2, 3]),
            counted("b", &[3]),
            counted("c", &[4]),
            integers("to", &[-1, 4]),
            integers("rows", &[2, -1]),
            integers("one", &[1, -1]),
            integers("zero", &[0, -1]),
            integers("axes", &[-1, 2]),
        ];
        for weight in weights {
            put_bytes(&mut graph, 5, &weight);
        }
        let mut sets = Vec::new();
        put_number(&mut sets, 2, version);
        let mut model = nested(7, &graph);
        put_bytes(&mut model, 8, &sets);
        model
    }

    /// The steps to the value `y`.
    fn steps(nodes: &[Vec<u8>]) -> Option<Vec<GraphStep>> {
        graph_steps(&model_for(17, nodes), "y")
    }

    /// The only step of a graph of one operation on `x`.
    fn one(kind: &str, others: &[&str], attributes: Attributes<'_>) -> Option<GraphStep> {
        let inputs = [&["x"], others].concat();
        let mut steps = steps(&[node(kind, &inputs, "y", attributes)])?;
        assert!(steps.len() <= 1, "{steps:?}");
        steps.pop()
    }

    #[test]
    fn a_convolution_is_read_where_its_window_is_plain() {
        let window = |attributes: Attributes<'_>| match one("Conv", &["w"], attributes)? {
            GraphStep::Conv {
                channels: [1, 4],
                window,
                weight,
                bias: None,
            } if weight[35] == 36.0 => Some(window),
            other => panic!("{other:?}"),
        };
        assert_eq!(window(&[]), Some([3, 1, 0]));
        let all: Attributes<'_> = &[
            ("kernel_shape", &[3, 3]),
            ("strides", &[2, 2]),
            ("pads", &[1, 1, 1, 1]),
            ("dilations", &[1, 1]),
            ("group", &[1]),
        ];
        assert_eq!(window(all), Some([3, 2, 1]));
        for wrong in [
            ("group", &[2][..]),
            ("dilations", &[2, 2]),
            ("strides", &[1, 2]),
            ("strides", &[0, 0]),
            ("pads", &[0, 0, 1, 1]),
            ("pads", &[-1, -1, -1, -1]),
            ("pads", &[1, 1]),
            ("kernel_shape", &[1, 1]),
            ("other", &[1]),
        ] {
            assert_eq!(window(&[wrong]), None, "{wrong:?}");
        }
        // Biases have one value for each output.
        assert!(one("Conv", &["w", "c"], &[]).is_some());
        assert_eq!(one("Conv", &["w", "b"], &[]), None);
        assert_eq!(one("Conv", &["m"], &[]), None);
        assert_eq!(one("Conv", &["absent"], &[]), None);
    }

    #[test]
    fn pools_and_means_are_read_where_they_mean_the_same() {
        let side: (&str, &[i64]) = ("kernel_shape", &[2, 2]);
        let strides: (&str, &[i64]) = ("strides", &[2, 2]);
        let pads: (&str, &[i64]) = ("pads", &[1, 1, 1, 1]);
        let pool = |attributes: Attributes<'_>| one("MaxPool", &[], attributes);
        assert_eq!(pool(&[side]), Some(GraphStep::MaxPool([2, 1, 0])));
        let padded = pool(&[side, strides, pads, ("ceil_mode", &[0])]);
        assert_eq!(padded, Some(GraphStep::MaxPool([2, 2, 1])));
        assert_eq!(pool(&[side, ("ceil_mode", &[1])]), None);
        assert_eq!(pool(&[]), None);
        let pool = |attributes: Attributes<'_>| one("AveragePool", &[], attributes);
        let counted: (&str, &[i64]) = ("count_include_pad", &[1]);
        let apart = pool(&[side, strides, counted]);
        assert_eq!(apart, Some(GraphStep::AveragePool(2)));
        assert_eq!(pool(&[side, strides, pads]), None);
        assert_eq!(pool(&[side]), None);
        let mean = |others: &[&str], attributes: Attributes<'_>| {
            let inputs = [&["x"], others].concat();
            steps(&[node("ReduceMean", &inputs, "y", attributes)])
        };
        let whole = GraphStep::GlobalAveragePool;
        let flat = GraphStep::Flatten { values: None };
        let kept = mean(&["axes"], &[("keepdims", &[1])]);
        assert_eq!(kept, Some(vec![whole.clone()]));
        let dropped = mean(&[], &[("axes", &[3, 2]), ("keepdims", &[0])]);
        assert_eq!(dropped, Some(vec![whole, flat]));
        assert_eq!(mean(&[], &[("axes", &[1, 2])]), None);
        assert_eq!(mean(&[], &[]), None);
    }

    #[test]
    fn a_reshaping_must_leave_rows_of_the_samples() {
        let flat = |values| Some(GraphStep::Flatten { values });
        assert_eq!(one("Reshape", &["to"], &[]), flat(Some(4)));
        assert_eq!(one("Reshape", &["rows"], &[]), flat(None));
        assert_eq!(one("Reshape", &["zero"], &[]), flat(None));
        assert_eq!(one("Reshape", &["zero"], &[("allowzero", &[1])]), None);
        assert_eq!(one("Reshape", &["one"], &[]), None);
        assert_eq!(one("Reshape", &["b"], &[]), None);
        assert_eq!(one("Flatten", &[], &[("axis", &[1])]), flat(None));
        assert_eq!(one("Flatten", &[], &[("axis", &[2])]), None);
    }

    #[test]
    fn matrices_are_read_with_a_row_for_each_output() {
        let product = node("MatMul", &["x", "m"], "p", &[]);
        for sum in [["b", "p"], ["p", "b"]] {
            let made = steps(&[product.clone(), node("Add", &sum, "y", &[])]);
            let linear = GraphStep::Linear {
                sizes: [2, 3],
                weight: vec![1.0, 4.0, 2.0, 5.0, 3.0, 6.0],
                bias: Some(vec![1.0, 2.0, 3.0]),
            };
            assert_eq!(made, Some(vec![linear]));
        }
        let rows = one("Gemm", &["m"], &[("transB", &[1])]).unwrap();
        let GraphStep::Linear { sizes, weight, .. } = rows else {
            panic!("{rows:?}");
        };
        assert_eq!((sizes, weight[1]), ([3, 2], 2.0));
        assert_eq!(one("Gemm", &["m"], &[("transA", &[1])]), None);
        assert_eq!(one("Add", &["b"], &[]), None);
    }

    #[test]
    fn branches_are_followed_to_where_they_part() {
        let relu = |from: &str, to: &str| node("Relu", &[from], to, &[]);
        let add = |from: [&str; 2], to: &str| node("Add", &from, to, &[]);
        let sum = |main: Vec<GraphStep>, shortcut| GraphStep::Residual { main, shortcut };
        let nested = [
            relu("x", "a1"),
            relu("a1", "b1"),
            relu("b1", "c1"),
            add(["b1", "c1"], "d1"),
            add(["a1", "d1"], "y"),
        ];
        let inner = sum(vec![GraphStep::Relu], Vec::new());
        let outer = sum(vec![GraphStep::Relu, inner], Vec::new());
        assert_eq!(steps(&nested), Some(vec![GraphStep::Relu, outer]));
        let twice = sum(Vec::new(), Vec::new());
        assert_eq!(steps(&[add(["x", "x"], "y")]), Some(vec![twice]));
        // Branches that cross, an operation after its reader, one name for two values, and a circle.
        let crossed = [
            relu("x", "a1"),
            relu("a1", "b1"),
            add(["a1", "b1"], "c1"),
            add(["c1", "b1"], "d1"),
            add(["d1", "c1"], "y"),
        ];
        assert_eq!(steps(&crossed), None);
        assert_eq!(steps(&[relu("a1", "y"), relu("x", "a1")]), None);
        assert_eq!(steps(&[relu("x", "y"), relu("x", "y")]), None);
        assert_eq!(steps(&[relu("y", "y")]), None);
        assert_eq!(steps(&[relu("x", "a1")]), None);
    }

    #[test]
    fn other_operations_and_versions_are_not_read() {
        assert_eq!(one("Relu", &[], &[]), Some(GraphStep::Relu));
        assert_eq!(one("Tanh", &[], &[]), None);
        let mut theirs = node("Relu", &["x"], "y", &[]);
        assert!(graph_steps(&model_for(6, &[theirs.clone()]), "y").is_none());
        put_bytes(&mut theirs, 7, b"com.example");
        assert_eq!(steps(&[theirs]), None);
        assert_eq!(one("Dropout", &["b", "c"], &[]), None);
        assert_eq!(graph_steps(b"no graph", "y"), None);
        let norm = |attributes: Attributes<'_>| {
            one("BatchNormalization", &["c", "c", "c", "c"], attributes)
        };
        assert!(norm(&[("training_mode", &[0])]).is_some());
        assert_eq!(norm(&[("training_mode", &[1])]), None);
        assert_eq!(norm(&[("is_test", &[1])]), None);
    }
}
