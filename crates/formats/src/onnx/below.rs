//! The last layer of weights below a graph's head: which one it is, what it reads, and what its output
//! becomes part of before the next non-linearity, the stream.

use std::collections::{BTreeMap, BTreeSet};

use crate::onnx::entrance::entrance;
use crate::onnx::graph::{Graph, Node};
use crate::onnx::place::{multiplies_plainly, weight};
use crate::onnx::window::window;
use crate::tensor::{Dtype, shape_text};

/// Operations that weights go into and that are no layer here: they end the search.
const WEIGHTED: [&str; 16] = [
    "Conv",
    "Gemm",
    "ConvTranspose",
    "LSTM",
    "GRU",
    "RNN",
    "QLinearConv",
    "ConvInteger",
    "QLinearMatMul",
    "MatMulInteger",
    "QGemm",
    "FusedConv",
    "FusedMatMul",
    "If",
    "Loop",
    "Scan",
];

/// Operations that make a gate: a factor of other values.
const GATES: [&str; 2] = ["Sigmoid", "HardSigmoid"];

/// Operations that give values another shape.
const MOVES: [&str; 5] = ["Unsqueeze", "Squeeze", "Reshape", "Expand", "Identity"];

/// The last linear layer or convolution below a graph's head.
#[derive(Debug, Clone, PartialEq)]
pub struct GraphLayer {
    /// The name of its weight.
    pub weight: String,
    /// Whether that is `[inputs, outputs]`.
    pub transposed: bool,
    /// The name of its bias, where it has one in the file.
    pub bias: Option<String>,
    /// The batch norm behind it.
    pub norm: Option<GraphNorm>,
    /// The value that it reads.
    pub reads: String,
    /// The value that its output becomes part of.
    pub stream: String,
    /// The last value from which alone both follow, where there is one: what enters the layer's block.
    pub entrance: Option<String>,
    /// Its outputs.
    pub outputs: usize,
    /// Kernel, stride and padding of a convolution; nothing of a linear layer.
    pub window: Option<[usize; 3]>,
}

impl GraphLayer {
    /// The values of a graph with these `features` that a cut at the layer asks for, each once.
    pub fn values<'a>(&'a self, features: &'a str) -> Vec<&'a str> {
        let asked = [features, &self.reads, &self.stream].into_iter();
        let mut values: Vec<&str> = Vec::new();
        for value in asked.chain(self.entrance.as_deref()) {
            if !values.contains(&value) {
                values.push(value);
            }
        }
        values
    }
}

/// A batch norm with the values that decide about its factor, by channel.
#[derive(Debug, Clone, PartialEq)]
pub struct GraphNorm {
    /// The name of its bias.
    pub bias: String,
    /// Its weight.
    pub weight: Vec<f32>,
    /// Its variance with `epsilon` added.
    pub variance: Vec<f32>,
}

/// The layer below the value `features` of an ONNX model that has all of its weights in it: of the
/// linear layers and convolutions whose output leads to the features without another one in between,
/// the one with the most layers behind it. Factors of other layers' channels (squeeze-and-excitation)
/// are passed over.
///
/// # Errors
/// A sentence that says why there is none that could be edited.
pub fn layer_below(file: &[u8], features: &str) -> Result<GraphLayer, String> {
    let graph = Graph::read(file)?;
    let ways = Ways::new(&graph);
    let found = ways.leading(features);
    let depths = ways.depths();
    let last = found.into_iter().max_by_key(|at| (depths[*at], *at));
    let last = last.ok_or("no Gemm, MatMul or Conv of its own leads to its features")?;
    let mut layer = described(&graph, &graph.nodes[last])?;
    let uses = graph.nodes.iter().flat_map(|node| &node.inputs);
    let times = uses.filter(|input| **input == layer.weight).count();
    if times > 1 {
        return Err(format!("`{}` is used {times} times", layer.weight));
    }
    ways.follow(features, &mut layer, file)?;
    // What is shared cannot be corrected for one layer alone.
    layer.bias = layer.bias.filter(|name| ways.uses(name) == 1);
    layer.entrance = entrance(&graph, &layer.reads, &layer.stream);
    Ok(layer)
}

/// Which node makes a value, and which read it.
struct Ways<'a> {
    graph: &'a Graph,
    makers: BTreeMap<&'a str, usize>,
    readers: BTreeMap<&'a str, Vec<usize>>,
}

