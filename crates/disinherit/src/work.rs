//! What a method works with while the plan is executed.

use std::collections::{BTreeMap, BTreeSet};

use disinherit_data::{DataSet, Splits};
use disinherit_formats::Tensor;
use disinherit_nets::{Compute, StateDict};
use disinherit_registry::Registry;
use umig::{Forget, Model, ModelId, Scope, Umig};

use crate::cards::source::{CardUse, ForgetFisher};
use crate::engine::Engine;
use crate::error::{EngineError, Hint};
use crate::features::Features;
use crate::layers::Selected;
use crate::model::LoadedModel;
use crate::progress::Progress;
use crate::provenance::{forget_samples, own_samples};

/// A request while it is executed: what it is about, what is at hand, and what finished tasks made.
pub struct Work<'a> {
    pub(crate) engine: &'a Engine<'a>,
    pub(crate) features: &'a Features<'a>,
    pub(crate) graph: &'a Umig,
    pub(crate) scope: &'a Scope,
    pub(crate) forget: &'a Forget,
    /// Every touched model, opened once.
    pub(crate) models: &'a BTreeMap<ModelId, LoadedModel>,
    /// The tensors that a method with Fisher information works on.
    pub(crate) selected: &'a BTreeMap<ModelId, Selected>,
    /// The cards that edits read.
    pub(crate) cards: BTreeMap<ModelId, CardUse>,
    /// The FIMs of the forget data on the initial models.
    pub(crate) forget_fishers: BTreeMap<ModelId, ForgetFisher>,
    /// What changes in initial models, for descendants to copy.
    pub(crate) differences: BTreeMap<ModelId, StateDict>,
    /// What changed in models that others wait for.
    pub(crate) edited: BTreeMap<ModelId, BTreeMap<String, Tensor>>,
}

impl<'a> Work<'a> {
    /// The registry.
    pub fn registry(&self) -> &Registry {
        self.engine.registry()
    }

    /// The graph as it was when the request was prepared.
    pub fn graph(&self) -> &'a Umig {
        self.graph
    }

    /// The models that the request touches, as the method sees them.
    pub fn scope(&self) -> &'a Scope {
        self.scope
    }

    /// What is forgotten.
    pub fn forget(&self) -> &'a Forget {
        self.forget
    }

    /// Where networks run.
    pub fn compute(&self) -> Compute {
        self.engine.compute()
    }

    /// Where long work is shown.
    pub fn progress(&self) -> &'a dyn Progress {
        self.engine.progress()
    }

    /// The data.
    ///
    /// # Errors
    /// [`EngineError::NeedsData`] when there is none.
    pub fn splits(&self) -> Result<&'a Splits, EngineError> {
        self.engine.data().ok_or_else(|| EngineError::NeedsData {
            why: "this works on training data, and none was given".into(),
            hint: Some(Hint::GiveData),
        })
    }

    /// A touched model.
    ///
    /// # Errors
    /// [`EngineError::UnknownModel`] for one that the request does not touch.
    pub fn model(&self, id: &ModelId) -> Result<&'a LoadedModel, EngineError> {
        self.models
            .get(id)
            .ok_or_else(|| EngineError::UnknownModel {
                name: id.to_string(),
                near: None,
            })
    }

    /// What changes in an initial model, where that task is done.
    pub fn difference(&self, id: &ModelId) -> Option<&StateDict> {
        self.differences.get(id)
    }

    /// A model's weights: as its edit left them where the method waits for it, else as they are.
    ///
    /// # Errors
    /// [`EngineError`] when the model cannot be read.
    pub fn current_state(&self, id: &ModelId) -> Result<(StateDict, Vec<String>), EngineError> {
        let opened;
        let model = match self.models.get(id) {
            Some(model) => model,
            None => {
                opened = LoadedModel::open(self.registry(), self.graph, id)?;
                &opened
            }
        };
        let mut state = model.state(self.registry())?;
        if let Some(changed) = self.edited.get(id) {
            state = model.edited_state(state, changed);
        }
        Ok((state, model.manifest.labels.clone()))
    }

    /// The samples that a model was trained on itself.
    pub(crate) fn own(&self, model: &LoadedModel) -> Result<DataSet, EngineError> {
        own_samples(self.engine.data(), &model.vertex)
    }

    /// A model's own training samples that are to be forgotten, if the data has any.
    pub(crate) fn forget_data(&self, vertex: &Model) -> Option<DataSet> {
        forget_samples(self.engine.data(), vertex, self.forget)
    }

    /// The forget samples that a model learnt, itself or through the initial models that reach it, of
    /// labels that it has.
    ///
    /// # Errors
    /// [`EngineError::NeedsData`] when there is no data.
    pub fn forget_reaching(&self, model: &LoadedModel) -> Result<DataSet, EngineError> {
        let mut ids = BTreeSet::new();
        let reached = self.reached_by(model.id());
        for id in reached.iter().chain([model.id()]) {
            let vertex = self.graph.get(id);
            if let Some(forget) = vertex.and_then(|vertex| self.forget_data(vertex)) {
                ids.extend(forget.ids().iter().cloned());
            }
        }
        let train = &self.splits()?.train;
        Ok(model.known(&train.filter(|_, id| ids.contains(id))))
    }

    /// The initial models that reach a model.
    pub(crate) fn reached_by(&self, id: &ModelId) -> BTreeSet<ModelId> {
        self.scope.reached_by.get(id).cloned().unwrap_or_default()
    }
}
