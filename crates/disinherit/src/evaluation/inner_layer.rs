//! What an inner layer makes of an evaluation set: the input of the penultimate layer, below which no
//! edit goes.

use disinherit_data::{DataSet, Samples};
use disinherit_nets::{Penultimate, StateDict};
use fiun::Matrix;

use super::evaluation_set::EvaluationSet;
use crate::engine::Engine;
use crate::error::EngineError;

/// The activations of one inner layer.
pub(super) struct InnerLayer {
    /// The weight that reads them.
    pub(super) layer: String,
    /// Of the model's own samples, `[samples, channels]`: the mean over the map for a convolution.
    pub(super) own: Matrix,
    /// Of held-out samples.
    pub(super) heldout: Matrix,
}

/// Runs an evaluation set up to the penultimate layer; nothing where the network is not run here or
/// has no such layer.
pub(super) fn inner_layer(
    engine: &Engine<'_>,
    set: &EvaluationSet,
    state: &StateDict,
) -> Result<Option<InnerLayer>, EngineError> {
    let model = &set.model;
    let elsewhere = |set: &DataSet| *set.samples() == Samples::External;
    if model.is_head_only() || elsewhere(&set.own.set) || elsewhere(&set.heldout.set) {
        return Ok(None);
    }
    let net = || EngineError::net(model.id());
    let cut = Penultimate::new(&model.architecture, state, engine.compute()).map_err(net())?;
    let Some(cut) = cut else {
        return Ok(None);
    };
    let means = |set: &DataSet| -> Result<Matrix, EngineError> {
        let activations = cut.run(set, &model.preprocessing, &mut |_| {});
        Ok(activations.map_err(net())?.mean_inputs())
    };
    Ok(Some(InnerLayer {
        own: means(&set.own.set)?,
        heldout: means(&set.heldout.set)?,
        layer: cut.weight().to_owned(),
    }))
}
