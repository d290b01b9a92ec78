//! The penultimate layer of a network that runs in this program.

use disinherit_data::DataSet;
use disinherit_nets::{Activations, Entrances, Penultimate, StateDict};
use fiun::{Correction, Matrix};

use super::layer::{Layer, Seen};
use crate::error::EngineError;
use crate::model::LoadedModel;
use crate::progress::Stage;
use crate::refusal::Refusal;
use crate::work::Work;

/// A layer of a network that runs in this program.
pub(super) struct Here<'a> {
    model: &'a LoadedModel,
    state: StateDict,
    cut: Penultimate,
}

impl<'a> Here<'a> {
    /// A network cut at its penultimate layer.
    pub(super) fn cut(work: &Work<'_>, model: &'a LoadedModel) -> Result<Self, Refusal> {
        let state = model.state(work.registry())?;
        let cut = Penultimate::new(&model.architecture, &state);
        let cut = cut.map_err(EngineError::net(model.id()))?;
        let cut = cut.ok_or("it has no layer of weights below its head that is a matrix")?;
        Ok(Self { model, state, cut })
    }

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

    fn state(&self) -> Option<&StateDict> {
        Some(&self.state)
    }

    fn entrances(&self, set: &DataSet) -> Result<Option<Entrances>, EngineError> {
        let entrances = self
            .cut
            .entrances(set, &self.model.preprocessing, &mut |_| {});
        entrances.map(Some).map_err(self.net())
    }

    fn behind(&self, entrances: &Entrances) -> Result<Option<Activations>, Refusal> {
        let behind = self.cut.behind(entrances).map_err(self.net())?;
        Ok(Some(behind))
    }
}
