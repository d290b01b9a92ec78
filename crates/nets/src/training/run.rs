//! Training: from one state to the next.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::choose::engine;
use super::engine::{Engine, Turn};
use super::job::{EpochReport, Trained, TrainingEvent, TrainingJob, TuningJob};
use super::objective::Objective;
use super::term::{Phase, Term};
use crate::array::StateDict;
use crate::error::NetError;

/// Trains a network by cross-entropy. `progress` is told of every step and every finished epoch.
///
/// # Errors
/// [`NetError`] when the configuration is out of range, the data or the weights do not fit, the
/// loss stops being a number, or the device fails.
pub fn train(
    job: &TrainingJob<'_>,
    progress: &mut dyn FnMut(TrainingEvent),
) -> Result<Trained, NetError> {
    let phase = Phase {
        terms: vec![Term::labels(job.set, job.rows, 1.0)],
        epochs: job.config.epochs,
    };
    let job = TuningJob {
        architecture: job.architecture,
        state: job.state,
        preprocessing: job.preprocessing,
        config: job.config,
        frozen: job.frozen,
        masks: &BTreeMap::new(),
        compute: job.compute,
        seed: job.seed,
    };
    tune(&job, &[phase], progress)
}

/// Trains a network on a sum of terms, phase after phase. An epoch of a phase is one pass over its
/// first term's samples; the samples of the others are repeated as often as that takes.
///
/// # Errors
/// As [`train`].
pub fn tune(
    job: &TuningJob<'_>,
    phases: &[Phase<'_>],
    progress: &mut dyn FnMut(TrainingEvent),
) -> Result<Trained, NetError> {
    job.config.check()?;
    let mut rng = ChaCha8Rng::seed_from_u64(job.seed);
    let mut engine = engine(job)?;
    let objectives = phases.iter().map(|phase| Objective::new(job, phase));
    let objectives = objectives.collect::<Result<Vec<_>, NetError>>()?;
    let steps: usize = objectives.iter().map(|o| o.epochs() * o.batches()).sum();
    let mut tuning = Tuning {
        job,
        done: 0,
        steps,
        number: 0,
    };
    let mut epochs = Vec::new();
    for mut objective in objectives {
        for _ in 0..objective.epochs() {
            let report = tuning.epoch(&mut *engine, &mut objective, &mut rng, progress)?;
            progress(TrainingEvent::Epoch(report));
            epochs.push(report);
        }
    }
    let state = engine.finish()?;
    job.architecture.check(&state)?;
    Ok(Trained { state, epochs })
}

/// The gradient of the mean cross-entropy over a data set, tensor by tensor, in evaluation's order
/// of samples but with batch statistics, as a training step would see it.
///
/// # Errors
/// As [`train`].
pub fn loss_gradient(job: &TrainingJob<'_>) -> Result<StateDict, NetError> {
    let tuning = TuningJob {
        architecture: job.architecture,
        state: job.state,
        preprocessing: job.preprocessing,
        config: job.config,
        frozen: job.frozen,
        masks: &BTreeMap::new(),
        compute: job.compute,
        seed: job.seed,
    };
    let phase = Phase {
        terms: vec![Term::labels(job.set, job.rows, 1.0)],
        epochs: 1,
    };
    let mut engine = engine(&tuning)?;
    let objective = Objective::new(&tuning, &phase)?;
    let mut sum = StateDict::new();
    let order: Vec<usize> = (0..job.set.len()).collect();
    for batch in order.chunks(job.config.batch_size.max(1)) {
        let share = batch.len() as f32 / job.set.len() as f32;
        for (name, gradient) in engine.gradient(&objective, batch)? {
            match sum.get_mut(&name) {
                Some(total) => {
                    let pairs = total.values.iter_mut().zip(&gradient.values);
                    pairs.for_each(|(total, value)| *total += share * value);
                }
                None => {
                    let mut gradient = gradient;
                    gradient.values.iter_mut().for_each(|v| *v *= share);
                    sum.insert(name, gradient);
                }
            }
        }
    }
    Ok(sum)
}

/// A tuning on its way.
struct Tuning<'a> {
    job: &'a TuningJob<'a>,
    done: usize,
    steps: usize,
    number: usize,
}

impl Tuning<'_> {
    fn epoch(
        &mut self,
        engine: &mut (dyn Engine + '_),
        objective: &mut Objective<'_>,
        rng: &mut ChaCha8Rng,
        progress: &mut dyn FnMut(TrainingEvent),
    ) -> Result<EpochReport, NetError> {
        self.number += 1;
        objective.shuffle(rng);
        let (mut loss_sum, mut right, mut count) = (0.0, 0usize, 0usize);
        for step in 0..objective.batches() {
            let done = self.done as f64 / self.steps as f64;
            let rate = self.job.config.rate(done);
            let made = engine.step(objective, Turn { step, rate }, rng)?;
            if !made.loss.is_finite() {
                return Err(NetError::Diverged {
                    epoch: self.number,
                    loss: made.loss,
                    rate: self.job.config.learning_rate,
                });
            }
            loss_sum += made.loss * made.samples as f64;
            right += made.right;
            count += made.samples;
            self.done += 1;
            progress(TrainingEvent::Samples(made.samples));
        }
        Ok(EpochReport {
            epoch: self.number,
            loss: loss_sum / count.max(1) as f64,
            accuracy: right as f64 / count.max(1) as f64,
        })
    }
}
