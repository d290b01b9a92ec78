//! What a training minimises: a sum of terms, each over samples of its own.

use burn::nn::loss::{CrossEntropyLoss, CrossEntropyLossConfig};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use disinherit_data::DataSet;
use fiun::Matrix;
use rand_chacha::ChaCha8Rng;

use super::job::TuningJob;
use super::noise::Noise;
use super::odds::{Odds, odds_distance};
use super::turns::Turns;
use crate::augment::Augment;
use crate::device::network::DeviceNetwork;
use crate::device::pass::Flow;
use crate::device::transfer::read;
use crate::error::NetError;
use crate::inputs::Inputs;

/// A part of a training with an objective of its own.
pub struct Phase<'a> {
    /// The terms; the first one's samples make the epochs.
    pub terms: Vec<Term<'a>>,
    /// Passes over the first term's samples.
    pub epochs: usize,
}

/// Where a term's inputs come from.
#[derive(Clone, Copy)]
pub enum Source<'a> {
    /// Samples of a data set.
    Set(&'a DataSet),
    /// Inputs that were made.
    Noise(&'a Noise),
}

/// What a network should imitate.
#[derive(Clone, Copy)]
pub struct Teacher<'a> {
    /// The logits of every sample.
    pub logits: &'a Matrix,
    /// Both sides' logits are divided by it; the loss is multiplied by its square (Hinton et al.,
    /// arXiv:1503.02531).
    pub temperature: f64,
    /// The weight of `KL(teacher || network)`; negative to get away from the teacher.
    pub weight: f64,
}

/// One term: samples, and what the network should say about them.
pub struct Term<'a> {
    /// The inputs.
    pub source: Source<'a>,
    /// The head row of each sample's label; the weight of the cross-entropy, negative to ascend.
    pub labels: Option<(&'a [u32], f64)>,
    /// The teacher.
    pub teacher: Option<Teacher<'a>>,
    /// How likely it should find them.
    pub odds: Option<Odds<'a>>,
    /// Samples of a step; as many as the training has where not given.
    pub batch: Option<usize>,
}

impl<'a> Term<'a> {
    /// A term that asks for nothing yet.
    pub fn of(source: Source<'a>) -> Self {
        Self {
            source,
            labels: None,
            teacher: None,
            odds: None,
            batch: None,
        }
    }

    /// Cross-entropy to labels.
    pub fn labels(set: &'a DataSet, rows: &'a [u32], weight: f64) -> Self {
        Self {
            labels: Some((rows, weight)),
            ..Self::of(Source::Set(set))
        }
    }

    /// Distillation.
    pub fn teacher(set: &'a DataSet, teacher: Teacher<'a>) -> Self {
        Self {
            teacher: Some(teacher),
            ..Self::of(Source::Set(set))
        }
    }

    /// Log-odds that are given for every sample.
    pub fn odds(set: &'a DataSet, odds: Odds<'a>) -> Self {
        Self {
            odds: Some(odds),
            ..Self::of(Source::Set(set))
        }
    }

    /// The same with so many samples a step.
    #[must_use]
    pub fn by(self, batch: usize) -> Self {
        Self {
            batch: Some(batch.max(1)),
            ..self
        }
    }

    fn len(&self) -> usize {
        match self.source {
            Source::Set(set) => set.len(),
            Source::Noise(noise) => noise.rows.len(),
        }
    }
}

/// What one step made.
pub(super) struct Step {
    pub(super) loss: Tensor<1>,
    /// Samples of the first term, and how many of them were named right.
    pub(super) samples: usize,
    pub(super) right: usize,
}

/// A phase that is ready to run.
pub(super) struct Objective<'a> {
    phase: &'a Phase<'a>,
    inputs: Vec<Option<Inputs<'a>>>,
    turns: Vec<Turns>,
    batch: usize,
    augment: Augment,
    device: Device,
    cross_entropy: CrossEntropyLoss,
}

