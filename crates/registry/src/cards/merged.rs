//! Cards of one model from parts of its data, as one.

use std::collections::BTreeMap;

use fiun::{FisherTensor, HeadFisher, LayerFisher, LowRankGaussian, mean};

use crate::cards::activations::{ActivationStatistics, ClassActivations};
use crate::cards::card::{CardSource, FisherCard};
use crate::digest::Digest;
use crate::error::RegistryError;

/// Draws of each class that merged activation statistics are fitted to.
const DRAWS: usize = 800;

impl FisherCard {
    /// The card of a model from cards that were computed on disjoint parts of its data, by clients that share
    /// none of it. FIMs are the means of theirs by numbers of samples, which is exact for the estimators of single
    /// samples. Of inner layers those are kept that all cards have. Activation statistics of a class that
    /// several cards have are fitted anew to draws from theirs.
    ///
    /// # Errors
    /// [`RegistryError::Card`] when there is no card, or they are of different models, heads or estimators.
    pub fn merged(cards: &[Self]) -> Result<Self, RegistryError> {
        let Some((first, rest)) = cards.split_first() else {
            return Err(refused("there is none to merge"));
        };
        if rest.is_empty() {
            return Ok(first.clone());
        }
        for other in rest {
            let (one, two) = (&first.header, &other.header);
            if one.model != two.model {
                return Err(refused("those to be merged are of different models"));
            }
            if one.head != two.head || one.outputs != two.outputs {
                return Err(refused("those to be merged have different heads or labels"));
            }
            if one.estimator != two.estimator {
                return Err(refused("those to be merged have different estimators"));
            }
        }
        let data: Vec<&str> = cards.iter().map(|card| card.header.data.as_str()).collect();
        let (classes, fisher) = heads(cards)?;
        let source = CardSource {
            model: first.header.model,
            data: Digest::from_content(data.join(" ").as_bytes()).to_string(),
            head: first.header.head.clone(),
            outputs: first.header.outputs.clone(),
            classes,
            precision: None,
            time: cards.iter().map(|card| card.header.time).max().unwrap_or(0),
        };
        Ok(Self {
            activations: activations(cards)?,
            ..Self::new(source, fisher, inner(cards)?)?
        })
    }
}

fn refused(reason: &str) -> RegistryError {
    RegistryError::Card(reason.to_owned())
}

fn of_fisher(error: fiun::FisherError) -> RegistryError {
    RegistryError::Card(error.to_string())
}

/// The share of each number of samples.
fn shares(counts: &[u64]) -> Vec<f64> {
    let all = counts.iter().sum::<u64>().max(1) as f64;
    counts.iter().map(|count| *count as f64 / all).collect()
}

/// The classes of all cards, and the FIM of the head for each and in total.
fn heads(cards: &[FisherCard]) -> Result<(Vec<String>, HeadFisher), RegistryError> {
    let mut classes: Vec<String> = Vec::new();
    for name in cards.iter().flat_map(|card| &card.header.classes) {
        if !classes.contains(name) {
            classes.push(name.clone());
        }
    }
    let first = &cards[0].fisher;
    let shape = first.total.weight.shape();
    let empty = LayerFisher::new(FisherTensor::zeros(shape), FisherTensor::zeros(&shape[..1]));
    let empty = empty.map_err(of_fisher)?;
    let (mut counts, mut per_class) = (Vec::new(), Vec::new());
    for class in &classes {
        let mut parts = Vec::new();
        for card in cards {
            let names = &card.header.classes;
            let Some(at) = names.iter().position(|name| name == class) else {
                continue;
            };
            if card.fisher.counts[at] > 0 {
                parts.push((&card.fisher.per_class[at], card.fisher.counts[at]));
            }
        }
        let own: Vec<u64> = parts.iter().map(|(_, count)| *count).collect();
        let parts: Vec<_> = parts
            .iter()
            .map(|(part, _)| *part)
            .zip(shares(&own))
            .collect();
        per_class.push(match parts.is_empty() {
            true => empty.clone(),
            false => LayerFisher::mean_of(&parts).map_err(of_fisher)?,
        });
        counts.push(own.iter().sum());
    }
    let totals = cards.iter().map(|card| &card.fisher.total);
    let totals: Vec<_> = totals.zip(shares(&samples(cards))).collect();
    let fisher = HeadFisher {
        estimator: first.estimator,
        counts,
        per_class,
        total: LayerFisher::mean_of(&totals).map_err(of_fisher)?,
    };
    Ok((classes, fisher))
}

