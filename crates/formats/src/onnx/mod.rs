//! ONNX: the head is found in the graph, its weights are taken out and put back, and every other
//! byte of the file stays as it is.

mod cuts;
mod graph;
mod wire;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use crate::checkpoint::TensorSource;
use serde::{Deserialize, Serialize};

pub use self::cuts::Cut;
pub(crate) use self::cuts::{CutFile, assemble};
use self::graph::{Graph, Node, Weight};
use crate::error::FormatError;
use crate::head::Head;

/// Files are read whole, as protocol buffers must be.
const LARGEST: u64 = 2 << 30;

/// What an output is usually called that gives the logits.
const LOGITS: &str = "logits";

/// Smaller weights stay in the rest of the file.
const SMALLEST: u64 = 64;

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

/// An ONNX model, open.
pub(crate) struct OnnxModel {
    pub(crate) form: OnnxForm,
    /// The file with the graph.
    pub(crate) file: CutFile,
    /// Files beside it that hold weights, by their names, and how they are put together again.
    pub(crate) others: Vec<(String, CutFile, Vec<Cut>)>,
}

/// Where a graph's head is.
struct Place {
    features: String,
    weight: String,
    transposed: bool,
    bias: Option<String>,
}

impl OnnxModel {
    pub(crate) fn open(path: &Path) -> Result<Self, FormatError> {
        let size = std::fs::metadata(path).map_err(FormatError::unreadable(path))?;
        if size.len() > LARGEST {
            return Err(FormatError::file(
                path,
                "it is larger than 2 GiB: save it with its weights in a file beside it",
            ));
        }
        let bytes = std::fs::read(path).map_err(FormatError::unreadable(path))?;
        let refuse = |reason: String| FormatError::file(path, reason);
        let graph = Graph::read(&bytes).map_err(refuse)?;
        let place = find(&graph).map_err(refuse)?;
        let head = place
            .weight
            .strip_suffix(".weight")
            .filter(|name| {
                let bias = place.bias.as_ref();
                !place.transposed && bias.is_none_or(|bias| *bias == format!("{name}.bias"))
            })
            .unwrap_or(HEAD)
            .to_owned();
        let mut files: BTreeMap<Option<String>, BTreeMap<String, (Weight, bool)>> = BTreeMap::new();
        for (name, weight) in graph.weights {
            let of_head = name == place.weight || Some(&name) == place.bias.as_ref();
            if weight.file.is_none() && weight.length() < SMALLEST && !of_head {
                continue;
            }
            let (name, weight, transposed) = named(name, weight, &place, &head);
            let file = files.entry(weight.file.clone()).or_default();
            file.insert(name, (weight, transposed));
        }
        let own = files.remove(&None).unwrap_or_default();
        let file = CutFile::new(path, bytes.len() as u64, own)?;
        let mut others = Vec::new();
        for (name, weights) in files {
            let name = name.unwrap_or_default();
            others.push(beside(path, name, weights)?);
        }
        let inputs = graph.inputs.into_iter().map(|input| GraphInput {
            whole: matches!(input.element, INT32 | INT64),
            name: input.name,
            shape: input.shape,
        });
        let form = OnnxForm {
            cuts: file.cuts(),
            features: place.features,
            inputs: inputs.collect(),
            head,
        };
        Ok(Self { form, file, others })
    }
}

/// A weight under its name here, in the layout here, and whether the file has it turned.
fn named(name: String, mut weight: Weight, place: &Place, head: &str) -> (String, Weight, bool) {
    if name == place.weight {
        if place.transposed {
            weight.shape.reverse();
        }
        return (format!("{head}.weight"), weight, place.transposed);
    }
    if Some(&name) == place.bias.as_ref() {
        // Some write it as one row of a matrix.
        weight.shape = vec![weight.shape.iter().product()];
        return (format!("{head}.bias"), weight, false);
    }
    (name, weight, false)
}

/// A file of weights beside a graph.
fn beside(
    graph: &Path,
    name: String,
    weights: BTreeMap<String, (Weight, bool)>,
) -> Result<(String, CutFile, Vec<Cut>), FormatError> {
    let own = graph.file_name() == Some(name.as_ref());
    if own || Path::new(&name).file_name() != Some(name.as_ref()) {
        return Err(FormatError::file(
            graph,
            format!("it keeps weights in `{name}`, which is not a file beside it; {AS_ONE}"),
        ));
    }
    let path = graph.with_file_name(&name);
    let size = std::fs::metadata(&path).map_err(|error| {
        FormatError::file(
            graph,
            format!(
                "it keeps weights in `{name}`, which cannot be read ({error}): put both files into one \
                 folder, or {AS_ONE}"
            ),
        )
    })?;
    let file = CutFile::new(&path, size.len(), weights)?;
    let cuts = file.cuts();
    Ok((name, file, cuts))
}

/// How to do without a second file.
const AS_ONE: &str = "save it as one: \
     onnx.save_model(onnx.load(PATH), PATH, save_as_external_data=False)";

