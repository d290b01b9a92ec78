//! Convolutions as matrix products.
//!
//! With channels last, the inputs of a row of kernel taps lie side by side in memory. Unfolding
//! copies them into a matrix, and one product with the kernel does the rest. Output positions near
//! the border see fewer taps; they are grouped by the taps that they see, so that no padding is
//! ever multiplied: on the 2x2 and 1x1 maps at the end of a ResNet, that is most of the work.

use std::ops::Range;
use std::sync::Arc;

use fiun::{Factor, FisherError, Product, Threads};
use rayon::prelude::*;

use super::kernel_layout::KernelLayout;
use super::maps::Maps;
use super::scratch::Scratch;

/// Unfolded values held at a time; they should stay in the second cache.
const UNFOLDED: usize = 1 << 17;

/// Rows of a share of the samples, at least.
const ROWS: usize = 128;

/// A convolution with square kernels, with the kernel laid out for products.
pub(crate) struct Convolution {
    pub(crate) channels: [usize; 2],
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) padding: usize,
    /// `[kernel row, kernel column, channel in, channel out]`.
    pub(crate) weight: Arc<Vec<f32>>,
    pub(crate) bias: Vec<f32>,
    /// Whether only the positive part of the output is kept.
    pub(crate) relu: bool,
}

/// Output positions that see the same taps.
struct Region {
    rows: Range<usize>,
    cols: Range<usize>,
    tap_rows: Range<usize>,
    tap_cols: Range<usize>,
}

impl Region {
    fn positions(&self) -> usize {
        self.rows.len() * self.cols.len()
    }

    fn depth(&self, channels: usize) -> usize {
        self.tap_rows.len() * self.tap_cols.len() * channels
    }
}

impl Convolution {
    /// How its kernel lies.
    pub(crate) fn layout(&self) -> KernelLayout {
        KernelLayout {
            channels: self.channels,
            area: self.kernel * self.kernel,
        }
    }

    pub(crate) fn output(&self, size: [usize; 2]) -> [usize; 2] {
        size.map(|side| (side + 2 * self.padding).saturating_sub(self.kernel) / self.stride + 1)
    }

    pub(crate) fn forward(&self, input: &Maps, threads: usize) -> Result<Maps, FisherError> {
        let size = self.output(input.size);
        let mut out = Maps::zeros(input.samples, size, self.channels[1]);
        let pass = Pass::new(self, input.size, size, threads, input.samples);
        let share = input.samples.div_ceil(pass.parts).max(1);
        let (from, to) = (input.per_sample(), out.per_sample());
        input
            .values
            .par_chunks(share * from)
            .zip(out.values.par_chunks_mut(share * to))
            .try_for_each(|(input, out)| pass.forward(input, out))?;
        Ok(out)
    }

    /// The gradient at the input from that at the output.
    pub(crate) fn backward(
        &self,
        delta: &Maps,
        input: [usize; 2],
        threads: usize,
    ) -> Result<Maps, FisherError> {
        let mut out = Maps::zeros(delta.samples, input, self.channels[0]);
        let pass = Pass::new(self, input, delta.size, threads, delta.samples);
        let share = delta.samples.div_ceil(pass.parts).max(1);
        let (from, to) = (out.per_sample(), delta.per_sample());
        delta
            .values
            .par_chunks(share * to)
            .zip(out.values.par_chunks_mut(share * from))
            .try_for_each(|(delta, out)| pass.backward(delta, out))?;
        Ok(out)
    }

    fn regions(&self, input: [usize; 2], output: [usize; 2]) -> Vec<Region> {
        let [rows, cols] = [0, 1].map(|axis| self.bands(input[axis], output[axis]));
        let mut regions = Vec::new();
        for (rows, tap_rows) in &rows {
            for (cols, tap_cols) in &cols {
                let region = Region {
                    rows: rows.clone(),
                    cols: cols.clone(),
                    tap_rows: tap_rows.clone(),
                    tap_cols: tap_cols.clone(),
                };
                regions.push(region);
            }
        }
        regions
    }

    /// Neighbouring outputs along one side that see the same taps, and which those are.
    pub(super) fn bands(&self, input: usize, output: usize) -> Vec<(Range<usize>, Range<usize>)> {
        let mut bands: Vec<(Range<usize>, Range<usize>)> = Vec::new();
        for place in 0..output {
            let start = place * self.stride;
            let first = self.padding.saturating_sub(start).min(self.kernel);
            let last = (input + self.padding)
                .saturating_sub(start)
                .clamp(first, self.kernel);
            match bands.last_mut() {
                Some((places, taps)) if *taps == (first..last) => places.end = place + 1,
                _ => bands.push((place..place + 1, first..last)),
            }
        }
        bands
    }
}

