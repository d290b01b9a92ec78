//! Steps on a device of burn's.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::nn::loss::{CrossEntropyLoss, CrossEntropyLossConfig};
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use rand_chacha::ChaCha8Rng;

use super::odds::odds_distance;
use super::optimizer::optimizer;
use crate::array::StateDict;
use crate::augment::Augment;
use crate::device::network::DeviceNetwork;
use crate::device::pass::Flow;
use crate::device::transfer::read;
use crate::error::NetError;
use crate::training::engine::{Engine, Made, Turn, right};
use crate::training::job::TuningJob;
use crate::training::objective::Objective;
use crate::training::term::{Source, Teacher};

/// A network in training on a device of burn's.
pub(in crate::training) struct DeviceTraining {
    network: DeviceNetwork,
    optimizer: ModuleOptimizer,
    masks: BTreeMap<String, Tensor<1>>,
    cross_entropy: CrossEntropyLoss,
    device: Device,
}

impl DeviceTraining {
    /// Puts a network's weights on the job's device.
    pub(in crate::training) fn new(job: &TuningJob<'_>) -> Result<Self, NetError> {
        let device = job.compute.device().autodiff();
        let inner = device.clone().inner();
        let masks = job.masks.iter().map(|(name, mask)| {
            let data = TensorData::new(mask.clone(), [mask.len()]);
            (name.clone(), Tensor::from_data(data, &inner))
        });
        Ok(Self {
            network: DeviceNetwork::new(job.architecture, job.state, device.clone(), job.frozen)?,
            optimizer: optimizer(job.config),
            masks: masks.collect(),
            cross_entropy: CrossEntropyLossConfig::new().init(&device),
            device,
        })
    }

    fn input(
        &self,
        objective: &Objective<'_>,
        at: usize,
        indices: &[usize],
        augment: Option<(Augment, &mut ChaCha8Rng)>,
    ) -> Flow {
        match (&objective.inputs[at], objective.phase.terms[at].source) {
            (Some(inputs), _) => inputs.batch(indices, &self.device, augment),
            (None, Source::Noise(noise)) => {
                let values = TensorData::new(noise.select(indices), noise.dims(indices.len()));
                Flow::Maps(Tensor::from_data(values, &self.device))
            }
            (None, Source::Set(_)) => Flow::Maps(Tensor::zeros([1, 1, 1, 1], &self.device)),
        }
    }

    fn loss(
        &self,
        objective: &Objective<'_>,
        at: usize,
        indices: &[usize],
        logits: Tensor<2>,
    ) -> Tensor<1> {
        let term = &objective.phase.terms[at];
        let mut sum: Option<Tensor<1>> = None;
        if let Some((rows, weight)) = term.labels {
            let rows: Vec<i64> = indices.iter().map(|&i| i64::from(rows[i])).collect();
            let targets =
                Tensor::<1, Int>::from_data(TensorData::new(rows, [indices.len()]), &self.device);
            let loss = self.cross_entropy.forward(logits.clone(), targets);
            sum = Some(if weight == 1.0 { loss } else { loss * weight });
        }
        let plus = |sum: Option<Tensor<1>>, loss| match sum {
            Some(sum) => Some(sum + loss),
            None => Some(loss),
        };
        if let Some(teacher) = &term.teacher {
            let loss = self.distance(teacher, indices, logits.clone()) * teacher.weight;
            sum = plus(sum, loss);
        }
        if let Some(odds) = &term.odds {
            sum = plus(sum, odds_distance(odds, indices, logits, &self.device));
        }
        sum.unwrap_or_else(|| Tensor::zeros([1], &self.device))
    }

    /// The mean of `T^2 KL(teacher || network)`.
    fn distance(&self, teacher: &Teacher<'_>, indices: &[usize], logits: Tensor<2>) -> Tensor<1> {
        let classes = teacher.logits.cols();
        let view = teacher.logits.view();
        let mut values = Vec::with_capacity(indices.len() * classes);
        indices
            .iter()
            .for_each(|&i| values.extend_from_slice(view.row(i)));
        let data = TensorData::new(values, [indices.len(), classes]);
        let target = Tensor::<2>::from_data(data, &self.device) / teacher.temperature;
        let target = log_softmax(target, 1);
        let own = log_softmax(logits / teacher.temperature, 1);
        let divergence = (target.clone().exp() * (target - own)).sum();
        divergence * (teacher.temperature.powi(2) / indices.len() as f64)
    }
}

impl Engine for DeviceTraining {
    fn step(
        &mut self,
        objective: &mut Objective<'_>,
        turn: Turn,
        rng: &mut ChaCha8Rng,
    ) -> Result<Made, NetError> {
        let mut sum: Option<Tensor<1>> = None;
        let mut made = Made::default();
        for at in 0..objective.phase.terms.len() {
            let indices = objective.take(at, turn.step, rng);
            let augment = objective.augment().map(|augment| (augment, &mut *rng));
            let input = self.input(objective, at, &indices, augment);
            let (_, logits) = self.network.forward(input, Some(rng));
            let loss = self.loss(objective, at, &indices, logits.clone());
            if at == 0 {
                made.samples = indices.len();
                if let Some((rows, _)) = objective.phase.terms[at].labels {
                    made.right = right(&read(logits.inner())?, rows, &indices);
                }
            }
            sum = Some(match sum {
                Some(sum) => sum + loss,
                None => loss,
            });
        }
        let loss = sum.ok_or_else(|| NetError::Training("an objective has no terms".into()))?;
        let value = read(loss.clone().inner())?.first().copied();
        made.loss = f64::from(value.unwrap_or(f32::NAN));
        if made.loss.is_finite() {
            let parameters = self.network.parameters.clone();
            let gradients = GradientsParams::from_grads(loss.backward(), &parameters);
            let before = (!self.masks.is_empty()).then(|| parameters.clone());
            self.network.parameters = self.optimizer.step(turn.rate, parameters, gradients);
            if let Some(before) = before {
                self.network.hold(&before, &self.masks);
            }
        }
        Ok(made)
    }

    fn gradient(
        &mut self,
        objective: &Objective<'_>,
        batch: &[usize],
    ) -> Result<StateDict, NetError> {
        let (_, logits) = self
            .network
            .forward(self.input(objective, 0, batch, None), None);
        let loss = self.loss(objective, 0, batch, logits);
        self.network.gradients(&loss.backward())
    }

    fn finish(self: Box<Self>) -> Result<StateDict, NetError> {
        let mut network = self.network;
        network.parameters = network.parameters.valid();
        network.state()
    }
}
