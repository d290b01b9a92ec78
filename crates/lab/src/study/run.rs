//! The whole story on one recipe: grow, forget by several methods, judge each.

use std::collections::{BTreeMap, BTreeSet};

use disinherit::evaluation::{Depth, Observation, UntouchedRoot, Verdicts};
use disinherit::{Cost, Done, Engine, EngineError, LoadedModel};
use disinherit_data::Splits;
use disinherit_registry::RequestId;
use umig::{ModelId, Request, Role};

use super::network::{Network, Sets, States};
use super::options::StudyOptions;
use super::results::{MethodResult, ModelResult, Study, StudyModel};
use super::shadows::Known;
use crate::baselines::{MethodKind, Settings, Setup};
use crate::elsewhere::{Elsewhere, retrained};
use crate::error::LabError;
use crate::grow::{forget, grow};
use crate::recipe::Recipe;
use crate::variant::Variant;

/// Grows a recipe's network in the engine's registry, forgets its classes by every method, and judges
/// every model before and after, on `splits`.
///
/// # Errors
/// [`LabError`]. A method that fails beside others is recorded as failed.
pub fn run_study(
    engine: &Engine<'_>,
    recipe: &Recipe,
    splits: &Splits,
    options: &StudyOptions,
) -> Result<Study, LabError> {
    let engine = engine.clone().with_data(splits).with_feature_cache(0);
    let grown = grow(&engine, recipe, &splits.train)?;
    let graph = engine.registry().graph()?;
    let forget = forget(recipe, &splits.train)?;
    let from: Vec<ModelId> = recipe
        .forget
        .from
        .iter()
        .map(|name| ModelId::new(name, 1))
        .collect::<Result<_, _>>()?;
    let request = Request::new(forget.clone()).from_models(from);
    let superseded = |id: &ModelId| graph.get(id).is_some_and(|model| model.superseded);
    if grown.models.iter().any(superseded) {
        return Err(LabError::Foreign(
            "this registry's network has been unlearned already".into(),
        ));
    }
    let network = Network::new(&engine, splits, recipe, options, &graph, &request)?;
    let (models, results) = network.run(&grown.models)?;
    Ok(Study {
        title: recipe.name.clone(),
        recipe: Some(recipe.clone()),
        seed: recipe.seed,
        device: match Elsewhere::for_recipe(recipe) {
            Some(models) => format!("{}, {}", engine.compute(), models.device()?),
            None => engine.compute().to_string(),
        },
        version: env!("CARGO_PKG_VERSION").to_owned(),
        models,
        results,
        forget,
    }
    .with_judgements())
}

/// What a method is measured against.
#[derive(Default)]
struct Baselines {
    /// How well held-out samples of the forgotten classes were known.
    known: BTreeMap<ModelId, Option<f64>>,
    /// What the retrained models say.
    retrained: BTreeMap<ModelId, Observation>,
    /// How certain the models are of their samples, where that is compared over shadow networks.
    said: Known,
}

/// The verdicts on models before.
type Before = BTreeMap<ModelId, Verdicts>;

/// The untouched root that each model is compared with.
type Roots = BTreeMap<ModelId, UntouchedRoot>;

