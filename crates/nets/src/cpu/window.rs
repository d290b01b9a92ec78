//! The window through which a layer of weights looks at a map.

use std::fmt;

use super::maps::Maps;

/// The square window that a layer of weights looks through at every output position; lengths are in
/// positions of what it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The length of its sides.
    pub kernel: usize,
    /// From one output position to the next.
    pub stride: usize,
    /// Zeros beside the map, on every side.
    pub padding: usize,
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kernel,
            stride,
            padding,
        } = self;
        write!(f, "{kernel}x{kernel}, stride {stride}, padding {padding}")
    }
}

impl Window {
    /// Of a linear layer: one position at a time.
    pub const POINT: Self = Self {
        kernel: 1,
        stride: 1,
        padding: 0,
    };

    /// How many positions it has along a side.
    pub(crate) fn outputs(self, side: usize) -> usize {
        (side + 2 * self.padding)
            .checked_sub(self.kernel)
            .map_or(0, |room| room / self.stride.max(1) + 1)
    }

    /// Adds the values of a sample under the window at a corner, in the order of PyTorch's kernels
    /// (channel, row, column), zeros outside of the map. `maps` tells the sample's shape.
    pub(crate) fn append(
        self,
        maps: &Maps,
        sample: &[f32],
        corner: [usize; 2],
        out: &mut Vec<f32>,
    ) {
        let source = |start: usize, tap: usize, side: usize| {
            (start + tap)
                .checked_sub(self.padding)
                .filter(|at| *at < side)
        };
        for channel in 0..maps.channels {
            for row in 0..self.kernel {
                let y = source(corner[0], row, maps.size[0]);
                for column in 0..self.kernel {
                    let place = y.zip(source(corner[1], column, maps.size[1]));
                    out.push(place.map_or(0.0, |(y, x)| {
                        sample[(y * maps.size[1] + x) * maps.channels + channel]
                    }));
                }
            }
        }
    }
}
