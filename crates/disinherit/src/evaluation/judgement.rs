//! The judgement: what the evidence allows to say. It is made here once; pages, JSON, certificates and
//! Python read it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::estimate::Estimate;
use super::measured::{Interval, Measured, Reference};

/// What the evidence allows to say of a model, or of all models that a method edited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judgement {
    /// Some outputs still name what was forgotten.
    Recognised,
    /// The outputs no longer name it. More was not measured, or the inside says otherwise. What
    /// earlier versions wrote reads as this: their verdicts on the inside asked for less.
    #[serde(
        alias = "not_recognised",
        alias = "no_baseline",
        alias = "skin_deep",
        alias = "deep"
    )]
    Outputs,
    /// Outputs, and the features hold no more of it, and no less, than those of models that never
    /// knew it: the probe and relearning from a neutral row are within the reference's interval.
    Features,
    /// Features, and its samples cannot be told from ones that were not trained on any better than
    /// by the reference.
    Indistinguishable,
    /// The models are the retrained baseline themselves.
    RetrainedBaseline,
    /// There was nothing to measure.
    NotMeasured,
}

impl Judgement {
    /// Whether it says at least as much as another one. The retrained baseline reaches everything,
    /// what was not measured reaches nothing.
    pub fn reaches(self, required: Self) -> bool {
        self != Self::NotMeasured && self.rank() >= required.rank()
    }

    /// The lesser of two judgements.
    #[must_use]
    pub fn at_most(self, other: Self) -> Self {
        if other.rank() < self.rank() {
            other
        } else {
            self
        }
    }

    fn rank(self) -> u8 {
        match self {
            Self::NotMeasured | Self::Recognised => 0,
            Self::Outputs => 1,
            Self::Features => 2,
            Self::Indistinguishable | Self::RetrainedBaseline => 3,
        }
    }
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Recognised => "recognised",
            Self::Outputs => "outputs",
            Self::Features => "features",
            Self::Indistinguishable => "indistinguishable",
            Self::RetrainedBaseline => "retrained baseline",
            Self::NotMeasured => "not measured",
        })
    }
}

/// Why a judgement says no more than it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// Nothing looked inside the model.
    InsideNotMeasured,
    /// There is no model to compare with.
    NoReference,
    /// The probe was not measured, here or on the reference.
    ProbeNotMeasured,
    /// The probe sees more than on the reference.
    ProbeAbove,
    /// The probe sees far less than on the reference: over-erased, a trace of its own.
    ProbeOverErased,
    /// The probe on an inner layer sees more than on the reference.
    InnerProbeAbove,
    /// The probe on an inner layer sees far less than on the reference: over-erased.
    InnerProbeOverErased,
    /// Relearning from a neutral row was not measured, here or on the reference.
    ResetNotMeasured,
    /// Relearning from a neutral row is faster than the reference's.
    ResetFaster,
    /// Membership by confidence was not measured, here or on the reference.
    AreaNotMeasured,
    /// Forgotten training samples stand out by confidence.
    AreaAbove,
    /// Forgotten training samples stand out by a lack of confidence.
    AreaBelow,
    /// They do so by far: over-erased.
    AreaOverErased,
    /// Membership by the fitted attack was not measured, here or on the reference.
    FittedNotMeasured,
    /// An attack that is fitted on features and logits finds forgotten training samples.
    FittedAbove,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InsideNotMeasured => "nothing looked inside the model",
            Self::NoReference => {
                "there is no model that never knew the forget data to compare with"
            }
            Self::ProbeNotMeasured => "the probe was not measured here and on the reference",
            Self::ProbeAbove => "the probe sees more of it than in the reference",
            Self::ProbeOverErased => {
                "over-erased: the probe sees far less of it than in the reference"
            }
            Self::InnerProbeAbove => {
                "the probe on an inner layer sees more of it than in the reference"
            }
            Self::InnerProbeOverErased => {
                "over-erased: the probe on an inner layer sees far less of it than in the reference"
            }
            Self::ResetNotMeasured => {
                "relearning from a neutral row was not measured here and on the reference"
            }
            Self::ResetFaster => "from a neutral row it is relearnt faster than by the reference",
            Self::AreaNotMeasured => {
                "membership by confidence was not measured here and on the reference"
            }
            Self::AreaAbove => "its training samples stand out by their confidence",
            Self::AreaBelow => "its training samples stand out by their lack of confidence",
            Self::AreaOverErased => {
                "over-erased: its training samples stand out by far by their lack of confidence"
            }
            Self::FittedNotMeasured => {
                "the fitted membership attack was not measured here and on the reference"
            }
            Self::FittedAbove => {
                "an attack that is fitted on features and logits finds its training samples"
            }
        })
    }
}

