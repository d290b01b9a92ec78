//! The closed-form FIM of a linear head.

use rayon::prelude::*;

use crate::error::FisherError;
use crate::error::{expect_len, expect_row};
use crate::fisher::estimator::Estimator;
use crate::fisher::merge::mean;
use crate::fisher::tensor::FisherTensor;
use crate::fisher::tensor::power_below;
use crate::kernel::matrix::{Matrix, MatrixRef};
use crate::kernel::product::{Threads, product_of_transpose};
use crate::labels::RowMatch;

/// Rows squared and multiplied at a time. Partial sums of this many rows are exact enough in
/// `f32`; across chunks the sum is kept in `f64`, so a million samples lose no digits.
const CHUNK: usize = 512;

/// Classes, and chunks of one class, in flight. The sums do not depend on the number of threads.
const WINDOW: usize = 16;

/// The diagonal FIM of one linear layer: of its weight `[outputs, inputs]` and its bias
/// `[outputs]`.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerFisher {
    /// Of the weight.
    pub weight: FisherTensor,
    /// Of the bias.
    pub bias: FisherTensor,
}

impl LayerFisher {
    /// The mean of several FIMs of one layer, each with its share ([`mean`]).
    ///
    /// # Errors
    /// As [`mean`].
    pub fn mean_of(parts: &[(&Self, f64)]) -> Result<Self, FisherError> {
        let weights: Vec<_> = parts
            .iter()
            .map(|(part, share)| (&part.weight, *share))
            .collect();
        let biases: Vec<_> = parts
            .iter()
            .map(|(part, share)| (&part.bias, *share))
            .collect();
        Self::new(mean(&weights)?, mean(&biases)?)
    }

    /// A FIM from its parts.
    ///
    /// # Errors
    /// [`FisherError::Shape`] when they are not of one linear layer.
    pub fn new(weight: FisherTensor, bias: FisherTensor) -> Result<Self, FisherError> {
        if weight.shape().len() != 2 || bias.shape() != &weight.shape()[..1] {
            return Err(FisherError::Shape {
                what: "the head's FIM",
                found: format!("shapes {:?} and {:?}", weight.shape(), bias.shape()),
                expected: "[outputs, inputs] and [outputs]".into(),
            });
        }
        Ok(Self { weight, bias })
    }

    /// The mean over all entries, weight and bias together.
    pub fn mean(&self) -> f64 {
        let count = self.weight.len() + self.bias.len();
        (self.weight.sum() + self.bias.sum()) / count.max(1) as f64
    }

    /// The same FIM with the rows where another head has the same labels.
    ///
    /// # Errors
    /// As [`FisherTensor::matched`].
    pub fn matched(&self, rows: &RowMatch) -> Result<Self, FisherError> {
        Self::new(self.weight.matched(rows)?, self.bias.matched(rows)?)
    }
}

/// The FIM of a head on a data set: for every class of the data, and in total.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadFisher {
    /// How it was estimated.
    pub estimator: Estimator,
    /// The number of samples of each class.
    pub counts: Vec<u64>,
    /// One FIM for each class of the data; zeros where the class has no samples.
    pub per_class: Vec<LayerFisher>,
    /// The FIM over all samples.
    pub total: LayerFisher,
}

impl HeadFisher {
    /// The FIM of the union of some classes: the count-weighted mean of theirs. Exact for
    /// [`Estimator::Empirical`] and [`Estimator::True`]; for [`Estimator::Batch`] it is the
    /// estimate over batches that do not mix classes.
    ///
    /// # Errors
    /// [`FisherError::Label`] for a class that is not there, [`FisherError::NoSamples`] when the
    /// classes have none.
    pub fn of_classes(&self, classes: &[usize]) -> Result<LayerFisher, FisherError> {
        if let Some(&class) = classes.iter().find(|&&c| c >= self.counts.len()) {
            return Err(FisherError::Label {
                sample: 0,
                label: class as u32,
                classes: self.counts.len(),
            });
        }
        let count: u64 = classes.iter().map(|&class| self.counts[class]).sum();
        if count == 0 {
            return Err(FisherError::NoSamples("of the classes to forget".into()));
        }
        let share = |class: usize| self.counts[class] as f64 / count as f64;
        let parts = classes
            .iter()
            .map(|&class| (&self.per_class[class], share(class)));
        LayerFisher::mean_of(&parts.collect::<Vec<_>>())
    }

