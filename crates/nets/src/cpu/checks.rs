//! What tests of layers share: a layer's way back against central differences of its way there.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use super::layer::{Backward, CpuLayer, Record, forward};
use super::maps::Maps;
use super::weights::{Purpose, Weights};
use crate::array::{Array, StateDict};
use crate::error::backend;
use crate::ops::operation::{Op, cpu_layers};

/// Values that differ from each other.
pub(crate) fn wave(count: usize, seed: usize) -> Vec<f32> {
    let value = |at: usize| ((at * 7 + seed * 13 + 1) as f32 * 0.37).sin() * 0.9;
    (0..count).map(value).collect()
}

pub(crate) fn close(ours: f32, wanted: f64, slack: f64, what: &str) {
    let off = (f64::from(ours) - wanted).abs();
    assert!(
        off < slack * (1.0 + wanted.abs()),
        "{what}: {ours} {wanted}"
    );
}

/// Three samples of four positions: without padding, and with some at an end and some between tokens.
pub(crate) fn sequences(channels: usize) -> [Maps; 2] {
    let plain = Maps::new(3, [4, 1], channels, wave(12 * channels, 5));
    let mask = vec![1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0];
    let masked = Maps {
        mask: Some(Arc::new(mask)),
        ..plain.clone()
    };
    [plain, masked]
}

/// A program with weights and an input.
pub(crate) struct Case {
    program: Vec<Op>,
    pub(crate) state: StateDict,
    pub(crate) input: Maps,
}

/// What the way back found.
pub(crate) struct Gone {
    pub(crate) output: Maps,
    gradients: BTreeMap<String, Vec<f32>>,
    /// With one group for each sample.
    squares: BTreeMap<String, Vec<f32>>,
    /// Nothing where the input has no gradient.
    input: Option<Vec<f32>>,
}

impl Case {
    pub(crate) fn new(program: Vec<Op>, input: Maps) -> Self {
        let tensors = program.iter().flat_map(Op::tensors).enumerate();
        let of = |(seed, (name, shape)): (usize, (String, Vec<usize>))| {
            let values = wave(shape.iter().product(), seed);
            (name, Array { shape, values })
        };
        Self {
            state: tensors.map(of).collect(),
            program,
            input,
        }
    }

    pub(crate) fn layers(&self, state: &StateDict) -> Vec<Box<dyn CpuLayer>> {
        cpu_layers(&self.program, &Weights::new(state, Purpose::Gradients)).unwrap()
    }

    pub(crate) fn output(&self, threads: usize) -> Maps {
        forward(&self.layers(&self.state), self.input.clone(), threads).unwrap()
    }

    /// The sum of the outputs, each with a weight of its own.
    fn sum(&self, state: &StateDict, input: &Maps) -> f64 {
        let out = forward(&self.layers(state), input.clone(), 1).unwrap();
        let weights = wave(out.values.len(), 9);
        let terms = out.values.iter().zip(weights);
        terms.map(|(a, b)| f64::from(*a) * f64::from(b)).sum()
    }

    pub(crate) fn go(&self, input: &Maps, weights: Option<&[f32]>, threads: usize) -> Gone {
        let layers = self.layers(&self.state);
        let mut record = Record::new(threads);
        let output = record.layers(&layers, input.clone()).unwrap();
        let weights = weights.map_or_else(|| wave(output.values.len(), 9), <[f32]>::to_vec);
        let (mut gradients, mut squares) = (BTreeMap::new(), BTreeMap::new());
        let mut sink = |layer: super::layer::Tapped<'_>| {
            for gradient in (layer.gradients)().map_err(backend)? {
                gradients.insert(layer.tensor(gradient.part), gradient.into_pytorch());
            }
            for (part, values) in (layer.squares)(input.samples).map_err(backend)? {
                squares.insert(layer.tensor(part), values);
            }
            Ok(true)
        };
        let back = Backward::new(record, &mut sink).layers(&layers, output.with(weights));
        Gone {
            input: back.unwrap().map(|maps| maps.values),
            output,
            gradients,
            squares,
        }
    }

    /// Every value of every gradient against central differences, and squares of single samples against gradients of
    /// single samples. `differs` says whether the input has a gradient.
    pub(crate) fn check(&self, differs: bool) {
        for threads in [1, 2] {
            self.check_gradients(differs, threads);
        }
        self.check_squares();
    }

    fn check_gradients(&self, differs: bool, threads: usize) {
        const STEP: f32 = 1e-2;
        let slope = |of: &dyn Fn(f32) -> f64| (of(STEP) - of(-STEP)) / (2.0 * f64::from(STEP));
        let gone = self.go(&self.input, None, threads);
        let forward = self.output(threads).values;
        for (ours, forward) in gone.output.values.iter().zip(&forward) {
            close(*ours, f64::from(*forward), 1e-6, "output");
        }
        assert!(gone.gradients.keys().eq(self.state.keys()));
        for (name, gradient) in &gone.gradients {
            assert_eq!(gradient.len(), self.state[name].values.len());
            for (at, ours) in gradient.iter().enumerate() {
                let wanted = slope(&|step| {
                    let mut state = self.state.clone();
                    state.get_mut(name).unwrap().values[at] += step;
                    self.sum(&state, &self.input)
                });
                close(*ours, wanted, 1e-3, name);
            }
        }
        assert_eq!(gone.input.is_some(), differs);
        for (at, ours) in gone.input.iter().flatten().enumerate() {
            let wanted = slope(&|step| {
                let mut input = self.input.clone();
                input.values[at] += step;
                self.sum(&self.state, &input)
            });
            close(*ours, wanted, 1e-3, "input");
        }
    }

    fn check_squares(&self) {
        let all = self.go(&self.input, None, 1);
        let each = all.output.per_sample();
        let weights = wave(all.output.values.len(), 9);
        let singles: Vec<Gone> = (0..self.input.samples)
            .zip(weights.chunks_exact(each))
            .map(|(sample, weights)| self.go(&self.input.select(&[sample]), Some(weights), 1))
            .collect();
        assert!(all.squares.keys().eq(self.state.keys()));
        for (name, squares) in &all.squares {
            assert_eq!(squares.len(), self.state[name].values.len());
            for (at, ours) in squares.iter().enumerate() {
                let square = |single: &Gone| f64::from(single.gradients[name][at]).powi(2);
                close(*ours, singles.iter().map(square).sum(), 3e-6, name);
            }
        }
    }

    /// No samples are no outputs.
    pub(crate) fn check_nothing(&self) {
        let none = self.input.select(&[]);
        let out = forward(&self.layers(&self.state), none, 2).unwrap();
        assert_eq!((out.samples, out.values.len()), (0, 0));
    }
}
