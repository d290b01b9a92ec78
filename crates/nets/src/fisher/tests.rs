//! The FIM of inner layers against automatic differentiation and finite differences.
#![allow(clippy::unwrap_used)]
use std::collections::BTreeMap;

use burn::nn::loss::CrossEntropyLossConfig;
use burn::tensor::{Int, Tensor, TensorData};
use disinherit_data::{DataSet, ImageShape, Samples};
use fiun::Estimator;

use super::autograd;
use super::job::{InnerFisher, InnerJob, inner_tensors};
use super::layers::inner_fisher;
use crate::architecture::description::Architecture;
use crate::architecture::initial::initial_state;
use crate::architecture::input::{Input, TextShape};
use crate::architecture::kind::Kind;
use crate::array::StateDict;
use crate::capture::{Network, capture};
use crate::compute::Compute;
use crate::device::network::DeviceNetwork;
use crate::error::NetError;
use crate::inputs::Inputs;
use crate::preprocessing::Preprocessing;

struct Case {
    architecture: Architecture,
    state: StateDict,
    set: DataSet,
    preprocessing: Preprocessing,
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
        head: None,
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
        preprocessing: Preprocessing::default(),
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
        inner_fisher(&self.job(estimator, memory), &mut |_| {})
    }

    fn job(&self, estimator: Estimator, memory: Option<u64>) -> InnerJob<'_> {
        InnerJob {
            architecture: &self.architecture,
            state: &self.state,
            set: &self.set,
            rows: self.set.labels(),
            preprocessing: &self.preprocessing,
            estimator,
            wanted: &|_| true,
            memory,
        }
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
            DeviceNetwork::new(&self.architecture, &self.state, device.clone(), &frozen).unwrap();
        let preprocessing = Preprocessing::default();
        let images = Inputs::new(&self.set, self.architecture.input, &preprocessing).unwrap();
        let (_, logits) = network.forward(images.batch(indices, &device, None), None);
        let labels: Vec<i64> = indices
            .iter()
            .map(|&i| i64::from(self.set.labels()[i]))
            .collect();
        let labels = Tensor::<1, Int>::from_data(TensorData::new(labels, [indices.len()]), &device);
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
        (Kind::ResNet8, 1, 8, 4),
        (Kind::DenseNet161, 3, 32, 2),
    ] {
        let case = case(kind, channels, side, samples);
        let each: Vec<Vec<usize>> = (0..samples).map(|n| vec![n]).collect();
        case.compare(&case.fisher(Estimator::Empirical, None), &each);
    }
}

/// Two ways to the same numbers.
#[test]
fn automatic_differentiation_gives_the_same() {
    let case = case(Kind::SmallCnn, 1, 8, 7);
    for estimator in [
        Estimator::Empirical,
        Estimator::True { seed: 3 },
        Estimator::Batch { size: 3 },
    ] {
        let fast = case.fisher(estimator, None);
        let slow = autograd::fisher(&case.job(estimator, None), &mut |_| {}).unwrap();
        assert_eq!(fast.tensors.len(), slow.tensors.len());
        for (name, tensor) in &fast.tensors {
            let top = tensor.entries().fold(0.0, f64::max);
            for (a, b) in tensor.entries().zip(slow.tensors[name].entries()) {
                assert!((a - b).abs() <= 1e-3 * a + 1e-5 * top, "{name}: {a} {b}");
            }
        }
    }
}

/// Every tensor of the networks over sequences has Fisher information, against finite
/// differences of the loss.
#[test]
fn sequences_agree_with_finite_differences() {
    for kind in [Kind::Lstm, Kind::GatedCnn, Kind::BertTiny] {
        let (vocabulary, length) = (12, 5);
        let architecture = Architecture {
            kind,
            input: Input::Text(TextShape { vocabulary, length }),
            classes: 3,
            head: None,
        };
        let set = DataSet::new(
            "words",
            Samples::Tokens {
                vocabulary,
                sequences: vec![vec![3, 7, 2]],
            },
            vec![1],
            ["a", "b", "c"].map(String::from).to_vec(),
            vec!["s".into()],
        )
        .unwrap();
        let state = initial_state(&architecture, 5).unwrap();
        let loss = |state: &StateDict| {
            let network = Network::new(&architecture, state, Compute::Cpu).unwrap();
            let seen = capture(&network, &set, &Preprocessing::default(), &mut |_| {});
            let z: Vec<f64> = seen
                .unwrap()
                .logits
                .values()
                .iter()
                .map(|v| f64::from(*v))
                .collect();
            z.iter().map(|v| v.exp()).sum::<f64>().ln() - z[1]
        };
        let job = InnerJob {
            architecture: &architecture,
            state: &state,
            set: &set,
            rows: &[1],
            preprocessing: &Preprocessing::default(),
            estimator: Estimator::Empirical,
            wanted: &|_| true,
            memory: None,
        };
        let fisher = inner_fisher(&job, &mut |_| {}).unwrap();
        assert_eq!(
            fisher.tensors.len(),
            inner_tensors(&architecture).unwrap().len()
        );
        let mut compared = 0;
        for (name, tensor) in &fisher.tensors {
            let entries: Vec<f64> = tensor.entries().collect();
            let (at, top) = entries
                .iter()
                .enumerate()
                .max_by(|a, b| a.1.total_cmp(b.1))
                .unwrap();
            // Below this, single precision cannot tell the two losses apart.
            if top.sqrt() < 2e-3 {
                continue;
            }
            let moved = |step: f32| {
                let mut state = state.clone();
                state.get_mut(name).unwrap().values[at] += step;
                loss(&state)
            };
            let slope = (moved(5e-3) - moved(-5e-3)) / 1e-2;
            let ours = top.sqrt();
            assert!(
                (ours - slope.abs()).abs() <= 0.05 * ours,
                "{kind} {name}: {ours} {slope}"
            );
            compared += 1;
        }
        assert!(compared >= 5, "{kind}: {compared}");
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
