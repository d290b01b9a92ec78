//! Parent inference: proposes which model inherited from which, from weights alone.
//!
//! A model that goes on from another stays near it: fine-tuning moves weights by a fraction of their
//! norm, frozen tensors not at all, while two networks with separate initial weights are about sqrt(2)
//! norms apart (random vectors of many dimensions are nearly orthogonal). The nearest earlier model is
//! proposed as the parent. It is a proposal: the nearest model need not be the parent.

use std::collections::{BTreeMap, BTreeSet};

use disinherit_formats::{Dtype, FormatError, TensorSource, widened};
use disinherit_registry::Digest;
use umig::Relation;

/// Values of a tensor that are compared.
const VALUES: usize = 4096;

/// Below this nothing is proposed.
const LEAST: f64 = 0.25;

/// A small summary of a model's weights, enough to compare it with others.
pub struct WeightSketch {
    name: String,
    /// When it was made, in milliseconds since 1970-01-01 UTC, by its file.
    time: u64,
    tensors: BTreeMap<String, TensorSketch>,
}

/// The part of a [`WeightSketch`] about one tensor.
struct TensorSketch {
    dtype: Dtype,
    shape: Vec<usize>,
    digest: Digest,
    /// Some of its values, at the same places in tensors of one shape; empty where they are no
    /// floating-point numbers.
    values: Vec<f32>,
}

impl TensorSketch {
    fn read(
        source: &dyn TensorSource,
        name: &str,
        dtype: Dtype,
        shape: Vec<usize>,
    ) -> Result<Self, FormatError> {
        let step = shape.iter().product::<usize>().div_ceil(VALUES).max(1);
        let mut kept = Vec::new();
        // How many values from here the next one is kept.
        let mut next = 0;
        let digest = Digest::from_pieces(&mut *source.reader(name)?, |piece| {
            let values = widened(dtype, piece).unwrap_or_default();
            kept.extend(values.iter().skip(next).step_by(step));
            let over = values.len().saturating_sub(next) % step;
            next = match (values.len() > next, over) {
                (false, _) => next - values.len(),
                (true, 0) => 0,
                (true, over) => step - over,
            };
        });
        Ok(Self {
            dtype,
            shape,
            digest: digest.map_err(FormatError::io("read", name))?,
            values: kept,
        })
    }

    fn weight(&self) -> f64 {
        self.shape.iter().map(|length| *length as f64).product()
    }
}

/// A parent that the weights suggest for one model.
#[derive(Debug, Clone, PartialEq)]
pub struct ParentProposal {
    /// The model.
    pub child: String,
    /// The parent.
    pub parent: String,
    /// How the model seems to have inherited.
    pub relation: Relation,
    /// How sure the proposal is, 0 to 1.
    pub confidence: f64,
    /// The share of parameters in tensors that are the same in both, 0 to 1.
    pub shared: f64,
    /// The distance of the other tensors, in units of their norm: 0 for equal ones, about 1.4 for
    /// unrelated models.
    pub distance: f64,
}

impl WeightSketch {
    /// Reads a model's tensors, piece by piece, and keeps what comparing needs.
    ///
    /// # Errors
    /// [`FormatError`] when a tensor cannot be read.
    pub fn from_tensors(
        name: impl Into<String>,
        time: u64,
        source: &dyn TensorSource,
    ) -> Result<Self, FormatError> {
        let mut tensors = BTreeMap::new();
        for (name, (dtype, shape)) in source.tensors() {
            let sketch = TensorSketch::read(source, &name, dtype, shape)?;
            tensors.insert(name, sketch);
        }
        Ok(Self {
            name: name.into(),
            time,
            tensors,
        })
    }

    /// The share of parameters in equal tensors, and the distance of the others; nothing where the
    /// models have too little in common to be compared.
    fn compare(&self, other: &Self) -> Option<(f64, f64)> {
        let (mut same, mut compared, mut all) = (0.0, 0.0, 0.0);
        let (mut apart, mut length) = (0.0, 0.0);
        for (name, sketch) in &self.tensors {
            all += sketch.weight();
            let Some(twin) = other.tensors.get(name) else {
                continue;
            };
            if twin.shape != sketch.shape {
                continue;
            }
            compared += sketch.weight();
            if twin.digest == sketch.digest && twin.dtype == sketch.dtype {
                same += sketch.weight();
                continue;
            }
            for (a, b) in sketch.values.iter().zip(&twin.values) {
                let (a, b) = (f64::from(*a), f64::from(*b));
                apart += (a - b).powi(2);
                length += (a * a + b * b) / 2.0;
            }
        }
        if compared < all / 2.0 || all == 0.0 {
            return None;
        }
        let distance = if length > 0.0 {
            (apart / length).sqrt()
        } else {
            0.0
        };
        Some((same / all, distance))
    }

