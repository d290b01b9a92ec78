//! Computing a card: one pass over a model's own training data.

use std::collections::BTreeMap;
use std::sync::Arc;

use disinherit_data::DataSet;
use disinherit_nets::{Capture, InnerJob, inner_fisher};
use disinherit_registry::{CardSource, FisherCard, Registry};
use fiun::{
    DATA_FREE_ALPHA, Estimator, FisherTensor, HeadFisher, LayerFisher, Matrix, Precision,
    head_fisher, head_precision, residuals,
};

use crate::cards::options::FisherOptions;
use crate::error::{EngineError, Hint};
use crate::features::Features;
use crate::layers::{Selected, only_head};
use crate::model::{LoadedModel, now};
use crate::progress::{Progress, Silent, Stage};
use crate::runner::{Runner, runner_of};

/// Samples that the search for a sufficient subset starts with.
const FIRST: usize = 512;

/// FIMs by the full name of the tensor.
pub(crate) type Tensors = BTreeMap<String, FisherTensor>;

/// What a pass over data gives.
struct Pass {
    /// The head's input.
    features: Arc<Matrix>,
    /// Its output.
    logits: Matrix,
    /// The FIM of the selected inner layers.
    inner: Tensors,
}

/// What a card is made of.
struct Estimate {
    set: DataSet,
    fisher: HeadFisher,
    precision: Option<Precision>,
    inner: Tensors,
}

/// Computes cards.
pub(crate) struct CardMaker<'a> {
    pub(crate) registry: &'a Registry,
    pub(crate) options: &'a FisherOptions,
    pub(crate) features: &'a Features<'a>,
    pub(crate) progress: &'a dyn Progress,
}

