//! A long short-term memory on the CPU (Hochreiter and Schmidhuber 1997).

use fiun::layers::{LstmPass, Squares};
use fiun::{Factor, FisherError, Product, Threads};
use pulp::Arch;
use rayon::prelude::*;

use super::dense::{apply, back, weight_gradient};
use super::functions::{sigmoid, tanh};
use super::layer::{Backward, CpuLayer, Gradient, Gradients, Record, Tapped};
use super::maps::Maps;
use crate::error::{NetError, backend};

/// Its tensors, in the order in which their squares come.
pub(crate) const PARTS: [&str; 4] = ["weight_ih_l0", "bias_ih_l0", "weight_hh_l0", "bias_hh_l0"];

/// A layer with its weights.
pub(crate) struct CpuLstm {
    pub(crate) name: String,
    pub(crate) inputs: usize,
    pub(crate) hidden: usize,
    /// `[4 * hidden, inputs]`.
    pub(crate) weight_in: Vec<f32>,
    /// `[4 * hidden, hidden]`.
    pub(crate) weight_hidden: Vec<f32>,
    /// The sum of both biases, which are never met apart.
    pub(crate) bias: Vec<f32>,
}

/// What went through on the way forward, each `[samples, positions, ...]`.
struct Steps {
    /// Behind their non-linearities, `4 * hidden` at a position.
    gates: Vec<f32>,
    /// `hidden` at a position.
    cells: Vec<f32>,
    /// `hidden` at a position.
    outputs: Vec<f32>,
}

impl CpuLstm {
    /// All samples from the first position to the last. Samples do not know each other, so they are cut into
    /// parts that run side by side.
    fn run(&self, input: &Maps, threads: Threads, parts: usize) -> Result<Steps, FisherError> {
        let positions = input.positions();
        let mut gates = apply(&input.values, &self.weight_in, &self.bias, threads)?;
        let mut cells = vec![0.0; input.samples * positions * self.hidden];
        let mut outputs = vec![0.0; cells.len()];
        let share = self.share(input, parts);
        gates
            .par_chunks_mut(4 * share)
            .zip(cells.par_chunks_mut(share))
            .zip(outputs.par_chunks_mut(share))
            .try_for_each(|((gates, cells), outputs)| {
                self.steps(positions, gates, cells, outputs)
            })?;
        Ok(Steps {
            gates,
            cells,
            outputs,
        })
    }

    /// Values of the states of a part of the samples.
    fn share(&self, maps: &Maps, parts: usize) -> usize {
        let samples = maps.samples.div_ceil(parts.max(1));
        (samples * maps.positions() * self.hidden).max(1)
    }

    /// Some samples from the first position to the last. The gates hold what the input says of them; what the
    /// state before says is added position by position.
    fn steps(
        &self,
        positions: usize,
        gates: &mut [f32],
        cells: &mut [f32],
        outputs: &mut [f32],
    ) -> Result<(), FisherError> {
        let (hidden, arch) = (self.hidden, Arch::new());
        let sample = (positions * hidden).max(1);
        for at in 0..positions {
            if let Some(before) = at.checked_sub(1) {
                let states = outputs.get(before * hidden..).unwrap_or_default();
                let target = gates.get_mut(at * 4 * hidden..).unwrap_or_default();
                Product {
                    shape: [cells.len() / sample, hidden, 4 * hidden],
                    left: Factor::rows(states, positions * hidden),
                    right: Factor::rows(&self.weight_hidden, hidden).transposed(),
                    threads: Threads::One,
                }
                .add_to(target, positions * 4 * hidden)?;
            }
            arch.dispatch(
                #[inline(always)]
                || {
                    let gates = gates.chunks_exact_mut(4 * sample);
                    let states = cells.chunks_exact_mut(sample);
                    let states = states.zip(outputs.chunks_exact_mut(sample));
                    for (gates, (cells, outputs)) in gates.zip(states) {
                        step(at, hidden, gates, cells, outputs);
                    }
                },
            );
        }
        Ok(())
    }

    /// From the gradient at the outputs that at the gates before their non-linearities, which takes the place of
    /// the gates; `delta` becomes the whole gradient at the states.
    fn through_time(
        &self,
        gates: &mut Maps,
        cells: &Maps,
        delta: &mut Maps,
        parts: usize,
    ) -> Result<(), FisherError> {
        let (positions, share) = (cells.positions(), self.share(cells, parts));
        gates
            .values
            .par_chunks_mut(4 * share)
            .zip(cells.values.par_chunks(share))
            .zip(delta.values.par_chunks_mut(share))
            .try_for_each(|((gates, cells), delta)| self.steps_back(positions, gates, cells, delta))
    }

