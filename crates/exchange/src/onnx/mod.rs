//! ONNX: the head is found in the graph, its weights are taken out and put back, and every other
//! byte of the file stays as it is.

mod graph;
mod wire;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use store::{Dtype, StoreError, Tensor, TensorSource};

use self::graph::{Graph, Node, Weight};
use crate::{ExchangeError, Head};

/// Files are read whole, as protocol buffers must be.
const LARGEST: u64 = 2 << 30;

/// Smaller weights stay in the rest of the file.
const SMALLEST: usize = 64;

/// What the head is called where its weights have other names or another layout than `NAME.weight`
/// `[outputs, inputs]` and `NAME.bias`.
const HEAD: &str = "head";

/// The ONNX numbers of element types that inputs have.
const INT32: u64 = 6;
const INT64: u64 = 7;

/// Operations between the head and the graph's output that leave the order of the logits alone.
const AFTER: [&str; 8] = [
    "Softmax",
    "LogSoftmax",
    "Identity",
    "Cast",
    "Reshape",
    "Flatten",
    "Squeeze",
    "Sigmoid",
];

/// A tensor that was taken out of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// The tensor's name.
    pub tensor: String,
    /// Where its bytes belong in the rest of the file.
    pub at: u64,
    /// Whether the file has it `[inputs, outputs]`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub transposed: bool,
}

/// An input of the graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GraphInput {
    /// Its name.
    pub name: String,
    /// Whether it is whole numbers (tokens, masks), not floating-point numbers.
    pub whole: bool,
    /// Its dimensions; nothing where one is open.
    pub shape: Vec<Option<usize>>,
}

/// How an ONNX file is put together again, and how it is run up to its head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnnxForm {
    /// The tensors that were taken out, in the order of their places.
    pub cuts: Vec<Cut>,
    /// The value that goes into the head.
    pub features: String,
    /// What the graph reads.
    pub inputs: Vec<GraphInput>,
    /// The head's name.
    pub head: String,
}

/// An ONNX file, open.
pub(crate) struct OnnxModel {
    path: PathBuf,
    bytes: Vec<u8>,
    weights: BTreeMap<String, (Weight, bool)>,
    pub(crate) form: OnnxForm,
}

/// Where a graph's head is.
struct Place {
    features: String,
    weight: String,
    transposed: bool,
    bias: String,
}

impl OnnxModel {
    pub(crate) fn open(path: &Path) -> Result<Self, ExchangeError> {
        let size = std::fs::metadata(path).map_err(ExchangeError::io(path))?;
        if size.len() > LARGEST {
            return Err(ExchangeError::file(path, "it is larger than 2 GiB"));
        }
        let bytes = std::fs::read(path).map_err(ExchangeError::io(path))?;
        let refuse = |reason: String| ExchangeError::file(path, reason);
        let graph = Graph::read(&bytes).map_err(refuse)?;
        let place = find(&graph).map_err(refuse)?;
        let head = place
            .weight
            .strip_suffix(".weight")
            .filter(|name| !place.transposed && format!("{name}.bias") == place.bias)
            .unwrap_or(HEAD)
            .to_owned();
        let mut weights = BTreeMap::new();
        for (name, mut weight) in graph.weights {
            let of_head = name == place.weight || name == place.bias;
            if weight.place.len() < SMALLEST && !of_head {
                continue;
            }
            if name == place.weight {
                if place.transposed {
                    weight.shape.reverse();
                }
                weights.insert(format!("{head}.weight"), (weight, place.transposed));
            } else if name == place.bias {
                // Some write it as one row of a matrix.
                weight.shape = vec![weight.shape.iter().product()];
                weights.insert(format!("{head}.bias"), (weight, false));
            } else {
                weights.insert(name, (weight, false));
            }
        }
        let mut order: Vec<(&String, &(Weight, bool))> = weights.iter().collect();
        order.sort_by_key(|(_, (weight, _))| weight.place.start);
        let mut taken = 0;
        let cuts = order
            .into_iter()
            .map(|(tensor, (weight, transposed))| {
                let at = (weight.place.start - taken) as u64;
                taken += weight.place.len();
                Cut {
                    tensor: tensor.clone(),
                    at,
                    transposed: *transposed,
                }
            })
            .collect();
        let inputs = graph.inputs.into_iter().map(|input| GraphInput {
            whole: matches!(input.element, INT32 | INT64),
            name: input.name,
            shape: input.shape,
        });
        let form = OnnxForm {
            cuts,
            features: place.features,
            inputs: inputs.collect(),
            head,
        };
        Ok(Self {
            path: path.to_owned(),
            bytes,
            weights,
            form,
        })
    }

