//! The common data-set type.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::digest::DataDigest;
use crate::error::DataError;
use crate::samples::{FeatureTable, ImageShape, Samples};

/// A data set: inputs, integer labels with names, and a stable id for each sample.
#[derive(Debug, Clone, PartialEq)]
pub struct DataSet {
    name: String,
    samples: Samples,
    labels: Vec<u32>,
    label_names: Vec<String>,
    ids: Vec<String>,
}

impl DataSet {
    /// A data set from its parts.
    ///
    /// # Errors
    /// [`DataError::Inconsistent`] when the lengths differ, a label has no name, or an id or a
    /// label name occurs twice.
    pub fn new(
        name: impl Into<String>,
        samples: Samples,
        labels: Vec<u32>,
        label_names: Vec<String>,
        ids: Vec<String>,
    ) -> Result<Self, DataError> {
        let name = name.into();
        let refuse = |reason: String| {
            Err(DataError::Inconsistent {
                name: name.clone(),
                reason,
            })
        };
        let count = labels.len();
        if let Err(reason) = samples.check(count) {
            return refuse(reason);
        }
        if ids.len() != count {
            return refuse(format!("{} ids for {count} labels", ids.len()));
        }
        if let Some(at) = labels.iter().position(|l| *l as usize >= label_names.len()) {
            return refuse(format!(
                "sample `{}` has label {}, but there are {} label names",
                ids[at],
                labels[at],
                label_names.len()
            ));
        }
        if let Some(twice) = first_repeated(&label_names) {
            return refuse(format!("the label name `{twice}` occurs twice"));
        }
        if let Some(twice) = first_repeated(&ids) {
            return refuse(format!("the sample id `{twice}` occurs twice"));
        }
        Ok(Self {
            name,
            samples,
            labels,
            label_names,
            ids,
        })
    }

    /// The data set's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number of samples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The inputs.
    pub fn samples(&self) -> &Samples {
        &self.samples
    }

    /// The label of each sample, an index into [`DataSet::label_names`].
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// The name of each label.
    pub fn label_names(&self) -> &[String] {
        &self.label_names
    }

    /// The stable id of each sample.
    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// The index of a label name.
    pub fn label_index(&self, name: &str) -> Option<u32> {
        self.label_names
            .iter()
            .position(|l| l == name)
            .map(|i| i as u32)
    }

    /// The number of samples of each label.
    pub fn counts(&self) -> Vec<u64> {
        let mut counts = vec![0; self.label_names.len()];
        for &label in &self.labels {
            counts[label as usize] += 1;
        }
        counts
    }

    /// The images' shape and the pixels of one image; `None` for tokens.
    ///
    /// # Panics
    /// When `index` is not below [`DataSet::len`].
    pub fn image(&self, index: usize) -> Option<(ImageShape, &[u8])> {
        match &self.samples {
            Samples::Images { shape, pixels } => Some((
                *shape,
                &pixels[index * shape.len()..(index + 1) * shape.len()],
            )),
            Samples::Tokens { .. } | Samples::Features(_) | Samples::External => None,
        }
    }

    /// One token sequence; `None` for images.
    ///
    /// # Panics
    /// When `index` is not below [`DataSet::len`].
    pub fn tokens(&self, index: usize) -> Option<&[u32]> {
        match &self.samples {
            Samples::Images { .. } | Samples::Features(_) | Samples::External => None,
            Samples::Tokens { sequences, .. } => Some(&sequences[index]),
        }
    }

    /// The images' shape; `None` for tokens.
    pub fn image_shape(&self) -> Option<ImageShape> {
        match &self.samples {
            Samples::Images { shape, .. } => Some(*shape),
            Samples::Tokens { .. } | Samples::Features(_) | Samples::External => None,
        }
    }

    /// The features that a model makes, by its name: a table that names it, or else one that names
    /// no model. `None` for other samples, or where no table is the model's.
    pub fn features_of(&self, model: &str) -> Option<&FeatureTable> {
        let Samples::Features(tables) = &self.samples else {
            return None;
        };
        tables
            .iter()
            .find(|table| table.models.iter().any(|name| name == model))
            .or_else(|| tables.iter().find(|table| table.models.is_empty()))
    }

