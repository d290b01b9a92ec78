//! Who inherited from whom, told from weights alone.
//!
//! A model that goes on from another stays near it: fine-tuning moves weights by a fraction of their
//! length, frozen tensors not at all, while two networks that started apart are about sqrt(2) lengths
//! away from each other (random vectors of many dimensions are nearly orthogonal). The nearest earlier
//! model is proposed as the parent. It is a proposal: who is nearest need not be who is the parent.

use std::collections::{BTreeMap, BTreeSet};

use disinherit_formats::{Dtype, TensorSource};
use disinherit_registry::{Digest, RegistryError};
use umig::Relation;

/// Values of a tensor that are compared.
const VALUES: usize = 4096;

/// Below this nothing is proposed.
const LEAST: f64 = 0.25;

/// What is known of one model.
pub struct Kin {
    name: String,
    /// When it was made, by its file.
    time: u64,
    tensors: BTreeMap<String, Trace>,
}

/// What is left of a tensor for comparing.
struct Trace {
    dtype: Dtype,
    shape: Vec<usize>,
    digest: Digest,
    /// Some of its values, at the same places in tensors of one shape; empty where they are no
    /// floating-point numbers.
    values: Vec<f32>,
}

impl Trace {
    fn weight(&self) -> f64 {
        self.shape.iter().map(|length| *length as f64).product()
    }
}

/// Who one model seems to come from.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// The model.
    pub child: String,
    /// The parent.
    pub parent: String,
    /// How.
    pub relation: Relation,
    /// 0 to 1.
    pub confidence: f64,
    /// The share of parameters in tensors that are the same in both.
    pub shared: f64,
    /// How far the others are apart, in lengths of the weights: 0 for the same, about 1.4 for
    /// strangers.
    pub distance: f64,
}

impl Kin {
    /// Reads a model's tensors, one at a time, and keeps what comparing needs.
    ///
    /// # Errors
    /// [`RegistryError`] when a tensor cannot be read.
    pub fn of(
        name: impl Into<String>,
        time: u64,
        source: &dyn TensorSource,
    ) -> Result<Self, RegistryError> {
        let mut tensors = BTreeMap::new();
        for name in source.tensors().into_keys() {
            let tensor = source.tensor(&name)?;
            let values = tensor.to_f32().unwrap_or_default();
            let step = values.len().div_ceil(VALUES).max(1);
            let trace = Trace {
                dtype: tensor.dtype,
                digest: Digest::from_content(&tensor.bytes),
                values: values.into_iter().step_by(step).collect(),
                shape: tensor.shape,
            };
            tensors.insert(name, trace);
        }
        Ok(Self {
            name: name.into(),
            time,
            tensors,
        })
    }

