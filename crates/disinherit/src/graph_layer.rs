//! The last layer of weights below the head of a model that came as an ONNX graph, found and tried.

use disinherit_data::{DataSet, Samples};
use disinherit_nets::{Activations, Entrances, GraphCut, NetError, Positions, StateDict, agrees};
use disinherit_registry::{KeptPositions, Registry};

use crate::error::EngineError;
use crate::features::Features;
use crate::format;
use crate::model::LoadedModel;
use crate::progress::Silent;
use crate::refusal::Refusal;

/// Samples that a layer of a network whose operations are not known is tried on.
pub(crate) const FEW: usize = 8;

/// A layer of a graph whose weights are in its file.
pub(crate) struct GraphLayer {
    pub(crate) cut: GraphCut,
    /// The model's tensors.
    pub(crate) state: StateDict,
    /// Whether all that it reads and becomes part of follows from what enters its block.
    enters: bool,
}

impl GraphLayer {
    /// The layer, tried on a few of some samples.
    ///
    /// # Errors
    /// [`Refusal::Reason`] for a layer that cannot be edited.
    pub(crate) fn on_samples(
        registry: &Registry,
        features: &Features<'_>,
        model: &LoadedModel,
        set: &DataSet,
    ) -> Result<Self, Refusal> {
        if matches!(set.samples(), Samples::Features(_)) {
            return Err("the data has its features, and not what its graph reads".into());
        }
        let mut layer = Self::of_file(registry, model)?;
        let few: Vec<usize> = (0..set.len().min(FEW)).collect();
        let few = set.select(&few);
        let settled = layer.cut.settle(&few, &model.preprocessing);
        settled.map_err(|error| layer.unfit(&error))?;
        let seen = layer.run(model, &few, &mut |_| {})?;
        layer.check_rows(&seen)?;
        layer.check_features(features, model, &few, &seen)?;
        layer.enters = true;
        let entrances = layer.entrances(model, &few, &mut |_| {});
        layer.enters = entrances.is_some_and(|entrances| layer.cut.follows(&entrances, &seen));
        Ok(layer)
    }

    /// The layer, as it was tried when statistics of what enters its block were made, at these positions of a
    /// sequence.
    ///
    /// # Errors
    /// As [`GraphLayer::on_samples`].
    pub(crate) fn as_described(
        registry: &Registry,
        model: &LoadedModel,
        positions: Option<&KeptPositions>,
    ) -> Result<Self, Refusal> {
        let mut layer = Self::of_file(registry, model)?;
        let settled = layer.cut.settle_as(positions.map(from_card));
        settled.map_err(|error| layer.unfit(&error))?;
        layer.enters = true;
        Ok(layer)
    }

    /// The layer, not tried yet.
    fn of_file(registry: &Registry, model: &LoadedModel) -> Result<Self, Refusal> {
        let mut cut = format::cut_graph(registry, model)?.map_err(Refusal::Reason)?;
        let state = model.state(registry)?;
        // Small tensors stay in the graph, where nothing changes them.
        cut.keep(&|name| state.contains_key(name));
        let name = &cut.tensors().weight;
        if !state.contains_key(name) {
            return Err(Refusal::Reason(format!(
                "`{name}` is a part of its graph and no tensor of its own"
            )));
        }
        Ok(Self {
            cut,
            state,
            enters: false,
        })
    }

    /// The name of its weight.
    pub(crate) fn weight(&self) -> &str {
        &self.cut.tensors().weight
    }

    /// Runs samples up to what its output becomes part of.
    ///
    /// # Errors
    /// [`Refusal::Reason`] for samples that do not fit.
    pub(crate) fn run(
        &self,
        model: &LoadedModel,
        set: &DataSet,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Activations, Refusal> {
        let activations = self.cut.run(set, &model.preprocessing, progress);
        activations.map_err(|error| match error {
            NetError::Data(reason) => Refusal::Reason(reason),
            error => EngineError::net(model.id())(error).into(),
        })
    }

    /// What enters its block of some samples; nothing where the layer does not follow from that, or where it cannot
    /// be had: values of another kind than the layer's, or sequences of different lengths.
    pub(crate) fn entrances(
        &self,
        model: &LoadedModel,
        set: &DataSet,
        progress: &mut dyn FnMut(usize),
    ) -> Option<Entrances> {
        if !self.enters {
            return None;
        }
        let entrances = self.cut.entrances(set, &model.preprocessing, progress);
        entrances.ok().flatten()
    }

    /// What follows from draws of what enters its block.
    ///
    /// # Errors
    /// [`Refusal::Reason`] for draws that do not fit.
    pub(crate) fn behind(&self, entrances: &Entrances) -> Result<Option<Activations>, Refusal> {
        if !self.enters {
            return Ok(None);
        }
        let behind = self.cut.behind(entrances);
        let behind = behind.map_err(|error| {
            Refusal::Reason(format!(
                "`{}` cannot be run on draws: {error}",
                self.weight()
            ))
        })?;
        if let Some(activations) = &behind {
            self.check_rows(activations)?;
        }
        Ok(behind)
    }

    /// Whether the layer reads as many values as its rows have.
    fn check_rows(&self, seen: &Activations) -> Result<(), Refusal> {
        let weight = self.state.get(self.weight()).map(|w| w.values.len());
        match weight == Some(self.cut.scale().len() * seen.depth()) {
            true => Ok(()),
            false => Err(Refusal::Reason(format!(
                "what `{}` reads does not have the size of its rows",
                self.weight()
            ))),
        }
    }

    /// Whether the features follow from the stream alone.
    fn check_features(
        &self,
        features: &Features<'_>,
        model: &LoadedModel,
        set: &DataSet,
        seen: &Activations,
    ) -> Result<(), Refusal> {
        let whole = features.capture(model, set, &Silent)?.features;
        let ours = self.cut.features(seen, None);
        let ours = ours.map_err(|error| self.unfit(&error))?;
        match ours.rows() == set.len() && agrees(ours.values(), whole.values()) {
            true => Ok(()),
            false => Err(Refusal::Reason(format!(
                "its features do not follow from what `{}` writes alone",
                self.weight()
            ))),
        }
    }

    /// Why a layer is not edited whose features cannot be had from the stream.
    fn unfit(&self, error: &NetError) -> Refusal {
        Refusal::Reason(format!(
            "what is above `{}` cannot be run alone: {error}",
            self.weight()
        ))
    }
}

/// Positions as a card has them.
pub(crate) fn to_card(positions: &Positions) -> KeptPositions {
    KeptPositions {
        length: positions.length,
        kept: positions.kept.clone(),
    }
}

/// Positions as a network has them.
pub(crate) fn from_card(positions: &KeptPositions) -> Positions {
    Positions {
        length: positions.length,
        kept: positions.kept.clone(),
    }
}

/// Why a graph's card can keep no activation statistics, where its file says so.
///
/// # Errors
/// [`EngineError`] when it cannot be read.
pub(crate) fn undescribed(
    registry: &Registry,
    model: &LoadedModel,
) -> Result<Option<String>, EngineError> {
    match GraphLayer::of_file(registry, model) {
        Ok(layer) if layer.cut.has_entrance() => Ok(None),
        Ok(layer) => Ok(Some(format!(
            "no one value of its graph leads to all that `{}` reads and becomes part of",
            layer.weight()
        ))),
        Err(Refusal::Reason(reason)) => Ok(Some(reason)),
        Err(Refusal::Error(error)) => Err(error),
    }
}
