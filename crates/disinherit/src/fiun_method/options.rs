//! FIUn's options.

use fiun::Target;
use serde::{Deserialize, Serialize};

use crate::cards::FisherOptions;

/// How the selection threshold is found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Alpha {
    /// Per model: by trying values on cached features where there is data, by rule where not.
    Auto,
    /// The data-free rule, [`fiun::DATA_FREE_ALPHA`], for every model.
    Rule,
    /// This value for every model.
    Value(f64),
}

/// Whether FIMs are compared as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// Each divided by the mean of its own model's FIM, so that one alpha serves a network.
    Common,
    /// As they are, as in the paper.
    Raw,
}

/// How deep an edit goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EditDepth {
    /// The outputs: the layers that Fisher information selects parameters of.
    #[default]
    Outputs,
    /// The features too: the penultimate layer is taught what a model that never knew the forget data
    /// would write of it ([`fiun::RemapSums`]), where data allows it.
    Features,
}

/// How FIUn chooses, selects and dampens.
#[derive(Debug, Clone, PartialEq)]
pub struct FiunOptions {
    /// How the selection threshold is found.
    pub alpha: Alpha,
    /// The dampening constant; chosen together with alpha where alpha is searched, and otherwise 1,
    /// when not given.
    pub lambda: Option<f64>,
    /// Whether FIMs are compared as they are.
    pub scale: Scale,
    /// The divisor of a merged FIM (MFIM), at least 1.
    pub merge_scale: f64,
    /// The accuracy on the forget data that the choice of alpha aims at. When not given, 0 for
    /// classes, and for samples and sources the accuracy on held-out samples of their labels.
    pub target_forget: Option<f64>,
    /// The loss of accuracy on the retained data that it allows.
    pub target_loss: f64,
    /// The layers that are edited, and how Fisher information is computed where there is no card.
    pub fisher: FisherOptions,
    /// Judge every touched model by its own FIM of the forget data instead of the initial models'
    /// (SSD, Foster et al., arXiv:2308.07707).
    pub own_forget: bool,
    /// Whether, for classes, what no threshold makes a model forget is taken by logit suppression
    /// ([`fiun::LogitSuppression`]).
    pub suppress: bool,
    /// How deep the edit goes.
    pub depth: EditDepth,
}

impl Default for FiunOptions {
    fn default() -> Self {
        Self {
            alpha: Alpha::Auto,
            lambda: None,
            scale: Scale::Common,
            merge_scale: 1.0,
            target_forget: None,
            target_loss: Target::default().retain_loss,
            fisher: FisherOptions::default(),
            own_forget: false,
            suppress: true,
            depth: EditDepth::default(),
        }
    }
}
