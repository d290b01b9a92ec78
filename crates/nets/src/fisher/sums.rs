//! The running sums of squared gradients.

use std::collections::BTreeMap;

use fiun::FisherTensor;
use rayon::prelude::*;

use super::job::{InnerJob, Sum, inner_tensors};
use crate::cpu::layer::Tapped;
use crate::error::{NetError, backend};

/// Values that a thread adds.
const PART: usize = 1 << 15;

/// The running sums of every wanted tensor, layer by layer.
pub(super) struct Sums {
    pub(super) layers: BTreeMap<String, BTreeMap<String, Sum>>,
    pub(super) groups: usize,
}

impl Sums {
    pub(super) fn new(job: &InnerJob<'_>) -> Result<Self, NetError> {
        let mut layers: BTreeMap<String, BTreeMap<String, Sum>> = BTreeMap::new();
        for (name, shape) in inner_tensors(job.architecture)? {
            if !(job.wanted)(&name) {
                continue;
            }
            if let Some((layer, part)) = name.rsplit_once('.') {
                let values = vec![0.0; shape.iter().product()];
                layers
                    .entry(layer.to_owned())
                    .or_default()
                    .insert(part.to_owned(), Sum { shape, values });
            }
        }
        Ok(Self { layers, groups: 0 })
    }

    /// The values of each layer.
    pub(super) fn sizes(&self) -> impl Iterator<Item = usize> {
        let of = |parts: &BTreeMap<String, Sum>| parts.values().map(|sum| sum.values.len()).sum();
        self.layers.values().map(of)
    }

    /// Adds a chunk's squares, of gradients that were divided by `scale`.
    pub(super) fn add(
        &mut self,
        tapped: &Tapped<'_>,
        groups: usize,
        scale: f64,
    ) -> Result<(), NetError> {
        let squares = (tapped.squares)(groups).map_err(backend)?;
        let factor = scale * scale;
        if let Some(layer) = self.layers.get_mut(tapped.name) {
            for (part, squares) in squares {
                if let Some(sum) = layer.get_mut(part) {
                    let parts = sum.values.par_chunks_mut(PART);
                    parts
                        .zip(squares.par_chunks(PART))
                        .for_each(|(sums, squares)| {
                            let pairs = sums.iter_mut().zip(squares);
                            pairs.for_each(|(sum, square)| *sum += factor * f64::from(*square));
                        });
                }
            }
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<BTreeMap<String, FisherTensor>, NetError> {
        let mean = 1.0 / self.groups.max(1) as f64;
        let mut out = BTreeMap::new();
        for (layer, parts) in self.layers {
            for (part, sum) in parts {
                let name = format!("{layer}.{part}");
                let tensor = FisherTensor::from_sums(&sum.shape, &sum.values, mean)
                    .map_err(|error| NetError::Data(format!("`{name}`: {error}")))?;
                out.insert(name, tensor);
            }
        }
        Ok(out)
    }
}