fn samples(cards: &[FisherCard]) -> Vec<u64> {
    cards.iter().map(|card| card.header.samples()).collect()
}

/// The FIM of the inner layers that all cards have.
fn inner(cards: &[FisherCard]) -> Result<BTreeMap<String, FisherTensor>, RegistryError> {
    let shares = shares(&samples(cards));
    let mut merged = BTreeMap::new();
    for name in cards[0].inner.keys() {
        let tensors: Option<Vec<_>> = cards.iter().map(|card| card.inner.get(name)).collect();
        if let Some(tensors) = tensors {
            let parts: Vec<_> = tensors.into_iter().zip(shares.iter().copied()).collect();
            merged.insert(name.clone(), mean(&parts).map_err(of_fisher)?);
        }
    }
    Ok(merged)
}

/// The activation statistics of all classes, where every card has some, and of the same layer.
fn activations(cards: &[FisherCard]) -> Result<Option<ActivationStatistics>, RegistryError> {
    let all: Option<Vec<_>> = cards.iter().map(|card| card.activations.as_ref()).collect();
    let Some(all) = all else { return Ok(None) };
    let first = all[0];
    let kind_of = |statistics: &ActivationStatistics| ActivationStatistics {
        classes: Vec::new(),
        ..statistics.clone()
    };
    let kind = kind_of(first);
    if all.iter().any(|other| kind_of(other) != kind) {
        return Ok(None);
    }
    let mut by_label: BTreeMap<&str, Vec<&ClassActivations>> = BTreeMap::new();
    for class in all.iter().flat_map(|statistics| &statistics.classes) {
        by_label.entry(&class.label).or_default().push(class);
    }
    let merged = by_label.into_values().map(of_class);
    Ok(Some(ActivationStatistics {
        classes: merged.collect::<Result<_, _>>()?,
        ..kind
    }))
}

