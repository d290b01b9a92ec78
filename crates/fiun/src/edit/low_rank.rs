//! Activations without the samples that they are of: a Gaussian with a mean, a few directions and what
//! is left by value.
//!
//! An edit below the head reads what some layer makes of forget and retained samples. Where those are
//! gone, it reads draws from such Gaussians instead, one for each class, which were kept while the
//! samples were there. First and second moments are what the regression of an edit reads
//! ([`crate::RemapSums`]), and those a Gaussian has right up to its rank.
//!
//! The directions are those of a randomised range finder with power iterations: Halko, Martinsson and
//! Tropp, Finding structure with randomness, SIAM Review 53, 2011, Algorithm 4.4.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use crate::error::{FisherError, expect_finite, expect_len};
use crate::kernel::cholesky::Cholesky;
use crate::kernel::matrix::{Matrix, MatrixRef};
use crate::kernel::product::{product, transpose_product};

/// Power iterations: each separates the large directions further from the small ones.
const ITERATIONS: usize = 3;

/// A share of the mean of a Gram matrix's diagonal, added to it so that directions that the samples do
/// not have come out as nothing.
const JITTER: f32 = 1e-5;

/// A Gaussian with few directions.
#[derive(Debug, Clone, PartialEq)]
pub struct LowRankGaussian {
    mean: Vec<f32>,
    directions: Matrix,
    rest: Vec<f32>,
}

impl LowRankGaussian {
    /// Fits samples: the mean, the covariance in the space of about `rank` main directions, and the
    /// variance of each value that is not in it. With fewer than `rank + 2` samples there are fewer
    /// directions, two less than samples, so that no sample can be told from them.
    ///
    /// # Shapes
    /// `samples`: `[samples, values]`.
    ///
    /// # Errors
    /// [`FisherError::NoSamples`] without samples, [`FisherError::NotFinite`].
    pub fn fit(samples: MatrixRef<'_>, rank: usize, seed: u64) -> Result<Self, FisherError> {
        let (count, width) = (samples.rows(), samples.cols());
        if count == 0 {
            return Err(FisherError::NoSamples("to fit a Gaussian to".into()));
        }
        expect_finite("an activation", samples.values())?;
        let mean = column_means(samples);
        let centred = centred(samples, &mean);
        let rank = rank.min(count.saturating_sub(2)).min(width);
        let directions = main_directions(&centred, rank, seed)?;
        let mut rest = vec![0.0f32; width];
        let scale = 1.0 / count as f32;
        for row in centred.values().chunks_exact(width.max(1)) {
            rest.iter_mut()
                .zip(row)
                .for_each(|(r, v)| *r += v * v * scale);
        }
        for row in directions.values().chunks_exact(width.max(1)) {
            rest.iter_mut().zip(row).for_each(|(r, v)| *r -= v * v);
        }
        rest.iter_mut().for_each(|r| *r = r.max(0.0).sqrt());
        Ok(Self {
            mean,
            directions,
            rest,
        })
    }

    /// One that was kept.
    ///
    /// # Shapes
    /// `mean` and `rest` (a standard deviation): `[values]`; `directions`: `[rank, values]`, each as
    /// long as the standard deviation along it.
    ///
    /// # Errors
    /// [`FisherError::Shape`] when shapes do not fit, [`FisherError::NotFinite`].
    pub fn from_parts(
        mean: Vec<f32>,
        directions: Matrix,
        rest: Vec<f32>,
    ) -> Result<Self, FisherError> {
        expect_len("a direction", directions.cols(), mean.len())?;
        expect_len("the rest", rest.len(), mean.len())?;
        for values in [&mean[..], directions.values(), &rest[..]] {
            expect_finite("a value of activation statistics", values)?;
        }
        Ok(Self {
            mean,
            directions,
            rest,
        })
    }

    /// The mean, `[values]`.
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// The directions, each as long as the standard deviation along it, `[rank, values]`.
    pub fn directions(&self) -> &Matrix {
        &self.directions
    }

