//! A gated convolution over positions on the CPU (Dauphin et al., arXiv:1612.08083).

use std::borrow::Cow;
use std::ops::Range;

use fiun::layers::Squares;
use fiun::{Factor, FisherError, Product, Threads};
use pulp::Arch;
use rayon::prelude::*;

use super::dense::weight_gradient;
use super::functions::sigmoid;
use super::layer::{Backward, CpuLayer, Gradient, Gradients, Record, Tapped};
use super::maps::Maps;
use crate::error::{NetError, backend};

/// Unfolded values held at a time on the way through; they should stay in the second cache.
const UNFOLDED: usize = 1 << 17;

/// What a convolution sees at each position: the positions around it, zeros beside the sequence.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Windows {
    pub(crate) channels: usize,
    pub(crate) kernel: usize,
}

impl Windows {
    /// Values of a window.
    fn width(self) -> usize {
        self.kernel * self.channels
    }

    /// Where the window around a position lies, as far as it is inside of the sequence: the values in the sample,
    /// and where they are in the window.
    fn inside(self, position: usize, positions: usize) -> [Range<usize>; 2] {
        let padding = self.kernel / 2;
        let first = position.saturating_sub(padding);
        let last = (position + self.kernel - padding).clamp(first, positions.max(first));
        let skipped = padding.saturating_sub(position);
        [first..last, skipped..skipped + last - first]
            .map(|range| range.start * self.channels..range.end * self.channels)
    }

    /// Writes the windows of some samples side by side, `[samples * positions, kernel, channels]`. What is beside
    /// the sequences is left as it is.
    fn unfold(self, positions: usize, samples: &[f32], rows: &mut [f32]) {
        let (sample, width) = (positions * self.channels, self.width());
        let rows = rows.chunks_exact_mut((positions * width).max(1));
        for (sample, rows) in samples.chunks_exact(sample.max(1)).zip(rows) {
            for (position, row) in rows.chunks_exact_mut(width.max(1)).enumerate() {
                let [from, to] = self.inside(position, positions);
                row[to].copy_from_slice(&sample[from]);
            }
        }
    }

    /// Adds the values of windows to the positions that they were seen at.
    fn fold(self, positions: usize, rows: &[f32], samples: &mut [f32]) {
        let (sample, width) = (positions * self.channels, self.width());
        let rows = rows.chunks_exact((positions * width).max(1));
        for (sample, rows) in samples.chunks_exact_mut(sample.max(1)).zip(rows) {
            for (position, row) in rows.chunks_exact(width.max(1)).enumerate() {
                let [to, from] = self.inside(position, positions);
                let pairs = sample[to].iter_mut().zip(&row[from]);
                pairs.for_each(|(sum, value)| *sum += value);
            }
        }
    }

    /// A kernel in PyTorch's order, `[2 * channels, channels, kernel]`, as windows lie:
    /// `[2 * channels, kernel, channels]`.
    pub(crate) fn kernel_by_positions(self, values: Vec<f32>) -> Vec<f32> {
        let rows = values.len() / self.width().max(1);
        let kernel = Maps::new(rows, [1, 1], self.width(), values);
        kernel.unflattened([self.kernel, 1], self.channels).values
    }

    /// The reverse of [`Windows::kernel_by_positions`].
    fn kernel_by_channels(self, values: Vec<f32>) -> Vec<f32> {
        let rows = values.len() / self.width().max(1);
        let kernel = Maps::new(rows, [self.kernel, 1], self.channels, values);
        kernel.flattened().values
    }
}

/// A layer with its weights.
pub(crate) struct CpuGatedConv {
    pub(crate) name: String,
    pub(crate) windows: Windows,
    /// `[2 * channels, kernel, channels]`.
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Vec<f32>,
}