/// One convolution between maps of given sizes.
struct Pass<'a> {
    convolution: &'a Convolution,
    input: [usize; 2],
    output: [usize; 2],
    regions: Vec<Region>,
    /// What the samples are cut into.
    parts: usize,
    /// Of each product.
    threads: Threads,
}

impl<'a> Pass<'a> {
    /// Samples are shared out unless each share would have few rows: every product reads the whole kernel, which
    /// would be most of the work.
    fn new(
        convolution: &'a Convolution,
        input: [usize; 2],
        output: [usize; 2],
        threads: usize,
        samples: usize,
    ) -> Self {
        let rows = samples * output[0] * output[1];
        let parts = threads.clamp(1, (rows / ROWS).max(1));
        Self {
            convolution,
            input,
            output,
            regions: convolution.regions(input, output),
            parts,
            threads: match parts == 1 && threads > 1 {
                true => Threads::All,
                false => Threads::One,
            },
        }
    }

    /// Values of one sample before and after.
    fn per_sample(&self) -> [usize; 2] {
        let [from, to] = self.convolution.channels;
        [
            self.input[0] * self.input[1] * from,
            self.output[0] * self.output[1] * to,
        ]
    }

    /// Samples whose unfolded values for a region are held together. A power of two, so that full
    /// batches fall into equal parts: all products of a layer then have the same size, and add in
    /// the same order.
    fn step(&self, region: &Region) -> usize {
        let row = region.depth(self.convolution.channels[0]) * region.positions();
        let fit = (UNFOLDED / row.max(1)).max(1);
        if fit.is_power_of_two() {
            fit
        } else {
            fit.next_power_of_two() / 2
        }
    }

    fn forward(&self, input: &[f32], out: &mut [f32]) -> Result<(), FisherError> {
        let [from, to] = self.per_sample();
        let outputs = self.convolution.channels[1];
        let (mut unfolded, mut product) = (Scratch::with_length(0), Scratch::with_length(0));
        for region in &self.regions {
            let step = self.step(region);
            for (input, out) in input.chunks(step * from).zip(out.chunks_mut(step * to)) {
                let rows = input.len() / from * region.positions();
                unfolded.resize(rows * region.depth(self.convolution.channels[0]));
                product.resize(rows * outputs);
                self.unfold(region, input, &mut unfolded);
                self.products(region, rows, |part| {
                    let left = Factor::rows(&unfolded[part.first..], part.stride);
                    let product_of = Product {
                        shape: [rows, part.depth, outputs],
                        left,
                        right: Factor::rows(part.weight, outputs),
                        threads: self.threads,
                    };
                    if part.first == 0 {
                        product_of.store(&mut product, outputs)
                    } else {
                        product_of.add_to(&mut product, outputs)
                    }
                })?;
                self.put(region, &product, out);
            }
        }
        Ok(())
    }

    fn backward(&self, delta: &[f32], out: &mut [f32]) -> Result<(), FisherError> {
        let [from, to] = self.per_sample();
        let outputs = self.convolution.channels[1];
        let (mut unfolded, mut rows_of_delta) = (Scratch::with_length(0), Scratch::with_length(0));
        for region in &self.regions {
            let step = self.step(region);
            for (delta, out) in delta.chunks(step * to).zip(out.chunks_mut(step * from)) {
                let rows = delta.len() / to * region.positions();
                unfolded.resize(rows * region.depth(self.convolution.channels[0]));
                rows_of_delta.resize(rows * outputs);
                self.pick(region, delta, &mut rows_of_delta);
                self.products(region, rows, |part| {
                    Product {
                        shape: [rows, outputs, part.depth],
                        left: Factor::rows(&rows_of_delta, outputs),
                        right: Factor::rows(part.weight, outputs).transposed(),
                        threads: self.threads,
                    }
                    .store(&mut unfolded[part.first..], part.stride)
                })?;
                self.fold(region, &unfolded, out);
            }
        }
        Ok(())
    }

