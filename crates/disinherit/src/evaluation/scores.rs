//! Accuracy on what was to be forgotten and on the rest, on training and held-out data apart.

use serde::{Deserialize, Serialize};
use umig::ModelId;

use super::estimate::Estimate;
use super::judgement::{Finding, Judged, Judgement};
use super::measured::{Measured, Reference};
use super::sample_verdict::SampleVerdict;

/// Accuracies between 0 and 1; `None` where there is nothing to measure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// On the model's own training data; of forgotten samples also on those that its ancestors learnt.
    pub train: Option<f64>,
    /// On held-out data.
    pub heldout: Option<f64>,
}

/// How well a model knows what was to be forgotten, and the rest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// On the forget data (for a held-out class: samples of that class).
    pub forget: Accuracy,
    /// On everything else.
    pub retain: Accuracy,
}

/// How well one version has forgotten.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CertifiedVerdict {
    /// The version.
    pub model: ModelId,
    /// Accuracy on what is forgotten and what is retained.
    pub scores: Scores,
    /// The largest accuracy on forgotten held-out data that passes; of single samples and sources, that on
    /// the forgotten samples, which unseen samples decide about.
    pub at_most: f64,
    /// Whether it passes; nothing where there was nothing to measure.
    pub passed: Option<bool>,
    /// What was found inside the model, where it was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inside: Option<Inside>,
    /// How forgotten samples stand against unseen ones, where single samples or a source are forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<SampleVerdict>,
}

/// What was found inside a model, what it was compared with, and what that allows to say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inside {
    /// What was measured.
    pub measured: Measured,
    /// What models reach that do not know the forget data; nothing where there are none.
    pub reference: Option<Reference>,
    /// The judgement, outputs and inside together.
    pub judgement: Judgement,
    /// Why it says no more.
    pub findings: Vec<Finding>,
}

impl CertifiedVerdict {
    /// The verdict on a model that scores so, where at most so much may still be recognised: by the
    /// accuracy on forgotten held-out samples, or where there are none, on training samples.
    pub fn new(model: ModelId, scores: Scores, at_most: f64) -> Self {
        let measured = scores.forget.heldout.or(scores.forget.train);
        Self {
            model,
            scores,
            at_most,
            passed: measured.map(|accuracy| accuracy <= at_most),
            inside: None,
            samples: None,
        }
    }

    /// The verdict on a model that is to have forgotten single samples or a source, and scores so.
    pub fn of_samples(model: ModelId, scores: Scores, found: SampleVerdict) -> Self {
        let measured = Measured {
            area: Estimate::new(&[found.area]),
            ..Measured::default()
        };
        let judged = Judged::of_samples(&found, &measured, None);
        Self {
            model,
            scores,
            at_most: found.allowed(),
            passed: Some(judged.judgement.reaches(Judgement::Outputs)),
            inside: Some(Inside {
                measured,
                reference: None,
                judgement: judged.judgement,
                findings: judged.findings,
            }),
            samples: Some(found),
        }
    }

    /// The same verdict with what was found inside the model.
    #[must_use]
    pub fn with_inside(mut self, measured: Measured, reference: Option<Reference>) -> Self {
        let left = self.scores.forget.heldout.or(self.scores.forget.train);
        let judged = Judged::new(left, self.at_most, &measured, reference.as_ref());
        self.inside = Some(Inside {
            measured,
            reference,
            judgement: judged.judgement,
            findings: judged.findings,
        });
        self
    }

    /// What it says, in one word.
    pub fn judgement(&self) -> Judgement {
        match (self.passed, &self.inside) {
            (Some(true), Some(inside)) => inside.judgement,
            (Some(true), None) => Judgement::Outputs,
            (Some(false), _) => Judgement::Recognised,
            (None, _) => Judgement::NotMeasured,
        }
    }
}
