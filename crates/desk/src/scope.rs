//! The scope of a request: whom it touches and why, and what it cannot reach.

use std::collections::{BTreeMap, BTreeSet};

use disinherit::Prepared;
use disinherit::registry::{Asked, Digest, MethodName, Registry};
use disinherit::umig::{Forget, Model, ModelId, Request, Role, SampleSet, Scope, Training, Umig};
use serde::{Deserialize, Serialize};

use crate::error::DeskError;

/// The version of the document.
const VERSION: u32 = 1;

/// The most models without a record that are named.
const NAMED: usize = 100;

/// Whom a request touches and why, and what it cannot reach. The document that a plan puts on record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ErasureScope {
    /// The version of the document.
    pub version: u32,
    /// What must be forgotten.
    pub asked: Asked,
    /// The initial models, named by hand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<ModelId>,
    /// The method.
    pub method: MethodName,
    /// The models, initial ones first, then by their ids.
    pub models: Vec<ScopedModel>,
    /// What stays as it is, though it may hold the forget data.
    pub unreached: Vec<Unreached>,
}

/// A model that a request touches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopedModel {
    /// The version.
    pub model: ModelId,
    /// Its digest.
    pub digest: Digest,
    /// Its part in the request.
    pub role: Role,
    /// Why it is touched.
    pub reason: ScopeReason,
    /// Whether it is taken out of use without a successor: nothing of its own would be left.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retired: bool,
}

impl ScopedModel {
    /// Why it is touched, in words, and whether it is to be retired.
    pub fn why(&self) -> String {
        let reason = match &self.reason {
            ScopeReason::Trained { on } => format!("trained on {on}"),
            ScopeReason::SamplesUnknown { on } => {
                format!("trained on {on}, whose samples are not on record")
            }
            ScopeReason::Named => "named by hand".to_owned(),
            ScopeReason::Inherited { from, relation } => {
                format!("inherited from {from} by {}", relation.replace('_', " "))
            }
        };
        let retired = if self.retired { "; to be retired" } else { "" };
        format!("{reason}{retired}")
    }
}

/// Why a model is touched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "why")]
pub enum ScopeReason {
    /// It was trained on the forget data.
    Trained {
        /// The data: set, split, source.
        on: String,
    },
    /// It was trained on data whose samples were not recorded, so that it cannot be ruled out.
    SamplesUnknown {
        /// The data: set, split, source.
        on: String,
    },
    /// It was named by hand.
    Named,
    /// It inherited from another model of the scope.
    Inherited {
        /// The parent.
        from: ModelId,
        /// How.
        relation: String,
    },
}

/// What a request does not reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum Unreached {
    /// Copies of models that were exported, downloaded or deployed: the registry does not know where.
    Copies,
    /// Backups, and earlier versions that the storage keeps.
    Backups,
    /// Models whose training data is not on record. They may have been trained on the forget data.
    NoRecord {
        /// How many.
        count: usize,
        /// The first of them.
        models: Vec<ModelId>,
    },
}

impl ErasureScope {
    pub(crate) fn for_plan(
        registry: &Registry,
        prepared: &Prepared<'_>,
        asked: Asked,
        method: MethodName,
    ) -> Result<Self, DeskError> {
        let (graph, plan) = (prepared.graph(), prepared.plan());
        let request = &plan.request;
        let scope = graph
            .scope(request)
            .map_err(disinherit::EngineError::from)?;
        let retired: BTreeSet<&ModelId> = plan.retired().collect();
        let digests: BTreeMap<ModelId, Digest> = registry.digests()?;
        let mut models = Vec::new();
        for id in scope.initial.iter().chain(&scope.inherited) {
            let (Some(model), Some(digest)) = (graph.get(id), digests.get(id)) else {
                continue;
            };
            models.push(ScopedModel {
                model: id.clone(),
                digest: *digest,
                role: scope.role(id),
                reason: reason(graph, &scope, request, model)?,
                retired: retired.contains(id),
            });
        }
        Ok(Self {
            version: VERSION,
            asked,
            from: request.from.clone(),
            method,
            models,
            unreached: unreached(graph, &scope),
        })
    }

    /// How many models have a part, and how many of all are retired.
    pub fn counts(&self) -> [usize; 3] {
        let count = |of: &dyn Fn(&&ScopedModel) -> bool| self.models.iter().filter(of).count();
        [
            count(&|model| model.role == Role::Initial),
            count(&|model| model.role == Role::Inherited),
            count(&|model| model.retired),
        ]
    }

    /// The models that are in one of two scopes only, or differ.
    pub(crate) fn differences(&self, other: &Self) -> Vec<ModelId> {
        let of = |scope: &Self| -> BTreeMap<ModelId, (Digest, Role, bool)> {
            let models = scope.models.iter();
            models
                .map(|m| (m.model.clone(), (m.digest, m.role, m.retired)))
                .collect()
        };
        let (own, others) = (of(self), of(other));
        let ids: BTreeSet<&ModelId> = own.keys().chain(others.keys()).collect();
        ids.into_iter()
            .filter(|id| own.get(*id) != others.get(*id))
            .cloned()
            .collect()
    }
}

fn reason(
    graph: &Umig,
    scope: &Scope,
    request: &Request,
    model: &Model,
) -> Result<ScopeReason, DeskError> {
    if scope.role(&model.id) == Role::Initial {
        return trained(&request.forget, model);
    }
    let mut parents = graph.parents(&model.id).into_iter();
    let parent = parents.find(|(parent, _)| scope.role(parent) != Role::Untouched);
    Ok(match parent {
        Some((from, relation)) => ScopeReason::Inherited {
            from: from.clone(),
            relation: relation.name().to_owned(),
        },
        None => ScopeReason::Named,
    })
}

/// Why an initial model is one.
fn trained(forget: &Forget, model: &Model) -> Result<ScopeReason, DeskError> {
    for training in &model.training {
        let concerned = forget.concerns(training);
        if concerned.map_err(disinherit::EngineError::from)? {
            let on = data_of(training);
            let unknown = matches!(forget, Forget::Samples(_))
                && matches!(training.samples, SampleSet::Unknown);
            return Ok(match unknown {
                true => ScopeReason::SamplesUnknown { on },
                false => ScopeReason::Trained { on },
            });
        }
    }
    Ok(ScopeReason::Named)
}

/// The data of a training, without its labels.
fn data_of(training: &Training) -> String {
    let mut text = training.data.clone();
    if let Some(split) = &training.split {
        text.push('/');
        text.push_str(split);
    }
    if let Some(source) = &training.source {
        text.push_str(" from ");
        text.push_str(source);
    }
    text
}

/// What stays as it is, though it may hold the forget data.
fn unreached(graph: &Umig, scope: &Scope) -> Vec<Unreached> {
    let mut list = vec![Unreached::Copies, Unreached::Backups];
    let unknown: Vec<&ModelId> = graph
        .models()
        .filter(|model| !model.superseded && model.training.is_empty())
        .map(|model| &model.id)
        // What inherits from a model with a record was trained on nothing of its own, as far as is known.
        .filter(|id| scope.role(id) == Role::Untouched && graph.parents(id).is_empty())
        .collect();
    if !unknown.is_empty() {
        list.push(Unreached::NoRecord {
            count: unknown.len(),
            models: unknown.into_iter().take(NAMED).cloned().collect(),
        });
    }
    list
}
