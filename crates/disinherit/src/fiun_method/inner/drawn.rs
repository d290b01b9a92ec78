//! The material of an edit without samples: draws from the activation statistics that a model's FIM card
//! keeps of each class.

use std::collections::BTreeSet;

use disinherit_data::{DataSet, Samples};
use disinherit_nets::Entrances;
use disinherit_registry::{ActivationStatistics, Basis, ClassActivations};

use super::guesses::Rows;
use super::layer::{Layer, Seen};
use super::material::{Material, Part, RETAINED, forget_counts, gone, known};
use crate::cards::activations::drawn;
use crate::error::EngineError;
use crate::graph_layer::from_card;
use crate::model::LoadedModel;
use crate::refusal::Refusal;
use crate::work::Work;

/// Says that there is nothing to draw from.
pub(super) const NONE: &str = "no activation statistics in its FIM card say what the class is like";

/// Whether a model's card says what the network makes of classes. Cheap: neither weights nor the card's
/// values are read.
pub(in crate::fiun_method) fn can_draw(work: &Work<'_>, model: &LoadedModel) -> bool {
    let card = work.cards.get(model.id());
    card.is_some_and(|card| card.card.has_activations)
}

/// What a model's card says the network makes of classes.
///
/// # Errors
/// [`EngineError`] when the card cannot be read.
pub(super) fn statistics(
    work: &Work<'_>,
    model: &LoadedModel,
) -> Result<Option<ActivationStatistics>, EngineError> {
    let Some(card) = work.cards.get(model.id()) else {
        return Ok(None);
    };
    let reader = card.card.reader(work.registry())?;
    Ok(reader.activations(work.registry())?)
}

/// Draws in place of samples, for the classes that the card describes.
pub(super) fn draw(
    work: &Work<'_>,
    model: &LoadedModel,
    layer: &dyn Layer,
    classes: &BTreeSet<String>,
) -> Result<Material, Refusal> {
    // What is drawn for one layer is nothing that another could go on from.
    let statistics = statistics(work, model)?.filter(|found| {
        found.layer == layer.weight() && found.elsewhere.is_some() == layer.is_described()
    });
    let Some(statistics) = statistics else {
        return Err(NONE.into());
    };
    if !is_below_as_described(work, model, layer)? {
        return Err("layers below have changed since its FIM card was made".into());
    }
    let [forget, retained] = [true, false].map(|wanted| {
        let all = statistics.classes.iter();
        all.filter(|class| classes.contains(&class.label) == wanted)
            .collect::<Vec<_>>()
    });
    if forget.is_empty() {
        return Err(NONE.into());
    }
    let drawing = Drawing {
        model,
        layer,
        statistics: &statistics,
    };
    let forget = drawing.part(&forget, forget_counts(classes.len()), 1)?;
    let retained = drawing.part(&retained, RETAINED, 2)?;
    let gone = gone(model, classes);
    let known = known(&retained)?;
    let rows = Rows {
        model,
        gone: &gone,
        known: &known,
    };
    let shares = rows.own_shares(work, &forget, layer)?;
    Ok(Material {
        basis: Basis::Card,
        forget,
        retained,
        gone,
        shares,
        log_odds: None,
        reference: None,
        samples: None,
    })
}

/// Whether everything below the penultimate layer is as it was when the card was made: a card of the
/// version before speaks of this one where only the layer and the head were edited.
fn is_below_as_described(
    work: &Work<'_>,
    model: &LoadedModel,
    layer: &dyn Layer,
) -> Result<bool, EngineError> {
    let card = work.cards.get(model.id());
    let Some(fallback) = card.and_then(|card| card.fallback.as_ref()) else {
        return Ok(true);
    };
    let before = LoadedModel::open(work.registry(), work.graph(), &fallback.of)?;
    let head = model.head_tensors();
    let edited = |name: &str| layer.tensors().contains(&name) || head.iter().any(|own| own == name);
    let below = |model: &LoadedModel| {
        let tensors = model.manifest.tensors.iter();
        let below = tensors.filter(|(name, _)| !edited(name));
        below
            .map(|(name, tensor)| (name.to_owned(), tensor.clone()))
            .collect::<Vec<_>>()
    };
    Ok(below(model) == below(&before))
}

struct Drawing<'a> {
    model: &'a LoadedModel,
    layer: &'a dyn Layer,
    statistics: &'a ActivationStatistics,
}

impl Drawing<'_> {
    /// So many draws for the edit and for its choice, each class by its share in the samples.
    fn part(
        &self,
        classes: &[&ClassActivations],
        counts: [usize; 2],
        seed: u64,
    ) -> Result<Part, Refusal> {
        let labels = &self.model.manifest.labels;
        let place = |label: &String| labels.iter().position(|own| own == label);
        let all: u64 = classes.iter().map(|class| class.samples).sum();
        let mut picked = Vec::new();
        let mut rows = Vec::new();
        let mut fitted = 0;
        for (half, count) in counts.into_iter().enumerate() {
            for class in classes {
                let Some(row) = place(&class.label) else {
                    continue;
                };
                let share = class.samples as f64 / all.max(1) as f64;
                let count = ((count as f64 * share).round() as usize).max(1);
                picked.push((*class, count));
                rows.extend(vec![row as u32; count]);
                fitted += if half == 0 { count } else { 0 };
            }
        }
        let wrap = || EngineError::fisher(self.model.id(), self.layer.weight());
        let values = drawn(&picked, seed << 32).map_err(wrap())?;
        let net = || EngineError::net(self.model.id());
        let positions = self.statistics.positions.as_ref().map(from_card);
        let entrances = Entrances::new(self.statistics.shape, values).map_err(net())?;
        let entrances = entrances.at(positions);
        let activations = self.layer.behind(&entrances)?;
        let activations = activations.ok_or(NONE)?;
        // There are no samples to a draw.
        let none = DataSet::new("draws", Samples::External, vec![], vec![], vec![]);
        let set = none.map_err(|error| EngineError::Internal(error.to_string()))?;
        Ok(Part {
            seen: Seen { set, activations },
            rows,
            fitted,
        })
    }
}
