//! How far features still tell a forgotten label from the rest, whatever their scale: Fisher's criterion.
//!
//! A linear probe is fitted anew to whatever features it meets, so an edit that only shrinks the direction in which
//! a label differs leaves it as good as before. What a probe can use is the distance of the means in units of
//! the spread around them, along the best direction:
//!
//! ```text
//! J = (mean_f w'x - mean_r w'x)^2 / ((var_f w'x + var_r w'x) / 2)
//! w = (S + rho diag S)^-1 (mean_f x - mean_r x),   S = (cov_f + cov_r) / 2
//! ```
//!
//! `f`: samples of the forgotten label, `r`: retained ones. At the best `w` the derivative of `J` by `w` is zero but
//! for the ridge, so `w` is held where gradients are taken. Source: Fisher, *The use of multiple measurements in taxonomic
//! problems*, Annals of Eugenics 7, 1936.

use crate::error::{FisherError, expect_finite, expect_len};
use crate::kernel::cholesky::Cholesky;
use crate::kernel::matrix::{Matrix, MatrixRef};
use crate::kernel::product::transpose_product;

/// `rho`: the ridge, as a share of each column's variance.
const RIDGE: f32 = 0.05;

/// What is added to every variance, for columns that are constant.
const LEAST: f32 = 1e-6;

/// Samples of each kind without which there is no spread.
const FEWEST: usize = 2;

/// The direction in which a forgotten label differs from the rest.
#[derive(Debug, Clone, PartialEq)]
pub struct Separation {
    difference: Vec<f32>,
    /// The mean of both covariances.
    spread: Matrix,
    direction: Vec<f32>,
}

/// Fisher's criterion of some samples along a direction, with its gradient at their features.
#[derive(Debug, Clone, PartialEq)]
pub struct Separated {
    /// The criterion.
    pub value: f64,
    /// Its gradient at the features of the forgotten label, `[samples, features]`.
    pub forget: Matrix,
    /// That at the retained ones.
    pub retained: Matrix,
}

impl Separation {
    /// From features of a forgotten label and retained ones.
    ///
    /// # Shapes
    /// `forget`, `retained`: `[samples, features]`.
    ///
    /// # Errors
    /// [`FisherError`] with fewer than two samples of a kind, when widths differ, or something is not finite.
    pub fn fit(forget: MatrixRef<'_>, retained: MatrixRef<'_>) -> Result<Self, FisherError> {
        expect_len("a row of retained features", retained.cols(), forget.cols())?;
        let [f, r] = [
            Spread::from_features(forget)?,
            Spread::from_features(retained)?,
        ];
        let difference = f.mean.iter().zip(&r.mean).map(|(a, b)| a - b).collect();
        let mut spread = f.covariance;
        let pairs = spread.values_mut().iter_mut().zip(r.covariance.values());
        pairs.for_each(|(a, b)| *a = 0.5 * (*a + b));
        let mut fitted = Self {
            difference,
            spread,
            direction: Vec::new(),
        };
        fitted.aim()?;
        Ok(fitted)
    }

    /// Moves towards what other samples say: `share` (0 to 1) of it is theirs.
    ///
    /// # Errors
    /// As [`Separation::fit`].
    pub fn follow(&mut self, other: &Self, share: f32) -> Result<(), FisherError> {
        expect_len(
            "the features",
            other.difference.len(),
            self.difference.len(),
        )?;
        let mix = |own: &mut [f32], theirs: &[f32]| {
            own.iter_mut()
                .zip(theirs)
                .for_each(|(a, b)| *a += share * (b - *a));
        };
        mix(&mut self.difference, &other.difference);
        mix(self.spread.values_mut(), other.spread.values());
        self.aim()
    }

    fn aim(&mut self) -> Result<(), FisherError> {
        let width = self.difference.len();
        let mut system = self.spread.clone();
        for value in system.values_mut().iter_mut().step_by(width + 1) {
            *value += RIDGE * *value + LEAST;
        }
        let right = Matrix::new(width, 1, self.difference.clone())?;
        self.direction = Cholesky::new(system)?.solve(right.view())?.into_values();
        Ok(())
    }

    /// The criterion of some samples along this direction.
    ///
    /// # Errors
    /// As [`Separation::fit`].
    pub fn criterion(
        &self,
        forget: MatrixRef<'_>,
        retained: MatrixRef<'_>,
    ) -> Result<Separated, FisherError> {
        let [f, r] = [self.along(forget)?, self.along(retained)?];
        let apart = f.mean - r.mean;
        let spread = (0.5 * (f.variance + r.variance)).max(f64::from(f32::MIN_POSITIVE));
        let value = apart * apart / spread;
        let gradient = |side: &Line, sign: f64| {
            let count = side.values.len() as f64;
            let slope = |v: &f64| {
                sign * 2.0 * apart / (spread * count)
                    - value / spread * (v - side.mean) / (count - 1.0)
            };
            let rows = side.values.iter().flat_map(|v| {
                let slope = slope(v) as f32;
                self.direction.iter().map(move |w| slope * w)
            });
            Matrix::new(side.values.len(), self.direction.len(), rows.collect())
        };
        Ok(Separated {
            value,
            forget: gradient(&f, 1.0)?,
            retained: gradient(&r, -1.0)?,
        })
    }

    /// What samples come to along the direction.
    fn along(&self, features: MatrixRef<'_>) -> Result<Line, FisherError> {
        expect_len("the features", features.cols(), self.direction.len())?;
        enough(features)?;
        let dot = |row: &[f32]| -> f64 {
            let pairs = row.iter().zip(&self.direction);
            pairs.map(|(x, w)| f64::from(*x) * f64::from(*w)).sum()
        };
        let values: Vec<f64> = (0..features.rows())
            .map(|row| dot(features.row(row)))
            .collect();
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (count - 1.0);
        Ok(Line {
            values,
            mean,
            variance,
        })
    }
}

