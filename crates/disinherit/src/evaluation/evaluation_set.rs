//! The samples that a model is judged on, and what it says about them.

use std::collections::BTreeMap;

use disinherit_data::DataSet;
use disinherit_nets::Capture;
use umig::Model;

use super::distance::{self, Distance};
use super::scores::{Accuracy, Scores};
use crate::error::EngineError;
use crate::model::LoadedModel;

/// Samples of labels that a model has an output for.
pub struct EvalSplit {
    pub(super) set: DataSet,
    /// The head row of each sample.
    pub(super) rows: Vec<Option<u32>>,
    /// Those to be forgotten.
    pub(super) forget: Vec<usize>,
    /// The others.
    pub(super) retain: Vec<usize>,
}

impl EvalSplit {
    pub(super) fn new(model: &LoadedModel, set: &DataSet, mask: &[bool]) -> Self {
        Self::with_rows_of(model, model, set, mask)
    }

    /// The samples of labels that `model` has an output for, with the rows that they have in the head
    /// of `other`.
    pub(super) fn with_rows_of(
        other: &LoadedModel,
        model: &LoadedModel,
        set: &DataSet,
        mask: &[bool],
    ) -> Self {
        let names = set.label_names();
        let has: Vec<bool> = names
            .iter()
            .map(|name| model.manifest.labels.contains(name))
            .collect();
        let row_of: Vec<Option<u32>> = names
            .iter()
            .map(|name| {
                let mut labels = other.manifest.labels.iter();
                labels.position(|l| l == name).map(|row| row as u32)
            })
            .collect();
        let known: Vec<usize> = (0..set.len())
            .filter(|&at| has[set.labels()[at] as usize])
            .collect();
        let set_known = set.select(&known);
        let places = |wanted: bool| {
            (0..known.len())
                .filter(|&at| mask[known[at]] == wanted)
                .collect()
        };
        Self {
            rows: set_known
                .labels()
                .iter()
                .map(|label| row_of[*label as usize])
                .collect(),
            forget: places(true),
            retain: places(false),
            set: set_known,
        }
    }

    pub(super) fn accuracy(&self, said: &[u32], picked: &[usize]) -> Option<f64> {
        let right = picked.iter().filter(|&&at| Some(said[at]) == self.rows[at]);
        (!picked.is_empty()).then(|| right.count() as f64 / picked.len() as f64)
    }
}

/// One model's samples.
pub struct EvaluationSet {
    /// The model.
    pub model: LoadedModel,
    /// The version whose training says which samples are its own.
    pub(super) provenance: Model,
    /// Its own training data.
    pub(super) own: EvalSplit,
    /// Held-out data.
    pub(super) heldout: EvalSplit,
    /// What a fresh network says about the forget data, own or held out.
    pub(super) fresh: fiun::Matrix,
}

/// What one version of a model says about its set.
pub struct Observation {
    pub(super) own: Capture,
    pub(super) heldout: Capture,
}

impl Observation {
    /// Keeps the logits only.
    ///
    /// # Errors
    /// [`EngineError::Internal`].
    pub fn forget_features(&mut self) -> Result<(), EngineError> {
        for captured in [&mut self.own, &mut self.heldout] {
            captured.features = fiun::Matrix::new(0, 0, Vec::new())
                .map_err(|e| EngineError::Internal(e.to_string()))?;
        }
        Ok(())
    }
}

impl EvaluationSet {
    /// The part whose forget data outputs are compared on: the own one where there is some.
    pub(super) fn judged(&self) -> &EvalSplit {
        if self.own.forget.is_empty() {
            &self.heldout
        } else {
            &self.own
        }
    }

    pub(super) fn judged_logits<'a>(&self, seen: &'a Observation) -> &'a fiun::Matrix {
        if self.own.forget.is_empty() {
            &seen.heldout.logits
        } else {
            &seen.own.logits
        }
    }

    pub(super) fn scores(&self, seen: &Observation) -> Scores {
        let (own, heldout) = (&self.own, &self.heldout);
        let (own_said, heldout_said) = (seen.own.predictions(), seen.heldout.predictions());
        Scores {
            forget: Accuracy {
                train: own.accuracy(&own_said, &own.forget),
                heldout: heldout.accuracy(&heldout_said, &heldout.forget),
            },
            retain: Accuracy {
                train: own.accuracy(&own_said, &own.retain),
                heldout: heldout.accuracy(&heldout_said, &heldout.retain),
            },
        }
    }

    /// What forget samples are taken for, shares by label: held-out ones, or where there are none,
    /// those that the model was trained on.
    pub(super) fn drift(&self, seen: &Observation) -> BTreeMap<String, f64> {
        let (said, forget) = if self.heldout.forget.is_empty() {
            (seen.own.predictions(), &self.own.forget)
        } else {
            (seen.heldout.predictions(), &self.heldout.forget)
        };
        let mut shares = BTreeMap::new();
        for &at in forget {
            if let Some(label) = self.model.manifest.labels.get(said[at] as usize) {
                *shares.entry(label.clone()).or_default() += 1.0 / forget.len() as f64;
            }
        }
        shares
    }

    pub(super) fn distance(&self, seen: &Observation, reference: &Observation) -> Option<Distance> {
        let forget = &self.judged().forget;
        let (forget_divergence, forget_activation) = distance::between(
            (self.judged_logits(seen), forget),
            (self.judged_logits(reference), forget),
        )?;
        let retain = &self.heldout.retain;
        let (retain_divergence, retain_activation) = distance::between(
            (&seen.heldout.logits, retain),
            (&reference.heldout.logits, retain),
        )?;
        Some(Distance {
            forget_divergence,
            forget_activation,
            retain_divergence,
            retain_activation,
        })
    }

    pub(super) fn zero_retrain_forgetting(&self, seen: &Observation) -> Option<f64> {
        let forget = &self.judged().forget;
        let all: Vec<usize> = (0..self.fresh.rows()).collect();
        let (divergence, _) =
            distance::between((self.judged_logits(seen), forget), (&self.fresh, &all))?;
        Some(1.0 - divergence)
    }
}

/// The label row that each sample is taken for: that of its largest logit.
pub(super) fn predictions(logits: &fiun::Matrix) -> Vec<u32> {
    (0..logits.rows())
        .map(|sample| fiun::argmax(logits.view().row(sample)) as u32)
        .collect()
}
