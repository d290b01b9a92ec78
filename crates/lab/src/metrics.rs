//! Metrics that others report, from the verdicts on a model and on the same model retrained.

use disinherit::evaluation::Verdicts;
use serde::{Deserialize, Serialize};

/// Metrics that others report, for one model; nothing where something that they need was not measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Average gap to the retrained model: the mean distance of the accuracies on the forget set and the
    /// retain set (training data), of the held-out accuracy on the retain set, and of the share of the
    /// forget set that an attack calls training data; 0 is best (Fan et al., arXiv:2310.12508).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub average_gap: Option<f64>,
    /// Tug of war: the product of one minus the distance to the retrained model's accuracy, on the forget
    /// set, the retain set (training data) and held-out samples of the retain set; 1 is best (Zhao et
    /// al., arXiv:2406.01257).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tug_of_war: Option<f64>,
    /// NoMUS: half the held-out accuracy on the retain set and half of how little membership tells, `1 -
    /// 2 |m - 1/2|`; 1 is best (Choi and Na, arXiv:2311.02240). Here `m` is the area under the curve of
    /// confidence; theirs is the accuracy of an attack on losses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nomus: Option<f64>,
    /// Adaptive unlearning score for removed classes: one minus the held-out accuracy that was lost on the
    /// retain set, over one plus the accuracy left on the forget set; 1 is best, more where accuracy was
    /// won (Cotogni et al., arXiv:2312.02052).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aus: Option<f64>,
}

impl Metrics {
    /// The metrics of a model: before, after, and as the retrained model, where there is one.
    pub fn new(before: &Verdicts, after: &Verdicts, retrained: Option<&Verdicts>) -> Self {
        Self {
            average_gap: retrained.and_then(|retrained| average_gap(after, retrained)),
            tug_of_war: retrained.and_then(|retrained| tug_of_war(after, retrained)),
            nomus: nomus(after),
            aus: aus(before, after),
        }
    }
}

type Pick = fn(&Verdicts) -> Option<f64>;

/// Accuracy on the forget set and on the retain set as they were trained on, and on held-out samples of
/// the retain set.
const ACCURACIES: [Pick; 3] = [
    |v| v.scores.forget.train,
    |v| v.scores.retain.train,
    |v| v.scores.retain.heldout,
];

fn distance(pick: Pick, after: &Verdicts, retrained: &Verdicts) -> Option<f64> {
    Some((pick(after)? - pick(retrained)?).abs())
}

fn average_gap(after: &Verdicts, retrained: &Verdicts) -> Option<f64> {
    let called: Pick = |v| v.membership.map(|m| m.called_member);
    let picks = ACCURACIES.into_iter().chain([called]);
    let gaps: Vec<f64> = picks
        .map(|pick| distance(pick, after, retrained))
        .collect::<Option<_>>()?;
    Some(gaps.iter().sum::<f64>() / gaps.len() as f64)
}

fn tug_of_war(after: &Verdicts, retrained: &Verdicts) -> Option<f64> {
    ACCURACIES
        .iter()
        .map(|pick| Some(1.0 - distance(*pick, after, retrained)?))
        .product()
}

fn nomus(after: &Verdicts) -> Option<f64> {
    let area = after.membership?.area?;
    let accuracy = after.scores.retain.heldout?;
    Some((accuracy + 1.0 - 2.0 * (area - 0.5).abs()) / 2.0)
}

fn aus(before: &Verdicts, after: &Verdicts) -> Option<f64> {
    let lost = before.scores.retain.heldout? - after.scores.retain.heldout?;
    Some((1.0 - lost) / (1.0 + after.scores.forget.heldout?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use disinherit::evaluation::{Accuracy, Membership, Scores};

    fn verdicts(forget: [f64; 2], retain: [f64; 2], called: f64, area: f64) -> Verdicts {
        let accuracy = |[train, heldout]: [f64; 2]| Accuracy {
            train: Some(train),
            heldout: Some(heldout),
        };
        Verdicts {
            scores: Scores {
                forget: accuracy(forget),
                retain: accuracy(retain),
            },
            membership: Some(Membership {
                called_member: called,
                area: Some(area),
                ..Membership::default()
            }),
            ..Verdicts::default()
        }
    }

    /// Numbers worked out by hand.
    #[test]
    fn metrics_of_one_model() {
        let before = verdicts([0.9, 0.8], [1.0, 0.75], 0.9, 0.7);
        let after = verdicts([0.1, 0.25], [0.9, 0.7], 0.3, 0.4);
        let retrained = verdicts([0.0, 0.0], [0.95, 0.8], 0.5, 0.5);
        let metrics = Metrics::new(&before, &after, Some(&retrained));
        let is = |value: Option<f64>, wanted: f64| {
            assert!((value.unwrap() - wanted).abs() < 1e-12, "{value:?}");
        };
        // (0.1 + 0.05 + 0.1 + 0.2) / 4
        is(metrics.average_gap, 0.1125);
        // 0.9 * 0.95 * 0.9
        is(metrics.tug_of_war, 0.7695);
        // (0.7 + 1 - 0.2) / 2
        is(metrics.nomus, 0.75);
        // (1 - 0.05) / 1.25
        is(metrics.aus, 0.76);
        let same = Metrics::new(&before, &retrained, Some(&retrained));
        is(same.average_gap, 0.0);
        is(same.tug_of_war, 1.0);
        let alone = Metrics::new(&before, &after, None);
        assert_eq!((alone.average_gap, alone.tug_of_war), (None, None));
        assert_eq!(alone.nomus, metrics.nomus);
    }
}
