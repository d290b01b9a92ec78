//! Quantities that are measured more than once.

use serde::{Deserialize, Serialize};

/// A quantity that was measured once or several times: with other seeds, in another order, on other
/// models.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The mean of the measurements.
    pub mean: f64,
    /// Their standard deviation (over n - 1); 0 where there is one only.
    pub deviation: f64,
    /// How many there are.
    pub count: usize,
}

impl Estimate {
    /// The estimate from measurements; nothing from none, or where one of them is no number.
    pub fn new(values: &[f64]) -> Option<Self> {
        if values.is_empty() || !values.iter().all(|value| value.is_finite()) {
            return None;
        }
        let count = values.len();
        let mean = values.iter().sum::<f64>() / count as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = match count {
            1 => 0.0,
            _ => (squares / (count - 1) as f64).sqrt(),
        };
        Some(Self {
            mean,
            deviation,
            count,
        })
    }

    /// The standard error of the mean; 0 where there is one measurement only, which says nothing
    /// about its error.
    pub fn standard_error(&self) -> f64 {
        self.deviation / (self.count.max(1) as f64).sqrt()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SINGLE: Estimate = Estimate {
        mean: 0.5,
        deviation: 0.0,
        count: 1,
    };

    #[test]
    fn mean_and_spread() {
        let of_three = Estimate::new(&[1.0, 2.0, 3.0]).unwrap();
        assert_eq!((of_three.mean, of_three.deviation), (2.0, 1.0));
        assert!((of_three.standard_error() - 1.0 / 3f64.sqrt()).abs() < 1e-12);
        assert_eq!(Estimate::new(&[0.5]), Some(SINGLE));
        assert_eq!(SINGLE.standard_error(), 0.0);
        assert_eq!(Estimate::new(&[]), None);
        assert_eq!(Estimate::new(&[1.0, f64::NAN]), None);
    }
}
