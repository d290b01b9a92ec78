//! Losses and their gradients at the logits.

use crate::training::term::{Odds, Teacher, Term};

/// The loss of a batch, and its gradient at the logits, `[batch, rows of the head]`.
pub(super) struct Loss {
    pub(super) value: f64,
    pub(super) gradient: Vec<f32>,
}

/// What a term says of the samples at `indices`. `logits`: `[batch, rows of the head]`.
pub(super) fn loss(term: &Term<'_>, indices: &[usize], logits: &[f32]) -> Loss {
    let classes = (logits.len() / indices.len().max(1)).max(1);
    let mut loss = Loss {
        value: 0.0,
        gradient: vec![0.0; logits.len()],
    };
    let share = 1.0 / indices.len().max(1) as f64;
    let rows = logits.chunks_exact(classes).zip(indices);
    for ((z, &index), gradient) in rows.zip(loss.gradient.chunks_exact_mut(classes)) {
        if let Some((labels, weight)) = term.labels {
            loss.value += cross_entropy(z, labels[index], weight * share, gradient);
        }
        if let Some(teacher) = &term.teacher {
            loss.value += divergence(z, index, teacher, share, gradient);
        }
        if let Some(odds) = &term.odds {
            loss.value += distance(z, index, odds, share, gradient);
        }
    }
    loss
}

/// The gradient at the logits of what a loss ascends: minus the mean cross-entropy to head rows.
pub(super) fn ascent(rows: &[u32], indices: &[usize], logits: &[f32]) -> Vec<f32> {
    let classes = (logits.len() / indices.len().max(1)).max(1);
    let mut all = vec![0.0; logits.len()];
    let weight = -1.0 / indices.len().max(1) as f64;
    let samples = logits.chunks_exact(classes).zip(indices);
    for ((z, &index), gradient) in samples.zip(all.chunks_exact_mut(classes)) {
        cross_entropy(z, rows[index], weight, gradient);
    }
    all
}

fn cross_entropy(z: &[f32], label: u32, weight: f64, gradient: &mut [f32]) -> f64 {
    let own = log_softmax(z, 1.0);
    for (row, (gradient, log)) in gradient.iter_mut().zip(&own).enumerate() {
        let wanted = f64::from(u8::from(row == label as usize));
        *gradient += (weight * (log.exp() - wanted)) as f32;
    }
    -weight * own[label as usize]
}

/// `weight T^2 KL(teacher || network)`.
fn divergence(
    z: &[f32],
    index: usize,
    teacher: &Teacher<'_>,
    share: f64,
    gradient: &mut [f32],
) -> f64 {
    let temperature = teacher.temperature;
    let weight = teacher.weight * share;
    let wanted = log_softmax(teacher.logits.view().row(index), temperature);
    let own = log_softmax(z, temperature);
    let mut sum = 0.0;
    for ((gradient, own), wanted) in gradient.iter_mut().zip(&own).zip(&wanted) {
        sum += wanted.exp() * (wanted - own);
        *gradient += (weight * temperature * (own.exp() - wanted.exp())) as f32;
    }
    weight * temperature.powi(2) * sum
}

/// Huber's distance of log-odds, with its corner at 1.
fn distance(z: &[f32], index: usize, odds: &Odds<'_>, share: f64, gradient: &mut [f32]) -> f64 {
    let weight = odds.weight * share;
    let label = odds.rows[index] as usize;
    let others = |row: usize| row != label;
    let all = || z.iter().enumerate().filter(|(row, _)| others(*row));
    let top = all().fold(f64::NEG_INFINITY, |top, (_, v)| top.max(f64::from(*v)));
    let sum: f64 = all().map(|(_, v)| (f64::from(*v) - top).exp()).sum();
    let off = f64::from(z[label]) - (sum.ln() + top) - f64::from(odds.targets[index]);
    let slope = weight * off.clamp(-1.0, 1.0);
    for (row, (gradient, v)) in gradient.iter_mut().zip(z).enumerate() {
        let along = if others(row) {
            -(f64::from(*v) - top).exp() / sum
        } else {
            1.0
        };
        *gradient += (slope * along) as f32;
    }
    let size = off.abs();
    weight
        * if size <= 1.0 {
            0.5 * off * off
        } else {
            size - 0.5
        }
}

fn log_softmax(z: &[f32], temperature: f64) -> Vec<f64> {
    let scaled: Vec<f64> = z.iter().map(|v| f64::from(*v) / temperature).collect();
    let top = scaled.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = scaled.iter().map(|v| (v - top).exp()).sum();
    scaled.into_iter().map(|v| v - top - sum.ln()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use disinherit_data::{DataSet, ImageShape, Samples};
    use fiun::Matrix;

    use super::*;

    /// Of two samples: one to one against two equal others, and one far above them.
    #[test]
    fn the_distance_is_that_of_the_log_odds() {
        let value = |target: f32| {
            let odds = Odds {
                rows: &[2, 1, 0],
                targets: &[9.0, target, 50.0 - 2f32.ln()],
                weight: 2.0,
            };
            let mut gradient = [0.0; 3];
            distance(&[0.0; 3], 1, &odds, 0.5, &mut gradient)
                + distance(&[50.0, 0.0, 0.0], 2, &odds, 0.5, &mut gradient)
        };
        // The first sample's log-odds are -ln 2; the second's are met.
        assert!(value(-(2f32.ln())).abs() < 1e-5);
        // Half a square below 1, a straight line above; twice the mean of two.
        assert!((value(0.5 - 2f32.ln()) - 0.125).abs() < 1e-5);
        assert!((value(3.0 - 2f32.ln()) - 2.5).abs() < 1e-4);
    }

    /// All three at once, against differences.
    #[test]
    fn gradients_are_those_of_the_values() {
        let shape = ImageShape {
            channels: 1,
            height: 1,
            width: 1,
        };
        let pixels = vec![0; 3];
        let ids = (0..3).map(|n| n.to_string()).collect();
        let samples = Samples::Images { shape, pixels };
        let set = DataSet::new("dots", samples, vec![0; 3], vec!["a".into()], ids).unwrap();
        let logits = Matrix::new(3, 2, vec![0.3, -1.0, 2.0, 0.1, 0.0, 0.5]).unwrap();
        let teacher = Teacher {
            logits: &logits,
            temperature: 2.0,
            weight: -0.7,
        };
        let odds = Odds {
            rows: &[1, 0, 1],
            targets: &[0.5, -3.0, 0.9],
            weight: 0.3,
        };
        let term = Term {
            teacher: Some(teacher),
            odds: Some(odds),
            ..Term::labels(&set, &[1, 1, 0], 1.5)
        };
        let indices = [2, 0];
        let z = [0.4f32, -0.2, 1.1, 0.3];
        let found = loss(&term, &indices, &z);
        for at in 0..z.len() {
            let moved = |by: f32| {
                let mut z = z;
                z[at] += by;
                [f64::from(z[at]), loss(&term, &indices, &z).value]
            };
            let ([a, low], [b, high]) = (moved(-1e-3), moved(1e-3));
            let (slope, gradient) = ((high - low) / (b - a), f64::from(found.gradient[at]));
            assert!((slope - gradient).abs() < 1e-5, "{at}: {slope} {gradient}");
        }
    }
}
