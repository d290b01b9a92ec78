//! Relearning: how many steps bring the forgotten classes back?

use std::collections::BTreeMap;

use disinherit_data::DataSet;
use disinherit_nets::{
    Augment, Compute, Network, Optimizer, Phase, Schedule, StateDict, Term, TrainingConfig,
    TuningJob, capture, tune,
};
use serde::{Deserialize, Serialize};

use super::evaluation_set::EvaluationSet;
use super::membership::thinned;
use crate::engine::Engine;
use crate::error::EngineError;

/// Samples of each kind in a step.
const BATCH: usize = 16;

/// After how many steps the model is looked at.
const LOOKS: [usize; 12] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64];

/// Held-out samples that it is looked at with, at most.
const SEEN: usize = 200;

/// The rate of plain gradient descent.
const RATE: f64 = 0.01;

/// How fast the forgotten classes come back (after Chundawat et al., arXiv:2201.05629): plain
/// gradient descent, rate 0.01, 16 forget and 16 retained training samples a step, until held-out
/// accuracy on the forgotten classes is half of what it was before unlearning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Relearning {
    /// Steps after which it was back; `None` when it was not after `limit`.
    pub steps: Option<usize>,
    /// Steps that were tried.
    pub limit: usize,
    /// The accuracy that counts as back.
    pub bound: f64,
}

/// Relearns from some weights; `None` where there is no forget data to train on or to look at, or
/// the class was not known before.
pub(super) fn relearn(
    engine: &Engine<'_>,
    set: &EvaluationSet,
    state: &StateDict,
    known_before: Option<f64>,
) -> Result<Option<Relearning>, EngineError> {
    let bound = match known_before {
        Some(before) if before > 0.0 => before / 2.0,
        _ => return Ok(None),
    };
    let looked_at = thinned(&set.heldout.forget, SEEN);
    if set.own.forget.is_empty() || set.own.retain.is_empty() || looked_at.is_empty() {
        return Ok(None);
    }
    let relearner = Relearner {
        set,
        compute: engine.compute(),
        seen: set.heldout.set.select(&looked_at),
        rows: looked_at.iter().map(|&i| set.heldout.rows[i]).collect(),
    };
    let limit = LOOKS[LOOKS.len() - 1];
    let title = format!("relearning {}", set.model.id());
    let stage = engine.progress().stage(&title, limit as u64);
    let mut state = state.clone();
    let mut done = 0;
    for look in LOOKS {
        state = relearner.train(&state, done, look)?;
        stage.advance((look - done) as u64);
        done = look;
        if relearner.accuracy(&state)? >= bound {
            return Ok(Some(Relearning {
                steps: Some(look),
                limit,
                bound,
            }));
        }
    }
    Ok(Some(Relearning {
        steps: None,
        limit: done,
        bound,
    }))
}

/// A model that relearns.
struct Relearner<'a> {
    set: &'a EvaluationSet,
    compute: Compute,
    /// The held-out forget samples that it is looked at with, and their rows.
    seen: DataSet,
    rows: Vec<Option<u32>>,
}

impl Relearner<'_> {
    /// The weights after the steps from `done` to `look`.
    fn train(&self, state: &StateDict, done: usize, look: usize) -> Result<StateDict, EngineError> {
        let (own, model) = (&self.set.own, &self.set.model);
        let part = |list: &[usize]| -> Vec<usize> {
            let range = done * BATCH..look * BATCH;
            range.map(|at| list[at % list.len()]).collect()
        };
        let [forget, retain] = [part(&own.forget), part(&own.retain)];
        let labels = |picked: &[usize]| -> Vec<u32> {
            picked.iter().filter_map(|&at| own.rows[at]).collect()
        };
        let sets = [own.set.select(&forget), own.set.select(&retain)];
        let targets = [labels(&forget), labels(&retain)];
        let phase = Phase {
            terms: vec![
                Term::labels(&sets[0], &targets[0], 0.5),
                Term::labels(&sets[1], &targets[1], 0.5),
            ],
            epochs: 1,
        };
        let job = TuningJob {
            architecture: &model.architecture,
            state,
            preprocessing: &model.preprocessing,
            config: &plain_descent(),
            frozen: &|_| false,
            masks: &BTreeMap::new(),
            compute: self.compute,
            seed: look as u64,
        };
        let tuned = tune(&job, &[phase], &mut |_| {});
        Ok(tuned.map_err(EngineError::net(model.id()))?.state)
    }

    /// The share of the held-out forget samples that weights recognise.
    fn accuracy(&self, state: &StateDict) -> Result<f64, EngineError> {
        let model = &self.set.model;
        let net = || EngineError::net(model.id());
        let network = Network::new(&model.architecture, state, self.compute).map_err(net())?;
        let captured =
            capture(&network, &self.seen, &model.preprocessing, &mut |_| {}).map_err(net())?;
        let said = captured.predictions();
        let right = said
            .iter()
            .zip(&self.rows)
            .filter(|(s, r)| Some(**s) == **r);
        Ok(right.count() as f64 / self.rows.len() as f64)
    }
}

/// Plain gradient descent, an epoch at a time.
fn plain_descent() -> TrainingConfig {
    TrainingConfig {
        optimizer: Optimizer::Sgd,
        learning_rate: RATE,
        momentum: 0.0,
        weight_decay: 0.0,
        schedule: Schedule::Constant,
        epochs: 1,
        batch_size: BATCH,
        augment: Augment::NONE,
        clip: Some(10.0),
    }
}
