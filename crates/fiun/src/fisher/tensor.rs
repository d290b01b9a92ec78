//! The Fisher information of one parameter tensor.

use std::ops::Range;

use crate::error::FisherError;
use crate::error::{expect_finite, expect_len};
use crate::labels::RowMatch;

/// The diagonal FIM of one parameter tensor: one value for each parameter, none negative.
///
/// Squares of small gradients leave the range of `f32` long before the gradients do: a prediction
/// that is sure by 40 logits has residuals of 1e-35. Every row (one value of the first dimension)
/// therefore has a scale of its own, a power of two that brings the row's largest value between 1
/// and 2: entry `i` is `values[i] * scales[row of i]`. Nothing is lost down to 1e-300, a value
/// still takes four bytes, and the same numbers always have the same form.
#[derive(Debug, Clone, PartialEq)]
pub struct FisherTensor {
    shape: Vec<usize>,
    values: Vec<f32>,
    scales: Vec<f64>,
}

impl FisherTensor {
    /// All zeros.
    pub fn zeros(shape: &[usize]) -> Self {
        Self {
            shape: shape.to_vec(),
            values: vec![0.0; shape.iter().product()],
            scales: vec![0.0; rows(shape)],
        }
    }

    /// From sums in double precision, each multiplied by `factor`.
    ///
    /// # Errors
    /// [`FisherError::Shape`] when the shape has another number of entries,
    /// [`FisherError::NotFinite`] and [`FisherError::Parameter`] (negative) otherwise.
    pub fn from_sums(shape: &[usize], sums: &[f64], factor: f64) -> Result<Self, FisherError> {
        let mut out = Self::zeros(shape);
        expect_len("the FIM", sums.len(), out.values.len())?;
        let cols = out.cols();
        if cols == 0 {
            return Ok(out);
        }
        for (row, chunk) in sums.chunks_exact(cols).enumerate() {
            let mut top = 0.0f64;
            for (col, sum) in chunk.iter().enumerate() {
                let value = sum * factor;
                if !value.is_finite() {
                    return Err(FisherError::NotFinite {
                        what: "the FIM",
                        value: value as f32,
                        place: format!("index {}", row * cols + col),
                    });
                }
                expect_not_negative(value)?;
                top = top.max(value);
            }
            let scale = power_below(top);
            out.scales[row] = scale;
            if scale > 0.0 {
                let target = &mut out.values[row * cols..(row + 1) * cols];
                for (value, sum) in target.iter_mut().zip(chunk) {
                    *value = (sum * factor / scale) as f32;
                }
            }
        }
        Ok(out)
    }

    /// From plain values in single precision.
    ///
    /// # Errors
    /// As [`FisherTensor::from_sums`].
    pub fn from_values(shape: &[usize], values: &[f32]) -> Result<Self, FisherError> {
        let wide: Vec<f64> = values.iter().map(|v| f64::from(*v)).collect();
        Self::from_sums(shape, &wide, 1.0)
    }

    /// From its stored parts; scales are taken as they are.
    ///
    /// # Errors
    /// [`FisherError`] when the lengths do not fit the shape, or a number is negative or not
    /// finite.
    pub fn from_parts(
        shape: Vec<usize>,
        values: Vec<f32>,
        scales: Vec<f64>,
    ) -> Result<Self, FisherError> {
        expect_len("the FIM", values.len(), shape.iter().product())?;
        expect_len("the FIM's scales", scales.len(), rows(&shape))?;
        expect_finite("the FIM", &values)?;
        for &value in &values {
            expect_not_negative(f64::from(value))?;
        }
        for &scale in &scales {
            if !scale.is_finite() {
                return Err(FisherError::NotFinite {
                    what: "the FIM's scales",
                    value: scale as f32,
                    place: "a row".into(),
                });
            }
            expect_not_negative(scale)?;
        }
        Ok(Self {
            shape,
            values,
            scales,
        })
    }

    /// The parameter tensor's shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The number of parameters.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are no parameters.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The number of rows: the length of the first dimension.
    pub fn rows(&self) -> usize {
        self.scales.len()
    }

    /// The number of values in a row.
    pub fn cols(&self) -> usize {
        self.values.len() / self.scales.len().max(1)
    }

    /// The values, to be multiplied by their row's scale.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The scale of each row.
    pub fn scales(&self) -> &[f64] {
        &self.scales
    }

    /// One row's values and its scale.
    ///
    /// # Panics
    /// When `row` is not below [`FisherTensor::rows`].
    pub fn row(&self, row: usize) -> (&[f32], f64) {
        let cols = self.cols();
        (&self.values[row * cols..(row + 1) * cols], self.scales[row])
    }