    /// The file without the tensors.
    pub(crate) fn rest(&self) -> Vec<u8> {
        let mut places: Vec<Range<usize>> = self
            .weights
            .values()
            .map(|(weight, _)| weight.place.clone())
            .collect();
        places.sort_by_key(|place| place.start);
        let mut rest = Vec::new();
        let mut from = 0;
        for place in places {
            rest.extend_from_slice(&self.bytes[from..place.start]);
            from = place.end;
        }
        rest.extend_from_slice(&self.bytes[from..]);
        rest
    }
}

impl TensorSource for OnnxModel {
    fn tensors(&self) -> BTreeMap<String, (Dtype, Vec<usize>)> {
        let weights = self.weights.iter();
        weights
            .map(|(name, (weight, _))| (name.clone(), (weight.dtype, weight.shape.clone())))
            .collect()
    }

    fn tensor(&self, name: &str) -> Result<Tensor, StoreError> {
        let (weight, transposed) =
            self.weights
                .get(name)
                .ok_or_else(|| StoreError::Checkpoint {
                    path: self.path.clone(),
                    reason: format!("it has no weight `{name}`"),
                })?;
        let tensor = Tensor {
            dtype: weight.dtype,
            shape: weight.shape.clone(),
            bytes: self.bytes[weight.place.clone()].to_vec(),
        };
        // The file has `[inputs, outputs]`.
        Ok(if *transposed {
            turned(&tensor, true)
        } else {
            tensor
        })
    }
}

/// A matrix with rows and columns exchanged in its bytes. `shape` is that of the result where
/// `from_file`, else that of the source.
fn turned(tensor: &Tensor, from_file: bool) -> Tensor {
    let [mut rows, mut cols] = tensor.shape[..] else {
        return tensor.clone();
    };
    if from_file {
        (rows, cols) = (cols, rows);
    }
    let size = tensor.dtype.bitsize() / 8;
    if tensor.bytes.len() != rows * cols * size {
        return tensor.clone();
    }
    let mut bytes = Vec::with_capacity(tensor.bytes.len());
    for col in 0..cols {
        for row in 0..rows {
            let at = (row * cols + col) * size;
            bytes.extend_from_slice(&tensor.bytes[at..at + size]);
        }
    }
    Tensor {
        bytes,
        ..tensor.clone()
    }
}

/// Writes a file from its rest and the tensors that belong into it.
pub(crate) fn assemble(
    form: &OnnxForm,
    rest: &[u8],
    tensor: &dyn Fn(&str) -> Result<Tensor, StoreError>,
) -> Result<Vec<u8>, ExchangeError> {
    let mut bytes = Vec::new();
    let mut from = 0;
    for cut in &form.cuts {
        let found = tensor(&cut.tensor)?;
        let at = usize::try_from(cut.at).unwrap_or(usize::MAX);
        let piece = rest.get(from..at).ok_or_else(|| {
            ExchangeError::file(Path::new(&cut.tensor), "its place in the file is not there")
        })?;
        bytes.extend_from_slice(piece);
        from = at;
        if cut.transposed {
            bytes.extend(turned(&found, false).bytes);
        } else {
            bytes.extend(found.bytes);
        }
    }
    bytes.extend_from_slice(&rest[from..]);
    Ok(bytes)
}

/// The same model with the head's input as its only output.
///
/// # Errors
/// A sentence when the file is no ONNX model.
pub fn up_to_head(file: &[u8], features: &str) -> Result<Vec<u8>, String> {
    let graph = Graph::read(file)?;
    let mut info = Vec::new();
    wire::put_bytes(&mut info, 1, features.as_bytes());
    let mut changed = Vec::with_capacity(graph.place.len());
    copy(file, graph.place.clone(), 12, &mut changed)?;
    wire::put_bytes(&mut changed, 12, &info);
    let mut model = Vec::with_capacity(file.len());
    copy(file, 0..file.len(), 7, &mut model)?;
    wire::put_bytes(&mut model, 7, &changed);
    Ok(model)
}

/// Copies a message without the fields of one number.
fn copy(file: &[u8], place: Range<usize>, without: u64, into: &mut Vec<u8>) -> Result<(), String> {
    let mut at = place.start;
    while at < place.end {
        let start = at;
        let tag = wire::varint(file, &mut at, place.end)?;
        let length = match tag & 7 {
            0 => {
                wire::varint(file, &mut at, place.end)?;
                0
            }
            1 => 8,
            2 => usize::try_from(wire::varint(file, &mut at, place.end)?)
                .map_err(|_| "a field is too long")?,
            5 => 4,
            other => return Err(format!("a field has the unknown type {other}")),
        };
        at = at
            .checked_add(length)
            .filter(|end| *end <= place.end)
            .ok_or("a field is longer than the file")?;
        if tag >> 3 != without {
            into.extend_from_slice(&file[start..at]);
        }
    }
    Ok(())
}

