//! What the layers of weights of a network read, row by row.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand::seq::index;
use rand_chacha::ChaCha8Rng;

use super::maps::Maps;

/// The window that a layer of weights looks through at every output position.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) padding: usize,
}

impl Window {
    /// Of a linear layer: one position at a time.
    pub(crate) const POINT: Self = Self {
        kernel: 1,
        stride: 1,
        padding: 0,
    };

    fn outputs(self, side: usize) -> usize {
        (side + 2 * self.padding)
            .checked_sub(self.kernel)
            .map_or(0, |room| room / self.stride.max(1) + 1)
    }
}

/// The rows of one layer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rows {
    /// Values of a row: the weights of one output.
    pub(crate) width: usize,
    pub(crate) values: Vec<f32>,
}

/// Rows of the inputs of every layer of weights, collected while samples pass.
pub(crate) struct InputRows {
    /// Positions taken from a sample, at most.
    each: usize,
    draws: ChaCha8Rng,
    pub(crate) layers: BTreeMap<String, Rows>,
}

impl InputRows {
    /// Takes at most `each` positions of every sample, drawn without replacement.
    pub(crate) fn new(each: usize, seed: u64) -> Self {
        Self {
            each,
            draws: ChaCha8Rng::seed_from_u64(seed),
            layers: BTreeMap::new(),
        }
    }

    /// Adds rows of the input of the layer `name`: a row holds the values that meet the weights of
    /// one output, in the order of PyTorch's kernels, channels before positions.
    pub(crate) fn take(&mut self, name: &str, input: &Maps, window: Window) {
        let [height, width] = input.size.map(|side| window.outputs(side));
        let rows = self.layers.entry(name.to_owned()).or_default();
        rows.width = input.channels * window.kernel * window.kernel;
        let per_sample = input.per_sample().max(1);
        for sample in input.values.chunks_exact(per_sample) {
            for position in chosen(height * width, self.each, &mut self.draws) {
                let corner = [position / width, position % width].map(|at| at * window.stride);
                append_patch(input, sample, corner, window, &mut rows.values);
            }
        }
    }
}

/// At most `each` of the positions, in order.
fn chosen(positions: usize, each: usize, draws: &mut ChaCha8Rng) -> Vec<usize> {
    if positions <= each {
        return (0..positions).collect();
    }
    let mut drawn = index::sample(draws, positions, each).into_vec();
    drawn.sort_unstable();
    drawn
}

/// The values under a window, zeros outside of the map.
fn append_patch(
    maps: &Maps,
    sample: &[f32],
    corner: [usize; 2],
    window: Window,
    out: &mut Vec<f32>,
) {
    let source = |start: usize, tap: usize, side: usize| {
        (start + tap)
            .checked_sub(window.padding)
            .filter(|at| *at < side)
    };
    for channel in 0..maps.channels {
        for row in 0..window.kernel {
            let y = source(corner[0], row, maps.size[0]);
            for column in 0..window.kernel {
                let place = y.zip(source(corner[1], column, maps.size[1]));
                out.push(place.map_or(0.0, |(y, x)| {
                    sample[(y * maps.size[1] + x) * maps.channels + channel]
                }));
            }
        }
    }
}