    /// The FIM without some classes: the count-weighted mean over the others. Exact where
    /// [`HeadFisher::of_classes`] is.
    ///
    /// # Errors
    /// As [`HeadFisher::of_classes`].
    pub fn without_classes(&self, classes: &[usize]) -> Result<LayerFisher, FisherError> {
        let rest: Vec<usize> = (0..self.counts.len())
            .filter(|c| !classes.contains(c))
            .collect();
        self.of_classes(&rest)
    }
}

/// The diagonal FIM of a linear head in closed form, per class of the data and in total, with no
/// backward pass.
///
/// For logits `z = W h + b` the per-sample gradients of the cross-entropy are `(p - y) hᵀ` and
/// `p - y`, so over samples with residuals `R = P - Y` and features `H` the diagonal is
/// `(R∘R)ᵀ (H∘H) / N` for the weight and the column means of `R∘R` for the bias. Source: Liu et
/// al., arXiv:2408.08493, Section 4; the derivation is in `docs/fisher.md`.
///
/// # Shapes
/// - `features`: `[samples, inputs]`; `residuals`: `[samples, outputs]`, made with the same
///   `estimator` ([`residuals`](crate::fisher::residuals::residuals())); `labels`: `[samples]`, each below `classes`, the number of
///   classes of the *data* (it may differ from the outputs)
///
/// # Errors
/// [`FisherError::Shape`] when the row counts differ, [`FisherError::NotFinite`] naming the first
/// bad row, [`FisherError::Label`], [`FisherError::NoSamples`].
pub fn head_fisher(
    features: MatrixRef<'_>,
    residuals: MatrixRef<'_>,
    labels: &[u32],
    classes: usize,
    estimator: Estimator,
) -> Result<HeadFisher, FisherError> {
    let samples = Samples::new(features, residuals, labels, classes)?;
    let counts: Vec<u64> = samples.groups.iter().map(|g| g.len() as u64).collect();
    let mut total = samples.sums();
    let mut per_class = Vec::with_capacity(classes);
    match estimator {
        Estimator::Empirical | Estimator::True { .. } => {
            let mean = |class: usize, sums: &Sums| sums.finish(1.0 / counts[class].max(1) as f64);
            samples.powers(Power::Second, &mean, &mut |sums, fisher| {
                total.merge(&sums);
                per_class.push(fisher);
            })?;
            Ok(HeadFisher {
                estimator,
                per_class,
                total: total.finish(1.0 / labels.len() as f64)?,
                counts,
            })
        }
        Estimator::Batch { size } => {
            if size == 0 {
                return Err(FisherError::Parameter {
                    name: "the batch size",
                    range: "at least 1",
                    value: 0.0,
                });
            }
            let all: Vec<usize> = (0..labels.len()).collect();
            for rows in &samples.groups {
                per_class.push(samples.squared_batch_means(rows, size)?);
            }
            Ok(HeadFisher {
                estimator,
                counts,
                per_class,
                total: samples.squared_batch_means(&all, size)?,
            })
        }
    }
}

/// Features and residuals, grouped by the class of the data.
pub(crate) struct Samples<'a> {
    features: MatrixRef<'a>,
    residuals: MatrixRef<'a>,
    pub(crate) groups: Vec<Vec<usize>>,
}

