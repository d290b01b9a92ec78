//! What an untouched root of the network says of a model's samples: what not knowing them looks like.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use umig::{ModelId, Umig};

use super::evaluation_set::EvaluationSet;
use super::evaluator::Evaluator;
use super::relearn::{Relearning, relearn_reset};
use super::verdicts::{Depth, Verdicts};
use crate::error::EngineError;
use crate::reference::open_untouched_root;
use crate::runner::runner_of;

/// A model that never saw the forget data, and the verdicts on it on another model's samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UntouchedRoot {
    /// Its id.
    pub id: ModelId,
    /// The verdicts. What asks for an output of the forgotten class is missing where its head has
    /// none; of relearning there is that from a neutral row alone.
    pub verdicts: Verdicts,
}

impl Evaluator<'_> {
    /// The verdicts on an untouched root of a model's network, on the model's samples; nothing where
    /// the graph has no such root. `touched` are the versions that the request touches, and `before`
    /// is how well the model knew held-out samples of the forgotten classes.
    ///
    /// # Errors
    /// [`EngineError`] when the root cannot be read, run or trained.
    pub fn untouched_root(
        &self,
        graph: &Umig,
        touched: &BTreeSet<ModelId>,
        set: &EvaluationSet,
        before: Option<f64>,
    ) -> Result<Option<UntouchedRoot>, EngineError> {
        let registry = self.engine.registry();
        let runner = runner_of(self.engine.runner(), &set.own.set)?;
        let root = open_untouched_root(registry, graph, touched, &set.model, &self.forget, runner)?;
        let Some(root) = root else {
            return Ok(None);
        };
        let state = root.state(registry)?;
        let set = self.set_for(&root, set)?;
        let seen = self.observe(&set, &state)?;
        let untrained = self.with_depth(Depth {
            relearning: false,
            ..self.depth
        });
        let mut verdicts = untrained.verdicts(&set, &state, &seen, None, None)?;
        if self.depth.relearning {
            let reset = relearn_reset(self.engine, &set, &state, &seen, before)?;
            verdicts.relearning = reset.map(|reset| Relearning {
                steps: None,
                limit: 0,
                bound: before.unwrap_or_default() / 2.0,
                reset: Some(reset),
            });
        }
        Ok(Some(UntouchedRoot {
            id: root.id().clone(),
            verdicts,
        }))
    }
}
