//! The head of a model that nobody has described: its last linear layer.

use std::collections::BTreeMap;

use crate::tensor::Dtype;

/// What heads are called, the likeliest first.
const NAMES: [&str; 12] = [
    "classifier",
    "fc",
    "head",
    "heads.head",
    "classifier.6",
    "score",
    "classifier.out_proj",
    "classifier.1",
    "head.fc",
    "linear",
    "output",
    "logits",
];

/// A linear layer that may be a head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its name, without `.weight` and `.bias`.
    pub name: String,
    /// Its outputs.
    pub outputs: usize,
    /// Its inputs.
    pub inputs: usize,
}

/// The head among a model's tensors: a matrix `NAME.weight` with a bias `NAME.bias`, with as many
/// rows as there are labels where that is known, named as heads are named. A matrix without a bias is
/// taken where it is named, or has a head's name and a row for each label, and nothing else has.
///
/// # Errors
/// A sentence that says what was found instead, and what to give.
pub fn find_head(
    tensors: &BTreeMap<String, (Dtype, Vec<usize>)>,
    named: Option<&str>,
    labels: Option<usize>,
) -> Result<Head, String> {
    let (bare, layers): (Vec<_>, Vec<_>) = matrices(tensors).partition(|(bias, _)| !bias);
    let [bare, layers] = [bare, layers]
        .map(|list| -> Vec<Head> { list.into_iter().map(|(_, layer)| layer).collect() });
    if let Some(name) = named {
        let name = name.strip_suffix(".weight").unwrap_or(name);
        return match layers.iter().chain(&bare).find(|layer| layer.name == name) {
            Some(layer) => fits(layer, labels),
            None => Err(absent(tensors, name, &layers)),
        };
    }
    match chosen(&layers, labels) {
        // Embeddings are such matrices too.
        Err(reason) if labels.is_some() => by_name(&fitting(&bare, labels)).ok_or(reason),
        found => found,
    }
}

/// The layers with as many outputs as there are labels.
fn fitting(layers: &[Head], labels: Option<usize>) -> Vec<&Head> {
    let fits = |layer: &&Head| labels.is_none_or(|count| layer.outputs == count);
    layers.iter().filter(fits).collect()
}

/// The layer that is named as heads are named.
fn by_name(layers: &[&Head]) -> Option<Head> {
    NAMES.iter().find_map(|name| {
        let mut matching = layers
            .iter()
            .filter(|layer| layer.name == *name || layer.name.ends_with(&format!(".{name}")));
        let first = matching.next()?;
        matching.next().is_none().then_some((*first).clone())
    })
}

/// The likeliest of some layers.
fn chosen(layers: &[Head], labels: Option<usize>) -> Result<Head, String> {
    let fitting = fitting(layers, labels);
    match (by_name(&fitting), &fitting[..]) {
        (Some(layer), _) => Ok(layer),
        (None, [layer]) => Ok((*layer).clone()),
        (None, []) => Err(match labels {
            Some(count) => format!(
                "no linear layer has {count} outputs, one for each label (linear layers: {}); check \
                 the labels",
                listed(layers)
            ),
            None => {
                "it has no linear layer (`NAME.weight` with `NAME.bias`), so no head whose rows \
                     could be dampened"
                    .into()
            }
        }),
        (None, several) => Err(format!(
            "several linear layers may be the head ({}); name it with `--head`",
            several
                .iter()
                .map(|layer| layer.name.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        )),
    }
}

fn fits(layer: &Head, labels: Option<usize>) -> Result<Head, String> {
    match labels {
        Some(count) if count != layer.outputs => Err(format!(
            "the head `{}` has {} outputs, there are {count} labels",
            layer.name, layer.outputs
        )),
        _ => Ok(layer.clone()),
    }
}

fn absent(tensors: &BTreeMap<String, (Dtype, Vec<usize>)>, name: &str, layers: &[Head]) -> String {
    match tensors.get(&format!("{name}.weight")) {
        Some((_, shape)) if shape.len() != 2 => {
            format!("`{name}.weight` is {shape:?}, not a matrix, so `{name}` is no linear layer")
        }
        _ => format!(
            "it has no layer `{name}` (linear layers: {})",
            listed(layers)
        ),
    }
}

fn listed(layers: &[Head]) -> String {
    let names: Vec<String> = layers
        .iter()
        .rev()
        .take(8)
        .map(|layer| format!("{} with {} outputs", layer.name, layer.outputs))
        .collect();
    match (names.is_empty(), layers.len() > names.len()) {
        (true, _) => "none".into(),
        (_, false) => names.join(", "),
        (_, true) => format!("{}, ...", names.join(", ")),
    }
}

/// All matrices that linear layers may have, and whether a bias goes with them.
fn matrices(
    tensors: &BTreeMap<String, (Dtype, Vec<usize>)>,
) -> impl Iterator<Item = (bool, Head)> + '_ {
    let float = |dtype: &Dtype| matches!(dtype, Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64);
    tensors.iter().filter_map(move |(name, (dtype, shape))| {
        let name = name.strip_suffix(".weight")?;
        let [outputs, inputs] = shape[..] else {
            return None;
        };
        let bias = match tensors.get(&format!("{name}.bias")) {
            None => false,
            Some((other, bias)) if float(other) && bias[..] == [outputs] => true,
            Some(_) => return None,
        };
        let head = Head {
            name: name.to_owned(),
            outputs,
            inputs,
        };
        float(dtype).then_some((bias, head))
    })
}