/// The last linear layer before one of the graph's outputs.
fn find(graph: &Graph) -> Result<Place, String> {
    let mut met = Vec::new();
    for output in &graph.outputs {
        match before(graph, output) {
            Ok(place) => return Ok(place),
            Err(why) => met.push(format!("before `{output}` {why}")),
        }
    }
    Err(format!(
        "it has no linear head that could be dampened: {}. Export the network up to its logits, the \
         last layer a Gemm, or a MatMul and an Add, with weights in the file; or give features \
         instead",
        if met.is_empty() {
            "the graph has no outputs".into()
        } else {
            met.join("; ")
        }
    ))
}

fn before(graph: &Graph, output: &str) -> Result<Place, String> {
    let mut value = output.to_owned();
    // A graph has no cycles; a file may.
    for _ in 0..=graph.nodes.len() {
        let Some(node) = graph.maker(&value) else {
            return Err(format!("there is only `{value}`"));
        };
        match node.kind.as_str() {
            "Gemm" => return gemm(graph, node),
            "Add" => return add(graph, node),
            "MatMul" => return Err("there is a MatMul without a bias: give the layer one".into()),
            kind if AFTER.contains(&kind) => {
                value = node.inputs.first().cloned().unwrap_or_default();
            }
            kind => return Err(format!("there is {kind} (`{}`)", node.name)),
        }
    }
    Err("the graph goes round in circles".into())
}

/// A weight of the file, and whether it is turned on its way into a node.
fn weight(graph: &Graph, value: &str) -> Result<(String, bool), String> {
    let mut turned = false;
    let mut value = value.to_owned();
    for _ in 0..=graph.nodes.len() {
        if graph.weights.contains_key(&value) {
            return Ok((value, turned));
        }
        let maker = graph.maker(&value).map(|node| (node.kind.as_str(), node));
        match maker {
            Some(("Identity", node)) => value = node.inputs.first().cloned().unwrap_or_default(),
            Some(("Transpose", node)) => {
                turned = !turned;
                value = node.inputs.first().cloned().unwrap_or_default();
            }
            Some((kind, _)) => {
                return Err(format!(
                    "the weights `{value}` are made by {kind}: export without quantisation and with \
                     weights as they are"
                ));
            }
            None => {
                return Err(format!(
                    "the weights `{value}` are not in the file in one piece"
                ));
            }
        }
    }
    Err("the graph goes round in circles".into())
}

fn gemm(graph: &Graph, node: &Node) -> Result<Place, String> {
    let one = |name: &str| node.float.get(name).is_none_or(|value| *value == 1.0);
    if !one("alpha") || !one("beta") || node.whole.get("transA").is_some_and(|t| *t != 0) {
        return Err(format!(
            "the Gemm `{}` scales or turns its input",
            node.name
        ));
    }
    let [features, matrix, bias] = &node.inputs[..] else {
        return Err(format!(
            "the Gemm `{}` has no bias: give the layer one",
            node.name
        ));
    };
    let (weight, turned) = weight(graph, matrix)?;
    let as_rows = node.whole.get("transB").is_some_and(|t| *t != 0);
    place(graph, features, weight, as_rows == turned, bias)
}

fn add(graph: &Graph, node: &Node) -> Result<Place, String> {
    let [left, right] = &node.inputs[..] else {
        return Err("there is an Add of other than two values".into());
    };
    for (product, bias) in [(left, right), (right, left)] {
        let Some(product) = graph.maker(product).filter(|node| node.kind == "MatMul") else {
            continue;
        };
        let [features, matrix] = &product.inputs[..] else {
            continue;
        };
        let (weight, turned) = weight(graph, matrix)?;
        return place(graph, features, weight, !turned, bias);
    }
    Err("there is an Add, and no MatMul before it".into())
}

fn place(
    graph: &Graph,
    features: &str,
    weight_name: String,
    transposed: bool,
    bias: &str,
) -> Result<Place, String> {
    let (bias, _) = weight(graph, bias)?;
    let shape = &graph.weights[&weight_name].shape;
    let rows = match (&shape[..], transposed) {
        ([rows, _], false) | ([_, rows], true) => *rows,
        _ => {
            return Err(format!(
                "the weights `{weight_name}` are {shape:?}, not a matrix"
            ));
        }
    };
    let entries: usize = graph.weights[&bias].shape.iter().product();
    if entries != rows {
        return Err(format!(
            "the bias `{bias}` has {entries} entries for {rows} outputs"
        ));
    }
    Ok(Place {
        features: features.to_owned(),
        weight: weight_name,
        transposed,
        bias,
    })
}

/// The head that a form names.
pub(crate) fn head_of(form: &OnnxForm, source: &dyn TensorSource) -> Option<Head> {
    let tensors = source.tensors();
    let (_, shape) = tensors.get(&format!("{}.weight", form.head))?;
    let [outputs, inputs] = shape[..] else {
        return None;
    };
    Some(Head {
        name: form.head.clone(),
        outputs,
        inputs,
    })
}
