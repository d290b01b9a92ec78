//! Activation statistics for a card: one pass over the samples of each label.

use disinherit_data::DataSet;
use disinherit_nets::{Entrances, Penultimate, StateDict};
use disinherit_registry::{ActivationStatistics, ClassActivations};
use fiun::{LowRankGaussian, Matrix};
use umig::Umig;

use crate::described_layer::{self, RunLayerDescribed};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::format;
use crate::graph_layer::{GraphLayer, to_card};
use crate::model::LoadedModel;
use crate::progress::Stage;
use crate::provenance::{lineage, own_data};
use crate::refusal::Refusal;
use crate::runner::runner_of;

/// Directions of each class, at most.
pub(crate) const RANK: usize = 16;

/// Fewer directions than this say too little of how samples differ.
const FEWEST_DIRECTIONS: usize = 4;

/// Samples of each class, at most.
const MOST: usize = 400;

/// Samples of a class without which nothing is kept of it.
pub(crate) const FEWEST: usize = 10;

/// What a network makes of each class before its last block, for edits without data. Labels that the
/// model was not trained on itself are described by the samples that the models which it inherits from
/// were trained on. Nothing of a network that does not run here, or whose statistics would be larger
/// than its weights.
pub(super) struct Statistician<'a> {
    pub(super) engine: &'a Engine<'a>,
    pub(super) graph: &'a Umig,
    pub(super) train: &'a DataSet,
}

/// A network cut at its penultimate layer.
enum Cut<'a> {
    Here(Box<Penultimate>),
    Graph(Box<GraphLayer>),
    Elsewhere(Box<RunLayerDescribed<'a>>),
}

impl Cut<'_> {
    fn weight(&self) -> &str {
        match self {
            Self::Here(cut) => cut.weight(),
            Self::Graph(layer) => layer.weight(),
            Self::Elsewhere(found) => &found.layer.tensors.weight,
        }
    }

    /// What enters the layer's block; nothing where the layer does not follow from that.
    fn entrances(
        &self,
        model: &LoadedModel,
        set: &DataSet,
        stage: &dyn Stage,
    ) -> Result<Option<Entrances>, EngineError> {
        let progress = &mut |n| stage.advance(n as u64);
        match self {
            Self::Here(cut) => {
                let entrances = cut.entrances(set, &model.preprocessing, progress);
                entrances.map(Some).map_err(EngineError::net(model.id()))
            }
            Self::Graph(layer) => Ok(layer.entrances(model, set, progress)),
            Self::Elsewhere(found) => found.entrances(model, set, stage),
        }
    }
}

/// The samples of one label.
struct Class {
    label: String,
    set: DataSet,
}

