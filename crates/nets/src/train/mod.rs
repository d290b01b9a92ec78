//! Training: from one state to the next.

mod config;
mod noise;
mod objective;

use std::collections::BTreeMap;

use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Tensor, TensorData};
use disinherit_data::DataSet;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use self::objective::Objective;
use crate::architecture::Architecture;
use crate::array::StateDict;
use crate::device::Compute;
use crate::device_network::{DeviceNetwork, read};
use crate::error::NetError;
use crate::input::Preprocessing;

pub use self::config::{Optimizer, Schedule, TrainingConfig};
pub use self::noise::{Noise, error_maximising_noise};
pub use self::objective::{Phase, Source, Teacher, Term};

/// What happened in one epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EpochReport {
    /// The epoch, from 1.
    pub epoch: usize,
    /// The mean training loss.
    pub loss: f64,
    /// The accuracy on the batches as they were trained on, 0 to 1.
    pub accuracy: f64,
}

/// What a training reports while it runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum TrainingEvent {
    /// So many samples were trained on.
    Samples(usize),
    /// An epoch is over.
    Epoch(EpochReport),
}

/// Everything a training starts from.
pub struct TrainingJob<'a> {
    /// The network.
    pub architecture: &'a Architecture,
    /// The weights to start from.
    pub state: &'a StateDict,
    /// The training data.
    pub set: &'a DataSet,
    /// The head row of each sample's label.
    pub rows: &'a [u32],
    /// How pixels become numbers.
    pub preprocessing: &'a Preprocessing,
    /// How to train.
    pub config: &'a TrainingConfig,
    /// Tensors that stay as they are, by full name.
    pub frozen: &'a dyn Fn(&str) -> bool,
    /// Where to compute.
    pub compute: Compute,
    /// Decides the order of samples, dropout and augmentation.
    pub seed: u64,
}

/// Everything a tuning starts from: as [`TrainingJob`], with an objective of one's own.
pub struct TuningJob<'a> {
    /// The network.
    pub architecture: &'a Architecture,
    /// The weights to start from.
    pub state: &'a StateDict,
    /// How pixels become numbers.
    pub preprocessing: &'a Preprocessing,
    /// How to train; its epochs are not read, every phase has its own.
    pub config: &'a TrainingConfig,
    /// Tensors that stay as they are, by full name.
    pub frozen: &'a dyn Fn(&str) -> bool,
    /// For the tensors named here, which values may change: 1 may, 0 may not.
    pub masks: &'a BTreeMap<String, Vec<f32>>,
    /// Where to compute.
    pub compute: Compute,
    /// Decides the order of samples, dropout and augmentation.
    pub seed: u64,
}

/// A finished training.
#[derive(Debug, Clone)]
pub struct Trained {
    /// The new weights.
    pub state: StateDict,
    /// What happened, epoch by epoch.
    pub epochs: Vec<EpochReport>,
}

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
    let device = job.compute.device().autodiff();
    let mut network = DeviceNetwork::on(job.architecture, job.state, device.clone(), job.frozen)?;
    let objectives = phases
        .iter()
        .map(|phase| Objective::new(job, phase, &device))
        .collect::<Result<Vec<_>, NetError>>()?;
    let steps = objectives.iter().map(|o| o.epochs() * o.batches()).sum();
    let mut tuning = Tuning {
        job,
        optimizer: job.config.optimizer(),
        masks: masks(job, &device.clone().inner()),
        done: 0,
        steps,
        number: 0,
    };
    let mut epochs = Vec::new();
    for mut objective in objectives {
        for _ in 0..objective.epochs() {
            let report = tuning.epoch(&mut network, &mut objective, &mut rng, progress)?;
            progress(TrainingEvent::Epoch(report));
            epochs.push(report);
        }
    }
    network.layers = network.layers.valid();
    let state = network.state()?;
    job.architecture.check(&state)?;
    Ok(Trained { state, epochs })
}

fn masks(job: &TuningJob<'_>, device: &Device) -> BTreeMap<String, Tensor<1>> {
    job.masks
        .iter()
        .map(|(name, mask)| {
            let data = TensorData::new(mask.clone(), [mask.len()]);
            (name.clone(), Tensor::from_data(data, device))
        })
        .collect()
}

/// The gradient of the mean cross-entropy over a data set, tensor by tensor, in evaluation's order
/// of samples but with batch statistics, as a training step would see it.
///
/// # Errors
/// As [`train`].
pub fn loss_gradient(job: &TrainingJob<'_>) -> Result<StateDict, NetError> {
    let device = job.compute.device().autodiff();
    let network = DeviceNetwork::on(job.architecture, job.state, device.clone(), job.frozen)?;
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
    let mut objective = Objective::new(&tuning, &phase, &device)?;
    let mut sum = StateDict::new();
    let order: Vec<usize> = (0..job.set.len()).collect();
    for batch in order.chunks(job.config.batch_size.max(1)) {
        let loss = objective.first(&network, batch)?;
        let share = batch.len() as f32 / job.set.len() as f32;
        for (name, gradient) in network.gradients(&loss.backward())? {
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
    optimizer: ModuleOptimizer,
    masks: BTreeMap<String, Tensor<1>>,
    done: usize,
    steps: usize,
    number: usize,
}

impl Tuning<'_> {
    fn epoch(
        &mut self,
        network: &mut DeviceNetwork,
        objective: &mut Objective<'_>,
        rng: &mut ChaCha8Rng,
        progress: &mut dyn FnMut(TrainingEvent),
    ) -> Result<EpochReport, NetError> {
        self.number += 1;
        objective.shuffle(rng);
        let (mut loss_sum, mut right, mut count) = (0.0, 0usize, 0usize);
        for step in 0..objective.batches() {
            let done = self.done as f64 / self.steps as f64;
            let made = objective.step(network, step, rng)?;
            let value = f64::from(
                read(made.loss.clone().inner())?
                    .first()
                    .copied()
                    .unwrap_or(f32::NAN),
            );
            if !value.is_finite() {
                return Err(NetError::Diverged {
                    epoch: self.number,
                    loss: value,
                    rate: self.job.config.learning_rate,
                });
            }
            loss_sum += value * made.samples as f64;
            right += made.right;
            count += made.samples;
            let gradients = GradientsParams::from_grads(made.loss.backward(), &network.layers);
            let layers = network.layers.clone();
            let before = (!self.masks.is_empty()).then(|| layers.clone());
            let rate = self.job.config.rate(done);
            network.layers = self.optimizer.step(rate, layers, gradients);
            if let Some(before) = before {
                network.hold(&before, &self.masks);
            }
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

/// Orders of samples that start over when they end.
struct Turns {
    order: Vec<usize>,
    next: usize,
}

impl Turns {
    fn new(count: usize) -> Self {
        Self {
            order: (0..count).collect(),
            next: 0,
        }
    }

    fn shuffle(&mut self, rng: &mut ChaCha8Rng) {
        self.order.shuffle(rng);
        self.next = 0;
    }

    /// The next samples: fewer at the end of the order, never none where there are any.
    fn take(&mut self, count: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
        if self.next >= self.order.len() {
            self.shuffle(rng);
        }
        let end = (self.next + count).min(self.order.len());
        let taken = self.order[self.next..end].to_vec();
        self.next = end;
        taken
    }
}
