//! REMAP: the penultimate layer taught, in closed form, to write of forgotten samples what a model
//! that never knew them would.
//!
//! A model that never knew a class takes its samples for particular other classes, each its own way.
//! So every forget sample is sent to the mean activations of the classes that a model without that
//! knowledge names for it, in the proportions in which it names them, by one ridge regression on the
//! layer's inputs that holds what the layer writes of retained samples:
//!
//! ```text
//! M_c   = mean of O over retained samples of class c                      prototypes, by position
//! t_i   = sum_c q_i[c] M_c + keep (O_i - mean_f(i) O)                     targets
//! D_i   = (t_i - O_i) / s                                                 corrections
//! G     = mean_f(a a') + mean_r(a a') + ridge mean(diag) I,  a = [A, 1]
//! [dW, db] = G^-1 mean_f(a D')
//! ```
//!
//! The mean `f(i)` is over the forget samples of sample `i`'s own label: where several labels are
//! forgotten, what tells them apart is no deviation of a sample, and goes.
//!
//! `A` is what the layer reads (of a convolution the window), `O` what its output becomes part of
//! before the next non-linearity, `s` the factor between both where a normalisation follows. The ridge
//! of the bias is 0.001. The regression is that of concept erasure in closed form (LEACE, Belrose et
//! al., arXiv:2306.03819) with a target of its own for every sample.

use std::collections::BTreeMap;

use crate::error::{FisherError, expect_finite, expect_len};
use crate::kernel::cholesky::Cholesky;
use crate::kernel::matrix::{Matrix, MatrixRef};
use crate::kernel::product::{product, transpose_product};

/// The ridge of the bias, whose input is always 1.
const BIAS_RIDGE: f32 = 1e-3;

/// The mean activations of every class.
///
/// # Shapes
/// - `stream`: `[samples * positions, channels]`, a sample's positions one after the other;
///   `labels`: `[samples]`; the result: `[classes, positions * channels]`, and how many samples each
///   class has. A class without samples has zeros.
///
/// # Errors
/// [`FisherError::Shape`] when the rows are not as many for every label, [`FisherError::Label`] when a
/// label is no class.
pub fn prototypes(
    stream: MatrixRef<'_>,
    labels: &[u32],
    classes: usize,
) -> Result<(Matrix, Vec<usize>), FisherError> {
    let width = sample_width(stream, labels.len())?;
    let mut means = Matrix::zeros(classes, width);
    let mut counts = vec![0usize; classes];
    let samples = stream.values().chunks_exact(width.max(1));
    for (sample, (values, &label)) in samples.zip(labels).enumerate() {
        let class = label as usize;
        let Some(count) = counts.get_mut(class) else {
            return Err(FisherError::Label {
                sample,
                label,
                classes,
            });
        };
        *count += 1;
        let mean = &mut means.values_mut()[class * width..(class + 1) * width];
        mean.iter_mut().zip(values).for_each(|(m, v)| *m += v);
    }
    for (mean, count) in means
        .values_mut()
        .chunks_exact_mut(width.max(1))
        .zip(&counts)
    {
        mean.iter_mut().for_each(|m| *m /= (*count).max(1) as f32);
    }
    Ok((means, counts))
}

/// What the layer's output has to change by at every position of every forget sample.
#[derive(Debug, Clone, Copy)]
pub struct Remap<'a> {
    /// What the layer's output becomes part of, `[samples * positions, channels]`.
    pub stream: MatrixRef<'a>,
    /// For every sample the proportions in which it goes to the classes, `[samples, classes]`; each
    /// row sums to 1.
    pub shares: MatrixRef<'a>,
    /// The mean activations of the classes, `[classes, positions * channels]`.
    pub prototypes: MatrixRef<'a>,
    /// The label of every sample, `[samples]`.
    pub labels: &'a [u32],
    /// The part of its deviation from the mean of its label's forget samples that a sample keeps,
    /// 0 to 1.
    pub keep: f32,
    /// The factor between the layer's output and the stream, by channel; a channel with 0 is left as
    /// it is.
    pub scale: &'a [f32],
}

