//! The head of a model without a description: its last linear layer.

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

/// A linear layer that may be a head, or a convolution of 1x1 that is one at every position.
///
/// The weight of a convolution keeps its shape, `[outputs, inputs, 1, 1]`: its values lie as those of
/// a matrix `[outputs, inputs]` do, and its Fisher information is over that matrix.
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
/// taken where it is named, or has a head's name and a row for each label, and nothing else has. A
/// convolution of 1x1 (`[outputs, inputs, 1, 1]`, with a bias) is taken where it is named, or where no
/// linear layer fits.
///
/// # Errors
/// A sentence that says what was found instead, and what to give.
pub fn find_head(
    tensors: &BTreeMap<String, (Dtype, Vec<usize>)>,
    named: Option<&str>,
    labels: Option<usize>,
) -> Result<Head, String> {
    let [mut layers, mut bare, mut convolutions] = [const { Vec::new() }; 3];
    for (kind, layer) in candidates(tensors) {
        match kind {
            Kind::Linear => layers.push(layer),
            Kind::Bare => bare.push(layer),
            Kind::Convolution => convolutions.push(layer),
        }
    }
    if let Some(name) = named {
        let name = name.strip_suffix(".weight").unwrap_or(name);
        let mut all = layers.iter().chain(&bare).chain(&convolutions);
        return match all.find(|layer| layer.name == name) {
            Some(layer) => fits(layer, labels),
            None => Err(absent(tensors, name, &layers)),
        };
    }
    match chosen(&layers, labels) {
        Err(reason) if fitting(&layers, labels).is_empty() => {
            // Embeddings are such matrices too.
            let bare = labels.and_then(|_| by_name(&fitting(&bare, labels)));
            let found = bare.or_else(|| chosen(&convolutions, labels).ok());
            found.ok_or(reason)
        }
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
            "several linear layers may be the head ({}); say which one is the head",
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

/// What a weight may belong to.
enum Kind {
    /// A matrix with a bias.
    Linear,
    /// A matrix without one.
    Bare,
    /// A convolution of 1x1 with a bias.
    Convolution,
}

/// All weights that heads may have.
fn candidates(
    tensors: &BTreeMap<String, (Dtype, Vec<usize>)>,
) -> impl Iterator<Item = (Kind, Head)> + '_ {
    let float = |dtype: &Dtype| matches!(dtype, Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64);
    tensors.iter().filter_map(move |(name, (dtype, shape))| {
        let name = name.strip_suffix(".weight")?;
        let (outputs, inputs, flat) = match shape[..] {
            [outputs, inputs] => (outputs, inputs, true),
            [outputs, inputs, 1, 1] => (outputs, inputs, false),
            _ => return None,
        };
        let bias = match tensors.get(&format!("{name}.bias")) {
            None => false,
            Some((other, bias)) if float(other) && bias[..] == [outputs] => true,
            Some(_) => return None,
        };
        let kind = match (flat, bias) {
            (true, true) => Kind::Linear,
            (true, false) => Kind::Bare,
            (false, true) => Kind::Convolution,
            (false, false) => return None,
        };
        let head = Head {
            name: name.to_owned(),
            outputs,
            inputs,
        };
        float(dtype).then_some((kind, head))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn tensors(list: &[(&str, &[usize])]) -> BTreeMap<String, (Dtype, Vec<usize>)> {
        let tensors = list.iter();
        tensors
            .map(|(name, shape)| ((*name).to_owned(), (Dtype::F32, shape.to_vec())))
            .collect()
    }

    #[test]
    fn a_convolution_of_one_position_is_a_head_where_no_linear_layer_fits() {
        // SqueezeNet: the squeezing layers are such convolutions too.
        let mut squeezed = tensors(&[
            ("features.3.squeeze.weight", &[16, 64, 1, 1]),
            ("features.3.squeeze.bias", &[16]),
            ("classifier.1.weight", &[10, 512, 1, 1]),
            ("classifier.1.bias", &[10]),
        ]);
        for (named, labels) in [
            (None, Some(10)),
            (None, None),
            (Some("classifier.1"), Some(10)),
        ] {
            let head = find_head(&squeezed, named, labels).unwrap();
            assert_eq!(head.name, "classifier.1");
            assert_eq!((head.outputs, head.inputs), (10, 512));
        }
        assert!(find_head(&squeezed, None, Some(7)).is_err());
        squeezed.extend(tensors(&[("fc.weight", &[10, 4]), ("fc.bias", &[10])]));
        assert_eq!(find_head(&squeezed, None, Some(10)).unwrap().name, "fc");
        let wide = tensors(&[("head.weight", &[10, 4, 3, 3]), ("head.bias", &[10])]);
        assert!(find_head(&wide, None, Some(10)).is_err());
    }
}