impl<'a> Samples<'a> {
    pub(crate) fn new(
        features: MatrixRef<'a>,
        residuals: MatrixRef<'a>,
        labels: &[u32],
        classes: usize,
    ) -> Result<Self, FisherError> {
        expect_len(
            "the residuals' row count",
            residuals.rows(),
            features.rows(),
        )?;
        expect_len("the label list", labels.len(), features.rows())?;
        if labels.is_empty() {
            return Err(FisherError::NoSamples("to estimate the FIM from".into()));
        }
        Ok(Self {
            features,
            residuals,
            groups: group_by_class(labels, classes)?,
        })
    }

    fn sums(&self) -> Sums {
        Sums::new(self.residuals.cols(), self.features.cols())
    }

    /// The sums over each class of a power of the gradients, handed over in the order of the
    /// classes together with what `map` makes of them.
    pub(crate) fn powers<T: Send>(
        &self,
        power: Power,
        map: &(dyn Fn(usize, &Sums) -> Result<T, FisherError> + Sync),
        sink: &mut dyn FnMut(Sums, T),
    ) -> Result<(), FisherError> {
        for (window, groups) in self.groups.chunks(WINDOW).enumerate() {
            let done: Vec<Result<(Sums, T), FisherError>> = groups
                .par_iter()
                .enumerate()
                .map(|(place, rows)| {
                    let sums = self.class(rows, power)?;
                    let mapped = map(window * WINDOW + place, &sums)?;
                    Ok((sums, mapped))
                })
                .collect();
            for done in done {
                let (sums, mapped) = done?;
                sink(sums, mapped);
            }
        }
        Ok(())
    }

    fn class(&self, rows: &[usize], power: Power) -> Result<Sums, FisherError> {
        let mut sums = self.sums();
        let chunks: Vec<&[usize]> = rows.chunks(CHUNK).collect();
        for window in chunks.chunks(WINDOW) {
            let parts: Vec<Result<Part, FisherError>> = window
                .par_iter()
                .map(|rows| self.part(rows, power))
                .collect();
            for part in parts {
                sums.add(&part?, power);
            }
        }
        Ok(sums)
    }

    /// One chunk: the residuals' columns are brought to between 1 and 2 before they are squared,
    /// so that small ones do not vanish.
    fn part(&self, rows: &[usize], power: Power) -> Result<Part, FisherError> {
        let outputs = self.residuals.cols();
        let mut tops = vec![0.0f32; outputs];
        for &row in rows {
            let values = self.residuals.row(row);
            expect_row("the residuals", row, values)?;
            for (top, value) in tops.iter_mut().zip(values) {
                *top = top.max(value.abs());
            }
        }
        let inverse: Vec<f32> = tops
            .iter()
            .map(|top| match power_below(f64::from(*top)) {
                scale if scale > 0.0 => (1.0 / scale).min(2f64.powi(126)) as f32,
                _ => 0.0,
            })
            .collect();
        let mut left = Vec::with_capacity(rows.len() * outputs);
        let mut bias = vec![0.0f32; outputs];
        for &row in rows {
            let scaled = self.residuals.row(row).iter().zip(&inverse);
            left.extend(scaled.map(|(value, inverse)| power.of(value * inverse)));
            let new = &left[left.len() - outputs..];
            bias.iter_mut().zip(new).for_each(|(b, r)| *b += r);
        }
        let left = Matrix::new(rows.len(), outputs, left)?;
        let cols = self.features.cols();
        let mut right = Vec::with_capacity(rows.len() * cols);
        for &row in rows {
            right.extend(self.features.row(row).iter().map(|value| power.of(*value)));
        }
        let right = Matrix::new(rows.len(), cols, right)?;
        let weight = product_of_transpose(left.view(), right.view(), Threads::One)?;
        // A value that is not finite is not finite in the product either.
        if !weight.values().iter().all(|value| value.is_finite()) {
            for &row in rows {
                expect_row("the features", row, self.features.row(row))?;
            }
        }
        Ok(Part {
            weight,
            bias,
            // What the clamp of subnormal residuals took is part of the scale.
            scales: inverse
                .iter()
                .map(|i| if *i > 0.0 { 1.0 / f64::from(*i) } else { 0.0 })
                .collect(),
        })
    }

