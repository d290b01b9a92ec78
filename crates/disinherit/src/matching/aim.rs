//! How certain the model should be of each forget sample.

use disinherit_nets::StateDict;
use fiun::{label_weights, weighted_quantiles};

use super::material::Material;
use super::observer::Observer;
use crate::error::EngineError;
use crate::evaluation::area::weighted_area;

/// Forget samples whose labels are assumed to be as frequent as among the unseen ones, beside those that
/// there are: a dozen samples say little about what labels a person or a source has.
const PRIOR: f64 = 50.0;

/// The share of unseen samples that are harder than each forget sample, and the unseen samples' weights.
pub(super) struct Aim {
    levels: Vec<f64>,
    weights: Vec<f64>,
}

impl Aim {
    pub(super) fn new(material: &Material, levels: Vec<f64>) -> Self {
        Self {
            levels,
            weights: label_weights(&material.forget.rows, &material.unseen_rows(), PRIOR),
        }
    }

    /// The log-odds to aim at, from what the weights say of unseen samples now.
    pub(super) fn goals(
        &self,
        observer: &Observer<'_>,
        state: &StateDict,
        material: &Material,
    ) -> Result<Vec<f32>, EngineError> {
        let unseen = observer.odds_of_all(state, &material.unseen)?;
        let model = observer.model;
        let goals = weighted_quantiles(&unseen, &self.weights, &self.levels)
            .map_err(EngineError::fisher(model.id(), &model.manifest.head))?;
        Ok(goals.into_iter().map(|goal| goal as f32).collect())
    }

    /// The area under the curve that tells forget samples from unseen ones by these log-odds.
    pub(super) fn area(&self, forget: &[f64], unseen: &[f64]) -> Result<f64, EngineError> {
        weighted_area(forget, unseen, &self.weights)
            .map(|area| area.value)
            .ok_or_else(|| EngineError::Internal("no unseen sample has any weight".into()))
    }

    /// The area where every aim is met.
    pub(super) fn expected(&self) -> f64 {
        self.levels.iter().sum::<f64>() / self.levels.len().max(1) as f64
    }
}
