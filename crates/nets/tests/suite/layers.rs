//! Every layer type's squared gradients, sample by sample against plain autograd with batch size 1.

use burn::tensor::activation::{sigmoid, softmax};
use burn::tensor::module::{conv2d, embedding};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Gradients, Int, Tensor, TensorData};
use fiun::layers::{
    Attention, AttentionPass, BatchNorm, Convolution, Embedding, LayerNorm, Linear, Lstm, LstmPass,
    Squares,
};

const SAMPLES: usize = 3;

fn device() -> Device {
    Device::flex().autodiff()
}

fn wave(length: usize, phase: usize) -> Vec<f32> {
    (0..length)
        .map(|i| (((i + phase) * 7919 + phase * 31) % 97) as f32 / 97.0 - 0.45)
        .collect()
}

fn tensor<const D: usize>(shape: [usize; D], phase: usize) -> Tensor<D> {
    let values = wave(shape.iter().product(), phase);
    Tensor::from_data(TensorData::new(values, shape), &device())
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

/// A loss whose gradient at `output` is different everywhere, and not constant.
fn loss<const D: usize>(output: Tensor<D>) -> Gradients {
    let weights = tensor(output.dims(), 11);
    (output.clone() * weights + output.powi_scalar(2) * 0.3)
        .sum()
        .backward()
}

/// A zero that is added to a layer's output: its gradient is the output's.
fn tap<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    Tensor::zeros(shape, &device()).require_grad()
}

fn gradient<const D: usize>(tensor: &Tensor<D>, gradients: &Gradients) -> Vec<f32> {
    values(tensor.grad(gradients).unwrap())
}

/// The sum over samples of squared gradients.
#[derive(Default)]
struct Judge(Vec<Vec<f32>>);

impl Judge {
    fn add(&mut self, parts: Vec<Vec<f32>>) {
        self.0.resize_with(parts.len(), Vec::new);
        for (sum, part) in self.0.iter_mut().zip(parts) {
            sum.resize(part.len(), 0.0);
            sum.iter_mut().zip(part).for_each(|(s, g)| *s += g * g);
        }
    }

    fn agrees(&self, squares: &Squares, names: &[&str]) {
        let found: Vec<&str> = squares.iter().map(|(name, _)| *name).collect();
        assert_eq!(found, names);
        for ((name, ours), expected) in squares.iter().zip(&self.0) {
            assert_eq!(ours.len(), expected.len(), "{name}");
            for (a, b) in ours.iter().zip(expected) {
                assert!((a - b).abs() <= 1e-4 * b.abs() + 1e-6, "{name}: {a} {b}");
            }
        }
    }
}

/// `[1, channels, height, width]` as channels-last values.
fn last(maps: Tensor<4>) -> Vec<f32> {
    values(maps.permute([0, 2, 3, 1]))
}

#[test]
fn linear_on_vectors_and_sequences() {
    for positions in [1, 4] {
        let (weight, bias) = (
            tensor([5, 6], 1).require_grad(),
            tensor([6], 2).require_grad(),
        );
        let (mut input, mut delta) = (Vec::new(), Vec::new());
        let mut judge = Judge::default();
        for n in 0..SAMPLES {
            let x = tensor([positions, 5], 10 * n);
            let zero = tap([positions, 6]);
            let z = x.clone().matmul(weight.clone()) + bias.clone().reshape([1, 6]) + zero.clone();
            let g = loss(z);
            let of_weight = values(weight.grad(&g).unwrap().transpose());
            judge.add(vec![of_weight, gradient(&bias, &g)]);
            input.extend(values(x));
            delta.extend(gradient(&zero, &g));
        }
        let layer = Linear {
            inputs: 5,
            outputs: 6,
        };
        let ours = layer.squares(SAMPLES, &input, &delta).unwrap();
        judge.agrees(&ours, &["weight", "bias"]);
        assert!(layer.squares(2, &input[1..], &delta).is_err());
    }
}

#[test]
fn convolutions_with_groups_strides_and_padding() {
    for (kernel, stride, padding, groups, size) in [
        (3, 1, 1, 1, [5, 4]),
        (3, 2, 1, 2, [7, 7]),
        (1, 2, 0, 1, [4, 4]),
        (3, 1, 1, 4, [1, 1]),
        (5, 3, 2, 1, [6, 8]),
    ] {
        let layer = Convolution {
            channels: [4, 8],
            kernel,
            stride,
            padding,
            groups,
            size,
        };
        let [height, width] = layer.output().unwrap();
        let weight = tensor([8, 4 / groups, kernel, kernel], 1).require_grad();
        let bias = tensor([8], 2).require_grad();
        let options = ConvOptions::new([stride; 2], [padding; 2], [1, 1], groups);
        let (mut input, mut delta) = (Vec::new(), Vec::new());
        let mut judge = Judge::default();
        for n in 0..SAMPLES {
            let x = tensor([1, 4, size[0], size[1]], 10 * n);
            let zero = tap([1, 8, height, width]);
            let z = conv2d(
                x.clone(),
                weight.clone(),
                Some(bias.clone()),
                options.clone(),
            );
            let g = loss(z + zero.clone());
            judge.add(vec![gradient(&weight, &g), gradient(&bias, &g)]);
            input.extend(last(x));
            delta.extend(last(zero.grad(&g).unwrap()));
        }
        let ours = layer.squares(SAMPLES, &input, &delta).unwrap();
        judge.agrees(&ours, &["weight", "bias"]);
    }
}

