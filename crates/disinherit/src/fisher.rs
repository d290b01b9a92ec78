//! FIM cards: computing and keeping them.

use data::DataSet;
use fiun::{Estimator, head_fisher};
use nets::{Capture, Compute, capture};
use serde_json::json;
use store::{CardRow, FisherCard, Operation, Publication, Registry};

use crate::{EngineError, LoadedModel, Progress, own_data};

/// How Fisher information is computed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FisherOptions {
    /// Which quantity it is.
    pub estimator: Estimator,
    /// Use at most this many of a model's own training samples.
    pub samples: Option<usize>,
    /// Decides which.
    pub seed: u64,
    /// Where the network runs.
    pub compute: Compute,
}

impl Default for FisherOptions {
    fn default() -> Self {
        Self {
            estimator: Estimator::Empirical,
            samples: None,
            seed: 0,
            compute: Compute::default(),
        }
    }
}

impl FisherOptions {
    /// The part of a set that is looked at.
    pub(crate) fn subset(&self, set: &DataSet) -> DataSet {
        match self.samples {
            Some(limit) => set.sample(limit, self.seed),
            None => set.clone(),
        }
    }
}

/// The card of a model from features and logits that are there already: no forward pass.
///
/// # Errors
/// [`EngineError`] when the data has labels that the model lacks, or the numbers are not finite.
pub fn make_card(
    model: &LoadedModel,
    set: &DataSet,
    captured: &Capture,
    estimator: Estimator,
) -> Result<FisherCard, EngineError> {
    let residuals = captured
        .residuals(&model.rows(set)?)
        .map_err(EngineError::net(model.id()))?;
    let fisher = head_fisher(
        captured.features.view(),
        residuals.view(),
        set.labels(),
        set.label_names().len(),
        estimator,
    )
    .map_err(EngineError::fisher(model.id(), &model.manifest.head))?;
    Ok(FisherCard {
        model: model.digest,
        data: set.digest(),
        head: model.manifest.head.clone(),
        outputs: model.manifest.labels.clone(),
        classes: set.label_names().to_vec(),
        fisher,
    })
}

/// Computes the cards of some models on their own training data and keeps them.
///
/// # Errors
/// [`EngineError`]; no card is kept then.
pub fn compute_card(
    registry: &Registry,
    models: &[LoadedModel],
    train: &DataSet,
    options: &FisherOptions,
    progress: &dyn Progress,
) -> Result<Vec<CardRow>, EngineError> {
    let mut rows = Vec::new();
    for model in models {
        let own = own_data(&model.vertex, train);
        if own.is_empty() {
            return Err(EngineError::NeedsData(format!(
                "`{}` was, by its provenance, trained on no sample of `{}`: give the data that it \
                 was trained on",
                model.id(),
                train.name()
            )));
        }
        let set = options.subset(&own);
        let stage = progress.stage(&format!("FIM of {}", model.id()), set.len() as u64);
        let network = model.network(registry, options.compute)?;
        let captured = capture(&network, &set, &model.preprocessing, &mut |done| {
            stage.advance(done as u64)
        })
        .map_err(EngineError::net(model.id()))?;
        let card = make_card(model, &set, &captured, options.estimator)?;
        rows.push(registry.put_card(&card)?);
    }
    let ids: Vec<String> = models.iter().map(|m| m.id().to_string()).collect();
    registry.publish(&Publication {
        models: Vec::new(),
        superseded: Vec::new(),
        cards: rows.clone(),
        operation: Operation {
            time: crate::now(),
            command: "fisher".into(),
            detail: json!({
                "models": ids,
                "estimator": FisherCard::estimator_name(options.estimator),
                "samples": options.samples,
            }),
        },
    })?;
    Ok(rows)
}
