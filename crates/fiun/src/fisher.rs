//! The closed-form FIM of a linear head.

use serde::{Deserialize, Serialize};

use crate::error::{expect_finite, expect_len};
use crate::{FisherError, Matrix, MatrixRef, RowMatch, transpose_product};

/// Rows squared and multiplied at a time. Partial sums of this many rows are exact enough in
/// `f32`; across chunks the sum is kept in `f64`, so a million samples lose no digits.
const CHUNK: usize = 512;

/// Which quantity a FIM is. Two FIMs of different estimators must never be compared in silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "estimator")]
pub enum Estimator {
    /// The mean over samples of the squared per-sample gradient (the default).
    Empirical,
    /// The mean over batches of the squared gradient of the batch's mean loss, as SSD's and the
    /// paper's public code compute it. Shrinks with the batch size; kept for like-for-like
    /// reproduction.
    Batch {
        /// Samples per batch.
        size: usize,
    },
}

/// The diagonal FIM of one linear layer: of its weight and its bias.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerFisher {
    /// `[outputs, inputs]`.
    pub weight: Matrix,
    /// `[outputs]`.
    pub bias: Vec<f32>,
}

impl LayerFisher {
    /// A FIM from its parts.
    ///
    /// # Errors
    /// [`FisherError`] when the lengths do not fit, or a value is not finite or negative.
    pub fn new(weight: Matrix, bias: Vec<f32>) -> Result<Self, FisherError> {
        expect_len("the bias FIM", bias.len(), weight.rows())?;
        expect_finite("the weight FIM", weight.values())?;
        expect_finite("the bias FIM", &bias)?;
        if let Some(value) = weight.values().iter().chain(&bias).find(|v| **v < 0.0) {
            return Err(FisherError::Parameter {
                name: "a Fisher value",
                range: "at least 0",
                value: f64::from(*value),
            });
        }
        Ok(Self { weight, bias })
    }

    /// The mean over all entries, weight and bias together.
    pub fn mean(&self) -> f64 {
        let all = self.weight.values().iter().chain(&self.bias);
        let count = self.weight.values().len() + self.bias.len();
        all.map(|value| f64::from(*value)).sum::<f64>() / count.max(1) as f64
    }

    /// Divides every entry by `scale`, the mean of the model's own total FIM: FIMs of models that
    /// fit their data unequally well then stand on a common scale, and one alpha serves a whole
    /// network. A scale of 0 (a model without any gradient) leaves the FIM as it is.
    pub fn rescaled(mut self, scale: f64) -> Self {
        if scale > 0.0 {
            let divide = |value: &mut f32| *value = (f64::from(*value) / scale) as f32;
            self.weight.values_mut().iter_mut().for_each(divide);
            self.bias.iter_mut().for_each(divide);
        }
        self
    }

    /// The FIM's rows put where another head has the same labels; rows of the other head without
    /// a counterpart become 0 and are thus never selected.
    ///
    /// # Errors
    /// [`FisherError::Shape`] when the match speaks of another number of rows.
    pub fn matched(&self, rows: &RowMatch) -> Result<Self, FisherError> {
        expect_len(
            "the label list of the FIM",
            rows.source_rows(),
            self.bias.len(),
        )?;
        let cols = self.weight.cols();
        let mut weight = Matrix::zeros(rows.rows().len(), cols);
        let mut bias = vec![0.0; rows.rows().len()];
        for (target, source) in rows.rows().iter().enumerate() {
            if let Some(source) = *source {
                weight.values_mut()[target * cols..(target + 1) * cols]
                    .copy_from_slice(self.weight.view().row(source));
                bias[target] = self.bias[source];
            }
        }
        Ok(Self { weight, bias })
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
    /// [`Estimator::Empirical`]; for [`Estimator::Batch`] it is the estimate over batches that do
    /// not mix classes.
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
        let mut sum = Accumulator::new(self.total.weight.rows(), self.total.weight.cols());
        for &class in classes {
            let share = self.counts[class] as f64 / count as f64;
            sum.add(
                &self.per_class[class].weight,
                &self.per_class[class].bias,
                share,
            );
        }
        Ok(sum.finish(1.0))
    }

