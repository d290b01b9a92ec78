//! The Fisher information of the layers below the head.

mod autograd;

use std::collections::BTreeMap;
use std::ops::Range;

use disinherit_data::DataSet;
use fiun::layers::Squares;
use fiun::{Estimator, FisherTensor, Matrix, Residuals};

use crate::architecture::Architecture;
use crate::array::StateDict;
use crate::capture::Capture;
use crate::error::NetError;
use crate::host::{HostNetwork, Layer, Purpose, Tape, Tapped, backend};
use crate::input::Inputs;
use crate::input::Preprocessing;
use crate::op::Op;

/// Samples run at a time, at most (a larger batch of the batch estimator stays whole).
const BATCH: usize = 128;

/// The bytes that activations may take where no bound is given.
const ACTIVATIONS: u64 = 2 << 30;

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

/// The exact diagonal FIM of the layers below the head: for every sample (or batch), gradients of
/// its own loss, squared, then averaged. Samples go through the network some at a time, and no
/// sample's gradient of a whole tensor is ever kept: memory holds the activations of one chunk and
/// one sum for each parameter. Always runs on the CPU.
///
/// The gradient at the logits is brought to a size near 1 before it is sent back, and the squares
/// are put back to their size in double precision: sure predictions do not underflow.
///
/// # Errors
/// [`NetError`] when the data does not fit the network, or `memory` does not suffice for a single
/// sample (or batch).
pub fn inner_fisher(
    job: &InnerJob<'_>,
    progress: &mut dyn FnMut(usize),
) -> Result<InnerFisher, NetError> {
    let (samples, outputs) = (job.set.len(), job.architecture.classes);
    if samples == 0 || job.rows.len() != samples {
        return Err(NetError::Data(format!(
            "{} labels for {samples} samples",
            job.rows.len()
        )));
    }
    if job.architecture.kind.is_sequential() {
        return autograd::fisher(job, progress);
    }
    let network = HostNetwork::new(job.architecture, job.state, Purpose::Gradients)?;
    let images = Inputs::new(job.set, job.architecture.input, job.preprocessing)?;
    let mut sums = Sums::new(job)?;
    let chunk = chunk(job, &sums)?;
    let mut labels = Residuals::new(job.estimator);
    let (mut features, mut logits) = (Vec::new(), Vec::new());
    for range in ranges(samples, chunk, job.estimator) {
        let indices: Vec<usize> = range.clone().collect();
        let threads = rayon::current_num_threads();
        let tape = Tape::record(&network, images.maps(&indices, indices.len()), threads)?;
        features.extend_from_slice(&tape.features.values);
        logits.extend_from_slice(&tape.logits.values);
        let z = Matrix::new(indices.len(), outputs, tape.logits.values.clone()).map_err(backend)?;
        let residuals = labels
            .next(z.view(), &job.rows[range])
            .map_err(|error| NetError::Data(error.to_string()))?;
        let groups = match job.estimator {
            Estimator::Batch { size } => indices.len().div_ceil(size),
            _ => indices.len(),
        };
        let mut values = residuals.into_values();
        let scale = normalise(&mut values);
        let residuals = tape.logits.with(values);
        let mut left = sums.layers.len();
        if left > 0 && scale > 0.0 {
            tape.backward(residuals, &mut |tapped| {
                if sums.layers.contains_key(tapped.name) {
                    sums.add(&tapped, groups, scale / (indices.len() / groups) as f64)?;
                    left -= 1;
                }
                Ok(left > 0)
            })?;
        }
        sums.groups += groups;
        progress(indices.len());
    }
    let matrix = |values: Vec<f32>| {
        let cols = values.len() / samples;
        Matrix::new(samples, cols, values).map_err(backend)
    };
    Ok(InnerFisher {
        tensors: sums.finish()?,
        capture: Capture {
            features: matrix(features)?,
            logits: matrix(logits)?,
        },
    })
}

/// Divides by the largest power of two that keeps the largest value at 1 or above, and returns it;
/// 0 when all values are.
fn normalise(values: &mut [f32]) -> f64 {
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
fn ranges(samples: usize, chunk: usize, estimator: Estimator) -> Vec<Range<usize>> {
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

/// Samples per chunk: as many as memory allows, in whole batches.
fn chunk(job: &InnerJob<'_>, sums: &Sums) -> Result<usize, NetError> {
    let group = match job.estimator {
        Estimator::Batch { size } => size.max(1),
        _ => 1,
    };
    let each = activation_bytes(job.architecture)?;
    let room = |bytes: u64| usize::try_from(bytes / each.max(1)).unwrap_or(BATCH);
    let fit = match job.memory {
        None => room(ACTIVATIONS).clamp(1, BATCH).max(group),
        Some(bytes) => {
            let fixed = fixed_bytes(job, sums);
            let fit = room(bytes.saturating_sub(fixed));
            if fit < group {
                return Err(NetError::Memory {
                    given: bytes,
                    fixed,
                    samples: group,
                    activations: each * group as u64,
                });
            }
            fit.min(BATCH.max(group))
        }
    };
    Ok((fit / group).max(1) * group)
}

/// Weights (as given and laid out for products), sums in double precision, and the squares of the
/// largest layer on their way into them.
fn fixed_bytes(job: &InnerJob<'_>, sums: &Sums) -> u64 {
    let of = |parts: &BTreeMap<String, Sum>| -> usize {
        parts.values().map(|sum| sum.values.len()).sum()
    };
    fixed_bytes_of(job, sums.layers.values().map(of))
}

/// The same for layers of these sizes.
fn fixed_bytes_of(job: &InnerJob<'_>, sizes: impl Iterator<Item = usize>) -> u64 {
    let weights: usize = job.state.values().map(|array| array.values.len()).sum();
    let (all, largest) = sizes.fold((0, 0), |(all, top): (usize, usize), size| {
        (all + size, top.max(size))
    });
    (weights * 8 + all * 8 + largest * 12) as u64
}

/// What one sample's pass keeps: every step's result, its gradient, and as much again on the way.
fn activation_bytes(architecture: &Architecture) -> Result<u64, NetError> {
    let values: usize = architecture.activations()?.iter().sum();
    Ok(values as u64 * 4 * 3)
}

/// The running sums of every wanted tensor, layer by layer.
struct Sums {
    layers: BTreeMap<String, BTreeMap<String, Sum>>,
    groups: usize,
}

/// The running sum of one tensor.
struct Sum {
    shape: Vec<usize>,
    values: Vec<f64>,
}

impl Sums {
    fn new(job: &InnerJob<'_>) -> Result<Self, NetError> {
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

    /// Adds a chunk's squares, of gradients that were divided by `scale`.
    fn add(&mut self, tapped: &Tapped<'_>, groups: usize, scale: f64) -> Result<(), NetError> {
        let (input, delta) = (&tapped.input.values, &tapped.delta.values);
        let squares: Squares = match &tapped.layer {
            Layer::Convolution(layer) => layer.squares(groups, input, delta),
            Layer::Norm(layer) => layer.squares(groups, input, delta),
            Layer::Linear(layer) => layer.squares(groups, input, delta),
        }
        .map_err(backend)?;
        let factor = scale * scale;
        if let Some(layer) = self.layers.get_mut(tapped.name) {
            for (part, squares) in squares {
                if let Some(sum) = layer.get_mut(part) {
                    for (sum, square) in sum.values.iter_mut().zip(squares) {
                        *sum += factor * f64::from(square);
                    }
                }
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<BTreeMap<String, FisherTensor>, NetError> {
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

#[cfg(test)]
mod tests;