impl CardMaker<'_> {
    /// The card of a model on its own data.
    pub(crate) fn make(
        &self,
        model: &LoadedModel,
        own: &DataSet,
    ) -> Result<FisherCard, EngineError> {
        let selected = self
            .options
            .layers
            .select(model, self.features.runner(), &[])?;
        let Estimate {
            set,
            fisher,
            precision,
            inner,
        } = match self.options.precision {
            Some(open) => self.until_precise(model, own, open, &selected)?,
            None => self.of_subset(model, own, &selected)?,
        };
        let source = CardSource {
            model: model.digest,
            data: set.digest().to_string(),
            head: model.manifest.head.clone(),
            outputs: model.manifest.labels.clone(),
            classes: set.label_names().to_vec(),
            precision,
            time: now(),
        };
        Ok(FisherCard::new(source, fisher, inner)?)
    }

    /// The head's FIM of a data set in total, and that of the selected inner layers.
    pub(crate) fn total(
        &self,
        model: &LoadedModel,
        set: &DataSet,
        selected: &Selected,
    ) -> Result<(LayerFisher, Tensors), EngineError> {
        let pass = self.pass(model, set, selected)?;
        let (fisher, _) = self.head(model, set, &pass.features, &pass.logits)?;
        Ok((fisher.total, pass.inner))
    }

    /// Features and logits, and the FIM of inner layers where it is wanted: then one pass gives
    /// both, else features may come from the cache.
    fn pass(
        &self,
        model: &LoadedModel,
        set: &DataSet,
        selected: &Selected,
    ) -> Result<Pass, EngineError> {
        if selected.inner.is_empty() {
            let features = self.features.of(model, set, self.progress)?;
            let logits = self.features.logits(model, &features)?;
            return Ok(Pass {
                features,
                logits,
                inner: Tensors::new(),
            });
        }
        let stage = self
            .progress
            .stage(&format!("FIM of {}", model.id()), set.len() as u64);
        if let Some(runner) = runner_of(self.features.runner(), set)? {
            return self.pass_external(runner, model, set, selected, stage.as_ref());
        }
        if model.is_head_only() {
            return Err(only_head(&self.options.layers, model));
        }
        let wanted = |name: &str| selected.inner.iter().any(|known| known == name);
        let job = InnerJob {
            architecture: &model.architecture,
            state: &model.state(self.registry)?,
            set,
            rows: &model.rows(set)?,
            preprocessing: &model.preprocessing,
            estimator: self.options.estimator,
            wanted: &wanted,
            memory: self.options.memory,
        };
        let inner = inner_fisher(&job, &mut |n| stage.advance(n as u64))
            .map_err(EngineError::net(model.id()))?;
        Ok(Pass {
            features: Arc::new(inner.capture.features),
            logits: inner.capture.logits,
            inner: inner.tensors,
        })
    }

    /// The same of external samples.
    fn pass_external(
        &self,
        runner: &dyn Runner,
        model: &LoadedModel,
        set: &DataSet,
        selected: &Selected,
        stage: &dyn Stage,
    ) -> Result<Pass, EngineError> {
        if let Estimator::Batch { .. } = self.options.estimator {
            return Err(EngineError::Unsupported {
                reason: "the batch estimator of inner layers is for networks that run here".into(),
                hint: Some(Hint::UseSampleEstimator),
            });
        }
        let weights = model.state(self.registry)?;
        let Capture { features, logits } = runner.capture(model, &weights, set, &Silent)?;
        let residuals = residuals(logits.view(), &model.rows(set)?, self.options.estimator)
            .map_err(EngineError::fisher(model.id(), &model.manifest.head))?;
        let inner =
            runner.inner_fisher(model, &weights, set, &residuals, &selected.inner, stage)?;
        Ok(Pass {
            features: Arc::new(features),
            logits,
            inner,
        })
    }

    /// The head's FIM, and the residuals that it was made from.
    fn head(
        &self,
        model: &LoadedModel,
        set: &DataSet,
        features: &Matrix,
        logits: &Matrix,
    ) -> Result<(HeadFisher, Matrix), EngineError> {
        let wrap = |error| EngineError::fisher(model.id(), &model.manifest.head)(error);
        let estimator = self.options.estimator;
        let residuals = residuals(logits.view(), &model.rows(set)?, estimator).map_err(wrap)?;
        let fisher = head_fisher(
            features.view(),
            residuals.view(),
            set.labels(),
            set.label_names().len(),
            estimator,
        )
        .map_err(wrap)?;
        Ok((fisher, residuals))
    }

    /// All of the data, or as much of it as the options allow.
    fn of_subset(
        &self,
        model: &LoadedModel,
        own: &DataSet,
        selected: &Selected,
    ) -> Result<Estimate, EngineError> {
        let set = self.options.subset(own);
        let pass = self.pass(model, &set, selected)?;
        let (fisher, residuals) = self.head(model, &set, &pass.features, &pass.logits)?;
        let per_sample = !matches!(self.options.estimator, Estimator::Batch { .. });
        let precision = (set.len() < own.len() && per_sample)
            .then(|| {
                head_precision(
                    pass.features.view(),
                    residuals.view(),
                    set.labels(),
                    &fisher,
                    &own.counts(),
                    DATA_FREE_ALPHA,
                )
            })
            .transpose()
            .map_err(EngineError::fisher(model.id(), &model.manifest.head))?;
        Ok(Estimate {
            set,
            fisher,
            precision,
            inner: pass.inner,
        })
    }

    /// Doubles the number of samples until few enough decisions are open, or all are used.
    fn until_precise(
        &self,
        model: &LoadedModel,
        own: &DataSet,
        open: f64,
        selected: &Selected,
    ) -> Result<Estimate, EngineError> {
        if let Estimator::Batch { .. } = self.options.estimator {
            return Err(EngineError::Unsupported {
                reason: "precision is that of per-sample estimates, the batch estimator has none"
                    .into(),
                hint: Some(Hint::BoundSamples),
            });
        }
        let most = own.len().min(self.options.samples.unwrap_or(usize::MAX));
        let order = own.deal(self.options.seed);
        let (mut features, mut logits) = (Vec::new(), Vec::new());
        let (mut done, mut next) = (0, FIRST.min(most));
        loop {
            let new = own.select(&order[done..next]);
            let captured = self.features.capture(model, &new, self.progress)?;
            features.extend(captured.features.into_values());
            logits.extend(captured.logits.into_values());
            done = next;
            let set = own.select(&order[..done]);
            let matrix = |values: &[f32]| {
                Matrix::new(done, values.len() / done.max(1), values.to_vec())
                    .map_err(EngineError::fisher(model.id(), &model.manifest.head))
            };
            let (h, z) = (matrix(&features)?, matrix(&logits)?);
            let (fisher, residuals) = self.head(model, &set, &h, &z)?;
            let precision = head_precision(
                h.view(),
                residuals.view(),
                set.labels(),
                &fisher,
                &own.counts(),
                DATA_FREE_ALPHA,
            )
            .map_err(EngineError::fisher(model.id(), &model.manifest.head))?;
            if precision.open <= open || done == most {
                let inner = if selected.inner.is_empty() {
                    Tensors::new()
                } else {
                    self.pass(model, &set, selected)?.inner
                };
                return Ok(Estimate {
                    set,
                    fisher,
                    precision: Some(precision),
                    inner,
                });
            }
            next = (done * 2).min(most);
        }
    }
}