    /// Some samples from the last position to the first.
    fn steps_back(
        &self,
        positions: usize,
        gates: &mut [f32],
        cells: &[f32],
        delta: &mut [f32],
    ) -> Result<(), FisherError> {
        let (hidden, arch) = (self.hidden, Arch::new());
        let sample = (positions * hidden).max(1);
        let samples = cells.len() / sample;
        let mut carried = vec![0.0; samples * hidden];
        for at in (0..positions).rev() {
            if at + 1 < positions {
                let after = gates.get((at + 1) * 4 * hidden..).unwrap_or_default();
                let target = delta.get_mut(at * hidden..).unwrap_or_default();
                Product {
                    shape: [samples, 4 * hidden, hidden],
                    left: Factor::rows(after, positions * 4 * hidden),
                    right: Factor::rows(&self.weight_hidden, hidden),
                    threads: Threads::One,
                }
                .add_to(target, positions * hidden)?;
            }
            arch.dispatch(
                #[inline(always)]
                || {
                    let gates = gates.chunks_exact_mut(4 * sample);
                    let states = cells.chunks_exact(sample).zip(delta.chunks_exact(sample));
                    let rows = carried.chunks_exact_mut(hidden.max(1));
                    for ((gates, (cells, delta)), carried) in gates.zip(states).zip(rows) {
                        step_back(at, gates, cells, delta, carried);
                    }
                },
            );
        }
        Ok(())
    }

    fn squares(&self, groups: usize, pass: &LstmPass<'_>) -> Result<Squares, FisherError> {
        let layer = fiun::layers::Lstm {
            inputs: self.inputs,
            hidden: self.hidden,
        };
        let squares = layer.squares(groups, pass)?.into_iter().zip(PARTS);
        Ok(squares
            .map(|((_, squares), part)| (part, squares))
            .collect())
    }

    fn gradients(&self, pass: &LstmPass<'_>, bias: Vec<f32>) -> Result<Gradients, FisherError> {
        let gates = 4 * self.hidden;
        let weight_in = weight_gradient(pass.gates, gates, pass.input, self.inputs)?;
        let weight_hidden = weight_gradient(pass.gates, gates, pass.hidden, self.hidden)?;
        let all = PARTS
            .into_iter()
            .zip([weight_in, bias.clone(), weight_hidden, bias]);
        Ok(all
            .map(|(part, values)| Gradient::new(part, values))
            .collect())
    }
}

/// One position of one sample, whose gates are sums so far.
#[inline(always)]
fn step(at: usize, hidden: usize, gates: &mut [f32], cells: &mut [f32], outputs: &mut [f32]) {
    let place = at * hidden;
    let [input, forget, candidate, output] = quarters(&mut gates[4 * place..][..4 * hidden]);
    squash(input);
    squash(forget);
    squash(output);
    candidate.iter_mut().for_each(|value| *value = tanh(*value));
    let (before, now) = cells.split_at_mut(place);
    let now = &mut now[..hidden];
    // Of the first position, the cell before is the zeros that are there.
    if let Some(before) = before.rchunks_exact(hidden).next() {
        now.copy_from_slice(before);
    }
    let factors = input.iter().zip(forget.iter()).zip(candidate.iter());
    for (cell, ((input, forget), candidate)) in now.iter_mut().zip(factors) {
        *cell = forget * *cell + input * candidate;
    }
    let states = now.iter().zip(output.iter());
    for (out, (cell, output)) in outputs[place..].iter_mut().zip(states) {
        *out = output * tanh(*cell);
    }
}

/// One position of one sample on the way back: its gates become the gradients at their sums. `carried` is the
/// gradient at the cell from the positions after, and becomes that for the position before.
#[inline(always)]
fn step_back(at: usize, gates: &mut [f32], cells: &[f32], delta: &[f32], carried: &mut [f32]) {
    let hidden = carried.len();
    let place = at * hidden;
    let [input, forget, candidate, output] = quarters(&mut gates[4 * place..][..4 * hidden]);
    let (before, now) = cells.split_at(place);
    let outside = now.iter().zip(&delta[place..]);
    for ((carried, gate), (cell, delta)) in carried.iter_mut().zip(output).zip(outside) {
        let (open, seen) = (*gate, tanh(*cell));
        *carried += delta * open * (1.0 - seen * seen);
        *gate = delta * seen * open * (1.0 - open);
    }
    for ((gate, candidate), carried) in input.iter_mut().zip(candidate).zip(carried.iter()) {
        let (open, value) = (*gate, *candidate);
        *gate = carried * value * open * (1.0 - open);
        *candidate = carried * open * (1.0 - value * value);
    }
    let Some(before) = before.rchunks_exact(hidden).next() else {
        // There was nothing to forget.
        forget.fill(0.0);
        return;
    };
    for ((gate, carried), before) in forget.iter_mut().zip(carried).zip(before) {
        let open = *gate;
        *gate = *carried * before * open * (1.0 - open);
        *carried *= open;
    }
}

/// The gates of one position: input, forget, cell, output.
#[inline(always)]
fn quarters(gates: &mut [f32]) -> [&mut [f32]; 4] {
    let (first, last) = gates.split_at_mut(gates.len() / 2);
    let (input, forget) = first.split_at_mut(first.len() / 2);
    let (candidate, output) = last.split_at_mut(last.len() / 2);
    [input, forget, candidate, output]
}

#[inline(always)]
fn squash(gate: &mut [f32]) {
    gate.iter_mut().for_each(|value| *value = sigmoid(*value));
}

