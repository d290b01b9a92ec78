//! Targets for single samples that are forgotten: each is to be as certain as a model that never saw it would
//! be of it.
//!
//! What such a model would say of one sample is not known. Three things are: how certain the model is of
//! samples that it never saw, how certain it is of those that it learnt as it did the forgotten ones, and how
//! well something that learnt neither names each of them, its margin `m`. Two straight lines say how
//! certainty `o` goes with the margin:
//!
//! ```text
//! o ~ learnt(m)      over samples that were learnt
//! o ~ unseen(m)      over samples that were not
//! goal_i = unseen(m_i) + (o_i - learnt(m_i))
//! ```
//!
//! What is taken from a sample is what learning samples of its margin adds. What is left to it is what is
//! the model's own: by how much it is surer of this one than of others. A goal that leaves that out brings all samples of a
//! margin to one certainty, where models that never saw them scatter, and gives them away.
//!
//! Certainty is the log-odds of the true label ([`log_odds`](crate::log_odds)).

use std::collections::BTreeMap;

use crate::error::{FisherError, expect_len};

/// What is known of some samples, one value each.
#[derive(Debug, Clone, Copy)]
pub struct Readings<'a> {
    /// How well each is named by what did not learn it.
    pub margins: &'a [f64],
    /// How certain the model is of it.
    pub odds: &'a [f64],
}

/// How certain a model should be of samples that it is to forget.
#[derive(Debug, Clone, PartialEq)]
pub struct Outside {
    margins: Vec<f64>,
    /// By how much the model is surer of each than of other learnt samples of its margin.
    own: Vec<f64>,
}

impl Outside {
    /// From samples to be forgotten and others that were learnt in the same way.
    ///
    /// # Errors
    /// [`FisherError`] without samples, when lengths differ or something is not finite.
    pub fn new(forget: Readings<'_>, learnt: Readings<'_>) -> Result<Self, FisherError> {
        let line = Line::through(learnt)?;
        check(forget)?;
        let pairs = forget.margins.iter().zip(forget.odds);
        Ok(Self {
            own: pairs
                .map(|(margin, odds)| odds - line.at(*margin))
                .collect(),
            margins: forget.margins.to_vec(),
        })
    }

    /// The log-odds to aim at, beside unseen samples as the model finds them now.
    ///
    /// # Errors
    /// As [`Outside::new`].
    pub fn goals(&self, unseen: Readings<'_>) -> Result<Vec<f64>, FisherError> {
        let line = Line::through(unseen)?;
        let pairs = self.margins.iter().zip(&self.own);
        Ok(pairs.map(|(margin, own)| line.at(*margin) + own).collect())
    }
}

/// A straight line of least squares.
struct Line {
    slope: f64,
    /// The mean margin and certainty, through which it goes.
    through: [f64; 2],
}

impl Line {
    /// Level where all margins are equal.
    fn through(readings: Readings<'_>) -> Result<Self, FisherError> {
        check(readings)?;
        let Readings { margins, odds } = readings;
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let [x, y] = [mean(margins), mean(odds)];
        let pairs = margins.iter().zip(odds);
        let both: f64 = pairs.map(|(m, o)| (m - x) * (o - y)).sum();
        let squares: f64 = margins.iter().map(|m| (m - x).powi(2)).sum();
        Ok(Self {
            slope: if squares > 0.0 { both / squares } else { 0.0 },
            through: [x, y],
        })
    }

    fn at(&self, margin: f64) -> f64 {
        let [x, y] = self.through;
        y + self.slope * (margin - x)
    }
}

fn check(readings: Readings<'_>) -> Result<(), FisherError> {
    let Readings { margins, odds } = readings;
    if margins.is_empty() {
        return Err(FisherError::NoSamples(
            "whose certainty is asked for".into(),
        ));
    }
    expect_len("the list of log-odds", odds.len(), margins.len())?;
    finite(margins)?;
    finite(odds)
}