impl<'a> Objective<'a> {
    pub(super) fn new(
        job: &TuningJob<'a>,
        phase: &'a Phase<'a>,
        device: &Device,
    ) -> Result<Self, NetError> {
        let classes = job.architecture.classes;
        for term in &phase.terms {
            let count = term.len();
            if count == 0 {
                return Err(NetError::Training(
                    "there are no samples to train on".into(),
                ));
            }
            let fits = |rows: &[u32]| {
                rows.len() == count && rows.iter().all(|row| (*row as usize) < classes)
            };
            let odds = term.odds.as_ref();
            if odds.is_some_and(|odds| odds.targets.len() != count) {
                return Err(NetError::Data(format!(
                    "log-odds need a target for each of {count} samples"
                )));
            }
            if term.labels.is_some_and(|(rows, _)| !fits(rows))
                || odds.is_some_and(|odds| !fits(odds.rows))
            {
                return Err(NetError::Data(format!(
                    "every sample needs a label among the head's {classes} rows"
                )));
            }
            let shape = |matrix: &Matrix| (matrix.rows(), matrix.cols());
            if term
                .teacher
                .is_some_and(|teacher| shape(teacher.logits) != (count, classes))
            {
                return Err(NetError::Data(format!(
                    "a teacher needs {classes} logits for each of {count} samples"
                )));
            }
        }
        let inputs = phase
            .terms
            .iter()
            .map(|term| match term.source {
                Source::Set(set) => {
                    Inputs::new(set, job.architecture.input, job.preprocessing).map(Some)
                }
                Source::Noise(_) => Ok(None),
            })
            .collect::<Result<_, NetError>>()?;
        Ok(Self {
            turns: phase.terms.iter().map(|t| Turns::new(t.len())).collect(),
            phase,
            inputs,
            batch: job.config.batch_size,
            augment: job.config.augment,
            device: device.clone(),
            cross_entropy: CrossEntropyLossConfig::new().init(device),
        })
    }

    pub(super) fn epochs(&self) -> usize {
        self.phase.epochs
    }

    /// Steps of an epoch.
    pub(super) fn batches(&self) -> usize {
        let first = self.phase.terms.first().map_or(0, Term::len);
        first.div_ceil(self.size(0))
    }

    /// Samples of a term in a step.
    fn size(&self, at: usize) -> usize {
        let own = self.phase.terms.get(at).and_then(|term| term.batch);
        own.unwrap_or(self.batch)
    }

    pub(super) fn shuffle(&mut self, rng: &mut ChaCha8Rng) {
        if let Some(first) = self.turns.first_mut() {
            first.shuffle(rng);
        }
    }

    /// The loss of the next batch of every term, with dropout and augmentation.
    pub(super) fn step(
        &mut self,
        network: &DeviceNetwork,
        step: usize,
        rng: &mut ChaCha8Rng,
    ) -> Result<Step, NetError> {
        let mut made: Option<Step> = None;
        for at in 0..self.phase.terms.len() {
            // A set that is seen for the first time is shuffled first.
            if at > 0 && step == 0 {
                self.turns[at].shuffle(rng);
            }
            let size = self.size(at);
            let indices = self.turns[at].take(size, rng);
            let augment = (self.augment != Augment::NONE).then_some((self.augment, &mut *rng));
            let input = self.input(at, &indices, augment);
            let (_, logits) = network.forward(input, Some(rng));
            let loss = self.loss(at, &indices, logits.clone());
            made = Some(match made {
                Some(made) => Step {
                    loss: made.loss + loss,
                    ..made
                },
                None => Step {
                    loss,
                    samples: indices.len(),
                    right: self.right(at, &indices, logits)?,
                },
            });
        }
        made.ok_or_else(|| NetError::Training("an objective has no terms".into()))
    }

    /// The loss of some samples of the first term, without dropout and augmentation.
    pub(super) fn first(
        &mut self,
        network: &DeviceNetwork,
        indices: &[usize],
    ) -> Result<Tensor<1>, NetError> {
        let (_, logits) = network.forward(self.input(0, indices, None), None);
        Ok(self.loss(0, indices, logits))
    }

    fn input(
        &self,
        at: usize,
        indices: &[usize],
        augment: Option<(Augment, &mut ChaCha8Rng)>,
    ) -> Flow {
        match (&self.inputs[at], self.phase.terms[at].source) {
            (Some(inputs), _) => inputs.batch(indices, &self.device, augment),
            (None, Source::Noise(noise)) => Flow::Maps(noise.batch(indices, &self.device)),
            (None, Source::Set(_)) => Flow::Maps(Tensor::zeros([1, 1, 1, 1], &self.device)),
        }
    }

    fn loss(&self, at: usize, indices: &[usize], logits: Tensor<2>) -> Tensor<1> {
        let term = &self.phase.terms[at];
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

    fn right(&self, at: usize, indices: &[usize], logits: Tensor<2>) -> Result<usize, NetError> {
        let Some((rows, _)) = self.phase.terms[at].labels else {
            return Ok(0);
        };
        let logits = read(logits.inner())?;
        let classes = logits.len() / indices.len().max(1);
        Ok(logits
            .chunks_exact(classes.max(1))
            .zip(indices)
            .filter(|(z, index)| {
                let row = rows[**index] as usize;
                z.iter().enumerate().all(|(k, v)| *v < z[row] || k == row)
            })
            .count())
    }
}