impl CpuGatedConv {
    /// The output, and for each position the values that are added to the input there, followed by the sigmoids that
    /// weigh them.
    fn run(&self, input: &Maps, parts: usize) -> Result<[Vec<f32>; 2], FisherError> {
        let (positions, visible) = (input.positions(), visible(input));
        let mut out = input.values.clone();
        let mut halves = vec![0.0; 2 * out.len()];
        let share = share(input, parts);
        visible
            .par_chunks(share)
            .zip(out.par_chunks_mut(share))
            .zip(halves.par_chunks_mut(2 * share))
            .try_for_each(|((visible, out), halves)| {
                self.convolve(positions, visible, out, halves)
            })?;
        Ok([out, halves])
    }

    /// Some samples, as many at a time as keep their windows in the cache.
    fn convolve(
        &self,
        positions: usize,
        visible: &[f32],
        out: &mut [f32],
        halves: &mut [f32],
    ) -> Result<(), FisherError> {
        let (arch, width, outputs) = (Arch::new(), self.windows.width(), self.bias.len());
        let step = self.step(positions, visible.len());
        let mut rows = vec![0.0; step * self.windows.kernel];
        let blocks = out.chunks_mut(step).zip(halves.chunks_mut(2 * step));
        for (visible, (out, halves)) in visible.chunks(step).zip(blocks) {
            self.windows.unfold(positions, visible, &mut rows);
            Product {
                shape: [visible.len() / self.windows.channels.max(1), width, outputs],
                left: Factor::rows(&rows, width),
                right: Factor::rows(&self.weight, width).transposed(),
                threads: Threads::One,
            }
            .store(halves, outputs)?;
            arch.dispatch(
                #[inline(always)]
                || self.gate(out, halves),
            );
        }
        Ok(())
    }

    /// Values of the samples that are unfolded at a time, where there are so many.
    fn step(&self, positions: usize, values: usize) -> usize {
        let sample = positions * self.windows.channels;
        let fit = UNFOLDED / (sample * self.windows.kernel).max(1);
        (fit.max(1) * sample).min(values).max(1)
    }

    /// Adds the first half of what the convolution gives, weighed by the second, to some positions.
    #[inline(always)]
    fn gate(&self, out: &mut [f32], halves: &mut [f32]) {
        let channels = self.windows.channels.max(1);
        let rows = halves.chunks_exact_mut(2 * channels);
        for (out, halves) in out.chunks_exact_mut(channels).zip(rows) {
            let biased = halves.iter_mut().zip(&self.bias);
            biased.for_each(|(half, bias)| *half += bias);
            let (values, gates) = halves.split_at_mut(channels);
            gates.iter_mut().for_each(|gate| *gate = sigmoid(*gate));
            let pairs = values.iter().zip(gates.iter());
            for (out, (value, gate)) in out.iter_mut().zip(pairs) {
                *out += value * gate;
            }
        }
    }

    /// From the gradient at the output that at what the convolution gives, in place of its halves, and that at
    /// what it sees, which is given.
    fn back(&self, delta: &Maps, halves: &mut Maps, parts: usize) -> Result<Vec<f32>, FisherError> {
        let (positions, share) = (delta.positions(), share(delta, parts));
        let mut seen = vec![0.0; delta.values.len()];
        delta
            .values
            .par_chunks(share)
            .zip(halves.values.par_chunks_mut(2 * share))
            .zip(seen.par_chunks_mut(share))
            .try_for_each(|((delta, halves), seen)| {
                Arch::new().dispatch(
                    #[inline(always)]
                    || self.gate_back(delta, halves),
                );
                self.convolve_back(positions, halves, seen)
            })?;
        Ok(seen)
    }

    /// The way back through [`CpuGatedConv::gate`].
    #[inline(always)]
    fn gate_back(&self, delta: &[f32], halves: &mut [f32]) {
        let channels = self.windows.channels.max(1);
        let rows = halves.chunks_exact_mut(2 * channels);
        for (delta, halves) in delta.chunks_exact(channels).zip(rows) {
            let (values, gates) = halves.split_at_mut(channels);
            for ((value, gate), delta) in values.iter_mut().zip(gates).zip(delta) {
                let (own, open) = (*value, *gate);
                *value = delta * open;
                *gate = delta * own * open * (1.0 - open);
            }
        }
    }

