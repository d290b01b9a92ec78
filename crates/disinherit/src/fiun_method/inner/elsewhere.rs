//! The penultimate layer of a network that a [`Runner`] runs.

use disinherit_data::DataSet;
use disinherit_nets::{Activations, LayerTensors, StateDict};
use fiun::{Correction, Matrix};

use super::layer::{Layer, Seen};
use crate::error::EngineError;
use crate::graph_layer::FEW;
use crate::model::LoadedModel;
use crate::progress::{Progress, Silent, Stage};
use crate::refusal::Refusal;
use crate::runner::{RunLayer, Runner};
use crate::work::Work;

/// A layer of a network that runs elsewhere. It is the whole network that makes features of corrected
/// weights there.
pub(super) struct Elsewhere<'a> {
    runner: &'a dyn Runner,
    model: &'a LoadedModel,
    state: StateDict,
    tensors: LayerTensors,
    scale: Vec<f32>,
}

impl<'a> Elsewhere<'a> {
    /// The layer, found on a few samples.
    pub(super) fn find(
        runner: &'a dyn Runner,
        work: &Work<'_>,
        model: &'a LoadedModel,
    ) -> Result<Self, Refusal> {
        let state = model.state(work.registry())?;
        let train = &work.splits()?.train;
        let few: Vec<usize> = (0..train.len().min(FEW)).collect();
        let stage = Silent.stage("", 0);
        let found = runner.penultimate(model, &state, &train.select(&few), stage.as_ref())?;
        let RunLayer { tensors, scale, .. } = found.map_err(Refusal::Reason)?;
        Ok(Self {
            runner,
            model,
            state,
            tensors,
            scale,
        })
    }

    fn refuse(&self, reason: String) -> EngineError {
        EngineError::NotRunnable {
            model: self.model.id().clone(),
            reason,
        }
    }

    /// Whether the model's tensors have the shapes that a correction has.
    fn check(&self, activations: &Activations) -> Result<(), EngineError> {
        let channels = self.scale.len();
        let (bias, shift) = (&self.tensors.bias, &self.tensors.shift);
        let wanted = [
            (Some(&self.tensors.weight), channels * activations.depth()),
            (bias.as_ref(), channels),
            (shift.as_ref().map(|(name, _)| name), channels),
        ];
        for (name, count) in wanted {
            let Some(name) = name else { continue };
            let found = self.state.get(name).map(|array| array.values.len());
            if found != Some(count) {
                let found = found.map_or("is not there".into(), |n| format!("has {n} values"));
                return Err(self.refuse(format!(
                    "a correction of its penultimate layer has {count} values for `{name}`, which {found}"
                )));
            }
        }
        let factors = shift
            .as_ref()
            .map_or(channels, |(_, factors)| factors.len());
        let stream = activations
            .stream()
            .map_err(EngineError::net(self.model.id()))?;
        match factors == channels && stream.cols() == channels {
            true => Ok(()),
            false => Err(self.refuse(format!(
                "its penultimate layer has {channels} channels, but the stream {} and the batch norm \
                 {factors}",
                stream.cols()
            ))),
        }
    }
}

impl Layer for Elsewhere<'_> {
    fn weight(&self) -> &str {
        &self.tensors.weight
    }

    fn scale(&self) -> &[f32] {
        &self.scale
    }

    fn run(&self, set: DataSet, stage: &dyn Stage) -> Result<Seen, Refusal> {
        let found = self
            .runner
            .penultimate(self.model, &self.state, &set, stage)?;
        let layer = found.map_err(Refusal::Reason)?;
        if layer.tensors.weight != self.tensors.weight {
            return Err(Refusal::Reason(format!(
                "its last weights below the head are `{}` for some samples and `{}` for others",
                self.tensors.weight, layer.tensors.weight
            )));
        }
        self.check(&layer.activations)?;
        Ok(Seen {
            set,
            activations: layer.activations,
        })
    }

    fn features(
        &self,
        seen: &Seen,
        places: &[usize],
        correction: Option<&Correction>,
    ) -> Result<Matrix, EngineError> {
        let mut weights = self.state.clone();
        if let Some(correction) = correction {
            weights.extend(self.corrected(correction)?);
        }
        let (set, stage) = (seen.set.select(places), Silent.stage("", 0));
        let captured = self
            .runner
            .capture(self.model, &weights, &set, stage.as_ref())?;
        Ok(captured.features)
    }

    fn tensors(&self) -> Vec<&str> {
        self.tensors.names()
    }

    fn corrected(&self, correction: &Correction) -> Result<StateDict, EngineError> {
        let changed = self.tensors.corrected(&self.state, correction);
        changed.map_err(EngineError::net(self.model.id()))
    }
}
