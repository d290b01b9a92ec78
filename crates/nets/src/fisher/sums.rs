//! The running sums of squared gradients.

use std::collections::BTreeMap;

use fiun::FisherTensor;
use rayon::prelude::*;

use super::job::{InnerJob, Sum, inner_tensors};
use crate::cpu::layer::Tapped;
use crate::error::{NetError, backend};

/// Values that a thread adds.
const PART: usize = 1 << 15;

/// The running sums of every wanted tensor, by its full name.
pub(super) struct Sums {
    pub(super) tensors: BTreeMap<String, Sum>,
    pub(super) groups: usize,
}

impl Sums {
    pub(super) fn new(job: &InnerJob<'_>) -> Result<Self, NetError> {
        let wanted = inner_tensors(job.architecture)?.into_iter();
        let wanted = wanted.filter(|(name, _)| (job.wanted)(name));
        let sum = |(name, shape): (String, Vec<usize>)| {
            let values = vec![0.0; shape.iter().product()];
            (name, Sum { shape, values })
        };
        Ok(Self {
            tensors: wanted.map(sum).collect(),
            groups: 0,
        })
    }

    /// The values of each tensor.
    pub(super) fn sizes(&self) -> impl Iterator<Item = usize> {
        self.tensors.values().map(|sum| sum.values.len())
    }

    /// Adds the squares of a chunk that a layer has, of gradients that were divided by `scale`; gives the number of
    /// tensors that they belong to.
    pub(super) fn add(
        &mut self,
        tapped: &Tapped<'_>,
        groups: usize,
        scale: f64,
    ) -> Result<usize, NetError> {
        if !tapped.has_one_among(&self.tensors) {
            return Ok(0);
        }
        let squares = (tapped.squares)(groups).map_err(backend)?;
        let factor = scale * scale;
        let mut found = 0;
        for (part, squares) in squares {
            let Some(sum) = self.tensors.get_mut(&tapped.tensor(part)) else {
                continue;
            };
            found += 1;
            let parts = sum.values.par_chunks_mut(PART);
            parts
                .zip(squares.par_chunks(PART))
                .for_each(|(sums, squares)| {
                    let pairs = sums.iter_mut().zip(squares);
                    pairs.for_each(|(sum, square)| *sum += factor * f64::from(*square));
                });
        }
        Ok(found)
    }

    pub(super) fn finish(self) -> Result<BTreeMap<String, FisherTensor>, NetError> {
        let mean = 1.0 / self.groups.max(1) as f64;
        let tensors = self.tensors.into_iter();
        tensors
            .map(|(name, sum)| {
                let tensor = FisherTensor::from_sums(&sum.shape, &sum.values, mean)
                    .map_err(|error| NetError::Data(format!("`{name}`: {error}")))?;
                Ok((name, tensor))
            })
            .collect()
    }
}
