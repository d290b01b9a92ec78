//! The judgement on single samples and sources, in the words of that on classes.
//!
//! A forgotten sample may well be recognised: one that was never seen often is. It is forgotten on the
//! outputs when it is not named right more often than unseen samples are, and indistinguishable when
//! membership tells no more of it than of the reference. Probes and relearning, which look for a class,
//! have nothing to look for.

use super::judgement::{Finding, Judged, Judgement};
use super::measured::{Measured, Reference};
use super::sample_verdict::SampleVerdict;

/// By how much the accuracy on forgotten samples may be above that on unseen ones, at least.
const ABOVE: f64 = 0.05;

/// How far an area may be from chance where there is no reference.
const FROM_CHANCE: f64 = 0.05;

impl SampleVerdict {
    /// The largest accuracy on the forgotten samples that so many unseen ones of this accuracy allow: 5
    /// points above, or two standard errors of the difference.
    pub fn allowed(&self) -> f64 {
        let [_, unseen] = self.accuracy;
        // With one sample more of either kind, so that no wrong answer is no certainty.
        let share = (unseen * self.unseen as f64 + 0.5) / (self.unseen as f64 + 1.0);
        let spread = share * (1.0 - share);
        let error = (spread / self.forgotten as f64 + spread / self.unseen as f64).sqrt();
        (unseen + (2.0 * error).max(ABOVE)).min(1.0)
    }
}

impl Judged {
    /// The judgement on forgotten samples, with what was found by attacks and what the reference reaches.
    pub fn of_samples(
        verdict: &SampleVerdict,
        found: &Measured,
        reference: Option<&Reference>,
    ) -> Self {
        let [forgotten, _] = verdict.accuracy;
        if forgotten.is_nan() || forgotten > verdict.allowed() {
            return Self {
                judgement: Judgement::Recognised,
                findings: Vec::new(),
            };
        }
        let mut findings = Vec::new();
        match reference.and_then(|reference| reference.area) {
            Some(area) if verdict.area > area.high() => findings.push(Finding::AreaAbove),
            Some(area) if area.is_far_below(verdict.area) => findings.push(Finding::AreaOverErased),
            Some(area) if verdict.area < area.low() => findings.push(Finding::AreaBelow),
            Some(_) => {}
            None => findings.extend(beside_chance(verdict)),
        }
        let fitted = found.fitted.zip(reference.and_then(|r| r.fitted));
        if fitted.is_some_and(|(ours, theirs)| ours.mean > theirs.high()) {
            findings.push(Finding::FittedAbove);
        }
        Self {
            judgement: if findings.is_empty() {
                Judgement::Indistinguishable
            } else {
                Judgement::Outputs
            },
            findings,
        }
    }
}

/// Where nothing was retrained, random samples that were never seen are at chance.
fn beside_chance(verdict: &SampleVerdict) -> Option<Finding> {
    let [low, high] = verdict.interval;
    let from = verdict.area - 0.5;
    if low > 0.5 || from > FROM_CHANCE {
        Some(Finding::AreaAbove)
    } else if high < 0.5 || from < -FROM_CHANCE {
        Some(Finding::AreaBelow)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::evaluation::estimate::Estimate;
    use crate::evaluation::measured::ReferenceKind;
    use crate::evaluation::sample_verdict::Weakest;

    fn verdict(accuracy: [f64; 2], area: f64, interval: [f64; 2]) -> SampleVerdict {
        SampleVerdict {
            forgotten: 100,
            unseen: 1000,
            accuracy,
            loss: [0.5, 0.5],
            area,
            interval,
            weakest: Weakest {
                id: "x".into(),
                share: 0.99,
                above_retrained: None,
            },
        }
    }

    fn judge(verdict: &SampleVerdict, reference: Option<f64>) -> (Judgement, Vec<Finding>) {
        let area = |area| Measured {
            area: Estimate::new(&[area]),
            ..Measured::default()
        };
        let reference = reference.map(|value| {
            let model = [("a@1".parse().unwrap(), area(value))];
            Reference::new(ReferenceKind::Retrained, &model).unwrap()
        });
        let judged = Judged::of_samples(verdict, &area(verdict.area), reference.as_ref());
        (judged.judgement, judged.findings)
    }

    #[test]
    fn samples_may_be_known_as_well_as_unseen_ones() {
        let at = |forgotten| verdict([forgotten, 0.8], 0.5, [0.44, 0.56]);
        // Two errors of 0.04 and 0.0126 together: 0.084.
        assert!(
            (at(0.8).allowed() - 0.884).abs() < 1e-3,
            "{}",
            at(0.8).allowed()
        );
        assert_eq!(judge(&at(0.9), None).0, Judgement::Recognised);
        assert_eq!(
            judge(&at(0.88), None),
            (Judgement::Indistinguishable, vec![])
        );
        // A hundred of a hundred and all unseen ones: the half sample keeps some doubt.
        assert!(verdict([1.0, 1.0], 0.5, [0.4, 0.6]).allowed() <= 1.0);
    }

    #[test]
    fn membership_is_put_beside_the_reference_or_chance() {
        let at = |area| verdict([0.8, 0.8], area, [area - 0.06, area + 0.06]);
        assert_eq!(
            judge(&at(0.57), None),
            (Judgement::Outputs, vec![Finding::AreaAbove])
        );
        assert_eq!(
            judge(&at(0.43), None),
            (Judgement::Outputs, vec![Finding::AreaBelow])
        );
        // A hard set is below chance, retrained or not.
        assert_eq!(judge(&at(0.43), Some(0.42)).0, Judgement::Indistinguishable);
        assert_eq!(
            judge(&at(0.5), Some(0.42)),
            (Judgement::Outputs, vec![Finding::AreaAbove])
        );
        assert_eq!(
            judge(&at(0.31), Some(0.42)),
            (Judgement::Outputs, vec![Finding::AreaOverErased])
        );
    }
}
