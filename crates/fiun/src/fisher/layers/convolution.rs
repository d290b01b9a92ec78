//! Two-dimensional convolutions.

use crate::error::{FisherError, expect_len};
use crate::fisher::layers::outer::outer_squares;
use crate::fisher::layers::squares::{Squares, column_squares, rows_per_group};

/// Unfolded inputs held at a time, in values.
const UNFOLDED: usize = 4 << 20;

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
        let taps = self.taps([height, width]);
        let (per, outs) = (from / self.groups, to / self.groups);
        let inputs = taps.len() * per;
        let step = (UNFOLDED / (rows * inputs).max(1)).max(1);
        let mut weight = vec![0.0f32; to * per * self.kernel * self.kernel];
        let blocks = input
            .chunks(step * per_group * area)
            .zip(delta.chunks(step * rows * to));
        for (input, delta) in blocks {
            for group in 0..self.groups {
                let unfolded = self.unfold(
                    input,
                    [height, width],
                    &taps,
                    group * per..(group + 1) * per,
                );
                let of_group = slice_channels(delta, to, group * outs..(group + 1) * outs);
                let squares = outer_squares(&unfolded, inputs, &of_group, outs, rows)?;
                self.scatter(&squares, &taps, group * outs, &mut weight);
            }
        }
        Ok(vec![
            ("weight", weight),
            ("bias", column_squares(delta, to, rows)),
        ])
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

    /// `[samples * output positions, taps * channels]`.
    fn unfold(
        &self,
        input: &[f32],
        [height, width]: [usize; 2],
        taps: &[[usize; 2]],
        channels: std::ops::Range<usize>,
    ) -> Vec<f32> {
        let from = self.channels[0];
        let (per, row) = (channels.len(), self.size[1] * from);
        let samples = input.len() / (self.size[0] * row).max(1);
        let mut out = vec![0.0f32; samples * height * width * taps.len() * per];
        let mut targets = out.chunks_exact_mut((taps.len() * per).max(1));
        for sample in input.chunks_exact((self.size[0] * row).max(1)) {
            for y in 0..height {
                for x in 0..width {
                    let Some(target) = targets.next() else {
                        return out;
                    };
                    for (tap, target) in taps.iter().zip(target.chunks_exact_mut(per)) {
                        let place = self.source(y, tap[0], self.size[0]);
                        let place = place.zip(self.source(x, tap[1], self.size[1]));
                        if let Some((y, x)) = place {
                            let start = y * row + x * from + channels.start;
                            target.copy_from_slice(&sample[start..start + per]);
                        }
                    }
                }
            }
        }
        out
    }

    /// Adds squares in the order of the unfolding to those in PyTorch's.
    fn scatter(&self, squares: &[f32], taps: &[[usize; 2]], first: usize, weight: &mut [f32]) {
        let per = self.channels[0] / self.groups;
        let area = self.kernel * self.kernel;
        for (row, values) in squares.chunks_exact((taps.len() * per).max(1)).enumerate() {
            let target = &mut weight[(first + row) * per * area..][..per * area];
            for (tap, values) in taps.iter().zip(values.chunks_exact(per)) {
                for (channel, value) in values.iter().enumerate() {
                    target[channel * area + tap[0] * self.kernel + tap[1]] += value;
                }
            }
        }
    }
}

/// Some of the channels of every row.
fn slice_channels(values: &[f32], channels: usize, range: std::ops::Range<usize>) -> Vec<f32> {
    if range.len() == channels {
        return values.to_vec();
    }
    values
        .chunks_exact(channels)
        .flat_map(|row| &row[range.clone()])
        .copied()
        .collect()
}