    /// Every entry in double precision, row after row.
    pub fn entries(&self) -> impl Iterator<Item = f64> + '_ {
        (0..self.rows()).flat_map(|row| {
            let (values, scale) = self.row(row);
            values.iter().map(move |value| f64::from(*value) * scale)
        })
    }

    /// The sum of all entries: that of the rows' sums, one after the other.
    pub fn sum(&self) -> f64 {
        self.row_sums().fold(0.0, |sum, row| sum + row)
    }

    /// The sum of each row.
    pub fn row_sums(&self) -> impl Iterator<Item = f64> + '_ {
        (0..self.rows()).map(|row| {
            let (values, scale) = self.row(row);
            scale * values.iter().map(|value| f64::from(*value)).sum::<f64>()
        })
    }

    /// Some of the rows.
    ///
    /// # Panics
    /// When there are not as many rows.
    #[must_use]
    pub fn part(&self, rows: Range<usize>) -> Self {
        let cols = self.cols();
        let mut shape = self.shape.clone();
        match shape.first_mut() {
            Some(first) => *first = rows.len(),
            // A single number has no rows.
            None => return self.clone(),
        }
        Self {
            shape,
            values: self.values[rows.start * cols..rows.end * cols].to_vec(),
            scales: self.scales[rows].to_vec(),
        }
    }

    /// Every entry multiplied by a positive factor. Costs one operation a row.
    pub fn times(mut self, factor: f64) -> Self {
        self.scales.iter_mut().for_each(|scale| *scale *= factor);
        self
    }

    /// The rows put where another tensor has the same labels; rows of the other without a
    /// counterpart become 0 and are thus never selected.
    ///
    /// # Errors
    /// [`FisherError::Shape`] when the match speaks of another number of rows.
    pub fn matched(&self, rows: &RowMatch) -> Result<Self, FisherError> {
        expect_len("the label list of the FIM", rows.source_rows(), self.rows())?;
        let mut shape = self.shape.clone();
        if let Some(first) = shape.first_mut() {
            *first = rows.rows().len();
        }
        let mut out = Self::zeros(&shape);
        let cols = self.cols();
        for (target, source) in rows.rows().iter().enumerate() {
            if let Some(source) = *source {
                let (values, scale) = self.row(source);
                out.values[target * cols..(target + 1) * cols].copy_from_slice(values);
                out.scales[target] = scale;
            }
        }
        Ok(out)
    }
}

fn rows(shape: &[usize]) -> usize {
    shape.first().copied().unwrap_or(0)
}

fn expect_not_negative(value: f64) -> Result<(), FisherError> {
    if value >= 0.0 {
        return Ok(());
    }
    Err(FisherError::Parameter {
        name: "a Fisher value",
        range: "at least 0",
        value,
    })
}

/// The largest power of two that is not above a value; 0 for 0.
pub(crate) fn power_below(value: f64) -> f64 {
    if value > 0.0 {
        // A subnormal value has its own power of two, found exactly after a shift.
        let (value, shift) = if value < f64::MIN_POSITIVE {
            (value * 2f64.powi(64), 2f64.powi(-64))
        } else {
            (value, 1.0)
        };
        f64::from_bits(value.to_bits() & 0x7ff0_0000_0000_0000) * shift
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn rows_keep_their_own_scale() {
        let sums = [3e-70, 6e-70, 0.0, 0.0, 5.0, 1e-30];
        let tensor = FisherTensor::from_sums(&[3, 2], &sums, 2.0).unwrap();
        for (entry, sum) in tensor.entries().zip(sums) {
            assert!((entry - 2.0 * sum).abs() <= 1e-7 * sum, "{entry} {sum}");
        }
        assert!(tensor.values().iter().all(|v| (0.0..2.0).contains(v)));
        assert_eq!(tensor.scales()[1], 0.0);
        assert_eq!((tensor.rows(), tensor.cols()), (3, 2));
        assert!((tensor.sum() - 10.0).abs() < 1e-6);
        let parts = [tensor.part(0..1), tensor.part(1..3)];
        assert_eq!(parts[1].shape(), [2, 2]);
        let sums = parts.iter().flat_map(FisherTensor::row_sums);
        assert_eq!(sums.fold(0.0, |sum, row| sum + row), tensor.sum());
        let entries: Vec<f64> = parts.iter().flat_map(FisherTensor::entries).collect();
        assert_eq!(entries, tensor.entries().collect::<Vec<f64>>());
        let again = FisherTensor::from_parts(
            vec![3, 2],
            tensor.values().to_vec(),
            tensor.scales().to_vec(),
        );
        assert_eq!(again.unwrap(), tensor);
    }

    #[test]
    fn bad_numbers_are_refused() {
        assert!(FisherTensor::from_sums(&[2], &[1.0], 1.0).is_err());
        assert!(FisherTensor::from_sums(&[1], &[-1.0], 1.0).is_err());
        assert!(FisherTensor::from_sums(&[1], &[f64::NAN], 1.0).is_err());
        for (values, scales) in [
            (vec![1.0], vec![1.0, 1.0]),
            (vec![1.0, -1.0], vec![1.0, 1.0]),
            (vec![1.0, f32::NAN], vec![1.0, 1.0]),
            (vec![1.0, 1.0], vec![1.0, -1.0]),
            (vec![1.0, 1.0], vec![1.0, f64::INFINITY]),
        ] {
            assert!(FisherTensor::from_parts(vec![2, 1], values, scales).is_err());
        }
        assert!(FisherTensor::zeros(&[0, 4]).is_empty());
    }

    #[test]
    fn powers_are_found_over_the_whole_range() {
        for (value, power) in [(1.0, 1.0), (1.99, 1.0), (0.3, 0.25), (0.0, 0.0)] {
            assert_eq!(power_below(value), power);
        }
        let tiny = f64::from_bits(3);
        assert_eq!(power_below(tiny), f64::from_bits(2));
    }

    #[test]
    fn rows_follow_their_labels() {
        let names = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        let target = names(&["dog", "fox", "cat"]);
        let matched = RowMatch::new(&target, 3, &names(&["cat", "dog", "owl"]), 3).unwrap();
        let tensor = |shape: &[usize], values: &[f32]| {
            let tensor = FisherTensor::from_values(shape, values).unwrap();
            let moved = tensor.matched(&matched).unwrap();
            moved.entries().collect::<Vec<_>>()
        };
        let weight = tensor(&[3, 2], &[1., 2., 3., 4., 5., 6.]);
        assert_eq!(weight, [3., 4., 0., 0., 1., 2.]);
        assert_eq!(tensor(&[3], &[7., 8., 9.]), [8., 0., 7.]);
    }
}