#[test]
fn batch_norm_with_fixed_statistics() {
    let (weight, bias) = (tensor([3], 1).require_grad(), tensor([3], 2).require_grad());
    let mean = wave(3, 5);
    let variance: Vec<f32> = wave(3, 6).iter().map(|v| 1.0 + v).collect();
    let fixed = |values: &[f32]| {
        Tensor::<4>::from_data(TensorData::new(values.to_vec(), [1, 3, 1, 1]), &device())
    };
    let (mut input, mut delta) = (Vec::new(), Vec::new());
    let mut judge = Judge::default();
    for n in 0..SAMPLES {
        let x = tensor([1, 3, 4, 5], 10 * n);
        let zero = tap([1, 3, 4, 5]);
        let hat = (x.clone() - fixed(&mean)) / (fixed(&variance) + 1e-5).sqrt();
        let wide = |t: &Tensor<1>| t.clone().reshape([1, 3, 1, 1]);
        let g = loss(hat * wide(&weight) + wide(&bias) + zero.clone());
        judge.add(vec![gradient(&weight, &g), gradient(&bias, &g)]);
        input.extend(last(x));
        delta.extend(last(zero.grad(&g).unwrap()));
    }
    let layer = BatchNorm {
        mean: &mean,
        variance: &variance,
        epsilon: 1e-5,
    };
    let ours = layer.squares(SAMPLES, &input, &delta).unwrap();
    judge.agrees(&ours, &["weight", "bias"]);
}

#[test]
fn layer_norm_on_sequences() {
    let (weight, bias) = (tensor([6], 1).require_grad(), tensor([6], 2).require_grad());
    let (mut input, mut delta) = (Vec::new(), Vec::new());
    let mut judge = Judge::default();
    for n in 0..SAMPLES {
        let x = tensor([4, 6], 10 * n);
        let zero = tap([4, 6]);
        let centred = x.clone() - x.clone().mean_dim(1);
        let variance = centred.clone().powi_scalar(2).mean_dim(1);
        let hat = centred / (variance + 1e-5).sqrt();
        let wide = |t: &Tensor<1>| t.clone().reshape([1, 6]);
        let g = loss(hat * wide(&weight) + wide(&bias) + zero.clone());
        judge.add(vec![gradient(&weight, &g), gradient(&bias, &g)]);
        input.extend(values(x));
        delta.extend(gradient(&zero, &g));
    }
    let layer = LayerNorm {
        channels: 6,
        epsilon: 1e-5,
    };
    let ours = layer.squares(SAMPLES, &input, &delta).unwrap();
    judge.agrees(&ours, &["weight", "bias"]);
}

#[test]
fn embeddings_sum_over_repeated_tokens() {
    let weight = tensor([7, 5], 1).require_grad();
    let (mut input, mut delta) = (Vec::new(), Vec::new());
    let mut judge = Judge::default();
    for n in 0..SAMPLES {
        let tokens: Vec<i64> = [0, 3, 3, 6].iter().map(|t| (t + n as i64) % 7).collect();
        let x = Tensor::<2, Int>::from_data(TensorData::new(tokens.clone(), [1, 4]), &device());
        let zero = tap([1, 4, 5]);
        let g = loss(embedding(weight.clone(), x) + zero.clone());
        judge.add(vec![gradient(&weight, &g)]);
        input.extend(tokens.iter().map(|t| *t as u32));
        delta.extend(gradient(&zero, &g));
    }
    let layer = Embedding {
        tokens: 7,
        width: 5,
    };
    let ours = layer.squares(SAMPLES, &input, &delta).unwrap();
    judge.agrees(&ours, &["weight"]);
    input[0] = 7;
    assert!(layer.squares(SAMPLES, &input, &delta).is_err());
}

/// Queries, keys and values: a projection of each source, with a zero added.
fn project(
    weight: &Tensor<2>,
    bias: &Tensor<1>,
    sources: &[Tensor<2>; 3],
    zeros: &[Tensor<2>; 3],
) -> [Tensor<2>; 3] {
    let [_, width] = weight.dims();
    [0, 1, 2].map(|part| {
        let rows = part * width..(part + 1) * width;
        let weight = weight.clone().slice([rows.clone(), 0..width]);
        let bias = bias.clone().slice([rows]).reshape([1, width]);
        sources[part].clone().matmul(weight.transpose()) + bias + zeros[part].clone()
    })
}

