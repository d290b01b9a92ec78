//! Inputs that are trained themselves.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::noise::{Noise, NoiseJob};
use crate::architecture::input::Input;
#[cfg(feature = "burn")]
use crate::compute::Compute;
use crate::error::NetError;

/// Images on which a network is as wrong as can be about some head rows: noise that ascends the
/// cross-entropy under a bound on its size. Source: UNSIR, Tarun et al., arXiv:2111.08947, with the
/// settings of the authors' code: Adam with rate 0.1, a penalty of 0.1 times an image's sum of
/// squares, and the mean over the images of both.
///
/// # Errors
/// [`NetError`] when the network reads no images, or the device fails.
pub fn error_maximising_noise(job: &NoiseJob<'_>) -> Result<Noise, NetError> {
    let Input::Images(shape) = job.architecture.input else {
        return Err(NetError::Data(
            "noise is made for images; the network reads text".into(),
        ));
    };
    let rows: Vec<u32> = job
        .rows
        .iter()
        .flat_map(|row| std::iter::repeat_n(*row, job.count))
        .collect();
    let mut rng = ChaCha8Rng::seed_from_u64(job.seed);
    let values: Vec<f32> = (0..rows.len() * shape.len())
        .map(|_| StandardNormal.sample(&mut rng))
        .collect();
    let mut noise = Noise {
        shape,
        values,
        rows,
    };
    noise.values = ascend(job, &noise)?;
    Ok(noise)
}

fn ascend(job: &NoiseJob<'_>, noise: &Noise) -> Result<Vec<f32>, NetError> {
    #[cfg(feature = "burn")]
    if job.compute != Compute::Cpu {
        return super::device::ascend(job, noise);
    }
    super::cpu::ascend(job, noise)
}