    fn squared_batch_means(&self, rows: &[usize], size: usize) -> Result<LayerFisher, FisherError> {
        let mut sums = self.sums();
        for batch in rows.chunks(size) {
            for &row in batch {
                expect_row("the features", row, self.features.row(row))?;
                expect_row("the residuals", row, self.residuals.row(row))?;
            }
            let (r, h) = (
                picked_rows(self.residuals, batch)?,
                picked_rows(self.features, batch)?,
            );
            let weight = product_of_transpose(r.view(), h.view(), Threads::All)?;
            let share = 1.0 / batch.len() as f64;
            for (sum, g) in sums.weight.iter_mut().zip(weight.values()) {
                *sum += (f64::from(*g) * share).powi(2);
            }
            let mut bias = vec![0.0f64; r.cols()];
            for row in 0..batch.len() {
                bias.iter_mut()
                    .zip(r.view().row(row))
                    .for_each(|(b, r)| *b += f64::from(*r) * share);
            }
            for (sum, b) in sums.bias.iter_mut().zip(&bias) {
                *sum += b.powi(2);
            }
        }
        sums.finish(1.0 / rows.len().div_ceil(size).max(1) as f64)
    }
}

/// What is summed: squares for the FIM, fourth powers for its variance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Power {
    Second,
    Fourth,
}

impl Power {
    #[inline]
    fn of(self, value: f32) -> f32 {
        let square = value * value;
        match self {
            Self::Second => square,
            Self::Fourth => square * square,
        }
    }

    fn exponent(self) -> i32 {
        match self {
            Self::Second => 2,
            Self::Fourth => 4,
        }
    }
}

/// The sums of one chunk: entry (k, j) is `weight[k, j] * scales[k]^power`.
struct Part {
    weight: Matrix,
    bias: Vec<f32>,
    scales: Vec<f64>,
}

/// Running sums in `f64`.
pub(crate) struct Sums {
    rows: usize,
    cols: usize,
    pub(crate) weight: Vec<f64>,
    pub(crate) bias: Vec<f64>,
}

impl Sums {
    fn new(rows: usize, cols: usize) -> Self {
        Self {
            rows,
            cols,
            weight: vec![0.0; rows * cols],
            bias: vec![0.0; rows],
        }
    }

    fn add(&mut self, part: &Part, power: Power) {
        let cols = self.cols;
        for (k, scale) in part.scales.iter().enumerate() {
            let factor = scale.powi(power.exponent());
            let target = &mut self.weight[k * cols..(k + 1) * cols];
            for (sum, value) in target.iter_mut().zip(part.weight.view().row(k)) {
                *sum += factor * f64::from(*value);
            }
            self.bias[k] += factor * f64::from(part.bias[k]);
        }
    }

    fn merge(&mut self, other: &Self) {
        let add = |(a, b): (&mut f64, &f64)| *a += b;
        self.weight.iter_mut().zip(&other.weight).for_each(add);
        self.bias.iter_mut().zip(&other.bias).for_each(add);
    }

    fn finish(&self, factor: f64) -> Result<LayerFisher, FisherError> {
        LayerFisher::new(
            FisherTensor::from_sums(&[self.rows, self.cols], &self.weight, factor)?,
            FisherTensor::from_sums(&[self.rows], &self.bias, factor)?,
        )
    }
}

fn group_by_class(labels: &[u32], classes: usize) -> Result<Vec<Vec<usize>>, FisherError> {
    let mut groups = vec![Vec::new(); classes];
    for (sample, &label) in labels.iter().enumerate() {
        groups
            .get_mut(label as usize)
            .ok_or(FisherError::Label {
                sample,
                label,
                classes,
            })?
            .push(sample);
    }
    Ok(groups)
}

fn picked_rows(matrix: MatrixRef<'_>, rows: &[usize]) -> Result<Matrix, FisherError> {
    let values = rows
        .iter()
        .flat_map(|&row| matrix.row(row))
        .copied()
        .collect();
    Matrix::new(rows.len(), matrix.cols(), values)
}
