//! Noise that ascends the loss.

use std::collections::BTreeMap;

use super::optimizer::{DECAYS, Steps};
use crate::array::{Array, StateDict};
use crate::cpu::maps::Maps;
use crate::cpu::network::CpuNetwork;
use crate::cpu::weights::Purpose;
use crate::error::NetError;
use crate::training::noise::{Noise, NoiseJob, PENALTY, RATE};

/// The images after all steps.
pub(in crate::training) fn ascend(job: &NoiseJob<'_>, noise: &Noise) -> Result<Vec<f32>, NetError> {
    let network = CpuNetwork::new(job.architecture, job.state, Purpose::Gradients)?;
    let count = noise.rows.len();
    let mut images = StateDict::new();
    let array = Array {
        shape: noise.dims(count).to_vec(),
        values: noise.values.clone(),
    };
    images.insert(IMAGES.into(), array);
    let mut steps = Steps::adam(DECAYS);
    for _ in 0..job.steps {
        let gradient = gradient(&network, noise, &images[IMAGES].values)?;
        let gradients = BTreeMap::from([(IMAGES.to_owned(), gradient)]);
        steps.step(RATE, &mut images, gradients, &BTreeMap::new());
    }
    Ok(images.remove(IMAGES).map_or_else(Vec::new, |a| a.values))
}

const IMAGES: &str = "images";

/// Of the penalty less the mean cross-entropy.
fn gradient(network: &CpuNetwork, noise: &Noise, values: &[f32]) -> Result<Vec<f32>, NetError> {
    let count = noise.rows.len();
    let shape = noise.shape;
    let vectors = Maps::new(count, [1, 1], shape.len(), values.to_vec());
    let maps = vectors.unflattened([shape.height, shape.width], shape.channels);
    let pass = network.record(maps, rayon::current_num_threads())?;
    let all: Vec<usize> = (0..count).collect();
    let gradient = super::loss::ascent(&noise.rows, &all, &pass.logits.values);
    let delta = pass.logits.with(gradient);
    let back = pass
        .backward(delta, &mut |_| Ok(true))?
        .ok_or_else(|| NetError::Backend("the backward pass ended before the input".into()))?;
    let share = 2.0 * PENALTY / count.max(1) as f32;
    let pairs = back.flattened().values.into_iter().zip(values);
    Ok(pairs
        .map(|(ascent, value)| share * value + ascent)
        .collect())
}
