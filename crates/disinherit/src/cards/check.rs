//! Whether a card, or captured features, are those of a model.

use disinherit_data::DataSet;
use disinherit_formats::Dtype;
use disinherit_registry::{CardHeader, CardValues, Registry, RegistryError};
use fiun::{MatrixRef, linear};

use crate::error::EngineError;
use crate::layers::Selected;
use crate::model::{LoadedModel, matrix_shape};

/// The largest part of the logits' range by which captured logits may differ from the head's own. A
/// head in half precision may have been captured before it was rounded.
fn tolerance(head: Option<Dtype>) -> f32 {
    match head {
        Some(Dtype::F16) => 1e-2,
        Some(Dtype::BF16) => 5e-2,
        _ => 1e-3,
    }
}

/// Where features came with the logits that were made of them: checks that the model's head makes
/// the same, so that they are features of this model and of this layer.
pub(crate) fn check_logits(
    registry: &Registry,
    model: &LoadedModel,
    set: &DataSet,
) -> Result<(), EngineError> {
    let Some(table) = set.features_of(model.id().name()) else {
        return Ok(());
    };
    if table.logits.is_empty() {
        return Ok(());
    }
    let wrap = |error| EngineError::fisher(model.id(), &model.manifest.head)(error);
    let (weight, bias) = model.head(registry)?;
    let features = MatrixRef::new(set.len(), table.width, &table.values).map_err(wrap)?;
    let made = linear(features, weight.view(), &bias).map_err(wrap)?;
    let range = made
        .values()
        .iter()
        .fold(1.0f32, |top, value| top.max(value.abs()));
    let pairs = made.values().iter().zip(&table.logits);
    let largest = pairs
        .map(|(own, told)| (own - told).abs())
        .fold(0.0, f32::max);
    let [weight, _] = model.head_tensors();
    let tolerance = tolerance(model.manifest.tensors.get(&weight).map(|t| t.dtype));
    if made.values().len() == table.logits.len() && largest <= tolerance * range {
        return Ok(());
    }
    Err(EngineError::BadFeatures(format!(
        "the logits in `{}` are not those that the head `{}` of `{}` makes of the features there \
         (largest difference {largest}): capture what goes into that layer, from the weights that \
         were added; or leave the logits out",
        set.name(),
        model.manifest.head,
        model.id()
    )))
}

/// Whether a card holds all of these layers.
pub(crate) fn covers(header: &CardHeader, selected: &Selected) -> bool {
    selected
        .inner
        .iter()
        .all(|name| header.layers.contains(name))
}

/// Checks that a card fits its model: head and labels.
pub(crate) fn check_card(model: &LoadedModel, header: &CardHeader) -> Result<(), EngineError> {
    let refuse = |reason: String| {
        let text = format!("that of `{}` {reason}", model.id());
        Err(EngineError::Registry(RegistryError::Card(text)))
    };
    let manifest = &model.manifest;
    if header.head != manifest.head {
        return refuse(format!(
            "is of a head `{}`, the model's is `{}`",
            header.head, manifest.head
        ));
    }
    if header.outputs != manifest.labels {
        return refuse(format!(
            "has the labels {}, the model {}",
            header.outputs.join(", "),
            manifest.labels.join(", ")
        ));
    }
    Ok(())
}

/// Checks that the tensors of a card have the shapes of the model's.
pub(crate) fn check_values(model: &LoadedModel, card: &dyn CardValues) -> Result<(), EngineError> {
    let [weight, bias] = model.head_tensors();
    let total = &card.head().fisher.total;
    let head = [(&weight, &total.weight), (&bias, &total.bias)];
    let parts = if model.has_bias() { 2 } else { 1 };
    let head = head.into_iter().take(parts);
    let mut shapes: Vec<(&String, Vec<usize>)> = head
        .map(|(name, fisher)| (name, fisher.shape().to_vec()))
        .collect();
    for name in &card.head().header.layers {
        shapes.push((name, card.layer(name)?.shape().to_vec()));
    }
    for (name, shape) in shapes {
        let tensor = model.manifest.tensors.get(name);
        let own = tensor.map(|t| match *name == weight {
            true => matrix_shape(&t.shape),
            false => &t.shape[..],
        });
        if own != Some(&shape[..]) {
            let found = own.map_or("no such tensor".into(), |shape| format!("{shape:?}"));
            return Err(EngineError::Registry(RegistryError::Card(format!(
                "its FIM of `{name}` is {shape:?}, `{}` has {found}",
                model.id()
            ))));
        }
    }
    Ok(())
}
