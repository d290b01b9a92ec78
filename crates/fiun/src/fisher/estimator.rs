//! Which quantity a FIM is.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Which quantity a FIM is. Two FIMs of different estimators must never be compared in silence.
///
/// In text: `empirical`, `batch:64`, `true:0`.
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
    /// As [`Estimator::Empirical`], with labels drawn from the model's own prediction: an unbiased
    /// estimate of the Fisher information proper, which does not depend on the data's labels.
    True {
        /// Decides the draws.
        seed: u64,
    },
}

impl fmt::Display for Estimator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empirical => f.write_str("empirical"),
            Self::Batch { size } => write!(f, "batch:{size}"),
            Self::True { seed } => write!(f, "true:{seed}"),
        }
    }
}

impl FromStr for Estimator {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, number) = match text.split_once(':') {
            None => (text, None),
            Some((name, number)) => (name, number.parse::<u64>().ok()),
        };
        match (name, number) {
            ("empirical", None) if name == text => Ok(Self::Empirical),
            ("batch", Some(size)) if size > 0 => usize::try_from(size)
                .map(|size| Self::Batch { size })
                .map_err(|error| error.to_string()),
            ("true", None) if name == text => Ok(Self::True { seed: 0 }),
            ("true", Some(seed)) => Ok(Self::True { seed }),
            _ => Err(format!(
                "`{text}` is no estimator: `empirical`, `batch:N` or `true[:SEED]`"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for estimator in [
            Estimator::Empirical,
            Estimator::Batch { size: 64 },
            Estimator::True { seed: 7 },
        ] {
            assert_eq!(estimator.to_string().parse(), Ok(estimator));
        }
        assert_eq!("true".parse(), Ok(Estimator::True { seed: 0 }));
        for bad in [
            "",
            "batch",
            "batch:0",
            "batch:x",
            "empirical:1",
            "true:x",
            "fisher",
        ] {
            assert!(bad.parse::<Estimator>().is_err(), "{bad}");
        }
    }
}
