//! What a training minimises: a sum of terms, each over samples of its own.

use disinherit_data::DataSet;
use fiun::Matrix;

use super::noise::Noise;

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
    pub fn new(source: Source<'a>) -> Self {
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
            ..Self::new(Source::Set(set))
        }
    }

    /// Distillation.
    pub fn teacher(set: &'a DataSet, teacher: Teacher<'a>) -> Self {
        Self {
            teacher: Some(teacher),
            ..Self::new(Source::Set(set))
        }
    }

    /// Log-odds that are given for every sample.
    pub fn odds(set: &'a DataSet, odds: Odds<'a>) -> Self {
        Self {
            odds: Some(odds),
            ..Self::new(Source::Set(set))
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

    pub(super) fn len(&self) -> usize {
        match self.source {
            Source::Set(set) => set.len(),
            Source::Noise(noise) => noise.rows.len(),
        }
    }
}

/// How likely a network should find one row of the head for each sample.
#[derive(Clone, Copy)]
pub struct Odds<'a> {
    /// The head row of every sample.
    pub rows: &'a [u32],
    /// The log-odds that it should have, in nats: the row's logit less the logarithm of the summed
    /// exponentials of the others.
    pub targets: &'a [f32],
    /// The weight of the mean smooth L1 distance to them (Huber, with its corner at 1 nat).
    pub weight: f64,
}
