//! Erasure requests and the plan that answers one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::{Model, ModelId, Training};
use crate::samples::SampleError;

/// What must be forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Forget {
    /// Every sample with one of these label names.
    Classes(BTreeSet<String>),
    /// Everything that one source supplied.
    Source(String),
    /// These samples, by id.
    Samples(BTreeSet<String>),
}

impl Forget {
    /// Forget whole classes, by label name.
    pub fn classes<L: Into<String>>(labels: impl IntoIterator<Item = L>) -> Self {
        Self::Classes(labels.into_iter().map(Into::into).collect())
    }

    /// Whether the request names nothing.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Classes(set) | Self::Samples(set) => set.is_empty(),
            Self::Source(name) => name.is_empty(),
        }
    }

    /// Whether training on `training` was training on forget data. A training whose samples were
    /// not recorded counts for every sample request: an erasure errs on the side of forgetting.
    ///
    /// # Errors
    /// [`SampleError`] when a list of samples cannot be read.
    pub fn concerns(&self, training: &Training) -> Result<bool, SampleError> {
        match self {
            Self::Classes(labels) => Ok(!labels.is_disjoint(&training.labels)),
            Self::Source(source) => Ok(training.source.as_ref() == Some(source)),
            Self::Samples(ids) => training.samples.meets(ids),
        }
    }

    /// What is left of `training` once the forget data is gone, or nothing.
    ///
    /// # Errors
    /// [`SampleError`] when a list of samples cannot be read.
    pub fn remainder(&self, training: &Training) -> Result<Option<Training>, SampleError> {
        match self {
            Self::Classes(labels) => {
                let mut rest = training.clone();
                rest.labels.retain(|label| !labels.contains(label));
                Ok((!rest.labels.is_empty()).then_some(rest))
            }
            Self::Source(source) => {
                let stays = training.source.as_ref() != Some(source);
                Ok(stays.then(|| training.clone()))
            }
            Self::Samples(ids) => {
                let rest = training.samples.without(ids)?;
                Ok(rest.map(|samples| Training {
                    samples,
                    ..training.clone()
                }))
            }
        }
    }
}

impl fmt::Display for Forget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Classes(labels) => {
                let names: Vec<String> = labels.iter().map(|l| format!("`{l}`")).collect();
                let noun = if names.len() == 1 { "class" } else { "classes" };
                write!(f, "{noun} {}", names.join(", "))
            }
            Self::Source(source) => write!(f, "source `{source}`"),
            Self::Samples(ids) => write!(f, "{} listed samples", ids.len()),
        }
    }
}

/// An erasure request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// What must be forgotten.
    pub forget: Forget,
    /// The initial models, named by hand; empty means: found by provenance.
    #[serde(default)]
    pub from: Vec<ModelId>,
}

impl Request {
    /// A request whose initial models are found by provenance.
    pub fn new(forget: Forget) -> Self {
        Self {
            forget,
            from: Vec::new(),
        }
    }

    /// The same request with the initial models named by hand.
    pub fn from_models(mut self, from: impl IntoIterator<Item = ModelId>) -> Self {
        self.from = from.into_iter().collect();
        self
    }

    /// Whether nothing of a model's own would be left: all that it was trained on itself is to be
    /// forgotten, or all its outputs are. Of a model whose training is not on record only the latter can
    /// be told.
    ///
    /// # Errors
    /// [`SampleError`] when a list of samples cannot be read.
    pub fn empties(&self, model: &Model) -> Result<bool, SampleError> {
        let mut untrained = !model.training.is_empty();
        for training in &model.training {
            untrained = untrained && self.forget.remainder(training)?.is_none();
        }
        let unnamed = match &self.forget {
            Forget::Classes(gone) => {
                !model.labels.is_empty() && model.labels.iter().all(|label| gone.contains(label))
            }
            _ => false,
        };
        Ok(untrained || unnamed)
    }

    /// Whether a model was, by its provenance, trained on the forget data itself.
    ///
    /// # Errors
    /// [`SampleError`] when a list of samples cannot be read.
    pub fn concerns(&self, model: &Model) -> Result<bool, SampleError> {
        for training in &model.training {
            if self.forget.concerns(training)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// A model's part in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Trained on the forget data itself (or named so by hand).
    Initial,
    /// A descendant of an initial model.
    Inherited,
    /// Neither: must stay bit for bit as it is.
    Untouched,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Initial => "initial",
            Self::Inherited => "inherited",
            Self::Untouched => "untouched",
        })
    }
}

/// Whom a request touches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// The initial unlearning models.
    pub initial: BTreeSet<ModelId>,
    /// Their descendants that are not initial themselves.
    pub inherited: BTreeSet<ModelId>,
    /// For every touched model, the initial models whose Fisher information it must merge: those
    /// it descends from, and itself if it is one.
    pub reached_by: BTreeMap<ModelId, BTreeSet<ModelId>>,
}

impl Scope {
    /// A model's part in the request.
    pub fn role(&self, id: &ModelId) -> Role {
        if self.initial.contains(id) {
            Role::Initial
        } else if self.inherited.contains(id) {
            Role::Inherited
        } else {
            Role::Untouched
        }
    }

    /// The same models, each as an initial model that no other one reaches: the scope of a method
    /// that knows of no inheritance.
    pub fn each_alone(&self) -> Self {
        let ids: BTreeSet<ModelId> = self.touched().cloned().collect();
        Self {
            reached_by: ids
                .iter()
                .map(|id| (id.clone(), BTreeSet::from([id.clone()])))
                .collect(),
            initial: ids,
            inherited: BTreeSet::new(),
        }
    }

    /// All touched models, in the order of their ids.
    pub fn touched(&self) -> impl Iterator<Item = &ModelId> {
        self.reached_by.keys()
    }
}
