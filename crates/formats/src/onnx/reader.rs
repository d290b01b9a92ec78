//! Operations of a graph as steps of a plain image network, one at a time.

use std::collections::BTreeMap;

use crate::onnx::cuts::turned;
use crate::onnx::graph::{Graph, Node, Weight, is_own};
use crate::onnx::place::multiplies_plainly;
use crate::onnx::step::GraphStep;
use crate::onnx::window::window;
use crate::tensor::{Dtype, Tensor};

/// The operations that are read, and the attributes that they may have: another one may change what they mean.
const READ: [(&str, &[&str]); 14] = [
    (
        "Conv",
        &[
            "auto_pad",
            "dilations",
            "group",
            "kernel_shape",
            "pads",
            "strides",
        ],
    ),
    (
        "BatchNormalization",
        &["epsilon", "momentum", "training_mode"],
    ),
    ("Gemm", &["alpha", "beta", "transA", "transB"]),
    ("MatMul", &[]),
    ("Add", &[]),
    ("Relu", &[]),
    (
        "MaxPool",
        &[
            "auto_pad",
            "ceil_mode",
            "dilations",
            "kernel_shape",
            "pads",
            "storage_order",
            "strides",
        ],
    ),
    (
        "AveragePool",
        &[
            "auto_pad",
            "ceil_mode",
            "count_include_pad",
            "dilations",
            "kernel_shape",
            "pads",
            "strides",
        ],
    ),
    ("GlobalAveragePool", &[]),
    ("ReduceMean", &["axes", "keepdims", "noop_with_empty_axes"]),
    ("Flatten", &["axis"]),
    ("Reshape", &["allowzero"]),
    ("Dropout", &["ratio", "seed"]),
    ("Identity", &[]),
];

/// How many operations may pass a weight on as it is.
const PASSED_ON: usize = 4;

/// How often the bytes of a file may be read as weights: sharing is rare, and memory is not for a file to fill.
const READINGS: usize = 2;

/// Reads operations with their weights.
pub(super) struct Reader<'a> {
    graph: &'a Graph,
    file: &'a [u8],
    /// The number of the operation that makes a value.
    makers: BTreeMap<&'a str, usize>,
    /// The bytes of weights that may still be read.
    left: usize,
    /// The samples that the graph insists on reading at a time.
    batch: Option<usize>,
}

impl<'a> Reader<'a> {
    /// Of a graph that reads `input`. Nothing where a name stands for more than one value.
    pub(super) fn new(graph: &'a Graph, file: &'a [u8], input: &str) -> Option<Self> {
        let mut makers = BTreeMap::new();
        for (at, node) in graph.nodes.iter().enumerate() {
            // Those without a name are left out.
            for output in node.outputs.iter().filter(|output| !output.is_empty()) {
                let known = output == input || graph.weights.contains_key(output);
                if known || makers.insert(output.as_str(), at).is_some() {
                    return None;
                }
            }
        }
        let reads = graph.inputs.iter().find(|known| known.name == input)?;
        Some(Self {
            graph,
            file,
            makers,
            left: READINGS * file.len(),
            batch: reads.shape.first().copied().flatten(),
        })
    }

    /// The number of the operation that makes a value.
    pub(super) fn maker(&self, value: &str) -> Option<usize> {
        self.makers.get(value).copied()
    }

    /// Whether an operation is one of ONNX's own that are read here, with attributes that are understood.
    pub(super) fn is_plain(node: &Node) -> bool {
        let known = READ.iter().find(|(kind, _)| node.kind == *kind);
        let Some((_, attributes)) = known.filter(|_| is_own(&node.domain)) else {
            return false;
        };
        let names = node.whole.keys().chain(node.float.keys());
        let names = names.chain(node.lists.keys()).chain(node.texts.keys());
        let mut names = names.chain(node.tensors.keys());
        names.all(|name| attributes.contains(&name.as_str()))
    }

