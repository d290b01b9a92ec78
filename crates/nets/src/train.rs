//! Training: from one state to the next.

use burn::module::Module;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer, SgdConfig};
use burn::tensor::{Int, Tensor, TensorData};
use data::DataSet;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::device_network::{DeviceNetwork, read};
use crate::input::Images;
use crate::{Architecture, Compute, NetError, Preprocessing, StateDict};

/// The rule that turns gradients into steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Optimizer {
    /// Stochastic gradient descent with momentum.
    Sgd,
    /// Adam (Kingma and Ba, arXiv:1412.6980).
    Adam,
}

/// How the learning rate changes over a training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Not at all.
    Constant,
    /// Divided by 10 when the given shares (0 to 1) of the epochs are over.
    Step(Vec<f64>),
    /// Down to 0 along half a cosine, step by step.
    Cosine,
}

/// How to train.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainingConfig {
    /// The optimizer.
    pub optimizer: Optimizer,
    /// The learning rate at the start.
    pub learning_rate: f64,
    /// SGD's momentum.
    pub momentum: f64,
    /// The L2 penalty.
    pub weight_decay: f64,
    /// How the learning rate changes.
    pub schedule: Schedule,
    /// Passes over the data.
    pub epochs: usize,
    /// Samples per step.
    pub batch_size: usize,
    /// Whether images are mirrored and shifted at random.
    pub augment: bool,
}

impl Default for TrainingConfig {
    /// The paper's settings (arXiv:2408.08493, Section 6), with the number of epochs left low.
    fn default() -> Self {
        Self {
            optimizer: Optimizer::Sgd,
            learning_rate: 0.1,
            momentum: 0.9,
            weight_decay: 5e-4,
            schedule: Schedule::Constant,
            epochs: 10,
            batch_size: 64,
            augment: false,
        }
    }
}

impl TrainingConfig {
    fn check(&self) -> Result<(), NetError> {
        let refuse = |what: &str| Err(NetError::Training(what.to_owned()));
        if self.epochs == 0 || self.batch_size == 0 {
            return refuse("epochs and batch_size must be at least 1");
        }
        if !(self.learning_rate.is_finite() && self.learning_rate > 0.0) {
            return refuse("learning_rate must be a positive number");
        }
        if !(0.0..1.0).contains(&self.momentum) {
            return refuse("momentum must be at least 0 and below 1");
        }
        if !(self.weight_decay.is_finite() && self.weight_decay >= 0.0) {
            return refuse("weight_decay must be at least 0");
        }
        Ok(())
    }

    fn optimizer(&self) -> ModuleOptimizer {
        let decay =
            (self.weight_decay > 0.0).then(|| WeightDecayConfig::new(self.weight_decay as f32));
        match self.optimizer {
            Optimizer::Sgd => {
                // PyTorch's momentum has no dampening; burn's default has.
                let momentum = (self.momentum > 0.0).then(|| {
                    MomentumConfig::new()
                        .with_momentum(self.momentum)
                        .with_dampening(0.0)
                });
                SgdConfig::new()
                    .with_momentum(momentum)
                    .with_weight_decay(decay)
                    .init()
            }
            Optimizer::Adam => AdamConfig::new()
                .with_epsilon(1e-8)
                .with_weight_decay(decay)
                .init(),
        }
    }

    /// The learning rate when `done` (0 to 1) of the training is over.
    fn rate(&self, done: f64) -> f64 {
        match &self.schedule {
            Schedule::Constant => self.learning_rate,
            Schedule::Step(shares) => {
                let passed = shares.iter().filter(|share| done >= **share).count();
                self.learning_rate * 0.1f64.powi(passed as i32)
            }
            Schedule::Cosine => {
                self.learning_rate * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
            }
        }
    }
}

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

/// A finished training.
#[derive(Debug, Clone)]
pub struct Trained {
    /// The new weights.
    pub state: StateDict,
    /// What happened, epoch by epoch.
    pub epochs: Vec<EpochReport>,
}

