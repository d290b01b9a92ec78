//! The whole story on one recipe: grow, forget by several methods, judge each.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use disinherit_data::Splits;
use disinherit_formats::{read_checkpoint, write_checkpoint, write_file};
use disinherit_nets::{Compute, StateDict};
use disinherit_registry::{Digest, Registry};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use umig::{Forget, ModelId, Request, Role, Scope, Umig};

use crate::model::{to_state, to_tensors};
use crate::verdicts::{Depth, Exam, Examiner, Observation, Verdicts};
use crate::{
    Cost, EngineError, Features, FisherOptions, GrowOptions, LoadedModel, Method, ModelOutcome,
    Progress, Recipe, Scale, Scores, Settings, Trial, UnlearnOptions, Variant, grow, lesson_of,
    run_method,
};

/// How to run a study.
#[derive(Debug, Clone)]
pub struct StudyOptions {
    /// Where networks run.
    pub compute: Compute,
    /// How to dampen.
    pub unlearn: UnlearnOptions,
    /// The methods to compare. Retraining is run first, whatever the order: others are measured
    /// against it.
    pub variants: Vec<Variant>,
    /// The verdicts.
    pub depth: Depth,
    /// Publish what plain FIUn makes; everything else leaves the registry as it is.
    pub publish: bool,
    /// A folder that keeps what is finished, so that a study that was stopped goes on there.
    pub keep: Option<PathBuf>,
}

/// One model of a study, before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StudyModel {
    /// Its id.
    pub id: ModelId,
    /// Its part in the request.
    pub role: Role,
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
}

/// What one method made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MethodResult {
    /// The method.
    pub variant: Variant,
    /// Its hyperparameters, where it trains.
    pub settings: Option<Settings>,
    /// The request's id.
    pub request: String,
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

    /// The cost of a method over that of retraining, in wall time, where both were measured.
    pub fn time_ratio(&self, variant: Variant) -> Option<f64> {
        let retrain = self.result(Method::Retrain.into())?.cost.seconds;
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

/// Grows a recipe's network in a registry, forgets its classes by every method, and judges every
/// model before and after.
///
/// # Errors
/// [`EngineError`]. A method that fails beside others is recorded as failed.
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
    let superseded = |id: &ModelId| graph.get(id).is_some_and(|model| model.superseded);
    if grown.models.iter().any(superseded) {
        return Err(EngineError::Refused(
            "this registry's network has been unlearned already; use another registry".into(),
        ));
    }
    let runner = Runner {
        registry,
        recipe,
        splits,
        options,
        progress,
        graph: &graph,
        request: &request,
        scope: graph.scope(&request)?,
        examiner: Examiner {
            registry,
            splits,
            forget: &forget,
            compute: options.compute,
            runner: None,
            depth: options.depth,
            progress,
        },
    };
    let (models, results) = runner.run(&grown.models)?;
    Ok(Study {
        title: recipe.name.clone(),
        recipe: Some(recipe.clone()),
        seed: recipe.seed,
        forget,
        device: options.compute.to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        models,
        results,
    })
}

struct Runner<'a> {
    registry: &'a Registry,
    recipe: &'a Recipe,
    splits: &'a Splits,
    options: &'a StudyOptions,
    progress: &'a dyn Progress,
    graph: &'a Umig,
    request: &'a Request,
    scope: Scope,
    examiner: Examiner<'a>,
}

/// What a method is measured against.
#[derive(Default)]
struct Yardstick {
    /// How well held-out samples of the forgotten classes were known.
    known: BTreeMap<ModelId, Option<f64>>,
    /// What the retrained models say.
    retrained: BTreeMap<ModelId, Observation>,
}

