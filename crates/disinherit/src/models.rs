//! The models that a request touches. Of thousands of them only what planning needs is kept, and each is opened
//! again when it is worked on, so that memory does not grow with what their networks look like.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use disinherit_registry::{Digest, Registry};
use umig::{Forget, ModelId, Umig};

use crate::cards::source::is_all_of;
use crate::error::EngineError;
use crate::model::LoadedModel;
use crate::model_delta::ModelDelta;

/// Up to so many models stay open for the whole request, with their cards.
pub(crate) const FEW: usize = 1024;

/// Models that were opened last and stay open: more than are edited beside each other.
const RECENT: usize = 1024;

/// What is known of a touched model for the whole request.
#[derive(Debug)]
pub(crate) struct Touched {
    pub(crate) digest: Digest,
    /// Whether it is edited below its last layer.
    pub(crate) edits_features: bool,
    /// How many training steps over its last stage may follow at most.
    pub(crate) last_stage_steps: Option<usize>,
    /// Whether all that it learnt is to be forgotten.
    pub(crate) is_all_forgotten: bool,
    /// The bytes of its head.
    pub(crate) head_bytes: u64,
    /// What it costs to run it on its own samples ([`LoadedModel::cost_of_passes`]).
    pub(crate) cost_of_passes: u64,
    kept: Kept,
}

/// How a touched model is kept until it is worked on.
#[derive(Debug)]
enum Kept {
    Open(Arc<LoadedModel>),
    /// As what it differs in from one that stays open.
    Delta(ModelDelta),
    /// Its manifest is read again.
    Closed,
}

/// How deep the edit of a model may go.
pub(crate) struct Reach {
    /// Whether it goes below the last layer.
    pub(crate) features: bool,
    /// How many training steps over the last stage may follow at most.
    pub(crate) last_stage_steps: Option<usize>,
}

/// How a model is to be kept.
#[derive(Clone, Copy)]
pub(crate) enum Keep<'a> {
    /// Open.
    Open,
    /// As its differences from one that stays open, where there is one and they are few.
    Delta(Option<&'a Arc<LoadedModel>>),
}

/// The touched models, opened or to be opened.
#[derive(Debug, Default)]
pub(crate) struct Models {
    touched: BTreeMap<ModelId, Touched>,
    recent: Mutex<Recent>,
}

#[derive(Debug, Default)]
struct Recent {
    models: BTreeMap<ModelId, Arc<LoadedModel>>,
    order: VecDeque<ModelId>,
}

impl Touched {
    /// A model that stays open, or is kept as its differences from one that does.
    pub(crate) fn new(model: LoadedModel, forget: &Forget, reach: Reach, keep: Keep<'_>) -> Self {
        Self {
            digest: model.digest,
            edits_features: reach.features,
            last_stage_steps: reach.last_stage_steps,
            is_all_forgotten: is_all_of(forget, &model),
            head_bytes: model.head_bytes(),
            cost_of_passes: model.cost_of_passes(),
            kept: match keep {
                Keep::Open => Kept::Open(Arc::new(model)),
                Keep::Delta(Some(from)) => {
                    ModelDelta::new(&model, from).map_or(Kept::Closed, Kept::Delta)
                }
                Keep::Delta(None) => Kept::Closed,
            },
        }
    }

    /// The model, where it stays open.
    pub(crate) fn open(&self) -> Option<&Arc<LoadedModel>> {
        match &self.kept {
            Kept::Open(model) => Some(model),
            Kept::Delta(_) | Kept::Closed => None,
        }
    }
}

impl Models {
    /// The models of a request.
    pub(crate) fn new(touched: BTreeMap<ModelId, Touched>) -> Self {
        Self {
            touched,
            recent: Mutex::default(),
        }
    }

    /// What is known of one, if the request touches it.
    pub(crate) fn get(&self, id: &ModelId) -> Option<&Touched> {
        self.touched.get(id)
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&ModelId, &Touched)> {
        self.touched.iter()
    }

    /// Whether a model stays open for the whole request.
    pub(crate) fn stays_open(&self, id: &ModelId) -> bool {
        self.get(id).is_some_and(|touched| touched.open().is_some())
    }

    /// A model of the request, opened; nothing where the request does not touch it.
    ///
    /// # Errors
    /// As [`LoadedModel::open`].
    pub(crate) fn open(
        &self,
        registry: &Registry,
        graph: &Umig,
        id: &ModelId,
    ) -> Result<Option<Arc<LoadedModel>>, EngineError> {
        let Some(touched) = self.touched.get(id) else {
            return Ok(None);
        };
        let recent = || self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(model) = touched.open() {
            return Ok(Some(Arc::clone(model)));
        }
        if let Some(model) = recent().models.get(id) {
            return Ok(Some(Arc::clone(model)));
        }
        let digest = touched.digest;
        let model = Arc::new(match &touched.kept {
            Kept::Delta(delta) => delta.opened(graph, id, digest)?,
            _ => LoadedModel::with_digest(registry, graph, id, digest)?,
        });
        recent().add(Arc::clone(&model));
        Ok(Some(model))
    }
}

impl Recent {
    fn add(&mut self, model: Arc<LoadedModel>) {
        let id = model.id().clone();
        if self.models.insert(id.clone(), model).is_none() {
            self.order.push_back(id);
        }
        if self.order.len() > RECENT
            && let Some(oldest) = self.order.pop_front()
        {
            self.models.remove(&oldest);
        }
    }
}
