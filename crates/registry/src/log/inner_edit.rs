//! What was done below a model's head, as the log keeps it.

use serde::{Deserialize, Serialize};
use umig::ModelId;

/// How deep an edit went, and what it was made from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct InnerEdit {
    /// What the edit was made from.
    pub basis: Basis,
    /// The weight below the head that was edited; nothing where only the head was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<String>,
    /// The model that never knew the forget data, whose answers the edited model takes over; nothing
    /// where the graph has none, and the model's own answers with the forgotten classes left out were
    /// taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<ModelId>,
    /// The ridge that was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ridge: Option<f64>,
    /// What every ridge that was tried came to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trials: Vec<InnerTrial>,
    /// The steps that were taken over the network's last stage; nothing where the edit of the one layer
    /// separated the forgotten classes little enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refined: Option<RefinedStage>,
    /// Why the edit stayed with one layer, where it leaves the forgotten classes nearly as telling as before and
    /// steps over the last stage were tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub one_layer_only: Option<String>,
    /// Why only the head was edited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs_only: Option<String>,
}

/// A network's last stage, trained for a few steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RefinedStage {
    /// The weight of Fisher's criterion beside the distance to what a model that never knew the forget data would
    /// write.
    pub weight: f64,
    /// Steps of training.
    pub steps: usize,
    /// How far the features separate the forgotten classes from the rest (Fisher's criterion), on samples that the
    /// edit was not computed from: before, after the edit of one layer, and now.
    pub separation: [f64; 3],
    /// The same one layer further down; nothing where the stage has no weights there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inner: Option<RefinedInner>,
    /// The tensors that were trained.
    pub tensors: Vec<String>,
}

/// What training the last stage did to what enters the penultimate layer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RefinedInner {
    /// The weight of Fisher's criterion there.
    pub weight: f64,
    /// How far what enters the layer separates the forgotten classes: before, and now.
    pub separation: [f64; 2],
}

/// What an edit below the head was made from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// Forget samples that the model itself was trained on.
    Own,
    /// Forget samples that the initial models which reach it were trained on: it has too few itself.
    Initial,
    /// No samples of the forgotten classes: what the model's FIM card keeps of their activations.
    Card,
    /// Nothing: only the head was edited.
    #[default]
    None,
}

/// One strength that was tried, on samples that the edit was not computed from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct InnerTrial {
    /// The ridge: the larger, the weaker.
    pub ridge: f64,
    /// The mean divergence of the outputs on forget samples from the reference's, in nats
    /// (Kullback-Leibler, from the reference), over the retained labels.
    pub divergence: f64,
    /// The accuracy on forget samples, 0 to 1.
    pub forget: f64,
    /// The accuracy on retained samples, 0 to 1.
    pub retain: f64,
}