impl Remap<'_> {
    /// The corrections `D`, `[samples * positions, channels]`.
    ///
    /// # Errors
    /// [`FisherError::Shape`] when shapes do not fit together.
    pub fn corrections(&self) -> Result<Matrix, FisherError> {
        let samples = self.shares.rows();
        let width = sample_width(self.stream, samples)?;
        expect_len("the prototypes' row", self.prototypes.cols(), width)?;
        expect_len(
            "the shares' row",
            self.shares.cols(),
            self.prototypes.rows(),
        )?;
        expect_len("the scale", self.scale.len(), self.stream.cols())?;
        expect_len("the labels", self.labels.len(), samples)?;
        let means = means_by_label(self.stream, self.labels, width);
        // Target less stream: shares of prototypes, less the mean kept, less the rest of the sample.
        let mut out = product(self.shares, self.prototypes)?;
        let rows = out.values_mut().chunks_exact_mut(width.max(1));
        let samples = self.stream.values().chunks_exact(width.max(1));
        for ((row, values), label) in rows.zip(samples).zip(self.labels) {
            let mean = means.get(label).map_or(&[][..], Vec::as_slice);
            for ((d, o), m) in row.iter_mut().zip(values).zip(mean) {
                *d += self.keep * (o - m) - o;
            }
            for part in row.chunks_exact_mut(self.scale.len().max(1)) {
                for (d, s) in part.iter_mut().zip(self.scale) {
                    *d = if *s == 0.0 { 0.0 } else { *d / s };
                }
            }
        }
        Matrix::new(self.stream.rows(), self.stream.cols(), out.into_values())
    }
}

/// The mean sample of every label.
fn means_by_label(stream: MatrixRef<'_>, labels: &[u32], width: usize) -> BTreeMap<u32, Vec<f32>> {
    let mut means: BTreeMap<u32, (Vec<f32>, usize)> = BTreeMap::new();
    for (values, label) in stream.values().chunks_exact(width.max(1)).zip(labels) {
        let (mean, count) = means.entry(*label).or_insert_with(|| (vec![0.0; width], 0));
        mean.iter_mut().zip(values).for_each(|(m, v)| *m += v);
        *count += 1;
    }
    let divided = |(label, (mut mean, count)): (u32, (Vec<f32>, usize))| {
        mean.iter_mut().for_each(|m| *m /= count as f32);
        (label, mean)
    };
    means.into_iter().map(divided).collect()
}

/// The values that one sample has.
fn sample_width(stream: MatrixRef<'_>, samples: usize) -> Result<usize, FisherError> {
    let values = stream.values().len();
    let width = values.checked_div(samples).unwrap_or(0);
    expect_len("the stream", values, width * samples)?;
    Ok(width)
}

/// The sums that the regression needs: additive, so that samples can come in pieces.
#[derive(Debug, Clone, PartialEq)]
pub struct RemapSums {
    /// `mean_f(a a') + mean_r(a a')`, `[depth + 1, depth + 1]`.
    gram: Matrix,
    /// `mean_f(a D')`, `[depth + 1, channels]`.
    cross: Matrix,
}

/// A change of the penultimate layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Correction {
    /// `[channels, depth]`: what is added to the weight.
    pub weight: Matrix,
    /// `[channels]`: what is added to the bias.
    pub bias: Vec<f32>,
}

impl RemapSums {
    /// Nothing yet, for a layer that reads `depth` values and writes `channels`.
    pub fn new(depth: usize, channels: usize) -> Self {
        Self {
            gram: Matrix::zeros(depth + 1, depth + 1),
            cross: Matrix::zeros(depth + 1, channels),
        }
    }

    /// Adds rows of forget samples with their corrections, of `total` rows in all.
    ///
    /// # Shapes
    /// `inputs`: `[rows, depth]`; `corrections`: `[rows, channels]`.
    ///
    /// # Errors
    /// [`FisherError::Shape`] when shapes do not fit, [`FisherError::NotFinite`].
    pub fn forget(
        &mut self,
        inputs: MatrixRef<'_>,
        corrections: MatrixRef<'_>,
        total: usize,
    ) -> Result<(), FisherError> {
        expect_len(
            "the corrections' row",
            corrections.cols(),
            self.cross.cols(),
        )?;
        expect_finite("a correction", corrections.values())?;
        let inputs = self.with_ones(inputs)?;
        let cross = transpose_product(inputs.view(), corrections)?;
        add(&mut self.cross, &cross, total);
        let gram = transpose_product(inputs.view(), inputs.view())?;
        add(&mut self.gram, &gram, total);
        Ok(())
    }