/// Two heads with two of four columns each, side by side.
fn attend([q, k, v]: &[Tensor<2>; 3]) -> Tensor<2> {
    let [positions, _] = q.dims();
    let heads: Vec<Tensor<2>> = (0..2)
        .map(|head| {
            let cols = head * 2..head * 2 + 2;
            let part = |t: &Tensor<2>| t.clone().slice([0..positions, cols.clone()]);
            let scores = part(q).matmul(part(k).transpose()) * 0.5f32.sqrt();
            softmax(scores, 1).matmul(part(v))
        })
        .collect();
    Tensor::cat(heads, 1)
}

#[test]
fn attentions_projections() {
    let (width, positions) = (4, 3);
    let in_weight = tensor([3 * width, width], 1).require_grad();
    let in_bias = tensor([3 * width], 2).require_grad();
    let out_weight = tensor([width, width], 3).require_grad();
    let out_bias = tensor([width], 4).require_grad();
    let mut judge = Judge::default();
    let mut inputs: [Vec<f32>; 3] = Default::default();
    let mut deltas: [Vec<f32>; 3] = Default::default();
    let (mut mixed, mut output) = (Vec::new(), Vec::new());
    for n in 0..SAMPLES {
        // Queries from one sequence, keys and values from another, as in cross-attention.
        let (own, other) = (
            tensor([positions, width], 10 * n),
            tensor([positions, width], 10 * n + 5),
        );
        let sources = [own, other.clone(), other];
        let zeros = [0, 1, 2].map(|_| tap([positions, width]));
        let together = attend(&project(&in_weight, &in_bias, &sources, &zeros));
        let zero = tap([positions, width]);
        let z = together.clone().matmul(out_weight.clone().transpose())
            + out_bias.clone().reshape([1, width])
            + zero.clone();
        let g = loss(z);
        judge.add(vec![
            gradient(&in_weight, &g),
            gradient(&in_bias, &g),
            gradient(&out_weight, &g),
            gradient(&out_bias, &g),
        ]);
        for part in 0..3 {
            inputs[part].extend(values(sources[part].clone()));
            deltas[part].extend(gradient(&zeros[part], &g));
        }
        mixed.extend(values(together));
        output.extend(gradient(&zero, &g));
    }
    let pass = AttentionPass {
        inputs: [&inputs[0], &inputs[1], &inputs[2]],
        deltas: [&deltas[0], &deltas[1], &deltas[2]],
        mixed: &mixed,
        output: &output,
    };
    let ours = Attention { width }.squares(SAMPLES, &pass).unwrap();
    judge.agrees(
        &ours,
        &[
            "in_proj_weight",
            "in_proj_bias",
            "out_proj.weight",
            "out_proj.bias",
        ],
    );
}

#[test]
fn lstm_cells_over_their_steps() {
    let (inputs, hidden, steps) = (3, 4, 5);
    let weight_ih = tensor([4 * hidden, inputs], 1).require_grad();
    let bias_ih = tensor([4 * hidden], 2).require_grad();
    let weight_hh = tensor([4 * hidden, hidden], 3).require_grad();
    let bias_hh = tensor([4 * hidden], 4).require_grad();
    let mut judge = Judge::default();
    let (mut input, mut before, mut gates) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..SAMPLES {
        let (mut h, mut c) = (
            Tensor::<2>::zeros([1, hidden], &device()),
            Tensor::<2>::zeros([1, hidden], &device()),
        );
        let mut taps = Vec::new();
        for step in 0..steps {
            let x = tensor([1, inputs], 10 * n + step);
            input.extend(values(x.clone()));
            before.extend(values(h.clone()));
            let zero = tap([1, 4 * hidden]);
            let wide = |t: &Tensor<1>| t.clone().reshape([1, 4 * hidden]);
            let z = x.matmul(weight_ih.clone().transpose())
                + h.matmul(weight_hh.clone().transpose())
                + wide(&bias_ih)
                + wide(&bias_hh)
                + zero.clone();
            taps.push(zero);
            let gate = |index: usize| {
                z.clone()
                    .slice([0..1, index * hidden..(index + 1) * hidden])
            };
            c = sigmoid(gate(1)) * c + sigmoid(gate(0)) * gate(2).tanh();
            h = sigmoid(gate(3)) * c.clone().tanh();
        }
        let g = loss(h);
        judge.add(vec![
            gradient(&weight_ih, &g),
            gradient(&bias_ih, &g),
            gradient(&weight_hh, &g),
            gradient(&bias_hh, &g),
        ]);
        taps.iter()
            .for_each(|zero| gates.extend(gradient(zero, &g)));
    }
    let pass = LstmPass {
        input: &input,
        hidden: &before,
        gates: &gates,
    };
    let ours = Lstm { inputs, hidden }.squares(SAMPLES, &pass).unwrap();
    judge.agrees(&ours, &["weight_ih", "bias_ih", "weight_hh", "bias_hh"]);
}
