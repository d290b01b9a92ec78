//! Opening the models that a request touches, and finding their Fisher information.

use std::collections::BTreeMap;

use rayon::prelude::*;
use umig::{ModelId, Umig};

use crate::cards::source::Sources;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::features::Features;
use crate::method::Method;
use crate::model::LoadedModel;
use crate::plan::Known;
use crate::run_options::RunOptions;

/// Opens the touched models, and finds their Fisher information.
pub(crate) struct Opening<'a> {
    pub(crate) engine: &'a Engine<'a>,
    pub(crate) graph: &'a Umig,
    pub(crate) method: &'a dyn Method,
    pub(crate) features: &'a Features<'a>,
    pub(crate) options: RunOptions,
}

/// The opened models, and what is known of those whose Fisher information is read.
pub(crate) type Opened = (BTreeMap<ModelId, LoadedModel>, BTreeMap<ModelId, Known>);

impl Opening<'_> {
    pub(crate) fn all(&self, touched: Vec<&ModelId>) -> Result<Opened, EngineError> {
        let pool = pool(self.engine.jobs(self.options.jobs))?;
        let opened: Vec<Result<_, EngineError>> =
            pool.install(|| touched.par_iter().map(|id| self.one(id)).collect());
        let (mut models, mut known) = Opened::default();
        // Of several errors the first in the graph's order is told, whichever thread was faster.
        for opened in opened {
            let (model, fisher) = opened?;
            if let Some(fisher) = fisher {
                known.insert(model.id().clone(), fisher);
            }
            models.insert(model.id().clone(), model);
        }
        Ok((models, known))
    }

    fn one(&self, id: &ModelId) -> Result<(LoadedModel, Option<Known>), EngineError> {
        let model = LoadedModel::open(self.engine.registry(), self.graph, id)?;
        let Some(options) = self.method.fisher() else {
            return Ok((model, None));
        };
        let selected = options.layers.of(&model, self.features.runner())?;
        let sources = Sources {
            engine: self.engine,
            graph: self.graph,
            options,
            features: self.features,
            dry_run: self.options.dry_run,
        };
        let found = sources.find(&model, &selected, !self.options.plan_only)?;
        Ok((model, Some(Known { selected, found })))
    }
}

/// Threads for work on many models.
pub(crate) fn pool(jobs: usize) -> Result<rayon::ThreadPool, EngineError> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(jobs)
        .build()
        .map_err(|error| EngineError::Internal(format!("cannot start {jobs} threads: {error}")))
}