/// A judgement with what it falls short of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// The judgement.
    pub judgement: Judgement,
    /// Why it says no more.
    pub findings: Vec<Finding>,
}

impl Judged {
    /// The judgement where the share `left` of the forgotten held-out samples is still recognised and
    /// at most `at_most` may be, with what was found inside, and what the reference reaches.
    pub fn new(
        left: Option<f64>,
        at_most: f64,
        found: &Measured,
        reference: Option<&Reference>,
    ) -> Self {
        let plain = |judgement, findings: &[Finding]| Self {
            judgement,
            findings: findings.to_vec(),
        };
        match left {
            None => return plain(Judgement::NotMeasured, &[]),
            // What is not a number has forgotten nothing.
            Some(left) if left.is_nan() || left > at_most => {
                return plain(Judgement::Recognised, &[]);
            }
            Some(_) => {}
        }
        if found.is_empty() {
            return plain(Judgement::Outputs, &[Finding::InsideNotMeasured]);
        }
        let Some(reference) = reference else {
            return plain(Judgement::Outputs, &[Finding::NoReference]);
        };
        let features = of_features(found, reference);
        let membership = of_membership(found, reference);
        let over_erased = membership.contains(&Finding::AreaOverErased);
        let judgement = match (features.is_empty() && !over_erased, membership.is_empty()) {
            (true, true) => Judgement::Indistinguishable,
            (true, false) => Judgement::Features,
            _ => Judgement::Outputs,
        };
        Self {
            judgement,
            findings: [features, membership].concat(),
        }
    }
}

/// What features have more, or far less, than the reference.
fn of_features(found: &Measured, reference: &Reference) -> Vec<Finding> {
    let mut findings = Vec::new();
    match found.probe.zip(reference.probe) {
        None => findings.push(Finding::ProbeNotMeasured),
        Some((ours, theirs)) => findings.extend(outside(
            ours,
            &theirs,
            Finding::ProbeAbove,
            Finding::ProbeOverErased,
        )),
    }
    if let Some((ours, theirs)) = found.inner_probe.zip(reference.inner_probe) {
        findings.extend(outside(
            ours,
            &theirs,
            Finding::InnerProbeAbove,
            Finding::InnerProbeOverErased,
        ));
    }
    match found.reset.zip(reference.reset) {
        None => findings.push(Finding::ResetNotMeasured),
        Some((ours, theirs)) if ours.mean < theirs.low() => findings.push(Finding::ResetFaster),
        Some(_) => {}
    }
    findings
}

fn outside(
    ours: Estimate,
    theirs: &Interval,
    above: Finding,
    far_below: Finding,
) -> Option<Finding> {
    if ours.mean > theirs.high() {
        Some(above)
    } else if theirs.is_far_below(ours.mean) {
        Some(far_below)
    } else {
        None
    }
}