    /// The way back through [`CpuGatedConv::convolve`], from the gradient at what the convolution gives.
    fn convolve_back(
        &self,
        positions: usize,
        delta: &[f32],
        seen: &mut [f32],
    ) -> Result<(), FisherError> {
        let (width, outputs) = (self.windows.width(), self.bias.len());
        let step = self.step(positions, seen.len());
        let mut rows = vec![0.0; step * self.windows.kernel];
        for (delta, seen) in delta.chunks(2 * step).zip(seen.chunks_mut(step)) {
            Product {
                shape: [delta.len() / outputs.max(1), outputs, width],
                left: Factor::rows(delta, outputs),
                right: Factor::rows(&self.weight, width),
                threads: Threads::One,
            }
            .store(&mut rows, width)?;
            self.windows.fold(positions, &rows, seen);
        }
        Ok(())
    }

    /// The windows of all samples.
    fn unfolded(&self, input: &Maps, parts: usize) -> Vec<f32> {
        let (windows, positions) = (self.windows, input.positions());
        let (visible, share) = (visible(input), share(input, parts));
        let mut rows = vec![0.0; visible.len() * windows.kernel];
        visible
            .par_chunks(share)
            .zip(rows.par_chunks_mut((share * windows.kernel).max(1)))
            .for_each(|(visible, rows)| windows.unfold(positions, visible, rows));
        rows
    }

    /// Of windows and the gradient at what the convolution gives.
    fn squares(&self, groups: usize, rows: &[f32], delta: &[f32]) -> Result<Squares, FisherError> {
        let layer = fiun::layers::Linear {
            inputs: self.windows.width(),
            outputs: self.bias.len(),
        };
        let mut all = layer.squares(groups, rows, delta)?;
        for (part, squares) in &mut all {
            if *part == "weight" {
                *squares = self.windows.kernel_by_channels(std::mem::take(squares));
            }
        }
        Ok(all)
    }

    /// Of windows and the gradient at what the convolution gives.
    fn gradients(&self, rows: &[f32], delta: &Maps) -> Result<Gradients, FisherError> {
        let (outputs, width) = (self.bias.len(), self.windows.width());
        let weight = weight_gradient(&delta.values, outputs, rows, width)?;
        let weight = Gradient::new("weight", self.windows.kernel_by_channels(weight));
        Ok(vec![weight, Gradient::new("bias", delta.sums())])
    }
}

/// Values of a part of the samples, which are cut into so many.
fn share(maps: &Maps, parts: usize) -> usize {
    let samples = maps.samples.div_ceil(parts.max(1));
    (samples * maps.per_sample()).max(1)
}

/// What the convolution sees: the input with zeros for padding.
fn visible(input: &Maps) -> Cow<'_, [f32]> {
    if input.mask.is_none() {
        return Cow::Borrowed(&input.values);
    }
    let mut values = input.values.clone();
    hide_padding(input, &mut values);
    Cow::Owned(values)
}

/// Zeroes values of the shape of some maps where these are padding.
fn hide_padding(maps: &Maps, values: &mut [f32]) {
    let Some(mask) = &maps.mask else {
        return;
    };
    let rows = values.chunks_exact_mut(maps.channels.max(1));
    for (row, mask) in rows.zip(mask.iter()) {
        row.iter_mut().for_each(|value| *value *= mask);
    }
}

impl CpuLayer for CpuGatedConv {
    fn forward(&self, input: Maps, threads: usize) -> Result<Maps, FisherError> {
        let [out, _] = self.run(&input, threads)?;
        Ok(input.with(out))
    }

    fn record(&self, input: Maps, record: &mut Record) -> Result<Maps, FisherError> {
        let [out, halves] = self.run(&input, record.threads)?;
        record.keep(input.rows(2 * input.channels, halves));
        let out = input.with(out);
        record.keep(input);
        Ok(out)
    }