    /// The standard deviation of each value that no direction has, `[values]`.
    pub fn rest(&self) -> &[f32] {
        &self.rest
    }

    /// Some draws, `[count, values]`; the same for the same seed.
    ///
    /// # Errors
    /// None that [`LowRankGaussian::from_parts`] has let pass.
    pub fn draw(&self, count: usize, seed: u64) -> Result<Matrix, FisherError> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut normal = || -> f32 { random.sample(StandardNormal) };
        let rank = self.directions.rows();
        let scores = (0..count * rank).map(|_| normal()).collect();
        let scores = Matrix::new(count, rank, scores)?;
        let mut draws = product(scores.view(), self.directions.view())?;
        let width = self.mean.len().max(1);
        for row in draws.values_mut().chunks_exact_mut(width) {
            let parts = row.iter_mut().zip(&self.mean).zip(&self.rest);
            for ((value, mean), rest) in parts {
                *value += mean;
                if *rest > 0.0 {
                    *value += rest * normal();
                }
            }
        }
        Ok(draws)
    }
}

fn column_means(samples: MatrixRef<'_>) -> Vec<f32> {
    let mut sums = vec![0.0f64; samples.cols()];
    for row in 0..samples.rows() {
        let values = samples.row(row);
        sums.iter_mut()
            .zip(values)
            .for_each(|(s, v)| *s += f64::from(*v));
    }
    let count = samples.rows() as f64;
    sums.into_iter().map(|sum| (sum / count) as f32).collect()
}

fn centred(samples: MatrixRef<'_>, mean: &[f32]) -> Matrix {
    let mut centred = Matrix::zeros(samples.rows(), samples.cols());
    let width = samples.cols().max(1);
    let rows = centred.values_mut().chunks_exact_mut(width);
    for (row, values) in rows.zip(samples.values().chunks_exact(width)) {
        let values = values.iter().zip(mean);
        row.iter_mut()
            .zip(values)
            .for_each(|(c, (v, m))| *c = v - m);
    }
    centred
}

/// `F` with `Fᵀ F = P C P`: the covariance `C = XᵀX / n` in the space that the power iterations find,
/// `P` the projection onto it. With an orthonormal basis `Q` of it (in rows) and
/// `Q C Qᵀ = L Lᵀ`, `F = Lᵀ Q`.
fn main_directions(centred: &Matrix, rank: usize, seed: u64) -> Result<Matrix, FisherError> {
    let (count, width) = (centred.rows(), centred.cols());
    let still = centred.values().iter().all(|v| *v == 0.0);
    if rank == 0 || still {
        return Ok(Matrix::zeros(0, width));
    }
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let start = (0..rank * count).map(|_| random.sample(StandardNormal));
    let start: Matrix = Matrix::new(rank, count, start.collect())?;
    let mut basis = orthonormal(product(start.view(), centred.view())?)?;
    for _ in 0..ITERATIONS {
        let scores = scores(centred, &basis)?;
        basis = orthonormal(transpose_product(scores.view(), centred.view())?)?;
    }
    let mut scores = scores(centred, &basis)?;
    let root = (count as f32).sqrt();
    scores.values_mut().iter_mut().for_each(|s| *s /= root);
    let mut covariance = transpose_product(scores.view(), scores.view())?;
    steady(&mut covariance);
    let triangle = Cholesky::new(covariance)?.triangle();
    transpose_product(triangle.view(), basis.view())
}

/// The samples in a basis, `[samples, rank]`.
fn scores(centred: &Matrix, basis: &Matrix) -> Result<Matrix, FisherError> {
    crate::kernel::product::linear(centred.view(), basis.view(), &vec![0.0; basis.rows()])
}

/// An orthonormal basis of the space of some rows (by Cholesky factorisation of their Gram matrix, twice:
/// once is not enough in single precision).
fn orthonormal(rows: Matrix) -> Result<Matrix, FisherError> {
    let mut rows = rows;
    for _ in 0..2 {
        let mut gram = scores(&rows, &rows)?;
        steady(&mut gram);
        rows = Cholesky::new(gram)?.solve_lower(rows.view())?;
    }
    Ok(rows)
}

