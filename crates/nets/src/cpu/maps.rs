//! Activations on the CPU.

use std::sync::Arc;

use super::rows::{change, column_sums};

/// Maps with channels last, `[samples, height, width, channels]`; vectors have one position, a sequence is one column.
#[derive(Debug, Clone, Default)]
pub(crate) struct Maps {
    pub(crate) samples: usize,
    pub(crate) size: [usize; 2],
    pub(crate) channels: usize,
    pub(crate) values: Vec<f32>,
    /// Of a sequence, 1 for every position with a token and 0 for padding, `[samples, positions]`; nothing where
    /// there is no padding.
    pub(crate) mask: Option<Arc<Vec<f32>>>,
}

impl Maps {
    /// Without padding.
    pub(crate) fn new(samples: usize, size: [usize; 2], channels: usize, values: Vec<f32>) -> Self {
        Self {
            samples,
            size,
            channels,
            values,
            mask: None,
        }
    }

    pub(crate) fn zeros(samples: usize, size: [usize; 2], channels: usize) -> Self {
        let values = vec![0.0; samples * size[0] * size[1] * channels];
        Self::new(samples, size, channels, values)
    }

    /// Positions of a sample.
    pub(crate) fn positions(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// Values of one sample.
    pub(crate) fn per_sample(&self) -> usize {
        self.size[0] * self.size[1] * self.channels
    }

    /// The samples at some places, each below [`Maps::samples`].
    pub(crate) fn select(&self, places: &[usize]) -> Self {
        let each = self.per_sample();
        let mut values = Vec::with_capacity(places.len() * each);
        for at in places {
            values.extend_from_slice(&self.values[at * each..(at + 1) * each]);
        }
        let positions = self.positions();
        let mask = self.mask.as_ref().map(|mask| {
            let of = |at: &usize| &mask[at * positions..(at + 1) * positions];
            Arc::new(places.iter().flat_map(of).copied().collect())
        });
        Self {
            samples: places.len(),
            size: self.size,
            channels: self.channels,
            values,
            mask,
        }
    }

    /// Puts more samples of the same shape behind its own.
    pub(crate) fn append(&mut self, more: Self) {
        self.samples += more.samples;
        self.values.extend(more.values);
        if let (Some(mask), Some(more)) = (&mut self.mask, more.mask) {
            Arc::make_mut(mask).extend(more.iter());
        }
    }

    /// Of the same shape as another, with other values.
    pub(crate) fn with(&self, values: Vec<f32>) -> Self {
        self.rows(self.channels, values)
    }

    /// Of the same samples and positions as another, with so many values of a position.
    pub(crate) fn rows(&self, channels: usize, values: Vec<f32>) -> Self {
        Self {
            samples: self.samples,
            size: self.size,
            channels,
            values,
            mask: self.mask.clone(),
        }
    }

    /// Adds other values to its own; with `relu`, only the positive part of each sum is kept.
    pub(crate) fn add(&mut self, other: &Self, relu: bool) {
        change(
            &mut self.values,
            &other.values,
            1,
            #[inline(always)]
            |values, others| {
                for (a, b) in values.iter_mut().zip(others) {
                    let value = *a + b;
                    *a = if relu { value.max(0.0) } else { value };
                }
            },
        );
    }

    /// The sum of every channel, over samples and positions.
    pub(crate) fn sums(&self) -> Vec<f32> {
        let none = vec![0.0; self.channels];
        column_sums(&self.values, &self.values, &none, |value, _, _| value)
    }

    /// The mean of every channel over the positions of each sample, as vectors.
    pub(crate) fn means(&self) -> Self {
        let mut means = Self::zeros(self.samples, [1, 1], self.channels);
        let channels = self.channels.max(1);
        let samples = self.values.chunks_exact(self.per_sample().max(1));
        for (mean, values) in means.values.chunks_exact_mut(channels).zip(samples) {
            for position in values.chunks_exact(channels) {
                mean.iter_mut().zip(position).for_each(|(m, v)| *m += v);
            }
            let positions = self.positions().max(1) as f32;
            mean.iter_mut().for_each(|m| *m /= positions);
        }
        means
    }

    /// The gradient at the values from that at their means: what goes back through [`Maps::means`].
    pub(crate) fn behind_means(&self, gradient: &[f32]) -> Self {
        let channels = self.channels.max(1);
        let positions = self.positions().max(1);
        let mut values = Vec::with_capacity(self.values.len());
        for row in gradient.chunks_exact(channels) {
            let each: Vec<f32> = row.iter().map(|g| g / positions as f32).collect();
            (0..positions).for_each(|_| values.extend_from_slice(&each));
        }
        self.with(values)
    }

    /// Its channels, then those of another, position by position.
    pub(crate) fn joined(&self, other: &Self) -> Self {
        let mut values = Vec::with_capacity(self.values.len() + other.values.len());
        let rows = self.values.chunks_exact(self.channels.max(1));
        for (a, b) in rows.zip(other.values.chunks_exact(other.channels.max(1))) {
            values.extend_from_slice(a);
            values.extend_from_slice(b);
        }
        self.rows(self.channels + other.channels, values)
    }

    /// As vectors in PyTorch's order: channels before positions.
    pub(crate) fn flattened(self) -> Self {
        let length = self.per_sample();
        let positions = self.positions();
        let values = if positions == 1 {
            self.values
        } else {
            transposed(&self.values, positions, self.channels)
        };
        Self::new(self.samples, [1, 1], length, values)
    }

    /// The reverse of [`Maps::flattened`].
    pub(crate) fn unflattened(self, size: [usize; 2], channels: usize) -> Self {
        let positions = size[0] * size[1];
        let values = if positions == 1 {
            self.values
        } else {
            transposed(&self.values, channels, positions)
        };
        Self::new(self.samples, size, channels, values)
    }
}

/// Every block of `rows * cols` values transposed.
fn transposed(values: &[f32], rows: usize, cols: usize) -> Vec<f32> {
    let mut out = vec![0.0; values.len()];
    let block = (rows * cols).max(1);
    for (out, values) in out.chunks_exact_mut(block).zip(values.chunks_exact(block)) {
        for (row, line) in values.chunks_exact(cols).enumerate() {
            for (col, value) in line.iter().enumerate() {
                out[col * rows + row] = *value;
            }
        }
    }
    out
}
