//! What weights in a model's network say of samples.

use disinherit_data::DataSet;
use disinherit_nets::{Capture, Network, StateDict, capture};
use fiun::{Matrix, log_odds};

use super::material::Part;
use crate::error::EngineError;
use crate::model::LoadedModel;
use crate::work::Work;

/// Runs one model's network with weights that are tried.
pub(super) struct Observer<'a> {
    pub(super) work: &'a Work<'a>,
    pub(super) model: &'a LoadedModel,
}

impl Observer<'_> {
    /// Features and logits.
    pub(super) fn capture(&self, state: &StateDict, set: &DataSet) -> Result<Capture, EngineError> {
        let net = || EngineError::net(self.model.id());
        let network = Network::new(&self.model.architecture, state, self.work.compute());
        let network = network.map_err(net())?;
        capture(&network, set, &self.model.preprocessing, &mut |_| {}).map_err(net())
    }

    /// The log-odds of every sample's label.
    pub(super) fn odds(&self, state: &StateDict, part: &Part) -> Result<Vec<f64>, EngineError> {
        self.of_logits(&self.capture(state, &part.set)?.logits, &part.rows)
    }

    /// Those of several parts, one after the other.
    pub(super) fn odds_of_all(
        &self,
        state: &StateDict,
        parts: &[Part],
    ) -> Result<Vec<f64>, EngineError> {
        let mut all = Vec::new();
        for part in parts {
            all.extend(self.odds(state, part)?);
        }
        Ok(all)
    }

    pub(super) fn of_logits(&self, logits: &Matrix, rows: &[u32]) -> Result<Vec<f64>, EngineError> {
        let odds = rows.iter().enumerate();
        let odds = odds.map(|(at, row)| log_odds(logits.view().row(at), *row as usize));
        odds.collect::<Option<_>>().ok_or_else(|| self.one_label())
    }

    /// A head with one row is always certain.
    pub(super) fn one_label(&self) -> EngineError {
        EngineError::NotRunnable {
            model: self.model.id().clone(),
            reason: "its head has a single label, so it is certain of every sample".into(),
        }
    }
}