impl<'a> Ways<'a> {
    fn new(graph: &'a Graph) -> Self {
        let (mut makers, mut readers) = (BTreeMap::new(), BTreeMap::<_, Vec<usize>>::new());
        for (at, node) in graph.nodes.iter().enumerate() {
            // Those without a name are left out.
            let outputs = node.outputs.iter().filter(|output| !output.is_empty());
            makers.extend(outputs.map(|output| (output.as_str(), at)));
            for input in node.inputs.iter().filter(|input| !input.is_empty()) {
                readers.entry(input.as_str()).or_default().push(at);
            }
        }
        Self {
            graph,
            makers,
            readers,
        }
    }

    fn uses(&self, value: &str) -> usize {
        self.readers.get(value).map_or(0, Vec::len)
    }

    fn maker(&self, value: &str) -> Option<&'a Node> {
        self.makers.get(value).map(|at| &self.graph.nodes[*at])
    }

    fn is_weighted(&self, node: &Node) -> bool {
        let constant = |value: &String| weight(self.graph, value).is_ok();
        WEIGHTED.contains(&node.kind.as_str())
            || (node.kind == "MatMul" && node.inputs.iter().any(constant))
    }

    /// How many layers are before each node, on the longest way to it, with itself. Nodes stand after
    /// those whose values they read.
    fn depths(&self) -> Vec<usize> {
        let mut depths: Vec<usize> = Vec::with_capacity(self.graph.nodes.len());
        for node in &self.graph.nodes {
            let before = node.inputs.iter().filter_map(|input| {
                let at = self.makers.get(input.as_str())?;
                depths.get(*at).copied()
            });
            let before = before.max().unwrap_or(0);
            depths.push(before + usize::from(self.is_weighted(node)));
        }
        depths
    }

    /// The layers whose outputs lead to a value without another one in between.
    fn leading(&self, value: &'a str) -> BTreeSet<usize> {
        let (mut todo, mut seen) = (vec![value], BTreeSet::new());
        let mut found = BTreeSet::new();
        while let Some(value) = todo.pop() {
            let Some(at) = self.makers.get(value).filter(|_| seen.insert(value)) else {
                continue;
            };
            let node = &self.graph.nodes[*at];
            match node.kind.as_str() {
                _ if self.is_weighted(node) => {
                    found.insert(*at);
                }
                // What a shape is made from does not go on.
                "Shape" => {}
                "Mul" => todo.extend(self.factors(node)),
                _ => todo.extend(node.inputs.iter().map(String::as_str)),
            }
        }
        found
    }

    /// The factors of a product that are no gate.
    fn factors(&self, node: &'a Node) -> Vec<&'a str> {
        let inputs = node.inputs.iter().map(String::as_str);
        let (gates, others): (Vec<&str>, Vec<&str>) = inputs.partition(|value| self.is_gate(value));
        if others.is_empty() { gates } else { others }
    }

    /// Whether a value is a gate, perhaps in another shape.
    fn is_gate(&self, value: &str) -> bool {
        let mut maker = self.maker(value);
        for _ in 0..=self.graph.nodes.len() {
            let Some(node) = maker else { return false };
            match node.kind.as_str() {
                kind if GATES.contains(&kind) => return true,
                kind if MOVES.contains(&kind) => {
                    maker = node.inputs.first().and_then(|input| self.maker(input));
                }
                _ => return false,
            }
        }
        false
    }

    /// Follows a layer's output through what only scales and shifts it.
    fn follow(&self, features: &str, layer: &mut GraphLayer, file: &[u8]) -> Result<(), String> {
        // A graph has no cycles; a file may.
        for _ in 0..=self.graph.nodes.len() {
            let readers = self.readers.get(layer.stream.as_str());
            let Some([reader]) = readers.map(Vec::as_slice) else {
                return Ok(());
            };
            let node = &self.graph.nodes[*reader];
            let ends = layer.stream == features || self.graph.outputs.contains(&layer.stream);
            let first = node.inputs.first() == Some(&layer.stream);
            match node.kind.as_str() {
                _ if ends => return Ok(()),
                "Add" => {
                    let other = node.inputs.iter().find(|input| **input != layer.stream);
                    let free = layer.bias.is_none() && layer.norm.is_none();
                    if let Some(other) = other.filter(|other| free && self.is_bias(other, layer)) {
                        layer.bias = Some(other.clone());
                    }
                }
                "BatchNormalization" if first && layer.norm.is_none() => {
                    layer.norm = Some(norm(self.graph, node, layer.outputs, file)?);
                }
                "Identity" | "Dropout" if first => {}
                _ => return Ok(()),
            }
            let Some(next) = node.outputs.first() else {
                return Ok(());
            };
            layer.stream.clone_from(next);
        }
        Err("the graph goes round in circles".into())
    }

    /// Whether a value is a constant for each of the layer's outputs.
    fn is_bias(&self, value: &str, layer: &GraphLayer) -> bool {
        let Some(constant) = self.graph.weights.get(value) else {
            return false;
        };
        let ones = constant.shape.iter().take_while(|side| **side == 1).count();
        let rest = &constant.shape[ones.min(constant.shape.len())..];
        match layer.window {
            Some(_) => *rest == [layer.outputs, 1, 1],
            None => *rest == [layer.outputs],
        }
    }
}

