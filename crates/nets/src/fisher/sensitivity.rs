//! How much a network's outputs depend on each of its parameters, without labels or a loss.

use std::collections::BTreeMap;

use disinherit_data::DataSet;
use fiun::FisherTensor;

use super::job::{Sum, normalise};
use crate::architecture::description::Architecture;
use crate::array::StateDict;
use crate::cpu::chunk::samples_at_a_time;
use crate::cpu::network::CpuNetwork;
use crate::cpu::weights::Purpose;
use crate::error::{NetError, backend};
use crate::inputs::Inputs;
use crate::preprocessing::Preprocessing;

/// What a sensitivity is computed from.
pub struct SensitivityJob<'a> {
    /// The network.
    pub architecture: &'a Architecture,
    /// Its weights.
    pub state: &'a StateDict,
    /// The data; its labels are not read.
    pub set: &'a DataSet,
    /// How pixels become numbers.
    pub preprocessing: &'a Preprocessing,
    /// Samples of a batch; fewer where activations would take more than 2 GiB.
    pub batch_size: usize,
}

/// The sensitivity of the squared norm of the outputs: for every parameter `w` of every layer, the
/// head among them, the mean over batches of `|d/dw mean over the batch of |z|²|`, `z` the logits, in
/// evaluation mode. Source: Foster et al., arXiv:2402.19308, after Memory Aware Synapses (Aljundi et
/// al., arXiv:1711.09601); batch by batch as in the authors' code, so that it shrinks with the batch
/// size. Batches are taken in the order of the data. Always runs on the CPU.
///
/// # Errors
/// [`NetError`] when there is no data, or it does not fit the network.
pub fn output_sensitivity(
    job: &SensitivityJob<'_>,
    progress: &mut dyn FnMut(usize),
) -> Result<BTreeMap<String, FisherTensor>, NetError> {
    if job.set.is_empty() {
        return Err(NetError::Data(
            "a sensitivity needs at least one sample".into(),
        ));
    }
    let mut sums = Sums {
        tensors: empty(job.architecture)?,
        batches: 0,
    };
    layer_by_layer(job, &mut sums, progress)?;
    sums.mean()
}

/// The sums over batches, by full name.
struct Sums {
    tensors: BTreeMap<String, Sum>,
    batches: u32,
}

impl Sums {
    fn add(&mut self, name: &str, gradients: impl Iterator<Item = f64>) {
        if let Some(sum) = self.tensors.get_mut(name) {
            let pairs = sum.values.iter_mut().zip(gradients);
            pairs.for_each(|(sum, gradient)| *sum += gradient.abs());
        }
    }

    fn mean(self) -> Result<BTreeMap<String, FisherTensor>, NetError> {
        let share = 1.0 / f64::from(self.batches.max(1));
        let tensors = self.tensors.into_iter();
        tensors
            .map(|(name, sum)| {
                let tensor = FisherTensor::from_sums(&sum.shape, &sum.values, share)
                    .map_err(|error| NetError::Data(format!("`{name}`: {error}")))?;
                Ok((name, tensor))
            })
            .collect()
    }
}

/// A sum of zeros for every parameter. Running statistics are no parameters.
fn empty(architecture: &Architecture) -> Result<BTreeMap<String, Sum>, NetError> {
    let tensors = architecture.tensors()?.into_iter();
    Ok(tensors
        .filter(|(name, _)| !name.contains(".running_"))
        .map(|(name, shape)| {
            let values = vec![0.0; shape.iter().product()];
            (name, Sum { shape, values })
        })
        .collect())
}

