//! The rounds of training in which certainties are brought to their aims.

use std::collections::BTreeMap;

use disinherit_data::DataSet;
use disinherit_nets::{
    Augment, Capture, Odds, Optimizer, Phase, Schedule, StateDict, Teacher, Term, TrainingConfig,
    TuningJob, tune,
};
use fiun::{Matrix, argmax};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::aim::Aim;
use super::material::Material;
use super::near::nearest;
use super::observer::Observer;
use super::options::MatchingOptions;
use crate::error::EngineError;
use crate::model::is_statistic;

/// Samples of a step: forget samples, at most; retained ones drawn at random; retained ones that are near
/// forget samples.
const FORGET: usize = 60;
const RANDOM: usize = 72;
const NEAR: usize = 24;
const HELD: usize = RANDOM + NEAR;

/// The weight of held samples' log-odds beside that of the divergence, which is blind where the model is
/// nearly certain.
const HOLD_ODDS: f64 = 0.5;

/// What gradients of a tensor are shortened to.
const CLIP: f32 = 2.0;

/// The share of the learning rate that the last round has at least.
const LEAST: f64 = 0.1;

/// All rounds on one model.
pub(super) struct Rounds<'a> {
    pub(super) observer: &'a Observer<'a>,
    pub(super) options: &'a MatchingOptions,
    pub(super) material: &'a Material,
    pub(super) aim: &'a Aim,
    /// The model's weights before anything was done: what it said then is held.
    pub(super) before: &'a StateDict,
    pub(super) count: usize,
}

/// What is held: the retained samples that are near forget ones, and what the model said of all.
struct Hold {
    near: Vec<usize>,
    said: Capture,
}

/// What the model said of held samples: its logits, what it took each sample for, and how sure it was.
struct Said {
    logits: Matrix,
    rows: Vec<u32>,
    odds: Vec<f32>,
}

impl Rounds<'_> {
    /// Steps in all.
    pub(super) fn steps(&self) -> usize {
        self.count * self.steps_of_round()
    }

    /// So many that every forget sample is seen.
    fn steps_of_round(&self) -> usize {
        let forget = self.material.forget.rows.len().div_ceil(FORGET);
        self.options.steps.max(forget)
    }

    /// The weights after all rounds.
    pub(super) fn run(&self, start: StateDict) -> Result<StateDict, EngineError> {
        let title = format!("matching {}", self.observer.model.id());
        let progress = self.observer.work.progress();
        let stage = progress.stage(&title, (self.steps() * HELD) as u64);
        let hold = self.hold()?;
        let mut state = start;
        for number in 0..self.count {
            self.observer.work.go_on()?;
            let goals = self.aim.goals(self.observer, &state, self.material)?;
            let goals: Vec<f32> = goals.into_iter().map(|goal| goal as f32).collect();
            state = self.round(number, &state, &goals, &hold)?;
            stage.advance((self.steps_of_round() * HELD) as u64);
        }
        Ok(state)
    }

    /// One round: `KL(before || now)` and the distance of log-odds on retained samples, as they are and
    /// changed a little, and the distance of the forget samples' log-odds to their aims. Statistics of batch norms stay.
    fn round(
        &self,
        number: usize,
        state: &StateDict,
        goals: &[f32],
        hold: &Hold,
    ) -> Result<StateDict, EngineError> {
        let (model, forget) = (self.observer.model, &self.material.forget);
        let seed = self.options.seed ^ ((number as u64 + 1) << 32);
        let held = self.held(hold, seed)?;
        let share = 1.0 / held.len() as f64;
        let mut terms: Vec<Term<'_>> = held
            .iter()
            .map(|(set, said)| {
                let teacher = Teacher {
                    logits: &said.logits,
                    temperature: 1.0,
                    weight: share,
                };
                let odds = Odds {
                    rows: &said.rows,
                    targets: &said.odds,
                    weight: share * HOLD_ODDS,
                };
                Term {
                    odds: Some(odds),
                    ..Term::teacher(set, teacher).by(HELD)
                }
            })
            .collect();
        let odds = Odds {
            rows: &forget.rows,
            targets: goals,
            weight: 1.0,
        };
        terms.push(Term::odds(&forget.set, odds).by(FORGET));
        let [_, bias] = model.head_tensors();
        let job = TuningJob {
            architecture: &model.architecture,
            state,
            preprocessing: &model.preprocessing,
            config: &self.config(number),
            frozen: &|name| is_statistic(name) || (name == bias && !model.has_bias()),
            masks: &BTreeMap::new(),
            compute: self.observer.work.compute(),
            seed,
        };
        let phase = Phase { terms, epochs: 1 };
        let trained = tune(&job, &[phase], &mut |_| {}).map_err(EngineError::net(model.id()))?;
        Ok(trained.state)
    }

    /// What is held in a round, with what the model said of it: retained samples as they are, and where
    /// there are such, others changed a little.
    fn held(&self, hold: &Hold, seed: u64) -> Result<Vec<(DataSet, Said)>, EngineError> {
        let retained = &self.material.retained;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut draw = |count: usize, near: usize| -> Vec<usize> {
            (0..count * self.steps_of_round())
                .map(|at| match at % count < near && !hold.near.is_empty() {
                    true => hold.near[rng.random_range(0..hold.near.len())],
                    false => rng.random_range(0..retained.rows.len()),
                })
                .collect()
        };
        let plain = draw(HELD, NEAR);
        let said = hold.said.logits.select_rows(&plain);
        let mut held = vec![(retained.set.select(&plain), self.said(said)?)];
        if let Some(augment) = self.options.views_of(&retained.set) {
            let moved = retained.set.select(&draw(HELD, 0));
            if let Some(view) = augment.view(&moved, seed) {
                let said = self.observer.capture(self.before, &view)?.logits;
                held.push((view, self.said(said)?));
            }
        }
        Ok(held)
    }

    fn said(&self, logits: Matrix) -> Result<Said, EngineError> {
        let rows = logits.values().chunks_exact(logits.cols().max(1));
        let rows: Vec<u32> = rows.map(|row| argmax(row) as u32).collect();
        let odds = self.observer.of_logits(&logits, &rows)?;
        Ok(Said {
            odds: odds.into_iter().map(|odds| odds as f32).collect(),
            logits,
            rows,
        })
    }

    fn config(&self, number: usize) -> TrainingConfig {
        let done = number as f64 / self.count as f64;
        let falling = 0.5 * (1.0 + (std::f64::consts::PI * done).cos());
        TrainingConfig {
            optimizer: Optimizer::Sgd,
            learning_rate: self.options.learning_rate * (LEAST + (1.0 - LEAST) * falling),
            momentum: 0.9,
            weight_decay: 0.0,
            schedule: Schedule::Constant,
            epochs: 1,
            batch_size: HELD,
            augment: Augment::NONE,
            clip: Some(CLIP),
        }
    }

    fn hold(&self) -> Result<Hold, EngineError> {
        let Material {
            forget, retained, ..
        } = self.material;
        let said = self.observer.capture(self.before, &retained.set)?;
        let features = self.observer.capture(self.before, &forget.set)?.features;
        let near = nearest(self.observer, forget, &features, retained, &said.features)?;
        let mut near: Vec<usize> = near.into_iter().flatten().collect();
        near.sort_unstable();
        near.dedup();
        Ok(Hold { near, said })
    }
}
