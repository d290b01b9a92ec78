//! A phase of a training that is ready to run: its terms with their inputs, and whose turn it is.

use fiun::Matrix;
use rand_chacha::ChaCha8Rng;

use super::job::TuningJob;
use super::term::{Phase, Source, Term};
use super::turns::Turns;
use crate::augment::Augment;
use crate::error::NetError;
use crate::inputs::Inputs;

/// A phase that is ready to run.
pub(super) struct Objective<'a> {
    pub(super) phase: &'a Phase<'a>,
    /// Of each term's samples; nothing of noise.
    pub(super) inputs: Vec<Option<Inputs<'a>>>,
    turns: Vec<Turns>,
    batch: usize,
    augment: Augment,
}

impl<'a> Objective<'a> {
    pub(super) fn new(job: &TuningJob<'a>, phase: &'a Phase<'a>) -> Result<Self, NetError> {
        let classes = job.architecture.classes;
        phase
            .terms
            .iter()
            .try_for_each(|term| check(term, classes))?;
        let inputs = phase.terms.iter().map(|term| match term.source {
            Source::Set(set) => {
                Inputs::new(set, job.architecture.input, job.preprocessing).map(Some)
            }
            Source::Noise(_) => Ok(None),
        });
        Ok(Self {
            inputs: inputs.collect::<Result<_, NetError>>()?,
            turns: phase.terms.iter().map(|t| Turns::new(t.len())).collect(),
            phase,
            batch: job.config.batch_size,
            augment: job.config.augment,
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

    /// The samples of a term in a step of an epoch.
    pub(super) fn take(&mut self, at: usize, step: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
        // A set that is seen for the first time is shuffled first.
        if at > 0 && step == 0 {
            self.turns[at].shuffle(rng);
        }
        let size = self.size(at);
        self.turns[at].take(size, rng)
    }

    /// How images are changed at random, where they are.
    pub(super) fn augment(&self) -> Option<Augment> {
        (self.augment != Augment::NONE).then_some(self.augment)
    }
}

/// Whether what a term asks for fits its samples and the head.
fn check(term: &Term<'_>, classes: usize) -> Result<(), NetError> {
    let count = term.len();
    if count == 0 {
        return Err(NetError::Training(
            "there are no samples to train on".into(),
        ));
    }
    let fits =
        |rows: &[u32]| rows.len() == count && rows.iter().all(|row| (*row as usize) < classes);
    let odds = term.odds.as_ref();
    if odds.is_some_and(|odds| odds.targets.len() != count) {
        return Err(NetError::Data(format!(
            "log-odds need a target for each of {count} samples"
        )));
    }
    if term.labels.is_some_and(|(rows, _)| !fits(rows)) || odds.is_some_and(|odds| !fits(odds.rows))
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
    Ok(())
}
