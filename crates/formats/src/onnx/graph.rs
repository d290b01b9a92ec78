//! The parts of an ONNX model that matter here (`onnx.proto`): weights, nodes, inputs, outputs.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::tensor::{Dtype, Tensor};

use crate::onnx::wire::{self, Field, Value};

/// The number of single precision in `TensorProto.DataType`.
pub(super) const FLOAT: u64 = 1;

/// A weight (`TensorProto`).
#[derive(Debug, Clone)]
pub(super) struct Weight {
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    /// The name of the file that has its bytes, where it is another one.
    pub(super) file: Option<String>,
    /// Where they lie in that file, little-endian.
    pub(super) place: Range<u64>,
}

impl Weight {
    /// Its bytes.
    pub(super) fn length(&self) -> u64 {
        self.place.end - self.place.start
    }

    /// What lies in the file with the graph; nothing where it is in another one.
    pub(super) fn tensor(&self, file: &[u8]) -> Option<Tensor> {
        let start = usize::try_from(self.place.start).ok()?;
        let end = usize::try_from(self.place.end).ok()?;
        let bytes = file.get(start..end).filter(|_| self.file.is_none())?;
        Some(Tensor {
            dtype: self.dtype,
            shape: self.shape.clone(),
            bytes: bytes.to_vec(),
        })
    }
}

/// One operation (`NodeProto`).
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) kind: String,
    /// Whose operation it is: of ONNX itself where it is empty.
    pub(super) domain: String,
    pub(super) inputs: Vec<String>,
    pub(super) outputs: Vec<String>,
    /// Whole numbers among its attributes.
    pub(super) whole: BTreeMap<String, i64>,
    /// Floating-point numbers among them.
    pub(super) float: BTreeMap<String, f32>,
    /// Lists of whole numbers among them.
    pub(super) lists: BTreeMap<String, Vec<i64>>,
    /// Texts among them.
    pub(super) texts: BTreeMap<String, String>,
    /// Tensors among them.
    pub(super) tensors: BTreeMap<String, Weight>,
}

/// An input (`ValueInfoProto`).
#[derive(Debug, Clone)]
pub(super) struct Input {
    pub(super) name: String,
    /// The number of its element type, as in `TensorProto.DataType`.
    pub(super) element: u64,
    /// Its dimensions; nothing where one is open.
    pub(super) shape: Vec<Option<usize>>,
}

/// A model's graph.
#[derive(Debug, Default)]
pub(super) struct Graph {
    /// Where it lies.
    pub(super) place: Range<usize>,
    pub(super) weights: BTreeMap<String, Weight>,
    pub(super) nodes: Vec<Node>,
    pub(super) inputs: Vec<Input>,
    pub(super) outputs: Vec<String>,
}

impl Graph {
    pub(super) fn read(file: &[u8]) -> Result<Self, String> {
        let model = wire::fields(file, 0..file.len())?;
        let place = wire::all(&model, 7)
            .last()
            .ok_or("it holds no graph, so it is no ONNX model")?;
        let graph = wire::fields(file, place.clone())?;
        let mut read = Self {
            place,
            ..Self::default()
        };
        for range in wire::all(&graph, 5) {
            if let Some((name, weight)) = weight(file, range)? {
                read.weights.insert(name, weight);
            }
        }
        for range in wire::all(&graph, 1) {
            read.nodes.push(node(file, range)?);
        }
        for range in wire::all(&graph, 11) {
            let input = input(file, range)?;
            // Old files list weights among the inputs.
            if !read.weights.contains_key(&input.name) {
                read.inputs.push(input);
            }
        }
        for range in wire::all(&graph, 12) {
            let fields = wire::fields(file, range)?;
            read.outputs.push(wire::text(file, &fields, 1)?);
        }
        Ok(read)
    }

    /// The node that makes a value.
    pub(super) fn maker(&self, value: &str) -> Option<&Node> {
        let makes = |node: &&Node| node.outputs.iter().any(|output| output == value);
        self.nodes.iter().find(makes)
    }
}

/// The version of ONNX's own operations that a file is written for, where it says so.
pub(super) fn version(file: &[u8]) -> Option<u64> {
    let model = wire::fields(file, 0..file.len()).ok()?;
    let sets = wire::all(&model, 8).filter_map(|range| wire::fields(file, range).ok());
    let own = sets.filter(|set| wire::text(file, set, 1).is_ok_and(|domain| is_own(&domain)));
    own.filter_map(|set| wire::number(&set, 2)).last()
}

/// Whether a domain is that of ONNX's own operations.
pub(super) fn is_own(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx")
}

