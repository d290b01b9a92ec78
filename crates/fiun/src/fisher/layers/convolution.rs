//! Two-dimensional convolutions.

use std::borrow::Cow;
use std::ops::Range;

use rayon::prelude::*;

use crate::error::{FisherError, expect_len};
use crate::fisher::layers::outer::{Columns, copy, outer_squares, squares_of_columns};
use crate::fisher::layers::squares::{Squares, column_squares, rows_per_group};

/// Values of some unfolded columns held at a time, where there are at most [`WIDTH`] of them.
const UNFOLDED: usize = 4 << 20;
const WIDTH: usize = 32;

/// A convolution with square kernels. Unfolded, it is a linear layer at every output position; the
/// gradient of a sample is `deltaᵀ unfold(input)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Convolution {
    /// Channels in and out.
    pub channels: [usize; 2],
    /// The side of the kernel.
    pub kernel: usize,
    /// The step between positions.
    pub stride: usize,
    /// Zeros added on each side.
    pub padding: usize,
    /// Groups of channels that do not see each other, 1 for a plain convolution.
    pub groups: usize,
    /// Height and width of the input.
    pub size: [usize; 2],
}

impl Convolution {
    /// Height and width of the output, `None` when the input is too small.
    pub fn output(&self) -> Option<[usize; 2]> {
        let side = |side: usize| {
            let room = (side + 2 * self.padding).checked_sub(self.kernel)?;
            Some(room.checked_div(self.stride)? + 1)
        };
        Some([side(self.size[0])?, side(self.size[1])?])
    }

    /// The sums of squares of `weight` `[out, in / groups, kernel, kernel]` and `bias` `[out]`.
    ///
    /// # Shapes
    /// - `input`: `[samples, height, width, in]`; `delta`: `[samples, output height, output width,
    ///   out]`
    ///
    /// # Errors
    /// [`FisherError::Shape`].
    pub fn squares(
        &self,
        groups: usize,
        input: &[f32],
        delta: &[f32],
    ) -> Result<Squares, FisherError> {
        let [from, to] = self.channels;
        let area = self.size[0] * self.size[1] * from;
        let per_group = rows_per_group("the input", input, area, groups)?;
        let fits =
            self.groups > 0 && from.is_multiple_of(self.groups) && to.is_multiple_of(self.groups);
        let output = self.output().filter(|_| fits);
        let Some([height, width]) = output else {
            return Err(FisherError::Shape {
                what: "the convolution",
                found: format!("{self:?}"),
                expected:
                    "an input that its kernel fits into, channels that divide into its groups"
                        .into(),
            });
        };
        let rows = per_group * height * width;
        expect_len("delta", delta.len(), groups * rows * to)?;
        let step = (UNFOLDED / (rows * WIDTH).max(1)).max(1);
        let mut weight = vec![0.0f32; to * from / self.groups * self.kernel * self.kernel];
        let blocks = input
            .chunks(step * per_group * area)
            .zip(delta.chunks(step * rows * to));
        for (input, delta) in blocks {
            for group in 0..self.groups {
                self.add_squares(group, per_group, input, delta, &mut weight)?;
            }
        }
        Ok(vec![
            ("weight", weight),
            ("bias", column_squares(delta, to, rows)),
        ])
    }

    /// Adds the squares of a group of channels to those of the whole kernel, `[out, in / groups, kernel, kernel]`.
    fn add_squares(
        &self,
        group: usize,
        per_group: usize,
        input: &[f32],
        delta: &[f32],
        weight: &mut [f32],
    ) -> Result<(), FisherError> {
        let [from, to] = self.channels;
        let (per, outs) = (from / self.groups, to / self.groups);
        let [height, width] = self.output().unwrap_or_default();
        let rows = per_group * height * width;
        let unfolding = Unfolding {
            layer: self,
            output: [height, width],
            taps: self.taps([height, width]),
            channels: group * per..(group + 1) * per,
            per_group,
            input,
        };
        let inputs = unfolding.taps.len() * per;
        let delta = slice_channels(delta, to, group * outs..(group + 1) * outs);
        let places = unfolding.places();
        let filter = per * self.kernel * self.kernel;
        let filters = weight[group * outs * filter..].par_chunks_mut(filter.max(1));
        let filters = filters.take(outs).enumerate();
        let add = |filter: &mut [f32], columns: Range<usize>, values: &[f32]| {
            let pairs = places[columns].iter().zip(values);
            pairs.for_each(|(place, value)| filter[*place] += value);
        };
        if rows == 1 {
            let unfolded = unfolding.columns(0..inputs, inputs).values;
            let squares = outer_squares(&unfolded, inputs, &delta, outs, 1)?;
            filters.for_each(|(row, filter)| {
                add(filter, 0..inputs, &squares[row * inputs..][..inputs]);
            });
            return Ok(());
        }
        let columns = |columns, width| unfolding.columns(columns, width);
        let squares = squares_of_columns(inputs, &columns, &delta, outs, rows);
        filters.for_each(|(row, filter)| {
            let parts = squares.row(row);
            parts.for_each(|(columns, values)| add(filter, columns, values));
        });
        Ok(())
    }

