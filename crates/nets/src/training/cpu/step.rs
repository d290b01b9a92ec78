//! Steps of training.

use std::collections::BTreeMap;

use disinherit_data::ImageShape;
use rand_chacha::ChaCha8Rng;

use super::loss::{Loss, loss};
use super::optimizer::{Steps, Tensors};
use super::parameters::Parameters;
use crate::array::StateDict;
use crate::augment::Augment;
use crate::cpu::layer::BatchStatistics;
use crate::cpu::maps::Maps;
use crate::cpu::network::CpuNetwork;
use crate::cpu::weights::Weights;
use crate::error::{NetError, backend};
use crate::ops::operation::Op;
use crate::training::engine::{Engine, Made, Turn, right};
use crate::training::job::TuningJob;
use crate::training::noise::Noise;
use crate::training::objective::Objective;
use crate::training::term::Source;

/// The share of a batch's statistics that goes into the running ones: PyTorch's default.
const MOMENTUM: f32 = 0.1;

/// A network in training.
pub(in crate::training) struct CpuTraining<'a> {
    job: TuningJob<'a>,
    program: Vec<Op>,
    parameters: Parameters,
    /// Those of the job, as the parameters lie.
    masks: BTreeMap<String, Vec<f32>>,
    /// The tensors that are learnt.
    learning: BTreeMap<String, ()>,
    steps: Steps,
}

/// What a pass over a batch made.
struct Pass {
    loss: f64,
    logits: Vec<f32>,
    statistics: Vec<BatchStatistics>,
}

impl<'a> CpuTraining<'a> {
    /// Puts a network's weights in place.
    pub(in crate::training) fn new(job: &TuningJob<'a>) -> Result<Self, NetError> {
        job.architecture.check(job.state)?;
        // What the network does not read stays out of what training makes.
        let own = job.architecture.tensors()?;
        let names = own.iter().map(|(name, _)| name);
        let names = names.filter(|name| !name.contains(".running_") && !(job.frozen)(name));
        let learning = names.map(|name| (name.clone(), ())).collect();
        let state = own.into_iter().filter_map(|(name, _)| {
            let array = job.state.get(&name)?.clone();
            Some((name, array))
        });
        let program = job.architecture.program()?;
        let parameters = Parameters::new(&program, state.collect())?;
        let masks = job.masks.iter();
        Ok(Self {
            masks: masks
                .map(|(name, mask)| (name.clone(), parameters.laid_out(name, mask)))
                .collect(),
            program,
            parameters,
            learning,
            steps: Steps::new(job.config),
            job: *job,
        })
    }

    fn input(
        objective: &Objective<'_>,
        at: usize,
        indices: &[usize],
        augment: Option<(Augment, &mut ChaCha8Rng)>,
    ) -> Maps {
        match (&objective.inputs[at], objective.phase.terms[at].source) {
            (Some(inputs), _) => inputs.changed_maps(indices, augment),
            (None, Source::Noise(noise)) => of_noise(noise, indices),
            (None, Source::Set(_)) => Maps::default(),
        }
    }

    /// Adds the gradients of a term over a batch to what is there.
    fn pass(
        &self,
        input: Maps,
        say: impl FnOnce(&[f32]) -> Loss,
        dropout: Option<&mut ChaCha8Rng>,
        sums: &mut BTreeMap<String, Vec<f32>>,
    ) -> Result<Pass, NetError> {
        let (state, kernels) = (self.parameters.state(), self.parameters.kernels());
        let weights = Weights::of_training(state, kernels, self.job.frozen);
        let network = CpuNetwork::from_program(&self.program, &weights)?;
        let mut recorded = network.train(input, dropout.as_deref().cloned())?;
        let training = recorded.take_training();
        if let (Some(rng), Some(drawn)) = (dropout, training.dropout) {
            *rng = drawn;
        }
        let Loss { value, gradient } = say(&recorded.logits.values);
        let pass = Pass {
            loss: value,
            logits: recorded.logits.values.clone(),
            statistics: training.statistics,
        };
        if !value.is_finite() {
            return Ok(pass);
        }
        let delta = recorded.logits.with(gradient);
        let mut left = self.learning.len();
        recorded.backward(delta, &mut |layer| {
            if layer.has_one_among(&self.learning) {
                for gradient in (layer.gradients)().map_err(backend)? {
                    let name = layer.tensor(gradient.part);
                    if self.learning.contains_key(&name) {
                        left -= 1;
                        add(sums, name, gradient.values);
                    }
                }
            }
            Ok(left > 0)
        })?;
        Ok(pass)
    }

    /// Moves running statistics towards those of a batch.
    fn follow(&mut self, statistics: Vec<BatchStatistics>) {
        for found in statistics {
            for (part, values) in [("mean", found.mean), ("var", found.variance)] {
                let name = format!("{}.running_{part}", found.name);
                if let Some(running) = self.parameters.values_mut(&name) {
                    for (old, new) in running.iter_mut().zip(values) {
                        *old += MOMENTUM * (new - *old);
                    }
                }
            }
        }
    }
}

impl Engine for CpuTraining<'_> {
    fn step(
        &mut self,
        objective: &mut Objective<'_>,
        turn: Turn,
        rng: &mut ChaCha8Rng,
    ) -> Result<Made, NetError> {
        let mut made = Made::default();
        let mut sums = BTreeMap::new();
        for at in 0..objective.phase.terms.len() {
            let indices = objective.take(at, turn.step, rng);
            let augment = objective.augment().map(|augment| (augment, &mut *rng));
            let input = Self::input(objective, at, &indices, augment);
            let term = &objective.phase.terms[at];
            let say = |logits: &[f32]| loss(term, &indices, logits);
            let pass = self.pass(input, say, Some(rng), &mut sums)?;
            made.loss += pass.loss;
            if !made.loss.is_finite() {
                return Ok(made);
            }
            if at == 0 {
                made.samples = indices.len();
                let labels = term.labels;
                made.right = labels.map_or(0, |(rows, _)| right(&pass.logits, rows, &indices));
            }
            self.follow(pass.statistics);
        }
        self.steps
            .step(turn.rate, &mut self.parameters, sums, &self.masks);
        Ok(made)
    }

    fn gradient(
        &mut self,
        objective: &Objective<'_>,
        batch: &[usize],
    ) -> Result<StateDict, NetError> {
        let input = Self::input(objective, 0, batch, None);
        let term = &objective.phase.terms[0];
        let mut sums = BTreeMap::new();
        let say = |logits: &[f32]| loss(term, batch, logits);
        self.pass(input, say, None, &mut sums)?;
        let arrays = sums.into_iter().filter_map(|(name, values)| {
            let array = self.parameters.array(&name, values)?;
            Some((name, array))
        });
        Ok(arrays.collect())
    }

    fn finish(self: Box<Self>) -> Result<StateDict, NetError> {
        Ok(self.parameters.into_state())
    }
}

fn add(sums: &mut BTreeMap<String, Vec<f32>>, name: String, gradient: Vec<f32>) {
    match sums.get_mut(&name) {
        Some(sum) => sum.iter_mut().zip(&gradient).for_each(|(s, g)| *s += g),
        None => {
            sums.insert(name, gradient);
        }
    }
}

/// Images that were made, with channels last.
fn of_noise(noise: &Noise, indices: &[usize]) -> Maps {
    let ImageShape {
        height,
        width,
        channels,
    } = noise.shape;
    let values = noise.select(indices);
    let vectors = Maps::new(indices.len(), [1, 1], noise.shape.len(), values);
    vectors.unflattened([height, width], channels)
}