/// One class, from what several cards have of it.
fn of_class(parts: Vec<&ClassActivations>) -> Result<ClassActivations, RegistryError> {
    if let [only] = parts[..] {
        return Ok(only.clone());
    }
    let counts: Vec<u64> = parts.iter().map(|part| part.samples).collect();
    let (mut values, mut rows, mut rank) = (Vec::new(), 0, 0);
    for (seed, (part, share)) in parts.iter().zip(shares(&counts)).enumerate() {
        let count = ((DRAWS as f64 * share).round() as usize).max(1);
        let draws = part.gaussian.draw(count, seed as u64).map_err(of_fisher)?;
        values.extend(draws.into_values());
        rows += count;
        rank = rank.max(part.gaussian.directions().rows());
    }
    let drawn = fiun::Matrix::new(rows, values.len() / rows, values).map_err(of_fisher)?;
    let gaussian = LowRankGaussian::fit(drawn.view(), rank, 0).map_err(of_fisher)?;
    Ok(ClassActivations {
        label: parts[0].label.clone(),
        samples: counts.iter().sum(),
        gaussian,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use fiun::{Estimator, Matrix, head_fisher, residuals};

    use super::*;

    const CLASSES: [&str; 3] = ["ant", "bee", "cat"];

    /// Features, logits and labels of so many samples, of all classes or of one.
    fn samples(count: usize, start: usize) -> (Matrix, Matrix, Vec<u32>) {
        let number = |at: usize| ((at * 7919 + start * 104_729) % 1000) as f32 / 500.0 - 1.0;
        let features = (0..count * 4).map(&number).collect();
        let logits = (0..count * 3).map(|at| 2.0 * number(at + 77)).collect();
        let labels = (0..count).map(|at| ((at + start) % 3) as u32).collect();
        (
            Matrix::new(count, 4, features).unwrap(),
            Matrix::new(count, 3, logits).unwrap(),
            labels,
        )
    }

    fn card(parts: &[(Matrix, Matrix, Vec<u32>)], model: &[u8]) -> FisherCard {
        let join = |of: fn(&(Matrix, Matrix, Vec<u32>)) -> &Matrix| {
            let values: Vec<f32> = parts.iter().flat_map(|p| of(p).values().to_vec()).collect();
            let cols = of(&parts[0]).cols();
            Matrix::new(values.len() / cols, cols, values).unwrap()
        };
        let (features, logits) = (join(|p| &p.0), join(|p| &p.1));
        let labels: Vec<u32> = parts.iter().flat_map(|p| p.2.clone()).collect();
        let made = residuals(logits.view(), &labels, Estimator::Empirical).unwrap();
        let fisher = head_fisher(
            features.view(),
            made.view(),
            &labels,
            3,
            Estimator::Empirical,
        );
        let names: Vec<String> = CLASSES.iter().map(|name| (*name).to_owned()).collect();
        let source = CardSource {
            model: Digest::from_content(model),
            data: format!("{} samples", labels.len()),
            head: "head".into(),
            outputs: names.clone(),
            classes: names,
            precision: None,
            time: 1,
        };
        FisherCard::new(source, fisher.unwrap(), BTreeMap::new()).unwrap()
    }

    #[test]
    fn the_card_of_parts_is_the_card_of_the_whole() {
        let parts = [samples(9, 0), samples(20, 1), samples(1, 2)];
        let whole = card(&parts, b"model");
        let cards: Vec<_> = parts
            .iter()
            .map(|part| card(std::slice::from_ref(part), b"model"))
            .collect();
        let merged = FisherCard::merged(&cards).unwrap();
        assert_eq!(merged.fisher.counts, whole.fisher.counts);
        let close = |one: &LayerFisher, two: &LayerFisher| {
            let pairs = one.weight.entries().zip(two.weight.entries());
            pairs
                .chain(one.bias.entries().zip(two.bias.entries()))
                .all(|(a, b)| (a - b).abs() <= 1e-5 * b.abs().max(1e-12))
        };
        assert!(close(&merged.fisher.total, &whole.fisher.total));
        for (one, two) in merged.fisher.per_class.iter().zip(&whole.fisher.per_class) {
            assert!(close(one, two));
        }
        // One part alone is not the whole.
        assert!(!close(&cards[0].fisher.total, &whole.fisher.total));
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        let one = card(&[samples(9, 0)], b"model");
        let other = card(&[samples(9, 0)], b"another");
        let error = FisherCard::merged(&[one.clone(), other]).unwrap_err();
        assert!(error.to_string().contains("different models"), "{error}");
        assert!(FisherCard::merged(&[]).is_err());
        let mut renamed = one.clone();
        renamed.header.outputs[0] = "asp".into();
        let error = FisherCard::merged(&[one, renamed]).unwrap_err();
        assert!(error.to_string().contains("labels"), "{error}");
    }

    #[test]
    fn merged_statistics_have_the_moments_of_the_mixture() {
        let gaussian = |centre: f32| {
            let directions = Matrix::new(1, 3, vec![1.0, 0.0, 0.0]).unwrap();
            LowRankGaussian::from_parts(vec![centre, 0.0, 5.0], directions, vec![0.0, 0.5, 0.0])
                .unwrap()
        };
        let class = |centre: f32, samples: u64| ClassActivations {
            label: "cat".into(),
            samples,
            gaussian: gaussian(centre),
        };
        let (one, two) = (class(0.0, 30), class(4.0, 10));
        let merged = of_class(vec![&one, &two]).unwrap();
        assert_eq!(merged.samples, 40);
        let mean = merged.gaussian.mean();
        assert!(
            (mean[0] - 1.0).abs() < 0.15 && (mean[2] - 5.0).abs() < 1e-3,
            "{mean:?}"
        );
        // Within 1, and between the means 0.75 * 0.25 * 16.
        let along: f32 = merged
            .gaussian
            .directions()
            .values()
            .iter()
            .step_by(3)
            .map(|v| v * v)
            .sum();
        let variance = along + merged.gaussian.rest()[0].powi(2);
        assert!((variance - 4.0).abs() < 0.6, "{variance}");
    }
}
