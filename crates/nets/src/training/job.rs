//! What a training starts from, and what it makes.

use std::collections::BTreeMap;

use disinherit_data::DataSet;
use serde::{Deserialize, Serialize};

use super::config::TrainingConfig;
use crate::architecture::description::Architecture;
use crate::array::StateDict;
use crate::compute::Compute;
use crate::preprocessing::Preprocessing;

/// What happened in one epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EpochReport {
    /// The epoch, from 1.
    pub epoch: usize,
    /// The mean training loss.
    pub loss: f64,
    /// The accuracy on the batches as they were trained on, 0 to 1.
    pub accuracy: f64,
}

/// What a training reports while it runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum TrainingEvent {
    /// So many samples were trained on.
    Samples(usize),
    /// An epoch is over.
    Epoch(EpochReport),
}

/// Everything a training starts from.
pub struct TrainingJob<'a> {
    /// The network.
    pub architecture: &'a Architecture,
    /// The weights to start from.
    pub state: &'a StateDict,
    /// The training data.
    pub set: &'a DataSet,
    /// The head row of each sample's label.
    pub rows: &'a [u32],
    /// How pixels become numbers.
    pub preprocessing: &'a Preprocessing,
    /// How to train.
    pub config: &'a TrainingConfig,
    /// Tensors that stay as they are, by full name.
    pub frozen: &'a dyn Fn(&str) -> bool,
    /// Where to compute.
    pub compute: Compute,
    /// Decides the order of samples, dropout and augmentation.
    pub seed: u64,
}

/// Everything a tuning starts from: as [`TrainingJob`], with an objective of one's own.
#[derive(Clone, Copy)]
pub struct TuningJob<'a> {
    /// The network.
    pub architecture: &'a Architecture,
    /// The weights to start from.
    pub state: &'a StateDict,
    /// How pixels become numbers.
    pub preprocessing: &'a Preprocessing,
    /// How to train; its epochs are not read, every phase has its own.
    pub config: &'a TrainingConfig,
    /// Tensors that stay as they are, by full name.
    pub frozen: &'a dyn Fn(&str) -> bool,
    /// For the tensors named here, which values may change: 1 may, 0 may not.
    pub masks: &'a BTreeMap<String, Vec<f32>>,
    /// Where to compute.
    pub compute: Compute,
    /// Decides the order of samples, dropout and augmentation.
    pub seed: u64,
}

/// A finished training.
#[derive(Debug, Clone)]
pub struct Trained {
    /// The new weights.
    pub state: StateDict,
    /// What happened, epoch by epoch.
    pub epochs: Vec<EpochReport>,
}
