//! The whole story on one recipe: grow, forget by several methods, judge each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use disinherit::cards::{FisherOptions, compute_cards};
use disinherit::evaluation::{
    Depth, EvaluationSet, Evaluator, Observation, UntouchedRoot, Verdicts,
};
use disinherit::provenance::learned;
use disinherit::{
    Cost, Done, EditDepth, Engine, EngineError, FiunOptions, LoadedModel, MatchingOptions,
    RunOptions, Scale,
};
use disinherit_data::Splits;
use disinherit_nets::StateDict;
use disinherit_registry::LossBound;
use umig::{ModelId, Request, Role, Scope, Umig};

use super::kept::Kept;
use super::results::{MethodResult, ModelResult, Study, StudyModel};
use crate::baselines::{MethodKind, Settings, Setup};
use crate::elsewhere::{Elsewhere, retrained};
use crate::error::LabError;
use crate::grow::{forget, grow, trainings};
use crate::recipe::Recipe;
use crate::variant::Variant;

/// How to run a study.
#[derive(Debug, Clone)]
pub struct StudyOptions {
    /// How to dampen.
    pub fiun: FiunOptions,
    /// Models edited at the same time; 0 for one per core.
    pub jobs: usize,
    /// The methods to compare. Retraining is run first, whatever the order: others are measured
    /// against it.
    pub variants: Vec<Variant>,
    /// The verdicts.
    pub depth: Depth,
    /// The variant whose edits are published; everything else leaves the registry as it is.
    pub publish: Option<Variant>,
    /// A folder that keeps what is finished, so that a study that was stopped goes on there.
    pub keep: Option<PathBuf>,
}

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
    let running = Running {
        engine: &engine,
        recipe,
        options,
        kept: Kept(options.keep.clone()),
        scope: graph.scope(&request)?,
        graph: &graph,
        request: &request,
        evaluator: Evaluator::new(&engine, &forget, options.depth)?,
    };
    let (models, results) = running.run(&grown.models)?;
    Ok(Study {
        title: recipe.name.clone(),
        recipe: Some(recipe.clone()),
        seed: recipe.seed,
        device: match Elsewhere::of(recipe) {
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

/// A study on its way.
struct Running<'a> {
    engine: &'a Engine<'a>,
    recipe: &'a Recipe,
    options: &'a StudyOptions,
    kept: Kept,
    graph: &'a Umig,
    request: &'a Request,
    scope: Scope,
    evaluator: Evaluator<'a>,
}

/// What a method is measured against.
#[derive(Default)]
struct Baselines {
    /// How well held-out samples of the forgotten classes were known.
    known: BTreeMap<ModelId, Option<f64>>,
    /// What the retrained models say.
    retrained: BTreeMap<ModelId, Observation>,
}

/// The verdicts on models before.
type Before = BTreeMap<ModelId, Verdicts>;

/// The untouched root that each model is compared with.
type Roots = BTreeMap<ModelId, UntouchedRoot>;

type Sets<'a> = BTreeMap<&'a ModelId, EvaluationSet>;

impl Running<'_> {
    fn run(&self, ids: &[ModelId]) -> Result<(Vec<StudyModel>, Vec<MethodResult>), LabError> {
        let sets: Sets<'_> = ids
            .iter()
            .map(|id| Ok((id, self.evaluator.evaluation_set(self.graph, id)?)))
            .collect::<Result<_, EngineError>>()?;
        let (before, roots) = self.before(&sets)?;
        let mut baselines = Baselines {
            known: before
                .iter()
                .map(|(id, verdicts)| (id.clone(), verdicts.scores.forget.heldout))
                .collect(),
            ..Baselines::default()
        };
        // Retraining first; those that work from cards after all that make their own, which would find them;
        // what is published last.
        let mut order = self.options.variants.clone();
        let turn = |variant: &Variant| match *variant {
            variant if variant.method == MethodKind::Retrain => 0,
            variant if Some(variant) == self.options.publish => 3,
            variant if variant.cards => 2,
            _ => 1,
        };
        order.sort_by_key(turn);
        let mut results: Vec<MethodResult> = Vec::new();
        for variant in order {
            results.push(self.method(variant, &sets, &mut baselines)?);
        }
        let place = |result: &MethodResult| {
            let mut variants = self.options.variants.iter();
            variants.position(|variant| *variant == result.variant)
        };
        results.sort_by_key(place);
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

    /// Whether nothing of a model would be left.
    fn is_retired(&self, id: &ModelId) -> Result<bool, EngineError> {
        let touched = self.scope.role(id) != Role::Untouched;
        match self.graph.get(id).filter(|_| touched) {
            Some(vertex) => Ok(self.request.empties(&learned(self.graph, vertex))?),
            None => Ok(false),
        }
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
            let mut edited = Vec::new();
            for id in self.scope.touched() {
                if !self.is_retired(id)? {
                    edited.push(id);
                }
            }
            if let Some(states) = self.kept.states(edited)? {
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

    fn unlearn(&self, variant: Variant, setup: &Setup) -> Result<Done, EngineError> {
        let published = Some(variant) == self.options.publish;
        let options = RunOptions {
            jobs: self.options.jobs,
            dry_run: !published,
            keep_weights: true,
            plan_only: false,
            // Methods are compared by the harm that they do, too; what is published does none.
            loss: match published {
                true => LossBound::new(self.options.fiun.target_loss),
                false => LossBound::UNLIMITED,
            },
        };
        let method = variant.method.with(setup);
        // No method finds what another one has computed: its cost would look too small.
        let mut engine = self.engine.clone().with_feature_cache(0);
        if variant.cards {
            self.make_cards(&engine, &setup.fiun.fisher)?;
            engine = engine.with_data(None);
        }
        engine
            .prepare(self.request, method.as_ref(), options)?
            .run()
    }

    /// The cards of all touched models, from their training data.
    fn make_cards(&self, engine: &Engine<'_>, options: &FisherOptions) -> Result<(), EngineError> {
        let touched = self.scope.touched();
        let models = touched
            .map(|id| LoadedModel::open(engine.registry(), self.graph, id))
            .collect::<Result<Vec<_>, _>>()?;
        compute_cards(engine, &models, options, false)?;
        Ok(())
    }

    fn judged(
        &self,
        variant: Variant,
        setup: Setup,
        done: Done,
        sets: &Sets<'_>,
        baselines: &mut Baselines,
    ) -> Result<MethodResult, LabError> {
        let mut states = BTreeMap::new();
        for (id, changed) in &done.changed {
            if let Some(set) = sets.get(id) {
                let state = set.model.state(self.engine.registry())?;
                states.insert(id.clone(), set.model.edited_state(state, changed));
            }
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
            request: done.unlearned.request.to_string(),
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
        let elsewhere = Elsewhere::of(self.recipe);
        let (MethodKind::Retrain, Some(models)) = (variant.method, elsewhere) else {
            return Ok(done.cost);
        };
        let names = done.changed.iter().map(|(id, _)| retrained(id.name()));
        Ok(Cost {
            seconds: models.seconds(names)?,
            ..Cost::default()
        })
    }

    /// How a method is set up: its own settings, the recipe's, the study's.
    fn setup(&self, variant: Variant) -> Setup {
        let recipe = self.recipe;
        let settings = Settings {
            batch_size: recipe.training.batch_size,
            seed: recipe.seed,
            ..Settings::for_method(variant.method)
        };
        let settings = match recipe.methods.get(&variant.method) {
            Some(patch) => settings.patched(patch),
            None => settings,
        };
        let fiun = &self.options.fiun;
        let layers = match variant.all_layers {
            true => variant.layers(),
            false => fiun.fisher.layers.clone(),
        };
        let fiun = FiunOptions {
            suppress: !variant.dampen_only,
            depth: if variant.features || fiun.depth == EditDepth::Features {
                EditDepth::Features
            } else {
                EditDepth::Outputs
            },
            scale: if variant.raw { Scale::Raw } else { fiun.scale },
            fisher: FisherOptions {
                layers,
                estimator: recipe.fisher.estimator,
                samples: recipe.fisher.samples,
                seed: recipe.seed,
                ..fiun.fisher.clone()
            },
            ..fiun.clone()
        };
        Setup {
            settings,
            fiun,
            matching: MatchingOptions {
                seed: recipe.seed,
                ..MatchingOptions::default()
            },
            trainings: trainings(recipe),
        }
    }

    fn measure_against(
        &self,
        states: &BTreeMap<ModelId, StateDict>,
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
        request: String::new(),
        cost: Cost::default(),
        preparation: Cost::default(),
        models: Vec::new(),
        warnings: Vec::new(),
        failed: Some(error.to_string()),
        judgement: None,
        findings: Vec::new(),
    }
}
