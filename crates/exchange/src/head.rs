//! The head of a model that nobody has described: its last linear layer.

use std::collections::BTreeMap;

use store::Dtype;

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
/// rows as there are labels where that is known, named as heads are named.
///
/// # Errors
/// A sentence that says what was found instead, and what to give.
pub fn find_head(
    tensors: &BTreeMap<String, (Dtype, Vec<usize>)>,
    named: Option<&str>,
    labels: Option<usize>,
) -> Result<Head, String> {
    let layers = layers(tensors);
    if let Some(name) = named {
        let name = name.strip_suffix(".weight").unwrap_or(name);
        return match layers.iter().find(|layer| layer.name == name) {
            Some(layer) => fits(layer, labels),
            None => Err(absent(tensors, name, &layers)),
        };
    }
    let fitting: Vec<&Head> = layers
        .iter()
        .filter(|layer| labels.is_none_or(|count| layer.outputs == count))
        .collect();
    let by_name = NAMES.iter().find_map(|name| {
        let mut matching = fitting
            .iter()
            .filter(|layer| layer.name == *name || layer.name.ends_with(&format!(".{name}")));
        let first = matching.next()?;
        matching.next().is_none().then_some(*first)
    });
    match (by_name, &fitting[..]) {
        (Some(layer), _) => Ok(layer.clone()),
        (None, [layer]) => Ok((*layer).clone()),
        (None, []) => Err(match labels {
            Some(count) => format!(
                "no linear layer has {count} outputs, one for each label (linear layers: {}); check \
                 the labels",
                listed(&layers)
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
        Some(_) if !tensors.contains_key(&format!("{name}.bias")) => format!(
            "`{name}` has no bias; a head needs one to be unlearned: give the layer a bias of zeros \
             and save it again"
        ),
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

/// All linear layers with a bias.
fn layers(tensors: &BTreeMap<String, (Dtype, Vec<usize>)>) -> Vec<Head> {
    let float = |dtype: &Dtype| matches!(dtype, Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64);
    tensors
        .iter()
        .filter_map(|(name, (dtype, shape))| {
            let name = name.strip_suffix(".weight")?;
            let [outputs, inputs] = shape[..] else {
                return None;
            };
            let (other, bias) = tensors.get(&format!("{name}.bias"))?;
            (float(dtype) && float(other) && bias[..] == [outputs]).then(|| Head {
                name: name.to_owned(),
                outputs,
                inputs,
            })
        })
        .collect()
}
