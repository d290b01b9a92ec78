//! The gradient of a convolution's kernel.

use std::ops::Range;

use fiun::{Factor, FisherError, Product, Threads};
use rayon::prelude::*;

use super::convolution::Convolution;
use super::maps::Maps;
use super::rows::change;
use super::scratch::Scratch;

/// Unfolded values held at a time. The product's result, as large as the kernel, is gone over once for each,
/// so that there should be many rows.
const UNFOLDED: usize = 1 << 21;

/// Work is cut into so many parts whatever the number of threads, so that sums add in the same order.
const PARTS: usize = 8;

/// Kernels of so many values are cut into parts; of smaller ones the samples are, and each part has a gradient of
/// its own.
const LARGE: usize = 1 << 18;

impl Convolution {
    /// The gradient of the kernel, summed over the samples, from the gradient at the output: laid out as the
    /// kernel is, `[kernel row, kernel column, channel in, channel out]`.
    ///
    /// # Errors
    /// [`FisherError`] when a product is refused.
    pub(crate) fn kernel_gradient(
        &self,
        input: &Maps,
        delta: &Maps,
    ) -> Result<Vec<f32>, FisherError> {
        let sizes = [input.size, delta.size];
        if self.weight.len() >= LARGE {
            return self.part_gradient(&input.values, &delta.values, sizes, PARTS);
        }
        let share = input.samples.div_ceil(PARTS).max(1);
        let (from, to) = (input.per_sample().max(1), delta.per_sample().max(1));
        let sums: Vec<Vec<f32>> = input
            .values
            .par_chunks(share * from)
            .zip(delta.values.par_chunks(share * to))
            .map(|(input, delta)| self.part_gradient(input, delta, sizes, 1))
            .collect::<Result<_, _>>()?;
        let mut sums = sums.into_iter();
        let mut sum = sums.next().unwrap_or_default();
        for more in sums {
            change(
                &mut sum,
                &more,
                1,
                #[inline(always)]
                |sum, more| {
                    sum.iter_mut().zip(more).for_each(|(s, m)| *s += m);
                },
            );
        }
        Ok(sum)
    }

    /// The gradient over some samples, `[kernel row, kernel column, channel in, channel out]`, by products of
    /// so many parts of the kernel.
    fn part_gradient(
        &self,
        input: &[f32],
        delta: &[f32],
        [size, output]: [[usize; 2]; 2],
        parts: usize,
    ) -> Result<Vec<f32>, FisherError> {
        let [from, to] = self.channels;
        let mut sum = vec![0.0f32; self.weight.len()];
        for seen in self.seen(size, output) {
            let depth = seen.taps[0].len() * seen.taps[1].len() * from;
            let rows = seen.places[0].len() * seen.places[1].len();
            let step = (UNFOLDED / (rows * depth).max(1)).max(1);
            let (mut unfolded, mut picked) = (Scratch::with_length(0), Scratch::with_length(0));
            let whole = depth * to == sum.len();
            let mut apart = vec![0.0f32; if whole { 0 } else { depth * to }];
            let target = if whole { &mut sum } else { &mut apart };
            let inputs = input.chunks(step * size[0] * size[1] * from);
            for (input, delta) in inputs.zip(delta.chunks(step * output[0] * output[1] * to)) {
                let rows = rows * (delta.len() / (output[0] * output[1] * to).max(1));
                unfolded.resize(rows * depth);
                self.unfold_seen(&seen, input, size, &mut unfolded);
                // Where all positions are seen together, the gradients lie as they are needed.
                let picked = match rows * to == delta.len() {
                    true => delta,
                    false => {
                        picked.resize(rows * to);
                        pick(&seen, delta, output, to, &mut picked);
                        &picked[..]
                    }
                };
                let share = depth.div_ceil(parts).max(1);
                let products = target.par_chunks_mut((share * to).max(1)).enumerate();
                products.try_for_each(|(part, target)| {
                    Product {
                        shape: [target.len() / to.max(1), picked.len() / to.max(1), to],
                        left: Factor::rows(&unfolded[part * share..], depth).transposed(),
                        right: Factor::rows(picked, to),
                        threads: Threads::One,
                    }
                    .add_to(target, to)
                })?;
            }
            if !whole {
                self.add_seen(&seen, &apart, &mut sum);
            }
        }
        Ok(sum)
    }

