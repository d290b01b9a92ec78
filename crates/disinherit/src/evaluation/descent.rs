//! Plain gradient descent on forget and retained samples, with looks at the held-out ones.

use std::collections::BTreeMap;

use disinherit_data::{DataSet, Samples};
use disinherit_nets::{
    Augment, NetError, Network, Optimizer, Phase, Schedule, StateDict, Term, TrainingConfig,
    TuningJob, capture, tune,
};

use super::evaluation_set::EvaluationSet;
use super::sampling::thinned;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::model::is_statistic;

/// Samples of each kind in a step.
const BATCH: usize = 16;

/// After how many steps the model is looked at.
const LOOKS: [usize; 12] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64];

/// Held-out samples that it is looked at with, at most.
const SEEN: usize = 200;

/// The rate.
const RATE: f64 = 0.01;

/// What gradients of a tensor are shortened to.
const CLIP: f32 = 10.0;

/// What a model knew when it was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Look {
    /// Steps that were made.
    pub(super) steps: usize,
    /// The share of the held-out forget samples that it recognises.
    pub(super) accuracy: f64,
}

/// One run of the descent.
pub(super) struct Run<'a> {
    /// The weights to start from.
    pub(super) start: &'a StateDict,
    /// The model's own samples in the order in which they are taken, over and over.
    pub(super) forget: &'a [usize],
    /// Likewise.
    pub(super) retain: &'a [usize],
    /// Decides what else is drawn while it trains.
    pub(super) seed: u64,
    /// Whether batch norms keep the statistics that they have.
    pub(super) keep_statistics: bool,
}

/// A model that relearns.
pub(super) struct Relearner<'a> {
    engine: &'a Engine<'a>,
    set: &'a EvaluationSet,
    bound: f64,
    /// The held-out forget samples that it is looked at with, and their rows.
    seen: DataSet,
    rows: Vec<Option<u32>>,
}

impl<'a> Relearner<'a> {
    /// Steps that are tried, at most.
    pub(super) const LIMIT: usize = LOOKS[LOOKS.len() - 1];

    /// Relearning until half of what was known before is back; `None` where there is nothing to
    /// train on or to look at, the head has no row for it, samples are external, or nothing was
    /// known before.
    pub(super) fn new(
        engine: &'a Engine<'a>,
        set: &'a EvaluationSet,
        known_before: Option<f64>,
    ) -> Option<Self> {
        let bound = known_before.filter(|before| *before > 0.0)? / 2.0;
        let (own, heldout) = (&set.own, &set.heldout);
        let looked_at = thinned(&heldout.forget, SEEN);
        let rows: Vec<Option<u32>> = looked_at.iter().map(|&i| heldout.rows[i]).collect();
        let here = *own.set.samples() != Samples::External;
        let has_rows =
            rows.iter().all(Option::is_some) && own.forget.iter().all(|&at| own.rows[at].is_some());
        let relearner = Self {
            engine,
            set,
            bound,
            seen: heldout.set.select(&looked_at),
            rows,
        };
        let enough =
            !own.forget.is_empty() && !relearner.known_retain().is_empty() && !looked_at.is_empty();
        (here && has_rows && enough).then_some(relearner)
    }

    /// The accuracy that counts as back.
    pub(super) fn bound(&self) -> f64 {
        self.bound
    }

    /// The model's own retained samples that its head has a row for.
    pub(super) fn known_retain(&self) -> Vec<usize> {
        let own = &self.set.own;
        let known = |at: &usize| own.rows[*at].is_some();
        own.retain.iter().copied().filter(known).collect()
    }

    /// Trains until the bound is reached, or to the limit: what each look saw.
    pub(super) fn run(&self, run: &Run<'_>) -> Result<Vec<Look>, EngineError> {
        let title = format!("relearning {}", self.set.model.id());
        let stage = self.engine.progress().stage(&title, Self::LIMIT as u64);
        let mut state = run.start.clone();
        let mut looks: Vec<Look> = Vec::new();
        let mut done = 0;
        for steps in LOOKS {
            // Weights that are no numbers any more recognise nothing.
            let Some(trained) = self.train(run, &state, done, steps)? else {
                break;
            };
            state = trained;
            stage.advance((steps - done) as u64);
            done = steps;
            let accuracy = self.accuracy(&state)?;
            looks.push(Look { steps, accuracy });
            if accuracy >= self.bound {
                break;
            }
        }
        Ok(looks)
    }

    /// The weights after the steps from `done` to `look`; nothing where the descent diverged.
    fn train(
        &self,
        run: &Run<'_>,
        state: &StateDict,
        done: usize,
        look: usize,
    ) -> Result<Option<StateDict>, EngineError> {
        let (own, model) = (&self.set.own, &self.set.model);
        let part = |list: &[usize]| -> Vec<usize> {
            let range = done * BATCH..look * BATCH;
            range.map(|at| list[at % list.len()]).collect()
        };
        let [forget, retain] = [part(run.forget), part(run.retain)];
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
            frozen: &|name| run.keep_statistics && is_statistic(name),
            masks: &BTreeMap::new(),
            compute: self.engine.compute(),
            seed: run.seed + look as u64,
        };
        match tune(&job, &[phase], &mut |_| {}) {
            Ok(trained) => Ok(Some(trained.state)),
            Err(NetError::Diverged { .. }) => Ok(None),
            Err(error) => Err(EngineError::net(model.id())(error)),
        }
    }

    /// The share of the held-out forget samples that weights recognise.
    pub(super) fn accuracy(&self, state: &StateDict) -> Result<f64, EngineError> {
        let model = &self.set.model;
        let net = || EngineError::net(model.id());
        let compute = self.engine.compute();
        let network = Network::new(&model.architecture, state, compute).map_err(net())?;
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
        clip: Some(CLIP),
    }
}
