//! Networks that run elsewhere: in a program that uses the engine and has code and samples that the
//! engine has not.

use std::collections::BTreeMap;

use disinherit_data::{DataSet, Samples};
use disinherit_nets::{Activations, Capture, Compute, LayerTensors, Network, StateDict, capture};
use fiun::{FisherTensor, Matrix};

use crate::error::EngineError;
use crate::model::LoadedModel;
use crate::progress::Stage;

/// Runs models on external samples ([`Samples::External`]), which it knows by their ids.
///
/// Weights are given with every call, all of a model's floating-point tensors in single precision: they
/// may be ones that are tried and in no registry. Calls come from several threads.
pub trait Runner: Sync {
    /// The names of the parameters below the head that Fisher information can be computed of, as the
    /// model's tensors are named.
    ///
    /// # Errors
    /// [`EngineError`] when it cannot run the model.
    fn inner_tensors(&self, model: &LoadedModel) -> Result<Vec<String>, EngineError>;

    /// What goes into the head, `[samples, inputs]`, and what comes out of it, `[samples, outputs]`, in
    /// the order of the ids.
    ///
    /// # Errors
    /// [`EngineError`] when the run fails.
    fn capture(
        &self,
        model: &LoadedModel,
        weights: &StateDict,
        set: &DataSet,
        stage: &dyn Stage,
    ) -> Result<Capture, EngineError>;

    /// For each of the parameters in `wanted` the mean over samples of the squared gradient of the sum
    /// of `residuals` times logits. With the residuals of the cross-entropy (softmax minus one-hot,
    /// `[samples, outputs]`) that is the diagonal FIM.
    ///
    /// # Errors
    /// [`EngineError`] when the run fails.
    fn inner_fisher(
        &self,
        model: &LoadedModel,
        weights: &StateDict,
        set: &DataSet,
        residuals: &Matrix,
        wanted: &[String],
        stage: &dyn Stage,
    ) -> Result<BTreeMap<String, FisherTensor>, EngineError>;

    /// The layer of weights that writes the features, and what it reads and writes of the samples, in
    /// the order of the ids; or the reason, in words, why it cannot be edited.
    ///
    /// # Errors
    /// [`EngineError`] when the run fails.
    fn penultimate(
        &self,
        model: &LoadedModel,
        weights: &StateDict,
        set: &DataSet,
        stage: &dyn Stage,
    ) -> Result<Result<RunLayer, String>, EngineError>;
}

/// The penultimate layer of a network that runs elsewhere.
#[derive(Debug, Clone)]
pub struct RunLayer {
    /// Where a correction of it goes.
    pub tensors: LayerTensors,
    /// The factor between its output and the stream, by channel; 0 for a channel that is as good as
    /// switched off.
    pub scale: Vec<f32>,
    /// What it reads, and the stream.
    pub activations: Activations,
}

/// What runs networks on a data set whose samples are external.
///
/// # Errors
/// [`EngineError::NeedsData`] when nothing does.
pub(crate) fn runner_of<'a>(
    runner: Option<&'a dyn Runner>,
    set: &DataSet,
) -> Result<Option<&'a dyn Runner>, EngineError> {
    match (set.samples(), runner) {
        (Samples::External, None) => Err(EngineError::NeedsData {
            why: format!(
                "the samples of `{}` are external, and nothing here runs networks on them",
                set.name()
            ),
            hint: None,
        }),
        (Samples::External, runner) => Ok(runner),
        _ => Ok(None),
    }
}

/// What weights in the network of a model make of a data set, wherever it runs.
///
/// # Errors
/// [`EngineError`] when the data does not fit the network, or the run fails.
pub(crate) fn run_weights(
    runner: Option<&dyn Runner>,
    compute: Compute,
    model: &LoadedModel,
    weights: &StateDict,
    set: &DataSet,
    stage: &dyn Stage,
) -> Result<Capture, EngineError> {
    if let Some(runner) = runner_of(runner, set)? {
        return runner.capture(model, weights, set, stage);
    }
    let network = Network::new(&model.architecture, weights, compute)
        .map_err(EngineError::net(model.id()))?;
    capture(&network, set, &model.preprocessing, &mut |n| {
        stage.advance(n as u64);
    })
    .map_err(EngineError::net(model.id()))
}