    /// Adds rows of retained samples, of `total` rows in all: there the layer's output stays.
    ///
    /// # Errors
    /// As [`RemapSums::forget`].
    pub fn retained(&mut self, inputs: MatrixRef<'_>, total: usize) -> Result<(), FisherError> {
        let inputs = self.with_ones(inputs)?;
        let gram = transpose_product(inputs.view(), inputs.view())?;
        add(&mut self.gram, &gram, total);
        Ok(())
    }

    fn with_ones(&self, inputs: MatrixRef<'_>) -> Result<Matrix, FisherError> {
        let depth = self.gram.rows() - 1;
        expect_len("the layer's input", inputs.cols(), depth)?;
        expect_finite("the layer's input", inputs.values())?;
        let mut values = Vec::with_capacity(inputs.rows() * (depth + 1));
        for row in 0..inputs.rows() {
            values.extend_from_slice(inputs.row(row));
            values.push(1.0);
        }
        Matrix::new(inputs.rows(), depth + 1, values)
    }

    /// The correction of the layer. A larger `ridge` (a share of the mean of the inputs' squares)
    /// changes less.
    ///
    /// # Errors
    /// [`FisherError::Parameter`] for a ridge that is not positive.
    pub fn solve(&self, ridge: f64) -> Result<Correction, FisherError> {
        if !(ridge > 0.0 && ridge.is_finite()) {
            return Err(FisherError::Parameter {
                name: "the ridge",
                range: "above 0",
                value: ridge,
            });
        }
        let size = self.gram.rows();
        let channels = self.cross.cols();
        // Inputs that are always zero (taps of a window that see padding only) decide nothing.
        let seen: Vec<usize> = (0..size)
            .filter(|at| self.gram.values()[at * size + at] > 0.0)
            .collect();
        let depth = seen.len().saturating_sub(1).max(1);
        let squares = seen.iter().filter(|at| **at + 1 < size);
        let squares: f64 = squares
            .map(|at| f64::from(self.gram.values()[at * size + at]))
            .sum();
        let mut gram = Matrix::zeros(seen.len(), seen.len());
        let added = (ridge * squares / depth as f64) as f32;
        for (row, from) in seen.iter().enumerate() {
            for (col, at) in seen.iter().enumerate().take(row + 1) {
                gram.values_mut()[row * seen.len() + col] = self.gram.values()[from * size + at];
            }
            let place = row * seen.len() + row;
            gram.values_mut()[place] += if from + 1 < size { added } else { BIAS_RIDGE };
        }
        let solution = Cholesky::new(gram)?.solve(self.cross.select_rows(&seen).view())?;
        let mut weight = Matrix::zeros(channels, size - 1);
        let mut bias = vec![0.0; channels];
        for (row, at) in seen.iter().enumerate() {
            for (channel, value) in solution.view().row(row).iter().enumerate() {
                if at + 1 < size {
                    weight.values_mut()[channel * (size - 1) + at] = *value;
                } else {
                    bias[channel] = *value;
                }
            }
        }
        expect_finite("the correction", weight.values())?;
        Ok(Correction { weight, bias })
    }
}