/// Trains a network. `progress` is told of every step and every finished epoch.
///
/// # Errors
/// [`NetError`] when the configuration is out of range, the data or the weights do not fit, the
/// loss stops being a number, or the device fails.
pub fn train(
    job: &TrainingJob<'_>,
    progress: &mut dyn FnMut(TrainingEvent),
) -> Result<Trained, NetError> {
    job.config.check()?;
    if job.set.is_empty() {
        return Err(NetError::Training(
            "there are no samples to train on".into(),
        ));
    }
    let classes = job.architecture.classes;
    if job.rows.len() != job.set.len() || job.rows.iter().any(|row| *row as usize >= classes) {
        return Err(NetError::Data(format!(
            "every sample needs a label among the head's {classes} rows"
        )));
    }
    let device = job.compute.device().autodiff();
    let mut network = DeviceNetwork::on(job.architecture, job.state, device, job.frozen)?;
    let images = Images::new(job.set, job.architecture.input, job.preprocessing)?;
    let mut optimizer = job.config.optimizer();
    let mut rng = ChaCha8Rng::seed_from_u64(job.seed);
    let mut order: Vec<usize> = (0..job.set.len()).collect();
    let mut epochs = Vec::with_capacity(job.config.epochs);
    for epoch in 0..job.config.epochs {
        order.shuffle(&mut rng);
        let run = Epoch {
            job,
            images: &images,
            order: &order,
            number: epoch,
        };
        let report = run.train(&mut network, &mut optimizer, &mut rng, progress)?;
        progress(TrainingEvent::Epoch(report));
        epochs.push(report);
    }
    network.layers = network.layers.valid();
    let state = network.state()?;
    job.architecture.check(&state)?;
    Ok(Trained { state, epochs })
}

/// One pass over the data.
struct Epoch<'a> {
    job: &'a TrainingJob<'a>,
    images: &'a Images<'a>,
    order: &'a [usize],
    number: usize,
}

impl Epoch<'_> {
    fn train(
        &self,
        network: &mut DeviceNetwork,
        optimizer: &mut ModuleOptimizer,
        rng: &mut ChaCha8Rng,
        progress: &mut dyn FnMut(TrainingEvent),
    ) -> Result<EpochReport, NetError> {
        let (job, order, epoch) = (self.job, self.order, self.number);
        let images = self.images;
        let device = network.device.clone();
        let criterion = CrossEntropyLossConfig::new().init(&device);
        let batches = order.len().div_ceil(job.config.batch_size);
        let (mut loss_sum, mut right) = (0.0, 0usize);
        for (step, batch) in order.chunks(job.config.batch_size).enumerate() {
            let done = (epoch as f64 + step as f64 / batches as f64) / job.config.epochs as f64;
            let input = images.batch(batch, &device, job.config.augment.then_some(&mut *rng));
            let rows: Vec<i64> = batch.iter().map(|&i| i64::from(job.rows[i])).collect();
            let targets =
                Tensor::<1, Int>::from_data(TensorData::new(rows.clone(), [batch.len()]), &device);
            let (_, logits) = network.forward(input, Some(rng));
            let loss = criterion.forward(logits.clone(), targets);
            let value = f64::from(
                read(loss.clone().inner())?
                    .first()
                    .copied()
                    .unwrap_or(f32::NAN),
            );
            if !value.is_finite() {
                return Err(NetError::Diverged {
                    epoch: epoch + 1,
                    loss: value,
                    rate: job.config.learning_rate,
                });
            }
            loss_sum += value * batch.len() as f64;
            right += count_right(&read(logits.inner())?, &rows);
            let gradients = GradientsParams::from_grads(loss.backward(), &network.layers);
            let layers = network.layers.clone();
            network.layers = optimizer.step(job.config.rate(done), layers, gradients);
            progress(TrainingEvent::Samples(batch.len()));
        }
        Ok(EpochReport {
            epoch: epoch + 1,
            loss: loss_sum / order.len() as f64,
            accuracy: right as f64 / order.len() as f64,
        })
    }
}

fn count_right(logits: &[f32], rows: &[i64]) -> usize {
    let classes = logits.len() / rows.len().max(1);
    logits
        .chunks_exact(classes.max(1))
        .zip(rows)
        .filter(|(z, row)| {
            let own = z[**row as usize];
            z.iter()
                .enumerate()
                .all(|(k, v)| *v < own || k as i64 == **row)
        })
        .count()
}
