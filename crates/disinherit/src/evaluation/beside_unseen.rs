//! Forgotten samples put beside unseen ones: what the verdict on them is made from.

use fiun::Matrix;

use super::area::{Area, weighted_area};
use super::evaluation_set::{EvalSplit, EvaluationSet, Observation, predictions};
use super::membership::confidence;
use super::sample_verdict::{SampleVerdict, Weakest};
use super::unseen::Unseen;

/// Standard errors to each side of a 95 % interval.
const SIDES: f64 = 1.96;

/// The verdict; nothing where whole classes are forgotten, or there is nothing to compare with.
pub(super) fn sample_verdict(
    set: &EvaluationSet,
    seen: &Observation,
    reference: Option<&Observation>,
) -> Option<SampleVerdict> {
    let (own, heldout) = (&set.own, &set.heldout);
    if !heldout.forget.is_empty() {
        return None;
    }
    let unseen = Unseen::for_set(set);
    let forgot = confidence(&seen.own.logits, &own.rows, &own.forget)?;
    let never = confidence(&seen.heldout.logits, &heldout.rows, &unseen.picked)?;
    let Area { value, error } = weighted_area(&forgot, &never, &unseen.weights)?;
    let retrained = match reference {
        Some(reference) => confidence(&reference.own.logits, &own.rows, &own.forget),
        None => None,
    };
    let above = |at: usize| Some(forgot[at] - retrained.as_ref()?.get(at)?);
    let standing_out = |at: &usize| above(*at).unwrap_or(forgot[*at]);
    let weakest = (0..forgot.len()).max_by(|a, b| standing_out(a).total_cmp(&standing_out(b)))?;
    let alike = vec![1.0; forgot.len()];
    let right = [
        mean(&named_right(own, &seen.own.logits, &own.forget), &alike),
        mean(
            &named_right(heldout, &seen.heldout.logits, &unseen.picked),
            &unseen.weights,
        ),
    ];
    let losses = |odds: &[f64]| -> Vec<f64> { odds.iter().map(|odds| loss(*odds)).collect() };
    Some(SampleVerdict {
        forgotten: forgot.len(),
        unseen: never.len(),
        accuracy: right,
        loss: [
            mean(&losses(&forgot), &alike),
            mean(&losses(&never), &unseen.weights),
        ],
        area: value,
        interval: [value - SIDES * error, value + SIDES * error].map(|end| end.clamp(0.0, 1.0)),
        weakest: Weakest {
            id: own.set.ids()[own.forget[weakest]].clone(),
            share: weighted_area(&forgot[weakest..=weakest], &never, &unseen.weights)?.value,
            above_retrained: above(weakest),
        },
    })
}

/// 1 for every picked sample that is named right, and 0 for the others.
fn named_right(split: &EvalSplit, logits: &Matrix, picked: &[usize]) -> Vec<f64> {
    let said = predictions(logits);
    let right = |at: &usize| f64::from(u8::from(Some(said[*at]) == split.rows[*at]));
    picked.iter().map(right).collect()
}

fn mean(values: &[f64], weights: &[f64]) -> f64 {
    let sum: f64 = values
        .iter()
        .zip(weights)
        .map(|(value, weight)| value * weight)
        .sum();
    sum / weights.iter().sum::<f64>()
}

/// The cross-entropy of a sample with these log-odds.
fn loss(odds: f64) -> f64 {
    // ln(1 + e^-o), without overflow.
    (-odds).max(0.0) + (-odds.abs()).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_follow_from_log_odds() {
        for (odds, wanted) in [(0.0, 2f64.ln()), (800.0, 0.0), (-800.0, 800.0)] {
            assert!((loss(odds) - wanted).abs() < 1e-12, "{odds}");
        }
    }
}
