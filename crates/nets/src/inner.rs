//! The Fisher information of the layers below the head.

use std::collections::BTreeMap;
use std::ops::Range;

use data::DataSet;
use fiun::layers::Squares;
use fiun::{Estimator, FisherTensor, Matrix, Residuals};

use crate::host::{HostNetwork, Layer, Purpose, Tape, Tapped, backend};
use crate::input::Inputs;
use crate::{Architecture, Capture, NetError, Op, Preprocessing, StateDict};

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
    if job.architecture.kind.is_sequential() {
        return Err(NetError::Data(format!(
            "the Fisher information of {}'s inner layers is not computed; choose the head",
            job.architecture.kind
        )));
    }
    let network = HostNetwork::new(job.architecture, job.state, Purpose::Gradients)?;
    let images = Inputs::new(job.set, job.architecture.input, job.preprocessing)?;
    let (samples, outputs) = (job.set.len(), job.architecture.classes);
    if samples == 0 || job.rows.len() != samples {
        return Err(NetError::Data(format!(
            "{} labels for {samples} samples",
            job.rows.len()
        )));
    }
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
    let weights: usize = job.state.values().map(|array| array.values.len()).sum();
    let of = |parts: &BTreeMap<String, Sum>| {
        let sizes = parts.values().map(|sum| sum.values.len());
        sizes.sum::<usize>()
    };
    let sizes = sums.layers.values().map(of);
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
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use burn::nn::loss::CrossEntropyLossConfig;
    use burn::tensor::{Int, Tensor, TensorData};
    use data::{ImageShape, Samples};

    use crate::device_network::DeviceNetwork;
    use crate::{Compute, Kind, Network, capture, initial_state};

    struct Case {
        architecture: Architecture,
        state: StateDict,
        set: DataSet,
    }

    fn case(kind: Kind, channels: usize, side: usize, samples: usize) -> Case {
        let shape = ImageShape {
            channels,
            height: side,
            width: side,
        };
        let architecture = Architecture {
            kind,
            input: shape.into(),
            classes: 3,
        };
        let mut state = initial_state(&architecture, 3).unwrap();
        // Statistics of a trained network: neither 0 nor 1, and in a densely connected one large
        // enough that values do not grow from layer to layer.
        let spread = if kind == Kind::DenseNet161 { 30.0 } else { 1.0 };
        for (name, array) in &mut state {
            for (i, value) in array.values.iter_mut().enumerate() {
                let wave = ((i * 37) % 19) as f32 / 19.0;
                match name.rsplit('.').next() {
                    Some("running_mean") => *value = 0.2 * wave - 0.1,
                    Some("running_var") => *value = spread * (0.5 + wave),
                    Some("bias") => *value += 0.05 * wave,
                    _ => {}
                }
            }
        }
        let pixels = (0..samples * shape.len())
            .map(|i| ((i * 7919 + i / 13) % 251) as u8)
            .collect();
        let set = DataSet::new(
            "waves",
            Samples::Images { shape, pixels },
            (0..samples).map(|n| (n % 3) as u32).collect(),
            ["a", "b", "c"].map(String::from).to_vec(),
            (0..samples).map(|n| format!("s{n}")).collect(),
        )
        .unwrap();
        Case {
            architecture,
            state,
            set,
        }
    }

    impl Case {
        fn fisher(&self, estimator: Estimator, memory: Option<u64>) -> InnerFisher {
            self.try_fisher(estimator, memory).unwrap()
        }

        fn try_fisher(
            &self,
            estimator: Estimator,
            memory: Option<u64>,
        ) -> Result<InnerFisher, NetError> {
            let job = InnerJob {
                architecture: &self.architecture,
                state: &self.state,
                set: &self.set,
                rows: self.set.labels(),
                preprocessing: &Preprocessing::default(),
                estimator,
                wanted: &|_| true,
                memory,
            };
            inner_fisher(&job, &mut |_| {})
        }

        /// Squares of burn's gradients of the mean loss of some samples, tensor by tensor.
        fn autograd(&self, indices: &[usize]) -> BTreeMap<String, Vec<f64>> {
            let device = Compute::Flex.device().autodiff();
            // burn normalises with the batch's statistics unless the layer is frozen.
            let frozen = |name: &str| {
                ["bn", "norm", "downsample.1"]
                    .iter()
                    .any(|part| name.contains(part))
            };
            let network =
                DeviceNetwork::on(&self.architecture, &self.state, device.clone(), &frozen)
                    .unwrap();
            let preprocessing = Preprocessing::default();
            let images = Inputs::new(&self.set, self.architecture.input, &preprocessing).unwrap();
            let (_, logits) = network.forward(images.batch(indices, &device, None), None);
            let labels: Vec<i64> = indices
                .iter()
                .map(|&i| i64::from(self.set.labels()[i]))
                .collect();
            let labels =
                Tensor::<1, Int>::from_data(TensorData::new(labels, [indices.len()]), &device);
            let loss = CrossEntropyLossConfig::new()
                .init(&device)
                .forward(logits, labels);
            let square = |g: &f32| f64::from(*g).powi(2);
            network
                .gradients(&loss.backward())
                .unwrap()
                .into_iter()
                .map(|(name, g)| (name, g.values.iter().map(square).collect()))
                .collect()
        }

        fn compare(&self, fisher: &InnerFisher, groups: &[Vec<usize>]) {
            let mut mean: BTreeMap<String, Vec<f64>> = BTreeMap::new();
            for group in groups {
                for (name, squares) in self.autograd(group) {
                    let sum = mean.entry(name).or_insert_with(|| vec![0.0; squares.len()]);
                    sum.iter_mut()
                        .zip(squares)
                        .for_each(|(s, q)| *s += q / groups.len() as f64);
                }
            }
            let mut compared = 0;
            for (name, tensor) in &fisher.tensors {
                let Some(expected) = mean.get(name) else {
                    continue;
                };
                compared += 1;
                let top = expected.iter().copied().fold(0.0, f64::max);
                for (ours, theirs) in tensor.entries().zip(expected) {
                    let slack = 1e-3 * theirs + 1e-5 * top;
                    assert!((ours - theirs).abs() <= slack, "{name}: {ours} {theirs}");
                }
            }
            assert!(compared >= 4, "{compared}");
        }
    }

    #[test]
    fn agrees_with_autograd_sample_by_sample() {
        for (kind, channels, side, samples) in [
            (Kind::SmallCnn, 1, 8, 4),
            (Kind::AlexNet32, 3, 32, 4),
            (Kind::ResNet18, 3, 32, 4),
            (Kind::DenseNet161, 3, 32, 2),
        ] {
            let case = case(kind, channels, side, samples);
            let each: Vec<Vec<usize>> = (0..samples).map(|n| vec![n]).collect();
            case.compare(&case.fisher(Estimator::Empirical, None), &each);
        }
    }

    #[test]
    fn batches_are_squared_as_one() {
        let case = case(Kind::SmallCnn, 1, 8, 7);
        let fisher = case.fisher(Estimator::Batch { size: 3 }, None);
        case.compare(&fisher, &[vec![0, 1, 2], vec![3, 4, 5], vec![6]]);
    }

    /// Every kind of tensor of a ResNet, batch normalisation included.
    #[test]
    fn agrees_with_finite_differences() {
        let case = case(Kind::ResNet18, 3, 32, 2);
        let fisher = case.fisher(Estimator::Empirical, None);
        let losses = |state: &StateDict| -> Vec<f64> {
            let network = Network::new(&case.architecture, state, Compute::Cpu).unwrap();
            let captured =
                capture(&network, &case.set, &Preprocessing::default(), &mut |_| {}).unwrap();
            (0..case.set.len())
                .map(|n| {
                    let z = captured.logits.view().row(n);
                    let sum: f64 = z.iter().map(|z| f64::from(*z).exp()).sum();
                    sum.ln() - f64::from(z[case.set.labels()[n] as usize])
                })
                .collect()
        };
        for name in [
            "conv1.weight",
            "bn1.weight",
            "bn1.bias",
            "layer2.0.downsample.0.weight",
            "layer2.0.downsample.1.weight",
            "layer4.1.conv2.weight",
            "layer4.1.bn2.bias",
        ] {
            let tensor = &fisher.tensors[name];
            let entries: Vec<f64> = tensor.entries().collect();
            let place = (0..entries.len())
                .max_by(|a, b| entries[*a].total_cmp(&entries[*b]))
                .unwrap();
            // Wide enough for single precision, narrow enough for most kinks of the network.
            let step = 2e-3f32;
            let at = |by: f32| {
                let mut state = case.state.clone();
                state.get_mut(name).unwrap().values[place] += by;
                losses(&state)
            };
            let square: f64 = at(step)
                .iter()
                .zip(at(-step))
                .map(|(a, b)| ((a - b) / (2.0 * f64::from(step))).powi(2))
                .sum::<f64>()
                / case.set.len() as f64;
            let ours = entries[place];
            assert!(
                (ours - square).abs() < 0.05 * square,
                "{name}: {ours} {square}"
            );
        }
    }

    #[test]
    fn memory_bounds_the_chunks_and_not_the_result() {
        let case = case(Kind::SmallCnn, 1, 8, 9);
        let whole = case.fisher(Estimator::Empirical, None);
        let refused = case
            .try_fisher(Estimator::Empirical, Some(1000))
            .unwrap_err();
        assert!(refused.to_string().contains("do not suffice"), "{refused}");
        let least = 600_000;
        let small = case.fisher(Estimator::Empirical, Some(least));
        for (name, tensor) in &whole.tensors {
            for (a, b) in tensor.entries().zip(small.tensors[name].entries()) {
                assert!((a - b).abs() <= 1e-5 * a, "{name}: {a} {b}");
            }
        }
        let drawn = case.fisher(Estimator::True { seed: 1 }, None);
        assert_ne!(drawn.tensors, whole.tensors);
        let again = case.fisher(Estimator::True { seed: 1 }, Some(least));
        for (name, tensor) in &drawn.tensors {
            assert!((tensor.sum() / again.tensors[name].sum() - 1.0).abs() < 1e-4);
        }
        let logits = |fisher: &InnerFisher| fisher.capture.logits.values().to_vec();
        for (a, b) in logits(&whole).iter().zip(logits(&small)) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
    }
}
