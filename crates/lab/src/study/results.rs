//! What a study found, as plain data.

use disinherit::Cost;
use disinherit::evaluation::{Finding, Judged, Judgement, Scores, UntouchedRoot, Verdicts};
use disinherit_registry::{Digest, ModelOutcome, RequestId};
use serde::{Deserialize, Serialize};
use umig::{Forget, ModelId, Role};

use crate::baselines::{MethodKind, Settings};
use crate::metrics::Metrics;
use crate::recipe::Recipe;
use crate::variant::Variant;

/// One model of a study, before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StudyModel {
    /// Its id.
    pub id: ModelId,
    /// Its part in the request.
    pub role: Role,
    /// Whether it was taken out of use: nothing of its own would be left, and no method edits it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retired: bool,
    /// The longest path from a root.
    pub depth: usize,
    /// Its parents in the study, with the relation's name.
    pub parents: Vec<(ModelId, String)>,
    /// Its digest.
    pub digest: Digest,
    /// The digest of the current version of that name when the study was over.
    pub digest_now: Digest,
    /// The verdicts before.
    pub before: Verdicts,
    /// What an untouched root of the network says of its samples, where nothing was retrained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<UntouchedRoot>,
}

/// One model as a method left it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelResult {
    /// The model.
    pub id: ModelId,
    /// What was done to it.
    pub outcome: ModelOutcome,
    /// The verdicts after.
    pub verdicts: Verdicts,
    /// What the evidence allows to say of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged: Option<Judged>,
    /// Metrics that others report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Metrics>,
}

/// What one method made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MethodResult {
    /// The method.
    pub variant: Variant,
    /// Its hyperparameters, where it trains.
    pub settings: Option<Settings>,
    /// The request's id.
    pub request: RequestId,
    /// What it cost in all.
    pub cost: Cost,
    /// The part of it that was Fisher information.
    pub preparation: Cost,
    /// The touched models.
    pub models: Vec<ModelResult>,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// Why there is no result.
    pub failed: Option<String>,
    /// What the evidence allows to say of all its models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judgement: Option<Judgement>,
    /// Why it says no more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
}

/// What a study found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Study {
    /// What it is called.
    pub title: String,
    /// The recipe, where the models were grown for the study.
    pub recipe: Option<Recipe>,
    /// The seed.
    pub seed: u64,
    /// What is forgotten.
    pub forget: Forget,
    /// Where networks ran.
    pub device: String,
    /// The version of this software.
    pub version: String,
    /// Every model, parents before children.
    pub models: Vec<StudyModel>,
    /// Every method, in the order in which they were asked for.
    pub results: Vec<MethodResult>,
}

impl Study {
    /// What a method made, if it was asked for and did not fail.
    pub fn result(&self, variant: Variant) -> Option<&MethodResult> {
        let mut results = self.results.iter();
        results.find(|result| result.variant == variant && result.failed.is_none())
    }

    /// The result that the study is about: matching where samples were matched, else FIUn to the features,
    /// else plain FIUn, else the first method that did not fail.
    pub fn shown(&self) -> Option<&MethodResult> {
        let features = Variant {
            features: true,
            ..Variant::default()
        };
        let first = || self.results.iter().find(|result| result.failed.is_none());
        let plain = || self.result(Variant::default());
        let matching = self.result(MethodKind::Matching.into());
        let features = || self.result(features);
        matching.or_else(features).or_else(plain).or_else(first)
    }

    /// The cost of a method over that of retraining, in wall time, where both were measured.
    pub fn time_ratio(&self, variant: Variant) -> Option<f64> {
        let retrain = self.result(MethodKind::Retrain.into())?.cost.seconds;
        (retrain > 0.0).then_some(self.result(variant)?.cost.seconds / retrain)
    }

    /// Whether every model that the request does not touch is byte for byte what it was.
    pub fn untouched_are_same(&self) -> bool {
        let mut untouched = self.models.iter().filter(|m| m.role == Role::Untouched);
        untouched.all(|model| model.digest == model.digest_now)
    }
}

impl MethodResult {
    /// One model of it.
    pub fn model(&self, id: &ModelId) -> Option<&ModelResult> {
        self.models.iter().find(|model| &model.id == id)
    }

    /// The mean of a number over its models, of those that have it.
    pub fn mean(&self, pick: impl Fn(&Verdicts) -> Option<f64>) -> Option<f64> {
        mean(self.models.iter().filter_map(|m| pick(&m.verdicts)))
    }
}

/// The mean, `None` of nothing.
pub fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0usize), |(sum, n), value| (sum + value, n + 1));
    (count > 0).then(|| sum / count as f64)
}

/// One model before, after the method that is shown, and retrained.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Compared {
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

impl Study {
    /// Every model before, after the method that is shown, and retrained.
    pub fn compared(&self) -> Vec<Compared> {
        let shown = self.shown();
        let retrain = self.result(MethodKind::Retrain.into());
        let of =
            |result: Option<&MethodResult>, id: &ModelId| result.and_then(|r| r.model(id)).cloned();
        self.models
            .iter()
            .map(|model| {
                let after = of(shown, &model.id);
                let scores = |result: &ModelResult| result.verdicts.scores;
                Compared {
                    name: model.id.name().to_owned(),
                    role: model.role,
                    before: model.before.scores,
                    after: after.as_ref().map_or(model.before.scores, scores),
                    retrained: of(retrain, &model.id)
                        .as_ref()
                        .map_or(Scores::default(), scores),
                    parameters_changed: after.as_ref().map_or(0, |a| a.outcome.selection().changed),
                    digest_before: model.digest,
                    digest_after: after
                        .and_then(|a| a.outcome.digest_after)
                        .unwrap_or(model.digest_now),
                }
            })
            .collect()
    }
}
