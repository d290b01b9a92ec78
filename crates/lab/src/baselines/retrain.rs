//! Training again without the forget data, parents before children: the gold standard.

use std::collections::BTreeSet;

use disinherit::{Edit, EngineError, Evidence, LoadedModel, Method, Work};
use disinherit_registry::MethodName;
use serde_json::{Value, json};
use umig::{Forget, ModelId, Relation, Scope, Umig};

use super::describe::{Description, How};
use super::kind::MethodKind;
use super::sets::Sets;
use crate::training_run::{ParentWeights, TrainingRun, Trainings};

/// What it is, and where it comes from.
pub(super) const DESCRIPTION: Description = Description {
    kind: MethodKind::Retrain,
    name: "retrain",
    purpose: "train again without the forget data, parents before children (the gold standard)",
    source: "-",
    classes_only: false,
    how: How::Graph,
};

/// Retraining.
pub(super) struct Retrain {
    pub(super) trainings: Trainings,
}

impl Method for Retrain {
    fn name(&self) -> MethodName {
        MethodName::new(DESCRIPTION.name)
    }

    fn settings(&self) -> Result<Value, EngineError> {
        serde_json::to_value(&self.trainings)
            .map(|trainings| json!({"trainings": trainings}))
            .map_err(EngineError::json("trainings"))
    }

    fn check(&self, _: &Forget) -> Result<(), EngineError> {
        Ok(())
    }

    fn waits_for(&self, model: &ModelId, graph: &Umig, scope: &Scope) -> BTreeSet<ModelId> {
        let parents = parents(graph, model).into_iter().map(|(id, _)| id);
        parents
            .filter(|id| scope.reached_by.contains_key(id))
            .collect()
    }

    fn learns_retained(&self) -> bool {
        true
    }

    fn edit(
        &self,
        work: &Work<'_>,
        model: &LoadedModel,
        _: Option<&Evidence>,
    ) -> Result<Edit, EngineError> {
        let sets = Sets::find(work, model, DESCRIPTION.kind)?;
        // What is taken out of use takes its part in the average with it.
        let parents = parents(work.graph(), model.id())
            .into_iter()
            .filter(|(id, _)| !work.is_retired(id))
            .map(|(id, weight)| {
                let (state, labels) = work.current_state(&id)?;
                Ok(ParentWeights {
                    weight,
                    labels,
                    state,
                })
            })
            .collect::<Result<Vec<_>, EngineError>>()?;
        let state = TrainingRun {
            name: model.id().name(),
            architecture: &model.architecture,
            preprocessing: &model.preprocessing,
            labels: &model.manifest.labels,
            set: &sets.retain,
            training: &self.trainings.of_model(model.id().name())?,
            compute: work.compute(),
        }
        .run(&parents, "retraining", work.progress())?;
        Edit::from_state(work.registry(), model, &state)
    }
}

/// The models that a model started from, with their weights in the average.
fn parents(graph: &Umig, id: &ModelId) -> Vec<(ModelId, f64)> {
    let parents = graph.parents(id).into_iter();
    parents
        .filter(|(_, relation)| !matches!(relation, Relation::UnlearnedFrom { .. }))
        .map(|(id, relation)| (id.clone(), weight(relation)))
        .collect()
}

/// A parent's weight in the average that its child started from.
fn weight(relation: &Relation) -> f64 {
    match relation {
        Relation::FederatedAverage { weight } => *weight,
        Relation::Merged {
            weight: Some(weight),
        } => *weight,
        _ => 1.0,
    }
}
