//! How Fisher information is computed, and what goes into a card.

use bytesize::ByteSize;
use clap::Args;
use disinherit::Layers;
use disinherit::cards::FisherOptions;
use disinherit::fiun::Estimator;

use super::values::precision;

#[derive(Debug, Args, Clone)]
pub(crate) struct EstimatorArgs {
    /// `empirical` (the mean of squared per-sample gradients), `true[:SEED]` (the same with labels
    /// drawn from the model's own prediction) or `batch:N` (squared gradients of batch means, as
    /// public SSD-style code computes them).
    #[arg(long, default_value = "empirical")]
    pub(crate) estimator: Estimator,
    /// Use at most this many of a model's own training samples.
    #[arg(long, value_name = "N")]
    pub(crate) max_samples: Option<usize>,
    /// Use as many samples as leave at most this share of selection decisions open; `auto` for
    /// 0.001.
    #[arg(long, value_name = "SHARE", value_parser = precision)]
    pub(crate) precision: Option<f64>,
    /// The memory that the Fisher information of inner layers may use, such as 2GiB.
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory: Option<ByteSize>,
}

impl EstimatorArgs {
    /// The options as the engine takes them.
    pub(crate) fn options(&self, layers: &Layers) -> FisherOptions {
        FisherOptions {
            estimator: self.estimator,
            layers: layers.clone(),
            samples: self.max_samples,
            precision: self.precision,
            memory: self.memory.map(|size| size.as_u64()),
            seed: 0,
            ..FisherOptions::default()
        }
    }
}

#[derive(Debug, Args, Clone)]
pub(crate) struct CardArgs {
    /// The layers whose Fisher information the card keeps: head, all, or patterns of tensor names
    /// with commas between them. The head is always there.
    #[arg(long, default_value = "head", value_name = "WHICH")]
    pub(crate) layers: Layers,
    #[command(flatten)]
    pub(crate) estimator: EstimatorArgs,
    /// Keep no activation statistics (the mean and the main directions of what the last block reads, of
    /// each class): without them, forgetting to the features needs data.
    #[arg(long)]
    pub(crate) no_activations: bool,
}

impl CardArgs {
    /// The options as the engine takes them.
    pub(crate) fn options(&self) -> FisherOptions {
        FisherOptions {
            activations: !self.no_activations,
            ..self.estimator.options(&self.layers)
        }
    }
}