    /// The FIM without some classes: the count-weighted mean over the others. Exact for
    /// [`Estimator::Empirical`].
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

/// Residuals `softmax(logits) - onehot(labels)` of the cross-entropy, `[samples, outputs]`.
///
/// The true class's entry is computed as minus the sum of the others', so that it keeps its digits
/// when the prediction is nearly certain.
///
/// # Errors
/// [`FisherError`] when the lengths differ, a label is out of range, or a logit is not finite.
pub fn residuals(logits: MatrixRef<'_>, labels: &[u32]) -> Result<Matrix, FisherError> {
    expect_len("the label list", labels.len(), logits.rows())?;
    let outputs = logits.cols();
    let mut out = Matrix::zeros(logits.rows(), outputs);
    for (sample, &label) in labels.iter().enumerate() {
        let truth = label as usize;
        if truth >= outputs {
            return Err(FisherError::Label {
                sample,
                label,
                classes: outputs,
            });
        }
        let row = logits.row(sample);
        check_row("the logits", sample, row)?;
        let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let exponentials: Vec<f64> = row.iter().map(|z| f64::from(z - top).exp()).collect();
        let sum: f64 = exponentials.iter().sum();
        let wrong: f64 = exponentials
            .iter()
            .enumerate()
            .filter(|(k, _)| *k != truth)
            .map(|(_, e)| e)
            .sum();
        let target = &mut out.values_mut()[sample * outputs..(sample + 1) * outputs];
        for (k, value) in target.iter_mut().enumerate() {
            *value = if k == truth {
                -(wrong / sum) as f32
            } else {
                (exponentials[k] / sum) as f32
            };
        }
    }
    Ok(out)
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
/// - `features`: `[samples, inputs]`; `residuals`: `[samples, outputs]`; `labels`: `[samples]`,
///   each below `classes`, the number of classes of the *data* (it may differ from the outputs)
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
    expect_len(
        "the residuals' row count",
        residuals.rows(),
        features.rows(),
    )?;
    expect_len("the label list", labels.len(), features.rows())?;
    if labels.is_empty() {
        return Err(FisherError::NoSamples("to estimate the FIM from".into()));
    }
    for row in 0..features.rows() {
        check_row("the features", row, features.row(row))?;
        check_row("the residuals", row, residuals.row(row))?;
    }
    let groups = group_by_class(labels, classes)?;
    let counts: Vec<u64> = groups.iter().map(|rows| rows.len() as u64).collect();
    match estimator {
        Estimator::Empirical => {
            let mut total = Accumulator::new(residuals.cols(), features.cols());
            let mut per_class = Vec::with_capacity(classes);
            for rows in &groups {
                let sum = sum_of_squares(features, residuals, rows)?;
                total.merge(&sum);
                per_class.push(sum.finish(rows.len() as f64));
            }
            Ok(HeadFisher {
                estimator,
                counts,
                per_class,
                total: total.finish(labels.len() as f64),
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
            let per_class: Result<Vec<_>, _> = groups
                .iter()
                .map(|rows| squared_batch_means(features, residuals, rows, size))
                .collect();
            Ok(HeadFisher {
                estimator,
                counts,
                per_class: per_class?,
                total: squared_batch_means(features, residuals, &all, size)?,
            })
        }
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

fn sum_of_squares(
    features: MatrixRef<'_>,
    residuals: MatrixRef<'_>,
    rows: &[usize],
) -> Result<Accumulator, FisherError> {
    let mut sum = Accumulator::new(residuals.cols(), features.cols());
    for chunk in rows.chunks(CHUNK) {
        let squared_residuals = squared_rows(residuals, chunk)?;
        let squared_features = squared_rows(features, chunk)?;
        let weight = transpose_product(squared_residuals.view(), squared_features.view())?;
        let mut bias = vec![0.0f32; residuals.cols()];
        for row in 0..chunk.len() {
            for (b, r) in bias.iter_mut().zip(squared_residuals.view().row(row)) {
                *b += r;
            }
        }
        sum.add(&weight, &bias, 1.0);
    }
    Ok(sum)
}

fn squared_batch_means(
    features: MatrixRef<'_>,
    residuals: MatrixRef<'_>,
    rows: &[usize],
    size: usize,
) -> Result<LayerFisher, FisherError> {
    let mut sum = Accumulator::new(residuals.cols(), features.cols());
    for batch in rows.chunks(size) {
        let (r, h) = (
            picked_rows(residuals, batch)?,
            picked_rows(features, batch)?,
        );
        let mut weight = transpose_product(r.view(), h.view())?;
        let share = 1.0 / batch.len() as f32;
        weight
            .values_mut()
            .iter_mut()
            .for_each(|g| *g = (*g * share).powi(2));
        let mut bias = vec![0.0f32; residuals.cols()];
        for row in 0..batch.len() {
            bias.iter_mut()
                .zip(r.view().row(row))
                .for_each(|(b, r)| *b += r * share);
        }
        bias.iter_mut().for_each(|b| *b = b.powi(2));
        sum.add(&weight, &bias, 1.0);
    }
    Ok(sum.finish(rows.len().div_ceil(size) as f64))
}

fn picked_rows(matrix: MatrixRef<'_>, rows: &[usize]) -> Result<Matrix, FisherError> {
    let values = rows
        .iter()
        .flat_map(|&row| matrix.row(row))
        .copied()
        .collect();
    Matrix::new(rows.len(), matrix.cols(), values)
}

fn squared_rows(matrix: MatrixRef<'_>, rows: &[usize]) -> Result<Matrix, FisherError> {
    let values = rows
        .iter()
        .flat_map(|&row| matrix.row(row))
        .map(|v| v * v)
        .collect();
    Matrix::new(rows.len(), matrix.cols(), values)
}

fn check_row(what: &'static str, index: usize, row: &[f32]) -> Result<(), FisherError> {
    match row.iter().find(|value| !value.is_finite()) {
        None => Ok(()),
        Some(&value) => Err(FisherError::NotFinite {
            what,
            value,
            place: format!("sample {index}"),
        }),
    }
}

/// A running sum in `f64`.
struct Accumulator {
    rows: usize,
    cols: usize,
    weight: Vec<f64>,
    bias: Vec<f64>,
}

impl Accumulator {
    fn new(rows: usize, cols: usize) -> Self {
        Self {
            rows,
            cols,
            weight: vec![0.0; rows * cols],
            bias: vec![0.0; rows],
        }
    }

    fn add(&mut self, weight: &Matrix, bias: &[f32], factor: f64) {
        for (sum, value) in self.weight.iter_mut().zip(weight.values()) {
            *sum += factor * f64::from(*value);
        }
        for (sum, value) in self.bias.iter_mut().zip(bias) {
            *sum += factor * f64::from(*value);
        }
    }

    fn merge(&mut self, other: &Self) {
        self.weight
            .iter_mut()
            .zip(&other.weight)
            .for_each(|(a, b)| *a += b);
        self.bias
            .iter_mut()
            .zip(&other.bias)
            .for_each(|(a, b)| *a += b);
    }

    /// The mean over `count` (0 counts as 1: an empty sum stays 0).
    fn finish(self, count: f64) -> LayerFisher {
        let count = count.max(1.0);
        let mut weight = Matrix::zeros(self.rows, self.cols);
        for (out, sum) in weight.values_mut().iter_mut().zip(&self.weight) {
            *out = (sum / count) as f32;
        }
        LayerFisher {
            weight,
            bias: self.bias.iter().map(|sum| (sum / count) as f32).collect(),
        }
    }
}
