//! The FIM of inner layers by automatic differentiation, sample by sample: slow, serves every layer, and is what
//! the closed forms are compared with.

use std::collections::BTreeMap;

use burn::tensor::{Tensor, TensorData};
use fiun::{Estimator, FisherTensor, Matrix, Residuals};

use super::job::{InnerFisher, InnerJob, Sum, fixed_bytes, inner_tensors, normalise, ranges};
use crate::array::StateDict;
use crate::capture::Capture;
use crate::compute::Compute;
use crate::device::network::DeviceNetwork;
use crate::device::transfer::read;
use crate::error::{NetError, backend};
use crate::inputs::Inputs;

/// As [`super::layers::inner_fisher`], with one forward and one backward pass for each sample (or batch).
pub(super) fn fisher(
    job: &InnerJob<'_>,
    progress: &mut dyn FnMut(usize),
) -> Result<InnerFisher, NetError> {
    let (samples, outputs) = (job.set.len(), job.architecture.classes);
    let mut sums = empty_sums(job)?;
    let device = Compute::Flex.device().autodiff();
    let frozen = |name: &str| !sums.contains_key(name);
    let network = DeviceNetwork::new(job.architecture, job.state, device.clone(), &frozen)?;
    let inputs = Inputs::new(job.set, job.architecture.input, job.preprocessing)?;
    let group = match job.estimator {
        Estimator::Batch { size } => size.max(1),
        _ => 1,
    };
    let mut labels = Residuals::new(job.estimator);
    let (mut features, mut logits) = (Vec::new(), Vec::new());
    let mut groups = 0;
    for range in ranges(samples, group, job.estimator) {
        let indices: Vec<usize> = range.clone().collect();
        let (h, z) = network.forward(inputs.batch(&indices, &device, None), None);
        let values = read(z.clone().inner())?;
        features.extend(read(h.inner())?);
        logits.extend_from_slice(&values);
        let values = Matrix::new(indices.len(), outputs, values).map_err(backend)?;
        let residuals = labels
            .next(values.view(), &job.rows[range])
            .map_err(|error| NetError::Data(error.to_string()))?;
        let mut values = residuals.into_values();
        let scale = normalise(&mut values) / indices.len() as f64;
        groups += 1;
        if scale > 0.0 && !sums.is_empty() {
            // The gradient of this sum at the logits is the loss's.
            let data = TensorData::new(values, [indices.len(), outputs]);
            let loss = (z * Tensor::<2>::from_data(data, &device)).sum();
            add_squares(&mut sums, network.gradients(&loss.backward())?, scale);
        }
        progress(indices.len());
    }
    let tensors = means(sums, groups)?;
    let matrix = |values: Vec<f32>| {
        let cols = values.len() / samples.max(1);
        Matrix::new(samples, cols, values).map_err(backend)
    };
    Ok(InnerFisher {
        tensors,
        capture: Capture {
            features: matrix(features)?,
            logits: matrix(logits)?,
        },
    })
}

/// A sum of zeros for every wanted tensor, where the given memory holds them.
fn empty_sums(job: &InnerJob<'_>) -> Result<BTreeMap<String, Sum>, NetError> {
    let sums: BTreeMap<String, Sum> = inner_tensors(job.architecture)?
        .into_iter()
        .filter(|(name, _)| (job.wanted)(name))
        .map(|(name, shape)| {
            let values = vec![0.0; shape.iter().product()];
            (name, Sum { shape, values })
        })
        .collect();
    let fixed = fixed_bytes(job, sums.values().map(|sum| sum.values.len()));
    if let Some(given) = job.memory.filter(|given| *given < fixed) {
        return Err(NetError::Memory {
            given,
            fixed,
            samples: 1,
            activations: 0,
        });
    }
    Ok(sums)
}

/// Adds the squares of the gradients of one pass, scaled.
fn add_squares(sums: &mut BTreeMap<String, Sum>, gradients: StateDict, scale: f64) {
    for (name, gradient) in gradients {
        if let Some(sum) = sums.get_mut(&name) {
            for (sum, value) in sum.values.iter_mut().zip(gradient.values) {
                *sum += (scale * f64::from(value)).powi(2);
            }
        }
    }
}

/// The mean over the passes.
fn means(
    sums: BTreeMap<String, Sum>,
    passes: u32,
) -> Result<BTreeMap<String, FisherTensor>, NetError> {
    sums.into_iter()
        .map(|(name, sum)| {
            let tensor = FisherTensor::from_sums(&sum.shape, &sum.values, 1.0 / f64::from(passes))
                .map_err(|error| NetError::Data(format!("`{name}`: {error}")))?;
            Ok((name, tensor))
        })
        .collect()
}
