//! What the layers of weights of a network read, row by row.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand::seq::index;
use rand_chacha::ChaCha8Rng;

use super::maps::Maps;
use super::window::Window;

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
                window.append(input, sample, corner, &mut rows.values);
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
