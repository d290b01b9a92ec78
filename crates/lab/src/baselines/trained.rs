//! Methods that train on one model at a time, as methods of the engine.

use disinherit::{Edit, EngineError, Evidence, LoadedModel, Method, Work};
use disinherit_nets::StateDict;
use disinherit_registry::MethodName;
use serde_json::{Value, json};
use umig::Forget;

use super::kind::MethodKind;
use super::sets::Sets;
use super::settings::Settings;
use super::tuning::Tuning;

/// What a method makes of one model: its new weights.
pub(super) type Weights = fn(&Tuning<'_>) -> Result<StateDict, EngineError>;

/// A method that edits every touched model by training on that model's own data.
pub(super) struct Trained {
    pub(super) method: MethodKind,
    pub(super) classes_only: bool,
    pub(super) weights: Weights,
    pub(super) settings: Settings,
}

/// Settings as JSON, for telling drafts apart.
pub(super) fn settings(settings: &Settings) -> Result<Value, EngineError> {
    serde_json::to_value(settings)
        .map(|settings| json!({"training": settings}))
        .map_err(EngineError::json("settings"))
}

impl Method for Trained {
    fn name(&self) -> MethodName {
        MethodName::new(self.method.name())
    }

    fn settings(&self) -> Result<Value, EngineError> {
        settings(&self.settings)
    }

    fn check(&self, forget: &Forget) -> Result<(), EngineError> {
        if self.classes_only && !matches!(forget, Forget::Classes(_)) {
            return Err(EngineError::Unsupported {
                reason: format!("`{}` serves whole classes only, not {forget}", self.method),
                hint: None,
            });
        }
        Ok(())
    }

    fn learns_retained(&self) -> bool {
        self.method != MethodKind::Mask
    }

    fn edit(
        &self,
        work: &Work<'_>,
        model: &LoadedModel,
        _: Option<&Evidence>,
    ) -> Result<Edit, EngineError> {
        let sets = Sets::find(work, model, self.method)?;
        let tuning = Tuning {
            method: self.method,
            settings: &self.settings,
            compute: work.compute(),
            sets: &sets,
            progress: work.progress(),
        };
        Edit::from_state(work.registry(), model, &(self.weights)(&tuning)?)
    }
}
