//! Images moved one step up their own loss.

use disinherit_data::{DataSet, ImageShape, Samples};
use fiun::{Estimator, Matrix, residuals};

use crate::architecture::description::Architecture;
use crate::architecture::input::Input;
use crate::array::StateDict;
use crate::cpu::chunk::samples_at_a_time;
use crate::cpu::maps::Maps;
use crate::cpu::network::CpuNetwork;
use crate::cpu::weights::Purpose;
use crate::error::{NetError, backend};
use crate::inputs::Inputs;
use crate::preprocessing::Preprocessing;

/// What a step is made from.
pub struct SignStepJob<'a> {
    /// The network.
    pub architecture: &'a Architecture,
    /// Its weights.
    pub state: &'a StateDict,
    /// The images.
    pub set: &'a DataSet,
    /// The head row of each image's label.
    pub rows: &'a [u32],
    /// How pixels become numbers.
    pub preprocessing: &'a Preprocessing,
    /// How far every pixel is moved, as a share of the range of pixels.
    pub bound: f32,
}

/// The images of a data set, every pixel moved by `bound` in the direction in which the
/// cross-entropy to the image's label grows, then cut to the range of pixels and rounded: the fast
/// gradient sign method (Goodfellow et al., arXiv:1412.6572, Section 4). The network is in evaluation
/// mode; always runs on the CPU. A pixel without a gradient stays.
///
/// # Errors
/// [`NetError::Data`] when the network reads no images or works on sequences, or the data does not
/// fit it.
pub fn sign_step(job: &SignStepJob<'_>) -> Result<DataSet, NetError> {
    let shape = match job.architecture.input {
        Input::Images(shape) => shape,
        _ => {
            return Err(NetError::Data(format!(
                "a step up the loss is made for pixels; not for {}",
                job.architecture.kind
            )));
        }
    };
    if job.rows.len() != job.set.len() {
        return Err(NetError::Data(format!(
            "{} labels for {} samples",
            job.rows.len(),
            job.set.len()
        )));
    }
    let network = CpuNetwork::new(job.architecture, job.state, Purpose::Gradients)?;
    let inputs = Inputs::new(job.set, job.architecture.input, job.preprocessing)?;
    let all: Vec<usize> = (0..job.set.len()).collect();
    let mut pixels = Vec::with_capacity(job.set.len() * shape.len());
    for chunk in all.chunks(samples_at_a_time(job.architecture)?) {
        let rows: Vec<u32> = chunk.iter().map(|&i| job.rows[i]).collect();
        let gradient = input_gradient(&network, inputs.maps(chunk, chunk.len()), &rows)?;
        let gradients = gradient.values.chunks_exact(shape.len().max(1));
        for (&index, gradient) in chunk.iter().zip(gradients) {
            if let Some((_, image)) = job.set.image(index) {
                append_moved(shape, image, gradient, job.bound, &mut pixels);
            }
        }
    }
    DataSet::new(
        job.set.name(),
        Samples::Images { shape, pixels },
        job.set.labels().to_vec(),
        job.set.label_names().to_vec(),
        job.set.ids().to_vec(),
    )
    .map_err(|error| NetError::Data(error.to_string()))
}

/// The gradient of every sample's loss at its input, each times a positive number of its own.
fn input_gradient(network: &CpuNetwork, input: Maps, rows: &[u32]) -> Result<Maps, NetError> {
    let pass = network.record(input, rayon::current_num_threads())?;
    let outputs = pass.logits.channels;
    let z = Matrix::new(rows.len(), outputs, pass.logits.values.clone()).map_err(backend)?;
    let mut values = residuals(z.view(), rows, Estimator::Empirical)
        .map_err(|error| NetError::Data(error.to_string()))?
        .into_values();
    // Residuals of sure predictions would vanish on the way back; only signs are wanted.
    for row in values.chunks_exact_mut(outputs.max(1)) {
        let top = row.iter().fold(0.0f32, |top, v| top.max(v.abs()));
        if top > 0.0 {
            row.iter_mut().for_each(|v| *v /= top);
        }
    }
    let delta = pass.logits.with(values);
    pass.backward(delta, &mut |_| Ok(true))?
        .ok_or_else(|| NetError::Backend("the backward pass ended before the input".into()))
}