    fn backward(&self, delta: Maps, pass: &mut Backward<'_>) -> Result<Option<Maps>, NetError> {
        let (input, mut halves) = (pass.kept()?.maps, pass.kept()?.maps);
        let parts = pass.threads;
        let mut seen = self.back(&delta, &mut halves, parts).map_err(backend)?;
        let rows = || self.unfolded(&input, parts);
        let squares = |groups| self.squares(groups, &rows(), &halves.values);
        let gradients = || self.gradients(&rows(), &halves);
        let shown = Tapped {
            name: &self.name,
            squares: &squares,
            gradients: &gradients,
        };
        if !pass.show(shown)? {
            return Ok(None);
        }
        hide_padding(&input, &mut seen);
        let mut out = input.with(seen);
        out.add(&delta, false);
        Ok(Some(out))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::array::StateDict;
    use crate::cpu::checks::{Case, close, sequences};
    use crate::ops::gated_conv::GatedConv;
    use crate::ops::operation::Op;

    use super::*;

    const CHANNELS: usize = 2;
    const POSITIONS: usize = 4;

    /// Kernels of one position, of some, and of more than there are.
    const KERNELS: [usize; 3] = [1, 3, 9];

    fn cases() -> impl Iterator<Item = (usize, Case)> {
        KERNELS.into_iter().flat_map(|kernel| {
            sequences(CHANNELS).map(|input| {
                let layer = GatedConv {
                    name: "conv".into(),
                    channels: CHANNELS,
                    kernel,
                };
                (kernel, Case::new(vec![Op::new(layer)], input))
            })
        })
    }

    /// All samples by the formula, in PyTorch's order and in double precision.
    fn plain(kernel: usize, state: &StateDict, input: &Maps) -> Vec<f64> {
        let (weight, bias) = (&state["conv.weight"].values, &state["conv.bias"].values);
        let value = |row: usize, channel: usize| f64::from(input.values[row * CHANNELS + channel]);
        let shown = |row: usize| input.mask.as_ref().map_or(1.0, |mask| f64::from(mask[row]));
        let convolved = |sample: usize, position: usize, output: usize| {
            let mut sum = f64::from(bias[output]);
            for tap in 0..kernel {
                let Some(at) = (position + tap).checked_sub(kernel / 2) else {
                    continue;
                };
                if at >= POSITIONS {
                    continue;
                }
                let row = sample * POSITIONS + at;
                for channel in 0..CHANNELS {
                    let weight = weight[(output * CHANNELS + channel) * kernel + tap];
                    sum += f64::from(weight) * value(row, channel) * shown(row);
                }
            }
            sum
        };
        let mut out = Vec::new();
        for row in 0..input.samples * POSITIONS {
            let half = |output| convolved(row / POSITIONS, row % POSITIONS, output);
            for channel in 0..CHANNELS {
                let gate = 1.0 / (1.0 + (-half(CHANNELS + channel)).exp());
                out.push(value(row, channel) + half(channel) * gate);
            }
        }
        out
    }

    #[test]
    fn outputs_are_those_of_the_formula() {
        for (kernel, case) in cases() {
            let wanted = plain(kernel, &case.state, &case.input);
            for threads in [1, 2] {
                let out = case.output(threads);
                assert_eq!((out.channels, out.size), (CHANNELS, [POSITIONS, 1]));
                assert_eq!(out.mask, case.input.mask);
                assert_eq!(out.values.len(), wanted.len());
                let pairs = out.values.iter().zip(&wanted);
                pairs.for_each(|(ours, wanted)| close(*ours, *wanted, 5e-6, "output"));
            }
        }
    }

    #[test]
    fn the_way_back_is_that_of_the_way_there() {
        for (_, case) in cases() {
            case.check(true);
            case.check_nothing();
        }
    }
}
