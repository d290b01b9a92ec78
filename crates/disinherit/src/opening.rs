//! Opening the models that a request touches, and finding their Fisher information.

use std::collections::BTreeMap;
use std::sync::Arc;

use disinherit_registry::{CardRow, Digest, ManifestRow, Registry};
use rayon::prelude::*;
use umig::{Forget, ModelId, Scope, Umig};

use crate::cards::FisherOptions;
use crate::cards::source::Sources;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::features::Features;
use crate::layers::Layers;
use crate::method::Method;
use crate::model::LoadedModel;
use crate::models::{FEW, Keep, Models, Reach, Touched};
use crate::plan::Known;
use crate::run_options::RunOptions;

/// From how many models on the catalog is asked for all of its rows at once.
const SEVERAL: usize = 8;

/// The catalog's rows.
struct Rows {
    models: BTreeMap<ModelId, ManifestRow>,
    cards: BTreeMap<Digest, Vec<CardRow>>,
}

impl Rows {
    fn all(registry: &Registry) -> Result<Self, EngineError> {
        let models = registry.manifests()?.into_iter();
        let mut cards: BTreeMap<Digest, Vec<CardRow>> = BTreeMap::new();
        for row in registry.all_cards()? {
            cards.entry(row.model).or_default().push(row);
        }
        Ok(Self {
            models: models.map(|row| (row.id.clone(), row)).collect(),
            cards,
        })
    }
}

/// Opens the touched models, and finds their Fisher information.
pub(crate) struct Opening<'a> {
    pub(crate) engine: &'a Engine<'a>,
    pub(crate) graph: &'a Umig,
    pub(crate) method: &'a dyn Method,
    pub(crate) features: &'a Features<'a>,
    pub(crate) options: RunOptions,
    pub(crate) scope: &'a Scope,
    pub(crate) forget: &'a Forget,
}

/// The touched models, and what is known of those whose Fisher information is read.
pub(crate) type Opened = (Models, BTreeMap<ModelId, Known>);

impl Opening<'_> {
    pub(crate) fn all(&self, touched: Vec<&ModelId>) -> Result<Opened, EngineError> {
        let pool = pool(self.engine.jobs(self.options.jobs))?;
        let rows = match touched.len() > SEVERAL {
            true => Some(Rows::all(self.engine.registry())?),
            false => None,
        };
        let few = touched.len() <= FEW;
        let is_initial = |id: &&ModelId| self.scope.initial.contains(*id);
        let (initial, others): (Vec<_>, Vec<_>) = touched.into_iter().partition(is_initial);
        let (mut models, mut known) = (BTreeMap::new(), BTreeMap::new());
        // All edits read something of initial models, and what inherits from one has most in common with it.
        for ids in [initial, others] {
            let keep = |id: &ModelId| match few || is_initial(&id) {
                true => Keep::Open,
                false => Keep::Delta(self.inherited_from(id, &models)),
            };
            let open = |id: &&ModelId| self.one(id, rows.as_ref(), keep(id));
            let opened: Vec<Result<_, EngineError>> =
                pool.install(|| ids.par_iter().map(open).collect());
            // Of several errors the first is told, in the graph's order and initial models first, whichever thread
            // was faster.
            for opened in opened {
                let (id, model, fisher) = opened?;
                if let Some(fisher) = fisher {
                    known.insert(id.clone(), fisher);
                }
                models.insert(id, model);
            }
        }
        Ok((Models::new(models), known))
    }

    /// An initial model that reaches a model, opened.
    fn inherited_from<'m>(
        &self,
        id: &ModelId,
        models: &'m BTreeMap<ModelId, Touched>,
    ) -> Option<&'m Arc<LoadedModel>> {
        let mut initial = self.scope.reached_by.get(id)?.iter();
        initial.find_map(|initial| models.get(initial)?.open())
    }

    fn one(
        &self,
        id: &ModelId,
        rows: Option<&Rows>,
        keep: Keep<'_>,
    ) -> Result<(ModelId, Touched, Option<Known>), EngineError> {
        let registry = self.engine.registry();
        let row = rows.and_then(|rows| rows.models.get(id));
        let model = match row {
            Some(row) => LoadedModel::of_row(registry, self.graph, row)?,
            None => LoadedModel::open(registry, self.graph, id)?,
        };
        let runner = self.features.runner();
        let touched = |model: LoadedModel, described| {
            let (method, elsewhere) = (self.method, self.engine.runner());
            let deep = method.edits_features(self.forget, &model, elsewhere, described);
            let here = deep && elsewhere.is_none();
            let reach = Reach {
                features: deep,
                last_stage_steps: here.then(|| method.last_stage_steps(&model)).flatten(),
            };
            Touched::new(model, self.forget, reach, keep)
        };
        let Some(options) = self.method.fisher() else {
            return Ok((id.clone(), touched(model, false), None));
        };
        let cards = match rows {
            Some(rows) => rows.cards.get(&model.digest).cloned().unwrap_or_default(),
            None => registry.cards(model.digest)?,
        };
        let carded = match model.is_head_only() && options.layers != Layers::Head {
            true => carded(registry, options, &cards)?,
            false => Vec::new(),
        };
        let selected = options.layers.select(&model, runner, &carded)?;
        let sources = Sources {
            engine: self.engine,
            graph: self.graph,
            options,
            features: self.features,
            dry_run: self.options.dry_run,
        };
        let found = sources.find(&model, &cards, &selected, !self.options.plan_only)?;
        let known = Known {
            has_part: sources
                .part(self.forget, &model, &cards, &selected)?
                .is_some(),
            selected,
            found: found.kept_open(matches!(keep, Keep::Open)),
        };
        let described = known.has_activations();
        Ok((id.clone(), touched(model, described), Some(known)))
    }
}

/// The layers below its head that a model's card has.
fn carded(
    registry: &Registry,
    options: &FisherOptions,
    cards: &[CardRow],
) -> Result<Vec<String>, EngineError> {
    let estimator = options.estimator.to_string();
    let row = cards.iter().find(|row| row.estimator == estimator);
    let card = row.map(|row| registry.card_of(row)).transpose()?;
    Ok(card
        .map(|card| card.header().layers.clone())
        .unwrap_or_default())
}

/// Threads for work on many models.
pub(crate) fn pool(jobs: usize) -> Result<rayon::ThreadPool, EngineError> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(jobs)
        .build()
        .map_err(|error| EngineError::Internal(format!("cannot start {jobs} threads: {error}")))
}