    /// The kernel's taps (row, column) that meet the input at any output position; the others see
    /// nothing but padding.
    fn taps(&self, [height, width]: [usize; 2]) -> Vec<[usize; 2]> {
        let meets = |tap: usize, side: usize, outputs: usize| {
            (0..outputs).any(|o| self.source(o, tap, side).is_some())
        };
        let mut taps = Vec::new();
        for y in (0..self.kernel).filter(|&y| meets(y, self.size[0], height)) {
            for x in (0..self.kernel).filter(|&x| meets(x, self.size[1], width)) {
                taps.push([y, x]);
            }
        }
        taps
    }

    fn source(&self, output: usize, tap: usize, side: usize) -> Option<usize> {
        (output * self.stride + tap)
            .checked_sub(self.padding)
            .filter(|at| *at < side)
    }
}

/// An input as the matrix that a convolution is a product with, `[samples * output positions, taps * channels]`, with
/// only some of its columns written down at a time.
struct Unfolding<'a> {
    layer: &'a Convolution,
    /// Height and width of the output.
    output: [usize; 2],
    taps: Vec<[usize; 2]>,
    /// The channels of the input that are seen.
    channels: Range<usize>,
    /// Samples of a group.
    per_group: usize,
    input: &'a [f32],
}

/// Neighbouring columns of one tap.
struct Run {
    tap: [usize; 2],
    /// The first channel of the input.
    channel: usize,
    /// The first column, counted from where the matrix is looked at.
    column: usize,
    length: usize,
}

impl Unfolding<'_> {
    fn runs(&self, columns: Range<usize>) -> Vec<Run> {
        let per = self.channels.len();
        let mut runs = Vec::new();
        let mut at = columns.start;
        while at < columns.end {
            let (tap, channel) = (at / per, at % per);
            let length = (per - channel).min(columns.end - at);
            runs.push(Run {
                tap: self.taps[tap],
                channel: self.channels.start + channel,
                column: at - columns.start,
                length,
            });
            at += length;
        }
        runs
    }

    /// Some columns, at the positions where one of their taps meets the input.
    fn columns(&self, columns: Range<usize>, width: usize) -> Columns {
        let Convolution { channels, size, .. } = *self.layer;
        let (from, [height, across]) = (channels[0], self.output);
        let runs = self.runs(columns);
        let mut seen = Vec::new();
        // Of one sample: from where to where how much is copied.
        let mut copies = Vec::new();
        for (y, x) in (0..height).flat_map(|y| (0..across).map(move |x| (y, x))) {
            let target = seen.len() * width;
            let before = copies.len();
            for run in &runs {
                let place = self.layer.source(y, run.tap[0], size[0]);
                let place = place.zip(self.layer.source(x, run.tap[1], size[1]));
                if let Some((row, column)) = place {
                    let source = (row * size[1] + column) * from + run.channel;
                    copies.push([source, target + run.column, run.length]);
                }
            }
            if copies.len() > before {
                seen.push(y * across + x);
            }
        }
        let area = (size[0] * size[1] * from).max(1);
        let each = seen.len() * width;
        let mut values = vec![0.0f32; self.input.len() / area * each];
        let samples = self.input.chunks_exact(area);
        for (sample, values) in samples.zip(values.chunks_exact_mut(each.max(1))) {
            for [source, target, length] in &copies {
                copy(&sample[*source..source + length], &mut values[*target..]);
            }
        }
        let rows = (0..self.per_group).flat_map(|sample| {
            let first = sample * height * across;
            seen.iter().map(move |position| first + position)
        });
        Columns {
            rows: rows.collect(),
            values,
        }
    }

    /// Where each column is in a filter of PyTorch's, `[channel, row, column]`.
    fn places(&self) -> Vec<usize> {
        let kernel = self.layer.kernel;
        let taps = self.taps.iter().map(|[y, x]| y * kernel + x);
        taps.flat_map(|tap| (0..self.channels.len()).map(move |c| c * kernel * kernel + tap))
            .collect()
    }
}

/// Some of the channels of every row.
fn slice_channels(values: &[f32], channels: usize, range: Range<usize>) -> Cow<'_, [f32]> {
    if range.len() == channels {
        return Cow::Borrowed(values);
    }
    let rows = values.chunks_exact(channels);
    rows.flat_map(|row| &row[range.clone()]).copied().collect()
}