/// The state before each position, from the outputs of samples of so many values: zeros, then the outputs less
/// the last one.
fn states_before(outputs: &[f32], sample: usize, hidden: usize) -> Vec<f32> {
    let mut before = vec![0.0; outputs.len()];
    let samples = before.chunks_exact_mut(sample.max(1));
    for (before, outputs) in samples.zip(outputs.chunks_exact(sample.max(1))) {
        let later = before.iter_mut().skip(hidden);
        later
            .zip(outputs)
            .for_each(|(state, output)| *state = *output);
    }
    before
}

impl CpuLayer for CpuLstm {
    fn forward(&self, input: Maps, threads: usize) -> Result<Maps, FisherError> {
        let steps = self.run(&input, Threads::One, threads)?;
        Ok(input.rows(self.hidden, steps.outputs))
    }

    fn record(&self, input: Maps, record: &mut Record) -> Result<Maps, FisherError> {
        let hidden = self.hidden;
        let Steps {
            gates,
            cells,
            outputs,
        } = self.run(&input, Threads::All, record.threads)?;
        let before = states_before(&outputs, input.positions() * hidden, hidden);
        record.keep(input.rows(4 * hidden, gates));
        record.keep(input.rows(hidden, cells));
        record.keep(input.rows(hidden, before));
        let out = input.rows(hidden, outputs);
        record.keep(input);
        Ok(out)
    }

    fn backward(&self, mut delta: Maps, pass: &mut Backward<'_>) -> Result<Option<Maps>, NetError> {
        let (input, before) = (pass.kept()?.maps, pass.kept()?.maps);
        let (cells, mut gates) = (pass.kept()?.maps, pass.kept()?.maps);
        self.through_time(&mut gates, &cells, &mut delta, pass.threads)
            .map_err(backend)?;
        let seen = LstmPass {
            input: &input.values,
            hidden: &before.values,
            gates: &gates.values,
        };
        let squares = |groups| self.squares(groups, &seen);
        let gradients = || self.gradients(&seen, gates.sums());
        let shown = Tapped {
            name: &self.name,
            squares: &squares,
            gradients: &gradients,
        };
        if !pass.show(shown)? {
            return Ok(None);
        }
        let values = back(&gates.values, 4 * self.hidden, &self.weight_in).map_err(backend)?;
        Ok(Some(input.with(values)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::array::StateDict;
    use crate::cpu::checks::{Case, close, sequences};
    use crate::ops::lstm::Lstm;
    use crate::ops::operation::Op;

    use super::*;

    const INPUTS: usize = 3;
    const HIDDEN: usize = 2;
    const POSITIONS: usize = 4;

    fn case() -> Case {
        let layer = Lstm {
            name: "lstm".into(),
            inputs: INPUTS,
            hidden: HIDDEN,
        };
        let [plain, _] = sequences(INPUTS);
        Case::new(vec![Op::new(layer)], plain)
    }

    /// One sample by the formulas, in double precision.
    fn plain(state: &StateDict, input: &[f32]) -> Vec<f64> {
        let [weight_in, bias_in, weight_hidden, bias_hidden] =
            PARTS.map(|part| state[&format!("lstm.{part}")].values.as_slice());
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let (mut hidden, mut cell) = (vec![0.0f64; HIDDEN], vec![0.0f64; HIDDEN]);
        let mut out = Vec::new();
        for x in input.chunks_exact(INPUTS) {
            let gate = |row: usize| {
                let seen = x.iter().zip(&weight_in[row * INPUTS..]);
                let seen: f64 = seen.map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
                let known = hidden.iter().zip(&weight_hidden[row * HIDDEN..]);
                let known: f64 = known.map(|(h, w)| h * f64::from(*w)).sum();
                seen + known + f64::from(bias_in[row]) + f64::from(bias_hidden[row])
            };
            let gates: Vec<f64> = (0..4 * HIDDEN).map(gate).collect();
            for at in 0..HIDDEN {
                let [i, f, g, o] = [0, 1, 2, 3].map(|gate| gates[gate * HIDDEN + at]);
                cell[at] = sigmoid(f) * cell[at] + sigmoid(i) * g.tanh();
                hidden[at] = sigmoid(o) * cell[at].tanh();
            }
            out.extend_from_slice(&hidden);
        }
        out
    }

    #[test]
    fn outputs_are_those_of_the_formulas() {
        let case = case();
        let samples = case.input.values.chunks_exact(POSITIONS * INPUTS);
        let wanted: Vec<f64> = samples
            .flat_map(|sample| plain(&case.state, sample))
            .collect();
        for threads in [1, 2, 5] {
            let out = case.output(threads);
            assert_eq!((out.channels, out.size), (HIDDEN, [POSITIONS, 1]));
            assert_eq!(out.values.len(), wanted.len());
            let pairs = out.values.iter().zip(&wanted);
            pairs.for_each(|(ours, wanted)| close(*ours, *wanted, 5e-6, "output"));
        }
    }

    #[test]
    fn the_way_back_is_that_of_the_way_there() {
        case().check(true);
        case().check_nothing();
    }
}