/// Samples along a direction.
struct Line {
    values: Vec<f64>,
    mean: f64,
    variance: f64,
}

/// Mean and covariance of some samples.
struct Spread {
    mean: Vec<f32>,
    covariance: Matrix,
}

impl Spread {
    fn from_features(features: MatrixRef<'_>) -> Result<Self, FisherError> {
        enough(features)?;
        expect_finite("a feature", features.values())?;
        let (rows, cols) = (features.rows(), features.cols());
        let mut mean = vec![0.0f64; cols];
        for row in 0..rows {
            let values = features.row(row).iter();
            mean.iter_mut()
                .zip(values)
                .for_each(|(m, v)| *m += f64::from(*v));
        }
        let mean: Vec<f32> = mean.iter().map(|m| (m / rows as f64) as f32).collect();
        let centred = (0..rows).flat_map(|row| {
            let pairs = features.row(row).iter().zip(&mean);
            pairs.map(|(v, m)| v - m).collect::<Vec<f32>>()
        });
        let centred = Matrix::new(rows, cols, centred.collect())?;
        let mut covariance = transpose_product(centred.view(), centred.view())?;
        let share = 1.0 / (rows - 1) as f32;
        covariance.values_mut().iter_mut().for_each(|v| *v *= share);
        Ok(Self { mean, covariance })
    }
}

fn enough(features: MatrixRef<'_>) -> Result<(), FisherError> {
    if features.rows() < FEWEST {
        return Err(FisherError::NoSamples("whose spread is asked for".into()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn features(rows: usize, shift: f32, seed: u32) -> Matrix {
        let value = |at: usize| {
            let noise = ((at as u32)
                .wrapping_mul(2_654_435_761)
                .wrapping_add(seed * 97)
                >> 16)
                % 1000;
            let noise = noise as f32 / 500.0 - 1.0;
            noise + if at.is_multiple_of(3) { shift } else { 0.0 }
        };
        Matrix::new(rows, 3, (0..rows * 3).map(value).collect()).unwrap()
    }

    /// One feature: by hand, (2 - 0)^2 / ((2 + 2) / 2).
    #[test]
    fn it_is_the_distance_of_means_in_spreads() {
        let forget = Matrix::new(2, 1, vec![1.0, 3.0]).unwrap();
        let retained = Matrix::new(2, 1, vec![-1.0, 1.0]).unwrap();
        let fitted = Separation::fit(forget.view(), retained.view()).unwrap();
        let found = fitted.criterion(forget.view(), retained.view()).unwrap();
        assert!((found.value - 2.0).abs() < 1e-6, "{}", found.value);
    }

    #[test]
    fn scale_does_not_change_it() {
        let (forget, retained) = (features(40, 1.5, 1), features(60, 0.0, 2));
        let value = |factor: f32| {
            let scaled = |m: &Matrix| {
                let values = m.values().iter().map(|v| v * factor).collect();
                Matrix::new(m.rows(), m.cols(), values).unwrap()
            };
            let (f, r) = (scaled(&forget), scaled(&retained));
            let fitted = Separation::fit(f.view(), r.view()).unwrap();
            fitted.criterion(f.view(), r.view()).unwrap().value
        };
        assert!((value(1.0) - value(10.0)).abs() < 1e-3 * value(1.0));
        assert!(value(1.0) > 1.0);
    }

    #[test]
    fn gradients_are_those_of_the_value() {
        let (forget, retained) = (features(7, 1.5, 1), features(9, 0.0, 2));
        let fitted = Separation::fit(forget.view(), retained.view()).unwrap();
        let found = fitted.criterion(forget.view(), retained.view()).unwrap();
        for at in [0, 5, 20] {
            let moved = |by: f32, own: bool| {
                let (mut f, mut r) = (forget.clone(), retained.clone());
                let changed = if own { &mut f } else { &mut r };
                changed.values_mut()[at] += by;
                fitted.criterion(f.view(), r.view()).unwrap().value
            };
            for (own, gradient) in [(true, &found.forget), (false, &found.retained)] {
                let slope = (moved(1e-2, own) - moved(-1e-2, own)) / 2e-2;
                let ours = f64::from(gradient.values()[at]);
                assert!(
                    (slope - ours).abs() < 1e-3 * (1.0 + slope.abs()),
                    "{slope} {ours}"
                );
            }
        }
    }

    #[test]
    fn one_follows_another() {
        let (forget, retained) = (features(40, 1.5, 1), features(60, 0.0, 2));
        let mut first = Separation::fit(features(40, -2.0, 3).view(), retained.view()).unwrap();
        let other = Separation::fit(forget.view(), retained.view()).unwrap();
        first.follow(&other, 1.0).unwrap();
        let pairs = first.direction.iter().zip(&other.direction);
        assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-4));
    }

    #[test]
    fn too_few_or_other_widths_are_refused() {
        let some = features(4, 0.0, 1);
        let one = Matrix::new(1, 3, vec![0.0; 3]).unwrap();
        let wide = Matrix::new(4, 2, vec![0.0; 8]).unwrap();
        assert!(Separation::fit(one.view(), some.view()).is_err());
        assert!(Separation::fit(some.view(), wide.view()).is_err());
        let mut broken = some.clone();
        broken.values_mut()[0] = f32::NAN;
        assert!(Separation::fit(broken.view(), some.view()).is_err());
    }
}