impl Runner<'_> {
    fn run(&self, ids: &[ModelId]) -> Result<(Vec<StudyModel>, Vec<MethodResult>), EngineError> {
        let exams: BTreeMap<&ModelId, Exam> = ids
            .iter()
            .map(|id| Ok((id, self.examiner.exam(self.graph, id)?)))
            .collect::<Result<_, EngineError>>()?;
        let before = match self.kept::<BTreeMap<ModelId, Verdicts>>("before.json")? {
            Some(before) => before,
            None => {
                let before = exams
                    .iter()
                    .map(|(id, exam)| Ok(((*id).clone(), self.before(exam)?)))
                    .collect::<Result<_, EngineError>>()?;
                self.keep("before.json", &before)?;
                before
            }
        };
        let mut yardstick = Yardstick {
            known: before
                .iter()
                .map(|(id, verdicts)| (id.clone(), verdicts.scores.forget.heldout))
                .collect(),
            ..Yardstick::default()
        };
        // Retraining first, what is published last.
        let mut order = self.options.variants.clone();
        let turn = |variant: &Variant| match *variant {
            variant if variant.method == Method::Retrain => 0,
            variant if variant == Variant::default() => 2,
            _ => 1,
        };
        order.sort_by_key(turn);
        let mut results: Vec<MethodResult> = Vec::new();
        for variant in order {
            results.push(self.method(variant, &exams, &mut yardstick)?);
        }
        let place = |result: &MethodResult| {
            let mut variants = self.options.variants.iter();
            variants.position(|variant| *variant == result.variant)
        };
        results.sort_by_key(place);
        let models = self.models(ids, &before)?;
        Ok((models, results))
    }

    fn before(&self, exam: &Exam) -> Result<Verdicts, EngineError> {
        let state = exam.model.state(self.registry)?;
        let seen = self.examiner.observe(exam, &state)?;
        // The untouched model has nothing to relearn.
        let examiner = Examiner {
            depth: Depth {
                relearning: false,
                ..self.options.depth
            },
            ..self.examiner
        };
        examiner.verdicts(exam, &state, &seen, None, None)
    }

    fn models(
        &self,
        ids: &[ModelId],
        before: &BTreeMap<ModelId, Verdicts>,
    ) -> Result<Vec<StudyModel>, EngineError> {
        let now = self.registry.graph()?;
        let depths = self.graph.depths();
        ids.iter()
            .map(|id| {
                let digest = LoadedModel::open(self.registry, self.graph, id)?.digest;
                let current = now.resolve(id.name()).map_or(id, |model| &model.id);
                let parents = self.graph.parents(id).into_iter();
                Ok(StudyModel {
                    id: id.clone(),
                    role: self.scope.role(id),
                    depth: depths.get(id).copied().unwrap_or_default(),
                    parents: parents
                        .map(|(parent, relation)| (parent.clone(), relation.name().to_owned()))
                        .collect(),
                    digest,
                    digest_now: LoadedModel::open(self.registry, &now, current)?.digest,
                    before: before.get(id).cloned().unwrap_or_default(),
                })
            })
            .collect()
    }

    /// Runs and judges one method, or takes up what an earlier run kept.
    fn method(
        &self,
        variant: Variant,
        exams: &BTreeMap<&ModelId, Exam>,
        yardstick: &mut Yardstick,
    ) -> Result<MethodResult, EngineError> {
        let file = format!("{variant}.json");
        if let Some(result) = self.kept::<MethodResult>(&file)? {
            if variant.method != Method::Retrain {
                return Ok(result);
            }
            if let Some(states) = self.kept_states()? {
                self.measure_against(&states, exams, yardstick)?;
                return Ok(result);
            }
        }
        let settings = self.settings(variant.method);
        let unlearn = self.unlearning(variant);
        // No method finds what another one has computed: its cost would look too small.
        let features = Features::new(self.registry, self.options.compute, 0);
        let trial = Trial {
            registry: self.registry,
            request: self.request,
            method: variant.method,
            splits: Some(self.splits),
            settings: &settings,
            unlearn: &unlearn,
            lessons: &|id| lesson_of(self.recipe, id.name()),
            compute: self.options.compute,
            features: &features,
        };
        let mended = match run_method(&trial, self.progress) {
            Ok(mended) => mended,
            Err(error) if self.options.variants.len() > 1 => {
                let failed = failure(variant, settings, &error);
                self.keep(&file, &failed)?;
                return Ok(failed);
            }
            Err(error) => return Err(error),
        };
        if variant.method == Method::Retrain {
            self.keep_states(&mended.states)?;
            self.measure_against(&mended.states, exams, yardstick)?;
        }
        let mut models = Vec::new();
        for outcome in &mended.unlearned.models {
            let id = &outcome.before;
            let (Some(exam), Some(state)) = (exams.get(id), mended.states.get(id)) else {
                continue;
            };
            let seen = self.examiner.observe(exam, state)?;
            let reference = yardstick.retrained.get(id);
            let known = yardstick.known.get(id).copied().flatten();
            models.push(ModelResult {
                id: id.clone(),
                outcome: outcome.clone(),
                verdicts: self
                    .examiner
                    .verdicts(exam, state, &seen, reference, known)?,
            });
        }
        let result = MethodResult {
            variant,
            settings: (!variant.method.dampens()).then_some(settings),
            request: mended.unlearned.request,
            cost: mended.cost,
            preparation: mended.preparation,
            models,
            warnings: mended.unlearned.warnings,
            failed: None,
        };
        self.keep(&file, &result)?;
        Ok(result)
    }

    fn settings(&self, method: Method) -> Settings {
        let settings = Settings {
            batch_size: self.recipe.training.batch_size,
            seed: self.recipe.seed,
            ..Settings::of(method)
        };
        match self.recipe.methods.get(&method) {
            Some(patch) => settings.patched(patch),
            None => settings,
        }
    }

    fn unlearning(&self, variant: Variant) -> UnlearnOptions {
        let unlearn = &self.options.unlearn;
        let published = self.options.publish && variant == Variant::default();
        UnlearnOptions {
            lower: !variant.dampen_only,
            scale: if variant.raw {
                Scale::Raw
            } else {
                unlearn.scale
            },
            fisher: FisherOptions {
                layers: if variant.all_layers {
                    variant.layers()
                } else {
                    unlearn.fisher.layers.clone()
                },
                estimator: self.recipe.fisher.estimator,
                samples: self.recipe.fisher.samples,
                seed: self.recipe.seed,
                compute: self.options.compute,
                ..unlearn.fisher.clone()
            },
            dry_run: !published,
            ..unlearn.clone()
        }
    }

    fn measure_against(
        &self,
        states: &BTreeMap<ModelId, StateDict>,
        exams: &BTreeMap<&ModelId, Exam>,
        yardstick: &mut Yardstick,
    ) -> Result<(), EngineError> {
        for (id, state) in states {
            if let Some(exam) = exams.get(id) {
                let mut seen = self.examiner.observe(exam, state)?;
                seen.forget_features()?;
                yardstick.retrained.insert(id.clone(), seen);
            }
        }
        Ok(())
    }

    fn kept<T: DeserializeOwned>(&self, file: &str) -> Result<Option<T>, EngineError> {
        let Some(folder) = &self.options.keep else {
            return Ok(None);
        };
        let path = folder.join(file);
        match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(disinherit_registry::RegistryError::io("read", &path)(error).into()),
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| {
                EngineError::Refused(format!(
                    "{} is of another version or damaged ({error}); remove it to measure again",
                    path.display()
                ))
            }),
        }
    }

    fn keep<T: Serialize>(&self, file: &str, value: &T) -> Result<(), EngineError> {
        if let Some(folder) = &self.options.keep {
            let bytes = serde_json::to_vec_pretty(value)
                .map_err(|error| EngineError::Refused(error.to_string()))?;
            write_file(&folder.join(file), &bytes)?;
        }
        Ok(())
    }

    fn keep_states(&self, states: &BTreeMap<ModelId, StateDict>) -> Result<(), EngineError> {
        if let Some(folder) = &self.options.keep {
            for (id, state) in states {
                let path = retrained(folder, id);
                write_checkpoint(&path, &to_tensors(state), HashMap::new())?;
            }
        }
        Ok(())
    }

    fn kept_states(&self) -> Result<Option<BTreeMap<ModelId, StateDict>>, EngineError> {
        let Some(folder) = &self.options.keep else {
            return Ok(None);
        };
        let mut states = BTreeMap::new();
        for id in self.scope.touched() {
            let path = retrained(folder, id);
            if !path.exists() {
                return Ok(None);
            }
            states.insert(id.clone(), to_state(&read_checkpoint(&path)?));
        }
        Ok(Some(states))
    }
}

fn retrained(folder: &Path, id: &ModelId) -> PathBuf {
    let name = id.name().replace('/', "_");
    folder.join(format!("retrained-{name}.safetensors"))
}

fn failure(variant: Variant, settings: Settings, error: &EngineError) -> MethodResult {
    MethodResult {
        variant,
        settings: (!variant.method.dampens()).then_some(settings),
        request: String::new(),
        cost: Cost::default(),
        preparation: Cost::default(),
        models: Vec::new(),
        warnings: Vec::new(),
        failed: Some(error.to_string()),
    }
}

/// One model before, after plain FIUn, and retrained.
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
    /// Every model before, after plain FIUn, and retrained.
    pub fn compared(&self) -> Vec<Compared> {
        let fiun = self.result(Variant::default());
        let retrain = self.result(Method::Retrain.into());
        let of =
            |result: Option<&MethodResult>, id: &ModelId| result.and_then(|r| r.model(id)).cloned();
        self.models
            .iter()
            .map(|model| {
                let after = of(fiun, &model.id);
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
