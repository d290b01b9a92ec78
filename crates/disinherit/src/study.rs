//! The whole story on one recipe: grow, forget, compare with retraining.

use std::collections::BTreeMap;

use data::Splits;
use nets::Compute;
use serde::{Deserialize, Serialize};
use store::{Digest, Registry};
use umig::{Forget, ModelId, Request, Role, Scope};

use crate::{
    EngineError, Evaluator, Features, FisherOptions, GrowOptions, Layers, LoadedModel,
    ModelOutcome, Progress, Recipe, Scores, UnlearnOptions, Unlearned, grow, prepare, retrain,
    unlearn,
};

/// How to run a study.
#[derive(Debug, Clone, PartialEq)]
pub struct StudyOptions {
    /// Where networks run.
    pub compute: Compute,
    /// How to unlearn.
    pub unlearn: UnlearnOptions,
    /// Whether to retrain the affected models as the yardstick.
    pub retrain: bool,
}

/// One model of a study.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StudyModel {
    /// Its name.
    pub name: String,
    /// Its part in the request.
    pub role: Role,
    /// The scores before.
    pub before: Scores,
    /// The scores after.
    pub after: Scores,
    /// The scores of the retrained model; nothing to measure where it was not retrained.
    pub retrained: Scores,
    /// Parameters whose value changed.
    pub parameters_changed: u64,
    /// The digest before.
    pub digest_before: Digest,
    /// The digest after.
    pub digest_after: Digest,
}

/// Seconds of each part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Seconds {
    /// Fisher information and features of the affected models (stage 1).
    pub fisher: f64,
    /// Choosing alpha, dampening, publishing (stage 2).
    pub unlearn: f64,
    /// Training the affected models again without the forget data; nothing when it was not asked.
    pub retrain: Option<f64>,
}

/// What a study found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Study {
    /// The forgotten label names.
    pub forget: Vec<String>,
    /// Every model of the recipe.
    pub models: Vec<StudyModel>,
    /// Seconds of each part.
    pub seconds: Seconds,
    /// The recipe.
    pub recipe: Recipe,
    /// The request's id, warnings and what happened to each model.
    pub unlearned: Unlearned,
    /// The layers that were edited.
    pub layers: Layers,
    /// Where networks ran.
    pub device: String,
}

/// Grows a recipe's network in a registry, forgets its classes, and measures every model before
/// and after, beside the retrained one.
///
/// # Errors
/// [`EngineError`].
pub fn run_study(
    registry: &Registry,
    recipe: &Recipe,
    splits: &Splits,
    options: &StudyOptions,
    progress: &dyn Progress,
) -> Result<Study, EngineError> {
    let growing = GrowOptions {
        compute: options.compute,
    };
    let grown = grow(registry, recipe, &splits.train, &growing, progress)?;
    let graph = registry.graph()?;
    let forget = Forget::classes(recipe.forget.classes.iter().cloned());
    let from: Vec<ModelId> = recipe
        .forget
        .from
        .iter()
        .map(|name| ModelId::new(name, 1))
        .collect::<Result<_, _>>()?;
    let request = Request::new(forget.clone()).from_models(from);
    let originals: Vec<LoadedModel> = grown
        .models
        .iter()
        .map(|id| LoadedModel::open(registry, &graph, id))
        .collect::<Result<_, EngineError>>()?;
    if originals.iter().any(|model| model.vertex.superseded) {
        return Err(EngineError::Refused(
            "this registry's network has been unlearned already; use another registry".into(),
        ));
    }

    let unlearning = UnlearnOptions {
        fisher: FisherOptions {
            estimator: recipe.fisher.estimator,
            samples: recipe.fisher.samples,
            seed: recipe.seed,
            compute: options.compute,
            ..options.unlearn.fisher.clone()
        },
        ..options.unlearn.clone()
    };
    let features = Features::new(registry, options.compute, 0);
    let prepared = prepare(
        registry,
        &request,
        Some(splits),
        &unlearning,
        &features,
        progress,
    )?;
    let done = unlearn(registry, &prepared, &unlearning, progress)?;
    let scope = &prepared.plan.scope;

    let retrained = if options.retrain {
        let train = &splits.train;
        Some(retrain(
            registry, recipe, train, scope, &forget, &growing, progress,
        )?)
    } else {
        None
    };
    let retrain_seconds = retrained
        .as_ref()
        .map(|all| all.values().map(|(_, seconds)| seconds).sum::<f64>());

    let evaluation = Evaluation {
        registry,
        evaluator: Evaluator::new(splits, options.compute, &features),
        forget: &forget,
        scope,
        outcomes: done.models.iter().map(|o| (o.before.clone(), o)).collect(),
        progress,
    };
    let mut models = Vec::new();
    for original in &originals {
        let again = retrained.as_ref().and_then(|all| all.get(original.id()));
        models.push(evaluation.model(original, again.map(|(state, _)| state))?);
    }
    Ok(Study {
        forget: recipe.forget.classes.clone(),
        models,
        seconds: Seconds {
            fisher: prepared.seconds,
            unlearn: done.seconds,
            retrain: retrain_seconds,
        },
        recipe: recipe.clone(),
        unlearned: done,
        layers: unlearning.fisher.layers.clone(),
        device: options.compute.to_string(),
    })
}

struct Evaluation<'a> {
    registry: &'a Registry,
    evaluator: Evaluator<'a>,
    forget: &'a Forget,
    scope: &'a Scope,
    outcomes: BTreeMap<ModelId, &'a ModelOutcome>,
    progress: &'a dyn Progress,
}

impl Evaluation<'_> {
    fn model(
        &self,
        original: &LoadedModel,
        retrained: Option<&nets::StateDict>,
    ) -> Result<StudyModel, EngineError> {
        let graph = self.registry.graph()?;
        let outcome = self.outcomes.get(original.id());
        // Untouched models are read again too: the digest after is what the registry now says.
        let current = outcome.map_or(original.id(), |outcome| &outcome.after);
        let after = LoadedModel::open(self.registry, &graph, current)?;
        let score = |model: &LoadedModel| {
            let provenance = &original.vertex;
            self.evaluator
                .scores(model, provenance, self.forget, self.progress)
        };
        let retrained = match retrained {
            None => Scores::default(),
            Some(state) => {
                self.evaluator
                    .scores_of_state(state, original, self.forget, self.progress)?
            }
        };
        Ok(StudyModel {
            name: original.id().name().to_owned(),
            role: self.scope.role(original.id()),
            before: score(original)?,
            after: score(&after)?,
            retrained,
            parameters_changed: outcome.map_or(0, |o| o.selection().changed),
            digest_before: original.digest,
            digest_after: after.digest,
        })
    }
}

impl Study {
    /// FIUn's total time over retraining's, where both were measured.
    pub fn time_ratio(&self) -> Option<f64> {
        let retrain = self.seconds.retrain.filter(|seconds| *seconds > 0.0)?;
        Some((self.seconds.fisher + self.seconds.unlearn) / retrain)
    }
}