    /// The steps of an operation that reads one value, and that value; nothing for another operation, or one that
    /// does not mean exactly what the steps do.
    pub(super) fn read(&mut self, node: &'a Node) -> Option<(Vec<GraphStep>, &'a str)> {
        let given = node.inputs.iter().rposition(|input| !input.is_empty())? + 1;
        let steps = match (node.kind.as_str(), given) {
            ("Conv", 2 | 3) => vec![self.conv(node)?],
            ("BatchNormalization", 5) => vec![self.batch_norm(node)?],
            ("Gemm", 2 | 3) => vec![self.gemm(node)?],
            ("MatMul", 2) => vec![self.product(node, None)?],
            ("Relu", 1) => vec![GraphStep::Relu],
            ("MaxPool", 1) => vec![GraphStep::MaxPool(pool(node)?)],
            ("AveragePool", 1) => match pool(node)? {
                [side, stride, 0] if side == stride => vec![GraphStep::AveragePool(side)],
                _ => return None,
            },
            ("GlobalAveragePool", 1) => vec![GraphStep::GlobalAveragePool],
            ("ReduceMean", 1 | 2) => self.mean(node)?,
            ("Flatten", 1) if node.whole.get("axis").is_none_or(|axis| *axis == 1) => {
                vec![GraphStep::Flatten { values: None }]
            }
            ("Reshape", 2) => vec![self.reshape(node)?],
            // With more inputs it may be told to drop.
            ("Identity", 1) | ("Dropout", 1 | 2) => Vec::new(),
            _ => return None,
        };
        Some((steps, node.inputs.first()?.as_str()))
    }

    /// A product with a matrix, and a value that is added to it.
    pub(super) fn product(&mut self, node: &Node, bias: Option<&str>) -> Option<GraphStep> {
        let [_, matrix] = &node.inputs[..] else {
            return None;
        };
        self.linear(matrix, true, bias)
    }

    /// Whether a value is a weight of the file.
    pub(super) fn is_weight(&self, value: &str) -> bool {
        self.weight(value).is_some()
    }

    fn conv(&mut self, node: &Node) -> Option<GraphStep> {
        let kernel = self.single(node.inputs.get(1)?)?;
        let [outputs, inputs, height, width] = kernel.shape[..] else {
            return None;
        };
        Some(GraphStep::Conv {
            channels: [inputs, outputs],
            window: window(node, [height, width]).ok()?,
            weight: kernel.to_f32()?,
            bias: self.bias(node.inputs.get(2).map(String::as_str), outputs)?,
        })
    }

    fn batch_norm(&mut self, node: &Node) -> Option<GraphStep> {
        let trains = node.whole.get("training_mode").is_some_and(|on| *on != 0);
        if trains {
            return None;
        }
        let [_, weight, bias, mean, variance] = &node.inputs[..] else {
            return None;
        };
        let mut values = |name: &str| {
            let tensor = self.single(name)?;
            tensor.to_f32().filter(|_| tensor.shape.len() == 1)
        };
        Some(GraphStep::BatchNorm {
            weight: values(weight)?,
            bias: values(bias)?,
            mean: values(mean)?,
            variance: values(variance)?,
            epsilon: node.float.get("epsilon").copied().unwrap_or(1e-5),
        })
    }

    fn gemm(&mut self, node: &Node) -> Option<GraphStep> {
        let as_rows = node.whole.get("transB").is_some_and(|turns| *turns != 0);
        let bias = node.inputs.get(2).map(String::as_str);
        let matrix = node.inputs.get(1).filter(|_| multiplies_plainly(node))?;
        self.linear(matrix, !as_rows, bias)
    }

    /// A linear layer whose matrix is `[inputs, outputs]` where it is `transposed`.
    fn linear(&mut self, matrix: &str, transposed: bool, bias: Option<&str>) -> Option<GraphStep> {
        let mut matrix = self.single(matrix)?;
        if transposed {
            matrix.shape.reverse();
            matrix = turned(&matrix, true);
        }
        let [outputs, inputs] = matrix.shape[..] else {
            return None;
        };
        Some(GraphStep::Linear {
            sizes: [inputs, outputs],
            weight: matrix.to_f32()?,
            bias: self.bias(bias, outputs)?,
        })
    }