    /// The share of parameters in equal tensors, and the distance of the others; nothing where they
    /// have too little in common to be compared.
    fn compare(&self, other: &Self) -> Option<(f64, f64)> {
        let (mut same, mut compared, mut all) = (0.0, 0.0, 0.0);
        let (mut apart, mut length) = (0.0, 0.0);
        for (name, trace) in &self.tensors {
            all += trace.weight();
            let Some(twin) = other.tensors.get(name) else {
                continue;
            };
            if twin.shape != trace.shape {
                continue;
            }
            compared += trace.weight();
            if twin.digest == trace.digest && twin.dtype == trace.dtype {
                same += trace.weight();
                continue;
            }
            for (a, b) in trace.values.iter().zip(&twin.values) {
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
        let same = |(name, trace): &(&String, &Trace)| {
            let twin = other.tensors.get(*name);
            twin.is_some_and(|twin| twin.digest == trace.digest && twin.shape == trace.shape)
        };
        let frozen = self.tensors.iter().filter(same);
        frozen.map(|(name, _)| name.clone()).collect()
    }
}

/// How near two models are, 0 for strangers to 1 for the same.
fn nearness((shared, distance): (f64, f64)) -> f64 {
    let near = (1.0 - distance / std::f64::consts::SQRT_2).clamp(0.0, 1.0);
    shared + (1.0 - shared) * near
}

/// Proposes a parent for each of `models` that has none in `known` (child, parent) and seems to have
/// one among those made before it. Models of the same time are ordered so that the most central one
/// comes first, and trusted half as much. Nobody's descendant is proposed as its parent.
pub fn infer_parents(mut models: Vec<Kin>, known: &[(String, String)]) -> Vec<Proposal> {
    let mut edges: BTreeSet<(String, String)> = known.iter().cloned().collect();
    let central = centrality(&models);
    models.sort_by(|a, b| {
        let by_time = a.time.cmp(&b.time);
        let far = |kin: &Kin| central.get(&kin.name).copied().unwrap_or(0.0);
        by_time
            .then(far(b).total_cmp(&far(a)))
            .then(a.name.cmp(&b.name))
    });
    let mut proposals = Vec::new();
    for (place, child) in models.iter().enumerate() {
        if known.iter().any(|(name, _)| *name == child.name) {
            continue;
        }
        let heirs = descendants(&edges, &child.name);
        let mut before: Vec<(f64, &Kin, (f64, f64))> = models[..place]
            .iter()
            .filter(|parent| !heirs.contains(&parent.name))
            .filter_map(|parent| {
                let measured = child.compare(parent)?;
                Some((nearness(measured), parent, measured))
            })
            .collect();
        before.sort_by(|a, b| b.0.total_cmp(&a.0));
        let Some((near, parent, (shared, distance))) = before.first().copied() else {
            continue;
        };
        // A runner-up that is as near might be the parent just as well.
        let apart = before.get(1).map_or(1.0, |second| {
            let (best, next) = (1.0 - near, 1.0 - second.0);
            if next > 0.0 {
                (next - best) / next
            } else {
                0.0
            }
        });
        let order = if parent.time < child.time { 1.0 } else { 0.5 };
        let confidence = near * (0.5 + apart / 2.0) * order;
        if near < LEAST {
            continue;
        }
        edges.insert((child.name.clone(), parent.name.clone()));
        let frozen = child.frozen(parent);
        proposals.push(Proposal {
            child: child.name.clone(),
            parent: parent.name.clone(),
            relation: if shared > 0.5 {
                Relation::Transfer { frozen }
            } else {
                Relation::FineTune
            },
            confidence,
            shared,
            distance,
        });
    }
    proposals
}

/// Everybody below a model.
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
fn centrality(models: &[Kin]) -> BTreeMap<String, f64> {
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

        fn tensor(&self, name: &str) -> Result<Tensor, disinherit_formats::FormatError> {
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
    fn families_are_told_from_strangers() {
        let (body, head) = (random(2000, 1.0, 1), random(160, 1.0, 2));
        let tuned = moved(&body, 0.2, 3);
        let again = moved(&tuned, 0.2, 4);
        let kin = |name: &str, time, weights: &Weights| Kin::of(name, time, weights).unwrap();
        let found = infer_parents(
            vec![
                kin(
                    "stranger",
                    1,
                    &model(&random(2000, 1.0, 9), &random(160, 1.0, 8)),
                ),
                kin("grandchild", 4, &model(&again, &moved(&head, 0.2, 7))),
                kin("base", 1, &model(&body, &head)),
                kin("frozen", 3, &model(&body, &moved(&head, 0.5, 6))),
                kin("tuned", 2, &model(&tuned, &moved(&head, 0.2, 5))),
            ],
            &[],
        );
        let told: Vec<(&str, &str, &str)> = found
            .iter()
            .map(|p| (p.child.as_str(), p.parent.as_str(), p.relation.name()))
            .collect();
        let expected = [
            ("tuned", "base", "fine_tune"),
            ("frozen", "base", "transfer"),
            ("grandchild", "tuned", "fine_tune"),
        ];
        assert_eq!(told, expected, "{found:?}");
        assert!(found.iter().all(|p| p.confidence > 0.3), "{found:?}");
        assert!(found[1].shared > 0.9 && found[0].shared == 0.0);
    }

    #[test]
    fn what_is_known_is_believed() {
        let (body, head) = (random(2000, 1.0, 1), random(160, 1.0, 2));
        let kin = |name: &str, seed| {
            let weights = model(&moved(&body, 0.1, seed), &head);
            Kin::of(name, 5, &weights).unwrap()
        };
        let known = [
            ("a".to_owned(), "b".to_owned()),
            ("b".to_owned(), "c".to_owned()),
        ];
        let found = infer_parents(
            vec![kin("a", 1), kin("b", 2), kin("c", 3), kin("d", 4)],
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
        let heirs = (0..3u64).map(|n| {
            let weights = model(&moved(&body, 0.3, 10 + n), &head);
            Kin::of(format!("heir{n}"), 5, &weights).unwrap()
        });
        let base = Kin::of("root", 5, &model(&body, &head)).unwrap();
        let found = infer_parents(heirs.chain([base]).collect(), &[]);
        assert_eq!(found.len(), 3);
        assert!(
            found
                .iter()
                .all(|p| p.parent == "root" && p.confidence < 0.5),
            "{found:?}"
        );
    }
}