impl Statistician<'_> {
    pub(super) fn activations(
        &self,
        model: &LoadedModel,
    ) -> Result<Option<ActivationStatistics>, EngineError> {
        let net = || EngineError::net(model.id());
        let Some((cut, bytes)) = self.cut(model)? else {
            return Ok(None);
        };
        let classes = self.classes(model)?;
        let title = format!("activations of {}", model.id());
        let total: usize = classes.iter().map(|class| class.set.len()).sum();
        let stage = self.engine.progress().stage(&title, total as u64);
        let mut statistics = ActivationStatistics {
            layer: cut.weight().to_owned(),
            shape: [0; 3],
            positions: None,
            elsewhere: match &cut {
                Cut::Elsewhere(found) => Some(described_layer::to_card(&found.layer)),
                _ => None,
            },
            classes: Vec::new(),
        };
        let count = classes.len();
        for class in classes {
            let entrances = cut.entrances(model, &class.set, stage.as_ref())?;
            let Some(entrances) = entrances else {
                return Ok(None);
            };
            statistics.shape = entrances.shape();
            statistics.positions = entrances.positions().map(to_card);
            let values = entrances.values().map_err(net())?;
            let Some(rank) = rank(bytes, count, values.cols()) else {
                return Ok(None);
            };
            let gaussian = LowRankGaussian::fit(values, rank, 0)
                .map_err(EngineError::fisher(model.id(), cut.weight()))?;
            statistics.classes.push(ClassActivations {
                label: class.label,
                samples: class.set.len() as u64,
                gaussian,
            });
        }
        Ok((!statistics.classes.is_empty()).then_some(statistics))
    }

    /// A model cut at its penultimate layer, and the bytes of its weights; nothing where that cannot be done.
    fn cut(&self, model: &LoadedModel) -> Result<Option<(Cut<'_>, usize)>, EngineError> {
        let registry = self.engine.registry();
        let size = |state: &StateDict| state.values().map(|array| array.values.len() * 4).sum();
        if !model.is_head_only() {
            let state = model.state(registry)?;
            let cut = Penultimate::new(&model.architecture, &state);
            let cut = cut.map_err(EngineError::net(model.id()))?;
            return Ok(cut.map(|cut| (Cut::Here(Box::new(cut)), size(&state))));
        }
        if let Some(runner) = runner_of(self.engine.runner(), self.train)? {
            let state = model.state(registry)?;
            let bytes = size(&state);
            let found = RunLayerDescribed::find(runner, state, model, self.train)?;
            return Ok(found.map(|found| (Cut::Elsewhere(Box::new(found)), bytes)));
        }
        if !format::is_graph(model)? {
            return Ok(None);
        }
        let features = self.engine.features(None);
        match GraphLayer::on_samples(registry, &features, model, self.train) {
            Ok(layer) => {
                let bytes = size(&layer.state);
                Ok(Some((Cut::Graph(Box::new(layer)), bytes)))
            }
            // A graph that does not run in pieces keeps the rest of its card.
            Err(Refusal::Reason(_) | Refusal::Error(EngineError::Net { .. })) => Ok(None),
            Err(Refusal::Error(error)) => Err(error),
        }
    }

    fn classes(&self, model: &LoadedModel) -> Result<Vec<Class>, EngineError> {
        let own = own_data(model.learned(), self.train)?;
        let mut inherited: Option<Vec<DataSet>> = None;
        let mut classes = Vec::new();
        for label in &model.manifest.labels {
            let set = of_label(&own, label);
            if set.len() >= FEWEST {
                classes.push(Class {
                    label: label.clone(),
                    set: set.sample(MOST, 0),
                });
                continue;
            }
            let before = match &inherited {
                Some(before) => before,
                None => inherited.insert(self.inherited(model)?),
            };
            let largest = before.iter().map(|set| of_label(set, label));
            let largest = largest.max_by_key(DataSet::len);
            if let Some(set) = largest.filter(|set| set.len() >= FEWEST) {
                classes.push(Class {
                    label: label.clone(),
                    set: set.sample(MOST, 0),
                });
            }
        }
        Ok(classes)
    }

    fn inherited(&self, model: &LoadedModel) -> Result<Vec<DataSet>, EngineError> {
        let ancestors = lineage(self.graph, model.id());
        let vertices = ancestors.iter().filter_map(|id| self.graph.get(id));
        vertices
            .map(|vertex| own_data(vertex, self.train))
            .collect()
    }
}

fn of_label(set: &DataSet, label: &str) -> DataSet {
    let names = set.label_names();
    set.filter(|own, _| names[own as usize] == label)
}

/// As many directions as keep the statistics of all classes, in half precision, below a model's size.
fn rank(bytes: usize, classes: usize, width: usize) -> Option<usize> {
    let rows = bytes / (2 * classes.max(1) * width.max(1));
    let rank = rows.saturating_sub(2).min(RANK);
    (rank >= FEWEST_DIRECTIONS).then_some(rank)
}

/// Draws of what enters the last block, so many of each class as `counts` says, one class after the
/// other.
pub(crate) fn drawn(
    statistics: &[(&ClassActivations, usize)],
    seed: u64,
) -> Result<Matrix, fiun::FisherError> {
    let mut values = Vec::new();
    let mut rows = 0;
    for (at, (class, count)) in statistics.iter().enumerate() {
        values.extend(class.gaussian.draw(*count, seed + at as u64)?.into_values());
        rows += count;
    }
    Matrix::new(rows, values.len() / rows.max(1), values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_stay_below_the_size_of_the_model() {
        assert_eq!(rank(400_000, 10, 100), Some(RANK));
        // 400,000 bytes hold ten rows for each of ten classes of 2,000 values: eight directions.
        assert_eq!(rank(400_000, 10, 2_000), Some(8));
        assert_eq!(rank(400_000, 100, 2_000), None);
    }
}
