//! Matching: single samples are forgotten by bringing each to the certainty that a model which never saw it
//! would have, while what the model says of the rest is held in place.
//!
//! Dampening takes what belongs to a class. A few samples of many classes have little in the weights that
//! is theirs alone, and a model that has forgotten them is still right about most of them: what gives
//! them away is that it is too sure. The aims come from samples that the model never saw
//! ([`fiun::Outside`]); they are taken anew every few steps, because a model that grows less sure of some
//! samples grows less sure of others too.
//!
//! Initial models first; their descendants start with most of the initial models' change and need fewer
//! steps, each alone. The plan has two stages however deep the graph is.

mod aim;
mod material;
mod near;
mod observer;
mod options;
mod rounds;

use std::collections::BTreeSet;

use disinherit_nets::{StateDict, add_change, difference};
use disinherit_registry::{MatchedSamples, MethodName};
use serde_json::{Value, json};
use umig::{Forget, ModelId, Scope, Umig};

use self::aim::Aim;
use self::material::Material;
use self::observer::Observer;
use self::rounds::Rounds;
use crate::error::{EngineError, Hint};
use crate::evidence::Evidence;
use crate::method::{Edit, Method};
use crate::model::LoadedModel;
use crate::runner::Runner;
use crate::work::Work;

pub use self::options::MatchingOptions;

/// What samples are brought to, by its number: drafts of aims that were taken in another way, whose settings
/// have another number or none, are not taken up.
const AIMS: u64 = 2;

/// The method for single samples and sources.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Matching {
    options: MatchingOptions,
}

impl Matching {
    /// Matching with options.
    pub fn new(options: MatchingOptions) -> Self {
        Self { options }
    }
}

impl Method for Matching {
    fn name(&self) -> MethodName {
        MethodName::new("matching")
    }

    fn settings(&self) -> Result<Value, EngineError> {
        let mut settings =
            serde_json::to_value(&self.options).map_err(EngineError::json("settings"))?;
        settings["aims"] = json!(AIMS);
        Ok(settings)
    }

    fn check(&self, forget: &Forget) -> Result<(), EngineError> {
        if let Forget::Classes(_) = forget {
            return Err(EngineError::Unsupported {
                reason: format!(
                    "`{}` forgets samples and sources: of a whole class no unseen sample says how \
                     certain a model should be ({forget})",
                    self.name()
                ),
                hint: Some(Hint::UseFiun),
            });
        }
        self.options.check()
    }

    fn waits_for(&self, model: &ModelId, _graph: &Umig, scope: &Scope) -> BTreeSet<ModelId> {
        if scope.initial.contains(model) {
            return BTreeSet::new();
        }
        scope.reached_by.get(model).cloned().unwrap_or_default()
    }

    fn purpose(&self, level: usize) -> &'static str {
        match level {
            0 => {
                "bring the forgotten samples to the certainty of unseen ones in the initial models"
            }
            _ => {
                "take over the initial models' change in every inherited model, then match there too"
            }
        }
    }

    fn edits_features(&self, _: &Forget, _: &LoadedModel, _: Option<&dyn Runner>, _: bool) -> bool {
        true
    }

    fn edit(
        &self,
        work: &Work<'_>,
        model: &LoadedModel,
        _: Option<&Evidence>,
    ) -> Result<Edit, EngineError> {
        let material = Material::collect(work, model, self.options.seed)?;
        let observer = Observer { work, model };
        let before = model.state(work.registry())?;
        let aim = Aim::new(&observer, &before, &material, &self.options)?;
        let (start, carried) = self.start(work, model, &before)?;
        let rounds = Rounds {
            observer: &observer,
            options: &self.options,
            material: &material,
            aim: &aim,
            before: &before,
            count: self.options.rounds(carried.is_some()),
        };
        let after = rounds.run(start)?;
        let unseen = |state: &StateDict| observer.odds_of_all(state, &material.unseen);
        let area =
            |state: &StateDict| aim.area(&observer.odds(state, &material.forget)?, &unseen(state)?);
        let goals = aim.goals(&observer, &after, &material)?;
        let matched = MatchedSamples {
            forgotten: material.forget.rows.len(),
            retained: material.retained.rows.len(),
            unseen: material.unseen.iter().map(|part| part.rows.len()).sum(),
            steps: rounds.steps(),
            carried,
            views: self.options.views_of(&material.forget.set).is_some(),
            head_only: model.is_head_only(),
            area: [area(&before)?, area(&after)?],
            aim: aim.area(&goals, &unseen(&after)?)?,
        };
        Ok(Edit {
            matched: Some(matched),
            ..Edit::from_state(work.registry(), model, &after)?
        })
    }
}

impl Matching {
    /// The weights to start from, and the share of the initial models' change in them.
    fn start(
        &self,
        work: &Work<'_>,
        model: &LoadedModel,
        before: &StateDict,
    ) -> Result<(StateDict, Option<f64>), EngineError> {
        let mut start = before.clone();
        if work.scope().initial.contains(model.id()) {
            return Ok((start, None));
        }
        let mut initial = work.reached_by(model.id());
        // What is taken out of use has no change to carry over.
        initial.retain(|id| !work.is_retired(id));
        if initial.is_empty() {
            return Ok((start, None));
        }
        let share = self.options.carry / initial.len().max(1) as f64;
        for id in &initial {
            let opened = work.model(id)?;
            let (after, labels) = work.current_state(id)?;
            let mut change = difference(&after, &opened.state(work.registry())?);
            if labels != model.manifest.labels {
                // Rows of other labels are other rows.
                let head = opened.head_tensors();
                change.retain(|name, _| !head.contains(name));
            }
            add_change(&mut start, &change, share as f32);
        }
        Ok((start, Some(self.options.carry)))
    }
}