/// Layer by layer: the squared gradient of a whole batch, and its root.
fn layer_by_layer(
    job: &SensitivityJob<'_>,
    sums: &mut Sums,
    progress: &mut dyn FnMut(usize),
) -> Result<(), NetError> {
    let network = CpuNetwork::new(job.architecture, job.state, Purpose::Gradients)?;
    let inputs = Inputs::new(job.set, job.architecture.input, job.preprocessing)?;
    let all: Vec<usize> = (0..job.set.len()).collect();
    let size = job
        .batch_size
        .clamp(1, samples_at_a_time(job.architecture)?);
    for batch in all.chunks(size) {
        let threads = rayon::current_num_threads();
        let pass = network.record(inputs.maps(batch, batch.len()), threads)?;
        let mut values = pass.logits.values.clone();
        let scale = 2.0 * normalise(&mut values) / batch.len() as f64;
        let delta = pass.logits.with(values);
        pass.backward(delta, &mut |tapped| {
            for (part, squares) in (tapped.squares)(1).map_err(backend)? {
                let gradients = squares.iter().map(|s| scale * f64::from(*s).sqrt());
                sums.add(&tapped.tensor(part), gradients);
            }
            Ok(true)
        })?;
        sums.batches += 1;
        progress(batch.len());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use disinherit_data::{ImageShape, Samples};

    use super::*;
    use crate::architecture::initial::initial_state;
    use crate::architecture::input::{Input, TextShape};
    use crate::architecture::kind::Kind;
    use crate::capture::{Network, capture};
    use crate::compute::Compute;
    use crate::device::network::DeviceNetwork;

    const SHAPE: ImageShape = ImageShape {
        channels: 1,
        height: 8,
        width: 8,
    };

    fn images(samples: usize) -> DataSet {
        let pixels = (0..samples * SHAPE.len())
            .map(|i| ((i * 7919 + i / 13) % 251) as u8)
            .collect();
        set(
            Samples::Images {
                shape: SHAPE,
                pixels,
            },
            samples,
        )
    }

    fn set(inputs: Samples, samples: usize) -> DataSet {
        let ids = (0..samples).map(|n| n.to_string()).collect();
        DataSet::new("waves", inputs, vec![0; samples], vec!["a".into()], ids).unwrap()
    }

    struct Case {
        architecture: Architecture,
        state: StateDict,
        set: DataSet,
    }

    impl Case {
        fn new(kind: Kind, input: Input, set: DataSet) -> Self {
            let architecture = Architecture::new(kind, input, 3);
            Self {
                state: initial_state(&architecture, 3).unwrap(),
                architecture,
                set,
            }
        }

        fn sensitivity(&self, batch_size: usize) -> BTreeMap<String, FisherTensor> {
            let job = SensitivityJob {
                architecture: &self.architecture,
                state: &self.state,
                set: &self.set,
                preprocessing: &Preprocessing::default(),
                batch_size,
            };
            output_sensitivity(&job, &mut |_| {}).unwrap()
        }

        /// The same by automatic differentiation, for what is not frozen, in batches of three.
        fn by_autograd(&self, frozen: &dyn Fn(&str) -> bool) -> BTreeMap<String, Vec<f64>> {
            let device = Compute::Flex.device().autodiff();
            let network =
                DeviceNetwork::new(&self.architecture, &self.state, device.clone(), frozen)
                    .unwrap();
            let preprocessing = Preprocessing::default();
            let inputs = Inputs::new(&self.set, self.architecture.input, &preprocessing).unwrap();
            let all: Vec<usize> = (0..self.set.len()).collect();
            let batches = all.chunks(3);
            let share = 1.0 / batches.len() as f64;
            let mut sums: BTreeMap<String, Vec<f64>> = BTreeMap::new();
            for batch in batches {
                let (_, z) = network.forward(inputs.batch(batch, &device, None), None);
                let norm = z.powi_scalar(2).sum_dim(1).mean();
                for (name, gradient) in network.gradients(&norm.backward()).unwrap() {
                    let sum = sums.entry(name).or_default();
                    sum.resize(gradient.values.len(), 0.0);
                    let pairs = sum.iter_mut().zip(&gradient.values);
                    pairs.for_each(|(sum, g)| *sum += share * f64::from(g.abs()));
                }
            }
            sums
        }

        /// The mean squared norm of the logits of some samples, for other weights.
        fn norm(&self, state: &StateDict, batch: &[usize]) -> f64 {
            let network = Network::new(&self.architecture, state, Compute::Flex).unwrap();
            let set = self.set.select(batch);
            let seen = capture(&network, &set, &Preprocessing::default(), &mut |_| {}).unwrap();
            let squares = seen.logits.values().iter().map(|z| f64::from(*z).powi(2));
            squares.sum::<f64>() / batch.len() as f64
        }

        /// Some entries of every tensor against differences, batches of three.
        fn compare(&self, step: f32, tolerance: f64) {
            let ours = self.sensitivity(3);
            let all: Vec<usize> = (0..self.set.len()).collect();
            for (name, tensor) in &ours {
                let entries: Vec<f64> = tensor.entries().collect();
                let top = entries.iter().copied().fold(0.0, f64::max);
                for at in (0..entries.len()).step_by(entries.len().div_ceil(3)) {
                    let moved = |by: f32| {
                        let mut state = self.state.clone();
                        state.get_mut(name).unwrap().values[at] += by;
                        state
                    };
                    let (up, down) = (moved(step), moved(-step));
                    let batches = all.chunks(3);
                    let count = batches.len() as f64;
                    let slopes = batches.map(|batch| {
                        let change = self.norm(&up, batch) - self.norm(&down, batch);
                        (change / f64::from(2.0 * step)).abs()
                    });
                    let expected = slopes.sum::<f64>() / count;
                    assert!(
                        (entries[at] - expected).abs() < tolerance * (top + expected + 1e-3),
                        "{name} {at}: {} {expected}",
                        entries[at]
                    );
                }
            }
        }
    }

    /// Every value of every tensor against automatic differentiation in batches of three. burn
    /// normalises with running statistics only where a batch norm is frozen, so the tensors of batch
    /// norms have no gradient there; `crates/nets/tests/suite/layers.rs` judges theirs.
    #[test]
    fn image_networks_agree_with_automatic_differentiation() {
        for kind in [Kind::SmallCnn, Kind::ResNet18] {
            let case = Case::new(kind, Input::Images(SHAPE), images(5));
            let ours = case.sensitivity(3);
            let norm = |name: &str| name.contains("bn") || name.contains("downsample.1");
            let theirs = case.by_autograd(&norm);
            assert!(theirs.contains_key(&format!("{}.weight", case.architecture.head())));
            for (name, tensor) in &ours {
                assert!(!name.contains("running") && tensor.sum() > 0.0, "{name}");
                assert_eq!(theirs.contains_key(name), !norm(name), "{name}");
                let Some(theirs) = theirs.get(name) else {
                    continue;
                };
                let top = theirs.iter().copied().fold(0.0, f64::max);
                for (ours, theirs) in tensor.entries().zip(theirs) {
                    let off = (ours - theirs).abs();
                    assert!(off < 1e-4 * top, "{kind} {name}: {ours} {theirs}");
                }
            }
        }
    }

    #[test]
    fn networks_over_sequences_agree_with_differences() {
        let text = TextShape {
            vocabulary: 9,
            length: 4,
        };
        let sequences = (0..4u32)
            .map(|i| (0..4).map(|j| 1 + (i * 3 + j) % 8).collect())
            .collect();
        let tokens = Samples::Tokens {
            vocabulary: 9,
            sequences,
        };
        let case = Case::new(Kind::GatedCnn, Input::Text(text), set(tokens, 4));
        case.compare(1e-2, 0.05);
    }

    /// Of larger batches it is smaller: gradients of different samples cancel.
    #[test]
    fn it_shrinks_with_the_batch() {
        let case = Case::new(Kind::SmallCnn, Input::Images(SHAPE), images(8));
        let sum = |size| -> f64 { case.sensitivity(size).values().map(FisherTensor::sum).sum() };
        assert!(sum(8) < sum(1) && sum(8) > 0.0);
    }
}