/// Weights under which samples have their labels in the proportions of the forget samples; all alike
/// where they have none of those labels. A few forget samples say little about proportions: `prior` is
/// how many more are assumed, with labels as the others have them.
pub fn label_weights(forget: &[u32], others: &[u32], prior: f64) -> Vec<f64> {
    let count = |labels: &[u32], label: u32| labels.iter().filter(|l| **l == label).count() as f64;
    let alike = prior / others.len() as f64;
    let mut of_label: BTreeMap<u32, f64> = BTreeMap::new();
    for label in others {
        let weight = || count(forget, *label) / count(others, *label) + alike;
        of_label.entry(*label).or_insert_with(weight);
    }
    let weights: Vec<f64> = others.iter().map(|label| of_label[label]).collect();
    if weights.iter().all(|weight| *weight == 0.0) {
        return vec![1.0; others.len()];
    }
    weights
}

fn finite(values: &[f64]) -> Result<(), FisherError> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(index) => Err(FisherError::NotFinite {
            what: "a measure of certainty",
            value: values[index] as f32,
            place: format!("sample {index}"),
        }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn of<'a>(margins: &'a [f64], odds: &'a [f64]) -> Readings<'a> {
        Readings { margins, odds }
    }

    /// Worked out by hand.
    #[test]
    fn what_learning_adds_to_a_margin_is_taken() {
        // Learnt: 10 + 2 m. Unseen: 1 + 6 m.
        let learnt = of(&[0.0, 1.0, 2.0], &[10.0, 12.0, 14.0]);
        let unseen = of(&[0.0, 0.5, 1.0], &[1.0, 4.0, 7.0]);
        // As sure as others of its margin; surer by 3; less sure by 1.
        let forget = of(&[1.0, 0.0, 2.0], &[12.0, 13.0, 13.0]);
        let outside = Outside::new(forget, learnt).unwrap();
        assert_eq!(outside.goals(unseen).unwrap(), [7.0, 4.0, 12.0]);
        // A model that has grown less sure of all unseen samples.
        let lower = of(&[0.0, 0.5, 1.0], &[0.0, 3.0, 6.0]);
        assert_eq!(outside.goals(lower).unwrap(), [6.0, 3.0, 11.0]);
    }

    #[test]
    fn where_margins_say_nothing_the_means_meet() {
        let outside = Outside::new(
            of(&[0.0; 2], &[9.0, 11.0]),
            of(&[0.0; 3], &[9.0, 10.0, 11.0]),
        );
        let goals = outside.unwrap().goals(of(&[0.0; 2], &[3.0, 5.0])).unwrap();
        assert_eq!(goals, [3.0, 5.0]);
    }

    #[test]
    fn the_line_is_that_of_least_squares() {
        // As polyfit of NumPy has it: 0.7 m + 1.
        let line = Line::through(of(&[1.0, 2.0, 3.0, 4.0], &[2.0, 2.0, 3.0, 4.0]));
        let line = line.unwrap();
        assert!((line.slope - 0.7).abs() < 1e-12 && (line.at(0.0) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn what_is_missing_or_no_number_is_refused() {
        let fine = of(&[0.0], &[1.0]);
        assert!(Outside::new(of(&[], &[]), fine).is_err());
        assert!(Outside::new(fine, of(&[0.0, 1.0], &[1.0])).is_err());
        let outside = Outside::new(fine, fine).unwrap();
        assert!(outside.goals(of(&[0.0], &[f64::NAN])).is_err());
    }

    #[test]
    fn weights_bring_labels_into_proportion() {
        let weights = label_weights(&[1, 1, 2], &[1, 2, 2, 3], 0.0);
        assert_eq!(weights, [2.0, 0.5, 0.5, 0.0]);
        // Four more, as the others have them: one of label 1, two of 2, one of 3.
        let weights = label_weights(&[1, 1, 2], &[1, 2, 2, 3], 4.0);
        assert_eq!(weights, [3.0, 1.5, 1.5, 1.0]);
        assert_eq!(label_weights(&[7], &[1, 2], 0.0), [1.0, 1.0]);
    }
}
