//! What models would lose in retained accuracy, in words.

use disinherit_registry::{CheckedOn, LossBound, MeasuredLoss};
use serde::Serialize;
use umig::ModelId;

/// Models that are named one by one.
const NAMED: usize = 20;

/// What an edit would cost one model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelLoss {
    /// The version that would have been edited.
    pub model: ModelId,
    /// What was measured.
    pub loss: MeasuredLoss,
}

impl ModelLoss {
    fn in_words(&self, limit: f64) -> String {
        let Self { model, loss } = self;
        let on = match loss.on {
            CheckedOn::KeptApart => "training samples kept apart",
            CheckedOn::Training => "training samples",
            CheckedOn::HeldOut => "held-out samples",
        };
        format!(
            "{model} would lose {:.1} points ({:.1} % before, {:.1} % after, on {} retained {on}, where \
             up to {:.1} may be chance)",
            100.0 * loss.loss(),
            100.0 * loss.before(),
            100.0 * loss.after(),
            loss.samples,
            100.0 * loss.allowed(limit),
        )
    }
}

/// Why a request was stopped.
pub(crate) fn refusal(models: &[ModelLoss], bound: LossBound) -> String {
    let limit = bound.limit();
    let (noun, count) = match models.len() {
        1 => ("model", "one".to_owned()),
        more => ("models", more.to_string()),
    };
    let mut text = format!(
        "nothing was published: of retained accuracy a model may lose {:.1} points, and {count} {noun} \
         would lose more",
        100.0 * limit
    );
    for loss in models.iter().take(NAMED) {
        text.push_str("\n  ");
        text.push_str(&loss.in_words(limit));
    }
    if models.len() > NAMED {
        text.push_str(&format!("\n  and {} more", models.len() - NAMED));
    }
    text
}

/// The least loss that would have to be accepted, as a share with three decimals.
pub(crate) fn least(models: &[ModelLoss]) -> String {
    let worst = models.iter().map(|model| model.loss.loss());
    let worst = worst.fold(0.0, f64::max);
    format!("{:.3}", (worst * 1e3 - 1e-9).ceil().min(1e3) / 1e3)
}
