//! A grown network with a request, on which methods are tried.

use std::collections::BTreeMap;

use disinherit::cards::{FisherOptions, compute_cards};
use disinherit::evaluation::{EvaluationSet, Evaluator};
use disinherit::provenance::learned;
use disinherit::{
    Done, EditDepth, Engine, EngineError, FiunOptions, LoadedModel, MatchingOptions, RunOptions,
    Scale,
};
use disinherit_data::Splits;
use disinherit_nets::StateDict;
use disinherit_registry::LossBound;
use umig::{ModelId, Request, Role, Scope, Umig};

use super::kept::{Kept, Said};
use super::options::StudyOptions;
use crate::baselines::{MethodKind, Settings, Setup};
use crate::error::LabError;
use crate::grow::trainings;
use crate::recipe::Recipe;
use crate::variant::Variant;

/// A grown network, and what is asked of it.
pub(super) struct Network<'a> {
    pub(super) engine: &'a Engine<'a>,
    pub(super) splits: &'a Splits,
    pub(super) recipe: &'a Recipe,
    pub(super) options: &'a StudyOptions,
    pub(super) kept: Kept,
    pub(super) graph: &'a Umig,
    pub(super) request: &'a Request,
    pub(super) scope: Scope,
    pub(super) evaluator: Evaluator<'a>,
}

/// The evaluation set of each model.
pub(super) type Sets<'a> = BTreeMap<&'a ModelId, EvaluationSet>;

/// Weights of touched models.
pub(super) type States = BTreeMap<ModelId, StateDict>;

impl<'a> Network<'a> {
    /// A network that was grown in the engine's registry from `splits`, which the engine has too.
    pub(super) fn new(
        engine: &'a Engine<'a>,
        splits: &'a Splits,
        recipe: &'a Recipe,
        options: &'a StudyOptions,
        graph: &'a Umig,
        request: &'a Request,
    ) -> Result<Self, EngineError> {
        Ok(Self {
            engine,
            splits,
            recipe,
            options,
            kept: Kept(options.keep.clone()),
            graph,
            request,
            scope: graph.scope(request)?,
            evaluator: Evaluator::new(engine, &request.forget, options.depth)?,
        })
    }

    /// The evaluation sets of some models.
    pub(super) fn sets<'i>(
        &self,
        ids: impl IntoIterator<Item = &'i ModelId>,
    ) -> Result<Sets<'i>, EngineError> {
        ids.into_iter()
            .map(|id| Ok((id, self.evaluator.evaluation_set(self.graph, id)?)))
            .collect()
    }

    /// The touched models that a method edits: of the others nothing would be left.
    pub(super) fn edited(&self) -> Result<Vec<&ModelId>, EngineError> {
        let mut edited = Vec::new();
        for id in self.scope.touched() {
            if !self.is_retired(id)? {
                edited.push(id);
            }
        }
        Ok(edited)
    }

    /// Every variant in the order in which it is tried: retraining first; those that work from cards after
    /// all that make their own, which would find them; what is published last.
    pub(super) fn order(&self) -> Vec<Variant> {
        let mut order = self.options.variants.clone();
        let turn = |variant: &Variant| match *variant {
            variant if variant.method == MethodKind::Retrain => 0,
            variant if Some(variant) == self.options.publish => 3,
            variant if variant.cards => 2,
            _ => 1,
        };
        order.sort_by_key(turn);
        order
    }

    /// Whether nothing of a model would be left.
    pub(super) fn is_retired(&self, id: &ModelId) -> Result<bool, EngineError> {
        let touched = self.scope.role(id) != Role::Untouched;
        match self.graph.get(id).filter(|_| touched) {
            Some(vertex) => Ok(self.request.empties(&learned(self.graph, vertex))?),
            None => Ok(false),
        }
    }

    /// Runs one method.
    pub(super) fn unlearn(&self, variant: Variant, setup: &Setup) -> Result<Done, EngineError> {
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

    /// How a method is set up: its own settings, the recipe's, the study's.
    pub(super) fn setup(&self, variant: Variant) -> Setup {
        let recipe = self.recipe;
        let settings = Settings {
            batch_size: recipe.training.batch_size,
            seed: recipe.training_seed(),
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
                seed: recipe.training_seed(),
                ..fiun.fisher.clone()
            },
            ..fiun.clone()
        };
        Setup {
            settings,
            fiun,
            matching: MatchingOptions {
                seed: recipe.training_seed(),
                ..MatchingOptions::default()
            },
            trainings: trainings(recipe),
        }
    }

    /// The weights of the models that a method edited.
    pub(super) fn states(&self, done: &Done, sets: &Sets<'_>) -> Result<States, EngineError> {
        let mut states = States::new();
        for (id, changed) in &done.changed {
            if let Some(set) = sets.get(id) {
                let state = set.model.state(self.engine.registry())?;
                states.insert(id.clone(), set.model.edited_state(state, changed));
            }
        }
        Ok(states)
    }

    /// How certain the models are of their samples as a method left them, or as they are without one: as it
    /// was kept, or else worked out and kept.
    pub(super) fn said(&self, variant: Option<Variant>, sets: &Sets<'_>) -> Result<Said, LabError> {
        if let Some(said) = self.kept.said(variant)? {
            return Ok(said);
        }
        let states = match variant {
            None => self.states_before(sets)?,
            Some(variant) => match self.kept_states(variant)? {
                Some(states) => states,
                None => self.states(&self.unlearn(variant, &self.setup(variant))?, sets)?,
            },
        };
        self.keep_said(variant, &states, sets)
    }

    /// Works out how certain models are of their samples, and keeps it.
    pub(super) fn keep_said(
        &self,
        variant: Option<Variant>,
        states: &States,
        sets: &Sets<'_>,
    ) -> Result<Said, LabError> {
        let mut said = Said::new();
        for (id, state) in states {
            if let Some(set) = sets.get(id) {
                let seen = self.evaluator.observe(set, state)?;
                said.extend(set.log_odds(&seen).map(|odds| (id.clone(), odds)));
            }
        }
        self.kept.put_said(variant, &said)?;
        Ok(said)
    }

    fn states_before(&self, sets: &Sets<'_>) -> Result<States, EngineError> {
        self.edited()?
            .into_iter()
            .filter_map(|id| Some((id, sets.get(id)?)))
            .map(|(id, set)| Ok((id.clone(), set.model.state(self.engine.registry())?)))
            .collect()
    }

    /// The retrained models of an earlier run, which the folder keeps.
    pub(super) fn kept_states(&self, variant: Variant) -> Result<Option<States>, LabError> {
        match variant.method {
            MethodKind::Retrain => self.kept.states(self.edited()?),
            _ => Ok(None),
        }
    }
}
