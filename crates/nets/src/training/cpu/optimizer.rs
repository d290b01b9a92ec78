//! Stochastic gradient descent and Adam, as PyTorch has them.

use std::collections::BTreeMap;

use pulp::Arch;
use rayon::prelude::*;

use crate::array::StateDict;
use crate::training::config::{Optimizer, TrainingConfig};

/// Adam's decays: PyTorch's defaults.
pub(crate) const DECAYS: [f64; 2] = [0.9, 0.999];
/// What is added to Adam's divisor: PyTorch's default.
const EPSILON: f32 = 1e-8;

/// Values of a part that a thread changes.
const PART: usize = 1 << 15;

/// What an optimizer changes.
pub(crate) trait Tensors {
    /// The values of a tensor, in the order in which its gradients come.
    fn values_mut(&mut self, name: &str) -> Option<&mut [f32]>;
}

impl Tensors for StateDict {
    fn values_mut(&mut self, name: &str) -> Option<&mut [f32]> {
        self.get_mut(name).map(|array| &mut array.values[..])
    }
}

/// What an optimizer remembers of a tensor.
#[derive(Default)]
struct Memory {
    momentum: Vec<f32>,
    squares: Vec<f32>,
}

/// Turns gradients into steps.
pub(crate) struct Steps {
    optimizer: Optimizer,
    momentum: f32,
    decay: f32,
    clip: Option<f32>,
    /// Adam's.
    decays: [f64; 2],
    memories: BTreeMap<String, Memory>,
    taken: i32,
}

impl Steps {
    pub(super) fn new(config: &TrainingConfig) -> Self {
        Self {
            optimizer: config.optimizer,
            momentum: config.momentum as f32,
            decay: config.weight_decay as f32,
            clip: config.clip,
            decays: DECAYS,
            memories: BTreeMap::new(),
            taken: 0,
        }
    }

    /// Adam without a penalty, with the decays of its two means.
    pub(crate) fn adam(decays: [f64; 2]) -> Self {
        let config = TrainingConfig {
            optimizer: Optimizer::Adam,
            weight_decay: 0.0,
            ..TrainingConfig::default()
        };
        Self {
            decays,
            ..Self::new(&config)
        }
    }

    /// Changes the tensors that there are gradients of. `masks`: 1 for the values that may change, 0 for
    /// those that stay.
    pub(crate) fn step(
        &mut self,
        rate: f64,
        tensors: &mut impl Tensors,
        gradients: BTreeMap<String, Vec<f32>>,
        masks: &BTreeMap<String, Vec<f32>>,
    ) {
        self.taken += 1;
        for (name, gradient) in gradients {
            let Some(values) = tensors.values_mut(&name) else {
                continue;
            };
            let mask = masks.get(&name).map(Vec::as_slice);
            self.change(&name, values, gradient, rate, mask);
        }
    }

    /// Changes one tensor.
    fn change(
        &mut self,
        name: &str,
        values: &mut [f32],
        mut gradient: Vec<f32>,
        rate: f64,
        mask: Option<&[f32]>,
    ) {
        if let Some(bound) = self.clip {
            shorten(&mut gradient, bound);
        }
        let memory = self.memories.entry(name.to_owned()).or_default();
        memory.momentum.resize(values.len(), 0.0);
        let rule = Rule {
            rate: rate as f32,
            momentum: self.momentum,
            decay: self.decay,
            decays: self.decays.map(|decay| decay as f32),
            corrections: self
                .decays
                .map(|decay| (1.0 - decay.powi(self.taken)) as f32),
        };
        if let Optimizer::Adam = self.optimizer {
            memory.squares.resize(values.len(), 0.0);
        }
        let before = mask.map(|_| values.to_vec());
        let arch = Arch::new();
        match self.optimizer {
            Optimizer::Sgd => (values.par_chunks_mut(PART))
                .zip(gradient.par_chunks(PART))
                .zip(memory.momentum.par_chunks_mut(PART))
                .for_each(|((values, gradient), momentum)| {
                    arch.dispatch(|| rule.descend(values, gradient, momentum));
                }),
            Optimizer::Adam => (values.par_chunks_mut(PART))
                .zip(gradient.par_chunks(PART))
                .zip(memory.momentum.par_chunks_mut(PART))
                .zip(memory.squares.par_chunks_mut(PART))
                .for_each(|(((values, gradient), momentum), squares)| {
                    arch.dispatch(|| rule.adapt(values, gradient, [momentum, squares]));
                }),
        }
        // What is masked stays; its memories go on.
        for (mask, before) in mask.into_iter().zip(before) {
            let held = values.iter_mut().zip(mask).zip(before);
            let held = held.filter(|((_, mask), _)| **mask <= 0.0);
            held.for_each(|((value, _), before)| *value = before);
        }
    }
}

/// Brings a gradient that is longer than a bound to that length.
fn shorten(gradient: &mut [f32], bound: f32) {
    let squares = gradient.iter().map(|g| f64::from(*g).powi(2));
    let norm = squares.sum::<f64>().sqrt();
    if norm > f64::from(bound) {
        let factor = (f64::from(bound) / norm) as f32;
        gradient.iter_mut().for_each(|g| *g *= factor);
    }
}

/// How values are changed.
#[derive(Clone, Copy)]
struct Rule {
    rate: f32,
    momentum: f32,
    decay: f32,
    decays: [f32; 2],
    /// What Adam's means are divided by, because they start at zero.
    corrections: [f32; 2],
}

impl Rule {
    #[inline(always)]
    fn descend(self, values: &mut [f32], gradient: &[f32], momentum: &mut [f32]) {
        let all = values.iter_mut().zip(gradient).zip(momentum);
        for ((value, gradient), momentum) in all {
            *momentum = self.momentum * *momentum + gradient + self.decay * *value;
            *value -= self.rate * *momentum;
        }
    }

    #[inline(always)]
    fn adapt(self, values: &mut [f32], gradient: &[f32], [momentum, squares]: [&mut [f32]; 2]) {
        let [first, second] = self.decays;
        let [mean, square] = self.corrections;
        let all = values.iter_mut().zip(gradient).zip(momentum).zip(squares);
        for (((value, gradient), momentum), squares) in all {
            let gradient = gradient + self.decay * *value;
            *momentum = first * *momentum + (1.0 - first) * gradient;
            *squares = second * *squares + (1.0 - second) * gradient * gradient;
            *value -= self.rate * (*momentum / mean) / ((*squares / square).sqrt() + EPSILON);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::array::Array;

    /// Worked out by hand: a gradient of length 5 shortened to 1, the second value held.
    #[test]
    fn gradients_are_shortened_and_masks_hold() {
        let mut state = StateDict::new();
        let array = Array {
            shape: vec![2],
            values: vec![1.0, 1.0],
        };
        state.insert("w".into(), array);
        let mut steps = Steps::new(&TrainingConfig {
            momentum: 0.5,
            weight_decay: 0.0,
            clip: Some(1.0),
            ..TrainingConfig::default()
        });
        let masks = BTreeMap::from([("w".to_owned(), vec![1.0, 0.0])]);
        for expected in [0.94, 0.85] {
            let gradients = BTreeMap::from([("w".to_owned(), vec![3.0, 4.0])]);
            steps.step(0.1, &mut state, gradients, &masks);
            let values = &state["w"].values;
            assert!(
                (values[0] - expected).abs() < 1e-6 && values[1] == 1.0,
                "{values:?}"
            );
        }
    }
}