/// The same model with the head's input as its only output, in one piece: weights that it keeps in
/// other files are taken from `others`, the bytes of those files by their names.
///
/// # Errors
/// A sentence when the file is no ONNX model, or a weight is not there.
pub fn up_to_head(
    file: &[u8],
    features: &str,
    others: &BTreeMap<String, Vec<u8>>,
) -> Result<Vec<u8>, String> {
    let graph = Graph::read(file)?;
    let mut info = Vec::new();
    wire::put_bytes(&mut info, 1, features.as_bytes());
    let mut changed = Vec::with_capacity(graph.place.len());
    let apart = graph.weights.values().any(|weight| weight.file.is_some());
    let without: &[u64] = if apart { &[5, 12] } else { &[12] };
    copy(file, graph.place.clone(), without, &mut changed)?;
    wire::put_bytes(&mut changed, 12, &info);
    if apart {
        let fields = wire::fields(file, graph.place.clone())?;
        for range in wire::all(&fields, 5) {
            wire::put_bytes(&mut changed, 5, &whole(file, range, others)?);
        }
    }
    let mut model = Vec::with_capacity(file.len() + changed.len());
    copy(file, 0..file.len(), &[7], &mut model)?;
    wire::put_bytes(&mut model, 7, &changed);
    Ok(model)
}

/// A `TensorProto` with its bytes in it.
fn whole(
    file: &[u8],
    range: Range<usize>,
    others: &BTreeMap<String, Vec<u8>>,
) -> Result<Vec<u8>, String> {
    let mut message = Vec::with_capacity(range.len());
    let weight = graph::weight(file, range.clone())?;
    let Some((
        name,
        Weight {
            file: Some(at),
            place,
            ..
        },
    )) = weight
    else {
        message.extend_from_slice(&file[range]);
        return Ok(message);
    };
    let bytes = others
        .get(&at)
        .and_then(|bytes| {
            let start = usize::try_from(place.start).ok()?;
            bytes.get(start..usize::try_from(place.end).ok()?)
        })
        .ok_or_else(|| format!("its weight `{name}` is not in `{at}`"))?;
    // `external_data` and `data_location` give way to `raw_data`.
    copy(file, range, &[13, 14], &mut message)?;
    wire::put_bytes(&mut message, 9, bytes);
    Ok(message)
}

/// Copies a message without the fields of some numbers.
fn copy(
    file: &[u8],
    place: Range<usize>,
    without: &[u64],
    into: &mut Vec<u8>,
) -> Result<(), String> {
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
        if !without.contains(&(tag >> 3)) {
            into.extend_from_slice(&file[start..at]);
        }
    }
    Ok(())
}

/// The last linear layer before one of the graph's outputs.
fn find(graph: &Graph) -> Result<Place, String> {
    let mut met = Vec::new();
    // Where one output is said to be the logits, what makes another is not the model's answer.
    let said = graph.outputs.iter().any(|output| output == LOGITS);
    let outputs = graph.outputs.iter();
    for output in outputs.filter(|output| !said || *output == LOGITS) {
        match before(graph, output) {
            Ok(place) => return Ok(place),
            Err(why) => met.push(format!("before `{output}` {why}")),
        }
    }
    Err(format!(
        "it has no linear head that could be dampened: {}. Export the network up to its logits, the \
         last layer a Gemm, or a MatMul with or without an Add, on one row a sample; or give features \
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
            "MatMul" => return product(graph, node, None),
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
    let (features, matrix, bias) = match &node.inputs[..] {
        [features, matrix] => (features, matrix, None),
        [features, matrix, bias] => (features, matrix, Some(bias).filter(|bias| !bias.is_empty())),
        _ => {
            return Err(format!(
                "the Gemm `{}` reads too few or too many values",
                node.name
            ));
        }
    };
    let (weight, turned) = weight(graph, matrix)?;
    let as_rows = node.whole.get("transB").is_some_and(|t| *t != 0);
    place(graph, features, weight, as_rows == turned, bias)
}

fn add(graph: &Graph, node: &Node) -> Result<Place, String> {
    let [left, right] = &node.inputs[..] else {
        return Err("there is an Add of other than two values".into());
    };
    for (value, bias) in [(left, right), (right, left)] {
        let Some(node) = graph.maker(value).filter(|node| node.kind == "MatMul") else {
            continue;
        };
        return product(graph, node, Some(bias));
    }
    Err("there is an Add, and no MatMul before it".into())
}

/// A product with a matrix, and what is added to it.
fn product(graph: &Graph, node: &Node, bias: Option<&String>) -> Result<Place, String> {
    let [features, matrix] = &node.inputs[..] else {
        return Err("there is a MatMul of other than two values".into());
    };
    let (weight, turned) = weight(graph, matrix)?;
    place(graph, features, weight, !turned, bias)
}

fn place(
    graph: &Graph,
    features: &str,
    weight_name: String,
    transposed: bool,
    bias: Option<&String>,
) -> Result<Place, String> {
    let shape = &graph.weights[&weight_name].shape;
    let rows = match (&shape[..], transposed) {
        ([rows, _], false) | ([_, rows], true) => *rows,
        _ => {
            return Err(format!(
                "the weights `{weight_name}` are {shape:?}, not a matrix"
            ));
        }
    };
    let bias = match bias {
        None => None,
        Some(bias) => {
            let (bias, _) = weight(graph, bias)?;
            let entries: usize = graph.weights[&bias].shape.iter().product();
            if entries != rows {
                return Err(format!(
                    "the bias `{bias}` has {entries} entries for {rows} outputs"
                ));
            }
            Some(bias)
        }
    };
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