    /// The kernel in pieces that lie together in memory: one when the region sees whole kernel
    /// rows, one for each kernel row otherwise.
    fn products(
        &self,
        region: &Region,
        rows: usize,
        mut run: impl FnMut(Piece<'_>) -> Result<(), FisherError>,
    ) -> Result<(), FisherError> {
        let Convolution {
            channels: [from, to],
            kernel,
            ref weight,
            ..
        } = *self.convolution;
        let stride = region.depth(from);
        if rows == 0 || stride == 0 {
            return Ok(());
        }
        let taps = region.tap_cols.len();
        let (pieces, depth) = if taps == kernel {
            (region.tap_rows.start..region.tap_rows.start + 1, stride)
        } else {
            (region.tap_rows.clone(), taps * from)
        };
        for (number, tap_row) in pieces.enumerate() {
            let start = (tap_row * kernel + region.tap_cols.start) * from * to;
            run(Piece {
                weight: &weight[start..start + depth * to],
                first: number * depth,
                depth,
                stride,
            })?;
        }
        Ok(())
    }

    /// The runs of input values that the region's rows are made of, one for each kernel row:
    /// (place in the unfolded matrix, place in the input, length).
    fn runs(&self, region: &Region, samples: usize, mut run: impl FnMut(usize, usize, usize)) {
        let Convolution {
            channels: [from, _],
            stride,
            padding,
            ..
        } = *self.convolution;
        let length = region.tap_cols.len() * from;
        let line = self.input[1] * from;
        let mut place = 0;
        for sample in 0..samples {
            for y in region.rows.clone() {
                for x in region.cols.clone() {
                    let column = (x * stride + region.tap_cols.start).saturating_sub(padding);
                    for tap in region.tap_rows.clone() {
                        let row = (y * stride + tap).saturating_sub(padding);
                        let source = (sample * self.input[0] + row) * line + column * from;
                        run(place, source, length);
                        place += length;
                    }
                }
            }
        }
    }

    fn unfold(&self, region: &Region, input: &[f32], unfolded: &mut [f32]) {
        let samples = input.len() / self.per_sample()[0].max(1);
        self.runs(region, samples, |place, source, length| {
            unfolded[place..place + length].copy_from_slice(&input[source..source + length]);
        });
    }

    fn fold(&self, region: &Region, unfolded: &[f32], out: &mut [f32]) {
        let samples = out.len() / self.per_sample()[0].max(1);
        self.runs(region, samples, |place, source, length| {
            let target = out[source..source + length].iter_mut();
            target
                .zip(&unfolded[place..place + length])
                .for_each(|(t, v)| *t += v);
        });
    }

    /// The places of the region's rows in the output.
    fn places(&self, region: &Region, samples: usize) -> impl Iterator<Item = usize> {
        let [height, width] = self.output;
        let to = self.convolution.channels[1];
        let (rows, cols) = (region.rows.clone(), region.cols.clone());
        (0..samples).flat_map(move |sample| {
            let cols = cols.clone();
            rows.clone().flat_map(move |y| {
                cols.clone()
                    .map(move |x| ((sample * height + y) * width + x) * to)
            })
        })
    }

    fn put(&self, region: &Region, product: &[f32], out: &mut [f32]) {
        let to = self.convolution.channels[1];
        let samples = out.len() / self.per_sample()[1].max(1);
        let bias = &self.convolution.bias;
        let relu = self.convolution.relu;
        let seen = region.depth(self.convolution.channels[0]) > 0;
        for (place, row) in self.places(region, samples).zip(product.chunks_exact(to)) {
            for ((out, value), bias) in out[place..place + to].iter_mut().zip(row).zip(bias) {
                let value = if seen { value + bias } else { *bias };
                *out = if relu { value.max(0.0) } else { value };
            }
        }
    }

    fn pick(&self, region: &Region, delta: &[f32], rows: &mut [f32]) {
        let to = self.convolution.channels[1];
        let samples = delta.len() / self.per_sample()[1].max(1);
        let rows = rows.chunks_exact_mut(to.max(1));
        for (row, place) in rows.zip(self.places(region, samples)) {
            row.copy_from_slice(&delta[place..place + to]);
        }
    }
}

/// A piece of the kernel for one product.
struct Piece<'a> {
    /// `[depth, channels out]`.
    weight: &'a [f32],
    /// Its first column in the unfolded matrix.
    first: usize,
    /// Its columns.
    depth: usize,
    /// The columns of the unfolded matrix.
    stride: usize,
}