    /// The same samples with the features of one model only; itself where it has no features.
    ///
    /// # Errors
    /// [`DataError::Inconsistent`] when it has features of other models only.
    pub fn seen_by(&self, model: &str) -> Result<Cow<'_, Self>, DataError> {
        let Samples::Features(tables) = &self.samples else {
            return Ok(Cow::Borrowed(self));
        };
        let table = self
            .features_of(model)
            .ok_or_else(|| DataError::Inconsistent {
                name: self.name.clone(),
                reason: format!(
                    "it has no features of `{model}`, only of {}; capture those of `{model}` too",
                    tables
                        .iter()
                        .flat_map(|table| table.models.iter().map(String::as_str))
                        .collect::<Vec<_>>()
                        .join(", ")
                ),
            })?;
        if tables.len() == 1 {
            return Ok(Cow::Borrowed(self));
        }
        Ok(Cow::Owned(Self {
            samples: Samples::Features(vec![table.clone()]),
            ..self.clone()
        }))
    }

    /// The samples at these indices, in this order, under the same names and ids.
    ///
    /// # Panics
    /// When an index is not below [`DataSet::len`].
    pub fn select(&self, indices: &[usize]) -> Self {
        let samples = match &self.samples {
            Samples::Images { shape, pixels } => {
                let size = shape.len();
                let mut chosen = Vec::with_capacity(indices.len() * size);
                for &index in indices {
                    chosen.extend_from_slice(&pixels[index * size..(index + 1) * size]);
                }
                Samples::Images {
                    shape: *shape,
                    pixels: chosen,
                }
            }
            Samples::Tokens {
                vocabulary,
                sequences,
            } => Samples::Tokens {
                vocabulary: *vocabulary,
                sequences: indices.iter().map(|&i| sequences[i].clone()).collect(),
            },
            Samples::Features(tables) => Samples::Features(
                tables
                    .iter()
                    .map(|table| table.select(indices, self.len()))
                    .collect(),
            ),
            Samples::External => Samples::External,
        };
        Self {
            name: self.name.clone(),
            samples,
            labels: indices.iter().map(|&i| self.labels[i]).collect(),
            label_names: self.label_names.clone(),
            ids: indices.iter().map(|&i| self.ids[i].clone()).collect(),
        }
    }

    /// Other inputs under the same labels, names and ids.
    ///
    /// # Errors
    /// [`DataError::Inconsistent`] when there are not as many.
    pub fn with_samples(&self, samples: Samples) -> Result<Self, DataError> {
        if let Err(reason) = samples.check(self.len()) {
            return Err(DataError::Inconsistent {
                name: self.name.clone(),
                reason,
            });
        }
        Ok(Self {
            name: self.name.clone(),
            samples,
            labels: self.labels.clone(),
            label_names: self.label_names.clone(),
            ids: self.ids.clone(),
        })
    }

    /// The samples that a predicate on (label, id) keeps, in their order.
    pub fn filter(&self, mut keep: impl FnMut(u32, &str) -> bool) -> Self {
        let indices: Vec<usize> = (0..self.len())
            .filter(|&i| keep(self.labels[i], &self.ids[i]))
            .collect();
        self.select(&indices)
    }

    /// At most `limit` samples, every label keeping its share as nearly as can be, seeded; in
    /// their original order. All of them when there are no more.
    pub fn sample(&self, limit: usize, seed: u64) -> Self {
        if self.len() <= limit {
            return self.clone();
        }
        let mut taken = self.dealt(limit as f64 / self.len() as f64, seed).0;
        taken.truncate(limit);
        taken.sort_unstable();
        self.select(&taken)
    }

    /// All indices in a seeded order. Every beginning of it has all labels in their shares.
    pub fn deal(&self, seed: u64) -> Vec<usize> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut by_label: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (index, &label) in self.labels.iter().enumerate() {
            by_label.entry(label).or_default().push(index);
        }
        let mut order = Vec::with_capacity(self.len());
        for indices in by_label.values_mut() {
            indices.shuffle(&mut rng);
            let count = indices.len() as f64;
            let turns = indices.iter().enumerate();
            order.extend(turns.map(|(turn, index)| ((turn as f64 + 0.5) / count, *index)));
        }
        order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        order.into_iter().map(|(_, index)| index).collect()
    }

    /// Two parts, the first without and the second with `held_out` (0 to 1) of every label's
    /// samples, seeded; both in their original order.
    pub fn split(&self, held_out: f64, seed: u64) -> (Self, Self) {
        let (mut second, mut first) = self.dealt(held_out, seed);
        first.sort_unstable();
        second.sort_unstable();
        (self.select(&first), self.select(&second))
    }

    /// A seeded share of every label's samples, and the rest; the share dealt label by label in
    /// turn, so that a cut of its end falls on all labels alike.
    fn dealt(&self, share: f64, seed: u64) -> (Vec<usize>, Vec<usize>) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut by_label: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (index, &label) in self.labels.iter().enumerate() {
            by_label.entry(label).or_default().push(index);
        }
        let (mut taken, mut rest) = (Vec::new(), Vec::new());
        for indices in by_label.values_mut() {
            indices.shuffle(&mut rng);
            let count = (indices.len() as f64 * share).ceil() as usize;
            let count = count.min(indices.len());
            taken.extend(indices[..count].iter().copied().enumerate());
            rest.extend_from_slice(&indices[count..]);
        }
        taken.sort_by_key(|(turn, _)| *turn);
        (taken.into_iter().map(|(_, index)| index).collect(), rest)
    }

    /// A BLAKE3 digest of inputs, labels, names and ids. External samples are known by their ids only.
    pub fn digest(&self) -> DataDigest {
        let mut hasher = blake3::Hasher::new();
        let mut put = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        match &self.samples {
            Samples::Images { shape, pixels } => {
                put(shape.to_string().as_bytes());
                put(pixels);
            }
            Samples::Tokens {
                vocabulary,
                sequences,
            } => {
                put(format!("tokens below {vocabulary}").as_bytes());
                for sequence in sequences {
                    let bytes: Vec<u8> = sequence.iter().flat_map(|t| t.to_le_bytes()).collect();
                    put(&bytes);
                }
            }
            Samples::Features(tables) => {
                for table in tables {
                    put(
                        format!("{} features of {}", table.width, table.models.join(", "))
                            .as_bytes(),
                    );
                    let bytes: Vec<u8> =
                        table.values.iter().flat_map(|v| v.to_le_bytes()).collect();
                    put(&bytes);
                }
            }
            Samples::External => put(b"elsewhere"),
        }
        let labels: Vec<u8> = self.labels.iter().flat_map(|l| l.to_le_bytes()).collect();
        put(&labels);
        for text in self.label_names.iter().chain(&self.ids) {
            put(text.as_bytes());
        }
        DataDigest::from_hash(hasher.finalize())
    }
}

fn first_repeated(names: &[String]) -> Option<&String> {
    let mut seen = HashSet::with_capacity(names.len());
    names.iter().find(|name| !seen.insert(*name))
}
