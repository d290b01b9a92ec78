//! How far a method went, judged against the retrained baseline.

use disinherit::FORGOTTEN;
use disinherit::evaluation::Verdicts;
use disinherit_lab::{MethodKind, MethodResult, Study};

/// A probe that is better than the retrained baseline's by more than this sees something.
const PROBE: f64 = 0.03;

/// Relearning in less than this share of the retrained baseline's steps is a memory.
const FASTER: f64 = 0.5;

/// The judgement on one method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// No more is left than in the retrained baseline, as far as was measured.
    Deep,
    /// The outputs do not recognise the forget set; the inner features hold more of it than the
    /// retrained baseline's.
    SkinDeep,
    /// Some model's outputs still recognise the forget set.
    Recognised,
    /// The models are the retrained baseline themselves.
    Retrained,
    /// The outputs do not recognise it, and nothing looked further.
    OutputsOnly,
    /// The outputs do not recognise it; the inside was measured, but there is no retrained
    /// baseline to compare it with.
    NoBaseline,
    /// Held-out samples of the forget set were not evaluated.
    NotEvaluated,
}

impl Judgement {
    /// The judgement on one method of a study.
    pub(crate) fn new(study: &Study, result: &MethodResult) -> Self {
        let left = result
            .models
            .iter()
            .filter_map(|m| m.verdicts.scores.forget.heldout);
        match left.reduce(f64::max) {
            None => return Self::NotEvaluated,
            Some(worst) if worst > FORGOTTEN => return Self::Recognised,
            Some(_) => {}
        }
        if result.variant.method == MethodKind::Retrain {
            return Self::Retrained;
        }
        let ours = (result.mean(|v| v.probe), result.mean(relearning_steps));
        if ours == (None, None) {
            return Self::OutputsOnly;
        }
        let Some(retrain) = study.result(MethodKind::Retrain.into()) else {
            return Self::NoBaseline;
        };
        let probe = ours.0.zip(retrain.mean(|v| v.probe));
        let steps = ours.1.zip(retrain.mean(relearning_steps));
        if probe.is_none() && steps.is_none() {
            return Self::NoBaseline;
        }
        let seen = probe.is_some_and(|(ours, theirs)| ours > theirs + PROBE);
        let remembered = steps.is_some_and(|(ours, theirs)| ours < theirs * FASTER);
        if seen || remembered {
            Self::SkinDeep
        } else {
            Self::Deep
        }
    }
}

/// Steps of relearning, or the limit.
pub(crate) fn relearning_steps(verdicts: &Verdicts) -> Option<f64> {
    let relearning = verdicts.relearning?;
    Some(relearning.steps.unwrap_or(relearning.limit) as f64)
}
