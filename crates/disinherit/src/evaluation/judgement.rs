//! The judgement: what the evidence allows to say. It is made here once; pages, JSON, certificates and
//! Python read it.

use serde::{Deserialize, Serialize};

/// A probe that is better than the retrained baseline's by more than this sees something.
const PROBE: f64 = 0.03;

/// Relearning in less than this share of the retrained baseline's steps is a memory.
const FASTER: f64 = 0.5;

/// What the evidence allows to say of a model, or of all models that a method edited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judgement {
    /// Some outputs still name what was forgotten.
    Recognised,
    /// The outputs no longer name it. What is held inside was not looked at.
    NotRecognised,
    /// The outputs no longer name it; the inside was measured, but there is no retrained baseline to
    /// compare it with.
    NoBaseline,
    /// The outputs no longer name it; the inner features hold more of it than the retrained
    /// baseline's.
    SkinDeep,
    /// No more is left than in the retrained baseline, as far as was measured.
    Deep,
    /// The models are the retrained baseline themselves.
    RetrainedBaseline,
    /// There was nothing to measure.
    NotMeasured,
}

/// What was found inside models; means over several.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Inside {
    /// Balanced accuracy of the probe, 0 to 1.
    pub probe: Option<f64>,
    /// Steps of relearning.
    pub relearning: Option<f64>,
}

impl Judgement {
    /// The judgement where the share `left` of the forgotten held-out samples is still recognised
    /// and at most `at_most` may be, with what was found inside, and inside the retrained baseline.
    pub fn new(left: Option<f64>, at_most: f64, found: Inside, baseline: Option<Inside>) -> Self {
        match left {
            None => return Self::NotMeasured,
            Some(left) if left > at_most => return Self::Recognised,
            Some(_) => {}
        }
        if found == Inside::default() {
            return Self::NotRecognised;
        }
        let baseline = baseline.unwrap_or_default();
        let probe = found.probe.zip(baseline.probe);
        let steps = found.relearning.zip(baseline.relearning);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_judgement_says_no_more_than_was_measured() {
        let inside = |probe, relearning| Inside {
            probe: Some(probe),
            relearning: Some(relearning),
        };
        let retrained = Some(inside(0.7, 40.0));
        let judge = |left, found, baseline| Judgement::new(left, 0.01, found, baseline);
        assert_eq!(
            judge(None, inside(0.7, 40.0), retrained),
            Judgement::NotMeasured
        );
        assert_eq!(
            judge(Some(0.02), inside(0.7, 40.0), retrained),
            Judgement::Recognised
        );
        assert_eq!(
            judge(Some(0.0), Inside::default(), retrained),
            Judgement::NotRecognised
        );
        assert_eq!(
            judge(Some(0.0), inside(0.7, 40.0), None),
            Judgement::NoBaseline
        );
        assert_eq!(
            judge(Some(0.0), inside(0.9, 40.0), retrained),
            Judgement::SkinDeep
        );
        assert_eq!(
            judge(Some(0.0), inside(0.7, 8.0), retrained),
            Judgement::SkinDeep
        );
        assert_eq!(
            judge(Some(0.0), inside(0.72, 30.0), retrained),
            Judgement::Deep
        );
    }
}
