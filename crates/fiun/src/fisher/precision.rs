//! How sure a FIM from a subset of the data is.

use serde::{Deserialize, Serialize};

use crate::error::{FisherError, expect_len};
use crate::fisher::head::{HeadFisher, LayerFisher, Power, Samples, Sums};
use crate::kernel::matrix::MatrixRef;

/// Standard errors on either side within which a decision counts as open.
const SURE: f64 = 2.0;

/// How sure a FIM is that was estimated from a subset of the data.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Precision {
    /// Samples used.
    pub samples: u64,
    /// Samples that there are.
    pub population: u64,
    /// The standard error of an entry of the total FIM, relative to the entry: the sum of all
    /// standard errors over the sum of all entries.
    pub standard_error: f64,
    /// The threshold of the decisions below.
    pub alpha: f64,
    /// The share of selection decisions `F_c > alpha * F` (over every class `c` of the data and
    /// every parameter of the head) whose two sides are less than two standard errors apart.
    pub open: f64,
}

/// The precision of a head's FIM that was estimated from some of the data; `population` is the
/// number of samples of each class in all of it. Used samples are taken as drawn at random within
/// their class, without putting back: where all are used, nothing is open.
///
/// The variance of a class's mean of `n` out of `N` squares is `(E[g⁴] - E[g²]²) / (n - 1) * (1 - n/N)`;
/// the fourth powers are one more matrix product.
///
/// # Errors
/// As [`head_fisher`](crate::head_fisher), or [`FisherError::Shape`] when `population` has another
/// number of classes.
pub fn head_precision(
    features: MatrixRef<'_>,
    residuals: MatrixRef<'_>,
    labels: &[u32],
    fisher: &HeadFisher,
    population: &[u64],
    alpha: f64,
) -> Result<Precision, FisherError> {
    expect_len("the class sizes", population.len(), fisher.counts.len())?;
    let samples = Samples::new(features, residuals, labels, fisher.counts.len())?;
    let all: u64 = population.iter().sum();
    let parameters = fisher.total.weight.len() + fisher.total.bias.len();
    // The variance of every class's mean; of the total, each weighted by the class's share.
    let mut variances: Vec<Vec<f64>> = Vec::with_capacity(population.len());
    let mut of_total = vec![0.0f64; parameters];
    let of_class = |class: usize, sums: &Sums| {
        let (n, size) = (fisher.counts[class] as f64, population[class] as f64);
        let entries = entries(&fisher.per_class[class]);
        let fourth = sums.weight.iter().chain(&sums.bias);
        let missing = (1.0 - n / size.max(1.0)).max(0.0);
        Ok(entries
            .zip(fourth)
            .map(|(square, fourth)| match n {
                // One sample says nothing about its like: an error as large as itself.
                n if n < 2.0 => missing * square * square,
                n => missing * (fourth / n - square * square).max(0.0) / (n - 1.0),
            })
            .collect::<Vec<f64>>())
    };
    samples.powers(Power::Fourth, &of_class, &mut |_, variance: Vec<f64>| {
        let share = population[variances.len()] as f64 / all.max(1) as f64;
        for (sum, v) in of_total.iter_mut().zip(&variance) {
            *sum += share * share * v;
        }
        variances.push(variance);
    })?;
    let (open, decisions) = open_decisions(fisher, &variances, &of_total, population, alpha);
    let errors: f64 = of_total.iter().map(|v| v.sqrt()).sum();
    let sum = fisher.total.weight.sum() + fisher.total.bias.sum();
    Ok(Precision {
        samples: fisher.counts.iter().sum(),
        population: all,
        standard_error: if sum > 0.0 { errors / sum } else { 0.0 },
        alpha,
        open: open as f64 / decisions.max(1) as f64,
    })
}

/// How many decisions of selection are open, among how many.
fn open_decisions(
    fisher: &HeadFisher,
    variances: &[Vec<f64>],
    of_total: &[f64],
    population: &[u64],
    alpha: f64,
) -> (u64, u64) {
    let all: u64 = population.iter().sum();
    let (mut open, mut decisions) = (0u64, 0u64);
    for (class, variance) in variances.iter().enumerate() {
        if fisher.counts[class] == 0 {
            continue;
        }
        decisions += of_total.len() as u64;
        let share = population[class] as f64 / all.max(1) as f64;
        let sides = entries(&fisher.per_class[class]).zip(entries(&fisher.total));
        for (((own, total), v), t) in sides.zip(variance).zip(of_total) {
            // The class is itself part of the total.
            let others = (t - share * share * v).max(0.0);
            let spread = (1.0 - alpha * share).powi(2) * v + alpha * alpha * others;
            open += u64::from((own - alpha * total).abs() < SURE * spread.sqrt());
        }
    }
    (open, decisions)
}

fn entries(fisher: &LayerFisher) -> impl Iterator<Item = f64> + '_ {
    fisher.weight.entries().chain(fisher.bias.entries())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::fisher::estimator::Estimator;
    use crate::fisher::head::head_fisher;
    use crate::kernel::matrix::Matrix;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    struct Cloud {
        features: Matrix,
        residuals: Matrix,
        labels: Vec<u32>,
    }

    fn cloud(samples: usize) -> Cloud {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let labels: Vec<u32> = (0..samples).map(|n| (n % 3) as u32).collect();
        let mut draw = |n: usize| -> Vec<f32> { (0..n).map(|_| rng.random::<f32>()).collect() };
        let features = Matrix::new(samples, 8, draw(samples * 8)).unwrap();
        let residuals = Matrix::new(samples, 3, draw(samples * 3)).unwrap();
        Cloud {
            features,
            residuals,
            labels,
        }
    }

    fn of_first(cloud: &Cloud, n: usize) -> (HeadFisher, Precision) {
        let rows: Vec<usize> = (0..n).collect();
        let (h, r) = (
            cloud.features.select_rows(&rows),
            cloud.residuals.select_rows(&rows),
        );
        let labels = &cloud.labels[..n];
        let fisher = head_fisher(h.view(), r.view(), labels, 3, Estimator::Empirical).unwrap();
        let size = cloud.labels.len() as u64 / 3;
        let precision =
            head_precision(h.view(), r.view(), labels, &fisher, &[size; 3], 1.1).unwrap();
        (fisher, precision)
    }

    #[test]
    fn the_error_shrinks_and_vanishes_with_all_samples() {
        let cloud = cloud(3000);
        let (whole, all) = of_first(&cloud, 3000);
        assert_eq!((all.open, all.standard_error), (0.0, 0.0));
        let (part, few) = of_first(&cloud, 300);
        let (_, more) = of_first(&cloud, 1200);
        assert!(few.standard_error > 1.5 * more.standard_error);
        assert!(few.open >= more.open && few.open > 0.0);
        // The error that was announced is the error that was made, within a factor of two.
        let made: f64 = part
            .total
            .weight
            .entries()
            .zip(whole.total.weight.entries())
            .map(|(a, b)| (a - b).abs())
            .sum();
        // The mean of |error| is sqrt(2/pi) of the standard error.
        let relative = made / whole.total.weight.sum() / 0.8;
        let ratio = relative / few.standard_error;
        assert!((0.5..2.0).contains(&ratio), "{ratio}");
        assert_eq!((few.samples, few.population), (300, 3000));
    }
}