fn steady(gram: &mut Matrix) {
    let size = gram.rows();
    let trace: f32 = (0..size).map(|at| gram.values()[at * size + at]).sum();
    let added = (JITTER * trace / size.max(1) as f32).max(f32::MIN_POSITIVE);
    (0..size).for_each(|at| gram.values_mut()[at * size + at] += added);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Samples with a large and a small direction and a little of everything.
    fn samples(count: usize) -> Matrix {
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let mut normal = || -> f32 { random.sample(StandardNormal) };
        let mut values = Vec::new();
        for _ in 0..count {
            let (a, b) = (3.0 * normal(), normal());
            let mut row = vec![1.0 + a, 2.0 - a, b, 0.5 + b, 0.0, -1.0];
            row.iter_mut().take(4).for_each(|v| *v += 0.1 * normal());
            values.extend(row);
        }
        Matrix::new(count, 6, values).unwrap()
    }

    fn covariance(of: &Matrix) -> (Vec<f32>, Matrix) {
        let mean = column_means(of.view());
        let centred = centred(of.view(), &mean);
        let mut sums = transpose_product(centred.view(), centred.view()).unwrap();
        let count = of.rows() as f32;
        sums.values_mut().iter_mut().for_each(|v| *v /= count);
        (mean, sums)
    }

    #[test]
    fn draws_have_the_moments_of_the_samples() {
        let samples = samples(4000);
        let fitted = LowRankGaussian::fit(samples.view(), 2, 0).unwrap();
        assert_eq!(fitted.directions().rows(), 2);
        let draws = fitted.draw(20_000, 1).unwrap();
        let ((mean, cov), (drawn_mean, drawn_cov)) = (covariance(&samples), covariance(&draws));
        for (a, b) in mean.iter().zip(&drawn_mean) {
            assert!((a - b).abs() < 0.1, "{mean:?} {drawn_mean:?}");
        }
        for (a, b) in cov.values().iter().zip(drawn_cov.values()) {
            assert!((a - b).abs() < 0.35, "{cov:?} {drawn_cov:?}");
        }
        // What never changes is drawn as it is.
        assert!(draws.view().row(7)[4..] == [0.0, -1.0]);
        assert_eq!(draws, fitted.draw(20_000, 1).unwrap());
    }

    #[test]
    fn the_variance_of_every_value_is_kept_at_any_rank() {
        let samples = samples(300);
        let (_, cov) = covariance(&samples);
        for rank in [0, 1, 3, 6] {
            let fitted = LowRankGaussian::fit(samples.view(), rank, 5).unwrap();
            for at in 0..6 {
                let along = fitted.directions().values().iter().skip(at).step_by(6);
                let sum: f32 = along.map(|v| v * v).sum::<f32>() + fitted.rest()[at].powi(2);
                assert!(
                    (sum - cov.values()[at * 7]).abs() < 2e-3 * (1.0 + sum),
                    "{rank} {at}"
                );
            }
        }
    }

    #[test]
    fn few_samples_give_few_directions_and_wrong_ones_are_refused() {
        let few = samples(3);
        let fitted = LowRankGaussian::fit(few.view(), 16, 0).unwrap();
        assert_eq!(fitted.directions().rows(), 1);
        let same = few.select_rows(&[0, 0, 0, 0]);
        let fitted = LowRankGaussian::fit(same.view(), 4, 0).unwrap();
        assert_eq!(fitted.draw(1, 0).unwrap().values(), same.view().row(0));
        assert!(LowRankGaussian::fit(few.select_rows(&[]).view(), 1, 0).is_err());
        let nan = Matrix::new(1, 1, vec![f32::NAN]).unwrap();
        assert!(LowRankGaussian::fit(nan.view(), 1, 0).is_err());
        let wide = Matrix::zeros(1, 2);
        assert!(LowRankGaussian::from_parts(vec![0.0], wide, vec![0.0]).is_err());
    }
}
