//! What a recipe's demonstration forgets.

use disinherit_data::DataSet;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use umig::Forget;

use crate::error::LabError;

/// What a demonstration forgets: one of classes, samples and a source.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForgetRecipe {
    /// Label names.
    #[serde(default)]
    pub classes: Vec<String>,
    /// Some samples that the initial models were trained on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<SampleChoice>,
    /// A source: `client-N`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The initial models, by name; found by provenance when empty.
    #[serde(default)]
    pub from: Vec<String>,
}

/// How many samples are drawn, by the recipe's seed: `{ share = 0.01 }` or `{ count = 12 }`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SampleChoice {
    /// A share, above 0 and below 1, rounded to at least one sample.
    Share {
        /// The share.
        share: f64,
    },
    /// So many.
    Count {
        /// How many, from 1.
        count: usize,
    },
}

impl SampleChoice {
    fn of(self, all: usize) -> usize {
        match self {
            Self::Share { share } => ((share * all as f64).round() as usize).max(1),
            Self::Count { count } => count,
        }
    }
}

impl ForgetRecipe {
    /// Checks that it names one kind of thing.
    ///
    /// # Errors
    /// [`LabError::Recipe`].
    pub(crate) fn check(&self) -> Result<(), LabError> {
        let named = [
            !self.classes.is_empty(),
            self.samples.is_some(),
            self.source.is_some(),
        ];
        let refuse = |reason: &str| Err(LabError::Recipe(reason.to_owned()));
        match named.into_iter().filter(|is| *is).count() {
            0 => return refuse("[forget] names no classes, no samples and no source"),
            1 => {}
            _ => return refuse("[forget] names several of classes, samples and a source"),
        }
        match self.samples {
            Some(SampleChoice::Share { share }) if !(share > 0.0 && share < 1.0) => {
                refuse("the share of samples in [forget] must be above 0 and below 1")
            }
            Some(SampleChoice::Count { count: 0 }) => {
                refuse("the count of samples in [forget] must be at least 1")
            }
            _ => Ok(()),
        }
    }

    /// What is forgotten. Samples are drawn from `own`, what the initial models were trained on.
    ///
    /// # Errors
    /// [`LabError::Recipe`] when all samples would be.
    pub(crate) fn resolve(&self, own: &DataSet, seed: u64) -> Result<Forget, LabError> {
        if let Some(source) = &self.source {
            return Ok(Forget::Source(source.clone()));
        }
        let Some(choice) = self.samples else {
            return Ok(Forget::classes(self.classes.iter().cloned()));
        };
        let count = choice.of(own.len());
        if count >= own.len() {
            return Err(LabError::Recipe(format!(
                "[forget] takes {count} samples, and the initial models were trained on {}",
                own.len()
            )));
        }
        let mut ids = own.ids().to_vec();
        ids.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        ids.truncate(count);
        Ok(Forget::Samples(ids.into_iter().collect()))
    }
}
