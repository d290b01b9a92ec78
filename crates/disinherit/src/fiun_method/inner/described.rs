//! The penultimate layer of a network that runs elsewhere, as the model's card describes it: what lies above it is
//! run here, on draws.

use disinherit_data::DataSet;
use disinherit_nets::{Activations, DescribedLayer, Entrances, NetError, StateDict};
use disinherit_registry::RunElsewhere;
use fiun::{Correction, Matrix};

use super::layer::{Layer, Seen};
use crate::described_layer::from_card;
use crate::error::EngineError;
use crate::model::LoadedModel;
use crate::progress::Stage;
use crate::refusal::Refusal;
use crate::work::Work;

/// A layer that a card describes.
pub(super) struct Described<'a> {
    model: &'a LoadedModel,
    state: StateDict,
    layer: DescribedLayer,
}

impl<'a> Described<'a> {
    /// The layer, with the model's weights as they are.
    pub(super) fn new(
        work: &Work<'_>,
        model: &'a LoadedModel,
        weight: &str,
        described: &RunElsewhere,
    ) -> Result<Self, Refusal> {
        let state = model.state(work.registry())?;
        let layer = from_card(weight, described);
        let layer = layer.and_then(|layer| layer.check(&state).map(|()| layer));
        let layer = layer.map_err(|error| {
            Refusal::Reason(format!(
                "its FIM card describes another layer than its own: {error}"
            ))
        })?;
        Ok(Self {
            model,
            state,
            layer,
        })
    }

    fn net(&self) -> impl FnOnce(NetError) -> EngineError {
        EngineError::net(self.model.id())
    }
}

impl Layer for Described<'_> {
    fn weight(&self) -> &str {
        &self.layer.tensors.weight
    }

    fn scale(&self) -> &[f32] {
        &self.layer.scale
    }

    fn run(&self, _: DataSet, _: &dyn Stage) -> Result<Seen, Refusal> {
        Err("its network is not run here".into())
    }

    fn features(
        &self,
        seen: &Seen,
        places: &[usize],
        correction: Option<&Correction>,
    ) -> Result<Matrix, EngineError> {
        let activations = seen.activations.select(places);
        let features = self.layer.features(&activations, correction, &self.state);
        features.map_err(self.net())
    }

    fn corrected(&self, correction: &Correction) -> Result<StateDict, EngineError> {
        let changed = self.layer.tensors.corrected(&self.state, correction);
        changed.map_err(self.net())
    }

    fn tensors(&self) -> Vec<&str> {
        self.layer.tensors.names()
    }

    fn behind(&self, entrances: &Entrances) -> Result<Option<Activations>, Refusal> {
        let behind = self.layer.behind(entrances, &self.state);
        let behind = behind.map_err(|error| {
            Refusal::Reason(format!(
                "`{}` cannot be run on draws: {error}",
                self.weight()
            ))
        })?;
        Ok(Some(behind))
    }

    fn is_described(&self) -> bool {
        true
    }
}