    /// The tensors that are the same in both.
    fn frozen(&self, other: &Self) -> Vec<String> {
        let same = |(name, sketch): &(&String, &TensorSketch)| {
            let twin = other.tensors.get(*name);
            twin.is_some_and(|twin| twin.digest == sketch.digest && twin.shape == sketch.shape)
        };
        let frozen = self.tensors.iter().filter(same);
        frozen.map(|(name, _)| name.clone()).collect()
    }
}

/// How near two models are: 0 for unrelated ones, 1 for equal ones.
fn nearness((shared, distance): (f64, f64)) -> f64 {
    let near = (1.0 - distance / std::f64::consts::SQRT_2).clamp(0.0, 1.0);
    shared + (1.0 - shared) * near
}

/// Proposes a parent for each of `models` that has none in `known` (pairs of child and parent) and
/// seems to have one among the models made before it. Models of the same time are ordered so that the
/// most central one comes first; such proposals get half the confidence. A model's own descendant is
/// never proposed as its parent.
pub fn infer_parents(
    mut models: Vec<WeightSketch>,
    known: &[(String, String)],
) -> Vec<ParentProposal> {
    let mut edges: BTreeSet<(String, String)> = known.iter().cloned().collect();
    let central = centrality(&models);
    models.sort_by(|a, b| {
        let by_time = a.time.cmp(&b.time);
        let far = |sketch: &WeightSketch| central.get(&sketch.name).copied().unwrap_or(0.0);
        by_time
            .then(far(b).total_cmp(&far(a)))
            .then(a.name.cmp(&b.name))
    });
    let mut proposals = Vec::new();
    for (place, child) in models.iter().enumerate() {
        if known.iter().any(|(name, _)| *name == child.name) {
            continue;
        }
        let below = descendants(&edges, &child.name);
        let before = models[..place].iter();
        let candidates = before.filter(|parent| !below.contains(&parent.name));
        if let Some(proposal) = propose(child, candidates) {
            edges.insert((child.name.clone(), proposal.parent.clone()));
            proposals.push(proposal);
        }
    }
    proposals
}

/// The nearest of the candidates, if it is near enough to be the parent.
fn propose<'a>(
    child: &WeightSketch,
    candidates: impl Iterator<Item = &'a WeightSketch>,
) -> Option<ParentProposal> {
    let mut measured: Vec<(f64, &WeightSketch, (f64, f64))> = candidates
        .filter_map(|parent| {
            let measured = child.compare(parent)?;
            Some((nearness(measured), parent, measured))
        })
        .collect();
    measured.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (near, parent, (shared, distance)) = measured.first().copied()?;
    if near < LEAST {
        return None;
    }
    // A runner-up that is as near might be the parent just as well.
    let apart = measured.get(1).map_or(1.0, |second| {
        let (best, next) = (1.0 - near, 1.0 - second.0);
        if next > 0.0 {
            (next - best) / next
        } else {
            0.0
        }
    });
    let order = if parent.time < child.time { 1.0 } else { 0.5 };
    let relation = if shared > 0.5 {
        let frozen = child.frozen(parent);
        Relation::Transfer { frozen }
    } else {
        Relation::FineTune
    };
    Some(ParentProposal {
        child: child.name.clone(),
        parent: parent.name.clone(),
        relation,
        confidence: near * (0.5 + apart / 2.0) * order,
        shared,
        distance,
    })
}

/// The names of all descendants of a model.
fn descendants(edges: &BTreeSet<(String, String)>, of: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![of.to_owned()];
    while let Some(name) = open.pop() {
        for (child, parent) in edges {
            if *parent == name && found.insert(child.clone()) {
                open.push(child.clone());
            }
        }
    }
    found
}

