//! What the caller knows of the models of a tree.

use disinherit_nets::{Kind, Preprocessing};
use umig::{SampleSet, Training};

use super::error::ImportError;
use crate::add::NewNetwork;

/// What holds for all models of a tree, and how parents are looked for.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// What is known of the networks; the rest is read from each model's files.
    pub network: NewNetwork,
    /// How pixels become numbers.
    pub preprocessing: Preprocessing,
    /// What the models were trained on.
    pub trained_on: Vec<TrainedOn>,
    /// Infer parents from weights for models without a card, and take proposals of at least this
    /// confidence (0 to 1); nothing to take parents from cards alone.
    pub infer_parents: Option<f64>,
}

impl ImportOptions {
    /// How a network of this family reads its samples.
    pub(super) fn preprocessing(&self, kind: Kind) -> Preprocessing {
        Preprocessing {
            // The other families have the length in their architecture.
            length: (kind == Kind::Head).then_some(self.network.length),
            ..self.preprocessing.clone()
        }
    }
}

/// One data set that models were trained on.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainedOn {
    /// The name of the data set.
    pub data: String,
    /// The labels that occurred in the training; all labels of the model when not given.
    pub labels: Option<Vec<String>>,
    /// The samples.
    pub samples: SampleSet,
    /// Who supplied the data.
    pub source: Option<String>,
}

impl TrainedOn {
    /// The provenance entry of a model with these label names.
    ///
    /// # Errors
    /// [`ImportError::TrainedLabel`] when a trained label is none of the model's.
    pub fn training(&self, labels: &[String]) -> Result<Training, ImportError> {
        let seen = self.labels.as_deref().unwrap_or(labels);
        if let Some(label) = seen.iter().find(|label| !labels.contains(label)) {
            return Err(ImportError::TrainedLabel(label.clone()));
        }
        let mut training = Training::new(&self.data, seen.iter().cloned());
        training.source.clone_from(&self.source);
        training.samples = self.samples.clone();
        Ok(training)
    }
}
