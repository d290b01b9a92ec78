//! The penultimate layer of a network that runs elsewhere, described for a card, and read from one.

use disinherit_data::DataSet;
use disinherit_nets::{DescribedLayer, Entrances, LayerTensors, NetError, StateDict, Window};
use disinherit_registry::RunElsewhere;

use crate::error::EngineError;
use crate::graph_layer::FEW;
use crate::model::LoadedModel;
use crate::progress::{Progress, Silent, Stage};
use crate::runner::Runner;

/// A layer whose network a [`Runner`] runs, with what leads from its stream to the features.
pub(crate) struct RunLayerDescribed<'a> {
    runner: &'a dyn Runner,
    /// The model's tensors.
    pub(crate) state: StateDict,
    /// What is known of it.
    pub(crate) layer: DescribedLayer,
}

impl<'a> RunLayerDescribed<'a> {
    /// The layer, found on a few of some samples; nothing where it cannot be edited, or where its stream does not
    /// lead to the features by steps that are known here.
    ///
    /// # Errors
    /// [`EngineError`] when the run fails.
    pub(crate) fn find(
        runner: &'a dyn Runner,
        state: StateDict,
        model: &LoadedModel,
        set: &DataSet,
    ) -> Result<Option<Self>, EngineError> {
        let few: Vec<usize> = (0..set.len().min(FEW)).collect();
        let few = set.select(&few);
        let stage = Silent.stage("", 0);
        let Ok(found) = runner.penultimate(model, &state, &few, stage.as_ref())? else {
            return Ok(None);
        };
        let features = runner
            .capture(model, &state, &few, stage.as_ref())?
            .features;
        let layer = DescribedLayer::found(
            found.tensors,
            found.scale,
            &found.activations,
            &features,
            &state,
        );
        let layer = layer.map_err(EngineError::net(model.id()))?;
        Ok(layer.map(|layer| Self {
            runner,
            state,
            layer,
        }))
    }

    /// What the layer reads of some samples, and what its output is added to; nothing where samples differ in
    /// what can be said of them.
    ///
    /// # Errors
    /// [`EngineError`] when the run fails.
    pub(crate) fn entrances(
        &self,
        model: &LoadedModel,
        set: &DataSet,
        stage: &dyn Stage,
    ) -> Result<Option<Entrances>, EngineError> {
        let found = self.runner.penultimate(model, &self.state, set, stage)?;
        let same = found
            .ok()
            .filter(|found| found.tensors.weight == self.layer.tensors.weight);
        let entrances = same.map(|found| self.layer.entrances(&found.activations, &self.state));
        Ok(entrances.and_then(Result::ok))
    }
}

/// A layer as a card has it.
pub(crate) fn to_card(layer: &DescribedLayer) -> RunElsewhere {
    let tensors = &layer.tensors;
    let window = layer.window;
    RunElsewhere {
        transposed: tensors.transposed,
        bias: tensors.bias.clone(),
        shift: tensors.shift.clone(),
        scale: layer.scale.clone(),
        reads: layer.reads,
        stream: layer.stream,
        window: [window.kernel, window.stride, window.padding],
        above: layer.above.iter().map(ToString::to_string).collect(),
    }
}

/// A layer as it is run here.
///
/// # Errors
/// [`NetError`] for a step that is not known.
pub(crate) fn from_card(
    weight: &str,
    described: &RunElsewhere,
) -> Result<DescribedLayer, NetError> {
    let [kernel, stride, padding] = described.window;
    let above = described.above.iter().map(|step| step.parse());
    Ok(DescribedLayer {
        tensors: LayerTensors {
            weight: weight.to_owned(),
            transposed: described.transposed,
            bias: described.bias.clone(),
            shift: described.shift.clone(),
        },
        scale: described.scale.clone(),
        reads: described.reads,
        stream: described.stream,
        window: Window {
            kernel,
            stride,
            padding,
        },
        above: above.collect::<Result<_, _>>()?,
    })
}
