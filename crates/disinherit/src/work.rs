//! What a method works with while the plan is executed.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, OnceLock};

use disinherit_data::{DataSet, Splits};
use disinherit_formats::Tensor;
use disinherit_nets::{Compute, StateDict};
use disinherit_registry::{Registry, RetiredModel};
use umig::{Forget, Model, ModelId, Scope, Umig};

use crate::cards::source::{CardUse, ForgetFisher};
use crate::engine::Engine;
use crate::error::{EngineError, Hint};
use crate::features::Features;
use crate::kept_apart::apart;
use crate::layers::Selected;
use crate::model::LoadedModel;
use crate::models::Models;
use crate::progress::Progress;
use crate::provenance::{forget_mask, forget_samples, lineage, own_places, own_samples};
use crate::run_options::RunOptions;

/// A request while it is executed: what it is about, what is at hand, and what finished tasks made.
pub struct Work<'a> {
    pub(crate) engine: &'a Engine<'a>,
    pub(crate) features: &'a Features<'a>,
    pub(crate) graph: &'a Umig,
    pub(crate) scope: &'a Scope,
    pub(crate) forget: &'a Forget,
    /// The models that nothing would be left of: they are taken out of use.
    pub(crate) retired: &'a BTreeMap<ModelId, RetiredModel>,
    /// Whether the method trains on all of the retained samples, so that none is kept apart.
    pub(crate) learns_retained: bool,
    pub(crate) options: RunOptions,
    /// Which training samples any model lists as forgotten.
    pub(crate) forgotten: OnceLock<Vec<bool>>,
    /// Every touched model.
    pub(crate) models: &'a Models,
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

    /// Goes on, unless the work was asked to stop: for methods whose edits take long.
    ///
    /// # Errors
    /// [`EngineError::Stopped`] where it was.
    pub fn go_on(&self) -> Result<(), EngineError> {
        self.engine.go_on()
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
    pub fn model(&self, id: &ModelId) -> Result<Arc<LoadedModel>, EngineError> {
        let opened = self.models.open(self.registry(), self.graph, id)?;
        opened.ok_or_else(|| EngineError::UnknownModel {
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
        let model = match self.models.open(self.registry(), self.graph, id)? {
            Some(model) => model,
            None => Arc::new(LoadedModel::open(self.registry(), self.graph, id)?),
        };
        let mut state = model.state(self.registry())?;
        if let Some(changed) = self.edited.get(id) {
            state = model.edited_state(state, changed);
        }
        Ok((state, model.manifest.labels.clone()))
    }

    /// Whether a model is taken out of use: what inherits from it must not start from it again.
    pub fn is_retired(&self, id: &ModelId) -> bool {
        self.retired.contains_key(id)
    }

    /// The samples that a model was trained on itself and that its edit may see: not those that are kept
    /// apart to measure what the edit costs.
    pub(crate) fn own(&self, model: &LoadedModel) -> Result<DataSet, EngineError> {
        let own = self.own_whole(model)?;
        let seen = self.seen(model, &own, &own)?;
        Ok(own.select(&seen))
    }

    /// All samples that a model was trained on itself.
    pub(crate) fn own_whole(&self, model: &LoadedModel) -> Result<DataSet, EngineError> {
        own_samples(self.engine.data(), model.learned())
    }

    /// The places in `part`, which is some of a model's `own` training samples, that its edit may see.
    pub(crate) fn seen(
        &self,
        model: &LoadedModel,
        own: &DataSet,
        part: &DataSet,
    ) -> Result<Vec<usize>, EngineError> {
        if self.learns_retained {
            return Ok((0..part.len()).collect());
        }
        let mask = forget_mask(self.forget, own, &model.learned().training)?;
        let kept: HashSet<&String> = apart(own, &mask).iter().map(|at| &own.ids()[*at]).collect();
        let seen = |at: &usize| !kept.contains(&part.ids()[*at]);
        Ok((0..part.len()).filter(seen).collect())
    }

    /// The retained samples that a model's edit may see: those that it was trained on itself and those of the
    /// models that it came from, as far as it has their labels; not those that are kept apart.
    pub(crate) fn retained_seen(&self, model: &LoadedModel) -> Result<DataSet, EngineError> {
        let train = &self.splits()?.train;
        let ancestors = lineage(self.graph, model.id());
        let ancestors = ancestors.iter().filter_map(|id| self.graph.get(id));
        let (mut seen, mut kept) = (vec![false; train.len()], vec![false; train.len()]);
        for vertex in ancestors.chain([model.learned()]) {
            let places = own_places(vertex, train)?;
            places.iter().for_each(|at| seen[*at] = true);
            if !self.learns_retained {
                let own = train.select(&places);
                let mask = forget_mask(self.forget, &own, &vertex.training)?;
                let apart = apart(&own, &mask).into_iter();
                apart.for_each(|at| kept[places[at]] = true);
            }
        }
        let names = train.label_names();
        let known: Vec<bool> = names
            .iter()
            .map(|name| model.manifest.labels.contains(name))
            .collect();
        let forgotten = self.forgotten(train)?;
        let free = |at: &usize| {
            let label = train.labels()[*at] as usize;
            seen[*at] && !kept[*at] && !forgotten[*at] && known[label]
        };
        let places: Vec<usize> = (0..train.len()).filter(free).collect();
        Ok(train.select(&places))
    }

    /// Which samples of the training data must be forgotten, as far as any model lists them.
    pub(crate) fn forgotten(&self, train: &DataSet) -> Result<&[bool], EngineError> {
        if let Some(known) = self.forgotten.get() {
            return Ok(known);
        }
        let listed = self.graph.models().flat_map(|model| &model.training);
        let listed = listed.filter(|training| training.samples.is_listed());
        let mask = forget_mask(self.forget, train, listed)?;
        Ok(self.forgotten.get_or_init(|| mask))
    }

    /// A model's own training samples that are to be forgotten, if the data has any.
    pub(crate) fn forget_data(&self, vertex: &Model) -> Result<Option<DataSet>, EngineError> {
        forget_samples(self.engine.data(), vertex, self.forget)
    }

    /// The forget samples that a model learnt, itself or through the initial models that reach it, of
    /// labels that it has.
    ///
    /// # Errors
    /// [`EngineError::NeedsData`] when there is no data, [`EngineError::Samples`] when a list of samples
    /// cannot be read.
    pub fn forget_reaching(&self, model: &LoadedModel) -> Result<DataSet, EngineError> {
        let mut ids = BTreeSet::new();
        let reached = self.reached_by(model.id());
        for id in reached.iter().chain([model.id()]) {
            let Some(vertex) = self.graph.get(id) else {
                continue;
            };
            if let Some(forget) = self.forget_data(vertex)? {
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
