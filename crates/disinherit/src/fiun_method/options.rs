//! FIUn's options.

use fiun::Target;
use serde::{Deserialize, Serialize};
use umig::Forget;

use crate::cards::FisherOptions;
use crate::format::is_graph;
use crate::layers::Layers;
use crate::model::LoadedModel;
use crate::runner::Runner;

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
    /// The features of whole classes in networks that are run below their heads, by the engine or by a
    /// [`Runner`], as long as everything about dampening (alpha, lambda, layers, suppression) is left to
    /// its default; otherwise the outputs.
    #[default]
    Auto,
    /// The outputs: the layers that Fisher information selects parameters of.
    Outputs,
    /// The features too: the penultimate layer is taught what a model that never knew the forget data
    /// would write of it ([`fiun::RemapSums`]), where data or FIM cards allow it.
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
    /// How strong the edit of the features is, above 0: the ridge of its regression. A larger
    /// one changes less. When not given, it is chosen for each model.
    pub ridge: Option<f64>,
    /// Whether, where that edit leaves the features as telling as before, a few training steps over the
    /// network's last stage follow ([`disinherit_nets::Refinement`]). None do where a ridge is given.
    pub last_stage: bool,
}

impl FiunOptions {
    /// Whether, of whole classes in networks that are run below their heads, the features are edited.
    pub fn reaches_features(&self) -> bool {
        match self.depth {
            EditDepth::Outputs => false,
            EditDepth::Features => true,
            EditDepth::Auto => self.leaves_dampening_alone(),
        }
    }

    /// Whether steps over the last stage may follow.
    pub(super) fn trains_last_stage(&self) -> bool {
        // A ridge that was asked for is the whole strength.
        self.last_stage && self.ridge.is_none()
    }

    /// Whether nothing about dampening was asked for.
    fn leaves_dampening_alone(&self) -> bool {
        self.alpha == Alpha::Auto
            && self.lambda.is_none()
            && self.scale == Scale::Common
            && self.fisher.layers == Layers::Head
            && self.suppress
            && !self.own_forget
    }

    /// Whether the edit of a model goes to its features; `runner` runs networks elsewhere, if any does, and
    /// `described` says whether the model's card has activation statistics.
    pub(super) fn goes_to_features(
        &self,
        forget: &Forget,
        model: &LoadedModel,
        runner: Option<&dyn Runner>,
        described: bool,
    ) -> bool {
        let asked = self.depth == EditDepth::Features;
        let runs = runner.is_some()
            || described
            || !model.is_head_only()
            || is_graph(model).unwrap_or_default();
        self.reaches_features() && asked || self.wants_features(forget) && runs
    }

    /// Whether an edit goes to the features of models where it can.
    pub(super) fn wants_features(&self, forget: &Forget) -> bool {
        self.reaches_features() && matches!(forget, Forget::Classes(_))
    }
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
            ridge: None,
            last_stage: true,
        }
    }
}