    /// One value for each output: a vector, or one row of a matrix.
    fn bias(&mut self, value: Option<&str>, outputs: usize) -> Option<Option<Vec<f32>>> {
        let Some(value) = value.filter(|value| !value.is_empty()) else {
            return Some(None);
        };
        let bias = self.single(value)?;
        let fits = matches!(bias.shape[..], [length] | [1, length] if length == outputs);
        bias.to_f32().filter(|_| fits).map(Some)
    }

    /// The mean over height and width.
    fn mean(&mut self, node: &Node) -> Option<Vec<GraphStep>> {
        let axes = match node.inputs.get(1).filter(|input| !input.is_empty()) {
            Some(input) => self.integers(input)?,
            None => node.lists.get("axes")?.clone(),
        };
        let all = matches!(axes[..], [2 | -2, 3 | -1] | [3 | -1, 2 | -2]);
        let keeps = node.whole.get("keepdims").is_none_or(|keeps| *keeps != 0);
        let flat = (!keeps).then_some(GraphStep::Flatten { values: None });
        let mean = std::iter::once(GraphStep::GlobalAveragePool);
        all.then(|| mean.chain(flat).collect())
    }

    /// A reshaping that leaves one vector of each sample.
    fn reshape(&self, node: &Node) -> Option<GraphStep> {
        let [rows, values] = self.integers(node.inputs.get(1)?)?[..] else {
            return None;
        };
        let keeps_zeros = node.whole.get("allowzero").is_some_and(|on| *on != 0);
        let wanted = usize::try_from(values).ok().filter(|values| *values > 0);
        let stays = match rows {
            0 => !keeps_zeros,
            -1 => wanted.is_some(),
            rows => self.batch.is_some() && usize::try_from(rows).ok() == self.batch,
        };
        let fits = stays && (values == -1 || wanted.is_some());
        fits.then_some(GraphStep::Flatten { values: wanted })
    }

    /// A weight, which operations may have passed on as it is.
    fn weight(&self, value: &str) -> Option<&'a Weight> {
        let mut value = value;
        for _ in 0..=PASSED_ON {
            if let Some(weight) = self.graph.weights.get(value) {
                return Some(weight);
            }
            let node = &self.graph.nodes[self.maker(value)?];
            let [input] = &node.inputs[..] else {
                return None;
            };
            if node.kind != "Identity" || !Self::is_plain(node) {
                return None;
            }
            value = input;
        }
        None
    }

    /// A weight of single precision whose values are all finite: what others make of more differs.
    fn single(&mut self, value: &str) -> Option<Tensor> {
        let weight = self.weight(value)?;
        let length = usize::try_from(weight.length()).ok()?;
        self.left = self.left.checked_sub(length)?;
        let tensor = weight.tensor(self.file)?;
        let finite = |values: Vec<f32>| values.iter().all(|value| value.is_finite());
        let usable = tensor.dtype == Dtype::F32 && tensor.to_f32().is_some_and(finite);
        usable.then_some(tensor)
    }

    /// A list of whole numbers that is part of the graph.
    fn integers(&self, value: &str) -> Option<Vec<i64>> {
        let made = || Some(&self.graph.nodes[self.maker(value)?]);
        let constant = || made().filter(|node| node.kind == "Constant" && is_own(&node.domain));
        let tensor = match self.graph.weights.get(value) {
            Some(weight) => weight,
            None => match constant()?.lists.get("value_ints") {
                Some(list) => return Some(list.clone()),
                None => constant()?.tensors.get("value")?,
            },
        };
        let tensor = tensor.tensor(self.file)?;
        let is_list = tensor.dtype == Dtype::I64 && tensor.shape.len() == 1;
        let (words, _) = tensor.bytes.as_chunks::<8>();
        is_list.then(|| words.iter().map(|word| i64::from_le_bytes(*word)).collect())
    }
}

/// The window of a pool.
fn pool(node: &Node) -> Option<[usize; 3]> {
    let [height, width] = node.lists.get("kernel_shape")?[..] else {
        return None;
    };
    let kernel = [usize::try_from(height).ok()?, usize::try_from(width).ok()?];
    let rounds_down = node.whole.get("ceil_mode").is_none_or(|up| *up == 0);
    window(node, kernel).ok().filter(|_| rounds_down)
}
