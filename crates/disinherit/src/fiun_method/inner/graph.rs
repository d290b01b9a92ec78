//! The penultimate layer of a model that came as an ONNX graph.

use disinherit_data::DataSet;
use disinherit_nets::{Activations, Entrances, NetError, StateDict};
use fiun::{Correction, Matrix};

use super::drawn::{NONE, statistics};
use super::layer::{Layer, Seen};
use crate::error::EngineError;
use crate::graph_layer::GraphLayer;
use crate::model::LoadedModel;
use crate::progress::Stage;
use crate::refusal::Refusal;
use crate::work::Work;

/// A layer of a graph whose weights are in its file.
pub(super) struct OfGraph<'a> {
    model: &'a LoadedModel,
    layer: GraphLayer,
}

impl<'a> OfGraph<'a> {
    /// The layer, tried on a few samples; without data as the model's card describes it.
    pub(super) fn find(work: &Work<'_>, model: &'a LoadedModel) -> Result<Self, Refusal> {
        let registry = work.registry();
        let layer = match work.engine.data() {
            Some(splits) => GraphLayer::on_samples(registry, work.features, model, &splits.train)?,
            None => {
                let described = statistics(work, model)?.ok_or(NONE)?;
                GraphLayer::as_described(registry, model, described.positions.as_ref())?
            }
        };
        Ok(Self { model, layer })
    }

    fn net(&self) -> impl FnOnce(NetError) -> EngineError {
        EngineError::net(self.model.id())
    }
}

impl Layer for OfGraph<'_> {
    fn weight(&self) -> &str {
        self.layer.weight()
    }

    fn scale(&self) -> &[f32] {
        self.layer.cut.scale()
    }

    fn run(&self, set: DataSet, stage: &dyn Stage) -> Result<Seen, Refusal> {
        if set.is_empty() {
            return Err("there are no retained samples".into());
        }
        let done = &mut |n| stage.advance(n as u64);
        let activations = self.layer.run(self.model, &set, done)?;
        Ok(Seen { set, activations })
    }

    fn features(
        &self,
        seen: &Seen,
        places: &[usize],
        correction: Option<&Correction>,
    ) -> Result<Matrix, EngineError> {
        let activations = seen.activations.select(places);
        let features = self.layer.cut.features(&activations, correction);
        features.map_err(self.net())
    }

    fn corrected(&self, correction: &Correction) -> Result<StateDict, EngineError> {
        let tensors = self.layer.cut.tensors();
        let changed = tensors.corrected(&self.layer.state, correction);
        changed.map_err(self.net())
    }

    fn tensors(&self) -> Vec<&str> {
        self.layer.cut.tensors().names()
    }

    fn entrances(&self, set: &DataSet) -> Result<Option<Entrances>, EngineError> {
        Ok(self.layer.entrances(self.model, set, &mut |_| {}))
    }

    fn behind(&self, entrances: &Entrances) -> Result<Option<Activations>, Refusal> {
        self.layer.behind(entrances)
    }
}