fn add(sum: &mut Matrix, part: &Matrix, total: usize) {
    let weight = 1.0 / total.max(1) as f32;
    let values = sum.values_mut().iter_mut();
    values
        .zip(part.values())
        .for_each(|(sum, part)| *sum += weight * part);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn matrix(rows: usize, cols: usize, values: &[f32]) -> Matrix {
        Matrix::new(rows, cols, values.to_vec()).unwrap()
    }

    #[test]
    fn prototypes_are_means_by_class_and_position() {
        // Two samples of class 1 with two positions of one channel, one of class 0.
        let stream = matrix(6, 1, &[1.0, 2.0, 3.0, 6.0, -1.0, 0.0]);
        let (means, counts) = prototypes(stream.view(), &[1, 1, 0], 3).unwrap();
        assert_eq!(means.values(), [-1.0, 0.0, 2.0, 4.0, 0.0, 0.0]);
        assert_eq!(counts, [1, 2, 0]);
        assert!(prototypes(stream.view(), &[1, 1, 3], 3).is_err());
        assert!(prototypes(stream.view(), &[1, 1, 0, 0], 3).is_err());
    }

    #[test]
    fn corrections_lead_to_the_shares_of_prototypes() {
        let stream = matrix(2, 2, &[1.0, 5.0, 3.0, 5.0]);
        let shares = matrix(2, 2, &[1.0, 0.0, 0.25, 0.75]);
        let prototypes = matrix(2, 2, &[10.0, 0.0, 20.0, 8.0]);
        let remap = Remap {
            stream: stream.view(),
            shares: shares.view(),
            prototypes: prototypes.view(),
            labels: &[4, 4],
            keep: 0.5,
            scale: &[2.0, 0.0],
        };
        // Targets: 10 + 0.5 (1 - 2) and 17.5 + 0.5 (3 - 2); the second channel is left alone.
        let found = remap.corrections().unwrap();
        assert_eq!(
            found.values(),
            [(9.5 - 1.0) / 2.0, 0.0, (18.0 - 3.0) / 2.0, 0.0]
        );
        // Of two labels each sample is its own mean: nothing of it is a deviation.
        let apart = Remap {
            labels: &[4, 7],
            ..remap
        };
        assert_eq!(
            apart.corrections().unwrap().values(),
            [(10.0 - 1.0) / 2.0, 0.0, (17.5 - 3.0) / 2.0, 0.0]
        );
    }

    /// The regression against the normal equations solved by hand, for one input and one channel.
    #[test]
    fn the_regression_is_that_of_the_normal_equations() {
        let mut sums = RemapSums::new(1, 1);
        let (forget, wanted) = (matrix(2, 1, &[1.0, 3.0]), matrix(2, 1, &[2.0, 4.0]));
        sums.forget(forget.view(), wanted.view(), 2).unwrap();
        sums.retained(matrix(1, 1, &[-2.0]).view(), 1).unwrap();
        let found = sums.solve(0.1).unwrap();
        // G = [[5 + 4, 2 - 2], [0, 2]] with ridges 0.9 and 0.001; right side (7, 3).
        assert!((found.weight.values()[0] - 7.0 / 9.9).abs() < 1e-5);
        assert!((found.bias[0] - 3.0 / 2.001).abs() < 1e-5);
    }

    #[test]
    fn pieces_add_up_and_dead_inputs_stay_zero() {
        let inputs = matrix(4, 3, &[1., 0., 2., 3., 0., 1., -1., 0., 0.5, 2., 0., -2.]);
        let wanted = matrix(4, 2, &[1., 0., 0., 1., 2., -1., 0.5, 0.5]);
        let mut whole = RemapSums::new(3, 2);
        whole.forget(inputs.view(), wanted.view(), 4).unwrap();
        whole.retained(inputs.view(), 4).unwrap();
        let mut pieces = RemapSums::new(3, 2);
        for part in [[0, 1], [2, 3]] {
            let (a, d) = (inputs.select_rows(&part), wanted.select_rows(&part));
            pieces.forget(a.view(), d.view(), 4).unwrap();
            pieces.retained(a.view(), 4).unwrap();
        }
        let [whole, pieces] = [whole, pieces].map(|sums| sums.solve(0.05).unwrap());
        for (a, b) in whole.weight.values().iter().zip(pieces.weight.values()) {
            assert!((a - b).abs() < 1e-5);
        }
        assert_eq!(whole.weight.values()[1], 0.0);
        assert_eq!(whole.weight.values()[4], 0.0);
    }

    #[test]
    fn a_larger_ridge_changes_less_and_a_wrong_one_is_refused() {
        let mut sums = RemapSums::new(1, 1);
        let a = matrix(2, 1, &[1.0, 2.0]);
        sums.forget(a.view(), a.view(), 2).unwrap();
        let size = |ridge| sums.solve(ridge).unwrap().weight.values()[0].abs();
        assert!(size(0.01) > size(1.0));
        for ridge in [0.0, -1.0, f64::NAN] {
            assert!(sums.solve(ridge).is_err());
        }
        let nan = matrix(1, 1, &[f32::NAN]);
        assert!(sums.retained(nan.view(), 1).is_err());
    }
}
