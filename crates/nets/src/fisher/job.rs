//! What the FIM of inner layers is computed from, and what every way to it shares.

use std::collections::BTreeMap;
use std::ops::Range;

use disinherit_data::DataSet;
use fiun::{Estimator, FisherTensor};

use crate::architecture::description::Architecture;
use crate::array::StateDict;
use crate::capture::Capture;
use crate::error::NetError;
use crate::ops::operation::Op;
use crate::preprocessing::Preprocessing;

/// What the FIM of inner layers is computed from.
pub struct InnerJob<'a> {
    /// The network.
    pub architecture: &'a Architecture,
    /// Its weights.
    pub state: &'a StateDict,
    /// The data.
    pub set: &'a DataSet,
    /// The head row of each sample's label.
    pub rows: &'a [u32],
    /// How pixels become numbers.
    pub preprocessing: &'a Preprocessing,
    /// Which quantity it is.
    pub estimator: Estimator,
    /// The tensors that are wanted, by full name; those of the head are never among them.
    pub wanted: &'a dyn Fn(&str) -> bool,
    /// The bytes that may be used, weights and sums included; `None` for at most 2 GiB of
    /// activations.
    pub memory: Option<u64>,
}

/// The FIM of inner layers, and what the same pass has to say about the head.
#[derive(Debug, Clone)]
pub struct InnerFisher {
    /// One FIM for each wanted tensor.
    pub tensors: BTreeMap<String, FisherTensor>,
    /// The head's input and output for every sample.
    pub capture: Capture,
}

/// The parameter tensors below the head, with their shapes. Running statistics are no parameters.
///
/// # Errors
/// As [`Architecture::program`].
pub fn inner_tensors(architecture: &Architecture) -> Result<Vec<(String, Vec<usize>)>, NetError> {
    let program = architecture.program()?;
    let body = program.split_last().map_or(&[][..], |(_, body)| body);
    Ok(body
        .iter()
        .flat_map(Op::tensors)
        .filter(|(name, _)| !name.contains(".running_"))
        .collect())
}

/// The running sum of one tensor.
pub(super) struct Sum {
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f64>,
}

/// Divides by the largest power of two that keeps the largest value at 1 or above, and returns it;
/// 0 when all values are.
pub(super) fn normalise(values: &mut [f32]) -> f64 {
    let top = values.iter().fold(0.0f32, |top, v| top.max(v.abs()));
    if top == 0.0 {
        return 0.0;
    }
    let scale = 2f64.powi(f64::from(top).log2().floor().clamp(-126.0, 126.0) as i32);
    let inverse = (1.0 / scale) as f32;
    values.iter_mut().for_each(|value| *value *= inverse);
    scale
}

/// The samples of each chunk: a last batch that is not full stands alone, so that all groups of a
/// chunk have the same size.
pub(super) fn ranges(samples: usize, chunk: usize, estimator: Estimator) -> Vec<Range<usize>> {
    let whole = match estimator {
        Estimator::Batch { size } => samples - samples % size,
        _ => samples,
    };
    let mut ranges: Vec<Range<usize>> = (0..whole)
        .step_by(chunk)
        .map(|start| start..(start + chunk).min(whole))
        .collect();
    if whole < samples {
        ranges.push(whole..samples);
    }
    ranges
}

/// Weights (as given and laid out for products), sums in double precision, and the squares of the
/// largest layer on their way into them, for layers of these sizes.
pub(super) fn fixed_bytes(job: &InnerJob<'_>, sizes: impl Iterator<Item = usize>) -> u64 {
    let weights: usize = job.state.values().map(|array| array.values.len()).sum();
    let (all, largest) = sizes.fold((0, 0), |(all, top): (usize, usize), size| {
        (all + size, top.max(size))
    });
    (weights * 8 + all * 8 + largest * 12) as u64
}
