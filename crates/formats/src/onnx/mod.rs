//! ONNX: the head is found in the graph, its weights are taken out and put back, and every other
//! byte of the file stays as it is.

mod below;
mod cuts;
mod entrance;
mod graph;
mod place;
mod reader;
mod step;
mod steps;
mod up_to_head;
mod window;
mod wire;

use std::collections::BTreeMap;
use std::path::Path;

use crate::source::TensorSource;
use serde::{Deserialize, Serialize};

pub use self::below::{GraphLayer, GraphNorm, layer_below};
pub use self::cuts::Cut;
pub(crate) use self::cuts::{CutFile, assemble};
use self::graph::{Graph, Weight};
use self::place::{Place, find};
pub use self::step::GraphStep;
pub use self::steps::graph_steps;
pub use self::up_to_head::up_to_head;
use crate::error::FormatError;
use crate::head::Head;

/// Files are read whole, as protocol buffers must be.
const LARGEST: u64 = 2 << 30;

/// Smaller weights stay in the rest of the file.
const SMALLEST: u64 = 64;

/// What the head is called where its weights have other names or another layout than `NAME.weight`
/// `[outputs, inputs]` and `NAME.bias`.
const HEAD: &str = "head";

/// The ONNX numbers of element types that inputs have.
const INT32: u64 = 6;
const INT64: u64 = 7;

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
pub struct OnnxFormat {
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
    pub(crate) format: OnnxFormat,
    /// The file with the graph.
    pub(crate) file: CutFile,
    /// Files beside it that hold weights, by their names, and how they are put together again.
    pub(crate) others: Vec<(String, CutFile, Vec<Cut>)>,
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
        let format = OnnxFormat {
            cuts: file.cuts(),
            features: place.features,
            inputs: inputs.collect(),
            head,
        };
        Ok(Self {
            format,
            file,
            others,
        })
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

/// The head that a format names.
pub(crate) fn head_of(format: &OnnxFormat, source: &dyn TensorSource) -> Option<Head> {
    let tensors = source.tensors();
    let (_, shape) = tensors.get(&format!("{}.weight", format.head))?;
    let [outputs, inputs] = shape[..] else {
        return None;
    };
    Some(Head {
        name: format.head.clone(),
        outputs,
        inputs,
    })
}
