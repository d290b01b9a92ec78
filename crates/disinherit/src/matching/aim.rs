//! How certain the model should be of each forget sample: as certain as one that never saw it.
//!
//! How a sample stands for models that did not learn it is asked of a fresh network of the same
//! architecture: a kernel machine names samples by its features, having learnt those that are retained.
//! Neither has anything of the forget samples in it, so that its margins mean the same for them as for
//! unseen samples, which the model's own features would not.

use disinherit_nets::{StateDict, initial_state};
use fiun::{KernelMachine, Outside, Readings, label_weights};

use super::material::{Material, Part};
use super::observer::Observer;
use super::options::MatchingOptions;
use crate::error::EngineError;
use crate::evaluation::area::weighted_area;
use crate::model::LoadedModel;

/// Forget samples whose labels are assumed to be as frequent as among the unseen ones, beside those that
/// there are: a dozen samples say little about what labels a person or a source has.
const PRIOR: f64 = 50.0;

/// What the forget samples' certainty is brought to.
pub(super) struct Aim {
    outside: Outside,
    /// The unseen samples' margins, part after part, and their weights.
    unseen: Vec<f64>,
    weights: Vec<f64>,
}

/// How well samples are named by what did not learn them.
struct Margins {
    forget: Vec<f64>,
    trained: Vec<f64>,
    unseen: Vec<f64>,
}

impl Aim {
    pub(super) fn new(
        observer: &Observer<'_>,
        before: &StateDict,
        material: &Material,
        options: &MatchingOptions,
    ) -> Result<Self, EngineError> {
        let model = observer.model;
        let margins = Margins::new(observer, material, options)?;
        let of = |margins, odds| Readings { margins, odds };
        let mut trained = observer.odds(before, &material.known)?;
        trained.truncate(material.trained);
        let outside = Outside::new(
            of(&margins.forget, &observer.odds(before, &material.forget)?),
            of(&margins.trained, &trained),
        )
        .map_err(EngineError::fisher(model.id(), &model.manifest.head))?;
        Ok(Self {
            outside,
            unseen: margins.unseen,
            weights: label_weights(&material.forget.rows, &material.unseen_rows(), PRIOR),
        })
    }

    /// The log-odds to aim at, from what the weights say of unseen samples now.
    pub(super) fn goals(
        &self,
        observer: &Observer<'_>,
        state: &StateDict,
        material: &Material,
    ) -> Result<Vec<f64>, EngineError> {
        let model = observer.model;
        let unseen = Readings {
            margins: &self.unseen,
            odds: &observer.odds_of_all(state, &material.unseen)?,
        };
        let goals = self.outside.goals(unseen);
        goals.map_err(EngineError::fisher(model.id(), &model.manifest.head))
    }

    /// The area under the curve that tells forget samples from unseen ones by these log-odds.
    pub(super) fn area(&self, forget: &[f64], unseen: &[f64]) -> Result<f64, EngineError> {
        weighted_area(forget, unseen, &self.weights)
            .map(|area| area.value)
            .ok_or_else(|| EngineError::Internal("no unseen sample has any weight".into()))
    }
}

impl Margins {
    /// All alike where the head is all that is known: features that the model made have the forget samples
    /// in them.
    fn new(
        observer: &Observer<'_>,
        material: &Material,
        options: &MatchingOptions,
    ) -> Result<Self, EngineError> {
        let (model, unseen) = (observer.model, material.unseen_rows());
        if model.is_head_only() {
            return Ok(Self {
                forget: vec![0.0; material.forget.rows.len()],
                trained: vec![0.0; material.trained],
                unseen: vec![0.0; unseen.len()],
            });
        }
        let fresh = initial_state(&model.architecture, seed(model, options));
        let fresh = fresh.map_err(EngineError::net(model.id()))?;
        let refused = || EngineError::fisher(model.id(), &model.manifest.head);
        let known = observer.capture(&fresh, &material.known.set)?.features;
        let classes = model.architecture.classes;
        let machine = KernelMachine::new(known, material.known.rows.clone(), classes);
        let machine = machine.map_err(refused())?;
        let margins = |part: &Part| {
            let features = observer.capture(&fresh, &part.set)?.features;
            let margins = machine.margins(features.view(), &part.rows);
            margins.map_err(refused())
        };
        let mut of_unseen = Vec::with_capacity(unseen.len());
        for part in &material.unseen {
            of_unseen.extend(margins(part)?);
        }
        let own = machine.without_each(material.trained);
        Ok(Self {
            forget: margins(&material.forget)?,
            trained: own.map_err(refused())?,
            unseen: of_unseen,
        })
    }
}

/// Each model has a fresh network of its own, and the same one each time.
fn seed(model: &LoadedModel, options: &MatchingOptions) -> u64 {
    let digest = model.digest.to_string();
    let own = digest.get(..16).map(|word| u64::from_str_radix(word, 16));
    own.and_then(Result::ok).unwrap_or_default() ^ options.seed
}