/// A weight whose bytes lie in one piece; nothing for those whose numbers are spelled out.
pub(super) fn weight(file: &[u8], range: Range<usize>) -> Result<Option<(String, Weight)>, String> {
    let fields = wire::fields(file, range)?;
    let name = wire::text(file, &fields, 8)?;
    let shape = wire::numbers(file, &fields, 1)?
        .into_iter()
        .map(|length| usize::try_from(length).map_err(|_| format!("`{name}` is too large")))
        .collect::<Result<Vec<usize>, String>>()?;
    let (dtype, packed) = match wire::number(&fields, 2) {
        Some(1) => (Dtype::F32, Some(4)),
        Some(11) => (Dtype::F64, Some(10)),
        Some(2) => (Dtype::U8, None),
        Some(3) => (Dtype::I8, None),
        Some(4) => (Dtype::U16, None),
        Some(5) => (Dtype::I16, None),
        Some(6) => (Dtype::I32, None),
        Some(7) => (Dtype::I64, None),
        Some(9) => (Dtype::BOOL, None),
        Some(10) => (Dtype::F16, None),
        Some(12) => (Dtype::U32, None),
        Some(13) => (Dtype::U64, None),
        Some(16) => (Dtype::BF16, None),
        _ => return Ok(None),
    };
    let bits = shape
        .iter()
        .try_fold(dtype.bitsize(), |product, length| {
            product.checked_mul(*length)
        })
        .ok_or_else(|| format!("`{name}` is too large"))?;
    let length = (bits / 8) as u64;
    let (elsewhere, place) = if wire::number(&fields, 14) == Some(1) {
        let (location, place) =
            external(file, &fields, length).map_err(|e| format!("`{name}` {e}"))?;
        (Some(location), place)
    } else {
        let pieces: Vec<Range<usize>> = match packed {
            Some(number) => wire::all(&fields, 9)
                .chain(wire::all(&fields, number))
                .collect(),
            None => wire::all(&fields, 9).collect(),
        };
        let [place] = &pieces[..] else {
            return Ok(None);
        };
        (None, place.start as u64..place.end as u64)
    };
    if length != place.end - place.start {
        return Err(format!(
            "`{name}` of the shape {shape:?} has {} bytes",
            place.end - place.start
        ));
    }
    let weight = Weight {
        dtype,
        shape,
        file: elsewhere,
        place,
    };
    Ok(Some((name, weight)))
}

/// The file and the place of a weight that is in another file (`external_data`); `length` is that of
/// a weight of its type and shape.
fn external(file: &[u8], fields: &[Field], length: u64) -> Result<(String, Range<u64>), String> {
    let mut said = BTreeMap::new();
    for range in wire::all(fields, 13) {
        let entry = wire::fields(file, range)?;
        said.insert(wire::text(file, &entry, 1)?, wire::text(file, &entry, 2)?);
    }
    let number = |key: &str, otherwise: u64| match said.get(key) {
        None => Ok(otherwise),
        Some(text) => text
            .parse::<u64>()
            .map_err(|_| format!("is said to lie at the {key} `{text}`")),
    };
    let start = number("offset", 0)?;
    let end = start.checked_add(number("length", length)?);
    let end = end.ok_or("is said to end beyond any file")?;
    let location = said.get("location").filter(|name| !name.is_empty());
    let location = location.ok_or("is said to be in another file, and not in which")?;
    Ok((location.clone(), start..end))
}

fn node(file: &[u8], range: Range<usize>) -> Result<Node, String> {
    let fields = wire::fields(file, range)?;
    let names = |number: u64| -> Result<Vec<String>, String> {
        wire::all(&fields, number)
            .map(|range| {
                String::from_utf8(file[range].to_vec()).map_err(|_| "a name is no UTF-8".to_owned())
            })
            .collect()
    };
    let mut node = Node {
        name: wire::text(file, &fields, 3)?,
        kind: wire::text(file, &fields, 4)?,
        domain: wire::text(file, &fields, 7)?,
        inputs: names(1)?,
        outputs: names(2)?,
        whole: BTreeMap::new(),
        float: BTreeMap::new(),
        lists: BTreeMap::new(),
        texts: BTreeMap::new(),
        tensors: BTreeMap::new(),
    };
    for range in wire::all(&fields, 5) {
        let attribute = wire::fields(file, range)?;
        let name = wire::text(file, &attribute, 1)?;
        if let Some(value) = wire::number(&attribute, 3) {
            node.whole.insert(name.clone(), value as i64);
        }
        let list = wire::numbers(file, &attribute, 8)?;
        if !list.is_empty() {
            let list = list.into_iter().map(|value| value as i64);
            node.lists.insert(name.clone(), list.collect());
        }
        if let Some(range) = wire::all(&attribute, 4).last() {
            let text = String::from_utf8_lossy(&file[range]).into_owned();
            node.texts.insert(name.clone(), text);
        }
        // One that cannot be read is none that is needed here.
        let tensor = wire::all(&attribute, 5).last();
        if let Some(Ok(Some((_, tensor)))) = tensor.map(|range| weight(file, range)) {
            node.tensors.insert(name.clone(), tensor);
        }
        if let Some(Field {
            value: Value::Word(word),
            ..
        }) = attribute.iter().find(|field| field.number == 2)
        {
            node.float.insert(name, f32::from_le_bytes(*word));
        }
    }
    Ok(node)
}

fn input(file: &[u8], range: Range<usize>) -> Result<Input, String> {
    let fields = wire::fields(file, range)?;
    let mut input = Input {
        name: wire::text(file, &fields, 1)?,
        element: 0,
        shape: Vec::new(),
    };
    let inner = |fields: &[Field], number: u64| -> Result<Option<Vec<Field>>, String> {
        let range = wire::all(fields, number).last();
        range.map(|range| wire::fields(file, range)).transpose()
    };
    let Some(kind) = inner(&fields, 2)? else {
        return Ok(input);
    };
    let Some(tensor) = inner(&kind, 1)? else {
        return Ok(input);
    };
    input.element = wire::number(&tensor, 1).unwrap_or(0);
    if let Some(shape) = inner(&tensor, 2)? {
        for range in wire::all(&shape, 1) {
            let dimension = wire::fields(file, range)?;
            let length = wire::number(&dimension, 1).and_then(|n| usize::try_from(n).ok());
            input.shape.push(length.filter(|length| *length > 0));
        }
    }
    Ok(input)
}
