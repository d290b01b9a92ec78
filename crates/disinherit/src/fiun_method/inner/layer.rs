//! The penultimate layer of a model, wherever its network runs: in this program, or by a [`Runner`].

use disinherit_data::DataSet;
use disinherit_nets::{Activations, Entrances, LayerTensors, Penultimate, StateDict};
use fiun::{Correction, Matrix};

use super::refusal::Refusal;
use crate::error::EngineError;
use crate::model::LoadedModel;
use crate::progress::{Progress, Silent, Stage};
use crate::runner::{RunLayer, Runner, runner_of};
use crate::work::Work;

/// Samples that the layer of a network elsewhere is found on.
const FEW: usize = 8;

/// Samples that were run.
pub(super) struct Seen {
    pub(super) set: DataSet,
    /// What the layer reads and writes of them.
    pub(super) activations: Activations,
}

/// The layer below the head that is edited.
pub(super) trait Layer {
    /// The name of its weight.
    fn weight(&self) -> &str;

    /// The factor between its output and the stream, by channel; 0 for a channel that is as good as
    /// switched off.
    fn scale(&self) -> &[f32];

    /// Runs samples up to what its output becomes part of.
    fn run(&self, set: DataSet, stage: &dyn Stage) -> Result<Seen, Refusal>;

    /// The features of samples that were run, `[places, inputs of the head]`, after a correction of the
    /// layer; those of the network as it is without one.
    fn features(
        &self,
        seen: &Seen,
        places: &[usize],
        correction: Option<&Correction>,
    ) -> Result<Matrix, EngineError>;

    /// The tensors that a correction changes, with their new values.
    fn corrected(&self, correction: &Correction) -> Result<StateDict, EngineError>;

    /// The names of the tensors that a correction changes.
    fn tensors(&self) -> Vec<&str>;

    /// What follows from draws of what enters the layer's block; nothing of a network that runs elsewhere.
    fn behind(&self, _entrances: &Entrances) -> Result<Option<Activations>, EngineError> {
        Ok(None)
    }
}

/// The penultimate layer of a model.
pub(super) fn open<'a>(
    work: &'a Work<'a>,
    model: &'a LoadedModel,
) -> Result<Box<dyn Layer + 'a>, Refusal> {
    let runner = match work.engine.data() {
        Some(splits) => runner_of(work.features.runner(), &splits.train)?,
        None => None,
    };
    if runner.is_none() && model.is_head_only() {
        return Err("what lies below its head is not run here".into());
    }
    let state = model.state(work.registry())?;
    if let Some(runner) = runner {
        return Ok(Box::new(Elsewhere::find(runner, work, model, state)?));
    }
    let compute = work.compute();
    let cut = Penultimate::new(&model.architecture, &state, compute);
    let cut = cut.map_err(EngineError::net(model.id()))?;
    let cut = cut.ok_or("it has no layer of weights below its head that is a matrix")?;
    Ok(Box::new(Here { model, state, cut }))
}

/// A layer of a network that runs in this program.
struct Here<'a> {
    model: &'a LoadedModel,
    state: StateDict,
    cut: Penultimate,
}

impl Here<'_> {
    fn net(&self) -> impl FnOnce(disinherit_nets::NetError) -> EngineError {
        EngineError::net(self.model.id())
    }
}

impl Layer for Here<'_> {
    fn weight(&self) -> &str {
        self.cut.weight()
    }

    fn scale(&self) -> &[f32] {
        self.cut.scale()
    }

    fn run(&self, set: DataSet, stage: &dyn Stage) -> Result<Seen, Refusal> {
        let done = &mut |n| stage.advance(n as u64);
        let activations = self.cut.run(&set, &self.model.preprocessing, done);
        let activations = activations.map_err(self.net())?;
        Ok(Seen { set, activations })
    }

    fn features(
        &self,
        seen: &Seen,
        places: &[usize],
        correction: Option<&Correction>,
    ) -> Result<Matrix, EngineError> {
        let activations = seen.activations.select(places);
        let features = self.cut.features(&activations, correction);
        features.map_err(self.net())
    }

    fn corrected(&self, correction: &Correction) -> Result<StateDict, EngineError> {
        let changed = self.cut.corrected(&self.state, correction);
        changed.map_err(self.net())
    }

    fn tensors(&self) -> Vec<&str> {
        self.cut.tensors().names()
    }

    fn behind(&self, entrances: &Entrances) -> Result<Option<Activations>, EngineError> {
        self.cut.behind(entrances).map(Some).map_err(self.net())
    }
}

/// A layer of a network that runs elsewhere. It is the whole network that makes features of corrected
/// weights there.
struct Elsewhere<'a> {
    runner: &'a dyn Runner,
    model: &'a LoadedModel,
    state: StateDict,
    tensors: LayerTensors,
    scale: Vec<f32>,
}

impl<'a> Elsewhere<'a> {
    /// The layer, found on a few samples.
    fn find(
        runner: &'a dyn Runner,
        work: &Work<'_>,
        model: &'a LoadedModel,
        state: StateDict,
    ) -> Result<Self, Refusal> {
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
