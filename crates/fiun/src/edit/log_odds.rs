//! The certainty of a prediction as log-odds, which tell samples apart where probabilities are rounded.

use crate::kernel::matrix::MatrixRef;

/// The log-odds of a row of the head: its logit less the logarithm of the summed exponentials of the
/// others, in nats. Nothing where there is no such row, or no other.
pub fn log_odds(logits: &[f32], row: usize) -> Option<f64> {
    let own = f64::from(*logits.get(row)?);
    let others = || {
        let rest = logits.iter().enumerate().filter(|(at, _)| *at != row);
        rest.map(|(_, value)| f64::from(*value))
    };
    let top = others().reduce(f64::max)?;
    let sum: f64 = others().map(|value| (value - top).exp()).sum();
    Some(own - top - sum.ln())
}

/// The log-odds of the mean probability that several readings of every sample give to its row, as of an
/// image that is shifted a little: each an array of logits, `[samples, rows of the head]`. Nothing where
/// a row is missing, or there is no reading.
pub fn mean_log_odds(readings: &[MatrixRef<'_>], rows: &[u32]) -> Option<Vec<f64>> {
    let count = readings.len() as f64;
    let of = |(sample, row): (usize, &u32)| {
        let (mut own, mut others) = (0.0, 0.0);
        for reading in readings {
            let odds = log_odds(reading.row(sample), *row as usize)?;
            own += logistic(odds) / count;
            others += logistic(-odds) / count;
        }
        let smallest = f64::MIN_POSITIVE;
        (count > 0.0).then(|| own.max(smallest).ln() - others.max(smallest).ln())
    };
    rows.iter().enumerate().map(of).collect()
}

fn logistic(odds: f64) -> f64 {
    1.0 / (1.0 + (-odds).exp())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::kernel::matrix::Matrix;

    #[test]
    fn certainty_keeps_its_order() {
        // Even odds against two equal others.
        let odds = log_odds(&[2f32.ln(), 0.0, 0.0], 0).unwrap();
        assert!(odds.abs() < 1e-6, "{odds}");
        // Where the probability is 0 in every precision, order is kept.
        let low = [-3000.0, -2999.0].map(|own| log_odds(&[own, 0.0, 1.0], 0).unwrap());
        assert!(low[1] - low[0] > 0.99, "{low:?}");
        assert_eq!(log_odds(&[1.0], 0), None);
        assert_eq!(log_odds(&[1.0, 2.0], 2), None);
    }

    #[test]
    fn readings_are_averaged_as_probabilities() {
        let reading = |odds: f32| Matrix::new(1, 2, vec![odds, 0.0]).unwrap();
        let (sure, doubtful) = (reading(3f32.ln()), reading(0.0));
        // 3/4 and 1/2 make 5/8: odds of 5 to 3.
        let found = mean_log_odds(&[sure.view(), doubtful.view()], &[0]).unwrap();
        assert!((found[0] - (5f64 / 3.0).ln()).abs() < 1e-6, "{found:?}");
        assert_eq!(mean_log_odds(&[], &[0]), None);
        assert_eq!(mean_log_odds(&[sure.view()], &[2]), None);
    }
}