/// How training samples stand out more than with the reference.
fn of_membership(found: &Measured, reference: &Reference) -> Vec<Finding> {
    let mut findings = Vec::new();
    match found.area.zip(reference.area) {
        None => findings.push(Finding::AreaNotMeasured),
        Some((ours, theirs)) => findings.extend(
            outside(ours, &theirs, Finding::AreaAbove, Finding::AreaOverErased)
                .or_else(|| (ours.mean < theirs.low()).then_some(Finding::AreaBelow)),
        ),
    }
    match found.fitted.zip(reference.fitted) {
        None => findings.push(Finding::FittedNotMeasured),
        Some((ours, theirs)) if ours.mean > theirs.high() => findings.push(Finding::FittedAbove),
        Some(_) => {}
    }
    findings
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::evaluation::measured::ReferenceKind;

    /// Measurements of probe, steps, area and fitted attack without spread.
    fn measured(probe: f64, reset: f64, area: f64, fitted: f64) -> Measured {
        let once = |value: f64| Estimate::new(&[value]);
        Measured {
            probe: once(probe),
            inner_probe: None,
            reset: once(reset),
            head_alone: false,
            area: once(area),
            fitted: once(fitted),
        }
    }

    /// Probe 0.67 to 0.73, at least 36 steps, area 0.45 to 0.55, fitted at most 0.57.
    fn retrained() -> Reference {
        let models = [("r1@1".parse().unwrap(), measured(0.7, 40.0, 0.5, 0.52))];
        Reference::new(ReferenceKind::Retrained, &models).unwrap()
    }

    fn judge(found: &Measured) -> (Judgement, Vec<Finding>) {
        let judged = Judged::new(Some(0.0), 0.01, found, Some(&retrained()));
        (judged.judgement, judged.findings)
    }

    #[test]
    fn a_judgement_says_no_more_than_was_measured() {
        let good = measured(0.7, 40.0, 0.5, 0.5);
        let of = |left, found: &Measured, reference: Option<&Reference>| {
            Judged::new(left, 0.01, found, reference).judgement
        };
        let reference = retrained();
        let with = Some(&reference);
        assert_eq!(of(None, &good, with), Judgement::NotMeasured);
        assert_eq!(of(Some(0.02), &good, with), Judgement::Recognised);
        assert_eq!(of(Some(f64::NAN), &good, with), Judgement::Recognised);
        assert_eq!(of(Some(0.0), &good, with), Judgement::Indistinguishable);
        assert_eq!(of(Some(0.0), &good, None), Judgement::Outputs);
        assert_eq!(
            of(Some(0.0), &Measured::default(), with),
            Judgement::Outputs
        );
        let without = |change: fn(&mut Measured)| {
            let mut found = good;
            change(&mut found);
            judge(&found)
        };
        assert_eq!(
            without(|m| m.probe = None),
            (Judgement::Outputs, vec![Finding::ProbeNotMeasured])
        );
        assert_eq!(
            without(|m| m.reset = None),
            (Judgement::Outputs, vec![Finding::ResetNotMeasured])
        );
        assert_eq!(
            without(|m| m.area = None),
            (Judgement::Features, vec![Finding::AreaNotMeasured])
        );
        assert_eq!(
            without(|m| m.fitted = None),
            (Judgement::Features, vec![Finding::FittedNotMeasured])
        );
    }

    #[test]
    fn what_is_left_in_features_and_confidences_is_found() {
        assert_eq!(
            judge(&measured(0.74, 40.0, 0.5, 0.5)),
            (Judgement::Outputs, vec![Finding::ProbeAbove])
        );
        assert_eq!(
            judge(&measured(0.7, 35.0, 0.5, 0.5)),
            (Judgement::Outputs, vec![Finding::ResetFaster])
        );
        // Slower than the reference is no memory.
        assert_eq!(
            judge(&measured(0.7, 64.0, 0.5, 0.5)),
            (Judgement::Indistinguishable, vec![])
        );
        assert_eq!(
            judge(&measured(0.7, 40.0, 0.56, 0.5)),
            (Judgement::Features, vec![Finding::AreaAbove])
        );
        assert_eq!(
            judge(&measured(0.7, 40.0, 0.44, 0.5)),
            (Judgement::Features, vec![Finding::AreaBelow])
        );
        assert_eq!(
            judge(&measured(0.7, 40.0, 0.5, 0.6)),
            (Judgement::Features, vec![Finding::FittedAbove])
        );
    }

    #[test]
    fn too_little_left_is_a_finding_too() {
        // Below the interval, but by no more than its half-width.
        assert_eq!(
            judge(&measured(0.65, 40.0, 0.5, 0.5)),
            (Judgement::Indistinguishable, vec![])
        );
        assert_eq!(
            judge(&measured(0.63, 40.0, 0.5, 0.5)),
            (Judgement::Outputs, vec![Finding::ProbeOverErased])
        );
        assert_eq!(
            judge(&measured(0.7, 40.0, 0.39, 0.5)),
            (Judgement::Outputs, vec![Finding::AreaOverErased])
        );
    }

    #[test]
    fn an_inner_layer_counts_where_it_was_looked_at() {
        let mut reference = retrained();
        reference.inner_probe = reference.probe;
        let mut found = measured(0.7, 40.0, 0.5, 0.5);
        found.inner_probe = Estimate::new(&[0.9]);
        let judged = Judged::new(Some(0.0), 0.01, &found, Some(&reference));
        assert_eq!(judged.judgement, Judgement::Outputs);
        assert_eq!(judged.findings, [Finding::InnerProbeAbove]);
    }

    #[test]
    fn judgements_are_ordered_and_old_ones_are_read() {
        assert!(Judgement::Indistinguishable.reaches(Judgement::Features));
        assert!(Judgement::Outputs.reaches(Judgement::Outputs));
        assert!(!Judgement::Outputs.reaches(Judgement::Features));
        assert!(!Judgement::NotMeasured.reaches(Judgement::Recognised));
        assert!(Judgement::RetrainedBaseline.reaches(Judgement::Indistinguishable));
        let least = Judgement::Features.at_most(Judgement::Outputs);
        assert_eq!(least, Judgement::Outputs);
        for old in ["not_recognised", "no_baseline", "skin_deep", "deep"] {
            let read: Judgement = serde_json::from_value(old.into()).unwrap();
            assert_eq!(read, Judgement::Outputs, "{old}");
        }
        let read: Judgement = serde_json::from_value("recognised".into()).unwrap();
        assert_eq!(read, Judgement::Recognised);
    }
}
