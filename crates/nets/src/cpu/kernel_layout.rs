//! Kernels from PyTorch's layout to that of products, and back.
//!
//! Both are a transposition: PyTorch has a row for each channel out, products have a row for each tap and channel
//! in. Sides of kernels are powers of two, which a cache likes least, so that values go through tiles that it holds.

use rayon::prelude::*;

/// Channels out of a tile, a line of the cache, and its columns.
const CHANNELS: usize = 16;
const COLUMNS: usize = 64;

/// How a kernel of so many channels in and out and taps lies in memory.
#[derive(Clone, Copy)]
pub(crate) struct KernelLayout {
    pub(crate) channels: [usize; 2],
    /// The kernel's height times its width.
    pub(crate) area: usize,
}

impl KernelLayout {
    /// Values of a row in PyTorch's layout.
    fn width(self) -> usize {
        self.channels[0] * self.area
    }

    /// The row of products for a column of PyTorch's.
    fn row(self, column: usize) -> usize {
        column % self.area * self.channels[0] + column / self.area
    }

    /// `[out, in, tap]` to `[tap, in, out]`; every channel out multiplied by its factor.
    pub(crate) fn to_products(
        self,
        kernel: &[f32],
        factor: impl Fn(usize) -> f32 + Sync,
    ) -> Vec<f32> {
        let [_, to] = self.channels;
        let mut out = vec![0.0; kernel.len()];
        if out.is_empty() {
            return out;
        }
        let mut rows: Vec<Option<&mut [f32]>> = out.chunks_exact_mut(to).map(Some).collect();
        let columns = 0..self.width();
        let mut rows: Vec<_> = columns
            .filter_map(|column| rows[self.row(column)].take())
            .collect();
        rows.par_chunks_mut(COLUMNS)
            .enumerate()
            .for_each(|(block, rows)| {
                let mut tile = [[0.0; COLUMNS]; CHANNELS];
                let first = block * COLUMNS;
                for start in (0..to).step_by(CHANNELS) {
                    let channels = CHANNELS.min(to - start);
                    for (channel, tile) in tile[..channels].iter_mut().enumerate() {
                        let factor = factor(start + channel);
                        let from = (start + channel) * self.width() + first;
                        let values = tile.iter_mut().zip(&kernel[from..from + rows.len()]);
                        values.for_each(|(place, value)| *place = value * factor);
                    }
                    for (column, row) in rows.iter_mut().enumerate() {
                        let places = row[start..start + channels].iter_mut();
                        places
                            .zip(&tile)
                            .for_each(|(place, tile)| *place = tile[column]);
                    }
                }
            });
        out
    }

    /// `[tap, in, out]` to `[out, in, tap]`.
    pub(crate) fn to_pytorch(self, products: &[f32]) -> Vec<f32> {
        let ([_, to], width) = (self.channels, self.width());
        let mut out = vec![0.0f32; products.len()];
        let blocks = out.par_chunks_mut((CHANNELS * width).max(1)).enumerate();
        blocks.for_each(|(block, filters)| {
            let start = block * CHANNELS;
            let channels = CHANNELS.min(to - start);
            let mut tile = [[0.0; COLUMNS]; CHANNELS];
            for first in (0..width).step_by(COLUMNS) {
                let columns = COLUMNS.min(width - first);
                for column in 0..columns {
                    let from = self.row(first + column) * to + start;
                    let values = tile.iter_mut().zip(&products[from..from + channels]);
                    values.for_each(|(tile, value)| tile[column] = *value);
                }
                for (filter, tile) in filters.chunks_exact_mut(width).zip(&tile) {
                    filter[first..first + columns].copy_from_slice(&tile[..columns]);
                }
            }
        });
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_goes_to_its_place_and_back() {
        for (channels, area) in [
            ([3, 5], 9),
            ([17, 33], 9),
            ([70, 16], 1),
            ([1, 1], 1),
            ([0, 4], 9),
        ] {
            let layout = KernelLayout { channels, area };
            let [from, to] = channels;
            let kernel: Vec<f32> = (0..from * to * area).map(|at| at as f32).collect();
            let products = layout.to_products(&kernel, |channel| (channel + 1) as f32);
            for (at, value) in kernel.iter().enumerate() {
                let (channel, input, tap) = (at / (from * area), at / area % from, at % area);
                let found = products[(tap * from + input) * to + channel];
                assert_eq!(found, value * (channel + 1) as f32);
            }
            let plain = layout.to_products(&kernel, |_| 1.0);
            assert_eq!(layout.to_pytorch(&plain), kernel);
        }
    }
}