/// An image with channels first, moved along a gradient with channels last.
fn append_moved(shape: ImageShape, image: &[u8], gradient: &[f32], bound: f32, out: &mut Vec<u8>) {
    let positions = (shape.height * shape.width).max(1);
    for (at, pixel) in image.iter().enumerate() {
        let slope = gradient[at % positions * shape.channels + at / positions];
        let direction = if slope == 0.0 { 0.0 } else { slope.signum() };
        let moved = f32::from(*pixel) + direction * bound * 255.0;
        out.push(moved.clamp(0.0, 255.0).round() as u8);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use disinherit_data::{OpenOptions, open};

    use super::*;
    use crate::architecture::initial::initial_state;
    use crate::architecture::input::TextShape;
    use crate::architecture::kind::Kind;
    use crate::capture::{Network, capture};
    use crate::compute::Compute;

    fn losses(job: &SignStepJob<'_>, set: &DataSet) -> Vec<f64> {
        let network = Network::new(job.architecture, job.state, Compute::Flex).unwrap();
        let seen = capture(&network, set, job.preprocessing, &mut |_| {}).unwrap();
        let loss = |sample: usize| {
            let z = seen.logits.view().row(sample);
            let sum: f64 = z.iter().map(|v| f64::from(*v).exp()).sum();
            sum.ln() - f64::from(z[job.rows[sample] as usize])
        };
        (0..set.len()).map(loss).collect()
    }

    /// A step up makes every loss larger, a step down makes it smaller, by another engine's
    /// measure; and it goes the way of single pixels that are moved by hand.
    #[test]
    fn steps_go_up_the_loss() {
        let set = open("digits", &OpenOptions::default()).unwrap().train;
        let set = set.select(&(0..12).collect::<Vec<_>>());
        for kind in [Kind::SmallCnn, Kind::ResNet18] {
            let shape = set.image_shape().unwrap();
            let architecture = Architecture::new(kind, shape, 10);
            let state = initial_state(&architecture, 1).unwrap();
            let rows = set.labels();
            let mut job = SignStepJob {
                architecture: &architecture,
                state: &state,
                set: &set,
                rows,
                preprocessing: &Preprocessing::default(),
                bound: 0.05,
            };
            let before = losses(&job, &set);
            let up = sign_step(&job).unwrap();
            assert_eq!((up.ids(), up.labels()), (set.ids(), set.labels()));
            let after = losses(&job, &up);
            assert!(before.iter().zip(&after).all(|(b, a)| a > b), "{kind}");
            job.bound = -0.05;
            let after = losses(&job, &sign_step(&job).unwrap());
            assert!(before.iter().zip(&after).all(|(b, a)| a < b), "{kind}");
            let (_, old) = set.image(0).unwrap();
            let (_, new) = up.image(0).unwrap();
            for (old, new) in old.iter().zip(new) {
                assert!(old.abs_diff(*new) <= 13, "{kind}");
            }
            if kind == Kind::SmallCnn {
                single_pixels(&job, &set, &up, before[0]);
            }
        }
    }

    /// The direction of some pixels of the first image against differences.
    fn single_pixels(job: &SignStepJob<'_>, set: &DataSet, up: &DataSet, before: f64) {
        let shape = set.image_shape().unwrap();
        let (_, old) = set.image(0).unwrap();
        let (_, new) = up.image(0).unwrap();
        let mut seen = 0;
        for at in 0..old.len() {
            let mut pixels = old.to_vec();
            pixels[at] = pixels[at].saturating_add(1);
            let moved = DataSet::new(
                "moved",
                Samples::Images { shape, pixels },
                set.labels()[..1].to_vec(),
                set.label_names().to_vec(),
                set.ids()[..1].to_vec(),
            )
            .unwrap();
            let slope = losses(job, &moved)[0] - before;
            if slope.abs() > 1e-5 && new[at] != old[at] {
                assert_eq!(slope > 0.0, new[at] > old[at], "pixel {at}: {slope}");
                seen += 1;
            }
        }
        assert!(seen > 10, "{seen}");
    }

    #[test]
    fn texts_are_refused() {
        let text = TextShape {
            vocabulary: 5,
            length: 3,
        };
        let set = open("digits", &OpenOptions::default()).unwrap().heldout;
        let refused = sign_step(&SignStepJob {
            architecture: &Architecture::new(Kind::Lstm, Input::Text(text), 3),
            state: &StateDict::new(),
            set: &set,
            rows: set.labels(),
            preprocessing: &Preprocessing::default(),
            bound: 0.1,
        });
        assert!(refused.unwrap_err().to_string().contains("pixels"));
    }
}