impl Network<'_> {
    fn run(&self, ids: &[ModelId]) -> Result<(Vec<StudyModel>, Vec<MethodResult>), LabError> {
        let sets = self.sets(ids)?;
        let (mut before, roots) = self.before(&sets)?;
        let mut baselines = Baselines {
            known: before
                .iter()
                .map(|(id, verdicts)| (id.clone(), verdicts.scores.forget.heldout))
                .collect(),
            ..Baselines::default()
        };
        let mut results: Vec<MethodResult> = Vec::new();
        for variant in self.order() {
            results.push(self.method(variant, &sets, &mut baselines)?);
        }
        let place = |result: &MethodResult| {
            let mut variants = self.options.variants.iter();
            variants.position(|variant| *variant == result.variant)
        };
        results.sort_by_key(place);
        if self.options.shadows > 0 {
            self.beside_shadows(&sets, baselines.said, &mut before, &mut results)?;
        }
        let models = self.models(ids, &before, roots)?;
        Ok((models, results))
    }

    /// The verdicts on every model before, and where nothing is retrained, on the untouched roots.
    fn before(&self, sets: &Sets<'_>) -> Result<(Before, Roots), LabError> {
        if let Some(before) = self.kept.get::<Before>("before.json")? {
            return Ok((before, self.kept.get("roots.json")?.unwrap_or_default()));
        }
        let touched = |id: &ModelId| self.scope.role(id) != Role::Untouched;
        let untrained = self.evaluator.with_depth(Depth {
            relearning: false,
            ..self.options.depth
        });
        let before: Before = sets
            .iter()
            .map(|(id, set)| {
                let state = set.model.state(self.engine.registry())?;
                let seen = self.evaluator.observe(set, &state)?;
                // Only what is edited has something to relearn.
                let evaluator = if touched(id) {
                    &self.evaluator
                } else {
                    &untrained
                };
                let verdicts = evaluator.verdicts_before(set, &state, &seen)?;
                Ok(((*id).clone(), verdicts))
            })
            .collect::<Result<_, EngineError>>()?;
        let retrains = |variant: &Variant| variant.method == MethodKind::Retrain;
        let mut roots = Roots::new();
        if self.options.depth.attacks && !self.options.variants.iter().any(retrains) {
            roots = self.roots(sets, &before)?;
            self.kept.put("roots.json", &roots)?;
        }
        self.kept.put("before.json", &before)?;
        Ok((before, roots))
    }

    /// What untouched roots say of the touched models' samples.
    fn roots(&self, sets: &Sets<'_>, before: &Before) -> Result<Roots, EngineError> {
        let touched: BTreeSet<ModelId> = self.scope.touched().cloned().collect();
        let mut roots = Roots::new();
        for (id, set) in sets.iter().filter(|(id, _)| touched.contains(**id)) {
            let known = before.get(*id).and_then(|v| v.scores.forget.heldout);
            let root = self
                .evaluator
                .untouched_root(self.graph, &touched, set, known)?;
            roots.extend(root.map(|root| ((*id).clone(), root)));
        }
        Ok(roots)
    }

    fn models(
        &self,
        ids: &[ModelId],
        before: &Before,
        mut roots: Roots,
    ) -> Result<Vec<StudyModel>, LabError> {
        let registry = self.engine.registry();
        let now = registry.graph()?;
        let depths = self.graph.depths();
        ids.iter()
            .map(|id| {
                let digest = LoadedModel::open(registry, self.graph, id)?.digest;
                let current = now.resolve(id.name()).map_or(id, |model| &model.id);
                let parents = self.graph.parents(id).into_iter();
                Ok(StudyModel {
                    id: id.clone(),
                    role: self.scope.role(id),
                    retired: self.is_retired(id)?,
                    depth: depths.get(id).copied().unwrap_or_default(),
                    parents: parents
                        .map(|(parent, relation)| (parent.clone(), relation.name().to_owned()))
                        .collect(),
                    digest,
                    digest_now: LoadedModel::open(registry, &now, current)?.digest,
                    before: before.get(id).cloned().unwrap_or_default(),
                    root: roots.remove(id),
                })
            })
            .collect()
    }

    /// Runs and judges one method, or takes up what an earlier run kept.
    fn method(
        &self,
        variant: Variant,
        sets: &Sets<'_>,
        baselines: &mut Baselines,
    ) -> Result<MethodResult, LabError> {
        let file = format!("{variant}.json");
        if let Some(result) = self.kept.get::<MethodResult>(&file)? {
            if variant.method != MethodKind::Retrain {
                return Ok(result);
            }
            if let Some(states) = self.kept_states(variant)? {
                self.measure_against(&states, sets, baselines)?;
                return Ok(result);
            }
        }
        let setup = self.setup(variant);
        let done = match self.unlearn(variant, &setup) {
            Ok(done) => done,
            Err(error) if self.options.variants.len() > 1 => {
                let failed = failure(variant, setup.settings, &error);
                self.kept.put(&file, &failed)?;
                return Ok(failed);
            }
            Err(error) => return Err(error.into()),
        };
        let result = self.judged(variant, setup, done, sets, baselines)?;
        self.kept.put(&file, &result)?;
        Ok(result)
    }

    fn judged(
        &self,
        variant: Variant,
        setup: Setup,
        done: Done,
        sets: &Sets<'_>,
        baselines: &mut Baselines,
    ) -> Result<MethodResult, LabError> {
        let states = self.states(&done, sets)?;
        if self.options.shadows > 0 {
            let said = self.keep_said(Some(variant), &states, sets)?;
            baselines.said.insert(Some(variant), said);
        }
        if variant.method == MethodKind::Retrain {
            self.kept.put_states(&states)?;
            self.measure_against(&states, sets, baselines)?;
        }
        let mut models = Vec::new();
        for outcome in &done.unlearned.models {
            let id = &outcome.before;
            let (Some(set), Some(state)) = (sets.get(id), states.get(id)) else {
                continue;
            };
            let seen = self.evaluator.observe(set, state)?;
            let reference = baselines.retrained.get(id);
            let known = baselines.known.get(id).copied().flatten();
            models.push(ModelResult {
                id: id.clone(),
                outcome: outcome.clone(),
                verdicts: self
                    .evaluator
                    .verdicts(set, state, &seen, reference, known)?,
                judged: None,
                metrics: None,
            });
        }
        Ok(MethodResult {
            variant,
            settings: variant.method.has_settings().then_some(setup.settings),
            request: done.unlearned.request.clone(),
            cost: self.cost(variant, &done)?,
            preparation: done.preparation,
            models,
            warnings: done.unlearned.warnings,
            failed: None,
            judgement: None,
            findings: Vec::new(),
        })
    }

    /// What a method cost: of retraining elsewhere what was told of it.
    fn cost(&self, variant: Variant, done: &Done) -> Result<Cost, LabError> {
        let elsewhere = Elsewhere::for_recipe(self.recipe);
        let (MethodKind::Retrain, Some(models)) = (variant.method, elsewhere) else {
            return Ok(done.cost);
        };
        let names = done.changed.keys().map(|id| retrained(id.name()));
        Ok(Cost {
            seconds: models.seconds(names)?,
            ..Cost::default()
        })
    }

    fn measure_against(
        &self,
        states: &States,
        sets: &Sets<'_>,
        baselines: &mut Baselines,
    ) -> Result<(), LabError> {
        for (id, state) in states {
            if let Some(set) = sets.get(id) {
                let mut seen = self.evaluator.observe(set, state)?;
                seen.forget_features()?;
                baselines.retrained.insert(id.clone(), seen);
            }
        }
        Ok(())
    }
}

fn failure(variant: Variant, settings: Settings, error: &EngineError) -> MethodResult {
    MethodResult {
        variant,
        settings: variant.method.has_settings().then_some(settings),
        request: RequestId::default(),
        cost: Cost::default(),
        preparation: Cost::default(),
        models: Vec::new(),
        warnings: Vec::new(),
        failed: Some(error.to_string()),
        judgement: None,
        findings: Vec::new(),
    }
}
