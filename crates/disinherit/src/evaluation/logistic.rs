//! Logistic regression on standardised columns.

use smartcore::linalg::basic::arrays::Array;
use smartcore::linalg::basic::matrix::DenseMatrix;
use smartcore::linear::logistic_regression::{LogisticRegression, LogisticRegressionParameters};

/// The weight of the L2 penalty: enough for separable data to have a solution.
const PENALTY: f64 = 1.0;

/// A model that says yes or no.
pub(super) struct Logistic {
    mean: Vec<f64>,
    deviation: Vec<f64>,
    model: LogisticRegression<f64, u32, DenseMatrix<f64>, Vec<u32>>,
}

impl Logistic {
    /// Fits rows with yes (1) and no (0); `None` when there are not both, or the fit fails.
    pub(super) fn fit(rows: &[Vec<f64>], yes: &[u32]) -> Option<Self> {
        let count = rows.len() as f64;
        let width = rows.first()?.len();
        let column = |c: usize| rows.iter().map(move |row| row[c]);
        let mean: Vec<f64> = (0..width).map(|c| column(c).sum::<f64>() / count).collect();
        let deviation: Vec<f64> = (0..width)
            .map(|c| {
                let squares: f64 = column(c).map(|v| (v - mean[c]).powi(2)).sum();
                (squares / count).sqrt().max(1e-9)
            })
            .collect();
        let both = yes.contains(&0) && yes.contains(&1);
        if !both || !mean.iter().all(|m| m.is_finite()) {
            return None;
        }
        let standard = standardised(rows, &mean, &deviation)?;
        let parameters = LogisticRegressionParameters::default().with_alpha(PENALTY);
        let model = LogisticRegression::fit(&standard, &yes.to_vec(), parameters).ok()?;
        Some(Self {
            mean,
            deviation,
            model,
        })
    }

    /// For every row the log-odds of yes.
    pub(super) fn scores(&self, rows: &[Vec<f64>]) -> Vec<f64> {
        let intercept = *self.model.intercept().get((0, 0));
        let weights: Vec<f64> = self.model.coefficients().iterator(0).copied().collect();
        let of = |row: &Vec<f64>| {
            let columns = row.iter().zip(&self.mean).zip(&self.deviation);
            let standard: Vec<f64> = columns.map(|((v, m), d)| (v - m) / d).collect();
            dot(&weights, &standard) + intercept
        };
        rows.iter().map(of).collect()
    }

    /// For every row, whether it says yes.
    pub(super) fn predict(&self, rows: &[Vec<f64>]) -> Option<Vec<bool>> {
        if rows.is_empty() {
            return Some(Vec::new());
        }
        let standard = standardised(rows, &self.mean, &self.deviation)?;
        let said = self.model.predict(&standard).ok()?;
        Some(said.into_iter().map(|yes| yes == 1).collect())
    }
}

/// The weighted sum of a row's columns.
fn dot(weights: &[f64], row: &[f64]) -> f64 {
    weights.iter().zip(row).map(|(w, v)| w * v).sum()
}

fn standardised(rows: &[Vec<f64>], mean: &[f64], deviation: &[f64]) -> Option<DenseMatrix<f64>> {
    let standard: Vec<Vec<f64>> = rows
        .iter()
        .map(|row| {
            let columns = row.iter().zip(mean).zip(deviation);
            columns
                .map(|((v, mean), deviation)| (v - mean) / deviation)
                .collect()
        })
        .collect();
    DenseMatrix::from_2d_vec(&standard).ok()
}

/// The share of `true`, `None` of nothing.
pub(super) fn share(said: &[bool]) -> Option<f64> {
    let yes = said.iter().filter(|yes| **yes).count();
    (!said.is_empty()).then(|| yes as f64 / said.len() as f64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn scores_are_positive_where_it_says_yes() {
        let rows: Vec<Vec<f64>> = (0..20).map(|i| vec![f64::from(i), 1.0]).collect();
        let yes: Vec<u32> = (0..20).map(|i| u32::from(i >= 10)).collect();
        let model = Logistic::fit(&rows, &yes).unwrap();
        let said = model.predict(&rows).unwrap();
        let scores = model.scores(&rows);
        assert!(
            scores.windows(2).all(|pair| pair[0] < pair[1]),
            "{scores:?}"
        );
        for (score, yes) in scores.iter().zip(&said) {
            assert_eq!(*score > 0.0, *yes);
        }
        assert_eq!(share(&said), Some(0.5));
    }
}