    /// The output positions in groups that are multiplied together. Padding is multiplied along where that is
    /// little; where it would be most of the work, positions are grouped by the taps that they see.
    fn seen(&self, input: [usize; 2], output: [usize; 2]) -> Vec<Seen> {
        let bands = [0, 1].map(|axis| self.bands(input[axis], output[axis]));
        let real = bands.each_ref().map(|bands| {
            let counts = bands.iter().map(|(places, taps)| places.len() * taps.len());
            counts.sum::<usize>()
        });
        let all = (output[0] * output[1] * self.kernel * self.kernel) as f64;
        if (real[0] * real[1]) as f64 > 0.6 * all {
            return vec![Seen {
                places: output.map(|side| 0..side),
                taps: [0..self.kernel, 0..self.kernel],
            }];
        }
        let [rows, cols] = bands;
        let pairs = rows
            .iter()
            .flat_map(|row| cols.iter().map(move |col| (row, col)));
        pairs
            .map(|((rows, tap_rows), (cols, tap_cols))| Seen {
                places: [rows.clone(), cols.clone()],
                taps: [tap_rows.clone(), tap_cols.clone()],
            })
            .filter(|seen| seen.taps.iter().all(|taps| !taps.is_empty()))
            .collect()
    }

    /// For every sample and position the values under the taps, zeros outside of the map.
    fn unfold_seen(&self, seen: &Seen, input: &[f32], size: [usize; 2], out: &mut [f32]) {
        let from = self.channels[0];
        let each = (size[0] * size[1] * from).max(1);
        let [places, taps] = [&seen.places, &seen.taps].map(|side| side[0].len() * side[1].len());
        let unfolded = places * taps * from;
        let samples = out.par_chunks_exact_mut(unfolded.max(1));
        let samples = samples.zip(input.par_chunks_exact(each));
        samples.for_each(|(out, sample)| self.unfold_sample(seen, sample, size, out));
    }

    fn unfold_sample(
        &self,
        seen: &Seen,
        sample: &[f32],
        [height, width]: [usize; 2],
        out: &mut [f32],
    ) {
        let from = self.channels[0];
        let mut runs = out.chunks_exact_mut((seen.taps[1].len() * from).max(1));
        for y in seen.places[0].clone() {
            for x in seen.places[1].clone() {
                for tap in seen.taps[0].clone() {
                    let Some(run) = runs.next() else { return };
                    let row = (y * self.stride + tap).checked_sub(self.padding);
                    let row = row.filter(|row| *row < height);
                    let first = x * self.stride + seen.taps[1].start;
                    let last = first + seen.taps[1].len();
                    let place = |column: usize| {
                        column.clamp(self.padding, self.padding + width) - self.padding
                    };
                    let inside = place(first)..place(last);
                    let before = self.padding.saturating_sub(first).min(last - first);
                    let Some(row) = row.filter(|_| !inside.is_empty()) else {
                        run.fill(0.0);
                        continue;
                    };
                    let (left, rest) = run.split_at_mut(before * from);
                    let (middle, right) = rest.split_at_mut(inside.len() * from);
                    let line = row * width;
                    left.fill(0.0);
                    middle.copy_from_slice(
                        &sample[(line + inside.start) * from..(line + inside.end) * from],
                    );
                    right.fill(0.0);
                }
            }
        }
    }

    /// Adds the product of some taps where those are in the kernel.
    fn add_seen(&self, seen: &Seen, product: &[f32], sum: &mut [f32]) {
        let [from, to] = self.channels;
        let run = seen.taps[1].len() * from * to;
        for (tap, values) in seen.taps[0].clone().zip(product.chunks_exact(run.max(1))) {
            let start = (tap * self.kernel + seen.taps[1].start) * from * to;
            let target = &mut sum[start..start + run];
            target.iter_mut().zip(values).for_each(|(t, v)| *t += v);
        }
    }
}

/// Output positions, rows and columns, and the kernel's taps that they are multiplied with.
struct Seen {
    places: [Range<usize>; 2],
    taps: [Range<usize>; 2],
}

/// The gradients at some positions of every sample.
fn pick(seen: &Seen, delta: &[f32], [height, width]: [usize; 2], to: usize, out: &mut [f32]) {
    let mut runs = out.chunks_exact_mut((seen.places[1].len() * to).max(1));
    for sample in delta.chunks_exact((height * width * to).max(1)) {
        for y in seen.places[0].clone() {
            let row = |x: usize| (y * width + x) * to;
            let places = row(seen.places[1].start)..row(seen.places[1].end);
            let Some(run) = runs.next() else { return };
            run.copy_from_slice(&sample[places]);
        }
    }
}
