//! The FIM of inner layers: squared gradients in closed form,
//! layer by layer.

use fiun::{Estimator, Matrix, Residuals};

use super::job::{InnerFisher, InnerJob, fixed_bytes, normalise, ranges};
use super::sums::Sums;
use crate::capture::Capture;
use crate::cpu::chunk::{ACTIVATIONS, activation_bytes, batch};
use crate::cpu::network::CpuNetwork;
use crate::cpu::weights::Purpose;
use crate::error::{NetError, backend};
use crate::inputs::Inputs;

/// As [`super::layers::inner_fisher`], with one forward and one backward pass for each chunk.
pub(super) fn fisher(
    job: &InnerJob<'_>,
    progress: &mut dyn FnMut(usize),
) -> Result<InnerFisher, NetError> {
    let (samples, outputs) = (job.set.len(), job.architecture.classes);
    let network = CpuNetwork::new(job.architecture, job.state, Purpose::Gradients)?;
    let images = Inputs::new(job.set, job.architecture.input, job.preprocessing)?;
    let mut sums = Sums::new(job)?;
    let chunk = chunk(job, &sums)?;
    let mut labels = Residuals::new(job.estimator);
    let (mut features, mut logits) = (Vec::new(), Vec::new());
    for range in ranges(samples, chunk, job.estimator) {
        let indices: Vec<usize> = range.clone().collect();
        let threads = rayon::current_num_threads();
        let pass = network.record(images.maps(&indices, indices.len()), threads)?;
        features.extend_from_slice(&pass.features.values);
        logits.extend_from_slice(&pass.logits.values);
        let z = Matrix::new(indices.len(), outputs, pass.logits.values.clone()).map_err(backend)?;
        let residuals = labels
            .next(z.view(), &job.rows[range])
            .map_err(|error| NetError::Data(error.to_string()))?;
        let groups = match job.estimator {
            Estimator::Batch { size } => indices.len().div_ceil(size),
            _ => indices.len(),
        };
        let mut values = residuals.into_values();
        let scale = normalise(&mut values);
        let residuals = pass.logits.with(values);
        let mut left = sums.tensors.len();
        if left > 0 && scale > 0.0 {
            pass.backward(residuals, &mut |tapped| {
                left -= sums.add(&tapped, groups, scale / (indices.len() / groups) as f64)?;
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

/// Samples per chunk: as many as memory allows, in whole batches.
fn chunk(job: &InnerJob<'_>, sums: &Sums) -> Result<usize, NetError> {
    let group = match job.estimator {
        Estimator::Batch { size } => size.max(1),
        _ => 1,
    };
    let each = activation_bytes(job.architecture)?;
    let batch = batch(job.architecture)?;
    let room = |bytes: u64| usize::try_from(bytes / each.max(1)).unwrap_or(batch);
    let fit = match job.memory {
        None => room(ACTIVATIONS).clamp(1, batch).max(group),
        Some(bytes) => {
            let fixed = fixed_bytes(job, sums.sizes());
            let fit = room(bytes.saturating_sub(fixed));
            if fit < group {
                return Err(NetError::Memory {
                    given: bytes,
                    fixed,
                    samples: group,
                    activations: each * group as u64,
                });
            }
            fit.min(batch.max(group))
        }
    };
    Ok((fit / group).max(1) * group)
}