/// The sum of each model's nearness to all others.
fn centrality(models: &[WeightSketch]) -> BTreeMap<String, f64> {
    models
        .iter()
        .map(|model| {
            let others = models.iter().filter(|other| other.name != model.name);
            let near = others.filter_map(|other| model.compare(other).map(nearness));
            (model.name.clone(), near.sum())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use disinherit_formats::Tensor;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    struct Weights(BTreeMap<String, Tensor>);

    impl TensorSource for Weights {
        fn tensors(&self) -> BTreeMap<String, (Dtype, Vec<usize>)> {
            let tensors = self.0.iter();
            tensors
                .map(|(name, t)| (name.clone(), (t.dtype, t.shape.clone())))
                .collect()
        }

        fn tensor(&self, name: &str) -> Result<Tensor, FormatError> {
            Ok(self.0[name].clone())
        }
    }

    fn random(count: usize, scale: f32, seed: u64) -> Vec<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (0..count)
            .map(|_| rng.random_range(-scale..scale))
            .collect()
    }

    fn model(backbone: &[f32], head: &[f32]) -> Weights {
        Weights(BTreeMap::from([
            ("body.weight".into(), Tensor::from_f32(&[40, 50], backbone)),
            ("fc.weight".into(), Tensor::from_f32(&[4, 40], head)),
        ]))
    }

    fn moved(from: &[f32], by: f32, seed: u64) -> Vec<f32> {
        let steps = random(from.len(), by, seed);
        from.iter()
            .zip(steps)
            .map(|(value, step)| value + step)
            .collect()
    }

    #[test]
    fn inherited_models_are_told_from_unrelated_ones() {
        let (body, head) = (random(2000, 1.0, 1), random(160, 1.0, 2));
        let tuned = moved(&body, 0.2, 3);
        let again = moved(&tuned, 0.2, 4);
        let sketch = |name: &str, time, weights: &Weights| {
            WeightSketch::from_tensors(name, time, weights).unwrap()
        };
        let found = infer_parents(
            vec![
                sketch(
                    "unrelated",
                    1,
                    &model(&random(2000, 1.0, 9), &random(160, 1.0, 8)),
                ),
                sketch("grandchild", 4, &model(&again, &moved(&head, 0.2, 7))),
                sketch("base", 1, &model(&body, &head)),
                sketch("frozen", 3, &model(&body, &moved(&head, 0.5, 6))),
                sketch("fine-tuned", 2, &model(&tuned, &moved(&head, 0.2, 5))),
            ],
            &[],
        );
        let told: Vec<(&str, &str, &str)> = found
            .iter()
            .map(|p| (p.child.as_str(), p.parent.as_str(), p.relation.name()))
            .collect();
        let expected = [
            ("fine-tuned", "base", "fine_tune"),
            ("frozen", "base", "transfer"),
            ("grandchild", "fine-tuned", "fine_tune"),
        ];
        assert_eq!(told, expected, "{found:?}");
        assert!(found.iter().all(|p| p.confidence > 0.3), "{found:?}");
        assert!(found[1].shared > 0.9 && found[0].shared == 0.0);
    }

    #[test]
    fn known_parents_are_kept() {
        let (body, head) = (random(2000, 1.0, 1), random(160, 1.0, 2));
        let sketch = |name: &str, seed| {
            let weights = model(&moved(&body, 0.1, seed), &head);
            WeightSketch::from_tensors(name, 5, &weights).unwrap()
        };
        let known = [
            ("a".to_owned(), "b".to_owned()),
            ("b".to_owned(), "c".to_owned()),
        ];
        let found = infer_parents(
            vec![
                sketch("a", 1),
                sketch("b", 2),
                sketch("c", 3),
                sketch("d", 4),
            ],
            &known,
        );
        let children: Vec<&str> = found.iter().map(|p| p.child.as_str()).collect();
        assert!(
            !children.contains(&"a") && !children.contains(&"b"),
            "{found:?}"
        );
        for proposal in found.iter().filter(|p| p.child == "c") {
            assert_eq!(proposal.parent, "d");
        }
    }

    #[test]
    fn without_times_the_most_central_comes_first_and_is_trusted_less() {
        let (body, head) = (random(2000, 1.0, 1), random(160, 1.0, 2));
        let inherited = (0..3u64).map(|n| {
            let weights = model(&moved(&body, 0.3, 10 + n), &head);
            WeightSketch::from_tensors(format!("inherited{n}"), 5, &weights).unwrap()
        });
        let base = WeightSketch::from_tensors("root", 5, &model(&body, &head)).unwrap();
        let found = infer_parents(inherited.chain([base]).collect(), &[]);
        assert_eq!(found.len(), 3);
        assert!(
            found
                .iter()
                .all(|p| p.parent == "root" && p.confidence < 0.5),
            "{found:?}"
        );
    }
}