/// What a node is as a layer; its stream so far is its output.
fn described(graph: &Graph, node: &Node) -> Result<GraphLayer, String> {
    let stream = node.outputs.first().cloned().unwrap_or_default();
    let reads = node.inputs.first().cloned().unwrap_or_default();
    let matrix = node.inputs.get(1).cloned().unwrap_or_default();
    let given = node.inputs.get(2).filter(|name| !name.is_empty());
    let (name, turned) = match node.kind.as_str() {
        "Conv" | "Gemm" | "MatMul" => weight(graph, &matrix)?,
        kind => return Err(format!("the last weights below its head are in {kind}")),
    };
    let shape = &graph.weights[&name].shape;
    if graph.weights[&name].dtype != Dtype::F32 {
        return Err(format!("`{name}` is not of single precision"));
    }
    let bias = given.filter(|bias| graph.weights.contains_key(*bias));
    let mut layer = GraphLayer {
        weight: name.clone(),
        transposed: false,
        bias: bias.cloned(),
        norm: None,
        reads,
        stream,
        entrance: None,
        outputs: 0,
        window: None,
    };
    let rows = match (node.kind.as_str(), &shape[..]) {
        ("Conv", [outputs, _, height, width]) => {
            layer.window = Some(window(node, [*height, *width])?);
            Some(*outputs)
        }
        ("Gemm", [rows, cols]) => {
            if !multiplies_plainly(node) {
                return Err(format!(
                    "the Gemm `{}` scales or turns its input",
                    node.name
                ));
            }
            let as_rows = node.whole.get("transB").is_some_and(|turns| *turns != 0);
            layer.transposed = as_rows == turned;
            Some(if layer.transposed { *cols } else { *rows })
        }
        ("MatMul", [rows, cols]) => {
            layer.transposed = !turned;
            Some(if layer.transposed { *cols } else { *rows })
        }
        _ => None,
    };
    layer.outputs = rows.ok_or_else(|| {
        let shape = shape_text(shape);
        format!("`{name}` is {shape}, which no {} has", node.kind)
    })?;
    let outputs = layer.outputs;
    let whole = |bias: &String| graph.weights[bias].shape.iter().product::<usize>() == outputs;
    layer.bias = layer.bias.filter(whole);
    if turned && layer.window.is_some() {
        return Err(format!("`{name}` is turned on its way into the Conv"));
    }
    Ok(layer)
}

/// A batch norm with its values.
fn norm(graph: &Graph, node: &Node, channels: usize, file: &[u8]) -> Result<GraphNorm, String> {
    let values = |at: usize| {
        let weight = node.inputs.get(at).and_then(|name| graph.weights.get(name));
        let single = weight.filter(|weight| weight.dtype == Dtype::F32);
        let values = single.and_then(|weight| weight.tensor(file)?.to_f32());
        let values = values.filter(|values| values.len() == channels);
        values.ok_or_else(|| {
            format!(
                "the batch norm `{}` has no {channels} values of its own in the file",
                node.name
            )
        })
    };
    let epsilon = node.float.get("epsilon").copied().unwrap_or(1e-5);
    let variance = values(4)?.into_iter().map(|value| value + epsilon);
    Ok(GraphNorm {
        weight: values(1)?,
        variance: variance.collect(),
        bias: node.inputs[2].clone(),
    })
}
