//! The penultimate layer of a model that came as an ONNX graph.

use disinherit_data::{DataSet, Samples};
use disinherit_nets::{Activations, GraphCut, NetError, StateDict};
use fiun::{Correction, Matrix};

use super::layer::{FEW, Layer, Seen};
use super::refusal::Refusal;
use crate::error::EngineError;
use crate::form;
use crate::model::LoadedModel;
use crate::progress::{Progress, Silent, Stage};
use crate::work::Work;

/// How far features that follow from the stream may be from those of the whole graph, as a share of the
/// largest.
const TOLERANCE: f32 = 1e-3;

/// A layer of a graph whose weights are in its file.
pub(super) struct OfGraph<'a> {
    model: &'a LoadedModel,
    state: StateDict,
    cut: GraphCut,
}

impl<'a> OfGraph<'a> {
    /// The layer, tried on a few samples.
    pub(super) fn find(work: &Work<'_>, model: &'a LoadedModel) -> Result<Self, Refusal> {
        let train = &work.splits()?.train;
        if matches!(train.samples(), Samples::Features(_)) {
            return Err("the data has its features, and not what its graph reads".into());
        }
        let mut cut = form::cut_graph(work.registry(), model)?.map_err(Refusal::Reason)?;
        let state = model.state(work.registry())?;
        // Small tensors stay in the graph, where nothing changes them.
        cut.keep(&|name| state.contains_key(name));
        let name = &cut.tensors().weight;
        let Some(weight) = state.get(name) else {
            return Err(Refusal::Reason(format!(
                "`{name}` is a part of its graph and no tensor of its own"
            )));
        };
        let few: Vec<usize> = (0..train.len().min(FEW)).collect();
        let few = train.select(&few);
        let settled = cut.settle(&few, &model.preprocessing);
        settled.map_err(|error| unfit(&cut.tensors().weight, &error))?;
        let layer = Self {
            model,
            state: StateDict::new(),
            cut,
        };
        let seen = layer.run(few, Silent.stage("", 0).as_ref())?;
        if weight.values.len() != layer.scale().len() * seen.activations.depth() {
            return Err(Refusal::Reason(format!(
                "what `{}` reads does not have the size of its rows",
                layer.weight()
            )));
        }
        layer.check(work, &seen)?;
        Ok(Self { state, ..layer })
    }

    /// Whether the features follow from the stream alone.
    fn check(&self, work: &Work<'_>, seen: &Seen) -> Result<(), Refusal> {
        let places: Vec<usize> = (0..seen.set.len()).collect();
        let whole = work
            .features
            .capture(self.model, &seen.set, &Silent)?
            .features;
        let ours = self.cut.features(&seen.activations, None);
        let ours = ours.map_err(|error| unfit(self.weight(), &error))?;
        let most = whole
            .values()
            .iter()
            .fold(0.0f32, |most, v| most.max(v.abs()));
        let apart = ours.values().iter().zip(whole.values());
        let far = apart.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        match ours.rows() == places.len() && ours.cols() == whole.cols() && far <= TOLERANCE * most
        {
            true => Ok(()),
            false => Err(Refusal::Reason(format!(
                "its features do not follow from what `{}` writes alone",
                self.weight()
            ))),
        }
    }

    fn net(&self) -> impl FnOnce(NetError) -> EngineError {
        EngineError::net(self.model.id())
    }
}

/// Why a layer is not edited whose features cannot be had from the stream.
fn unfit(weight: &str, error: &NetError) -> Refusal {
    Refusal::Reason(format!(
        "what is above `{weight}` cannot be run alone: {error}"
    ))
}

impl Layer for OfGraph<'_> {
    fn weight(&self) -> &str {
        &self.cut.tensors().weight
    }

    fn scale(&self) -> &[f32] {
        self.cut.scale()
    }

    fn run(&self, set: DataSet, stage: &dyn Stage) -> Result<Seen, Refusal> {
        if set.is_empty() {
            return Err("there are no retained samples".into());
        }
        let done = &mut |n| stage.advance(n as u64);
        let activations: Result<Activations, NetError> =
            self.cut.run(&set, &self.model.preprocessing, done);
        let activations = activations.map_err(|error| match error {
            NetError::Data(reason) => Refusal::Reason(reason),
            error => self.net()(error).into(),
        })?;
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
        let changed = self.cut.tensors().corrected(&self.state, correction);
        changed.map_err(self.net())
    }

    fn tensors(&self) -> Vec<&str> {
        self.cut.tensors().names()
    }
}
