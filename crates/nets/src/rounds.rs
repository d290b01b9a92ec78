//! Samples run through the engine for image networks: a batch on every thread, a round of them at a time, so that
//! progress is seen.

use fiun::Matrix;
use rayon::prelude::*;

use crate::cpu::maps::Maps;
use crate::error::{NetError, backend};
use crate::inputs::Inputs;

/// Images run at a time on a thread or a device, at most.
pub(crate) const BATCH: usize = 128;

/// Values that a batch may have after a step on the CPU: large images are run fewer at a time.
const VALUES: usize = 1 << 24;

/// Images run at a time on a thread of the CPU, where one has so many values after the step that makes the most: a
/// power of two that depends on the network alone. Batches are filled up to this number: products of other sizes may
/// add in another order, and an image's features must not depend on what else is in its batch.
pub(crate) fn cpu_batch(largest: usize) -> usize {
    let fit = (VALUES / largest.max(1)).clamp(1, BATCH);
    1 << fit.ilog2()
}

/// Samples that go through a network on the CPU.
pub(crate) struct Rounds<'a> {
    pub(crate) inputs: Inputs<'a>,
    pub(crate) samples: usize,
    /// Samples of a batch.
    pub(crate) batch: usize,
}

impl Rounds<'_> {
    /// Runs all samples. `run` is given full batches, and how many of each are samples; `take` is given what it
    /// makes, in the order of the samples. `progress` is told how many samples are done.
    ///
    /// # Errors
    /// Those of `run`.
    pub(crate) fn run<T: Send>(
        &self,
        run: impl Fn(Maps, usize) -> Result<T, NetError> + Sync,
        mut take: impl FnMut(T),
        progress: &mut dyn FnMut(usize),
    ) -> Result<(), NetError> {
        let all: Vec<usize> = (0..self.samples).collect();
        for round in all.chunks(self.batch * rayon::current_num_threads()) {
            let done: Vec<T> = round
                .par_chunks(self.batch)
                .map(|batch| run(self.inputs.maps(batch, self.batch), batch.len()))
                .collect::<Result<_, NetError>>()?;
            done.into_iter().for_each(&mut take);
            progress(round.len());
        }
        Ok(())
    }
}

/// Values of some samples, as many of each: `[samples, values]`.
///
/// # Errors
/// [`NetError::Backend`] when they are not as many of each.
pub(crate) fn by_sample(samples: usize, values: Vec<f32>) -> Result<Matrix, NetError> {
    Matrix::new(samples, values.len() / samples.max(1), values).map_err(backend)
}
