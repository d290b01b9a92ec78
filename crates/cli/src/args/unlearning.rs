//! The settings of FIUn, and those of methods that train.

use clap::Args;
use disinherit::cards::FisherOptions;
use disinherit::{Alpha, EditDepth, FiunOptions, Layers, Scale};
use disinherit_lab::SettingsPatch;

use super::estimator::EstimatorArgs;
use super::values::{alpha, depth, share};

#[derive(Debug, Args, Clone)]
pub(crate) struct UnlearningArgs {
    /// The selection threshold: `auto` (per model, on data where there is some), `rule` (the
    /// data-free value), or a number.
    #[arg(long, default_value = "auto", value_parser = alpha)]
    pub(crate) alpha: Alpha,
    /// The dampening constant; when not given, chosen together with alpha where alpha is searched,
    /// and 1 otherwise.
    #[arg(long, value_name = "X")]
    pub(crate) lambda: Option<f64>,
    /// Compare FIMs as they are, as the paper does, instead of on a common scale.
    #[arg(long)]
    pub(crate) raw: bool,
    /// The divisor of merged FIMs (MFIM).
    #[arg(long, default_value_t = 1.0, value_name = "S")]
    pub(crate) merge_scale: f64,
    /// The layers to edit: head, all, or patterns of tensor names with commas between them.
    #[arg(long, default_value = "head", value_name = "WHICH")]
    pub(crate) layers: Layers,
    /// How deep the edit goes: `outputs` (the layers of --layers), or `features`: the penultimate layer
    /// too, which is taught what a model that never knew the forgotten classes would write of them. That
    /// needs the training data, or activation statistics in FIM cards; a model for which it cannot be done
    /// keeps to its outputs, with a warning. `auto` is `features` for whole classes in networks that run
    /// here, unless anything about dampening is asked for (--alpha, --lambda, --raw, --layers,
    /// --dampen-only).
    #[arg(long, default_value = "auto", value_name = "DEPTH", value_parser = depth)]
    pub(crate) depth: EditDepth,
    /// How strong the edit of the features is, above 0: the ridge of its regression. Smaller ones change
    /// more. Chosen for each model when not given.
    #[arg(long, value_name = "X")]
    pub(crate) ridge: Option<f64>,
    /// Take no training steps over a network's last stage. Without it they follow, given the training data, where
    /// the edit of the features leaves a class as easy to find there as before; they take seconds to minutes for a
    /// model (`plan` names those models).
    #[arg(long)]
    pub(crate) no_last_stage: bool,
    /// Models edited at the same time; one per core when 0.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) jobs: usize,
    /// What `--alpha auto` aims at: the accuracy on the forget data, 0 to 1. When not given, 0 for
    /// classes, and the accuracy on held-out samples of the same labels for samples and sources.
    #[arg(long, value_name = "X")]
    pub(crate) target_forget: Option<f64>,
    /// What a model may lose in accuracy on the retained data, 0 to 1 (0.01 is a point). `--alpha auto`
    /// aims at it, and every method is held to it: a request that would cost a model more is stopped
    /// before anything is published. Measured on training samples kept apart, where data is given.
    #[arg(long, default_value_t = 0.01, value_name = "X", value_parser = share)]
    pub(crate) target_loss: f64,
    /// Do nothing but dampen, as in the paper. Without it, where no alpha makes a model forget a
    /// class, its logit is suppressed through its bias, or through its weights where there is none,
    /// with a warning.
    #[arg(long)]
    pub(crate) dampen_only: bool,
}

impl UnlearningArgs {
    /// The options as the engine takes them, with the default estimator.
    pub(crate) fn options(&self) -> FiunOptions {
        self.with(FisherOptions {
            layers: self.layers.clone(),
            ..FisherOptions::default()
        })
    }

    /// The same with the estimator that is asked for.
    pub(crate) fn options_with(&self, estimator: &EstimatorArgs) -> FiunOptions {
        self.with(estimator.options(&self.layers))
    }

    fn with(&self, fisher: FisherOptions) -> FiunOptions {
        FiunOptions {
            alpha: self.alpha,
            lambda: self.lambda,
            scale: if self.raw { Scale::Raw } else { Scale::Common },
            merge_scale: self.merge_scale,
            target_forget: self.target_forget,
            target_loss: self.target_loss,
            fisher,
            own_forget: false,
            suppress: !self.dampen_only,
            depth: self.depth,
            ridge: self.ridge,
            last_stage: !self.no_last_stage,
        }
    }
}

/// Hyperparameters of methods that train; the method's own defaults where not given.
#[derive(Debug, Args, Clone)]
pub(crate) struct TrainingArgs {
    /// Passes over the retained data.
    #[arg(long, value_name = "N", help_heading = "Methods that train")]
    pub(crate) epochs: Option<usize>,
    /// The learning rate.
    #[arg(long, value_name = "X", help_heading = "Methods that train")]
    pub(crate) learning_rate: Option<f64>,
    /// Samples per step.
    #[arg(long, value_name = "N", help_heading = "Methods that train")]
    pub(crate) batch_size: Option<usize>,
    /// SGD's momentum.
    #[arg(long, value_name = "X", help_heading = "Methods that train")]
    pub(crate) momentum: Option<f64>,
    /// The L2 penalty.
    #[arg(long, value_name = "X", help_heading = "Methods that train")]
    pub(crate) weight_decay: Option<f64>,
    /// Gradients of a tensor longer than this are shortened to it.
    #[arg(long, value_name = "X", help_heading = "Methods that train")]
    pub(crate) clip: Option<f32>,
    /// The temperature of distillation.
    #[arg(long, value_name = "X", help_heading = "Methods that train")]
    pub(crate) temperature: Option<f64>,
    /// The weight of the forget data's term.
    #[arg(long, value_name = "X", help_heading = "Methods that train")]
    pub(crate) forget_weight: Option<f64>,
    /// The share of parameters that SalUn may change.
    #[arg(long, value_name = "X", help_heading = "Methods that train")]
    pub(crate) saliency: Option<f64>,
}

impl TrainingArgs {
    /// What replaces a method's defaults.
    pub(crate) fn patch(&self) -> SettingsPatch {
        SettingsPatch {
            epochs: self.epochs,
            learning_rate: self.learning_rate,
            batch_size: self.batch_size,
            momentum: self.momentum,
            weight_decay: self.weight_decay,
            clip: self.clip,
            temperature: self.temperature,
            forget_weight: self.forget_weight,
            saliency: self.saliency,
        }
    }
}
